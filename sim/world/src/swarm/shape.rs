//! What a drawn pool looks like: hosts, resources, options, VMs.

use super::SECOND;
use super::family::{Family, Lean};
use models::Luck;
use scenarios::{Disk, Io, Network, Pool, Resource, Scenario, Storage, Vm};
use std::collections::BTreeMap;

const HOSTS: [&str; 5] = ["alpha", "bravo", "charlie", "delta", "echo"];
const US: u64 = 1_000;
/// Seconds that a full resync takes at most.
const SLOWEST_S: u64 = 16;
const MIB: u64 = 1 << 20;

/// One of the values, each as likely as it is often in the list.
fn one<T: Copy>(luck: &mut Luck, of: &[T]) -> T {
    of[luck.below(of.len() as u64) as usize]
}

/// With this chance in percent.
fn percent(luck: &mut Luck, chance: u64) -> bool {
    luck.below(100) < chance
}

/// Everything but the plan.
pub fn draw(luck: &Luck, family: Family) -> Scenario {
    let lean = family.lean();
    let mut shape = luck.fork("shape");
    let count = one(&mut shape, lean.hosts);
    let hosts: Vec<String> = HOSTS[..count].iter().map(|h| (*h).to_owned()).collect();
    let boot = shape.range(2..=6) * SECOND;
    let pool = Pool {
        hosts: hosts.clone(),
        boot_time: (boot, boot + shape.range(0..=6) * SECOND),
        ..Pool::default()
    };
    let options = options(&mut luck.fork("options"), &lean);
    // Without quorum a host has to be left that runs no VM: there alone may faults strike.
    let few = options["quorum"] == "off";
    let resources: Vec<Resource> =
        (0..one(&mut shape, if few { &[1, 1, 2] } else { lean.resources }))
            .map(|n| resource(&mut luck.fork_n("resource", n), n as usize, &hosts, &options, &lean))
            .collect();
    let vm = vms(luck, &resources, &lean);
    let mut clock = luck.fork("horizon");
    let heals = clock.coin() && family != Family::Beyond;
    let active = clock.range(40..=180) * SECOND;
    let rest = match (heals, family) {
        (true, _) => 110 * SECOND,
        // Everything is healed and may go wrong in the open, but nothing is demanded.
        (false, Family::Beyond) => 40 * SECOND,
        (false, _) => 5 * SECOND,
    };
    Scenario {
        horizon: active + rest,
        network: networks(&mut luck.fork("network")),
        disk: disk(&mut luck.fork("disk")),
        resource: resources,
        vm,
        heals,
        ..Scenario::bare(&family.plan_name(), pool)
    }
}

fn networks(luck: &mut Luck) -> BTreeMap<String, Network> {
    let low = luck.range(20..=200) * US;
    let spread = one(luck, &[0, 50, 500, 5_000]) * US;
    let storage = Network {
        latency: (low, low + spread),
        bandwidth: one(luck, &[125_000_000, 1_250_000_000, 1_250_000_000]),
        loss: one(luck, &[0, 0, 0, 0, 100, 2_000]),
        duplicate: 0,
        reorder: 0,
    };
    let mut all = BTreeMap::from([("storage".to_owned(), storage.clone())]);
    if luck.below(4) == 0 {
        all.insert("management".to_owned(), storage);
    }
    all
}

fn disk(luck: &mut Luck) -> Disk {
    let slow = one(luck, &[1, 1, 1, 10]);
    Disk {
        read: (60 * US * slow, 150 * US * slow),
        write: (15 * US * slow, 80 * US * slow),
        flush: (100 * US * slow, 2_000 * US * slow),
        parallel: one(luck, &[1, 4, 8, 32]),
        volatile_cache: luck.below(4) > 0,
        ..Disk::default()
    }
}

/// How resyncs go. With DRBD's defaults a copy is behind for as long as applications write, and an
/// idle one takes minutes to get up to speed: whoever wants it whole soon says so.
fn pace(luck: &mut Luck) -> Vec<(&'static str, u64)> {
    let mut all = vec![("c-min-rate", one(luck, &[0, 20_480, 102_400])), ("resync-rate", 20_480)];
    match luck.below(4) {
        0 => all.push(("c-plan-ahead", 0)),
        1 => all.extend([("c-fill-target", 0), ("c-delay-target", one(luck, &[5, 10]))]),
        _ => all.push(("c-fill-target", one(luck, &[2_048, 20_480]))),
    }
    all
}

fn options(luck: &mut Luck, lean: &Lean) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut set = |name: &str, value: String| drop(all.insert(name.to_owned(), value));
    let quorum = if percent(luck, lean.quorum_off) { "off" } else { "majority" };
    set("quorum", quorum.to_owned());
    set("on-no-quorum", one(luck, &["io-error", "suspend-io"]).to_owned());
    set("on-no-data-accessible", one(luck, &["io-error", "suspend-io"]).to_owned());
    // What a satellite sets beside quorum; DRBD's own defaults are `disconnect` twice.
    if luck.below(4) > 0 {
        set("rr-conflict", "retry-connect".to_owned());
        set("on-suspended-primary-outdated", "force-secondary".to_owned());
    }
    if quorum == "off" && luck.below(3) > 0 {
        set("fencing", one(luck, &["resource-only", "resource-and-stonith"]).to_owned());
        let answers = ["exit 4", "sleep 1; exit 7", "sleep 3; exit 5", "sleep 1; exit 1"];
        set("fence-peer", one(luck, &answers).to_owned());
        set("unfence-peer", "true".to_owned());
    }
    if luck.coin() {
        set("ping-int", luck.range(1..=4).to_string());
    }
    if luck.below(3) == 0 {
        set("al-extents", one(luck, &[67, 97, 251]).to_string());
    }
    if luck.below(4) == 0 {
        set("max-epoch-size", one(luck, &[1, 8, 50]).to_string());
    }
    if percent(luck, lean.slow_resync) {
        set("c-max-rate", one(luck, &[2_048, 8_192, 32_768]).to_string());
    }
    if luck.below(5) == 0 {
        set("peer-ack-delay", one(luck, &[10, 1_000]).to_string());
    }
    if luck.below(5) == 0 {
        set("twopc-timeout", "50".to_owned());
    }
    for (name, value) in pace(luck) {
        set(name, value.to_string());
    }
    all
}

fn resource(
    luck: &mut Luck,
    number: usize,
    hosts: &[String],
    options: &BTreeMap<String, String>,
    lean: &Lean,
) -> Resource {
    let mut order: Vec<String> = hosts.to_vec();
    luck.shuffle(&mut order);
    let copies = one(luck, lean.copies).min(hosts.len());
    let diskful: Vec<String> = order.drain(..copies).collect();
    let witness = copies == 2 && luck.below(12) > 0;
    let tiebreaker = (witness && !order.is_empty()).then(|| order.remove(0));
    order.retain(|_| luck.coin());
    // A volume needs more extents than the activity log has, or nothing ever leaves the log.
    let mut options = options.clone();
    let size = match luck.below(100) {
        n if n < lean.large => {
            options.insert("al-extents".to_owned(), "67".to_owned());
            512 * MIB
        }
        n => [8, 16, 32, 64][n as usize % 4] * MIB,
    };
    // Resyncs may be slow, but two full ones, of which the first turned out to be unstable, have to
    // end before the plan does.
    let least = size / 1_024 / SLOWEST_S;
    let rate = options.get("c-max-rate").and_then(|rate| rate.parse::<u64>().ok());
    if rate.is_some_and(|rate| rate < least) {
        options.remove("c-max-rate");
    }
    Resource {
        name: ["vol-a", "vol-b", "vol-c", "vol-d"][number].to_owned(),
        size,
        volumes: one(luck, &[1, 1, 2]),
        diskful,
        tiebreaker,
        diskless: order,
        storage: Storage::Disk,
        options,
    }
}

fn vms(luck: &Luck, resources: &[Resource], lean: &Lean) -> Vec<Vm> {
    let mut all = Vec::new();
    for (r, resource) in resources.iter().enumerate() {
        for volume in 0..resource.volumes {
            let mut luck = luck.fork_n("vm", (r as u64) << 8 | u64::from(volume));
            let quiet = luck.below(6) == 0;
            if quiet && !all.is_empty() {
                continue;
            }
            let others = || resource.tiebreaker.iter().chain(&resource.diskless);
            let mut on: Vec<&String> = resource.diskful.iter().chain(others()).collect();
            if let Some(chance) = lean.diskless_vms
                && others().next().is_some()
                && percent(&mut luck, chance)
            {
                on = others().collect();
            }
            let on = on[luck.below(on.len() as u64) as usize].clone();
            // One resource is Primary on one host at a time, for all its volumes.
            let on = all
                .iter()
                .find(|vm: &&Vm| vm.vdi.starts_with(&resource.name))
                .map_or(on, |vm| vm.on.clone());
            let vdi = match volume {
                0 => resource.name.clone(),
                n => format!("{}/{n}", resource.name),
            };
            let name = format!("vm-{}", (b'a' + all.len() as u8) as char);
            all.push(Vm { name, on, vdi, io: io(&mut luck, resource.size, resources.len()) });
        }
    }
    all
}

/// `among` resources share what a pool is asked to do: many of them are no reason to run slower.
fn io(luck: &mut Luck, size: u64, among: usize) -> Io {
    let most = one(luck, &[4, 4, 16, 64]) << 10;
    let span = one(luck, &[0, 0, 256 << 10, MIB, 4 * MIB]);
    Io {
        read: one(luck, &[0, 10, 30, 60]),
        write: one(luck, &[20, 60, 90]),
        flush: one(luck, &[0, 1, 5, 20]),
        discard: one(luck, &[0, 0, 0, 3, 10]),
        block: (4_096, most),
        depth: one(luck, &[1, 2, 8, 32]),
        rate: (one(luck, &[10, 30, 80, 150]) / (among as u32).max(1)).max(8),
        span: if span > size { 0 } else { span },
    }
}

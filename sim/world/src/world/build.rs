//! From a scenario and a seed to a world at time zero: hosts up, disks formatted, VMs about to
//! start.

use super::resource::{Node, Resource, Vdi, View};
use super::script::Script;
use super::vigil::Vigil;
use super::vm::Vm;
use super::{Networks, World, commands, options, storage};
use crate::check::Tally;
use crate::check::quorum_is_exclusive::Exclusive;
use crate::ledger::Ledger;
use crate::log::Log;
use crate::outcome::RunOptions;
use crate::picture::Recorder;
use drbd::core::config::{Config, PeerConfig, Quorum, RrConflict, VolumeConfig};
use drbd::ids::{NodeMask, Uuid, VolumeNumber};
use kernel::{Host, HostConfig, Region, ResFile, SlotConfig, SlotPeer, Wire};
use models::disk::{Disk, Profile};
use models::lvm::Lvm;
use models::net::{HostId, Net, NetworkSettings, NicId};
use models::{Hash64, Luck, SimTime, Span};
use scenarios::{Do, Scenario, Storage};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The port of the first resource.
const PORT: u16 = 7000;

fn span(range: (u64, u64)) -> models::time::SpanRange {
    Span(range.0)..=Span(range.1)
}

fn address(network: usize, host: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, network as u8, 0, host as u8 + 1))
}

/// Networks by name, in order; the one that DRBD uses first in line.
fn networks(scenario: &Scenario, net: &mut Net<Wire>) -> Networks {
    let mut names: Vec<&String> = scenario.network.keys().collect();
    names.sort_by_key(|name| name.as_str() != "storage");
    let mut all = Networks { names: Vec::new(), ids: Vec::new(), calm: Vec::new() };
    for name in names {
        let said = &scenario.network[name];
        let settings = NetworkSettings {
            latency: span(said.latency),
            loss_ppm: said.loss,
            duplicate_ppm: said.duplicate,
            reorder_ppm: said.reorder,
            ..NetworkSettings::default()
        };
        all.ids.push(net.add_network(settings.clone()));
        all.names.push(name.clone());
        all.calm.push(settings);
    }
    if all.ids.is_empty() {
        let settings = NetworkSettings::default();
        all.ids.push(net.add_network(settings.clone()));
        all.names.push("storage".to_owned());
        all.calm.push(settings);
    }
    all
}

fn index_of(scenario: &Scenario, host: &str) -> usize {
    scenario.pool.hosts.iter().position(|h| h == host).expect("a validated scenario names hosts")
}

/// Hosts of a resource in the order of the pool, which is the order of node ids, each with: has it
/// a disk?
fn members(scenario: &Scenario, resource: &scenarios::Resource) -> Vec<(usize, bool)> {
    let mut all: Vec<(usize, bool)> =
        resource.diskful.iter().map(|h| (index_of(scenario, h), true)).collect();
    let others = resource.tiebreaker.iter().chain(&resource.diskless);
    all.extend(others.map(|h| (index_of(scenario, h), false)));
    all.sort_unstable();
    all.dedup_by_key(|(host, _)| *host);
    all
}

fn config_of(
    scenario: &Scenario,
    resource: &scenarios::Resource,
    members: &[(usize, bool)],
    own: usize,
) -> Config {
    let mut config = Config::new(&resource.name, Resource::id(own));
    let volume =
        VolumeConfig { size: resource.size / drbd::ids::Blocks::BYTES, diskful: members[own].1 };
    config.volumes = vec![volume; usize::from(resource.volumes)];
    for (index, (host, diskful)) in members.iter().enumerate() {
        if index != own {
            config.peers.push(PeerConfig {
                node: Resource::id(index),
                name: scenario.pool.hosts[*host].clone(),
                diskful: *diskful,
            });
        }
    }
    options::apply(&resource.options, &mut config);
    config
}

fn resource_of(said: &scenarios::Resource, members: &[(usize, bool)], config: &Config) -> Resource {
    let (count, volumes) = (members.len(), usize::from(said.volumes));
    let node = |(host, diskful): &(usize, bool)| Node {
        host: *host,
        slot: 0,
        diskful: *diskful,
        view: View::new(count, volumes),
        was_broken: false,
        made_anew: false,
        may_fail: *diskful && said.storage == Storage::Thin,
        is_broken: false,
        unwhole: false,
        asked_alone: NodeMask::NONE,
        asked_down: false,
        asked_detach: false,
        asked_outdate: false,
        asked_invalid: false,
        asked_discard: NodeMask::NONE,
        asked_failure: false,
        underway: Vec::new(),
    };
    let notice = (config.ping_int_ms + config.ping_timeout_ms) * 1_000_000;
    let mut resource = Resource {
        name: said.name.clone(),
        volumes,
        blocks: said.size / drbd::ids::Blocks::BYTES,
        sizes: vec![said.size / drbd::ids::Blocks::BYTES; usize::from(said.volumes)],
        quorum: config.quorum != Quorum::Off,
        retries: config.rr_conflict == RrConflict::RetryConnect,
        nodes: members.iter().map(node).collect(),
        ledgers: Vec::new(),
        exclusive: Exclusive::new(count, notice),
        notice,
        roles_changed: false,
        past_saving: false,
        forgot: false,
        asked_suspension: false,
        overruled: false,
        forgotten: NodeMask::NONE,
        settles: config.after_sb != Config::new("", config.node).after_sb,
        vigil: Vigil::new(
            volumes,
            &members.iter().map(|(_, diskful)| *diskful).collect::<Vec<_>>(),
        ),
        resynced: vec![false; volumes],
    };
    let copies = resource.copies();
    resource.ledgers = (0..volumes).map(|_| Ledger::new(copies)).collect();
    resource
}

/// What one host gets: its slots and the generations of their volumes.
#[derive(Default)]
struct Share {
    slots: Vec<SlotConfig>,
    uuids: Vec<Vec<Uuid>>,
    blocks: u64,
    files: Vec<ResFile>,
    lvm: Option<Lvm>,
}

fn slot_of(
    share: &mut Share,
    config: Config,
    storage: Storage,
    (port, minor): (u16, u32),
    members: &[(usize, bool)],
) -> SlotConfig {
    let own = config.node.index();
    let lower = |v: &VolumeConfig| drbd::core::Resource::lower_blocks(v.size, config.max_peers);
    let mut regions = Vec::new();
    for (number, volume) in (0u16..).zip(&config.volumes) {
        let len = lower(volume);
        let thin = share.lvm.as_mut().filter(|_| storage == Storage::Thin && volume.diskful);
        let region = match thin {
            Some(lvm) => Some(storage::thin_volume(lvm, &config.name, number, len)),
            None => volume.diskful.then(|| {
                let region = Region::new(share.blocks, len);
                share.blocks += region.len;
                region
            }),
        };
        regions.push(region);
    }
    let at = |host: usize| SocketAddr::new(address(0, host), port);
    let peers = members
        .iter()
        .enumerate()
        .filter(|(index, _)| *index != own)
        .map(|(index, (host, _))| SlotPeer { node: Resource::id(index), address: at(*host) })
        .collect();
    SlotConfig { config, regions, listen: at(members[own].0), peers, minor }
}

fn disk_of(scenario: &Scenario, blocks: u64, luck: Luck) -> Disk<drbd::page::Page> {
    let said = &scenario.disk;
    let profile = Profile {
        read: span(said.read),
        write: span(said.write),
        flush: span(said.flush),
        parallel: said.parallel as usize,
        volatile_cache: said.volatile_cache,
        ..Profile::nvme(blocks.max(1))
    };
    Disk::new(luck, profile)
}

fn vm_of(scenario: &Scenario, index: usize, resources: &[Resource], luck: &Luck) -> Vm {
    let said = &scenario.vm[index];
    let (name, volume) = match said.vdi.split_once('/') {
        Some((name, volume)) => (name, volume.parse().unwrap_or(0)),
        None => (said.vdi.as_str(), 0),
    };
    let resource = resources
        .iter()
        .position(|r| r.name == name)
        .expect("a validated scenario names resources");
    let vdi = Vdi { resource, volume: VolumeNumber(volume) };
    let blocks = resources[resource].blocks;
    Vm::new(index, &said.name, vdi, &said.io, blocks, luck.fork_n("vm", index as u64))
}

/// Every resource, and what each host gets of it.
fn shares_of(scenario: &Scenario, luck: &Luck) -> (Vec<Resource>, Vec<Share>) {
    let mut resources = Vec::new();
    let mut shares: Vec<Share> = scenario.pool.hosts.iter().map(|_| Share::default()).collect();
    for (share, host) in shares.iter_mut().zip(&scenario.pool.hosts) {
        (share.lvm, share.blocks) = storage::group(scenario, host);
    }
    let mut births = luck.fork("uuid");
    for (index, (port, said)) in (PORT..).zip(&scenario.resource).enumerate() {
        let minor = commands::minor(scenario, index);
        let members = members(scenario, said);
        // Bit 0 says "was Primary"; values up to 4 have meanings of their own.
        let uuids: Vec<Uuid> =
            (0..said.volumes).map(|_| Uuid(births.u64() & !1 | 1 << 40)).collect();
        let config = config_of(scenario, said, &members, 0);
        let mut resource = resource_of(said, &members, &config);
        for (own, (host, _)) in members.iter().enumerate() {
            let share = &mut shares[*host];
            resource.nodes[own].slot = share.slots.len();
            let config = config_of(scenario, said, &members, own);
            let slot = slot_of(share, config, said.storage, (port, minor), &members);
            share.slots.push(slot);
            share.files.push(res_file_of(scenario, said, &members, own, (port, minor)));
            share.uuids.push(uuids.clone());
        }
        resources.push(resource);
    }
    (resources, shares)
}

/// The `.res` file of a resource for one of its hosts.
fn res_file_of(
    scenario: &Scenario,
    said: &scenarios::Resource,
    members: &[(usize, bool)],
    own: usize,
    (port, minor): (u16, u32),
) -> ResFile {
    let host = |(node, (host, diskful)): (usize, &(usize, bool))| {
        let at = SocketAddr::new(address(0, *host), port);
        commands::res_host(said, &scenario.pool.hosts[*host], node, at, *diskful)
    };
    let mut hosts: Vec<kernel::ResHost> = members.iter().enumerate().map(host).collect();
    let own = hosts.remove(own);
    let options = said.options.clone();
    ResFile { name: said.name.clone(), options, minor, volumes: said.volumes, own, peers: hosts }
}

/// Connection tracking, if the pool has it.
fn track(scenario: &Scenario, net: &mut Net<Wire>, host: HostId, luck: &Luck) {
    let Some(max) = scenario.pool.conntrack_max else { return };
    net.track(host, max, luck.fork_n("conntrack", u64::from(host.0)));
    if let (Some(table), true) = (net.conntrack_mut(host), scenario.pool.drbd_notrack) {
        (PORT..).take(scenario.resource.len()).for_each(|port| table.notrack(port));
    }
}

/// One host, plugged into every network.
fn host_of(
    scenario: &Scenario,
    options: &RunOptions,
    index: usize,
    share: Share,
    net: &mut Net<Wire>,
    networks: &Networks,
) -> (Host, Vec<NicId>) {
    let luck = Luck::root(options.seed);
    let id = net.add_host();
    let mut nics = Vec::new();
    for (number, network) in networks.ids.iter().enumerate() {
        let rate = scenario.network.get(&networks.names[number]).map_or(0, |n| n.bandwidth);
        let address = address(number, index);
        nics.push(net.add_nic(id, *network, rate.saturating_mul(8), address));
    }
    track(scenario, net, id, &luck);
    let disk = disk_of(scenario, share.blocks, luck.fork_n("disk", index as u64));
    let config = HostConfig {
        name: scenario.pool.hosts[index].clone(),
        net: id,
        boot_time: span(scenario.pool.boot_time),
        luck: luck.fork_n("host", index as u64),
        quirks: options.quirks,
    };
    let files = commands::files(&share.files);
    let mut host = Host::new(config, disk, share.lvm, share.slots, &share.uuids);
    *host.files_mut() = files;
    (host, nics)
}

/// Is convergence demanded?
fn heals(scenario: &Scenario) -> bool {
    if crate::budget::beyond(scenario).is_some() {
        return false;
    }
    let asks = |name: &str| scenario.promise.iter().any(|p| p == name);
    scenario.heals || asks("io-resumes") || asks("resync-finishes")
}

/// When the last repair is made. Of a plan that waits for what it sees, that is not known yet.
fn healed_at(scenario: &Scenario) -> Option<u64> {
    let last = |steps: &mut dyn Iterator<Item = &scenarios::Step>| {
        steps.filter_map(|step| step.when.time()).max()
    };
    let repaired = last(&mut scenario.step.iter().filter(|step| step.action == Do::HealAll));
    let waits = scenario.step.iter().any(|step| step.when.time().is_none() && !step.optional);
    match (repaired, waits) {
        (Some(at), _) => Some(at),
        (None, true) => None,
        (None, false) => Some(last(&mut scenario.step.iter()).unwrap_or(0)),
    }
}

/// A world at time zero.
pub fn build(scenario: &Scenario, options: &RunOptions) -> World {
    let luck = Luck::root(options.seed);
    let mut net = Net::new(luck.fork("net"));
    let networks = networks(scenario, &mut net);
    let count = scenario.pool.hosts.len();
    let (resources, shares) = shares_of(scenario, &luck);
    let shares = shares.into_iter().enumerate();
    let (hosts, nics) = shares
        .map(|(index, share)| host_of(scenario, options, index, share, &mut net, &networks))
        .unzip();
    let vms = (0..scenario.vm.len()).map(|i| vm_of(scenario, i, &resources, &luck)).collect();
    let addresses_of = |h| (0..scenario.network.len().max(1)).map(|n| address(n, h)).collect();
    let mut world = World {
        now: 0,
        horizon: scenario.horizon,
        heals: heals(scenario),
        safety_only: crate::budget::beyond(scenario).is_some(),
        healed: healed_at(scenario).filter(|_| heals(scenario)),
        convergence: None,
        net,
        networks,
        nics,
        addresses: (0..count).map(addresses_of).collect(),
        slots: slots_of(&resources, count),
        hosts,
        resources,
        vms,
        ghosts: Vec::new(),
        homes: scenario.vm.iter().map(|vm| index_of(scenario, &vm.on)).collect(),
        boot_wanted: vec![false; count],
        script: Script::new(scenario),
        orders: commands::Orders::default(),
        timers: Vec::new(),
        luck: luck.fork("plan"),
        hash: Hash64::new(),
        events: 0,
        last_fault: 0,
        last_step: 0,
        fallen: scenario.pool.hosts.iter().map(|_| None).collect(),
        writes: 0,
        log: Log::new(options.keep_log),
        tally: Tally::default(),
        excused: Vec::new(),
        recovery: BTreeMap::new(),
        faults: BTreeMap::new(),
        seen: super::marks::Seen::new(options.marks),
        failure: None,
        next_rest: super::rest::EVERY,
        stopping: false,
        scratch: Vec::new(),
        outs: Vec::new(),
        queue: VecDeque::new(),
        arrivals: Vec::new(),
    };
    world.begin_commands(scenario);
    world.begin(options.marks);
    world
}

/// Which resource and node each slot of each host is.
fn slots_of(resources: &[Resource], hosts: usize) -> Vec<Vec<(usize, usize)>> {
    let mut slots = vec![Vec::new(); hosts];
    for (index, resource) in resources.iter().enumerate() {
        for (node, place) in resource.nodes.iter().enumerate() {
            debug_assert_eq!(slots[place.host].len(), place.slot);
            slots[place.host].push((index, node));
        }
    }
    slots
}

impl World {
    /// Power on, resources up, VMs started: the state in which scenarios begin.
    fn begin(&mut self, marks: bool) {
        if self.log.keeps_all() {
            self.log.recorder = Some(Box::new(Recorder::new(self.cast())));
        }
        for host in 0..self.hosts.len() {
            if self.log.keeps_all() {
                self.hosts[host].trace();
            }
            if !marks {
                self.hosts[host].mute_points();
            }
            self.hosts[host].start(SimTime(0), &mut self.net, &mut self.outs);
            self.collect(host);
        }
        self.settle();
        for vm in 0..self.vms.len() {
            self.start_vm(vm, self.homes[vm]);
        }
        self.begin_script();
        self.look();
    }
}

/// Hosts have network ids in their own order.
pub fn net_id(host: usize) -> HostId {
    HostId(host as u16)
}

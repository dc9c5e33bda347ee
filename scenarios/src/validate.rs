//! What must hold of any scenario, read or drawn: names exist, sizes are whole blocks, everything
//! is bounded.

use std::collections::BTreeSet;

use crate::error::{Wrong, nearest};
use crate::limits::*;
use crate::options;
use crate::scenario::*;
use crate::units::{DURATION, SIZE};
use crate::validate_step::{expects, meant_for, replays, steps};

/// Why a scenario cannot run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invalid {
    /// As in the file, e.g. `resource[0].diskful[1]`.
    pub path: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{}: {}; {}", self.path, self.what, self.remedy)
    }
}

pub(crate) type Check = Result<(), Invalid>;

pub(crate) fn fail(
    path: impl Into<String>,
    what: impl Into<String>,
    remedy: impl Into<String>,
) -> Check {
    Err(Invalid { path: path.into(), what: what.into(), remedy: remedy.into() })
}

/// Is the scenario one that a world can run within bounds?
pub fn validate(scenario: &Scenario) -> Check {
    kebab("name", &scenario.name)?;
    for (i, promise) in scenario.promise.iter().enumerate() {
        kebab(&format!("promise[{i}]"), promise)?;
    }
    notes(scenario)?;
    if scenario.horizon == 0 || scenario.horizon > HORIZON_MAX {
        let remedy = format!("use 1ns to {}", DURATION.format(HORIZON_MAX));
        return fail("horizon", "a run has to last, but not for ever", remedy);
    }
    pool(&scenario.pool)?;
    for (name, network) in &scenario.network {
        check_network(name, network)?;
    }
    disk(&scenario.disk)?;
    resources(scenario)?;
    vms(scenario)?;
    steps(scenario)?;
    expects(scenario)?;
    meant_for(scenario)?;
    replays(scenario)
}

/// Lower-case letters, digits and single hyphens; so that a name is a word in every log and a file
/// name everywhere.
pub(crate) fn kebab(path: &str, name: &str) -> Check {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let letter = name.starts_with(|c: char| c.is_ascii_lowercase());
    if letter && name.len() <= NAME_MAX && name.chars().all(fits) && !name.ends_with('-') {
        return Ok(());
    }
    let short: String = name.chars().take(40).collect();
    let remedy = format!("use up to {NAME_MAX} of a-z, 0-9 and -, beginning with a letter");
    fail(path, format!("\"{short}\" is not a name"), remedy)
}

fn notes(scenario: &Scenario) -> Check {
    for (path, list) in [("promise", &scenario.promise), ("origin", &scenario.origin)] {
        if list.len() > NOTES_MAX || list.iter().any(|note| note.chars().count() > NOTE_MAX) {
            let remedy = format!("at most {NOTES_MAX} entries of {NOTE_MAX} characters");
            return fail(path, "too long", remedy);
        }
    }
    Ok(())
}

pub(crate) fn count(path: &str, len: usize, max: usize) -> Check {
    if len <= max {
        return Ok(());
    }
    fail(path, format!("{len} entries"), format!("at most {max} are allowed"))
}

/// No name twice; `#` in the path stands for the index.
pub(crate) fn unique<'a>(path: &str, names: impl IntoIterator<Item = Option<&'a str>>) -> Check {
    let mut seen = BTreeSet::new();
    for (i, name) in names.into_iter().enumerate() {
        let Some(name) = name else { continue };
        if !seen.insert(name) {
            let place = path.replace('#', &i.to_string());
            return fail(place, format!("\"{name}\" is there twice"), "give each its own name");
        }
    }
    Ok(())
}

fn pool(pool: &Pool) -> Check {
    if pool.hosts.is_empty() {
        return fail("pool.hosts", "a pool needs a host", "as in hosts = [\"alpha\", \"bravo\"]");
    }
    count("pool.hosts", pool.hosts.len(), HOSTS_MAX)?;
    for (i, host) in pool.hosts.iter().enumerate() {
        kebab(&format!("pool.hosts[{i}]"), host)?;
    }
    unique("pool.hosts[#]", pool.hosts.iter().map(|host| Some(host.as_str())))?;
    if let Some(master) = &pool.master {
        known("pool.master", "host", master, pool.hosts.iter().map(String::as_str))?;
    }
    range("pool.boot-time", pool.boot_time, BOOT_MAX)?;
    range("pool.clock-offset", (0, pool.clock_offset), CLOCK_OFFSET_MAX)?;
    if pool.clock_drift_ppm > CLOCK_DRIFT_MAX {
        return fail("pool.clock-drift", "drifts too fast", "use at most 10%");
    }
    if pool.conntrack_max.is_some_and(|max| max == 0 || max > CONNTRACK_MAX) {
        let remedy = format!("use 1 to {CONNTRACK_MAX}");
        return fail("pool.conntrack-max", "not a number of entries", remedy);
    }
    Ok(())
}

/// Ends in order, and the longer one bounded.
pub(crate) fn range(path: &str, (low, high): (u64, u64), max: u64) -> Check {
    if low > high {
        return fail(path, "the range ends before it starts", "write the smaller end first");
    }
    if high > max {
        return fail(path, "too long", format!("use at most {}", DURATION.format(max)));
    }
    Ok(())
}

fn check_network(name: &str, network: &Network) -> Check {
    let path = format!("network.{name}");
    kebab(&path, name)?;
    range(&format!("{path}.latency"), network.latency, SERVICE_MAX)?;
    if !(BANDWIDTH.0..=BANDWIDTH.1).contains(&network.bandwidth) {
        let remedy = "use 8Kbit to 8000Gbit";
        return fail(format!("{path}.bandwidth"), "not the speed of a NIC", remedy);
    }
    for (key, ppm) in
        [("loss", network.loss), ("duplicate", network.duplicate), ("reorder", network.reorder)]
    {
        if ppm > PPM_ONE {
            return fail(format!("{path}.{key}"), "more than all", "use 0% to 100%");
        }
    }
    Ok(())
}

fn disk(disk: &Disk) -> Check {
    if !disk.thin_pool.is_multiple_of(POOL_EXTENT) {
        return fail("disk.thin-pool", "not whole extents of 4MiB", "as in thin-pool = \"64MiB\"");
    }
    if disk.thin_pool > POOL_BYTES_MAX {
        let remedy = format!("use at most {}", SIZE.format(POOL_BYTES_MAX));
        return fail("disk.thin-pool", "the pool is too large", remedy);
    }
    range("disk.read", disk.read, SERVICE_MAX)?;
    range("disk.write", disk.write, SERVICE_MAX)?;
    range("disk.flush", disk.flush, SERVICE_MAX)?;
    if disk.parallel == 0 || disk.parallel > PARALLEL_MAX {
        let remedy = format!("use 1 to {PARALLEL_MAX}");
        return fail(
            "disk.parallel",
            "not a number of requests that a disk serves at once",
            remedy,
        );
    }
    Ok(())
}

pub(crate) fn known<'a>(
    path: &str,
    kind: &str,
    name: &str,
    names: impl Iterator<Item = &'a str> + Clone,
) -> Check {
    if names.clone().any(|known| known == name) {
        return Ok(());
    }
    let remedy = match nearest(name, names.clone()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("use one of {}", names.collect::<Vec<_>>().join(", ")),
    };
    let short: String = name.chars().take(40).collect();
    fail(path, format!("there is no {kind} \"{short}\""), remedy)
}

fn resources(scenario: &Scenario) -> Check {
    count("resource", scenario.resource.len(), RESOURCES_MAX)?;
    let mut copies: u64 = 0;
    for (i, resource) in scenario.resource.iter().enumerate() {
        let path = format!("resource[{i}]");
        kebab(&format!("{path}.name"), &resource.name)?;
        check_size(&path, resource)?;
        check_hosts(&path, resource, &scenario.pool)?;
        if resource.storage == Storage::Thin && scenario.disk.thin_pool == 0 {
            let remedy = "say how large it is, as in [disk] thin-pool = \"64MiB\"";
            return fail(format!("{path}.storage"), "there is no thin pool", remedy);
        }
        for (name, value) in &resource.options {
            options::check(name, value).or_else(|Wrong { what, remedy }| {
                fail(format!("{path}.options.{name}"), what, remedy)
            })?;
        }
        let volumes = u64::from(resource.volumes) * resource.diskful.len() as u64;
        copies = copies.saturating_add(resource.size.saturating_mul(volumes));
        if copies > POOL_BYTES_MAX {
            let remedy = format!("use at most {} in all", SIZE.format(POOL_BYTES_MAX));
            return fail(format!("{path}.size"), "all copies together are too large", remedy);
        }
    }
    unique("resource[#].name", scenario.resource.iter().map(|r| Some(r.name.as_str())))
}

fn check_size(path: &str, resource: &Resource) -> Check {
    let place = format!("{path}.size");
    if resource.size == 0 || !resource.size.is_multiple_of(BLOCK) {
        return fail(place, "a size is a multiple of 4KiB", "as in size = \"64MiB\"");
    }
    if resource.size > VOLUME_BYTES_MAX {
        let remedy = format!("use at most {}", SIZE.format(VOLUME_BYTES_MAX));
        return fail(place, "the volume is too large", remedy);
    }
    if resource.volumes == 0 || resource.volumes > VOLUMES_MAX {
        let remedy = format!("use 1 to {VOLUMES_MAX}");
        return fail(format!("{path}.volumes"), "not a number of volumes", remedy);
    }
    Ok(())
}

fn check_hosts(path: &str, resource: &Resource, pool: &Pool) -> Check {
    if resource.diskful.is_empty() {
        let remedy = "as in diskful = [\"alpha\", \"bravo\"]";
        return fail(format!("{path}.diskful"), "a resource needs a copy", remedy);
    }
    let hosts = || pool.hosts.iter().map(String::as_str);
    let mut places = Vec::new();
    for (key, list) in [("diskful", &resource.diskful), ("diskless", &resource.diskless)] {
        count(&format!("{path}.{key}"), list.len(), HOSTS_MAX)?;
        places
            .extend(list.iter().enumerate().map(|(i, host)| (format!("{path}.{key}[{i}]"), host)));
    }
    places.extend(resource.tiebreaker.iter().map(|host| (format!("{path}.tiebreaker"), host)));
    let mut seen = BTreeSet::new();
    for (place, host) in &places {
        known(place, "host", host, hosts())?;
        if !seen.insert(host.as_str()) {
            let remedy = "a host is diskful, diskless or tiebreaker, once";
            return fail(place, format!("\"{host}\" has a part in the resource already"), remedy);
        }
    }
    let peers = resource.options.get("max-peers").and_then(|value| value.parse::<usize>().ok());
    if let Some(peers) = peers
        && places.len() > peers + 1
    {
        let remedy = format!("use at least {}", places.len() - 1);
        return fail(format!("{path}.options.max-peers"), "fewer slots than peers", remedy);
    }
    Ok(())
}

fn vms(scenario: &Scenario) -> Check {
    count("vm", scenario.vm.len(), VMS_MAX)?;
    for (i, vm) in scenario.vm.iter().enumerate() {
        let path = format!("vm[{i}]");
        kebab(&format!("{path}.name"), &vm.name)?;
        let resource = vdi(&path, vm, &scenario.resource)?;
        let on = format!("{path}.on");
        known(&on, "host", &vm.on, scenario.pool.hosts.iter().map(String::as_str))?;
        if !has_part(resource, &vm.on) {
            let remedy = format!("add it to the diskless hosts of {}", resource.name);
            return fail(on, format!("{} cannot open {}", vm.on, resource.name), remedy);
        }
        check_io(&format!("{path}.io"), &vm.io, resource.size)?;
    }
    unique("vm[#].name", scenario.vm.iter().map(|vm| Some(vm.name.as_str())))?;
    unique("vm[#].vdi", scenario.vm.iter().map(|vm| Some(vm.vdi.trim_end_matches("/0"))))
}

pub(crate) fn has_part(resource: &Resource, host: &String) -> bool {
    resource.diskful.contains(host)
        || resource.diskless.contains(host)
        || resource.tiebreaker.as_ref() == Some(host)
}

/// The resource of a VM's disk, and that it has the volume.
fn vdi<'a>(path: &str, vm: &Vm, resources: &'a [Resource]) -> Result<&'a Resource, Invalid> {
    let place = format!("{path}.vdi");
    let (name, volume) = match vm.vdi.split_once('/') {
        Some((name, volume)) => (name, volume.parse::<u16>().ok()),
        None => (vm.vdi.as_str(), Some(0)),
    };
    known(&place, "resource", name, resources.iter().map(|r| r.name.as_str()))?;
    let found = resources.iter().find(|r| r.name == name);
    match (found, volume) {
        (Some(resource), Some(volume)) if volume < resource.volumes => Ok(resource),
        (found, _) => {
            let last = found.map_or(0, |r| r.volumes.saturating_sub(1));
            let what = format!("{name} has no such volume");
            let remedy = format!("use {name} or {name}/0 to {name}/{last}");
            Err(Invalid { path: place, what, remedy })
        }
    }
}

fn check_io(path: &str, io: &Io, size: u64) -> Check {
    let weights = [io.read, io.write, io.flush, io.discard];
    if weights.iter().all(|weight| *weight == 0) || weights.iter().any(|w| *w > WEIGHT_MAX) {
        let remedy = format!("give at least one a weight, none more than {WEIGHT_MAX}");
        return fail(path, "read, write, flush and discard have no usable weights", remedy);
    }
    let (low, high) = io.block;
    let whole = low.is_multiple_of(BLOCK) && high.is_multiple_of(BLOCK);
    if low == 0 || low > high || !whole || high > REQUEST_BYTES_MAX {
        let remedy = format!("multiples of 4KiB up to {}", SIZE.format(REQUEST_BYTES_MAX));
        return fail(format!("{path}.block"), "not a range of request sizes", remedy);
    }
    let span = if io.span == 0 { size } else { io.span };
    if !span.is_multiple_of(BLOCK) || span > size || span < high {
        let place = if io.span == 0 { "block" } else { "span" };
        let remedy = "a multiple of 4KiB, not above the size, not below the largest request";
        return fail(format!("{path}.{place}"), "requests do not fit the volume", remedy);
    }
    if io.depth == 0 || io.depth > DEPTH_MAX {
        return fail(format!("{path}.depth"), "not a depth", format!("use 1 to {DEPTH_MAX}"));
    }
    if io.rate > RATE_MAX {
        return fail(format!("{path}.rate"), "too fast", format!("use at most {RATE_MAX}"));
    }
    Ok(())
}

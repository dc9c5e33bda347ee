//! TOML file to [`Scenario`]. Keys left out have the defaults below, which describe a small pool
//! with NVMe disks.

use std::collections::BTreeMap;
use toml::de::DeTable;

use crate::cursor::{Fault, Read, Table, Value, locate};
use crate::error::{Error, Wrong};
use crate::limits::*;
use crate::read_expect::{expect, known, replay, vary as variations};
use crate::read_step::step;
use crate::scenario::*;
use crate::units::{DURATION, RATE, SHARE, SIZE};
use crate::validate::validate;
use crate::vary;

/// The version of the file format.
const SCHEMA: u64 = 1;
const US: u64 = 1_000;
const SECOND: u64 = 1_000_000_000;

/// Reads and validates a scenario; `file` is how errors name it.
pub fn read(file: &str, text: &str) -> Result<Scenario, Error> {
    if text.len() > FILE_MAX {
        let what = format!("the file has {} bytes, at most {FILE_MAX} are read", text.len());
        return Err(Error::at(file, "", 0, Wrong::new(what, "split the scenario")));
    }
    let root = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let what = format!("not TOML: {}", error.message());
        Error::at(file, text, at, Wrong::new(what, "see https://toml.io for the syntax"))
    })?;
    let root = root.get_ref();
    let scenario = document(root).map_err(|fault| Error::at(file, text, fault.at, fault.wrong))?;
    validate(&scenario).map_err(|invalid| {
        let at = locate(root, &invalid.path);
        Error::at(file, text, at, Wrong::new(invalid.what, invalid.remedy))
    })?;
    vary::check(text, &scenario.vary).map_err(|(path, wrong)| {
        let at = root.get("vary").and_then(|v| v.get_ref().as_table());
        let at = at.and_then(|v| v.get_key_value(path.as_str())).map_or(0, |(k, _)| k.span().start);
        Error::at(file, text, at, wrong)
    })?;
    Ok(scenario)
}

fn document<'a>(root: &'a DeTable<'a>) -> Read<Scenario> {
    let mut top = Table::new(root, 0, "the scenario");
    let schema = top.need("schema")?;
    if schema.number(u64::MAX)? != SCHEMA {
        return schema.fault(Wrong::new(
            "this version of the format is not known here",
            format!("write `schema = {SCHEMA}`"),
        ));
    }
    let scenario = Scenario {
        name: top.need("name")?.string()?,
        promise: top.or("promise", Vec::new(), |v| v.strings(NOTES_MAX))?,
        origin: top.or("origin", Vec::new(), |v| v.strings(NOTES_MAX))?,
        horizon: top.need("horizon")?.quantity(&DURATION)?,
        heals: top.or("heals", true, Value::flag)?,
        pool: pool(top.need("pool")?.table("[pool]")?)?,
        network: networks(top.get("network"))?,
        disk: disk(top.get("disk"))?,
        resource: many(&mut top, "resource", RESOURCES_MAX, resource)?,
        vm: many(&mut top, "vm", VMS_MAX, vm)?,
        step: many(&mut top, "step", STEPS_MAX, step)?,
        expect: many(&mut top, "expect", EXPECTS_MAX, expect)?,
        vary: top.or("vary", BTreeMap::new(), variations)?,
        known: top.or("known", BTreeMap::new(), known)?,
        replay: top.or("replay", None, replay)?,
        worlds: top.or("worlds", vec!["sim".to_owned()], |v| v.strings(NOTES_MAX))?,
        requires: top.or("requires", Vec::new(), |v| v.strings(NOTES_MAX))?,
    };
    top.finish()?;
    Ok(scenario)
}

/// An array of tables.
fn many<'a, T>(
    top: &mut Table<'a>,
    key: &'static str,
    max: usize,
    read: impl Fn(Table<'a>) -> Read<T>,
) -> Read<Vec<T>> {
    let what = match key {
        "resource" => "[[resource]]",
        "vm" => "[[vm]]",
        "expect" => "[[expect]]",
        _ => "[[step]]",
    };
    let Some(value) = top.get(key) else { return Ok(Vec::new()) };
    value.list(max)?.into_iter().map(|element| read(element.table(what)?)).collect()
}

fn pool(mut table: Table) -> Read<Pool> {
    let pool = Pool {
        hosts: table.need("hosts")?.strings(HOSTS_MAX)?,
        master: table.or("master", None, |v| v.string().map(Some))?,
        ha: table.or("ha", false, ha)?,
        boot_time: table.or("boot-time", (20 * SECOND, 40 * SECOND), |v| v.range(&DURATION))?,
        clock_offset: table.or("clock-offset", 0, |v| v.quantity(&DURATION))?,
        clock_drift_ppm: table.or("clock-drift", 0, |v| share(v, CLOCK_DRIFT_MAX))?,
        conntrack_max: table.or("conntrack-max", None, |v| v.count(CONNTRACK_MAX).map(Some))?,
        drbd_notrack: table.or("drbd-notrack", false, Value::flag)?,
    };
    table.finish()?;
    Ok(pool)
}

fn ha(value: &Value) -> Read<bool> {
    let mut table = value.table("ha")?;
    let enabled = table.or("enabled", false, Value::flag)?;
    table.finish()?;
    Ok(enabled)
}

/// Parts per million up to `max`.
pub(crate) fn share(value: &Value, max: u32) -> Read<u32> {
    let ppm = value.quantity(&SHARE)?;
    match u32::try_from(ppm) {
        Ok(ppm) if ppm <= max => Ok(ppm),
        _ => value.fault(Wrong::new(
            "the share is too large",
            format!("use at most {}", SHARE.format(u64::from(max))),
        )),
    }
}

fn networks(value: Option<Value>) -> Read<BTreeMap<String, Network>> {
    let mut networks = BTreeMap::new();
    if let Some(value) = value {
        let table = value.table("[network]")?;
        if table.len() > NETWORKS_MAX {
            let what = format!("{} networks, at most {NETWORKS_MAX} are allowed", table.len());
            return table.fault(Wrong::new(what, "leave some out"));
        }
        for (name, value) in table.entries() {
            networks.insert(name.to_owned(), network(value.table("a network")?)?);
        }
    }
    // DRBD has to run over something.
    networks.entry("storage".to_owned()).or_insert_with(default_network);
    Ok(networks)
}

fn default_network() -> Network {
    Network {
        latency: (100 * US, 500 * US),
        bandwidth: 1_250_000_000,
        loss: 0,
        duplicate: 0,
        reorder: 0,
    }
}

fn network(mut table: Table) -> Read<Network> {
    let default = default_network();
    let network = Network {
        latency: table.or("latency", default.latency, |v| v.range(&DURATION))?,
        bandwidth: table.or("bandwidth", default.bandwidth, |v| v.quantity(&RATE))?,
        loss: table.or("loss", 0, |v| share(v, PPM_ONE))?,
        duplicate: table.or("duplicate", 0, |v| share(v, PPM_ONE))?,
        reorder: table.or("reorder", 0, |v| share(v, PPM_ONE))?,
    };
    table.finish()?;
    Ok(network)
}

fn disk(value: Option<Value>) -> Read<Disk> {
    let mut disk = Disk::default();
    if let Some(value) = value {
        let mut table = value.table("[disk]")?;
        disk.read = table.or("read", disk.read, |v| v.range(&DURATION))?;
        disk.write = table.or("write", disk.write, |v| v.range(&DURATION))?;
        disk.flush = table.or("flush", disk.flush, |v| v.range(&DURATION))?;
        disk.parallel = table.or("parallel", disk.parallel, |v| v.count(PARALLEL_MAX))?;
        disk.volatile_cache = table.or("volatile-cache", disk.volatile_cache, Value::flag)?;
        disk.thin_pool = table.or("thin-pool", 0, |v| v.quantity(&SIZE))?;
        table.finish()?;
    }
    Ok(disk)
}

fn resource(mut table: Table) -> Read<Resource> {
    let resource = Resource {
        name: table.need("name")?.string()?,
        size: table.need("size")?.quantity(&SIZE)?,
        volumes: table.or("volumes", 1, |v| v.count(u32::from(VOLUMES_MAX)).map(|n| n as u16))?,
        diskful: table.need("diskful")?.strings(HOSTS_MAX)?,
        tiebreaker: table.or("tiebreaker", None, |v| v.string().map(Some))?,
        diskless: table.or("diskless", Vec::new(), |v| v.strings(HOSTS_MAX))?,
        storage: table.or("storage", Storage::Disk, storage)?,
        options: table.or("options", BTreeMap::new(), options)?,
    };
    table.finish()?;
    Ok(resource)
}

fn storage(value: &Value) -> Read<Storage> {
    match value.text()? {
        "disk" => Ok(Storage::Disk),
        "thin" => Ok(Storage::Thin),
        _ => value.fault(Wrong::new("not a kind of storage", "write \"disk\" or \"thin\"")),
    }
}

fn options(value: &Value) -> Read<BTreeMap<String, String>> {
    let table = value.table("options")?;
    table.entries().map(|(name, value)| Ok((name.to_owned(), value.option()?))).collect()
}

fn vm(mut table: Table) -> Read<Vm> {
    let vm = Vm {
        name: table.need("name")?.string()?,
        on: table.need("on")?.string()?,
        vdi: table.need("vdi")?.string()?,
        io: io(table.get("io"))?,
    };
    table.finish()?;
    Ok(vm)
}

/// Weights left out are the defaults if none is given, else zero: `{ write = 1 }` writes and does
/// nothing else.
fn io(value: Option<Value>) -> Read<Io> {
    let mut io = Io {
        read: 25,
        write: 70,
        flush: 5,
        discard: 0,
        block: (4 << 10, 64 << 10),
        depth: 4,
        rate: 100,
        span: 0,
    };
    let Some(value) = value else { return Ok(io) };
    let mut table = value.table("io")?;
    let weights = ["read", "write", "flush", "discard"].map(|key| table.get(key));
    if weights.iter().any(Option::is_some) {
        let weight = |value: &Option<Value>| value.map_or(Ok(0), |v| v.count(WEIGHT_MAX));
        io.read = weight(&weights[0])?;
        io.write = weight(&weights[1])?;
        io.flush = weight(&weights[2])?;
        io.discard = weight(&weights[3])?;
    }
    io.block = table.or("block", io.block, |v| v.range(&SIZE))?;
    io.depth = table.or("depth", io.depth, |v| v.count(DEPTH_MAX))?;
    io.rate = table.or("rate", io.rate, |v| v.count(RATE_MAX))?;
    io.span = table.or("span", io.span, |v| v.quantity(&SIZE))?;
    table.finish()?;
    Ok(io)
}

impl From<Fault> for Wrong {
    fn from(fault: Fault) -> Wrong {
        fault.wrong
    }
}

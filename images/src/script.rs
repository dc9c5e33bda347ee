//! What shall happen to guests: a scenario file with a part of its own, `[kernel]`, for what is of
//! this kernel alone. Steps follow each other in the order of the file.

use anyhow::{Context, Result, bail};
use scenarios::{Condition, Fact, Scenario};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A scenario to be recorded.
#[derive(Clone, Debug)]
pub struct Script {
    /// File's name, and the variant's after a dot.
    pub name: String,
    /// Hosts, resource, steps, and what has to hold at the end.
    pub scenario: Scenario,
    /// The copies begin as `create-md` leaves them; else UpToDate and connected.
    pub fresh: bool,
    /// Options of the resource's `net` section.
    pub net: BTreeMap<String, String>,
    /// Options of its `disk` section.
    pub disk: BTreeMap<String, String>,
}

/// `[kernel]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kernel {
    #[serde(default)]
    fresh: bool,
    #[serde(default)]
    net: BTreeMap<String, String>,
    #[serde(default)]
    disk: BTreeMap<String, String>,
    #[serde(default)]
    variant: Vec<Variant>,
}

/// The same steps with other options.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Variant {
    name: String,
    #[serde(default)]
    net: BTreeMap<String, String>,
    #[serde(default)]
    disk: BTreeMap<String, String>,
}

/// Timers that a slow machine keeps to and nobody waits long for; a script may set others. Units
/// are DRBD's: `timeout` and `ping-timeout` 0.1 s, the others 1 s.
const TIMERS: [(&str, &str); 4] =
    [("ping-int", "2"), ("connect-int", "2"), ("timeout", "15"), ("ping-timeout", "15")];

/// Reads a script: one for each of its variants.
pub fn read(file: &str, text: &str) -> Result<Vec<Script>> {
    let mut table: toml::Table = text.parse().with_context(|| file.to_owned())?;
    let kernel = table.remove("kernel").map(Kernel::deserialize).transpose();
    let kernel = kernel.with_context(|| format!("{file}: [kernel]"))?.unwrap_or_default();
    let scenario = scenarios::read(file, &table.to_string())?;
    check(&scenario).with_context(|| file.to_owned())?;
    let mut variants = kernel.variant;
    if variants.is_empty() {
        variants.push(Variant::default());
    }
    let timers = || TIMERS.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter();
    let script = |variant: Variant| Script {
        name: if variant.name.is_empty() {
            scenario.name.clone()
        } else {
            format!("{}.{}", scenario.name, variant.name)
        },
        scenario: scenario.clone(),
        fresh: kernel.fresh,
        net: timers().chain(kernel.net.clone()).chain(variant.net).collect(),
        disk: kernel.disk.clone().into_iter().chain(variant.disk).collect(),
    };
    Ok(variants.into_iter().map(script).collect())
}

/// Guests can play less than a simulation.
fn check(scenario: &Scenario) -> Result<()> {
    let [resource] = &scenario.resource[..] else { bail!("a script has one resource") };
    if scenario.pool.hosts.len() != 2 || resource.diskful != scenario.pool.hosts {
        bail!("DRBD 8.4 has two hosts, each with a copy");
    }
    if resource.volumes != 1 || !resource.options.is_empty() || !scenario.vm.is_empty() {
        bail!("a script has one volume, no VM, and its options in [kernel]");
    }
    for (nr, step) in scenario.step.iter().enumerate() {
        if step.id.is_none() {
            bail!("step {} needs an id: transcripts name it", nr + 1);
        }
        if nr > 0 && step.when.time().is_some() {
            bail!("step {} strikes at a time: use `after`, guests have no exact clock", nr + 1);
        }
    }
    Ok(())
}

/// What a condition asks of one host about the resource: a field, and the words that fit.
pub fn asks(condition: &Condition) -> Result<Vec<(&str, &str, &[String])>> {
    condition.all.iter().map(asked).collect()
}

fn asked(fact: &Fact) -> Result<(&str, &str, &[String])> {
    Ok(match fact {
        Fact::Disk { at, is } => (at.host.as_str(), "disk", &is[..]),
        Fact::Role { at, is } => (at.host.as_str(), "role", &is[..]),
        Fact::Connection { at, is, .. } => (at.host.as_str(), "connection", &is[..]),
        Fact::Replication { at, is, .. } => (at.host.as_str(), "replication", &is[..]),
        Fact::PeerDisk { at, is, .. } => (at.host.as_str(), "peer-disk", &is[..]),
        other => bail!("guests are not asked for {other:?}"),
    })
}

//! The doors into the simulator that the runner uses.

use models::Luck;
use scenarios::{Scenario, Vary};
use sim::check::Promise;
use sim::outcome::{Outcome, RunOptions};
use sim::swarm::Family;
use std::collections::BTreeMap;

/// Makes a run on this thread.
pub fn run(scenario: &Scenario, options: &RunOptions) -> Outcome {
    sim::run::run(scenario, options)
}

/// The plan that a seed draws.
pub fn draw(seed: u64) -> Scenario {
    sim::swarm::draw(seed)
}

/// Parts of the stack that this simulator has: a scenario that requires another is skipped.
pub const PARTS: &[&str] = &["conntrack", "drbd", "lvm"];

/// The values that a seed draws for `[vary]`, as path and value. Seed 0 draws none.
pub fn vary(seed: u64, vary: &BTreeMap<String, Vary>) -> Vec<(String, String)> {
    let luck = Luck::root(seed).fork("vary");
    let drawn = scenarios::varied(vary, seed, |path, n| luck.fork(path).below(n));
    drawn.into_iter().map(|setting| (setting.path, setting.value)).collect()
}

/// Names of all quirks.
pub fn quirks() -> impl Iterator<Item = &'static str> {
    drbd::quirks::ALL.iter().map(|quirk| quirk.name)
}

/// Is there a quirk of this name?
pub fn is_quirk(name: &str) -> bool {
    drbd::quirks::Quirks::named(name).is_some()
}

/// The plan that a seed draws in a family.
pub fn draw_of(family: &str, seed: u64) -> Result<Scenario, String> {
    let family = Family::named(family).ok_or_else(|| format!("no family is called {family}"))?;
    Ok(sim::swarm::draw_of(family, seed))
}

/// Families of drawn plans: name, and what they are about.
pub fn families() -> Vec<(&'static str, &'static str)> {
    Family::ALL.iter().map(|family| (family.name(), family.about())).collect()
}

/// Is only safety asked of this plan?
pub fn is_safety_only(scenario: &Scenario) -> bool {
    sim::budget::beyond(scenario).is_some()
}

/// Names of all promises.
pub fn promises() -> Vec<&'static str> {
    Promise::ALL.iter().map(|promise| promise.name()).collect()
}

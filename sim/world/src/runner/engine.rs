//! The doors into the simulator that the runner uses.

use models::Luck;
use scenarios::{Scenario, Vary};
use sim::check::Promise;
use sim::outcome::{Outcome, RunOptions};
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
pub const PARTS: &[&str] = &["drbd"];

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

/// Names of all promises.
pub fn promises() -> Vec<&'static str> {
    Promise::ALL.iter().map(|promise| promise.name()).collect()
}

//! The doors into the simulator that the runner uses.

use scenarios::Scenario;
use sim::check::Promise;
use sim::outcome::{Outcome, RunOptions};
use sim::swarm::Family;

/// Makes a run on this thread.
pub fn run(scenario: &Scenario, options: &RunOptions) -> Outcome {
    sim::run::run(scenario, options)
}

/// The plan that a seed draws.
pub fn draw(seed: u64) -> Scenario {
    sim::swarm::draw(seed)
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

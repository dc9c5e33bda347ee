//! The doors into the simulator that the runner uses.

use scenarios::Scenario;
use sim::check::Promise;
use sim::outcome::{Outcome, RunOptions};

/// Makes a run on this thread.
pub fn run(scenario: &Scenario, options: &RunOptions) -> Outcome {
    sim::run::run(scenario, options)
}

/// The plan that a seed draws.
pub fn draw(seed: u64) -> Scenario {
    sim::swarm::draw(seed)
}

/// Names of all promises.
pub fn promises() -> Vec<&'static str> {
    Promise::ALL.iter().map(|promise| promise.name()).collect()
}

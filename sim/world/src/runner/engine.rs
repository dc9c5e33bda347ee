//! The three doors into the simulator that the runner uses.

use scenarios::Scenario;
use sim::outcome::{Outcome, RunOptions};
use std::collections::BTreeMap;

/// PLACEHOLDER until the world is here.
pub fn run(scenario: &Scenario, options: &RunOptions) -> Outcome {
    std::thread::sleep(std::time::Duration::from_millis(20 + options.seed % 7 * 5));
    Outcome {
        trace_hash: options.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ scenario.name.len() as u64,
        events: 100,
        sim_ns: scenario.horizon,
        failure: None,
        promises: promises().into_iter().map(|name| (name, 5)).collect(),
        excused: Vec::new(),
        recovery: BTreeMap::from([("io back", vec![8_200_000_000 + options.seed])]),
        faults: BTreeMap::from([("partitions", 3)]),
        log: Vec::new(),
    }
}

/// PLACEHOLDER until the swarm is here.
pub fn draw(seed: u64) -> Scenario {
    let file = &scenarios::BUILTIN[seed as usize % scenarios::BUILTIN.len()];
    scenarios::read(file.path, file.text).expect("good")
}

/// Names of all promises.
pub fn promises() -> Vec<&'static str> {
    vec!["one-primary"]
}

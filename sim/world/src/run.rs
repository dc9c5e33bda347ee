//! One run: scenario and options in, outcome out.

use crate::drive::drive;
use crate::outcome::{Outcome, RunOptions};
use crate::world::build;
use scenarios::Scenario;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Makes a run. A panic of an engine is a failure of class `Panic` that names host, resource and
/// time; whoever has set a panic hook adds the backtrace.
pub fn run(scenario: &Scenario, options: &RunOptions) -> Outcome {
    let mut world = build(scenario, options);
    let driven = catch_unwind(AssertUnwindSafe(|| drive(&mut world, options.wall_limit)));
    if let Err(payload) = driven {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or(payload.downcast_ref::<&str>().copied());
        world.panicked(text.unwrap_or("panic without a message"), None);
    }
    world.finish()
}

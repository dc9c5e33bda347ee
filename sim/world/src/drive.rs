//! Moves a world to its horizon: directly, or under the executor of simulated processes. Both give
//! the same trace, because a world's time is what it asked for, not what a clock shows.

#![allow(clippy::disallowed_methods)] // the wall limit of a run is about the machine's own clock

use crate::world::World;
use std::time::{Duration, Instant};

/// More events than this in one simulated second: something goes round in circles.
const EVENTS_PER_SECOND: u64 = 3_000_000;
/// The wall clock is looked at once in so many turns.
const TURNS: u32 = 4_096;

/// Watches that a run ends.
struct Limits {
    started: Instant,
    wall: Duration,
    turns: u32,
    second: u64,
    events: u64,
    /// Events allowed in one simulated second.
    most: u64,
}

impl Limits {
    fn new(wall: Duration) -> Limits {
        let started = Instant::now();
        Limits { started, wall, turns: 0, second: 0, events: 0, most: EVENTS_PER_SECOND }
    }

    /// Cuts the run if it went too far; `false`: it is over.
    fn allow(&mut self, world: &mut World) -> bool {
        let second = world.now() / 1_000_000_000;
        if second != self.second {
            (self.second, self.events) = (second, world.events());
        }
        self.turns = self.turns.wrapping_add(1);
        let most = self.most;
        if world.events() - self.events > most {
            world.cut_short(format!(
                "more than {most} events in one simulated second: the run goes round in circles"
            ));
        } else if self.turns.is_multiple_of(TURNS) && self.started.elapsed() > self.wall {
            world.cut_short(format!("cut after {} s of wall time", self.wall.as_secs()));
        }
        !world.has_failed()
    }
}

/// The next step of a world within its horizon.
fn next(world: &World) -> Option<u64> {
    let due = world.next_due();
    (due <= world.horizon() && !world.has_failed()).then_some(due)
}

/// Steps the world to its horizon, its first failure, or a limit.
pub fn drive(world: &mut World, wall: Duration) {
    drive_within(world, Limits::new(wall));
}

fn drive_within(world: &mut World, mut limits: Limits) {
    while let Some(due) = next(world) {
        world.run_due(due);
        if !limits.allow(world) {
            return;
        }
    }
}

/// As [`drive`], as the pump task of a simulated runtime, where processes run beside it.
#[cfg(madsim)]
pub fn drive_in_runtime(world: &mut World, seed: u64, wall: Duration) {
    use env::hooks::madsim;
    let runtime = madsim::runtime::Runtime::with_seed_and_config(seed, madsim::Config::default());
    runtime.block_on(async {
        let start = madsim::time::Instant::now();
        let mut nap = std::pin::pin!(madsim::time::sleep(Duration::ZERO));
        let mut limits = Limits::new(Duration::MAX);
        limits.wall = wall;
        while let Some(due) = next(world) {
            // Exact; a fresh `sleep` would round up to a millisecond.
            nap.as_mut().reset(start + Duration::from_nanos(due));
            nap.as_mut().await;
            world.run_due(due);
            if !limits.allow(world) {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Class, RunOptions};

    /// The bound of a run that never ends without time going on. Its place is simulated time, so it
    /// is the same on every machine.
    #[test]
    fn a_run_that_goes_round_in_circles_is_cut_at_the_same_event_each_time() {
        let wall_limit = Duration::from_secs(60);
        let quirks = drbd::quirks::Quirks::default();
        let options = RunOptions { seed: 1, quirks, keep_log: false, wall_limit, marks: true };
        let cut = || {
            let mut world = crate::world::build(&crate::bench::lifetime::scenario(), &options);
            drive_within(&mut world, Limits { most: 400, ..Limits::new(wall_limit) });
            let outcome = world.finish();
            let failure = outcome.failure.expect("it is cut");
            assert_eq!((failure.class, failure.promise), (Class::Limit, "limit"));
            assert!(failure.what.contains("round in circles"), "{}", failure.what);
            (outcome.trace_hash, outcome.events, failure.at)
        };
        assert_eq!(cut(), cut());
    }
}

//! Whole runs: the same twice, a calm pool keeps and checks every promise, and plans do what they
//! say.

use crate::outcome::{Outcome, RunOptions};
use crate::run::run;
use scenarios::{Do, Scenario, Step};
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;

fn options(seed: u64) -> RunOptions {
    let wall_limit = Duration::from_secs(120);
    let quirks = drbd::quirks::Quirks::default();
    RunOptions { seed, quirks, keep_log: false, wall_limit, marks: true }
}

/// Three hosts, two volumes, no faults.
fn calm(seconds: u64) -> Scenario {
    let mut scenario = crate::bench::lifetime::scenario();
    scenario.step.clear();
    scenario.heals = false;
    scenario.horizon = seconds * SECOND;
    scenario
}

fn with(mut scenario: Scenario, steps: &[(u64, Do)]) -> Scenario {
    let step = |(at, action): &(u64, Do)| Step::at(at * SECOND, action.clone());
    scenario.step = steps.iter().map(step).collect();
    scenario
}

fn passes(outcome: &Outcome) {
    if let Some(failure) = &outcome.failure {
        panic!("t={} {}: {}", failure.at, failure.promise, failure.what);
    }
}

#[test]
fn a_calm_pool_keeps_every_promise_and_is_checked() {
    let outcome = run(&calm(20), &options(1));
    passes(&outcome);
    for promise in [
        "acked-write-survives",
        "reads-are-fresh",
        "uptodate-means-identical",
        "one-primary",
        "quorum-is-exclusive",
        "no-forbidden-state",
        "split-brain-is-detected-on-both-sides",
        "no-needless-split-brain",
        "no-needless-full-sync",
        "outdated-never-promotes",
        "last-good-copy-kept",
    ] {
        assert!(outcome.promises[promise] > 0, "{promise} was never checked");
    }
    assert!(outcome.faults.is_empty() && outcome.recovery.is_empty(), "{:?}", outcome.recovery);
}

#[test]
fn a_run_is_the_same_twice_and_another_seed_is_another_run() {
    let scenario = with(calm(30), &[(5, Do::Crash { host: "alpha".to_owned() })]);
    let hash = |seed| {
        let outcome = run(&scenario, &options(seed));
        (outcome.trace_hash, outcome.events, outcome.sim_ns)
    };
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
}

#[test]
fn keeping_the_log_changes_nothing_but_the_log() {
    let scenario = calm(5);
    let plain = run(&scenario, &options(3));
    let kept = run(&scenario, &RunOptions { keep_log: true, ..options(3) });
    assert_eq!(plain.trace_hash, kept.trace_hash);
    assert!(plain.log.is_empty() && kept.log.len() > 1_000);
    assert!(kept.log.is_sorted_by_key(|line| line.at));
}

#[test]
fn marks_change_nothing_but_the_marks() {
    let scenario = crate::swarm::draw(5);
    let with = run(&scenario, &options(5));
    let without = run(&scenario, &RunOptions { marks: false, ..options(5) });
    assert_eq!((with.trace_hash, with.events), (without.trace_hash, without.events));
    let count = |words: &[u64]| words.iter().map(|word| word.count_ones()).sum::<u32>();
    assert!(count(&with.points) > 10 && count(&with.sometimes) > 3);
    assert_eq!((count(&without.points), count(&without.sometimes)), (0, 0));
}

/// What a plan beyond the budget may lose is not asked for; what may never happen is.
#[test]
fn beyond_the_budget_only_safety_is_asked() {
    let (host, resource) = (|| "alpha".to_owned(), || "vol-a".to_owned());
    let mut scenario = with(
        calm(60),
        &[
            (5, Do::DiskLies { host: host() }),
            (8, Do::PowerOff { host: host() }),
            (9, Do::BitRot { host: "bravo".to_owned(), resource: resource(), blocks: 9 }),
            (10, Do::PowerOff { host: "bravo".to_owned() }),
        ],
    );
    scenario.heals = true;
    let outcome = run(&scenario, &options(7));
    passes(&outcome);
    assert!(outcome.safety_only);
    assert_eq!(outcome.promises["io-resumes"], 0, "the VMs are off, and nobody asks");
    assert!(outcome.promises["one-primary"] > 0 && outcome.promises["acked-write-survives"] > 0);
    assert!(!run(&calm(5), &options(7)).safety_only);
}

#[test]
fn drawn_runs_repeat_too() {
    for seed in 0..8 {
        let scenario = crate::swarm::draw(seed);
        let once = run(&scenario, &options(seed));
        let again = run(&scenario, &options(seed));
        assert_eq!(once.trace_hash, again.trace_hash, "seed {seed}");
    }
}

#[test]
fn a_vm_moves_and_its_outage_is_measured() {
    let to = Some("bravo".to_owned());
    let moved = with(calm(20), &[(5, Do::MoveVm { vm: "vm-a".to_owned(), to })]);
    let outcome = run(&moved, &options(4));
    passes(&outcome);
    assert_eq!(outcome.recovery["vm-moved"].len(), 1);
    assert_eq!(outcome.faults["move-vm"], 1);
}

#[test]
fn a_run_is_cut_at_its_wall_limit() {
    let outcome = run(&calm(100_000), &RunOptions { wall_limit: Duration::ZERO, ..options(1) });
    let failure = outcome.failure.expect("nothing ends that fast");
    assert_eq!(failure.class, crate::outcome::Class::Limit);
}

/// The promise must be able to fail in a whole run too: data that changes behind the engine's back,
/// and without the plan saying so, is found.
#[test]
fn corruption_that_no_plan_made_is_caught() {
    let mut world = super::build(&calm(20), &options(5));
    let mut struck = false;
    while world.next_due() <= world.horizon() && !world.has_failed() {
        let due = world.next_due();
        world.run_due(due);
        if !struck && world.now() > 10 * SECOND {
            struck = true;
            world.corrupt_for_test(0);
        }
    }
    let failure = world.finish().failure.expect("the copies differ now");
    let found = ["acked-write-survives", "uptodate-means-identical", "reads-are-fresh"];
    assert!(found.contains(&failure.promise), "{}", failure.promise);
}

/// Under the executor of simulated processes the same world gives the same trace.
#[cfg(madsim)]
#[test]
fn the_runtime_drives_a_world_as_the_direct_loop_does() {
    let scenario = with(calm(20), &[(5, Do::Crash { host: "alpha".to_owned() })]);
    let direct = run(&scenario, &options(6)).trace_hash;
    let mut world = super::build(&scenario, &options(6));
    crate::drive::drive_in_runtime(&mut world, 6, Duration::from_secs(120));
    assert_eq!(world.finish().trace_hash, direct);
}

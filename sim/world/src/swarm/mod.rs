//! Draws a scenario from a seed: first which faults and options exist at all, then how often, then
//! when.
//!
//! Runs in which everything happens at once never reach the deep states; so each seed leaves most
//! of it out. Every draw comes from a stream with a name of its own: one more draw in one place
//! moves nothing elsewhere.
//!
//! A seed belongs to a [`Family`] (chance picks it, or the user), draws a shape (`shape`: hosts,
//! resources, options, VMs), the kinds of fault that exist and when they strike (`events`, `rows`),
//! and faults that are aimed at edges of states (`aim`).
//!
//! **Fault budget**, so that a red run means a bug:
//! * with quorum (a majority), power, crashes, freezes and networks may fail anywhere and together,
//!   whole pool included, at any time and at any edge: nothing may be lost that was durable or that
//!   a copy with power holds;
//! * disks break (errors, lies, rot) on one host only, and while they do, the other copies keep
//!   power, kernel and network; a disk that lies keeps its own power, because nothing can mend what
//!   it forgets then. Nobody knows when an aimed fault strikes: in a plan that breaks a disk, only
//!   that disk's host is aimed at, and if the disk's errors are aimed, only that host fails at all;
//! * without quorum only one host that never runs a VM is touched, and VMs do not move: anything
//!   else may split brain, which is not a bug there;
//! * plans of the family [`Family::Beyond`] break all that: of them only safety is asked, as far as
//!   it can still be owed (see [`crate::budget`]).

mod aim;
mod beyond;
mod events;
mod family;
mod rows;
mod shape;

pub use family::Family;

use models::Luck;
use scenarios::Scenario;

const SECOND: u64 = 1_000_000_000;

/// The family of a seed, if nobody chose one.
pub fn family_of(seed: u64) -> Family {
    Family::drawn(&mut Luck::root(seed).fork("family"))
}

/// The scenario of a seed.
pub fn draw(seed: u64) -> Scenario {
    draw_of(family_of(seed), seed)
}

/// The scenario of a seed in a family.
pub fn draw_of(family: Family, seed: u64) -> Scenario {
    let luck = Luck::root(seed).fork("swarm");
    let mut scenario = shape::draw(&luck, family);
    events::draw(&luck, family, &mut scenario);
    scenario.step.sort_by_key(|step| step.when.time());
    scenario
}

#[cfg(test)]
mod tests {
    use super::*;
    use scenarios::Do;

    #[test]
    fn drawn_scenarios_are_valid_and_repeat() {
        for seed in 0..400 {
            let scenario = draw(seed);
            if let Err(invalid) = scenarios::validate(&scenario) {
                panic!("seed {seed}: {invalid}");
            }
            assert_eq!(scenario, draw(seed));
        }
    }

    #[test]
    fn plans_differ_in_what_exists() {
        let all: Vec<Scenario> = (0..400).map(draw).collect();
        let share = |has: &dyn Fn(&Scenario) -> bool| all.iter().filter(|s| has(s)).count();
        let off = |s: &Scenario| s.resource[0].options.get("quorum").is_some_and(|q| q == "off");
        assert!((10..120).contains(&share(&off)));
        assert!((150..250).contains(&share(&|s| s.heals)));
        let strikes =
            |wanted: fn(&Do) -> bool| share(&|s| s.step.iter().any(|s| wanted(&s.action)));
        assert!((50..350).contains(&strikes(|d| matches!(d, Do::PowerOff { .. }))));
        assert!((50..350).contains(&strikes(|d| matches!(d, Do::Isolate { .. }))));
        assert!((10..250).contains(&strikes(|d| matches!(d, Do::DiskError { .. }))));
        assert!((50..350).contains(&strikes(|d| matches!(d, Do::Freeze { .. }))));
    }

    #[test]
    fn without_quorum_only_one_host_is_touched_and_it_runs_no_vm() {
        for scenario in (0..400).map(draw) {
            if scenario.resource[0].options.get("quorum").map(String::as_str) != Some("off") {
                continue;
            }
            let mut touched: Vec<&String> = Vec::new();
            for step in &scenario.step {
                match &step.action {
                    Do::PowerOff { host } | Do::Crash { host } | Do::Freeze { host } => {
                        touched.push(host);
                    }
                    Do::Isolate { host, .. } | Do::Shutdown { host, .. } => touched.push(host),
                    Do::MoveVm { .. } | Do::Cut { .. } | Do::SwitchOff { .. } => {
                        panic!("{:?}", step.action)
                    }
                    _ => {}
                }
            }
            touched.dedup();
            touched.sort();
            touched.dedup();
            assert!(touched.len() <= 1, "{touched:?}");
            assert!(scenario.vm.iter().all(|vm| touched.iter().all(|host| **host != vm.on)));
        }
    }
}

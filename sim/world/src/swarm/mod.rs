//! Draws a scenario from a seed: first which faults and options exist at all, then how often, then
//! when.
//!
//! Runs in which everything happens at once never reach the deep states; so each seed leaves most
//! of it out. Every draw comes from a stream with a name of its own: one more draw in one place
//! moves nothing elsewhere.
//!
//! A seed belongs to a [`Family`] (chance picks it, or the user), draws a shape (`shape`: hosts,
//! resources, options, VMs), the kinds of fault that exist and when they strike (`events`, `rows`),
//! faults that are aimed at edges of states (`aim`), and what administrators do meanwhile
//! (`admin`).
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

mod admin;
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
    if admin::is_drawn(&luck) {
        admin::options(&luck, &mut scenario);
    }
    events::draw(&luck, family, &mut scenario);
    scenario.step.sort_by_key(|step| step.when.time());
    scenario
}

#[cfg(test)]
mod tests {
    use super::*;
    use scenarios::Do;

    /// Of every family as many seeds.
    fn all(seeds: u64) -> impl Iterator<Item = (Family, u64, Scenario)> {
        let families = Family::ALL.into_iter();
        families.flat_map(move |family| (0..seeds).map(move |s| (family, s, draw_of(family, s))))
    }

    #[test]
    fn drawn_scenarios_are_valid_and_repeat() {
        for (family, seed, scenario) in all(150) {
            let place = format!("{} {seed}", family.name());
            if let Err(invalid) = scenarios::validate(&scenario) {
                panic!("{place}: {invalid}");
            }
            assert_eq!(scenario, draw_of(family, seed), "{place}");
            assert_eq!(draw(seed), draw_of(family_of(seed), seed));
        }
    }

    #[test]
    fn a_plan_is_data_with_its_aimed_faults() {
        for (family, seed, scenario) in all(40) {
            let text = scenarios::write(&scenario);
            let read = scenarios::read("drawn.toml", &text).map_err(|error| error.to_string());
            assert_eq!(read.as_ref(), Ok(&scenario), "{} {seed}\n{text}", family.name());
        }
    }

    #[test]
    fn many_plans_have_aimed_faults_and_all_of_them_may_be_left_out() {
        let aimed = |s: &Scenario| s.step.iter().any(|step| step.when.that.is_some());
        let share = all(100).filter(|(_, _, scenario)| aimed(scenario)).count();
        assert!((250..700).contains(&share), "{share} of 800");
        for (family, seed, scenario) in all(100) {
            let waits = scenario.step.iter().filter(|step| step.when.time().is_none());
            let bound =
                waits.clone().all(|step| step.optional && step.when.wait < scenario.horizon);
            assert!(bound, "{} {seed}", family.name());
        }
    }

    /// Nobody knows when an aimed fault strikes: beside it no disk breaks but that of its own host.
    #[test]
    fn aimed_faults_keep_to_the_budget() {
        for (family, seed, scenario) in all(150).filter(|(family, ..)| *family != Family::Beyond) {
            let broken = scenario.step.iter().find_map(|step| match &step.action {
                Do::DiskError { host, .. } | Do::DiskLies { host } | Do::BitRot { host, .. } => {
                    Some(host.clone())
                }
                _ => None,
            });
            let Some(broken) = broken else { continue };
            for step in scenario.step.iter().filter(|step| step.when.that.is_some()) {
                let host = match &step.action {
                    Do::PowerOff { host } | Do::Crash { host } | Do::Freeze { host } => host,
                    Do::Isolate { host, .. } | Do::DiskError { host, .. } => host,
                    other => panic!("{} {seed}: {other:?}", family.name()),
                };
                assert_eq!(*host, broken, "{} {seed}", family.name());
            }
        }
    }

    #[test]
    fn families_keep_to_their_kinds() {
        let lies = |s: &Scenario| s.step.iter().any(|s| matches!(s.action, Do::DiskLies { .. }));
        assert!(all(60).any(|(family, _, s)| family == Family::Disk && lies(&s)));
        for (family, seed, scenario) in all(60) {
            let breaks = scenario.step.iter().any(|step| {
                matches!(
                    step.action,
                    Do::DiskError { .. } | Do::DiskLies { .. } | Do::BitRot { .. }
                )
            });
            let may = matches!(family, Family::Mixed | Family::Disk | Family::Beyond);
            assert!(may || !breaks, "{} {seed}", family.name());
        }
    }

    #[test]
    fn plans_differ_in_what_exists() {
        let all: Vec<Scenario> = (0..400).map(draw).collect();
        let share = |has: &dyn Fn(&Scenario) -> bool| all.iter().filter(|s| has(s)).count();
        let off = |s: &Scenario| s.resource[0].options.get("quorum").is_some_and(|q| q == "off");
        assert!((5..120).contains(&share(&off)));
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

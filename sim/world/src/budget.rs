//! Which promises a plan can be held to.
//!
//! A plan **within the budget** (see [`crate::swarm`]) leaves enough to mend everything: all
//! promises are owed, and liveness is demanded when it ends healed. A plan **beyond** it is of the
//! class *safety only*: nothing has to come back, and of what must not happen only that is checked
//! which can still be owed. What is owed, promise by promise, in such a run:
//!
//! * `one-primary`, `no-forbidden-state`: always. No disk is needed to see a second Primary, and no
//!   loss excuses a packet that the other side does not understand. (StandAlone and Failed are
//!   excused where the plan broke disks, as within the budget.)
//! * `quorum-is-exclusive`: until a disk *forgot* what it had sworn was durable (it lied, and lost
//!   power): the votes of absent nodes are counted from metadata, and that may be gone.
//! * `acked-write-survives`, `reads-are-fresh`, `uptodate-means-identical`: until the resource is
//!   *past saving*: a disk forgot; or a second copy broke before the first was whole again; or a
//!   fault struck another member while a copy was broken or not whole yet. A disk that fails cannot
//!   write down that it is out of date, so that only the others' memory of it keeps it from serving
//!   old data; and that memory is what the second fault takes. Up to that moment the ledger knows
//!   who owes what: a copy that the plan broke owes nothing ([`crate::ledger::Ledger::distrust`]),
//!   rotten blocks bind nobody.
//! * `io-resumes`, `resync-finishes`: never.

use scenarios::{Do, Scenario, Step};
use std::collections::BTreeSet;

/// Why a plan is beyond the budget, in a few words; `None`: it is within.
///
/// It follows from the plan alone: one that was kept, shrunk or written is judged as it was drawn.
pub fn beyond(scenario: &Scenario) -> Option<&'static str> {
    let actions = || scenario.step.iter().map(|step| &step.action);
    if actions().any(|action| matches!(action, Do::ClockStep { .. })) {
        return Some("clocks jump");
    }
    let mut broken: BTreeSet<&str> = BTreeSet::new();
    for action in actions() {
        match action {
            Do::DiskError { host, resource, .. } | Do::BitRot { host, resource, .. } => {
                let has =
                    |r: &&scenarios::Resource| r.name == *resource && r.diskful.contains(host);
                if scenario.resource.iter().any(|r| has(&r)) {
                    broken.insert(host);
                }
            }
            Do::DiskLies { host } => drop(broken.insert(host)),
            _ => {}
        }
    }
    if broken.len() > 1 {
        return Some("disks of several hosts break");
    }
    let liar = actions().find_map(|action| match action {
        Do::DiskLies { host } => Some(host),
        _ => None,
    })?;
    let falls = scenario.step.iter().any(|step| lies_and_falls(scenario, step, liar));
    falls.then_some("a disk that lies loses power")
}

/// Without quorum: may this keep hosts apart of which more than one writes, `writes` says which?
pub fn separates(action: &Do, writes: impl Fn(&str) -> bool) -> bool {
    match action {
        Do::MoveVm { .. } | Do::Cut { .. } | Do::SwitchOff { .. } => true,
        Do::PowerOff { host }
        | Do::Crash { host }
        | Do::Freeze { host }
        | Do::Shutdown { host, .. }
        | Do::Isolate { host, .. } => writes(host),
        _ => false,
    }
}

/// Does this step take the power of a host whose disk lies then?
fn lies_and_falls(scenario: &Scenario, step: &Step, liar: &str) -> bool {
    let (Do::PowerOff { host } | Do::Shutdown { host, .. }) = &step.action else { return false };
    if host != liar {
        return false;
    }
    let Some(at) = step.when.time() else { return true };
    // The last word before that moment; a time that nobody knows counts as a lie.
    let mut lies = false;
    let mut last = 0;
    for step in &scenario.step {
        let says = match &step.action {
            Do::DiskLies { host } if host == liar => true,
            Do::DiskHonest { host } if host == liar => false,
            Do::HealAll => false,
            _ => continue,
        };
        match step.when.time() {
            None if says => return true,
            Some(when) if when <= at && when >= last => (lies, last) = (says, when),
            _ => {}
        }
    }
    lies
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::{Family, draw_of};

    #[test]
    fn families_are_within_the_budget_and_beyond_is_not() {
        for family in Family::ALL {
            for seed in 0..150 {
                let why = beyond(&draw_of(family, seed));
                let wanted = family == Family::Beyond;
                assert_eq!(why.is_some(), wanted, "{} {seed}: {why:?}", family.name());
            }
        }
    }

    #[test]
    fn files_of_the_repository_are_within_the_budget() {
        for file in scenarios::BUILTIN {
            let scenario = scenarios::read(file.path, file.text).expect("a good file");
            assert_eq!(beyond(&scenario), None, "{}", file.path);
        }
    }

    #[test]
    fn a_liar_may_fall_once_it_is_honest_again() {
        let host = || "alpha".to_owned();
        let mut scenario = crate::bench::lifetime::scenario();
        scenario.step = vec![
            Step::at(10, Do::DiskLies { host: host() }),
            Step::at(20, Do::DiskHonest { host: host() }),
            Step::at(30, Do::PowerOff { host: host() }),
        ];
        assert_eq!(beyond(&scenario), None);
        scenario.step[2] = Step::at(15, Do::PowerOff { host: host() });
        assert!(beyond(&scenario).is_some());
    }
}

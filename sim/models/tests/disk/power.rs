//! Power loss and crash: what survives.

use crate::harness::*;
use models::disk::*;
use models::{SimTime, Span};
use std::collections::BTreeSet;

#[test]
fn pending_completions_vanish_and_later_requests_are_served() {
    let mut lab = Lab::nvme(1);
    lab.submit(write(0, &[1]));
    lab.disk.power_off(lab.now);
    assert!(!lab.disk.is_powered());
    lab.submit(write(1, &[1]));
    assert_eq!((lab.disk.in_flight(), lab.disk.next_due()), (0, None));
    lab.disk.power_on(lab.now);
    assert_eq!(lab.read(1, 1), Ok(vec![0]));
}

#[test]
fn cached_writes_survive_each_on_its_own_or_not() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..200 {
        let mut lab = Lab::nvme(seed);
        lab.write(0, &[1, 2, 3]).expect("written");
        lab.power_cycle();
        let after = lab.read(0, 3).expect("read");
        assert!(after.iter().zip(1..).all(|(got, new)| *got == 0 || *got == new));
        assert_eq!(lab.disk.peek_durable(0), after[0]);
        outcomes.insert(after);
    }
    assert_eq!(outcomes.len(), 8, "every mixture occurs: {outcomes:?}");
}

#[test]
fn writes_in_flight_are_torn_by_blocks() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..200 {
        let mut lab = Lab::new(seed, Profile::protected(1000));
        lab.submit(write(0, &[1, 2, 3]));
        lab.power_cycle();
        outcomes.insert(lab.read(0, 3).expect("read"));
    }
    assert_eq!(outcomes.len(), 8, "every mixture occurs: {outcomes:?}");
}

#[test]
fn without_a_volatile_cache_a_completed_write_survives() {
    for seed in 0..50 {
        let mut lab = Lab::new(seed, Profile::protected(1000));
        lab.write(0, &[1, 2, 3]).expect("written");
        lab.power_cycle();
        assert_eq!(lab.read(0, 3), Ok(vec![1, 2, 3]));
    }
}

#[test]
fn fua_makes_this_write_durable_and_no_other() {
    let mut lost = false;
    for seed in 0..50 {
        let mut lab = Lab::nvme(seed);
        lab.write(0, &[1]).expect("written");
        lab.run(write_fua(1, &[2])).expect("written");
        lab.power_cycle();
        let after = lab.read(0, 2).expect("read");
        assert_eq!(after[1], 2);
        lost |= after[0] == 0;
    }
    assert!(lost);
}

#[test]
fn preflush_makes_earlier_writes_durable_before_its_own() {
    for seed in 0..50 {
        let mut lab = Lab::nvme(seed);
        lab.write(0, &[1]).expect("written");
        lab.run(write_barrier(1, &[2])).expect("written");
        lab.power_cycle();
        assert_eq!(lab.read(0, 2), Ok(vec![1, 2]));
    }
}

#[test]
fn a_barrier_in_flight_never_overtakes_what_it_flushes() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..300 {
        let mut lab = Lab::nvme(seed);
        lab.write(0, &[1]).expect("written");
        lab.submit(write_barrier(1, &[2]));
        lab.power_cycle();
        outcomes.insert(lab.read(0, 2).expect("read"));
    }
    assert_eq!(outcomes, BTreeSet::from([vec![0, 0], vec![1, 0], vec![1, 2]]));
}

#[test]
fn a_write_that_completes_during_a_flush_is_not_covered_by_it() {
    let mut lost = false;
    for seed in 0..50 {
        let mut lab = Lab::nvme(seed);
        lab.submit(Op::Flush);
        lab.submit(write(0, &[1]));
        let kinds: Vec<Kind> = lab.drain().iter().map(|d| d.kind).collect();
        assert_eq!(kinds, [Kind::Write, Kind::Flush]);
        lab.power_cycle();
        lost |= lab.disk.peek(0) == 0;
    }
    assert!(lost);
}

#[test]
fn an_overwritten_cached_block_may_have_been_written_back_before() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..100 {
        let mut lab = Lab::nvme(seed);
        lab.write(0, &[1]).expect("written");
        lab.write(0, &[2]).expect("written");
        lab.power_cycle();
        outcomes.insert(lab.disk.peek(0));
    }
    assert_eq!(outcomes, BTreeSet::from([0, 1, 2]));
}

#[test]
fn old_cached_blocks_are_written_back() {
    let mut lab = Lab::nvme(1);
    lab.write(0, &[1]).expect("written");
    lab.run_to(SimTime::ZERO + Span::secs(11));
    assert_eq!(lab.disk.peek_durable(0), 0, "decided when something happens");
    lab.write(1, &[2]).expect("written");
    assert_eq!((lab.disk.peek_durable(0), lab.disk.peek_durable(1)), (1, 0));
}

#[test]
fn a_crash_keeps_the_cache_and_tears_what_is_in_flight() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..100 {
        let mut lab = Lab::nvme(seed);
        lab.write(0, &[1]).expect("written");
        lab.submit(write(1, &[2, 3]));
        lab.submit(Op::Read { start: 0, count: 1 });
        lab.disk.crash(lab.now);
        assert_eq!((lab.disk.in_flight(), lab.disk.next_due()), (0, None));
        let after = lab.read(0, 3).expect("read");
        assert_eq!(after[0], 1);
        outcomes.insert(after);
    }
    assert_eq!(outcomes.len(), 4, "{outcomes:?}");
}

#[test]
fn sectors_of_512_bytes_tear_inside_a_block() {
    // A block is eight bytes here, one for each sector.
    fn tear(old: &u64, new: &u64, mask: u8) -> u64 {
        let bytes = |i: usize| if mask >> i & 1 == 1 { new } else { old }.to_le_bytes()[i];
        u64::from_le_bytes(std::array::from_fn(bytes))
    }
    let mixed = (0..100).filter(|seed| {
        let profile = Profile { tear: Some(tear as Tear<u64>), ..Profile::nvme(1000) };
        let mut lab = Lab::new(*seed, profile);
        lab.disk.poke(0, 0);
        lab.submit(write(0, &[u64::MAX]));
        lab.power_cycle();
        let bytes = lab.disk.peek(0).to_le_bytes();
        assert!(bytes.iter().all(|b| [0, 255].contains(b)));
        bytes.contains(&0) && bytes.contains(&255)
    });
    assert!(mixed.count() > 10);
}

#[test]
fn a_discard_that_power_loss_undoes_can_be_repeated() {
    for seed in 0..50 {
        let mut lab = Lab::nvme(seed);
        lab.disk.poke(0, 5);
        lab.run(Op::Discard { start: 0, count: 1 }).expect("discarded");
        lab.power_cycle();
        lab.run(Op::Discard { start: 0, count: 1 }).expect("discarded");
        assert_eq!(lab.read(0, 1), Ok(vec![0]));
    }
}

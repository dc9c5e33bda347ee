//! A thin pool that fills.

use crate::harness::*;
use models::disk::{DiskError, Op, Profile};
use models::lvm::dm::NO_SPACE_TIMEOUT;
use models::lvm::{Mode, VolumeId};
use models::{SimTime, Span};

/// A pool of one extent, 64 chunks, all of which are the first volume's.
fn full(seed: u64) -> (Lab, VolumeId, Vec<VolumeId>) {
    let mut lab = Lab::new(seed, 64, Profile::nvme(0));
    let (pool, thins) = lab.pool(1, true, &[4, 4]);
    for chunk in 0..64 {
        lab.write(thins[0], chunk * CHUNK, &[chunk + 1]).expect("room");
    }
    (lab, pool, thins)
}

fn modes(lab: &mut Lab) -> Vec<Mode> {
    lab.dm.notes().iter().map(|note| note.mode).collect()
}

#[test]
fn writes_wait_then_fail_and_reads_go_on() {
    let (mut lab, pool, thins) = full(1);
    let at = lab.now;
    let late = lab.submit(thins[1], write(0, &[9]));
    let behind = lab.submit(thins[1], write(1, &[9]));
    lab.run_to(at + (NO_SPACE_TIMEOUT - Span::ms(1)));
    assert!(lab.done.is_empty() && lab.dm.waiting(pool) == 1);
    assert_eq!(lab.read(thins[0], 63 * CHUNK, 1), [64]);
    lab.pass(Span::ms(1));
    let (when, _, answer) = lab.done.remove(&late).expect("answered");
    assert_eq!((when, answer), (at + NO_SPACE_TIMEOUT, Err(DiskError::NoSpace)));
    lab.pass(Span::ms(1));
    assert_eq!(lab.done.remove(&behind).map(|d| d.2), Some(Err(DiskError::NoSpace)));
    assert_eq!(modes(&mut lab), [Mode::OutOfDataSpace, Mode::OutOfDataSpaceError]);
    // From now on at once; what is mapped is written as ever.
    assert_eq!(lab.write(thins[1], 0, &[9]), Err(DiskError::NoSpace));
    lab.write(thins[0], 5, &[77]).expect("mapped");
    assert_eq!(lab.read(thins[1], 0, 1), [0]);
}

#[test]
fn more_room_lets_them_go_on() {
    let (mut lab, pool, thins) = full(2);
    let waits = lab.submit(thins[1], write(3, &[9]));
    lab.pass(Span::secs(20));
    assert_eq!(lab.dm.waiting(pool), 1);
    lab.lvm.group_mut("vg").expect("the group").resize(pool, 2).expect("room");
    lab.changed();
    lab.pass(Span::secs(1));
    assert!(lab.done.remove(&waits).expect("answered").2.is_ok());
    assert_eq!(modes(&mut lab), [Mode::OutOfDataSpace, Mode::Write]);
    lab.pass(NO_SPACE_TIMEOUT);
    assert_eq!(modes(&mut lab), [], "the time-out of a wait that is over");
}

#[test]
fn a_discard_gives_chunks_back() {
    let (mut lab, pool, thins) = full(3);
    let waits = lab.submit(thins[1], write(3, &[9]));
    lab.pass(Span::secs(2));
    // A part of a chunk frees nothing.
    lab.ask(thins[0], Op::Discard { start: 1, count: CHUNK }).expect("done");
    lab.pass(Span::secs(2));
    assert!(!lab.done.contains_key(&waits));
    lab.ask(thins[0], Op::Discard { start: 0, count: 2 * CHUNK }).expect("done");
    lab.pass(Span::secs(2));
    assert!(lab.done.remove(&waits).expect("answered").2.is_ok());
    assert_eq!(lab.read(thins[0], 0, 2 * CHUNK as u32 + 1)[2 * CHUNK as usize], 3);
    assert_eq!(lab.read(thins[0], 0, 1), [0]);
    let group = lab.lvm.group("vg").expect("the group");
    assert_eq!(group.pool(pool).map(|pool| pool.space.used()), Some(63));
}

#[test]
fn error_when_full_does_not_wait() {
    let (mut lab, pool, thins) = full(4);
    let group = lab.lvm.group_mut("vg").expect("the group");
    group.pool_mut(pool).expect("the pool").error_when_full = true;
    assert_eq!(lab.write(thins[1], 0, &[1]), Err(DiskError::NoSpace));
    lab.lvm.group_mut("vg").expect("the group").remove(thins[0]);
    lab.changed();
    lab.write(thins[1], 0, &[1]).expect("room");
}

#[test]
fn a_shared_chunk_needs_room_too() {
    let (mut lab, _, thins) = full(5);
    let snapshot = lab.lvm.next_id();
    let group = lab.lvm.group_mut("vg").expect("the group");
    assert!(group.create_snapshot(snapshot, "s", thins[0]));
    let waits = lab.submit(thins[0], write(0, &[9]));
    lab.run_to(SimTime(lab.now.0 + Span::secs(5).0));
    assert!(!lab.done.contains_key(&waits));
    lab.lvm.group_mut("vg").expect("the group").remove(snapshot);
    lab.changed();
    lab.pass(Span::secs(1));
    // Freed by the removal: the write may stay where it is, or take a chunk of its own.
    assert!(lab.done.remove(&waits).is_none_or(|done| done.2.is_ok()));
}

#[test]
fn full_metadata_makes_the_pool_read_only() {
    let mut lab = Lab::new(6, 512, Profile::nvme(0));
    let (pool, thins) = lab.pool(100, true, &[100]);
    let group = lab.lvm.group_mut("vg").expect("the group");
    let of = group.pool_mut(pool).expect("the pool");
    of.space = models::lvm::thin::Space::new(6400, 12);
    of.space.create(1);
    let (mut chunk, mut last) = (0, Ok([].into()));
    while last.is_ok() && chunk < 6400 {
        last = lab.write(thins[0], chunk * CHUNK, &[chunk + 1]);
        chunk += 1;
    }
    assert_eq!(last, Err(DiskError::Io));
    assert_eq!(modes(&mut lab), [Mode::ReadOnly]);
    assert_eq!(lab.read(thins[0], 0, 1), [1]);
    lab.write(thins[0], 1, &[5]).expect("mapped");
    assert_eq!(lab.write(thins[0], 6399 * CHUNK, &[5]), Err(DiskError::Io));
}

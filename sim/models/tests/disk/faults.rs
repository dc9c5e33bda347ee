//! Each fault that can be switched on.

use crate::harness::*;
use models::disk::*;
use models::{SimTime, Span};

#[test]
fn a_failing_range_fails_one_direction_until_cleared() {
    let mut lab = Lab::nvme(1);
    lab.disk.fail_range(Direction::Read, 10, 2);
    assert_eq!(lab.read(9, 1), Ok(vec![0]));
    assert_eq!(lab.read(9, 2), Err(DiskError::Io));
    assert_eq!(lab.read(11, 1), Err(DiskError::Io));
    assert_eq!(lab.read(12, 1), Ok(vec![0]));
    assert_eq!(lab.write(10, &[1]), Ok(vec![]));
    lab.disk.clear_failures(Direction::Read);
    assert_eq!(lab.read(10, 1), Ok(vec![1]));
}

#[test]
fn a_failed_write_writes_each_block_or_not() {
    let mut lab = Lab::nvme(1);
    lab.disk.fail_range(Direction::Write, 0, 1000);
    assert_eq!(lab.write(0, &[1; 100]), Err(DiskError::Io));
    assert_eq!(lab.run(Op::Discard { start: 0, count: 1 }), Err(DiskError::Io));
    lab.disk.clear_failures(Direction::Write);
    let written: u64 = lab.read(0, 100).expect("read").iter().sum();
    assert!((20..80).contains(&written), "{written}");
}

#[test]
fn a_failed_flush_makes_nothing_durable() {
    let mut lab = Lab::nvme(1);
    lab.write(0, &[1]).expect("written");
    lab.disk.set_error_rate(Direction::Write, 1_000_000);
    assert_eq!(lab.flush(), Err(DiskError::Io));
    assert_eq!(lab.disk.peek_durable(0), 0);
}

#[test]
fn an_error_rate_strikes_at_about_its_rate() {
    let mut lab = Lab::nvme(1);
    lab.disk.set_error_rate(Direction::Read, 100_000);
    let failed = (0..2000).filter(|_| lab.read(0, 1).is_err()).count();
    assert!((150..250).contains(&failed), "{failed}");
    assert!((0..100).all(|_| lab.write(0, &[1]).is_ok()));
}

#[test]
fn a_stall_holds_completions_until_its_end() {
    let mut lab = Lab::nvme(1);
    let end = SimTime::ZERO + Span::secs(3);
    lab.submit(write(0, &[1]));
    lab.disk.stall(lab.now, end);
    lab.submit(write(1, &[2]));
    assert_eq!(lab.run_to(SimTime(end.0 - 1)), []);
    assert_eq!(lab.disk.peek(0), 0);
    assert_eq!(lab.run_to(end).len(), 2);
}

#[test]
fn a_stall_without_end_is_ended_by_hand() {
    let mut lab = Lab::nvme(1);
    lab.disk.stall(lab.now, SimTime::FAR);
    lab.submit(write(0, &[1]));
    assert_eq!(lab.drain(), []);
    lab.run_to(SimTime::ZERO + Span::secs(100));
    lab.disk.unstall(lab.now);
    let done = lab.drain();
    assert_eq!((done.len(), done[0].at), (1, lab.now));
}

#[test]
fn a_stall_can_be_prolonged_and_outlives_power_loss() {
    let mut lab = Lab::nvme(1);
    let at = |s| SimTime::ZERO + Span::secs(s);
    lab.disk.stall(lab.now, at(1));
    lab.disk.stall(lab.now, at(3));
    lab.submit(write(0, &[1]));
    assert_eq!(lab.run_to(at(2)), []);
    lab.power_cycle();
    lab.submit(write(1, &[1]));
    let done = lab.run_to(at(4));
    assert_eq!((done.len(), done[0].at), (1, at(3)));
}

#[test]
fn rot_changes_what_is_read_and_nobody_is_told() {
    let mut lab = Lab::nvme(1);
    lab.write(0, &[8]).expect("written");
    lab.flush().expect("flushed");
    lab.disk.rot(0, |block| *block ^= 1);
    assert_eq!(lab.read(0, 1), Ok(vec![9]));
    // Of a cached block the medium rots, which the next flush repairs.
    lab.write(0, &[20]).expect("written");
    lab.disk.rot(0, |block| *block = 0);
    assert_eq!((lab.read(0, 1), lab.disk.peek_durable(0)), (Ok(vec![20]), 0));
    lab.flush().expect("flushed");
    assert_eq!(lab.disk.peek_durable(0), 20);
}

#[test]
fn a_lying_flush_is_acknowledged_and_not_done() {
    let mut lost = [false; 2];
    for seed in 0..50 {
        let mut lab = Lab::nvme(seed);
        lab.disk.set_lying_flush(true);
        lab.write(0, &[1]).expect("written");
        lab.flush().expect("acknowledged");
        lab.run(write_barrier(1, &[2])).expect("acknowledged");
        assert!(lab.disk.last_durable_mark(lab.now) < lab.now);
        lab.power_cycle();
        let after = lab.read(0, 2).expect("read");
        lost = [lost[0] | (after[0] == 0), lost[1] | (after[1] == 0)];
    }
    assert_eq!(lost, [true, true]);
}

#[test]
fn an_honest_flush_after_lies_makes_all_durable() {
    for seed in 0..20 {
        let mut lab = Lab::nvme(seed);
        lab.disk.set_lying_flush(true);
        lab.write(0, &[1]).expect("written");
        lab.flush().expect("acknowledged");
        lab.disk.set_lying_flush(false);
        lab.flush().expect("flushed");
        lab.power_cycle();
        assert_eq!(lab.disk.peek(0), 1);
    }
}

#[test]
fn a_full_thin_volume_takes_no_new_blocks() {
    let mut lab = Lab::new(1, Profile { thin_limit: Some(3), ..Profile::nvme(1000) });
    lab.write(0, &[1, 2]).expect("written");
    assert_eq!(lab.write(5, &[1, 2]), Err(DiskError::NoSpace));
    assert_eq!(lab.read(5, 2), Ok(vec![0, 0]));
    assert_eq!(lab.write(1, &[3, 4]), Ok(vec![]), "one old block and one new");
    lab.run(Op::Discard { start: 0, count: 1 }).expect("discarded");
    assert_eq!(lab.write(9, &[9]), Ok(vec![]));
    assert_eq!(lab.write(10, &[9]), Err(DiskError::NoSpace));
    lab.disk.set_thin_limit(Some(4));
    assert_eq!(lab.write(10, &[9]), Ok(vec![]));
}

#[test]
fn an_offline_device_fails_everything_until_it_is_back() {
    let mut lab = Lab::nvme(1);
    lab.write(0, &[1]).expect("written");
    lab.submit(write(0, &[2]));
    lab.disk.set_offline(true);
    assert!(lab.drain().iter().all(|d| d.result == Err(DiskError::Offline)));
    assert_eq!(lab.flush(), Err(DiskError::Offline));
    lab.disk.set_offline(false);
    assert_eq!(lab.read(0, 1), Ok(vec![1]));
}

//! Requests while nothing breaks.

use crate::harness::*;
use models::disk::*;
use models::{SimTime, Span};

#[test]
fn what_was_written_is_read_and_the_rest_is_zero() {
    let mut lab = Lab::nvme(1);
    assert_eq!(lab.write(62, &[1, 2, 3, 4]), Ok(vec![]));
    assert_eq!(lab.read(61, 6), Ok(vec![0, 1, 2, 3, 4, 0]));
    assert_eq!((lab.disk.peek(63), lab.disk.peek_durable(63)), (2, 0));
    assert_eq!(lab.flush(), Ok(vec![]));
    assert_eq!(lab.disk.peek_durable(63), 2);
}

#[test]
fn requests_beyond_the_end_fail_and_do_nothing() {
    let mut lab = Lab::nvme(1);
    assert_eq!(lab.write(998, &[1, 2, 3]), Err(DiskError::OutOfRange));
    assert_eq!(lab.read(u64::MAX, 2), Err(DiskError::OutOfRange));
    assert_eq!(lab.read(5, 0), Err(DiskError::OutOfRange));
    assert_eq!(lab.read(998, 2), Ok(vec![0, 0]));
    lab.disk.grow(2000);
    lab.disk.grow(10);
    assert_eq!(lab.write(998, &[1, 2, 3]), Ok(vec![]));
    assert_eq!(lab.disk.blocks(), 2000);
}

#[test]
fn several_are_served_at_once_and_complete_out_of_order() {
    let mut lab = Lab::nvme(1);
    let tags: Vec<Tag> = (0..64).map(|i| lab.submit(write(i, &[i]))).collect();
    assert_eq!(lab.disk.in_flight(), 64);
    let done = lab.drain();
    let order: Vec<Tag> = done.iter().map(|d| d.tag).collect();
    assert!(!order.is_sorted());
    let mut sorted = order;
    sorted.sort();
    assert_eq!(sorted, tags);
    // Eight channels: 64 writes of at most 61.4 us in eight rounds.
    assert!(lab.now < SimTime::ZERO + Span::us(8 * 62), "{}", lab.now);
}

#[test]
fn one_channel_completes_in_order() {
    let mut lab = Lab::new(1, Profile { parallel: 1, ..Profile::nvme(1000) });
    for i in 0..64 {
        lab.submit(write(i, &[i]));
    }
    assert!(lab.drain().iter().map(|d| d.tag).is_sorted());
}

#[test]
fn completions_carry_owner_kind_and_time() {
    let mut lab = Lab::nvme(1);
    let tag = lab.disk.submit_for(lab.now, 77, Op::Flush);
    let due = lab.disk.next_due().expect("pending");
    let done = lab.drain();
    let expected = Done { at: due, tag, owner: 77, kind: Kind::Flush, result: Ok([].into()) };
    assert_eq!(done, [expected]);
}

#[test]
fn larger_requests_take_longer() {
    let mut lab =
        Lab::new(1, Profile { write: Span::us(10)..=Span::us(10), ..Profile::nvme(1000) });
    lab.submit(write(0, &[1; 100]));
    assert_eq!(lab.disk.next_due(), Some(SimTime::ZERO + Span::us(10) + Span::ns(1_400) * 100));
}

#[test]
fn discarded_blocks_are_zero_and_unmapped() {
    let mut lab = Lab::nvme(1);
    lab.write(0, &[1; 200]).expect("written");
    assert_eq!(lab.disk.mapped(), 200);
    lab.run(Op::Discard { start: 50, count: 100 }).expect("discarded");
    assert_eq!(lab.read(49, 3), Ok(vec![1, 0, 0]));
    assert_eq!(lab.read(149, 2), Ok(vec![0, 1]));
    assert_eq!((lab.disk.mapped(), lab.disk.peek_durable(60)), (100, 0));
}

#[test]
fn the_durable_mark_is_where_the_oldest_cached_write_is() {
    let mut lab = Lab::nvme(1);
    assert_eq!(lab.disk.last_durable_mark(SimTime(5)), SimTime(5));
    lab.write(1, &[1]).expect("written");
    let first = lab.now;
    lab.write(2, &[2]).expect("written");
    assert_eq!(lab.disk.last_durable_mark(lab.now), first);
    lab.run(write_fua(1, &[3])).expect("written");
    let mark = lab.disk.last_durable_mark(lab.now);
    assert!(mark > first && mark < lab.now);
    lab.flush().expect("flushed");
    assert_eq!(lab.disk.last_durable_mark(lab.now), lab.now);
}

#[test]
fn a_sparse_disk_of_a_tebibyte_costs_little() {
    let blocks = 1 << 28;
    let mut lab = Lab::new(1, Profile::nvme(blocks));
    lab.write(blocks - 1, &[7]).expect("written");
    lab.run(Op::Discard { start: 0, count: blocks - 1 }).expect("discarded");
    assert_eq!((lab.disk.peek(blocks - 1), lab.disk.mapped()), (7, 1));
}

#[test]
fn poke_prepares_contents() {
    let mut lab = Lab::nvme(1);
    lab.disk.poke(3, 9);
    assert_eq!((lab.disk.peek(3), lab.disk.peek_durable(3)), (9, 9));
}

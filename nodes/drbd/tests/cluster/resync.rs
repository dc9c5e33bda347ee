//! Copies that were away: what they miss, who is the source, and what is copied.

use crate::cluster::{Cluster, FIRST, V, id};
use crate::verbs::up;
use drbd::core::event::{Command, Notice};
use drbd::packet::Stream;
use drbd::page::Page;
use drbd::state::{ConnState, DiskState, ReplState, Role};

/// Goal: a copy that was away gets the blocks that were written meanwhile, and no other; the
/// generations tell who missed what. Topology: two copies and a tie-breaker. Method: writes while
/// one copy is cut off.
#[test]
fn a_copy_that_was_away_gets_what_was_written() {
    let mut c = up(&[true, true, false]);
    c.promote(0);
    c.put(0, 1, 1);
    let first = c.view(0).current;
    assert!(!first.same(FIRST), "the first write leaves what the copies were preset with");
    c.put(0, 1, 1);
    assert!(c.view(0).current.same(first), "nobody fell behind yet");
    c.settle();
    c.isolate(1);
    for block in [3, 4, 2000] {
        c.put(0, block, block);
    }
    assert_eq!((c.bits(0, 1), c.disk(0), c.quorum(0)), (3, DiskState::UpToDate, true));
    let new = c.view(0).current;
    assert!(!new.same(first), "the writes belong to a new generation");
    let md = c.superblock(0);
    assert!(md.current.same(new) && md.peer(id(1)).bitmap_uuid.same(first), "{md:?}");
    assert_eq!(c.data(1, 3), Page::Zero);
    c.mend_all();
    c.settle();
    c.assert_all_good();
    assert_eq!(c.resynced.get(&1), Some(&3), "three blocks were missing");
    assert_eq!(c.data(1, 2000), Page::Stamp(2000));
    for n in [0, 1] {
        let md = c.superblock(n);
        assert!(md.current.same(new), "n{n}: {md:?}");
        let mut peers = md.peers.iter().filter(|peer| peer.bitmap_index.is_some());
        assert!(peers.all(|peer| peer.bitmap_uuid.is_none()), "n{n}: {md:?}");
        assert!([FIRST, first].iter().all(|uuid| md.history.iter().any(|old| old.same(*uuid))));
    }
}

/// Goal: survivors of a Primary compare how far they followed it before one of them is promoted.
/// Topology: three copies. Method: a write reaches one survivor only; the other is opened at once.
#[test]
fn the_survivor_that_followed_further_is_the_source() {
    let mut c = up(&[true, true, true]);
    c.promote(0);
    c.put(0, 8, 1);
    c.sync(0);
    c.settle();
    c.hold((0, 2, Stream::Data));
    let write = c.write(0, 8, 2);
    c.run_ms(20);
    assert_eq!((c.data(1, 8), c.data(2, 8)), (Page::Stamp(2), Page::Stamp(1)));
    assert_eq!(c.done(0, write), None);
    c.crash(0);
    c.release((0, 2, Stream::Data));
    let from = c.nodes[2].notices.len();
    let open = c.open(2);
    while !c.nodes[2].replies.contains_key(&open) {
        let newest = c.data(2, 8) == Page::Stamp(2);
        assert!(newest || c.role(2) != Role::Primary, "promoted too early:\n{}", c.status());
        assert!(c.tick());
    }
    c.settle();
    assert_eq!(c.reply(2, open), Ok(()), "{}", c.status());
    assert!(c.verdicts(2, 1, from).contains(&("reconcile", "target-use-bitmap")));
    assert_eq!((c.data(1, 8), c.data(2, 8)), (Page::Stamp(2), Page::Stamp(2)));
    c.put(2, 9, 3);
    c.boot(0);
    c.settle();
    c.assert_all_good();
    assert_eq!(c.data(0, 8), Page::Stamp(2));
}

/// Goal: a source does not read a block before it has the Primary's writes that the target knows
/// of. Topology: a diskless Primary, two copies, one of them rejoining. Method: the Primary's
/// stream to the source is held while it writes a block that is to be resynced.
#[test]
fn a_source_waits_for_the_writes_that_the_target_knows() {
    let mut c = up(&[false, true, true]);
    c.promote(0);
    c.put(0, 6, 1);
    c.isolate(2);
    c.put(0, 6, 2);
    c.put(0, 7, 2);
    c.mend_all();
    c.until("about to resync", |c| c.repl(2, 1) == ReplState::WFBitMapT);
    c.until("connected", |c| c.repl(0, 2) == ReplState::Established);
    c.hold((1, 2, Stream::Data));
    c.put(0, 500, 1);
    c.hold((0, 1, Stream::Data));
    let write = c.write(0, 6, 3);
    c.run_ms(20);
    c.release((1, 2, Stream::Data));
    c.run_ms(300);
    assert_eq!(c.done(0, write), None, "n1 has not got it");
    assert_eq!(c.data(1, 6), Page::Stamp(2));
    assert_eq!((c.repl(2, 1), c.data(2, 6)), (ReplState::SyncTarget, Page::Stamp(1)));
    assert_eq!(c.resynced.get(&2), None, "n1 has not read yet:\n{}", c.status());
    c.release((0, 1, Stream::Data));
    assert!(c.wait(0, write).result.is_ok());
    c.settle();
    c.assert_all_good();
    assert_eq!((c.data(1, 6), c.data(2, 6)), (Page::Stamp(3), Page::Stamp(3)));
}

/// Goal: what a target of a resync wrote and did not flush is not missing silently when it loses
/// its power. Topology: two copies and a tie-breaker. Method: power loss after any number of steps
/// of the resync.
#[test]
fn a_target_that_crashes_in_the_middle_misses_nothing() {
    let mut middle = 0;
    for steps in (0..700).step_by(9) {
        let mut c = up(&[true, true, false]);
        c.promote(0);
        c.isolate(1);
        for block in 0..70 {
            c.put(0, block * 50, block + 1);
        }
        c.mend_all();
        c.until("a target", |c| c.repl(1, 0) == ReplState::SyncTarget);
        (0..steps).for_each(|_| assert!(c.tick()));
        middle += u32::from(c.repl(1, 0) == ReplState::SyncTarget && c.bits(1, 0) < 70);
        c.crash(1);
        c.run_ms(10);
        c.boot(1);
        c.settle();
        c.assert_all_good();
        assert_eq!(c.data(1, 3450), Page::Stamp(70));
    }
    assert!(middle > 5, "{middle} power losses in the middle");
}

/// Goal: a Primary without a disk does not read from a copy that may lack a write of its own.
/// Topology: a diskless Primary, two copies. Method: one copy is lost with a write in flight to it,
/// and returns at once.
#[test]
fn a_diskless_primary_reads_from_nobody_who_missed_a_write() {
    for first in [1, 2] {
        let other = 3 - first;
        let mut c = up(&[false, true, true]);
        c.promote(0);
        c.put(0, 6, 1);
        c.settle();
        c.hold((0, first, Stream::Data));
        let write = c.write(0, 6, 2);
        c.run_ms(20);
        assert_eq!((c.data(first, 6), c.data(other, 6)), (Page::Stamp(1), Page::Stamp(2)));
        let from = c.nodes[0].notices.len();
        c.cut(0, first);
        c.mend(0, first);
        c.until("told of the loss", |c| c.peer_disk(0, first) != DiskState::UpToDate);
        let end = c.now.plus_ms(10_000);
        while c.step(end) {
            let served = c.peer_disk(0, first) == DiskState::UpToDate;
            let newest = c.data(first, 6) == Page::Stamp(2);
            assert!(newest || !served, "n{first} is stale:\n{}", c.status());
        }
        assert!(c.wait(0, write).result.is_ok());
        let outdated = |notice: &Notice| match notice {
            Notice::PeerDisk(n, _, disk) => *n == id(first) && *disk < DiskState::UpToDate,
            _ => false,
        };
        assert!(c.nodes[0].notices[from..].iter().any(outdated));
        assert_eq!(c.read(0, 6), Page::Stamp(2));
        c.settle();
        c.assert_all_good();
    }
}

/// Goal: old data that is attached beside votes is not taken for good. Topology: two copies, and a
/// Primary without one. Method: one copy is detached, then the other; they come back in that order.
#[test]
fn of_two_detached_copies_the_newer_one_is_the_source() {
    let mut c = up(&[true, true, false]);
    c.promote(2);
    c.put(2, 1, 1);
    assert_eq!(c.told(0, Command::Detach(V, false)), Ok(()));
    c.put(2, 1, 2);
    assert_eq!(c.told(1, Command::Detach(V, true)), Ok(()));
    c.settle();
    let attach = |c: &mut Cluster, n: usize| {
        let attach = Command::Attach(V, c.nodes[n].lower_blocks);
        assert_eq!(c.told(n, attach), Ok(()));
        c.settle();
    };
    attach(&mut c, 0);
    assert_eq!(c.disk(0), DiskState::Outdated, "nobody has its old data:\n{}", c.status());
    let read = c.ask(2, 1);
    assert!(c.wait(2, read).result.is_err(), "there is no data to read");
    attach(&mut c, 1);
    c.assert_all_good();
    c.assert_same_copies();
    assert_eq!(c.read(2, 1), c.data(1, 1));
}

/// Goal: who missed that a resync ended starts none where no bit is left, and forgets where the
/// target was (resync-missed-end-no-bits, resync-finish; protocol 124); with bits left, which the
/// lost acks would have cleared, both copies are the same in the end. Topology: two copies and a
/// tie-breaker. Method: what the target says last is lost, with or without its acks.
#[test]
fn a_missed_end_starts_no_resync() {
    for acks_too in [false, true] {
        let mut c = up(&[true, true, false]);
        c.promote(0);
        c.cut(0, 1);
        c.put(0, 9, 9);
        c.close(0);
        c.settle();
        c.mend(0, 1);
        c.until("asked", |c| c.resynced.contains_key(&1));
        if acks_too {
            c.hold((1, 0, Stream::Control));
        }
        c.until("whole", |c| c.disk(1) == DiskState::UpToDate);
        assert_eq!(c.bits(0, 1), u64::from(acks_too));
        assert!(!c.superblock(0).peer(id(1)).bitmap_uuid.is_none(), "it has not heard");
        c.cut(0, 1);
        let from = [c.nodes[0].notices.len(), c.nodes[1].notices.len()];
        c.mend(0, 1);
        c.settle();
        c.assert_all_good();
        assert!(c.superblock(0).peer(id(1)).bitmap_uuid.is_none());
        if !acks_too {
            assert_eq!(c.resynced[&1], 1, "nothing is copied twice");
            let said = ("missed-finish", "no-sync");
            assert_eq!(c.verdicts(0, 1, from[0]).last(), Some(&said));
            assert_eq!(c.verdicts(1, 0, from[1]).last(), Some(&said));
        }
    }
}

/// Goal: that a resync may end is asked of the Primary that is there when it ends, also if it was
/// known to be Primary before it was connected to. Topology: two copies and a Primary without a
/// disk. Method: the source answers, then the Primary connects to the target, with a write that the
/// source alone got and has not been told about.
#[test]
fn an_end_is_asked_of_a_primary_that_came_meanwhile() {
    let mut c = up(&[true, true, false]);
    c.cut(1, 2);
    c.until("parted", |c| c.engine(1).peer(id(2)).0 == ConnState::Connecting);
    c.promote(2);
    c.run_ms(20);
    c.isolate(1);
    // Enough for the resync to last until the two have a link.
    for block in 1000..1040 {
        c.put(2, block, 1);
    }
    c.put(2, 5, 5);
    c.settle();
    c.mend(0, 1);
    c.until("a target", |c| c.repl(1, 0) == ReplState::SyncTarget);
    assert_eq!(c.engine(1).peer(id(2)), (ConnState::Connecting, Role::Primary));
    // The target has told the Primary all, and waits for its half of the handshake.
    c.mend(1, 2);
    c.hold((2, 1, Stream::Data));
    c.until("clean", |c| c.bits(1, 0) == 0 && c.nodes[1].links.contains_key(&2));
    c.run_ms(20);
    assert_eq!(c.disk(1), DiskState::Inconsistent, "its end waits for the handshake");
    c.hold((0, 2, Stream::Control));
    let write = c.write(2, 6, 6);
    c.run_ms(5);
    assert_eq!((c.data(0, 6), c.done(2, write)), (Page::Stamp(6), None));
    c.release((2, 1, Stream::Data));
    c.run_ms(100);
    let whole = c.data(1, 6) == Page::Stamp(6);
    assert!(whole || c.disk(1) != DiskState::UpToDate, "{}", c.status());
    c.release((0, 2, Stream::Control));
    c.settle();
    c.assert_all_good();
    assert_eq!(c.data(1, 6), Page::Stamp(6));
}

/// Goal: two copies that attach at the same time both get a state. Topology: two copies, a third
/// node without. Method: one copy reads its metadata when the other already asks what it is worth;
/// it cannot compare yet, and has to be asked, or ask, again.
#[test]
fn copies_that_attach_at_the_same_time_both_settle() {
    let mut c = up(&[true, true, false]);
    c.promote(2);
    c.put(2, 3, 1);
    for n in [0, 1] {
        c.command(n, Command::Detach(V, true));
    }
    c.settle();
    let late = [0, 1].map(|n| c.nodes[n].lower_blocks);
    c.nodes[0].disk.held = true;
    c.command(0, Command::Attach(V, late[0]));
    c.command(1, Command::Attach(V, late[1]));
    c.run_ms(20);
    assert_eq!(c.disk(0), DiskState::Attaching, "{}", c.status());
    c.nodes[0].disk.held = false;
    c.until("both attached", |c| [0, 1].iter().all(|n| c.disk(*n) == DiskState::UpToDate));
    assert_eq!(c.read(2, 3), Page::Stamp(1));
}

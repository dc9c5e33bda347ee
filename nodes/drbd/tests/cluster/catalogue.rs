//! Histories of LINBIT's drbd9-tests that no other file here plays; `scenarios/COVERAGE.md` names
//! the upstream test of each.

use crate::cluster::{Cluster, V, configs, id};
use crate::verbs::up;
use drbd::core::config::Quorum;
use drbd::core::event::Command;
use drbd::packet::Stream;
use drbd::page::Page;
use drbd::state::{ConnState, DiskState, ReplState, Role};

/// Nodes without quorum rules, connected and idle.
fn lax(diskful: &[bool]) -> Cluster {
    let mut all = configs(diskful);
    all.iter_mut().for_each(|config| config.quorum = Quorum::Off);
    let mut c = Cluster::new(all);
    (0..diskful.len()).for_each(|n| c.boot(n));
    c.settle();
    c
}

fn reattach(c: &mut Cluster, n: usize) {
    let attach = Command::Attach(V, c.nodes[n].lower_blocks);
    c.told(n, attach).expect("attached");
}

/// connect: two to five nodes leave each other and come back, in every order of pairs.
#[test]
fn nodes_leave_each_other_and_come_back() {
    for count in 2..=5usize {
        let mut c = up(&vec![true; count]);
        for (a, b) in (0..count).flat_map(|b| (0..b).map(move |a| (a, b))) {
            c.told(b, Command::Disconnect(id(a), false)).expect("left");
            c.settle();
            assert_eq!(c.conn(a, b), ConnState::Connecting, "{}", c.status());
            c.told(b, Command::Connect(id(a))).expect("connects");
            c.settle();
        }
        c.assert_all_good();
    }
}

/// switch-primaries, switch-sync-source, migrate: every node is Primary in turn, with a disk and
/// without, and reads what the others wrote.
#[test]
fn the_role_moves_around() {
    let mut c = up(&[true, true, true, false, false]);
    for round in 0..3u64 {
        for n in 0..5 {
            c.promote(n);
            for other in 0..5u64 {
                let newest = if other < n as u64 { round + 1 } else { round };
                let wanted =
                    if newest == 0 { Page::Zero } else { Page::Stamp(newest * 10 + other) };
                assert_eq!(c.read(n, other), wanted, "round {round}, n{n}");
            }
            c.put(n, n as u64, (round + 1) * 10 + n as u64);
            c.close(n);
            c.settle();
        }
    }
    c.assert_all_good();
    assert!(c.resynced.is_empty(), "{:?}", c.resynced);
}

/// diskless-primary-resync-absent-peer, diskless-primary-uuid-bump, diskless-join-leave: what a
/// Primary without a disk wrote while a copy was away is what that copy gets.
#[test]
fn an_absent_copy_gets_what_a_primary_without_a_disk_wrote() {
    for primary in [2, 3] {
        let mut c = up(&[true, true, false, false]);
        c.isolate(1);
        c.settle();
        let before = c.view(0).current;
        c.promote(primary);
        c.put(primary, 5, 5);
        c.put(primary, 6, 6);
        assert!(!c.view(0).current.same(before), "a copy is left behind");
        c.mend_all();
        c.settle();
        c.assert_all_good();
        assert_eq!((c.data(1, 5), c.resynced[&1]), (Page::Stamp(5), 2));
    }
}

/// double-promote-diskless: the node without a disk is Primary twice while a copy is away; that is
/// no split brain (fixed in 9.0.20).
#[test]
fn two_sessions_without_a_disk_are_no_split_brain() {
    let mut c = up(&[true, true, false]);
    c.isolate(1);
    c.settle();
    for session in 1..=2 {
        c.promote(2);
        c.put(2, session, session);
        c.close(2);
        c.settle();
    }
    c.mend_all();
    c.settle();
    c.assert_all_good();
    assert_eq!([1, 2].map(|block| c.data(1, block)), [1, 2].map(Page::Stamp));
}

/// diskless-primary-split-brain: two Primaries without a disk, each with a copy of its own: both
/// ends say so.
#[test]
fn two_primaries_without_disks_are_a_split_brain() {
    let mut c = lax(&[true, true, false, false]);
    for (a, b) in [(0, 1), (0, 3), (1, 2), (2, 3)] {
        c.cut(a, b);
    }
    c.settle();
    for (n, copy) in [(2, 0), (3, 1)] {
        c.promote(n);
        c.put(n, 7, n as u64);
        assert_eq!(c.data(copy, 7), Page::Stamp(n as u64));
        c.close(n);
    }
    c.settle();
    c.mend(0, 1);
    c.settle();
    assert_eq!([c.conn(0, 1), c.conn(1, 0)], [ConnState::StandAlone; 2], "{}", c.status());
    let split = |n, peer| c.verdicts(n, peer, 0).last().is_some_and(|v| v.1.starts_with("split"));
    assert!(split(0, 1) && split(1, 0));
}

/// diskless-connect-older, resync-w-dless-pri: a copy that is behind meets a Primary without a disk
/// before it meets the copy that is ahead, whatever their order.
#[test]
fn an_older_copy_does_not_serve_a_primary_without_a_disk() {
    for (old, new, primary) in [(0, 1, 2), (1, 0, 2), (0, 2, 1), (2, 0, 1), (1, 2, 0), (2, 1, 0)] {
        let mut diskful = [true; 3];
        diskful[primary] = false;
        let mut c = up(&diskful);
        c.isolate(old);
        c.settle();
        c.promote(primary);
        c.put(primary, 4, 4);
        c.mend(primary, old);
        c.settle();
        assert!(c.disk(old) < DiskState::UpToDate, "{}", c.status());
        assert!(c.peer_disk(primary, old) < DiskState::UpToDate, "{}", c.status());
        assert_eq!(c.read(primary, 4), Page::Stamp(4));
        c.put(primary, 4, 5);
        c.mend(old, new);
        c.settle();
        c.assert_all_good();
        assert_eq!(c.data(old, 4), Page::Stamp(5));
    }
}

/// lost-primary-after-no-writes, resync-after-primary-crash, outdate-early: a Primary that wrote
/// nothing dies; nobody stays Outdated.
#[test]
fn a_primary_dies_without_having_written() {
    for diskful in [[true, true, true], [true, true, false]] {
        for victim in 0..3 {
            let mut c = up(&diskful);
            c.promote(victim);
            c.crash(victim);
            c.settle();
            for n in c.diskful().into_iter().filter(|n| *n != victim) {
                assert_eq!(c.disk(n), DiskState::UpToDate, "{}", c.status());
            }
            let next = (victim + 1) % 3;
            c.promote(next);
            c.close(next);
            c.boot(victim);
            c.settle();
            c.assert_all_good();
        }
    }
}

/// uuid-detach-resync, uuid-disconnect-resync, quorate-data-divergence: a copy below a Primary
/// without a disk is detached, or leaves, and comes back to what it missed.
#[test]
fn a_copy_that_was_detached_or_left_gets_what_it_missed() {
    for detach in [true, false] {
        let mut c = up(&[true, true, false]);
        c.promote(2);
        c.put(2, 1, 1);
        c.settle();
        match detach {
            true => c.told(1, Command::Detach(V, false)).expect("detached"),
            false => {
                for peer in [0, 2] {
                    c.told(1, Command::Disconnect(id(peer), false)).expect("left");
                }
            }
        }
        let before = c.view(0).current;
        c.put(2, 2, 2);
        assert!(!c.view(0).current.same(before), "{}", c.status());
        match detach {
            true => reattach(&mut c, 1),
            false => [0, 2].iter().for_each(|peer| {
                c.command(1, Command::Connect(id(*peer)));
            }),
        }
        c.settle();
        c.assert_all_good();
        assert!(c.resynced[&1] <= 2, "{:?}", c.resynced);
    }
}

/// toggle-disk, attach-concurrent: copies are detached and attached, two at once, below a Primary
/// that goes on.
#[test]
fn disks_come_and_go_below_a_primary() {
    let mut c = up(&[true, true, true]);
    c.promote(0);
    for round in 1..4 {
        for n in [1, 2] {
            c.told(n, Command::Detach(V, false)).expect("detached");
        }
        assert_eq!([1, 2].map(|n| c.disk(n)), [DiskState::Diskless; 2]);
        c.put(0, round, round);
        let attach = Command::Attach(V, c.nodes[1].lower_blocks);
        let both = [1, 2].map(|n| (n, c.command(n, attach.clone())));
        both.into_iter().for_each(|(n, id)| c.reply(n, id).expect("attached"));
        c.settle();
        c.assert_all_good();
    }
    c.told(0, Command::Detach(V, false)).expect("the Primary, too");
    c.put(0, 9, 9);
    assert_eq!(c.read(0, 9), Page::Stamp(9));
    reattach(&mut c, 0);
    c.settle();
    c.assert_all_good();
}

/// resync-target-promote, resync-target-primary, switch-sync-source: a target is promoted, works on
/// its source's data, and the resync ends below it.
#[test]
fn a_target_is_promoted() {
    let mut c = up(&[true, true, true]);
    c.promote(0);
    c.isolate(1);
    for block in 0..40 {
        c.put(0, block * 50, 7);
    }
    c.close(0);
    c.settle();
    c.mend_all();
    c.until("a target", |c| (0..3).any(|p| p != 1 && c.repl(1, p) == ReplState::SyncTarget));
    c.promote(1);
    assert_eq!(c.read(1, 1950), Page::Stamp(7));
    c.put(1, 1950, 8);
    c.settle();
    c.assert_all_good();
    assert_eq!(c.data(0, 1950), Page::Stamp(8));
}

/// resync-between-targets, resync-double-target, resync-chain-close, resync-downstream-upstream: of
/// a chain with a Primary at one end each link comes back in every order.
#[test]
fn links_of_a_chain_come_back_in_every_order() {
    let links = [(0, 1), (1, 2), (0, 2)];
    for first in 0..3 {
        for second in (0..3).filter(|second| *second != first) {
            let mut c = lax(&[true, true, true]);
            c.promote(0);
            c.put(0, 1, 1);
            links.iter().for_each(|(a, b)| c.cut(*a, *b));
            c.put(0, 2, 2);
            c.settle();
            let last = 3 - first - second;
            for link in [first, second, last] {
                c.put(0, 10 + link as u64, 3);
                c.mend(links[link].0, links[link].1);
                c.run_ms(300);
                c.put(0, 20 + link as u64, 4);
            }
            c.settle();
            c.assert_all_good();
        }
    }
}

/// resync-source-becomes-target, resync-interrupt-variants: the source is cut off in the middle,
/// the other one goes on writing, and all meet again.
#[test]
fn a_source_that_is_interrupted_is_resynced_later() {
    let mut c = up(&[true, true, true]);
    c.isolate(2);
    c.promote(0);
    for block in 0..30 {
        c.put(0, block * 3, 1);
    }
    c.close(0);
    c.settle();
    c.cut(0, 1);
    c.mend(1, 2);
    c.until("a target", |c| c.repl(2, 1) == ReplState::SyncTarget);
    c.hold((1, 2, Stream::Data));
    c.run_ms(50);
    c.isolate(1);
    c.release((1, 2, Stream::Data));
    c.mend(0, 2);
    c.settle();
    assert_eq!(c.disk(2), DiskState::UpToDate, "{}", c.status());
    c.promote(2);
    c.put(2, 3, 2);
    c.mend_all();
    c.settle();
    c.assert_all_good();
    assert_eq!((c.data(1, 3), c.role(2)), (Page::Stamp(2), Role::Primary));
}

/// quorum-failover-reconnect, quorum-isolate-primary: the majority goes on without a Primary that
/// lost its links, and takes it back.
#[test]
fn the_majority_takes_an_isolated_primary_back() {
    let mut all = configs(&[true, true, true]);
    all.iter_mut().for_each(|config| config.force_secondary = true);
    let mut c = Cluster::new(all);
    (0..3).for_each(|n| c.boot(n));
    c.settle();
    c.promote(0);
    c.put(0, 1, 1);
    c.sync(0);
    c.isolate(0);
    let frozen = c.write(0, 1, 2);
    c.settle();
    assert!(c.engine(0).is_suspended() && c.done(0, frozen).is_none());
    c.promote(1);
    c.put(1, 1, 3);
    c.mend_all();
    c.settle();
    assert!(c.done(0, frozen).is_some_and(|done| done.result.is_err()), "{}", c.status());
    c.close(0);
    c.settle();
    c.assert_all_good();
    assert_eq!(c.data(0, 1), Page::Stamp(3));
}

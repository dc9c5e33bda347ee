//! Which states follow which: what an administrator sees in `events2`, in its order.

use crate::admin::{reunite, split, two_without_quorum};
use crate::cluster::{Cluster, V, id};
use crate::verbs::up;
use drbd::core::event::{Command, CommandId, Event, Notice, Refusal};
use drbd::state::{ConnState, DiskState, ReplState, Role};

/// What a node told since `from`, of one kind.
fn told<T>(c: &Cluster, n: usize, from: usize, pick: impl Fn(&Notice) -> Option<T>) -> Vec<T> {
    c.nodes[n].notices[from..].iter().filter_map(pick).collect()
}

fn connections(c: &Cluster, n: usize, from: usize) -> Vec<ConnState> {
    told(c, n, from, |notice| match notice {
        Notice::Connection(_, conn) => Some(*conn),
        _ => None,
    })
}

fn disks(c: &Cluster, n: usize, from: usize) -> Vec<DiskState> {
    told(c, n, from, |notice| match notice {
        Notice::Disk(_, disk) => Some(*disk),
        _ => None,
    })
}

fn peer_disks(c: &Cluster, n: usize, from: usize) -> Vec<DiskState> {
    told(c, n, from, |notice| match notice {
        Notice::PeerDisk(_, _, disk) => Some(*disk),
        _ => None,
    })
}

fn repls(c: &Cluster, n: usize, from: usize) -> Vec<ReplState> {
    told(c, n, from, |notice| match notice {
        Notice::Repl(_, _, repl) => Some(*repl),
        _ => None,
    })
}

fn seen(c: &Cluster) -> Vec<usize> {
    c.nodes.iter().map(|node| node.notices.len()).collect()
}

/// Goal: a link that is lost goes through Unconnected, one that an administrator ends only to
/// StandAlone. Topology: two copies.
#[test]
fn a_connection_ends_as_drbd_ends_it() {
    use ConnState::*;
    let mut c = two_without_quorum();
    let from = seen(&c);
    c.cut(0, 1);
    c.run_ms(10);
    for (n, from) in from.iter().enumerate() {
        assert_eq!(connections(&c, n, *from), [NetworkFailure, Unconnected, Connecting]);
    }
    c.mend_all();
    c.settle();
    let from = seen(&c);
    assert_eq!(c.told(0, Command::Disconnect(id(1), false)), Ok(()));
    c.settle();
    assert_eq!(connections(&c, 0, from[0]), [Disconnecting, StandAlone]);
    assert_eq!(connections(&c, 1, from[1]), [TearDown, Unconnected, Connecting]);
}

/// Goal: after a split brain both ends are StandAlone, whoever noticed first, also when the end of
/// the control stream overtakes P_DISCONNECT. Topology: two copies that both were written to.
#[test]
fn a_split_brain_leaves_both_ends_alone() {
    use ConnState::*;
    for late in [false, true] {
        let mut c = split(|_| {}, (2, 1));
        let from = seen(&c);
        if late {
            c.jitter_ns = 5_000_000;
        }
        reunite(&mut c);
        for (n, from) in from.iter().enumerate() {
            assert_eq!(connections(&c, n, *from), [Disconnecting, StandAlone], "n{n}");
        }
    }
}

/// Goal: who leaves a Primary is Outdated with quorum, and UpToDate without. Topology: two copies,
/// and with quorum a tie-breaker.
#[test]
fn leaving_outdates_with_quorum() {
    for leaver in [0, 1] {
        let mut c = two_without_quorum();
        c.promote(0);
        assert_eq!(c.told(leaver, Command::Disconnect(id(1 - leaver), false)), Ok(()));
        c.settle();
        assert_eq!(c.disk(1), DiskState::UpToDate);
        assert_eq!(c.peer_disk(0, 1), DiskState::DUnknown);
        let mut c = up(&[true, true, false]);
        c.promote(0);
        assert_eq!(c.told(leaver, Command::Disconnect(id(1 - leaver), false)), Ok(()));
        c.settle();
        assert_eq!(c.disk(1), DiskState::Outdated);
        assert_eq!(c.peer_disk(0, 1), DiskState::Outdated);
    }
}

/// Goal: `primary --force` that is refused changes nothing, and one that is not takes the own copy
/// for good only where no better one can be reached. Topology: two copies and a node without disk.
#[test]
fn a_refused_forced_promotion_changes_nothing() {
    let mut c = up(&[true, true, false]);
    c.isolate(2);
    c.settle();
    let from = seen(&c);
    assert!(c.told(2, Command::Primary(true)).is_err());
    assert_eq!(peer_disks(&c, 2, from[2]), []);
    c.mend_all();
    c.settle();
    c.promote(0);
    assert_eq!(c.told(1, Command::Primary(true)), Err(Refusal::TwoPrimaries));
    c.settle();
    c.assert_all_good();
}

/// Goal: quorum that is missing is taken by force where there is a copy. Topology: three copies.
#[test]
fn a_forced_promotion_outdates_who_is_away() {
    let mut c = up(&[true, true, true]);
    c.isolate(0);
    c.settle();
    assert_eq!(c.told(0, Command::Primary(false)), Err(Refusal::NoQuorum));
    assert_eq!(c.told(0, Command::Primary(true)), Ok(()));
    assert_eq!((c.role(0), c.disk(0), c.quorum(0)), (Role::Primary, DiskState::UpToDate, true));
    assert_eq!((c.peer_disk(0, 1), c.peer_disk(0, 2)), (DiskState::Outdated, DiskState::Outdated));
}

/// Goal: the last good copy is not detached under a Primary elsewhere; a disk goes through
/// Detaching, one that fails through Failed, and peers are told. Topology: two copies.
#[test]
fn a_disk_goes_as_drbd_lets_it_go() {
    use DiskState::*;
    let mut c = two_without_quorum();
    c.promote(0);
    let from = seen(&c);
    assert_eq!(c.told(0, Command::Detach(V, false)), Ok(()));
    c.settle();
    assert_eq!(disks(&c, 0, from[0]), [Detaching, Diskless]);
    assert_eq!(peer_disks(&c, 1, from[1]), [Detaching, Diskless]);
    assert_eq!(c.told(1, Command::Detach(V, false)), Err(Refusal::FailedByPeer));
    c.settle();
    assert_eq!(disks(&c, 1, from[1]), []);
    c.put(0, 3, 3);
    let lower = c.nodes[0].lower_blocks;
    assert_eq!(c.told(0, Command::Attach(V, lower)), Ok(()));
    c.settle();
    c.assert_all_good();
    let from = seen(&c);
    assert_eq!(c.told(1, Command::Detach(V, true)), Ok(()));
    c.settle();
    assert_eq!(disks(&c, 1, from[1]), [Failed, Diskless]);
    assert_eq!(peer_disks(&c, 0, from[0]), [Failed, Diskless]);
}

/// Goal: a full sync on demand starts without an exchange of bitmaps, and what is known of the
/// disks follows the replication state. Topology: two copies, one Primary.
#[test]
fn a_full_sync_goes_through_its_states() {
    use ReplState::*;
    for remote in [false, true] {
        let mut c = two_without_quorum();
        c.promote(0);
        c.put(0, 7, 7);
        let from = seen(&c);
        let (asked, command) = match remote {
            true => (0, Command::InvalidateRemote(V, id(1))),
            false => (1, Command::Invalidate(V, None)),
        };
        assert_eq!(c.told(asked, command), Ok(()));
        c.settle();
        assert_eq!(repls(&c, 0, from[0]), [StartingSyncS, SyncSource, Established]);
        assert_eq!(repls(&c, 1, from[1]), [StartingSyncT, SyncTarget, Established]);
        let mine = [DiskState::Outdated, DiskState::Inconsistent, DiskState::UpToDate];
        assert_eq!(disks(&c, 1, from[1]), mine);
        let theirs = peer_disks(&c, 0, from[0]);
        assert_eq!(theirs.first(), Some(&DiskState::Consistent), "{theirs:?}");
        assert_eq!(theirs.last(), Some(&DiskState::UpToDate), "{theirs:?}");
        c.assert_all_good();
    }
}

/// Goal: two copies that are neither old nor new do not make each other good. Topology: two copies
/// without quorum. Method: each is invalidated while it is alone; they meet.
#[test]
fn two_inconsistent_copies_stay_inconsistent() {
    let mut c = two_without_quorum();
    c.cut(0, 1);
    c.settle();
    for n in [0, 1] {
        assert_eq!(c.told(n, Command::Invalidate(V, None)), Ok(()));
    }
    c.settle();
    for again in [false, true] {
        if again {
            (0..2).for_each(|n| c.crash(n));
            (0..2).for_each(|n| c.boot(n));
        }
        c.mend_all();
        c.settle();
        assert_eq!(c.conn(0, 1), ConnState::Connected, "{}", c.status());
        for n in [0, 1] {
            assert_eq!(c.disk(n), DiskState::Inconsistent, "{}", c.status());
            assert_eq!(c.told(n, Command::Primary(false)), Err(Refusal::NoUpToDateDisk));
        }
    }
    // Only an administrator knows which one is to be used.
    assert_eq!(c.told(1, Command::Primary(true)), Ok(()));
    c.settle();
    c.assert_all_good();
    assert_eq!(c.role(1), Role::Primary);
}

/// Goal: a copy that is read does not change under the reader. Topology: two copies. Method: n1 is
/// opened for reading while it is alone; n0 becomes Primary, and the link comes back.
#[test]
fn a_reader_keeps_a_primary_away() {
    let mut c = two_without_quorum();
    c.cut(0, 1);
    c.settle();
    c.serial += 1;
    let open = CommandId(c.serial);
    c.event(1, Event::Open(open, V, false));
    assert_eq!(c.reply(1, open), Ok(()));
    c.promote(0);
    c.put(0, 1, 1);
    c.mend_all();
    c.run_ms(10_000);
    assert_ne!(c.conn(1, 0), ConnState::Connected);
    c.event(1, Event::Close(V, false));
    c.settle();
    c.assert_all_good();
    // Connected, nobody else may become Primary beside a reader.
    c.close(0);
    c.settle();
    c.serial += 1;
    let open = CommandId(c.serial);
    c.event(1, Event::Open(open, V, false));
    assert_eq!(c.reply(1, open), Ok(()));
    assert_eq!(c.told(0, Command::Primary(false)), Err(Refusal::FailedByPeer));
}

/// Goal: the copy that a Primary without a disk works on is not outdated. Topology: one copy and a
/// client.
#[test]
fn the_copy_below_a_client_is_not_outdated() {
    let mut c = up(&[true, false]);
    c.promote(1);
    c.settle();
    assert_eq!(c.told(0, Command::Outdate(V)), Err(Refusal::ConnectedOutdates));
    assert_eq!(c.told(0, Command::Detach(V, false)), Err(Refusal::FailedByPeer));
    c.close(1);
    c.settle();
    assert_eq!(c.told(0, Command::Outdate(V)), Ok(()));
}

/// Goal: who leaves a Primary and goes down in one go is Outdated when it comes up again. Topology:
/// two copies and a tie-breaker.
#[test]
fn who_goes_down_beside_a_primary_comes_up_outdated() {
    let mut c = up(&[true, true, false]);
    c.promote(0);
    c.put(0, 1, 1);
    c.cut(1, 2);
    c.settle();
    assert_eq!(c.told(1, Command::Down), Ok(()));
    c.crash(1);
    c.isolate(1);
    c.boot(1);
    c.run_ms(1_000);
    assert_eq!(c.disk(1), DiskState::Outdated, "{}", c.status());
}

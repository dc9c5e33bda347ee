//! What administrators ask for: outdate, invalidate, forget a peer, and what is refused with which
//! number.

use crate::cluster::{Cluster, V, configs, id};
use crate::verbs::up;
use drbd::core::config::Quorum;
use drbd::core::event::{Command, Refusal};
use drbd::ids::VolumeNumber;
use drbd::page::Page;
use drbd::state::{ConnState, DiskState, ReplState, Role};

pub fn two_without_quorum() -> Cluster {
    let mut all = configs(&[true, true]);
    all.iter_mut().for_each(|config| config.quorum = Quorum::Off);
    let mut c = Cluster::new(all);
    (0..2).for_each(|n| c.boot(n));
    c.settle();
    c
}

/// Goal: a copy that is marked Outdated is not promoted, and is UpToDate again once it has met the
/// other. Topology: two copies without quorum. Method: `outdate` while alone.
#[test]
fn an_outdated_copy_is_not_promoted() {
    let mut c = two_without_quorum();
    c.cut(0, 1);
    c.settle();
    assert_eq!(c.told(1, Command::Outdate(V)), Ok(()));
    assert_eq!(c.told(1, Command::Outdate(V)), Ok(()), "it is already");
    assert_eq!(c.told(1, Command::Primary(false)), Err(Refusal::NoUpToDateDisk));
    c.crash(1);
    c.boot(1);
    c.settle();
    assert_eq!(c.disk(1), DiskState::Outdated, "metadata remembers");
    c.mend_all();
    c.settle();
    c.assert_all_good();
}

#[test]
fn what_may_not_be_outdated() {
    let mut c = up(&[true, true, false]);
    c.promote(0);
    c.settle();
    assert_eq!(c.told(1, Command::Outdate(V)), Err(Refusal::ConnectedOutdates));
    assert_eq!(c.told(0, Command::Outdate(V)), Err(Refusal::ConnectedOutdates));
    assert_eq!(c.told(2, Command::Outdate(V)), Err(Refusal::LowerThanOutdated));
    let none = VolumeNumber(7);
    assert_eq!(c.told(0, Command::Outdate(none)), Err(Refusal::MinorInvalid));
    c.isolate(0);
    c.run_ms(100);
    assert_eq!(c.told(0, Command::Outdate(V)), Err(Refusal::NoUpToDateDisk));
}

/// Goal: everything is copied anew, whichever end asks, also while the source is written to.
/// Topology: three copies. Method: `invalidate` and `invalidate-remote`, with a block that rotted
/// unseen.
#[test]
fn an_invalidated_copy_is_copied_anew() {
    for remote in [false, true] {
        let mut c = up(&[true, true, true]);
        c.promote(0);
        c.put(0, 7, 7);
        c.sync(0);
        c.settle();
        c.nodes[1].disk.format(vec![(7, drbd::core::event::one(Page::Stamp(666)))]);
        let command = match remote {
            true => c.command(0, Command::InvalidateRemote(V, id(1))),
            false => c.command(1, Command::Invalidate(V, Some(id(0)))),
        };
        let asked = usize::from(!remote);
        assert_eq!(c.reply(asked, command), Ok(()));
        c.until("a target", |c| c.repl(1, 0) == ReplState::SyncTarget);
        assert_eq!(c.disk(1), DiskState::Inconsistent);
        let again = c.told(1, Command::Invalidate(V, Some(id(0))));
        assert_eq!(again, Err(Refusal::ResyncRunning));
        c.put(0, 8, 8);
        c.settle();
        c.assert_all_good();
        assert_eq!(c.data(1, 7), Page::Stamp(7), "remote {remote}");
        assert!(c.resynced[&1] >= crate::cluster::SIZE - 1, "{:?}", c.resynced);
    }
}

/// Goal: an interrupted copy goes on, and nobody takes the rest for good. Topology: two copies
/// without quorum. Method: the target loses its power in the middle; or the link breaks.
#[test]
fn an_interrupted_copy_goes_on() {
    for crash in [false, true] {
        let mut c = two_without_quorum();
        c.promote(0);
        c.put(0, 7, 7);
        assert_eq!(c.told(1, Command::Invalidate(V, None)), Ok(()));
        c.until("some blocks", |c| c.resynced.get(&1).is_some_and(|blocks| *blocks > 500));
        match crash {
            true => c.crash(1),
            false => c.cut(0, 1),
        }
        c.run_ms(2_000);
        if crash {
            c.boot(1);
        }
        c.run_ms(100);
        assert_eq!(c.disk(1), DiskState::Inconsistent);
        c.mend_all();
        c.settle();
        c.assert_all_good();
        assert_eq!(c.data(1, 7), Page::Stamp(7));
        assert!(c.resynced[&1] >= crate::cluster::SIZE, "{:?}", c.resynced);
    }
}

#[test]
fn what_may_not_be_invalidated() {
    let mut c = up(&[true, true, false]);
    c.promote(0);
    let from = |n| Some(id(n));
    assert_eq!(c.told(0, Command::Invalidate(V, from(1))), Err(Refusal::NoUpToDateDisk));
    assert_eq!(c.told(1, Command::Invalidate(V, from(2))), Err(Refusal::NoRemoteDisk));
    assert_eq!(c.told(1, Command::Invalidate(V, from(9))), Err(Refusal::InvalidPeerNodeId));
    assert_eq!(c.told(2, Command::Invalidate(V, None)), Err(Refusal::NoDisk));
    assert_eq!(c.told(2, Command::InvalidateRemote(V, id(1))), Err(Refusal::NoLocalDisk));
    c.isolate(1);
    c.run_ms(100);
    assert_eq!(c.told(0, Command::InvalidateRemote(V, id(1))), Err(Refusal::NeedConnection));
    assert_eq!(c.told(1, Command::Invalidate(V, None)), Ok(()), "it is alone, and Secondary");
    assert_eq!((c.disk(1), c.bits(1, 0)), (DiskState::Inconsistent, crate::cluster::SIZE));
    c.mend_all();
    c.settle();
    c.assert_all_good();
}

/// Goal: the last good copy is not thrown away under those who work on it. Topology: two copies and
/// a Primary that has none. Method: one copy is gone, the other is to be invalidated.
#[test]
fn the_copy_that_others_work_on_is_not_invalidated() {
    let mut c = up(&[true, true, false]);
    c.promote(2);
    c.put(2, 3, 3);
    c.crash(1);
    c.settle();
    assert_eq!(c.told(0, Command::Invalidate(V, None)), Err(Refusal::NoRemoteDisk));
    assert_eq!((c.disk(0), c.data(0, 3)), (DiskState::UpToDate, Page::Stamp(3)));
}

/// Goal: whom everybody forgot counts for nothing, and gets everything if it comes back. Topology:
/// three copies. Method: one is left and forgotten, then connected to again.
#[test]
fn a_forgotten_peer_counts_for_nothing() {
    let mut c = up(&[true, true, true]);
    assert_eq!(c.told(0, Command::ForgetPeer(id(2))), Err(Refusal::NetConfigured));
    assert_eq!(c.told(2, Command::Down), Ok(()));
    c.crash(2);
    for n in [0, 1] {
        assert_eq!(c.told(n, Command::Disconnect(id(2), false)), Ok(()));
        assert_eq!(c.told(n, Command::ForgetPeer(id(2))), Ok(()));
        assert_eq!(c.told(n, Command::ForgetPeer(id(2))), Ok(()), "it is already");
    }
    c.settle();
    assert_eq!(c.superblock(0).peer(id(2)).bitmap_index, None);
    c.promote(0);
    c.put(0, 7, 7);
    assert_eq!(c.bits(0, 2), 0);
    c.boot(2);
    for n in [0, 1] {
        assert_eq!(c.told(n, Command::Connect(id(2))), Ok(()));
    }
    c.settle();
    c.assert_all_good();
    assert_eq!(c.data(2, 7), Page::Stamp(7));
}

/// Goal: a diskless peer that is gone counts as a missing tie-breaker until it is forgotten.
/// Topology: two copies, a tie-breaker and a client. Method: the client is left; the other copy
/// dies before and after it is forgotten.
#[test]
fn a_client_that_is_gone_outvotes_the_tie_breaker_until_it_is_forgotten() {
    for forgets in [false, true] {
        let mut c = up(&[true, true, false, false]);
        c.promote(0);
        assert_eq!(c.told(3, Command::Down), Ok(()));
        c.crash(3);
        for n in [0, 1, 2] {
            assert_eq!(c.told(n, Command::Disconnect(id(3), false)), Ok(()));
        }
        if forgets {
            assert_eq!(c.told(0, Command::ForgetPeer(id(3))), Ok(()));
        }
        c.settle();
        c.crash(1);
        c.run_ms(15_000);
        let quorum = c.quorum(0);
        assert_eq!(quorum, forgets);
    }
}

#[test]
fn connect_and_attach_say_why_not() {
    let mut c = up(&[true, true, false]);
    assert_eq!(c.told(0, Command::Connect(id(1))), Err(Refusal::NetConfigured));
    assert_eq!(c.told(0, Command::Connect(id(9))), Err(Refusal::InvalidPeerNodeId));
    let blocks = c.nodes[0].lower_blocks;
    assert_eq!(c.told(0, Command::Attach(V, blocks)), Err(Refusal::DiskConfigured));
    assert_eq!(c.told(2, Command::Attach(V, blocks)), Err(Refusal::AttachNoBitmap));
    assert_eq!(c.told(0, Command::Detach(V, false)), Ok(()));
    assert_eq!(c.told(0, Command::Attach(V, blocks - 1)), Err(Refusal::DiskTooSmall));
    c.promote(0);
    assert_eq!(c.told(0, Command::ConnectDiscarding(id(1))), Err(Refusal::DiscardImpossible));
}

#[test]
fn refusals_have_drbds_numbers_and_texts() {
    let said = [
        (Refusal::NoUpToDateDisk, "State change failed: (-2) Need access to UpToDate data", 17),
        (Refusal::DeviceInUse, "State change failed: (-12) Device is held open by someone", 11),
        (
            Refusal::LowerThanOutdated,
            "State change failed: (-16) Disk state is lower than outdated",
            5,
        ),
        (Refusal::NoQuorum, "State change failed: (-25) No quorum", 11),
        (
            Refusal::DiskConfigured,
            "Failure: (124) Device is attached to a disk (use detach first)",
            10,
        ),
        (Refusal::BadMetadata, "Failure: (119) No valid meta-data signature found.", 10),
    ];
    for (refusal, message, exit_code) in said {
        assert_eq!((refusal.message().as_str(), refusal.exit_code()), (message, exit_code));
    }
}

// ---- split brain ----

/// Both wrote alone: n0 `blocks.0` blocks, n1 `blocks.1`, n1 later.
pub fn split(configure: impl Fn(&mut drbd::core::config::Config), blocks: (u64, u64)) -> Cluster {
    let mut all = configs(&[true, true]);
    for config in &mut all {
        config.quorum = Quorum::Off;
        configure(config);
    }
    let mut c = Cluster::new(all);
    (0..2).for_each(|n| c.boot(n));
    c.settle();
    c.promote(0);
    // A generation of its own while it is Primary: its mark is in what it parts from.
    c.cut(0, 1);
    c.put(0, 100, 1);
    c.mend_all();
    c.settle();
    c.cut(0, 1);
    for block in 1..=blocks.0 {
        c.put(0, block, 10);
    }
    c.close(0);
    c.settle();
    c.promote(1);
    for block in 1..=blocks.1 {
        c.put(1, block, 20);
    }
    c.close(1);
    c.settle();
    c
}

pub fn reunite(c: &mut Cluster) {
    c.mend_all();
    c.settle();
}

/// Goal: without a policy both ends stand alone, and `--discard-my-data` at one end settles it.
/// Topology: two copies without quorum that both were written to.
#[test]
fn discard_my_data_settles_a_split_brain() {
    let mut c = split(|_| {}, (2, 1));
    reunite(&mut c);
    assert_eq!((c.conn(0, 1), c.conn(1, 0)), (ConnState::StandAlone, ConnState::StandAlone));
    assert_eq!(c.told(0, Command::ConnectDiscarding(id(1))), Ok(()));
    assert_eq!(c.told(1, Command::Connect(id(0))), Ok(()));
    c.settle();
    c.assert_all_good();
    assert_eq!((c.data(0, 1), c.data(0, 2)), (Page::Stamp(20), Page::Zero));
    // On both sides it settles nothing.
    let mut c = split(|_| {}, (2, 1));
    reunite(&mut c);
    for n in [0, 1] {
        assert_eq!(c.told(n, Command::ConnectDiscarding(id(1 - n))), Ok(()));
    }
    c.settle();
    assert_eq!((c.conn(0, 1), c.conn(1, 0)), (ConnState::StandAlone, ConnState::StandAlone));
}

/// Goal: each policy for no Primary throws away what it says. Topology: as above.
#[test]
fn after_sb_0pri() {
    use drbd::core::config::AfterSb0::*;
    // n0 was Primary when the generations parted.
    let cases = [
        (Disconnect, (2, 1), None),
        (DiscardLeastChanges, (2, 1), Some(0)),
        (DiscardLeastChanges, (1, 2), Some(1)),
        (DiscardZeroChanges, (2, 1), None),
        (DiscardYounger, (1, 2), Some(0)),
        (DiscardOlder, (2, 1), Some(1)),
    ];
    for (policy, blocks, winner) in cases {
        let mut c = split(|config| config.after_sb.zero = policy, blocks);
        reunite(&mut c);
        match winner {
            None => assert_eq!(c.conn(0, 1), ConnState::StandAlone, "{policy:?}"),
            Some(n) => {
                c.assert_all_good();
                assert_eq!(c.data(0, 1), Page::Stamp([10, 20][n]), "{policy:?} {blocks:?}");
            }
        }
    }
}

/// Goal: each policy for one Primary and for two throws away what it says, and never under a
/// Primary that is in use unless it says `violently`. Topology: as above, with n0 Primary again.
#[test]
fn after_sb_1pri() {
    use drbd::core::config::{AfterSb0, AfterSb1, RrConflict};
    let cases = [
        (AfterSb1::Disconnect, (2, 1), None),
        (AfterSb1::DiscardSecondary, (1, 2), Some(0)),
        (AfterSb1::Consensus, (2, 1), Some(0)),
        (AfterSb1::Consensus, (1, 2), None),
        (AfterSb1::ViolentlyAs0p, (2, 1), Some(0)),
        (AfterSb1::ViolentlyAs0p, (1, 2), None),
        (AfterSb1::CallPriLost, (2, 1), Some(0)),
        (AfterSb1::CallPriLost, (1, 2), None),
    ];
    for (policy, blocks, winner) in cases {
        let configure = |config: &mut drbd::core::config::Config| {
            config.after_sb.zero = AfterSb0::DiscardLeastChanges;
            config.after_sb.one = policy;
        };
        let mut c = split(configure, blocks);
        c.promote(0);
        reunite(&mut c);
        assert_eq!(c.role(0), Role::Primary);
        match winner {
            None => {
                let both = (c.conn(0, 1), c.conn(1, 0));
                assert_eq!(both, (ConnState::StandAlone, ConnState::StandAlone), "{policy:?}");
                assert_eq!(c.data(0, 1), Page::Stamp(10), "{policy:?}");
            }
            Some(n) => {
                c.assert_all_good();
                assert_eq!(c.data(1, 1), Page::Stamp([10, 20][n]), "{policy:?} {blocks:?}");
            }
        }
    }
    // Nobody has it open, and yet no role is given up during a handshake.
    let configure = |config: &mut drbd::core::config::Config| {
        config.after_sb.zero = AfterSb0::DiscardLeastChanges;
        config.after_sb.one = AfterSb1::CallPriLost;
    };
    let mut c = split(configure, (1, 2));
    assert_eq!(c.told(0, Command::Primary(false)), Ok(()));
    reunite(&mut c);
    assert_eq!(c.role(0), Role::Primary);
    assert_eq!((c.conn(0, 1), c.conn(1, 0)), (ConnState::StandAlone, ConnState::StandAlone));
    assert_eq!(c.data(0, 1), Page::Stamp(10));
    // The policy says so, and so does `rr-conflict`: the Primary goes on with the other's data.
    let configure = |config: &mut drbd::core::config::Config| {
        config.after_sb.zero = AfterSb0::DiscardLeastChanges;
        config.after_sb.one = AfterSb1::ViolentlyAs0p;
        config.rr_conflict = RrConflict::Violently;
    };
    let mut c = split(configure, (1, 2));
    c.promote(0);
    reunite(&mut c);
    assert_eq!(c.role(0), Role::Primary);
    c.put(0, 9, 9);
    c.settle();
    c.assert_all_good();
    assert_eq!(c.read(0, 1), Page::Stamp(20));
}

#[test]
fn after_sb_2pri() {
    use drbd::core::config::{AfterSb0, AfterSb2};
    // Whether somebody has it open or not, no role is given up during a handshake.
    for (policy, explicit) in [
        (AfterSb2::Disconnect, false),
        (AfterSb2::CallPriLost, false),
        (AfterSb2::CallPriLost, true),
    ] {
        let configure = |config: &mut drbd::core::config::Config| {
            config.after_sb.zero = AfterSb0::DiscardLeastChanges;
            config.after_sb.one = drbd::core::config::AfterSb1::DiscardSecondary;
            config.after_sb.two = policy;
        };
        let mut c = split(configure, (1, 2));
        match explicit {
            true => assert_eq!(c.told(0, Command::Primary(false)), Ok(())),
            false => c.promote(0),
        }
        c.promote(1);
        reunite(&mut c);
        assert_eq!((c.role(0), c.role(1)), (Role::Primary, Role::Primary));
        let both = (c.conn(0, 1), c.conn(1, 0));
        assert_eq!(both, (ConnState::StandAlone, ConnState::StandAlone), "{policy:?}");
        assert_eq!((c.data(0, 1), c.data(1, 1)), (Page::Stamp(10), Page::Stamp(20)));
    }
}

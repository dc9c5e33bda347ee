//! Who goes on when not everybody is there.

use crate::cluster::{Cluster, configs, id};
use crate::verbs::up;
use drbd::core::config::OnLoss;
use drbd::core::event::{Command, Notice};
use drbd::ids::NodeMask;
use drbd::meta::MdFlags;
use drbd::packet::Stream;
use drbd::page::Page;
use drbd::state::{ConnState, DiskState, ReplState, Role};

/// Goal: the tie-breaker keeps quorum for the side that it is on; a node that is alone proves
/// nothing. Topology: two copies and a tie-breaker. Method: the Secondary is cut off.
#[test]
fn the_primary_keeps_quorum_with_the_tie_breaker() {
    let mut c = up(&[true, true, false]);
    c.promote(0);
    c.isolate(1);
    c.settle();
    assert!(c.quorum(0) && c.quorum(2) && !c.quorum(1), "{}", c.status());
    assert_eq!(c.engine(0).members(), NodeMask(0b101), "n1 is proven to be without quorum");
    assert_eq!(c.engine(1).members(), NodeMask(0b111), "n1 has proven nothing");
    c.put(0, 1, 1);
    let open = c.open(1);
    assert!(c.reply(1, open).is_err());
    assert_eq!(c.role(1), Role::Secondary);
    c.mend_all();
    c.settle();
    c.assert_all_good();
    assert_eq!(c.engine(1).members(), NodeMask(0b111));
}

/// Goal: a tie-breaker that left on purpose breaks no tie. Topology: two copies and a tie-breaker.
/// Method: it disconnects, then the copies lose each other.
#[test]
fn nobody_has_quorum_without_the_tie_breaker() {
    let mut c = up(&[true, true, false]);
    for peer in [0, 1] {
        assert_eq!(c.told(2, Command::Disconnect(id(peer), false)), Ok(()));
    }
    c.settle();
    assert_eq!(c.conn(2, 0), ConnState::StandAlone);
    assert_eq!(c.engine(0).members(), NodeMask(0b011));
    assert!(c.quorum(0) && c.quorum(1), "both copies are a majority of two");
    c.promote(0);
    c.put(0, 1, 1);
    c.cut(0, 1);
    c.settle();
    assert!(!c.quorum(0) && !c.quorum(1), "{}", c.status());
    assert!(c.engine(0).is_suspended());
    let write = c.write(0, 1, 2);
    c.run_ms(20_000);
    assert_eq!(c.done(0, write), None);
    c.mend(0, 1);
    assert!(c.wait(0, write).result.is_ok(), "both together go on");
    for peer in [0, 1] {
        assert_eq!(c.told(2, Command::Connect(id(peer))), Ok(()));
    }
    c.settle();
    c.assert_all_good();
}

/// Three copies: the third is cut off, and the first resync of the second after a power loss is
/// under way when its source becomes Primary and writes. Then the target loses power again.
fn half_resynced() -> Cluster {
    let mut c = up(&[true, true, true]);
    c.promote(0);
    c.crash(1);
    (0..100).for_each(|block| _ = c.put(0, block, 1));
    c.close(0);
    c.settle();
    c.isolate(2);
    c.boot(1);
    c.until("a resync", |c| c.repl(1, 0) == ReplState::SyncTarget && c.quorum(0));
    c.hold((1, 0, Stream::Data));
    c.promote(0);
    c.put(0, 200, 9);
    c.crash(1);
    c
}

/// Goal: a copy that is behind, and that a Primary had quorum with, does not make up another quorum
/// with older data. Topology: three copies. Method: the first resync after a power loss is under
/// way when its source becomes Primary and writes; the target loses power again and comes up beside
/// the copy that was away; then the Primary is there again.
#[test]
fn a_half_resynced_copy_remembers_whom_it_had_quorum_with() {
    let mut c = half_resynced();
    c.isolate(0);
    c.mend(1, 2);
    c.boot(1);
    c.run_ms(10_000);
    assert!(!c.quorum(1) && !c.quorum(2), "{}", c.status());
    let open = c.open(2);
    assert!(c.reply(2, open).is_err());
    c.mend_all();
    c.settle();
    c.assert_all_good();
    assert_eq!(c.read(0, 200), Page::Stamp(9));
}

/// Goal: as above, but who it had quorum with is forgotten.
#[test]
fn a_half_resynced_copy_does_not_wait_for_a_forgotten_peer() {
    let mut c = half_resynced();
    c.crash(0);
    c.mend(1, 2);
    c.boot(1);
    c.run_ms(10_000);
    assert!(!c.quorum(1) && !c.quorum(2), "{}", c.status());
    assert_eq!(c.told(1, Command::Disconnect(id(0), true)), Ok(()));
    assert_eq!(c.told(1, Command::ForgetPeer(id(0))), Ok(()));
    c.settle();
    assert!(c.quorum(1) && c.quorum(2), "{}", c.status());
    assert_eq!(c.disk(1), DiskState::UpToDate);
}

/// Goal: a frozen Primary that others went on without acknowledges nothing, gives up by
/// force-secondary, and is resynced. Topology: two copies and a tie-breaker. Method: the Primary is
/// cut off with a write in flight, the other copy is promoted.
#[test]
fn a_frozen_primary_that_is_superseded_gives_up() {
    let mut all = configs(&[true, true, false]);
    all.iter_mut().for_each(|config| config.force_secondary = true);
    let mut c = Cluster::new(all);
    (0..3).for_each(|n| c.boot(n));
    c.settle();
    c.promote(0);
    c.put(0, 4, 1);
    c.settle();
    c.isolate(0);
    let frozen = [c.write(0, 4, 99), c.write(0, 5, 99)];
    c.settle();
    assert!(c.engine(0).is_suspended() && !c.quorum(0), "{}", c.status());
    c.promote(1);
    c.put(1, 4, 2);
    c.mend_all();
    c.settle();
    assert_eq!(c.role(0), Role::Secondary, "{}", c.status());
    for request in frozen {
        assert!(c.done(0, request).is_some_and(|done| done.result.is_err()));
    }
    assert!(c.resynced.contains_key(&0));
    c.assert_all_good();
    assert_eq!((c.data(0, 4), c.data(0, 5)), (Page::Stamp(2), Page::Zero));
    assert_eq!(c.disk(0), DiskState::UpToDate);
}

/// Goal: a copy that was alone with quorum gives none to a peer before its own metadata says that
/// it is alone no longer; if it crashed in between, both would have quorum. Topology: two copies
/// and a tie-breaker. Method: the Primary is cut off, then the other copy is left alone too and
/// loses power; it comes back to the Primary.
#[test]
fn who_was_alone_with_quorum_gives_it_once_its_metadata_knows() {
    let mut c = up(&[true, true, false]);
    c.promote(0);
    c.put(0, 1, 1);
    c.isolate(0);
    c.settle();
    c.cut(1, 2);
    c.settle();
    assert!(c.quorum(1) && !c.quorum(0) && !c.quorum(2), "{}", c.status());
    c.crash(1);
    c.boot(1);
    c.settle();
    assert!(c.quorum(1), "it was alone with quorum:\n{}", c.status());
    c.mend(0, 2);
    c.settle();
    assert!(!c.quorum(0), "{}", c.status());
    c.mend(0, 1);
    c.until("quorum", |c| c.quorum(0));
    let md = c.superblock(1);
    let alone = md.flags.has(MdFlags::HAVE_QUORUM) && md.member_mask() == id(1).mask();
    assert!(!alone, "a crash of n1 now would leave two with quorum:\n{}", c.status());
    c.mend_all();
    c.settle();
    c.assert_all_good();
}

/// Goal: a Primary whose own copy is still a target goes on when its source is back, although the
/// link broke before the source heard of the Primary's new generation. Topology: two copies and a
/// tie-breaker. Method: a copy comes back late, is promoted while it syncs, and makes a generation;
/// at that moment the link to its source breaks.
#[test]
fn a_generation_that_the_only_good_copy_did_not_hear_of_is_given_up() {
    let mut all = configs(&[true, true, false]);
    for config in &mut all {
        config.peer_device.max_rate_kib = 40;
        config.on_no_data = OnLoss::SuspendIo;
    }
    let mut c = Cluster::new(all);
    (0..3).for_each(|n| c.boot(n));
    c.settle();
    c.isolate(1);
    c.promote(0);
    for block in 0..40 {
        c.put(0, block, 1);
    }
    c.close(0);
    c.settle();
    c.mend_all();
    c.until("a target", |c| c.disk(1) == DiskState::Inconsistent);
    c.promote(1);
    let from = c.nodes[1].notices.len();
    let write = c.write(1, 3, 2);
    let made = |notice: &Notice| matches!(notice, Notice::NewCurrentUuid(..));
    c.until("a new generation", |c| c.nodes[1].notices[from..].iter().any(made));
    c.cut(0, 1);
    c.run_ms(20_000);
    assert!(c.engine(1).is_suspended() && c.role(1) == Role::Primary, "{}", c.status());
    c.mend(0, 1);
    assert!(c.wait(1, write).result.is_ok());
    c.settle();
    c.assert_all_good();
}

//! `new-current-uuid`: when it is refused, what becomes of the initial sync, and who hears of it.

use crate::cluster::{Cluster, FIRST, SIZE, V, configs, id};
use crate::disk::Loss;
use crate::verbs::up;
use drbd::core::config::{Quorum, RrConflict};
use drbd::core::event::{Command, InitialSync, Notice, Refusal};
use drbd::ids::{NodeMask, Uuid};
use drbd::page::Page;
use drbd::state::{ConnState, DiskState, ReplState, Role};

/// Nodes whose disks were just created, connected and idle.
fn blank(diskful: &[bool]) -> Cluster {
    let mut c = Cluster::new(configs(diskful));
    (0..diskful.len()).for_each(|n| {
        c.create_md(n, None);
        c.boot(n);
    });
    c.settle();
    c
}

fn renew(c: &mut Cluster, n: usize, initial: InitialSync) -> Result<(), Refusal> {
    c.told(n, Command::NewCurrentUuid(V, initial))
}

fn nothing_copied(c: &Cluster) {
    assert!(c.resynced.is_empty(), "{:?}:\n{}", c.resynced, c.status());
}

/// Goal: copies that were just created are UpToDate without a resync, of one generation, and a node
/// without a disk knows it (bug of 9.1.15 / 9.2.4). Topology: two copies and a diskless node.
/// Method: `--clear-bitmap`, then a promotion of each node in turn.
#[test]
fn the_initial_sync_is_skipped() {
    let mut c = blank(&[true, true, false]);
    assert_eq!(c.disk(0), DiskState::Inconsistent);
    assert_eq!(renew(&mut c, 0, InitialSync::Skip), Ok(()));
    c.settle();
    c.assert_all_good();
    nothing_copied(&c);
    let current = c.view(0).current;
    assert!(!current.is_fresh());
    assert!((1..3).all(|n| c.view(n).current.same(current)), "{}", c.status());
    assert_eq!(c.superblock(1).current.masked(), current.masked());
    for n in [2, 0, 1] {
        c.promote(n);
        c.put(n, n as u64, 7);
        c.close(n);
        c.settle();
    }
    c.assert_all_good();
    nothing_copied(&c);
}

/// Goal: the copy that is told to is the source of all others. Method: different contents, and
/// `--force-resync` on one.
#[test]
fn the_initial_sync_is_forced() {
    let mut c = Cluster::new(configs(&[true, true, true]));
    (0..3).for_each(|n| {
        c.create_md(n, None);
        let content = drbd::core::event::one(Page::Stamp(100 + n as u64));
        c.nodes[n].disk.format(vec![(5, content)]);
        c.boot(n);
    });
    c.settle();
    assert_eq!(renew(&mut c, 1, InitialSync::Force), Ok(()));
    c.settle();
    c.assert_all_good();
    assert!([0, 2].iter().all(|n| c.resynced[n] >= SIZE), "{:?}", c.resynced);
    assert_eq!(c.data(2, 5), Page::Stamp(101));
}

/// Two nodes that are told to at once: one of them does, and nobody ends in a split brain.
#[test]
fn two_at_once_do_not_make_two_generations() {
    for initial in [InitialSync::Skip, InitialSync::Force] {
        let mut c = blank(&[true, true, true]);
        let asked = [2, 0].map(|n| (n, c.command(n, Command::NewCurrentUuid(V, initial))));
        let results = asked.map(|(n, id)| c.reply(n, id));
        assert!(results.iter().filter(|r| r.is_ok()).count() == 1, "{results:?}");
        c.settle();
        c.assert_all_good();
    }
}

#[test]
fn what_is_refused() {
    let mut c = up(&[true, true, false]);
    let all = [InitialSync::Unsaid, InitialSync::Skip, InitialSync::Force];
    for initial in all {
        assert_eq!(renew(&mut c, 0, initial), Err(Refusal::NeedStandalone), "{initial:?}");
        assert_eq!(renew(&mut c, 2, initial), Err(Refusal::NoDisk), "{initial:?}");
    }
    let none = drbd::ids::VolumeNumber(3);
    let command = Command::NewCurrentUuid(none, InitialSync::Unsaid);
    assert_eq!(c.told(0, command), Err(Refusal::MinorInvalid));
    // Just created, but nobody says what becomes of the initial sync.
    let mut c = blank(&[true, true]);
    assert_eq!(renew(&mut c, 0, InitialSync::Unsaid), Err(Refusal::NeedStandalone));
    // A fresh copy next to one with data, which another node cannot see.
    let mut c = Cluster::new(configs(&[true, true, true]));
    c.create_md(0, None);
    c.create_md(1, None);
    c.cut(0, 2);
    (0..2).for_each(|n| c.boot(n));
    c.settle();
    c.boot(2);
    c.run_ms(100);
    assert_eq!(c.disk(1), DiskState::Inconsistent);
    c.settle();
    assert_eq!(c.disk(1), DiskState::UpToDate, "{}", c.status());
    assert!(renew(&mut c, 0, InitialSync::Skip).is_err(), "{}", c.status());
}

/// Goal: alone, the generation is new and the peers are known to be behind: what is written after
/// it is what they get (truck-based replication). Topology: two copies. Method: `new-current-uuid`
/// on one that was left, a write, and the other connects.
#[test]
fn alone_the_others_are_behind() {
    let mut all = configs(&[true, true]);
    all.iter_mut().for_each(|config| config.quorum = Quorum::Off);
    let mut c = Cluster::new(all);
    (0..2).for_each(|n| c.boot(n));
    c.settle();
    c.cut(0, 1);
    c.settle();
    assert_eq!(renew(&mut c, 0, InitialSync::Unsaid), Ok(()));
    assert!(!c.view(0).current.same(FIRST));
    assert!(c.superblock(0).peer(id(1)).bitmap_uuid.same(FIRST), "told before it is durable");
    c.promote(0);
    c.put(0, 9, 9);
    c.mend_all();
    c.settle();
    c.assert_all_good();
    assert_eq!(c.resynced[&1], 1, "{:?}", c.resynced);
}

/// `--clear-bitmap` alone: this copy is UpToDate, whatever it is; a peer that was just created as
/// well gets everything, one that has the former generation what is marked, which is nothing.
#[test]
fn alone_the_bitmap_is_cleared() {
    let mut all = configs(&[true, true]);
    all.iter_mut().for_each(|config| config.quorum = Quorum::Off);
    let mut c = Cluster::new(all);
    (0..2).for_each(|n| c.create_md(n, None));
    c.boot(0);
    c.settle();
    assert_eq!(renew(&mut c, 0, InitialSync::Skip), Ok(()));
    assert_eq!((c.disk(0), c.bits(0, 1)), (DiskState::UpToDate, 0));
    c.boot(1);
    c.settle();
    c.assert_all_good();
    assert_eq!(c.resynced[&1], SIZE, "an initial sync");

    c.cut(0, 1);
    c.promote(0);
    c.put(0, 3, 3);
    assert!(c.bits(0, 1) > 0);
    assert_eq!(renew(&mut c, 0, InitialSync::Skip), Ok(()));
    assert_eq!(c.bits(0, 1), 0);
}

/// A Primary's writes belong to one generation or the next: the command waits for those in flight,
/// later ones wait for it.
#[test]
fn writes_wait() {
    let mut all = configs(&[true, true]);
    all.iter_mut().for_each(|config| config.quorum = Quorum::Off);
    let mut c = Cluster::new(all);
    (0..2).for_each(|n| c.boot(n));
    c.settle();
    c.promote(0);
    c.put(0, 1, 1);
    c.cut(0, 1);
    c.put(0, 2, 2);
    let before = c.view(0).current;
    c.nodes[0].disk.held = true;
    let first = c.write(0, 3, 3);
    let asked = c.command(0, Command::NewCurrentUuid(V, InitialSync::Unsaid));
    let second = c.write(0, 4, 4);
    c.run_ms(500);
    assert!(c.view(0).current.same(before) && c.done(0, first).is_none());
    c.nodes[0].disk.held = false;
    assert_eq!(c.reply(0, asked), Ok(()));
    assert!(c.done(0, first).is_some(), "it was in flight");
    assert!(c.wait(0, second).result.is_ok());
    assert!(!c.view(0).current.same(before));
    c.mend_all();
    c.settle();
    c.assert_all_good();
    // The generation that the peer had, from before the cut, went into the history.
    assert_eq!(c.resynced[&1], SIZE, "{:?}", c.resynced);
}

/// Goal: power may go at any moment: the copies end of one generation, or fresh ones are copied
/// anew. Topology: two copies. Method: power loss of either after each step.
#[test]
fn power_loss_at_any_moment() {
    let mut skipped = 0;
    for (victim, steps) in (0..2).flat_map(|victim| (0..40).map(move |steps| (victim, steps))) {
        let mut all = configs(&[true, true]);
        all.iter_mut().for_each(|config| config.rr_conflict = RrConflict::RetryConnect);
        let mut c = Cluster::new(all);
        (0..2).for_each(|n| {
            c.create_md(n, None);
            c.boot(n);
        });
        c.settle();
        c.command(0, Command::NewCurrentUuid(V, InitialSync::Skip));
        for _ in 0..steps {
            c.tick();
        }
        c.power_loss(victim, Loss::Luck(steps), 0);
        c.settle();
        c.boot(victim);
        c.settle();
        let (a, b) = (c.view(0).current, c.view(1).current);
        assert!(a.same(b), "{victim} {steps}:\n{}", c.status());
        assert_eq!(c.conn(0, 1), ConnState::Connected, "{victim} {steps}:\n{}", c.status());
        if a.same(Uuid::JUST_CREATED) {
            assert_eq!(c.disk(0), DiskState::Inconsistent, "{victim} {steps}");
            assert_eq!(renew(&mut c, 1, InitialSync::Skip), Ok(()), "{victim} {steps}");
        }
        skipped += u32::from(c.resynced.is_empty());
        c.settle();
        c.assert_all_good();
    }
    assert!((20..80).contains(&skipped), "{skipped}");
}

/// The peer's connection breaks between the agreement and the word: it gets everything.
#[test]
fn a_peer_that_did_not_hear_is_copied_to() {
    let mut c = blank(&[true, true, false]);
    c.hold((0, 1, drbd::packet::Stream::Data));
    let asked = c.command(0, Command::NewCurrentUuid(V, InitialSync::Skip));
    c.run_ms(50);
    assert!(!c.nodes[0].replies.contains_key(&asked), "nobody has agreed yet");
    c.release((0, 1, drbd::packet::Stream::Data));
    c.until("agreed", |c| {
        c.nodes[0].notices.iter().any(|n| matches!(n, Notice::NewCurrentUuid(..)))
    });
    c.break_link(0, 1, 0);
    c.settle();
    c.assert_all_good();
    assert_eq!(c.resynced.get(&1), Some(&SIZE), "{:?}", c.resynced);
    assert_eq!(c.repl(0, 1), ReplState::Established);
    c.promote(1);
    assert_eq!(c.role(1), Role::Primary);
    assert_eq!(c.put(1, 1, 1), NodeMask::NONE.with(id(0)).with(id(1)));
}

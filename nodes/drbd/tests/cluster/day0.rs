//! Copies that begin with the same preset generation: the first write leaves it, and a node that is
//! made anew with it gets what was written since, no less and no more.

use crate::cluster::{Cluster, FIRST, SIZE, V, configs, id};
use crate::disk::Disk;
use crate::verbs::up;
use drbd::core::config::Config;
use drbd::core::event::{Command, Notice};
use drbd::packet::Stream;
use drbd::page::Page;
use drbd::state::{ConnState, DiskState, ReplState};

/// An empty disk with the preset generation, in place of what the node had.
fn recreate(c: &mut Cluster, n: usize) {
    c.nodes[n].disk = Disk::default();
    c.create_md(n, Some(FIRST));
}

/// Blocks that all copies are to get if one is made anew.
fn write_some(c: &mut Cluster, n: usize, blocks: &[u64]) {
    c.promote(n);
    for block in blocks {
        c.put(n, *block, block + 1000);
    }
    c.close(n);
    c.settle();
}

/// Without the nodes from `count` on, as if they were not there yet.
fn only(configs: &[Config], count: usize) -> Vec<Config> {
    let mut all = configs.to_vec();
    for config in &mut all[..count] {
        config.peers.retain(|peer| peer.node.index() < count);
    }
    all
}

/// The nodes of a cluster that has grown come up with the new configuration.
fn grow(c: &mut Cluster, configs: &[Config], before: usize) {
    (0..before).for_each(|n| c.crash(n));
    for (node, config) in c.nodes.iter_mut().zip(configs) {
        node.config = config.clone();
    }
    (0..configs.len()).for_each(|n| c.boot(n));
    c.settle();
}

/// Goal: the first write makes a new generation, though nobody is away, and later sessions make
/// none (day0-uuid-diskful-primary, -diskless-primary, -three-node). Method: a Primary with and
/// without a disk, two and three copies.
#[test]
fn the_first_write_leaves_day0() {
    let shapes: [(&[bool], usize); 4] = [
        (&[true, true], 0),
        (&[true, true, false], 2),
        (&[true, true, true], 1),
        (&[true, false], 1),
    ];
    for (diskful, primary) in shapes {
        let mut c = up(diskful);
        write_some(&mut c, primary, &[3]);
        c.assert_all_good();
        let current = c.view(0).current;
        assert!(!current.same(FIRST), "{diskful:?}:\n{}", c.status());
        for n in 0..diskful.len() {
            assert!(c.view(n).current.same(current), "{diskful:?}:\n{}", c.status());
        }
        let md = c.superblock(0);
        assert!(md.day0(id(0)).is_some_and(|(_, uuid)| uuid.same(FIRST)), "{diskful:?}");
        assert!(md.history[0].same(FIRST) && !md.is_day0(), "{diskful:?}");
        write_some(&mut c, primary, &[4]);
        assert!(c.view(0).current.same(current), "{diskful:?}: one is enough");
    }
}

/// Goal: a node that is made anew with the preset generation gets what was written since then, by
/// everybody (recreate-node-day0, recreate-node-day0-diskless). Topology: three copies, or two and
/// a Primary without a disk. Method: writes before and after the node goes, and crashes in between.
#[test]
fn a_node_made_anew_gets_what_was_written_since_day0() {
    for (diskful, primary) in [([true, true, true, true], 0), ([true, true, true, false], 3)] {
        for crash in [false, true] {
            let mut c = up(&diskful);
            write_some(&mut c, primary, &[1, 2, 70]);
            c.crash(2);
            write_some(&mut c, primary, &[2, 3]);
            if crash {
                (0..2).for_each(|n| c.crash(n));
                (0..2).for_each(|n| c.boot(n));
                c.settle();
            }
            recreate(&mut c, 2);
            let from = c.nodes[0].notices.len();
            c.resynced.clear();
            c.boot(2);
            c.settle();
            c.assert_all_good();
            let copied = c.resynced[&2];
            // From one copy or from both; after a crash, extents of the activity log count, too.
            let most = if crash { 4096 } else { 8 };
            assert!((4..=most).contains(&copied), "{primary} {crash}: {:?}", c.resynced);
            assert_eq!(c.data(2, 70), Page::Stamp(1070));
            let verdicts: Vec<_> = (0..2).flat_map(|n| c.verdicts(n, 2, from.min(n))).collect();
            let copies = ("bitmap-self-other", "source-copy-other-bitmap");
            assert!(verdicts.contains(&copies), "{verdicts:?}");
        }
    }
}

/// Without a bitmap slot that counts since day0, everything is copied.
#[test]
fn without_a_free_slot_everything_is_copied() {
    let mut all = configs(&[true, true]);
    all.iter_mut().for_each(|config| config.max_peers = 1);
    let mut c = Cluster::new(all);
    (0..2).for_each(|n| c.boot(n));
    c.settle();
    write_some(&mut c, 0, &[1]);
    assert_eq!(c.superblock(0).day0(id(0)), None);
    c.crash(1);
    recreate(&mut c, 1);
    c.boot(1);
    c.settle();
    c.assert_all_good();
    assert_eq!(c.resynced[&1], SIZE);
}

/// Goal: a node that was never there before, and is preset like the others were, is not taken for
/// one of them (bug of 9.0.23, 9.2.17, 9.2.18; storage-migration-uuid). Topology: one or two copies
/// and a node without a disk; another copy comes later. Method: the one without a disk writes,
/// nobody is away.
#[test]
fn a_copy_that_comes_later_is_not_taken_for_one_that_was_there() {
    for primary in [0, 1] {
        let grown = configs(&[true, false, true]);
        let mut c = Cluster::new(only(&grown, 2));
        (0..2).for_each(|n| c.boot(n));
        c.settle();
        write_some(&mut c, primary, &[5, 900]);
        grow(&mut c, &grown, 2);
        c.assert_all_good();
        assert_eq!(c.data(2, 900), Page::Stamp(1900), "{}", c.status());
        assert!(c.resynced[&2] >= 2, "{:?}", c.resynced);
    }
}

/// Goal: copies of the same content that are preset alike are all UpToDate, nobody is a source, one
/// that joins late neither (pre-existing-data, initial-uuid-uptodate).
#[test]
fn the_same_content_is_not_copied() {
    let grown = configs(&[true, true, true]);
    let mut c = Cluster::new(only(&grown, 2));
    for node in &mut c.nodes {
        node.disk.format(vec![(7, drbd::core::event::one(Page::Stamp(77)))]);
    }
    (0..2).for_each(|n| c.boot(n));
    c.settle();
    grow(&mut c, &grown, 2);
    c.assert_all_good();
    assert!(c.resynced.is_empty(), "{:?}", c.resynced);
    let synced = |notice: &Notice| matches!(notice, Notice::Repl(_, _, repl) if repl.is_sync());
    assert!(!c.nodes.iter().any(|node| node.notices.iter().any(synced)));
    assert!((0..3).all(|n| c.view(n).current.same(FIRST)));
    write_some(&mut c, 2, &[8]);
    assert_eq!((c.data(0, 8), c.data(0, 7)), (Page::Stamp(1008), Page::Stamp(77)));
}

/// Goal: who is being resynced from one node and connects to another presents a generation that it
/// does not have yet; what it lacks is counted from the one that it has (fixed in 9.0.29, 9.1.2).
/// Topology: three copies: C, which was left at U1, is made anew at day0. Method: B's resync to C
/// hangs, A connects to C, then B goes.
#[test]
fn a_target_that_presents_its_source_is_resynced_from_what_it_has() {
    let mut c = up(&[true, true, true]);
    write_some(&mut c, 0, &[1, 2]);
    c.crash(2);
    write_some(&mut c, 0, &[3]);
    recreate(&mut c, 2);
    c.cut(0, 2);
    c.boot(2);
    c.until("target", |c| c.repl(2, 1) == ReplState::SyncTarget);
    c.hold((1, 2, Stream::Data));
    c.mend(0, 2);
    c.until("connected", |c| c.conn(0, 2) == ConnState::Connected);
    c.run_ms(100);
    let verdicts = c.verdicts(0, 2, 0);
    let said = verdicts.last().expect("a verdict");
    assert_eq!(*said, ("disk-states", "source-copy-other-bitmap"), "{verdicts:?}");
    c.cut(1, 2);
    c.settle();
    assert_eq!(c.disk(2), DiskState::UpToDate, "{}", c.status());
    assert_eq!([1, 2, 3].map(|block| c.data(2, block)), [1001, 1002, 1003].map(Page::Stamp));
    c.mend_all();
    c.settle();
    c.assert_all_good();
}

/// Goal: two nodes are forgotten and one of them comes back, made anew: its data is related (fixed
/// in 9.1.15). Topology: three copies.
#[test]
fn a_forgotten_node_made_anew_is_related() {
    let mut c = up(&[true, true, true]);
    write_some(&mut c, 0, &[1]);
    for n in [1, 2] {
        c.told(0, Command::Disconnect(id(n), true)).expect("left");
        c.crash(n);
        c.run_ms(1_000);
        c.told(0, Command::ForgetPeer(id(n))).expect("forgotten");
    }
    write_some(&mut c, 0, &[2]);
    recreate(&mut c, 1);
    c.boot(1);
    c.told(0, Command::Connect(id(1))).expect("connects");
    c.settle();
    assert_eq!(c.disk(1), DiskState::UpToDate, "{}", c.status());
    assert_eq!([1, 2].map(|block| c.data(1, block)), [1001, 1002].map(Page::Stamp));
    assert_eq!(c.view(1).current, c.view(0).current, "{:?}", V);
}

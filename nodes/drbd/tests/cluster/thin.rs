//! Thin resync: what is zero at the source is discarded at the target.

use crate::cluster::{Cluster, configs};
use drbd::core::config::Quorum;
use drbd::page::Page;
use drbd::state::{DiskState, ReplState};

/// Copies that resync in discards of 64 KiB.
fn able(diskful: &[bool]) -> Cluster {
    let mut all = configs(diskful);
    all.iter_mut().for_each(|config| config.rs_discard_granularity = 64 << 10);
    let mut c = Cluster::new(all);
    (0..diskful.len()).for_each(|n| c.boot(n));
    c.settle();
    c
}

/// Goal: of a whole volume only what holds something is sent; the rest is discarded and reads as
/// zero. Method: a copy is invalidated.
#[test]
fn holes_stay_holes() {
    let mut c = able(&[true, true, false]);
    c.promote(0);
    for block in [3, 100, 4_095] {
        c.put(0, block, block);
    }
    c.settle();
    c.nodes[1].disk.format(vec![(50, drbd::core::event::one(Page::Stamp(666)))]);
    let anew = drbd::core::event::Command::Invalidate(crate::cluster::V, None);
    assert_eq!(c.told(1, anew), Ok(()));
    c.settle();
    c.assert_all_good();
    assert_eq!(c.resynced.get(&1), Some(&48), "three runs of 16 blocks");
    assert_eq!([c.data(1, 50), c.data(1, 100)], [Page::Zero, Page::Stamp(100)]);
}

/// Goal: a copy that discarded what its source had not marks that towards all others (DRBD forgot
/// it before 9.2.13). Topology: three copies. Method: n0 discards alone, n1 is resynced from it,
/// loses it, and is the source of n2, which nobody told of anything.
#[test]
fn a_third_copy_does_not_miss_a_discard() {
    let mut all = configs(&[true, true, true]);
    for config in &mut all {
        config.rs_discard_granularity = 64 << 10;
        config.quorum = Quorum::Off;
    }
    let mut c = Cluster::new(all);
    (0..3).for_each(|n| c.boot(n));
    c.settle();
    c.promote(0);
    for block in 0..512 {
        c.put(0, block, 7);
    }
    c.settle();
    c.isolate(0);
    c.cut(1, 2);
    for start in (0..512).step_by(16) {
        c.discard(0, start, 16);
    }
    c.close(0);
    c.mend(0, 1);
    c.until("resynced", |c| c.repl(1, 0) == ReplState::SyncTarget);
    c.until("whole", |c| c.disk(1) == DiskState::UpToDate);
    assert_eq!([c.data(1, 5), c.data(2, 5)], [Page::Zero, Page::Stamp(7)]);
    c.run_ms(1_000);
    c.crash(0);
    c.mend(1, 2);
    c.settle();
    assert_eq!((c.data(2, 5), c.disk(2)), (Page::Zero, DiskState::UpToDate), "{}", c.status());
    c.assert_same_copies();
}

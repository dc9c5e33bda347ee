//! Checksum-based resync: what the target has already is not sent again.

use crate::cluster::{Cluster, configs};
use drbd::page::Page;

/// Two copies and a tie-breaker with `csums-alg`.
fn able(after_crash_only: bool) -> Cluster {
    let mut all = configs(&[true, true, false]);
    for config in &mut all {
        config.csums_alg = Some("crc32c".to_owned());
        config.csums_after_crash_only = after_crash_only;
    }
    let mut c = Cluster::new(all);
    (0..3).for_each(|n| c.boot(n));
    c.settle();
    c
}

/// Goal: of blocks that were written only those travel that hold something else. Method: a copy is
/// away while old and new contents are written; with and without `csums-after-crash-only`.
#[test]
fn only_what_differs_is_sent() {
    for (after_crash_only, sent) in [(false, 2), (true, 12)] {
        let mut c = able(after_crash_only);
        c.promote(0);
        for block in 0..12 {
            c.put(0, block * 100, block + 1);
        }
        c.settle();
        c.isolate(1);
        for block in 0..12 {
            c.put(0, block * 100, block + 1);
        }
        c.put(0, 300, 99);
        c.put(0, 800, 99);
        assert_eq!(c.bits(0, 1), 12);
        c.mend_all();
        c.settle();
        c.assert_all_good();
        assert_eq!(c.resynced.get(&1), Some(&sent));
        assert_eq!((c.data(1, 300), c.data(1, 400)), (Page::Stamp(99), Page::Stamp(5)));
    }
}

/// Goal: after a crash the extents of the activity log are compared, and next to nothing is sent.
#[test]
fn a_crashed_primary_is_compared() {
    let mut c = able(true);
    c.promote(0);
    for extent in 0..4 {
        c.put(0, extent * 1_024, extent + 1);
    }
    c.sync(0);
    c.crash(0);
    c.promote(1);
    c.put(1, 5, 55);
    c.boot(0);
    c.settle();
    c.assert_all_good();
    assert_eq!(c.data(0, 5), Page::Stamp(55));
    let sent = c.resynced[&0];
    assert!((1..=32).contains(&sent), "of 4096 blocks the one request that holds it: {sent}");
}

/// Goal: what the digest of a target stood for is not lost with its power: it may have been in a
/// volatile cache. Method: a write that the copy never flushed is compared; then the power goes, at
/// any step.
#[test]
fn what_is_the_same_is_durable_or_marked() {
    for steps in 0..60 {
        let mut c = able(false);
        c.promote(0);
        c.put(0, 7, 7);
        c.cut(0, 1);
        c.put(0, 7, 7);
        c.mend_all();
        c.until("about to compare", |c| c.bits(1, 0) == 1 && c.disk(1) < c.disk(0));
        (0..steps).for_each(|_| assert!(c.tick()));
        c.crash(1);
        c.run_ms(10);
        c.boot(1);
        c.settle();
        c.assert_all_good();
        assert_eq!(c.data(1, 7), Page::Stamp(7), "after {steps} steps");
    }
}

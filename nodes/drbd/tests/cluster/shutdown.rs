//! The end of a node's day, clean or not: what the metadata says afterwards.

use crate::cluster::Cluster;
use crate::verbs::up;
use drbd::core::event::Command;
use drbd::meta::MdFlags;
use drbd::page::Page;

const EXTENT: u64 = 1024;

fn with_writes_of_one() -> Cluster {
    let mut c = up(&[true, true, false]);
    c.promote(0);
    c.put(0, 5, 1);
    c.isolate(1);
    c.put(0, 5, 2);
    c.put(0, 3000, 2);
    c.sync(0);
    c.close(0);
    c.settle();
    c
}

/// Goal: AL_CLEAN stands in the superblock only once all bits are durable. Topology: two copies and
/// a tie-breaker, one copy was away. Method: power loss after each step of a clean shutdown; the
/// other copy must be told of every block that it lacks.
#[test]
fn a_clean_shutdown_writes_the_bits_first() {
    let mut clean = 0;
    for steps in 0.. {
        let mut c = with_writes_of_one();
        assert!(!c.superblock(0).flags.has(MdFlags::AL_CLEAN));
        let down = c.command(0, Command::Down);
        (0..steps).for_each(|_| assert!(c.tick()));
        let answered = c.nodes[0].replies.contains_key(&down);
        c.crash(0);
        let says_clean = c.superblock(0).flags.has(MdFlags::AL_CLEAN);
        assert!(says_clean || !answered, "down is answered before");
        clean += u32::from(says_clean);
        c.boot(0);
        c.run_ms(50);
        // Unless clean, the activity log is applied: whole extents.
        let bits = if says_clean { 2 } else { 2 * EXTENT };
        assert_eq!(c.bits(0, 1), bits, "after {steps} steps:\n{}", c.status());
        c.mend_all();
        c.settle();
        c.assert_all_good();
        assert_eq!((c.data(1, 5), c.data(1, 3000)), (Page::Stamp(2), Page::Stamp(2)));
        if answered {
            break;
        }
    }
    assert!(clean > 0, "no shutdown was clean");
}

/// Goal: a Primary that loses its power marks what it may have written. Topology: three copies.
/// Method: power loss with a write that reached no peer; the copies are the same again afterwards.
#[test]
fn a_crashed_primary_is_resynced_where_it_wrote() {
    let mut c = up(&[true, true, true]);
    c.promote(0);
    c.put(0, 2048, 1);
    c.sync(0);
    c.settle();
    for peer in [1, 2] {
        c.hold((0, peer, drbd::packet::Stream::Data));
    }
    let write = c.write(0, 2048, 2);
    c.run_ms(20);
    let flush = c.flush(0);
    c.run_ms(20);
    assert_eq!((c.done(0, write), c.nodes[0].disk.durable(2048)), (None, Page::Stamp(2)));
    assert!(c.done(0, flush).is_some());
    c.crash(0);
    c.mend_all();
    c.settle();
    c.promote(1);
    c.put(1, 7, 7);
    c.boot(0);
    c.settle();
    c.assert_all_good();
    assert_eq!(c.data(0, 2048), Page::Stamp(1), "nobody was told that it was written");
    assert!(c.resynced[&0] >= EXTENT);
}

//! Mirrored writes while everybody is here.

use crate::cluster::id;
use crate::verbs::up;
use drbd::ids::NodeMask;
use drbd::packet::Stream;
use drbd::page::Page;
use drbd::state::{DiskState, Role};

/// Goal: with protocol C a write completes only once every copy has it, and a flush makes it
/// durable everywhere. Topology: three copies. Method: the acknowledgements of one peer are held.
#[test]
fn a_write_completes_after_all_acks_and_a_flush_makes_it_durable() {
    let mut c = up(&[true, true, true]);
    c.promote(0);
    assert_eq!(c.role(0), Role::Primary);
    c.hold((2, 0, Stream::Control));
    let first = c.write(0, 7, 70);
    c.run_ms(100);
    assert_eq!(c.done(0, first), None, "n2 has not acknowledged");
    c.release((2, 0, Stream::Control));
    let done = c.wait(0, first);
    assert_eq!(done.copies, NodeMask(0b111));
    for n in 0..3 {
        assert_eq!(c.data(n, 7), Page::Stamp(70));
        assert_eq!(c.nodes[n].disk.durable(7), Page::Zero, "nobody asked to flush n{n}");
    }
    c.sync(0);
    c.settle();
    for n in 0..3 {
        assert_eq!(c.nodes[n].disk.durable(7), Page::Stamp(70), "n{n}");
        assert_eq!(c.disk(n), DiskState::UpToDate);
    }
    c.assert_all_good();
    assert_eq!(c.read(0, 7), Page::Stamp(70));
    assert!(c.engine(1).members().has(id(2)));
}

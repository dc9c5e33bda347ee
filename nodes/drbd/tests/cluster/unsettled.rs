//! Copies of one generation that differ, and who is told.

use crate::cluster::{Cluster, V, configs};
use crate::net::STREAMS;
use drbd::core::config::{OnLoss, Quorum};
use drbd::core::event::Command;
use drbd::page::Page;
use drbd::state::{DiskState, Role};

/// Goal: a node without a disk does not read from a copy that lacks what another of the same
/// generation has, though it was connected to that other one before the two parted. Topology: two
/// copies, two nodes without disks. Method: the Primary's last write reaches its own copy alone; it
/// loses the other copy, and with it quorum; a node without a disk then meets that copy.
#[test]
fn a_client_hears_that_a_copy_was_lost_with_writes_under_way() {
    let mut all = configs(&[true, true, false, false]);
    all.iter_mut().for_each(|config| config.on_no_quorum = OnLoss::IoError);
    let mut c = Cluster::new(all);
    (0..4).for_each(|n| c.boot(n));
    c.settle();
    c.promote(0);
    c.put(0, 7, 1);
    c.settle();
    c.cut(1, 2);
    c.cut(0, 3);
    c.settle();
    STREAMS.into_iter().for_each(|stream| c.hold((0, 1, stream)));
    let write = c.write(0, 7, 2);
    c.run_ms(10);
    c.cut(0, 1);
    assert!(c.wait(0, write).result.is_err());
    c.close(0);
    c.until("Secondary", |c| c.role(0) == Role::Secondary);
    c.mend(1, 2);
    c.settle();
    assert_eq!((c.data(0, 7), c.data(1, 7)), (Page::Stamp(2), Page::Stamp(1)));
    let good = |n: &usize| c.peer_disk(2, *n) == DiskState::UpToDate;
    let read: Vec<usize> = [0, 1].into_iter().filter(good).collect();
    assert_eq!(read.len(), 1, "{}", c.status());
    c.promote(2);
    let data = c.data(read[0], 7);
    assert_eq!(c.read(2, 7), data);
    c.mend_all();
    c.settle();
    c.assert_all_good();
    assert_eq!(c.read(2, 7), data);
}

/// Goal: a generation that only the metadata of a lost disk knows parts nobody. Topology: three
/// copies without quorum, one of them away. Method: the Primary's disk goes while its new
/// generation is written to it, which it is all the same; the Primary, or the next one, goes on
/// without that disk.
#[test]
fn a_generation_on_a_lost_disk_is_known_when_the_disk_comes_back() {
    for next in [0, 1] {
        let mut all = configs(&[true, true, true]);
        all.iter_mut().for_each(|config| config.quorum = Quorum::Off);
        let mut c = Cluster::new(all);
        (0..3).for_each(|n| c.boot(n));
        c.settle();
        c.promote(0);
        c.isolate(2);
        c.settle();
        c.nodes[0].disk.held = true;
        let before = c.view(0).current;
        let write = c.write(0, 7, 1);
        c.run_ms(10);
        assert_ne!(c.view(0).current, before, "{}", c.status());
        let detach = c.command(0, Command::Detach(V, true));
        if next == 1 {
            c.close(0);
        }
        let done = c.wait(0, write);
        assert!(done.result.is_ok(), "n{next}:\n{}\n{:#?}", c.status(), c.nodes[0].notices);
        assert_eq!(c.reply(0, detach), Ok(()));
        c.nodes[0].disk.held = false;
        c.settle();
        if next == 1 {
            c.promote(1);
        }
        c.put(next, 8, 2);
        c.settle();
        let attach = Command::Attach(V, c.nodes[0].lower_blocks);
        assert_eq!(c.told(0, attach), Ok(()));
        c.mend_all();
        c.settle();
        c.assert_all_good();
        assert_eq!((c.data(0, 7), c.data(0, 8)), (Page::Stamp(1), Page::Stamp(2)));
    }
}

//! Which copy a read goes to.

use crate::cluster::{Cluster, configs};
use crate::verbs::up;
use drbd::core::config::{OnLoss, ReadBalancing};
use drbd::core::event::{Command, one};
use drbd::page::Page;
use drbd::state::DiskState;

/// Two copies that can be told apart (n0 holds 0 everywhere, n1 holds 1), n0 Primary, and a
/// tie-breaker.
fn told_apart(balancing: ReadBalancing) -> Cluster {
    let mut all = configs(&[true, true, false]);
    all.iter_mut().for_each(|config| config.read_balancing = balancing);
    let mut c = Cluster::new(all);
    (0..3).for_each(|n| c.boot(n));
    c.settle();
    c.promote(0);
    c.put(0, 63, 0);
    for n in [0, 1] {
        let page = Page::Stamp(n as u64);
        c.nodes[n].disk.format((0..64).map(|block| (block, one(page.clone()))).collect());
    }
    c
}

/// Which node served each of these blocks.
fn served(c: &mut Cluster, blocks: &[u64]) -> Vec<u64> {
    let of = |page: Page| if page == Page::Stamp(1) { 1 } else { 0 };
    blocks.iter().map(|block| of(c.read(0, *block))).collect()
}

/// Goal: each policy sends reads where it says.
#[test]
fn reads_go_where_the_policy_says() {
    use ReadBalancing::*;
    let wanted: [(ReadBalancing, &[u64], &[u64]); 6] = [
        (PreferLocal, &[1, 2, 3], &[0, 0, 0]),
        (WhenCongestedRemote, &[1, 2, 3], &[0, 0, 0]),
        (PreferRemote, &[1, 2, 3], &[1, 1, 1]),
        (RoundRobin, &[1, 2, 3, 4], &[0, 1, 0, 1]),
        (LeastPending, &[1, 2, 3], &[0, 0, 0]),
        (Striping(32), &[0, 7, 8, 15, 16, 31], &[0, 0, 1, 1, 0, 1]),
    ];
    for (policy, blocks, nodes) in wanted {
        let mut c = told_apart(policy);
        assert_eq!(served(&mut c, blocks), nodes, "{policy:?}");
        c.cut(0, 1);
        c.run_ms(100);
        assert_eq!(served(&mut c, blocks), vec![0; blocks.len()], "{policy:?}, alone");
    }
}

/// Goal: a copy that is slow is not waited for. Method: the own disk stands still.
#[test]
fn least_pending_passes_a_disk_that_stands_still() {
    let mut c = told_apart(ReadBalancing::LeastPending);
    c.nodes[0].disk.held = true;
    let stuck = c.ask(0, 1);
    assert_eq!(served(&mut c, &[2, 3]), [1, 1]);
    assert_eq!(c.done(0, stuck), None);
    c.nodes[0].disk.held = false;
    assert!(c.wait(0, stuck).result.is_ok());
}

/// Goal: a copy that cannot read is passed over for the next one. Topology: a client, two copies.
/// Method: either copy has a bad block.
#[test]
fn a_client_reads_from_the_copy_that_can() {
    for n in [1, 2] {
        let mut c = up(&[false, true, true]);
        c.promote(0);
        c.put(0, 5, 5);
        c.settle();
        c.nodes[n].disk.bad.insert(5);
        assert_eq!(c.read(0, 5), Page::Stamp(5));
        assert_eq!(c.read(0, 5), Page::Stamp(5));
        c.settle();
        assert_eq!(c.disk(3 - n), DiskState::UpToDate);
    }
}

/// Goal: with `allow-remote-read no` peers are no source of data.
#[test]
fn peers_are_not_read_if_that_is_not_allowed() {
    let mut all = configs(&[true, true, false]);
    for config in &mut all {
        config.allow_remote_read = false;
        config.on_no_data = OnLoss::IoError;
        config.read_balancing = ReadBalancing::PreferRemote;
    }
    let mut c = Cluster::new(all);
    (0..3).for_each(|n| c.boot(n));
    c.settle();
    c.promote(0);
    c.put(0, 5, 5);
    assert_eq!(c.read(0, 5), Page::Stamp(5), "the own copy may be read");
    assert_eq!(c.told(0, Command::Detach(crate::cluster::V, true)), Ok(()));
    let read = c.ask(0, 5);
    assert!(c.wait(0, read).result.is_err());
}

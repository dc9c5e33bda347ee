//! Online verify: what differs is found, and nothing that does not.

use crate::cluster::{Cluster, SIZE, V, configs, id};
use crate::verbs::up;
use drbd::core::event::{Command, Notice, Refusal};
use drbd::packet::Stream;
use drbd::page::Page;
use drbd::state::{DiskState, ReplState};

/// Nodes with or without a disk, which may verify fast.
fn able(diskful: &[bool]) -> Cluster {
    let mut all = configs(diskful);
    for config in &mut all {
        config.verify_alg = Some("crc32c".to_owned());
        config.peer_device.plan_ahead = 0;
        config.peer_device.resync_rate_kib = 8_000;
    }
    let mut c = Cluster::new(all);
    (0..diskful.len()).for_each(|n| c.boot(n));
    c.settle();
    c
}

fn verify(node: usize) -> Command {
    Command::Verify { volume: V, node: id(node), start: None, stop: None }
}

/// What ended verifies of a node told: blocks found, blocks out of sync.
fn told(c: &Cluster, n: usize) -> Vec<(u64, u64)> {
    let done = |notice: &Notice| match notice {
        Notice::VerifyDone { found, left, .. } => Some((*found, *left)),
        _ => None,
    };
    c.nodes[n].notices.iter().filter_map(done).collect()
}

fn rot(c: &mut Cluster, n: usize, block: u64) {
    c.nodes[n].disk.format(vec![(block, drbd::core::event::one(Page::Stamp(666)))]);
}

/// Goal: blocks that differ are marked at both ends, stand until the two connect again, and are
/// copied then. Topology: two copies and a tie-breaker. Method: blocks of one copy rot; either side
/// drives.
#[test]
fn what_differs_is_marked_and_copied_at_the_next_connect() {
    for driver in [0, 1] {
        let mut c = able(&[true, true, false]);
        c.promote(0);
        c.put(0, 3, 3);
        c.sync(0);
        c.settle();
        [7, 8, 4_000].into_iter().for_each(|block| rot(&mut c, 1, block));
        assert_eq!(c.told(driver, verify(1 - driver)), Ok(()));
        c.until("driving", |c| c.repl(driver, 1 - driver) == ReplState::VerifyS);
        c.until("driven", |c| c.repl(1 - driver, driver) == ReplState::VerifyT);
        c.settle();
        for (n, peer) in [(0, 1), (1, 0)] {
            assert_eq!((told(&c, n), c.bits(n, peer)), (vec![(3, 3)], 3), "n{n}");
            assert_eq!(c.repl(n, peer), ReplState::Established);
            assert_eq!(c.disk(n), DiskState::UpToDate);
        }
        c.cut(0, 1);
        c.run_ms(100);
        c.mend_all();
        c.settle();
        c.assert_all_good();
        assert_eq!((c.resynced.get(&1), c.data(1, 7)), (Some(&3), Page::Zero));
    }
}

/// Goal: copies that are written to all the time are never found to differ. Topology: three copies,
/// a Primary elsewhere or at either end. Method: the streams to one of the two lag behind while the
/// application writes to the blocks that are compared.
#[test]
fn writes_in_between_are_no_difference() {
    for (primary, driver, driven) in [(0, 0, 1), (1, 0, 1), (2, 0, 1), (2, 1, 0)] {
        for lag in [None, Some((primary, driver)), Some((primary, driven)), Some((driver, driven))]
        {
            let mut c = able(&[true, true, true]);
            c.jitter_ns = 300_000;
            c.promote(primary);
            assert_eq!(c.told(driver, verify(driven)), Ok(()));
            for round in 0..60 {
                let pipe = lag.filter(|(a, b)| a != b).map(|(a, b)| (a, b, Stream::Data));
                if let (Some(pipe), 0) = (pipe, round % 3) {
                    c.hold(pipe);
                }
                // At 8000 KiB/s it goes on by 200 blocks in 100 ms.
                for block in 0..8 {
                    c.write(primary, (round * 60 + block * 30) % SIZE, round + 1);
                }
                c.run_ms(30);
                pipe.into_iter().for_each(|pipe| c.release(pipe));
            }
            c.settle();
            for n in [driver, driven] {
                assert_eq!(told(&c, n), [(0, 0)], "primary n{primary}, n{driver} drives, {lag:?}");
            }
            c.assert_all_good();
        }
    }
}

/// Goal: a verify that its connection interrupts goes on where it was, and one that is told where
/// looks there alone.
#[test]
fn it_goes_on_where_it_was_and_looks_where_it_is_told() {
    let mut c = able(&[true, true, false]);
    [10, 4_000].into_iter().for_each(|block| rot(&mut c, 1, block));
    let span = |start: u64, stop: u64| Command::Verify {
        volume: V,
        node: id(1),
        start: Some(start),
        stop: Some(stop),
    };
    assert_eq!(c.told(0, span(100, 3_000)), Ok(()));
    c.settle();
    assert_eq!(told(&c, 0), [(0, 0)]);
    assert_eq!(c.told(0, span(0, SIZE)), Ok(()));
    c.until("found", |c| c.bits(1, 0) == 1);
    c.cut(0, 1);
    c.run_ms(100);
    c.mend_all();
    c.settle();
    assert_eq!((c.bits(0, 1), c.data(1, 10)), (0, c.data(0, 10)));
    assert_eq!(c.data(1, 4_000), Page::Stamp(666), "it has not come so far");
    rot(&mut c, 1, 0);
    assert_eq!(c.told(0, verify(1)), Ok(()));
    c.settle();
    assert_eq!(told(&c, 0), [(0, 0), (1, 1)], "block 4000, not block 0");
}

/// Goal: refusals with DRBD's codes.
#[test]
fn what_cannot_be_verified_is_refused() {
    let mut c = up(&[true, true, false]);
    assert_eq!(c.told(0, verify(1)), Err(Refusal::NoVerifyAlg));
    c.cut(0, 1);
    c.run_ms(100);
    assert_eq!(c.told(0, verify(1)), Err(Refusal::NeedConnection));
    let mut c = able(&[true, true, false]);
    assert_eq!(c.told(0, verify(2)), Err(Refusal::NoRemoteDisk));
    assert_eq!(c.told(2, verify(0)), Err(Refusal::NoLocalDisk));
    assert_eq!(c.told(0, verify(1)), Ok(()));
    assert_eq!(c.told(0, verify(1)), Err(Refusal::ResyncRunning));
    assert_eq!(c.told(1, Command::InvalidateRemote(V, id(0))), Err(Refusal::ResyncRunning));
    assert_eq!(c.told(0, verify(5)), Err(Refusal::InvalidPeerNodeId));
}

/// Goal: whoever loses its disk ends the verify, at both ends, and applications go on.
#[test]
fn a_lost_disk_ends_it() {
    for (n, peer) in [(0, 1), (1, 0)] {
        let mut c = able(&[true, true, true]);
        c.promote(2);
        assert_eq!(c.told(0, verify(1)), Ok(()));
        c.run_ms(150);
        assert_eq!(c.told(n, Command::Detach(V, true)), Ok(()));
        c.settle();
        assert_eq!([c.repl(n, peer), c.repl(peer, n)], [ReplState::Established; 2]);
        c.put(2, 5, 5);
    }
}

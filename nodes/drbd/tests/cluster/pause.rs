//! Resyncs that stand still: `pause-sync`, `resync-after`, and `c-min-rate`.

use crate::cluster::{Cluster, V, configs, id};
use drbd::core::event::{Command, Event, Notice, Refusal};
use drbd::page::Page;
use drbd::state::{DiskState, ReplState};

/// Two copies and a tie-breaker; n1 missed so many blocks and is back, about to connect.
fn missed(blocks: u64) -> Cluster {
    let mut c = Cluster::new(configs(&[true, true, false]));
    (0..3).for_each(|n| c.boot(n));
    c.settle();
    c.promote(0);
    c.isolate(1);
    for block in 0..blocks {
        c.put(0, block, block + 1);
    }
    c.mend_all();
    c
}

/// Both ends of the resync from n0 to n1.
fn ends(c: &Cluster) -> (ReplState, ReplState) {
    (c.repl(0, 1), c.repl(1, 0))
}

const PAUSED: (ReplState, ReplState) = (ReplState::PausedSyncS, ReplState::PausedSyncT);
const ACTIVE: (ReplState, ReplState) = (ReplState::SyncSource, ReplState::SyncTarget);

/// Goal: who pauses a resync stops it at both ends, and it goes on when nobody pauses it any more.
/// Topology: two copies and a tie-breaker. Method: either end pauses, or both; the Primary writes
/// meanwhile to blocks that were copied and to others.
#[test]
fn either_end_pauses_a_resync() {
    for (pausing, block) in [(&[0][..], 3), (&[1], 190), (&[0, 1], 3), (&[1, 0], 700)] {
        let mut c = missed(200);
        c.until("active", |c| ends(c) == ACTIVE && c.bits(0, 1) < 200);
        for n in pausing {
            assert_eq!(c.told(*n, Command::PauseSync(V, id(1 - *n))), Ok(()));
        }
        c.until("paused", |c| ends(c) == PAUSED);
        c.settle();
        assert_eq!(ends(&c), PAUSED);
        let left = c.bits(1, 0);
        assert!(left > 0 && c.disk(1) == DiskState::Inconsistent, "{}", c.status());
        c.put(0, block, 1000);
        c.run_ms(1_000);
        assert_eq!(c.data(1, block), Page::Stamp(1000), "writes are mirrored all the same");
        assert!(c.bits(1, 0) <= left);
        for n in pausing {
            let pauses = c.peer(*n, 1 - *n).pauses;
            assert_eq!((pauses.user, pauses.peer), (true, pausing.len() == 2));
            assert_eq!(ends(&c), PAUSED);
            assert_eq!(c.told(*n, Command::ResumeSync(V, id(1 - *n))), Ok(()));
        }
        c.settle();
        c.assert_all_good();
        assert_eq!(c.data(1, block), Page::Stamp(1000));
    }
}

/// Goal: a pause that was asked for before holds the resync that comes, from its first state on; a
/// reconnect does not end it. Method: as above, paused while nothing is to be copied.
#[test]
fn a_pause_outlives_its_connection() {
    for n in [0, 1] {
        let mut c = missed(20);
        assert_eq!(c.told(n, Command::PauseSync(V, id(1 - n))), Ok(()));
        let from: [usize; 2] = [c.nodes[0].notices.len(), c.nodes[1].notices.len()];
        c.settle();
        assert_eq!(ends(&c), PAUSED);
        assert_eq!((c.bits(0, 1), c.resynced.get(&1)), (20, None));
        let active = |notice: &Notice| {
            matches!(notice, Notice::Repl(_, _, ReplState::SyncSource | ReplState::SyncTarget))
        };
        assert!(!c.nodes[n].notices[from[n]..].iter().any(active));
        c.cut(0, 1);
        c.run_ms(1_000);
        c.mend(0, 1);
        c.settle();
        assert_eq!(ends(&c), PAUSED);
        assert_eq!(c.told(n, Command::ResumeSync(V, id(1 - n))), Ok(()));
        c.settle();
        c.assert_all_good();
    }
}

/// Goal: what pauses and does not is refused with DRBD's codes.
#[test]
fn pausing_twice_is_refused() {
    let mut c = missed(20);
    let refused = |c: &mut Cluster, n: usize, command: Command| c.told(n, command).err();
    let (pause, resume) = (Command::PauseSync(V, id(1)), Command::ResumeSync(V, id(1)));
    assert_eq!(refused(&mut c, 0, resume.clone()), Some(Refusal::PauseIsClear));
    assert_eq!(refused(&mut c, 0, pause.clone()), None);
    assert_eq!(refused(&mut c, 0, pause), Some(Refusal::PauseIsSet));
    c.settle();
    assert_eq!(ends(&c), PAUSED);
    let other = Command::ResumeSync(V, id(0));
    assert_eq!(refused(&mut c, 1, other.clone()), Some(Refusal::PausedByPeer));
    assert_eq!(refused(&mut c, 0, resume), None);
    c.event(1, Event::Waits(V, true));
    c.settle();
    assert_eq!(refused(&mut c, 1, other), Some(Refusal::PausedByDependency));
    let nobody = Command::PauseSync(V, id(7));
    assert_eq!(refused(&mut c, 1, nobody), Some(Refusal::InvalidPeerNodeId));
}

/// Goal: a volume that waits for others is not resynced, holds back who waits for it, and goes on
/// when they are done; wherever it waits, source or target.
#[test]
fn a_volume_waits_for_those_before_it() {
    for n in [0, 1] {
        let mut c = missed(20);
        c.until("connected", |c| ends(c) == ACTIVE);
        assert!(c.engine(0).holds_back(V) && c.engine(1).holds_back(V));
        c.event(n, Event::Waits(V, true));
        c.settle();
        assert_eq!(ends(&c), PAUSED);
        assert!(c.peer(n, 1 - n).pauses.dependency && c.peer(1 - n, n).pauses.peer);
        assert!(c.engine(0).holds_back(V) && c.engine(1).holds_back(V));
        c.event(n, Event::Waits(V, false));
        c.settle();
        c.assert_all_good();
        assert!(!c.engine(0).holds_back(V) && !c.engine(1).holds_back(V));
    }
}

/// How long a resync of 800 blocks takes while the application writes 64 blocks a tick; ms.
fn resync_under_load(min_rate_kib: u64) -> u64 {
    let mut c = missed(800);
    for n in 0..3 {
        let options =
            drbd::core::config::PeerDeviceOptions { min_rate_kib, ..c.nodes[n].config.peer_device };
        for peer in (0..3).filter(|peer| *peer != n) {
            assert_eq!(c.told(n, Command::PeerDeviceOptions(id(peer), V, options)), Ok(()));
        }
    }
    c.until("active", |c| ends(c) == ACTIVE);
    let begun = c.now;
    while c.disk(1) != DiskState::UpToDate {
        for block in 0..16 {
            c.write(0, 2_000 + block, 1);
        }
        c.run_ms(100);
    }
    c.now.ms_since(begun)
}

/// Goal: other I/O slows a resync down to `c-min-rate` and no further; 0 never slows it.
#[test]
fn a_resync_gives_way_down_to_its_floor() {
    let (free, slow, faster) =
        (resync_under_load(0), resync_under_load(100), resync_under_load(400));
    assert!(free < 6_000, "3.1 MiB took {free} ms although nothing slows it");
    // 3200 KiB at 100 and 400 KiB/s, measured over some seconds.
    assert!((20_000..45_000).contains(&slow), "{slow} ms");
    assert!((6_000..14_000).contains(&faster), "{faster} ms");
}

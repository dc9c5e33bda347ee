//! Openers and closers, and the role that follows them.

use crate::cluster::id;
use crate::net::STREAMS;
use crate::verbs::up;
use drbd::core::event::Command;
use drbd::state::{DiskState, Role};

/// Goal: who opens while the last close demotes finds out anew whether this node may be Primary: it
/// may have stood still while another took over. Topology: three copies. Method: the last write
/// hangs at the close; the opener waits for write and demotion, and is then served.
#[test]
fn who_opens_during_a_demotion_waits_for_its_end() {
    let mut c = up(&[true, true, true]);
    c.promote(0);
    let pipes = [1, 2].into_iter().flat_map(|peer| STREAMS.map(|stream| (0, peer, stream)));
    pipes.clone().for_each(|pipe| c.hold(pipe));
    let write = c.write(0, 7, 7);
    c.close(0);
    let open = c.open(0);
    c.run_ms(100);
    assert_eq!((c.done(0, write), c.nodes[0].replies.get(&open)), (None, None));
    pipes.for_each(|pipe| c.release(pipe));
    c.until("Secondary", |c| c.role(0) == Role::Secondary);
    assert!(c.done(0, write).is_some_and(|done| done.result.is_ok()));
    assert_eq!(c.reply(0, open), Ok(()));
    assert_eq!(c.role(0), Role::Primary);
}

/// Goal: the opener does not fare worse for the demotion. Topology: three copies, of which the
/// other two become silent. Method: the write and the demotion end with the loss of quorum, and
/// then the opener is refused like any other, in the time that it has.
#[test]
fn who_opens_during_a_demotion_has_its_time_from_then_on() {
    let mut c = up(&[true, true, true]);
    c.promote(0);
    let write = c.write(0, 7, 7);
    c.wait(0, write);
    let silent = c.write(0, 8, 8);
    [1, 2].into_iter().for_each(|peer| c.net.set_silent(0, peer, true));
    c.close(0);
    let open = c.open(0);
    c.until("Secondary", |c| c.role(0) == Role::Secondary);
    assert!(c.done(0, silent).is_some());
    let since = c.now;
    assert!(c.reply(0, open).is_err());
    let waited = c.now.0 - since.0;
    assert!(waited >= c.engine(0).config().auto_promote_timeout_ms * 1_000_000, "{waited} ns");
}

/// Goal: a Primary that leaves a copy on purpose goes on without it, and that copy knows. Topology:
/// two copies and a tie-breaker. Method: `disconnect` on the Primary, then its power goes.
#[test]
fn a_copy_that_the_primary_left_is_outdated() {
    let mut c = up(&[true, true, false]);
    c.promote(0);
    c.put(0, 7, 1);
    assert_eq!(c.told(0, Command::Disconnect(id(1), false)), Ok(()));
    c.settle();
    assert_eq!(c.disk(1), DiskState::Outdated, "{}", c.status());
    c.put(0, 7, 2);
    c.crash(0);
    c.settle();
    let open = c.open(1);
    assert!(c.reply(1, open).is_err());
}

/// Goal: `down` ends a promotion that is under way, so that nobody is left by a Primary. Topology:
/// three copies. Method: `down` after each step of a promotion, until it comes too late.
#[test]
fn down_ends_a_promotion() {
    for steps in 0.. {
        let mut c = up(&[true, true, true]);
        let open = c.open(0);
        (0..steps).for_each(|_| assert!(c.tick()));
        if c.role(0) == Role::Primary {
            assert!(steps > 3);
            return;
        }
        assert_eq!(c.told(0, Command::Down), Ok(()));
        assert!(c.reply(0, open).is_err());
        c.settle();
        assert_eq!((c.disk(1), c.disk(2)), (DiskState::UpToDate, DiskState::UpToDate));
    }
}

/// Goal: a Primary that stood still does not read on before its peers have answered: another may
/// have taken over. Topology: three copies. Method: the clock jumps, with peers that answer and
/// with silent ones.
#[test]
fn a_primary_that_stood_still_asks_before_it_reads() {
    for silent in [false, true] {
        let mut c = up(&[true, true, true]);
        c.promote(0);
        c.put(0, 7, 1);
        [1, 2].into_iter().for_each(|peer| c.net.set_silent(0, peer, silent));
        c.now = c.now.plus_ms(2_000);
        let read = c.ask(0, 7);
        assert_eq!(c.nodes[0].disk.next_due(), None, "the disk is read at once");
        c.run_ms(2_000);
        assert_eq!(c.done(0, read).is_some(), !silent, "{}", c.status());
        assert_eq!(c.engine(0).is_suspended(), silent);
    }
}

//! Fencing and the other handlers: who is called when, and what an exit code does.

use crate::cluster::{Cluster, V, configs, id};
use drbd::core::config::{Fencing, Quorum};
use drbd::core::event::{Command, Handler, Notice, Ran, Refusal};
use drbd::state::{ConnState, DiskState, ReplState, Role};

/// Two copies without quorum, connected; the handlers answer so after 100 ms.
fn two(fencing: Fencing, answers: &[(Handler, u8)]) -> Cluster {
    let mut all = configs(&[true, true]);
    for config in &mut all {
        config.quorum = Quorum::Off;
        config.fencing = fencing;
        config.handlers = answers.iter().map(|(handler, _)| *handler).collect();
    }
    let mut c = Cluster::new(all);
    for node in &mut c.nodes {
        node.answers = answers.iter().map(|(handler, exit)| (*handler, (100, *exit))).collect();
    }
    (0..2).for_each(|n| c.boot(n));
    c.settle();
    c
}

/// How a handler went, each time.
fn ran(c: &Cluster, n: usize, handler: Handler) -> Vec<Ran> {
    let notices = c.nodes[n].notices.iter();
    let of = notices.filter_map(|notice| match notice {
        Notice::Handler(which, _, _, ran) if *which == handler => Some(*ran),
        _ => None,
    });
    of.collect()
}

/// What is known of the peer once `fence-peer` has exited so, with a good copy here or without.
fn expected(exit: u8, good: bool) -> DiskState {
    match exit {
        3 => DiskState::Inconsistent,
        4 | 7 => DiskState::Outdated,
        5 if good => DiskState::Outdated,
        _ => DiskState::DUnknown,
    }
}

/// Goal: every exit code of `fence-peer` does what drbd.conf(5) says, under every policy, and I/O
/// is on hold under `resource-and-stonith` alone, until the peer is fenced or back. Topology: two
/// copies, one Primary. Method: the link breaks and is mended.
#[test]
fn a_primary_fences_whom_it_loses() {
    for fencing in [Fencing::DontCare, Fencing::ResourceOnly, Fencing::ResourceAndStonith] {
        for exit in 0..=8 {
            let mut c = two(fencing, &[(Handler::FencePeer, exit), (Handler::UnfencePeer, 0)]);
            c.promote(0);
            c.put(0, 1, 1);
            c.cut(0, 1);
            c.run_ms(50);
            let holds = fencing == Fencing::ResourceAndStonith;
            assert_eq!(c.engine(0).is_suspended(), holds, "{fencing:?}");
            assert_eq!(c.engine(0).suspended_by().fencing, holds);
            let write = c.write(0, 2, 2);
            c.run_ms(1_000);
            let called = fencing != Fencing::DontCare;
            let disk = if called { expected(exit, true) } else { DiskState::DUnknown };
            assert_eq!(c.peer_disk(0, 1), disk, "{fencing:?} {exit}");
            let calls = [Ran::Started, Ran::Exit(exit)];
            let calls = if called { &calls[..] } else { &[] };
            assert_eq!(ran(&c, 0, Handler::FencePeer), calls, "{fencing:?} {exit}");
            let frozen = holds && disk == DiskState::DUnknown;
            assert_eq!(c.engine(0).is_suspended(), frozen, "{fencing:?} {exit}");
            assert_eq!(c.done(0, write).is_none(), frozen, "{fencing:?} {exit}");
            c.mend_all();
            c.settle();
            c.assert_all_good();
            assert!(c.done(0, write).is_some_and(|done| done.result.is_ok()));
            let undone = ran(&c, 0, Handler::UnfencePeer).contains(&Ran::Exit(0));
            assert!(undone || !called || frozen, "{fencing:?} {exit}");
            assert!(called || !undone);
        }
    }
}

/// Goal: who is to be Primary fences whom it cannot see first; who hears that the peer is Primary
/// outdates itself. Topology: as above, nobody Primary. Method: the link breaks, n1 is promoted.
#[test]
fn a_promotion_fences_first() {
    for exit in 0..=8 {
        let mut c = two(Fencing::ResourceOnly, &[(Handler::FencePeer, exit)]);
        c.cut(0, 1);
        c.settle();
        assert_eq!(ran(&c, 1, Handler::FencePeer), [], "nobody is Primary");
        let result = c.told(1, Command::Primary(false));
        let disk = expected(exit, true);
        assert_eq!(c.peer_disk(1, 0), disk, "{exit}");
        match disk {
            _ if exit == 6 => assert_eq!(result, Err(Refusal::NoUpToDateDisk)),
            DiskState::DUnknown => assert_eq!(result, Err(Refusal::PrimaryNop), "{exit}"),
            _ => assert_eq!(result, Ok(()), "{exit}"),
        }
        let own = if exit == 6 { DiskState::Outdated } else { DiskState::UpToDate };
        assert_eq!(c.disk(1), own, "{exit}");
        if exit == 0 {
            assert_eq!(c.told(1, Command::Primary(true)), Ok(()), "by force");
            assert_eq!(ran(&c, 1, Handler::FencePeer).len(), 4, "each promotion asks once");
        }
    }
}

/// Goal: without a handler nobody is fenced. Topology: as above.
#[test]
fn without_a_handler_nobody_is_fenced() {
    let mut c = two(Fencing::ResourceAndStonith, &[]);
    c.promote(0);
    c.cut(0, 1);
    c.run_ms(1_000);
    assert_eq!(ran(&c, 0, Handler::FencePeer), [Ran::Nothing]);
    assert!(c.engine(0).is_suspended());
    assert_eq!(c.told(1, Command::Primary(false)), Err(Refusal::PrimaryNop));
    // The administrator knows better.
    assert_eq!(c.told(0, Command::ResumeIo), Ok(()));
    assert!(!c.engine(0).is_suspended());
    c.put(0, 1, 1);
}

/// Goal: an answer that comes after the connection is back is about the past. Topology: as above.
/// Method: the handler takes longer than the cut.
#[test]
fn a_late_answer_is_ignored() {
    let mut c = two(Fencing::ResourceAndStonith, &[(Handler::FencePeer, 4)]);
    c.nodes[0].answers.insert(Handler::FencePeer, (20_000, 4));
    c.promote(0);
    c.cut(0, 1);
    c.run_ms(1_000);
    assert!(c.engine(0).is_suspended());
    c.mend_all();
    c.run_ms(10_000);
    assert!(!c.engine(0).is_suspended());
    c.put(0, 1, 1);
    c.run_ms(20_000);
    assert_eq!(ran(&c, 0, Handler::FencePeer), [Ran::Started, Ran::Exit(4)]);
    c.assert_all_good();
}

/// Goal: a Primary whose own copy is gone does not take an unreachable peer for dead. Topology: as
/// above. Method: n0 is detached, then the link breaks; the handler says 5.
#[test]
fn unreachable_is_fenced_only_beside_a_good_copy() {
    let mut c = two(Fencing::ResourceAndStonith, &[(Handler::FencePeer, 5)]);
    c.promote(0);
    assert_eq!(c.told(0, Command::Detach(V, false)), Ok(()));
    c.cut(0, 1);
    c.run_ms(1_000);
    assert_eq!(c.peer_disk(0, 1), expected(5, false));
    assert!(c.engine(0).is_suspended());
}

/// Goal: who leaves in agreement with fencing needs no handler: its copy is Outdated. Topology: as
/// above.
#[test]
fn who_leaves_is_outdated_and_not_fenced() {
    let mut c = two(Fencing::ResourceAndStonith, &[(Handler::FencePeer, 4)]);
    c.promote(0);
    assert_eq!(c.told(1, Command::Disconnect(id(0), false)), Ok(()));
    c.settle();
    assert_eq!((c.disk(1), c.peer_disk(0, 1)), (DiskState::Outdated, DiskState::Outdated));
    assert_eq!(ran(&c, 0, Handler::FencePeer), []);
    assert!(!c.engine(0).is_suspended());
}

/// Goal: what a handler says before a resync ends the connection, or does not. Topology: as above.
/// Method: a write while the link is cut, so that a resync follows.
#[test]
fn a_handler_may_refuse_a_resync() {
    let cases = [
        (Handler::BeforeResyncTarget, 0, true),
        (Handler::BeforeResyncTarget, 1, false),
        (Handler::BeforeResyncTarget, 3, false),
        (Handler::BeforeResyncSource, 0, true),
        (Handler::BeforeResyncSource, 1, false),
        (Handler::BeforeResyncSource, 3, true),
    ];
    for (handler, exit, goes_on) in cases {
        let mut c = two(Fencing::DontCare, &[(handler, exit)]);
        c.promote(0);
        c.cut(0, 1);
        c.put(0, 1, 1);
        c.mend_all();
        c.settle();
        let asked = usize::from(handler == Handler::BeforeResyncTarget);
        assert_eq!(ran(&c, asked, handler), [Ran::Started, Ran::Exit(exit)]);
        if goes_on {
            c.assert_all_good();
        } else {
            let both = (c.conn(0, 1), c.conn(1, 0));
            assert_eq!(both, (ConnState::StandAlone, ConnState::StandAlone), "{handler:?} {exit}");
            assert_eq!((c.role(0), c.repl(0, 1)), (Role::Primary, ReplState::Off));
        }
    }
}

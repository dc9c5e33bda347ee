//! `suspend-io`: all copies hold the same once it is answered.

use crate::verbs::up;
use drbd::core::event::{Command, Refusal};
use drbd::packet::Stream;
use drbd::page::Page;

/// Goal: the answer comes once no write is in flight; what comes later waits. Topology: two copies
/// and a tie-breaker. Method: a write's way to the peer, or back, is held.
#[test]
fn it_is_answered_when_all_copies_hold_the_same() {
    for pipe in [(0, 1, Stream::Data), (1, 0, Stream::Control)] {
        let mut c = up(&[true, true, false]);
        c.promote(0);
        c.put(0, 5, 1);
        c.hold(pipe);
        let before = c.write(0, 5, 2);
        c.run_ms(5);
        let suspend = c.command(0, Command::SuspendIo);
        let after = c.write(0, 6, 3);
        c.run_ms(200);
        assert!(!c.nodes[0].replies.contains_key(&suspend), "a write is in flight");
        assert_eq!(c.done(0, before), None);
        c.release(pipe);
        assert_eq!(c.reply(0, suspend), Ok(()));
        assert!(c.wait(0, before).result.is_ok());
        c.run_ms(200);
        assert_eq!([c.data(0, 5), c.data(1, 5)], [Page::Stamp(2), Page::Stamp(2)]);
        assert_eq!([c.data(0, 6), c.data(1, 6)], [Page::Zero, Page::Zero], "it waits");
        assert!(c.engine(0).is_suspended() && c.done(0, after).is_none());
        assert_eq!(c.told(0, Command::ResumeIo), Ok(()));
        assert!(c.wait(0, after).result.is_ok());
        c.settle();
        c.assert_all_good();
    }
}

/// Goal: who resumes before the writes are done ends the wait of who suspended.
#[test]
fn a_resume_interrupts_it() {
    let mut c = up(&[true, true, false]);
    c.promote(0);
    c.put(0, 7, 1);
    assert_eq!(c.told(0, Command::SuspendIo), Ok(()), "nothing is in flight");
    assert_eq!(c.told(0, Command::ResumeIo), Ok(()));
    c.hold((0, 1, Stream::Data));
    let write = c.write(0, 5, 2);
    c.run_ms(5);
    let suspend = c.command(0, Command::SuspendIo);
    assert_eq!(c.told(0, Command::ResumeIo), Ok(()));
    assert_eq!(c.reply(0, suspend), Err(Refusal::Interrupted));
    c.release((0, 1, Stream::Data));
    assert!(c.wait(0, write).result.is_ok());
}

/// Goal: a peer that is lost while I/O is frozen is not waited for, and gets what it misses when it
/// is back. Method: the link breaks with a write in flight.
#[test]
fn a_lost_peer_does_not_hold_it_up() {
    let mut c = up(&[true, true, false]);
    c.promote(0);
    c.put(0, 7, 1);
    c.settle();
    c.hold((0, 1, Stream::Data));
    let write = c.write(0, 5, 2);
    c.run_ms(5);
    let suspend = c.command(0, Command::SuspendIo);
    c.cut(0, 1);
    assert_eq!(c.reply(0, suspend), Ok(()));
    assert!(c.wait(0, write).result.is_ok(), "with quorum it is done");
    assert_eq!(c.bits(0, 1), 1);
    let after = c.write(0, 6, 3);
    c.mend_all();
    c.settle();
    assert_eq!(c.data(1, 5), Page::Stamp(2), "resyncs go on");
    assert_eq!(c.done(0, after), None);
    assert_eq!(c.told(0, Command::ResumeIo), Ok(()));
    c.settle();
    c.assert_all_good();
    assert_eq!(c.data(1, 6), Page::Stamp(3));
}

//! Lower devices that fail, or do not answer.

use crate::cluster::{Cluster, V, configs};
use drbd::core::config::{Config, OnIoError};
use drbd::core::event::{Command, Handler, Notice, Ran};
use drbd::page::Page;
use drbd::state::{DiskState, ReplState};

/// Three copies, n0 Primary, configured by `change`.
fn three(change: impl Fn(&mut Config)) -> Cluster {
    let mut all = configs(&[true, true, true]);
    all.iter_mut().for_each(change);
    let mut c = Cluster::new(all);
    (0..3).for_each(|n| c.boot(n));
    c.settle();
    c.promote(0);
    c.put(0, 5, 5);
    c.sync(0);
    c.settle();
    c
}

fn attach(c: &mut Cluster, n: usize) {
    let attach = Command::Attach(V, c.nodes[n].lower_blocks);
    assert_eq!(c.told(n, attach), Ok(()));
    c.settle();
    c.assert_all_good();
}

/// Goal: a disk that does not answer any kind of request within `disk-timeout` is let go, nobody
/// waits for it, and nothing that it still does matters. Method: one disk stands still at each kind
/// of request.
#[test]
fn a_disk_that_does_not_answer_is_detached() {
    type Ask = fn(&mut Cluster) -> drbd::core::event::RequestId;
    let asked: [(&str, usize, Ask); 5] = [
        ("an application's write", 0, |c| c.write(0, 5, 6)),
        ("an application's write to a cold extent", 0, |c| c.write(0, 2_000, 6)),
        ("an application's read", 0, |c| c.ask(0, 5)),
        ("an application's flush", 0, |c| c.flush(0)),
        ("a peer's write", 1, |c| c.write(0, 5, 6)),
    ];
    for (what, n, ask) in asked {
        let mut c = three(|config| config.disk_timeout_ms = 500);
        c.nodes[n].disk.held = true;
        let request = ask(&mut c);
        c.run_ms(450);
        assert_eq!(c.disk(n), DiskState::UpToDate, "{what}: not yet");
        c.run_ms(100);
        assert_eq!(c.disk(n), DiskState::Diskless, "{what}");
        let done = c.wait(0, request);
        assert!(done.result.is_ok() || what.contains("flush"), "{what}: {done:?}");
        c.put(0, 7, 7);
        c.nodes[n].disk.held = false;
        c.settle();
        attach(&mut c, n);
    }
}

/// Goal: as above, for the requests of a resync, at either end.
#[test]
fn a_disk_that_does_not_answer_a_resync_is_detached() {
    for n in [1, 2] {
        let mut c = three(|config| config.disk_timeout_ms = 500);
        c.isolate(2);
        for block in 0..100 {
            c.put(0, block, 9);
        }
        c.close(0);
        c.settle();
        c.cut(0, 1);
        c.mend(1, 2);
        c.until("a resync", |c| c.repl(2, 1) == ReplState::SyncTarget);
        c.nodes[n].disk.held = true;
        c.run_ms(700);
        assert_eq!(c.disk(n), DiskState::Diskless, "n{n}:\n{}", c.status());
        c.nodes[n].disk.held = false;
        c.mend_all();
        c.settle();
        attach(&mut c, n);
    }
}

/// Goal: `detach --force` does not wait for a disk that stands still. Method: no timeout, a write
/// under way.
#[test]
fn detach_by_force_waits_for_nothing() {
    let mut c = three(|_| {});
    c.nodes[0].disk.held = true;
    let write = c.write(0, 5, 6);
    c.run_ms(60_000);
    assert_eq!(c.done(0, write), None);
    assert_eq!(c.told(0, Command::Detach(V, true)), Ok(()));
    assert!(c.wait(0, write).result.is_ok());
    c.nodes[0].disk.held = false;
    c.settle();
    attach(&mut c, 0);
}

/// Goal: a block that cannot be read is read elsewhere, and copied from there when that is possible
/// again, whatever `on-io-error` says. Method: one bad block at the Primary, mended later.
#[test]
fn a_block_that_cannot_be_read_comes_from_a_peer() {
    for policy in [OnIoError::Detach, OnIoError::CallLocalIoError, OnIoError::PassOn] {
        let mut c = three(|config| config.on_io_error = policy);
        c.nodes[0].disk.bad.insert(5);
        assert_eq!(c.read(0, 5), Page::Stamp(5), "{policy:?}");
        let call = Notice::Handler(Handler::LocalIoError, None, Some(V), Ran::Nothing);
        let helped = |notice: &Notice| *notice == call;
        let called = c.nodes[0].notices.iter().any(helped);
        assert_eq!(called, policy == OnIoError::CallLocalIoError);
        match policy {
            OnIoError::PassOn => assert_eq!(c.disk(0), DiskState::Inconsistent),
            _ => assert_eq!(c.disk(0), DiskState::Diskless),
        }
        c.nodes[0].disk.bad.clear();
        c.nodes[0].disk.format(vec![(5, drbd::core::event::one(Page::Stamp(666)))]);
        c.settle();
        match policy {
            OnIoError::PassOn => c.assert_all_good(),
            _ => attach(&mut c, 0),
        }
        assert_eq!(c.data(0, 5), Page::Stamp(5), "{policy:?}: it was copied anew");
    }
}

/// Goal: a write that one copy fails is done on the others, and missing nowhere once the disk is
/// well. Method: one bad block at the Primary, or at a Secondary.
#[test]
fn a_write_that_one_copy_fails_is_done() {
    for policy in [OnIoError::Detach, OnIoError::PassOn] {
        for n in [0, 1] {
            let mut c = three(|config| config.on_io_error = policy);
            c.nodes[n].disk.bad.insert(5);
            let write = c.write(0, 5, 6);
            assert!(c.wait(0, write).result.is_ok(), "{policy:?} n{n}");
            c.run_ms(500);
            c.nodes[n].disk.bad.clear();
            c.settle();
            match policy {
                OnIoError::PassOn => c.assert_all_good(),
                _ => attach(&mut c, n),
            }
            assert_eq!(c.data(n, 5), Page::Stamp(6), "{policy:?} n{n}");
        }
    }
}

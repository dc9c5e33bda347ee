//! Slow requests of processes: started, pending, answered.

use super::{
    Machines,
    state::{Payload, State, Thing, What},
    wakers::Wakers,
};
use env::{
    hooks::{Handle, Pid, Reply, Request, Requests},
    watchdog::Choice,
};
use models::SimTime;
use std::{
    io,
    task::{Context, Poll},
    time::Duration,
};

/// A request whose reply nobody has taken yet.
#[derive(Default)]
pub(super) struct Pending {
    reply: Option<io::Result<Reply>>,
    waiting: Wakers,
}

impl<P: Payload> State<P> {
    /// The reply to a pending request; nobody may be waiting for it any more.
    pub(super) fn answer(&mut self, pending: Handle, reply: io::Result<Reply>) {
        if let Some(Thing { what: What::Pending(p), .. }) = self.things.get_mut(pending) {
            p.reply = Some(reply);
            p.waiting.wake();
        } else if let Ok(reply) = reply {
            // What it would have handed out goes back.
            self.release_reply(&reply);
        }
    }

    fn release_reply(&mut self, reply: &Reply) {
        match reply {
            Reply::Device { device, .. } => self.close(*device, false),
            Reply::Lock(lock) => self.close(*lock, false),
            Reply::Done | Reply::Data(_) | Reply::Names(_) => {}
        }
    }

    fn start_request(&mut self, pid: Pid, request: Request) -> Handle {
        let pending = self.hold(pid, What::Pending(Pending::default()));
        let Some(host) = self.machine_of(pid) else { return pending };
        match request {
            Request::BlockOpen { path, access } => {
                let reply = self.device_open(pid, host, path, access);
                self.answer(pending, reply);
            }
            Request::BlockRead { .. }
            | Request::BlockWrite { .. }
            | Request::BlockFlush { .. }
            | Request::BlockDiscard { .. } => self.block_request(pending, request),
            Request::FileLock { path } => {
                let reply = self.file_lock(pid, host, path);
                self.answer(pending, reply);
            }
            Request::FileRead { .. }
            | Request::FileWrite { .. }
            | Request::FileRemove { .. }
            | Request::FileList { .. }
            | Request::DirCreate { .. } => self.file_request(host, pending, request),
        }
        pending
    }

    fn poll_pending(&mut self, pending: Handle, cx: &mut Context<'_>) -> Poll<io::Result<Reply>> {
        let Some(Thing { what: What::Pending(p), .. }) = self.things.get_mut(pending) else {
            return Poll::Pending;
        };
        match p.reply.take() {
            Some(reply) => {
                self.drop_thing(pending);
                Poll::Ready(reply)
            }
            None => {
                p.waiting.add(cx);
                Poll::Pending
            }
        }
    }
}

impl<P: Payload> Requests for Machines<P> {
    fn start(&self, pid: Pid, request: Request) -> Handle {
        self.with(|state| state.start_request(pid, request))
    }

    fn poll_reply(&self, pending: Handle, cx: &mut Context<'_>) -> Poll<io::Result<Reply>> {
        self.with(|state| state.poll_pending(pending, cx))
    }

    fn forget(&self, pending: Handle) {
        self.with(|state| {
            let Some(Thing { what: What::Pending(p), .. }) = state.drop_thing(pending) else {
                return;
            };
            if let Some(Ok(reply)) = p.reply {
                state.release_reply(&reply);
            }
        });
    }

    fn release(&self, held: Handle) {
        self.with(|state| state.close(held, false));
    }

    fn watchdog_arm(&self, pid: Pid, choice: &Choice, timeout: Duration) -> io::Result<Handle> {
        self.with(|state| state.guard_armed(pid, choice, timeout.into()))
    }

    fn watchdog_pet(&self, watchdog: Handle, timeout: Option<Duration>) -> io::Result<()> {
        self.with(|state| state.guard_petted(watchdog, timeout.map(Into::into)))
    }

    fn watchdog_disarm(&self, watchdog: Handle) -> io::Result<()> {
        self.with(|state| state.guard_disarmed(watchdog))
    }
}

/// The true time at which a span of the host's own time, begun now, is over.
pub(super) fn host_deadline<P: Payload>(
    state: &State<P>,
    host: usize,
    span: models::Span,
) -> SimTime {
    state.now + state.machines[host].model.clock.true_span(span)
}

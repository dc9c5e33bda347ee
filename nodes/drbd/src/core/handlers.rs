//! Handlers: programs of the administrator that DRBD has run (`drbd.conf(5)`, section `handlers`).
//! One that is not configured is as one that does nothing and exits with 0, as in drbdadm.

use super::Resource;
use super::event::{Action, CallId, Handler, Notice, Ran};
use super::points::reach;
use crate::ids::VolumeNumber;
use crate::state::ReplState;
use std::collections::BTreeMap;

/// A call whose answer is awaited.
#[derive(Clone, Copy, Debug)]
struct Call {
    handler: Handler,
    conn: Option<usize>,
    volume: Option<VolumeNumber>,
    /// What the connection was when the handler was called: its answer is about that alone.
    birth: u64,
}

/// Calls on their way.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    last: u64,
    open: BTreeMap<CallId, Call>,
}

impl Calls {
    /// Is this handler running for this connection?
    pub fn runs(&self, handler: Handler, conn: usize) -> bool {
        self.open.values().any(|call| call.handler == handler && call.conn == Some(conn))
    }
}

impl Resource {
    /// Has a handler called, which goes on in [`Resource::answered`].
    pub(super) fn call(&mut self, handler: Handler, conn: Option<usize>, volume: Option<usize>) {
        let peer = conn.map(|c| self.conns[c].node);
        let volume = volume.map(|v| VolumeNumber(v as u16));
        let birth = conn.map_or(0, |c| self.conns[c].birth);
        let call = Call { handler, conn, volume, birth };
        if !self.config.handlers.contains(&handler) {
            self.notice(Notice::Handler(handler, peer, volume, Ran::Nothing));
            return self.answered(call, 0);
        }
        self.notice(Notice::Handler(handler, peer, volume, Ran::Started));
        reach!(self, HandlerCalled);
        self.calls.last += 1;
        let id = CallId(self.calls.last);
        self.calls.open.insert(id, call);
        self.out.push(Action::Call { id, handler, peer, volume });
    }

    /// A handler has ended.
    pub(super) fn called(&mut self, id: CallId, exit: u8) {
        if let Some(call) = self.calls.open.remove(&id) {
            self.changed = true;
            let peer = call.conn.map(|c| self.conns[c].node);
            self.notice(Notice::Handler(call.handler, peer, call.volume, Ran::Exit(exit)));
            self.answered(call, exit);
        }
    }

    fn answered(&mut self, call: Call, exit: u8) {
        let Some(c) = call.conn else { return };
        let stands = self.conns[c].birth == call.birth;
        match (call.handler, call.volume) {
            (Handler::FencePeer, _) => self.fenced(c, exit),
            (Handler::BeforeResyncTarget, Some(v)) if stands => {
                self.may_be_target(c, v.index(), exit);
            }
            (Handler::BeforeResyncSource, Some(v)) if stands => {
                self.may_be_source(c, v.index(), exit);
            }
            _ => {}
        }
    }

    /// `before-resync-target` has ended: anything but 0 ends the connection.
    fn may_be_target(&mut self, c: usize, v: usize, exit: u8) {
        let waits = matches!(
            self.conns[c].volumes[v].repl,
            ReplState::WFBitMapT | ReplState::StartingSyncT
        );
        match exit {
            0 if waits => self.start_or_pause(c, v),
            0 => {}
            _ => self.refused_by_handler(c, Handler::BeforeResyncTarget, exit),
        }
    }

    /// `before-resync-source` has ended: anything but 0 and 3 ends the connection.
    fn may_be_source(&mut self, c: usize, v: usize, exit: u8) {
        let waits = self.conns[c].volumes[v].repl == ReplState::WFBitMapS;
        match exit {
            0 | 3 if waits => self.begin_as_source(c, v),
            0 | 3 => {}
            _ => self.refused_by_handler(c, Handler::BeforeResyncSource, exit),
        }
    }

    /// The target may have done all of it while the handler ran.
    fn begin_as_source(&mut self, c: usize, v: usize) {
        let began = self.conns[c].volumes[v].resync.peer_began;
        let repl = match self.stands_still(c, v) {
            true => ReplState::PausedSyncS,
            false => ReplState::SyncSource,
        };
        self.set_repl(c, v, repl);
        if let Some(state) = self.conns[c].volumes[v].state.filter(|_| began) {
            self.follow_peer_resync(c, v, state);
        }
    }

    fn refused_by_handler(&mut self, c: usize, handler: Handler, exit: u8) {
        let name = handler.name();
        let text = format!("{name} handler returned {exit}, dropping connection.");
        self.notice(Notice::Note(text));
        self.dismiss(c);
    }
}

//! Unix sockets: streams between two processes of a host, without a network in between.

use super::{
    state::{Payload, State, What},
    wakers::Wakers,
};
use env::{
    hooks::{Handle, Pid},
    io::ReadBuf,
};
use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    task::{Context, Poll},
};

/// What one direction holds unread, as Linux does by default.
const BUFFER: usize = 212_992;
/// Connections not accepted yet, as Linux does by default; one more waits, here it is refused.
const BACKLOG: usize = 128;

/// A listening socket.
pub(super) struct UnixListener {
    pub(super) path: String,
    pub(super) backlog: VecDeque<Handle>,
    acceptors: Wakers,
}

/// One end of a connection.
pub(super) struct UnixEnd {
    pub(super) peer: Option<Handle>,
    arrived: VecDeque<u8>,
    eof: bool,
    shut: bool,
    reset: bool,
    readers: Wakers,
    writers: Wakers,
}

impl UnixEnd {
    fn new(peer: Option<Handle>) -> Self {
        UnixEnd {
            peer,
            arrived: VecDeque::new(),
            eof: false,
            shut: false,
            reset: false,
            readers: Wakers::default(),
            writers: Wakers::default(),
        }
    }
}

impl<P: Payload> State<P> {
    fn unix(&mut self, stream: Handle) -> Option<&mut UnixEnd> {
        match &mut self.things.get_mut(stream)?.what {
            What::Unix(end) => Some(end),
            _ => None,
        }
    }

    fn unix_listener(&mut self, listener: Handle) -> Option<&mut UnixListener> {
        match &mut self.things.get_mut(listener)?.what {
            What::UnixListener(l) => Some(l),
            _ => None,
        }
    }

    pub(super) fn unix_listen(&mut self, pid: Pid, path: &str) -> io::Result<Handle> {
        let host = self.host_of(pid)?;
        if let Some(Some(_)) = self.machines[host].sockets.get(path) {
            return Err(ErrorKind::AddrInUse.into());
        }
        let (path, backlog, acceptors) = (path.to_string(), VecDeque::new(), Wakers::default());
        let listener = UnixListener { path: path.clone(), backlog, acceptors };
        let handle = self.hold(pid, What::UnixListener(listener));
        self.machines[host].sockets.insert(path, Some(handle));
        Ok(handle)
    }

    pub(super) fn unix_accept(
        &mut self,
        listener: Handle,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Handle>> {
        let Some(l) = self.unix_listener(listener) else { return Poll::Pending };
        match l.backlog.pop_front() {
            Some(stream) => Poll::Ready(Ok(stream)),
            None => {
                l.acceptors.add(cx);
                Poll::Pending
            }
        }
    }

    pub(super) fn unix_connect(&mut self, pid: Pid, path: &str) -> io::Result<Handle> {
        let host = self.host_of(pid)?;
        let listener = match self.machines[host].sockets.get(path) {
            None => return Err(ErrorKind::NotFound.into()),
            Some(None) => return Err(ErrorKind::ConnectionRefused.into()),
            Some(Some(listener)) => *listener,
        };
        let owner = self.things.get_mut(listener).map(|thing| thing.pid);
        let room = self.unix_listener(listener).is_some_and(|l| l.backlog.len() < BACKLOG);
        let Some(owner) = owner.filter(|_| room) else {
            return Err(ErrorKind::WouldBlock.into());
        };
        let ours = self.hold(pid, What::Unix(UnixEnd::new(None)));
        let theirs = self.hold(owner, What::Unix(UnixEnd::new(Some(ours))));
        if let Some(end) = self.unix(ours) {
            end.peer = Some(theirs);
        }
        if let Some(l) = self.unix_listener(listener) {
            l.backlog.push_back(theirs);
            l.acceptors.wake();
        }
        Ok(ours)
    }

    pub(super) fn unix_read(
        &mut self,
        stream: Handle,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(end) = self.unix(stream) else { return Poll::Pending };
        let n = end.arrived.len().min(buf.remaining());
        if n == 0 {
            if end.eof || buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            if end.reset {
                return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
            }
            end.readers.add(cx);
            return Poll::Pending;
        }
        let (front, back) = end.arrived.as_slices();
        let split = n.min(front.len());
        buf.put_slice(&front[..split]);
        buf.put_slice(&back[..n - split]);
        end.arrived.drain(..n);
        let peer = end.peer;
        if let Some(peer) = peer.and_then(|peer| self.unix(peer)) {
            peer.writers.wake();
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn unix_write(
        &mut self,
        stream: Handle,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(end) = self.unix(stream) else { return Poll::Pending };
        let peer = end.peer.filter(|_| !end.shut);
        let Some(peer) = peer.and_then(|peer| self.unix(peer)) else {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        };
        let n = data.len().min(BUFFER.saturating_sub(peer.arrived.len()));
        if n > 0 {
            peer.arrived.extend(&data[..n]);
            peer.readers.wake();
            return Poll::Ready(Ok(n));
        }
        if let Some(end) = self.unix(stream) {
            end.writers.add(cx);
        }
        Poll::Pending
    }

    pub(super) fn unix_shutdown(&mut self, stream: Handle) -> io::Result<()> {
        let Some(end) = self.unix(stream) else { return Ok(()) };
        end.shut = true;
        let peer = end.peer;
        if let Some(peer) = peer.and_then(|peer| self.unix(peer)) {
            peer.eof = true;
            peer.readers.wake();
        }
        Ok(())
    }

    /// What the peer of a closed end sees: the end of the stream, or a reset if data was unread.
    pub(super) fn unix_closed(&mut self, end: UnixEnd) {
        if let Some(peer) = end.peer.and_then(|peer| self.unix(peer)) {
            peer.peer = None;
            peer.reset = !end.arrived.is_empty();
            peer.eof |= end.arrived.is_empty();
            peer.readers.wake();
            peer.writers.wake();
        }
    }
}

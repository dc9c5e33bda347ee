//! TCP sockets of processes.

use super::{
    state::{Payload, State, What},
    udp::bind_error,
    wakers::Wakers,
};
use bytes::{Buf, Bytes};
use env::hooks::{Ends, Handle, Pid};
use env::io::ReadBuf;
use models::net::{ConnId, ConnectError, HostId, ListenerId, NetWhat, SendError, TcpOptions};
use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
    task::{Context, Poll},
};

/// One send is cut into items of at most this size, so that a large write does not hold the wire.
const ITEM: usize = 64 << 10;

/// A listening socket.
pub(super) struct TcpListener {
    pub(super) id: ListenerId,
    /// Connections nobody has accepted yet.
    pub(super) backlog: VecDeque<(ConnId, Handle)>,
    acceptors: Wakers,
}

/// One end of a connection.
pub(super) struct Tcp {
    pub(super) conn: ConnId,
    phase: Phase,
    arrived: VecDeque<Bytes>,
    eof: bool,
    shut: bool,
    readers: Wakers,
    writers: Wakers,
}

#[derive(Clone, Copy)]
enum Phase {
    Connecting,
    Open(Ends),
    Dead(ErrorKind),
}

impl Tcp {
    fn new(conn: ConnId, phase: Phase) -> Self {
        Tcp {
            conn,
            phase,
            arrived: VecDeque::new(),
            eof: false,
            shut: false,
            readers: Wakers::default(),
            writers: Wakers::default(),
        }
    }

    fn change(&mut self, phase: Phase) {
        self.phase = phase;
        self.wake();
    }

    fn wake(&mut self) {
        self.readers.wake();
        self.writers.wake();
    }
}

fn connect_error(why: ConnectError) -> ErrorKind {
    match why {
        ConnectError::Refused => ErrorKind::ConnectionRefused,
        ConnectError::TimedOut => ErrorKind::TimedOut,
    }
}

impl<P: Payload> State<P> {
    pub(super) fn tcp(&mut self, stream: Handle) -> Option<&mut Tcp> {
        match &mut self.things.get_mut(stream)?.what {
            What::Tcp(tcp) => Some(tcp),
            _ => None,
        }
    }

    fn listener(&mut self, listener: Handle) -> Option<&mut TcpListener> {
        match &mut self.things.get_mut(listener)?.what {
            What::TcpListener(l) => Some(l),
            _ => None,
        }
    }

    pub(super) fn tcp_listen(
        &mut self,
        pid: Pid,
        addr: SocketAddr,
    ) -> io::Result<(Handle, SocketAddr)> {
        let host = HostId(self.host_of(pid)? as u16);
        let handle = self.reserve(pid);
        match self.net.tcp_listen(host, addr, TcpOptions::default(), handle.0) {
            Ok(id) => {
                let local = self.net.tcp_listener_local(id).unwrap_or(addr);
                let acceptors = Wakers::default();
                let listener = TcpListener { id, backlog: VecDeque::new(), acceptors };
                self.set(handle, What::TcpListener(listener));
                Ok((handle, local))
            }
            Err(e) => {
                self.drop_thing(handle);
                Err(bind_error(e))
            }
        }
    }

    pub(super) fn tcp_connect(
        &mut self,
        pid: Pid,
        from: Option<IpAddr>,
        to: SocketAddr,
    ) -> io::Result<Handle> {
        let host = HostId(self.host_of(pid)? as u16);
        let handle = self.reserve(pid);
        let from = from.map(|ip| SocketAddr::new(ip, 0));
        match self.net.tcp_connect(self.now, host, from, to, TcpOptions::default(), handle.0) {
            Ok(conn) => {
                self.set(handle, What::Tcp(Tcp::new(conn, Phase::Connecting)));
                Ok(handle)
            }
            Err(e) => {
                self.drop_thing(handle);
                Err(bind_error(e))
            }
        }
    }

    pub(super) fn poll_connected(
        &mut self,
        stream: Handle,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Ends>> {
        let Some(tcp) = self.tcp(stream) else { return Poll::Pending };
        match tcp.phase {
            Phase::Open(ends) => Poll::Ready(Ok(ends)),
            Phase::Dead(kind) => Poll::Ready(Err(kind.into())),
            Phase::Connecting => {
                tcp.readers.add(cx);
                Poll::Pending
            }
        }
    }

    pub(super) fn poll_accept(
        &mut self,
        listener: Handle,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Handle, Ends)>> {
        loop {
            let Some(l) = self.listener(listener) else { return Poll::Pending };
            let Some((_, stream)) = l.backlog.pop_front() else {
                l.acceptors.add(cx);
                return Poll::Pending;
            };
            match self.tcp(stream).map(|tcp| tcp.phase) {
                Some(Phase::Open(ends)) => return Poll::Ready(Ok((stream, ends))),
                // It died while it waited to be accepted.
                _ => drop(self.drop_thing(stream)),
            }
        }
    }

    pub(super) fn tcp_read(
        &mut self,
        stream: Handle,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let now = self.now;
        let Some(tcp) = self.tcp(stream) else { return Poll::Pending };
        let before = buf.filled().len();
        while let Some(front) = tcp.arrived.front_mut().filter(|_| buf.remaining() > 0) {
            let n = front.len().min(buf.remaining());
            buf.put_slice(&front[..n]);
            front.advance(n);
            if front.is_empty() {
                tcp.arrived.pop_front();
            }
        }
        let read = buf.filled().len() - before;
        if read > 0 {
            let conn = tcp.conn;
            self.net.tcp_consumed(now, conn, read as u32);
            return Poll::Ready(Ok(()));
        }
        match tcp.phase {
            // What had arrived is read first, then the peer's end, then what went wrong.
            _ if tcp.eof || buf.remaining() == 0 => Poll::Ready(Ok(())),
            Phase::Dead(kind) => Poll::Ready(Err(kind.into())),
            Phase::Connecting | Phase::Open(_) => {
                tcp.readers.add(cx);
                Poll::Pending
            }
        }
    }

    pub(super) fn tcp_write(
        &mut self,
        stream: Handle,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let now = self.now;
        let Some(tcp) = self.tcp(stream) else { return Poll::Pending };
        match tcp.phase {
            Phase::Dead(kind) => return Poll::Ready(Err(kind.into())),
            _ if tcp.shut => return Poll::Ready(Err(ErrorKind::BrokenPipe.into())),
            Phase::Connecting | Phase::Open(_) => {}
        }
        let conn = tcp.conn;
        let n = data.len().min(ITEM);
        let item = P::from_bytes(Bytes::copy_from_slice(&data[..n]));
        match self.net.tcp_send(now, conn, item, n as u32) {
            Ok(()) => Poll::Ready(Ok(n)),
            Err(SendError::Full(_)) => {
                if let Some(tcp) = self.tcp(stream) {
                    tcp.writers.add(cx);
                }
                Poll::Pending
            }
            Err(SendError::Closed(_)) => Poll::Ready(Err(ErrorKind::BrokenPipe.into())),
        }
    }

    pub(super) fn tcp_shutdown(&mut self, stream: Handle) -> io::Result<()> {
        let now = self.now;
        let Some(tcp) = self.tcp(stream) else { return Ok(()) };
        if let Phase::Dead(_) = tcp.phase {
            return Err(ErrorKind::NotConnected.into());
        }
        tcp.shut = true;
        tcp.writers.wake();
        let conn = tcp.conn;
        self.net.tcp_shutdown(now, conn);
        Ok(())
    }

    /// A connection event. Right after it was accepted, its events still come with the listener as
    /// owner.
    pub(super) fn socket_event(&mut self, owner: Handle, what: NetWhat<P>) {
        match what {
            NetWhat::Datagram { from, payload, .. } => {
                let Some(thing) = self.things.get_mut(owner) else { return };
                if let (What::Udp(udp), Some(data)) = (&mut thing.what, payload.into_bytes()) {
                    udp.arrive(data, from);
                }
            }
            NetWhat::Incoming { conn, from, .. } => self.tcp_incoming(owner, conn, from),
            NetWhat::Connected { conn } => {
                let ends = self.net.tcp_info(conn).map(|i| Ends { local: i.local, peer: i.remote });
                if let (Some(tcp), Some(ends)) = (self.tcp(owner), ends) {
                    tcp.change(Phase::Open(ends));
                }
            }
            NetWhat::ConnectFailed { conn, why } => {
                self.tcp_died(owner, conn, connect_error(why));
            }
            NetWhat::Reset { conn } => self.tcp_died(owner, conn, ErrorKind::ConnectionReset),
            NetWhat::TimedOut { conn } => self.tcp_died(owner, conn, ErrorKind::TimedOut),
            NetWhat::Data { conn, payload, .. } => {
                if let (Some(tcp), Some(data)) = (self.tcp_of(owner, conn), payload.into_bytes()) {
                    tcp.arrived.push_back(data);
                    tcp.readers.wake();
                }
            }
            NetWhat::Eof { conn } => {
                if let Some(tcp) = self.tcp_of(owner, conn) {
                    tcp.eof = true;
                    tcp.readers.wake();
                }
            }
            NetWhat::Writable { conn } => {
                if let Some(tcp) = self.tcp_of(owner, conn) {
                    tcp.writers.wake();
                }
            }
        }
    }

    fn tcp_died(&mut self, owner: Handle, conn: ConnId, kind: ErrorKind) {
        if let Some(tcp) = self.tcp_of(owner, conn) {
            tcp.change(Phase::Dead(kind));
        }
    }

    /// The connection an event is about, whether its owner is known to the network yet or not.
    fn tcp_of(&mut self, owner: Handle, conn: ConnId) -> Option<&mut Tcp> {
        let stream = match self.listener(owner) {
            Some(l) => l.backlog.iter().find(|(c, _)| *c == conn)?.1,
            None => owner,
        };
        self.tcp(stream)
    }

    fn tcp_incoming(&mut self, listener: Handle, conn: ConnId, from: SocketAddr) {
        let pid = self.things.get_mut(listener).map(|thing| thing.pid);
        let (Some(pid), Some(info)) = (pid, self.net.tcp_info(conn)) else {
            // The listener closed at this very moment.
            return self.net.tcp_abort(self.now, conn);
        };
        let ends = Ends { local: info.local, peer: from };
        let stream = self.hold(pid, What::Tcp(Tcp::new(conn, Phase::Open(ends))));
        self.net.tcp_set_owner(conn, stream.0);
        if let Some(l) = self.listener(listener) {
            l.backlog.push_back((conn, stream));
            l.acceptors.wake();
        }
    }
}

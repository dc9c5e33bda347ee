//! The two sockets of one connection to a peer: dialled by the lower node id, paired by attempt, retried until they
//! are not wanted any more.

use crate::wire::Wire;
use drbd::core::event::LinkFault;
use drbd::ids::NodeId;
use drbd::packet::{Packet, Stream};
use models::net::{ConnId, HostId, Net, NetWhat, SendError, TcpOptions};
use models::{SimTime, Span};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Pause between attempts, and the time that one attempt may take.
const RETRY: Span = Span::secs(1);
const GIVE_UP: Span = Span::secs(5);

/// Socket options of both sides: the window counts what is on its way; what arrived is consumed.
pub(crate) fn tcp_options() -> TcpOptions {
    TcpOptions {
        window: 4 << 20,
        connect_timeout: Some(Span::secs(3)),
        user_timeout: Span::secs(60),
        auto_consume: true,
        ..TcpOptions::default()
    }
}

/// What the engine must hear of a link.
#[derive(Debug)]
pub(crate) enum News {
    Up,
    Down(LinkFault),
    Packet(Packet),
}

/// What links did since the host was made.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct LinkCounters {
    /// Sends that found the window full and waited in the kernel.
    pub queued: u64,
    /// Packets that the engine sent on a link that was down.
    pub dropped: u64,
    /// Most items that waited at once on one socket.
    pub longest_queue: u64,
}

struct Sock {
    conn: ConnId,
    /// The dialling side has the answer, the accepting side the first packet.
    ready: bool,
    waiting: VecDeque<Wire>,
}

impl Sock {
    fn new(conn: ConnId, ready: bool) -> Sock {
        Sock { conn, ready, waiting: VecDeque::new() }
    }
}

/// One link.
pub(crate) struct Link {
    pub peer: NodeId,
    here: HostId,
    there: SocketAddr,
    /// Comes back with each event of the link's sockets.
    owner: u64,
    dials: bool,
    wanted: bool,
    live: bool,
    attempt: u32,
    socks: [Option<Sock>; 2],
    /// Accepted, and not yet known which socket of which attempt.
    strangers: Vec<ConnId>,
    /// Packets that arrived on one socket before the other was agreed.
    early: Vec<Packet>,
    due: SimTime,
}

/// What a link works with, beside itself.
pub(crate) struct Around<'a> {
    pub now: SimTime,
    pub net: &'a mut Net<Wire>,
    pub counters: &'a mut LinkCounters,
    /// Numbers attempts over all links and boots of the host.
    pub attempts: &'a mut u32,
}

impl Link {
    pub fn new(peer: NodeId, here: HostId, there: SocketAddr, owner: u64, dials: bool) -> Link {
        Link {
            peer,
            here,
            there,
            owner,
            dials,
            wanted: false,
            live: false,
            attempt: 0,
            socks: [None, None],
            strangers: Vec::new(),
            early: Vec::new(),
            due: SimTime::FAR,
        }
    }

    pub fn there(&self) -> SocketAddr {
        self.there
    }

    pub fn due(&self) -> SimTime {
        self.due
    }

    /// [`drbd::core::event::Action::Link`].
    pub fn want(&mut self, around: &mut Around) {
        if self.wanted {
            return;
        }
        self.wanted = true;
        if self.dials {
            self.dial(around);
        }
    }

    /// [`drbd::core::event::Action::Unlink`]: what was sent before still travels, the close behind it.
    pub fn unwant(&mut self, around: &mut Around) {
        self.wanted = false;
        self.due = SimTime::FAR;
        self.close(around);
    }

    fn close(&mut self, around: &mut Around) {
        self.live = false;
        self.early.clear();
        for sock in self.socks.iter_mut().filter_map(Option::take) {
            around.net.tcp_close(around.now, sock.conn);
        }
        for conn in self.strangers.drain(..) {
            around.net.tcp_abort(around.now, conn);
        }
    }

    fn dial(&mut self, around: &mut Around) {
        *around.attempts += 1;
        self.attempt = *around.attempts;
        self.due = around.now + GIVE_UP;
        for place in 0..2 {
            let (options, owner) = (tcp_options(), self.owner);
            let conn =
                around.net.tcp_connect(around.now, self.here, None, self.there, options, owner);
            match conn {
                Ok(conn) => self.socks[place] = Some(Sock::new(conn, false)),
                Err(_) => self.due = around.now + RETRY,
            }
        }
    }

    /// The retry or the limit of an attempt is due.
    pub fn run_due(&mut self, around: &mut Around) {
        if self.due > around.now {
            return;
        }
        self.due = SimTime::FAR;
        if self.wanted && self.dials && !self.live {
            self.close(around);
            self.dial(around);
        }
    }

    /// A connection came in from this peer.
    pub fn incoming(&mut self, around: &mut Around, conn: ConnId) {
        if self.wanted && !self.dials {
            around.net.tcp_set_owner(conn, self.owner);
            self.strangers.push(conn);
        } else {
            around.net.tcp_abort(around.now, conn);
        }
    }

    fn place_of(&self, conn: ConnId) -> Option<usize> {
        self.socks.iter().position(|s| s.as_ref().is_some_and(|s| s.conn == conn))
    }

    /// Something happened to a socket that carries this link's owner.
    pub fn event(&mut self, around: &mut Around, what: NetWhat<Wire>, news: &mut Vec<News>) {
        match what {
            NetWhat::Connected { conn } => self.connected(around, conn),
            NetWhat::Data { conn, payload, .. } => self.data(around, conn, payload, news),
            NetWhat::Writable { conn } => self.writable(around, conn),
            NetWhat::Eof { conn } => self.broken(around, conn, LinkFault::Closed, news),
            NetWhat::Reset { conn } | NetWhat::TimedOut { conn } => {
                self.broken(around, conn, LinkFault::Broken, news);
            }
            NetWhat::ConnectFailed { conn, .. } => {
                self.broken(around, conn, LinkFault::Broken, news);
            }
            NetWhat::Incoming { .. } | NetWhat::Datagram { .. } => {}
        }
    }

    fn connected(&mut self, around: &mut Around, conn: ConnId) {
        let Some(place) = self.place_of(conn) else { return };
        let stream = if place == 0 { Stream::Data } else { Stream::Control };
        self.put(around, place, Wire::Initial(stream, self.attempt));
    }

    fn data(&mut self, around: &mut Around, conn: ConnId, item: Wire, news: &mut Vec<News>) {
        if let Wire::Initial(stream, attempt) = item {
            return self.introduced(around, conn, stream, attempt, news);
        }
        let Some(place) = self.place_of(conn) else { return };
        match item {
            Wire::Agreed => {
                if let Some(sock) = &mut self.socks[place] {
                    sock.ready = true;
                }
                if self.both_ready() {
                    self.go_live(news);
                }
            }
            Wire::Drbd(packet) if self.live => news.push(News::Packet(packet)),
            Wire::Drbd(packet) => self.early.push(packet),
            Wire::Initial(..) | Wire::Bytes(_) => {}
        }
    }

    fn both_ready(&self) -> bool {
        self.socks.iter().all(|s| s.as_ref().is_some_and(|s| s.ready))
    }

    fn go_live(&mut self, news: &mut Vec<News>) {
        self.live = true;
        self.due = SimTime::FAR;
        news.push(News::Up);
        news.extend(self.early.drain(..).map(News::Packet));
    }

    /// An accepted connection says what it is. A newer attempt of the peer ends an older one.
    fn introduced(
        &mut self,
        around: &mut Around,
        conn: ConnId,
        stream: Stream,
        attempt: u32,
        news: &mut Vec<News>,
    ) {
        let Some(place) = self.strangers.iter().position(|s| *s == conn) else { return };
        self.strangers.remove(place);
        if attempt < self.attempt {
            return around.net.tcp_abort(around.now, conn);
        }
        if attempt > self.attempt {
            self.attempt = attempt;
            let strangers = std::mem::take(&mut self.strangers);
            let was_live = self.live;
            self.close(around);
            self.strangers = strangers;
            if was_live {
                news.push(News::Down(LinkFault::Broken));
            }
        }
        let place = usize::from(stream == Stream::Control);
        self.socks[place] = Some(Sock::new(conn, true));
        if self.both_ready() {
            self.put(around, 0, Wire::Agreed);
            self.put(around, 1, Wire::Agreed);
            self.go_live(news);
        }
    }

    fn broken(
        &mut self,
        around: &mut Around,
        conn: ConnId,
        fault: LinkFault,
        news: &mut Vec<News>,
    ) {
        if let Some(place) = self.strangers.iter().position(|s| *s == conn) {
            self.strangers.remove(place);
            return around.net.tcp_abort(around.now, conn);
        }
        if self.place_of(conn).is_none() {
            return;
        }
        let was_live = self.live;
        let strangers = std::mem::take(&mut self.strangers);
        self.close(around);
        self.strangers = strangers;
        if self.wanted && self.dials {
            self.due = around.now + RETRY;
        }
        if was_live {
            news.push(News::Down(fault));
        }
    }

    /// [`drbd::core::event::Action::Send`].
    pub fn send(&mut self, around: &mut Around, packet: Packet) {
        if !self.live {
            around.counters.dropped += 1;
            return;
        }
        let place = usize::from(packet.stream() == Stream::Control);
        self.put(around, place, Wire::Drbd(packet));
    }

    fn put(&mut self, around: &mut Around, place: usize, item: Wire) {
        let Some(sock) = &mut self.socks[place] else { return };
        if !sock.waiting.is_empty() {
            sock.waiting.push_back(item);
        } else {
            let len = item.len();
            match around.net.tcp_send(around.now, sock.conn, item, len) {
                // A closed socket says so by an event of its own.
                Ok(()) | Err(SendError::Closed(_)) => return,
                Err(SendError::Full(item)) => sock.waiting.push_back(item),
            }
        }
        around.counters.queued += 1;
        let longest = &mut around.counters.longest_queue;
        *longest = (*longest).max(sock.waiting.len() as u64);
    }

    fn writable(&mut self, around: &mut Around, conn: ConnId) {
        let Some(place) = self.place_of(conn) else { return };
        let Some(sock) = &mut self.socks[place] else { return };
        while let Some(item) = sock.waiting.pop_front() {
            let len = item.len();
            match around.net.tcp_send(around.now, sock.conn, item, len) {
                Ok(()) => {}
                Err(SendError::Full(item)) => return sock.waiting.push_front(item),
                Err(SendError::Closed(_)) => return sock.waiting.clear(),
            }
        }
    }
}

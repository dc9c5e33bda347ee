//! The two sockets of one connection to a peer: dialled by the lower node id, paired by attempt,
//! retried until they are not wanted any more.

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

    /// Are both sockets up?
    pub fn is_live(&self) -> bool {
        self.live
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

    /// [`drbd::core::event::Action::Unlink`]: what was sent before still travels, the close behind
    /// it.
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

    /// Is the event about an accepted connection of this link that has not said what it is?
    pub fn is_stranger(&self, what: &NetWhat<Wire>) -> bool {
        match what {
            NetWhat::Data { conn, .. } | NetWhat::Eof { conn } => self.strangers.contains(conn),
            NetWhat::Reset { conn } | NetWhat::TimedOut { conn } => self.strangers.contains(conn),
            _ => false,
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

#[cfg(test)]
mod tests {
    use super::*;
    use drbd::ids::Dagtag;
    use models::Luck;
    use models::net::NetworkSettings;
    use std::net::IpAddr;

    /// Two hosts with one link between them, and what each side's engine heard.
    struct Pair {
        net: Net<Wire>,
        links: [Link; 2],
        heard: [Vec<News>; 2],
        counters: LinkCounters,
        attempts: [u32; 2],
        now: SimTime,
        ips: [IpAddr; 2],
    }

    fn pair() -> Pair {
        let mut net = Net::new(Luck::root(1));
        let network = net.add_network(NetworkSettings::default());
        let ips = [IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2])];
        let hosts = [net.add_host(), net.add_host()];
        for (host, ip) in hosts.into_iter().zip(ips) {
            net.add_nic(host, network, 0, ip);
            net.host_up(SimTime(0), host);
            let local = SocketAddr::new(ip, 7000);
            assert!(net.tcp_listen(host, local, tcp_options(), 9).is_ok());
        }
        let link = |own: usize, dials| {
            let peer = NodeId::new(1 - own as u8).unwrap();
            Link::new(peer, hosts[own], SocketAddr::new(ips[1 - own], 7000), 1, dials)
        };
        let links = [link(0, true), link(1, false)];
        let (heard, counters) = ([Vec::new(), Vec::new()], LinkCounters::default());
        Pair { net, links, heard, counters, attempts: [0; 2], now: SimTime(0), ips }
    }

    impl Pair {
        fn with(&mut self, side: usize, act: impl FnOnce(&mut Link, &mut Around)) {
            let (net, counters) = (&mut self.net, &mut self.counters);
            let attempts = &mut self.attempts[side];
            act(&mut self.links[side], &mut Around { now: self.now, net, counters, attempts });
        }

        fn run(&mut self, span: Span) {
            let end = self.now + span;
            loop {
                let links = self.links[0].due().min(self.links[1].due());
                let due = self.net.next_due().unwrap_or(SimTime::FAR).min(links);
                if due > end {
                    self.now = end;
                    return;
                }
                self.now = due.max(self.now);
                for side in 0..2 {
                    self.with(side, Link::run_due);
                }
                let mut events = Vec::new();
                self.net.run_due(self.now, &mut events);
                for event in events {
                    let side = usize::from(event.host.0);
                    let mut news = Vec::new();
                    match event.what {
                        NetWhat::Incoming { conn, .. } => {
                            self.with(side, |link, around| link.incoming(around, conn));
                        }
                        what => self.with(side, |link, around| link.event(around, what, &mut news)),
                    }
                    self.heard[side].append(&mut news);
                }
            }
        }

        fn say(&mut self, side: usize, n: u64) {
            self.with(side, |link, around| link.send(around, Packet::Dagtag(Dagtag(n))));
        }

        /// Ups, downs and packets of a side since the last call, as text.
        fn told(&mut self, side: usize) -> Vec<String> {
            let text = |news: News| match news {
                News::Up => "up".to_owned(),
                News::Down(_) => "down".to_owned(),
                News::Packet(Packet::Dagtag(n)) => n.0.to_string(),
                News::Packet(other) => format!("{other:?}"),
            };
            self.heard[side].drain(..).map(text).collect()
        }
    }

    #[test]
    fn a_link_comes_up_once_both_sides_want_it() {
        let mut pair = pair();
        pair.with(0, Link::want);
        pair.run(Span::secs(3));
        assert!(pair.told(0).is_empty() && pair.told(1).is_empty());
        pair.with(1, Link::want);
        pair.run(Span::secs(3));
        assert_eq!((pair.told(0), pair.told(1)), (vec!["up".to_owned()], vec!["up".to_owned()]));
        (0..3).for_each(|n| pair.say(0, n));
        pair.say(1, 9);
        pair.run(Span::secs(1));
        assert_eq!((pair.told(1).join(" "), pair.told(0).join(" ")), ("0 1 2".into(), "9".into()));
    }

    #[test]
    fn packets_of_an_old_link_never_reach_a_new_one() {
        let mut pair = pair();
        pair.with(0, Link::want);
        pair.with(1, Link::want);
        pair.run(Span::secs(1));
        pair.told(0);
        pair.told(1);
        // The packet is stuck behind a cut; both sides give the link up and make a new one.
        pair.net.cut(pair.ips[0], pair.ips[1]);
        pair.say(0, 1);
        pair.run(Span::ms(500));
        for side in [0, 1] {
            pair.with(side, Link::unwant);
            pair.with(side, Link::want);
        }
        pair.net.heal_all();
        pair.run(Span::secs(8));
        pair.say(0, 2);
        pair.run(Span::secs(30));
        assert_eq!(pair.told(1), ["up", "2"]);
    }

    #[test]
    fn a_link_that_one_side_gave_up_is_down_on_the_other_and_comes_back() {
        let mut pair = pair();
        pair.with(0, Link::want);
        pair.with(1, Link::want);
        pair.run(Span::secs(1));
        pair.say(1, 5);
        pair.with(1, Link::unwant);
        pair.run(Span::secs(2));
        assert_eq!(pair.told(0), ["up", "5", "down"], "what was sent before arrives");
        pair.with(1, Link::want);
        pair.run(Span::secs(5));
        assert_eq!(pair.told(0), ["up"]);
        pair.told(1);
        // The other way round: the dialling side starts again without having noticed anything.
        pair.with(0, Link::unwant);
        pair.with(0, Link::want);
        pair.run(Span::secs(5));
        assert_eq!((pair.told(0), pair.told(1).len()), (vec!["up".to_owned()], 2));
    }

    #[test]
    fn a_rebooted_peer_is_dialled_again() {
        let mut pair = pair();
        pair.with(0, Link::want);
        pair.with(1, Link::want);
        pair.run(Span::secs(1));
        pair.net.host_down(pair.now, models::net::HostId(1));
        pair.run(Span::secs(1));
        pair.net.host_up(pair.now, models::net::HostId(1));
        let local = SocketAddr::new(pair.ips[1], 7000);
        assert!(pair.net.tcp_listen(models::net::HostId(1), local, tcp_options(), 9).is_ok());
        let there = SocketAddr::new(pair.ips[0], 7000);
        let peer = NodeId::new(0).unwrap();
        pair.links[1] = Link::new(peer, models::net::HostId(1), there, 1, false);
        pair.heard = [Vec::new(), Vec::new()];
        pair.with(1, Link::want);
        pair.say(0, 7);
        pair.run(Span::secs(10));
        assert_eq!(pair.told(0), ["down", "up"], "a reset answers what the old boot cannot take");
        assert_eq!(pair.told(1), ["up"]);
    }
}

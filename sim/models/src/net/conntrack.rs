//! Connection tracking of one host: a table of flows with room for so many, as Linux's
//! nf_conntrack.
//!
//! What it does:
//!
//! * A flow is a protocol and two addresses with ports, in either direction. Its first packet makes
//!   an entry, unconfirmed by the peer until one comes back. An entry lives for the time that its
//!   state has (defaults of Linux 4.19, the kernel of XCP-ng's hosts) after its last packet.
//! * When the table is full, the packet of a new flow first pushes out an entry that is not assured
//!   (early drop); if there is none, the packet is dropped: `nf_conntrack: table full, dropping
//!   packet`.
//! * A TCP packet in the middle of a stream without an entry is picked up as an established flow
//!   (`nf_conntrack_tcp_loose`), which needs room, too. An answer to a SYN makes no entry and is
//!   dropped, as the host's firewall accepts only what is tracked.
//! * Ports that a NOTRACK rule names are not looked at.
//! * Flows of others, which the network does not carry, hold the table full for a share of the
//!   moments at which one more place is wanted: [`Table::fill`].
//!
//! Known gaps: no buckets (early drop looks at all entries), no expectations, no NAT, no window
//! tracking, no zones; the loopback is not tracked.

use crate::luck::Luck;
use crate::time::{SimTime, Span};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// `nf_conntrack_tcp_timeout_syn_sent`
const SYN_SENT: Span = Span::secs(120);
/// `nf_conntrack_tcp_timeout_syn_recv`
const SYN_RECEIVED: Span = Span::secs(60);
/// `nf_conntrack_tcp_timeout_established`: five days.
const ESTABLISHED: Span = Span::secs(432_000);
/// `nf_conntrack_tcp_timeout_unacknowledged`: picked up, and no answer seen yet.
const UNACKNOWLEDGED: Span = Span::secs(300);
/// `nf_conntrack_tcp_timeout_fin_wait`
const FIN_WAIT: Span = Span::secs(120);
/// `nf_conntrack_tcp_timeout_time_wait`
const TIME_WAIT: Span = Span::secs(120);
/// `nf_conntrack_tcp_timeout_close`
const CLOSE: Span = Span::secs(10);
/// `nf_conntrack_udp_timeout`
const UDP: Span = Span::secs(30);
/// `nf_conntrack_udp_timeout_stream`
const UDP_STREAM: Span = Span::secs(180);

/// Transport of a flow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// What a packet is to the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packet {
    /// The first of a TCP handshake.
    Syn,
    /// The answer to it.
    SynAck,
    /// Any other of a stream.
    Data,
    /// One side has said all.
    Fin,
    /// The connection is over.
    Reset,
    /// UDP.
    Datagram,
}

/// State of an entry, in the words of `conntrack -L`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// TCP: a SYN went.
    SynSent,
    /// TCP: it was answered.
    SynReceived,
    /// TCP: data goes, or was picked up.
    Established,
    /// TCP: one side has closed.
    FinWait,
    /// TCP: both have.
    TimeWait,
    /// TCP: reset.
    Close,
    /// UDP.
    Datagrams,
}

/// Counters as in `conntrack -S`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counters {
    /// Packets dropped because the table was full.
    pub drop: u64,
    /// Entries that had to make room.
    pub early_drop: u64,
    /// Packets that belong to nothing and begin nothing.
    pub invalid: u64,
    /// Entries made.
    pub insert: u64,
}

/// Direction-free name of a flow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Flow {
    transport: Transport,
    low: SocketAddr,
    high: SocketAddr,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Who sent the first packet.
    origin: SocketAddr,
    state: State,
    /// A packet came the other way.
    replied: bool,
    /// It is not pushed out by others.
    assured: bool,
    /// Which side closed first.
    closed: Option<SocketAddr>,
    until: SimTime,
    /// The how-manieth entry it is.
    number: u64,
}

/// Flows of others.
#[derive(Clone, Copy, Debug)]
struct Others {
    ppm: u32,
    until: SimTime,
}

/// The table of a host. See the module's text.
pub struct Table {
    max: usize,
    entries: BTreeMap<Flow, Entry>,
    untracked: BTreeSet<u16>,
    others: Option<Others>,
    loose: bool,
    counters: Counters,
    luck: Luck,
}

impl Table {
    /// An empty table with room for so many entries.
    pub fn new(max: u32, luck: Luck) -> Table {
        Table {
            max: max.max(1) as usize,
            entries: BTreeMap::new(),
            untracked: BTreeSet::new(),
            others: None,
            loose: true,
            counters: Counters::default(),
            luck,
        }
    }

    /// `iptables -t raw … -j NOTRACK` for a port, at either end.
    pub fn notrack(&mut self, port: u16) {
        self.untracked.insert(port);
    }

    /// `nf_conntrack_tcp_loose`
    pub fn set_loose(&mut self, loose: bool) {
        self.loose = loose;
    }

    /// Until then, others hold the table full at so many of a million moments.
    pub fn fill(&mut self, ppm: u32, until: SimTime) {
        self.others = (ppm > 0).then_some(Others { ppm, until });
    }

    /// `conntrack -F`: every entry is gone. So they are with the kernel.
    pub fn flush(&mut self) {
        self.entries.clear();
    }

    /// How many entries there are, those of others aside.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// No entries?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The state of a flow, and whether it is assured, if it has an entry.
    pub fn state(
        &self,
        now: SimTime,
        transport: Transport,
        one: SocketAddr,
        other: SocketAddr,
    ) -> Option<(State, bool)> {
        let entry = self.entries.get(&flow(transport, one, other))?;
        (entry.until > now).then_some((entry.state, entry.assured))
    }

    /// A packet passes, or is dropped.
    pub fn passes(
        &mut self,
        now: SimTime,
        transport: Transport,
        from: SocketAddr,
        to: SocketAddr,
        packet: Packet,
    ) -> bool {
        if self.untracked.contains(&from.port()) || self.untracked.contains(&to.port()) {
            return true;
        }
        let flow = flow(transport, from, to);
        let known = self.entries.get(&flow).copied().filter(|entry| entry.until > now);
        // A SYN to a flow that is over begins another.
        let reused = packet == Packet::Syn
            && known.is_some_and(|entry| matches!(entry.state, State::TimeWait | State::Close));
        match known.filter(|_| !reused) {
            Some(entry) => {
                let entry = entry.after(now, from, packet);
                self.entries.insert(flow, entry);
                true
            }
            None => self.first(now, flow, from, packet),
        }
    }

    /// The first packet of a flow.
    fn first(&mut self, now: SimTime, flow: Flow, from: SocketAddr, packet: Packet) -> bool {
        let (state, lives) = match packet {
            Packet::Syn => (State::SynSent, SYN_SENT),
            Packet::Datagram => (State::Datagrams, UDP),
            Packet::Data if self.loose => (State::Established, UNACKNOWLEDGED),
            Packet::Fin if self.loose => (State::FinWait, FIN_WAIT),
            // A reset of nothing is let through by no rule, but harms nobody.
            Packet::Reset => return true,
            Packet::SynAck | Packet::Data | Packet::Fin => {
                self.counters.invalid += 1;
                return false;
            }
        };
        self.entries.remove(&flow);
        if !self.has_room(now) {
            self.counters.drop += 1;
            return false;
        }
        self.counters.insert += 1;
        let entry = Entry {
            origin: from,
            state,
            replied: false,
            assured: false,
            closed: (packet == Packet::Fin).then_some(from),
            until: now + lives,
            number: self.counters.insert,
        };
        self.entries.insert(flow, entry);
        true
    }

    /// Is there a place for one more, or can one be made?
    fn has_room(&mut self, now: SimTime) -> bool {
        let others = self.others.filter(|others| now < others.until);
        let crowded = others.is_some_and(|others| self.luck.chance(others.ppm));
        if !crowded && self.entries.len() < self.max {
            return true;
        }
        self.entries.retain(|_, entry| entry.until > now);
        if !crowded && self.entries.len() < self.max {
            return true;
        }
        let weak = self.entries.iter().filter(|(_, entry)| !entry.assured);
        let Some(flow) = weak.min_by_key(|(_, entry)| entry.number).map(|(flow, _)| *flow) else {
            return false;
        };
        self.entries.remove(&flow);
        self.counters.early_drop += 1;
        true
    }
}

fn flow(transport: Transport, one: SocketAddr, other: SocketAddr) -> Flow {
    Flow { transport, low: one.min(other), high: one.max(other) }
}

impl Entry {
    /// As a further packet leaves it.
    fn after(mut self, now: SimTime, from: SocketAddr, packet: Packet) -> Entry {
        self.replied |= from != self.origin;
        match (packet, self.state) {
            (Packet::Reset, _) => self.state = State::Close,
            (Packet::SynAck, State::SynSent) => self.state = State::SynReceived,
            (Packet::Fin, State::FinWait | State::TimeWait) if self.closed != Some(from) => {
                self.state = State::TimeWait;
            }
            (Packet::Fin, state) if state != State::TimeWait => {
                self.state = State::FinWait;
                self.closed.get_or_insert(from);
            }
            (Packet::Data, State::SynSent | State::SynReceived) => {
                self.state = State::Established;
                self.assured = self.replied;
            }
            (Packet::Data, State::Established) => self.assured |= self.replied,
            (Packet::Datagram, _) => self.assured |= self.replied,
            _ => {}
        }
        self.until = now + self.lives();
        self
    }

    fn lives(&self) -> Span {
        match self.state {
            State::SynSent => SYN_SENT,
            State::SynReceived => SYN_RECEIVED,
            State::Established if !self.replied => UNACKNOWLEDGED,
            State::Established => ESTABLISHED,
            State::FinWait => FIN_WAIT,
            State::TimeWait => TIME_WAIT,
            State::Close => CLOSE,
            State::Datagrams if self.replied => UDP_STREAM,
            State::Datagrams => UDP,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Packet::*;
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    struct Lab {
        table: Table,
        now: SimTime,
        us: SocketAddr,
        them: SocketAddr,
    }

    impl Lab {
        fn new(max: u32) -> Lab {
            let table = Table::new(max, Luck::root(1));
            Lab { table, now: SimTime::ZERO, us: at("10.0.0.1:40000"), them: at("10.0.0.2:7000") }
        }

        fn out(&mut self, packet: Packet) -> bool {
            self.table.passes(self.now, transport(packet), self.us, self.them, packet)
        }

        fn back(&mut self, packet: Packet) -> bool {
            self.table.passes(self.now, transport(packet), self.them, self.us, packet)
        }

        fn state(&self, packet: Packet) -> Option<(State, bool)> {
            self.table.state(self.now, transport(packet), self.us, self.them)
        }

        fn after(&mut self, seconds: u64) {
            self.now += Span::secs(seconds);
        }

        fn connect(&mut self) {
            assert!(self.out(Syn) && self.back(SynAck) && self.out(Data));
        }
    }

    fn transport(packet: Packet) -> Transport {
        if packet == Datagram { Transport::Udp } else { Transport::Tcp }
    }

    #[test]
    fn a_connection_runs_through_its_states_and_times() {
        let mut lab = Lab::new(8);
        lab.out(Syn);
        assert_eq!(lab.state(Syn), Some((State::SynSent, false)));
        lab.back(SynAck);
        assert_eq!(lab.state(Syn), Some((State::SynReceived, false)));
        lab.out(Data);
        assert_eq!(lab.state(Syn), Some((State::Established, true)));
        lab.after(432_000 - 1);
        assert!(lab.state(Syn).is_some());
        lab.out(Fin);
        assert_eq!(lab.state(Syn), Some((State::FinWait, true)));
        lab.back(Fin);
        lab.after(119);
        assert_eq!(lab.state(Syn), Some((State::TimeWait, true)));
        lab.after(1);
        assert_eq!(lab.state(Syn), None);
        lab.connect();
        lab.back(Reset);
        lab.after(10);
        assert_eq!(lab.state(Syn), None);
    }

    #[test]
    fn an_unanswered_syn_and_datagrams_have_their_times() {
        let mut lab = Lab::new(8);
        lab.out(Syn);
        lab.out(Datagram);
        lab.after(30);
        assert!(lab.state(Syn).is_some() && lab.state(Datagram).is_none());
        lab.out(Datagram);
        lab.back(Datagram);
        lab.after(179);
        assert_eq!(lab.state(Datagram), Some((State::Datagrams, true)));
        assert!(lab.state(Syn).is_none());
        lab.after(1);
        assert_eq!(lab.state(Datagram), None);
    }

    #[test]
    fn a_full_table_drops_new_flows_alone() {
        let mut lab = Lab::new(1);
        lab.connect();
        let other = at("10.0.0.3:7000");
        let syn = |lab: &mut Lab| lab.table.passes(lab.now, Transport::Tcp, lab.us, other, Syn);
        assert!(!syn(&mut lab));
        assert!(lab.out(Data) && lab.back(Data));
        assert_eq!(lab.table.counters().drop, 1);
        lab.out(Fin);
        lab.back(Fin);
        lab.after(120);
        assert!(syn(&mut lab), "what has run out makes room");
    }

    #[test]
    fn entries_that_are_not_assured_make_room() {
        let mut lab = Lab::new(2);
        lab.connect();
        for host in 3..9 {
            let other = at(&format!("10.0.0.{host}:7000"));
            assert!(lab.table.passes(lab.now, Transport::Tcp, lab.us, other, Syn));
        }
        assert_eq!(lab.table.counters().early_drop, 5);
        assert_eq!(lab.state(Syn), Some((State::Established, true)));
    }

    #[test]
    fn streams_are_picked_up_after_a_flush_if_there_is_room() {
        let mut lab = Lab::new(8);
        lab.connect();
        lab.table.flush();
        lab.table.fill(1_000_000, SimTime(Span::secs(9).0));
        assert!(!lab.out(Data));
        lab.after(9);
        assert!(lab.out(Data));
        assert_eq!(lab.state(Syn), Some((State::Established, false)));
        lab.after(300);
        assert_eq!(lab.state(Syn), None, "no answer in five minutes");
        assert!(lab.back(Data) && lab.out(Data));
        assert_eq!(lab.state(Syn), Some((State::Established, true)));
        lab.table.flush();
        assert!(!lab.back(SynAck), "an answer to nothing");
        lab.table.set_loose(false);
        assert!(!lab.out(Data));
        assert_eq!(lab.table.counters().invalid, 2);
    }

    #[test]
    fn ports_that_are_not_tracked_need_no_room() {
        let mut lab = Lab::new(1);
        lab.table.fill(1_000_000, SimTime::FAR);
        assert!(!lab.out(Syn));
        lab.table.notrack(7000);
        lab.connect();
        assert!(lab.back(Data) && lab.table.is_empty());
    }
}

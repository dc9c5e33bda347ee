//! The network: hosts, NICs, switches, cuts; UDP and TCP over them.
//!
//! What it does:
//!
//! * A host has several NICs, each with addresses, on a named network (a switch). Packets pass when
//!   the switch, both NICs and the receiving host are up, the receiver is not frozen, and the
//!   directed pair of addresses is not cut. **That is asked when a packet arrives**, so a packet on
//!   its way when a link is cut is lost.
//! * A NIC sends one packet after the other: `nic_free = max(nic_free, now) + (bytes + 66) * 8 /
//!   rate`. The latency of the network is drawn for each packet on top.
//! * UDP is lost, duplicated, reordered. A full queue or a missing receiver is silence.
//! * TCP: a connect takes one round trip; it hangs towards silence (SYN again after 1, 2, 4 .. s)
//!   and is refused where a live host does not listen. A stream is a queue of items, each
//!   delivered whole, in order, exactly once, or not at all. In the good case a send costs one
//!   event; the acknowledgement is implied. An item that does not get through is sent again after
//!   200 ms, 400 ms and so on, and later items queue behind it; a lost packet with three or more
//!   behind it is sent again after a round trip. When the way back is cut, data arrives but is
//!   not acknowledged. Data that stays unacknowledged for `user_timeout` ends the connection at
//!   the sender, silently for the peer.
//! * Half close and full close travel behind the data; a reset does not wait. Neither passes a cut.
//!   Data that reaches a closed socket, or a host that has rebooted since, is answered by a reset.
//!   Power loss is silence.
//! * A frozen host neither receives nor acts; its timers strike when it thaws.
//! * A host may track connections ([`conntrack`]): a packet passes its table when it leaves and
//!   when it arrives, both of which are asked when it arrives. Who does not track pays nothing.
//!
//! Known gaps: no ARP (a connect to a dead host of the same segment says `TimedOut`, never "no
//! route to host"), no ICMP for UDP, no congestion window or slow start, one NIC queue for
//! sending and none for receiving, no listen backlog limit, no `TIME_WAIT`, no routing between
//! networks. Room in the window is credited to a sender that is not blocked without delay. Items
//! are not split, so one larger than the window passes when the window is empty.

pub mod conntrack;
mod end;
mod fabric;
mod flow;
mod handshake;
mod sockets;
mod tcp;
mod types;
mod udp;

use crate::hash::Hash64;
use crate::luck::Luck;
use crate::queue::Queue;
use crate::slab::{Key, Slab};
use crate::time::SimTime;
use std::net::{IpAddr, SocketAddr};
pub use types::*;

type Out<P> = Vec<NetEvent<P>>;

/// What waits for its time. `end` is the TCP end that it is about: the sender of what arrives, the
/// owner of a timer, the receiver of a reset or window update, for a SYN-ACK the server's.
#[derive(Clone, Copy)]
enum Ev {
    Arrive { end: Key, epoch: u32 },
    Rto { end: Key, timer: u32 },
    Probe { end: Key, timer: u32 },
    Resume { end: Key, epoch: u32 },
    Syn { end: Key },
    SynRetry { end: Key, tries: u8 },
    SynAck { end: Key },
    ConnectLimit { end: Key },
    EmbryoEnd { end: Key },
    Reset { end: Key },
    Room { end: Key },
    Persist { end: Key, tries: u8 },
    Keepalive { end: Key },
    Datagram { key: Key },
}

impl Ev {
    /// Kind and place, for the hash.
    fn word(self) -> u64 {
        let (kind, key) = match self {
            Ev::Arrive { end, .. } => (0, end),
            Ev::Rto { end, .. } => (1, end),
            Ev::Probe { end, .. } => (2, end),
            Ev::Syn { end } => (3, end),
            Ev::SynRetry { end, .. } => (4, end),
            Ev::SynAck { end } => (5, end),
            Ev::ConnectLimit { end } => (6, end),
            Ev::EmbryoEnd { end } => (7, end),
            Ev::Reset { end } => (8, end),
            Ev::Room { end } => (9, end),
            Ev::Persist { end, .. } => (10, end),
            Ev::Keepalive { end } => (11, end),
            Ev::Datagram { key } => (12, key),
            Ev::Resume { end, .. } => (13, end),
        };
        kind << 60 ^ u64::from(key.generation) << 32 ^ u64::from(key.slot)
    }

    /// The end whose kernel acts on it; `None` for packets, which a frozen host simply misses.
    fn timer_of(self) -> Option<Key> {
        match self {
            Ev::Rto { end, .. }
            | Ev::Resume { end, .. }
            | Ev::SynRetry { end, .. }
            | Ev::ConnectLimit { end }
            | Ev::EmbryoEnd { end }
            | Ev::Persist { end, .. }
            | Ev::Keepalive { end } => Some(end),
            _ => None,
        }
    }
}

/// The sockets of one host.
#[derive(Default)]
struct Stack {
    tcp: sockets::PortTable,
    udp: sockets::PortTable,
    /// Timers that fell due while the host was frozen.
    parked: Vec<Ev>,
}

enum Protocol {
    Tcp,
    Udp,
}

/// The network of all hosts, carrying payloads of type `P`. See the module's text.
pub struct Net<P> {
    fabric: fabric::Fabric,
    stacks: Vec<Stack>,
    /// By host; empty: nobody tracks.
    tables: Vec<Option<conntrack::Table>>,
    listeners: Slab<sockets::Listener>,
    ends: Slab<end::End<P>>,
    udp: Slab<sockets::UdpSock>,
    datagrams: Slab<udp::Datagram<P>>,
    queue: Queue<Ev>,
    epochs: u32,
    hash: Hash64,
    events: u64,
}

impl<P: Clone> Net<P> {
    /// An empty network with its own luck.
    pub fn new(luck: Luck) -> Net<P> {
        Net {
            fabric: fabric::Fabric::new(luck),
            stacks: Vec::new(),
            tables: Vec::new(),
            listeners: Slab::new(),
            ends: Slab::new(),
            udp: Slab::new(),
            datagrams: Slab::new(),
            queue: Queue::new(),
            epochs: 0,
            hash: Hash64::new(),
            events: 0,
        }
    }

    // ---- topology ----

    /// Adds a switch.
    pub fn add_network(&mut self, settings: NetworkSettings) -> NetworkId {
        self.fabric.add_network(settings)
    }

    /// Adds a host; it is off until [`Net::host_up`].
    pub fn add_host(&mut self) -> HostId {
        self.stacks.push(Stack::default());
        self.fabric.add_host()
    }

    /// Adds a NIC that sends at `bits_per_second` (0: without limit) with one address.
    ///
    /// # Panics
    /// If another NIC has the address, or there is no such host or network.
    pub fn add_nic(
        &mut self,
        host: HostId,
        network: NetworkId,
        bits_per_second: u64,
        address: IpAddr,
    ) -> NicId {
        let nic = self.fabric.add_nic(host, network, bits_per_second);
        self.fabric.add_address(nic, address);
        nic
    }

    /// Gives a NIC one more address.
    ///
    /// # Panics
    /// If another NIC has the address.
    pub fn add_address(&mut self, nic: NicId, address: IpAddr) {
        self.fabric.add_address(nic, address);
    }

    /// The settings of a network.
    pub fn network(&self, network: NetworkId) -> &NetworkSettings {
        self.fabric.network(network)
    }

    /// The settings of a network, to change: switch off, slow down, lose packets.
    pub fn network_mut(&mut self, network: NetworkId) -> &mut NetworkSettings {
        self.fabric.network_mut(network)
    }

    /// Takes a NIC's carrier away or gives it back.
    pub fn set_nic_up(&mut self, nic: NicId, up: bool) {
        self.fabric.set_nic_up(nic, up);
    }

    /// Changes a NIC's rate (0: without limit).
    pub fn set_nic_rate(&mut self, nic: NicId, bits_per_second: u64) {
        self.fabric.set_nic_rate(nic, bits_per_second);
    }

    /// The host that has this address.
    pub fn host_of(&self, address: IpAddr) -> Option<HostId> {
        self.fabric.host_of(self.fabric.find(address))
    }

    /// All addresses of a host, in the order they were added, without loopback.
    pub fn addresses(&self, host: HostId) -> impl Iterator<Item = IpAddr> {
        self.fabric.addresses(host).iter().map(|ix| self.fabric.ip(*ix))
    }

    /// Packets from one address to the other are lost from now on. Unknown addresses are ignored.
    pub fn cut(&mut self, from: IpAddr, to: IpAddr) {
        self.fabric.set_cut(self.fabric.find(from), self.fabric.find(to), true);
    }

    /// Ends a [`Net::cut`].
    pub fn heal(&mut self, from: IpAddr, to: IpAddr) {
        self.fabric.set_cut(self.fabric.find(from), self.fabric.find(to), false);
    }

    /// Cuts all addresses of two hosts from each other, both ways.
    pub fn cut_hosts(&mut self, a: HostId, b: HostId) {
        self.fabric.set_cut_hosts(a, b, true);
    }

    /// Ends [`Net::cut_hosts`], and single cuts between them.
    pub fn heal_hosts(&mut self, a: HostId, b: HostId) {
        self.fabric.set_cut_hosts(a, b, false);
    }

    /// Ends every cut.
    pub fn heal_all(&mut self) {
        self.fabric.heal_all();
    }

    /// Would a packet from one address reach the other now (chance aside)?
    pub fn reachable(&self, from: IpAddr, to: IpAddr) -> bool {
        self.fabric.clear(self.fabric.find(from), self.fabric.find(to))
    }

    // ---- connection tracking ----

    /// The host tracks connections from now on, with room for so many.
    pub fn track(&mut self, host: HostId, max: u32, luck: Luck) {
        let at = host.0 as usize;
        if self.tables.len() <= at {
            self.tables.resize_with(at + 1, || None);
        }
        self.tables[at] = Some(conntrack::Table::new(max, luck));
    }

    /// The table of a host that tracks connections.
    pub fn conntrack(&self, host: HostId) -> Option<&conntrack::Table> {
        self.tables.get(host.0 as usize)?.as_ref()
    }

    /// The table of a host that tracks connections, to fill, flush and exempt.
    pub fn conntrack_mut(&mut self, host: HostId) -> Option<&mut conntrack::Table> {
        self.tables.get_mut(host.0 as usize)?.as_mut()
    }

    /// Does a packet that arrives now pass the tables of both hosts?
    #[inline]
    fn tracked(
        &mut self,
        t: SimTime,
        transport: conntrack::Transport,
        (from, to): (SocketAddr, SocketAddr),
        packet: conntrack::Packet,
    ) -> bool {
        self.tables.is_empty() || self.pass_tables(t, transport, (from, to), packet)
    }

    fn pass_tables(
        &mut self,
        t: SimTime,
        transport: conntrack::Transport,
        (from, to): (SocketAddr, SocketAddr),
        packet: conntrack::Packet,
    ) -> bool {
        let (here, there) = (self.host_of(from.ip()), self.host_of(to.ip()));
        if here == there {
            return true;
        }
        let mut passes = |host: Option<HostId>| {
            let table = host.and_then(|host| self.conntrack_mut(host));
            table.is_none_or(|table| table.passes(t, transport, from, to, packet))
        };
        passes(here) && passes(there)
    }

    /// As [`Net::tracked`], of a packet from an end to its peer.
    #[inline]
    fn tracked_from(&mut self, t: SimTime, end: Key, packet: conntrack::Packet) -> bool {
        if self.tables.is_empty() {
            return true;
        }
        let Some(end) = self.ends.get(end) else { return true };
        let way = (end.local, end.remote);
        self.pass_tables(t, conntrack::Transport::Tcp, way, packet)
    }

    // ---- life of hosts ----

    /// The kernel of a host starts; returns its boot number (1 for the first).
    pub fn host_up(&mut self, now: SimTime, host: HostId) -> u32 {
        self.note(now, 1, host);
        self.fabric.set_up(host, true)
    }

    /// The kernel of a host is gone (power loss or crash): its sockets vanish, nobody is told.
    /// Packets that left its NIC before still arrive.
    pub fn host_down(&mut self, now: SimTime, host: HostId) {
        self.note(now, 2, host);
        self.fabric.set_up(host, false);
        if let Some(table) = self.conntrack_mut(host) {
            table.flush();
        }
        let stack = &mut self.stacks[host.0 as usize];
        stack.parked.clear();
        for key in stack.tcp.drain() {
            self.listeners.remove(key);
        }
        for key in stack.udp.drain() {
            self.udp.remove(key);
        }
        let ends: Vec<Key> = self.ends.keys().collect();
        for key in ends {
            if self.ends.get(key).is_some_and(|e| e.host == host) {
                self.make_ghost(now, key);
            }
        }
    }

    /// The host stands still.
    pub fn freeze(&mut self, now: SimTime, host: HostId) {
        self.note(now, 3, host);
        self.fabric.set_frozen(host, true);
    }

    /// The host goes on; timers missed strike now.
    pub fn thaw(&mut self, now: SimTime, host: HostId) {
        self.note(now, 4, host);
        self.fabric.set_frozen(host, false);
        for event in std::mem::take(&mut self.stacks[host.0 as usize].parked) {
            self.queue.push(now, event);
        }
    }

    /// The boot number of a host, `None` while it is down.
    pub fn boot(&self, host: HostId) -> Option<u32> {
        self.fabric.is_up(host).then(|| self.fabric.boots(host))
    }

    fn note(&mut self, now: SimTime, what: u64, host: HostId) {
        self.hash.add(now.0);
        self.hash.add(what << 48 | u64::from(host.0));
    }

    /// Checks a local address and chooses the port.
    fn bindable(
        &mut self,
        host: HostId,
        local: SocketAddr,
        protocol: Protocol,
    ) -> Result<SocketAddr, BindError> {
        if !self.fabric.is_up(host) {
            return Err(BindError::HostDown);
        }
        if !self.fabric.is_local(host, local.ip()) {
            return Err(BindError::AddrNotAvailable);
        }
        let stack = &mut self.stacks[host.0 as usize];
        let table = match protocol {
            Protocol::Tcp => &mut stack.tcp,
            Protocol::Udp => &mut stack.udp,
        };
        if local.port() == 0 {
            return Ok(table.with_port(local));
        }
        if table.in_use(local) { Err(BindError::AddrInUse) } else { Ok(local) }
    }

    fn next_epoch(&mut self) -> u32 {
        self.epochs = self.epochs.wrapping_add(1);
        self.epochs
    }

    /// Tells the software that holds an end; an end that was closed has nobody to tell.
    fn tell(
        &self,
        at: SimTime,
        key: Key,
        out: &mut Out<P>,
        what: impl FnOnce(ConnId) -> NetWhat<P>,
    ) {
        if let Some(end) = self.ends.get(key).filter(|e| e.held) {
            out.push(NetEvent { at, host: end.host, owner: end.owner, what: what(ConnId(key)) });
        }
    }

    // ---- driving ----

    /// When [`Net::run_due`] wants to be called next.
    pub fn next_due(&self) -> Option<SimTime> {
        self.queue.next_due()
    }

    /// Handles all that is due at or before `now`; appends what the hosts' software must hear.
    pub fn run_due(&mut self, now: SimTime, out: &mut Vec<NetEvent<P>>) {
        while let Some((t, event)) = self.queue.pop_due(now) {
            self.events += 1;
            self.hash.add(t.0);
            self.hash.add(event.word());
            if !self.park(event) {
                self.handle(t, event, out);
            }
        }
    }

    /// A frozen host's timers wait until it thaws.
    fn park(&mut self, event: Ev) -> bool {
        let Some(end) = event.timer_of().and_then(|key| self.ends.get(key)) else { return false };
        let host = end.host;
        let frozen = self.fabric.is_frozen(host);
        if frozen {
            self.stacks[host.0 as usize].parked.push(event);
        }
        frozen
    }

    fn handle(&mut self, t: SimTime, event: Ev, out: &mut Out<P>) {
        match event {
            Ev::Arrive { end, epoch } => self.on_arrive(t, end, epoch, out),
            Ev::Rto { end, timer } => self.on_rto(t, end, timer, out),
            Ev::Probe { end, timer } => self.on_probe(t, end, timer),
            Ev::Resume { end, epoch } => self.on_resume(t, end, epoch),
            Ev::Syn { end } => self.on_syn(t, end),
            Ev::SynRetry { end, tries } => self.on_syn_retry(t, end, tries, out),
            Ev::SynAck { end } => self.on_syn_ack(t, end, out),
            Ev::ConnectLimit { end } => self.on_connect_limit(t, end, out),
            Ev::EmbryoEnd { end } => self.on_embryo_end(end),
            Ev::Reset { end } => self.on_reset(t, end, out),
            Ev::Room { end } => self.on_room(t, end, out),
            Ev::Persist { end, tries } => self.on_persist(t, end, tries, out),
            Ev::Keepalive { end } => self.on_keepalive(t, end, out),
            Ev::Datagram { key } => self.on_datagram(t, key, out),
        }
    }

    /// Hash over everything that happened so far.
    pub fn hash(&self) -> u64 {
        self.hash.value()
    }

    /// How many events were handled so far.
    pub fn events(&self) -> u64 {
        self.events
    }
}

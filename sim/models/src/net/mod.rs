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
//! * TCP: a connect takes one round trip; it hangs towards silence (SYN again after 1, 2, 4 .. s) and
//!   is refused where a live host does not listen. A stream is a queue of items, each delivered
//!   whole, in order, exactly once, or not at all. In the good case a send costs one event; the
//!   acknowledgement is implied. An item that does not get through is sent again after 200 ms, 400 ms
//!   and so on, and later items queue behind it; a lost packet with three or more behind it is sent
//!   again after a round trip. When the way back is cut, data arrives but is not
//!   acknowledged. Data that stays unacknowledged for `user_timeout` ends the connection at the
//!   sender, silently for the peer.
//! * Half close and full close travel behind the data; a reset does not wait. Neither passes a cut.
//!   Data that reaches a closed socket, or a host that has rebooted since, is answered by a reset.
//!   Power loss is silence.
//! * A frozen host neither receives nor acts; its timers strike when it thaws.
//!
//! Known gaps: no ARP (a connect to a dead host of the same segment says `TimedOut`, never "no route
//! to host"), no ICMP for UDP, no congestion window or slow start, one NIC queue for sending and none
//! for receiving, no listen backlog limit, no `TIME_WAIT`, no routing between networks. Room in the
//! window is credited to a sender that is not blocked without delay. Items are not
//! split, so one larger than the window passes when the window is empty.

mod types;

use crate::luck::Luck;
use crate::time::SimTime;
use std::net::{IpAddr, SocketAddr};
pub use types::*;

/// The network of all hosts, carrying payloads of type `P`. See the module's text.
pub struct Net<P> {
    _p: std::marker::PhantomData<P>,
}

impl<P: Clone> Net<P> {
    /// An empty network with its own luck.
    pub fn new(luck: Luck) -> Net<P> {
        todo!()
    }

    // ---- topology ----

    /// Adds a switch.
    pub fn add_network(&mut self, settings: NetworkSettings) -> NetworkId {
        todo!()
    }
    /// Adds a host; it is off until [`Net::host_up`].
    pub fn add_host(&mut self) -> HostId {
        todo!()
    }
    /// Adds a NIC that sends at `bits_per_second` (0: without limit) with one address.
    ///
    /// # Panics
    /// If another NIC has the address.
    pub fn add_nic(
        &mut self,
        host: HostId,
        network: NetworkId,
        bits_per_second: u64,
        address: IpAddr,
    ) -> NicId {
        todo!()
    }
    /// Gives a NIC one more address.
    ///
    /// # Panics
    /// If another NIC has the address.
    pub fn add_address(&mut self, nic: NicId, address: IpAddr) {
        todo!()
    }
    /// The settings of a network.
    pub fn network(&self, network: NetworkId) -> &NetworkSettings {
        todo!()
    }
    /// The settings of a network, to change: switch off, slow down, lose packets.
    pub fn network_mut(&mut self, network: NetworkId) -> &mut NetworkSettings {
        todo!()
    }
    /// Takes a NIC's carrier away or gives it back.
    pub fn set_nic_up(&mut self, nic: NicId, up: bool) {
        todo!()
    }
    /// Changes a NIC's rate (0: without limit).
    pub fn set_nic_rate(&mut self, nic: NicId, bits_per_second: u64) {
        todo!()
    }
    /// The host that has this address.
    pub fn host_of(&self, address: IpAddr) -> Option<HostId> {
        todo!()
    }
    /// All addresses of a host, by NIC, without loopback.
    pub fn addresses(&self, host: HostId) -> impl Iterator<Item = IpAddr> {
        std::iter::empty()
    }
    /// Packets from one address to the other are lost from now on. Unknown addresses are ignored.
    pub fn cut(&mut self, from: IpAddr, to: IpAddr) {
        todo!()
    }
    /// Ends a [`Net::cut`].
    pub fn heal(&mut self, from: IpAddr, to: IpAddr) {
        todo!()
    }
    /// Cuts all addresses of two hosts from each other, both ways.
    pub fn cut_hosts(&mut self, a: HostId, b: HostId) {
        todo!()
    }
    /// Ends [`Net::cut_hosts`], and single cuts between them.
    pub fn heal_hosts(&mut self, a: HostId, b: HostId) {
        todo!()
    }
    /// Ends every cut.
    pub fn heal_all(&mut self) {
        todo!()
    }
    /// Would a packet from one address reach the other now?
    pub fn reachable(&self, from: IpAddr, to: IpAddr) -> bool {
        todo!()
    }

    // ---- life of hosts ----

    /// The kernel of a host starts; returns its boot number (1 for the first).
    pub fn host_up(&mut self, now: SimTime, host: HostId) -> u32 {
        todo!()
    }
    /// The kernel of a host is gone (power loss or crash): its sockets vanish, nobody is told.
    pub fn host_down(&mut self, now: SimTime, host: HostId) {
        todo!()
    }
    /// The host stands still.
    pub fn freeze(&mut self, now: SimTime, host: HostId) {
        todo!()
    }
    /// The host goes on; timers missed strike now.
    pub fn thaw(&mut self, now: SimTime, host: HostId) {
        todo!()
    }
    /// The boot number of a host, `None` while it is down.
    pub fn boot(&self, host: HostId) -> Option<u32> {
        todo!()
    }

    // ---- UDP ----

    /// Binds a UDP socket; port 0 takes a free one, an unspecified address takes all.
    pub fn udp_bind(
        &mut self,
        host: HostId,
        local: SocketAddr,
        owner: u64,
    ) -> Result<UdpId, BindError> {
        todo!()
    }
    /// The address of a socket, `None` if it is gone.
    pub fn udp_local(&self, sock: UdpId) -> Option<SocketAddr> {
        todo!()
    }
    /// Sends a datagram of `len` bytes. Never fails: what cannot be sent is lost.
    pub fn udp_send(&mut self, now: SimTime, sock: UdpId, to: SocketAddr, payload: P, len: u32) {
        todo!()
    }
    /// Closes a socket.
    pub fn udp_close(&mut self, sock: UdpId) {
        todo!()
    }

    // ---- TCP ----

    /// Listens; port 0 takes a free one, an unspecified address takes all. `owner` comes with each
    /// event of the listener and of the connections it accepts.
    pub fn tcp_listen(
        &mut self,
        host: HostId,
        local: SocketAddr,
        options: TcpOptions,
        owner: u64,
    ) -> Result<ListenerId, BindError> {
        todo!()
    }
    /// The address of a listener, `None` if it is gone.
    pub fn tcp_listener_local(&self, listener: ListenerId) -> Option<SocketAddr> {
        todo!()
    }
    /// Stops listening; accepted connections live on.
    pub fn tcp_unlisten(&mut self, listener: ListenerId) {
        todo!()
    }
    /// Starts to connect. Answered by `Connected` or `ConnectFailed`; until then sends are refused
    /// as closed. `from` chooses the source address (port 0 takes a free one); without it the first
    /// address on the network of `to` is taken.
    pub fn tcp_connect(
        &mut self,
        now: SimTime,
        host: HostId,
        from: Option<SocketAddr>,
        to: SocketAddr,
        options: TcpOptions,
        owner: u64,
    ) -> Result<ConnId, BindError> {
        todo!()
    }
    /// Sends one item of `len` bytes.
    pub fn tcp_send(
        &mut self,
        now: SimTime,
        conn: ConnId,
        payload: P,
        len: u32,
    ) -> Result<(), SendError<P>> {
        todo!()
    }
    /// How many bytes `tcp_send` would take now (an item larger than the window passes when
    /// nothing is on its way).
    pub fn tcp_room(&self, conn: ConnId) -> u32 {
        todo!()
    }
    /// The application has taken `len` received bytes: gives the peer room.
    pub fn tcp_consumed(&mut self, now: SimTime, conn: ConnId, len: u32) {
        todo!()
    }
    /// Half close: the peer reads `Eof` after what was sent.
    pub fn tcp_shutdown(&mut self, now: SimTime, conn: ConnId) {
        todo!()
    }
    /// Full close, as `close(2)` and the death of a process do it: queued data and a FIN are still
    /// sent; with received data unconsumed, a reset instead.
    pub fn tcp_close(&mut self, now: SimTime, conn: ConnId) {
        todo!()
    }
    /// Closes with a reset (`SO_LINGER` 0): queued data is dropped.
    pub fn tcp_abort(&mut self, now: SimTime, conn: ConnId) {
        todo!()
    }
    /// Events of this end carry another owner from now on.
    pub fn tcp_set_owner(&mut self, conn: ConnId, owner: u64) {
        todo!()
    }
    /// Changes options of a live connection (window, timeouts, keepalive).
    pub fn tcp_set_options(&mut self, now: SimTime, conn: ConnId, options: TcpOptions) {
        todo!()
    }
    /// What is known of an end, `None` if it is gone.
    pub fn tcp_info(&self, conn: ConnId) -> Option<ConnInfo> {
        todo!()
    }

    // ---- driving ----

    /// When [`Net::run_due`] wants to be called next.
    pub fn next_due(&self) -> Option<SimTime> {
        todo!()
    }
    /// Handles all that is due at or before `now`; appends what the hosts' software must hear.
    pub fn run_due(&mut self, now: SimTime, out: &mut Vec<NetEvent<P>>) {
        todo!()
    }
    /// Hash over everything that happened so far.
    pub fn hash(&self) -> u64 {
        todo!()
    }
    /// How many events were handled so far.
    pub fn events(&self) -> u64 {
        todo!()
    }
}

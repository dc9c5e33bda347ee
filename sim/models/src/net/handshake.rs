//! How TCP connections come to be.

use super::conntrack::{Packet, Transport};
use super::end::{Body, Phase};
use super::fabric::Fate;
use super::*;
use crate::slab::Key;
use crate::time::Span;

/// SYN retries: 1, 2, 4, 8, 16, 32 s; it gives up 64 s after the last.
const SYN_RETRIES: u8 = 6;
/// How long a half-open connection is remembered (five SYN-ACK retries).
const EMBRYO_LIFE: Span = Span::secs(63);

impl<P: Clone> Net<P> {
    pub(super) fn send_syn(&mut self, now: SimTime, key: Key, tries: u8) {
        let Some(end) = self.ends.get(key) else { return };
        let arrives = self.fabric.carry(now, end.src, end.dst, 0).arrives;
        self.queue.push(arrives, Ev::Syn { end: key });
        let wait = Span::secs(1 << tries);
        self.queue.push(now + wait, Ev::SynRetry { end: key, tries: tries + 1 });
    }

    pub(super) fn on_syn_retry(&mut self, t: SimTime, key: Key, tries: u8, out: &mut Out<P>) {
        match self.ends.get(key) {
            Some(end) if end.phase == Phase::Connecting && tries > SYN_RETRIES => {
                self.fail_connect(t, key, ConnectError::TimedOut, out);
            }
            Some(end) if end.phase == Phase::Connecting => self.send_syn(t, key, tries),
            _ => {}
        }
    }

    pub(super) fn on_connect_limit(&mut self, t: SimTime, key: Key, out: &mut Out<P>) {
        if self.ends.get(key).is_some_and(|e| e.phase == Phase::Connecting) {
            self.fail_connect(t, key, ConnectError::TimedOut, out);
        }
    }

    pub(super) fn fail_connect(
        &mut self,
        t: SimTime,
        key: Key,
        why: ConnectError,
        out: &mut Out<P>,
    ) {
        self.tell(t, key, out, |conn| NetWhat::ConnectFailed { conn, why });
        self.ends.remove(key);
    }

    /// A SYN reaches the other host.
    pub(super) fn on_syn(&mut self, t: SimTime, key: Key) {
        let Some(client) = self.ends.get(key).filter(|e| e.phase == Phase::Connecting) else {
            return;
        };
        let (src, dst, from, to) = (client.src, client.dst, client.local, client.remote);
        let (options, known) = (client.options, client.peer);
        if self.fabric.fate(src, dst) != Fate::Arrives || !self.tracked_from(t, key, Packet::Syn) {
            return;
        }
        if self.ends.get(known).is_some() {
            return self.send_syn_ack(t, known);
        }
        let Some(host) = self.fabric.host_of(dst) else { return };
        let ip = self.fabric.ip(dst);
        let listener = self.stacks[host.0 as usize].tcp.find(ip, to.port());
        let Some((place, listener)) = listener.and_then(|k| Some((k, self.listeners.get(k)?)))
        else {
            return self.send_reset(t, key);
        };
        let (their_options, owner) = (listener.options, listener.owner);
        let local = SocketAddr::new(ip, to.port());
        let mut server = self.new_end(t, host, (local, dst), (from, src), their_options, owner);
        server.phase = Phase::Embryo(place);
        server.peer = key;
        server.window = options.window;
        server.peer_boot = self.fabric.host_of(src).map_or(0, |h| self.fabric.boots(h));
        let server = self.ends.insert(server);
        let boot = self.fabric.boots(host);
        if let Some(client) = self.ends.get_mut(key) {
            client.peer = server;
            client.peer_boot = boot;
            client.window = their_options.window;
        }
        self.queue.push(t + EMBRYO_LIFE, Ev::EmbryoEnd { end: server });
        self.send_syn_ack(t, server);
    }

    fn send_syn_ack(&mut self, t: SimTime, server: Key) {
        let Some(end) = self.ends.get(server) else { return };
        let arrives = self.fabric.carry(t, end.src, end.dst, 0).arrives;
        self.queue.push(arrives, Ev::SynAck { end: server });
    }

    /// The answer to a SYN reaches the client.
    pub(super) fn on_syn_ack(&mut self, t: SimTime, server: Key, out: &mut Out<P>) {
        let Some(end) = self.ends.get(server) else { return };
        let (src, dst, client) = (end.src, end.dst, end.peer);
        let arrives = self.fabric.fate(src, dst) == Fate::Arrives;
        if !arrives || !self.tracked_from(t, server, Packet::SynAck) {
            return;
        }
        // If the client has given up, the server's end is forgotten after a while.
        let Some(end) = self.ends.get_mut(client) else { return };
        if end.phase != Phase::Connecting {
            return;
        }
        end.phase = Phase::Open;
        end.last_heard = t;
        self.tell(t, client, out, |conn| NetWhat::Connected { conn });
        self.enqueue(t, client, Body::Hello, 0);
        self.start_keepalive(t, client);
    }

    /// The client's answer reaches the server: the connection is established.
    pub(super) fn on_hello(&mut self, t: SimTime, client: Key, server: Key, out: &mut Out<P>) {
        let Some(end) = self.ends.get_mut(server) else { return };
        let Phase::Embryo(listener) = end.phase else { return };
        if self.listeners.get(listener).is_none() {
            self.ends.remove(server);
            return self.send_reset(t, client);
        }
        end.phase = Phase::Open;
        end.last_heard = t;
        let from = end.remote;
        let listener = ListenerId(listener);
        self.tell(t, server, out, |conn| NetWhat::Incoming { listener, conn, from });
        self.start_keepalive(t, server);
    }

    pub(super) fn on_embryo_end(&mut self, key: Key) {
        if self.ends.get(key).is_some_and(|e| matches!(e.phase, Phase::Embryo(_))) {
            self.ends.remove(key);
        }
    }

    /// Sends a reset to an end, in the name of the host at its other side.
    pub(super) fn send_reset(&mut self, t: SimTime, to: Key) {
        let Some(end) = self.ends.get(to) else { return };
        let arrives = self.fabric.carry(t, end.dst, end.src, 0).arrives;
        self.queue.push(arrives, Ev::Reset { end: to });
    }

    /// A reset reaches an end.
    pub(super) fn on_reset(&mut self, t: SimTime, key: Key, out: &mut Out<P>) {
        let Some(end) = self.ends.get(key) else { return };
        let (src, dst, phase) = (end.src, end.dst, end.phase);
        let way = (end.remote, end.local);
        if end.ghost || self.fabric.fate(dst, src) != Fate::Arrives {
            return;
        }
        if !self.tracked(t, Transport::Tcp, way, Packet::Reset) {
            return;
        }
        match phase {
            Phase::Connecting => self.fail_connect(t, key, ConnectError::Refused, out),
            Phase::Embryo(_) => drop(self.ends.remove(key)),
            Phase::Open => {
                self.tell(t, key, out, |conn| NetWhat::Reset { conn });
                self.ends.remove(key);
            }
        }
    }
}

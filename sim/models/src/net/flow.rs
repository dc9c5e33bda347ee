//! How the items of a stream travel: arrival, acknowledgement, retransmission, giving up.

use super::conntrack::{Packet, Transport};
use super::end::{Body, RTO_MAX, RTO_MIN, Stall};
use super::fabric::Fate;
use super::*;
use crate::slab::Key;

/// So many packets must follow a lost one for a fast retransmission.
const FAST_RETRANSMIT: u32 = 3;

impl<P: Clone> Net<P> {
    /// Sends the first item that is not on its way yet.
    pub(super) fn transmit_next(&mut self, now: SimTime, key: Key) {
        let Some(end) = self.ends.get_mut(key) else { return };
        let Some(item) = end.queue.get_mut(end.flying as usize) else { return };
        let flight = self.fabric.carry(now, end.src, end.dst, item.len);
        item.departed = flight.departed;
        // A stream's packets do not overtake each other: TCP would only hold the later ones.
        end.last_arrival = end.last_arrival.max(flight.arrives);
        end.flying += 1;
        self.queue.push(end.last_arrival, Ev::Arrive { end: key, epoch: end.epoch });
    }

    /// The first item on its way reaches the other host, or does not.
    pub(super) fn on_arrive(&mut self, t: SimTime, key: Key, epoch: u32, out: &mut Out<P>) {
        let Some(end) = self.ends.get(key).filter(|e| e.epoch == epoch && e.flying > 0) else {
            return;
        };
        let (src, dst, peer) = (end.src, end.dst, end.peer);
        let fin = matches!(end.queue.front(), Some(item) if matches!(item.body, Body::Fin));
        match self.fabric.fate(src, dst) {
            Fate::Unreachable => return self.on_lost(t, key, false),
            Fate::Lost => return self.on_lost(t, key, true),
            Fate::Arrives => {}
        }
        if !self.tracked_from(t, key, if fin { Packet::Fin } else { Packet::Data }) {
            return self.on_lost(t, key, false);
        }
        if !self.is_welcome(key, peer) {
            self.send_reset(t, key);
            return self.on_lost(t, key, false);
        }
        let departed = self.deliver(t, key, peer, out);
        self.acknowledge(t, key, departed);
    }

    /// Does the other side take the first item?
    fn is_welcome(&mut self, key: Key, peer: Key) -> bool {
        let Some(end) = self.ends.get(key) else { return false };
        let fin = matches!(end.queue.front(), Some(item) if matches!(item.body, Body::Fin));
        // A peer that said all and heard all answers for a minute after it is gone.
        let lingers = end.eof && end.peer_boot == self.boot_at(end.dst);
        match self.ends.get(peer) {
            Some(r) if r.receives() => true,
            Some(r) if fin && !r.ghost => true,
            Some(_) => {
                // Data for a socket that was closed: the kernel throws away what it still had.
                self.ends.remove(peer);
                false
            }
            None => fin && lingers,
        }
    }

    fn boot_at(&self, ix: fabric::AddrIx) -> u32 {
        self.fabric.host_of(ix).map_or(0, |h| self.fabric.boots(h))
    }

    /// Hands the first item to the other side; tells when it had left.
    fn deliver(&mut self, t: SimTime, key: Key, peer: Key, out: &mut Out<P>) -> SimTime {
        let item = self.ends.get_mut(key).and_then(|end| {
            end.flying -= 1;
            end.queue.pop_front()
        });
        let Some(item) = item else { return t };
        match item.body {
            Body::Hello => self.on_hello(t, key, peer, out),
            Body::Data(payload) => self.deliver_data(t, key, peer, payload, item.len, out),
            Body::Fin => {
                if let Some(r) = self.ends.get_mut(peer) {
                    r.eof = true;
                    r.last_heard = t;
                }
                self.tell(t, peer, out, |conn| NetWhat::Eof { conn });
            }
        }
        item.departed
    }

    fn deliver_data(
        &mut self,
        t: SimTime,
        key: Key,
        peer: Key,
        payload: P,
        len: u32,
        out: &mut Out<P>,
    ) {
        let mut consumed = 0;
        if let Some(r) = self.ends.get_mut(peer) {
            r.last_heard = t;
            if r.options.auto_consume {
                consumed = u64::from(len);
            } else {
                r.unconsumed += u64::from(len);
            }
            let what = NetWhat::Data { conn: ConnId(peer), payload, len };
            out.push(NetEvent { at: t, host: r.host, owner: r.owner, what });
        }
        if let Some(end) = self.ends.get_mut(key) {
            end.queued -= u64::from(len);
        }
        self.credit(t, key, consumed);
    }

    /// The acknowledgement of something that left at `departed` travels back.
    fn acknowledge(&mut self, t: SimTime, key: Key, departed: SimTime) {
        let Some(end) = self.ends.get_mut(key) else { return };
        if end.ghost {
            if end.flying == 0 {
                self.ends.remove(key);
            }
            return;
        }
        // Later acknowledgements stand in for one lost by chance, so only the way counts.
        if self.fabric.clear(end.dst, end.src) {
            let way = (end.remote, end.local);
            self.tracked(t, Transport::Tcp, way, Packet::Data);
            return self.on_acked(t, key);
        }
        end.unacked = true;
        if end.stall.is_none_or(|s| s.data) {
            let since = end.stall.map_or(departed, |s| s.since);
            let rto = end.stall.map_or(RTO_MIN, |s| s.rto);
            end.stall = Some(Stall { since, rto, data: false });
            self.arm_rto(t, key, departed);
        }
    }

    fn on_acked(&mut self, t: SimTime, key: Key) {
        let Some(end) = self.ends.get_mut(key) else { return };
        end.unacked = false;
        end.last_heard = t;
        if end.stall.take().is_some() || (end.flying as usize) < end.queue.len() {
            return self.resume(t, key);
        }
        if !end.held && end.queue.is_empty() {
            self.ends.remove(key);
        }
    }

    /// After a stall: what has queued up leaves when the acknowledgement is back.
    fn resume(&mut self, t: SimTime, key: Key) {
        let Some(end) = self.ends.get(key) else { return };
        let waiting = end.queue.len() - end.flying as usize;
        if waiting == 0 {
            if !end.held && end.is_done() {
                self.ends.remove(key);
            }
            return;
        }
        let arrives = self.fabric.carry(t, end.dst, end.src, 0).arrives;
        self.queue.push(arrives, Ev::Resume { end: key, epoch: end.epoch });
    }

    /// The acknowledgement that ends a stall is back.
    pub(super) fn on_resume(&mut self, t: SimTime, key: Key, epoch: u32) {
        let Some(end) = self.ends.get(key).filter(|e| e.epoch == epoch && !e.ghost) else {
            return;
        };
        if end.stall.is_some_and(|s| s.data) {
            return;
        }
        for _ in end.flying as usize..end.queue.len() {
            self.transmit_next(t, key);
        }
    }

    /// The first item on its way is lost, and with it what flies behind it.
    fn on_lost(&mut self, t: SimTime, key: Key, by_chance: bool) {
        let epoch = self.next_epoch();
        let Some(end) = self.ends.get_mut(key) else { return };
        if end.ghost {
            self.ends.remove(key);
            return;
        }
        let followers = end.flying - 1;
        let departed = end.queue.front().map_or(t, |item| item.departed);
        end.flying = 0;
        end.epoch = epoch;
        let fresh = Stall { since: departed, rto: RTO_MIN, data: true };
        let stall = end.stall.get_or_insert(fresh);
        stall.data = true;
        if by_chance && followers >= FAST_RETRANSMIT {
            end.timer = epoch;
            let round_trip = t.since(departed) * 2;
            let at = (departed + round_trip).max(t);
            self.queue.push(at, Ev::Rto { end: key, timer: epoch });
        } else {
            self.arm_rto(t, key, departed);
        }
    }

    /// Sets the retransmission timer, counted from `from`, and doubles the next.
    fn arm_rto(&mut self, t: SimTime, key: Key, from: SimTime) {
        let timer = self.next_epoch();
        let Some(end) = self.ends.get_mut(key) else { return };
        let Some(mut stall) = end.stall else { return };
        end.timer = timer;
        let at = (from + stall.rto).min(end.deadline(stall.since)).max(t);
        stall.rto = (stall.rto * 2).min(RTO_MAX);
        end.stall = Some(stall);
        self.queue.push(at, Ev::Rto { end: key, timer });
    }

    /// The retransmission timer strikes.
    pub(super) fn on_rto(&mut self, t: SimTime, key: Key, timer: u32, out: &mut Out<P>) {
        let Some(end) = self.ends.get_mut(key).filter(|e| e.timer == timer) else { return };
        let Some(mut stall) = end.stall else { return };
        if t >= end.deadline(stall.since) {
            return self.time_out(t, key, out);
        }
        if end.flying == 0 && !end.queue.is_empty() {
            // Alone, as its arrival, or loss, decides what comes next.
            stall.data = true;
            end.stall = Some(stall);
            self.transmit_next(t, key);
        } else if end.unacked {
            let arrives = self.fabric.carry(t, end.src, end.dst, 0).arrives;
            self.queue.push(arrives, Ev::Probe { end: key, timer });
        } else {
            self.arm_rto(t, key, t);
        }
    }

    /// Something already delivered is sent again, to hear its acknowledgement.
    pub(super) fn on_probe(&mut self, t: SimTime, key: Key, timer: u32) {
        let Some(end) = self.ends.get(key).filter(|e| e.timer == timer && e.unacked) else {
            return;
        };
        let (src, dst, peer) = (end.src, end.dst, end.peer);
        let all_said = end.fin && end.queue.is_empty() && end.peer_boot == self.boot_at(dst);
        let arrives = self.fabric.fate(src, dst) == Fate::Arrives;
        if arrives && self.tracked_from(t, key, Packet::Data) {
            let known = self.ends.get(peer).is_some_and(|r| !r.ghost);
            if !known && !all_said {
                self.send_reset(t, key);
            } else if self.fabric.clear(dst, src) {
                return self.on_acked(t, key);
            }
        }
        self.arm_rto(t, key, t);
    }

    fn time_out(&mut self, t: SimTime, key: Key, out: &mut Out<P>) {
        self.tell(t, key, out, |conn| NetWhat::TimedOut { conn });
        self.ends.remove(key);
    }

    /// A window update reaches a sender that waits for room.
    pub(super) fn on_room(&mut self, t: SimTime, key: Key, out: &mut Out<P>) {
        let Some(end) = self.ends.get_mut(key) else { return };
        end.room_coming = false;
        let (src, dst) = (end.src, end.dst);
        if self.fabric.fate(dst, src) == Fate::Arrives {
            self.unblock(t, key, out);
        }
    }

    fn unblock(&mut self, t: SimTime, key: Key, out: &mut Out<P>) {
        let Some(end) = self.ends.get_mut(key) else { return };
        if end.blocked.is_some_and(|wanted| end.fits(wanted)) {
            end.blocked = None;
            end.probing_since = None;
            self.tell(t, key, out, |conn| NetWhat::Writable { conn });
        }
    }

    /// A sender without room asks the peer for its window.
    pub(super) fn on_persist(&mut self, t: SimTime, key: Key, tries: u8, out: &mut Out<P>) {
        let Some(end) = self.ends.get_mut(key) else { return };
        end.persisting = false;
        if end.blocked.is_none() {
            return;
        }
        let answered = self.fabric.clear(end.src, end.dst) && self.fabric.clear(end.dst, end.src);
        let peer = end.peer;
        if !answered {
            let since = *end.probing_since.get_or_insert(t);
            if t >= end.deadline(since) {
                return self.time_out(t, key, out);
            }
        } else {
            end.probing_since = None;
            if self.ends.get(peer).is_some_and(|r| !r.ghost) {
                self.unblock(t, key, out);
            } else {
                self.send_reset(t, key);
            }
        }
        if let Some(end) = self.ends.get_mut(key).filter(|e| e.blocked.is_some()) {
            end.persisting = true;
            let wait = (RTO_MIN * (1 << tries.min(20))).min(RTO_MAX);
            let tries = tries.saturating_add(1);
            self.queue.push(t + wait, Ev::Persist { end: key, tries });
        }
    }

    /// Is the peer of an idle connection still there?
    pub(super) fn on_keepalive(&mut self, t: SimTime, key: Key, out: &mut Out<P>) {
        let Some(end) = self.ends.get_mut(key).filter(|e| e.held) else { return };
        let Some(keepalive) = end.options.keepalive else { return };
        let probe_at = end.last_heard + keepalive.idle;
        if t < probe_at {
            self.queue.push(probe_at, Ev::Keepalive { end: key });
            return;
        }
        let (src, dst, peer) = (end.src, end.dst, end.peer);
        let mut wait = keepalive.interval;
        // With data in flight the retransmission timer watches instead.
        if end.stall.is_none() {
            if self.fabric.clear(src, dst) && self.fabric.clear(dst, src) {
                end.missed_keepalives = 0;
                if self.ends.get(peer).is_some_and(|r| !r.ghost) {
                    wait = keepalive.idle;
                } else {
                    self.send_reset(t, key);
                }
            } else {
                end.missed_keepalives += 1;
                if end.missed_keepalives > keepalive.count {
                    return self.time_out(t, key, out);
                }
            }
        }
        self.queue.push(t + wait, Ev::Keepalive { end: key });
    }
}

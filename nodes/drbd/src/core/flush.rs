//! P_FLUSH_REQUESTS: before a resync target ends, the Primary makes sure that no write can be
//! missed. It waits until every write so far is confirmed and covered by a peer ack, from which the
//! source learns what the target lacks; P_FLUSH_FORWARD makes the source say that it has told.

use super::Resource;
use super::parts::Conn;
use super::points::reach;
use crate::ids::{Dagtag, NodeId, Time};
use crate::packet::Packet;
use crate::state::Role;

/// An unanswered P_FLUSH_REQUESTS is sent again after so long.
const FLUSH_AGAIN_MS: u64 = 1_000;

/// P_FLUSH_REQUESTS, as its sender remembers it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flush {
    seq: u32,
    primary: NodeId,
    asked: Time,
    answered: bool,
}

impl Resource {
    /// Every bit is clear. A write that went past this node may still be announced: the Primary is
    /// asked first.
    pub(super) fn resync_flush_then_end(&mut self, c: usize, v: usize) {
        let primary = self.conns.iter().position(Conn::is_primary);
        match self.conns[c].volumes[v].resync.flush {
            Some(flush) if flush.answered => self.resync_end(c, v),
            Some(flush) => {
                // A lost Primary answers no more; the next try asks whoever follows it. Nor does it
                // pass on what it is asked to a source that it is not connected to.
                let again = flush.asked.plus_ms(FLUSH_AGAIN_MS) <= self.now;
                match self.conn_of(flush.primary).filter(|p| self.conns[*p].connected()) {
                    None => {
                        self.conns[c].volumes[v].resync.flush = None;
                        self.changed = true;
                    }
                    Some(p) if again => {
                        let asked = self.now;
                        self.conns[c].volumes[v].resync.flush = Some(Flush { asked, ..flush });
                        self.send(p, Packet::FlushRequests { seq: flush.seq });
                    }
                    Some(_) => {}
                }
            }
            None => {
                reach!(self, ResyncFlush);
                self.serial += 1;
                let (p, seq) = (primary.unwrap_or(c), self.serial as u32);
                let (primary, asked) = (self.conns[p].node, self.now);
                self.conns[c].volumes[v].resync.flush =
                    Some(Flush { seq, primary, asked, answered: false });
                self.send(p, Packet::FlushRequests { seq });
            }
        }
    }

    /// Who has to be asked changed: earlier answers say nothing about the writes of another
    /// Primary.
    pub(super) fn forget_flushes(&mut self) {
        for pd in self.conns.iter_mut().flat_map(|conn| &mut conn.volumes) {
            pd.resync.flush = None;
        }
    }

    /// The source's word counts for its resyncs. A Primary that is a source itself speaks for those
    /// alone.
    pub(super) fn receive_flush_ack(&mut self, from: usize, seq: u32, primary: NodeId) {
        let targets =
            |r: &Resource| r.conns[from].volumes.iter().any(|pd| pd.repl.is_sync_target());
        let direct = self.conns[from].node == primary && !targets(self);
        for c in 0..self.conns.len() {
            for v in 0..self.devices.len() {
                if c != from && !direct {
                    continue;
                }
                let flush = self.conns[c].volumes[v].resync.flush.as_mut();
                if let Some(flush) = flush.filter(|flush| !flush.answered)
                    && (flush.seq, flush.primary) == (seq, primary)
                {
                    flush.answered = true;
                    self.resync_progress(c, v);
                }
            }
        }
    }

    pub(super) fn receive_flush_requests(&mut self, c: usize, seq: u32) {
        if self.role != Role::Primary {
            return self.answer_as_source(c, seq);
        }
        // Whatever was written up to here has to be confirmed, so that a peer ack can say who lacks
        // it.
        self.close_epoch();
        let dagtag = self.dagtag;
        self.conns[c].flush_asked.push((seq, dagtag));
        self.answer_flushes();
    }

    /// No Primary is left that could be asked: the source tells what it has of the last one's
    /// writes.
    fn answer_as_source(&mut self, c: usize, seq: u32) {
        let (initiator, primary) = (self.conns[c].node, self.me());
        for v in 0..self.devices.len() {
            self.doubt_unacked(v, initiator);
        }
        self.send(c, Packet::FlushRequestsAck { seq, primary });
    }

    /// Answers those whose writes have all arrived somewhere.
    pub(super) fn answer_flushes(&mut self) {
        for c in 0..self.conns.len() {
            while let Some(&(seq, dagtag)) = self.conns[c].flush_asked.first() {
                if self.role == Role::Primary && self.pending_up_to(dagtag) {
                    break;
                }
                self.conns[c].flush_asked.remove(0);
                self.forward_flush(c, seq);
            }
        }
    }

    fn pending_up_to(&self, dagtag: Dagtag) -> bool {
        self.log.front().is_some_and(|key| self.reqs[*key].dagtag <= dagtag)
    }

    /// The source of the resync answers, behind its notices: that is this node, another copy, or
    /// nobody's.
    fn forward_flush(&mut self, c: usize, seq: u32) {
        self.send_peer_ack();
        let (initiator, primary) = (self.conns[c].node, self.me());
        let source = self.conns[c].volumes.iter().any(|pd| pd.repl.is_sync_source());
        let others: Vec<usize> = (0..self.conns.len())
            .filter(|o| *o != c && self.conns[*o].connected() && self.conns[*o].config.diskful)
            .collect();
        if source || others.is_empty() {
            self.send(c, Packet::FlushRequestsAck { seq, primary });
        }
        for other in others {
            self.send(other, Packet::FlushForward { seq, initiator });
        }
    }

    /// A Primary has sent its peer acks ahead of this: what `initiator` lacks of its writes was
    /// told to it, and the answer goes the same way.
    pub(super) fn receive_flush_forward(&mut self, c: usize, seq: u32, initiator: NodeId) {
        let primary = self.conns[c].node;
        self.on_conn(initiator, |r, i| r.send(i, Packet::FlushRequestsAck { seq, primary }));
    }
}

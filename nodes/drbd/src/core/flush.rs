//! P_FLUSH_REQUESTS: before a resync target ends, the Primary makes sure that no write can be
//! missed. It waits until every write so far is confirmed and covered by a peer ack, from which the
//! source learns what the target lacks; P_FLUSH_FORWARD makes the source say that it has told.

use super::Resource;
use crate::ids::{Dagtag, NodeId};
use crate::packet::Packet;
use crate::state::Role;

impl Resource {
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

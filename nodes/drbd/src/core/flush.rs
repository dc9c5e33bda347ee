//! P_FLUSH_REQUESTS: before a resync target ends, the Primary makes sure that no write can be
//! missed. It waits until nothing is pending, and lets the other copies (P_FLUSH_FORWARD) announce
//! what only they have.

use super::Resource;
use crate::ids::{Dagtag, NodeId};
use crate::packet::Packet;
use crate::state::Role;

impl Resource {
    pub(super) fn receive_flush_requests(&mut self, c: usize, seq: u32) {
        if self.role != Role::Primary {
            return self.answer_as_source(c, seq);
        }
        let dagtag = self.dagtag;
        self.conns[c].flush_asked.push((seq, dagtag));
        self.answer_flushes();
    }

    /// No Primary is left that could be asked: the source tells what it has of the last one's writes.
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
        let mut early =
            self.log.iter().map(|key| &self.reqs[*key]).take_while(|r| r.dagtag <= dagtag);
        early.any(|req| !req.pending.is_empty())
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

    /// A Primary asks this node to tell `initiator` of every write that no peer ack covers.
    pub(super) fn receive_flush_forward(&mut self, c: usize, seq: u32, initiator: NodeId) {
        let primary = self.conns[c].node;
        for v in 0..self.devices.len() {
            self.doubt_unacked(v, initiator);
        }
        self.on_conn(initiator, |r, i| r.send(i, Packet::FlushRequestsAck { seq, primary }));
    }
}

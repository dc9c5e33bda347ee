//! Block ranges in use on one device: two requests that share a block never run at once, first come
//! first served.

use crate::ids::{Blocks, NodeId};
use std::collections::VecDeque;

/// Who holds a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holder {
    /// An application write on this node.
    App,
    /// A write from this peer.
    Peer(NodeId),
    /// A resync request to this source, not answered yet.
    Requested(NodeId),
    /// Resync data that is being written.
    ResyncWrite,
    /// A resync request of a target: from the read until the target has written.
    ResyncRead(NodeId),
}

impl Holder {
    /// A source's own write that arrives before the answer to a request was sent before the source
    /// read the block: the answer will carry it, so it need not wait (and must not: the source
    /// waits for its ack before it reads).
    fn tolerates(self, other: Holder) -> bool {
        let pair = |a, b| matches!((a, b), (Holder::Peer(p), Holder::Requested(s)) if p == s);
        pair(self, other) || pair(other, self)
    }
}

/// Names one holding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LockId(pub u64);

#[derive(Clone, Debug)]
struct Entry<W> {
    at: Blocks,
    holder: Holder,
    id: LockId,
    work: Option<W>,
}

/// The ranges of one device. `W` is what to go on with once a range is free.
#[derive(Clone, Debug)]
pub struct Locks<W> {
    held: Vec<Entry<W>>,
    waiting: VecDeque<Entry<W>>,
    next: u64,
}

impl<W> Default for Locks<W> {
    fn default() -> Self {
        Locks { held: Vec::new(), waiting: VecDeque::new(), next: 0 }
    }
}

impl<W> Locks<W> {
    /// Takes the range (`Ok`) or queues for it (`Err`): `work` comes out of a later
    /// [`Locks::release`]. Whom a holder tolerates does not queue: who is ahead in the queue may
    /// wait for that very holder, and the holder for the newcomer.
    pub fn acquire(
        &mut self,
        at: Blocks,
        holder: Holder,
        work: impl FnOnce(LockId) -> W,
    ) -> Result<LockId, LockId> {
        self.next += 1;
        let id = LockId(self.next);
        let clash = |e: &Entry<W>| e.at.overlaps(at) && !e.holder.tolerates(holder);
        let tolerated = self.held.iter().any(|e| e.at.overlaps(at) && e.holder.tolerates(holder));
        let busy = self.held.iter().any(clash) || (!tolerated && self.waiting.iter().any(clash));
        if busy {
            self.waiting.push_back(Entry { at, holder, id, work: Some(work(id)) });
            return Err(id);
        }
        self.held.push(Entry { at, holder, id, work: None });
        Ok(id)
    }

    /// Gives a range back, or leaves the queue; returns who may go on.
    pub fn release(&mut self, id: LockId) -> Vec<W> {
        if let Some(i) = self.held.iter().position(|e| e.id == id) {
            self.held.swap_remove(i);
        } else {
            self.waiting.retain(|e| e.id != id);
        }
        let converted =
            (0..self.held.len()).find(|i| self.held[*i].work.is_some() && self.is_alone(*i));
        let mut ready: Vec<W> =
            converted.and_then(|i| self.held[i].work.take()).into_iter().collect();
        if !self.waiting.is_empty() {
            ready.extend(self.grant());
        }
        ready
    }

    /// Turns a held range into another kind that tolerates nobody. `true`: go on. Otherwise `work`
    /// comes out of the release of the last one that shares a block.
    pub fn convert(&mut self, id: LockId, holder: Holder, work: W) -> bool {
        let Some(i) = self.held.iter().position(|e| e.id == id) else { return false };
        self.held[i].holder = holder;
        if self.is_alone(i) {
            return true;
        }
        self.held[i].work = Some(work);
        false
    }

    fn is_alone(&self, i: usize) -> bool {
        let at = self.held[i].at;
        self.held.iter().enumerate().all(|(j, e)| i == j || !e.at.overlaps(at))
    }

    /// Does anybody hold or await a block of the range?
    pub fn busy(&self, at: Blocks) -> bool {
        let overlaps = |e: &Entry<W>| e.at.overlaps(at);
        self.held.iter().any(overlaps) || self.waiting.iter().any(overlaps)
    }

    fn grant(&mut self) -> Vec<W> {
        let mut granted = Vec::new();
        let mut i = 0;
        while i < self.waiting.len() {
            let clash = |e: &Entry<W>| {
                e.at.overlaps(self.waiting[i].at) && !e.holder.tolerates(self.waiting[i].holder)
            };
            if self.held.iter().any(clash) || self.waiting.iter().take(i).any(clash) {
                i += 1;
                continue;
            }
            if let Some(mut entry) = self.waiting.remove(i) {
                granted.extend(entry.work.take());
                self.held.push(entry);
            }
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_requests_run_in_order_of_arrival() {
        let mut locks = Locks::default();
        let a = locks.acquire(Blocks::new(0, 4), Holder::App, |_| 'a').unwrap();
        let b = locks.acquire(Blocks::new(2, 4), Holder::App, |_| 'b').unwrap_err();
        assert!(locks.acquire(Blocks::new(5, 4), Holder::App, |_| 'c').is_err(), "not past b");
        assert!(locks.acquire(Blocks::new(10, 1), Holder::App, |_| 'd').is_ok());
        assert_eq!(locks.release(a), ['b']);
        assert_eq!(locks.release(b), ['c']);
    }

    #[test]
    fn a_write_of_the_source_passes_an_unanswered_request_to_it() {
        let mut locks = Locks::default();
        let [s, p] = [NodeId::new(1).unwrap(), NodeId::new(2).unwrap()];
        locks.acquire(Blocks::new(0, 4), Holder::Requested(s), |_| ' ').unwrap();
        assert!(locks.acquire(Blocks::new(0, 1), Holder::Peer(s), |_| ' ').is_ok());
        assert!(locks.acquire(Blocks::new(0, 1), Holder::Peer(p), |_| ' ').is_err());
    }
}

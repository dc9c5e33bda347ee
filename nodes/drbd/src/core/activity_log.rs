//! The activity log: which 4 MiB extents may be written. An extent that is in it when the node
//! crashes is resynced, so a write may start only when the transaction that names its extent is
//! durable.

use crate::ids::Blocks;
use std::collections::{BTreeMap, VecDeque};

/// Blocks of 4 KiB in one extent of 4 MiB.
pub const EXTENT_BLOCKS: u64 = 1024;

/// Most slots that one transaction changes (`AL_UPDATES_PER_TRANSACTION`).
pub const MAX_UPDATES: usize = 64;

/// The extents that a run of blocks touches.
pub fn extents(at: Blocks) -> std::ops::Range<u32> {
    let last = (at.end() - 1) / EXTENT_BLOCKS;
    (at.start / EXTENT_BLOCKS) as u32..last as u32 + 1
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    extent: Option<u32>,
    /// Requests that hold the extent.
    holders: u32,
    /// Larger is more recently used.
    used: u64,
    /// Named by a transaction that is not durable yet.
    pending: bool,
}

/// A transaction to write before anything else happens in its extents.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transaction {
    /// Slot and its new extent.
    pub updates: Vec<(u16, u32)>,
    /// Extents that leave the log; their bitmap pages must be durable before the transaction.
    pub evicted: Vec<u32>,
}

/// The activity log of one device. `W` names who waits for an extent.
#[derive(Clone, Debug)]
pub struct ActivityLog<W> {
    slots: Vec<Slot>,
    index: BTreeMap<u32, u16>,
    waiting: VecDeque<(W, std::ops::Range<u32>)>,
    chosen: Vec<W>,
    in_flight: bool,
    /// Nobody gets an extent for now.
    frozen: bool,
    clock: u64,
}

impl<W> ActivityLog<W> {
    /// An empty log of `size` slots (`al-extents`).
    pub fn new(size: u16) -> ActivityLog<W> {
        let free = Slot { extent: None, holders: 0, used: 0, pending: false };
        ActivityLog {
            slots: vec![free; usize::from(size)],
            index: BTreeMap::new(),
            waiting: VecDeque::new(),
            chosen: Vec::new(),
            in_flight: false,
            frozen: false,
            clock: 0,
        }
    }

    /// Nobody gets an extent until [`ActivityLog::thaw`].
    pub fn freeze(&mut self) {
        self.frozen = true;
    }

    /// Whoever waits may go on.
    pub fn thaw(&mut self) {
        self.frozen = false;
    }

    /// Is no extent held, and none about to be?
    pub fn is_idle(&self) -> bool {
        let idle = |slot: &Slot| slot.holders == 0 && !slot.pending;
        !self.in_flight && self.chosen.is_empty() && self.slots.iter().all(idle)
    }

    /// Forgets all extents, of which none may be held: the log begins anew elsewhere.
    pub fn restart(&mut self) {
        assert!(self.is_idle(), "activity log: restarted while in use");
        self.index.clear();
        self.slots.iter_mut().for_each(|slot| slot.extent = None);
    }

    /// The log as the ring on disk tells it: (slot, extent).
    pub fn load(&mut self, slots: impl IntoIterator<Item = (u16, u32)>) {
        for (slot, extent) in slots {
            if let Some(place) = self.slots.get_mut(usize::from(slot)) {
                place.extent = Some(extent);
                self.index.insert(extent, slot);
            }
        }
    }

    /// Which extent each slot holds, for the context of a transaction.
    pub fn slots(&self) -> impl Iterator<Item = Option<u32>> + '_ {
        self.slots.iter().map(|slot| slot.extent)
    }

    /// Extents in the log.
    pub fn hot(&self) -> impl Iterator<Item = u32> + '_ {
        self.index.keys().copied()
    }

    /// Is the extent of this block in the log?
    pub fn is_hot(&self, block: u64) -> bool {
        self.index.contains_key(&((block / EXTENT_BLOCKS) as u32))
    }

    /// Does a request hold an extent of this run?
    pub fn is_active(&self, at: Blocks) -> bool {
        extents(at).any(|extent| {
            self.index.get(&extent).is_some_and(|slot| self.slots[usize::from(*slot)].holders > 0)
        })
    }

    /// Asks for the extents of a run. `None`: they are held now, go on. Otherwise `who` comes out
    /// of [`ActivityLog::committed`] when its transaction is durable.
    pub fn begin(&mut self, at: Blocks, who: W) -> Option<()> {
        let wanted = extents(at);
        let free = self.waiting.is_empty() && !self.frozen;
        let ready = free && wanted.clone().all(|extent| self.is_durable(extent));
        if ready {
            wanted.for_each(|extent| self.hold(extent));
            return None;
        }
        self.waiting.push_back((who, wanted));
        Some(())
    }

    /// Gives the extents of a run back.
    pub fn end(&mut self, at: Blocks) {
        for extent in extents(at) {
            let slot = self.index[&extent];
            let slot = &mut self.slots[usize::from(slot)];
            assert!(slot.holders > 0, "activity log: extent {extent} given back twice");
            slot.holders -= 1;
        }
    }

    /// The next transaction to write, if somebody waits and none is being written. Serves the
    /// waiting in order and stops at the first one for whom no slot is free.
    pub fn next_transaction(&mut self) -> Option<Transaction> {
        if self.in_flight || self.frozen {
            return None;
        }
        let mut transaction = Transaction { updates: Vec::new(), evicted: Vec::new() };
        while let Some((who, wanted)) = self.waiting.pop_front() {
            let missing: Vec<u32> =
                wanted.clone().filter(|extent| !self.index.contains_key(extent)).collect();
            let room = transaction.updates.len() + missing.len() <= MAX_UPDATES;
            if !room || !self.take(&wanted, &missing, &mut transaction) {
                self.waiting.push_front((who, wanted));
                break;
            }
            self.chosen.push(who);
        }
        self.in_flight = !transaction.updates.is_empty();
        self.in_flight.then_some(transaction)
    }

    /// Waiters that turned out to need no transaction of their own: call after
    /// [`ActivityLog::next_transaction`] gave `None`.
    pub fn ready_without(&mut self) -> Vec<W> {
        if self.in_flight { Vec::new() } else { std::mem::take(&mut self.chosen) }
    }

    /// The transaction is durable: who may go on.
    pub fn committed(&mut self) -> Vec<W> {
        self.in_flight = false;
        self.slots.iter_mut().for_each(|slot| slot.pending = false);
        std::mem::take(&mut self.chosen)
    }

    /// Who waits for extents.
    pub fn waiting(&self) -> impl Iterator<Item = &W> {
        self.waiting.iter().map(|(who, _)| who).chain(&self.chosen)
    }

    /// Forgets everything and everybody: the disk is gone. Returns who waited.
    pub fn drain(&mut self) -> Vec<W> {
        let mut all = std::mem::take(&mut self.chosen);
        all.extend(self.waiting.drain(..).map(|(who, _)| who));
        all
    }

    fn is_durable(&self, extent: u32) -> bool {
        self.index.get(&extent).is_some_and(|slot| !self.slots[usize::from(*slot)].pending)
    }

    fn hold(&mut self, extent: u32) {
        self.clock += 1;
        let slot = &mut self.slots[usize::from(self.index[&extent])];
        slot.holders += 1;
        slot.used = self.clock;
    }

    /// Puts all `wanted` extents into slots and holds them, or changes nothing.
    fn take(
        &mut self,
        wanted: &std::ops::Range<u32>,
        missing: &[u32],
        transaction: &mut Transaction,
    ) -> bool {
        let mut free: Vec<u16> = (0..self.slots.len() as u16)
            .filter(|slot| {
                let slot = &self.slots[usize::from(*slot)];
                let wanted_now = slot.extent.is_some_and(|extent| wanted.contains(&extent));
                slot.holders == 0 && !slot.pending && !wanted_now
            })
            .collect();
        if free.len() < missing.len() {
            return false;
        }
        free.sort_by_key(|slot| (self.slots[usize::from(*slot)].used, *slot));
        for (extent, slot) in missing.iter().zip(free) {
            let place = &mut self.slots[usize::from(slot)];
            if let Some(old) = place.extent.replace(*extent) {
                self.index.remove(&old);
                transaction.evicted.push(old);
            }
            place.pending = true;
            self.index.insert(*extent, slot);
            transaction.updates.push((slot, *extent));
        }
        wanted.clone().for_each(|extent| self.hold(extent));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(extent: u64) -> Blocks {
        Blocks::new(extent * EXTENT_BLOCKS, 1)
    }

    #[test]
    fn a_cold_extent_waits_for_its_transaction_and_a_hot_one_does_not() {
        let mut log = ActivityLog::new(2);
        assert!(log.begin(at(7), 'a').is_some());
        let transaction = log.next_transaction().unwrap();
        assert_eq!(transaction.updates, [(0, 7)]);
        assert!(log.begin(at(7), 'b').is_some(), "the transaction is not durable yet");
        assert_eq!(log.committed(), ['a']);
        assert!(log.next_transaction().is_none());
        assert_eq!(log.ready_without(), ['b']);
        assert!(log.begin(at(7), 'c').is_none());
    }

    #[test]
    fn a_frozen_log_comes_to_rest_and_begins_anew() {
        let mut log = ActivityLog::new(2);
        log.begin(at(1), 'a');
        log.next_transaction();
        log.committed();
        log.freeze();
        assert!(log.begin(at(1), 'b').is_some() && !log.is_idle());
        log.end(at(1));
        assert!(log.is_idle() && log.next_transaction().is_none());
        log.restart();
        assert!(log.hot().next().is_none());
        log.thaw();
        assert_eq!(log.next_transaction().map(|t| t.updates), Some(vec![(1, 1)]));
        assert_eq!(log.committed(), ['b']);
    }

    #[test]
    fn the_least_recently_used_idle_extent_leaves() {
        let mut log = ActivityLog::new(2);
        for (extent, who) in [(1, 'a'), (2, 'b')] {
            log.begin(at(extent), who);
            log.next_transaction();
            log.committed();
        }
        log.begin(at(3), 'c');
        assert!(log.next_transaction().is_none(), "both extents are held");
        log.end(at(2));
        let transaction = log.next_transaction().unwrap();
        assert_eq!((transaction.updates, transaction.evicted), (vec![(1, 3)], vec![2]));
    }
}

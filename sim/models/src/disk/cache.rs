//! The volatile cache over the medium: what is dirty, since when, and what survives.

use super::store::{Cell, Store};
use super::types::Tear;
use crate::luck::Luck;
use crate::time::{SimTime, Span};
use std::collections::VecDeque;

/// A block became dirty.
struct Dirty {
    seq: u64,
    at: SimTime,
    block: u64,
}

/// Contents and cache of a disk.
pub(super) struct Cache<C> {
    pub(super) store: Store<C>,
    /// In order of `seq`; an entry whose cell has another number is stale.
    dirty: VecDeque<Dirty>,
    seq: u64,
    mapped: u64,
}

impl<C: Clone + Default> Cache<C> {
    pub(super) fn new() -> Cache<C> {
        Cache { store: Store::new(), dirty: VecDeque::new(), seq: 0, mapped: 0 }
    }

    /// Everything that was written until now has a number up to this one.
    pub(super) fn mark(&self) -> u64 {
        self.seq
    }

    pub(super) fn mapped(&self) -> u64 {
        self.mapped
    }

    fn map(cell: &mut Cell<C>, mapped: &mut u64, now: bool) {
        *mapped += u64::from(now && !cell.mapped);
        *mapped -= u64::from(!now && cell.mapped);
        cell.mapped = now;
    }

    /// Writes into the cache. What the block held before, if it was dirty, may have reached the
    /// medium in the meantime: `luck` decides it now, when it begins to matter.
    pub(super) fn write(&mut self, at: SimTime, block: u64, content: C, luck: &mut Luck) {
        let cell = self.store.make(block);
        Self::map(cell, &mut self.mapped, true);
        if cell.dirty == 0 {
            self.seq += 1;
            cell.dirty = self.seq;
            self.dirty.push_back(Dirty { seq: self.seq, at, block });
        } else if luck.coin() {
            // The old content is durable, the new one is dirty from now on.
            cell.durable = std::mem::take(&mut cell.seen);
            self.seq += 1;
            cell.dirty = self.seq;
            self.dirty.push_back(Dirty { seq: self.seq, at, block });
        }
        cell.seen = content;
    }

    /// Writes through to the medium.
    pub(super) fn write_durable(&mut self, block: u64, content: C) {
        let cell = self.store.make(block);
        Self::map(cell, &mut self.mapped, true);
        cell.durable = content.clone();
        cell.seen = content;
        cell.dirty = 0;
    }

    /// The block is zero and unmapped, on the medium too.
    pub(super) fn unmap(&mut self, block: u64) {
        if let Some(cell) = self.store.get_mut(block) {
            Self::map(cell, &mut self.mapped, false);
        }
    }

    /// Makes durable what became dirty up to this mark.
    pub(super) fn flush(&mut self, mark: u64) {
        while self.dirty.front().is_some_and(|d| d.seq <= mark) {
            self.settle_front();
        }
    }

    /// Makes durable what has been dirty for longer than `age`.
    pub(super) fn write_back(&mut self, now: SimTime, age: Span) {
        while self.dirty.front().is_some_and(|d| now.since(d.at) > age) {
            self.settle_front();
        }
    }

    fn settle_front(&mut self) {
        let Some(d) = self.dirty.pop_front() else { return };
        if let Some(cell) = self.store.get_mut(d.block).filter(|c| c.dirty == d.seq) {
            cell.durable = cell.seen.clone();
            cell.dirty = 0;
        }
    }

    /// When the oldest content that is not durable became dirty.
    pub(super) fn oldest_dirty(&self) -> Option<SimTime> {
        let live = |d: &&Dirty| self.store.get(d.block).is_some_and(|c| c.dirty == d.seq);
        self.dirty.iter().find(live).map(|d| d.at)
    }

    /// Power is lost: each dirty block survives `ppm` times in a million, or in part.
    pub(super) fn lose(&mut self, ppm: u32, tear: Option<Tear<C>>, luck: &mut Luck) {
        for d in self.dirty.drain(..) {
            let Some(cell) = self.store.get_mut(d.block).filter(|c| c.dirty == d.seq) else {
                continue;
            };
            let new = std::mem::take(&mut cell.seen);
            cell.durable = survivor(&cell.durable, new, ppm, tear, luck);
            cell.seen = cell.durable.clone();
            cell.dirty = 0;
            // A discard that was lost leaves its block as it was.
            Self::map(cell, &mut self.mapped, true);
        }
    }

    /// Changes the medium behind everybody's back.
    pub(super) fn rot(&mut self, block: u64, change: impl FnOnce(&mut C)) {
        let cell = self.store.make(block);
        Self::map(cell, &mut self.mapped, true);
        change(&mut cell.durable);
        if cell.dirty == 0 {
            cell.seen = cell.durable.clone();
        }
    }
}

/// What is on the medium of a block whose write was cut short.
pub(super) fn survivor<C: Clone>(
    old: &C,
    new: C,
    ppm: u32,
    tear: Option<Tear<C>>,
    luck: &mut Luck,
) -> C {
    match tear {
        None if luck.chance(ppm) => new,
        None => old.clone(),
        Some(tear) => {
            let mask = (0..8).fold(0, |mask, i| mask | u8::from(luck.chance(ppm)) << i);
            tear(old, &new, mask)
        }
    }
}

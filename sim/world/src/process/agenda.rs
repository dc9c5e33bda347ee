//! When which part of the world wants to run next.

use models::SimTime;
use std::{cmp::Reverse, collections::BinaryHeap};

/// Something with a `next_due` of its own, or an event of ours.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Item<E> {
    /// A host below its kernel.
    Host(usize),
    /// A disk.
    Disk(usize),
    /// An event.
    Event(E),
}

/// A heap of (time, order of insertion). Entries are never taken back: each part remembers the time
/// of its newest entry and ignores the others.
pub(super) struct Agenda<E> {
    heap: BinaryHeap<Reverse<(SimTime, u64, Item<E>)>>,
    seq: u64,
}

impl<E: Ord> Agenda<E> {
    pub(super) fn new() -> Self {
        Agenda { heap: BinaryHeap::new(), seq: 0 }
    }

    pub(super) fn push(&mut self, at: SimTime, item: Item<E>) {
        self.seq += 1;
        self.heap.push(Reverse((at, self.seq, item)));
    }

    #[inline]
    pub(super) fn next_due(&self) -> SimTime {
        self.heap.peek().map_or(SimTime::FAR, |Reverse((at, ..))| *at)
    }

    #[inline]
    pub(super) fn pop_due(&mut self, now: SimTime) -> Option<(SimTime, Item<E>)> {
        if self.next_due() > now {
            return None;
        }
        self.heap.pop().map(|Reverse((at, _, item))| (at, item))
    }
}

//! A queue of events by (time, order of insertion).

use crate::time::SimTime;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

struct Entry<E> {
    at: SimTime,
    seq: u64,
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl<E> Eq for Entry<E> {}
impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<E> Ord for Entry<E> {
    /// Reversed, because the heap of the standard library gives the greatest first.
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.seq).cmp(&(self.at, self.seq))
    }
}

/// Events in the order in which they fall due; those of one instant in the order of insertion.
pub(crate) struct Queue<E> {
    heap: BinaryHeap<Entry<E>>,
    seq: u64,
}

impl<E> Queue<E> {
    pub(crate) fn new() -> Queue<E> {
        Queue { heap: BinaryHeap::new(), seq: 0 }
    }
    #[inline]
    pub(crate) fn push(&mut self, at: SimTime, event: E) {
        self.seq += 1;
        self.heap.push(Entry { at, seq: self.seq, event });
    }
    #[inline]
    pub(crate) fn next_due(&self) -> Option<SimTime> {
        self.heap.peek().map(|e| e.at)
    }
    /// The next event that is due at or before `now`, with its own time.
    #[inline]
    pub(crate) fn pop_due(&mut self, now: SimTime) -> Option<(SimTime, E)> {
        if self.heap.peek()?.at > now {
            return None;
        }
        self.heap.pop().map(|e| (e.at, e.event))
    }
    pub(crate) fn clear(&mut self) {
        self.heap.clear();
    }
}

//! A list that keeps the latest entries, and older ones that somebody asked to keep.

use std::collections::VecDeque;

/// See the module's text.
pub struct Bounded<T> {
    recent: VecDeque<T>,
    kept: VecDeque<T>,
    limit: usize,
    keep_next: usize,
    dropped: u64,
}

impl<T> Bounded<T> {
    /// At most `limit` of the latest, and as many that were asked for.
    pub fn new(limit: usize) -> Bounded<T> {
        let (recent, kept) = (VecDeque::new(), VecDeque::new());
        Bounded { recent, kept, limit, keep_next: 0, dropped: 0 }
    }

    /// One more.
    pub fn push(&mut self, entry: T) {
        if self.keep_next > 0 {
            self.keep_next -= 1;
            return self.keep(entry);
        }
        if self.recent.len() == self.limit {
            self.recent.pop_front();
            self.dropped += 1;
        }
        self.recent.push_back(entry);
    }

    /// The last `before` entries stay, and so will the next `after`.
    pub fn keep_around(&mut self, before: usize, after: usize) {
        let from = self.recent.len().saturating_sub(before);
        let last = self.recent.split_off(from);
        last.into_iter().for_each(|entry| self.keep(entry));
        self.keep_next = self.keep_next.max(after);
    }

    /// The latest decisions are the ones that matter.
    fn keep(&mut self, entry: T) {
        if self.kept.len() == self.limit {
            self.kept.pop_front();
            self.dropped += 1;
        }
        self.kept.push_back(entry);
    }

    /// How many are gone.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// All that is there, ordered by `key`.
    pub fn into_sorted(self, key: impl Fn(&T) -> u64) -> Vec<T> {
        let mut all: Vec<T> = self.kept.into_iter().chain(self.recent).collect();
        all.sort_by_key(key);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_stay_and_what_was_asked_for() {
        let mut list = Bounded::new(4);
        (0..10).for_each(|n| list.push(n));
        list.keep_around(2, 1);
        (10..30).for_each(|n| list.push(n));
        assert_eq!(list.dropped(), 23);
        assert_eq!(list.into_sorted(|n| *n), [8, 9, 10, 26, 27, 28, 29]);
    }

    #[test]
    fn what_was_asked_for_is_bounded_too() {
        let mut list = Bounded::new(4);
        for n in 0..100 {
            list.push(n);
            list.keep_around(4, 4);
        }
        assert_eq!(list.into_sorted(|n| *n), [96, 97, 98, 99]);
    }
}

//! Which run comes next.

use std::collections::VecDeque;
use std::path::PathBuf;

use super::job::{Drill, Job, Source};
use super::pool::Ticket;
use crate::cli::{Asked, Seeds};

/// The runs still to be given out, in order.
pub struct Queue {
    batches: VecDeque<(Vec<Source>, Seeds)>,
    /// Position in the first batch: seed (counted from its first) and source.
    seed: u64,
    source: usize,
    index: u64,
    common: Common,
    /// First runs that are done, and by whom: their second run.
    again: VecDeque<(Job, usize)>,
}

/// What all runs of an invocation have in common.
#[derive(Clone, Debug)]
pub struct Common {
    /// Bug put back.
    pub quirk: Option<String>,
    /// Cut a run after this much real time.
    pub wall_limit_ms: u64,
    /// Misbehave.
    pub drill: Option<Drill>,
    /// Write every event of every run there: for `--log full`, which has one run.
    pub keep: Option<PathBuf>,
    /// Values set by hand: path and value.
    pub settings: Vec<(String, String)>,
}

impl Common {
    /// A run with what all have in common.
    pub fn job(&self, index: u64, source: Source, seed: u64) -> Job {
        Job {
            index,
            // A drawn plan has no file in which anything could be set.
            settings: if source.is_drawn() { Vec::new() } else { self.settings.clone() },
            source,
            seed,
            quirk: self.quirk.clone(),
            wall_limit_ms: self.wall_limit_ms,
            keep: self.keep.clone(),
            drill: self.drill,
        }
    }
}

impl Queue {
    /// All runs that were asked for.
    pub fn new(asked: &Asked, common: Common) -> Queue {
        // All of a batch may have been skipped.
        let runs = asked.batches.iter().filter(|(sources, _)| !sources.is_empty());
        let batches = runs.cloned().collect();
        Queue { batches, seed: 0, source: 0, index: 0, common, again: VecDeque::new() }
    }

    /// How many runs in all, if there is an end.
    pub fn total(asked: &Asked) -> Option<u64> {
        let runs = |(sources, seeds): &(Vec<Source>, Seeds)| match seeds {
            Seeds::Range(first, last) => {
                Some((last - first).saturating_add(1).saturating_mul(sources.len() as u64))
            }
            Seeds::From(_) => None,
        };
        asked.batches.iter().map(runs).sum()
    }

    /// Asks for a second run of a job that `worker` has done.
    pub fn again(&mut self, job: Job, worker: usize) {
        self.again.push_back((job, worker));
    }

    /// Is there a second run to make?
    pub fn has_second(&self) -> bool {
        !self.again.is_empty()
    }

    /// The next run for this worker: a second run of what another worker did, else a new one if
    /// `fresh`.
    pub fn next(&mut self, worker: usize, fresh: bool) -> Option<Ticket> {
        if let Some(at) = self.again.iter().position(|(_, first)| *first != worker) {
            return self.again.remove(at).map(|(job, _)| Ticket { job, pass: 1 });
        }
        if !fresh {
            return None;
        }
        let (sources, seeds) = self.batches.front()?;
        let (first, last) = match seeds {
            Seeds::Range(first, last) => (*first, *last),
            Seeds::From(first) => (*first, u64::MAX),
        };
        let seed = first.saturating_add(self.seed);
        let job = self.common.job(self.index, sources.get(self.source)?.clone(), seed);
        self.index += 1;
        self.source += 1;
        if self.source == sources.len() {
            (self.seed, self.source) = (self.seed + 1, 0);
            if job.seed == last {
                self.batches.pop_front();
                self.seed = 0;
            }
        }
        Some(Ticket { job, pass: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMON: Common =
        Common { quirk: None, wall_limit_ms: 1, drill: None, keep: None, settings: Vec::new() };

    fn asked(batches: Vec<(Vec<Source>, Seeds)>) -> Asked {
        Asked { batches, ..Asked::default() }
    }

    #[test]
    fn batches_come_in_order_and_each_seed_with_all_sources() {
        let files = vec![Source::Builtin("a".to_owned()), Source::Builtin("b".to_owned())];
        let batches = vec![(files, Seeds::Range(3, 4)), (vec![Source::Drawn], Seeds::Range(0, 1))];
        let asked = asked(batches);
        assert_eq!(Queue::total(&asked), Some(6));
        let mut queue = Queue::new(&asked, COMMON);
        let mut seen = Vec::new();
        while let Some(Ticket { job, .. }) = queue.next(0, true) {
            seen.push((job.index, job.source.label(), job.seed));
        }
        let expected =
            [(0, "a", 3), (1, "b", 3), (2, "a", 4), (3, "b", 4), (4, "drawn", 0), (5, "drawn", 1)];
        assert_eq!(seen, expected.map(|(index, name, seed)| (index, name.to_owned(), seed)));
    }

    #[test]
    fn the_second_run_is_anothers() {
        let asked = asked(vec![(vec![Source::Drawn], Seeds::Range(0, 0))]);
        let mut queue = Queue::new(&asked, COMMON);
        let first = queue.next(0, true).expect("a run");
        queue.again(first.job, 0);
        assert!(queue.next(0, true).is_none());
        assert_eq!(queue.next(1, true).map(|ticket| ticket.pass), Some(1));
        assert!(!queue.has_second());
    }

    #[test]
    fn the_last_seed_is_not_run_for_ever() {
        let batches = vec![(vec![Source::Drawn], Seeds::Range(u64::MAX, u64::MAX))];
        let mut queue = Queue::new(&asked(batches), COMMON);
        assert_eq!(queue.next(0, true).map(|ticket| ticket.job.seed), Some(u64::MAX));
        assert!(queue.next(0, true).is_none());
    }
}

//! What holds under drawn requests, power losses and crashes.

use crate::harness::*;
use models::disk::*;
use models::{Luck, Span};
use proptest::prelude::*;
use std::collections::BTreeMap;

const BLOCKS: u64 = 12;

/// Versions of each block that a reader may see after power loss.
struct Ledger {
    /// Oldest acceptable version: made durable by a completed flush or FUA.
    floor: [u64; BLOCKS as usize],
    /// Newest completed version.
    seen: [u64; BLOCKS as usize],
    next: u64,
    writes: BTreeMap<Tag, (u64, u64, bool, u64)>,
    flushes: BTreeMap<Tag, [u64; BLOCKS as usize]>,
}

struct Storm {
    lab: Lab,
    luck: Luck,
    ledger: Ledger,
}

impl Storm {
    fn new(seed: u64) -> Storm {
        let mut luck = Luck::root(seed).fork("storm");
        let base = if luck.coin() { Profile::nvme(BLOCKS) } else { Profile::protected(BLOCKS) };
        let parallel = luck.range(1..=8) as usize;
        let lab = Lab::new(seed, Profile { parallel, ..base });
        let zero = [0; BLOCKS as usize];
        let ledger = Ledger {
            floor: zero,
            seen: zero,
            next: 0,
            writes: BTreeMap::new(),
            flushes: BTreeMap::new(),
        };
        Storm { lab, luck, ledger }
    }

    fn act(&mut self) {
        match self.luck.below(100) {
            0..=49 => self.write(),
            50..=59 => self.flush(),
            60 => self.power_loss(),
            61 => self.crash(),
            _ => {
                let span = self.luck.exponential(Span::us(100));
                self.pass(span);
            }
        }
    }

    /// Versions grow with each write, and writes to a block in flight are never overlapped, as the
    /// order of overlapping writes is nobody's promise.
    fn write(&mut self) {
        let block = self.luck.below(BLOCKS);
        let busy = |(b, n, _, _): &(u64, u64, bool, u64)| (*b..b + n).contains(&block);
        let count = 1 + self.luck.below(2).min(BLOCKS - 1 - block);
        let last = block + count - 1;
        let busy_last = |(b, n, _, _): &(u64, u64, bool, u64)| (*b..b + n).contains(&last);
        if self.ledger.writes.values().any(|w| busy(w) || busy_last(w)) {
            return;
        }
        self.ledger.next += 1;
        let version = self.ledger.next;
        let (preflush, fua) = (self.luck.chance(100_000), self.luck.chance(200_000));
        let data = vec![version; count as usize].into();
        let tag = self.lab.submit(Op::Write { start: block, data, preflush, fua });
        self.ledger.writes.insert(tag, (block, count, fua, version));
        if preflush {
            self.ledger.flushes.insert(tag, self.ledger.seen);
        }
    }

    fn flush(&mut self) {
        let tag = self.lab.submit(Op::Flush);
        self.ledger.flushes.insert(tag, self.ledger.seen);
    }

    fn pass(&mut self, span: Span) {
        let until = self.lab.now + span;
        for done in self.lab.run_to(until) {
            let ledger = &mut self.ledger;
            if let Some(covered) = ledger.flushes.remove(&done.tag) {
                for (floor, covered) in ledger.floor.iter_mut().zip(covered) {
                    *floor = covered.max(*floor);
                }
            }
            if let Some((block, count, fua, version)) = ledger.writes.remove(&done.tag) {
                for b in block..block + count {
                    ledger.seen[b as usize] = version;
                    if fua {
                        ledger.floor[b as usize] = version;
                    }
                }
            }
        }
        for block in 0..BLOCKS {
            assert_eq!(self.lab.disk.peek(block), self.ledger.seen[block as usize]);
            let durable = self.lab.disk.peek_durable(block);
            assert!(durable >= self.ledger.floor[block as usize], "block {block}");
        }
    }

    fn power_loss(&mut self) {
        self.lab.power_cycle();
        for block in 0..BLOCKS {
            let got = self.lab.disk.peek(block);
            let floor = self.ledger.floor[block as usize];
            assert!(got >= floor, "block {block}: flushed {floor}, found {got}");
            assert_eq!(got, self.lab.disk.peek_durable(block));
            self.check_written(block, got);
            self.ledger.floor[block as usize] = got;
            self.ledger.seen[block as usize] = got;
        }
        self.ledger.writes.clear();
        self.ledger.flushes.clear();
    }

    fn crash(&mut self) {
        self.lab.disk.crash(self.lab.now);
        for block in 0..BLOCKS {
            let got = self.lab.disk.peek(block);
            assert!(got >= self.ledger.seen[block as usize], "a crash keeps the cache");
            self.check_written(block, got);
            self.ledger.seen[block as usize] = got;
        }
        self.ledger.writes.clear();
        self.ledger.flushes.clear();
    }

    /// Nothing newer than what was completed or in flight for this very block.
    fn check_written(&self, block: u64, got: u64) {
        let in_flight = self.ledger.writes.values().any(|(start, count, _, version)| {
            (*start..start + count).contains(&block) && *version == got
        });
        assert!(in_flight || got <= self.ledger.seen[block as usize], "block {block}: {got}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_was_flushed_survives_and_nothing_is_invented(seed: u64) {
        let mut storm = Storm::new(seed);
        (0..1000).for_each(|_| storm.act());
    }

    #[test]
    fn the_same_seed_gives_the_same_hash_and_another_seed_another(seed: u64) {
        let hash = |seed| {
            let mut storm = Storm::new(seed);
            (0..300).for_each(|_| storm.act());
            (storm.lab.disk.hash(), storm.lab.disk.events(), storm.ledger.seen)
        };
        prop_assert_eq!(hash(seed), hash(seed));
        prop_assert_ne!(hash(seed).0, hash(seed ^ 1).0);
    }
}

#[test]
fn a_disk_that_lies_is_caught_by_the_same_ledger() {
    let caught = (0..20u64).filter(|seed| {
        let result = std::panic::catch_unwind(|| {
            let mut storm = Storm::new(*seed);
            storm.lab.disk.set_lying_flush(true);
            (0..1000).for_each(|_| storm.act());
        });
        result.is_err()
    });
    assert!(caught.count() > 5);
}

//! The history of one block, and what a reader may find there.

use super::{Fate, Ledger, Write, WriteId};
use drbd::ids::{Blocks, NodeId, NodeMask};
use drbd::page::Page;
use std::fmt;

/// A history longer than this is thinned.
const LONG: usize = 24;

/// What one block was told to hold, oldest first.
#[derive(Default)]
pub(super) struct Block {
    versions: Vec<WriteId>,
    /// Older versions are forgotten, the zeroes that the volume was born with among them.
    pruned: bool,
    /// The plan changed a stored copy behind everybody's back.
    pub(super) rotten: bool,
    /// Highest number of a write, and of a discard, that was thinned out.
    thinned: u64,
    thinned_zero: u64,
}

impl Block {
    /// Was anything ever written here?
    pub(super) fn is_written(&self) -> bool {
        self.pruned || !self.versions.is_empty()
    }

    pub(super) fn push(&mut self, id: WriteId) {
        self.versions.push(id);
    }
}

/// Contents that may be there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judgement {
    /// Written by this one.
    Version(WriteId),
    /// The zeroes that the volume was born with.
    Born,
    /// Nothing is owed here that contradicts it.
    Unbound,
}

/// Contents that must not be there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    /// Where.
    pub block: u64,
    /// What was found.
    pub found: String,
    /// The newest write that had to be found, or anything newer.
    pub owed: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "block {:#x}: found {}, owed {}", self.block, self.found, self.owed)
    }
}

fn seconds(ns: u64) -> String {
    format!("{}.{:06}s", ns / 1_000_000_000, ns / 1_000 % 1_000_000)
}

fn describe(write: &Write) -> String {
    let kind = if write.zero { "discard" } else { "write" };
    let fate = match write.fate {
        Fate::InFlight => "in flight".to_owned(),
        Fate::Maybe => "never acknowledged".to_owned(),
        Fate::Acked { at, .. } => {
            format!("acked t={}, owed by {:?}", seconds(at), write.holders)
        }
    };
    format!("{kind} {} (submitted t={}, {fate})", write.number, seconds(write.submitted))
}

fn shown(page: &Page) -> String {
    match page {
        Page::Zero => "zeroes".to_owned(),
        Page::Stamp(n) => format!("write {} of block {:#x}", n >> 24, n & 0xff_ffff),
        Page::Bytes(_) => "bytes that no application wrote".to_owned(),
    }
}

impl Ledger {
    fn matches(&self, id: WriteId, block: u64, page: &Page) -> bool {
        let write = &self.writes[id];
        match write.zero {
            true => *page == Page::Zero,
            false => *page == Ledger::stamp(write.number, block),
        }
    }

    /// Index of the newest version that `reader` must at least find, of those acked at or before
    /// `before`.
    fn floor(&self, block: &Block, reader: Option<NodeId>, before: u64) -> Option<usize> {
        block.versions.iter().rposition(|id| {
            let write = &self.writes[*id];
            matches!(write.fate, Fate::Acked { at, .. } if at <= before)
                && self.is_owed(write, reader)
        })
    }

    /// What a block was told to hold, oldest first: in words, who owes it, who keeps it through a
    /// power loss.
    pub fn versions(&self, block: u64) -> Vec<(String, NodeMask, NodeMask)> {
        let versions = self.blocks.get(block as usize).map_or(&[][..], |b| &b.versions);
        let said = |id: &WriteId| {
            let write = &self.writes[*id];
            (describe(write), write.holders, write.durable)
        };
        versions.iter().map(said).collect()
    }

    /// In words: which write these contents are.
    pub fn name_of(&self, block: u64, page: &Page) -> String {
        let known = self.blocks.get(block as usize).and_then(|b| {
            let id = b.versions.iter().rev().find(|id| self.matches(**id, block, page))?;
            Some(describe(&self.writes[*id]))
        });
        known.unwrap_or_else(|| shown(page))
    }

    /// May `page` be in `block`, seen by `reader` (or by nobody in particular), when what was acked
    /// until `before` counts?
    pub fn judge(
        &self,
        number: u64,
        page: &Page,
        reader: Option<NodeId>,
        before: u64,
    ) -> Result<Judgement, Wrong> {
        let Some(block) = self.blocks.get(number as usize) else {
            return match page {
                Page::Zero => Ok(Judgement::Born),
                _ if number >= self.added => Ok(Judgement::Unbound),
                _ => Err(self.wrong(number, page, "zeroes: never written".to_owned())),
            };
        };
        if block.rotten {
            return Ok(Judgement::Unbound);
        }
        let floor = self.floor(block, reader, before);
        let found = block.versions.iter().rposition(|id| self.matches(*id, number, page));
        match (floor, found) {
            (Some(floor), Some(found)) if found >= floor => {
                Ok(Judgement::Version(block.versions[found]))
            }
            (floor, None) if self.was_thinned(block, number, page, floor) => Ok(Judgement::Unbound),
            (Some(floor), _) => {
                let owed = describe(&self.writes[block.versions[floor]]);
                Err(self.wrong(number, page, owed))
            }
            (None, Some(found)) => Ok(Judgement::Version(block.versions[found])),
            (None, None) if *page == Page::Zero && !block.pruned => Ok(Judgement::Born),
            (None, None) if block.pruned || number >= self.added => Ok(Judgement::Unbound),
            (None, None) => {
                Err(self.wrong(number, page, "zeroes, or any write it was sent".to_owned()))
            }
        }
    }

    fn wrong(&self, block: u64, page: &Page, owed: String) -> Wrong {
        Wrong { block, found: self.name_of(block, page), owed }
    }

    /// Is it unknown whether this write happened?
    pub fn is_unsettled(&self, id: WriteId) -> bool {
        self.writes[id].fate == Fate::Maybe
    }

    /// An application read the block at `now` and found `judged` there. A write of unknown fate has
    /// now happened: it stays, as long as one of `holders` (the UpToDate copies that hold it at
    /// this moment) can be held to it.
    pub fn was_read(&mut self, now: u64, block: u64, judged: Judgement, holders: NodeMask) {
        let Judgement::Version(id) = judged else { return };
        if self.writes[id].fate != Fate::Maybe {
            return;
        }
        let mut seen = self.writes[id].clone();
        seen.at = Blocks::new(block, 1);
        seen.refs = 1;
        let seen = self.writes.insert(seen);
        let versions = &mut self.blocks[block as usize].versions;
        if let Some(place) = versions.iter().position(|v| *v == id) {
            versions[place] = seen;
        }
        self.writes.release(id);
        let holders = holders.and(self.copies).and(self.distrusted.complement());
        self.holds(now, seen, holders);
    }

    /// Forgets versions that nobody can be shown any more (those before the newest one that is
    /// durable on so many copies that they cannot be outvoted), and thins long histories.
    pub(super) fn prune(&mut self, number: u64) {
        let block = &self.blocks[number as usize];
        let firm = block.versions.iter().rposition(|id| {
            let write = &self.writes[*id];
            matches!(write.fate, Fate::Acked { .. }) && self.cannot_be_outvoted(write.durable)
        });
        if let Some(firm) = firm.filter(|firm| *firm > 0) {
            let gone: Vec<WriteId> = self.blocks[number as usize].versions.drain(..firm).collect();
            self.blocks[number as usize].pruned = true;
            for id in gone {
                self.writes.release(id);
            }
        }
        if self.blocks[number as usize].versions.len() > LONG {
            self.thin(number);
        }
    }

    /// Forgets acked versions that the next acked one stands for: whoever holds them holds that one
    /// as well. They may still be found, if that one is lost, so what is forgotten is remembered as
    /// a range of numbers.
    fn thin(&mut self, number: u64) {
        let mut kept = Vec::with_capacity(LONG);
        let versions = std::mem::take(&mut self.blocks[number as usize].versions);
        let mut newer: Option<WriteId> = None;
        for id in versions.into_iter().rev() {
            let write = &self.writes[id];
            let acked = matches!(write.fate, Fate::Acked { .. });
            let covers = |newer: WriteId| {
                let newer = &self.writes[newer];
                newer.holders.and(write.holders) == write.holders
                    && newer.durable.and(write.durable) == write.durable
            };
            if acked && newer.is_some_and(covers) {
                let block = &mut self.blocks[number as usize];
                let newest = if write.zero { &mut block.thinned_zero } else { &mut block.thinned };
                *newest = (*newest).max(write.number);
                self.writes.release(id);
                continue;
            }
            kept.push(id);
            if acked {
                newer = Some(id);
            }
        }
        kept.reverse();
        self.blocks[number as usize].versions = kept;
    }

    /// Was a version with these contents, newer than `floor`, thinned out?
    fn was_thinned(&self, block: &Block, number: u64, page: &Page, floor: Option<usize>) -> bool {
        let floor = floor.map_or(0, |floor| self.writes[block.versions[floor]].number);
        match page {
            Page::Zero => block.thinned_zero > floor,
            Page::Stamp(stamp) => {
                let (write, at) = (stamp >> 24, stamp & 0xff_ffff);
                at == number & 0xff_ffff && floor < write && write <= block.thinned
            }
            Page::Bytes(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u8) -> NodeId {
        NodeId::new(id).unwrap()
    }

    fn both() -> NodeMask {
        node(0).mask().with(node(1))
    }

    fn submit(ledger: &mut Ledger, number: u64) -> WriteId {
        ledger.submitted(number * 10, number, Blocks::new(0, 1), false)
    }

    fn write(ledger: &mut Ledger, number: u64) {
        let id = submit(ledger, number);
        ledger.acked(number * 10 + 5, id, both());
    }

    fn flush(ledger: &mut Ledger, copies: NodeMask) {
        ledger.flushed(ledger.flush_submitted(), copies);
    }

    fn finds(ledger: &Ledger, page: Page) -> bool {
        ledger.judge(0, &page, None, u64::MAX).is_ok()
    }

    #[test]
    fn a_reader_finds_the_newest_acked_write_or_one_in_flight() {
        let mut ledger = Ledger::new(both());
        assert!(finds(&ledger, Page::Zero) && !finds(&ledger, Ledger::stamp(1, 0)));
        write(&mut ledger, 1);
        write(&mut ledger, 2);
        submit(&mut ledger, 3);
        let found = |n| finds(&ledger, Ledger::stamp(n, 0));
        assert_eq!([found(1), found(2), found(3)], [false, true, true]);
        assert!(!finds(&ledger, Page::Zero));
        assert!(
            ledger.judge(0, &Ledger::stamp(1, 0), None, 20).is_ok(),
            "acked after the read began"
        );
    }

    #[test]
    fn a_write_that_was_in_flight_when_its_host_died_stays_once_read() {
        let mut ledger = Ledger::new(both());
        write(&mut ledger, 1);
        let two = submit(&mut ledger, 2);
        ledger.failed(two);
        assert!(finds(&ledger, Ledger::stamp(1, 0)) && finds(&ledger, Ledger::stamp(2, 0)));
        let judged = ledger.judge(0, &Ledger::stamp(2, 0), None, 100).unwrap();
        ledger.was_read(100, 0, judged, both());
        assert!(!finds(&ledger, Ledger::stamp(1, 0)) && finds(&ledger, Ledger::stamp(2, 0)));
    }

    #[test]
    fn what_no_flush_covered_is_lost_with_the_power_of_every_copy() {
        let mut ledger = Ledger::new(both());
        write(&mut ledger, 1);
        flush(&mut ledger, node(0).mask());
        write(&mut ledger, 2);
        ledger.host_lost(50, node(0));
        assert!(!finds(&ledger, Ledger::stamp(1, 0)), "the other copy has power");
        ledger.host_lost(51, node(1));
        assert!(finds(&ledger, Ledger::stamp(1, 0)) && finds(&ledger, Ledger::stamp(2, 0)));
        assert!(!finds(&ledger, Page::Zero), "write 1 is durable");
    }

    #[test]
    fn a_flush_binds_what_was_acked_before_it_was_submitted() {
        let mut ledger = Ledger::new(both());
        write(&mut ledger, 1);
        write(&mut ledger, 2);
        let flush = ledger.flush_submitted();
        write(&mut ledger, 3);
        ledger.flushed(flush, node(0).mask());
        ledger.host_lost(50, node(0));
        ledger.host_lost(50, node(1));
        let found = |n| finds(&ledger, Ledger::stamp(n, 0));
        assert_eq!([found(1), found(2), found(3)], [false, true, true]);
    }

    #[test]
    fn a_copy_that_lost_power_before_the_ack_arrived_does_not_count() {
        let mut ledger = Ledger::new(both());
        write(&mut ledger, 1);
        flush(&mut ledger, both());
        let two = submit(&mut ledger, 2);
        ledger.host_lost(21, node(1));
        ledger.acked(22, two, both());
        ledger.host_lost(50, node(0));
        assert!(finds(&ledger, Ledger::stamp(1, 0)));
    }

    #[test]
    fn a_resync_from_a_copy_that_lacks_a_write_does_not_excuse_its_loss() {
        let mut ledger = Ledger::new(both());
        let one = submit(&mut ledger, 1);
        ledger.acked(2, one, node(0).mask());
        ledger.resync_started(node(0), node(1));
        ledger.resync_done(node(0), node(1), NodeMask::NONE);
        assert!(!finds(&ledger, Page::Zero));
    }

    #[test]
    fn a_resync_gives_the_target_what_the_source_holds() {
        let mut ledger = Ledger::new(both());
        let one = submit(&mut ledger, 1);
        ledger.acked(2, one, node(0).mask());
        ledger.resync_started(node(1), node(0));
        ledger.resync_done(node(1), node(0), NodeMask::NONE);
        ledger.host_lost(9, node(0));
        assert!(!finds(&ledger, Page::Zero), "the target has it, and power");
        ledger.host_lost(10, node(1));
        assert!(finds(&ledger, Page::Zero), "nobody flushed it");
    }

    #[test]
    fn pages_of_another_block_are_never_right() {
        let mut ledger = Ledger::new(both());
        submit(&mut ledger, 1);
        assert!(!finds(&ledger, Ledger::stamp(1, 1)));
        assert!(!finds(&ledger, Page::Stamp(7 << 24)));
    }

    #[test]
    fn histories_do_not_grow_without_bound() {
        let mut flushed = Ledger::new(both());
        let mut never = Ledger::new(both());
        for n in 1..1_000 {
            write(&mut flushed, n);
            flush(&mut flushed, both());
            write(&mut never, n);
        }
        assert!(flushed.remembered() < 4, "{}", flushed.remembered());
        assert!(never.blocks[0].versions.len() <= LONG + 1);
        never.host_lost(100_000, node(0));
        never.host_lost(100_000, node(1));
        assert!(finds(&never, Ledger::stamp(500, 0)), "thinned out, and nothing newer is owed");
        assert!(!finds(&never, Ledger::stamp(5_000, 0)));
    }
}

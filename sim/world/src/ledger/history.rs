//! The history of one block, and what a reader may find there.

use super::{Fate, Ledger, Write, WriteId};
use crate::ledger::DiskMark;
use drbd::ids::{Blocks, NodeId, NodeMask};
use drbd::page::Page;
use std::fmt;

/// What one block was told to hold, oldest first.
#[derive(Default)]
pub(super) struct Block {
    versions: Vec<WriteId>,
    /// Older versions are forgotten, the zeroes that the volume was born with among them.
    pruned: bool,
    /// The plan changed a stored copy behind everybody's back.
    pub(super) rotten: bool,
}

impl Block {
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

    /// Index of the newest version that `reader` must at least find, of those acked at or before `before`.
    fn floor(&self, block: &Block, reader: Option<NodeId>, before: u64) -> Option<usize> {
        block.versions.iter().rposition(|id| {
            let write = &self.writes[*id];
            matches!(write.fate, Fate::Acked { at, .. } if at <= before)
                && self.is_owed(write, reader)
        })
    }

    /// In words: which write these contents are.
    pub fn name_of(&self, block: u64, page: &Page) -> String {
        let known = self.blocks.get(block as usize).and_then(|b| {
            let id = b.versions.iter().rev().find(|id| self.matches(**id, block, page))?;
            Some(describe(&self.writes[*id]))
        });
        known.unwrap_or_else(|| shown(page))
    }

    /// May `page` be in `block`, seen by `reader` (or by nobody in particular), when what was acked until
    /// `before` counts?
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
            (Some(floor), _) => {
                let owed = describe(&self.writes[block.versions[floor]]);
                Err(self.wrong(number, page, owed))
            }
            (None, Some(found)) => Ok(Judgement::Version(block.versions[found])),
            (None, None) if *page == Page::Zero && !block.pruned => Ok(Judgement::Born),
            (None, None) if block.pruned => Ok(Judgement::Unbound),
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

    /// An application read the block at `now` and found `judged` there. A write of unknown fate has now happened:
    /// it stays, as long as one of `holders` (the UpToDate copies that hold it at this moment) can be held to it.
    pub fn was_read(
        &mut self,
        now: u64,
        block: u64,
        judged: Judgement,
        holders: NodeMask,
        marks: &[DiskMark],
    ) {
        let Judgement::Version(id) = judged else { return };
        if self.writes[id].fate != Fate::Maybe {
            return;
        }
        let mut seen = self.writes[id].clone();
        self.acks += 1;
        let seq = self.acks;
        seen.at = Blocks::new(block, 1);
        seen.fate = Fate::Acked { at: now, seq };
        seen.refs = 1;
        let seen = self.writes.insert(seen);
        let versions = &mut self.blocks[block as usize].versions;
        if let Some(place) = versions.iter().position(|v| *v == id) {
            versions[place] = seen;
        }
        self.writes.release(id);
        let holders = holders.and(self.copies).and(self.distrusted.complement());
        self.holds(seen, holders, seq, marks);
    }

    /// Forgets versions that nobody can be shown any more: those before the newest one that is durable on so many
    /// copies that they cannot be outvoted.
    pub(super) fn prune(&mut self, number: u64) {
        let block = &self.blocks[number as usize];
        let firm = block.versions.iter().rposition(|id| {
            let write = &self.writes[*id];
            matches!(write.fate, Fate::Acked { .. }) && self.cannot_be_outvoted(write.durable)
        });
        let Some(firm) = firm.filter(|firm| *firm > 0) else { return };
        let gone: Vec<WriteId> = self.blocks[number as usize].versions.drain(..firm).collect();
        self.blocks[number as usize].pruned = true;
        for id in gone {
            self.writes.release(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOLATILE: [DiskMark; 32] = [DiskMark { completed: 5, durable: 0 }; 32];
    const DURABLE: [DiskMark; 32] = [DiskMark { completed: 5, durable: 5 }; 32];

    fn node(id: u8) -> NodeId {
        NodeId::new(id).unwrap()
    }

    fn both() -> NodeMask {
        node(0).mask().with(node(1))
    }

    fn write(ledger: &mut Ledger, number: u64, marks: Option<&[DiskMark]>) -> WriteId {
        let id = ledger.submitted(number * 10, number, Blocks::new(0, 1), false);
        if let Some(marks) = marks {
            ledger.acked(number * 10 + 5, id, both(), marks);
        }
        id
    }

    fn finds(ledger: &Ledger, page: Page) -> bool {
        ledger.judge(0, &page, None, u64::MAX).is_ok()
    }

    #[test]
    fn a_reader_finds_the_newest_acked_write_or_one_in_flight() {
        let mut ledger = Ledger::new(both());
        assert!(finds(&ledger, Page::Zero) && !finds(&ledger, Ledger::stamp(1, 0)));
        write(&mut ledger, 1, Some(&VOLATILE));
        write(&mut ledger, 2, Some(&VOLATILE));
        write(&mut ledger, 3, None);
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
        write(&mut ledger, 1, Some(&VOLATILE));
        let two = write(&mut ledger, 2, None);
        ledger.failed(two);
        assert!(finds(&ledger, Ledger::stamp(1, 0)) && finds(&ledger, Ledger::stamp(2, 0)));
        let judged = ledger.judge(0, &Ledger::stamp(2, 0), None, 100).unwrap();
        ledger.was_read(100, 0, judged, both(), &VOLATILE);
        assert!(!finds(&ledger, Ledger::stamp(1, 0)) && finds(&ledger, Ledger::stamp(2, 0)));
    }

    #[test]
    fn what_no_flush_covered_is_lost_with_the_power_of_every_copy() {
        let mut ledger = Ledger::new(both());
        write(&mut ledger, 1, Some(&DURABLE));
        write(&mut ledger, 2, Some(&VOLATILE));
        ledger.power_lost(50, node(0), 4);
        assert!(!finds(&ledger, Ledger::stamp(1, 0)), "the other copy has power");
        ledger.power_lost(51, node(1), 4);
        assert!(finds(&ledger, Ledger::stamp(1, 0)) && finds(&ledger, Ledger::stamp(2, 0)));
        assert!(!finds(&ledger, Page::Zero), "write 1 is durable");
    }

    #[test]
    fn a_flush_that_was_acknowledged_binds_its_copy() {
        let mut ledger = Ledger::new(both());
        write(&mut ledger, 1, Some(&DURABLE));
        write(&mut ledger, 2, Some(&VOLATILE));
        let flush = ledger.flush_submitted();
        write(&mut ledger, 3, Some(&VOLATILE));
        ledger.flushed(flush, node(0).mask());
        ledger.power_lost(50, node(0), 4);
        ledger.power_lost(50, node(1), 4);
        let found = |n| finds(&ledger, Ledger::stamp(n, 0));
        assert_eq!([found(1), found(2), found(3)], [false, true, true]);
    }

    #[test]
    fn a_copy_that_lost_power_before_the_ack_arrived_does_not_count() {
        let mut ledger = Ledger::new(both());
        write(&mut ledger, 1, Some(&DURABLE));
        let two = write(&mut ledger, 2, None);
        ledger.power_lost(21, node(1), 5);
        ledger.acked(22, two, both(), &VOLATILE);
        ledger.power_lost(50, node(0), 4);
        assert!(finds(&ledger, Ledger::stamp(1, 0)));
    }

    #[test]
    fn a_resync_from_a_copy_that_lacks_a_write_does_not_excuse_its_loss() {
        let mut ledger = Ledger::new(both());
        let one = ledger.submitted(1, 1, Blocks::new(0, 1), false);
        ledger.acked(2, one, node(0).mask(), &VOLATILE);
        ledger.resync_started(node(0), node(1));
        ledger.resync_done(node(0), node(1), DURABLE[0]);
        assert!(!finds(&ledger, Page::Zero));
    }

    #[test]
    fn a_resync_gives_the_target_what_the_source_holds() {
        let mut ledger = Ledger::new(both());
        let one = ledger.submitted(1, 1, Blocks::new(0, 1), false);
        ledger.acked(2, one, node(0).mask(), &VOLATILE);
        ledger.resync_started(node(1), node(0));
        ledger.resync_done(node(1), node(0), VOLATILE[0]);
        ledger.power_lost(9, node(0), 0);
        assert!(!finds(&ledger, Page::Zero), "the target has it, and power");
        ledger.power_lost(10, node(1), 0);
        assert!(finds(&ledger, Page::Zero), "not durable there either");
    }

    #[test]
    fn pages_of_another_block_are_never_right() {
        let mut ledger = Ledger::new(both());
        write(&mut ledger, 1, None);
        assert!(!finds(&ledger, Ledger::stamp(1, 1)));
        assert!(!finds(&ledger, Page::Stamp(7 << 24)));
    }

    #[test]
    fn histories_do_not_grow_while_writes_become_durable() {
        let mut ledger = Ledger::new(both());
        (1..1000).for_each(|n| _ = write(&mut ledger, n, Some(&DURABLE)));
        assert!(ledger.remembered() < 4, "{}", ledger.remembered());
    }
}

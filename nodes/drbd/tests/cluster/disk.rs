//! A lower device with a volatile cache: what was not flushed may be lost with the power.

use crate::luck::Luck;
use drbd::core::event::{IoError, IoTag, Lower, LowerResult};
use drbd::ids::Time;
use drbd::page::{Page, Payload};
use std::collections::{BTreeMap, BTreeSet};

/// What happens to unflushed blocks when the power goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// Everything in the cache and in flight is lost.
    Everything,
    /// Each block of it is lost or not, as luck has it.
    Luck(u64),
    /// As with luck; a write behind a flush may be carried out, too, and a block of the activity
    /// log may be half written.
    Torn(u64),
}

struct Op {
    due: Time,
    tag: IoTag,
    lower: Lower,
    /// Writes that were complete when this was submitted: what a flush covers.
    covers: u64,
}

/// One lower device.
#[derive(Default)]
pub struct Disk {
    durable: BTreeMap<u64, Page>,
    /// Versions of a block that are not durable, oldest first.
    cache: BTreeMap<u64, Vec<(u64, Page)>>,
    complete: u64,
    ops: Vec<Op>,
    /// Nothing completes.
    pub held: bool,
    /// Blocks that can be neither read nor written.
    pub bad: BTreeSet<u64>,
}

impl Disk {
    /// Writes without cache, before the device is used.
    pub fn format(&mut self, runs: Vec<(u64, Payload)>) {
        for (start, pages) in runs {
            self.durable.extend((start..).zip(pages.iter().cloned()));
        }
    }

    /// What a reader sees.
    pub fn peek(&self, block: u64) -> Page {
        let cached = self.cache.get(&block).and_then(|versions| versions.last());
        cached.map(|(_, page)| page).or(self.durable.get(&block)).cloned().unwrap_or_default()
    }

    /// What survives a power loss for sure.
    pub fn durable(&self, block: u64) -> Page {
        self.durable.get(&block).cloned().unwrap_or_default()
    }

    /// Blocks below `end` that ever held anything.
    pub fn used(&self, end: u64) -> impl Iterator<Item = u64> {
        self.durable.keys().chain(self.cache.keys()).copied().filter(move |block| *block < end)
    }

    pub fn submit(&mut self, due: Time, tag: IoTag, lower: Lower) {
        self.ops.push(Op { due, tag, lower, covers: self.complete });
    }

    fn next(&self) -> Option<usize> {
        (0..self.ops.len()).min_by_key(|i| self.ops[*i].due)
    }

    pub fn next_due(&self) -> Option<Time> {
        if self.held { None } else { self.next().map(|i| self.ops[i].due) }
    }

    /// Completes the request that is due next.
    pub fn complete_next(&mut self) -> Option<(IoTag, LowerResult)> {
        let op = self.ops.remove(self.next()?);
        let touches = match &op.lower {
            Lower::Read(at) | Lower::Discard(at) => at.iter(),
            Lower::Write { start, payload, .. } => *start..start + payload.len() as u64,
            Lower::Flush => 0..0,
        };
        if self.bad.range(touches).next().is_some() {
            return Some((op.tag, Err(IoError)));
        }
        Some((op.tag, Ok(self.carry_out(op.lower, op.covers))))
    }

    fn carry_out(&mut self, lower: Lower, covers: u64) -> Option<Payload> {
        match lower {
            Lower::Read(at) => return Some(at.iter().map(|block| self.peek(block)).collect()),
            Lower::Write { start, payload, preflush, fua } => {
                if preflush {
                    self.flush(covers);
                }
                self.complete += 1;
                for (block, page) in (start..).zip(payload.iter()) {
                    self.put(block, page.clone(), fua);
                }
            }
            Lower::Flush => self.flush(covers),
            Lower::Discard(at) => {
                self.complete += 1;
                at.iter().for_each(|block| self.put(block, Page::Zero, false));
            }
        }
        None
    }

    fn put(&mut self, block: u64, page: Page, fua: bool) {
        if fua {
            self.cache.remove(&block);
            self.durable.insert(block, page);
        } else {
            self.cache.entry(block).or_default().push((self.complete, page));
        }
    }

    fn flush(&mut self, covers: u64) {
        for (block, versions) in &mut self.cache {
            let covered = versions.iter().take_while(|(at, _)| *at <= covers).count();
            if let Some((_, page)) = versions.drain(..covered).next_back() {
                self.durable.insert(*block, page);
            }
        }
        self.cache.retain(|_, versions| !versions.is_empty());
    }

    /// Writes behind a flush that were in flight: the first few of them are carried out, the last
    /// one in part.
    fn tear(&mut self, luck: &mut Luck) {
        let behind: Vec<usize> = (0..self.ops.len())
            .filter(|i| matches!(self.ops[*i].lower, Lower::Write { preflush: true, .. }))
            .collect();
        for i in behind {
            if luck.below(2) == 0 {
                continue;
            }
            let (covers, lower) = (self.ops[i].covers, self.ops[i].lower.clone());
            let Lower::Write { start, payload, .. } = lower else { continue };
            self.flush(covers);
            let (old, new) = (self.durable(start).bytes(), payload[0].bytes());
            let al = new[..4] == [0x69, 0xcb, 0x65, 0xa2];
            let sectors = if al { luck.below(9) as usize } else { 8 };
            let mut torn = old;
            torn[..sectors * 512].copy_from_slice(&new[..sectors * 512]);
            self.durable.insert(start, Page::Bytes(std::sync::Arc::new(torn)));
        }
    }

    pub fn power_loss(&mut self, loss: Loss) {
        if let Loss::Torn(seed) = loss {
            self.tear(&mut Luck(seed));
        }
        let ops = std::mem::take(&mut self.ops);
        let cache = std::mem::take(&mut self.cache);
        if let Loss::Luck(seed) | Loss::Torn(seed) = loss {
            let mut luck = Luck(seed);
            for (block, versions) in cache {
                let kept = luck.below(versions.len() as u64 + 1) as usize;
                if let Some((_, page)) = versions.into_iter().take(kept).next_back() {
                    self.durable.insert(block, page);
                }
            }
            for op in ops {
                let Lower::Write { start, payload, preflush: false, .. } = op.lower else {
                    continue;
                };
                for (block, page) in (start..).zip(payload.iter()) {
                    if luck.below(2) == 0 {
                        self.durable.insert(block, page.clone());
                    }
                }
            }
        }
        self.held = false;
    }
}

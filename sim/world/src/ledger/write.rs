//! One write, and the store of all that still matter.

use drbd::ids::{Blocks, NodeMask};
use std::ops::{Index, IndexMut};

/// Names a write of a ledger while it is remembered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct WriteId(u32);

/// What became of a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Not completed.
    InFlight,
    /// Failed, or its host died: it may be there or not.
    Maybe,
    /// Acknowledged with success (or read by somebody) at this time, as the `seq`th.
    Acked {
        /// When.
        at: u64,
        /// Position in the order of acknowledgements.
        seq: u64,
    },
}

/// A write or discard.
#[derive(Clone, Debug)]
pub struct Write {
    /// Unique over the run.
    pub number: u64,
    /// Where.
    pub at: Blocks,
    /// A discard: the blocks read as zero.
    pub zero: bool,
    /// When it was submitted.
    pub submitted: u64,
    /// What became of it.
    pub fate: Fate,
    /// Copies that owe it.
    pub holders: NodeMask,
    /// Of those, the ones that hold it through a power loss.
    pub durable: NodeMask,
    /// Histories that name it, and its submitter.
    pub(super) refs: u32,
}

impl Write {
    pub(super) fn new(number: u64, at: Blocks, zero: bool, submitted: u64) -> Write {
        let (holders, durable) = (NodeMask::NONE, NodeMask::NONE);
        Write { number, at, zero, submitted, fate: Fate::InFlight, holders, durable, refs: 0 }
    }

    pub(super) fn seq(&self) -> u64 {
        match self.fate {
            Fate::Acked { seq, .. } => seq,
            _ => u64::MAX,
        }
    }
}

/// All writes that a history still names; places are reused.
#[derive(Default)]
pub(super) struct Writes {
    slots: Vec<Option<Write>>,
    free: Vec<u32>,
}

impl Writes {
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub fn insert(&mut self, write: Write) -> WriteId {
        match self.free.pop() {
            Some(place) => {
                self.slots[place as usize] = Some(write);
                WriteId(place)
            }
            None => {
                self.slots.push(Some(write));
                WriteId(self.slots.len() as u32 - 1)
            }
        }
    }

    /// Does the place still hold the write of this number?
    pub fn holds(&self, id: WriteId, number: u64) -> bool {
        let slot = self.slots.get(id.0 as usize);
        slot.is_some_and(|s| s.as_ref().is_some_and(|w| w.number == number))
    }

    /// One name less; the last one forgets the write. Its submitter is a name until the write is
    /// acked or failed.
    pub fn release(&mut self, id: WriteId) {
        let write = &mut self[id];
        write.refs -= 1;
        if write.refs == 0 {
            self.slots[id.0 as usize] = None;
            self.free.push(id.0);
        }
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Write> {
        self.slots.iter_mut().flatten()
    }

    /// Every remembered write, by place.
    pub fn ids(&self) -> Vec<WriteId> {
        let used =
            |(place, slot): (usize, &Option<Write>)| slot.as_ref().map(|_| WriteId(place as u32));
        self.slots.iter().enumerate().filter_map(used).collect()
    }
}

impl Index<WriteId> for Writes {
    type Output = Write;
    fn index(&self, id: WriteId) -> &Write {
        self.slots[id.0 as usize].as_ref().expect("a named write is remembered")
    }
}

impl IndexMut<WriteId> for Writes {
    fn index_mut(&mut self, id: WriteId) -> &mut Write {
        self.slots[id.0 as usize].as_mut().expect("a named write is remembered")
    }
}

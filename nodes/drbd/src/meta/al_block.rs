//! One 4 KiB transaction of the activity log's ring, and what the whole ring says after a crash.

use super::{Fields, put};
use std::collections::BTreeMap;

const MAGIC: u32 = 0x69cb_65a2;
const CONTEXT: usize = 919;
const UPDATES: usize = 64;
const TYPE_UPDATE: u16 = 0;
const TYPE_INITIALISED: u16 = 0xffff;

/// A transaction block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlBlock {
    /// `tr_number`; wraps.
    pub number: u32,
    /// (slot, extent), at most 64.
    pub updates: Vec<(u16, u32)>,
    /// Number of slots in all.
    pub slots: u16,
    /// First slot of the context.
    pub context_start: u16,
    /// Extents in the slots from `context_start`, at most 919; `None` is a free slot.
    pub context: Vec<Option<u32>>,
}

impl AlBlock {
    /// Slots that one block's context covers.
    pub const CONTEXT: u16 = CONTEXT as u16;

    /// A block as `drbdmeta` initialises it.
    pub fn initialised() -> [u8; 4096] {
        let mut block = [0; 4096];
        put(&mut block, 0, &MAGIC.to_be_bytes());
        put(&mut block, 12, &TYPE_INITIALISED.to_be_bytes());
        seal(&mut block);
        block
    }

    /// The block to write.
    pub fn encode(&self) -> [u8; 4096] {
        let mut block = [0; 4096];
        put(&mut block, 0, &MAGIC.to_be_bytes());
        put(&mut block, 4, &self.number.to_be_bytes());
        put(&mut block, 12, &TYPE_UPDATE.to_be_bytes());
        put(&mut block, 14, &(self.updates.len() as u16).to_be_bytes());
        put(&mut block, 16, &self.slots.to_be_bytes());
        put(&mut block, 18, &self.context_start.to_be_bytes());
        block[36..164].fill(0xff);
        block[164..4096].fill(0xff);
        for (i, (slot, extent)) in self.updates.iter().enumerate() {
            put(&mut block, 36 + 2 * i, &slot.to_be_bytes());
            put(&mut block, 164 + 4 * i, &extent.to_be_bytes());
        }
        for (i, extent) in self.context.iter().enumerate() {
            put(&mut block, 420 + 4 * i, &extent.unwrap_or(u32::MAX).to_be_bytes());
        }
        seal(&mut block);
        block
    }

    /// Reads a block that may hold anything; `None` if it is no valid transaction.
    pub fn decode(block: &[u8; 4096]) -> Option<AlBlock> {
        let f = Fields(block);
        let mut copy = *block;
        copy[8..12].fill(0);
        let sound = f.u32(0) == MAGIC && f.u32(8) == checksum(&copy) && f.u16(12) == TYPE_UPDATE;
        let count = usize::from(f.u16(14));
        if !sound || count > UPDATES {
            return None;
        }
        let updates = (0..count).map(|i| (f.u16(36 + 2 * i), f.u32(164 + 4 * i))).collect();
        let (slots, context_start) = (f.u16(16), f.u16(18));
        let covered = CONTEXT.min(usize::from(slots.saturating_sub(context_start)));
        let context = (0..covered)
            .map(|i| Some(f.u32(420 + 4 * i)).filter(|extent| *extent != u32::MAX))
            .collect();
        Some(AlBlock { number: f.u32(4), updates, slots, context_start, context })
    }
}

/// CRC-32C as the format has it: reflected, initial value 0, no final inversion.
fn checksum(block: &[u8; 4096]) -> u32 {
    !crc32c::crc32c_append(u32::MAX, block)
}

fn seal(block: &mut [u8; 4096]) {
    let crc = checksum(block);
    put(block, 8, &crc.to_be_bytes());
}

/// What the ring says: the extent in each slot, and the number of the newest transaction. Takes the
/// newest unbroken run of transactions; a torn block is not one.
pub fn replay<'a>(ring: impl IntoIterator<Item = &'a [u8; 4096]>) -> (BTreeMap<u16, u32>, u32) {
    let mut blocks: Vec<AlBlock> = ring.into_iter().filter_map(AlBlock::decode).collect();
    let Some(any) = blocks.first().map(|block| block.number) else {
        return (BTreeMap::new(), 0);
    };
    // Numbers wrap: order them relative to one of them.
    blocks.sort_by_key(|block| block.number.wrapping_sub(any) as i32);
    let newest = blocks.last().map_or(any, |block| block.number);
    let run = blocks
        .iter()
        .rev()
        .enumerate()
        .take_while(|(age, block)| newest.wrapping_sub(block.number) == *age as u32)
        .count();
    let mut slots = BTreeMap::new();
    for block in &blocks[blocks.len() - run..] {
        for (i, extent) in block.context.iter().enumerate() {
            put_slot(&mut slots, block.context_start + i as u16, *extent);
        }
        for (slot, extent) in &block.updates {
            put_slot(&mut slots, *slot, Some(*extent).filter(|extent| *extent != u32::MAX));
        }
    }
    (slots, newest)
}

fn put_slot(slots: &mut BTreeMap<u16, u32>, slot: u16, extent: Option<u32>) {
    match extent {
        Some(extent) => slots.insert(slot, extent),
        None => slots.remove(&slot),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_initialised_block_has_the_published_checksum() {
        assert_eq!(AlBlock::initialised()[8..12], 0x709c_c651u32.to_be_bytes());
    }

    #[test]
    fn replay_takes_the_newest_run_and_ignores_a_torn_block() {
        let block = |number, slot, extent| AlBlock {
            number,
            updates: vec![(slot, extent)],
            slots: 8,
            context_start: 0,
            context: vec![None; 8],
        };
        let mut second = block(1, 1, 20);
        second.context[0] = Some(10);
        let mut torn = block(2, 2, 30).encode();
        torn[600] ^= 1;
        let old = block(u32::MAX - 5, 5, 50).encode();
        let ring = [block(0, 0, 10).encode(), second.encode(), torn, old];
        assert_eq!(replay(&ring), (BTreeMap::from([(0, 10), (1, 20)]), 1));
    }
}

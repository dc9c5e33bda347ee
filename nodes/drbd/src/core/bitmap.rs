//! The out-of-sync bitmap towards one peer: one bit for each 4 KiB block.

use crate::ids::Blocks;
use std::sync::Arc;

/// Out-of-sync bits of one bitmap slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bitmap {
    words: Vec<u64>,
    bits: u64,
    weight: u64,
}

impl Bitmap {
    /// All clear, for a device of `bits` blocks.
    pub fn new(bits: u64) -> Bitmap {
        Bitmap { words: vec![0; bits.div_ceil(64) as usize], bits, weight: 0 }
    }

    /// How many bits are set.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// Is the bit of this block set? Blocks past the end have none.
    pub fn is_set(&self, block: u64) -> bool {
        block < self.bits && self.words[(block / 64) as usize] & (1 << (block % 64)) != 0
    }

    /// Is any bit of the run set?
    pub fn any(&self, at: Blocks) -> bool {
        self.next_set(at.start).is_some_and(|block| block < at.end())
    }

    /// Sets the bits of the run; returns how many changed.
    pub fn set(&mut self, at: Blocks) -> u64 {
        let before = self.weight;
        self.each_word(at, |word, mask| {
            let new = !*word & mask;
            *word |= mask;
            i64::from(new.count_ones())
        });
        self.weight - before
    }

    /// Clears the bits of the run; returns how many changed.
    pub fn clear(&mut self, at: Blocks) -> u64 {
        let before = self.weight;
        self.each_word(at, |word, mask| {
            let gone = *word & mask;
            *word &= !mask;
            -i64::from(gone.count_ones())
        });
        before - self.weight
    }

    /// Sets every bit.
    pub fn fill(&mut self) {
        self.set(Blocks { start: 0, count: u32::try_from(self.bits).unwrap_or(u32::MAX) });
    }

    /// Clears every bit.
    pub fn reset(&mut self) {
        self.words.fill(0);
        self.weight = 0;
    }

    /// The first set bit at or after `from`.
    pub fn next_set(&self, from: u64) -> Option<u64> {
        if from >= self.bits {
            return None;
        }
        let mut index = (from / 64) as usize;
        let mut word = self.words[index] & (u64::MAX << (from % 64));
        loop {
            if word != 0 {
                return Some(index as u64 * 64 + u64::from(word.trailing_zeros()));
            }
            index += 1;
            word = *self.words.get(index)?;
        }
    }

    /// A copy of all words, bit i being block i.
    pub fn words(&self) -> Arc<[u64]> {
        self.words.as_slice().into()
    }

    /// Sets every bit that is set in `words`; surplus words and bits are ignored.
    pub fn merge(&mut self, words: &[u64]) {
        for (mine, theirs) in self.words.iter_mut().zip(words) {
            *mine |= theirs;
        }
        let tail = self.bits % 64;
        if let (true, Some(last)) = (tail != 0, self.words.last_mut()) {
            *last &= (1 << tail) - 1;
        }
        self.weight = self.words.iter().map(|word| u64::from(word.count_ones())).sum();
    }

    /// The 32 bits of group `index` (blocks `32 * index ..`), as the disk format stores them.
    pub fn group(&self, index: u64) -> u32 {
        let word = self.words.get((index / 2) as usize).copied().unwrap_or(0);
        (word >> (32 * (index % 2))) as u32
    }

    fn each_word(&mut self, at: Blocks, mut change: impl FnMut(&mut u64, u64) -> i64) {
        let (mut block, end) = (at.start, at.end().min(self.bits));
        let mut delta = 0;
        while block < end {
            let shift = block % 64;
            let run = (64 - shift).min(end - block);
            let mask = if run == 64 { u64::MAX } else { ((1 << run) - 1) << shift };
            delta += change(&mut self.words[(block / 64) as usize], mask);
            block += run;
        }
        self.weight = self.weight.strict_add_signed(delta);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_follows_every_change() {
        let mut bitmap = Bitmap::new(200);
        assert_eq!(bitmap.set(Blocks::new(60, 10)), 10);
        assert_eq!(bitmap.set(Blocks::new(0, 64)), 60);
        assert_eq!(bitmap.clear(Blocks::new(63, 2)), 2);
        assert_eq!(bitmap.weight(), 68);
        assert_eq!(bitmap.next_set(63), Some(65));
        assert_eq!(bitmap.set(Blocks::new(190, 100)), 10, "past the end nothing is set");
    }

    #[test]
    fn merging_keeps_inside_the_device() {
        let mut bitmap = Bitmap::new(70);
        bitmap.merge(&[0, u64::MAX, u64::MAX]);
        assert_eq!(bitmap.weight(), 6);
        assert!(bitmap.any(Blocks::new(0, 65)));
        assert!(!bitmap.any(Blocks::new(0, 64)));
    }
}

//! The out-of-sync bitmap towards one peer: one bit for each 4 KiB block.

use crate::ids::Blocks;
use std::sync::Arc;

/// Words of one page: the bits of 128 MiB.
const WORDS: usize = 512;
/// Blocks that one page has bits for.
const SPAN: u64 = WORDS as u64 * 64;

/// Out-of-sync bits of one bitmap slot. Memory is taken for pages in which a bit is set, and given
/// back: a terabyte that is in sync costs 64 KiB.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bitmap {
    pages: Vec<Option<Box<Page>>>,
    bits: u64,
    weight: u64,
}

/// A page that has at least one bit set.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Page {
    words: [u64; WORDS],
    weight: u32,
}

impl Bitmap {
    /// All clear, for a device of `bits` blocks.
    pub fn new(bits: u64) -> Bitmap {
        Bitmap { pages: vec![None; bits.div_ceil(SPAN) as usize], bits, weight: 0 }
    }

    /// The device has more blocks from now on; their bits are clear.
    pub fn grow(&mut self, bits: u64) {
        self.bits = bits;
        self.pages.resize(bits.div_ceil(SPAN) as usize, None);
    }

    /// How many bits are set.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// Is the bit of this block set? Blocks past the end have none.
    pub fn is_set(&self, block: u64) -> bool {
        block < self.bits && self.word((block / 64) as usize) & (1 << (block % 64)) != 0
    }

    /// Is any bit of the run set?
    pub fn any(&self, at: Blocks) -> bool {
        self.next_set(at.start).is_some_and(|block| block < at.end())
    }

    /// Sets the bits of the run; returns how many changed.
    pub fn set(&mut self, at: Blocks) -> u64 {
        self.set_range(at.start, at.end())
    }

    /// Sets the bits from `start` to before `end`; returns how many changed.
    pub fn set_range(&mut self, start: u64, end: u64) -> u64 {
        let before = self.weight;
        self.each_word(start, end, true, |word, mask| *word |= mask);
        self.weight - before
    }

    /// Clears the bits of the run; returns how many changed.
    pub fn clear(&mut self, at: Blocks) -> u64 {
        let before = self.weight;
        self.each_word(at.start, at.end(), false, |word, mask| *word &= !mask);
        before - self.weight
    }

    /// Sets every bit.
    pub fn fill(&mut self) {
        self.set_range(0, self.bits);
    }

    /// Clears every bit.
    pub fn reset(&mut self) {
        self.pages.fill(None);
        self.weight = 0;
    }

    /// The first set bit at or after `from`.
    pub fn next_set(&self, from: u64) -> Option<u64> {
        if from >= self.bits {
            return None;
        }
        let mut index = (from / 64) as usize;
        let mut mask = u64::MAX << (from % 64);
        while let Some(page) = self.pages.get(index / WORDS) {
            let Some(page) = page else {
                index = (index / WORDS + 1) * WORDS;
                mask = u64::MAX;
                continue;
            };
            for word in &page.words[index % WORDS..] {
                let word = word & std::mem::replace(&mut mask, u64::MAX);
                if word != 0 {
                    return Some(index as u64 * 64 + u64::from(word.trailing_zeros()));
                }
                index += 1;
            }
        }
        None
    }

    /// A copy of all words, bit i being block i.
    pub fn words(&self) -> Arc<[u64]> {
        (0..self.bits.div_ceil(64) as usize).map(|index| self.word(index)).collect()
    }

    /// Sets every bit that is set in `words`; surplus words and bits are ignored.
    pub fn merge(&mut self, words: &[u64]) {
        for (start, word) in (0u64..).step_by(64).zip(words) {
            if *word != 0 {
                self.each_word(start, start + 64, true, |mine, mask| *mine |= word & mask);
            }
        }
    }

    /// The 32 bits of group `index` (blocks `32 * index ..`), as the disk format stores them.
    pub fn group(&self, index: u64) -> u32 {
        (self.word((index / 2) as usize) >> (32 * (index % 2))) as u32
    }

    /// Sets every bit that is set in group `index`; bits past the end are ignored.
    pub fn merge_group(&mut self, index: u64, bits: u32) {
        if bits != 0 {
            let bits = u64::from(bits) << (32 * (index % 2));
            self.each_word(index * 32, index * 32 + 32, true, |mine, mask| *mine |= bits & mask);
        }
    }

    fn word(&self, index: usize) -> u64 {
        let page = self.pages.get(index / WORDS).and_then(Option::as_ref);
        page.map_or(0, |page| page.words[index % WORDS])
    }

    /// Changes the words of the blocks from `start` to before `end`, as far as the device goes. A
    /// page that holds nothing is passed over, unless the change `sets` bits.
    fn each_word(
        &mut self,
        start: u64,
        end: u64,
        sets: bool,
        mut change: impl FnMut(&mut u64, u64),
    ) {
        let (mut block, end) = (start, end.min(self.bits));
        while block < end {
            let stop = end.min((block / SPAN + 1) * SPAN);
            let place = &mut self.pages[(block / SPAN) as usize];
            if place.is_some() || sets {
                let page = place.get_or_insert_with(Page::empty);
                let before = page.weight;
                page.change(block % SPAN, stop - block, &mut change);
                self.weight = self.weight - u64::from(before) + u64::from(page.weight);
                if page.weight == 0 {
                    *place = None;
                }
            }
            block = stop;
        }
    }
}

impl Page {
    fn empty() -> Box<Page> {
        Box::new(Page { words: [0; WORDS], weight: 0 })
    }

    fn change(&mut self, first: u64, count: u64, change: &mut impl FnMut(&mut u64, u64)) {
        let (mut bit, end) = (first, first + count);
        while bit < end {
            let shift = bit % 64;
            let run = (64 - shift).min(end - bit);
            let mask = if run == 64 { u64::MAX } else { ((1 << run) - 1) << shift };
            let word = &mut self.words[(bit / 64) as usize];
            let before = word.count_ones();
            change(word, mask);
            self.weight = self.weight - before + word.count_ones();
            bit += run;
        }
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
    fn a_larger_device_keeps_its_bits() {
        let mut bitmap = Bitmap::new(SPAN - 3);
        bitmap.fill();
        bitmap.grow(SPAN + 70);
        assert_eq!((bitmap.weight(), bitmap.next_set(SPAN - 3)), (SPAN - 3, None));
        assert_eq!(bitmap.set_range(SPAN - 3, SPAN + 70), 73);
        assert_eq!(bitmap.next_set(SPAN + 69), Some(SPAN + 69));
    }

    #[test]
    fn merging_keeps_inside_the_device() {
        let mut bitmap = Bitmap::new(70);
        bitmap.merge(&[0, u64::MAX, u64::MAX]);
        assert_eq!(bitmap.weight(), 6);
        assert!(bitmap.any(Blocks::new(0, 65)));
        assert!(!bitmap.any(Blocks::new(0, 64)));
    }

    #[test]
    fn a_page_without_bits_takes_no_memory() {
        let mut bitmap = Bitmap::new(6 * SPAN + 7);
        let spared = |bitmap: &Bitmap| bitmap.pages.iter().filter(|page| page.is_none()).count();
        assert_eq!(bitmap.set(Blocks::new(4 * SPAN - 1, 2)), 2);
        assert_eq!((spared(&bitmap), bitmap.next_set(3)), (5, Some(4 * SPAN - 1)));
        assert_eq!(bitmap.clear(Blocks::new(0, u32::MAX)), 2);
        assert_eq!(bitmap, Bitmap::new(6 * SPAN + 7));
        bitmap.fill();
        assert_eq!((bitmap.weight(), spared(&bitmap)), (6 * SPAN + 7, 0));
    }

    #[test]
    fn more_than_four_billion_blocks_are_filled() {
        // 2^32 blocks and some: their bits take half a gigabyte, so only the weight is looked at.
        let bits = (1 << 32) + 5;
        let mut bitmap = Bitmap::new(bits);
        bitmap.set_range(bits - 6, bits);
        assert_eq!((bitmap.weight(), bitmap.next_set(0)), (6, Some(bits - 6)));
    }
}

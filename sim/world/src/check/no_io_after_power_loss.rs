//! `no-io-after-power-loss`: a life that has ended does nothing any more.
//!
//! From the moment at which a host lost its power, or its kernel died, until a kernel runs there
//! again, two things hold: what a reader would find on its disks stays as it is, and nobody is told
//! that a request of that life has ended. Hosts that are fenced are taken for silent from then on:
//! others go on with the data, and a write that lands late undoes what they have done.
//!
//! Assumes: what was on its way to the disk may land or not at that very moment (see the disk's
//! model), not later; rot that the plan puts there meanwhile is no I/O.

use drbd::page::Page;

/// Its name.
pub const NAME: &str = "no-io-after-power-loss";

/// Blocks of a copy as they were when its host fell: data that an application has touched, and
/// metadata.
#[derive(Clone, Default, Debug)]
pub struct Still {
    blocks: Vec<(u64, Page)>,
}

impl Still {
    /// What these blocks hold now.
    pub fn of(blocks: impl IntoIterator<Item = u64>, stored: impl Fn(u64) -> Page) -> Still {
        Still { blocks: blocks.into_iter().map(|block| (block, stored(block))).collect() }
    }

    /// How many blocks are the same; or the first that was changed since.
    pub fn check(&self, stored: impl Fn(u64) -> Page) -> Result<u64, u64> {
        match self.blocks.iter().find(|(block, page)| stored(*block) != *page) {
            Some((block, _)) => Err(*block),
            None => Ok(self.blocks.len() as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_lands_late_is_caught() {
        let still = Still::of(0..4, Page::Stamp);
        assert_eq!(still.check(Page::Stamp), Ok(4));
        let late = |block| Page::Stamp(if block == 2 { 9 } else { block });
        assert_eq!(still.check(late), Err(2));
    }
}

//! Where things are on a lower device with internal metadata: data, bitmap, activity log,
//! superblock.

use std::ops::Range;

/// Positions in 4 KiB blocks of the lower device. Fixed: 4 KiB per bit, activity log of 8 blocks (1
/// x 32 KiB).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Blocks of the whole lower device.
    pub lower: u64,
    /// Bitmap slots.
    pub max_peers: u8,
}

/// Blocks of the activity log's ring.
const AL_BLOCKS: u64 = 8;

impl Layout {
    /// The layout of a lower device of `lower` blocks.
    pub fn new(lower: u64, max_peers: u8) -> Layout {
        Layout { lower, max_peers }
    }

    /// Blocks for data.
    pub fn usable(&self) -> u64 {
        self.lower.saturating_sub(self.bitmap_blocks() + AL_BLOCKS + 1)
    }

    /// The smallest lower device that offers `data` blocks.
    pub fn lower_for(data: u64, max_peers: u8) -> u64 {
        let mut lower = data + AL_BLOCKS + 1;
        while Layout::new(lower, max_peers).usable() < data {
            lower += data - Layout::new(lower, max_peers).usable();
        }
        lower
    }

    /// Block of the superblock.
    pub fn superblock(&self) -> u64 {
        self.lower - 1
    }

    /// Blocks of the activity log.
    pub fn al(&self) -> Range<u64> {
        self.superblock() - AL_BLOCKS..self.superblock()
    }

    /// Blocks of the bitmap.
    pub fn bitmap(&self) -> Range<u64> {
        self.al().start - self.bitmap_blocks()..self.al().start
    }

    /// Size of the bitmap area: bits are rounded to 64, bytes to 4 KiB, for the whole lower device.
    fn bitmap_blocks(&self) -> u64 {
        let bits = self.lower.next_multiple_of(64);
        (bits / 8 * u64::from(self.max_peers)).div_ceil(4096)
    }

    /// Pages of the bitmap area that hold bits of blocks `first..=last`.
    pub fn bitmap_pages(&self, first: u64, last: u64) -> Range<u64> {
        let peers = u64::from(self.max_peers);
        let words = first / 32 * peers..(last / 32 + 1) * peers;
        words.start / 1024..(words.end - 1) / 1024 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (capacity in bytes, peers, usable sectors), from the format's published vectors.
    #[test]
    fn usable_sizes_match_drbdmeta() {
        let vectors: &[(u64, u8, u64)] = &[
            (1 << 30, 1, 2_097_016),
            (1 << 30, 3, 2_096_888),
            (1 << 30, 7, 2_096_632),
            (10 << 30, 1, 20_970_808),
            (10 << 30, 7, 20_966_968),
            (1 << 40, 1, 2_147_418_040),
            (1 << 40, 7, 2_147_024_824),
            (64 << 20, 1, 130_992),
        ];
        for (bytes, peers, sectors) in vectors {
            assert_eq!(Layout::new(bytes / 4096, *peers).usable() * 8, *sectors, "{bytes} {peers}");
        }
    }

    #[test]
    fn lower_for_is_the_smallest_that_fits() {
        for data in [1, 1000, 16_384, 262_144] {
            let lower = Layout::lower_for(data, 7);
            assert!(Layout::new(lower, 7).usable() >= data);
            assert!(Layout::new(lower - 1, 7).usable() < data);
        }
    }
}

//! `metadata-survives-crash`: whatever moment a host falls at, its metadata can be read, and tells
//! every difference.
//!
//! When a host loses its power or its kernel, what its disk holds then is read as an attach would
//! read it:
//! * the superblock decodes, of the right size;
//! * of every other copy that has the same generation, or one that a bitmap is kept for (the slot's
//!   UUID), and of which neither is being overwritten, each block that differs is covered: its bit
//!   is set on one of the two, or its extent is in the activity log of one of the two. Otherwise
//!   they meet again, find no bit, and call a difference UpToDate.
//!
//! Of a copy whose node runs the engine's own bits and active extents count, of one that is down
//! what its disk says.
//!
//! Assumes: disks that keep their word: a copy that the plan broke, or that lies, is not looked at,
//! rotten blocks are skipped.

use drbd::core::activity_log::EXTENT_BLOCKS;
use drbd::ids::{NodeId, Uuid};
use drbd::meta::{self, Layout, MdFlags, PeerSlot, Superblock};
use drbd::page::Page;
use std::collections::BTreeSet;

/// Its name.
pub const NAME: &str = "metadata-survives-crash";

/// What a disk says of a volume.
#[derive(Clone, Debug)]
pub struct Found {
    superblock: Superblock,
    layout: Layout,
    /// Extents that the activity log holds; none, if it was closed cleanly.
    hot: BTreeSet<u64>,
}

impl Found {
    /// Reads metadata as an attach does. `size`: blocks of data that the volume has at least; it
    /// may have grown just now.
    pub fn read(layout: Layout, size: u64, stored: impl Fn(u64) -> Page) -> Result<Found, String> {
        let bytes = |block| stored(block).bytes();
        let superblock = Superblock::decode(&bytes(layout.superblock()), &layout)
            .map_err(|error| format!("the superblock cannot be read: {error:?}"))?;
        let possible = size..=layout.usable();
        if superblock.effective_size != 0 && !possible.contains(&superblock.effective_size) {
            let says = superblock.effective_size;
            return Err(format!("the superblock says {says} blocks, the volume has {size}"));
        }
        let ring: Vec<[u8; 4096]> = layout.al().map(bytes).collect();
        let (slots, _) = meta::replay(&ring);
        let hot = match superblock.flags.has(MdFlags::AL_CLEAN) {
            true => BTreeSet::new(),
            false => slots.values().map(|extent| u64::from(*extent)).collect(),
        };
        Ok(Found { superblock, layout, hot })
    }

    /// The generation.
    pub fn current(&self) -> Uuid {
        self.superblock.current
    }

    /// The generation that the bitmap for a peer begins with, if there is one.
    pub fn slot(&self, peer: NodeId) -> Uuid {
        self.superblock.peer(peer).bitmap_uuid
    }

    /// Is it a whole copy of one generation?
    pub fn is_consistent(&self) -> bool {
        self.superblock.flags.has(MdFlags::CONSISTENT)
    }

    /// Does it tell that the block may differ from the peer's?
    pub fn covers(&self, peer: NodeId, block: u64, stored: impl Fn(u64) -> Page) -> bool {
        if self.hot.contains(&(block / EXTENT_BLOCKS)) {
            return true;
        }
        let PeerSlot { bitmap_index: Some(slot), flags, .. } = self.superblock.peer(peer) else {
            return false;
        };
        if flags.has(drbd::meta::PeerFlags::FULL_SYNC) {
            return true;
        }
        // 32 bits of each slot in turn.
        let peers = u64::from(self.layout.max_peers);
        let word = block / 32 * peers + u64::from(*slot);
        let page = stored(self.layout.bitmap().start + word / 1024).bytes();
        let at = (word % 1024) as usize * 4;
        let word = u32::from_le_bytes([page[at], page[at + 1], page[at + 2], page[at + 3]]);
        word >> (block % 32) & 1 == 1
    }
}

/// Compares two copies of one generation block by block; how many were compared, or the first
/// block that differs and is covered by nobody.
pub fn check(
    blocks: impl Iterator<Item = u64>,
    differs: impl Fn(u64) -> bool,
    covered: impl Fn(u64) -> bool,
) -> Result<u64, u64> {
    let mut checked = 0;
    for block in blocks {
        if differs(block) && !covered(block) {
            return Err(block);
        }
        checked += 1;
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use drbd::core::Resource;
    use drbd::core::config::{Config, PeerConfig, VolumeConfig};
    use drbd::ids::VolumeNumber;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    const SIZE: u64 = 4096;

    fn node(id: u8) -> NodeId {
        NodeId::new(id).expect("small")
    }

    /// A lower device as `create-md` leaves it.
    fn made() -> (Layout, BTreeMap<u64, Page>) {
        let mut config = Config::new("vol-a", node(0));
        config.volumes = vec![VolumeConfig { size: SIZE, diskful: true }];
        for id in 1..3 {
            let name = format!("peer-{id}");
            config.peers.push(PeerConfig { node: node(id), name, diskful: true });
        }
        let lower = Resource::lower_blocks(SIZE, config.max_peers);
        let runs = Resource::create_md(&config, VolumeNumber(0), lower, Some(Uuid(1 << 40)));
        let pages = runs.iter().flat_map(|(start, pages)| (*start..).zip(pages.iter().cloned()));
        (Layout::new(lower, config.max_peers), pages.collect())
    }

    fn read(layout: Layout, disk: &BTreeMap<u64, Page>) -> Result<Found, String> {
        Found::read(layout, SIZE, |block| disk.get(&block).cloned().unwrap_or(Page::Zero))
    }

    #[test]
    fn metadata_that_cannot_be_read_is_caught() {
        let (layout, mut disk) = made();
        let found = read(layout, &disk).expect("it was just made");
        assert!(found.is_consistent() && found.current().same(Uuid(1 << 40)));
        assert!(Found::read(layout, SIZE + 1, |block| disk[&block].clone()).is_err());
        disk.insert(layout.superblock(), Page::Stamp(7));
        assert!(read(layout, &disk).is_err());
    }

    #[test]
    fn bits_are_found_where_the_engine_writes_them() {
        let (layout, mut disk) = made();
        let stored = |disk: &BTreeMap<u64, Page>, block: u64| disk[&block].clone();
        let found = read(layout, &disk).expect("readable");
        let slot = found.superblock.peer(node(2)).bitmap_index.expect("it has a slot");
        assert!(!found.covers(node(2), 70, |block| stored(&disk, block)));
        let mut page = [0u8; 4096];
        let word = 70 / 32 * usize::from(layout.max_peers) + usize::from(slot);
        page[word * 4] = 1 << (70 % 32);
        disk.insert(layout.bitmap().start, Page::Bytes(Arc::new(page)));
        assert!(found.covers(node(2), 70, |block| stored(&disk, block)));
        assert!(!found.covers(node(2), 71, |block| stored(&disk, block)));
        assert!(!found.covers(node(1), 70, |block| stored(&disk, block)));
    }

    #[test]
    fn a_difference_that_nobody_covers_is_caught() {
        assert_eq!(check(0..9, |block| block == 4, |block| block == 4), Ok(9));
        assert_eq!(check(0..9, |block| block == 4, |_| false), Err(4));
        assert_eq!(check(0..9, |_| false, |_| false), Ok(9));
    }
}

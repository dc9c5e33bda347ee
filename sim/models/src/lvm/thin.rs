//! The metadata of a thin pool: which chunk of which thin volume lies where, who shares it, what of
//! that is committed.
//!
//! A chunk that becomes free is given to nobody before the next commit, as its old owner has it
//! back if power is lost before. The numbers of blocks that the metadata takes follow dm-thin's
//! trees: a block of 4 KiB holds 252 entries; a tenth of the volume, at most 4096 blocks, is kept
//! back and counts as used.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Entries of one block of the metadata.
const ENTRIES: u64 = 252;
/// Blocks of an empty pool.
const EMPTY: u64 = 9;
/// Most blocks that are kept back.
const RESERVE_MAX: u64 = 4096;

/// Where a chunk is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapped {
    /// Its number in the pool's data.
    pub chunk: u64,
    /// Another thin volume has it, too.
    pub shared: bool,
}

/// Why no chunk was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Full {
    /// All chunks have an owner.
    Data,
    /// Some would be free after a commit.
    DataUntilCommit,
    /// No room in the metadata.
    Metadata,
}

/// A change that is not committed: what stood there before.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Undo {
    seq: u64,
    device: u32,
    at: u64,
    before: Option<u64>,
    /// A chunk that became free.
    freed: Option<u64>,
}

/// See the module's text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Space {
    chunks: u64,
    metadata: u64,
    devices: BTreeMap<u32, BTreeMap<u64, u64>>,
    /// Owners by chunk; beyond the end: none.
    owners: Vec<u32>,
    used: u64,
    /// Free, but not yet to be given away.
    freed: BTreeSet<u64>,
    undo: VecDeque<Undo>,
    seq: u64,
    cursor: u64,
    /// Volumes whose tree is still that of another, and of which: that one has its own.
    alike: BTreeMap<u32, u32>,
}

impl Space {
    /// A pool of so many chunks and so many blocks of metadata, without volumes.
    pub fn new(chunks: u64, metadata: u64) -> Space {
        Space {
            chunks,
            metadata,
            devices: BTreeMap::new(),
            owners: Vec::new(),
            used: 0,
            freed: BTreeSet::new(),
            undo: VecDeque::new(),
            seq: 0,
            cursor: 0,
            alike: BTreeMap::new(),
        }
    }

    // ---- what can be seen ----

    /// All chunks.
    pub fn chunks(&self) -> u64 {
        self.chunks
    }

    /// Chunks that have an owner, or had one at the last commit.
    pub fn used(&self) -> u64 {
        self.used + self.freed.len() as u64
    }

    /// Chunks of one thin volume.
    pub fn mapped(&self, device: u32) -> u64 {
        self.devices.get(&device).map_or(0, |map| map.len() as u64)
    }

    /// Blocks of metadata.
    pub fn metadata(&self) -> u64 {
        self.metadata
    }

    /// Blocks of metadata that are used or kept back.
    pub fn metadata_used(&self) -> u64 {
        let tree = |map: &BTreeMap<u64, u64>| {
            let mut nodes = (map.len() as u64).div_ceil(ENTRIES).max(1);
            let mut all = nodes;
            while nodes > 1 {
                nodes = nodes.div_ceil(ENTRIES);
                all += nodes;
            }
            all
        };
        let own = self.devices.iter().filter(|(device, _)| !self.alike.contains_key(device));
        let trees: u64 = own.map(|(_, map)| tree(map)).sum();
        (EMPTY + trees + (self.metadata / 10).min(RESERVE_MAX)).min(self.metadata)
    }

    /// Is something not committed?
    pub fn is_dirty(&self) -> bool {
        !self.undo.is_empty()
    }

    /// What has been changed up to now has a number below this one.
    pub fn mark(&self) -> u64 {
        self.seq
    }

    /// Where a chunk of a volume lies.
    #[inline]
    pub fn lookup(&self, device: u32, at: u64) -> Option<Mapped> {
        let chunk = *self.devices.get(&device)?.get(&at)?;
        Some(Mapped { chunk, shared: self.owners_of(chunk) > 1 })
    }

    /// The chunks of a volume that are mapped, within a range.
    pub fn mapped_in(&self, device: u32, from: u64, to: u64) -> Vec<u64> {
        match self.devices.get(&device) {
            Some(map) if from < to => map.range(from..to).map(|(at, _)| *at).collect(),
            _ => Vec::new(),
        }
    }

    fn owners_of(&self, chunk: u64) -> u32 {
        self.owners.get(chunk as usize).copied().unwrap_or(0)
    }

    // ---- chunks ----

    /// Gives a free chunk away; it is to be mapped next, by [`Space::map`].
    pub fn allocate(&mut self) -> Result<u64, Full> {
        if self.metadata_used() >= self.metadata {
            return Err(Full::Metadata);
        }
        if self.used() >= self.chunks {
            let later = !self.freed.is_empty();
            return Err(if later { Full::DataUntilCommit } else { Full::Data });
        }
        let is_free = |space: &Space, chunk: &u64| {
            space.owners_of(*chunk) == 0 && !space.freed.contains(chunk)
        };
        let ahead = (self.cursor..self.chunks).find(|chunk| is_free(self, chunk));
        let found = ahead.or_else(|| (0..self.cursor).find(|chunk| is_free(self, chunk)));
        let Some(chunk) = found else { return Err(Full::Data) };
        self.cursor = chunk + 1;
        self.own(chunk);
        Ok(chunk)
    }

    fn own(&mut self, chunk: u64) {
        let at = chunk as usize;
        if self.owners.len() <= at {
            self.owners.resize(at + 1, 0);
        }
        self.used += u64::from(self.owners[at] == 0);
        self.owners[at] += 1;
    }

    /// One owner less; `true` if nobody has it any more.
    fn disown(&mut self, chunk: u64) -> bool {
        let Some(owners) = self.owners.get_mut(chunk as usize) else { return false };
        *owners = owners.saturating_sub(1);
        let free = *owners == 0;
        self.used -= u64::from(free);
        free
    }

    /// An allocated chunk that is not mapped after all.
    pub fn give_back(&mut self, chunk: u64) {
        self.disown(chunk);
    }

    /// Maps an allocated chunk; what was there before loses an owner. A volume that is gone takes
    /// nothing.
    pub fn map(&mut self, device: u32, at: u64, chunk: u64) {
        let Some(map) = self.devices.get_mut(&device) else {
            self.disown(chunk);
            return;
        };
        let before = map.insert(at, chunk);
        self.changed(device, at, before);
    }

    /// A chunk of a volume is no longer mapped; the pool's chunk, if nobody has it any more.
    pub fn unmap(&mut self, device: u32, at: u64) -> Option<u64> {
        let before = self.devices.get_mut(&device)?.remove(&at)?;
        self.changed(device, at, Some(before))
    }

    /// Its tree is its own from now on, or gone. Those that had the same go on with it.
    fn differs(&mut self, device: u32) {
        if self.alike.is_empty() || self.alike.remove(&device).is_some() {
            return;
        }
        let same: Vec<u32> =
            self.alike.iter().filter(|(_, with)| **with == device).map(|(own, _)| *own).collect();
        let Some((first, rest)) = same.split_first() else { return };
        self.alike.remove(first);
        for other in rest {
            self.alike.insert(*other, *first);
        }
    }

    fn changed(&mut self, device: u32, at: u64, before: Option<u64>) -> Option<u64> {
        self.differs(device);
        let freed = before.filter(|chunk| self.disown(*chunk));
        self.freed.extend(freed);
        let undo = Undo { seq: self.seq, device, at, before, freed };
        self.undo.push_back(undo);
        self.seq += 1;
        freed
    }

    // ---- volumes: these commit ----

    /// A new thin volume.
    pub fn create(&mut self, device: u32) {
        self.devices.entry(device).or_default();
        self.commit(self.seq);
    }

    /// The volume shares everything of its origin.
    pub fn snapshot(&mut self, device: u32, origin: u32) {
        let map = self.devices.get(&origin).cloned().unwrap_or_default();
        for chunk in map.values() {
            self.own(*chunk);
        }
        self.devices.insert(device, map);
        let root = self.alike.get(&origin).copied().unwrap_or(origin);
        self.alike.insert(device, root);
        self.commit(self.seq);
    }

    /// A thin volume is gone.
    pub fn delete(&mut self, device: u32) {
        self.differs(device);
        for chunk in self.devices.remove(&device).unwrap_or_default().into_values() {
            self.disown(chunk);
        }
        self.commit(self.seq);
    }

    /// A thin volume ends here.
    pub fn cut(&mut self, device: u32, chunks: u64) {
        let Some(map) = self.devices.get_mut(&device) else { return };
        for chunk in map.split_off(&chunks).into_values() {
            self.disown(chunk);
        }
        self.commit(self.seq);
    }

    /// More chunks; fewer are ignored.
    pub fn grow(&mut self, chunks: u64) {
        self.chunks = self.chunks.max(chunks);
        self.commit(self.seq);
    }

    // ---- commit ----

    /// What was changed before this mark is durable.
    pub fn commit(&mut self, mark: u64) {
        while self.undo.front().is_some_and(|undo| undo.seq < mark) {
            if let Some(freed) = self.undo.pop_front().and_then(|undo| undo.freed) {
                self.freed.remove(&freed);
            }
        }
    }

    /// Back to the last commit.
    pub fn revert(&mut self) {
        while let Some(undo) = self.undo.pop_back() {
            let Some(map) = self.devices.get_mut(&undo.device) else { continue };
            match undo.before {
                Some(chunk) => map.insert(undo.at, chunk),
                None => map.remove(&undo.at),
            };
        }
        self.freed.clear();
        self.owners.clear();
        self.used = 0;
        self.cursor = 0;
        let chunks: Vec<u64> = self.devices.values().flat_map(|m| m.values().copied()).collect();
        for chunk in chunks {
            self.own(chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_chunk_waits_for_the_commit() {
        let mut space = Space::new(1, 1024);
        space.create(1);
        let chunk = space.allocate().expect("the pool is empty");
        space.map(1, 7, chunk);
        assert_eq!(space.allocate(), Err(Full::Data));
        assert_eq!(space.unmap(1, 7), Some(chunk));
        assert_eq!(space.allocate(), Err(Full::DataUntilCommit));
        space.commit(space.mark());
        assert_eq!(space.allocate(), Ok(chunk));
    }

    #[test]
    fn power_loss_goes_back_to_the_commit() {
        let mut space = Space::new(8, 1024);
        space.create(1);
        let first = space.allocate().expect("room");
        space.map(1, 0, first);
        let mark = space.mark();
        let second = space.allocate().expect("room");
        space.map(1, 1, second);
        space.unmap(1, 0);
        space.commit(mark);
        space.revert();
        assert_eq!(space.lookup(1, 0), Some(Mapped { chunk: first, shared: false }));
        assert_eq!(space.lookup(1, 1), None);
        assert_eq!(space.used(), 1);
    }

    #[test]
    fn snapshots_share_until_one_side_is_written_to() {
        let mut space = Space::new(8, 1024);
        space.create(1);
        let old = space.allocate().expect("room");
        space.map(1, 0, old);
        space.snapshot(2, 1);
        assert_eq!(space.used(), 1);
        assert!(space.lookup(1, 0).is_some_and(|m| m.shared));
        let new = space.allocate().expect("room");
        space.map(1, 0, new);
        assert_eq!(space.lookup(2, 0), Some(Mapped { chunk: old, shared: false }));
        assert_eq!((space.used(), space.mapped(1), space.mapped(2)), (2, 1, 1));
        space.delete(2);
        assert_eq!(space.used(), 1);
    }

    /// Percentages that a real pool showed: 4 MiB and 8 MiB of metadata, up to 320 chunks.
    #[test]
    fn the_metadata_fills_as_a_real_one() {
        let mut space = Space::new(2048, 1024);
        assert_eq!(space.metadata_used(), 111);
        assert_eq!(Space::new(128, 2048).metadata_used(), 213);
        (1..=3).for_each(|device| space.create(device));
        assert_eq!(space.metadata_used(), 114);
        for at in 0..320 {
            let chunk = space.allocate().expect("room");
            space.map(1, at, chunk);
        }
        assert_eq!(space.metadata_used(), 116);
    }

    #[test]
    fn a_full_metadata_volume_gives_nothing() {
        let mut space = Space::new(1 << 20, 12);
        space.create(1);
        let mut at = 0;
        while let Ok(chunk) = space.allocate() {
            space.map(1, at, chunk);
            at += 1;
        }
        assert_eq!(space.allocate(), Err(Full::Metadata));
        assert!(at > 0 && space.used() == at);
    }
}

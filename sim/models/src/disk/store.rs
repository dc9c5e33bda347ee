//! Sparse storage of blocks in chunks: what is seen and what is durable, side by side.

/// Blocks in a chunk.
const CHUNK: usize = 64;

/// What is known of one block.
#[derive(Clone, Default)]
pub(super) struct Cell<C> {
    /// As a reader sees it.
    pub(super) seen: C,
    /// As it is after power loss, if the cache loses it.
    pub(super) durable: C,
    /// Number of the write that made it dirty; 0: clean, `seen` is `durable`.
    pub(super) dirty: u64,
    /// Was it written, and not discarded since?
    pub(super) mapped: bool,
}

/// A vector of chunks that are made when first written to.
pub(super) struct Store<C> {
    chunks: Vec<Option<Box<[Cell<C>; CHUNK]>>>,
}

impl<C: Clone + Default> Store<C> {
    pub(super) fn new() -> Store<C> {
        Store { chunks: Vec::new() }
    }

    #[inline]
    pub(super) fn get(&self, block: u64) -> Option<&Cell<C>> {
        let chunk = self.chunks.get(block as usize / CHUNK)?.as_deref()?;
        Some(&chunk[block as usize % CHUNK])
    }

    #[inline]
    pub(super) fn get_mut(&mut self, block: u64) -> Option<&mut Cell<C>> {
        let chunk = self.chunks.get_mut(block as usize / CHUNK)?.as_deref_mut()?;
        Some(&mut chunk[block as usize % CHUNK])
    }

    #[inline]
    pub(super) fn make(&mut self, block: u64) -> &mut Cell<C> {
        let index = block as usize / CHUNK;
        if index >= self.chunks.len() {
            self.chunks.resize_with(index + 1, || None);
        }
        let chunk = self.chunks[index]
            .get_or_insert_with(|| Box::new(std::array::from_fn(|_| Cell::default())));
        &mut chunk[block as usize % CHUNK]
    }

    /// The blocks of a run that were written and not discarded, or are dirty.
    pub(super) fn present(&self, start: u64, count: u64) -> Vec<u64> {
        let end = start.saturating_add(count);
        let mut found = Vec::new();
        let mut block = start;
        while block < end && (block as usize / CHUNK) < self.chunks.len() {
            let next = (block / CHUNK as u64 + 1) * CHUNK as u64;
            let live = |b: &u64| self.get(*b).is_some_and(|c| c.mapped || c.dirty != 0);
            if self.chunks[block as usize / CHUNK].is_some() {
                found.extend((block..next.min(end)).filter(live));
            }
            block = next;
        }
        found
    }
}

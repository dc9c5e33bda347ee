//! Thin resync (`rs-discard-granularity`): what holds nothing at the source is discarded at the
//! target, so that a thin volume stays thin.

use super::Resource;
use super::points::reach;
use crate::ids::Blocks;
use crate::packet::BlockId;
use crate::page::Payload;

impl Resource {
    /// Target: the aligned run that begins at `start`, if it is as long as a discard and all of it
    /// is out of sync.
    pub(super) fn thin_run(&self, v: usize, slot: usize, start: u64) -> Option<Blocks> {
        let count = u64::from(self.config.rs_discard_granularity) / Blocks::BYTES;
        let device = &self.devices[v];
        let aligned = count > 0 && start.is_multiple_of(count) && start + count <= device.size;
        let bitmap = &device.bitmaps[slot];
        let whole = aligned && (start..start + count).all(|block| bitmap.is_set(block));
        whole.then(|| Blocks::new(start, count as u32))
    }

    /// Source: may it answer that nothing is there?
    pub(super) fn is_deallocated(&self, key: usize, payload: &Payload) -> bool {
        self.resync_reqs[key].thin && payload.iter().all(|page| page.is_zero())
    }

    /// Target: the source has nothing there. From here on it goes as with any answer: the range may
    /// differ from all others then, and who is resynced from here hears of it (forgotten by DRBD
    /// before 9.2.13).
    pub(super) fn resync_deallocated(&mut self, c: usize, id: BlockId) {
        let Some(key) = self.request_of_answer(c, id) else { return };
        if !self.resync_reqs[key].thin {
            return;
        }
        reach!(self, ResyncDeallocated);
        let (v, at) = (self.resync_reqs[key].volume, self.resync_reqs[key].at);
        self.conns[c].volumes[v].resync.pace.answered(at);
        self.resync_reqs[key].deallocated = true;
        self.resync_answered(key);
    }
}

//! Day0: copies of thin volumes begin with the same content (none), and are preset with the same
//! generation. What was written since is kept count of in the bitmap slots that no peer has, so
//! that a node which is made anew with that generation, or comes later, gets just that.

use super::Resource;
use crate::ids::{Blocks, NodeId, Uuid};
use crate::packet::{UuidFlags, Uuids};
use crate::state::DiskState;

impl Resource {
    /// A write to the own disk: it is one since day0.
    pub(super) fn written_since_day0(&mut self, v: usize, at: Blocks) {
        let device = &mut self.devices[v];
        let mut changed = 0;
        for slot in device.md.free_slots().map(usize::from) {
            changed += device.bitmaps.get_mut(slot).map_or(0, |bitmap| bitmap.set(at));
        }
        if changed > 0 {
            device.bm_dirty.extend(device.layout.bitmap_pages(at.start, at.end() - 1));
        }
    }

    /// A copy that has but one other to follow keeps no activity log of what it receives: after a
    /// crash it does not know what was written since day0.
    pub(super) fn distrust_day0(&mut self, v: usize) {
        let others = self.config.peers.iter().filter(|peer| peer.diskful).count();
        let me = self.me();
        if self.devices[v].unclean && others <= 1 {
            self.devices[v].md.forget_day0(me);
        }
    }

    /// Bitmap UUIDs as peers are told of them: those of [`Resource::slots_listed`], and the
    /// generation that the free slots count from.
    pub(super) fn uuids_listed(&self, v: usize) -> Vec<(NodeId, Uuid)> {
        let mut listed = self.slots_listed(v);
        listed.extend(self.devices[v].md.day0(self.me()));
        listed.sort_by_key(|(node, _)| *node);
        listed
    }

    /// The bitmap slot whose bits lead from the generation that is listed for `node` to this one.
    pub(super) fn slot_listed_for(&self, v: usize, node: NodeId) -> Option<usize> {
        let device = &self.devices[v];
        let listed = device.md.day0(self.me()).is_some_and(|(listed, _)| listed == node);
        let free = || device.md.free_slots().next().map(usize::from).filter(|_| listed);
        device.slot(node).or_else(free).filter(|slot| *slot < device.bitmaps.len())
    }

    /// HAS_UNALLOC: under which node id the generation is listed that the free slots count from.
    pub(super) fn day0_flags(&self, v: usize) -> u64 {
        let listed = self.devices[v].md.day0(self.me());
        listed.map_or(0, |(node, _)| UuidFlags::HAS_UNALLOC | (node.index() as u64) << 56)
    }

    /// Is the data that this node works on still that of day0? What is written to it now, a copy
    /// that nobody knows of yet may lack.
    pub(super) fn is_on_day0(&self, v: usize) -> bool {
        let device = &self.devices[v];
        if device.disk == DiskState::UpToDate {
            return device.md.is_day0();
        }
        let empty = |uuids: &Uuids| {
            let slots = uuids.bitmap.iter().all(|(_, uuid)| uuid.is_none());
            slots && uuids.history.is_empty() && !uuids.current.is_fresh()
        };
        self.conns.iter().any(|conn| {
            let pd = &conn.volumes[v];
            let good = conn.connected() && pd.disk == DiskState::UpToDate;
            good && pd.uuids.as_ref().is_some_and(|uuids| empty(uuids))
        })
    }
}

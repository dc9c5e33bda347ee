//! A full sync on demand: `invalidate` and `invalidate-remote`. Both sides agree in a two-phase
//! commit, each sets all bits, and no bitmaps are exchanged.

use super::Resource;
use super::event::Handler;
use super::handshake::Bits;
use super::parts::Work;
use super::points::reach;
use crate::meta::PeerFlags;
use crate::state::ReplState;

impl Resource {
    /// The change is committed; `to_me`: this copy is the one that is overwritten.
    pub(super) fn start_full_sync(&mut self, c: usize, v: usize, to_me: bool) {
        if v >= self.devices.len() || self.resync_refusal(v, self.conns[c].node, to_me).is_some() {
            // Something else came in between: the two compare.
            return self.retry_link(c);
        }
        match to_me {
            true => self.start_as_target(c, v),
            false => self.start_as_source(c, v),
        }
    }

    fn start_as_target(&mut self, c: usize, v: usize) {
        self.mark_target(c, v, Bits::All);
        self.doubt_unacked(v, self.conns[c].node);
        reach!(self, FullSyncTarget);
        self.set_repl(c, v, ReplState::StartingSyncT);
        if let Some(slot) = self.devices[v].slot(self.conns[c].node) {
            self.devices[v].write_set_bits(slot);
        }
        self.write_bitmap(v);
        self.md_sync(v, Work::FullSync(c, v));
    }

    fn start_as_source(&mut self, c: usize, v: usize) {
        if self.mark_source(c, v, Bits::All).is_none() {
            return;
        }
        reach!(self, FullSyncSource);
        self.set_repl(c, v, ReplState::StartingSyncS);
        self.call(Handler::BeforeResyncSource, Some(c), Some(v));
    }

    /// The target's metadata says that everything is to be copied, whatever happens now.
    pub(super) fn full_sync_durable(&mut self, c: usize, v: usize) {
        if self.conns[c].volumes[v].repl == ReplState::StartingSyncT {
            self.call(Handler::BeforeResyncTarget, Some(c), Some(v));
        }
    }

    /// The target says how far it is. What it said before it heard of the commit says nothing.
    pub(super) fn follow_full_sync(&mut self, c: usize, v: usize, theirs: ReplState) {
        let began = &mut self.conns[c].volumes[v].resync.peer_began;
        let before = std::mem::replace(began, *began || theirs.is_sync_target());
        match theirs {
            ReplState::SyncTarget => self.set_repl(c, v, ReplState::SyncSource),
            ReplState::PausedSyncT => self.set_repl(c, v, ReplState::PausedSyncS),
            ReplState::Established if before => self.set_repl(c, v, ReplState::Established),
            _ => {}
        }
    }

    /// All bits towards a peer are set, and a crash before they are durable sets them again.
    pub(super) fn fill_slot(&mut self, c: usize, v: usize) {
        let node = self.conns[c].node;
        let Some(slot) = self.devices[v].slot(node) else { return };
        let device = &mut self.devices[v];
        device.bitmaps[slot].fill();
        device.write_set_bits(slot);
        device.md.peer_mut(node).flags.put(PeerFlags::FULL_SYNC, true);
        self.touch_md(v);
    }
}

//! Stray bits: two good copies of one generation with bits between them, left over from a resync
//! that went past their connection, or from writes of a Primary that is gone. A comparison settles
//! them; they are never dropped.

use super::Resource;
use super::parts::Conn;
use super::points::reach;
use crate::state::{DiskState, ReplState, Role};
use std::collections::BTreeSet;

/// Bits between two good copies may be there for so long before they are looked into.
const STRAY_MS: u64 = 3_000;

/// Those that the end of a resync leaves towards a third copy, for so long, where no Primary is the
/// source of all: they go before older ones, so that what one copy has gets to all others.
/// Otherwise each of three copies with bits between two pairs overwrites the next, round and round.
const STRAY_BEHIND_RESYNC_MS: u64 = 300;

impl Resource {
    /// Is this node, or one that it is connected to, Primary?
    pub(super) fn near_a_primary(&self) -> bool {
        self.role == Role::Primary || self.conns.iter().any(Conn::is_primary)
    }

    /// A resync ended here: what it left towards a third copy goes before older bits.
    pub(super) fn stray_behind_resync(&mut self, v: usize) {
        if !self.near_a_primary() {
            self.devices[v].stray_at = Some(self.now.plus_ms(STRAY_BEHIND_RESYNC_MS));
        }
    }

    /// Are both copies UpToDate and quiet, with bits between them here? (What a verify found stands
    /// until the two connect again.)
    pub(super) fn has_stray_bits(&self, c: usize, v: usize) -> bool {
        let pd = &self.conns[c].volumes[v];
        let both = pd.disk == DiskState::UpToDate && self.devices[v].disk == DiskState::UpToDate;
        let quiet = pd.repl == ReplState::Established && pd.offered.is_none() && !pd.verified;
        let bits = self.devices[v].weight(self.conns[c].node) > 0;
        both && quiet && self.same_size(c, v) && (bits || !self.same_generation(c, v))
    }

    /// Bits that nobody has explained for a while are settled by a comparison.
    pub(super) fn settle_stray_bits(&mut self, v: usize) {
        let looks = !self.quirk("stray-bits-stay");
        let stray = (0..self.conns.len()).find(|c| looks && self.has_stray_bits(*c, v));
        let device = &mut self.devices[v];
        let Some(c) = stray else { return device.stray_at = None };
        let at = *device.stray_at.get_or_insert(self.now.plus_ms(STRAY_MS));
        if at <= self.now {
            device.stray_at = None;
            if self.bits_await_peer_acks(c, v) {
                reach!(self, StrayBitsWait);
            } else {
                reach!(self, StrayBits);
                self.renegotiate(c, v);
            }
        }
    }

    /// Are all bits towards a peer of writes that no peer ack covers yet, which will tell? Under
    /// steady load that takes as long as `peer-ack-window` of writes.
    fn bits_await_peer_acks(&self, c: usize, v: usize) -> bool {
        let device = &self.devices[v];
        let Some(slot) = device.slot(self.conns[c].node) else { return true };
        let unacked = self.conns.iter().flat_map(|conn| &conn.unacked);
        let ranges = unacked.map(|key| &self.peer_reqs[*key]).filter(|req| req.volume == v);
        let blocks = ranges.flat_map(|req| req.at.start..req.at.end());
        let marked: BTreeSet<u64> =
            blocks.filter(|block| device.bitmaps[slot].is_set(*block)).collect();
        marked.len() as u64 == device.weight(self.conns[c].node)
    }
}

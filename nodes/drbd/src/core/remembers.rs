//! A copy that is behind votes for quorum like any other, and is written to meanwhile, but its
//! UUIDs do not tell of what generation. It remembers with whom it had quorum, and does not make up
//! another one, of older data, while they are away.

use super::Resource;
use super::config::Quorum;
use super::parts::Conn;
use crate::state::DiskState;

impl Resource {
    /// The peer has no quorum, as this copy, and took no part in the last one that this copy was
    /// in: it may lack what was written there. Those who have that are to come first. (DRBD
    /// connects them; `quorum-minimum-redundancy` is its answer.)
    pub(super) fn remembers_others(&self, c: usize, v: usize) -> bool {
        let device = &self.devices[v];
        let Some(peer) = self.conns[c].volumes[v].state else { return false };
        let behind = matches!(device.disk, DiskState::Inconsistent | DiskState::Outdated);
        let good = peer.disk >= DiskState::Consistent;
        let quorate = device.quorum || peer.quorum || self.config.quorum == Quorum::Off;
        let member = |conn: &Conn| self.members.has(conn.node);
        let copies = || self.conns.iter().filter(|conn| conn.config.diskful && member(conn));
        // Who is behind, too, is not waited for, though the two may not agree to connect.
        let awaited = |conn: &Conn| !conn.forgotten && !conn.volumes[v].behind;
        behind
            && good
            && !quorate
            && !member(&self.conns[c])
            && copies().any(awaited)
            && !copies().any(Conn::connected)
    }
}

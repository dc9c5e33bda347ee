//! What a replication state leaves of a peer's disk: DRBD's table of implied disk states. Only its
//! upper ends are here; a disk that is gone is gone in any state.

use super::Resource;
use crate::state::{DiskState, ReplState};

/// The best that the disk at the other end can be in this replication state.
pub(super) fn best_peer_disk(repl: ReplState) -> DiskState {
    use ReplState::*;
    match repl {
        SyncSource => DiskState::Inconsistent,
        StartingSyncS | WFBitMapS | PausedSyncS | Ahead => DiskState::Consistent,
        _ => DiskState::UpToDate,
    }
}

/// The best that the own disk can be in this replication state.
pub(super) fn best_own_disk(repl: ReplState) -> DiskState {
    use ReplState::*;
    match repl {
        SyncTarget | PausedSyncT => DiskState::Inconsistent,
        StartingSyncT | WFBitMapT | WFSyncUUID | Behind => DiskState::Outdated,
        _ => DiskState::UpToDate,
    }
}

impl Resource {
    /// A connected peer's disk as the replication state allows it.
    pub(super) fn clamped(&self, c: usize, v: usize, disk: DiskState) -> DiskState {
        let usable = disk >= DiskState::Inconsistent && disk != DiskState::DUnknown;
        match self.conns[c].connected() && usable {
            true => disk.min(best_peer_disk(self.conns[c].volumes[v].repl)),
            false => disk,
        }
    }

    /// The replication state changed: what is known of the peer's disk follows, down at once, and
    /// up again as the peer has said meanwhile.
    pub(super) fn clamp_disks(&mut self, c: usize, v: usize, before: ReplState) {
        if !self.conns[c].connected() {
            return;
        }
        let pd = &self.conns[c].volumes[v];
        let (disk, said) = (pd.disk, pd.state);
        if best_peer_disk(pd.repl) > best_peer_disk(before)
            && let Some(state) = said
        {
            return self.follow_peer_disk(c, v, state);
        }
        let disk = self.clamped(c, v, disk);
        self.set_peer_disk(c, v, disk);
    }
}

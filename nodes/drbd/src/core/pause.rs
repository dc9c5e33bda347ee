//! Pauses of resyncs: `pause-sync`, the peer's pause, `resync-after`, and that a volume is resynced
//! over one connection at a time.

use super::Resource;
use super::event::{Action, CommandId, Refusal};
use super::points::reach;
use crate::ids::{NodeId, VolumeNumber};
use crate::state::{ReplState, Role};

/// Why a resync between this node and a peer stands still, or would stand still if there were one
/// (DRBD's `resync_susp_user` and so on).
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Pauses {
    /// `pause-sync` on this node.
    pub user: bool,
    /// The peer says that it stands still there.
    pub peer: bool,
    /// A device before it in the chain of `resync-after` is busy.
    pub dependency: bool,
    /// The volume is being resynced over another connection.
    pub other: bool,
}

impl Pauses {
    /// Is there a reason that this node tells the peer of?
    pub fn own(self) -> bool {
        self.user || self.dependency || self.other
    }
}

impl Resource {
    /// Why a resync with a peer stands still, or would.
    pub(super) fn pauses(&self, c: usize, v: usize) -> Pauses {
        let pd = &self.conns[c].volumes[v];
        let waits = pd.repl == ReplState::PausedSyncT;
        Pauses {
            user: pd.paused,
            peer: pd.state.is_some_and(|state| state.resync_paused),
            dependency: self.devices[v].waits,
            other: waits && self.active_target(v).is_some(),
        }
    }

    /// Has somebody or something stopped resyncs with a peer, beside another resync of the volume?
    pub(super) fn stands_still(&self, c: usize, v: usize) -> bool {
        let Pauses { user, peer, dependency, other: _ } = self.pauses(c, v);
        user || peer || dependency
    }

    fn active_target(&self, v: usize) -> Option<usize> {
        (0..self.conns.len()).find(|c| self.conns[*c].volumes[v].repl == ReplState::SyncTarget)
    }

    /// `pause-sync` (`true`) and `resume-sync`.
    pub(super) fn pause_sync(
        &mut self,
        id: CommandId,
        (volume, node): (VolumeNumber, NodeId),
        pause: bool,
    ) {
        let v = volume.index();
        let result = match self.conn_of(node) {
            _ if v >= self.devices.len() => Err(Refusal::MinorInvalid),
            None => Err(Refusal::InvalidPeerNodeId),
            Some(c) if self.conns[c].volumes[v].paused == pause => Err(self.no_change(c, v, pause)),
            Some(c) => {
                self.conns[c].volumes[v].paused = pause;
                self.changed = true;
                Ok(())
            }
        };
        self.out.push(Action::Reply(id, result));
    }

    /// What an administrator is told who pauses twice, or resumes what others stopped.
    fn no_change(&self, c: usize, v: usize, pause: bool) -> Refusal {
        let pauses = self.pauses(c, v);
        let repl = self.conns[c].volumes[v].repl;
        let stands = matches!(repl, ReplState::PausedSyncS | ReplState::PausedSyncT);
        match pause {
            true => Refusal::PauseIsSet,
            false if stands && (pauses.dependency || pauses.other) => Refusal::PausedByDependency,
            false if stands && pauses.peer => Refusal::PausedByPeer,
            false => Refusal::PauseIsClear,
        }
    }

    /// Do devices that come after this volume in a chain of `resync-after` have to wait: is it
    /// being resynced or verified, or kept from it?
    pub fn holds_back(&self, volume: VolumeNumber) -> bool {
        let v = volume.index();
        let busy = ReplState::SyncSource..=ReplState::PausedSyncT;
        v < self.devices.len()
            && self.devices[v].has_disk()
            && (0..self.conns.len())
                .any(|c| busy.contains(&self.conns[c].volumes[v].repl) || self.stands_still(c, v))
    }

    /// Does the volume wait for others in its chain of `resync-after`?
    pub fn waits(&self, volume: VolumeNumber) -> bool {
        self.devices.get(volume.index()).is_some_and(|device| device.waits)
    }

    /// Does any of its volumes?
    pub fn waits_at_all(&self) -> bool {
        self.devices.iter().any(|device| device.waits)
    }

    /// `disk-options --resync-after`: whoever runs the engine follows the chain.
    pub(super) fn set_resync_after(&mut self, volume: VolumeNumber, minor: Option<u32>) {
        match minor {
            Some(minor) => drop(self.config.resync_after.insert(volume, minor)),
            None => drop(self.config.resync_after.remove(&volume)),
        }
    }

    /// Something before it in its chain of `resync-after` is busy, or no longer.
    pub(super) fn set_waits(&mut self, volume: VolumeNumber, waits: bool) {
        if let Some(device) = self.devices.get_mut(volume.index()) {
            self.changed |= device.waits != waits;
            device.waits = waits;
        }
    }

    /// Stops resyncs that are to stand still, lets go on those that are not: one active target of
    /// a volume at a time, the one whose source is Primary first, then the one with the fewest
    /// bits.
    pub(super) fn settle_pauses(&mut self, v: usize) {
        use ReplState::{PausedSyncS, PausedSyncT, SyncSource, SyncTarget};
        for c in 0..self.conns.len() {
            match (self.conns[c].volumes[v].repl, self.stands_still(c, v)) {
                (SyncSource, true) => self.set_repl(c, v, PausedSyncS),
                (PausedSyncS, false) => self.set_repl(c, v, SyncSource),
                (SyncTarget, true) => self.pause_target(c, v),
                _ => {}
            }
        }
        let waits = |r: &Resource, c: &usize| r.conns[*c].volumes[v].repl == PausedSyncT;
        let active = self.active_target(v);
        let next = (0..self.conns.len())
            .filter(|c| waits(self, c) && !self.stands_still(*c, v))
            .min_by_key(|c| self.target_rank(*c, v));
        match (active, next) {
            (None, Some(c)) if !self.quirk("paused-resync-never-resumes") => {
                self.activate_target(c, v);
            }
            (Some(a), Some(p))
                if self.conns[p].role == Role::Primary && self.conns[a].role != Role::Primary =>
            {
                reach!(self, ResyncPaused);
                self.pause_target(a, v);
                if self.active_target(v).is_none() {
                    self.activate_target(p, v);
                }
            }
            (Some(_), Some(_)) => reach!(self, ResyncWaits),
            _ => {}
        }
    }

    /// A target that has taken over the source's generation already ends instead.
    fn pause_target(&mut self, c: usize, v: usize) {
        let resync = &mut self.conns[c].volumes[v].resync;
        if !resync.ending {
            resync.tick = None;
            self.set_repl(c, v, ReplState::PausedSyncT);
        }
    }

    fn target_rank(&self, c: usize, v: usize) -> (bool, u64, NodeId) {
        let conn = &self.conns[c];
        (conn.role != Role::Primary, self.devices[v].weight(conn.node), conn.node)
    }
}

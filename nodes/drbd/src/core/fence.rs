//! Fencing: a Primary that loses sight of a copy has the handler `fence-peer` make sure that it is
//! not used, and with `resource-and-stonith` serves no I/O until that is done.

use super::Resource;
use super::config::Fencing;
use super::event::{Handler, Notice};
use super::points::reach;
use crate::state::{DiskState, Role};

/// What is known of fencing one peer.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Fence {
    /// I/O is on hold until the peer is fenced, or back (`suspended:fencing`).
    pub suspends: bool,
    /// It was tried, and the connection has not been up since.
    pub tried: bool,
}

impl Resource {
    /// May a copy that cannot be seen be in use elsewhere?
    pub(super) fn is_unfenced(&self, c: usize) -> bool {
        let conn = &self.conns[c];
        let unknown = |v: usize| conn.volumes[v].disk > DiskState::Outdated;
        self.config.fencing >= Fencing::ResourceOnly
            && conn.config.diskful
            && !conn.forgotten
            && !conn.connected()
            && (0..self.devices.len()).any(unknown)
    }

    /// A connection was lost; `graceful`: somebody meant to end it.
    pub(super) fn contact_lost(&mut self, c: usize, graceful: bool) {
        self.conns[c].fence = Fence::default();
        self.call(Handler::Disconnected, Some(c), None);
        let primary = self.role == Role::Primary;
        for v in 0..self.devices.len() {
            let bad = self.devices[v].disk == DiskState::Inconsistent && !self.data_accessible(v);
            if primary && bad {
                self.call(Handler::PriOnInconDegr, Some(c), Some(v));
            }
        }
        if primary && !graceful && self.is_unfenced(c) {
            reach!(self, FenceNeeded);
            self.conns[c].fence.suspends = self.config.fencing == Fencing::ResourceAndStonith;
        }
    }

    /// Calls `fence-peer` for whom a Primary lost, and takes the hold back where it is not needed.
    pub(super) fn progress_fencing(&mut self) {
        for c in 0..self.conns.len() {
            if !self.is_unfenced(c) {
                self.conns[c].fence.suspends = false;
            } else if self.role == Role::Primary {
                self.fence_peer(c);
            }
        }
        self.roles.fencing = (0..self.conns.len()).any(|c| self.calls.runs(Handler::FencePeer, c));
    }

    /// Once for each loss.
    fn fence_peer(&mut self, c: usize) {
        if !self.conns[c].fence.tried {
            self.conns[c].fence.tried = true;
            self.call(Handler::FencePeer, Some(c), None);
        }
    }

    /// A promotion waits for copies that cannot be seen. `false`: it was tried for all of them.
    pub(super) fn fence_for_promotion(&mut self) -> bool {
        let unfenced: Vec<usize> = (0..self.conns.len()).filter(|c| self.is_unfenced(*c)).collect();
        unfenced.into_iter().for_each(|c| self.fence_peer(c));
        self.roles.fencing = (0..self.conns.len()).any(|c| self.calls.runs(Handler::FencePeer, c));
        self.roles.fencing || !(0..self.conns.len()).any(|c| self.is_unfenced(c))
    }

    /// Each promotion tries anew.
    pub(super) fn forget_tries(&mut self) {
        if self.role == Role::Secondary {
            self.conns.iter_mut().for_each(|conn| conn.fence.tried = false);
        }
    }

    /// Is I/O on hold because a peer is not fenced yet?
    pub(super) fn awaits_stonith(&self) -> bool {
        self.conns.iter().any(|conn| conn.fence.suspends)
    }

    /// `resume-io`: the administrator knows that the peer is gone.
    pub(super) fn resume_unfenced(&mut self) {
        self.conns.iter_mut().for_each(|conn| conn.fence.suspends = false);
    }

    /// Does a copy that cannot be seen keep this node from being promoted? `force` goes on once
    /// fencing was tried.
    pub(super) fn awaits_fencing(&self, force: bool) -> bool {
        let blocks = |c: usize| {
            let over = self.conns[c].fence.tried && !self.calls.runs(Handler::FencePeer, c);
            self.is_unfenced(c) && !(force && over)
        };
        (0..self.conns.len()).any(blocks)
    }

    /// `fence-peer` has ended.
    pub(super) fn fenced(&mut self, c: usize, exit: u8) {
        if !self.is_unfenced(c) {
            // Connected meanwhile, or known better: the answer is old.
            reach!(self, FenceLate);
            return;
        }
        let own_good = self.devices.iter().all(|device| device.disk == DiskState::UpToDate);
        let found = match exit {
            3 => Some(DiskState::Inconsistent),
            4 => Some(DiskState::Outdated),
            5 if own_good => Some(DiskState::Outdated),
            7 => Some(DiskState::Outdated),
            _ => None,
        };
        let said = match exit {
            3 => "peer is inconsistent or worse",
            4 => "peer was fenced",
            5 if own_good => "peer is unreachable, assumed to be dead",
            5 => "peer unreachable, doing nothing since disk != UpToDate",
            6 => "Peer is primary, outdating myself.",
            7 if self.config.fencing != Fencing::ResourceAndStonith => {
                "fence-peer() = 7 && fencing != Stonith !!!"
            }
            7 => "peer was stonithed",
            _ => "",
        };
        let text = match said {
            "" => format!("fence-peer helper broken, returned {exit}"),
            said => format!("fence-peer helper returned {exit} ({said})"),
        };
        self.notice(Notice::Note(text));
        if exit == 6 && self.role != Role::Primary {
            reach!(self, FenceOutdatesMe);
            self.outdate();
        }
        let Some(disk) = found else { return reach!(self, FenceFailed) };
        reach!(self, Fenced);
        for v in 0..self.devices.len() {
            if self.conns[c].volumes[v].disk > DiskState::Outdated {
                self.set_peer_disk(c, v, disk);
            }
        }
    }

    /// A resync ended, and both copies are good: what `fence-peer` did is undone.
    pub(super) fn unfence(&mut self, c: usize, v: usize) {
        let good = self.devices[v].disk == DiskState::UpToDate
            && self.conns[c].volumes[v].disk == DiskState::UpToDate;
        if self.config.fencing > Fencing::DontCare && good {
            self.call(Handler::UnfencePeer, Some(c), Some(v));
        }
    }
}

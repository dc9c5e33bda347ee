//! Detaching: everybody is asked, for the last good copy stays under a Primary; then bitmap and
//! superblock are written, so that no activity log needs to be replayed, and the disk is let go.

use super::Resource;
use super::event::{Action, CommandId, Refusal};
use super::twopc::Purpose;
use crate::ids::{NodeId, VolumeNumber};
use crate::state::{DiskState, Role};

impl Resource {
    pub(super) fn detach(&mut self, id: CommandId, volume: VolumeNumber, force: bool) {
        let v = volume.index();
        if v >= self.devices.len() || !self.devices[v].has_disk() {
            return self.out.push(Action::Reply(id, Ok(())));
        }
        if force {
            self.force_detach(v);
            return self.out.push(Action::Reply(id, Ok(())));
        }
        self.want(Purpose::Detach(volume, id));
    }

    /// Why this node may not detach its copy, as far as it knows itself.
    pub(super) fn detach_refusal(&self, v: usize) -> Option<Refusal> {
        let in_use = self.role == Role::Primary || self.roles.has_reader();
        let last = in_use && !self.good_copy_beside(v, Some(self.me()));
        last.then_some(Refusal::NoUpToDateDisk)
    }

    /// A Primary, or who has a reader, keeps the last good copy that it can reach. (A disk that
    /// goes does not ask.)
    pub(super) fn vote_on_disk(&self, initiator: NodeId, v: usize) -> Option<Refusal> {
        let in_use = self.role == Role::Primary || self.roles.has_reader();
        let c = self.conn_of(initiator)?;
        let good = self.conns[c].volumes.get(v)?.disk == DiskState::UpToDate;
        let last = in_use && good && !self.good_copy_beside(v, Some(initiator));
        last.then_some(Refusal::NoUpToDateDisk)
    }

    /// The change of a peer's disk is committed. (Whoever is not connected to it knows nothing of
    /// that disk.)
    pub(super) fn agreed_disk(&mut self, c: usize, v: usize, to: DiskState) {
        if self.conns[c].connected() && v < self.devices.len() {
            self.set_peer_disk(c, v, to);
        }
    }

    /// The others have answered.
    pub(super) fn detach_decided(&mut self, v: usize, id: CommandId, result: Result<(), Refusal>) {
        match result {
            Ok(()) if self.devices[v].has_disk() => self.clean_detach(v, Some(id)),
            result => self.out.push(Action::Reply(id, result)),
        }
    }

    /// The disk goes, once what its metadata has to say is durable.
    pub(super) fn clean_detach(&mut self, v: usize, reply: Option<CommandId>) {
        if !self.devices[v].has_disk() {
            return;
        }
        // It may have become Outdated just now.
        self.update_md_flags();
        self.set_disk(v, DiskState::Detaching);
        self.abort_resyncs(v);
        self.write_bitmap(v);
        self.devices[v].detaching = Some(reply);
        if self.role == Role::Primary {
            self.devices[v].new_uuid = true;
        }
        self.go_on_detaching(v);
    }
}

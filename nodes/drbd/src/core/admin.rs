//! What administrators ask for beside connecting, roles and disks: `invalidate`,
//! `invalidate-remote`, `forget-peer`, `connect --discard-my-data`.

use super::Resource;
use super::event::{Action, CommandId, Refusal};
use super::parts::Conn;
use super::twopc::Purpose;
use crate::ids::{NodeId, VolumeNumber};
use crate::state::{ConnState, DiskState, ReplState, Role};

impl Resource {
    fn answer_command(&mut self, id: CommandId, result: Result<(), Refusal>) {
        self.out.push(Action::Reply(id, result));
    }

    pub(super) fn connect_discarding(&mut self, id: CommandId, node: NodeId) {
        if self.role == Role::Primary {
            return self.answer_command(id, Err(Refusal::DiscardImpossible));
        }
        self.on_conn(node, |r, c| {
            r.conns[c].discard = r.conns[c].cstate == ConnState::StandAlone;
        });
        self.connect(id, node);
    }

    pub(super) fn outdate_by_command(&mut self, id: CommandId, volume: VolumeNumber) {
        let v = volume.index();
        let result = match self.outdate_refusal(v) {
            Some(refusal) => Err(refusal),
            None => {
                self.set_disk(v, DiskState::Outdated);
                Ok(())
            }
        };
        self.answer_command(id, result);
    }

    fn outdate_refusal(&self, v: usize) -> Option<Refusal> {
        let Some(device) = self.devices.get(v) else { return Some(Refusal::MinorInvalid) };
        if device.disk < DiskState::Outdated {
            return Some(Refusal::LowerThanOutdated);
        }
        let good = |conn: &Conn| conn.connected() && conn.volumes[v].disk == DiskState::UpToDate;
        if self.role == Role::Primary && !self.conns.iter().any(good) {
            return Some(Refusal::NoUpToDateDisk);
        }
        let follows = self.conns.iter().any(Conn::is_primary);
        let syncs = self.conns.iter().any(|conn| conn.volumes[v].repl.is_sync_target());
        let in_use = self.role == Role::Primary || (follows && !syncs);
        in_use.then_some(Refusal::ConnectedOutdates)
    }

    pub(super) fn invalidate(&mut self, id: CommandId, volume: VolumeNumber, from: Option<NodeId>) {
        let v = volume.index();
        if v >= self.devices.len() {
            return self.answer_command(id, Err(Refusal::MinorInvalid));
        }
        if !self.devices[v].has_disk() {
            return self.answer_command(id, Err(Refusal::NoDisk));
        }
        let copies = self.conns.iter().filter(|conn| conn.connected() && conn.config.diskful);
        let candidates: Vec<NodeId> = match from {
            Some(node) => vec![node],
            None => copies.map(|conn| conn.node).collect(),
        };
        if candidates.is_empty() {
            // A peer without a disk may work on this copy.
            if self.conns.iter().any(Conn::connected) {
                return self.answer_command(id, Err(Refusal::NoRemoteDisk));
            }
            return self.invalidate_alone(id, v);
        }
        let able = candidates.iter().find(|node| self.resync_refusal(v, **node, true).is_none());
        match able {
            Some(node) => self.want(Purpose::Resync(*node, volume, true, id)),
            None => {
                let refusal = self.resync_refusal(v, candidates[0], true);
                self.answer_command(id, refusal.map_or(Ok(()), Err));
            }
        }
    }

    /// Nobody is there to copy from: everything is out of sync from now on.
    fn invalidate_alone(&mut self, id: CommandId, v: usize) {
        if self.role == Role::Primary {
            return self.answer_command(id, Err(Refusal::NoUpToDateDisk));
        }
        self.set_disk(v, DiskState::Inconsistent);
        for c in 0..self.conns.len() {
            self.fill_slot(c, v);
        }
        self.write_bitmap(v);
        self.answer_command(id, Ok(()));
    }

    pub(super) fn invalidate_remote(&mut self, id: CommandId, volume: VolumeNumber, node: NodeId) {
        let v = volume.index();
        let refusal = match v < self.devices.len() {
            true => self.resync_refusal(v, node, false),
            false => Some(Refusal::MinorInvalid),
        };
        match refusal {
            Some(refusal) => self.answer_command(id, Err(refusal)),
            None => self.want(Purpose::Resync(node, volume, false, id)),
        }
    }

    /// Why may this node and the peer not copy everything anew, to here or (`false`) from here?
    pub(super) fn resync_refusal(&self, v: usize, node: NodeId, to_me: bool) -> Option<Refusal> {
        let Some(c) = self.conn_of(node) else { return Some(Refusal::InvalidPeerNodeId) };
        let (conn, device) = (&self.conns[c], &self.devices[v]);
        let pd = &conn.volumes[v];
        let has = |disk: DiskState| disk >= DiskState::Inconsistent && disk != DiskState::DUnknown;
        let (mine, theirs) = (device.disk, pd.disk);
        let (source, target) = if to_me { (theirs, mine) } else { (mine, theirs) };
        let primary = if to_me { self.role } else { conn.role } == Role::Primary;
        match () {
            () if !conn.connected() => Some(Refusal::NeedConnection),
            () if !has(mine) => Some(Refusal::NoLocalDisk),
            () if !has(theirs) => Some(Refusal::NoRemoteDisk),
            () if pd.repl != ReplState::Established => Some(Refusal::ResyncRunning),
            () if source != DiskState::UpToDate => Some(Refusal::NoUpToDateDisk),
            // DRBD lets a Primary be overwritten if it can read from the source meanwhile.
            () if primary && target == DiskState::UpToDate => Some(Refusal::NoUpToDateDisk),
            () if self.uuids_locked() => Some(Refusal::InTransientState),
            () => None,
        }
    }

    pub(super) fn resync_asked(&mut self, id: CommandId, result: Result<(), Refusal>) {
        self.answer_command(id, result);
    }

    /// Forgets a peer that is gone for good: its vote, and its bitmap slot if it had a disk. It has
    /// to be left first. (DRBD wants it to be deleted, too; here a configured peer that is
    /// StandAlone is as good as deleted.) Whom nobody knows is forgotten already, as in DRBD.
    pub(super) fn forget_peer(&mut self, id: CommandId, node: NodeId) {
        let refusal = match self.conn_of(node) {
            None if node == self.me() => Some(Refusal::InvalidPeerNodeId),
            Some(c) if self.conns[c].cstate != ConnState::StandAlone => {
                Some(Refusal::NetConfigured)
            }
            _ => None,
        };
        if let Some(refusal) = refusal {
            return self.answer_command(id, Err(refusal));
        }
        self.on_conn(node, |r, c| r.conns[c].forgotten = true);
        for v in 0..self.devices.len() {
            if !self.devices[v].has_disk() {
                continue;
            }
            if let Some(slot) = self.devices[v].slot(node) {
                let device = &mut self.devices[v];
                device.write_set_bits(slot);
                device.bitmaps[slot].reset();
            }
            let me = self.me();
            self.devices[v].md.forget(me, node);
            self.touch_md(v);
            self.write_bitmap(v);
        }
        self.changed = true;
        self.answer_command(id, Ok(()));
    }

    /// A peer that was forgotten is connected to again: whatever it has, nobody kept count.
    pub(super) fn remember_peer(&mut self, c: usize) {
        if !std::mem::take(&mut self.conns[c].forgotten) {
            return;
        }
        for v in 0..self.devices.len() {
            if self.devices[v].has_disk() && self.conns[c].config.diskful {
                super::attach::assign_slots(&self.config, &mut self.devices[v].md);
                self.fill_slot(c, v);
                self.write_bitmap(v);
            }
        }
        self.changed = true;
    }
}

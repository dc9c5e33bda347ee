//! The receiving side: writes of a peer, their epochs, what is remembered until the peer ack, reads
//! for a peer.

use super::Resource;
use super::event::{Lower, LowerResult};
use super::locks::Holder;
use super::parts::{Epoch, LowerUse, PeerRequest, Work};
use super::points::reach;
use crate::ids::{Blocks, Dagtag, NodeId, NodeMask, VolumeNumber};
use crate::packet::{BlockId, Packet};
use crate::page::Payload;
use crate::state::{ConnState, DiskState, ReplState, Role};

impl Resource {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn receive_write(
        &mut self,
        c: usize,
        v: usize,
        at: Blocks,
        id: BlockId,
        payload: Option<Payload>,
        may_set_in_sync: bool,
        fua: bool,
    ) {
        if self.conns[c].role != Role::Primary {
            reach!(self, LateWrite);
            // It was made Secondary by force, and another may be Primary by now: what was on its
            // way is not to overwrite what that one wrote. The two copies compare instead. (DRBD
            // writes it.)
            return self.drop_link(c, ConnState::NetworkFailure);
        }
        let conn = &mut self.conns[c];
        conn.last_dagtag.0 += at.sectors();
        let Some(epoch) = conn.epochs.back_mut() else { return };
        epoch.size += 1;
        epoch.active += 1;
        let (epoch, dagtag, birth) = (epoch.seq, conn.last_dagtag, conn.birth);
        let key = self.peer_reqs.insert(PeerRequest {
            conn: c,
            birth,
            volume: v,
            device_birth: self.devices[v].birth,
            at,
            payload,
            id,
            fua,
            may_set_in_sync,
            epoch,
            dagtag,
            lock: None,
            active: false,
            tracked: false,
            doubted: NodeMask::NONE,
            overwritten: NodeMask::NONE,
            finished: false,
        });
        self.start_peer_write(key, c, v);
        // Only now that the write has its place in line: who waited for it must read it.
        self.serve_waiting(c);
    }

    fn start_peer_write(&mut self, key: usize, c: usize, v: usize) {
        let (at, id, node) = (self.peer_reqs[key].at, self.peer_reqs[key].id, self.conns[c].node);
        if !self.devices[v].has_disk() || self.devices[v].disk == DiskState::Negotiating {
            return self.peer_write_done(key, false);
        }
        let alone = self.sender_lacks_disk(c, v);
        if alone {
            // What it sends it does not have itself.
            self.set_out_of_sync(v, node, at);
        }
        if alone || self.others_to_inform(v, node) {
            let deaf = self.conns.iter().filter(|conn| conn.deaf_to.has(node));
            self.peer_reqs[key].overwritten =
                deaf.fold(NodeMask::NONE, |mask, conn| mask.with(conn.node));
            self.peer_reqs[key].tracked = true;
            self.conns[c].unacked.push_back(key);
        }
        if self.quirk("write-ack-before-disk") {
            self.send(c, Packet::WriteAck { id, in_sync: false });
        }
        self.written_under_verify(v, at);
        let holder = Holder::Peer(node);
        let lock = self.devices[v].locks.acquire(at, holder, |_| Work::PeerLocked(key));
        self.peer_reqs[key].lock = Some(lock.unwrap_or_else(|waiting| waiting));
        if lock.is_ok() {
            self.peer_locked(key);
        }
    }

    /// Is there a third node with a disk, which might miss what this peer sends?
    pub(super) fn others_to_inform(&self, v: usize, sender: NodeId) -> bool {
        self.slots_listed(v).iter().any(|(node, _)| *node != sender)
    }

    /// Does a peer that should have a copy write without one?
    fn sender_lacks_disk(&self, c: usize, v: usize) -> bool {
        let conn = &self.conns[c];
        let disk = conn.volumes[v].state.map_or(DiskState::DUnknown, |state| state.disk);
        self.devices[v].slot(conn.node).is_some() && disk < DiskState::Inconsistent
    }

    pub(super) fn peer_locked(&mut self, key: usize) {
        let req = &self.peer_reqs[key];
        let (v, at) = (req.volume, req.at);
        if req.device_birth != self.devices[v].birth {
            return self.peer_write_done(key, false);
        }
        if !req.tracked {
            return self.peer_active(key);
        }
        self.peer_reqs[key].active = true;
        if self.devices[v].al.begin(at, Work::PeerActive(key)).is_none() {
            self.peer_active(key);
        } else {
            self.pump_al(v);
        }
    }

    pub(super) fn peer_active(&mut self, key: usize) {
        let req = &self.peer_reqs[key];
        let (v, at) = (req.volume, req.at);
        if req.device_birth != self.devices[v].birth {
            return self.peer_write_done(key, false);
        }
        self.written_since_day0(v, at);
        let lower = match &self.peer_reqs[key].payload {
            Some(payload) => Lower::Write {
                start: at.start,
                payload: payload.clone(),
                preflush: false,
                fua: self.peer_reqs[key].fua,
            },
            None => Lower::Discard(at),
        };
        self.lower(v, lower, LowerUse::Peer(key));
    }

    pub(super) fn peer_lower_done(&mut self, key: usize, result: LowerResult) {
        if result.is_err() {
            let (v, at) = (self.peer_reqs[key].volume, self.peer_reqs[key].at);
            self.lost_blocks(v, at);
            self.data_failed(v);
        }
        self.peer_write_done(key, result.is_ok());
    }

    /// A peer's write is on disk, or never will be.
    fn peer_write_done(&mut self, key: usize, ok: bool) {
        let req = &mut self.peer_reqs[key];
        req.finished = true;
        req.payload = None;
        let (c, v, at, id, epoch) = (req.conn, req.volume, req.at, req.id, req.epoch);
        let (may_set_in_sync, tracked) = (req.may_set_in_sync, req.tracked);
        let current = self.conns[c].birth == req.birth && self.conns[c].linked;
        let lock = req.lock.take();
        if current {
            let node = self.conns[c].node;
            let target = matches!(
                self.conns[c].volumes[v].repl,
                ReplState::SyncTarget | ReplState::PausedSyncT | ReplState::SyncSource
            );
            let in_sync = ok && may_set_in_sync && target;
            if in_sync {
                self.clear_out_of_sync(v, node, at);
            }
            let early = self.quirk("write-ack-before-disk");
            match ok {
                true if early => {}
                true => self.send(c, Packet::WriteAck { id, in_sync }),
                false => self.send(c, Packet::NegAck { id }),
            }
            self.epoch_write_done(c, epoch);
            if in_sync {
                self.resync_progress(c, v);
            }
        }
        if let Some(lock) = lock {
            let ready = self.devices[v].locks.release(lock);
            self.works(ready);
        }
        if !tracked || !current {
            self.drop_peer_request(key);
        }
    }

    fn drop_peer_request(&mut self, key: usize) {
        if !self.peer_reqs[key].finished {
            self.peer_reqs[key].tracked = false;
            return;
        }
        let req = self.peer_reqs.remove(key);
        if req.active {
            self.release_extents(req.volume, req.at);
        }
    }

    fn epoch_write_done(&mut self, c: usize, seq: u64) {
        if let Some(epoch) = self.conns[c].epochs.iter_mut().find(|epoch| epoch.seq == seq) {
            epoch.active -= 1;
        }
        self.finish_epoch(c);
    }

    pub(super) fn receive_barrier(&mut self, c: usize, nr: u32) {
        let conn = &mut self.conns[c];
        let Some(epoch) = conn.epochs.back_mut() else { return };
        epoch.nr = Some(nr);
        conn.epoch_seq += 1;
        let seq = conn.epoch_seq;
        conn.epochs.push_back(Epoch {
            seq,
            nr: None,
            size: 0,
            active: 0,
            flushes: 0,
            flushing: false,
        });
        self.finish_epoch(c);
    }

    /// Write ordering "flush": the oldest epochs, once all their writes are done, are flushed and
    /// then acknowledged. One flush serves all that are complete when it starts: a disk that
    /// flushes more slowly than epochs come would fall behind further and further, and with it the
    /// peer acks. (DRBD, which reads nothing while it flushes, slows the sender down instead.)
    fn finish_epoch(&mut self, c: usize) {
        let epochs = &mut self.conns[c].epochs;
        if epochs.front().is_none_or(|epoch| epoch.flushing) {
            return;
        }
        let complete = |epoch: &&mut Epoch| epoch.nr.is_some() && epoch.active == 0;
        epochs.iter_mut().take_while(complete).for_each(|epoch| epoch.flushing = true);
        if epochs.front().is_none_or(|epoch| !epoch.flushing) {
            return;
        }
        let disks: Vec<usize> =
            (0..self.devices.len()).filter(|v| self.devices[*v].has_disk()).collect();
        if let Some(epoch) = self.conns[c].epochs.front_mut() {
            epoch.flushes = disks.len() as u32;
        }
        let birth = self.conns[c].birth;
        for v in &disks {
            self.lower(*v, Lower::Flush, LowerUse::EpochFlush(c, birth));
        }
        if disks.is_empty() {
            self.acknowledge_epochs(c);
        }
    }

    pub(super) fn epoch_flushed(&mut self, c: usize, birth: u64) {
        if self.conns[c].birth != birth {
            return;
        }
        let Some(epoch) = self.conns[c].epochs.front_mut().filter(|e| e.flushing) else { return };
        epoch.flushes = epoch.flushes.saturating_sub(1);
        if epoch.flushes == 0 {
            self.acknowledge_epochs(c);
        }
    }

    /// Everything that was complete when the flush started is durable.
    fn acknowledge_epochs(&mut self, c: usize) {
        while self.conns[c].epochs.front().is_some_and(|epoch| epoch.flushing) {
            let epoch = self.conns[c].epochs.pop_front();
            if let Some((nr, set_size)) = epoch.and_then(|epoch| Some((epoch.nr?, epoch.size))) {
                self.send(c, Packet::BarrierAck { nr, set_size });
            }
        }
        self.finish_epoch(c);
    }

    /// Everything up to `dagtag` is on the nodes in `mask`.
    pub(super) fn receive_peer_ack(&mut self, c: usize, mask: NodeMask, dagtag: Dagtag) {
        while let Some(&key) = self.conns[c].unacked.front() {
            if self.peer_reqs[key].dagtag > dagtag {
                break;
            }
            self.conns[c].unacked.pop_front();
            self.settle_peer_request(c, key, mask);
        }
    }

    fn settle_peer_request(&mut self, c: usize, key: usize, mask: NodeMask) {
        let (v, at) = (self.peer_reqs[key].volume, self.peer_reqs[key].at);
        let sender = self.conns[c].node;
        let mask = NodeMask(mask.0 & !self.peer_reqs[key].overwritten.0);
        for (node, _) in self.slots_listed(v) {
            match mask.has(node) {
                true if node == sender => {}
                true => self.clear_out_of_sync(v, node, at),
                false => self.missed(v, node, at),
            }
        }
        self.peer_reqs[key].tracked = false;
        if self.peer_reqs[key].finished {
            self.drop_peer_request(key);
        }
    }

    /// A third node lacks a write that this one has: if this node is its source, it has to ask
    /// again.
    pub(super) fn missed(&mut self, v: usize, node: NodeId, at: Blocks) {
        self.set_out_of_sync(v, node, at);
        self.on_conn(node, |r, c| {
            let repl = r.conns[c].volumes[v].repl;
            if r.conns[c].connected() && repl.is_sync() {
                r.send(c, Packet::OutOfSync { volume: VolumeNumber(v as u16), at });
                r.conns[c].volumes[v].resync.unheard.extend(at.iter());
            }
        });
    }

    /// The connection is gone: what it sent and never confirmed may be missing everywhere else.
    pub(super) fn forget_received(&mut self, c: usize) {
        let sender = self.conns[c].node;
        while let Some(key) = self.conns[c].unacked.pop_front() {
            let (v, at) = (self.peer_reqs[key].volume, self.peer_reqs[key].at);
            for (node, _) in self.slots_listed(v) {
                if node != sender {
                    reach!(self, PeerUnacked);
                    self.missed(v, node, at);
                }
            }
            self.peer_reqs[key].tracked = false;
            self.drop_peer_request(key);
        }
    }

    pub(super) fn receive_out_of_sync(&mut self, c: usize, v: usize, at: Blocks) {
        let node = self.conns[c].node;
        self.set_out_of_sync(v, node, at);
        let resync = &mut self.conns[c].volumes[v].resync;
        resync.cursor = resync.cursor.min(at.start);
        self.resync_progress(c, v);
    }

    /// The source of a resync says who holds the same in a range. The target believes it where
    /// nothing dirtied the range since; another copy while no write in the range is on its way.
    pub(super) fn receive_peers_in_sync(&mut self, c: usize, v: usize, at: Blocks, mask: NodeMask) {
        let sender = self.conns[c].node;
        let device = &self.devices[v];
        if at.count == 0 || at.end() > device.size {
            // It overtook what makes this copy larger.
            return;
        }
        let resynced = device.resynced.get(&at.start) == Some(&(at, sender));
        if self.quirk("late-peers-in-sync") {
            let nodes = mask.without(self.me());
            return nodes.iter().for_each(|node| self.clear_out_of_sync(v, node, at));
        }
        let device = &self.devices[v];
        let differs = device.slot(sender).is_none_or(|slot| device.bitmaps[slot].any(at));
        if differs && !resynced {
            // The sender has not heard of that. Who believed it has no bit for this copy any more.
            let others = mask.without(self.me()).without(sender);
            return others.iter().for_each(|node| self.set_out_of_sync(v, node, at));
        }
        let whole = device.disk == DiskState::UpToDate && !differs && self.same_generation(c, v);
        if !(resynced || whole && !self.is_written(v, at)) {
            return;
        }
        if resynced {
            self.devices[v].resynced.remove(&at.start);
        }
        for node in mask.without(self.me()).iter() {
            let before = self.devices[v].weight(node);
            self.clear_out_of_sync(v, node, at);
            if before > 0 && self.devices[v].weight(node) == 0 {
                // The last bit is gone: the peer may vouch for this copy again.
                self.on_conn(node, |r, c| r.tell_uuids_to(c, v));
            }
        }
    }

    pub(super) fn receive_read(&mut self, c: usize, v: usize, at: Blocks, id: BlockId) {
        if self.devices[v].disk != DiskState::UpToDate {
            return self.send(c, Packet::NegDReply { id });
        }
        let birth = self.conns[c].birth;
        self.lower(v, Lower::Read(at), LowerUse::PeerRead(c, birth, id, at));
    }

    pub(super) fn peer_read_done(
        &mut self,
        (c, v): (usize, usize),
        birth: u64,
        (id, at): (BlockId, Blocks),
        result: LowerResult,
    ) {
        let failed = result.is_err();
        if self.conns[c].birth == birth {
            match result {
                Ok(Some(payload)) => self.send(c, Packet::DataReply { id, payload }),
                _ => self.send(c, Packet::NegDReply { id }),
            }
        }
        if failed {
            self.lost_blocks(v, at);
            self.data_failed(v);
        }
    }

    /// The answer to an own remote read.
    pub(super) fn read_reply(&mut self, c: usize, id: BlockId, payload: Option<Payload>) {
        let node = self.conns[c].node;
        let key = id.0 as usize;
        let Some(req) = self.reqs.get(key).filter(|r| r.pending.has(node) && !r.logged) else {
            return;
        };
        let count = req.at.map_or(0, |at| at.count as usize);
        match payload {
            Some(pages) if pages.len() == count => {
                self.finish_simple(key, Ok(Some(pages)), NodeMask::NONE);
            }
            _ => self.retry_read(key, node, true),
        }
    }
}

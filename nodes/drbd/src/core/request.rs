//! The application's requests: admission, replication, completion, epochs, and the peer acks that
//! follow.

use super::Resource;
use super::config::OnLoss;
use super::event::{Action, IoError, Lower, LowerResult, Notice, Request, RequestId};
use super::locks::Holder;
use super::parts::{AppRequest, Conn, Local, LowerUse, Work};
use super::points::reach;
use crate::ids::{Blocks, Dagtag, NodeId, NodeMask, Time, VolumeNumber};
use crate::packet::{BlockId, Packet};
use crate::state::{DiskState, ReplState, Role};

/// Finished writes that no P_PEER_ACK named yet.
#[derive(Clone, Debug, Default)]
pub(super) struct PeerAckState {
    /// Nodes that have them, if there are any.
    mask: Option<NodeMask>,
    /// Position of the last one.
    dagtag: Dagtag,
    /// Sectors since the last peer ack.
    sectors: u64,
    /// Sent at the latest now.
    pub deadline: Option<Time>,
}

/// What a peer gets of a write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Share {
    Data { may_set_in_sync: bool },
    Notice,
    Nothing,
}

impl Resource {
    pub(super) fn submit(&mut self, volume: VolumeNumber, id: RequestId, request: Request) {
        let v = volume.index();
        let fits = self.devices.get(v).is_some_and(|device| match &request {
            Request::Read(at) | Request::Discard(at) => at.count > 0 && at.end() <= device.capacity,
            Request::Write { start, payload, .. } => {
                !payload.is_empty() && start + payload.len() as u64 <= device.capacity
            }
            Request::Flush => true,
        });
        if !fits || (self.role != Role::Primary && !matches!(request, Request::Read(_))) {
            return self.complete(volume, id, Err(IoError), NodeMask::NONE);
        }
        self.tickets += 1;
        self.held.insert(self.tickets, (v, id, request));
        self.admit();
    }

    /// Starts held requests in order, as far as they may start.
    pub(super) fn admit(&mut self) {
        while let Some((_, (v, id, request))) = self.held.first_key_value() {
            let (v, id, is_flush) = (*v, *id, matches!(request, Request::Flush));
            if self.io_fails(v) {
                match self.devices[v].quorum {
                    true => reach!(self, RequestFailedData),
                    false => reach!(self, RequestFailedQuorum),
                }
                self.held.pop_first();
                self.complete(VolumeNumber(v as u16), id, Err(IoError), NodeMask::NONE);
                continue;
            }
            if self.suspended || self.stood_still() {
                self.new_uuid_while_frozen();
                reach!(self, RequestHeldSuspended);
                return;
            }
            if self.role == Role::Primary && !is_flush && self.need_generation() {
                reach!(self, RequestHeldGeneration);
                return;
            }
            if let Some((ticket, (v, id, request))) = self.held.pop_first() {
                self.start(ticket, v, id, request);
            }
        }
    }

    /// Does I/O fail at once instead of waiting?
    fn io_fails(&self, v: usize) -> bool {
        let no_quorum = !self.devices[v].quorum && self.config.on_no_quorum == OnLoss::IoError;
        let no_data = !self.data_accessible(v) && self.config.on_no_data == OnLoss::IoError;
        self.roles.fail_io || (self.role == Role::Primary && (no_quorum || no_data))
    }

    /// Is there a copy that is UpToDate, here or at a connected peer?
    pub(super) fn data_accessible(&self, v: usize) -> bool {
        self.good_copy_beside(v, None)
    }

    /// The same, not counting the copy of `node`.
    pub(super) fn good_copy_beside(&self, v: usize, node: Option<NodeId>) -> bool {
        let here = node != Some(self.me()) && self.devices[v].disk == DiskState::UpToDate;
        let serves = |conn: &Conn| Some(conn.node) != node && self.serves(conn, v);
        here || self.conns.iter().any(serves)
    }

    /// Peers that hold the only good copy, of each volume.
    pub(super) fn sole_copies(&self) -> NodeMask {
        let sole = |conn: &&Conn| {
            let of = |v| self.serves(conn, v) && !self.good_copy_beside(v, Some(conn.node));
            (0..self.devices.len()).all(of)
        };
        self.conns.iter().filter(sole).fold(NodeMask::NONE, |mask, conn| mask.with(conn.node))
    }

    fn start(&mut self, ticket: u64, v: usize, id: RequestId, request: Request) {
        let at = match &request {
            Request::Read(at) | Request::Discard(at) => Some(*at),
            Request::Write { start, payload, .. } => {
                Some(Blocks::new(*start, payload.len() as u32))
            }
            Request::Flush => None,
        };
        let is_write = matches!(request, Request::Write { .. } | Request::Discard(_));
        self.devices[v].in_flight += usize::from(is_write);
        let key = self.reqs.insert(AppRequest {
            ticket,
            volume: v,
            id,
            request,
            at,
            local: Local::None,
            pending: NodeMask::NONE,
            sent: NodeMask::NONE,
            ok: NodeMask::NONE,
            kept: NodeMask::NONE,
            done: NodeMask::NONE,
            epoch: 0,
            dagtag: Dagtag(0),
            completed: false,
            lock: None,
            active: false,
            awaits_extents: false,
            logged: false,
            since: self.now,
        });
        match (is_write, at) {
            (true, Some(at)) => {
                let locks = &mut self.devices[v].locks;
                let lock = locks.acquire(at, Holder::App, |_| Work::AppLocked(key));
                self.reqs[key].lock = Some(lock.unwrap_or_else(|waiting| waiting));
                if lock.is_ok() {
                    self.app_locked(key);
                }
            }
            (_, Some(at)) => self.read(key, at),
            (_, None) => self.flush(key),
        }
    }

    pub(super) fn app_locked(&mut self, key: usize) {
        let (v, at) = (self.reqs[key].volume, self.reqs[key].at);
        let Some(at) = at else { return };
        if !self.devices[v].has_disk() {
            return self.issue(key);
        }
        self.reqs[key].active = true;
        if self.devices[v].al.begin(at, Work::AppActive(key)).is_none() {
            self.app_active(key);
        } else {
            reach!(self, RequestExtentWaits);
            self.pump_al(v);
            if self.quirk("al-transaction-not-awaited") && !self.must_wait(v) {
                self.reqs[key].awaits_extents = true;
                self.issue(key);
            }
        }
    }

    pub(super) fn app_active(&mut self, key: usize) {
        self.reqs[key].awaits_extents = false;
        match self.reqs[key].logged {
            false => self.issue(key),
            true => self.retire(),
        }
    }

    /// May a write go out now? Things may have changed while it waited for its range or extent.
    fn must_wait(&self, v: usize) -> bool {
        self.suspended
            || self.stood_still()
            || self.io_fails(v)
            || self.role != Role::Primary
            || self.needs_generation_now()
            || !self.data_accessible(v)
    }

    /// Writes locally and to the peers.
    fn issue(&mut self, key: usize) {
        let v = self.reqs[key].volume;
        if self.must_wait(v) {
            return self.put_back(key);
        }
        let Some(at) = self.reqs[key].at else { return };
        self.send_late_barrier();
        self.dagtag.0 += at.sectors();
        self.epoch_size += 1;
        let (dagtag, epoch) = (self.dagtag, self.epoch);
        let req = &mut self.reqs[key];
        req.dagtag = dagtag;
        req.epoch = epoch;
        req.logged = true;
        req.since = self.now;
        self.log.push_back(key);
        self.written_under_verify(v, at);
        if self.devices[v].has_disk() {
            self.written_since_day0(v, at);
            let lower = match &self.reqs[key].request {
                Request::Write { start, payload, fua } => Lower::Write {
                    start: *start,
                    payload: payload.clone(),
                    preflush: false,
                    fua: *fua,
                },
                _ => Lower::Discard(at),
            };
            self.reqs[key].local = Local::Pending;
            self.lower(v, lower, LowerUse::App(key));
        }
        for c in 0..self.conns.len() {
            self.replicate(key, c, at);
        }
        if self.epoch_size >= self.config.max_epoch_size {
            reach!(self, RequestEpochFull);
            self.close_epoch();
        }
        self.try_complete(key);
    }

    fn share(&self, c: usize, v: usize) -> Share {
        use ReplState::*;
        let conn = &self.conns[c];
        let pd = &conn.volumes[v];
        if !conn.connected() || !conn.config.diskful || pd.repl == Off {
            return Share::Nothing;
        }
        let may_set_in_sync =
            matches!(pd.repl, SyncSource | SyncTarget | PausedSyncS | PausedSyncT);
        let says = pd.state.map(|state| state.disk);
        match (pd.repl, pd.disk) {
            // It does not know yet that it is about to be a target: nothing may complete without
            // it.
            (WFBitMapS | StartingSyncS, _) if says == Some(DiskState::UpToDate) => {
                Share::Data { may_set_in_sync }
            }
            (WFBitMapS | Ahead, _) if self.quirk("no-notice-in-wfbitmaps") => Share::Nothing,
            (WFBitMapS | StartingSyncS | Ahead, _) => Share::Notice,
            (PausedSyncS, _) if self.quirk("no-notice-to-outdated-target") => Share::Nothing,
            (_, DiskState::Outdated) => Share::Notice,
            (_, disk) if disk >= DiskState::Inconsistent && disk != DiskState::DUnknown => {
                Share::Data { may_set_in_sync }
            }
            _ => Share::Nothing,
        }
    }

    fn replicate(&mut self, key: usize, c: usize, at: Blocks) {
        let v = self.reqs[key].volume;
        let (volume, node) = (VolumeNumber(v as u16), self.conns[c].node);
        let after = self.reqs[key].dagtag;
        match self.share(c, v) {
            Share::Data { may_set_in_sync } => {
                // What this peer was not sent counts in the stream all the same.
                self.advance_dagtag(c, Dagtag(after.0 - at.sectors()));
                self.conns[c].sent_dagtag = after;
                let id = BlockId(key as u64);
                let packet = match &self.reqs[key].request {
                    Request::Write { payload, fua, .. } => Packet::Data {
                        volume,
                        at,
                        id,
                        payload: payload.clone(),
                        may_set_in_sync,
                        fua: *fua,
                    },
                    _ => Packet::Trim { volume, at, id, may_set_in_sync },
                };
                self.reqs[key].pending.insert(node);
                self.reqs[key].sent.insert(node);
                self.conns[c].sent_in_epoch += 1;
                self.send(c, packet);
            }
            Share::Notice => {
                reach!(self, RequestNotice);
                self.set_out_of_sync(v, node, at);
                self.send(c, Packet::OutOfSync { volume, at });
                self.advance_dagtag(c, after);
            }
            Share::Nothing => {
                if self.conns[c].config.diskful {
                    reach!(self, RequestNothing);
                }
                self.set_out_of_sync(v, node, at);
                self.advance_dagtag(c, after);
            }
        }
    }

    /// P_DAGTAG, unless the peer knows the position already.
    fn advance_dagtag(&mut self, c: usize, dagtag: Dagtag) {
        let conn = &mut self.conns[c];
        if conn.connected() && conn.config.diskful && conn.sent_dagtag != dagtag {
            conn.sent_dagtag = dagtag;
            self.send(c, Packet::Dagtag(dagtag));
        }
    }

    /// Sets the bits towards one node, if there is a slot for it.
    pub(super) fn set_out_of_sync(&mut self, v: usize, node: NodeId, at: Blocks) {
        let device = &mut self.devices[v];
        if !device.resynced.is_empty() {
            let from = at.start.saturating_sub(super::resync::MAX_THIN_BLOCKS);
            let hit = device.resynced.range(from..at.end()).filter(|(_, hit)| hit.0.overlaps(at));
            let hit: Vec<u64> = hit.map(|(start, _)| *start).collect();
            hit.iter().for_each(|start| {
                device.resynced.remove(start);
            });
        }
        if let Some(slot) = device.slot(node)
            && device.bitmaps[slot].set(at) > 0
        {
            device.bm_dirty.extend(device.layout.bitmap_pages(at.start, at.end() - 1));
            self.on_conn(node, |r, c| r.conns[c].volumes[v].agreed = false);
        }
        if let Some(c) = self.conn_of(node) {
            self.resync_reqs.iter_mut().for_each(|(_, req)| req.dirty(c, v, at));
        }
    }

    /// Clears the bits towards one node.
    pub(super) fn clear_out_of_sync(&mut self, v: usize, node: NodeId, at: Blocks) {
        let device = &mut self.devices[v];
        if let Some(slot) = device.slot(node)
            && device.bitmaps[slot].clear(at) > 0
        {
            device.bm_dirty.extend(device.layout.bitmap_pages(at.start, at.end() - 1));
        }
    }

    fn flush(&mut self, key: usize) {
        self.close_epoch();
        let v = self.reqs[key].volume;
        if self.devices[v].has_disk() {
            self.reqs[key].local = Local::Pending;
            self.lower(v, Lower::Flush, LowerUse::App(key));
        } else {
            // Without a disk there is nothing to wait for: an empty flush only closes the epoch.
            self.finish_simple(key, Ok(None), NodeMask::NONE);
        }
    }

    /// Takes a request that cannot go on back to the held ones, where it fails or waits.
    pub(super) fn put_back(&mut self, key: usize) {
        if self.reqs[key].logged {
            return self.write_again(key);
        }
        let mut req = self.reqs.remove(key);
        self.release_app(key, &mut req);
        let v = req.volume;
        let is_read = matches!(req.request, Request::Read(_));
        let hopeless = is_read && (self.role != Role::Primary || !req.done.is_empty());
        if hopeless && !self.suspended {
            reach!(self, RequestReadHopeless);
            return self.complete(VolumeNumber(v as u16), req.id, Err(IoError), NodeMask::NONE);
        }
        reach!(self, RequestPutBack);
        self.held.insert(req.ticket, (v, req.id, req.request));
        self.changed = true;
    }

    /// Takes the contents of a write that went out back to the held ones. Its place in the log
    /// stays, as if it were completed: the copies that have it wait to be told, by a peer ack in
    /// its turn, which others do not. The next peer ack would speak for it otherwise.
    fn write_again(&mut self, key: usize) {
        reach!(self, RequestWrittenAgain);
        let req = &mut self.reqs[key];
        let (v, id, epoch, ticket) = (req.volume, req.id, req.epoch, req.ticket);
        req.completed = true;
        let lock = req.lock.take();
        let request = std::mem::replace(&mut req.request, Request::Flush);
        self.devices[v].in_flight -= 1;
        self.held.insert(ticket, (v, id, request));
        self.changed = true;
        self.let_go(v, epoch, lock);
        self.retire();
    }

    /// A write has its answer: its epoch ends, if it is the current one, and its range is free.
    fn let_go(&mut self, v: usize, epoch: u32, lock: Option<super::locks::LockId>) {
        if epoch == self.epoch && !self.quirk("barrier-waits-for-next-write") {
            self.close_epoch();
        }
        if let Some(lock) = lock {
            let ready = self.devices[v].locks.release(lock);
            self.works(ready);
        }
    }

    fn release_app(&mut self, key: usize, req: &mut AppRequest) {
        let v = req.volume;
        let is_write = matches!(req.request, Request::Write { .. } | Request::Discard(_));
        self.devices[v].in_flight -= usize::from(is_write && !req.completed);
        if req.logged {
            self.log.retain(|k| *k != key);
        }
        if let (true, Some(at)) = (req.active, req.at) {
            self.release_extents(v, at);
        }
        if let Some(lock) = req.lock.take() {
            let ready = self.devices[v].locks.release(lock);
            self.works(ready);
        }
    }

    pub(super) fn app_lower_done(&mut self, key: usize, result: LowerResult) {
        let v = self.reqs[key].volume;
        let me = self.me();
        match (&self.reqs[key].request, result) {
            (Request::Read(_), Ok(pages)) => self.finish_simple(key, Ok(pages), NodeMask::NONE),
            (Request::Read(_), Err(_)) => {
                if self.quirk("read-error-clobbered") {
                    let count = self.reqs[key].at.map_or(0, |at| at.count);
                    let zeroes = crate::page::zeroes(count);
                    return self.finish_simple(key, Ok(Some(zeroes)), NodeMask::NONE);
                }
                if let Some(at) = self.reqs[key].at {
                    self.lost_blocks(v, at);
                }
                self.data_failed(v);
                self.retry_read(key, me, false);
            }
            (Request::Flush, Ok(_)) => self.finish_simple(key, Ok(None), me.mask()),
            (Request::Flush, Err(_)) => {
                self.data_failed(v);
                // What is left needs no more than without a disk from the beginning.
                let result = if self.data_accessible(v) { Ok(None) } else { Err(IoError) };
                self.finish_simple(key, result, NodeMask::NONE);
            }
            (_, Ok(_)) => {
                self.reqs[key].local = Local::Ok;
                self.reqs[key].ok.insert(me);
                if self.devices[v].disk == DiskState::UpToDate {
                    self.reqs[key].kept.insert(me);
                }
                self.try_complete(key);
            }
            (_, Err(_)) => {
                self.reqs[key].local = Local::Failed;
                if let Some(at) = self.reqs[key].at {
                    self.lost_blocks(v, at);
                }
                self.data_failed(v);
                self.try_complete(key);
            }
        }
    }

    /// Ends a read or a flush.
    pub(super) fn finish_simple(&mut self, key: usize, result: LowerResult, copies: NodeMask) {
        let mut req = self.reqs.remove(key);
        self.release_app(key, &mut req);
        self.complete(VolumeNumber(req.volume as u16), req.id, result, copies);
    }

    /// Completes a write to the application if nothing is awaited any more.
    pub(super) fn try_complete(&mut self, key: usize) {
        let req = &self.reqs[key];
        let early = self.quirk("ack-before-peer") && req.local != Local::Pending;
        let waits = req.local == Local::Pending || (!req.pending.is_empty() && !early);
        if waits || !req.logged {
            return;
        }
        if !req.completed {
            let v = req.volume;
            let (id, ok, epoch) = (req.id, req.ok, req.epoch);
            let kept = !req.kept.is_empty();
            let failed = !kept || self.io_fails(v);
            if !kept && !self.io_fails(v) && self.role == Role::Primary {
                // Even while completions wait: what would end that may be a resync of this range.
                return self.put_back(key);
            }
            if self.completions_wait() && !self.io_fails(v) {
                reach!(self, RequestCompletionWaits);
                return;
            }
            let result = if failed { Err(IoError) } else { Ok(None) };
            self.reqs[key].completed = true;
            self.devices[v].in_flight -= 1;
            let lock = self.reqs[key].lock.take();
            self.complete(VolumeNumber(v as u16), id, result, ok);
            self.let_go(v, epoch, lock);
        }
        self.retire();
    }

    /// A copy is no longer UpToDate: what it acknowledged may be overwritten.
    pub(super) fn not_kept(&mut self, v: usize, node: NodeId) {
        for key in &self.log {
            let req = &mut self.reqs[*key];
            if req.volume == v {
                req.kept.remove(node);
            }
        }
    }

    /// Completions wait while quorum or data is lost (an administrator's `suspend-io` waits for
    /// them), and while a node that has not got them could still be
    /// trusted.
    fn completions_wait(&self) -> bool {
        // A peer that has not heard of the commit yet still holds itself for what it was before.
        let unheard = self.conns.iter().any(|conn| conn.connected() && !conn.confirmed);
        let lost = self.access_lost;
        self.role == Role::Primary && (lost || self.needs_generation_now() || unheard)
    }

    pub(super) fn complete(
        &mut self,
        volume: VolumeNumber,
        id: RequestId,
        result: LowerResult,
        copies: NodeMask,
    ) {
        self.out.push(Action::Complete { volume, id, result, copies });
    }

    /// Tries every uncompleted write of the log again, after something stopped to hold them.
    pub(super) fn release_completions(&mut self) {
        let keys: Vec<usize> =
            self.log.iter().copied().filter(|key| !self.reqs[*key].completed).collect();
        for key in keys {
            if self.reqs.contains(key) && !self.reqs[key].completed {
                self.try_complete(key);
            }
        }
    }

    /// Writes that every peer has confirmed leave the log in order.
    pub(super) fn retire(&mut self) {
        while let Some(&key) = self.log.front() {
            let req = &self.reqs[key];
            let waits = NodeMask(req.sent.0 & !req.done.0);
            let early = req.awaits_extents;
            if !req.completed || !waits.is_empty() || req.local == Local::Pending || early {
                break;
            }
            self.log.pop_front();
            let req = self.reqs.remove(key);
            if let (true, Some(at)) = (req.active, req.at) {
                self.release_extents(req.volume, at);
            }
            self.note_peer_ack(&req);
        }
        self.changed |= self.log.is_empty();
        self.answer_flushes();
    }

    fn note_peer_ack(&mut self, req: &AppRequest) {
        if self.peer_ack.mask.is_some_and(|mask| mask != req.ok) {
            self.send_peer_ack();
        }
        self.peer_ack.mask = Some(req.ok);
        self.peer_ack.dagtag = req.dagtag;
        self.peer_ack.sectors += req.at.map_or(0, Blocks::sectors);
        if self.peer_ack.sectors >= self.config.peer_ack_window {
            self.send_peer_ack();
        } else {
            self.peer_ack.deadline = Some(self.now.plus_ms(self.config.peer_ack_delay_ms));
        }
    }

    /// P_PEER_ACK to every connected peer.
    pub(super) fn send_peer_ack(&mut self) {
        let Some(mask) = self.peer_ack.mask.take() else { return };
        let dagtag = self.peer_ack.dagtag;
        self.peer_ack.sectors = 0;
        self.peer_ack.deadline = None;
        for c in 0..self.conns.len() {
            if self.conns[c].connected() && self.conns[c].config.diskful {
                self.send(c, Packet::PeerAck { mask, dagtag });
            }
        }
    }

    /// Closes the current epoch, if it holds a write: P_BARRIER to whom any was sent.
    pub(super) fn close_epoch(&mut self) {
        if self.epoch_size == 0 {
            return;
        }
        let nr = self.epoch;
        self.epoch = self.epoch.wrapping_add(1);
        self.epoch_size = 0;
        for c in 0..self.conns.len() {
            let sent = std::mem::take(&mut self.conns[c].sent_in_epoch);
            if sent > 0 {
                self.conns[c].barriers.push_back((nr, sent));
                self.send(c, Packet::Barrier { nr });
            }
        }
    }

    pub(super) fn write_ack(&mut self, c: usize, id: BlockId, in_sync: bool, ok: bool) {
        let node = self.conns[c].node;
        let key = id.0 as usize;
        let known = self.reqs.get(key).is_some_and(|req| req.pending.has(node) && req.logged);
        if !known {
            // An ack for a write that is settled already (a late one after the connection was
            // lost).
            return;
        }
        let (v, at) = (self.reqs[key].volume, self.reqs[key].at);
        self.reqs[key].pending.remove(node);
        if ok {
            self.reqs[key].ok.insert(node);
            if self.conns[c].volumes[v].disk == DiskState::UpToDate {
                self.reqs[key].kept.insert(node);
            }
        }
        if let Some(at) = at {
            match (ok, in_sync) {
                (true, true) => {
                    self.clear_out_of_sync(v, node, at);
                    self.source_progress(c, v);
                }
                (false, _) => {
                    reach!(self, RequestNegAck);
                    self.set_out_of_sync(v, node, at);
                }
                _ => {}
            }
        }
        self.try_complete(key);
        self.answer_flushes();
    }

    pub(super) fn barrier_ack(&mut self, c: usize, nr: u32, set_size: u32) {
        let node = self.conns[c].node;
        if self.conns[c].barriers.pop_front() != Some((nr, set_size)) {
            self.notice(Notice::Note(format!("BAD! BarrierAck #{nr} with {set_size} writes")));
            return self.drop_link(c, crate::state::ConnState::ProtocolError);
        }
        for i in 0..self.log.len() {
            let req = &mut self.reqs[self.log[i]];
            if req.epoch == nr && req.sent.has(node) {
                req.done.insert(node);
            }
        }
        self.retire();
    }

    /// What a lost connection does to the writes that went over it: nothing that was not confirmed
    /// by a barrier counts as being on the peer.
    pub(super) fn forget_sent(&mut self, c: usize) {
        let node = self.conns[c].node;
        if !self.quirk("stale-barrier-after-reconnect") {
            self.conns[c].sent_in_epoch = 0;
            self.conns[c].barriers.clear();
        }
        let stuck = self.quirk("transfer-log-entry-stuck");
        let keys: Vec<usize> = self.log.iter().copied().collect();
        for key in keys {
            let Some(req) = self.reqs.get_mut(key) else { continue };
            if !req.sent.has(node) || req.done.has(node) {
                continue;
            }
            reach!(self, RequestForgotten);
            req.done.insert(node);
            let was_pending = req.pending.has(node);
            req.pending.remove(node);
            let (v, at) = (req.volume, req.at);
            let acked = req.ok.has(node);
            req.ok.remove(node);
            req.kept.remove(node);
            self.conns[c].volumes[v].unflushed |= acked;
            if let Some(at) = at {
                self.set_out_of_sync(v, node, at);
            }
            if stuck && was_pending {
                break;
            }
        }
        let reads: Vec<usize> = self
            .reqs
            .iter()
            .filter(|(_, r)| r.pending.has(node) && matches!(r.request, Request::Read(_)))
            .map(|(key, _)| key)
            .collect();
        for key in reads {
            if self.quirk("remote-read-stuck") {
                break;
            }
            self.retry_read(key, node, false);
        }
        // Completed writes that only waited for this peer's barrier acks: nobody else ends them.
        self.retire();
        self.answer_flushes();
    }

    /// Is there a write that the peer was sent and lost, and that another copy has, or may be about
    /// to get? Such a write will be completed without it.
    pub(super) fn lacks_writes(&self, c: usize, v: usize) -> bool {
        let node = self.conns[c].node;
        self.log.iter().map(|key| &self.reqs[*key]).any(|req| {
            let lost = req.sent.has(node) && req.done.has(node) && !req.ok.has(node);
            let elsewhere = !req.kept.or(req.pending).is_empty();
            req.volume == v && lost && !req.completed && elsewhere
        })
    }

    /// Fails everything that is on hold or in flight: the openers are gone or are told so.
    pub(super) fn fail_all(&mut self) {
        for (v, id, _) in std::mem::take(&mut self.held).into_values() {
            self.complete(VolumeNumber(v as u16), id, Err(IoError), NodeMask::NONE);
        }
        let keys: Vec<usize> = self.log.iter().copied().collect();
        for key in keys {
            if self.reqs.contains(key) && !self.reqs[key].completed {
                self.try_complete(key);
            }
        }
    }
}

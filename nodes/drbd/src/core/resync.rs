//! Resync: the target walks its bits and asks for blocks, the source reads and answers; at the end
//! the target takes over the source's generation.

use super::Resource;
use super::clamp::best_own_disk;
use super::event::{Handler, Lower, LowerResult, Notice};
use super::flush::Flush;
use super::handshake::Bits;
use super::locks::{Holder, LockId};
use super::pace::{Marks, Pace, TICK_MS};
use super::parts::{Conn, LowerUse, Work};
use super::points::reach;
use super::twopc::Purpose;
use crate::ids::{Blocks, Dagtag, NodeId, NodeMask, Time, Uuid, VolumeNumber};
use crate::meta::{MdFlags, PeerFlags};
use crate::packet::{BlockId, Packet, PeerState, UuidFlags};
use crate::page::{Digest, Payload};
use crate::state::{DiskState, ReplState, Role};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// Blocks in one request at most: 128 KiB.
const MAX_BLOCKS: u64 = 32;
/// Blocks in one thin request at most: 1 MiB.
pub(super) const MAX_THIN_BLOCKS: u64 = 256;

/// State of a resync between this node and one peer, in either direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Resync {
    /// Target: when it asks for its next share. Source: when it serves a request that waits.
    pub tick: Option<Time>,
    /// Target: bits before it were asked for.
    pub cursor: u64,
    /// Target: requests that are not written yet.
    open: u32,
    pub(super) pace: Pace,
    pub(super) marks: Marks,
    /// Source: requests that wait for other I/O.
    pub(super) slowed: VecDeque<usize>,
    /// Target: the Primary was asked to let no write be missed.
    pub(super) flush: Option<Flush>,
    pub(super) ending: bool,
    /// Target: only what has another digest is copied.
    pub(super) csums: bool,
    /// Source: the target says that it is done.
    peer_done: bool,
    /// Source: blocks that the target was told it lacks, and has not asked for since. It may not
    /// have heard of them.
    pub(super) unheard: BTreeSet<u64>,
    /// Source that is about to begin: the target has said that it is one.
    pub(super) peer_began: bool,
}

/// One request, on the target or on the source.
#[derive(Clone, Debug)]
pub(super) struct ResyncRequest {
    pub(super) conn: usize,
    pub(super) volume: usize,
    pub(super) at: Blocks,
    is_source: bool,
    /// The target's cookie.
    id: BlockId,
    lock: Option<LockId>,
    payload: Option<Payload>,
    /// At the lower device, or waiting for the activity log.
    pub(super) busy: bool,
    /// It holds extents of the activity log.
    active: bool,
    /// Given up; goes when the lower device is done.
    pub(super) dead: bool,
    /// A write in the range came after the content was asked for, and one side lacks it: the bits
    /// stay, whatever becomes of the request.
    dirtied: bool,
    /// Source: not before this position of a Primary's stream is received.
    after: Option<(usize, Dagtag)>,
    /// Source: it waits in `Resync::slowed`.
    pub(super) slowed: bool,
    /// What the target has, if digests are compared.
    pub(super) digest: Option<Digest>,
    /// Target: the source has the same.
    pub(super) same: bool,
    /// Of just the size that `rs-discard-granularity` asks for.
    pub(super) thin: bool,
    /// Target: the source has nothing there.
    pub(super) deallocated: bool,
}

impl ResyncRequest {
    /// A write that `conn` lacks, or sent alone: what is on its way there, or from there, is old.
    pub fn dirty(&mut self, conn: usize, v: usize, at: Blocks) {
        self.dirtied |= self.conn == conn && self.volume == v && self.at.overlaps(at);
    }

    /// The disk is gone, and its activity log with it.
    pub fn lost_disk(&mut self, v: usize) {
        self.active &= self.volume != v;
    }
}

impl Resource {
    pub(super) fn start_source(&mut self, c: usize, v: usize, bits: Bits) {
        let Some(slot) = self.mark_source(c, v, bits) else { return };
        reach!(self, ResyncSource);
        self.set_repl(c, v, ReplState::WFBitMapS);
        let words = self.devices[v].bitmaps[slot].words();
        self.send(c, Packet::Bitmap { volume: VolumeNumber(v as u16), words });
    }

    /// The bits that the resync starts from, in the slot for the target; `None` without one.
    pub(super) fn mark_source(&mut self, c: usize, v: usize, bits: Bits) -> Option<usize> {
        let node = self.conns[c].node;
        let theirs = self.conns[c].volumes[v].uuids.as_ref();
        let peer_current = theirs.map_or(Uuid::NONE, |u| u.current);
        // The target of another resync presents what it is about to be, not what it is.
        let borrowed = theirs.is_some_and(|u| u.flags.has(UuidFlags::SYNC_TARGET));
        let copied = match bits {
            Bits::CopyOf(other) => self.slot_listed_for(v, other),
            _ => None,
        };
        // The generation that the target really has.
        let held = theirs.map_or(Uuid::NONE, |u| u.held);
        let device = &mut self.devices[v];
        let slot = device.slot(node)?;
        let consistent = device.disk == DiskState::Consistent;
        if consistent && self.conns[c].role == Role::Primary {
            // The Primary itself wants this data: nobody has newer.
            self.set_disk(v, DiskState::UpToDate);
        }
        let device = &mut self.devices[v];
        match bits {
            Bits::Use => {}
            Bits::All => device.bitmaps[slot].fill(),
            Bits::CopyOf(_) => match copied {
                Some(from) => {
                    let words = device.bitmaps[from].words();
                    device.bitmaps[slot].merge(&words);
                }
                None => device.bitmaps[slot].fill(),
            },
        }
        let own = device.md.peer(node).bitmap_uuid;
        if bits != Bits::Use && borrowed && !held.is_fresh() {
            device.md.set_bitmap_uuid(node, held);
        } else if bits != Bits::Use && !peer_current.is_fresh() && (!borrowed || own.is_none()) {
            device.md.set_bitmap_uuid(node, peer_current);
        }
        self.doubt_unacked(v, node);
        let device = &mut self.devices[v];
        device.write_set_bits(slot);
        self.touch_md(v);
        self.write_bitmap(v);
        // What a target of an earlier resync asked for it wants no more.
        self.abort_resync(c, v);
        Some(slot)
    }

    pub(super) fn start_target(&mut self, c: usize, v: usize, bits: Bits) {
        self.mark_target(c, v, bits);
        reach!(self, ResyncTarget);
        self.set_repl(c, v, ReplState::WFBitMapT);
    }

    /// The bits that the resync starts from; the copy is no longer good.
    pub(super) fn mark_target(&mut self, c: usize, v: usize, bits: Bits) {
        let node = self.conns[c].node;
        if let (Bits::All, Some(slot)) = (bits, self.devices[v].slot(node)) {
            self.devices[v].bitmaps[slot].fill();
            self.devices[v].md.peer_mut(node).flags.put(PeerFlags::FULL_SYNC, true);
            self.touch_md(v);
        }
        let negotiates = self.devices[v].disk == DiskState::Negotiating;
        if self.devices[v].disk > best_own_disk(ReplState::WFBitMapT) || negotiates {
            let disk = match self.devices[v].md.flags.has(MdFlags::CONSISTENT) {
                true => DiskState::Outdated,
                false => DiskState::Inconsistent,
            };
            self.set_disk(v, disk);
        }
        self.conns[c].volumes[v].resync = Resync::default();
    }

    pub(super) fn receive_bitmap(&mut self, c: usize, v: usize, words: &[u64]) {
        let node = self.conns[c].node;
        if !matches!(self.conns[c].volumes[v].repl, ReplState::WFBitMapS | ReplState::WFBitMapT) {
            // The two sides disagree about what goes on between them: they start again.
            return self.retry_link(c);
        }
        let volume = VolumeNumber(v as u16);
        let device = &mut self.devices[v];
        let Some(slot) = device.slot(node) else { return };
        device.bitmaps[slot].merge(words);
        device.write_set_bits(slot);
        match self.conns[c].volumes[v].repl {
            ReplState::WFBitMapS => self.call(Handler::BeforeResyncSource, Some(c), Some(v)),
            ReplState::WFBitMapT => {
                self.doubt_unacked(v, node);
                let words = self.devices[v].bitmaps[slot].words();
                self.send(c, Packet::Bitmap { volume, words });
                self.call(Handler::BeforeResyncTarget, Some(c), Some(v));
                self.changed = true;
            }
            _ => {}
        }
    }

    /// Writes of third nodes that no peer ack covers yet may be missing at `node`. It is told once
    /// of each: as long as the acks do not come, a target that asks before it ends would start over
    /// again and again.
    pub(super) fn doubt_unacked(&mut self, v: usize, node: NodeId) {
        let unacked: Vec<usize> = self.unacked_beside(v, node).collect();
        for key in unacked {
            let req = &mut self.peer_reqs[key];
            if !req.doubted.has(node) {
                reach!(self, PeerDoubted);
                req.doubted.insert(node);
                let at = req.at;
                self.missed(v, node, at);
            }
        }
    }

    pub(super) fn has_unacked(&self, v: usize, node: NodeId) -> bool {
        self.unacked_beside(v, node).next().is_some()
    }

    fn unacked_beside(&self, v: usize, node: NodeId) -> impl Iterator<Item = usize> {
        let others = self.conns.iter().filter(move |conn| conn.node != node);
        let unacked = others.flat_map(|conn| conn.unacked.iter().copied());
        unacked.filter(move |key| self.peer_reqs[*key].volume == v)
    }

    pub(super) fn progress_resyncs(&mut self) {
        self.tell_stable();
        for v in 0..self.devices.len() {
            self.announce_rest(v);
            self.try_to_get_resynced(v);
            self.settle_pauses(v);
            for c in 0..self.conns.len() {
                self.resync_progress(c, v);
            }
        }
    }

    /// The bitmaps are exchanged: the resync begins, unless another is active or it is to stand
    /// still.
    pub(super) fn start_or_pause(&mut self, c: usize, v: usize) {
        let active = |conn: &Conn| conn.volumes[v].repl == ReplState::SyncTarget;
        self.set_disk(v, best_own_disk(ReplState::SyncTarget));
        // What follows is written to the superblock at once.
        self.update_md_flags();
        // With the bug a resync is paused when it begins, and for ever.
        let latched = self.quirk("paused-resync-never-resumes");
        match latched || self.stands_still(c, v) || self.conns.iter().any(active) {
            true => self.set_repl(c, v, ReplState::PausedSyncT),
            false => self.activate_target(c, v),
        }
    }

    pub(super) fn activate_target(&mut self, c: usize, v: usize) {
        if self.conns[c].volumes[v].resync.cursor > 0 {
            reach!(self, ResyncResumed);
        }
        self.set_repl(c, v, ReplState::SyncTarget);
        self.md_sync(v, Work::SyncTarget(c, v));
    }

    /// The disk is marked: the first requests may go out.
    pub(super) fn sync_target_durable(&mut self, c: usize, v: usize) {
        if self.conns[c].volumes[v].repl == ReplState::SyncTarget {
            self.conns[c].volumes[v].resync.cursor = 0;
            self.conns[c].volumes[v].resync.pace.restart();
            self.conns[c].volumes[v].resync.csums = self.compares_digests(v);
            self.resync_tick(c, v);
        }
    }

    /// Asks for as much as the pace allows; ends when nothing is left.
    pub(super) fn resync_progress(&mut self, c: usize, v: usize) {
        let pd = &self.conns[c].volumes[v];
        if pd.repl != ReplState::SyncTarget || pd.resync.tick.is_none() || pd.resync.ending {
            return;
        }
        let node = self.conns[c].node;
        if self.conns.iter().any(|conn| conn.is_primary() && !conn.placed) {
            reach!(self, ResyncUnplaced);
            // What the source has must not be older than what came from there.
            return;
        }
        loop {
            let resync = &self.conns[c].volumes[v].resync;
            let (cursor, open, budget) = (resync.cursor, resync.open, resync.pace.budget());
            let Some(slot) = self.devices[v].slot(node) else { return };
            let bitmap = &self.devices[v].bitmaps[slot];
            let Some(start) = bitmap.next_set(cursor) else {
                if open > 0 {
                    return;
                }
                if bitmap.weight() == 0 {
                    return self.resync_flush_then_end(c, v);
                }
                self.conns[c].volumes[v].resync.flush = None;
                self.conns[c].volumes[v].resync.cursor = 0;
                if budget == 0 {
                    return;
                }
                continue;
            };
            if budget == 0 {
                return;
            }
            if let Some(at) = self.thin_run(v, slot, start) {
                self.ask(c, v, at, true);
                continue;
            }
            let bitmap = &self.devices[v].bitmaps[slot];
            let stop = ((start / MAX_BLOCKS + 1) * MAX_BLOCKS).min(start + budget);
            let end = (start..stop).find(|block| !bitmap.is_set(*block)).unwrap_or(stop);
            self.ask(c, v, Blocks::new(start, (end - start) as u32), false);
        }
    }

    fn ask(&mut self, c: usize, v: usize, at: Blocks, thin: bool) {
        let resync = &mut self.conns[c].volumes[v].resync;
        resync.cursor = at.end();
        resync.flush = None;
        resync.open += 1;
        resync.pace.asked(at);
        let key = self.new_request(c, v, at, false, BlockId(0));
        self.resync_reqs[key].thin = thin;
        // Never the same cookie twice: an ack on the control stream may come after the next request
        // on the data stream.
        self.serial += 1;
        self.resync_reqs[key].id = BlockId(self.serial << 32 | key as u64);
        let holder = Holder::Requested(self.conns[c].node);
        let lock = self.devices[v].locks.acquire(at, holder, |_| Work::Request(key));
        self.resync_reqs[key].lock = Some(lock.unwrap_or_else(|waiting| waiting));
        if lock.is_ok() {
            self.resync_request(key);
        }
    }

    fn new_request(
        &mut self,
        c: usize,
        v: usize,
        at: Blocks,
        is_source: bool,
        id: BlockId,
    ) -> usize {
        self.resync_reqs.insert(ResyncRequest {
            conn: c,
            volume: v,
            at,
            is_source,
            id,
            lock: None,
            payload: None,
            busy: false,
            active: false,
            dead: false,
            after: None,
            slowed: false,
            digest: None,
            same: false,
            thin: false,
            deallocated: false,
            dirtied: false,
        })
    }

    pub(super) fn resync_request(&mut self, key: usize) {
        let req = &self.resync_reqs[key];
        let (c, v, at, id) = (req.conn, req.volume, req.at, req.id);
        let source = self.conns[c].node;
        let primary = self.conns.iter().find(|conn| conn.is_primary() && conn.node != source);
        let dagtag = primary.map(|conn| (conn.node, conn.last_dagtag));
        let (volume, digest, thin) = (VolumeNumber(v as u16), req.digest, req.thin);
        if digest.is_none() && !thin && self.conns[c].volumes[v].resync.csums {
            return self.read_own(key);
        }
        self.send(c, Packet::RsDataRequest { volume, at, id, dagtag, digest, thin });
    }

    pub(super) fn receive_resync_request(
        &mut self,
        (c, v): (usize, usize),
        at: Blocks,
        id: BlockId,
        dagtag: Option<(NodeId, Dagtag)>,
        (digest, thin): (Option<Digest>, bool),
    ) {
        let source = self.conns[c].volumes[v].repl.is_sync_source();
        if !source || !self.devices[v].has_disk() {
            reach!(self, ResyncNegReply);
            return self.send(c, Packet::NegRsDReply { id });
        }
        let after = dagtag.filter(|(node, _)| *node != self.me());
        let after = match after.map(|(node, dagtag)| (self.conn_of(node), dagtag)) {
            Some((Some(p), dagtag)) if self.conns[p].connected() => Some((p, dagtag)),
            Some(_) => return self.send(c, Packet::NegRsDReply { id }),
            None => None,
        };
        let unheard = &mut self.conns[c].volumes[v].resync.unheard;
        at.iter().for_each(|block| _ = unheard.remove(&block));
        let key = self.new_request(c, v, at, true, id);
        self.resync_reqs[key].after = after;
        self.resync_reqs[key].digest = digest;
        self.resync_reqs[key].thin = thin;
        self.pace_request(key, c, v);
    }

    /// Starts to serve a request once the Primary's writes that the target knows have arrived.
    pub(super) fn serve(&mut self, key: usize) {
        let req = &self.resync_reqs[key];
        let behind = |(p, dagtag): (usize, Dagtag)| {
            !self.conns[p].placed || self.conns[p].last_dagtag < dagtag
        };
        if req.after.is_some_and(behind) {
            reach!(self, ResyncBehindStream);
            return;
        }
        let (c, v, at) = (req.conn, req.volume, req.at);
        self.resync_reqs[key].after = None;
        let holder = Holder::ResyncRead(self.conns[c].node);
        let lock = self.devices[v].locks.acquire(at, holder, |_| Work::ResyncRead(key));
        self.resync_reqs[key].lock = Some(lock.unwrap_or_else(|waiting| waiting));
        if lock.is_ok() {
            self.resync_read(key);
        }
    }

    /// More of a Primary's stream arrived (or it is lost): requests that waited for it.
    pub(super) fn serve_waiting(&mut self, p: usize) {
        let waits = |req: &ResyncRequest| {
            req.after.is_some_and(|(conn, _)| conn == p) && !req.dead && !req.slowed
        };
        let keys: Vec<usize> =
            self.resync_reqs.iter().filter(|(_, req)| waits(req)).map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| self.serve_or_refuse(key));
        self.verify_waiting(p);
    }

    /// Refuses a request whose Primary is gone.
    pub(super) fn serve_or_refuse(&mut self, key: usize) {
        let gone = self.resync_reqs[key].after.is_some_and(|(p, _)| !self.conns[p].connected());
        if !gone {
            return self.serve(key);
        }
        let (c, id) = (self.resync_reqs[key].conn, self.resync_reqs[key].id);
        self.send(c, Packet::NegRsDReply { id });
        self.finish_request(key);
    }

    pub(super) fn resync_read(&mut self, key: usize) {
        let (v, at) = (self.resync_reqs[key].volume, self.resync_reqs[key].at);
        self.resync_reqs[key].busy = true;
        self.lower(v, Lower::Read(at), LowerUse::ResyncRead(key));
    }

    pub(super) fn resync_read_done(&mut self, key: usize, result: LowerResult) {
        self.resync_reqs[key].busy = false;
        let (c, v, id) =
            (self.resync_reqs[key].conn, self.resync_reqs[key].volume, self.resync_reqs[key].id);
        if self.resync_reqs[key].dead {
            return self.forget_request(key);
        }
        match result {
            Ok(Some(payload)) if self.is_known_there(key, &payload) => {
                self.send(c, Packet::RsIsInSync { id });
            }
            Ok(Some(payload)) if self.is_deallocated(key, &payload) => {
                self.send(c, Packet::RsDeallocated { id });
            }
            Ok(Some(payload)) => self.send(c, Packet::RsDataReply { id, payload }),
            _ => {
                self.send(c, Packet::NegRsDReply { id });
                let at = self.resync_reqs[key].at;
                self.finish_request(key);
                self.lost_blocks(v, at);
                self.data_failed(v);
            }
        }
    }

    /// The source answered.
    pub(super) fn resync_reply(&mut self, c: usize, id: BlockId, payload: Option<Payload>) {
        let Some(key) = self.request_of_answer(c, id) else { return };
        let (v, at) = (self.resync_reqs[key].volume, self.resync_reqs[key].at);
        let count = at.count as usize;
        self.conns[c].volumes[v].resync.pace.answered(at);
        let Some(payload) = payload.filter(|pages| pages.len() == count) else {
            // It is asked again, though not at once.
            self.conns[c].volumes[v].resync.pace.pause();
            return self.end_target_request(c, v, key);
        };
        self.resync_reqs[key].payload = Some(payload);
        self.resync_answered(key);
    }

    /// The request of this node that a source answers.
    pub(super) fn request_of_answer(&self, c: usize, id: BlockId) -> Option<usize> {
        let key = (id.0 & 0xffff_ffff) as usize;
        let req = self.resync_reqs.get(key)?;
        let open = !req.is_source && !req.dead && !req.busy && req.payload.is_none();
        let answered = req.same || req.deallocated;
        (req.conn == c && req.id == id && open && !answered).then_some(key)
    }

    /// The answer is taken over once no write in the range is under way.
    pub(super) fn resync_answered(&mut self, key: usize) {
        let v = self.resync_reqs[key].volume;
        let Some(lock) = self.resync_reqs[key].lock else { return };
        if self.devices[v].locks.convert(lock, Holder::ResyncWrite, Work::ResyncWrite(key)) {
            self.resync_write(key);
        }
    }

    /// The range is free. The source takes its bit back as soon as the data is written, but only a
    /// flush makes it durable; and bits towards third nodes are about to be set. As for any write,
    /// the extents have to be in the activity log first, or a crash would forget them.
    pub(super) fn resync_write(&mut self, key: usize) {
        let (v, at) = (self.resync_reqs[key].volume, self.resync_reqs[key].at);
        self.resync_reqs[key].active = true;
        self.resync_reqs[key].busy = true;
        if self.devices[v].al.begin(at, Work::ResyncActive(key)).is_none() {
            self.resync_active(key);
        } else {
            self.pump_al(v);
        }
    }

    pub(super) fn resync_active(&mut self, key: usize) {
        self.resync_reqs[key].busy = false;
        if self.resync_reqs[key].dead || !self.devices[self.resync_reqs[key].volume].has_disk() {
            return self.forget_request(key);
        }
        let (v, at) = (self.resync_reqs[key].volume, self.resync_reqs[key].at);
        self.written_since_day0(v, at);
        self.resync_submit(key);
    }

    fn resync_submit(&mut self, key: usize) {
        if self.resync_reqs[key].same {
            return self.resync_write_done(key, Ok(None));
        }
        let req = &self.resync_reqs[key];
        let (c, v, at) = (req.conn, req.volume, req.at);
        let write = match req.payload.clone() {
            Some(payload) => Lower::Write { start: at.start, payload, preflush: false, fua: false },
            None => Lower::Discard(at),
        };
        let source = self.conns[c].node;
        // The content becomes the source's: towards everybody else it may differ now.
        for (node, _) in self.slots_listed(v) {
            if node != source {
                self.set_out_of_sync(v, node, at);
                self.on_conn(node, |r, other| {
                    if r.conns[other].connected() && r.conns[other].volumes[v].repl.is_sync_source()
                    {
                        r.send(other, Packet::OutOfSync { volume: VolumeNumber(v as u16), at });
                    }
                });
            }
        }
        self.devices[v].resynced.insert(at.start, (at, source));
        self.written_under_verify(v, at);
        self.resync_reqs[key].busy = true;
        self.lower(v, write, LowerUse::ResyncWrite(key));
    }

    pub(super) fn resync_write_done(&mut self, key: usize, result: LowerResult) {
        self.resync_reqs[key].busy = false;
        if self.resync_reqs[key].dead {
            return self.forget_request(key);
        }
        let req = &self.resync_reqs[key];
        let (c, v, at, id) = (req.conn, req.volume, req.at, req.id);
        let node = self.conns[c].node;
        match result {
            Ok(_) => {
                match self.resync_reqs[key].dirtied {
                    false => self.clear_out_of_sync(v, node, at),
                    true => reach!(self, ResyncDirtied),
                }
                self.send(c, Packet::RsWriteAck { id });
                self.end_target_request(c, v, key);
            }
            Err(_) => {
                self.send(c, Packet::RsNegAck { id });
                self.end_target_request(c, v, key);
                self.lost_blocks(v, at);
                self.data_failed(v);
            }
        }
    }

    fn end_target_request(&mut self, c: usize, v: usize, key: usize) {
        let resync = &mut self.conns[c].volumes[v].resync;
        resync.open = resync.open.saturating_sub(1);
        self.finish_request(key);
        self.resync_progress(c, v);
    }

    /// Lets go of a request; what is at the lower device keeps its range until it is back.
    fn finish_request(&mut self, key: usize) {
        match self.resync_reqs[key].busy {
            true => self.resync_reqs[key].dead = true,
            false => self.forget_request(key),
        }
    }

    pub(super) fn forget_request(&mut self, key: usize) {
        let req = self.resync_reqs.remove(key);
        if req.active {
            self.release_extents(req.volume, req.at);
        }
        if let Some(lock) = req.lock {
            let ready = self.devices[req.volume].locks.release(lock);
            self.works(ready);
        }
    }

    /// The target has written (or cannot).
    pub(super) fn resync_ack(&mut self, c: usize, id: BlockId, ok: bool) {
        let found = self
            .resync_reqs
            .iter()
            .find(|(_, req)| req.conn == c && req.is_source && req.id == id && !req.dead);
        let Some((key, req)) = found else { return };
        let (v, at, node) = (req.volume, req.at, self.conns[c].node);
        let ok = ok && !req.dirtied;
        if ok {
            self.clear_out_of_sync(v, node, at);
        }
        self.finish_request(key);
        if ok && !self.tell_peers_in_sync(c, v, at) {
            self.conns[c].volumes[v].unannounced.push(at);
            let next = self.now.plus_ms(TICK_MS);
            self.devices[v].announce_at.get_or_insert(next);
        }
        self.source_progress(c, v);
    }

    /// The target holds this node's data here now, and so does everybody whom this node has no bit
    /// for: the target, which marked the range towards all others, may unmark them, and so may
    /// they. `false`: not now, for a write in the range is on its way, and what it reaches is not
    /// known yet (fixed in 9.0.26 and 9.2.0).
    fn tell_peers_in_sync(&mut self, c: usize, v: usize, at: Blocks) -> bool {
        let active = self.conns[c].volumes[v].repl == ReplState::SyncSource;
        if self.devices[v].disk != DiskState::UpToDate || !(active || self.agrees(c, v)) {
            return true;
        }
        if self.is_written(v, at) || self.devices[v].locks.busy(at) {
            return false;
        }
        // What the target missed of this range may wait for its peer ack, which marks it again.
        self.send_peer_ack();
        let device = &self.devices[v];
        let clean = |node| device.slot(node).is_some_and(|slot| !device.bitmaps[slot].any(at));
        let mut mask = NodeMask::NONE;
        for (d, conn) in self.conns.iter().enumerate() {
            if (d == c || self.agrees(d, v)) && clean(conn.node) {
                mask.insert(conn.node);
            }
        }
        if mask.len() > 1 && mask.has(self.conns[c].node) {
            for node in mask.iter() {
                let packet = Packet::PeersInSync { volume: VolumeNumber(v as u16), at, mask };
                self.on_conn(node, |r, d| r.send(d, packet));
            }
        }
        true
    }

    /// Is the peer's copy good, idle and of this generation, and had it no bit for this node when
    /// it last told its UUIDs? (What a resync from a third node changes there, only its bits know.)
    /// Nobody can tell of a Primary: what it has just written may be on its way to here.
    fn agrees(&self, c: usize, v: usize) -> bool {
        let (conn, pd) = (&self.conns[c], &self.conns[c].volumes[v]);
        let whole = pd.repl.is_idle() && pd.disk == DiskState::UpToDate;
        let clean = pd.uuids.as_ref().is_some_and(|uuids| uuids.dirty_bits == 0);
        let quiet = conn.role != Role::Primary || self.quirk("late-peers-in-sync");
        conn.connected() && quiet && whole && clean && self.same_generation(c, v)
    }

    /// Is a write of the range on its way: not confirmed everywhere if it is this node's, not
    /// covered by a peer ack if it is another's?
    pub(super) fn is_written(&self, v: usize, at: Blocks) -> bool {
        let own = self.log.iter().map(|key| &self.reqs[*key]);
        let mut own = own.filter(|req| req.volume == v);
        let theirs = self.conns.iter().flat_map(|conn| &conn.unacked);
        let mut theirs = theirs.map(|key| &self.peer_reqs[*key]).filter(|req| req.volume == v);
        own.any(|req| req.at.is_some_and(|range| range.overlaps(at)))
            || theirs.any(|req| req.at.overlaps(at))
    }

    /// Announces what could not be announced before.
    fn announce_rest(&mut self, v: usize) {
        if self.devices[v].announce_at.is_some_and(|at| at > self.now) {
            return;
        }
        self.devices[v].announce_at = None;
        for c in 0..self.conns.len() {
            let pd = &mut self.conns[c].volumes[v];
            if pd.unannounced.is_empty() {
                continue;
            }
            for at in std::mem::take(&mut pd.unannounced) {
                if !self.tell_peers_in_sync(c, v, at) {
                    self.conns[c].volumes[v].unannounced.push(at);
                    self.devices[v].announce_at = Some(self.now.plus_ms(TICK_MS));
                }
            }
        }
    }

    /// What the peer says of its side of a resync.
    pub(super) fn follow_peer_resync(&mut self, c: usize, v: usize, state: PeerState) {
        use ReplState::*;
        self.follow_peer_verify(c, v, state);
        match (self.conns[c].volumes[v].repl, state.repl) {
            (SyncSource | PausedSyncS, Established) => {
                let resync = &mut self.conns[c].volumes[v].resync;
                resync.peer_done = true;
                let unserved = std::mem::take(&mut resync.slowed);
                unserved.into_iter().for_each(|key| self.finish_request(key));
                self.source_progress(c, v);
                let missed = self.quirk("resync-end-missed");
                self.conns[c].volumes[v].resync.peer_done &= !missed;
            }
            (SyncTarget | PausedSyncT | WFBitMapT | StartingSyncT, _)
                if state.disk < DiskState::Inconsistent =>
            {
                self.abort_resync(c, v);
                self.set_repl(c, v, Established);
            }
            (WFBitMapS | StartingSyncS, _) if state.disk < DiskState::Inconsistent => {
                self.set_repl(c, v, Established)
            }
            (StartingSyncS, theirs) => self.follow_full_sync(c, v, theirs),
            (WFBitMapS, theirs) => {
                self.conns[c].volumes[v].resync.peer_began |= theirs.is_sync_target();
            }
            _ => {}
        }
    }

    /// Ends the source's side once the target is done and every answer is acknowledged.
    pub(super) fn source_progress(&mut self, c: usize, v: usize) {
        let pd = &self.conns[c].volumes[v];
        let source = matches!(pd.repl, ReplState::SyncSource | ReplState::PausedSyncS);
        if !source || !pd.resync.peer_done {
            return;
        }
        let open = |req: &ResyncRequest| req.conn == c && req.volume == v && req.is_source;
        if self.resync_reqs.iter().any(|(_, req)| open(req)) {
            return;
        }
        let node = self.conns[c].node;
        let up_to_date =
            self.conns[c].volumes[v].state.is_some_and(|s| s.disk == DiskState::UpToDate);
        let same = self.conns[c].volumes[v]
            .uuids
            .as_ref()
            .is_some_and(|uuids| uuids.current.same(self.devices[v].md.current));
        self.conns[c].volumes[v].resync = Resync::default();
        self.set_repl(c, v, ReplState::Established);
        if !same && up_to_date {
            return self.renegotiate(c, v);
        }
        // What this copy is, the target is, too: not always UpToDate.
        let whole =
            self.conns[c].volumes[v].state.is_some_and(|s| s.disk > DiskState::Inconsistent);
        if !same || !whole {
            return;
        }
        reach!(self, ResyncSourceEnds);
        self.devices[v].md.set_bitmap_uuid(node, Uuid::NONE);
        self.touch_md(v);
        self.end_of_crash(v);
        self.unfence(c, v);
        self.tell_uuids(v, None);
        if self.devices[v].weight(node) > 0 && !self.bits_are_in_flight(c, v) {
            reach!(self, ResyncAgain);
            self.renegotiate(c, v);
        }
    }

    /// Could the target of a resync have ended it, as far as this node knows? From here: was
    /// everything sent that it lacks? From a third copy, nobody here can tell.
    pub(super) fn may_have_finished(&self, c: usize, v: usize) -> bool {
        let (conn, device) = (&self.conns[c], &self.devices[v]);
        let third = self.conns.iter().any(|other| other.config.diskful && other.node != conn.node);
        if conn.volumes[v].repl != ReplState::SyncSource {
            let lost = conn.volumes[v].repl != ReplState::Off;
            return third && lost && conn.volumes[v].disk == DiskState::Inconsistent;
        }
        let Some(slot) = device.slot(conn.node) else { return false };
        let bitmap = &device.bitmaps[slot];
        let sent = self.resync_reqs.iter().map(|(_, req)| req);
        let sent = sent.filter(|req| req.conn == c && req.volume == v && req.is_source);
        // What it was told just now that it lacks may not have reached it, and have been written
        // to it by a Primary meanwhile.
        let unheard = conn.volumes[v].resync.unheard.iter();
        let open: BTreeSet<u64> =
            sent.flat_map(|req| req.at.iter()).chain(unheard.copied()).collect();
        open.into_iter().filter(|block| bitmap.is_set(*block)).count() as u64 >= bitmap.weight()
    }

    /// Acks that still clear bits may be on their way.
    fn bits_are_in_flight(&self, c: usize, v: usize) -> bool {
        let node = self.conns[c].node;
        self.log.iter().any(|key| self.reqs[*key].volume == v && self.reqs[*key].pending.has(node))
    }

    /// Once everybody is in sync, a crash or a loss of quorum is history.
    fn end_of_crash(&mut self, v: usize) {
        let clean = self
            .conns
            .iter()
            .filter(|conn| conn.config.diskful)
            .all(|conn| conn.connected() && conn.volumes[v].disk == DiskState::UpToDate);
        let device = &mut self.devices[v];
        if clean && device.disk == DiskState::UpToDate {
            device.crashed_primary = false;
            device.unclean = false;
            if device.quorum {
                device.md.flags.put(MdFlags::PRIMARY_LOST_QUORUM, false);
            }
            self.changed = true;
        }
    }

    /// Asks a connected peer to compare again.
    pub(super) fn renegotiate(&mut self, c: usize, v: usize) {
        if self.conns[c].volumes[v].offered.is_none() && self.conns[c].connected() {
            self.offer(c, v, UuidFlags::RESYNC);
        }
    }

    /// Is the source of this resync authoritative: Primary, or without a Primary around?
    fn source_is_stable(&self, c: usize, v: usize) -> bool {
        let flag = self.conns[c].volumes[v].uuids.as_ref();
        let flag = flag.is_some_and(|uuids| uuids.flags.has(UuidFlags::STABLE));
        let near = self.far_primaries.is_empty();
        self.conns[c].role == Role::Primary
            || self.role == Role::Primary
            || (flag && near && self.is_stable(v))
    }

    /// Every bit is clear: the target takes the source's generation, if the source speaks for
    /// everybody.
    pub(super) fn resync_end(&mut self, c: usize, v: usize) {
        if self.uuids_locked() || self.twopc.wants(Purpose::LostPeer) {
            reach!(self, ResyncEndLocked);
            // A handshake goes on elsewhere, or it is not known yet whether a Primary that was lost
            // writes on to the source; the next change comes back here.
            return;
        }
        // A Primary that works on a newer generation of others does not go back to the source's.
        let behind = self.role == Role::Primary && self.is_elsewhere(c, v);
        if behind || !self.source_is_stable(c, v) {
            reach!(self, ResyncEndUnstable);
            self.conns[c].volumes[v].resync = Resync::default();
            self.set_repl(c, v, ReplState::Established);
            let volume = VolumeNumber(v as u16);
            self.notice(Notice::ResyncDone(self.conns[c].node, volume, false));
            return self.call(Handler::AfterResyncTarget, Some(c), Some(v));
        }
        let Some(source) = self.conns[c].volumes[v].uuids.clone() else { return };
        self.conns[c].volumes[v].resync.ending = true;
        let source_node = self.conns[c].node;
        let old = self.devices[v].md.current;
        let known: Vec<(NodeId, Uuid)> = self
            .conns
            .iter()
            .filter_map(|conn| conn.volumes[v].uuids.as_ref().map(|u| (conn.node, u.current)))
            .collect();
        let me = self.me();
        let device = &mut self.devices[v];
        let nodes: Vec<NodeId> = NodeId::all().filter(|n| *n != me).collect();
        let mut caught = Vec::new();
        for node in nodes {
            if device.md.peer(node).bitmap_index.is_none() {
                continue;
            }
            let theirs =
                source.bitmap.iter().find(|(n, _)| *n == node).map_or(Uuid::NONE, |(_, u)| *u);
            let caught_up = known.iter().any(|(n, uuid)| *n == node && uuid.same(source.current));
            let behind = node != source_node && !theirs.is_none() && !caught_up;
            let own = device.md.peer(node).bitmap_uuid;
            // The generation of this copy is also that of a node which caught up with it meanwhile.
            let slot = match behind {
                true if own.is_none() || theirs.same(old) => old,
                true => own,
                false => Uuid::NONE,
            };
            device.md.set_bitmap_uuid(node, slot);
            caught.extend((!behind).then_some(node));
        }
        for uuid in source.history.iter().rev().chain(source.bitmap.iter().map(|(_, uuid)| uuid)) {
            device.md.push_history(*uuid);
        }
        device.md.leave_day0(me, old);
        device.md.current = Uuid(source.current.masked() | u64::from(self.role == Role::Primary));
        // Whoever still has the generation of this copy is known to be behind. (DRBD forgets it.)
        device.md.push_history(old);
        device.md.peer_mut(source_node).flags.put(PeerFlags::FULL_SYNC, false);
        device.exposed = source.current;
        // What the source was as a crashed Primary, its likeness is, too. (DRBD forgets it.)
        device.crashed_primary = source.flags.has(UuidFlags::CRASHED_PRIMARY);
        device.unclean = source.flags.has(UuidFlags::UNCLEAN);
        device.md.flags.put(MdFlags::PRIMARY_LOST_QUORUM, false);
        caught.into_iter().for_each(|node| self.may_have_caught_up(v, node));
        self.md_sync(v, Work::ResyncEnd(c, v));
    }

    pub(super) fn resync_end_durable(&mut self, c: usize, v: usize) {
        if self.conns[c].volumes[v].repl != ReplState::SyncTarget
            || !self.conns[c].volumes[v].resync.ending
        {
            return;
        }
        if !self.same_generation(c, v) {
            reach!(self, ResyncEndRaced);
            // The source made a new generation while this one was being written.
            self.conns[c].volumes[v].resync.ending = false;
            return self.resync_end(c, v);
        }
        let source_disk = self.conns[c].volumes[v].disk;
        let stable = self.source_is_stable(c, v);
        let disk = match source_disk {
            DiskState::UpToDate | DiskState::Consistent if stable => source_disk,
            // The likeness of a copy is no better than that.
            disk => disk.min(DiskState::Outdated),
        };
        let node = self.conns[c].node;
        if stable {
            self.inherit_survival(c);
        }
        reach!(self, ResyncEndStable);
        self.conns[c].volumes[v].resync = Resync::default();
        self.set_repl(c, v, ReplState::Established);
        self.set_disk(v, disk);
        self.notice(Notice::ResyncDone(node, VolumeNumber(v as u16), stable));
        self.call(Handler::AfterResyncTarget, Some(c), Some(v));
        for other in 0..self.conns.len() {
            let repl = self.conns[other].volumes[v].repl;
            if other != c && repl.is_sync_target() {
                reach!(self, ResyncEndOthers);
                self.abort_resync(other, v);
                self.set_repl(other, v, ReplState::Established);
            }
        }
        self.stray_behind_resync(v);
        self.tell_uuids(v, None);
        self.changed = true;
    }

    /// The source outlived a Primary. With its data this node is as much a survivor: when that
    /// Primary comes back from its crash, it is not to be overwritten with what the Primary still
    /// has.
    fn inherit_survival(&mut self, c: usize) {
        let Some((node, dagtag)) = self.conns[c].named else { return };
        let Some(l) = self.conn_of(node).filter(|l| !self.conns[*l].connected()) else { return };
        reach!(self, ResyncSurvival);
        self.lost_primary = Some(node);
        self.conns[l].was_connected = true;
        self.conns[l].last_dagtag = dagtag;
    }

    /// Peers that wait for an authoritative source hear when this node becomes one.
    fn tell_stable(&mut self) {
        let stable = (0..self.devices.len()).all(|v| self.is_stable(v));
        if std::mem::replace(&mut self.roles.was_stable, stable) || !stable {
            return;
        }
        for c in 0..self.conns.len() {
            for v in 0..self.devices.len() {
                let diskful = self.conns[c].config.diskful && self.devices[v].has_disk();
                if self.conns[c].connected() && diskful {
                    let mut uuids = self.uuids_for(c, v);
                    uuids.flags.0 |= UuidFlags::GOT_STABLE;
                    self.send(c, Packet::Uuids(VolumeNumber(v as u16), Arc::new(uuids)));
                }
            }
        }
    }

    /// The connected peer that an idle disk, which is behind, could be resynced from.
    fn possible_source(&self, v: usize) -> Option<usize> {
        let disk = self.devices[v].disk;
        let behind = disk >= DiskState::Inconsistent && disk < DiskState::UpToDate;
        let behind = behind && disk != DiskState::DUnknown;
        let everybody = disk == DiskState::Outdated && self.is_everybody_behind(v);
        let busy = self
            .conns
            .iter()
            .any(|conn| conn.volumes[v].repl.is_sync_target() || conn.volumes[v].offered.is_some());
        if !behind || busy {
            return None;
        }
        (0..self.conns.len()).find(|c| {
            let pd = &self.conns[*c].volumes[v];
            let good = pd.repl.is_idle() && pd.disk == DiskState::UpToDate;
            let sound = self.conns[*c].config.diskful && pd.disk > DiskState::Inconsistent;
            let unsure = everybody && sound && !pd.agreed;
            good && self.source_is_stable(*c, v) || unsure
        })
    }

    /// When a disk that is behind asks again for a resync.
    pub(super) fn ask_alarm(&self, v: usize) -> Option<Time> {
        let stray = self.devices[v].stray_at;
        let ask = self.devices[v].ask_at.filter(|_| self.possible_source(v).is_some());
        ask.into_iter().chain(stray).chain(self.devices[v].announce_at).min()
    }

    /// A disk that is behind asks an authoritative peer to compare, once a second
    /// (drbd_try_to_get_resynced).
    fn try_to_get_resynced(&mut self, v: usize) {
        self.settle_stray_bits(v);
        let Some(c) = self.possible_source(v) else { return };
        if self.devices[v].ask_at.is_none_or(|at| at <= self.now) {
            reach!(self, ResyncAsked);
            self.devices[v].ask_at = Some(self.now.plus_ms(1_000));
            self.renegotiate(c, v);
        }
    }

    /// Gives up what goes on with one peer.
    pub(super) fn abort_resync(&mut self, c: usize, v: usize) {
        self.conns[c].volumes[v].resync = Resync::default();
        let keys: Vec<usize> = self
            .resync_reqs
            .iter()
            .filter(|(_, req)| req.conn == c && req.volume == v && !req.dead)
            .map(|(key, _)| key)
            .collect();
        for key in keys {
            if self.resync_reqs.contains(key) {
                self.finish_request(key);
            }
        }
        self.changed = true;
    }

    /// The own disk is gone.
    pub(super) fn abort_resyncs(&mut self, v: usize) {
        for c in 0..self.conns.len() {
            if self.conns[c].volumes[v].repl.is_sync() {
                reach!(self, ResyncAborted);
            }
            self.abort_resync(c, v);
            if self.conns[c].volumes[v].repl != ReplState::Off {
                self.set_repl(c, v, ReplState::Established);
            }
        }
    }
}

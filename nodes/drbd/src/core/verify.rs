//! Online verify: two copies are compared block by block while applications write. What differs is
//! marked out of sync on both sides, and copied once the two compare again.
//!
//! The side that drives (VerifyS) asks for digests, reads its own block and says what came of it.
//! Writes to a block in between would make two good copies look different: the peer reads when it
//! has what the asker has of a Primary's stream, the asker when it has what the peer had, and a
//! block that was written to meanwhile is skipped.

use super::Resource;
use super::event::{CommandId, Handler, Lower, LowerResult, Notice, Refusal};
use super::locks::{Holder, LockId};
use super::parts::{LowerUse, Work};
use super::points::reach;
use super::resync::Resync;
use super::twopc::Purpose;
use crate::ids::{Blocks, Dagtag, NodeId, VolumeNumber};
use crate::packet::{BlockId, Packet, PeerState};
use crate::page::Digest;
use crate::state::{DiskState, ReplState};

/// How far a verify has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Verify {
    /// The next block to ask for, and the one before which it ends. (The driving side.)
    next: u64,
    stop: u64,
    /// Blocks asked for and not settled.
    open: u64,
    /// Blocks that differed.
    found: u64,
    /// Blocks that were written to meanwhile, or could not be compared.
    skipped: u64,
    /// The driven side has said that it is driven.
    peer_in: bool,
    /// The driving side says that it is done.
    peer_done: bool,
}

/// One block that is being compared, on either side.
#[derive(Clone, Debug)]
pub(super) struct VerifyRequest {
    conn: usize,
    volume: usize,
    at: Blocks,
    /// The cookie of the driving side.
    id: BlockId,
    drives: bool,
    /// What the peer has.
    theirs: Option<Digest>,
    lock: Option<LockId>,
    /// At the lower device.
    busy: bool,
    /// Given up; goes when the lower device is done.
    dead: bool,
    /// A write came since it was asked for.
    written: bool,
    /// Not read before this position of a Primary's stream is received.
    after: Option<(usize, Dagtag)>,
}

impl Verify {
    /// Blocks that the driving side has not asked for.
    pub fn left(&self) -> u64 {
        self.stop.saturating_sub(self.next)
    }
}

impl Resource {
    /// `verify`; `start` and `stop` in blocks. Without `start` it goes on where the last one was
    /// interrupted.
    pub(super) fn verify(
        &mut self,
        id: CommandId,
        (volume, node): (VolumeNumber, NodeId),
        (start, stop): (Option<u64>, Option<u64>),
    ) {
        let v = volume.index();
        let refusal = match v < self.devices.len() {
            true => self.verify_refusal(v, node),
            false => Some(Refusal::MinorInvalid),
        };
        if let Some(refusal) = refusal {
            return self.out.push(super::event::Action::Reply(id, Err(refusal)));
        }
        self.on_conn(node, |r, c| {
            let size = r.devices[v].size;
            let pd = &mut r.conns[c].volumes[v];
            let next = start.unwrap_or(pd.verify_from).min(size);
            pd.verify_asked = (next, stop.unwrap_or(size).clamp(next, size));
        });
        self.want(Purpose::Verify(node, volume, id));
    }

    /// Why may a verify of this volume with this peer not begin?
    pub(super) fn verify_refusal(&self, v: usize, node: NodeId) -> Option<Refusal> {
        let Some(c) = self.conn_of(node) else { return Some(Refusal::InvalidPeerNodeId) };
        let (conn, pd) = (&self.conns[c], &self.conns[c].volumes[v]);
        let has = |disk: DiskState| disk >= DiskState::Inconsistent && disk != DiskState::DUnknown;
        match () {
            () if !conn.connected() => Some(Refusal::NeedConnection),
            () if self.config.verify_alg.is_none() => Some(Refusal::NoVerifyAlg),
            () if !has(self.devices[v].disk) => Some(Refusal::NoLocalDisk),
            () if !has(pd.disk) => Some(Refusal::NoRemoteDisk),
            () if pd.repl != ReplState::Established => Some(Refusal::ResyncRunning),
            () => None,
        }
    }

    /// The change is committed: this node drives, or is driven.
    pub(super) fn start_verify(&mut self, c: usize, v: usize, drives: bool) {
        if v >= self.devices.len() || self.verify_refusal(v, self.conns[c].node).is_some() {
            // Something else came in between: the two compare.
            return self.retry_link(c);
        }
        reach!(self, VerifyStart);
        let pd = &mut self.conns[c].volumes[v];
        let (next, stop) = pd.verify_asked;
        pd.verify = Some(Verify { next, stop, ..Verify::default() });
        pd.resync = Resync::default();
        match drives {
            true => {
                self.set_repl(c, v, ReplState::VerifyS);
                self.resync_tick(c, v);
            }
            false => self.set_repl(c, v, ReplState::VerifyT),
        }
    }

    /// The position of a Primary that is neither of the two sides, as this node knows it.
    fn seen_of_primary(&self, c: usize) -> Option<(NodeId, Dagtag)> {
        let peer = self.conns[c].node;
        let primary = self.conns.iter().find(|conn| conn.is_primary() && conn.node != peer);
        primary.map(|conn| (conn.node, conn.last_dagtag))
    }

    /// Asks for as many digests as the pace allows; ends when none is left to ask for.
    pub(super) fn verify_progress(&mut self, c: usize, v: usize) {
        loop {
            let pd = &mut self.conns[c].volumes[v];
            let (true, Some(verify)) = (pd.repl == ReplState::VerifyS, &mut pd.verify) else {
                return;
            };
            if verify.next >= verify.stop {
                if verify.open == 0 {
                    self.verify_ends(c, v);
                }
                return;
            }
            if pd.resync.pace.budget() == 0 {
                return;
            }
            let at = Blocks::new(verify.next, 1);
            verify.next = at.end();
            verify.open += 1;
            pd.resync.pace.asked(at);
            self.serial += 1;
            let key = self.new_verify((c, v), at, BlockId(0), true);
            let id = BlockId(self.serial << 32 | key as u64);
            self.verify_reqs[key].id = id;
            let (volume, dagtag) = (VolumeNumber(v as u16), self.seen_of_primary(c));
            self.send(c, Packet::OvRequest { volume, at, id, dagtag });
        }
    }

    fn new_verify(
        &mut self,
        (c, v): (usize, usize),
        at: Blocks,
        id: BlockId,
        drives: bool,
    ) -> usize {
        self.verify_reqs.insert(VerifyRequest {
            conn: c,
            volume: v,
            at,
            id,
            drives,
            theirs: None,
            lock: None,
            busy: false,
            dead: false,
            written: false,
            after: None,
        })
    }

    /// The peer wants to know what is here.
    pub(super) fn receive_ov_request(
        &mut self,
        (c, v): (usize, usize),
        at: Blocks,
        id: BlockId,
        dagtag: Option<(NodeId, Dagtag)>,
    ) {
        let sound = at.count > 0 && at.end() <= self.devices[v].size;
        let Some(verify) = &mut self.conns[c].volumes[v].verify else { return };
        verify.open += 1;
        let key = self.new_verify((c, v), at, id, false);
        match self.position(dagtag) {
            Ok(after) if sound && self.devices[v].has_disk() => {
                self.verify_reqs[key].after = after;
                self.verify_when_placed(key);
            }
            _ => self.send(c, Packet::OvReply { id, digest: None, dagtag: None }),
        }
    }

    /// Where to wait for a position in a Primary's stream; `Err` if it will not come.
    fn position(&self, dagtag: Option<(NodeId, Dagtag)>) -> Result<Option<(usize, Dagtag)>, ()> {
        let Some((node, dagtag)) = dagtag.filter(|(node, _)| *node != self.me()) else {
            return Ok(None);
        };
        match self.conn_of(node).filter(|p| self.conns[*p].connected()) {
            Some(p) => Ok(Some((p, dagtag))),
            None => Err(()),
        }
    }

    fn verify_when_placed(&mut self, key: usize) {
        let behind = |(p, dagtag): (usize, Dagtag)| {
            !self.conns[p].placed || self.conns[p].last_dagtag < dagtag
        };
        let req = &self.verify_reqs[key];
        if req.after.is_some_and(behind) {
            reach!(self, VerifyBehindStream);
            return;
        }
        let (c, v, at) = (req.conn, req.volume, req.at);
        self.verify_reqs[key].after = None;
        let holder = Holder::ResyncRead(self.conns[c].node);
        let lock = self.devices[v].locks.acquire(at, holder, |_| Work::VerifyRead(key));
        self.verify_reqs[key].lock = Some(lock.unwrap_or_else(|waiting| waiting));
        if lock.is_ok() {
            self.verify_read(key);
        }
    }

    /// More of a Primary's stream arrived, or it is lost: requests that waited for it.
    pub(super) fn verify_waiting(&mut self, p: usize) {
        let waits = |req: &VerifyRequest| req.after.is_some_and(|(conn, _)| conn == p) && !req.dead;
        let keys: Vec<usize> =
            self.verify_reqs.iter().filter(|(_, req)| waits(req)).map(|(key, _)| key).collect();
        for key in keys {
            let req = &mut self.verify_reqs[key];
            if self.conns[p].connected() {
                self.verify_when_placed(key);
            } else if req.drives {
                req.written = true;
                self.verify_settled(key, None);
            } else {
                req.after = None;
                let (c, id) = (req.conn, req.id);
                self.send(c, Packet::OvReply { id, digest: None, dagtag: None });
            }
        }
    }

    pub(super) fn verify_read(&mut self, key: usize) {
        let (v, at) = (self.verify_reqs[key].volume, self.verify_reqs[key].at);
        self.verify_reqs[key].busy = true;
        self.lower(v, Lower::Read(at), LowerUse::VerifyRead(key));
    }

    pub(super) fn verify_read_done(&mut self, key: usize, result: LowerResult) {
        let req = &mut self.verify_reqs[key];
        req.busy = false;
        let (c, v, id, at) = (req.conn, req.volume, req.id, req.at);
        let (drives, dead) = (req.drives, req.dead);
        let lock = req.lock.take();
        if let Some(lock) = lock {
            let ready = self.devices[v].locks.release(lock);
            self.works(ready);
        }
        if dead {
            self.verify_reqs.remove(key);
            return;
        }
        let failed = result.is_err();
        let digest = result.ok().flatten().map(|pages| Digest::of(&pages));
        if drives {
            self.verify_settled(key, digest);
        } else {
            let dagtag = self.seen_of_primary(c);
            self.send(c, Packet::OvReply { id, digest, dagtag });
        }
        if failed {
            self.lost_blocks(v, at);
            self.data_failed(v);
        }
    }

    /// The driving side hears what the peer has.
    pub(super) fn receive_ov_reply(
        &mut self,
        c: usize,
        id: BlockId,
        digest: Option<Digest>,
        dagtag: Option<(NodeId, Dagtag)>,
    ) {
        let key = (id.0 & 0xffff_ffff) as usize;
        let known = self.verify_reqs.get(key).is_some_and(|req| {
            req.conn == c && req.id == id && req.drives && !req.dead && req.theirs.is_none()
        });
        if !known {
            return;
        }
        let (v, at) = (self.verify_reqs[key].volume, self.verify_reqs[key].at);
        self.conns[c].volumes[v].resync.pace.answered(at);
        self.verify_reqs[key].theirs = digest;
        match self.position(dagtag) {
            Ok(after) if digest.is_some() => {
                self.verify_reqs[key].after = after;
                self.verify_when_placed(key);
            }
            _ => self.verify_settled(key, None),
        }
    }

    /// What the driving side found in one block. `None`: it could not be read or compared.
    fn verify_settled(&mut self, key: usize, mine: Option<Digest>) {
        let req = self.verify_reqs.remove(key);
        let (c, v, at, id) = (req.conn, req.volume, req.at, req.id);
        let node = self.conns[c].node;
        let compared = mine.zip(req.theirs).filter(|_| !req.written);
        let differs = compared.is_some_and(|(mine, theirs)| mine != theirs);
        if let Some(verify) = &mut self.conns[c].volumes[v].verify {
            verify.open -= 1;
            verify.found += u64::from(differs);
            verify.skipped += u64::from(compared.is_none());
        }
        if compared.is_none() {
            reach!(self, VerifySkipped);
        }
        if differs {
            reach!(self, VerifyDiffers);
            self.found_by_verify(c, v, at);
        }
        let volume = VolumeNumber(v as u16);
        self.send(c, Packet::OvResult { volume, at, id, differs });
        if differs {
            let text = format!("Out of sync: block {} differs from {node:?}", at.start);
            self.notice(Notice::Note(text));
        }
        self.verify_progress(c, v);
    }

    /// The two do not settle it before they compare again: who is right nobody knows.
    fn found_by_verify(&mut self, c: usize, v: usize, at: Blocks) {
        let node = self.conns[c].node;
        self.set_out_of_sync(v, node, at);
        self.conns[c].volumes[v].verified = true;
    }

    /// The driven side hears what came of a block.
    pub(super) fn receive_ov_result(&mut self, (c, v): (usize, usize), id: BlockId, differs: bool) {
        let mine = |req: &VerifyRequest| {
            (req.conn, req.volume, req.id, req.drives) == (c, v, id, false) && !req.dead
        };
        let Some(key) = self.verify_reqs.iter().find(|(_, req)| mine(req)).map(|(key, _)| key)
        else {
            return;
        };
        let at = self.verify_reqs.remove(key).at;
        if differs {
            self.found_by_verify(c, v, at);
        }
        if let Some(verify) = &mut self.conns[c].volumes[v].verify {
            verify.open -= 1;
            verify.found += u64::from(differs);
            verify.next = at.end();
        }
        self.verify_follows(c, v);
    }

    /// What the peer says of its side of a verify.
    pub(super) fn follow_peer_verify(&mut self, c: usize, v: usize, state: PeerState) {
        match (self.conns[c].volumes[v].repl, state.repl) {
            (ReplState::VerifyS | ReplState::VerifyT, _)
                if state.disk < DiskState::Inconsistent =>
            {
                self.set_repl(c, v, ReplState::Established);
            }
            (ReplState::VerifyS, ReplState::VerifyT) => {
                if let Some(verify) = &mut self.conns[c].volumes[v].verify {
                    verify.peer_in = true;
                }
            }
            (ReplState::VerifyS, _) if self.is_left_by_driven(c, v) => {
                self.set_repl(c, v, ReplState::Established);
            }
            (ReplState::VerifyT, ReplState::Established) => {
                if let Some(verify) = &mut self.conns[c].volumes[v].verify {
                    verify.peer_done = true;
                }
                self.verify_follows(c, v);
            }
            _ => {}
        }
    }

    /// The driven side is busy with something else: it answers no more.
    fn is_left_by_driven(&self, c: usize, v: usize) -> bool {
        self.conns[c].volumes[v].verify.as_ref().is_some_and(|verify| verify.peer_in)
    }

    /// Results travel on the other socket: the driven side ends when it has them all.
    fn verify_follows(&mut self, c: usize, v: usize) {
        let verify = self.conns[c].volumes[v].verify.as_ref();
        if verify.is_some_and(|verify| verify.peer_done && verify.open == 0) {
            self.verify_ends(c, v);
        }
    }

    fn verify_ends(&mut self, c: usize, v: usize) {
        let (node, volume) = (self.conns[c].node, VolumeNumber(v as u16));
        let Some(verify) = &mut self.conns[c].volumes[v].verify else { return };
        let (found, skipped) = (verify.found, verify.skipped);
        verify.next = 0;
        reach!(self, VerifyEnds);
        if skipped > 0 {
            let text = format!("Online verify skipped {skipped} blocks that were written to");
            self.notice(Notice::Note(text));
        }
        let left = self.devices[v].weight(node);
        self.notice(Notice::VerifyDone { node, volume, found, left });
        if left > 0 {
            self.call(Handler::OutOfSync, Some(c), Some(v));
        }
        self.write_bitmap(v);
        self.set_repl(c, v, ReplState::Established);
    }

    /// A verify is over, whatever ended it: what is on its way counts no more. Interrupted, it goes
    /// on from here the next time.
    pub(super) fn drop_verify(&mut self, c: usize, v: usize) {
        let Some(verify) = self.conns[c].volumes[v].verify.take() else { return };
        let mine = |req: &VerifyRequest| req.conn == c && req.volume == v && !req.dead;
        let all: Vec<(usize, u64)> = self
            .verify_reqs
            .iter()
            .filter(|(_, req)| mine(req))
            .map(|(key, req)| (key, req.at.start))
            .collect();
        let reached = all.iter().map(|(_, start)| *start).min().unwrap_or(verify.next);
        self.conns[c].volumes[v].verify_from = reached;
        self.conns[c].volumes[v].resync = Resync::default();
        for (key, _) in all {
            if self.verify_reqs[key].busy {
                self.verify_reqs[key].dead = true;
                continue;
            }
            let req = self.verify_reqs.remove(key);
            if let Some(lock) = req.lock {
                let ready = self.devices[v].locks.release(lock);
                self.works(ready);
            }
        }
    }

    /// A write begins: what is being compared there may look different and be the same.
    pub(super) fn written_under_verify(&mut self, v: usize, at: Blocks) {
        for (_, req) in self.verify_reqs.iter_mut() {
            req.written |= req.drives && req.volume == v && req.at.overlaps(at);
        }
    }
}

//! The size of a volume: negotiated when nodes meet, changed by `resize` in a two-phase commit, and
//! taken by each copy with its metadata at the new end of its lower device.
//!
//! A copy that is about to be larger lets nobody write until its metadata is durable at the new
//! place, as DRBD does. Applications may use what was added once every connected copy has said that
//! it has it. (DRBD's Primary may use it at once, and a peer that hears of the commit later ends
//! the connection.)

use super::Resource;
use super::event::{Action, CommandId, Lower, Notice, Refusal, Resize};
use super::parts::{Conn, Device, LowerUse, Work};
use super::points::reach;
use crate::ids::VolumeNumber;
use crate::meta::{self, AlBlock, Layout, MdFlags, PeerFlags, Superblock};
use crate::packet::{Change, Packet, Sizes, TwopcCommit, TwopcReply};
use crate::page::Payload;
use crate::state::{DiskState, Role};
use std::sync::Arc;

/// How far a copy that gets larger is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Until nothing is written and no metadata is on its way.
    Draining,
    /// The new place overlaps the old one: a superblock that counts on nothing else goes first.
    Shield,
    /// The bitmap and an empty activity log, at their place.
    Bitmap,
    /// The superblock that makes it true.
    Superblock,
}

/// A copy that is about to be larger.
#[derive(Clone, Debug)]
pub(super) struct Growth {
    /// The new size in blocks.
    to: u64,
    /// What is added is taken as identical.
    no_resync: bool,
    stage: Stage,
    /// Writes of metadata outside the bitmap that are on their way.
    moving: u32,
    /// A size that was agreed on meanwhile.
    next: Option<(u64, bool)>,
    /// What goes on once it is durable.
    then: Work,
    /// The command that asked for it.
    reply: Option<CommandId>,
}

impl Growth {
    /// The superblock in memory tells of what is not durable yet.
    pub fn holds_superblock(&self) -> bool {
        matches!(self.stage, Stage::Shield | Stage::Bitmap)
    }
}

impl Device {
    /// The size that it has, or is about to have.
    pub fn size_to_be(&self) -> u64 {
        let next = |growth: &Growth| growth.next.map_or(growth.to, |(to, _)| to);
        self.growth.as_ref().map_or(self.size, next)
    }

    /// Has it a lower device whose metadata was read?
    fn is_attached(&self) -> bool {
        self.has_disk() || self.disk == DiskState::Negotiating
    }

    /// Blocks of data that its lower device has room for; without one as many as it had.
    fn room(&self, max_peers: u8) -> u64 {
        match self.is_attached() {
            true => Layout::new(self.lower, max_peers).usable(),
            false => self.size,
        }
    }

    /// The blocks from `old` on are new; what one copy has there is not known to be what the others
    /// have. Where metadata was is never the same on two nodes. (DRBD believes `--assume-clean`
    /// there, too.)
    fn add_blocks(&mut self, old: u64, metadata: std::ops::Range<u64>, no_resync: bool) {
        let size = self.size;
        let differs = if no_resync { metadata.start.max(old)..metadata.end } else { old..size };
        for bitmap in &mut self.bitmaps {
            bitmap.grow(size);
            bitmap.set_range(differs.start, differs.end);
        }
    }
}

/// The change of a two-phase commit.
pub(super) fn change(volume: VolumeNumber, resize: Resize) -> Change {
    Change::Resize {
        volume,
        user: resize.size.unwrap_or(0),
        assume_room: resize.assume_peer_has_space,
        no_resync: resize.assume_clean,
    }
}

// ---- the cluster-wide change ----

impl Resource {
    pub(super) fn resize(&mut self, id: CommandId, volume: VolumeNumber, resize: Resize) {
        match self.resize_refusal(volume.index(), resize) {
            None | Some(Refusal::InTransientState) => {
                self.want(super::twopc::Purpose::Resize(volume, resize, id));
            }
            Some(refusal) => self.out.push(Action::Reply(id, Err(refusal))),
        }
    }

    /// Why may this node not ask for it?
    pub(super) fn resize_refusal(&self, v: usize, resize: Resize) -> Option<Refusal> {
        let Some(device) = self.devices.get(v) else { return Some(Refusal::MinorInvalid) };
        let syncs = |conn: &Conn| !conn.volumes[v].repl.is_idle() && conn.connected();
        match resize.size {
            _ if !device.has_disk() => Some(Refusal::NoDisk),
            _ if self.conns.iter().any(syncs) => Some(Refusal::ResizeDuringResync),
            Some(size) if size > device.room(self.config.max_peers) => Some(Refusal::DiskTooSmall),
            _ if !self.near_a_primary() => Some(Refusal::NoPrimary),
            _ => self.size_is_in_flux(v).then_some(Refusal::InTransientState),
        }
    }

    /// A copy that is compared or overwritten does not change its size.
    pub(super) fn vote_on_resize(&self, v: usize) -> Option<Refusal> {
        if v >= self.devices.len() {
            return Some(Refusal::MinorInvalid);
        }
        if self.conns.iter().any(|conn| conn.volumes[v].repl.is_sync()) {
            return Some(Refusal::ResyncRunning);
        }
        self.size_is_in_flux(v).then_some(Refusal::InTransientState)
    }

    fn size_is_in_flux(&self, v: usize) -> bool {
        let device = &self.devices[v];
        let attaching = matches!(device.disk, DiskState::Attaching | DiskState::Negotiating);
        let leaving = device.disk == DiskState::Detaching || device.detaching.is_some();
        let compared = |conn: &Conn| conn.volumes[v].offered.is_some();
        device.growth.is_some() || attaching || leaving || self.conns.iter().any(compared)
    }

    /// `max_possible_size` of this node.
    pub(super) fn room_for(&self, change: Change) -> Option<u64> {
        let Change::Resize { volume, .. } = change else { return None };
        let device = self.devices.get(volume.index())?;
        device.configured_diskful.then(|| device.room(self.config.max_peers))
    }

    /// Everybody agreed: the new size of the device (0: the change is another one), or how the
    /// command ends without a commit.
    pub(super) fn size_to_commit(
        &mut self,
        change: Change,
        reply: &TwopcReply,
    ) -> Result<u64, Result<(), Refusal>> {
        let Change::Resize { volume, user, assume_room, .. } = change else { return Ok(0) };
        let now = self.devices[volume.index()].size;
        let absent = |conn: &&Conn| {
            let counts = conn.config.diskful && !conn.forgotten;
            counts && !reply.reachable.has(conn.node)
        };
        let absent = self.conns.iter().find(absent).map(|conn| conn.node);
        let limit = absent.filter(|_| !assume_room).map(|_| now);
        if let (Some(node), Some(_)) = (absent, limit) {
            reach!(self, ResizeLimited);
            let text = format!("node {node:?} is not there and keeps the size at {now} blocks");
            self.notice(Notice::Note(text));
        }
        let wanted = Some(user).filter(|user| *user != 0);
        let size = [reply.max_size, limit, wanted].into_iter().flatten().min().unwrap_or(now);
        if size == now {
            reach!(self, ResizeUnchanged);
        }
        match size.cmp(&now) {
            std::cmp::Ordering::Less => Err(Err(Refusal::ImplicitShrink)),
            std::cmp::Ordering::Equal => Err(Ok(())),
            std::cmp::Ordering::Greater => Ok(size),
        }
    }

    /// What a commit means to the size of this node's device.
    pub(super) fn take_committed_size(&mut self, commit: &TwopcCommit) {
        let Change::Resize { volume, user, no_resync, .. } = commit.request.change else { return };
        let v = volume.index();
        if v < self.devices.len() {
            reach!(self, ResizeCommitted);
            self.devices[v].user_size = user;
            self.grow_to(v, commit.size, no_resync);
        }
    }

    /// The command ends once this copy is as large as was agreed, and that is durable.
    pub(super) fn resize_decided(&mut self, v: usize, id: CommandId, result: Result<(), Refusal>) {
        match self.devices.get_mut(v).and_then(|device| device.growth.as_mut()) {
            Some(growth) if result.is_ok() => growth.reply = Some(id),
            _ => self.out.push(Action::Reply(id, result)),
        }
    }
}

// ---- what nodes tell each other ----

impl Resource {
    /// P_SIZES to one peer. A size that a node without a disk was configured with binds nobody.
    pub(super) fn send_sizes(&mut self, c: usize, v: usize) {
        let device = &self.devices[v];
        let disk = if device.is_attached() { device.room(self.config.max_peers) } else { 0 };
        let binds = device.is_attached() || self.role == Role::Primary;
        let sizes = Sizes {
            disk,
            user: device.user_size,
            current: if binds { device.size } else { 0 },
            no_resync: device.no_resync,
        };
        self.send(c, Packet::Sizes(VolumeNumber(v as u16), sizes));
    }

    /// P_SIZES to everybody who is connected.
    pub(super) fn tell_size(&mut self, v: usize) {
        for c in 0..self.conns.len() {
            if self.conns[c].connected() {
                self.send_sizes(c, v);
            }
        }
    }

    pub(super) fn receive_sizes(&mut self, c: usize, v: usize, sizes: Sizes) {
        self.conns[c].volumes[v].size = sizes.current;
        self.changed = true;
        let device = &self.devices[v];
        let (own, room) = (device.size_to_be(), device.room(self.config.max_peers));
        let greets = self.conns[c].greeting.is_some();
        let theirs = sizes.disk != 0 && sizes.disk < own;
        let mine = device.is_attached() && sizes.current > room;
        let grows = sizes.current > own;
        if grows && device.disk == DiskState::Attaching {
            // What its metadata says is not known yet: the handshake is tried again.
            return if greets {
                self.refuse_greeting(c, Refusal::HandshakeRetry)
            } else {
                self.retry_link(c)
            };
        }
        match (theirs || mine, greets) {
            (true, true) => {
                reach!(self, ResizeTooSmall);
                let whose = if theirs { "peer's" } else { "own" };
                self.notice(Notice::Note(format!("The {whose} disk size is too small!")));
                self.refuse_greeting(c, Refusal::HandshakeDisconnect);
            }
            (true, false) if mine => self.retry_link(c),
            _ if grows => {
                reach!(self, ResizeCaughtUp);
                self.devices[v].user_size = sizes.user;
                self.grow_to(v, sizes.current, sizes.no_resync);
            }
            _ => {}
        }
        if greets && self.devices[v].growth.is_some() {
            // It has to be as large as the peer's before the two can compare.
            reach!(self, ResizeHandshake);
            self.refuse_greeting(c, Refusal::HandshakeRetry);
        }
        self.compare_added(v);
    }

    fn refuse_greeting(&mut self, c: usize, refusal: Refusal) {
        if let Some(greeting) = self.conns[c].greeting.as_mut() {
            greeting.refused = greeting.refused.or(Some(refusal));
        }
    }

    /// Are the copies at both ends as large, and none about to change?
    pub(super) fn same_size(&self, c: usize, v: usize) -> bool {
        let device = &self.devices[v];
        device.growth.is_none() && self.conns[c].volumes[v].size == device.size
    }

    /// What was added is resynced from the Primary, or from the copy with the lowest node id where
    /// the Primary has no disk.
    fn compare_added(&mut self, v: usize) {
        for c in 0..self.conns.len() {
            if self.devices[v].size > self.config.volumes[v].size
                && self.leads(v)
                && self.has_stray_bits(c, v)
                && self.devices[v].weight(self.conns[c].node) > 0
            {
                reach!(self, ResizeResync);
                self.renegotiate(c, v);
            }
        }
    }

    fn leads(&self, v: usize) -> bool {
        let led = self.conns.iter().any(|conn| conn.is_primary_with_disk(v));
        let good = |conn: &&Conn| conn.connected() && conn.volumes[v].disk == DiskState::UpToDate;
        let least = self.conns.iter().filter(good).all(|conn| self.me() < conn.node);
        self.role == Role::Primary || (!led && least)
    }

    /// What applications may use.
    pub(super) fn update_capacities(&mut self) {
        for v in 0..self.devices.len() {
            let size = self.devices[v].size;
            let has = |conn: &Conn| {
                let pd = &conn.volumes[v];
                let copy = pd.disk >= DiskState::Negotiating && pd.disk != DiskState::DUnknown;
                !conn.connected() || !copy || pd.size >= size
            };
            let ready = self.devices[v].growth.is_none() && self.conns.iter().all(has);
            if ready && self.devices[v].capacity != size {
                self.devices[v].capacity = size;
                self.changed = true;
                self.notice(Notice::Size(VolumeNumber(v as u16), size));
            }
        }
    }
}

// ---- one copy ----

impl Resource {
    pub(super) fn lower_resized(&mut self, volume: VolumeNumber, blocks: u64) {
        if let Some(device) = self.devices.get_mut(volume.index()) {
            device.lower = blocks;
        }
    }

    /// This node's device gets larger, if it has to.
    fn grow_to(&mut self, v: usize, to: u64, no_resync: bool) {
        let device = &mut self.devices[v];
        if to <= device.size_to_be() {
            return;
        }
        self.changed = true;
        device.no_resync = no_resync;
        if device.is_attached() && device.room(self.config.max_peers) < to {
            // Nobody who asked this node comes to that.
            return;
        }
        if !device.is_attached() {
            device.size = to;
            return;
        }
        match device.growth.as_mut() {
            Some(growth) if growth.stage == Stage::Draining => {
                (growth.to, growth.no_resync) = (to, no_resync);
            }
            // A peer is ahead by two sizes: once this one is durable, the next follows.
            Some(growth) => growth.next = Some((to, no_resync)),
            None => {
                device.al.freeze();
                device.growth = Some(Growth {
                    to,
                    no_resync,
                    stage: Stage::Draining,
                    moving: 0,
                    next: None,
                    then: Work::Grown(v),
                    reply: None,
                });
            }
        }
    }

    pub(super) fn progress_growths(&mut self) {
        (0..self.devices.len()).for_each(|v| self.progress_growth(v));
    }

    /// The next stage, if the one before is over.
    pub(super) fn progress_growth(&mut self, v: usize) {
        let device = &mut self.devices[v];
        let Some(growth) = &device.growth else { return };
        let written = device.bm_flight.is_empty() && growth.moving == 0;
        match growth.stage {
            Stage::Draining => {
                let still = device.md_writing.is_none() && device.al_pending.is_none();
                if still && written && device.al.is_idle() {
                    self.begin_move(v);
                }
            }
            Stage::Shield if written => self.move_metadata(v),
            Stage::Bitmap if written && device.bm_dirty.is_empty() => {
                let then = growth.then;
                self.set_stage(v, Stage::Superblock);
                self.md_sync(v, then);
            }
            Stage::Bitmap if written => self.write_bitmap(v),
            _ => {}
        }
    }

    fn set_stage(&mut self, v: usize, stage: Stage) {
        if let Some(growth) = &mut self.devices[v].growth {
            growth.stage = stage;
        }
    }

    /// Nothing is on its way: in memory the device has its new size from here on.
    fn begin_move(&mut self, v: usize) {
        let max_peers = self.config.max_peers;
        let device = &mut self.devices[v];
        let Some(growth) = &device.growth else { return };
        let (to, no_resync, old) = (growth.to, growth.no_resync, device.size);
        let (before, after) = (device.layout, Layout::new(device.lower, max_peers));
        device.size = to;
        device.md.effective_size = to;
        let metadata = match before == after {
            true => 0..0,
            false => before.bitmap().start..before.lower.min(to),
        };
        device.add_blocks(old, metadata, no_resync);
        if before == after {
            device.bm_dirty.extend(after.bitmap_pages(old, to - 1));
            self.set_stage(v, Stage::Bitmap);
            return self.write_bitmap(v);
        }
        device.layout = after;
        device.al.restart();
        (device.al_number, device.al_context) = (0, 0);
        let bitmap = after.bitmap();
        device.bm_dirty = (0..bitmap.end - bitmap.start).collect();
        if bitmap.start >= before.lower {
            return self.move_metadata(v);
        }
        // The old metadata is overwritten piece by piece: until the new one is whole, a crash finds
        // a superblock that has everything copied anew.
        reach!(self, ResizeShielded);
        let shield = shielded(&self.devices[v].md);
        let block = meta::page(shield.encode(&after));
        self.write_moved(v, after.superblock(), Arc::new([block]));
        self.set_stage(v, Stage::Shield);
    }

    /// Bitmap and activity log at their new place. The old ones stay as they are, as nothing is
    /// written in what was added before the superblock is durable.
    fn move_metadata(&mut self, v: usize) {
        reach!(self, ResizeMoved);
        let al = self.devices[v].layout.al();
        let blocks: Payload = al.clone().map(|_| meta::page(AlBlock::initialised())).collect();
        self.write_moved(v, al.start, blocks);
        self.set_stage(v, Stage::Bitmap);
        self.write_bitmap(v);
    }

    fn write_moved(&mut self, v: usize, start: u64, payload: Payload) {
        if let Some(growth) = &mut self.devices[v].growth {
            growth.moving += 1;
        }
        let write = Lower::Write { start, payload, preflush: true, fua: true };
        self.lower(v, write, LowerUse::Moved);
    }

    pub(super) fn metadata_moved(&mut self, v: usize) {
        if let Some(growth) = &mut self.devices[v].growth {
            growth.moving -= 1;
        }
        self.progress_growth(v);
    }

    /// The new size is durable here.
    pub(super) fn grown(&mut self, v: usize) {
        let Some(growth) = self.devices[v].growth.take() else { return };
        self.devices[v].al.thaw();
        self.pump_al(v);
        self.tell_size(v);
        self.compare_added(v);
        if let Some(id) = growth.reply {
            self.out.push(Action::Reply(id, Ok(())));
        }
        if let Some((to, no_resync)) = growth.next {
            self.grow_to(v, to, no_resync);
        }
        self.go_on_detaching(v);
        self.changed = true;
    }

    /// The disk went before it was durable; the size was agreed on nevertheless.
    pub(super) fn growth_failed(&mut self, v: usize, growth: Option<Growth>) {
        let Some(growth) = growth else { return };
        self.devices[v].size = growth.next.map_or(growth.to, |(to, _)| to);
        self.changed = true;
        if let Some(id) = growth.reply {
            self.out.push(Action::Reply(id, Err(Refusal::MetadataIo)));
        }
    }

    /// The size that a copy has, which is attached: what it was agreed to be last, or what this
    /// node has learned since.
    pub(super) fn size_at_attach(&self, v: usize, md: &Superblock) -> u64 {
        match md.effective_size {
            0 => self.devices[v].size,
            size => size,
        }
    }

    /// Metadata was read: the copy is attached once its superblock is durable, and has the size
    /// that was agreed on while it was away.
    pub(super) fn size_attached(&mut self, v: usize, known: u64) {
        let device = &mut self.devices[v];
        let agreed = std::mem::replace(&mut device.md.effective_size, device.size);
        // Without the room it stays as it is, and its peers find it too small.
        if agreed == 0 || agreed >= known || device.room(self.config.max_peers) < known {
            return self.md_sync(v, Work::Attached(v));
        }
        reach!(self, ResizeAtAttach);
        device.growth = Some(Growth {
            to: known,
            no_resync: false,
            stage: Stage::Draining,
            moving: 0,
            next: None,
            then: Work::Attached(v),
            reply: None,
        });
        self.progress_growth(v);
    }
}

/// A superblock for which neither bitmap nor activity log count.
fn shielded(md: &Superblock) -> Superblock {
    let mut md = md.clone();
    md.flags.put(MdFlags::AL_CLEAN, true);
    let slots = md.peers.iter_mut().filter(|peer| peer.bitmap_index.is_some());
    slots.for_each(|peer| peer.flags.put(PeerFlags::FULL_SYNC, true));
    md
}

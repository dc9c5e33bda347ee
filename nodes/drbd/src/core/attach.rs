//! The lower device: attach, and its end; the superblock, the activity log's transactions, bitmap
//! pages, I/O errors.

use super::Resource;
use super::activity_log::{ActivityLog, EXTENT_BLOCKS, Transaction};
use super::config::Config;
use super::disk_errors::LowerRequest;
use super::event::{Action, CommandId, IoTag, Lower, LowerResult, Notice, Refusal};
use super::locks::Locks;
use super::parts::{Device, LowerUse, Work};
use super::points::reach;
use crate::ids::{Blocks, NodeId, NodeMask, Uuid, VolumeNumber};
use crate::meta::{self, AlBlock, Layout, MdFlags, PeerFlags, Superblock};
use crate::page::{Page, Payload};
use crate::state::{DiskState, Role};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// An activity log update on its way to disk.
#[derive(Clone, Debug)]
pub(super) struct AlWrite {
    transaction: Transaction,
    /// Bitmap pages that have to be durable first.
    pub(super) pages: BTreeSet<u64>,
}

impl Device {
    pub(super) fn new(config: &Config, v: usize) -> Device {
        let volume = &config.volumes[v];
        Device {
            size: volume.size,
            capacity: volume.size,
            lower: 0,
            user_size: volume.size,
            no_resync: false,
            growth: None,
            configured_diskful: volume.diskful,
            disk: DiskState::Diskless,
            layout: Layout::new(Layout::lower_for(volume.size, config.max_peers), config.max_peers),
            md: Superblock::create(config.max_peers),
            md_version: 0,
            md_writing: None,
            md_written: 0,
            md_disowns: NodeMask::NONE,
            md_disowns_next: NodeMask::NONE,
            md_waiters: Vec::new(),
            bitmaps: Vec::new(),
            resynced: BTreeMap::new(),
            bm_dirty: BTreeSet::new(),
            bm_flight: BTreeMap::new(),
            bm_draining: false,
            detaching: None,
            al: ActivityLog::new(config.al_extents),
            al_number: 0,
            al_context: 0,
            al_pending: None,
            exposed: Uuid::NONE,
            predecessor: None,
            untold: None,
            abandoned: None,
            founding: None,
            quorum: config.quorum == super::config::Quorum::Off,
            new_uuid: false,
            new_session: false,
            crashed_primary: false,
            unclean: false,
            locks: Locks::default(),
            foreign_sectors: 0,
            birth: 0,
            attach_reply: None,
            in_flight: 0,
            attach_disk: DiskState::Diskless,
            ask_at: None,
            stray_at: None,
            announce_at: None,
            waits: false,
            read_turn: false,
        }
    }
}

/// Bitmap slots in the order of node ids: every node with a disk but this one. A new peer gets one
/// that nobody had, with what was written since day0.
pub(super) fn assign_slots(config: &Config, md: &mut Superblock) {
    for peer in config.peers.iter().filter(|peer| peer.diskful) {
        let free = md.free_slots().next();
        let slot = md.peer_mut(peer.node);
        slot.bitmap_index = slot.bitmap_index.or(free);
        slot.flags.put(PeerFlags::NODE_EXISTS, true);
        slot.flags.put(PeerFlags::DEVICE_SEEN, true);
    }
}

pub(super) fn create_md(
    config: &Config,
    volume: VolumeNumber,
    lower: u64,
    uuid: Option<Uuid>,
) -> Vec<(u64, Payload)> {
    let layout = Layout::new(lower, config.max_peers);
    let mut md = Superblock::create(config.max_peers);
    assign_slots(config, &mut md);
    if let (Some(uuid), Some(volume)) = (uuid, config.volumes.get(volume.index())) {
        md.current = uuid;
        md.effective_size = volume.size;
        md.node = Some(config.node);
        md.flags.put(MdFlags::CONSISTENT, true);
        md.flags.put(MdFlags::WAS_UP_TO_DATE, true);
    }
    let bitmap = layout.bitmap().map(|_| Page::Zero).collect();
    let al = layout.al().map(|_| meta::page(AlBlock::initialised())).collect();
    let superblock = Arc::new([meta::page(md.encode(&layout))]);
    vec![
        (layout.bitmap().start, bitmap),
        (layout.al().start, al),
        (layout.superblock(), superblock),
    ]
}

impl Resource {
    /// Sends a request to the lower device of a volume.
    pub(super) fn lower(&mut self, v: usize, request: Lower, usage: LowerUse) {
        self.count_foreign(v, &request, &usage);
        let birth = self.devices[v].birth;
        let since = self.now;
        let tag = self.lower.insert(LowerRequest { volume: v, birth, usage, since });
        self.out.push(Action::Lower(VolumeNumber(v as u16), IoTag(tag as u64), request));
    }

    pub(super) fn lower_done(&mut self, tag: IoTag, result: LowerResult) {
        if let Some(request) = self.lower.try_remove(tag.0 as usize) {
            self.lower_ended(request, result);
        }
    }

    pub(super) fn lower_ended(&mut self, request: LowerRequest, result: LowerResult) {
        let LowerRequest { volume: v, birth, usage, since: _ } = request;
        let stale = birth != self.devices[v].birth;
        match usage {
            LowerUse::App(key) => self.app_lower_done(key, result),
            LowerUse::Peer(key) => self.peer_lower_done(key, result),
            LowerUse::PeerRead(c, conn_birth, id, at) => {
                self.peer_read_done((c, v), conn_birth, (id, at), result)
            }
            LowerUse::ResyncWrite(key) => self.resync_write_done(key, result),
            LowerUse::ResyncRead(key) => self.resync_read_done(key, result),
            LowerUse::ResyncOwn(key) => self.own_read_done(key, result),
            LowerUse::VerifyRead(key) => self.verify_read_done(key, result),
            LowerUse::EpochFlush(c, conn_birth) => self.epoch_flushed(c, conn_birth),
            LowerUse::GivenUp => {}
            _ if stale => {}
            LowerUse::MetaRead => self.metadata_read(v, result),
            _ if result.is_err() => self.disk_failed(v),
            LowerUse::Superblock(version) => self.superblock_written(v, version),
            LowerUse::Transaction => self.al_written(v),
            LowerUse::Moved => self.metadata_moved(v),
            LowerUse::Bitmap(page) => self.bitmap_page_written(v, page),
        }
    }

    pub(super) fn attach(&mut self, id: CommandId, volume: VolumeNumber, blocks: u64) {
        let v = volume.index();
        let max_peers = self.config.max_peers;
        let Some(device) = self.devices.get_mut(v) else {
            return self.out.push(Action::Reply(id, Err(Refusal::MinorInvalid)));
        };
        let layout = Layout::new(blocks, max_peers);
        device.lower = device.lower.max(blocks);
        let usable = Layout::new(device.lower, max_peers).usable();
        let refusal = match device.disk {
            _ if !device.configured_diskful => Some(Refusal::AttachNoBitmap),
            DiskState::Diskless if usable < device.size => Some(Refusal::DiskTooSmall),
            DiskState::Diskless => None,
            _ => Some(Refusal::DiskConfigured),
        };
        if let Some(refusal) = refusal {
            return self.out.push(Action::Reply(id, Err(refusal)));
        }
        device.layout = layout;
        device.birth += 1;
        device.attach_reply = Some(id);
        let first = layout.bitmap().start;
        let whole = Blocks::new(first, (layout.lower - first) as u32);
        self.set_disk(v, DiskState::Attaching);
        self.lower(v, Lower::Read(whole), LowerUse::MetaRead);
    }

    fn metadata_read(&mut self, v: usize, result: LowerResult) {
        let me = self.me();
        let layout = self.devices[v].layout;
        let unread = result.is_err();
        let pages = result.ok().flatten();
        let base = layout.bitmap().start;
        let area = |range: std::ops::Range<u64>| {
            let range = (range.start - base) as usize..(range.end - base) as usize;
            pages.as_deref().and_then(|pages| pages.get(range)).unwrap_or(&[])
        };
        let superblock = area(layout.superblock()..layout.lower).first();
        let md = superblock.and_then(|block| Superblock::decode(&block.bytes(), &layout).ok());
        let Some(md) = md else {
            reach!(self, AttachRefused);
            self.set_disk(v, DiskState::Diskless);
            if let Some(id) = self.devices[v].attach_reply.take() {
                let refusal = if unread { Refusal::MetadataIo } else { Refusal::BadMetadata };
                self.out.push(Action::Reply(id, Err(refusal)));
            }
            return;
        };
        let size = self.size_at_attach(v, &md);
        let ring: Vec<_> = area(layout.al()).iter().map(Page::bytes).collect();
        let (slots, number) = meta::replay(&ring);
        let mut bitmaps = super::bitmap_io::decode(area(layout.bitmap()), &layout, size);
        let clean = md.flags.has(MdFlags::AL_CLEAN);
        let crashed = md.flags.has(MdFlags::PRIMARY_IND) || md.flags.has(MdFlags::CRASHED_PRIMARY);
        let device = &mut self.devices[v];
        device.al = ActivityLog::new(self.config.al_extents);
        device.bm_dirty.clear();
        if !clean {
            for extent in slots.values() {
                let at = Blocks::new(u64::from(*extent) * EXTENT_BLOCKS, EXTENT_BLOCKS as u32);
                bitmaps.iter_mut().for_each(|bitmap| {
                    bitmap.set(at);
                });
                device.bm_dirty.extend(layout.bitmap_pages(at.start, at.end().min(size) - 1));
            }
            device.al.load(slots);
        }
        device.al_number = number;
        device.al_context = 0;
        device.al_pending = None;
        device.bitmaps = bitmaps;
        device.md = md;
        let known = std::mem::replace(&mut device.size, size);
        device.crashed_primary = crashed;
        device.unclean = !clean;
        device.md_disowns = disowned(&device.md, me);
        if !clean {
            reach!(self, AttachReplaysLog);
        }
        if crashed {
            reach!(self, AttachCrashed);
        }
        self.mark_attached(v, known);
    }

    /// The superblock says from now on that the activity log counts. `known` is the size of the
    /// device before.
    fn mark_attached(&mut self, v: usize, known: u64) {
        let me = self.me();
        self.distrust_day0(v);
        assign_slots(&self.config, &mut self.devices[v].md);
        let device = &mut self.devices[v];
        device.md.node = Some(me);
        device.md.al_extents = u32::from(self.config.al_extents);
        device.md.flags.put(MdFlags::AL_CLEAN, false);
        device.md.flags.put(MdFlags::CRASHED_PRIMARY, device.crashed_primary);
        for slot in 0..device.bitmaps.len() {
            let full = device.md.peers.iter().any(|peer| {
                peer.bitmap_index == Some(slot as u8) && peer.flags.has(PeerFlags::FULL_SYNC)
            });
            if full {
                device.bitmaps[slot].fill();
            }
        }
        self.size_attached(v, known);
    }

    /// Attached: from flags to a disk state; connected peers are asked for their opinion.
    pub(super) fn attached(&mut self, v: usize) {
        let device = &mut self.devices[v];
        device.growth = None;
        let flags = device.md.flags;
        let disk = if !flags.has(MdFlags::CONSISTENT) {
            reach!(self, AttachInconsistent);
            DiskState::Inconsistent
        } else if !flags.has(MdFlags::WAS_UP_TO_DATE) {
            reach!(self, AttachOutdated);
            DiskState::Outdated
        } else {
            reach!(self, AttachUpToDate);
            DiskState::UpToDate
        };
        if let Some(id) = device.attach_reply.take() {
            self.out.push(Action::Reply(id, Ok(())));
        }
        let members = self.devices[v].md.member_mask();
        if self.members == self.me().mask() && !members.is_empty() {
            self.set_members(members.with(self.me()));
        }
        let device = &mut self.devices[v];
        self.dagtag.0 =
            device.md.peers.iter().map(|p| p.dagtag).max().unwrap_or(0).max(self.dagtag.0);
        let asks = self.conns.iter().any(|conn| conn.connected() && conn.config.diskful);
        if asks {
            reach!(self, AttachNegotiates);
            self.set_disk(v, DiskState::Negotiating);
            self.tell_size(v);
            self.negotiate_attach(v, disk);
        } else {
            if disk == DiskState::UpToDate {
                self.devices[v].exposed = self.devices[v].md.current;
            }
            self.set_disk(v, disk);
            self.tell_size(v);
        }
        self.start_wanted_links();
    }

    /// Writes the superblock; `then` goes on once this version of it is durable.
    pub(super) fn md_sync(&mut self, v: usize, then: Work) {
        self.touch_md(v);
        let device = &mut self.devices[v];
        device.md_waiters.push((device.md_version, then));
    }

    /// The superblock changed and has to be written.
    pub(super) fn touch_md(&mut self, v: usize) {
        self.devices[v].md_version += 1;
        if self.devices[v].md_writing.is_none() {
            self.write_superblock(v);
        }
    }

    fn write_superblock(&mut self, v: usize) {
        let me = self.me();
        let device = &mut self.devices[v];
        let gone = device.disk == DiskState::Diskless || device.disk == DiskState::Failed;
        if gone || device.growth.as_ref().is_some_and(|growth| growth.holds_superblock()) {
            return;
        }
        let version = device.md_version;
        device.md_writing = Some(version);
        device.md_disowns_next = disowned(&device.md, me);
        let block = device.md.encode(&device.layout);
        let start = device.layout.superblock();
        let payload: Payload = Arc::new([meta::page(block)]);
        // md-flushes: whatever was written before is durable before the new generation or flag is.
        let write = Lower::Write { start, payload, preflush: true, fua: true };
        self.lower(v, write, LowerUse::Superblock(version));
    }

    fn superblock_written(&mut self, v: usize, version: u64) {
        let device = &mut self.devices[v];
        device.md_writing = None;
        device.md_written = version;
        self.changed |= device.md_disowns != device.md_disowns_next;
        device.md_disowns = device.md_disowns_next;
        if device.md_version > version {
            self.write_superblock(v);
        }
        let device = &mut self.devices[v];
        let waiters = std::mem::take(&mut device.md_waiters);
        let (ready, wait): (Vec<_>, _) = waiters.into_iter().partition(|(at, _)| *at <= version);
        device.md_waiters = wait;
        ready.into_iter().for_each(|(_, work)| self.work(work));
    }

    /// Writes the next activity log transaction, if somebody waits for one.
    pub(super) fn pump_al(&mut self, v: usize) {
        let Some(transaction) = self.devices[v].al.next_transaction() else {
            let ready = self.devices[v].al.ready_without();
            return self.works(ready);
        };
        let forgets = self.quirk("evicted-bits-not-written");
        let device = &mut self.devices[v];
        let mut pages = BTreeSet::new();
        let mut dirty = Vec::new();
        let evicted = match self.quirks.has("evicted-bits-not-awaited") {
            true => &[][..],
            false => &transaction.evicted,
        };
        for extent in evicted {
            let first = u64::from(*extent) * EXTENT_BLOCKS;
            let last = (first + EXTENT_BLOCKS).min(device.size) - 1;
            for page in device.layout.bitmap_pages(first, last) {
                if forgets {
                    device.bm_dirty.remove(&page);
                } else if device.bm_dirty.remove(&page) {
                    dirty.push(page);
                    pages.insert(page);
                } else if device.bm_flight.contains_key(&page) {
                    pages.insert(page);
                }
            }
        }
        let ready = pages.is_empty();
        device.al_pending = Some(AlWrite { transaction, pages });
        if ready {
            return self.write_transaction(v);
        }
        dirty.into_iter().for_each(|page| self.write_bitmap_page(v, page));
    }

    pub(super) fn write_transaction(&mut self, v: usize) {
        let device = &mut self.devices[v];
        let Some(write) = &device.al_pending else { return };
        let slots: Vec<Option<u32>> = device.al.slots().collect();
        let start = usize::from(device.al_context);
        let end = (start + usize::from(AlBlock::CONTEXT)).min(slots.len());
        device.al_number = device.al_number.wrapping_add(1);
        let block = AlBlock {
            number: device.al_number,
            updates: write.transaction.updates.clone(),
            slots: slots.len() as u16,
            context_start: device.al_context,
            context: slots[start..end].to_vec(),
        };
        device.al_context = if end == slots.len() { 0 } else { end as u16 };
        let ring = device.layout.al();
        let at = ring.start + u64::from(device.al_number) % (ring.end - ring.start);
        let payload: Payload = Arc::new([meta::page(block.encode())]);
        let write = Lower::Write { start: at, payload, preflush: true, fua: true };
        self.lower(v, write, LowerUse::Transaction);
    }

    fn al_written(&mut self, v: usize) {
        self.devices[v].al_pending = None;
        let ready = self.devices[v].al.committed();
        self.works(ready);
        self.pump_al(v);
    }

    /// Gives extents back and serves who waits for a slot.
    pub(super) fn release_extents(&mut self, v: usize, at: Blocks) {
        self.devices[v].al.end(at);
        self.pump_al(v);
    }

    /// on-io-error detach: the disk goes Failed and Diskless; what it was needed for goes on
    /// without it.
    pub(super) fn disk_failed(&mut self, v: usize) {
        if matches!(self.devices[v].disk, DiskState::Diskless | DiskState::Failed) {
            return;
        }
        reach!(self, DiskFailed);
        self.set_disk(v, DiskState::Failed);
        self.notice(Notice::Note("Local IO failed, detaching".to_owned()));
        self.broadcast_states();
        self.drop_disk(v);
        if self.role == Role::Primary {
            reach!(self, DiskFailedPrimary);
            self.devices[v].new_uuid = true;
        }
    }

    /// Lets go of the lower device: nobody waits for it any more.
    fn drop_disk(&mut self, v: usize) {
        let reply = self.devices[v].attach_reply.take();
        if let Some(id) = reply {
            self.out.push(Action::Reply(id, Err(Refusal::BadMetadata)));
        }
        self.abort_resyncs(v);
        let device = &mut self.devices[v];
        device.birth += 1;
        device.lower = 0;
        device.md_writing = None;
        device.al_pending = None;
        device.bitmaps.clear();
        device.resynced.clear();
        device.bm_dirty.clear();
        device.bm_flight.clear();
        device.bm_draining = false;
        let detaching = device.detaching.take();
        let growth = device.growth.take();
        let waiters = std::mem::take(&mut device.md_waiters);
        let blocked = device.al.drain();
        device.al = ActivityLog::new(self.config.al_extents);
        if device.md.current != Uuid::JUST_CREATED {
            device.exposed =
                if device.exposed.is_none() { device.md.current } else { device.exposed };
        }
        for (_, req) in self.reqs.iter_mut().filter(|(_, r)| r.volume == v) {
            req.active = false;
        }
        for (_, req) in self.peer_reqs.iter_mut().filter(|(_, r)| r.volume == v) {
            req.active = false;
        }
        for (_, req) in self.resync_reqs.iter_mut() {
            req.lost_disk(v);
        }
        self.set_disk(v, DiskState::Diskless);
        self.generation_disk_lost();
        if let Some(Some(id)) = detaching {
            self.out.push(Action::Reply(id, Ok(())));
        }
        self.growth_failed(v, growth);
        self.works(blocked);
        for (_, work) in waiters {
            self.abandoned(work);
        }
    }

    /// A metadata write that something waited for will not happen.
    fn abandoned(&mut self, work: Work) {
        match work {
            Work::Promoted => self.promoted_durable(),
            Work::Founded(v) => self.founding_failed(v),
            Work::Detached(_, Some(id)) => self.out.push(Action::Reply(id, Ok(()))),
            _ => {}
        }
    }

    /// The superblock may say that the activity log is clean only once every bit is durable.
    pub(super) fn go_on_detaching(&mut self, v: usize) {
        if !self.devices[v].bm_flight.is_empty() || self.devices[v].growth.is_some() {
            return;
        }
        let Some(reply) = self.devices[v].detaching.take() else { return };
        let device = &mut self.devices[v];
        if !device.bm_dirty.is_empty() {
            device.detaching = Some(reply);
            return self.write_bitmap(v);
        }
        let idle = self.log.is_empty() && self.peer_reqs.is_empty() && self.resync_reqs.is_empty();
        let clean = idle && !self.devices[v].unclean;
        self.devices[v].md.flags.put(MdFlags::AL_CLEAN, clean);
        self.md_sync(v, Work::Detached(v, reply));
    }

    pub(super) fn detached(&mut self, v: usize, reply: Option<CommandId>) {
        reach!(self, DetachedClean);
        self.drop_disk(v);
        if let Some(id) = reply {
            self.out.push(Action::Reply(id, Ok(())));
        }
        self.finish_down();
    }

    /// Bitmap UUIDs of the nodes that this copy has a bitmap slot for.
    pub(super) fn slots_listed(&self, v: usize) -> Vec<(NodeId, Uuid)> {
        let md = &self.devices[v].md;
        NodeId::all()
            .filter(|node| *node != self.me())
            .filter(|node| md.peer(*node).bitmap_index.is_some())
            .map(|node| (node, md.peer(node).bitmap_uuid))
            .collect()
    }
}

/// Nodes that a superblock says are not needed for quorum: all others, if this node was alone with
/// it, and those that are known to be Outdated.
fn disowned(md: &Superblock, me: NodeId) -> NodeMask {
    let alone = md.flags.has(MdFlags::HAVE_QUORUM) && md.member_mask() == me.mask();
    let outdated = |node: &NodeId| alone || md.peer(*node).flags.has(PeerFlags::OUTDATED);
    NodeId::all().filter(|node| *node != me && outdated(node)).fold(NodeMask::NONE, NodeMask::with)
}

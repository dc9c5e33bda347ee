//! New data generations: when contact to a copy is lost, the next write belongs to a new current
//! UUID, so that the copy that lacks it is recognised.
//!
//! Until every node that can be reached has confirmed the new generation, no write completes that
//! the lost copy may lack: otherwise a cut that follows the loss could let the old copy win a
//! majority of its own.

use super::Resource;
use super::event::Notice;
use super::parts::{Conn, Work};
use super::points::reach;
use super::twopc::Purpose;
use crate::ids::{NodeId, NodeMask, Uuid, VolumeNumber};
use crate::meta::MdFlags;
use crate::packet::{Packet, UuidFlags, Uuids};
use crate::state::{DiskState, Role};
use std::sync::Arc;

/// How far the making of a new generation is.
#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
pub(super) enum Generation {
    /// None is being made.
    #[default]
    Idle,
    /// Peers are pinged: a peer that is gone, but not noticed yet, must not count as having it.
    Pinging,
    /// The superblocks of so many volumes are being written.
    Durable(usize),
    /// A two-phase commit tells everybody.
    Confirming,
}

impl Resource {
    /// Is a new generation due, or being made? A volume without data waits for data first; its
    /// requests fail or hold everything already, and those of the other volumes need not wait for
    /// it.
    pub(super) fn needs_generation_now(&self) -> bool {
        let due = |v: usize| self.devices[v].new_uuid && self.data_accessible(v);
        self.generation != Generation::Idle || (0..self.devices.len()).any(due)
    }

    /// Starts a generation if one is due. `true`: requests have to wait for it.
    pub(super) fn need_generation(&mut self) -> bool {
        if self.generation != Generation::Idle || self.twopc.awaits_new_current() {
            return true;
        }
        for v in 0..self.devices.len() {
            if self.devices[v].new_uuid && self.data_accessible(v) && !self.would_rotate(v) {
                self.devices[v].new_uuid = false;
                self.devices[v].new_session = false;
                self.devices[v].predecessor = None;
                reach!(self, NewUuidNotNeeded);
            }
        }
        if !self.needs_generation_now() {
            return false;
        }
        let held = self.access_lost || self.role != Role::Primary || !self.all_quorate();
        if held || self.uuids_locked() {
            if !held {
                reach!(self, NewUuidLocked);
            }
            return true;
        }
        match self.quirk("new-uuid-not-confirmed") {
            false => self.ping_all(),
            true => self.make_generation(),
        }
        true
    }

    /// The next generation shows those who are not part of this node's quorum that they are left
    /// behind.
    pub(super) fn assert_generation(&mut self, v: usize) {
        self.devices[v].new_uuid = true;
        self.devices[v].new_session = true;
        reach!(self, NewUuidAsserted);
        self.asserts = true;
        self.changed = true;
    }

    fn ping_all(&mut self) {
        self.generation = Generation::Pinging;
        self.ask_for_life();
        if !self.all_alive() {
            reach!(self, NewUuidPings);
        }
        self.pings_answered();
    }

    /// Goes on once every peer has answered, or is known to be gone.
    pub(super) fn pings_answered(&mut self) {
        if self.generation != Generation::Pinging || !self.all_alive() {
            return;
        }
        self.generation = Generation::Idle;
        self.changed = true;
        self.update_quorum();
        self.update_suspension();
        let primary = self.role == Role::Primary;
        if primary && !self.access_lost && !self.uuids_locked() && self.all_quorate() {
            self.make_generation();
        }
    }

    pub(super) fn all_quorate(&self) -> bool {
        self.devices.iter().all(|device| device.quorum)
    }

    /// The UUIDs must not change between the two halves of a handshake.
    pub(super) fn uuids_locked(&self) -> bool {
        if self.twopc.leaked_lock() {
            return true;
        }
        if self.quirk("uuids-not-locked") {
            return false;
        }
        self.conns.iter().any(|conn| conn.greeting.as_ref().is_some_and(|g| g.sent))
            || self.conns.iter().any(|conn| conn.volumes.iter().any(|pd| pd.offered.is_some()))
            || self.is_founding()
    }

    /// A generation that is not durable here is not to be shown to anybody.
    pub(super) fn generation_is_young(&self) -> bool {
        matches!(self.generation, Generation::Durable(_)) || self.is_founding()
    }

    pub(super) fn generation_is_underway(&self) -> bool {
        self.generation != Generation::Idle
    }

    pub(super) fn make_generation(&mut self) {
        let due: Vec<usize> = (0..self.devices.len())
            .filter(|v| self.devices[*v].new_uuid && self.data_accessible(*v))
            .collect();
        if due.is_empty() {
            return;
        }
        self.close_epoch();
        self.devices.iter_mut().for_each(|device| device.untold = None);
        self.asserts = false;
        let mut writes = 0;
        for v in &due {
            if self.devices[*v].new_session && self.conns.iter().any(|conn| !conn.connected()) {
                reach!(self, NewUuidSession);
            }
            self.devices[*v].new_uuid = false;
            self.devices[*v].new_session = false;
            writes += usize::from(self.new_current(*v));
        }
        self.generation = Generation::Durable(writes);
        if writes == 0 {
            self.confirm_generation();
        } else {
            for v in due {
                if self.devices[v].disk == DiskState::UpToDate {
                    self.md_sync(v, Work::Generation);
                }
            }
        }
    }

    /// A new random current UUID for one volume. `true`: the superblock has to be written.
    fn new_current(&mut self, v: usize) -> bool {
        let uuid = Uuid(self.draw() | 1);
        let weak = self.weak_nodes(v);
        let volume = VolumeNumber(v as u16);
        let diskful = self.devices[v].disk == DiskState::UpToDate;
        if diskful {
            reach!(self, NewUuidWithDisk);
            self.devices[v].untold = Some(Box::new(self.devices[v].md.clone()));
            self.rotate(v, uuid, weak, None);
        } else {
            reach!(self, NewUuidDiskless);
            let old = self.devices[v].exposed;
            self.devices[v].predecessor.get_or_insert(old);
            if self.devices[v].disk == DiskState::Consistent {
                // The peers' copies get it, an own one that nobody vouches for does not: it is
                // behind.
                self.set_disk(v, DiskState::Outdated);
            }
        }
        self.devices[v].exposed = uuid;
        self.nobody_missed(v);
        self.notice(Notice::NewCurrentUuid(volume, uuid));
        if !diskful {
            self.announce_exposed(v, uuid, weak);
            self.devices[v].new_uuid = false;
        }
        diskful
    }

    /// P_CURRENT_UUID to all connected peers.
    fn announce_exposed(&mut self, v: usize, uuid: Uuid, weak: NodeMask) {
        let volume = VolumeNumber(v as u16);
        let abandoned = self.devices[v].abandoned.take();
        for c in 0..self.conns.len() {
            if self.conns[c].connected() {
                if let Some(uuid) = abandoned {
                    // Whoever has it is recognised by those who have what follows it.
                    self.send(c, Packet::CurrentUuid { volume, uuid, weak });
                }
                self.send(c, Packet::CurrentUuid { volume, uuid, weak });
                self.note_exposed(c, v, uuid, weak);
            }
            let left_out = weak.has(self.conns[c].node) && self.conns[c].connected();
            if left_out && self.conns[c].volumes[v].disk == DiskState::Consistent {
                self.set_peer_disk(c, v, DiskState::Outdated);
            }
        }
    }

    /// Generations tell from here on which copy lacks what.
    pub(super) fn nobody_missed(&mut self, v: usize) {
        for conn in &mut self.conns {
            conn.volumes[v].missed = false;
            conn.volumes[v].unflushed = false;
            conn.volumes[v].caught_up = false;
        }
    }

    /// What a peer will say of itself once it has read P_CURRENT_UUID.
    fn note_exposed(&mut self, c: usize, v: usize, uuid: Uuid, weak: NodeMask) {
        let node = self.conns[c].node;
        let pd = &mut self.conns[c].volumes[v];
        let good = matches!(pd.disk, DiskState::UpToDate | DiskState::Consistent);
        if let (Some(uuids), true, false) = (&pd.uuids, good, weak.has(node)) {
            let mut new = Uuids::clone(uuids);
            for (n, slot) in &mut new.bitmap {
                if weak.has(*n) && *n != node && (slot.is_none() || slot.same(new.current)) {
                    *slot = new.current;
                }
            }
            new.current = uuid;
            pd.uuids = Some(Arc::new(new));
        }
    }

    /// What a peer says of itself on a standing connection was sent before it read P_CURRENT_UUID:
    /// it says so again once it has.
    pub(super) fn crosses_its_word(&self, c: usize, v: usize, uuids: &Uuids) -> bool {
        let (device, conn) = (&self.devices[v], &self.conns[c]);
        let noted = conn.volumes[v].uuids.as_ref().map(|noted| noted.current);
        conn.greeting.is_none()
            && !uuids.flags.has(UuidFlags::RESYNC)
            && !device.has_disk()
            && noted.is_some_and(|noted| noted.same(device.exposed))
            && device.predecessor.is_some_and(|old| old.same(uuids.current))
    }

    pub(super) fn generation_durable(&mut self) {
        if let Generation::Durable(left) = self.generation {
            self.generation = Generation::Durable(left.saturating_sub(1));
            if left <= 1 {
                self.confirm_generation();
            }
        }
    }

    fn confirm_generation(&mut self) {
        self.generation = Generation::Confirming;
        for v in 0..self.devices.len() {
            self.devices[v].untold = None;
            if self.devices[v].disk == DiskState::UpToDate {
                let weak = self.weak_nodes(v);
                self.announce(v, weak, None);
            }
        }
        match self.confirms_nothing() {
            false => self.want(Purpose::Confirm),
            true => self.generation_confirmed(),
        }
    }

    /// Everybody who can be reached knows.
    pub(super) fn generation_confirmed(&mut self) {
        reach!(self, NewUuidConfirmed);
        self.generation = Generation::Idle;
        self.changed = true;
        for v in 0..self.devices.len() {
            if self.data_accessible(v) {
                self.devices[v].predecessor = None;
            }
        }
    }

    /// A Primary without good data of its own (no disk, or one that is still a target) lost all
    /// data before anybody confirmed its new generation: no write was completed in it, so it works
    /// on the one before.
    pub(super) fn return_to_predecessor(&mut self, v: usize) {
        if self.data_accessible(v) || self.quirk("optimistic-uuid-trusted") {
            return;
        }
        let primary = self.role == Role::Primary;
        let device = &mut self.devices[v];
        if let Some(old) = device.predecessor.take() {
            reach!(self, UuidPredecessor);
            device.abandoned = Some(device.exposed);
            device.exposed = old;
            device.new_uuid |= primary;
        }
    }

    /// A peer did get the generation that was given up: it is this node's after all. `true`: it is
    /// taken up again, so the peer has to be told of it instead of the one before.
    pub(super) fn takes_up(&mut self, v: usize, uuid: Uuid) -> bool {
        let free = self.role == Role::Primary && !self.data_accessible(v);
        let device = &mut self.devices[v];
        let ours = device.abandoned.is_some_and(|abandoned| abandoned.same(uuid));
        if ours && free {
            device.exposed = uuid;
            device.abandoned = None;
        }
        ours && free
    }

    /// A lost disk takes with it a generation that waits for its superblock. It may be there all
    /// the same, so the copies that this node works on from now on take it over, and know that disk
    /// when it comes back.
    pub(super) fn generation_disk_lost(&mut self) {
        if !matches!(self.generation, Generation::Durable(_)) {
            return;
        }
        reach!(self, NewUuidDiskLost);
        self.generation = Generation::Idle;
        for v in 0..self.devices.len() {
            let device = &mut self.devices[v];
            device.new_uuid = true;
            if device.has_disk() {
                self.take_back(v);
            } else if let Some(before) = device.untold.take() {
                device.predecessor.get_or_insert(before.current);
                let (made, weak) = (device.exposed, self.weak_nodes(v));
                self.announce_exposed(v, made, weak);
            }
        }
    }

    /// This node is not Primary any more, and its latest generation waits for its superblock:
    /// nobody knows of it, and nothing was written in it. The others may go on without it, so it is
    /// taken back.
    pub(super) fn take_back_generation(&mut self) {
        self.asserts = false;
        if !matches!(self.generation, Generation::Durable(_)) {
            return;
        }
        reach!(self, UuidTakenBack);
        self.generation = Generation::Idle;
        (0..self.devices.len()).for_each(|v| self.take_back(v));
    }

    /// The superblock as it was before a generation that nobody was told of.
    fn take_back(&mut self, v: usize) {
        let device = &mut self.devices[v];
        let Some(before) = device.untold.take() else { return };
        device.md.current = before.current;
        device.md.history = before.history;
        for node in NodeId::all() {
            device.md.peer_mut(node).bitmap_uuid = before.peer(node).bitmap_uuid;
        }
        let lost_quorum = before.flags.has(MdFlags::PRIMARY_LOST_QUORUM);
        device.md.flags.put(MdFlags::PRIMARY_LOST_QUORUM, lost_quorum);
        device.exposed = before.current;
        device.md_waiters.retain(|(_, work)| *work != Work::Generation);
        self.touch_md(v);
    }

    /// P_UUIDS110 with NEW_DATAGEN to all connected peers but one.
    fn announce(&mut self, v: usize, weak: NodeMask, except: Option<usize>) {
        for c in 0..self.conns.len() {
            if self.conns[c].connected() && Some(c) != except {
                let mut uuids = self.uuids_for(c, v);
                uuids.flags.0 |= UuidFlags::NEW_DATAGEN;
                uuids.node_mask = weak;
                self.send(c, Packet::Uuids(VolumeNumber(v as u16), Arc::new(uuids)));
            }
        }
    }

    /// Nodes without access to this node's data: all but itself, if UpToDate, and the connected
    /// ones whose disks are in use.
    pub(super) fn weak_nodes(&self, v: usize) -> NodeMask {
        let mut strong = NodeMask::NONE;
        if self.devices[v].disk == DiskState::UpToDate {
            strong.insert(self.me());
        }
        for conn in self.conns.iter().filter(|conn| conn.connected()) {
            let disk = conn.volumes[v].disk;
            let usable = disk > DiskState::Failed && disk != DiskState::DUnknown;
            if usable && disk != DiskState::Outdated && !conn.volumes[v].doubted {
                strong.insert(conn.node);
            }
        }
        strong.complement()
    }

    /// Should the slot of `node` take the current UUID when a new one is made?
    fn falls_behind(&self, v: usize, node: NodeId, weak: NodeMask) -> bool {
        let device = &self.devices[v];
        let slot = device.md.peer(node);
        if node == self.me() || slot.bitmap_index.is_none() {
            return false;
        }
        if !slot.bitmap_uuid.is_none() && !slot.bitmap_uuid.same(device.md.current) {
            return false;
        }
        let absent = self.conn_of(node).is_none_or(|c| {
            let disk = self.conns[c].volumes[v].disk;
            disk <= DiskState::DUnknown && disk != DiskState::Negotiating
        });
        absent || weak.has(node)
    }

    /// Would making a new current UUID change anything?
    pub(super) fn would_rotate(&self, v: usize) -> bool {
        if let Some(asked) = self.slots_ask_for_bump(v) {
            return asked;
        }
        // A node that is away may be a Primary with writes on hold, which must not come back to
        // life behind those of this session. (DRBD makes none here unless a copy falls behind.)
        if self.devices[v].new_session && self.conns.iter().any(|conn| !conn.connected()) {
            return true;
        }
        if self.is_on_day0(v) {
            reach!(self, NewUuidDay0);
            return true;
        }
        let weak = self.weak_nodes(v);
        if self.devices[v].disk == DiskState::UpToDate {
            let caught_up = |conn: &Conn| !conn.connected() && conn.volumes[v].caught_up;
            return self.conns.iter().any(caught_up)
                || NodeId::all().any(|node| self.falls_behind(v, node, weak));
        }
        // Without an UpToDate disk the slots are the peers', and what is known of them may be old:
        // any absent copy counts. A generation too many is harmless, the peers keep the slots that
        // are set.
        let mut copies = self.conns.iter().filter(|conn| conn.config.diskful).map(|conn| conn.node);
        copies.any(|node| weak.has(node)) || self.config.volumes[v].diskful
    }

    /// Makes `uuid` current: the old one becomes the bitmap UUID of the nodes that fall behind.
    fn rotate(&mut self, v: usize, uuid: Uuid, weak: NodeMask, sender: Option<NodeId>) {
        let old = self.devices[v].md.current;
        let forgets = sender.is_some() && self.quirk("old-uuid-forgotten-by-followers");
        let unset = self.quirk("absent-peers-slot-not-set") || forgets;
        for node in NodeId::all() {
            let behind = Some(node) != sender && self.falls_behind(v, node, weak) && !unset;
            let slot = self.devices[v].md.peer(node).bitmap_uuid;
            if self.overwrites_slot(node, weak, sender) {
                self.devices[v].md.peer_mut(node).bitmap_uuid = old;
                continue;
            }
            let ahead = !behind && !slot.is_none() && !weak.has(node) && sender.is_some();
            let md = &mut self.devices[v].md;
            if behind {
                md.set_bitmap_uuid(node, old);
            } else if ahead && md.peer(node).bitmap_index.is_some() {
                // The node may not follow after all, and come back with what it was known by.
                md.set_bitmap_uuid(node, uuid);
            }
        }
        let me = self.me();
        let md = &mut self.devices[v].md;
        md.leave_day0(me, old);
        md.current = uuid;
        if !forgets {
            md.push_history(old);
        }
        // What was written without quorum belongs to the generation before. (DRBD keeps the flag.)
        md.flags.put(MdFlags::PRIMARY_LOST_QUORUM, false);
        self.touch_md(v);
        self.conns.iter_mut().for_each(|conn| conn.volumes[v].agreed = false);
    }

    /// A peer announces a new generation (P_UUIDS110 with NEW_DATAGEN, or P_CURRENT_UUID).
    pub(super) fn learn_generation(&mut self, c: usize, v: usize, uuid: Uuid, weak: NodeMask) {
        let device = &self.devices[v];
        self.devices[v].exposed = match device.has_disk() {
            true => device.exposed,
            false => uuid,
        };
        let syncing = self.conns.iter().any(|conn| conn.volumes[v].repl.is_sync_target());
        let device = &self.devices[v];
        let mine = weak.has(self.me());
        let good = matches!(device.disk, DiskState::UpToDate | DiskState::Consistent);
        if device.md.current.same(uuid) || syncing || !good {
            return;
        }
        if mine {
            reach!(self, UuidLeftOut);
            // The Primary goes on without this copy.
            return self.set_disk(v, DiskState::Outdated);
        }
        reach!(self, UuidLearned);
        let sender = self.conns[c].node;
        self.rotate(v, uuid, weak, Some(sender));
        self.devices[v].exposed = uuid;
        // The sender, too: a diskless one wants to know what became of its word.
        self.tell_uuids(v, None);
    }
}

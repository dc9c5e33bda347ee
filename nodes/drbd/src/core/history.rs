//! What bugs of DRBD's history did, where that takes more than a condition. Nothing here does
//! anything unless the simulator has put the bug back (see [`crate::quirks`]).

use super::Resource;
use super::generation::Generation;
use super::parts::Offer;
use super::quorum::Voter;
use crate::ids::{NodeId, NodeMask};
use crate::meta::MdFlags;
use crate::state::{DiskState, Role};

impl Resource {
    /// A Primary without a disk took it for granted that a peer had the generation which it had
    /// sent there, whatever the peer said when it came back.
    pub(super) fn believes_its_own_word(&self, c: usize, v: usize) -> bool {
        let device = &self.devices[v];
        let told = self.conns[c].volumes[v].uuids.as_ref();
        self.quirk("optimistic-uuid-trusted")
            && self.role == Role::Primary
            && !device.has_disk()
            && self.conns[c].greeting.is_some()
            && told.is_some_and(|uuids| uuids.current.same(device.exposed))
    }

    /// Nothing waited until anybody had said that a new generation had arrived.
    pub(super) fn confirms_nothing(&self) -> bool {
        let diskless = self.devices.iter().all(|device| !device.has_disk());
        self.quirk("new-uuid-not-confirmed") || diskless && self.quirk("optimistic-uuid-trusted")
    }

    /// A frozen Primary without a disk went on in the old generation when it had data again, and
    /// nobody asked who is there: a copy that only others see stayed UpToDate.
    pub(super) fn resumes_without_uuid(&mut self) {
        if self.quirk("far-copy-not-outdated") {
            let diskless = self.devices.iter_mut().filter(|device| !device.configured_diskful);
            diskless.for_each(|device| (device.new_uuid, device.new_session) = (false, false));
        }
    }

    /// Copies that lost a Primary decided on their own whether to reconcile: who had named the lost
    /// Primary, but heard of none, did not.
    pub(super) fn reconciles_alone(&self, mine: &Offer, theirs: &Offer) -> bool {
        let one_sided = mine.lost.is_some() && theirs.lost.is_none();
        one_sided && self.quirk("one-end-reconciles")
    }

    /// A Primary that is diskless on purpose made a generation only if a peer had a slot without a
    /// bitmap UUID for a node that falls behind; `None` without the quirk.
    pub(super) fn slots_ask_for_bump(&self, v: usize) -> Option<bool> {
        let device = &self.devices[v];
        if device.configured_diskful || !self.quirk("diskless-sessions-share-uuid") {
            return None;
        }
        let weak = self.weak_nodes(v).without(self.me());
        let good = self
            .conns
            .iter()
            .filter(|conn| conn.connected() && conn.volumes[v].disk == DiskState::UpToDate);
        let asks = |node: NodeId, uuids: &crate::packet::Uuids| {
            let zero = |(n, slot): &(NodeId, crate::ids::Uuid)| {
                *n != node && weak.has(*n) && (slot.is_none() || slot.same(uuids.current))
            };
            uuids.bitmap.iter().any(zero)
        };
        let mut known = good.filter_map(|conn| Some((conn.node, conn.volumes[v].uuids.as_ref()?)));
        Some(known.any(|(node, uuids)| asks(node, uuids)))
    }

    /// Each promotion of a node without a disk overwrote what an absent copy was known by.
    pub(super) fn overwrites_slot(
        &self,
        node: NodeId,
        weak: NodeMask,
        sender: Option<NodeId>,
    ) -> bool {
        let diskless = sender.and_then(|node| self.conn_of(node));
        let diskless = diskless.is_some_and(|c| !self.conns[c].config.diskful);
        let copy = self.conn_of(node).is_some_and(|c| self.conns[c].config.diskful);
        self.quirk("diskless-promotions-overwrite-slot") && diskless && copy && weak.has(node)
    }

    /// A Primary without quorum made a new generation for requests that it then held.
    pub(super) fn new_uuid_while_frozen(&mut self) {
        let lost = self.role == Role::Primary && !self.all_quorate();
        let due = (0..self.devices.len()).any(|v| {
            let device = &self.devices[v];
            device.new_uuid && device.disk == DiskState::UpToDate && self.would_rotate(v)
        });
        let free = self.generation == Generation::Idle && !self.uuids_locked();
        if !self.quirk("new-uuid-while-frozen") || !lost || !due || !free {
            return;
        }
        self.make_generation();
        for v in 0..self.devices.len() {
            self.devices[v].md.flags.put(MdFlags::PRIMARY_LOST_QUORUM, true);
            self.touch_md(v);
        }
    }

    /// A Primary that was about to step down let another be promoted before it had.
    pub(super) fn is_as_good_as_demoted(&self) -> bool {
        self.quirk("demoting-primary-agrees") && self.roles.is_demoting()
    }

    /// The barrier behind an epoch's last write went out with the next write alone.
    pub(super) fn send_late_barrier(&mut self) {
        let ended = |key: &usize| {
            let req = &self.reqs[*key];
            req.completed && req.epoch == self.epoch
        };
        if self.quirk("barrier-waits-for-next-write") && self.log.iter().any(ended) {
            self.close_epoch();
        }
    }

    /// Nodes that were proven to be without quorum were never counted again, though together with
    /// those that are Outdated they might have it.
    pub(super) fn forget_quorumless(&self, others: &mut Vec<Voter>) {
        if self.quirk("quorumless-could-meet") && !others.contains(&Voter::Unknown) {
            others.retain(|voter| *voter != Voter::Quorumless);
        }
    }
}

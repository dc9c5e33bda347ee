//! `new-current-uuid`: a new data generation on an administrator's word. Copies that were just
//! created skip their initial sync, or make it at once.
//!
//! DRBD does this on one node and tells the others. Here the others agree first, so that of two
//! nodes that are told to do it at once only one does.

use super::Resource;
use super::event::{Action, CommandId, InitialSync, Notice, Refusal};
use super::parts::{Conn, Work};
use super::points::reach;
use super::twopc::Purpose;
use crate::ids::{NodeId, Uuid, VolumeNumber};
use crate::meta::{MdFlags, PeerFlags};
use crate::packet::{Packet, UuidFlags, Uuids};
use crate::state::{DiskState, ReplState, Role};
use std::sync::Arc;

/// A first generation that is not durable yet, on the node that made it or on one that was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Founding {
    initial: InitialSync,
    /// The command that asked for it; `None` where another node was asked.
    reply: Option<CommandId>,
}

impl Resource {
    pub(super) fn new_current_by_command(
        &mut self,
        id: CommandId,
        volume: VolumeNumber,
        initial: InitialSync,
    ) {
        match self.new_current_refusal(volume.index(), initial) {
            None | Some(Refusal::InTransientState) => {
                self.want(Purpose::NewCurrent(volume, initial, id));
            }
            Some(refusal) => self.out.push(Action::Reply(id, Err(refusal))),
        }
    }

    /// Why may this node not make a new current UUID now? A peer that is connected must have been
    /// just created, as this node, and only if it is said what becomes of its initial sync; peers
    /// without a disk do not matter then.
    pub(super) fn new_current_refusal(&self, v: usize, initial: InitialSync) -> Option<Refusal> {
        let Some(device) = self.devices.get(v) else { return Some(Refusal::MinorInvalid) };
        if !device.has_disk() {
            return Some(Refusal::NoDisk);
        }
        let first = initial != InitialSync::Unsaid && device.md.current.is_fresh();
        let blank = |conn: &Conn| {
            let pd = &conn.volumes[v];
            let fresh = pd.uuids.as_ref().is_some_and(|uuids| uuids.current.is_fresh());
            pd.disk <= DiskState::Failed || (pd.repl == ReplState::Established && fresh)
        };
        if self.conns.iter().any(|conn| conn.connected() && !(first && blank(conn))) {
            return Some(Refusal::NeedStandalone);
        }
        let busy = device.disk == DiskState::Negotiating || self.uuids_locked();
        // What is written meanwhile would belong to neither generation.
        (busy || self.generation_is_underway() || device.in_flight > 0)
            .then_some(Refusal::InTransientState)
    }

    /// A node that has data of its own does not let another begin anew beside it.
    pub(super) fn vote_on_new_current(&self, v: usize) -> Option<Refusal> {
        match self.devices.get(v) {
            None => Some(Refusal::MinorInvalid),
            Some(_) if self.uuids_locked() => Some(Refusal::InTransientState),
            Some(device) if device.has_disk() && !device.md.current.is_fresh() => {
                Some(Refusal::NeedStandalone)
            }
            Some(_) => None,
        }
    }

    /// Is a first generation about to become durable on some volume?
    pub(super) fn is_founding(&self) -> bool {
        self.devices.iter().any(|device| device.founding.is_some())
    }

    /// Everybody agreed, or somebody did not.
    pub(super) fn new_current_agreed(
        &mut self,
        (volume, initial): (VolumeNumber, InitialSync),
        id: CommandId,
        result: Result<(), Refusal>,
    ) {
        let v = volume.index();
        let refusal = result.err().or_else(|| self.new_current_refusal(v, initial));
        if let Some(refusal) = refusal {
            return self.out.push(Action::Reply(id, Err(refusal)));
        }
        let primary = self.role == Role::Primary;
        let old = self.devices[v].md.current;
        // A copy that was just created has no generation that could be told from others'.
        let behind = if old.is_fresh() { Uuid(self.draw() & !1) } else { old };
        let uuid = Uuid(self.draw() & !1 | u64::from(primary));
        for node in NodeId::all() {
            if self.devices[v].md.peer(node).bitmap_index.is_some() {
                let here = self.conn_of(node).is_some_and(|c| self.conns[c].connected());
                let slot = if here { Uuid::NONE } else { behind };
                self.devices[v].md.set_bitmap_uuid(node, slot);
            }
        }
        reach!(self, NewUuidByCommand);
        self.begin_generation(v, uuid, Founding { initial, reply: Some(id) });
        let me = self.me();
        self.devices[v].md.leave_day0(me, old);
        self.devices[v].md.push_history(old);
        self.notice(Notice::NewCurrentUuid(volume, uuid));
    }

    /// Makes `uuid` current and has it written; nobody hears of it before that is done.
    fn begin_generation(&mut self, v: usize, uuid: Uuid, founding: Founding) {
        let whole = founding.initial != InitialSync::Unsaid;
        let me = self.me();
        let device = &mut self.devices[v];
        device.md.current = uuid;
        device.md.flags.put(MdFlags::PRIMARY_LOST_QUORUM, false);
        if whole || device.disk == DiskState::UpToDate {
            device.exposed = uuid;
        }
        if founding.initial == InitialSync::Skip {
            for slot in 0..device.bitmaps.len() {
                device.write_set_bits(slot);
                device.bitmaps[slot].reset();
            }
            device.md.peers.iter_mut().for_each(|p| p.flags.put(PeerFlags::FULL_SYNC, false));
            // The bits since day0 are gone, too.
            let unused: Vec<NodeId> = device.md.unused_nodes(me).collect();
            unused.into_iter().for_each(|n| device.md.peer_mut(n).bitmap_uuid = Uuid::NONE);
            (device.crashed_primary, device.unclean) = (false, false);
        }
        device.founding = Some(founding);
        self.conns.iter_mut().for_each(|conn| conn.volumes[v].agreed = false);
        self.nobody_missed(v);
        if whole {
            self.set_disk(v, DiskState::UpToDate);
        }
        self.write_bitmap(v);
        // With the flags of the new disk state in the same write: a crash leaves all or nothing.
        self.update_md_flags();
        self.md_sync(v, Work::Founded(v));
        self.changed = true;
    }

    /// The new generation is durable here: peers hear of it.
    pub(super) fn founded(&mut self, v: usize) {
        let Some(founding) = self.devices[v].founding.take() else { return };
        self.changed = true;
        let Some(id) = founding.reply else { return self.tell_uuids(v, None) };
        for c in (0..self.conns.len()).filter(|c| self.conns[*c].connected()).collect::<Vec<_>>() {
            let copies = self.conns[c].volumes[v].disk > DiskState::Failed;
            match founding.initial {
                InitialSync::Force if copies => self.renegotiate(c, v),
                _ => {
                    let mut uuids = self.uuids_for(c, v);
                    uuids.flags.0 |= UuidFlags::SKIP_INITIAL_SYNC;
                    self.send(c, Packet::Uuids(VolumeNumber(v as u16), Arc::new(uuids)));
                }
            }
        }
        self.out.push(Action::Reply(id, Ok(())));
    }

    /// The disk went before it was durable.
    pub(super) fn founding_failed(&mut self, v: usize) {
        let reply = self.devices[v].founding.take().and_then(|founding| founding.reply);
        if let Some(id) = reply {
            self.out.push(Action::Reply(id, Err(Refusal::MetadataIo)));
        }
    }

    /// A peer says that all copies that were just created are the same, and of which generation. A
    /// node without a disk knows from then on what data it is to see.
    pub(super) fn skip_initial_sync(&mut self, c: usize, v: usize, uuids: &Uuids) {
        let device = &mut self.devices[v];
        if !device.has_disk() {
            device.exposed = uuids.current;
            return;
        }
        let idle = self.conns.iter().all(|conn| !conn.volumes[v].repl.is_sync());
        let device = &self.devices[v];
        match device.md.current {
            current if current.same(uuids.current) => {}
            current if current.is_fresh() && idle && !self.uuids_locked() => {
                reach!(self, InitialSyncSkipped);
                let founding = Founding { initial: InitialSync::Skip, reply: None };
                self.begin_generation(v, Uuid(uuids.current.masked()), founding);
            }
            // It has other data by now: the two compare from the beginning.
            _ => self.retry_link(c),
        }
    }
}

//! The handshake: what each side tells the other on connect or attach, the verdict, and what it
//! starts.

use super::Resource;
use super::config::RrConflict;
use super::event::{Notice, Refusal};
use super::handshake::{self, Bits, Bugs, Outcome, Side, Verdict};
use super::parts::Greeting;
use crate::ids::{NodeMask, Uuid, VolumeNumber};
use crate::meta::MdFlags;
use crate::packet::{Packet, PeerState, Sizes, UuidFlags, Uuids};
use crate::state::{ConnState, DiskState, ReplState, Role};
use std::sync::Arc;

impl Resource {
    /// Own UUIDs of a volume as this peer should see them now.
    pub(super) fn uuids_for(&self, c: usize, v: usize) -> Uuids {
        let (device, conn) = (&self.devices[v], &self.conns[c]);
        let mut flags = 0;
        let stable = self.is_stable(v);
        let inconsistent = !device.md.flags.has(MdFlags::CONSISTENT);
        let set = [
            (device.crashed_primary, UuidFlags::CRASHED_PRIMARY),
            (inconsistent, UuidFlags::INCONSISTENT),
            (stable, UuidFlags::STABLE),
            (conn.was_connected, UuidFlags::RECONNECT),
            (device.md.flags.has(MdFlags::PRIMARY_LOST_QUORUM), UuidFlags::PRIMARY_LOST_QUORUM),
        ];
        set.iter().filter(|(on, _)| *on).for_each(|(_, flag)| flags |= flag);
        // While a resync from another node runs, the generation that this node will have is
        // presented.
        let source = self.conns.iter().find(|other| {
            other.node != conn.node && other.volumes[v].repl == ReplState::SyncTarget
        });
        let resolved = source.and_then(|other| other.volumes[v].uuids.as_ref()).map(|u| u.current);
        if resolved.is_some() {
            flags |= UuidFlags::SYNC_TARGET;
        }
        Uuids {
            current: resolved.unwrap_or(device.md.current),
            dirty_bits: device.weight(conn.node),
            flags: UuidFlags(flags),
            node_mask: NodeMask::NONE,
            bitmap: self.slots_listed(v),
            history: device.md.history.iter().copied().filter(|h| !h.is_none()).collect(),
        }
    }

    /// Primary, or without a neighbour that is Primary and has a disk of its own: an authoritative
    /// source.
    pub(super) fn is_stable(&self, v: usize) -> bool {
        self.role == Role::Primary || !self.conns.iter().any(|conn| conn.is_primary_with_disk(v))
    }

    /// Tells connected peers the UUIDs of a volume: who is in sync with whom changed.
    pub(super) fn tell_uuids(&mut self, v: usize, except: Option<usize>) {
        for c in 0..self.conns.len() {
            if self.conns[c].connected() && Some(c) != except && self.devices[v].has_disk() {
                let uuids = Arc::new(self.uuids_for(c, v));
                self.send(c, Packet::Uuids(VolumeNumber(v as u16), uuids));
            }
        }
    }

    /// Sends everything that a handshake needs from this side.
    pub(super) fn send_parameters(&mut self, c: usize) {
        if self.conns[c].greeting.as_ref().is_none_or(|g| g.sent) {
            return;
        }
        let lost = self.lost_primary.filter(|node| *node != self.conns[c].node);
        if let Some(node) = lost
            && let Some(l) = self.conn_of(node)
        {
            let dagtag = self.conns[l].last_dagtag;
            self.send(c, Packet::PeerDagtag { node, dagtag });
        }
        for v in 0..self.devices.len() {
            let device = &self.devices[v];
            let volume = VolumeNumber(v as u16);
            let disk = if device.has_disk() { device.size } else { 0 };
            self.send(
                c,
                Packet::Sizes(volume, Sizes { disk, user: 0, current: self.devices[v].size }),
            );
            self.offer(c, v, 0);
        }
        if let Some(greeting) = self.conns[c].greeting.as_mut() {
            greeting.sent = true;
        }
        self.evaluate_all(c);
    }

    /// UUIDs and state of one volume, remembered for the verdict.
    pub(super) fn offer(&mut self, c: usize, v: usize, flags: u64) {
        let volume = VolumeNumber(v as u16);
        self.return_to_predecessor(v);
        let state = self.peer_state(c, v);
        let mut uuids = self.uuids_for(c, v);
        uuids.flags.0 |= flags;
        let uuids = Arc::new(uuids);
        self.conns[c].volumes[v].offered = Some((uuids.clone(), state));
        if self.devices[v].disk > DiskState::Failed {
            self.send(c, Packet::Uuids(volume, uuids));
        } else {
            let uuid = self.devices[v].exposed;
            self.send(c, Packet::CurrentUuid { volume, uuid, weak: NodeMask::NONE });
        }
        self.conns[c].volumes[v].sent_state = Some(state);
        self.send(c, Packet::State(volume, state));
    }

    pub(super) fn receive_sizes(&mut self, c: usize, v: usize, sizes: Sizes) {
        let too_small = sizes.disk != 0 && sizes.disk < self.devices[v].size;
        if let (true, Some(greeting)) = (too_small, self.conns[c].greeting.as_mut()) {
            greeting.refused = Some(Refusal::HandshakeDisconnect);
            self.notice(Notice::Note("The peer's disk size is too small!".to_owned()));
        }
    }

    pub(super) fn receive_uuids(&mut self, c: usize, v: usize, uuids: Arc<Uuids>) {
        let flags = uuids.flags;
        self.conns[c].volumes[v].uuids = Some(uuids.clone());
        if self.conns[c].greeting.is_some() {
            return;
        }
        if flags.has(UuidFlags::RESYNC) {
            self.conns[c].volumes[v].await_state = true;
        } else if flags.has(UuidFlags::NEW_DATAGEN) {
            self.learn_generation(c, v, uuids.current, uuids.node_mask);
        } else {
            self.clean_slots(c, v, &uuids);
            self.outdated_by(c, v, &uuids);
        }
        self.changed = true;
    }

    /// A peer whose generation is this node's says who is in sync with it.
    fn clean_slots(&mut self, c: usize, v: usize, uuids: &Uuids) {
        let device = &self.devices[v];
        if !device.has_disk() || !device.md.current.same(uuids.current) {
            return;
        }
        let sender = self.conns[c].node;
        let mut zeroed: Vec<_> =
            uuids.bitmap.iter().filter(|(_, uuid)| uuid.is_none()).map(|(node, _)| *node).collect();
        zeroed.push(sender);
        for node in zeroed {
            if node == self.me() {
                continue;
            }
            let syncing =
                self.conn_of(node).is_some_and(|n| self.conns[n].volumes[v].repl.is_sync());
            let slot = self.devices[v].md.peer(node).bitmap_uuid;
            if syncing || slot.is_none() {
                continue;
            }
            self.devices[v].md.peer_mut(node).bitmap_uuid = Uuid::NONE;
            self.devices[v].md.push_history(slot);
            self.touch_md(v);
        }
    }

    /// Bits between two copies that are UpToDate, quiet and of one generation are left over from a
    /// resync that went past this connection. They are settled by a comparison, never dropped.
    pub(super) fn has_stray_bits(&self, c: usize, v: usize) -> bool {
        let pd = &self.conns[c].volumes[v];
        let both = pd.disk == DiskState::UpToDate && self.devices[v].disk == DiskState::UpToDate;
        let quiet = pd.repl == ReplState::Established && pd.offered.is_none();
        both && quiet
            && self.devices[v].weight(self.conns[c].node) > 0
            && self.same_generation(c, v)
    }

    /// A connected peer moved to a generation that this node was left out of.
    fn outdated_by(&mut self, c: usize, v: usize, uuids: &Uuids) {
        let me = self.me();
        let device = &self.devices[v];
        let established = self.conns[c].volumes[v].repl == ReplState::Established;
        let left_out = uuids.bitmap.iter().any(|(node, uuid)| {
            *node == me && uuid.same(device.md.current) && !uuids.current.same(device.md.current)
        });
        let good = matches!(device.disk, DiskState::UpToDate | DiskState::Consistent);
        if established && left_out && good && self.role != Role::Primary {
            self.set_disk(v, DiskState::Outdated);
        }
    }

    pub(super) fn receive_current(&mut self, c: usize, v: usize, uuid: Uuid, weak: NodeMask) {
        if self.conns[c].greeting.is_some() {
            // A diskless peer presents the generation that it sees.
            let uuids = Uuids {
                current: uuid,
                dirty_bits: 0,
                flags: UuidFlags(0),
                node_mask: NodeMask::NONE,
                bitmap: Vec::new(),
                history: Vec::new(),
            };
            self.conns[c].volumes[v].uuids = Some(Arc::new(uuids));
            return;
        }
        let weak = weak.with(self.conns[c].node);
        self.learn_generation(c, v, uuid, weak);
    }

    pub(super) fn receive_state(&mut self, c: usize, v: usize, state: PeerState) {
        let first = self.conns[c].volumes[v].state.replace(state).is_none();
        if let Some(greeting) = self.conns[c].greeting.as_mut() {
            greeting.states += usize::from(first);
            return self.evaluate_all(c);
        }
        if !self.conns[c].connected() {
            return;
        }
        if std::mem::take(&mut self.conns[c].volumes[v].await_state) {
            return self.answer_negotiation(c, v);
        }
        self.set_peer_role(c, state.role);
        self.follow_peer_disk(c, v, state);
        self.follow_peer_resync(c, v, state);
        self.changed = true;
    }

    /// What this node believes of the peer's disk, given what the peer says.
    fn follow_peer_disk(&mut self, c: usize, v: usize, state: PeerState) {
        let disk = match state.disk {
            DiskState::UpToDate if self.distrusts(c, v) => DiskState::Outdated,
            DiskState::Attaching | DiskState::Detaching | DiskState::Failed => DiskState::Diskless,
            DiskState::Negotiating => return,
            disk => disk,
        };
        self.set_peer_disk(c, v, disk);
    }

    pub(super) fn same_generation(&self, c: usize, v: usize) -> bool {
        let uuids = self.conns[c].volumes[v].uuids.as_ref();
        uuids.is_some_and(|uuids| uuids.current.same(self.devices[v].md.current))
    }

    /// A node without a disk knows a newer generation than the peer's.
    pub(super) fn distrusts(&self, c: usize, v: usize) -> bool {
        let device = &self.devices[v];
        let Some(uuids) = &self.conns[c].volumes[v].uuids else { return false };
        let exposed = device.exposed;
        let other = !exposed.is_none() && !uuids.current.same(exposed);
        !device.has_disk() && other && !self.succeeds(uuids, exposed)
    }

    /// Does somebody with these UUIDs know `old` as a generation before its own?
    fn succeeds(&self, uuids: &Uuids, old: Uuid) -> bool {
        uuids.bitmap.iter().any(|(_, slot)| slot.same(old))
            || uuids.history.iter().any(|uuid| uuid.same(old))
    }

    /// Decides all volumes once both sides have said everything.
    fn evaluate_all(&mut self, c: usize) {
        let volumes = self.devices.len();
        let done = self.conns[c].greeting.as_ref().is_some_and(|g| g.sent && g.states == volumes);
        if !done || self.conns[c].greeting.as_ref().is_some_and(|g| g.ready) {
            return;
        }
        let mut refused = self.conns[c].greeting.as_ref().and_then(|g| g.refused);
        for v in 0..volumes {
            let verdict = self.verdict(c, v);
            self.conns[c].volumes[v].verdict = Some(verdict);
            refused = refused.or(self.refusal(c, v, verdict));
        }
        if let Some(greeting) = self.conns[c].greeting.as_mut() {
            greeting.ready = true;
            greeting.refused = refused;
        }
        self.twopc_handshake_ready(c);
    }

    fn verdict(&mut self, c: usize, v: usize) -> Verdict {
        let none = Verdict { rule: "no-disk", outcome: Outcome::None };
        let pd = &self.conns[c].volumes[v];
        let (Some((mine, state)), Some(theirs), Some(peer)) =
            (pd.offered.clone(), pd.uuids.clone(), pd.state)
        else {
            return none;
        };
        let disk = |disk: DiskState, uuids: &Uuids| match disk {
            DiskState::Negotiating if uuids.flags.has(UuidFlags::INCONSISTENT) => {
                DiskState::Inconsistent
            }
            DiskState::Negotiating => DiskState::Consistent,
            disk => disk,
        };
        let (my_disk, peer_disk) = (disk(state.disk, &mine), disk(peer.disk, &theirs));
        let has = |disk: DiskState| disk >= DiskState::Inconsistent && disk != DiskState::DUnknown;
        if !has(my_disk) || !has(peer_disk) {
            return none;
        }
        let (node, me) = (self.conns[c].node, self.me());
        let named = |of: Option<(crate::ids::NodeId, crate::ids::Dagtag)>| of;
        let my_lost = self
            .lost_primary
            .filter(|lost| *lost != node)
            .and_then(|lost| self.conn_of(lost).map(|l| (lost, self.conns[l].last_dagtag)));
        let their_lost = named(self.conns[c].peer_dagtag);
        let common = my_lost.map(|(n, _)| n) == their_lost.map(|(n, _)| n);
        let dagtag =
            |lost: Option<(_, crate::ids::Dagtag)>| lost.filter(|_| common).map(|(_, d)| d.0);
        let mine = Side {
            node: me,
            uuids: &mine,
            disk: my_disk,
            primary: state.role == Role::Primary,
            quorum: state.quorum,
            dagtag: dagtag(my_lost),
        };
        let theirs = Side {
            node,
            uuids: &theirs,
            disk: peer_disk,
            primary: peer.role == Role::Primary,
            quorum: peer.quorum,
            dagtag: dagtag(their_lost),
        };
        let bugs = Bugs { ignore_dirty_bits: self.quirk("equal-uuids-drop-bits") };
        let verdict = handshake::decide(&mine, &theirs, bugs);
        let name = verdict.outcome.name();
        self.notice(Notice::Handshake(node, VolumeNumber(v as u16), verdict.rule, name));
        verdict
    }

    /// Why a verdict cannot be carried out.
    fn refusal(&mut self, c: usize, v: usize, verdict: Verdict) -> Option<Refusal> {
        let primary = self.role == Role::Primary;
        match verdict.outcome {
            Outcome::SplitBrain(_) | Outcome::Unrelated if self.is_unsettled(c, v) => {
                Some(Refusal::HandshakeRetry)
            }
            Outcome::SplitBrain(_) => {
                self.notice(Notice::Note("Split-Brain detected, dropping connection!".to_owned()));
                Some(Refusal::HandshakeDisconnect)
            }
            Outcome::Unrelated => {
                self.notice(Notice::Note("Unrelated data, aborting!".to_owned()));
                Some(Refusal::HandshakeDisconnect)
            }
            Outcome::Target(_) if primary && self.devices[v].disk >= DiskState::Consistent => {
                Some(self.rr_conflict())
            }
            Outcome::Target(_) if primary && self.peer_moved_on(c, v) => Some(self.rr_conflict()),
            Outcome::Source(_) if self.conns[c].volumes[v].state?.role == Role::Primary => {
                let theirs = self.conns[c].volumes[v].state?.disk;
                (theirs >= DiskState::Consistent).then(|| self.rr_refusal())
            }
            Outcome::None if primary && self.peer_moved_on(c, v) => Some(self.rr_conflict()),
            _ => None,
        }
    }

    /// A side that follows a Primary or a source elsewhere may just be about to hear of a new
    /// generation.
    fn is_unsettled(&self, c: usize, v: usize) -> bool {
        let pd = &self.conns[c].volumes[v];
        let flags = |uuids: &Uuids| uuids.flags;
        let mine = pd.offered.as_ref().map(|(uuids, _)| flags(uuids));
        let theirs = pd.uuids.as_ref().map(|uuids| flags(uuids));
        [mine, theirs]
            .into_iter()
            .flatten()
            .any(|flags| flags.has(UuidFlags::SYNC_TARGET) || !flags.has(UuidFlags::STABLE))
    }

    /// A Primary that works on others' data meets a peer whose generation succeeds the one it works
    /// on.
    fn peer_moved_on(&self, c: usize, v: usize) -> bool {
        let device = &self.devices[v];
        let pd = &self.conns[c].volumes[v];
        let (Some(uuids), Some(state)) = (&pd.uuids, pd.state) else { return false };
        let differs = !uuids.current.same(device.exposed) && !device.exposed.is_none();
        let has_data = state.disk == DiskState::UpToDate;
        let foreign = device.disk < DiskState::Consistent;
        foreign && has_data && differs && self.succeeds(uuids, device.exposed)
    }

    fn rr_refusal(&self) -> Refusal {
        match self.config.rr_conflict {
            RrConflict::Disconnect if !self.config.force_secondary => Refusal::HandshakeDisconnect,
            _ => Refusal::HandshakeRetry,
        }
    }

    /// This node is Primary and its data is outdated: a suspended one gives up if it is told to.
    fn rr_conflict(&mut self) -> Refusal {
        if self.suspended && self.config.force_secondary {
            self.force_secondary();
        }
        self.rr_refusal()
    }

    /// Did own UUIDs change since they were offered?
    pub(super) fn offer_is_stale(&self, c: usize) -> bool {
        (0..self.devices.len()).any(|v| {
            let now = self.uuids_for(c, v);
            self.conns[c].volumes[v].offered.as_ref().is_some_and(|(sent, state)| {
                let had_disk = state.disk > DiskState::Failed;
                let same = sent.current == now.current && sent.bitmap == now.bitmap;
                had_disk != (self.devices[v].disk > DiskState::Failed) || (had_disk && !same)
            })
        })
    }

    /// The connect is committed: both sides go on as their verdicts say.
    pub(super) fn connected(&mut self, c: usize) {
        let node = self.conns[c].node;
        self.conns[c].greeting = None::<Greeting>;
        self.conns[c].handshake_deadline = None;
        self.conns[c].was_connected = true;
        self.set_cstate(c, ConnState::Connected);
        self.far_primaries.remove(node);
        if self.lost_primary == Some(node) {
            self.lost_primary = None;
        }
        self.set_members(self.members.with(node));
        for v in 0..self.devices.len() {
            if let Some(state) = self.conns[c].volumes[v].state {
                self.set_peer_role(c, state.role);
            }
            let verdict = self.conns[c].volumes[v].verdict.take();
            self.apply(c, v, verdict.map_or(Outcome::None, |verdict| verdict.outcome));
        }
        let dagtag = self.dagtag;
        self.send(c, Packet::Dagtag(dagtag));
        if self.conns[c].role == Role::Primary {
            for conn in &mut self.conns {
                conn.reconcile = false;
            }
        }
        self.changed = true;
    }

    /// Carries a verdict out.
    fn apply(&mut self, c: usize, v: usize, outcome: Outcome) {
        self.conns[c].volumes[v].offered = None;
        self.set_repl(c, v, ReplState::Established);
        let Some(state) = self.conns[c].volumes[v].state else { return };
        self.adopt_exposed(c, v, state);
        self.follow_peer_disk(c, v, state);
        match outcome {
            Outcome::Source(bits) => self.start_source(c, v, bits),
            Outcome::Target(bits) => self.start_target(c, v, bits),
            _ => self.no_resync(c, v, state),
        }
        if self.devices[v].disk == DiskState::Negotiating {
            self.settle_attach(v, Some(outcome));
        }
    }

    /// A node without a disk takes over the generation of an UpToDate peer, unless it knows a newer
    /// one.
    fn adopt_exposed(&mut self, c: usize, v: usize, state: PeerState) {
        let Some(uuids) = self.conns[c].volumes[v].uuids.clone() else { return };
        let diskless = !self.devices[v].has_disk();
        if diskless && state.disk == DiskState::UpToDate && !self.distrusts(c, v) {
            self.devices[v].exposed = uuids.current;
        }
    }

    fn no_resync(&mut self, c: usize, v: usize, state: PeerState) {
        let node = self.conns[c].node;
        let mine = self.devices[v].disk;
        if !self.devices[v].has_disk() || !self.conns[c].config.diskful {
            // A diskless Primary that works on another generation: this copy is not what it sees.
            let diskless_primary = state.role == Role::Primary && self.devices[v].has_disk();
            let uuids = self.conns[c].volumes[v].uuids.as_ref();
            let other = uuids.is_some_and(|uuids| {
                !uuids.current.is_none() && !uuids.current.same(self.devices[v].md.current)
            });
            if diskless_primary && other && mine > DiskState::Outdated {
                self.set_disk(v, DiskState::Outdated);
            }
            return;
        }
        let better = state.disk == DiskState::UpToDate && self.same_generation(c, v);
        if better && matches!(mine, DiskState::Consistent | DiskState::Outdated) {
            self.set_disk(v, DiskState::UpToDate);
        }
        let slot = self.devices[v].md.peer(node).bitmap_uuid;
        if self.same_generation(c, v) && !slot.is_none() {
            self.devices[v].md.peer_mut(node).bitmap_uuid = Uuid::NONE;
            self.devices[v].md.push_history(slot);
            self.touch_md(v);
        }
        if self.quirk("equal-uuids-drop-bits")
            && let Some(slot) = self.devices[v].slot(node)
        {
            self.devices[v].bitmaps[slot].reset();
        }
    }

    /// All copies are connected, idle, Outdated and of one generation: none of them can be behind
    /// another.
    pub(super) fn everybody_is_here(&mut self) {
        if self.role == Role::Primary || !self.far_primaries.is_empty() {
            return;
        }
        for v in 0..self.devices.len() {
            let idle = |c: usize| {
                let (conn, pd) = (&self.conns[c], &self.conns[c].volumes[v]);
                let outdated = matches!(pd.disk, DiskState::Outdated | DiskState::Consistent);
                let settled = pd.repl == ReplState::Established && self.same_generation(c, v);
                !conn.config.diskful || (conn.connected() && outdated && settled)
            };
            let primary = self.conns.iter().any(|conn| conn.role == Role::Primary);
            let all = (0..self.conns.len()).all(idle) && !primary;
            if all && self.devices[v].disk == DiskState::Outdated {
                self.set_disk(v, DiskState::Consistent);
            }
        }
    }

    /// A copy that is only Consistent is UpToDate if a Primary without a disk of its own works on
    /// just this generation.
    pub(super) fn trust_primaries(&mut self) {
        for v in 0..self.devices.len() {
            let current = self.devices[v].md.current;
            let trusted = self.conns.iter().any(|conn| {
                let pd = &conn.volumes[v];
                let sees = pd.uuids.as_ref().is_some_and(|uuids| uuids.current.same(current));
                let diskless = pd.disk <= DiskState::Failed;
                conn.connected() && conn.role == Role::Primary && diskless && sees
            });
            let syncs = self.conns.iter().any(|conn| conn.volumes[v].repl.is_sync_target());
            let held = self.conns.iter().any(|conn| conn.reconcile);
            if self.devices[v].disk == DiskState::Consistent && trusted && !syncs && !held {
                self.set_disk(v, DiskState::UpToDate);
            }
        }
    }

    /// Asks every connected peer with a disk what an attached disk is worth.
    pub(super) fn negotiate_attach(&mut self, v: usize, disk: DiskState) {
        self.devices[v].attach_disk = disk;
        for c in 0..self.conns.len() {
            if self.conns[c].connected() {
                self.offer(c, v, UuidFlags::RESYNC);
            }
        }
    }

    /// Both sides have said everything about a disk that was attached while connected.
    fn answer_negotiation(&mut self, c: usize, v: usize) {
        if self.conns[c].volumes[v].offered.is_none() {
            self.offer(c, v, UuidFlags::RESYNC);
        }
        let verdict = self.verdict(c, v);
        let bad = matches!(verdict.outcome, Outcome::SplitBrain(_) | Outcome::Unrelated);
        if bad {
            self.conns[c].volumes[v].offered = None;
            if self.devices[v].disk == DiskState::Negotiating {
                self.disk_failed(v);
            }
            return;
        }
        self.apply(c, v, verdict.outcome);
        if self.devices[v].disk == DiskState::Negotiating {
            self.settle_attach(v, Some(verdict.outcome));
        }
    }

    /// A negotiating disk gets its state: a resync sets it elsewhere, otherwise the metadata's word
    /// counts, or the peer's.
    pub(super) fn settle_attach(&mut self, v: usize, outcome: Option<Outcome>) {
        let waiting = self.conns.iter().any(|conn| conn.volumes[v].offered.is_some());
        let disk = self.devices[v].attach_disk;
        match outcome {
            Some(Outcome::Target(_)) => {}
            Some(Outcome::None) if self.devices[v].exposed == self.devices[v].md.current => {
                self.set_disk(v, disk);
            }
            _ if waiting => {}
            _ => {
                if disk == DiskState::UpToDate {
                    self.devices[v].exposed = self.devices[v].md.current;
                }
                self.set_disk(v, disk);
            }
        }
    }

    /// Both lost the same Primary while connected: who followed it further is the source.
    pub(super) fn reconcile(&mut self, c: usize) {
        let Some((node, theirs)) = self.conns[c].peer_dagtag else { return };
        let Some(l) = self.conn_of(node) else { return };
        if self.conns[l].connected()
            || self.lost_primary != Some(node)
            || !self.conns[c].connected()
        {
            return;
        }
        let mine = self.conns[l].last_dagtag;
        self.conns[c].peer_dagtag = None;
        self.conns[c].reconcile = false;
        self.changed = true;
        if self.quirk("promote-before-reconciled") {
            return;
        }
        for v in 0..self.devices.len() {
            let pd = &self.conns[c].volumes[v];
            let both = self.devices[v].has_disk() && pd.disk >= DiskState::Inconsistent;
            if pd.repl != ReplState::Established || !both || pd.disk == DiskState::DUnknown {
                continue;
            }
            // At equal positions both may still hold bits for writes that no peer ack covered.
            let source = (mine, self.conns[c].node) > (theirs, self.me());
            match source {
                true => self.start_source(c, v, Bits::Use),
                false => self.start_target(c, v, Bits::Use),
            }
        }
    }
}

//! The handshake: what each side tells the other on connect or attach, the verdict, and what it
//! starts.

use super::Resource;
use super::config::{AfterSb1, AfterSb2, Quorum, RrConflict};
use super::event::{Handler, Notice, Refusal};
use super::handshake::{self, Bugs, Outcome, Side, Verdict};
use super::parts::{Conn, Greeting, Offer, PeerDevice};
use super::points::reach;
use super::split_brain;
use crate::ids::{Dagtag, NodeId, NodeMask, Uuid, VolumeNumber};
use crate::meta::{MdFlags, PeerSlot};
use crate::packet::{Packet, PeerState, UuidFlags, Uuids};
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
            (device.unclean, UuidFlags::UNCLEAN),
            (inconsistent, UuidFlags::INCONSISTENT),
            (stable, UuidFlags::STABLE),
            (conn.was_connected, UuidFlags::RECONNECT),
            (conn.discard, UuidFlags::DISCARD_MY_DATA),
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
        flags |= self.day0_flags(v);
        Uuids {
            current: resolved.unwrap_or(device.md.current),
            held: device.md.current,
            dirty_bits: device.weight(conn.node),
            flags: UuidFlags(flags),
            node_mask: self.primaries_beside(c),
            bitmap: match conn.config.diskful {
                true => self.uuids_listed(v),
                false => self.slots_settled(v),
            },
            history: device.md.history.iter().copied().filter(|h| !h.is_none()).collect(),
        }
    }

    /// Primaries that this node is connected to, but for the peer: whose writes it does not miss.
    fn primaries_beside(&self, c: usize) -> NodeMask {
        let others = self.conns.iter().enumerate().filter(|(i, conn)| *i != c && conn.connected());
        let primaries = others.filter(|(_, conn)| conn.role == Role::Primary);
        primaries.fold(NodeMask::NONE, |mask, (_, conn)| mask.with(conn.node))
    }

    /// Primary, or without a neighbour that is Primary and has a disk of its own: an authoritative
    /// source.
    pub(super) fn is_stable(&self, v: usize) -> bool {
        self.role == Role::Primary || !self.conns.iter().any(|conn| conn.is_primary_with_disk(v))
    }

    /// Tells connected peers the UUIDs of a volume: who is in sync with whom changed.
    pub(super) fn tell_uuids(&mut self, v: usize, except: Option<usize>) {
        for c in (0..self.conns.len()).filter(|c| Some(*c) != except) {
            self.tell_uuids_to(c, v);
        }
    }

    pub(super) fn tell_uuids_to(&mut self, c: usize, v: usize) {
        // A generation that waits for its superblock is announced once it is there.
        let young = self.generation_is_young();
        if self.conns[c].connected() && self.devices[v].has_disk() && !young {
            let uuids = Arc::new(self.uuids_for(c, v));
            self.note_unsettled(c, v);
            self.send(c, Packet::Uuids(VolumeNumber(v as u16), uuids));
        }
    }

    /// Sends everything that a handshake needs from this side.
    pub(super) fn send_parameters(&mut self, c: usize) {
        if self.conns[c].greeting.as_ref().is_none_or(|g| g.sent) {
            return;
        }
        for v in 0..self.devices.len() {
            self.send_sizes(c, v);
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
        self.devices[v].untold = None;
        // Writes of a third node that are on their way may have reached this side alone.
        self.doubt_unacked(v, self.conns[c].node);
        let state = self.peer_state(c, v);
        let mut uuids = self.uuids_for(c, v);
        uuids.flags.0 |= flags;
        let uuids = Arc::new(uuids);
        self.note_unsettled(c, v);
        let lost = self.lost_towards(c);
        if let Some((node, dagtag)) = lost {
            self.send(c, Packet::PeerDagtag { node, dagtag });
        }
        self.conns[c].volumes[v].offered = Some(Offer { uuids: uuids.clone(), state, lost });
        if self.devices[v].disk > DiskState::Failed {
            self.send(c, Packet::Uuids(volume, uuids));
        } else {
            let uuid = self.devices[v].exposed;
            self.send(c, Packet::CurrentUuid { volume, uuid, weak: NodeMask::NONE });
        }
        self.conns[c].volumes[v].sent_state = Some(state);
        self.send(c, Packet::State(volume, state));
    }

    /// The Primary that this node lost, if it is not the peer itself, and the position in its
    /// stream.
    fn lost_towards(&self, c: usize) -> Option<(NodeId, Dagtag)> {
        let node = self.lost_primary.filter(|node| *node != self.conns[c].node)?;
        Some((node, self.conns[self.conn_of(node)?].last_dagtag))
    }

    pub(super) fn receive_uuids(&mut self, c: usize, v: usize, uuids: Arc<Uuids>) {
        let flags = uuids.flags;
        if !self.believes_its_own_word(c, v) && !self.crosses_its_word(c, v, &uuids) {
            self.conns[c].volumes[v].uuids = Some(uuids.clone());
        }
        if !flags.has(UuidFlags::NEW_DATAGEN) {
            self.conns[c].deaf_to.0 &= !uuids.node_mask.0;
        }
        if let Some(greeting) = &mut self.conns[c].greeting {
            greeting.heard.insert(VolumeNumber(v as u16));
            return;
        }
        if flags.has(UuidFlags::RESYNC) {
            self.conns[c].volumes[v].await_state = true;
        } else if flags.has(UuidFlags::SKIP_INITIAL_SYNC) {
            self.skip_initial_sync(c, v, &uuids);
        } else if flags.has(UuidFlags::NEW_DATAGEN) {
            self.learn_generation(c, v, uuids.current, uuids.node_mask);
        } else {
            self.conns[c].volumes[v].agreed &= self.same_generation(c, v);
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
            self.may_have_caught_up(v, node);
            let syncing =
                self.conn_of(node).is_some_and(|n| self.conns[n].volumes[v].repl.is_sync());
            let PeerSlot { bitmap_uuid: slot, bitmap_index, .. } = *self.devices[v].md.peer(node);
            if syncing || slot.is_none() || bitmap_index.is_none() {
                continue;
            }
            self.devices[v].md.set_bitmap_uuid(node, Uuid::NONE);
            self.touch_md(v);
        }
    }

    /// A connected peer moved to a generation that this node was left out of.
    fn outdated_by(&mut self, c: usize, v: usize, uuids: &Uuids) {
        let me = self.me();
        let device = &self.devices[v];
        let established = self.conns[c].volumes[v].repl.is_idle();
        let left_out = uuids.bitmap.iter().any(|(node, uuid)| {
            *node == me && uuid.same(device.md.current) && !uuids.current.same(device.md.current)
        });
        let good = matches!(device.disk, DiskState::UpToDate | DiskState::Consistent);
        if established && left_out && good && self.role != Role::Primary {
            reach!(self, UuidOutdatedBy);
            self.set_disk(v, DiskState::Outdated);
        }
    }

    pub(super) fn receive_current(&mut self, c: usize, v: usize, uuid: Uuid, weak: NodeMask) {
        if let Some(greeting) = &mut self.conns[c].greeting {
            greeting.heard.insert(VolumeNumber(v as u16));
            // A diskless peer presents the generation that it sees.
            let uuids = Uuids {
                current: uuid,
                held: uuid,
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
        let behind = matches!(state.disk, DiskState::Inconsistent | DiskState::Outdated);
        self.conns[c].volumes[v].behind = behind;
        let first = self.conns[c].volumes[v].state.replace(state).is_none();
        if let Some(greeting) = self.conns[c].greeting.as_mut() {
            greeting.states += usize::from(first);
            return self.evaluate_all(c);
        }
        if !self.conns[c].connected() {
            return;
        }
        if !std::mem::replace(&mut self.conns[c].confirmed, true) {
            self.changed = true;
        }
        if std::mem::take(&mut self.conns[c].volumes[v].await_state) {
            return self.answer_negotiation(c, v);
        }
        // A peer that is attaching has let go what it was asked, too.
        if matches!(state.disk, DiskState::Diskless | DiskState::Attaching) {
            self.nothing_to_compare(c, v);
        }
        self.set_peer_role(c, state.role);
        self.follow_peer_disk(c, v, state);
        self.follow_peer_resync(c, v, state);
        self.changed = true;
    }

    /// The peer that was asked about a disk which was just attached has none itself: what it has to
    /// say is the generation that it knows, and an offer of its own follows when it gets a disk.
    fn nothing_to_compare(&mut self, c: usize, v: usize) {
        let asked = self.conns[c].volumes[v].offered.is_some();
        if asked && self.devices[v].disk == DiskState::Negotiating {
            self.conns[c].volumes[v].offered = None;
            self.settle_attach(v, None);
        }
    }

    /// What this node believes of the peer's disk, given what the peer says.
    pub(super) fn follow_peer_disk(&mut self, c: usize, v: usize, state: PeerState) {
        if self.role == Role::Primary && self.peer_moved_on(c, v) {
            return self.give_way(c);
        }
        let disk = match state.disk {
            DiskState::UpToDate | DiskState::Consistent if self.distrusts(c, v) => {
                reach!(self, PeerNotTrusted);
                DiskState::Outdated
            }
            DiskState::UpToDate | DiskState::Consistent if self.misses_writes(c, v) => {
                reach!(self, PeerMissesWrites);
                DiskState::Outdated
            }
            DiskState::UpToDate if self.is_doubtful(c, v) => {
                reach!(self, PeerDoubtful);
                DiskState::Consistent
            }
            DiskState::Attaching => DiskState::Diskless,
            DiskState::Negotiating => return,
            disk => disk,
        };
        self.set_peer_disk(c, v, disk);
    }

    /// Does the peer lack writes that this Primary completes on other copies alone? If all lack
    /// some, none is better than the others.
    fn misses_writes(&self, c: usize, v: usize) -> bool {
        let missed = |conn: &Conn| conn.connected() && conn.volumes[v].missed;
        self.role == Role::Primary
            && missed(&self.conns[c])
            && self.devices[v].disk != DiskState::UpToDate
            && self.conns.iter().any(|conn| conn.config.diskful && !missed(conn))
    }

    /// A peer is back: what of this Primary's writes may it have lost?
    fn note_missed(&mut self, c: usize) {
        for v in 0..self.devices.len() {
            let (lacks, kept) = (self.lacks_writes(c, v), self.conns[c].kept_on);
            let primary = self.role == Role::Primary;
            let pd = &mut self.conns[c].volumes[v];
            pd.missed = primary && (lacks || (pd.unflushed && !kept));
        }
    }

    /// The copy that a Primary works on was written by another Primary: this one's time is over.
    fn give_way(&mut self, c: usize) {
        reach!(self, GivesWay);
        match self.rr_conflict() {
            Refusal::HandshakeRetry => self.retry_link(c),
            _ => self.dismiss(c),
        }
    }

    /// Another copy of the same generation is the one to read, until the two have compared: this
    /// one was Primary when it crashed and may have lost what it had not flushed, or followed a
    /// lost Primary less far.
    fn is_doubtful(&self, c: usize, v: usize) -> bool {
        let mine = &self.conns[c];
        let Some(uuids) = &mine.volumes[v].uuids else { return false };
        // A Primary knows better what the copies hold that it has written to all along.
        let in_use = self.role == Role::Primary && mine.volumes[v].disk == DiskState::UpToDate;
        if self.devices[v].has_disk() || in_use {
            return false;
        }
        let copies =
            || self.conns.iter().filter(|conn| conn.config.diskful && conn.node != mine.node);
        let unsettled = copies().any(|conn| !lists(uuids, conn.node));
        (mine.volumes[v].doubted && unsettled)
            || copies().filter(|conn| conn.connected()).any(|conn| {
                let pd = &conn.volumes[v];
                let good = pd.state.is_some_and(|state| state.disk == DiskState::UpToDate);
                let Some(theirs) = pd.uuids.as_ref().filter(|_| good) else { return false };
                let differ = !lists(uuids, conn.node) || !lists(theirs, mine.node);
                let better = match (has_crashed(uuids), has_crashed(theirs)) {
                    // Who kept running has all that a crashed Primary acknowledged. Of two that
                    // rebooted, neither is sure to.
                    (true, false) => true,
                    (false, true) => !mine.kept_on,
                    _ => followed_further(conn, mine, v),
                };
                theirs.current.same(uuids.current) && differ && better
            })
    }

    /// What is believed of a copy's word that it is good depends on the others, too.
    pub(super) fn weigh_claims(&mut self) {
        for v in 0..self.devices.len() {
            if self.devices[v].disk == DiskState::UpToDate {
                continue;
            }
            for c in 0..self.conns.len() {
                let doubted = self.conns[c].connected() && self.is_doubtful(c, v);
                let primary = self.role == Role::Primary;
                let lacks = primary && self.conns[c].volumes[v].missed && self.lacks_writes(c, v);
                let pd = &mut self.conns[c].volumes[v];
                pd.doubted = doubted;
                pd.missed &= lacks || pd.unflushed;
                let good = |disk| matches!(disk, DiskState::UpToDate | DiskState::Consistent);
                let claims = pd.state.filter(|state| good(state.disk));
                if let (Some(state), true) = (claims, self.conns[c].connected()) {
                    self.follow_peer_disk(c, v, state);
                    self.exclude_unbelieved(c, v, state.disk);
                }
            }
        }
    }

    /// What a Primary does not believe, others must not believe either: the next generation leaves
    /// the copy out.
    fn exclude_unbelieved(&mut self, c: usize, v: usize, claimed: DiskState) {
        let pd = &self.conns[c].volumes[v];
        let exposed = self.devices[v].exposed;
        let ours = pd.uuids.as_ref().is_some_and(|uuids| uuids.current.same(exposed));
        if self.role == Role::Primary && pd.disk < claimed && ours {
            self.devices[v].new_uuid = true;
        }
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
        !device.has_disk() && other && !self.succeeds(uuids, exposed) && !self.is_lost(v, exposed)
    }

    /// Does a peer without a disk know a generation that this Secondary never heard of?
    fn presents_the_unknown(&self, c: usize, v: usize) -> bool {
        let md = &self.devices[v].md;
        let Some(uuids) = &self.conns[c].volumes[v].uuids else { return false };
        let known = |uuid: Uuid| {
            md.history.iter().any(|old| old.same(uuid))
                || NodeId::all().any(|node| md.peer(node).bitmap_uuid.same(uuid))
        };
        let unknown = !uuids.current.same(md.current) && !known(uuids.current);
        self.role == Role::Secondary && !uuids.current.is_none() && unknown
    }

    /// Every copy is connected, and none has this generation: its only copy crashed before it had
    /// noted it, so nothing was acknowledged under it. A Primary may still hold requests of it.
    fn is_lost(&self, v: usize, generation: Uuid) -> bool {
        let lacks = |conn: &Conn| {
            let uuids = conn.volumes[v].uuids.as_ref();
            conn.connected() && uuids.is_some_and(|uuids| !uuids.current.same(generation))
        };
        self.role == Role::Secondary
            && self.conns.iter().filter(|conn| conn.config.diskful).all(lacks)
    }

    /// Is a good copy connected that went on from the generation of this one? The two need not be
    /// connected to each other.
    pub(super) fn is_superseded(&self, c: usize, v: usize) -> bool {
        let Some(old) = self.conns[c].volumes[v].uuids.as_ref().map(|uuids| uuids.current) else {
            return false;
        };
        self.conns.iter().filter(|conn| conn.connected()).any(|conn| {
            let pd = &conn.volumes[v];
            let good = pd.state.is_some_and(|state| state.disk >= DiskState::Consistent);
            let later = |uuids: &Uuids| !uuids.current.same(old) && self.succeeds(uuids, old);
            good && !old.is_none() && pd.uuids.as_ref().is_some_and(|uuids| later(uuids))
        })
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
        let (Some(mine), Some(theirs), Some(peer)) =
            (pd.offered.clone(), pd.uuids.clone(), pd.state)
        else {
            return none;
        };
        let unsettled = self.is_unsettled(c, v);
        let connecting = self.conns[c].greeting.is_some();
        let beside = self.primaries_beside(c);
        self.conns[c].deaf_to = NodeMask(beside.0 & !theirs.node_mask.0);
        let theirs = Offer { uuids: theirs, state: peer, lost: self.conns[c].peer_dagtag };
        let has = |disk: DiskState| disk >= DiskState::Inconsistent && disk != DiskState::DUnknown;
        let (node, me) = (self.conns[c].node, self.me());
        let alone = self.reconciles_alone(&mine, &theirs);
        let common = mine.lost.map(|(n, _)| n) == theirs.lost.map(|(n, _)| n);
        let (mine, theirs) = (side(me, &mine, common), side(node, &theirs, common));
        if !has(mine.disk) || !has(theirs.disk) {
            return none;
        }
        let bugs = Bugs {
            ignore_dirty_bits: self.quirk("equal-uuids-drop-bits") || alone,
            ignore_disk_states: self.quirk("disk-states-ignored"),
        };
        let verdict = handshake::decide(&mine, &theirs, bugs);
        let split = matches!(verdict.outcome, Outcome::SplitBrain(_));
        let led = beside.0 & theirs.uuids.node_mask.0 != 0;
        if connecting && split && !unsettled {
            self.call(Handler::InitialSplitBrain, Some(c), Some(v));
        }
        let verdict = match (connecting, split && unsettled) {
            (true, true) if led => split_brain::led(&mine, &theirs, verdict),
            (true, false) => split_brain::settle(&mine, &theirs, &self.config.after_sb, verdict),
            _ => verdict,
        };
        let name = verdict.outcome.name();
        self.passed.reach_named("drbd.handshake.rule.", verdict.rule);
        self.passed.reach_named("drbd.handshake.verdict.", name);
        self.notice(Notice::Handshake(node, VolumeNumber(v as u16), verdict.rule, name));
        verdict
    }

    /// Why a verdict cannot be carried out.
    fn refusal(&mut self, c: usize, v: usize, verdict: Verdict) -> Option<Refusal> {
        let theirs = self.conns[c].volumes[v].uuids.as_ref().map_or(Uuid::NONE, |u| u.current);
        if self.takes_up(v, theirs) {
            reach!(self, TakesUpGeneration);
            return Some(Refusal::HandshakeRetry);
        }
        if self.meets_left_behind(c, v) {
            reach!(self, RefusedSuperseded);
            return Some(Refusal::HandshakeRetry);
        }
        if self.reads_beside(c, v) {
            reach!(self, RefusedReader);
            return Some(Refusal::HandshakeRetry);
        }
        if self.remembers_others(c, v) {
            reach!(self, RefusedRemembers);
            return Some(Refusal::HandshakeRetry);
        }
        let primary = self.role == Role::Primary;
        match verdict.outcome {
            Outcome::SplitBrain(_) | Outcome::Unrelated if self.is_unsettled(c, v) => {
                reach!(self, RefusedUnsettled);
                Some(Refusal::HandshakeRetry)
            }
            Outcome::SplitBrain(_) => {
                reach!(self, RefusedSplitBrain);
                self.notice(Notice::Note("Split-Brain detected, dropping connection!".to_owned()));
                self.call(Handler::SplitBrain, Some(c), Some(v));
                Some(Refusal::HandshakeDisconnect)
            }
            Outcome::Unrelated => {
                self.notice(Notice::Note("Unrelated data, aborting!".to_owned()));
                Some(Refusal::HandshakeDisconnect)
            }
            Outcome::Target(_) => self.target_refusal(c, v, verdict),
            Outcome::Source(_) => self.source_refusal(c, v, verdict),
            Outcome::None if primary && self.peer_moved_on(c, v) => Some(self.rr_conflict()),
            _ => None,
        }
    }

    /// Why this node does not become the target.
    fn target_refusal(&mut self, c: usize, v: usize, verdict: Verdict) -> Option<Refusal> {
        let primary = self.role == Role::Primary;
        if primary && self.outranks(c, v) {
            reach!(self, RefusedOutranks);
            self.assert_generation(v);
            return Some(Refusal::HandshakeRetry);
        }
        if primary && self.is_lost_after_sb(verdict) {
            return Some(self.give_up_after_sb(c, v));
        }
        if primary && self.devices[v].disk >= DiskState::Consistent {
            let resists = self.resists_being_overwritten(c, v);
            if resists {
                reach!(self, RefusedConflict);
            }
            return resists.then(|| self.rr_conflict());
        }
        if self.follows_elsewhere(c, v) {
            reach!(self, RefusedElsewhere);
            return Some(Refusal::HandshakeRetry);
        }
        if primary && self.peer_moved_on(c, v) {
            reach!(self, RefusedMovedOn);
            return Some(self.rr_conflict());
        }
        let elsewhere = primary && self.is_elsewhere(c, v);
        elsewhere.then(|| match self.is_outranked(c, v) {
            true => self.rr_conflict(),
            false => Refusal::HandshakeRetry,
        })
    }

    /// Why this node does not become the source.
    fn source_refusal(&mut self, c: usize, v: usize, verdict: Verdict) -> Option<Refusal> {
        let peer = self.conns[c].volumes[v].state?;
        // Who has to step down says so itself.
        if self.is_lost_after_sb(verdict) || peer.role != Role::Primary || self.is_violent() {
            return None;
        }
        let good = peer.disk >= DiskState::Consistent;
        if good {
            reach!(self, RefusedPeerPrimary);
        }
        match self.is_outranked(c, v) {
            true => good.then_some(Refusal::HandshakeRetry),
            false => good.then(|| self.rr_refusal()),
        }
    }

    /// This node has no disk, and a copy that is connected went on from the generation with which
    /// the peer is Primary: it stood still, or was cut off, and does not know yet. Connected, it
    /// would keep quorum here when it notices, and have outdated the copy that went on. (DRBD
    /// connects them.)
    fn meets_left_behind(&self, c: usize, v: usize) -> bool {
        let state = self.conns[c].volumes[v].state;
        let primary = state.is_some_and(|state| state.role == Role::Primary);
        primary && !self.devices[v].has_disk() && self.is_superseded(c, v)
    }

    /// Somebody has a device open here for reading, and the peer is Primary: what it writes would
    /// change under the reader, so the two do not connect before it closes.
    fn reads_beside(&self, c: usize, v: usize) -> bool {
        let state = self.conns[c].volumes[v].state;
        let primary = state.is_some_and(|state| state.role == Role::Primary);
        primary && self.role == Role::Secondary && self.roles.has_reader()
    }

    /// A side that follows a Primary or a source elsewhere may just be about to hear of a new
    /// generation.
    fn is_unsettled(&self, c: usize, v: usize) -> bool {
        let pd = &self.conns[c].volumes[v];
        let flags = |uuids: &Uuids| uuids.flags;
        let mine = pd.offered.as_ref().map(|offer| flags(&offer.uuids));
        let theirs = pd.uuids.as_ref().map(|uuids| flags(uuids));
        let unsettled = [mine, theirs]
            .into_iter()
            .flatten()
            .any(|flags| flags.has(UuidFlags::SYNC_TARGET) || !flags.has(UuidFlags::STABLE));
        // With quorum, one side at most has acknowledged anything since they parted: which one
        // shows as soon as one of them meets a third. (DRBD ends the connection for good here.)
        let quorate = |state: PeerState| state.quorum;
        let offered = pd.offered.as_ref().map(|offer| offer.state);
        let alone = ![offered, pd.state].into_iter().flatten().any(quorate);
        unsettled || alone
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

    /// A Primary with quorum and good data meets a copy without quorum that has a generation of its
    /// own. No write of that one was ever acknowledged: it would have taken the quorum that is
    /// here.
    fn outranks(&self, c: usize, v: usize) -> bool {
        let peer = self.conns[c].volumes[v].state.is_some_and(|state| state.quorum);
        let rules = self.config.quorum != Quorum::Off;
        rules && self.devices[v].quorum && !peer && self.devices[v].disk == DiskState::UpToDate
    }

    /// The peer has quorum, and this node has none: what this one has and the peer has not, was
    /// never acknowledged.
    fn is_outranked(&self, c: usize, v: usize) -> bool {
        let peer = self.conns[c].volumes[v].state.is_some_and(|state| state.quorum);
        self.config.quorum != Quorum::Off && peer && !self.devices[v].quorum
    }

    /// This copy follows a Primary that works on its very generation, and meets one that does not:
    /// who of the two is right, they have to find out between them.
    fn follows_elsewhere(&self, c: usize, v: usize) -> bool {
        let Some(theirs) = &self.conns[c].volumes[v].uuids else { return false };
        let state = self.conns[c].volumes[v].state;
        let stranger = state.is_some_and(|state| state.role != Role::Primary);
        let good = self.devices[v].disk >= DiskState::Consistent && self.devices[v].has_disk();
        let mine = self.devices[v].md.current;
        let same = |conn: &Conn| {
            let uuids = conn.volumes[v].uuids.as_ref();
            uuids.is_some_and(|uuids| uuids.current.same(mine))
        };
        let leads = |conn: &Conn| conn.is_primary() && !theirs.node_mask.has(conn.node);
        good && stranger && self.conns.iter().any(|conn| leads(conn) && same(conn))
    }

    /// A Primary that works on others' data meets a copy that would be its source, and that has
    /// neither this data nor what follows it: it may be what the others went on without. They have
    /// to compare first.
    pub(super) fn is_elsewhere(&self, c: usize, v: usize) -> bool {
        let exposed = self.devices[v].exposed;
        let uuids = self.conns[c].volumes[v].uuids.as_ref();
        !exposed.is_none() && uuids.is_some_and(|uuids| !uuids.current.same(exposed))
    }

    fn rr_refusal(&self) -> Refusal {
        match self.config.rr_conflict {
            RrConflict::RetryConnect => Refusal::HandshakeRetry,
            _ if self.config.force_secondary => Refusal::HandshakeRetry,
            _ => Refusal::HandshakeDisconnect,
        }
    }

    fn is_violent(&self) -> bool {
        matches!(self.config.rr_conflict, RrConflict::Violently | RrConflict::AutoDiscard)
    }

    /// A Primary is to be overwritten: does it resist (`true`), or go on with the source's data
    /// (`violently`)?
    fn resists_being_overwritten(&mut self, c: usize, v: usize) -> bool {
        let theirs = self.conns[c].volumes[v].uuids.as_ref().map(|uuids| uuids.current);
        if let (true, Some(current)) = (self.is_violent(), theirs) {
            self.devices[v].exposed = current;
            return false;
        }
        if self.config.rr_conflict == RrConflict::CallPriLost {
            self.call(Handler::PriLost, Some(c), Some(v));
        }
        true
    }

    /// Did a split brain end so that a Primary has to step down before it is overwritten?
    fn is_lost_after_sb(&self, verdict: Verdict) -> bool {
        let policies = &self.config.after_sb;
        match verdict.rule {
            "after-sb-1pri" => policies.one == AfterSb1::CallPriLost,
            "after-sb-2pri" => policies.two == AfterSb2::CallPriLost,
            _ => false,
        }
    }

    /// No role is given up while a handshake goes on: the handler `pri-lost-after-sb` is called,
    /// and the split brain stays. (DRBD after 9.3.3 demotes a Primary that nobody has open.)
    fn give_up_after_sb(&mut self, c: usize, v: usize) -> Refusal {
        self.call(Handler::PriLostAfterSb, Some(c), Some(v));
        Refusal::HandshakeDisconnect
    }

    /// This node is Primary and its data is outdated: a suspended one gives up if it is told to.
    fn rr_conflict(&mut self) -> Refusal {
        if self.suspended && self.config.force_secondary {
            self.force_secondary();
        }
        self.rr_refusal()
    }

    /// Did what was offered for some volume stop being true?
    pub(super) fn offer_is_stale(&self, c: usize) -> bool {
        (0..self.devices.len()).any(|v| self.volume_offer_is_stale(c, v))
    }

    fn volume_offer_is_stale(&self, c: usize, v: usize) -> bool {
        let Some(offer) = &self.conns[c].volumes[v].offered else { return false };
        if self.quirk("uuids-not-locked") {
            return false;
        }
        let (now, disk) = (self.uuids_for(c, v), self.devices[v].disk);
        let had_disk = offer.state.disk > DiskState::Failed;
        let same = offer.uuids.current.same(now.current) && offer.uuids.bitmap == now.bitmap;
        let worse = offer.state.disk >= DiskState::Consistent && disk < DiskState::Consistent;
        // Whose writes this side still receives decides, too.
        let same = same
            && offer.lost == self.lost_towards(c)
            && offer.uuids.node_mask == self.primaries_beside(c);
        had_disk != (disk > DiskState::Failed) || (had_disk && !same) || worse
    }

    /// The connect is committed: both sides go on as their verdicts say.
    pub(super) fn connected(&mut self, c: usize) {
        if self.offer_is_stale(c) {
            reach!(self, OfferStale);
            // The peer has judged what is no longer true: both start again.
            return self.retry_link(c);
        }
        let node = self.conns[c].node;
        self.conns[c].greeting = None::<Greeting>;
        self.conns[c].handshake_deadline = None;
        self.conns[c].was_connected = true;
        self.conns[c].discard = false;
        self.conns[c].placed = false;
        self.conns[c].volumes.iter_mut().for_each(|pd| pd.caught_up = false);
        self.set_cstate(c, ConnState::Connected);
        self.conns[c].fence = Default::default();
        self.far_primaries.remove(node);
        if self.lost_primary == Some(node) {
            self.lost_primary = None;
        }
        self.set_members(self.members.with(node));
        let kept =
            |pd: &PeerDevice| pd.uuids.as_ref().is_some_and(|u| u.flags.has(UuidFlags::RECONNECT));
        self.conns[c].kept_on = self.conns[c].volumes.iter().all(kept);
        self.note_missed(c);
        for v in 0..self.devices.len() {
            if let Some(state) = self.conns[c].volumes[v].state {
                self.set_peer_role(c, state.role);
            }
            let verdict = self.conns[c].volumes[v].verdict.take();
            self.apply(c, v, verdict.map_or(Outcome::None, |verdict| verdict.outcome));
        }
        let dagtag = self.dagtag;
        self.conns[c].sent_dagtag = dagtag;
        self.send(c, Packet::Dagtag(dagtag));
        self.conns[c].named = self.conns[c].peer_dagtag.take();
        if self.conns[c].role == Role::Primary {
            let others = self.conns.iter_mut().flat_map(|conn| &mut conn.volumes);
            others.for_each(|pd| pd.reconcile = false);
            // What was asked before says nothing about its writes. (That it is Primary may have
            // been known through others.)
            self.forget_flushes();
            // Others want to know that this copy receives its writes.
            (0..self.devices.len()).for_each(|v| self.tell_uuids(v, Some(c)));
        }
        // The first P_STATE behind the commit tells the peer that this side has it.
        self.conns[c].volumes.iter_mut().for_each(|pd| pd.sent_state = None);
        self.changed = true;
    }

    /// Carries a verdict out.
    fn apply(&mut self, c: usize, v: usize, outcome: Outcome) {
        if !self.conns[c].connected() {
            // What another volume's peer has moved on to ended the connection.
            return;
        }
        let same = self.same_generation(c, v);
        let pd = &mut self.conns[c].volumes[v];
        pd.agreed = outcome == Outcome::None && pd.bits_offered() == 0 && same;
        pd.offered = None;
        pd.reconcile = false;
        // That both agree may be all that somebody waits for.
        self.changed = true;
        if let Some(state) = self.conns[c].volumes[v].state {
            self.adopt_exposed(c, v, state);
            match outcome {
                Outcome::Source(bits) => self.start_source(c, v, bits),
                Outcome::Target(bits) => self.start_target(c, v, bits),
                _ => {}
            }
            self.follow_peer_disk(c, v, state);
            if !self.conns[c].connected() {
                return;
            }
            if !matches!(outcome, Outcome::Source(_) | Outcome::Target(_)) {
                self.no_resync(c, v, state);
            }
        }
        if !self.conns[c].volumes[v].repl.is_sync() {
            self.set_repl(c, v, ReplState::Established);
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
                reach!(self, DisklessOutdates);
                self.set_disk(v, DiskState::Outdated);
            } else if mine == DiskState::UpToDate && self.presents_the_unknown(c, v) {
                reach!(self, DisklessUnknown);
                // It saw a Primary that went on without this copy, or one whose word came to
                // nothing: it will say which when asked.
                self.set_disk(v, DiskState::Consistent);
            }
            return;
        }
        let better = state.disk == DiskState::UpToDate && self.same_generation(c, v);
        if better && matches!(mine, DiskState::Consistent | DiskState::Outdated) {
            self.set_disk(v, DiskState::UpToDate);
        }
        if let Some(uuids) = self.conns[c].volumes[v].uuids.clone() {
            self.clean_slots(c, v, &uuids);
            let vouched = self.conns[c].volumes[v].agreed && !uuids.flags.has(UuidFlags::UNCLEAN);
            self.devices[v].unclean &= !vouched;
        }
        self.tell_clients(v);
        if self.quirk("equal-uuids-drop-bits")
            && let Some(slot) = self.devices[v].slot(node)
        {
            self.devices[v].bitmaps[slot].reset();
        }
    }

    /// All copies are connected, none is UpToDate, and this one agreed with each that is not
    /// Inconsistent on one generation without a bit between them: none of them can be behind
    /// another. (What an Inconsistent copy has, no write relied on.)
    pub(super) fn everybody_is_here(&mut self) {
        for v in 0..self.devices.len() {
            let all = self.is_everybody_behind(v) && {
                let mut copies = self.conns.iter().filter(|conn| conn.config.diskful);
                copies.all(|conn| {
                    let pd = &conn.volumes[v];
                    pd.agreed || pd.disk == DiskState::Inconsistent
                })
            };
            if all && self.devices[v].disk == DiskState::Outdated {
                reach!(self, EverybodyHere);
                self.set_disk(v, DiskState::Consistent);
            }
        }
    }

    /// Are all copies connected, without a resync, and none of them UpToDate or in use?
    pub(super) fn is_everybody_behind(&self, v: usize) -> bool {
        // A Primary without good data of its own that works on this very generation has none newer.
        let newer = |conn: &Conn| conn.role == Role::Primary && !self.is_seen_by(conn, v);
        let primary = self.conns.iter().any(newer) || !self.far_primaries.is_empty();
        let mut copies = self.conns.iter().filter(|conn| conn.config.diskful);
        !primary
            && copies.all(|conn| {
                let pd = &conn.volumes[v];
                use DiskState::{Consistent, Inconsistent, Outdated};
                let behind = matches!(pd.disk, Inconsistent | Outdated | Consistent);
                conn.connected() && behind && pd.repl.is_idle()
            })
    }

    /// Does a peer without good data of its own see just the generation of this copy?
    fn is_seen_by(&self, conn: &Conn, v: usize) -> bool {
        let pd = &conn.volumes[v];
        let current = self.devices[v].md.current;
        let sees = pd.uuids.as_ref().is_some_and(|uuids| uuids.current.same(current));
        (pd.disk <= DiskState::Failed || pd.disk == DiskState::Outdated) && sees
    }

    /// A copy that is only Consistent is UpToDate if a Primary without a disk of its own works on
    /// just this generation.
    pub(super) fn trust_primaries(&mut self) {
        for v in 0..self.devices.len() {
            let trusted =
                self.conns.iter().any(|conn| conn.is_primary() && self.is_seen_by(conn, v));
            let syncs = self.conns.iter().any(|conn| conn.volumes[v].repl.is_sync_target());
            let held = self.is_held(v);
            let trusted = (trusted && !held) || self.is_best(v);
            if self.devices[v].disk == DiskState::Consistent && trusted && !syncs {
                reach!(self, TrustsPrimary);
                self.set_disk(v, DiskState::UpToDate);
            }
        }
    }

    /// A Primary with quorum is connected to every other copy, none of them is better than its own,
    /// and its own is what it works on.
    fn is_best(&self, v: usize) -> bool {
        let device = &self.devices[v];
        let mut copies = self.conns.iter().filter(|conn| conn.config.diskful);
        self.role == Role::Primary
            && device.quorum
            && device.exposed.same(device.md.current)
            && copies.all(|conn| {
                let pd = &conn.volumes[v];
                conn.connected() && pd.repl.is_idle() && pd.disk < DiskState::UpToDate
            })
    }

    /// Does a comparison with another survivor of a lost Primary stand out?
    pub(super) fn is_held(&self, v: usize) -> bool {
        self.conns.iter().any(|conn| conn.connected() && conn.volumes[v].reconcile)
    }

    /// Asks every connected peer with a disk what an attached disk is worth.
    pub(super) fn negotiate_attach(&mut self, v: usize, disk: DiskState) {
        self.devices[v].attach_disk = disk;
        for c in 0..self.conns.len() {
            if self.conns[c].connected() && self.conns[c].config.diskful {
                self.offer(c, v, UuidFlags::RESYNC);
            }
        }
    }

    /// Did the peer send its UUIDs because it was asked?
    fn answers(&self, c: usize, v: usize) -> bool {
        let uuids = self.conns[c].volumes[v].uuids.as_ref();
        uuids.is_some_and(|uuids| uuids.flags.has(UuidFlags::ANSWER))
    }

    /// Both sides have said everything, on a connection that stands.
    fn answer_negotiation(&mut self, c: usize, v: usize) {
        if self.conns[c].volumes[v].repl.is_sync() {
            // The peer has ended it already.
            self.abort_resync(c, v);
            self.set_repl(c, v, ReplState::Established);
        }
        if self.conns[c].volumes[v].offered.is_none() {
            if self.answers(c, v) {
                // What it answers is settled, or was given up. Taken for a question, its answer
                // would be one again, and so on for ever: this side asks anew instead.
                reach!(self, RenegotiatedLate);
                return self.offer(c, v, UuidFlags::RESYNC);
            }
            self.offer(c, v, UuidFlags::RESYNC | UuidFlags::ANSWER);
        }
        if self.volume_offer_is_stale(c, v) {
            reach!(self, RenegotiatedStale);
            return self.retry_link(c);
        }
        let verdict = self.verdict(c, v);
        self.conns[c].named = self.conns[c].peer_dagtag.take();
        let in_use = self.role == Role::Primary
            && (self.devices[v].disk >= DiskState::Consistent || self.is_elsewhere(c, v));
        match verdict.outcome {
            Outcome::SplitBrain(_) | Outcome::Unrelated => {
                self.conns[c].volumes[v].offered = None;
                if self.devices[v].disk == DiskState::Negotiating {
                    self.disk_failed(v);
                }
                return;
            }
            Outcome::Target(_) if in_use => {
                reach!(self, RenegotiatedInUse);
                return self.retry_link(c);
            }
            _ => self.apply(c, v, verdict.outcome),
        }
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
            _ if self.is_another(v) => {
                reach!(self, AttachAnother);
                self.set_disk(v, disk.min(DiskState::Outdated));
            }
            _ => {
                if disk == DiskState::UpToDate {
                    self.devices[v].exposed = self.devices[v].md.current;
                }
                self.set_disk(v, disk);
            }
        }
    }

    /// Nobody is there to compare with, and the disk that was attached does not have the data that
    /// this node worked with. (DRBD refuses to attach it to a Primary that is not connected.)
    fn is_another(&self, v: usize) -> bool {
        let (md, exposed) = (&self.devices[v].md, self.devices[v].exposed);
        let newer = md.history.iter().any(|old| old.same(exposed));
        let other = !exposed.is_none() && !exposed.same(md.current);
        other && (self.role == Role::Primary || !newer)
    }
}

fn has_crashed(uuids: &Uuids) -> bool {
    uuids.flags.has(UuidFlags::CRASHED_PRIMARY)
}

fn lists(uuids: &Uuids, node: NodeId) -> bool {
    uuids.bitmap.iter().any(|(listed, _)| *listed == node)
}

/// Which of two copies would be the source if they were connected?
fn followed_further(a: &Conn, b: &Conn, v: usize) -> bool {
    let unclean = |conn: &Conn| {
        let uuids = conn.volumes[v].uuids.as_ref();
        uuids.is_some_and(|uuids| uuids.flags.has(UuidFlags::UNCLEAN))
    };
    match (a.named, b.named) {
        (Some((x, a)), Some((y, b))) if x == y && a != b => a > b,
        _ if a.kept_on != b.kept_on => a.kept_on,
        _ if unclean(a) != unclean(b) => unclean(b),
        _ => a.node < b.node,
    }
}

/// One half of a comparison as the rules want it. A position counts only where both sides lost the
/// same Primary.
fn side(node: NodeId, offer: &Offer, common: bool) -> Side<'_> {
    let disk = match offer.state.disk {
        DiskState::Negotiating if offer.uuids.flags.has(UuidFlags::INCONSISTENT) => {
            DiskState::Inconsistent
        }
        DiskState::Negotiating => DiskState::Consistent,
        disk => disk,
    };
    Side {
        node,
        uuids: &offer.uuids,
        disk,
        primary: offer.state.role == Role::Primary,
        quorum: offer.state.quorum,
        dagtag: offer.lost.filter(|_| common).map(|(_, dagtag)| dagtag.0),
    }
}

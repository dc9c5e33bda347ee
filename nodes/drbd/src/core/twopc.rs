//! Cluster-wide changes in two phases: PREPARE goes to everybody who can be reached, through
//! neighbours too; votes come back merged; COMMIT or ABORT follows the same way. One transaction at
//! a time on each node.

use super::Resource;
use super::event::{CommandId, InitialSync, Notice, Refusal, Resize};
use super::parts::Conn;
use super::points::reach;
use crate::ids::{NodeId, NodeMask, Time, VolumeMask, VolumeNumber};
use crate::packet::{Change, Packet, TwopcCommit, TwopcId, TwopcReply, TwopcRequest, TwopcVote};
use crate::state::{DiskState, Role};

/// Why this node wants a cluster-wide change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// A link is up: connect to this node.
    Connect(NodeId),
    /// Leave this node.
    Disconnect(NodeId, Option<CommandId>),
    /// Become Primary.
    Promote,
    /// Become Secondary.
    Demote,
    /// A peer was lost, or a disk is only Consistent: find out who is there.
    LostPeer,
    /// Copy everything anew between this node and the peer; `true`: to here.
    Resync(NodeId, VolumeNumber, bool, CommandId),
    /// Verify this copy against the peer's.
    Verify(NodeId, VolumeNumber, CommandId),
    /// Make a new current UUID: `new-current-uuid`.
    NewCurrent(VolumeNumber, InitialSync, CommandId),
    /// Everybody shall know the new data generation before a write completes.
    Confirm,
    /// Detach the disk of a volume.
    Detach(VolumeNumber, CommandId),
    /// Make the device of a volume larger.
    Resize(VolumeNumber, Resize, CommandId),
}

#[derive(Clone, Debug)]
struct Want {
    purpose: Purpose,
    not_before: Time,
    retries: u32,
}

#[derive(Clone, Debug)]
struct Ongoing {
    request: TwopcRequest,
    purpose: Option<(Purpose, u32)>,
    /// Who wants this node's vote.
    parents: Vec<NodeId>,
    /// Who sent PREPARE.
    heard: NodeMask,
    /// Who got PREPARE from this node.
    prepared: NodeMask,
    /// Whose vote is missing.
    waiting: NodeMask,
    reply: TwopcReply,
    /// A disconnect: nodes that the target still reaches without the initiator.
    beyond: NodeMask,
    no: bool,
    retry: bool,
    vote: Option<TwopcVote>,
    deadline: Time,
}

/// Cluster-wide changes of this node.
#[derive(Clone, Debug, Default)]
pub(super) struct Twopc {
    ongoing: Option<Ongoing>,
    wants: Vec<Want>,
    /// Nodes that took part in the last commit.
    pub reached: NodeMask,
    /// A connect that timed out here kept its lock of the UUIDs, which only a quirk does.
    leaked: bool,
}

impl Twopc {
    pub fn alarm(&self) -> Option<Time> {
        let ongoing = self.ongoing.as_ref().map(|o| o.deadline);
        let wants = self.ongoing.is_none().then(|| self.wants.iter().map(|w| w.not_before).min());
        ongoing.into_iter().chain(wants.flatten()).min()
    }
    pub fn leaked_lock(&self) -> bool {
        self.leaked
    }
    pub fn wants(&self, purpose: Purpose) -> bool {
        let mine = self.ongoing.as_ref().and_then(|o| o.purpose);
        self.wants.iter().any(|w| w.purpose == purpose) || mine.is_some_and(|(p, _)| p == purpose)
    }
    /// Is a new current UUID about to be made by command?
    pub fn awaits_new_current(&self) -> bool {
        let mine = self.ongoing.iter().filter_map(|o| o.purpose).map(|(purpose, _)| purpose);
        let mut all = self.wants.iter().map(|want| want.purpose).chain(mine);
        all.any(|purpose| matches!(purpose, Purpose::NewCurrent(..)))
    }
}

impl Resource {
    pub(super) fn want(&mut self, purpose: Purpose) {
        if !self.twopc.wants.iter().any(|want| want.purpose == purpose) {
            self.twopc.wants.push(Want { purpose, not_before: self.now, retries: 0 });
        }
        self.changed = true;
    }

    /// Drops a wish that is not wanted any more.
    pub(super) fn unwant(&mut self, purpose: Purpose) {
        self.twopc.wants.retain(|want| want.purpose != purpose);
    }

    /// Starts the next wanted change, if none is going on.
    pub(super) fn progress_twopc(&mut self) {
        let consistent = self.devices.iter().any(|d| d.disk == DiskState::Consistent);
        let settled = !self.conns.iter().any(Conn::is_primary);
        if consistent
            && settled
            && !self.twopc.wants(Purpose::LostPeer)
            && self.role != Role::Primary
        {
            let not_before = self.now.plus_ms(self.config.twopc_retry_timeout_ms);
            self.twopc.wants.push(Want { purpose: Purpose::LostPeer, not_before, retries: 0 });
        }
        while self.twopc.ongoing.is_none() {
            let now = self.now;
            let Some(i) = self.twopc.wants.iter().position(|want| want.not_before <= now) else {
                return;
            };
            let want = self.twopc.wants.remove(i);
            self.initiate(want);
        }
    }

    fn initiate(&mut self, want: Want) {
        let refused = match want.purpose {
            Purpose::Connect(node) => {
                let conn = self.conn_of(node).map(|c| &self.conns[c]);
                if conn.is_none_or(|conn| conn.greeting.is_none()) {
                    return;
                }
                self.generation_is_young().then_some(Refusal::InTransientState)
            }
            Purpose::Disconnect(node, _) => {
                let connected = self.conn_of(node).is_some_and(|c| self.conns[c].connected());
                (!connected).then_some(Refusal::AlreadyStandalone)
            }
            Purpose::Promote => self.promote_refusal(),
            Purpose::Demote => self.demote_refusal(),
            Purpose::Resync(node, volume, to_me, _) => {
                self.resync_refusal(volume.index(), node, to_me)
            }
            Purpose::Detach(volume, _) => self.detach_refusal(volume.index()),
            Purpose::Verify(node, volume, _) => self.verify_refusal(volume.index(), node),
            Purpose::NewCurrent(volume, initial, _) => {
                self.new_current_refusal(volume.index(), initial)
            }
            Purpose::Resize(volume, resize, _) => self.resize_refusal(volume.index(), resize),
            Purpose::LostPeer | Purpose::Confirm => None,
        };
        if let Some(refusal) = refused {
            return self.concluded(want.purpose, want.retries, Err(refusal));
        }
        let (target, change) = self.change_of(want.purpose);
        let tid = (self.draw() as u32).max(1);
        let me = self.me();
        let mut prepared = NodeMask::NONE;
        for conn in self.conns.iter().filter(|conn| conn.connected()) {
            prepared.insert(conn.node);
        }
        if let Purpose::Connect(node) = want.purpose {
            prepared.insert(node);
        }
        let request = TwopcRequest {
            id: TwopcId { initiator: me, tid },
            target,
            nodes_to_reach: prepared.with(me).complement(),
            change,
        };
        self.twopc.ongoing = Some(Ongoing {
            request,
            purpose: Some((want.purpose, want.retries)),
            parents: Vec::new(),
            heard: NodeMask::NONE,
            prepared,
            waiting: prepared,
            reply: self.own_reply(&request, me),
            beyond: NodeMask::NONE,
            no: false,
            retry: false,
            vote: None,
            deadline: self.now.plus_ms(self.config.twopc_timeout_ms),
        });
        self.send_prepare(request, prepared);
        if let Purpose::Connect(node) = want.purpose {
            self.on_conn(node, |r, c| r.send_parameters(c));
        }
        self.progress_votes();
    }

    fn change_of(&self, purpose: Purpose) -> (Option<NodeId>, Change) {
        match purpose {
            Purpose::Connect(node) => (Some(node), Change::Connect),
            Purpose::Disconnect(node, _) => (Some(node), self.change_of_leaving(node)),
            Purpose::Promote => (None, Change::Promote),
            Purpose::Demote => (None, Change::Demote),
            Purpose::Resync(node, volume, to_initiator, _) => {
                (Some(node), Change::Resync { volume, to_initiator })
            }
            Purpose::Detach(volume, _) => (None, Change::Disk { volume, to: DiskState::Detaching }),
            Purpose::Verify(node, volume, _) => (Some(node), Change::Verify { volume }),
            Purpose::NewCurrent(volume, ..) => (None, Change::NewCurrent { volume }),
            Purpose::Resize(volume, resize, _) => (None, super::resize::change(volume, resize)),
            Purpose::LostPeer | Purpose::Confirm => (None, Change::Empty),
        }
    }

    /// A PREPARE is followed by a ping, so that a peer that died silently is noticed.
    fn send_prepare(&mut self, request: TwopcRequest, to: NodeMask) {
        for node in to.iter() {
            self.on_conn(node, |r, c| {
                r.send(c, Packet::TwopcPrepare(request));
                r.ping(c);
            });
        }
    }

    /// What this node says of itself; `from` is who told it of the request.
    fn own_reply(&self, request: &TwopcRequest, from: NodeId) -> TwopcReply {
        let mut reachable = self.me().mask();
        for conn in self.conns.iter().filter(|conn| conn.connected()) {
            reachable.insert(conn.node);
        }
        let mine = request.id.initiator == self.me();
        match (request.change, request.target) {
            (Change::Connect, Some(target)) if mine => reachable.insert(target),
            (Change::Connect, Some(target)) if target == self.me() => {
                reachable.insert(request.id.initiator);
            }
            (Change::Disconnect { .. }, Some(target)) if mine => reachable.remove(target),
            (Change::Disconnect { .. }, Some(target)) if target == self.me() => {
                reachable.remove(request.id.initiator);
            }
            _ => {}
        }
        let promotes = mine && request.change == Change::Promote;
        let primary = (self.role == Role::Primary && !self.is_as_good_as_demoted()) || promotes;
        // What comes through others comes from a node that has no connection to this one: its data
        // will be out of reach as soon as this end notices. (DRBD lets the last good copy outdate
        // itself.)
        let lost = (from != request.id.initiator).then_some(request.id.initiator);
        let (mut has_data, mut incapable) = (false, VolumeMask::default());
        for v in 0..self.devices.len() {
            match self.good_copy_beside(v, lost) {
                true => has_data = true,
                false if primary => incapable.insert(v),
                false => {}
            }
        }
        // A Primary without quorum outdates nobody: it may be the one that is behind. Once it has
        // quorum, its next generation does. (DRBD does not ask.)
        let weighs = primary && has_data && self.all_quorate();
        TwopcReply {
            reachable,
            primaries: if primary { self.me().mask() } else { NodeMask::NONE },
            weak: if weighs { reachable.complement() } else { NodeMask::NONE },
            incapable,
            relied_on: if primary { self.sole_copies() } else { NodeMask::NONE },
            max_size: self.room_for(request.change),
        }
    }

    pub(super) fn twopc_prepare(&mut self, c: usize, request: TwopcRequest) {
        let from = self.conns[c].node;
        if let Some(ongoing) = self.twopc.ongoing.as_mut()
            && ongoing.request.id == request.id
        {
            // It came around: the sender is reached, and wants no vote that it does not have.
            if ongoing.parents.contains(&from) && ongoing.vote.is_none() {
                // Said twice: the sender waits for the vote that is still to come.
                return;
            }
            reach!(self, TwopcAround);
            ongoing.waiting.remove(from);
            ongoing.heard.insert(from);
            let vote = ongoing.vote.unwrap_or(TwopcVote::Yes(TwopcReply::default()));
            self.send(c, Packet::TwopcVote(request.id, vote));
            return self.progress_votes();
        }
        let connect = request.change == Change::Connect && request.target == Some(self.me());
        let not_now = self.conns[c].greeting.is_none() || self.generation_is_young();
        if connect && not_now {
            return self.send(c, Packet::TwopcVote(request.id, TwopcVote::Retry));
        }
        if let Some(ongoing) = &self.twopc.ongoing {
            let theirs_first = request.id.initiator < ongoing.request.id.initiator;
            if ongoing.purpose.is_none() || !theirs_first {
                reach!(self, TwopcBusy);
                return self.send(c, Packet::TwopcVote(request.id, TwopcVote::Retry));
            }
            reach!(self, TwopcYielded);
            self.abort_mine(Refusal::Concurrent);
        }
        self.participate(c, request);
        if connect {
            self.send_parameters(c);
        }
        self.progress_votes();
    }

    fn participate(&mut self, c: usize, mut request: TwopcRequest) {
        let from = self.conns[c].node;
        let initiator = request.id.initiator;
        let mut forward = NodeMask::NONE;
        for conn in self.conns.iter().filter(|conn| conn.connected() && conn.node != from) {
            if request.nodes_to_reach.has(conn.node) && conn.node != initiator {
                forward.insert(conn.node);
            }
        }
        let refusal = self.vote_on(&request);
        let original = request;
        request.nodes_to_reach =
            NodeMask(request.nodes_to_reach.0 & !forward.0 & !self.me().mask().0);
        let retry = refusal == Some(Refusal::InTransientState);
        let forward = if retry { NodeMask::NONE } else { forward };
        if !forward.is_empty() {
            reach!(self, TwopcForwarded);
        }
        self.twopc.ongoing = Some(Ongoing {
            request: TwopcRequest { nodes_to_reach: request.nodes_to_reach, ..original },
            purpose: None,
            parents: vec![from],
            heard: from.mask(),
            prepared: forward,
            waiting: forward,
            reply: self.own_reply(&original, from),
            beyond: NodeMask::NONE,
            no: refusal.is_some() && !retry,
            retry,
            vote: None,
            deadline: self.now.plus_ms(self.config.twopc_timeout_ms),
        });
        self.send_prepare(request, forward);
    }

    /// This node's own opinion of a change.
    fn vote_on(&self, request: &TwopcRequest) -> Option<Refusal> {
        let initiator = request.id.initiator;
        match request.change {
            Change::Promote => self.vote_on_promote(initiator),
            Change::Empty => self.vote_on_settling(initiator),
            Change::Disk { volume, .. } => self.vote_on_disk(initiator, volume.index()),
            Change::Disconnect { .. } if request.target == Some(self.me()) => {
                let asks = !self.quirk("disconnect-takes-last-data");
                (asks && self.role == Role::Primary && !self.quorum_without(initiator))
                    .then_some(Refusal::NoQuorum)
            }
            Change::Resync { volume, to_initiator } if request.target == Some(self.me()) => {
                match volume.index() < self.devices.len() {
                    true => self.resync_refusal(volume.index(), initiator, !to_initiator),
                    false => Some(Refusal::MinorInvalid),
                }
            }
            Change::Verify { volume } if request.target == Some(self.me()) => {
                match volume.index() < self.devices.len() {
                    true => self.verify_refusal(volume.index(), initiator),
                    false => Some(Refusal::MinorInvalid),
                }
            }
            Change::NewCurrent { volume } => self.vote_on_new_current(volume.index()),
            Change::Resize { volume, .. } => self.vote_on_resize(volume.index()),
            _ => None,
        }
    }

    /// A copy that asks whether it may call itself UpToDate may not, if somebody saw that a Primary
    /// went on without it.
    fn vote_on_settling(&self, initiator: NodeId) -> Option<Refusal> {
        let c = self.conn_of(initiator)?;
        let left_behind = (0..self.devices.len()).any(|v| {
            let state = self.conns[c].volumes[v].state;
            let stale = self.distrusts(c, v) || self.is_superseded(c, v);
            state.is_some_and(|state| state.disk == DiskState::Consistent) && stale
        });
        left_behind.then_some(Refusal::NoUpToDateDisk)
    }

    fn vote_on_promote(&self, initiator: NodeId) -> Option<Refusal> {
        let agrees = self.quirk("promote-not-refused") || self.is_as_good_as_demoted();
        if self.role == Role::Primary && !agrees {
            return Some(Refusal::TwoPrimaries);
        }
        if self.roles.has_reader() {
            return Some(Refusal::PrimaryReader);
        }
        if self.uuids_locked() {
            return Some(Refusal::InTransientState);
        }
        // Who saw a newer generation does not help old data to a majority. (DRBD asks nobody.)
        let c = self.conn_of(initiator)?;
        let stale = (0..self.devices.len()).any(|v| {
            let claims = self.conns[c].volumes[v].state.map(|state| state.disk);
            let stale = self.distrusts(c, v) || self.is_superseded(c, v);
            claims.is_some_and(|disk| disk >= DiskState::Consistent) && stale
        });
        if stale {
            reach!(self, PromoteVoteStale);
        }
        stale.then_some(Refusal::NoUpToDateDisk)
    }

    fn quorum_without(&self, node: NodeId) -> bool {
        self.config.quorum == super::config::Quorum::Off || {
            let here = |conn: &&super::parts::Conn| conn.connected() && conn.node != node;
            // Leaving gracefully makes the leaver Outdated: it stops counting as unknown.
            (0..self.devices.len()).all(|v| {
                self.devices[v].disk == DiskState::UpToDate
                    || self
                        .conns
                        .iter()
                        .filter(here)
                        .any(|conn| conn.volumes[v].disk == DiskState::UpToDate)
            })
        }
    }

    pub(super) fn twopc_vote(&mut self, c: usize, id: TwopcId, vote: TwopcVote) {
        let from = self.conns[c].node;
        let Some(ongoing) = self.twopc.ongoing.as_mut() else { return };
        if ongoing.request.id != id || !ongoing.waiting.has(from) {
            return;
        }
        ongoing.waiting.remove(from);
        match vote {
            TwopcVote::Yes(reply) => {
                let leaves = matches!(ongoing.request.change, Change::Disconnect { .. });
                if leaves && ongoing.purpose.is_some() && ongoing.request.target == Some(from) {
                    ongoing.beyond = ongoing.beyond.or(reply.reachable);
                } else {
                    ongoing.reply.reachable = ongoing.reply.reachable.or(reply.reachable);
                }
                ongoing.reply.primaries = ongoing.reply.primaries.or(reply.primaries);
                ongoing.reply.weak = ongoing.reply.weak.or(reply.weak);
                ongoing.reply.incapable = ongoing.reply.incapable.or(reply.incapable);
                ongoing.reply.relied_on = ongoing.reply.relied_on.or(reply.relied_on);
                let sizes = [ongoing.reply.max_size, reply.max_size];
                ongoing.reply.max_size = sizes.into_iter().flatten().min();
            }
            TwopcVote::No => ongoing.no = true,
            TwopcVote::Retry => ongoing.retry = true,
        }
        self.progress_votes();
    }

    /// The handshake part of a connect is done at this node.
    pub(super) fn twopc_handshake_ready(&mut self, _c: usize) {
        self.progress_votes();
    }

    /// Is the handshake that the ongoing connect depends on done here? `Err`: it failed.
    fn handshake_done(&self) -> Option<Result<(), Refusal>> {
        let ongoing = self.twopc.ongoing.as_ref()?;
        let (initiator, target) = (ongoing.request.id.initiator, ongoing.request.target);
        let other = match ongoing.request.change {
            Change::Connect if initiator == self.me() => target?,
            Change::Connect if target == Some(self.me()) => initiator,
            _ => return Some(Ok(())),
        };
        let c = self.conn_of(other)?;
        let Some(greeting) = &self.conns[c].greeting else {
            return Some(Err(Refusal::HandshakeRetry));
        };
        if !greeting.ready {
            return None;
        }
        // What was said may be old by now: this may be the second transaction since. Old words
        // prove nothing, a split brain least of all.
        match greeting.refused {
            _ if self.offer_is_stale(c) => Some(Err(Refusal::HandshakeRetry)),
            Some(refusal) => Some(Err(refusal)),
            None => Some(Ok(())),
        }
    }

    fn progress_votes(&mut self) {
        let Some(ongoing) = &self.twopc.ongoing else { return };
        let early = ongoing.retry || ongoing.no;
        if (!ongoing.waiting.is_empty() && !early) || ongoing.vote.is_some() {
            return;
        }
        let mine = ongoing.purpose.is_some();
        let handshake = match self.handshake_done() {
            Some(done) => done,
            None if early => Ok(()),
            None => return,
        };
        if mine { self.verdict_of_votes(handshake) } else { self.answer(handshake) }
    }

    /// A participant votes.
    fn answer(&mut self, handshake: Result<(), Refusal>) {
        let Some(ongoing) = self.twopc.ongoing.as_mut() else { return };
        let vote = match handshake {
            _ if ongoing.retry => TwopcVote::Retry,
            Err(Refusal::HandshakeRetry) => TwopcVote::Retry,
            Err(_) => TwopcVote::No,
            Ok(()) if ongoing.no => TwopcVote::No,
            Ok(()) => TwopcVote::Yes(ongoing.reply),
        };
        match vote {
            TwopcVote::No => reach!(self, TwopcVotedNo),
            TwopcVote::Retry => reach!(self, TwopcVotedRetry),
            TwopcVote::Yes(_) => {}
        }
        ongoing.vote = Some(vote);
        let (id, parents) = (ongoing.request.id, ongoing.parents.clone());
        for parent in parents {
            self.on_conn(parent, |r, c| r.send(c, Packet::TwopcVote(id, vote)));
        }
        if handshake == Err(Refusal::HandshakeRetry) {
            // What was said does not get any better: both have to say it again.
            self.on_conn(id.initiator, |r, c| r.retry_link(c));
        }
    }

    /// The initiator decides.
    fn verdict_of_votes(&mut self, handshake: Result<(), Refusal>) {
        let Some(ongoing) = &self.twopc.ongoing else { return };
        let (change, reply) = (ongoing.request.change, ongoing.reply);
        let primaries = match change {
            Change::Promote => reply.primaries.with(self.me()),
            Change::Demote => reply.primaries.without(self.me()),
            _ => reply.primaries,
        };
        let refused = match handshake {
            _ if ongoing.retry => Some(Refusal::Concurrent),
            Err(refusal) => Some(refusal),
            Ok(()) if ongoing.no => Some(Refusal::FailedByPeer),
            Ok(()) => match change {
                Change::Promote => self.promote_refusal(),
                Change::Connect => None,
                _ => None,
            },
        };
        let twice = matches!(change, Change::Promote | Change::Connect) && primaries.len() > 1;
        let twice = twice && !self.quirk("promote-not-refused");
        match refused {
            Some(Refusal::Concurrent) => reach!(self, TwopcConcurrent),
            Some(Refusal::FailedByPeer) => reach!(self, TwopcRefused),
            None if twice => reach!(self, TwopcTwoPrimaries),
            None => reach!(self, TwopcCommitted),
            _ => {}
        }
        match refused.or(twice.then_some(Refusal::TwoPrimaries)) {
            Some(refusal) => self.abort_mine(refusal),
            None => match self.size_to_commit(change, &reply) {
                Ok(size) => self.commit_mine(primaries, size),
                Err(result) => self.end_mine(result),
            },
        }
    }

    fn commit_mine(&mut self, primaries: NodeMask, size: u64) {
        let Some(ongoing) = self.twopc.ongoing.take() else { return };
        let (reply, beyond) = (ongoing.reply, ongoing.beyond);
        // Both ends of a connection that goes may reach each other through others: then nothing is
        // split. Otherwise each side hears of its own nodes.
        let split = reply.reachable.and(beyond).is_empty();
        let here = if split { reply.reachable } else { reply.reachable.or(beyond) };
        let there = if split && !beyond.is_empty() { beyond } else { here };
        let commit = TwopcCommit {
            request: ongoing.request,
            primaries,
            reachable: here,
            primary_incapable: !primaries.is_empty() && reply.weak.is_empty(),
            incapable: reply.incapable,
            relied_on: reply.relied_on,
            size,
        };
        for node in ongoing.prepared.iter() {
            let far = ongoing.request.target == Some(node);
            let commit = TwopcCommit { reachable: if far { there } else { here }, ..commit };
            self.on_conn(node, |r, c| r.send(c, Packet::TwopcCommit(commit)));
        }
        self.committed(&commit);
        if let Some((purpose, retries)) = ongoing.purpose {
            self.concluded(purpose, retries, Ok(()));
        }
        self.shrink_members(&commit);
    }

    /// Gives up an own transaction; the wish stays as its refusal says.
    fn abort_mine(&mut self, refusal: Refusal) {
        self.end_mine(Err(refusal));
    }

    /// Ends an own transaction without a change.
    fn end_mine(&mut self, result: Result<(), Refusal>) {
        let Some(ongoing) = self.twopc.ongoing.take() else { return };
        for node in ongoing.prepared.iter() {
            self.on_conn(node, |r, c| r.send(c, Packet::TwopcAbort(ongoing.request)));
        }
        if let Some((purpose, retries)) = ongoing.purpose {
            self.concluded(purpose, retries, result);
        }
        self.changed = true;
    }

    /// Random back-off, longer with each try.
    fn again(&mut self, purpose: Purpose, retries: u32, at_least_ms: u64) {
        let window = self.config.twopc_retry_timeout_ms * (self.conns.len() as u64).max(1);
        let window = window << retries.min(5);
        let wait = at_least_ms + self.draw() % window.max(1);
        let not_before = self.now.plus_ms(wait);
        if !self.twopc.wants.iter().any(|want| want.purpose == purpose) {
            self.twopc.wants.push(Want { purpose, not_before, retries: retries + 1 });
        }
        self.changed = true;
    }

    fn concluded(&mut self, purpose: Purpose, retries: u32, result: Result<(), Refusal>) {
        let transient = matches!(
            result,
            Err(Refusal::Concurrent | Refusal::Timeout | Refusal::InTransientState)
        );
        match (purpose, result) {
            (Purpose::Connect(node), Ok(())) => self.on_conn(node, |r, c| r.connected(c)),
            (Purpose::Connect(_), _) if transient => self.again(purpose, retries, 50),
            (Purpose::Connect(node), Err(refusal)) => self.connect_refused(node, refusal),
            (Purpose::Confirm, Ok(())) => self.generation_confirmed(),
            (Purpose::LostPeer, Ok(())) => {}
            (Purpose::LostPeer, Err(Refusal::NoUpToDateDisk | Refusal::FailedByPeer)) => {
                self.left_behind();
            }
            (Purpose::Confirm | Purpose::LostPeer, Err(_)) => self.again(purpose, retries, 0),
            (Purpose::Promote | Purpose::Demote, Err(_)) if transient => {
                self.again(purpose, retries, 0);
            }
            (Purpose::Promote, result) => self.promote_done(result),
            (Purpose::Demote, result) => self.demote_done(result),
            (Purpose::Resync(..) | Purpose::NewCurrent(..) | Purpose::Resize(..), Err(_))
                if transient =>
            {
                self.again(purpose, retries, 0);
            }
            (Purpose::Resize(volume, _, id), result) => {
                self.resize_decided(volume.index(), id, result);
            }
            (Purpose::NewCurrent(volume, initial, id), result) => {
                self.new_current_agreed((volume, initial), id, result);
            }
            (Purpose::Resync(node, volume, to_me, id), result) => {
                self.resync_asked(id, result);
                if result.is_ok() {
                    self.on_conn(node, |r, c| r.start_full_sync(c, volume.index(), to_me));
                }
            }
            (Purpose::Disconnect(..) | Purpose::Detach(..) | Purpose::Verify(..), Err(_))
                if transient =>
            {
                self.again(purpose, retries, 0);
            }
            (Purpose::Detach(volume, id), result) => {
                self.detach_decided(volume.index(), id, result);
            }
            (Purpose::Verify(node, volume, id), result) => {
                self.resync_asked(id, result);
                if result.is_ok() {
                    self.on_conn(node, |r, c| r.start_verify(c, volume.index(), true));
                }
            }
            (Purpose::Disconnect(node, reply), result) => {
                self.disconnect_done(node, reply, result);
            }
        }
    }

    /// A Primary went on without this node's copies, as a node without a disk saw.
    fn left_behind(&mut self) {
        reach!(self, TwopcLeftBehind);
        for v in 0..self.devices.len() {
            if self.devices[v].disk == DiskState::Consistent {
                self.set_disk(v, DiskState::Outdated);
            }
        }
    }

    /// A Primary goes on without this node's copies.
    pub(super) fn outdate(&mut self) {
        for v in 0..self.devices.len() {
            if self.devices[v].has_disk() && self.devices[v].disk > DiskState::Outdated {
                self.set_disk(v, DiskState::Outdated);
            }
        }
    }

    /// The handshake ended without a connection.
    fn connect_refused(&mut self, node: NodeId, refusal: Refusal) {
        let Some(c) = self.conn_of(node) else { return };
        self.notice(Notice::Note(format!("connect refused: {refusal:?}")));
        let retry = self.config.rr_conflict == super::config::RrConflict::RetryConnect;
        match refusal {
            Refusal::HandshakeDisconnect => self.dismiss(c),
            Refusal::TwoPrimaries | Refusal::FailedByPeer
                if !retry && !self.config.force_secondary =>
            {
                self.dismiss(c);
            }
            _ => self.retry_link(c),
        }
    }

    pub(super) fn twopc_commit(&mut self, c: usize, commit: TwopcCommit) {
        let from = self.conns[c].node;
        let known = self.twopc.ongoing.as_ref().is_some_and(|o| {
            o.request.id == commit.request.id && o.purpose.is_none() && o.parents.contains(&from)
        });
        if !known {
            return;
        }
        let Some(ongoing) = self.twopc.ongoing.take() else { return };
        for node in ongoing.prepared.iter() {
            self.on_conn(node, |r, c| r.send(c, Packet::TwopcCommit(commit)));
        }
        let (change, initiator) = (commit.request.change, commit.request.id.initiator);
        if !ongoing.heard.has(initiator) {
            self.drop_dead(initiator);
        }
        let me = commit.request.target == Some(self.me());
        self.committed(&commit);
        match change {
            Change::Connect if me => self.on_conn(initiator, |r, c| r.connected(c)),
            Change::Disconnect { outdate_me, .. } if me => {
                self.on_conn(initiator, |r, c| r.left_by_peer(c, outdate_me));
            }
            Change::Resync { volume, to_initiator } if me => {
                self.on_conn(initiator, |r, c| r.start_full_sync(c, volume.index(), !to_initiator));
            }
            Change::Disk { volume, to } => {
                self.on_conn(initiator, |r, c| r.agreed_disk(c, volume.index(), to));
            }
            Change::Verify { volume } if me => {
                self.on_conn(initiator, |r, c| r.start_verify(c, volume.index(), false));
            }
            Change::Promote => {
                self.on_conn(initiator, |r, c| r.set_peer_role(c, Role::Primary));
            }
            Change::Demote => {
                self.on_conn(initiator, |r, c| r.set_peer_role(c, Role::Secondary));
            }
            _ => {}
        }
        self.shrink_members(&commit);
        self.changed = true;
    }

    /// An initiator asks every neighbour itself and waits for its vote. It did not ask this one:
    /// for the initiator the connection is gone, though this side has not noticed yet.
    fn drop_dead(&mut self, initiator: NodeId) {
        self.on_conn(initiator, |r, c| {
            if r.conns[c].connected() {
                reach!(r, TwopcDropsDead);
                r.drop_link(c, crate::state::ConnState::NetworkFailure);
            }
        });
    }

    /// Forgets members that a commit did not reach. Those count as being without quorum from then
    /// on, so this part must have it while they still count as unknown.
    fn shrink_members(&mut self, commit: &TwopcCommit) {
        self.update_quorum();
        if self.devices.iter().all(|device| device.quorum) {
            let members = commit.reachable.with(self.me());
            if members.and(self.members) != self.members {
                reach!(self, MembersShrink);
            }
            self.set_members(members);
        }
    }

    /// What every commit means to every node that takes part.
    fn committed(&mut self, commit: &TwopcCommit) {
        let mine = commit.request.id.initiator == self.me();
        // More of them at once, fewer only when the change is made and quorum is proven without
        // them.
        self.set_members(self.members.or(commit.reachable));
        self.twopc.reached = commit.reachable;
        self.take_committed_size(commit);
        let ends = [Some(commit.request.id.initiator), commit.request.target];
        if let (Change::Connect, [Some(a), Some(b)]) = (commit.request.change, ends) {
            self.on_conn(a, |r, c| r.conns[c].deaf_to.remove(b));
            self.on_conn(b, |r, c| r.conns[c].deaf_to.remove(a));
        }
        let part = |node: NodeId| {
            node != self.me() && ends.contains(&Some(node)) && ends.contains(&Some(self.me()))
        };
        let direct = |node: NodeId| match commit.request.change {
            Change::Connect if part(node) => true,
            // A Primary that leaves goes on without this copy.
            Change::Disconnect { .. } if part(node) => false,
            _ => node == self.me() || self.conn_of(node).is_some_and(|c| self.conns[c].connected()),
        };
        let stepped_down: Vec<usize> = (0..self.conns.len())
            .filter(|c| {
                let conn = &self.conns[*c];
                let asked = commit.reachable.has(conn.node) && !commit.primaries.has(conn.node);
                conn.is_primary() && asked
            })
            .collect();
        let far_primaries = commit.primaries.iter().filter(|node| !direct(*node));
        let far_primaries = far_primaries.fold(NodeMask::NONE, NodeMask::with);
        let spares = matches!(
            commit.request.change,
            Change::Disconnect { outdate_me: false, outdate_you: false }
        );
        let far = far_primaries.iter().any(|node| !(spares && part(node)));
        self.far_primaries = far_primaries;
        stepped_down.into_iter().for_each(|c| self.set_peer_role(c, Role::Secondary));
        for v in 0..self.devices.len() {
            commit.reachable.iter().for_each(|node| self.may_have_caught_up(v, node));
        }
        let empty = commit.request.change == Change::Empty;
        for v in 0..self.devices.len() {
            let disk = self.devices[v].disk;
            let good = disk > DiskState::Outdated && disk != DiskState::DUnknown;
            let incapable = commit.primary_incapable || commit.incapable.has(v);
            // That Primary will notice that it lost this copy, and has no other then.
            let spared = incapable || commit.relied_on.has(self.me());
            if far && !spared && good && self.role != Role::Primary {
                reach!(self, TwopcFarPrimary);
                self.set_disk(v, DiskState::Outdated);
            } else if empty && mine && disk == DiskState::Consistent && commit.primaries.is_empty()
            {
                self.settle_consistent(v);
            }
        }
        if self.role == Role::Primary && empty && !mine {
            self.outdate_far(commit.request.id.initiator);
        }
        self.changed = true;
    }

    /// No Primary is left anywhere: what is Consistent is UpToDate, once the survivors have
    /// compared notes.
    fn settle_consistent(&mut self, v: usize) {
        let ask = |conn: &super::parts::Conn| conn.connected() && conn.volumes[v].reconcile;
        let asked: Vec<usize> = (0..self.conns.len()).filter(|c| ask(&self.conns[*c])).collect();
        if asked.is_empty() {
            reach!(self, TwopcSettles);
            self.set_disk(v, DiskState::UpToDate);
        } else {
            reach!(self, TwopcReconciles);
        }
        for c in asked {
            self.renegotiate(c, v);
        }
    }

    /// A Primary learns that a node it is not connected to asked who is there: that node outdates
    /// itself.
    fn outdate_far(&mut self, node: NodeId) {
        let Some(c) = self.conn_of(node) else { return };
        if self.conns[c].connected() || !self.conns[c].config.diskful {
            return;
        }
        for v in 0..self.devices.len() {
            let stays = !self.data_accessible(v);
            if self.conns[c].volumes[v].disk == DiskState::DUnknown && !stays {
                reach!(self, TwopcOutdatesFar);
                self.set_peer_disk(c, v, DiskState::Outdated);
            }
        }
    }

    pub(super) fn twopc_abort(&mut self, c: usize, request: TwopcRequest) {
        let from = self.conns[c].node;
        let known = self.twopc.ongoing.as_ref().is_some_and(|o| {
            o.request.id == request.id && o.purpose.is_none() && o.parents.contains(&from)
        });
        if known {
            reach!(self, TwopcAborted);
            self.drop_transaction();
        }
    }

    /// The initiator of a resync that this node agreed to be the other half of.
    fn half_of_resync(&self) -> Option<NodeId> {
        let ongoing = self.twopc.ongoing.as_ref()?;
        let agreed = matches!(ongoing.vote, Some(TwopcVote::Yes(_)));
        let resync = matches!(ongoing.request.change, Change::Resync { .. });
        let target = ongoing.request.target == Some(self.me());
        (agreed && resync && target).then_some(ongoing.request.id.initiator)
    }

    /// A participant forgets the transaction, and so do those behind it.
    fn drop_transaction(&mut self) {
        let Some(ongoing) = self.twopc.ongoing.take() else { return };
        for node in ongoing.prepared.iter() {
            self.on_conn(node, |r, c| r.send(c, Packet::TwopcAbort(ongoing.request)));
        }
        self.changed = true;
    }

    /// A connection of an ongoing transaction broke.
    pub(super) fn twopc_conn_lost(&mut self, c: usize) {
        let node = self.conns[c].node;
        self.unwant(Purpose::Connect(node));
        let forgets = self.quirk("twopc-abort-not-sent");
        let Some(ongoing) = self.twopc.ongoing.as_mut() else { return };
        if ongoing.purpose.is_some() {
            let targeted = ongoing.request.target == Some(node);
            let connect = ongoing.request.change == Change::Connect && targeted;
            if ongoing.waiting.has(node) || connect {
                reach!(self, TwopcPeerLost);
                self.abort_mine(Refusal::Concurrent);
            }
            return;
        }
        if forgets {
            return;
        }
        ongoing.parents.retain(|parent| *parent != node);
        if ongoing.parents.is_empty() || ongoing.waiting.has(node) {
            let (id, parents) = (ongoing.request.id, ongoing.parents.clone());
            reach!(self, TwopcParentLost);
            for parent in parents {
                self.on_conn(parent, |r, c| {
                    r.send(c, Packet::TwopcVote(id, TwopcVote::Retry));
                });
            }
            self.drop_transaction();
        }
    }

    /// The passive side of a connect timed out.
    pub(super) fn leak_lock(&mut self, c: usize) {
        let conn = &self.conns[c];
        let locked = conn.greeting.as_ref().is_some_and(|g| g.sent);
        let passive = conn.node < self.config.node;
        self.twopc.leaked |= locked && passive && self.quirk("connect-timeout-leaks-lock");
    }

    pub(super) fn twopc_alarms(&mut self) {
        let now = self.now;
        if self.twopc.ongoing.as_ref().is_some_and(|o| o.deadline <= now) {
            match self.twopc.ongoing.as_ref().is_some_and(|o| o.purpose.is_some()) {
                true => {
                    reach!(self, TwopcTimeout);
                    self.abort_mine(Refusal::Timeout);
                }
                false => {
                    reach!(self, TwopcExpired);
                    let unsure = self.half_of_resync();
                    self.drop_transaction();
                    // The other one may have started already, and waits for this node's bitmap.
                    if let Some(node) = unsure {
                        self.on_conn(node, |r, c| r.retry_link(c));
                    }
                }
            }
        }
        if self.twopc.wants.iter().any(|want| want.not_before <= now) {
            self.changed = true;
        }
    }
}

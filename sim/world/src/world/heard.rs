//! What hosts tell: completions and replies to the VMs, notices to the views, the log and the
//! promises.

use super::World;
use super::resource::{Resource, View};
use crate::check::{Promise, acked_write_survives, no_forbidden_state, one_primary};
use crate::log::What as Line;
use crate::outcome::Class;
use drbd::core::event::{Notice, Ran};
use drbd::ids::NodeId;
use drbd::page::Page;
use drbd::state::{ConnState, DiskState, ReplState, Role};
use kernel::{Out, Power, What};
use models::SimTime;
use models::lvm::Mode;
use scenarios::Event;

/// Numbers for the running hash.
fn digest(notice: &Notice) -> [u64; 3] {
    match notice {
        Notice::Role(role) => [1, *role as u64, 0],
        Notice::Disk(v, disk) => [2, v.0.into(), *disk as u64],
        Notice::Quorum(v, yes) => [3, v.0.into(), (*yes).into()],
        Notice::Suspended(yes) => [4, (*yes).into(), 0],
        Notice::Connection(n, state) => [5, n.index() as u64, *state as u64],
        Notice::PeerRole(n, role) => [6, n.index() as u64, *role as u64],
        Notice::Repl(n, v, repl) => [7, (n.index() as u64) << 16 | u64::from(v.0), *repl as u64],
        Notice::PeerDisk(n, v, d) => [8, (n.index() as u64) << 16 | u64::from(v.0), *d as u64],
        Notice::Handshake(n, v, rule, verdict) => {
            let words = rule.bytes().chain(verdict.bytes());
            let sum = words.fold(0u64, |sum, byte| sum.rotate_left(7) ^ u64::from(byte));
            [9, (n.index() as u64) << 16 | u64::from(v.0), sum]
        }
        Notice::ResyncDone(n, v, stable) => {
            [10, (n.index() as u64) << 16 | u64::from(v.0), (*stable).into()]
        }
        Notice::NewCurrentUuid(v, uuid) => [11, v.0.into(), uuid.0],
        Notice::Handler(handler, peer, volume, ran) => {
            let about = peer.map_or(0, |n| n.index() as u64 + 1) << 17;
            let about = about | volume.map_or(0, |v| u64::from(v.0) + 1);
            let ran = match ran {
                Ran::Nothing => 0,
                Ran::Started => 1,
                Ran::Exit(code) => 2 + u64::from(*code),
            };
            [13, about, (*handler as u64) << 16 | ran]
        }
        Notice::VerifyDone { node, volume, found, left } => {
            [14, (node.index() as u64) << 16 | u64::from(volume.0), found << 32 | left]
        }
        Notice::Size(v, blocks) => [15, v.0.into(), *blocks],
        Notice::Note(text) => [12, text.len() as u64, 0],
    }
}

impl World {
    /// Handles one thing that a host told.
    pub(super) fn heard(&mut self, host: usize, out: Out) {
        let Out { slot, what } = out;
        self.heed_the_dead(host, &what);
        match what {
            What::Complete { volume, id, result, copies } => {
                self.completed(host, volume, id, result, copies);
            }
            What::Reply(id, result) => self.replied(host, id, result),
            What::Notice(notice) => self.noticed(host, slot, notice),
            What::Refused(command, why) => {
                let (resource, _) = self.slots[host][slot];
                let line =
                    Line::Refused { host: host as u16, resource: resource as u16, command, why };
                self.log.add(self.now, line);
                self.note(&[6, host as u64, slot as u64, why as i8 as u64]);
            }
            What::Link(peer, up) => {
                let ((at, node), host) = (self.slots[host][slot], host as u16);
                let line = Line::Link { host, resource: at as u16, peer, up };
                self.log.add(self.now, line);
                self.note(&[12, host.into(), slot as u64, peer.index() as u64, up.into()]);
                self.linked(at, node, peer, up);
            }
            What::Packet(peer, sent, packet) => {
                let (resource, host) = (self.slots[host][slot].0 as u16, host as u16);
                let line = Line::Packet { host, resource, peer, sent, packet };
                self.log.add(self.now, line);
            }
            What::BroughtUp => self.brought_up(host, slot),
            What::Booted => {
                self.log.add(self.now, Line::Host(host as u16, "kernel runs"));
                self.note(&[8, host as u64]);
                self.plug(host, true);
                self.has_risen(host);
                self.saw(Event::Booted, host, None, None);
                self.host_is_up(host);
            }
            What::Printed { id, error, text } => self.printed(id, error, &text),
            What::Exited { id, code } => self.exited(id, code),
            What::Administered(deed) => {
                let (resource, node) = self.slots[host][slot];
                self.administered(resource, node, deed);
            }
            What::Settled(deed, result) => {
                let (resource, node) = self.slots[host][slot];
                self.settled(resource, node, deed, result.is_ok());
            }
            What::TakenDown => {
                let (resource, node) = self.slots[host][slot];
                self.taken_down(resource, node);
            }
            What::MetadataWrite => {
                let (resource, _) = self.slots[host][slot];
                if let Some(recorder) = &mut self.log.recorder {
                    recorder.metadata(self.now, host as u16, resource as u16);
                }
                self.saw(Event::MetadataWrite, host, Some(resource), None);
            }
            What::ShutDown => self.has_shut_down(host),
        }
    }

    fn brought_up(&mut self, host: usize, slot: usize) {
        let (resource, node) = self.slots[host][slot];
        self.resources[resource].vigil.forget(node);
        let node = &mut self.resources[resource].nodes[node];
        node.asked_down = false;
        if node.view.role == Role::Unknown {
            node.view.role = Role::Secondary;
        }
        self.note(&[7, host as u64, slot as u64]);
    }

    fn has_shut_down(&mut self, host: usize) {
        self.log.add(self.now, Line::Host(host as u16, "is off"));
        self.note(&[9, host as u64]);
        self.loses_power(host);
        self.host_is_gone(host);
        self.has_fallen(host);
        if std::mem::take(&mut self.boot_wanted[host]) {
            self.hosts[host].boot(SimTime(self.now));
        }
    }

    fn noticed(&mut self, host: usize, slot: usize, notice: Notice) {
        let (at, node) = self.slots[host][slot];
        let [kind, a, b] = digest(&notice);
        self.note(&[10, (host as u64) << 8 | at as u64, kind << 32 | a, b]);
        self.heed(at, node, &notice);
        self.judge_notice(host, at, node, &notice);
        match &notice {
            Notice::Role(role) => self.role(at, node, *role),
            Notice::Disk(volume, disk) => {
                self.resources[at].nodes[node].disk_is(volume.index(), *disk);
                self.may_be_whole(at, node);
            }
            Notice::Quorum(volume, yes) => {
                self.resources[at].nodes[node].view.quorum[volume.index()] = *yes;
            }
            Notice::Connection(peer, state) => self.connection(at, node, *peer, *state),
            Notice::Handshake(peer, volume, rule, verdict) => {
                let target = verdict.starts_with("target");
                self.shaken(at, node, (*peer, volume.index()), target.then_some(*rule));
            }
            Notice::Repl(peer, volume, repl) => {
                self.replication(at, node, *peer, volume.index(), *repl);
            }
            Notice::Size(volume, blocks) => self.grew(host, at, volume.index(), *blocks),
            Notice::ResyncDone(peer, volume, stable) => {
                self.resync_done(at, node, *peer, volume.index(), *stable);
            }
            _ => {}
        }
        self.look_for_marks(at);
        self.edge(host, at, &notice);
        let (host, resource) = (host as u16, at as u16);
        self.log.add(self.now, Line::Notice { host, resource, notice });
    }

    /// A device of a host is larger than it was: the VMs on it see that.
    fn grew(&mut self, host: usize, at: usize, volume: usize, blocks: u64) {
        let resource = &mut self.resources[at];
        let before = resource.sizes[volume];
        if blocks > before {
            resource.ledgers[volume].grew(before);
            resource.sizes[volume] = blocks;
        }
        let here = |vm: &&mut super::vm::Vm| {
            let on = (vm.vdi.resource, vm.vdi.volume.index());
            vm.host == Some(host) && on == (at, volume)
        };
        self.vms.iter_mut().filter(here).for_each(|vm| vm.grow(blocks));
    }

    /// The event that a notice is, for those who wait for it.
    fn edge(&mut self, host: usize, at: usize, notice: &Notice) {
        let (event, peer) = match notice {
            Notice::Role(Role::Primary) => (Event::Promoted, None),
            Notice::Role(Role::Secondary) => (Event::Demoted, None),
            Notice::Disk(_, DiskState::Failed) => (Event::DiskFailed, None),
            Notice::Quorum(_, true) => (Event::QuorumBack, None),
            Notice::Quorum(_, false) => (Event::QuorumLost, None),
            Notice::Suspended(true) => (Event::Suspended, None),
            Notice::Connection(peer, ConnState::Connected) => (Event::Connected, Some(*peer)),
            Notice::Repl(peer, _, ReplState::SyncTarget) => (Event::ResyncStarts, Some(*peer)),
            Notice::Handshake(peer, ..) => (Event::Handshake, Some(*peer)),
            Notice::ResyncDone(peer, ..) => (Event::ResyncEnds, Some(*peer)),
            Notice::NewCurrentUuid(..) => (Event::NewCurrentUuid, None),
            _ => return,
        };
        self.saw_of(event, host, at, peer);
    }

    /// The link to a peer is up, or gone: the sockets said so, or the engine gave them up, which
    /// the sockets do not tell.
    fn linked(&mut self, at: usize, node: usize, peer: NodeId, up: bool) {
        let place = &mut self.resources[at].nodes[node];
        let was = std::mem::replace(&mut place.view.linked[peer.index()], up);
        let host = place.host;
        if was != up {
            self.resources[at].vigil.linked(self.now, node, peer.index(), up);
        }
        match (was, up) {
            (false, true) => self.saw_of(Event::LinkUp, host, at, Some(peer)),
            (true, false) => self.saw_of(Event::LinkDown, host, at, Some(peer)),
            _ => {}
        }
    }

    fn saw_of(&mut self, event: Event, host: usize, at: usize, peer: Option<NodeId>) {
        let nodes = &self.resources[at].nodes;
        let peer = peer.and_then(|peer| nodes.get(peer.index())).map(|node| node.host);
        self.saw(event, host, Some(at), peer);
    }

    fn judge_notice(&mut self, host: usize, at: usize, node: usize, notice: &Notice) {
        self.tally.add(Promise::NoForbiddenState, 1);
        self.look_at_pools(host);
        let resource = &self.resources[at];
        let place = &resource.nodes[node];
        let asked = match notice {
            Notice::Connection(peer, _) => place.may_leave(*peer),
            _ => false,
        };
        let context = no_forbidden_state::Context {
            never_alone: resource.quorum && resource.retries,
            leaving: self.hosts[host].power() != Power::Up,
            broken_here: place.was_broken || place.may_drop_its_disk(),
            broken_anywhere: resource.nodes.iter().any(|n| n.was_broken),
            asked,
        };
        if let Err(what) = no_forbidden_state::check(notice, context) {
            let what = format!("{} {}: {what}", self.hosts[host].name(), resource.name);
            self.fail(Class::Safety, no_forbidden_state::NAME, what, Some(at));
        }
    }

    /// Which copies has a full pool broken since?
    fn look_at_pools(&mut self, host: usize) {
        let fails = |note: &models::lvm::dm::Note| {
            matches!(note.mode, Mode::OutOfDataSpaceError | Mode::ReadOnly)
        };
        if !self.hosts[host].pool_notes().iter().any(fails) {
            return;
        }
        for (at, node) in &self.slots[host] {
            let node = &mut self.resources[*at].nodes[*node];
            node.was_broken |= node.may_fail;
        }
    }

    fn role(&mut self, at: usize, node: usize, role: Role) {
        let resource = &mut self.resources[at];
        resource.nodes[node].view.role = role;
        resource.exclusive.role(self.now, node, role == Role::Primary);
        resource.roles_changed = true;
        if role == Role::Primary {
            self.check_promoted(at, node);
        }
    }

    fn connection(&mut self, at: usize, node: usize, peer: NodeId, state: ConnState) {
        let resource = &mut self.resources[at];
        let was = &mut resource.nodes[node].view.conn[peer.index()];
        let lost = *was == ConnState::Connected && state != ConnState::Connected;
        *was = state;
        resource.roles_changed = true;
        if !matches!(state, ConnState::Connecting | ConnState::Connected) {
            self.linked(at, node, peer, false);
        }
        let since = self.now - self.last_fault;
        if lost && self.last_fault > 0 && since < 60_000_000_000 {
            self.recovered("peer-lost", since);
        }
    }

    fn replication(
        &mut self,
        at: usize,
        node: usize,
        peer: NodeId,
        volume: usize,
        repl: drbd::state::ReplState,
    ) {
        let resource = &mut self.resources[at];
        let view = &mut resource.nodes[node].view;
        let was = std::mem::replace(&mut view.repl[peer.index()][volume], repl);
        if repl.is_sync_target() && !was.is_sync_target() {
            view.target_since[peer.index()][volume] = Some(self.now);
            if std::mem::take(&mut view.thrown[peer.index()][volume]) {
                resource.ledgers[volume].gave_up(Resource::id(node));
            }
            resource.ledgers[volume].resync_started(Resource::id(node), peer);
        }
    }

    fn resync_done(&mut self, at: usize, node: usize, peer: NodeId, volume: usize, stable: bool) {
        let resource = &mut self.resources[at];
        resource.resynced[volume] = true;
        if stable {
            let serving = resource.serving(volume);
            resource.ledgers[volume].resync_done(Resource::id(node), peer, serving);
        }
        let since = &mut resource.nodes[node].view.target_since[peer.index()][volume];
        if let Some(since) = since.take() {
            let took = self.now - since;
            self.recovered("resync", took);
        }
    }

    /// The engines of a host are gone: nobody says so, but whoever looks can see it.
    pub(super) fn host_is_gone(&mut self, host: usize) {
        self.vms_died(host);
        self.commands_died(host);
        for slot in 0..self.slots[host].len() {
            let (at, node) = self.slots[host][slot];
            let resource = &mut self.resources[at];
            let count = resource.nodes.len();
            resource.nodes[node].view = View::new(count, resource.volumes);
            resource.nodes[node].forgets();
            resource.vigil.forget(node);
            resource.exclusive.role(self.now, node, false);
            resource.roles_changed = true;
            if resource.nodes[node].diskful {
                for ledger in &mut resource.ledgers {
                    ledger.host_lost(self.now, Resource::id(node));
                }
            }
        }
    }

    // ---- promises about roles ----

    /// `one-primary`, once everything that happened at this instant is told.
    pub(super) fn check_roles(&mut self) {
        for at in 0..self.resources.len() {
            if !std::mem::take(&mut self.resources[at].roles_changed) {
                continue;
            }
            self.tally.add(Promise::OnePrimary, 1);
            let resource = &self.resources[at];
            let roles: Vec<Role> = resource.nodes.iter().map(|n| n.view.role).collect();
            let says = |a: usize, b: usize| resource.nodes[a].view.conn[b] == ConnState::Connected;
            if let Err((a, b)) = one_primary::check(&roles, says) {
                let name = |node: usize| self.hosts[resource.nodes[node].host].name();
                let (a, b) = (name(a), name(b));
                let what = format!("{}: {a} and {b} are Primary, and connected", resource.name);
                self.fail(Class::Safety, one_primary::NAME, what, Some(at));
            }
        }
    }

    /// `acked-write-survives` at a promotion: what the new Primary would read.
    fn check_promoted(&mut self, at: usize, node: usize) {
        for volume in 0..self.resources[at].volumes {
            let Some(view) = self.volume_view(at, node, volume) else { continue };
            let own = view.disk == DiskState::UpToDate;
            let readable = view.peers.iter().filter(|p| p.disk == DiskState::UpToDate);
            let peers: Vec<usize> = match own {
                true => vec![node],
                false => readable
                    .map(|p| p.node.index())
                    .filter(|peer| self.resources[at].connected(node, *peer))
                    .collect(),
            };
            for copy in peers {
                self.check_copy(at, copy, volume, None, "as it is promoted");
            }
        }
    }

    /// Compares a copy with the ledger: the given blocks, or all that were ever touched.
    pub(super) fn check_copy(
        &mut self,
        at: usize,
        node: usize,
        volume: usize,
        blocks: Option<&[u64]>,
        when: &str,
    ) {
        let resource = &self.resources[at];
        let place = &resource.nodes[node];
        if place.is_broken || !place.diskful || resource.past_saving {
            return;
        }
        let ledger = &resource.ledgers[volume];
        let host = &self.hosts[place.host];
        let stored = |block| host.peek(place.slot, volume, block).unwrap_or(Page::Zero);
        let id = Resource::id(node);
        let result = match blocks {
            Some(blocks) => acked_write_survives::check(ledger, id, blocks.iter().copied(), stored),
            None => acked_write_survives::check(ledger, id, 0..ledger.span(), stored),
        };
        match result {
            Ok(checked) => self.tally.add(Promise::AckedWriteSurvives, checked),
            Err(wrong) => {
                let name = host.name();
                if let Some(recorder) = &mut self.log.recorder {
                    recorder.broke_at(at, volume, wrong.block);
                }
                let what = format!("{name}'s copy of {}/{volume}, {when}: {wrong}", resource.name);
                self.fail(Class::Safety, acked_write_survives::NAME, what, Some(at));
            }
        }
    }
}

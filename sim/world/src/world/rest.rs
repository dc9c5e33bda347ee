//! What is checked now and then: copies at rest, exclusive quorum; and at the end, convergence.

use super::World;
use super::resource::Resource;
use super::vm::State;
use crate::check::quorum_is_exclusive::Broken;
use crate::check::{Promise, io_resumes, resync_finishes, uptodate_means_identical as identical};
use crate::outcome::Class;
use drbd::core::VolumeView;
use drbd::ids::VolumeNumber;
use drbd::page::Page;
use drbd::state::{DiskState, ReplState, Role};

/// Time between two looks.
pub(super) const EVERY: u64 = 500_000_000;
/// VMs stop to ask for I/O so long before the end, so that the last look finds everything at rest.
const QUIET: u64 = 3_000_000_000;

impl World {
    /// One look.
    pub(super) fn at_rest(&mut self) {
        self.next_rest = self.now + EVERY;
        // What a condition says of time changes by itself.
        self.script.stale = true;
        self.look_at_engines();
        self.check_exclusive_writers();
        for at in 0..self.resources.len() {
            self.look_at(at, false);
        }
        if let Some(healed) = self.healed {
            let due = (healed + io_resumes::BOUND).min(self.horizon.saturating_sub(QUIET + EVERY));
            if self.convergence.is_none() && self.now >= due.max(healed) {
                self.demand_convergence(healed);
            }
        }
        if self.now + QUIET >= self.horizon {
            self.stopping = true;
        }
    }

    /// The last look: everything, where it is at rest.
    pub(super) fn last_look(&mut self) {
        for at in 0..self.resources.len() {
            self.look_at(at, true);
        }
    }

    fn check_exclusive_writers(&mut self) {
        for at in 0..self.resources.len() {
            let resource = &mut self.resources[at];
            if !resource.quorum || resource.forgot || resource.overruled {
                continue;
            }
            self.tally.add(Promise::QuorumIsExclusive, 1);
            let hosts = &self.hosts;
            let nodes = &resource.nodes;
            let writable = |n: usize| {
                let node = &nodes[n];
                let quorum = node.view.quorum.iter().all(|yes| *yes);
                node.view.role == Role::Primary && quorum && hosts[node.host].is_acting()
            };
            if let Err(Broken::Both { a, b, since }) =
                resource.exclusive.observe(self.now, writable)
            {
                let name = |node: usize| hosts[nodes[node].host].name();
                let what = format!(
                    "{}: {} and {} have both been Primary with quorum since t={}.{:03}s",
                    resource.name,
                    name(a),
                    name(b),
                    since / 1_000_000_000,
                    since / 1_000_000 % 1_000
                );
                self.fail(Class::Safety, Promise::QuorumIsExclusive.name(), what, Some(at));
            }
        }
    }

    pub(super) fn volume_view(&self, at: usize, node: usize, volume: usize) -> Option<VolumeView> {
        let place = &self.resources[at].nodes[node];
        if !self.hosts[place.host].is_acting() {
            return None;
        }
        self.hosts[place.host].engine(place.slot)?.volume(VolumeNumber(volume as u16))
    }

    /// Compares the copies of a resource, if nothing is in flight: what was touched since the last
    /// look, or all.
    fn look_at(&mut self, at: usize, everything: bool) {
        for volume in 0..self.resources[at].volumes {
            let count = self.resources[at].nodes.len();
            let views: Vec<Option<VolumeView>> =
                (0..count).map(|node| self.volume_view(at, node, volume)).collect();
            if !everything {
                self.watch(at, volume, &views);
            }
            let busy = |view: &VolumeView| view.app_in_flight > 0 || view.peer_unacked > 0;
            let frozen = self.resources[at].nodes.iter().any(|n| self.hosts[n.host].is_frozen());
            if frozen || views.iter().flatten().any(busy) {
                continue;
            }
            let mut blocks = std::mem::take(&mut self.scratch);
            if everything || std::mem::take(&mut self.resources[at].resynced[volume]) {
                blocks.clear();
                blocks.extend(0..self.resources[at].ledgers[volume].span());
            } else {
                self.resources[at].ledgers[volume].take_touched(&mut blocks);
                blocks.sort_unstable();
                blocks.dedup();
            }
            self.compare_pairs(at, volume, &views, &blocks);
            for (node, view) in views.iter().enumerate() {
                if view.is_some() && self.resources[at].could_serve(node, volume) {
                    let when = if everything { "at the end" } else { "at rest" };
                    self.check_copy(at, node, volume, Some(&blocks), when);
                }
            }
            self.scratch = blocks;
        }
    }

    fn compare_pairs(
        &mut self,
        at: usize,
        volume: usize,
        views: &[Option<VolumeView>],
        blocks: &[u64],
    ) {
        let up_to_date =
            |n: usize| views[n].as_ref().is_some_and(|view| view.disk == DiskState::UpToDate);
        let towards = |a: usize, b: usize| {
            let peers = &views[a].as_ref()?.peers;
            let peer = peers.iter().find(|p| p.node == Resource::id(b))?;
            (peer.repl == ReplState::Established).then_some(peer.out_of_sync)
        };
        for a in 0..views.len() {
            for b in a + 1..views.len() {
                let broken = |n: usize| self.resources[at].nodes[n].is_broken;
                if self.resources[at].past_saving {
                    return;
                }
                if !up_to_date(a) || !up_to_date(b) || broken(a) || broken(b) {
                    continue;
                }
                if let (Some(here), Some(there)) = (towards(a, b), towards(b, a)) {
                    self.compare(at, volume, (a, b), here + there > 0, blocks);
                }
            }
        }
    }

    fn compare(
        &mut self,
        at: usize,
        volume: usize,
        (a, b): (usize, usize),
        some_bits: bool,
        blocks: &[u64],
    ) {
        let resource = &self.resources[at];
        let ledger = &resource.ledgers[volume];
        let side = |n: usize| (&self.hosts[resource.nodes[n].host], resource.nodes[n].slot);
        let ((host_a, slot_a), (host_b, slot_b)) = (side(a), side(b));
        let (Some(engine_a), Some(engine_b)) = (host_a.engine(slot_a), host_b.engine(slot_b))
        else {
            return;
        };
        let number = VolumeNumber(volume as u16);
        let skip = |block| {
            ledger.is_rotten(block)
                || some_bits
                    && (engine_a.may_differ(number, Resource::id(b), block)
                        || engine_b.may_differ(number, Resource::id(a), block))
        };
        let stored = |block| {
            let page =
                |host: &kernel::Host, slot| host.peek(slot, volume, block).unwrap_or(Page::Zero);
            (page(host_a, slot_a), page(host_b, slot_b))
        };
        match identical::check(blocks.iter().copied(), skip, stored) {
            Ok(checked) => self.tally.add(Promise::UptodateMeansIdentical, checked),
            Err(differs) => {
                if let Some(recorder) = &mut self.log.recorder {
                    recorder.broke_at(at, volume, differs.block);
                }
                let what = format!(
                    "{}/{volume} block {:#x}: {} holds {}, {} holds {}; both UpToDate",
                    resource.name,
                    differs.block,
                    host_a.name(),
                    ledger.name_of(differs.block, &differs.pages.0),
                    host_b.name(),
                    ledger.name_of(differs.block, &differs.pages.1),
                );
                self.fail(Class::Safety, identical::NAME, what, Some(at));
            }
        }
    }

    // ---- convergence ----

    fn excuse(&mut self, reason: &'static str) {
        if !self.excused.contains(&reason) {
            self.excused.push(reason);
        }
    }

    /// Why a resource may have stayed broken, if it may.
    fn excuse_for(&self, at: usize) -> Option<&'static str> {
        if let Some(reason) = self.left_so(at) {
            return Some(reason);
        }
        let resource = &self.resources[at];
        let copies = resource.nodes.iter().filter(|n| n.diskful);
        let on = copies.clone().filter(|n| self.hosts[n.host].is_acting()).count();
        let total = copies.clone().count();
        if copies.clone().all(|n| n.was_broken || n.made_anew) {
            return Some("last-copy-broken-by-plan");
        }
        if resource.quorum && on * 2 <= total && on < total {
            return Some("no-quorum-by-design");
        }
        let alone = (0..resource.nodes.len()).filter(|n| resource.stands_alone(*n)).count();
        if resource.quorum && !resource.retries && alone > 0 {
            return Some("conflict-disconnects-by-option");
        }
        let split = total > 1 && alone > 1;
        (!resource.quorum && split && self.plan_separates()).then_some("split-brain-by-plan")
    }

    /// May the plan have let two hosts write without each other: did VMs move, or was a host struck
    /// that runs one?
    fn plan_separates(&self) -> bool {
        let runs_vm = |host: &str| self.homes.iter().any(|home| self.hosts[*home].name() == host);
        let steps = &mut self.script.steps.iter();
        steps.any(|step| crate::budget::separates(&step.action, runs_vm))
    }

    fn demand_convergence(&mut self, healed: u64) {
        self.convergence = Some(self.now);
        for vm in 0..self.homes.len() {
            let at = self.vms[vm].vdi.resource;
            if let Some(reason) = self.excuse_for(at) {
                self.excuse(reason);
                continue;
            }
            let up = self.vms[vm].host.is_some_and(|host| self.hosts[host].is_acting());
            let guest = &self.vms[vm];
            let wanted = up && (guest.state != State::Off || self.has_heal_all());
            let progress =
                io_resumes::Progress { wanted, last_ok: guest.last_ok, healed, now: self.now };
            self.tally.add(Promise::IoResumes, wanted.into());
            if let Err(what) = io_resumes::check(progress) {
                let what = format!("{}: {what}", guest.name);
                self.fail(Class::Liveness, io_resumes::NAME, what, Some(at));
            }
        }
        for at in 0..self.resources.len() {
            match self.excuse_for(at) {
                Some(reason) => self.excuse(reason),
                None => self.demand_whole(at),
            }
        }
    }

    fn has_heal_all(&self) -> bool {
        self.script.steps.iter().any(|step| step.action == scenarios::Do::HealAll)
    }

    fn demand_whole(&mut self, at: usize) {
        for node in 0..self.resources[at].nodes.len() {
            for volume in 0..self.resources[at].volumes {
                let Some(view) = self.volume_view(at, node, volume) else { continue };
                let resource = &self.resources[at];
                let place = &resource.nodes[node];
                let up = |peer: usize| self.hosts[resource.nodes[peer].host].is_acting();
                let name = |n: usize| self.hosts[resource.nodes[n].host].name().to_owned();
                let peers = view.peers.iter().filter(|p| up(p.node.index()));
                let peers = peers.map(|p| {
                    let peer = p.node.index();
                    // Writes go on: a bit is not set by them while the peer is connected.
                    (name(peer), place.view.conn[peer], p.repl, p.out_of_sync)
                });
                let copy = resync_finishes::Copy {
                    name: format!("{} {}/{volume}", name(node), resource.name),
                    diskful: place.diskful,
                    disk: view.disk,
                    peers: peers.collect(),
                };
                self.tally.add(Promise::ResyncFinishes, 1);
                if let Err(what) = resync_finishes::check(&copy) {
                    self.fail(Class::Liveness, resync_finishes::NAME, what, Some(at));
                }
            }
        }
    }
}

//! What the promises about states, generations and verdicts remember of a resource, and where they
//! are looked at: as notices come, and at each look.

use super::World;
use super::resource::Resource;
use crate::check::bitmap_drains::{self, Drain};
use crate::check::last_good_copy_kept::{self, Copies};
use crate::check::split_brain_is_detected_on_both_sides::{self as both_sides, Pair};
use crate::check::{
    Promise, Quiet, no_needless_full_sync, no_needless_split_brain, one_view_after_settling,
    outdated_never_promotes,
};
use crate::ledger::{Kin, Lineage};
use crate::outcome::Class;
use drbd::core::VolumeView;
use drbd::core::event::Notice;
use drbd::ids::{NodeId, NodeMask, Uuid, VolumeNumber};
use drbd::state::{ConnState, DiskState, ReplState, Role};
use kernel::Power;
use std::collections::{BTreeMap, BTreeSet};

/// Rule and verdict of a handshake.
type Said = (&'static str, &'static str);

/// One volume.
struct Volume {
    lineage: Lineage,
    copies: Copies,
    /// By node: its generation when it was last looked at, and the one before.
    current: Vec<[Uuid; 2]>,
    /// By node and peer: the last handshake since they were linked.
    said: BTreeMap<(usize, usize), Said>,
    /// By the lower and the higher node.
    pairs: BTreeMap<(usize, usize), Pair>,
    /// One of the two was the target of a third since they were in sync last, or a resync between
    /// them began whose end the source does not know.
    crossed: BTreeSet<(usize, usize)>,
    /// The last resync between the two was unstable: the target kept its generation.
    unstable: BTreeSet<(usize, usize)>,
    /// By node and peer.
    drains: BTreeMap<(usize, usize), Drain>,
    /// Views were compared since the last notice.
    compared: bool,
}

/// See the module's text.
pub struct Vigil {
    volumes: Vec<Volume>,
    /// When something was noticed last.
    noticed: u64,
    /// When the link between two nodes changed last.
    parted: BTreeMap<(usize, usize), u64>,
}

/// Who was linked less than this ago may know of a new generation or not.
const JUST_NOW: u64 = 5_000_000_000;

impl Vigil {
    /// Nothing has happened yet; `diskful` says which nodes have a copy.
    pub fn new(volumes: usize, diskful: &[bool]) -> Vigil {
        let volume = || Volume {
            lineage: Lineage::default(),
            copies: Copies::new(diskful.iter().copied()),
            current: vec![[Uuid::NONE; 2]; diskful.len()],
            said: BTreeMap::new(),
            pairs: BTreeMap::new(),
            crossed: BTreeSet::new(),
            unstable: BTreeSet::new(),
            drains: BTreeMap::new(),
            compared: false,
        };
        Vigil {
            volumes: (0..volumes).map(|_| volume()).collect(),
            noticed: 0,
            parted: BTreeMap::new(),
        }
    }

    /// The link of a node to a peer came up, or is gone.
    pub fn linked(&mut self, now: u64, node: usize, peer: usize, up: bool) {
        self.parted.insert(ordered(node, peer), now);
        for volume in &mut self.volumes {
            // Who gives up may say so after its sockets are closed.
            if up {
                volume.said.remove(&(node, peer));
            }
            volume.pairs.entry(ordered(node, peer)).or_default().linked(up);
        }
    }

    /// A node is gone, or begins anew.
    pub fn forget(&mut self, node: usize) {
        for volume in &mut self.volumes {
            volume.said.retain(|(a, b), _| *a != node && *b != node);
            volume.pairs.retain(|(a, b), _| *a != node && *b != node);
            volume.drains.retain(|(a, b), _| *a != node && *b != node);
        }
    }
}

fn ordered(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

/// Which end of a pair a node is.
fn end(node: usize, peer: usize) -> usize {
    usize::from(node > peer)
}

impl World {
    /// A node noticed something; the engine is already past it.
    pub(super) fn heed(&mut self, at: usize, node: usize, notice: &Notice) {
        let vigil = &mut self.resources[at].vigil;
        vigil.noticed = self.now;
        vigil.volumes.iter_mut().for_each(|volume| volume.compared = false);
        match notice {
            Notice::NewCurrentUuid(volume, uuid) => self.heed_birth(at, node, *volume, *uuid),
            Notice::Disk(volume, disk) => self.heed_disk(at, node, volume.index(), *disk),
            Notice::Role(Role::Primary) => self.heed_promotion(at, node),
            Notice::Handshake(peer, volume, rule, verdict) => {
                let said = (*rule, *verdict);
                self.heed_handshake(at, (node, peer.index()), volume.index(), said);
            }
            Notice::Repl(peer, volume, repl) => {
                self.heed_resync(at, (node, peer.index()), volume.index(), *repl);
            }
            Notice::ResyncDone(peer, volume, stable) => {
                let of = &mut self.resources[at].vigil.volumes[volume.index()];
                let pair = ordered(node, peer.index());
                let _ = if *stable { of.unstable.remove(&pair) } else { of.unstable.insert(pair) };
            }
            Notice::Connection(peer, state) => {
                self.heed_connection(at, (node, peer.index()), *state);
            }
            _ => {}
        }
        self.remember_generations(at, node);
    }

    /// Is what the engines decide about this resource not theirs alone any more?
    fn is_bent(&self, at: usize) -> bool {
        let resource = &self.resources[at];
        resource.past_saving || resource.forgot || resource.overruled
    }

    /// Has something else than the rules decided what one of these copies holds?
    fn is_pair_bent(&self, at: usize, pair: (usize, usize)) -> bool {
        let resource = &self.resources[at];
        let bent = |node: usize, peer: usize| {
            let place = &resource.nodes[node];
            let discards = place.asked_discard.has(Resource::id(peer));
            place.was_broken || place.made_anew || place.asked_invalid || discards
        };
        self.is_bent(at) || bent(pair.0, pair.1) || bent(pair.1, pair.0)
    }

    pub(super) fn node_name(&self, at: usize, node: usize) -> &str {
        self.hosts[self.resources[at].nodes[node].host].name()
    }

    /// The generation of a volume as its engine has it now.
    fn current(&self, at: usize, node: usize, volume: usize) -> Uuid {
        let place = &self.resources[at].nodes[node];
        let engine = self.hosts[place.host].engine(place.slot);
        engine.map_or(Uuid::NONE, |engine| engine.current(VolumeNumber(volume as u16)))
    }

    fn remember_generations(&mut self, at: usize, node: usize) {
        for volume in 0..self.resources[at].volumes {
            let current = self.current(at, node, volume);
            let known = &mut self.resources[at].vigil.volumes[volume].current[node];
            if !current.is_none() && !current.same(known[0]) {
                *known = [current, known[0]];
            }
        }
    }

    fn heed_birth(&mut self, at: usize, node: usize, number: VolumeNumber, uuid: Uuid) {
        let resource = &self.resources[at];
        let place = &resource.nodes[node];
        let engine = self.hosts[place.host].engine(place.slot);
        if !engine.is_some_and(|engine| engine.current(number).same(uuid)) {
            // A Primary on others' data: its own disk says nothing of what came before.
            return;
        }
        let mut peers = (0..resource.nodes.len()).filter(|peer| *peer != node);
        // A copy has just put what was current into its history.
        let of = |peer: usize| engine?.generations(number, Resource::id(peer));
        let kept = peers.find_map(of).map(|generations| generations.history[0]);
        let conn = &place.view.conn;
        let just_now = |other: usize, peer: usize| {
            let changed = resource.vigil.parted.get(&ordered(other, peer));
            changed.is_some_and(|changed| self.now < changed + JUST_NOW)
        };
        // By the maker, or by another that goes on: that one may have been told with it there.
        let goes_on = |other: usize| other == node || conn[other] == ConnState::Connected;
        let linked = |peer: usize| {
            let mut going_on = (0..resource.nodes.len()).filter(|other| goes_on(*other));
            conn[peer] == ConnState::Connected || going_on.any(|other| just_now(other, peer))
        };
        let present = (0..resource.nodes.len()).filter(|n| *n == node || linked(*n));
        let present = present.fold(NodeMask::NONE, |mask, n| mask.with(Resource::id(n)));
        let volume = &mut self.resources[at].vigil.volumes[number.index()];
        let [last, before] = volume.current[node];
        let known = if last.same(uuid) { before } else { last };
        let parent = kept.filter(|_| volume.copies.has(node)).unwrap_or(known);
        volume.lineage.born(uuid, parent, present);
    }

    fn heed_disk(&mut self, at: usize, node: usize, volume: usize, disk: DiskState) {
        let resource = &mut self.resources[at];
        let kept = resource.vigil.volumes[volume].copies.disk(node, disk);
        let bent = |n: &super::resource::Node| {
            n.was_broken || n.made_anew || n.asked_outdate || n.asked_invalid
        };
        let place = &resource.nodes[node];
        let said = &resource.vigil.volumes[volume].said;
        let target =
            |peer: usize| said.get(&(node, peer)).is_some_and(|s| s.1.starts_with("target"));
        // A handshake has just found that another copy has newer data: this one was not good.
        let learns = |peer: usize| {
            let connected = place.view.conn[peer] == ConnState::Connected;
            connected && place.view.repl[peer][volume] == ReplState::Off && target(peer)
        };
        // It completes its target all the same.
        let feeds = place.view.repl.iter().any(|of| of[volume].is_sync_source());
        let excused = feeds || (0..resource.nodes.len()).any(learns);
        if resource.nodes.iter().any(bent) || excused || self.is_bent(at) {
            return;
        }
        self.tally.add(Promise::LastGoodCopyKept, 1);
        if !kept {
            let (name, host) = (&self.resources[at].name, self.node_name(at, node));
            let what = format!(
                "{name}/{volume}: {host} is {disk}, and with it no copy is good any more that \
                 could complete those which are half overwritten"
            );
            self.fail(Class::Safety, last_good_copy_kept::NAME, what, Some(at));
        }
    }

    fn heed_promotion(&mut self, at: usize, node: usize) {
        if self.is_bent(at) {
            return;
        }
        for volume in 0..self.resources[at].volumes {
            let Some(view) = self.volume_view(at, node, volume) else { continue };
            let conn = &self.resources[at].nodes[node].view.conn;
            let connected = |node: NodeId| conn[node.index()] == ConnState::Connected;
            let peers = view.peers.iter().filter(|peer| connected(peer.node)).map(|p| p.disk);
            let judged = outdated_never_promotes::check(view.disk, peers);
            self.tally.add(Promise::OutdatedNeverPromotes, 1);
            if let Err(what) = judged {
                let (name, host) = (&self.resources[at].name, self.node_name(at, node));
                let what = format!("{name}/{volume}: {host} {what}");
                self.fail(Class::Safety, outdated_never_promotes::NAME, what, Some(at));
            }
        }
    }

    /// How the generations of two nodes are related.
    fn kin(&self, at: usize, (node, peer): (usize, usize), volume: usize) -> Kin {
        let (mine, theirs) = (self.current(at, node, volume), self.current(at, peer, volume));
        self.resources[at].vigil.volumes[volume].lineage.kin(mine, theirs)
    }

    fn heed_handshake(&mut self, at: usize, ends: (usize, usize), volume: usize, said: Said) {
        let (node, peer) = ends;
        self.tally.add(Promise::NoNeedlessSplitBrain, 1);
        self.tally.add(Promise::NoNeedlessFullSync, 1);
        let connects = self.resources[at].nodes[node].view.conn[peer] != ConnState::Connected;
        let split = no_needless_split_brain::is_split(said.0, said.1);
        let of = &mut self.resources[at].vigil.volumes[volume];
        of.said.insert(ends, said);
        if said.1 == "no-sync" {
            of.crossed.remove(&ordered(node, peer));
            of.unstable.remove(&ordered(node, peer));
        }
        if connects {
            let pair = of.pairs.entry(ordered(node, peer)).or_default();
            match pair.verdict(end(node, peer), said.1, split) {
                Ok(both) => self.tally.add(Promise::SplitBrainIsDetectedOnBothSides, both.into()),
                Err([mine, theirs]) => {
                    let (a, b) = (self.node_name(at, node), self.node_name(at, peer));
                    let name = &self.resources[at].name;
                    let what = format!(
                        "{name}/{volume}: {a} and {b} compared what they have; {a} says {mine}, \
                         {b} says {theirs}"
                    );
                    self.fail(Class::Safety, both_sides::NAME, what, Some(at));
                }
            }
        }
        if said.0.starts_with("after-sb-") {
            self.judge_split(at, ends, volume, said);
        }
    }

    /// A split brain was acted on.
    fn judge_split(&mut self, at: usize, ends: (usize, usize), volume: usize, said: Said) {
        if self.is_pair_bent(at, ends) {
            return;
        }
        let kin = self.kin(at, ends, volume);
        if let Err(what) = no_needless_split_brain::check(said.0, kin) {
            let name = &self.resources[at].name;
            let (a, b) = (self.node_name(at, ends.0), self.node_name(at, ends.1));
            let what = format!("{name}/{volume}: {a} says that it and {b} {what}");
            self.fail(Class::Safety, no_needless_split_brain::NAME, what, Some(at));
        }
    }

    fn heed_connection(&mut self, at: usize, ends: (usize, usize), state: ConnState) {
        let (node, peer) = ends;
        let place = &self.resources[at].nodes[node];
        let goes = self.hosts[place.host].power() != Power::Up;
        let leaves = goes || place.may_leave(Resource::id(peer));
        for volume in 0..self.resources[at].volumes {
            let now = self.now;
            let of = &mut self.resources[at].vigil.volumes[volume];
            let pair = of.pairs.entry(ordered(node, peer)).or_default();
            if state != ConnState::StandAlone {
                pair.connects(end(node, peer));
                continue;
            }
            let split = |said: &Said| no_needless_split_brain::is_split(said.0, said.1);
            // Or the other end says it, and this one hears no more than that it is over.
            let said = [ends, (peer, node)].into_iter().filter_map(|ends| of.said.get(&ends));
            let Some(said) = said.copied().find(split).filter(|_| !leaves) else { continue };
            pair.gave_up(now, end(node, peer));
            self.judge_split(at, ends, volume, said);
        }
    }

    fn heed_resync(&mut self, at: usize, ends: (usize, usize), volume: usize, repl: ReplState) {
        let (node, peer) = ends;
        let begins = matches!(repl, ReplState::WFBitMapS | ReplState::WFBitMapT);
        let others = self.resources[at].nodes.len();
        let of = &mut self.resources[at].vigil.volumes[volume];
        let said = of.said.get(&ends).copied();
        let pair = ordered(node, peer);
        let crossed = of.crossed.contains(&pair) || of.unstable.contains(&pair);
        if repl.is_sync_target() {
            let third = (0..others).filter(|other| *other != node && *other != peer);
            of.crossed.extend(third.map(|other| ordered(node, other)));
            of.crossed.insert(ordered(node, peer));
        }
        let was = self.resources[at].nodes[node].view.repl[peer][volume];
        if repl == ReplState::Established && was.is_sync_source() {
            // The source knows that it is over.
            self.resources[at].vigil.volumes[volume].crossed.remove(&ordered(node, peer));
        }
        let Some((rule, verdict)) = said.filter(|_| begins) else { return };
        if !no_needless_full_sync::is_full(verdict) || self.is_pair_bent(at, ends) {
            return;
        }
        let half = |node: usize| {
            self.resources[at].nodes[node].view.disk[volume] == DiskState::Inconsistent
        };
        let copies = self.resources[at].nodes.iter().filter(|node| node.diskful).count();
        if copies > 2 || crossed || half(node) || half(peer) {
            return;
        }
        let (mine, theirs) = (self.current(at, node, volume), self.current(at, peer, volume));
        let lineage = &self.resources[at].vigil.volumes[volume].lineage;
        let left_behind = |node, old, new| lineage.was_left_behind(Resource::id(node), old, new);
        let kin = match lineage.kin(mine, theirs) {
            Kin::Before if !left_behind(node, mine, theirs) => Kin::Apart,
            Kin::After if !left_behind(peer, theirs, mine) => Kin::Apart,
            kin => kin,
        };
        if let Err(what) = no_needless_full_sync::check(verdict, rule, kin) {
            let name = &self.resources[at].name;
            let (a, b) = (self.node_name(at, ends.0), self.node_name(at, ends.1));
            let what = format!("{name}/{volume}, {a} and {b}: {what}");
            self.fail(Class::Safety, no_needless_full_sync::NAME, what, Some(at));
        }
    }

    // ---- now and then ----

    /// One look at a volume, as its nodes show it.
    pub(super) fn watch(&mut self, at: usize, volume: usize, views: &[Option<VolumeView>]) {
        let quiet = Quiet { now: self.now, since: self.last_step };
        self.watch_pairs(at, volume, quiet);
        self.watch_bits(at, volume, views, quiet);
        let resource = &mut self.resources[at];
        let settle = resource.notice + one_view_after_settling::SETTLE;
        let settled = self.now > quiet.since.max(resource.vigil.noticed) + settle;
        let of = &mut resource.vigil.volumes[volume];
        if settled && !std::mem::replace(&mut of.compared, true) {
            self.compare_views(at, volume, views);
        } else if !settled {
            of.compared = false;
        }
    }

    fn watch_pairs(&mut self, at: usize, volume: usize, quiet: Quiet) {
        let of = &mut self.resources[at].vigil.volumes[volume];
        let mut pairs = of.pairs.iter_mut();
        let alone = pairs.find_map(|(ends, pair)| Some((*ends, pair.look(quiet).err()?)));
        let Some((ends, (end, since))) = alone else { return };
        let (one, other) = if end == 0 { ends } else { (ends.1, ends.0) };
        let what = format!(
            "{}/{volume}: {} gave up on {} because of a split brain at t={}.{:03}s, and {} has \
             seen none",
            self.resources[at].name,
            self.node_name(at, one),
            self.node_name(at, other),
            since / 1_000_000_000,
            since / 1_000_000 % 1_000,
            self.node_name(at, other),
        );
        self.fail(Class::Safety, both_sides::NAME, what, Some(at));
    }

    fn watch_bits(&mut self, at: usize, volume: usize, views: &[Option<VolumeView>], quiet: Quiet) {
        let busy = |view: &VolumeView| view.app_in_flight > 0 || view.peer_unacked > 0;
        let busy = views.iter().flatten().any(busy);
        let good = |view: &VolumeView| view.disk == DiskState::UpToDate;
        let towards = |a: usize, b: usize| {
            let view = views[a].as_ref().filter(|view| good(view))?;
            let peer = view.peers.iter().find(|p| p.node == Resource::id(b))?;
            (peer.repl == ReplState::Established).then_some(peer.out_of_sync)
        };
        for a in 0..views.len() {
            if busy && self.resources[at].nodes[a].view.role != Role::Primary {
                continue;
            }
            for b in (0..views.len()).filter(|b| *b != a) {
                let bits = towards(a, b).filter(|_| towards(b, a).is_some());
                let of = &mut self.resources[at].vigil.volumes[volume];
                let looked = match of.drains.get_mut(&(a, b)) {
                    // Most pairs have none, ever.
                    None if bits.is_none_or(|bits| bits == 0) => Ok(()),
                    None => of.drains.entry((a, b)).or_default().look(quiet, bits),
                    Some(drain) => drain.look(quiet, bits),
                };
                self.tally.add(Promise::BitmapDrains, bits.is_some().into());
                let Err(since) = looked else { continue };
                let (name, from) = (&self.resources[at].name, self.node_name(at, a));
                let what = format!(
                    "{name}/{volume}: {from} has {} blocks out of sync towards {}, both UpToDate \
                     and Established, for {} s",
                    bits.unwrap_or(0),
                    self.node_name(at, b),
                    (self.now - since) / 1_000_000_000,
                );
                self.fail(Class::Liveness, bitmap_drains::NAME, what, Some(at));
            }
        }
    }

    /// What a node is, as seen from itself (`a` is `b`'s peer) and what `b` has of it.
    fn seen(
        &self,
        at: usize,
        (a, b): (usize, usize),
        views: &[Option<VolumeView>],
    ) -> Option<[one_view_after_settling::Seen; 2]> {
        let resource = &self.resources[at];
        let engine = |n: usize| {
            let place = &resource.nodes[n];
            self.hosts[place.host].engine(place.slot)
        };
        let (mine, theirs) = (views[a].as_ref()?, views[b].as_ref()?);
        let of = |view: &VolumeView, n: usize| {
            let found = view.peers.iter().find(|peer| peer.node == Resource::id(n));
            found.map(|peer| (peer.repl, peer.disk))
        };
        let ((repl, _), (other, disk)) = (of(mine, b)?, of(theirs, a)?);
        let is = one_view_after_settling::Seen {
            role: engine(a)?.role(),
            disk: mine.disk,
            repl,
            current: mine.current,
        };
        let role = engine(b)?.peer(Resource::id(a)).1;
        let current = theirs.current;
        Some([is, one_view_after_settling::Seen { role, disk, repl: other, current }])
    }

    fn compare_views(&mut self, at: usize, volume: usize, views: &[Option<VolumeView>]) {
        for a in 0..views.len() {
            for b in (0..views.len()).filter(|b| *b != a) {
                let broke = |n: usize| self.resources[at].nodes[n].was_broken;
                if !self.resources[at].connected(a, b) || broke(a) || broke(b) {
                    continue;
                }
                let Some([is, believed]) = self.seen(at, (a, b), views) else { continue };
                let judged = one_view_after_settling::check(is, believed);
                let own = views[b].as_ref().map_or(believed.disk, |view| view.disk);
                let there = one_view_after_settling::Seen { disk: own, ..believed };
                let judged = judged.and(one_view_after_settling::same_generation(is, there));
                self.tally.add(Promise::OneViewAfterSettling, 1);
                if let Err(what) = judged {
                    let (name, one) = (&self.resources[at].name, self.node_name(at, a));
                    let what = format!(
                        "{name}/{volume}: of {one}, as {} sees it: {what}",
                        self.node_name(at, b)
                    );
                    self.fail(Class::Safety, one_view_after_settling::NAME, what, Some(at));
                }
            }
        }
    }
}

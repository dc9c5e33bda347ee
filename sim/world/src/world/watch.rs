//! Conditions of steps and expectations: what can be seen of the pool, now and since.

use super::World;
use super::script::{Script, Watch};
use super::vm::State;
use crate::outcome::Class;
use drbd::core::{PeerView, VolumeView};
use drbd::ids::Blocks;
use kernel::Power;
use scenarios::{Condition, Event, Expectation, Fact, Place};

/// How failures of expectations are called.
const NAME: &str = "expectation";

impl World {
    /// The script begins.
    pub(super) fn begin_script(&mut self) {
        let mut script = std::mem::replace(&mut self.script, Script::empty());
        script.begin(|condition| fresh(self, condition));
        self.script = script;
        for host in &mut self.hosts {
            let wanted = self.script.listens(Event::MetadataWrite) || self.log.keeps_all();
            host.watch_metadata(wanted);
        }
    }

    /// Strikes every step that is due.
    pub(super) fn unfold(&mut self) {
        while let Some(index) = self.script.take(self.now) {
            let mut script = std::mem::replace(&mut self.script, Script::empty());
            script.strikes(index, self.now, |condition| fresh(self, condition));
            let step = script.steps[index].clone();
            self.script = script;
            self.strike(index, &step);
            if self.script.left == 0 && self.heals && self.healed.is_none() {
                self.healed = Some(self.now);
            }
            self.settle();
        }
    }

    /// An event that a step or an expectation may wait for.
    pub(super) fn saw(
        &mut self,
        event: Event,
        host: usize,
        at: Option<usize>,
        peer: Option<usize>,
    ) {
        if !self.script.listens(event) {
            return;
        }
        let host = self.hosts[host].name();
        let at = at.map(|at| self.resources[at].name.as_str());
        let peer = peer.map(|peer| self.hosts[peer].name());
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        self.script.saw(|fact| match fact {
            Fact::Event { event: wanted, resource, host: on, peer: with, .. } => {
                *wanted == event && is(on, Some(host)) && is(resource, at) && is(with, peer)
            }
            _ => false,
        });
    }

    /// Looks at all conditions, if anything may have changed.
    pub(super) fn look_at_script(&mut self) {
        let stale = std::mem::take(&mut self.script.stale) || self.script.is_late(self.now);
        if !stale || !self.script.is_watching() {
            return;
        }
        let mut place = 0;
        while let Some(waiting) = self.script.waiting.get(place) {
            let that = self.script.steps[waiting.step].when.that.as_ref();
            let ripe = that.zip(waiting.watch.as_ref());
            match ripe.is_some_and(|(that, watch)| self.holds(that, watch)) {
                true => self.script.ripe(place, self.now),
                false => place += 1,
            }
        }
        for place in 0..self.script.watched.len() {
            self.look_at_expectation(place);
        }
    }

    fn look_at_expectation(&mut self, place: usize) {
        let watched = &self.script.watched[place];
        let Some(watch) = watched.watch.as_ref().filter(|_| !watched.over) else { return };
        let until = watched.expect.until.as_ref();
        let ended = until.is_some_and(|step| self.script.has_struck(step));
        let late = watched.deadline().is_some_and(|deadline| self.now > deadline);
        let holds = !ended && !late && self.holds(&watched.expect.that, watch);
        let (kind, since) = (watched.expect.kind, watched.since);
        let watched = &mut self.script.watched[place];
        watched.held |= holds;
        match kind {
            Expectation::Within(_) if holds && since.is_some() => watched.over = true,
            Expectation::Within(_) if late || ended && since.is_some() => {
                watched.over = true;
                self.unmet(place, "was not seen in time");
            }
            Expectation::Within(_) => {}
            _ if ended => watched.over = true,
            // Before the first step a pool is still coming up.
            Expectation::Always if !holds && (since.is_some() || watched.held) => {
                watched.over = true;
                self.unmet(place, "no longer holds");
            }
            Expectation::Never if holds && since.is_some() => {
                watched.over = true;
                self.unmet(place, "was seen");
            }
            _ => {}
        }
    }

    fn unmet(&mut self, place: usize, how: &str) {
        let expect = &self.script.watched[place].expect;
        let name = match &expect.id {
            Some(id) => format!("expectation {id}"),
            None => format!("expectation {}", place + 1),
        };
        let what = scenarios::describe(&expect.that);
        let text = format!("{name}: {} {{ {what} }} {how}", expect.kind.key());
        let at = self.about(place);
        self.fail(Class::Expectation, NAME, text, at);
    }

    /// The resource that an expectation is about.
    fn about(&self, place: usize) -> Option<usize> {
        let name =
            self.script.watched[place].expect.that.all.iter().find_map(|fact| match fact {
                Fact::Disk { at, .. }
                | Fact::Role { at, .. }
                | Fact::Quorum { at, .. }
                | Fact::Suspended { at, .. }
                | Fact::Connection { at, .. }
                | Fact::Replication { at, .. }
                | Fact::PeerDisk { at, .. }
                | Fact::OutOfSync { at, .. } => Some(&at.resource),
                Fact::Event { resource, .. } => resource.as_ref(),
                _ => None,
            })?;
        self.resources.iter().position(|resource| resource.name == *name)
    }

    /// The run is over: what should have come and did not.
    pub(super) fn end_of_script(&mut self) {
        let missing = self.script.waiting.iter().map(|waiting| waiting.step);
        let missing = missing.map(|step| &self.script.steps[step]).find(|step| !step.optional);
        if let Some(step) = missing {
            let name = step.id.clone().unwrap_or_else(|| scenarios::describe_step(&step.action));
            let what =
                format!("the time of step {name} never came: what it waits for was not seen");
            return self.fail(Class::Expectation, NAME, what, None);
        }
        for place in 0..self.script.watched.len() {
            let watched = &self.script.watched[place];
            let within = matches!(watched.expect.kind, Expectation::Within(_));
            if within && !watched.over {
                self.unmet(place, "was not seen before the run ended");
            }
        }
    }

    fn holds(&self, condition: &Condition, watch: &Watch) -> bool {
        let mut facts = condition.all.iter().zip(&watch.seen);
        facts.all(|(fact, seen)| self.is_so(fact, *seen, watch))
    }

    fn is_so(&self, fact: &Fact, seen: u32, watch: &Watch) -> bool {
        let vm_named = |name: &String| self.vms.iter().position(|vm| vm.name == *name);
        let guest = |name: &String| vm_named(name).map(|vm| (vm, &self.vms[vm]));
        match fact {
            Fact::Event { nth, .. } => seen >= *nth,
            Fact::Command { .. } => self.answered(fact),
            Fact::Power { host, is } => {
                let host = self.hosts.iter().find(|h| h.name() == host);
                host.is_some_and(|host| is.iter().any(|word| word == power(host)))
            }
            Fact::AckedWrites { vm, least } => guest(vm).is_some_and(|(vm, guest)| {
                guest.acked_writes - watch.acked.get(vm).copied().unwrap_or(0) >= *least
            }),
            Fact::Errors { vm, most } => guest(vm).is_some_and(|(vm, guest)| {
                guest.errors - watch.errors.get(vm).copied().unwrap_or(0) <= *most
            }),
            Fact::Running { vm, yes } => {
                guest(vm).is_some_and(|(_, guest)| (guest.state == State::Running) == *yes)
            }
            Fact::On { vm, host } => guest(vm).is_some_and(|(_, guest)| {
                guest.host.is_some_and(|on| self.hosts[on].name() == host)
            }),
            Fact::Progress { vm, within } => {
                guest(vm).is_some_and(|(_, guest)| self.now - guest.last_ok <= *within)
            }
            fact => self.is_so_of_resource(fact),
        }
    }

    /// Facts of a resource on a host: none holds where no kernel acts.
    fn is_so_of_resource(&self, fact: &Fact) -> bool {
        match fact {
            Fact::Disk { at, is } => self.all_volumes(at, |view| has(is, view.disk.name())),
            Fact::Quorum { at, yes } => self.all_volumes(at, |view| view.quorum == *yes),
            Fact::Role { at, is } => {
                self.engine_of(at).is_some_and(|engine| has(is, engine.role().name()))
            }
            Fact::Suspended { at, yes } => {
                self.engine_of(at).is_some_and(|engine| engine.is_suspended() == *yes)
            }
            Fact::Connection { at, peer, is } => {
                let Some(peer) = self.node_of(&at.resource, peer) else { return false };
                let id = super::resource::Resource::id(peer.1);
                self.engine_of(at).is_some_and(|engine| has(is, engine.peer(id).0.name()))
            }
            Fact::Replication { at, peer, is } => {
                self.all_peers(at, peer, |view| has(is, view.repl.name()))
            }
            Fact::PeerDisk { at, peer, is } => {
                self.all_peers(at, peer, |view| has(is, view.disk.name()))
            }
            Fact::OutOfSync { at, peer, most } => {
                self.all_peers(at, peer, |view| view.out_of_sync * Blocks::BYTES <= *most)
            }
            _ => false,
        }
    }

    /// Resource and node by name.
    fn node_of(&self, resource: &str, host: &str) -> Option<(usize, usize)> {
        let at = self.resources.iter().position(|r| r.name == resource)?;
        let host = self.hosts.iter().position(|h| h.name() == host)?;
        Some((at, self.resources[at].node_on(host)?))
    }

    fn engine_of(&self, place: &Place) -> Option<&drbd::core::Resource> {
        let (at, node) = self.node_of(&place.resource, &place.host)?;
        let node = &self.resources[at].nodes[node];
        self.hosts[node.host].engine(node.slot).filter(|_| self.hosts[node.host].is_acting())
    }

    fn all_volumes(&self, place: &Place, is: impl Fn(&VolumeView) -> bool) -> bool {
        let Some((at, node)) = self.node_of(&place.resource, &place.host) else { return false };
        let volumes = 0..self.resources[at].volumes;
        volumes.into_iter().all(|v| self.volume_view(at, node, v).is_some_and(|view| is(&view)))
    }

    fn all_peers(&self, place: &Place, peer: &str, is: impl Fn(&PeerView) -> bool) -> bool {
        let Some((_, peer)) = self.node_of(&place.resource, peer) else { return false };
        let id = super::resource::Resource::id(peer);
        self.all_volumes(place, |view| view.peers.iter().any(|p| p.node == id && is(p)))
    }
}

fn has(words: &[String], word: &str) -> bool {
    words.iter().any(|wanted| wanted == word)
}

fn power(host: &kernel::Host) -> &'static str {
    match host.power() {
        _ if host.is_frozen() => "frozen",
        Power::Off => "off",
        Power::Booting(_) => "booting",
        Power::Up | Power::ShuttingDown(_) => "on",
    }
}

/// A watch that begins now.
fn fresh(world: &World, condition: &Condition) -> Watch {
    Watch {
        acked: world.vms.iter().map(|vm| vm.acked_writes).collect(),
        errors: world.vms.iter().map(|vm| vm.errors).collect(),
        seen: vec![0; condition.all.len()],
    }
}

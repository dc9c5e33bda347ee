//! The world of one run: hosts, network, VMs, fault plan, promises. Pure: `next_due`, `run_due`,
//! nothing else moves it, and the same scenario and seed give the same events to the bit.
//!
//! Sources of events, in the order in which they are served at one instant: the plan, timers of the
//! world itself, the network, the hosts (disk, then kernel) by index, the VMs by index, the checks
//! at rest. What hosts tell is handled in the order in which it was told, before the next source is
//! served.

mod beyond;
mod build;
mod commands;
#[cfg(test)]
mod excuse_tests;
mod fallen;
mod guests;
mod heard;
mod look;
mod marks;
mod options;
mod plan;
mod resource;
mod rest;
mod runaway;
mod script;
mod storage;
mod story;
#[cfg(test)]
mod test_pool;
#[cfg(test)]
mod tests;
mod vigil;
mod vm;
mod watch;
#[cfg(test)]
mod watch_tests;

pub use build::build;
pub use marks::SOMETIMES;
pub(crate) use plan::fault;

use crate::check::{Promise, Tally};
use crate::log::{Log, What};
use crate::outcome::{Class, Failure, Outcome, Shows};
use guests::Ghost;
use kernel::{Host, Out, Wire};
use models::net::{Net, NetEvent, NetworkId, NetworkSettings, NicId};
use models::{Hash64, Luck, SimTime};
use resource::Resource;
use script::Script;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use vm::Vm;

/// The networks by number; DRBD uses number 0.
struct Networks {
    names: Vec<String>,
    ids: Vec<NetworkId>,
    /// As the scenario describes them, to return to.
    calm: Vec<NetworkSettings>,
}

/// How far the world went to end a stopped VM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ForceNote {
    Not,
    Demoted,
    Fenced,
}

/// Something that the world itself does later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Deed {
    /// Power on.
    Boot(usize),
    /// The network of a host that shuts down is gone: DRBD stops next.
    ShutDown(usize),
    /// A watchdog resets the host, once what it has told by now is heard.
    Fence(usize),
    /// VMs of this host that died, or belong there, start.
    StartVms(usize),
    /// `drbdadm adjust` on all hosts.
    Adjust,
    /// Commands that conditions look at.
    Poll,
}

/// See the module's text.
pub struct World {
    now: u64,
    horizon: u64,
    /// Convergence is demanded of the plan.
    heals: bool,
    /// The plan is beyond the budget, see [`crate::budget`].
    safety_only: bool,
    /// When the plan has healed everything, if that is known.
    healed: Option<u64>,
    /// Was convergence demanded already, and when was it seen?
    convergence: Option<u64>,
    net: Net<Wire>,
    networks: Networks,
    /// By host and network.
    nics: Vec<Vec<NicId>>,
    /// By host and network.
    addresses: Vec<Vec<IpAddr>>,
    hosts: Vec<Host>,
    resources: Vec<Resource>,
    /// By host and slot: resource and node.
    slots: Vec<Vec<(usize, usize)>>,
    vms: Vec<Vm>,
    ghosts: Vec<Ghost>,
    /// Where each VM starts.
    homes: Vec<usize>,
    /// By host: power on again once it has shut down.
    boot_wanted: Vec<bool>,
    script: Script,
    orders: commands::Orders,
    timers: Vec<(u64, Deed)>,
    luck: Luck,
    hash: Hash64,
    events: u64,
    last_fault: u64,
    /// When the plan did anything last.
    last_step: u64,
    /// By host: its copies as it fell, while it has no kernel.
    fallen: Vec<Option<Vec<fallen::Fallen>>>,
    writes: u64,
    log: Log,
    tally: Tally,
    excused: Vec<&'static str>,
    recovery: BTreeMap<&'static str, Vec<u64>>,
    faults: BTreeMap<&'static str, u64>,
    seen: marks::Seen,
    failure: Option<Failure>,
    next_rest: u64,
    stopping: bool,
    scratch: Vec<u64>,
    outs: Vec<Out>,
    queue: VecDeque<(u16, Out)>,
    arrivals: Vec<NetEvent<Wire>>,
}

impl World {
    /// True time in ns.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// When the run ends.
    pub fn horizon(&self) -> u64 {
        self.horizon
    }

    /// How many events were handled.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Has a promise been broken?
    pub fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// When [`World::run_due`] wants to be called next.
    pub fn next_due(&self) -> u64 {
        let timers = self.timers.iter().map(|(at, _)| *at).min().unwrap_or(u64::MAX);
        let net = self.net.next_due().map_or(u64::MAX, |t| t.0);
        let hosts = self.hosts.iter().map(|h| h.next_due().0).min().unwrap_or(u64::MAX);
        let own = self.script.next_due().min(timers).min(self.next_rest);
        own.min(net).min(hosts).min(self.guests_due()).max(self.now)
    }

    /// Does everything that is due at `now`.
    pub fn run_due(&mut self, now: u64) {
        self.now = now;
        self.unfold();
        while let Some(place) = self.timers.iter().position(|(at, _)| *at <= now) {
            let (_, deed) = self.timers.remove(place);
            self.perform(deed);
            self.settle();
        }
        self.run_net();
        for host in 0..self.hosts.len() {
            if self.hosts[host].next_due().0 <= now {
                self.events += 1;
                self.hosts[host].run_due(SimTime(now), &mut self.net, &mut self.outs);
                self.collect(host);
                self.settle();
            }
        }
        if self.guests_due() <= now {
            self.run_guests();
            self.settle();
        }
        if self.next_rest <= now {
            self.at_rest();
        }
        self.look_at_script();
        self.look();
    }

    fn run_net(&mut self) {
        if self.net.next_due().is_none_or(|due| due.0 > self.now) {
            return;
        }
        let mut arrivals = std::mem::take(&mut self.arrivals);
        self.net.run_due(SimTime(self.now), &mut arrivals);
        for event in arrivals.drain(..) {
            self.events += 1;
            let host = usize::from(event.host.0);
            self.hosts[host].on_net(SimTime(self.now), event, &mut self.net, &mut self.outs);
            self.collect(host);
            self.settle();
        }
        self.arrivals = arrivals;
    }

    /// What a host has just told joins the queue.
    fn collect(&mut self, host: usize) {
        self.queue.extend(self.outs.drain(..).map(|out| (host as u16, out)));
    }

    /// Handles all that hosts have told, and what follows from it.
    fn settle(&mut self) {
        // What is told for the log alone must not make conditions be looked at more often.
        self.script.stale |= self.queue.iter().any(|(_, out)| !out.what.is_for_log());
        while let Some((host, out)) = self.queue.pop_front() {
            self.heard(usize::from(host), out);
        }
        self.check_roles();
    }

    /// One event into the running hash.
    fn note(&mut self, words: &[u64]) {
        self.events += 1;
        self.hash.add(self.now);
        words.iter().for_each(|word| self.hash.add(*word));
    }

    fn recovered(&mut self, what: &'static str, took: u64) {
        self.recovery.entry(what).or_default().push(took);
    }

    /// Records the first broken promise; later ones are its consequences.
    fn fail(&mut self, class: Class, promise: &'static str, what: String, resource: Option<usize>) {
        self.fail_as(Shows::Wrong, (class, promise), what, resource);
    }

    /// As [`World::fail`], of what shows something else than a wrong.
    fn fail_as(
        &mut self,
        shows: Shows,
        (class, promise): (Class, &'static str),
        what: String,
        resource: Option<usize>,
    ) {
        if self.failure.is_some() {
            return;
        }
        if let Some(recorder) = &mut self.log.recorder {
            recorder.broke(resource);
        }
        self.log.add(self.now, What::Broken(format!("{promise}: {what}")));
        let (story, decision) = self.story(resource);
        let (at, hosts) = (self.now, self.host_rows());
        let backtrace = None;
        self.failure =
            Some(Failure { class, shows, promise, at, what, story, decision, hosts, backtrace });
    }

    /// A limit of the run struck.
    pub fn cut_short(&mut self, shows: Shows, what: String) {
        self.fail_as(shows, (Class::Limit, "limit"), what, None);
    }

    /// A host's engine panicked.
    pub fn panicked(&mut self, message: &str, backtrace: Option<String>) {
        let host = self.hosts.iter().find(|h| h.stepping().is_some());
        let place = match host {
            Some(host) => {
                let resource = host.stepping().unwrap_or_default();
                format!("host {}, process kernel, resource {resource}", host.name())
            }
            None => "the simulator itself".to_owned(),
        };
        self.fail(Class::Panic, "panic", format!("{place}: {message}"), None);
        if let Some(failure) = &mut self.failure {
            failure.backtrace = backtrace;
        }
    }

    /// The last checks; what the run says about itself.
    pub fn finish(mut self) -> Outcome {
        if self.failure.is_none() {
            self.last_look();
            self.end_of_script();
            self.end_of_commands();
        }
        self.hash.add(self.net.hash());
        for host in &self.hosts {
            self.hash.add(host.disk().hash());
        }
        let recording = self.last_of_recording();
        let mut points = vec![0; drbd::core::points::POINTS.len().div_ceil(64)];
        for words in self.hosts.iter().map(Host::passed) {
            points.iter_mut().zip(words).for_each(|(sum, word)| *sum |= word);
        }
        let log = self.log.lines(&self);
        Outcome {
            trace_hash: self.hash.value(),
            events: self.events,
            sim_ns: self.now,
            failure: self.failure,
            promises: self.tally.by_name(),
            excused: self.excused,
            recovery: self.recovery,
            faults: self.faults,
            safety_only: self.safety_only,
            points,
            sometimes: self.seen.words(),
            log,
            recording,
        }
    }

    /// Overwrites every stored block of a host's first copy that an application has written.
    #[cfg(test)]
    fn corrupt_for_test(&mut self, host: usize) {
        let (at, _) = self.slots[host][0];
        for block in 0..self.resources[at].ledgers[0].span() {
            let page = crate::ledger::Ledger::stamp(u64::MAX >> 25, block);
            self.hosts[host].rot(0, 0, block, page);
        }
    }

    /// How often a promise was checked so far.
    pub fn checked(&self, promise: Promise) -> u64 {
        self.tally.by_name()[promise.name()]
    }
}

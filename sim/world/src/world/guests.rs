//! VMs on hosts: start, open, I/O, errors, moves, and what a stopped VM leaves behind.

use super::resource::Resource;
use super::vm::{Flight, Kind, State, Wish, request};
use super::{Deed, ForceNote, World};
use crate::check::quorum_is_exclusive::Broken;
use crate::check::{Promise, reads_are_fresh};
use crate::log::{IoEnd, VmNote, What};
use crate::outcome::Class;
use drbd::core::event::{Command, CommandId, Event, LowerResult, Refusal, RequestId};
use drbd::ids::{NodeMask, VolumeNumber};
use drbd::page::{Page, Payload};
use models::SimTime;

/// A toolstack tries to open again after this, and doubles it up to [`OPEN_AGAIN_MAX`].
const OPEN_AGAIN: u64 = 250_000_000;
const OPEN_AGAIN_MAX: u64 = 2_000_000_000;
/// A VM that saw an I/O error is restarted after this.
const AFTER_ERROR: u64 = 1_000_000_000;
/// What a stopped VM left behind is looked at this often.
const GHOST_LOOK: u64 = 100_000_000;
/// Its I/O hangs for so long: the device is demoted by force.
const GHOST_FORCE: u64 = 10_000_000_000;
/// Still there: the host is reset, as a pool with HA fences it.
const GHOST_FENCE: u64 = 40_000_000_000;
/// Time without I/O that counts as an outage.
const OUTAGE: u64 = 1_000_000_000;

/// Commands of the world have this bit, opens have not.
const COMMAND: u64 = 1 << 62;

/// What is left of a VM that was stopped: a device to close once its requests have ended.
#[derive(Debug)]
pub struct Ghost {
    /// Which VM it was.
    pub vm: usize,
    /// In which generation.
    pub generation: u16,
    /// Where.
    pub host: usize,
    /// Its open is not answered yet.
    pub opening: bool,
    /// Requests not ended.
    pub in_flight: Vec<u32>,
    /// When it was stopped.
    pub since: u64,
    /// The VM goes on elsewhere or not at all, so that it must not hang on.
    pub unwanted: bool,
    /// How far the world went to be rid of it.
    pub forced: ForceNote,
    /// When to look at it next.
    pub next: u64,
}

fn open_id(vm: usize, generation: u16) -> CommandId {
    CommandId((vm as u64) << 48 | u64::from(generation) << 32)
}

fn request_id(vm: usize, generation: u16, id: u32) -> RequestId {
    RequestId((vm as u64) << 48 | u64::from(generation) << 32 | u64::from(id))
}

fn split(id: u64) -> (usize, u16, u32) {
    ((id >> 48) as usize, (id >> 32) as u16, id as u32)
}

impl World {
    /// Starts a VM on a host.
    pub(super) fn start_vm(&mut self, vm: usize, host: usize) {
        let now = self.now;
        let guest = &mut self.vms[vm];
        guest.generation = guest.generation.wrapping_add(1);
        guest.host = Some(host);
        guest.state = State::Waiting { until: now, tries: 0 };
        guest.waits_since = now;
        self.log.add(now, What::Vm(vm as u16, VmNote::Starts(host as u16)));
    }

    /// When VMs and what they left behind want to act.
    pub(super) fn guests_due(&self) -> u64 {
        let frozen = |host: Option<usize>| host.is_some_and(|h| self.hosts[h].is_frozen());
        let vms = self.vms.iter().filter(|vm| !frozen(vm.host));
        let vms = vms.map(|vm| match vm.state {
            State::Running if self.stopping => u64::MAX,
            _ => vm.next_due(),
        });
        let runaways = self.vms.iter().filter_map(|vm| vm.runaway);
        vms.chain(self.ghosts.iter().map(|g| g.next)).chain(runaways).min().unwrap_or(u64::MAX)
    }

    /// Lets VMs do what is due.
    pub(super) fn run_guests(&mut self) {
        for vm in 0..self.vms.len() {
            let Some(host) = self.vms[vm].host else { continue };
            if self.vms[vm].next_due() > self.now || self.hosts[host].is_frozen() {
                continue;
            }
            match self.vms[vm].state {
                State::Waiting { tries, .. } => self.open(vm, host, tries),
                State::Running if !self.stopping => self.do_io(vm, host),
                _ => {}
            }
        }
        self.look_at_runaways();
        let mut ghost = 0;
        while ghost < self.ghosts.len() {
            if self.ghosts[ghost].next > self.now || !self.look_at_ghost(ghost) {
                ghost += 1;
            }
        }
    }

    fn slot_of(&self, vm: usize, host: usize) -> Option<usize> {
        let resource = &self.resources[self.vms[vm].vdi.resource];
        Some(resource.nodes[resource.node_on(host)?].slot)
    }

    fn open(&mut self, vm: usize, host: usize, tries: u32) {
        let id = self.vms[vm].id;
        let busy = self.ghosts.iter().any(|g| g.vm == id && g.host == host);
        let slot = self.slot_of(vm, host).filter(|slot| self.hosts[host].is_ready(*slot));
        let now = self.now;
        let Some(slot) = slot.filter(|_| !busy) else {
            self.vms[vm].state = State::Waiting { until: now + OPEN_AGAIN, tries };
            return;
        };
        let guest = &mut self.vms[vm];
        guest.state = State::Opening { tries };
        let event = Event::Open(open_id(id, guest.generation), guest.vdi.volume, true);
        self.note(&[1, vm as u64, u64::from(self.vms[vm].generation)]);
        self.saw(scenarios::Event::Opening, host, Some(self.vms[vm].vdi.resource), None);
        self.application(host, slot, event);
    }

    pub(super) fn application(&mut self, host: usize, slot: usize, event: Event) {
        let now = SimTime(self.now);
        self.hosts[host].application(now, slot, event, &mut self.net, &mut self.outs);
        self.collect(host);
    }

    fn do_io(&mut self, vm: usize, host: usize) {
        let now = self.now;
        let Some(wish) = self.vms[vm].wish(now) else { return };
        let Some(slot) = self.slot_of(vm, host) else { return };
        let vdi = self.vms[vm].vdi;
        let ledger = &mut self.resources[vdi.resource].ledgers[vdi.volume.index()];
        let mut number = 0;
        let mut fresh = || {
            self.writes += 1;
            number = self.writes;
            number
        };
        let (kind, at) = match wish {
            Wish::Read(at) => (Kind::Read, at),
            Wish::Write(at) => (Kind::Write(ledger.submitted(now, fresh(), at, false)), at),
            Wish::Discard(at) => (Kind::Discard(ledger.submitted(now, fresh(), at, true)), at),
            Wish::Flush => (Kind::Flush(ledger.flush_submitted()), drbd::ids::Blocks::new(0, 0)),
        };
        let guest = &mut self.vms[vm];
        let id = guest.fresh_id();
        let flight = Flight { id, kind, at, submitted: now, number };
        guest.launch(flight);
        let id = request_id(guest.id, guest.generation, id);
        self.note(&[2, id.0, at.start, number]);
        self.log_io(vm, &flight, IoEnd::Submitted);
        self.application(host, slot, Event::Submit(vdi.volume, id, request(wish, number)));
    }

    fn log_io(&mut self, vm: usize, flight: &Flight, end: IoEnd) {
        if self.log.keeps_all() {
            let kind = match flight.kind {
                Kind::Read => "read",
                Kind::Write(_) => "write",
                Kind::Discard(_) => "discard",
                Kind::Flush(_) => "flush",
            };
            let (start, count, number) = (flight.at.start, flight.at.count, flight.number);
            let vm = self.vms[vm].id as u16;
            let what = What::Io { vm, kind, start, count, number, end };
            self.log.add(self.now, what);
        }
    }

    // ---- answers ----

    /// The instance of a VM that has this generation, abandoned ones included.
    fn vm_of(&self, id: usize, generation: u16) -> Option<usize> {
        let is = |vm: &super::vm::Vm| vm.id == id && vm.generation == generation;
        match self.vms.get(id) {
            Some(vm) if is(vm) => Some(id),
            _ => self.vms.iter().position(is),
        }
    }

    /// An open or a command of the world was answered.
    pub(super) fn replied(&mut self, host: usize, id: CommandId, result: Result<(), Refusal>) {
        self.note(&[3, id.0, result.is_ok().into()]);
        if id.0 & COMMAND != 0 {
            return;
        }
        let (id, generation, _) = split(id.0);
        let now = self.now;
        if let Some(vm) = self.vm_of(id, generation) {
            let State::Opening { tries } = self.vms[vm].state else { return };
            match result {
                Ok(()) => {
                    self.vms[vm].opened(now);
                    self.log.add(now, What::Vm(vm as u16, VmNote::Opened));
                }
                Err(why) => {
                    let pause = (OPEN_AGAIN << tries.min(3)).min(OPEN_AGAIN_MAX);
                    let state = State::Waiting { until: now + pause, tries: tries + 1 };
                    self.vms[vm].state = state;
                    if tries < 3 || tries.is_power_of_two() {
                        self.log.add(now, What::Vm(vm as u16, VmNote::OpenRefused(why)));
                    }
                }
            }
            return;
        }
        let ghost = |g: &Ghost| g.vm == id && g.generation == generation && g.host == host;
        if let Some(place) = self.ghosts.iter().position(ghost) {
            match result {
                Ok(()) => {
                    self.ghosts[place].opening = false;
                    self.look_at_ghost(place);
                }
                Err(_) => drop(self.ghosts.swap_remove(place)),
            }
        }
    }

    /// An application request ended.
    pub(super) fn completed(
        &mut self,
        host: usize,
        volume: VolumeNumber,
        id: RequestId,
        result: LowerResult,
        copies: NodeMask,
    ) {
        self.note(&[4, id.0, result.is_ok().into(), copies.0.into()]);
        let (id, generation, short) = split(id.0);
        let Some(vm) = self.vm_of(id, generation) else {
            return self.ghost_completed(host, id, generation, short);
        };
        let Some(flight) = self.vms[vm].land(short) else {
            let what = format!("{}: request {short} was completed twice", self.vms[vm].name);
            return self.fail(Class::Safety, reads_are_fresh::NAME, what, None);
        };
        debug_assert_eq!(volume, self.vms[vm].vdi.volume);
        let end = if result.is_ok() { IoEnd::Acked(copies.0) } else { IoEnd::Failed };
        self.log_io(vm, &flight, end);
        match result {
            Ok(pages) => self.succeeded(vm, host, flight, pages, copies),
            Err(_) => self.io_failed(vm, flight),
        }
    }

    fn succeeded(
        &mut self,
        vm: usize,
        host: usize,
        flight: Flight,
        pages: Option<Payload>,
        copies: NodeMask,
    ) {
        match flight.kind {
            Kind::Read => self.check_read(vm, host, flight, pages),
            Kind::Write(id) | Kind::Discard(id) => {
                let vdi = self.vms[vm].vdi;
                let trusted = self.resources[vdi.resource].up_to_date(vdi.volume.index());
                let copies = copies.and(trusted);
                let resource = &mut self.resources[vdi.resource];
                resource.ledgers[vdi.volume.index()].acked(self.now, id, copies);
                self.check_exclusive(vdi.resource, host, &flight);
            }
            Kind::Flush(submitted) => {
                let vdi = self.vms[vm].vdi;
                let ledger = &mut self.resources[vdi.resource].ledgers[vdi.volume.index()];
                ledger.flushed(submitted, copies);
            }
        }
        let guest = &mut self.vms[vm];
        if guest.runaway.is_some() {
            return;
        }
        guest.acked_writes += u64::from(matches!(flight.kind, Kind::Write(_) | Kind::Discard(_)));
        self.script.stale = true;
        let away = self.now - guest.waits_since;
        guest.last_ok = self.now;
        guest.waits_since = self.now;
        if let Some(since) = guest.moving_since.take() {
            self.recovered("vm-moved", self.now - since);
        }
        if away > self.outage(vm) {
            self.recovered("io-back", away);
            self.log.add(self.now, What::Vm(vm as u16, VmNote::IoBack(away)));
        }
    }

    /// Time without I/O that counts as an outage: a slow workload pauses by itself.
    pub(super) fn outage(&self, vm: usize) -> u64 {
        match self.vms[vm].rate() {
            0 => OUTAGE,
            rate => OUTAGE.max(2_000_000_000 / u64::from(rate)),
        }
    }

    fn check_exclusive(&mut self, at: usize, host: usize, flight: &Flight) {
        let resource = &self.resources[at];
        if !resource.quorum || resource.forgot || resource.overruled {
            return;
        }
        let Some(node) = resource.node_on(host) else { return };
        self.tally.add(Promise::QuorumIsExclusive, 1);
        let Err(broken) = resource.exclusive.acked(node, flight.submitted) else { return };
        let name = |node: usize| self.hosts[resource.nodes[node].host].name();
        let Broken::Superseded { old, new, since } = broken else { return };
        let what = format!(
            "{}: {} acknowledged write {} that was submitted after {} had become Primary (t={}.{:03}s)",
            resource.name,
            name(old),
            flight.number,
            name(new),
            since / 1_000_000_000,
            since / 1_000_000 % 1_000,
        );
        self.fail(Class::Safety, Promise::QuorumIsExclusive.name(), what, Some(at));
    }

    fn check_read(&mut self, vm: usize, host: usize, flight: Flight, pages: Option<Payload>) {
        let vdi = self.vms[vm].vdi;
        let Some(node) = self.resources[vdi.resource].node_on(host) else { return };
        let volume = vdi.volume.index();
        let pages = pages.unwrap_or_default();
        if self.vms[vm].runaway.is_some() || self.resources[vdi.resource].past_saving {
            return;
        }
        if pages.len() != flight.at.count as usize {
            let what = format!("a read of {} blocks returned {}", flight.at.count, pages.len());
            return self.fail(Class::Safety, reads_are_fresh::NAME, what, Some(vdi.resource));
        }
        self.tally.add(Promise::ReadsAreFresh, pages.len() as u64);
        for (block, page) in flight.at.iter().zip(pages.iter()) {
            if let Page::Stamp(stamp) = page {
                self.hash.add(*stamp);
            }
            let reader = Resource::id(node);
            let (submitted, ended) = (flight.submitted, self.now);
            let found = reads_are_fresh::Found { block, page, reader, submitted, ended };
            let ledger = &self.resources[vdi.resource].ledgers[volume];
            let settles = ledger.judge(block, page, Some(reader), submitted).is_ok_and(
                |j| matches!(j, crate::ledger::Judgement::Version(id) if ledger.is_unsettled(id)),
            );
            let holders = match settles {
                true => self.holders_of(vdi.resource, volume, block, page),
                false => NodeMask::NONE,
            };
            let ledger = &mut self.resources[vdi.resource].ledgers[volume];
            if let Err(wrong) = reads_are_fresh::check(ledger, found, || holders) {
                let (resource, guest) = (&self.resources[vdi.resource].name, &self.vms[vm].name);
                let name = self.hosts[host].name();
                if let Some(recorder) = &mut self.log.recorder {
                    recorder.broke_at(vdi.resource, volume, wrong.block);
                }
                let what = format!("{guest} on {name} read {resource}/{volume} {wrong}");
                return self.fail(Class::Safety, reads_are_fresh::NAME, what, Some(vdi.resource));
            }
        }
    }

    /// UpToDate copies that store these contents.
    fn holders_of(&self, at: usize, volume: usize, block: u64, page: &Page) -> NodeMask {
        let resource = &self.resources[at];
        let mut holders = NodeMask::NONE;
        for id in resource.up_to_date(volume).iter() {
            let node = &resource.nodes[id.index()];
            if self.hosts[node.host].peek(node.slot, volume, block).as_ref() == Some(page) {
                holders.insert(id);
            }
        }
        holders
    }

    fn io_failed(&mut self, vm: usize, flight: Flight) {
        if let Kind::Write(id) | Kind::Discard(id) = flight.kind {
            let vdi = self.vms[vm].vdi;
            self.resources[vdi.resource].ledgers[vdi.volume.index()].failed(id);
        }
        self.log.add(self.now, What::Vm(self.vms[vm].id as u16, VmNote::IoError));
        *self.faults.entry("vm-io-error").or_default() += 1;
        self.vms[vm].errors += 1;
        self.script.stale = true;
        if self.vms[vm].runaway.is_some() {
            return self.end_runaway(vm);
        }
        self.leave(vm, false);
        let guest = &mut self.vms[vm];
        guest.generation = guest.generation.wrapping_add(1);
        guest.state = State::Waiting { until: self.now + AFTER_ERROR, tries: 0 };
    }

    // ---- the end of a VM ----

    /// A VM leaves its device: what it has in flight is of unknown fate, and the device is closed
    /// when all that has ended. The VM is `Off` then, in the same generation.
    pub(super) fn leave(&mut self, vm: usize, unwanted: bool) {
        self.forget_in_flight(vm);
        let guest = &mut self.vms[vm];
        let opening = matches!(guest.state, State::Opening { .. });
        let open = opening || guest.state == State::Running;
        let in_flight = guest.in_flight.drain(..).map(|f| f.id).collect();
        guest.state = State::Off;
        if let (Some(host), true) = (guest.host, open) {
            let (vm, generation) = (guest.id, guest.generation);
            let (since, forced) = (self.now, ForceNote::Not);
            let next = self.now;
            self.ghosts.push(Ghost {
                vm,
                generation,
                host,
                opening,
                in_flight,
                since,
                unwanted,
                forced,
                next,
            });
        }
    }

    fn forget_in_flight(&mut self, vm: usize) {
        let vdi = self.vms[vm].vdi;
        let ledger = &mut self.resources[vdi.resource].ledgers[vdi.volume.index()];
        for flight in &self.vms[vm].in_flight {
            if let Kind::Write(id) | Kind::Discard(id) = flight.kind {
                ledger.failed(id);
            }
        }
    }

    /// Stops a VM for good (until it is started again).
    pub(super) fn stop_vm(&mut self, vm: usize) {
        if self.vms[vm].state != State::Off {
            self.log.add(self.now, What::Vm(vm as u16, VmNote::Stopped));
        }
        self.leave(vm, true);
        let guest = &mut self.vms[vm];
        guest.generation = guest.generation.wrapping_add(1);
        for ghost in self.ghosts.iter_mut().filter(|g| g.vm == vm) {
            ghost.unwanted = true;
        }
    }

    /// The kernel of a host is gone, and with it its VMs.
    pub(super) fn vms_died(&mut self, host: usize) {
        for vm in 0..self.vms.len() {
            if self.vms[vm].host == Some(host) && self.vms[vm].state != State::Off {
                self.forget_in_flight(vm);
                let guest = &mut self.vms[vm];
                guest.in_flight.clear();
                guest.generation = guest.generation.wrapping_add(1);
                guest.state = State::Off;
                self.log.add(self.now, What::Vm(self.vms[vm].id as u16, VmNote::HostDied));
            }
        }
        self.vms.retain(|vm| vm.runaway.is_none() || vm.state != State::Off);
        self.ghosts.retain(|g| g.host != host);
    }

    fn ghost_completed(&mut self, host: usize, vm: usize, generation: u16, id: u32) {
        let ghost = |g: &Ghost| g.vm == vm && g.generation == generation && g.host == host;
        if let Some(place) = self.ghosts.iter().position(ghost) {
            self.ghosts[place].in_flight.retain(|f| *f != id);
            self.look_at_ghost(place);
        }
    }

    /// Closes the device if nothing is in flight any more, by and by with force; `true` if the
    /// ghost is gone.
    fn look_at_ghost(&mut self, place: usize) -> bool {
        let now = self.now;
        let ghost = &mut self.ghosts[place];
        ghost.next = now + GHOST_LOOK;
        let (host, vm, age) = (ghost.host, ghost.vm, now - ghost.since);
        if !self.hosts[host].is_acting() {
            return false;
        }
        let volume = self.vms[vm].vdi.volume;
        let Some(slot) = self.slot_of(vm, host) else { return false };
        let ghost = &mut self.ghosts[place];
        if ghost.in_flight.is_empty() && !ghost.opening {
            self.ghosts.swap_remove(place);
            self.log.add(now, What::Vm(vm as u16, VmNote::Closed));
            self.note(&[5, vm as u64, host as u64]);
            self.application(host, slot, Event::Close(volume, true));
            return true;
        }
        if ghost.unwanted && age > GHOST_FORCE && ghost.forced == ForceNote::Not {
            ghost.forced = ForceNote::Demoted;
            self.log.add(now, What::Vm(vm as u16, VmNote::ForcedSecondary));
            let command = Event::Command(CommandId(COMMAND | vm as u64), Command::Secondary(true));
            self.application(host, slot, command);
        } else if ghost.unwanted && age > GHOST_FENCE {
            ghost.forced = ForceNote::Fenced;
            ghost.next = u64::MAX;
            self.later(0, Deed::Fence(host));
        }
        false
    }
}

//! Carries out the fault plan: every verb of [`scenarios::Do`].

use super::build::net_id;
use super::resource::Resource;
use super::vm::State;
use super::{Deed, World};
use crate::ledger::Ledger;
use crate::log::What;
use drbd::ids::Blocks;
use kernel::Power;
use models::{SimTime, Span};
use scenarios::{Do, Step};

/// A clean shutdown is forced after this.
const SHUT_DOWN_LIMIT: Span = Span::secs(60);
/// After a repair, administrators' scripts look at the resources.
const ADJUST_AFTER: u64 = 1_000_000_000;
/// And after everything was healed they go on looking.
const ADJUST_EVERY: u64 = 10_000_000_000;
/// A number that no application ever writes.
const ROT: u64 = u64::MAX >> 24;

/// Name of a fault for the tally; `None` for repairs and planned work.
pub(crate) fn fault(action: &Do) -> Option<&'static str> {
    Some(match action {
        Do::PowerOff { .. } => "power-off",
        Do::Crash { .. } => "crash",
        Do::Shutdown { .. } => "shutdown",
        Do::Freeze { .. } => "freeze",
        Do::Cut { .. } => "cut",
        Do::Isolate { .. } => "isolate",
        Do::SwitchOff { .. } => "switch-off",
        Do::Loss { ppm: 1.., .. } => "loss",
        Do::Latency { .. } => "latency",
        Do::DiskError { .. } => "disk-error",
        Do::DiskStall { .. } => "disk-stall",
        Do::BitRot { .. } => "bit-rot",
        Do::DiskLies { .. } => "disk-lies",
        Do::FillConntrack { .. } => "fill-conntrack",
        Do::ClockStep { .. } => "clock-step",
        Do::MoveVm { .. } => "move-vm",
        _ => return None,
    })
}

impl World {
    fn host_named(&self, name: &str) -> usize {
        let found = self.hosts.iter().position(|h| h.name() == name);
        found.expect("a validated scenario names hosts")
    }

    fn resource_named(&self, name: &str) -> usize {
        let found = self.resources.iter().position(|r| r.name == name);
        found.expect("a validated scenario names resources")
    }

    pub(super) fn network_named(&self, name: &str) -> usize {
        let found = self.networks.names.iter().position(|n| n == name);
        found.unwrap_or(0)
    }

    /// Carries out one step.
    pub(super) fn strike(&mut self, index: usize, step: &Step) {
        let place = self.script.count;
        self.note(&[11, place]);
        let text = match &step.id {
            Some(id) => format!("{id}: {}", scenarios::describe_step(&step.action)),
            None => scenarios::describe_step(&step.action),
        };
        if let Some(recorder) = &mut self.log.recorder {
            recorder.struck(self.now, step.id.as_ref(), &step.action);
        }
        self.log.add(self.now, What::Plan(text));
        if let Some(kind) = fault(&step.action) {
            *self.faults.entry(kind).or_default() += 1;
            self.last_fault = self.now;
        }
        self.last_step = self.now;
        self.mark_fault(step);
        self.weigh(&step.action);
        match &step.action {
            Do::PowerOff { host } => self.power_off(self.host_named(host)),
            Do::Boot { host } => self.boot(self.host_named(host)),
            Do::Crash { host } => self.crash(self.host_named(host)),
            Do::Shutdown { host, network_first } => {
                let host = self.host_named(host);
                if *network_first { self.unplug_first(host) } else { self.shut_down(host) }
            }
            Do::Freeze { host } => {
                let host = self.host_named(host);
                self.hosts[host].freeze(SimTime(self.now), &mut self.net);
            }
            Do::Thaw { host } => self.thaw(self.host_named(host)),
            Do::Cut { .. }
            | Do::Mend { .. }
            | Do::Isolate { .. }
            | Do::Rejoin { .. }
            | Do::SwitchOff { .. }
            | Do::SwitchOn { .. }
            | Do::Loss { .. }
            | Do::Latency { .. }
            | Do::FillConntrack { .. } => self.strike_network(&step.action),
            Do::DiskError { .. }
            | Do::DiskRepair { .. }
            | Do::DiskStall { .. }
            | Do::BitRot { .. }
            | Do::DiskLies { .. }
            | Do::DiskHonest { .. } => self.strike_disk(&step.action),
            // DRBD runs on the monotonic clock; wall clocks belong to the processes of later
            // layers.
            Do::ClockStep { .. } => {}
            Do::MoveVm { vm, to } => self.move_vm(vm, to.as_deref()),
            Do::Run { on, command, .. } => {
                let on = self.host_named(on);
                self.run_command(index, step, on, command);
            }
            Do::HealAll => self.heal_all(),
        }
    }

    pub(super) fn perform(&mut self, deed: Deed) {
        match deed {
            Deed::Boot(host) => self.boot(host),
            // Its network is gone already: it is to go down once it goes on.
            Deed::ShutDown(host) if self.hosts[host].is_frozen() => {
                self.later(1_000_000_000, Deed::ShutDown(host));
            }
            Deed::ShutDown(host) => self.shut_down(host),
            Deed::Fence(host) => self.fence(host),
            Deed::StartVms(host) => self.start_dead_vms(host),
            Deed::Poll => self.poll_commands(),
            Deed::Adjust => {
                if self.healed.is_some_and(|healed| self.now >= healed) {
                    self.later(ADJUST_EVERY, Deed::Adjust);
                }
                for host in 0..self.hosts.len() {
                    for slot in 0..self.slots[host].len() {
                        if self.hosts[host].is_acting() {
                            let (at, node) = self.slots[host][slot];
                            self.resources[at].nodes[node].is_adjusted();
                        }
                        let now = SimTime(self.now);
                        self.hosts[host].adjust(now, slot, &mut self.net, &mut self.outs);
                        self.collect(host);
                    }
                }
            }
        }
    }

    pub(super) fn later(&mut self, after: u64, deed: Deed) {
        if !self.timers.iter().any(|(_, d)| *d == deed) {
            self.timers.push((self.now + after, deed));
        }
    }

    // ---- hosts ----

    fn power_off(&mut self, host: usize) {
        self.boot_wanted[host] = false;
        self.loses_power(host);
        self.host_is_gone(host);
        // A kernel that died before left a disk with power; its cache is lost now.
        self.has_risen(host);
        self.hosts[host].power_off(SimTime(self.now), &mut self.net);
        self.has_fallen(host);
        self.timers.retain(|(_, d)| *d != Deed::Boot(host) && *d != Deed::ShutDown(host));
    }

    fn boot(&mut self, host: usize) {
        let leaving = self.timers.iter().any(|(_, deed)| *deed == Deed::ShutDown(host));
        let going_down = matches!(self.hosts[host].power(), Power::ShuttingDown(_));
        self.boot_wanted[host] = leaving || going_down;
        self.hosts[host].boot(SimTime(self.now));
    }

    fn crash(&mut self, host: usize) {
        if self.hosts[host].has_kernel() {
            self.host_is_gone(host);
            self.timers.retain(|(_, deed)| *deed != Deed::ShutDown(host));
            self.hosts[host].crash(SimTime(self.now), &mut self.net);
            self.has_fallen(host);
            self.later(1_000_000_000, Deed::Boot(host));
        }
    }

    /// A host that must not go on is reset, as a pool with HA does it.
    fn fence(&mut self, host: usize) {
        *self.faults.entry("fenced").or_default() += 1;
        self.log.add(self.now, What::Host(host as u16, "is fenced: a stopped VM does not let go"));
        self.crash(host);
    }

    /// A clean shutdown that stops the network before DRBD: DRBD sees its peers go, and with them
    /// quorum, before it goes down itself.
    fn unplug_first(&mut self, host: usize) {
        if !self.hosts[host].is_acting() {
            return;
        }
        self.stop_vms_of(host);
        self.plug(host, false);
        let notices = |resource: &Resource| resource.node_on(host).map(|_| resource.notice);
        let notice = self.resources.iter().filter_map(notices).max().unwrap_or(0);
        self.later(notice + 1_000_000_000, Deed::ShutDown(host));
    }

    /// Every NIC of a host, up or down.
    pub(super) fn plug(&mut self, host: usize, up: bool) {
        for nic in &self.nics[host] {
            self.net.set_nic_up(*nic, up);
        }
    }

    fn shut_down(&mut self, host: usize) {
        if !self.hosts[host].is_acting() {
            return;
        }
        self.stop_vms_of(host);
        let now = SimTime(self.now);
        let limit = now + SHUT_DOWN_LIMIT;
        self.hosts[host].shut_down(now, limit, &mut self.net, &mut self.outs);
        self.collect(host);
    }

    fn stop_vms_of(&mut self, host: usize) {
        for vm in 0..self.homes.len() {
            if self.vms[vm].host == Some(host) && self.vms[vm].state != State::Off {
                self.stop_vm(vm);
            }
            self.end_runaways_of(vm, host);
        }
        // The VMs' devices close first, as far as nothing is in flight; `Down` is tried again until
        // they have.
        self.run_guests();
        self.settle();
    }

    fn thaw(&mut self, host: usize) {
        self.hosts[host].thaw(SimTime(self.now), &mut self.net);
    }

    /// A kernel runs again.
    pub(super) fn host_is_up(&mut self, host: usize) {
        if self.healed.is_some_and(|healed| self.now >= healed && self.now > 0) {
            self.later(2_000_000_000, Deed::StartVms(host));
        }
    }

    // ---- network ----

    fn strike_network(&mut self, action: &Do) {
        match action {
            Do::Cut { from, to, network, both } => {
                self.cut_ways(from, to, network.as_deref(), *both, true);
            }
            Do::Mend { from, to, network, both } => {
                self.cut_ways(from, to, network.as_deref(), *both, false);
            }
            Do::Isolate { host, network } => self.isolate(host, network.as_deref(), true),
            Do::Rejoin { host, network } => self.isolate(host, network.as_deref(), false),
            Do::SwitchOff { network } => self.switch(network, false),
            Do::SwitchOn { network } => self.switch(network, true),
            Do::Loss { network, ppm } => {
                let id = self.networks.ids[self.network_named(network)];
                self.net.network_mut(id).loss_ppm = *ppm;
            }
            Do::Latency { network, latency } => {
                let id = self.networks.ids[self.network_named(network)];
                self.net.network_mut(id).latency = Span(latency.0)..=Span(latency.1);
            }
            Do::FillConntrack { host, share, flush, lasts } => {
                let host = net_id(self.host_named(host));
                if let Some(table) = self.net.conntrack_mut(host) {
                    table.fill(*share, SimTime(self.now) + Span(*lasts));
                    if *flush {
                        table.flush();
                    }
                }
            }
            _ => {}
        }
    }

    fn pairs(&self, network: Option<&str>) -> Vec<usize> {
        match network {
            Some(name) => vec![self.network_named(name)],
            None => (0..self.networks.ids.len()).collect(),
        }
    }

    fn cut(&mut self, from: &str, to: &str, network: Option<&str>, cut: bool) {
        let (from, to) = (self.host_named(from), self.host_named(to));
        for network in self.pairs(network) {
            let (from, to) = (self.addresses[from][network], self.addresses[to][network]);
            match cut {
                true => self.net.cut(from, to),
                false => self.net.heal(from, to),
            }
        }
    }

    fn cut_ways(&mut self, from: &str, to: &str, network: Option<&str>, both: bool, cut: bool) {
        self.cut(from, to, network, cut);
        if both {
            self.cut(to, from, network, cut);
        }
    }

    fn isolate(&mut self, host: &str, network: Option<&str>, cut: bool) {
        let host = self.host_named(host);
        let names: Vec<String> = self.hosts.iter().map(|h| h.name().to_owned()).collect();
        for other in (0..self.hosts.len()).filter(|other| *other != host) {
            self.cut(&names[host], &names[other], network, cut);
            self.cut(&names[other], &names[host], network, cut);
        }
    }

    fn switch(&mut self, network: &str, up: bool) {
        let id = self.networks.ids[self.network_named(network)];
        self.net.network_mut(id).up = up;
    }

    // ---- disks ----

    fn strike_disk(&mut self, action: &Do) {
        let now = SimTime(self.now);
        match action {
            Do::DiskError { host, resource, read, write } => {
                let (host, at) = (self.host_named(host), self.resource_named(resource));
                let Some(slot) = self.distrust(host, at) else { return };
                self.hosts[host].set_failing(slot, *read, *write);
            }
            Do::DiskRepair { host, resource } => {
                let (host, at) = (self.host_named(host), self.resource_named(resource));
                self.repair(host, at);
                self.later(ADJUST_AFTER, Deed::Adjust);
            }
            Do::DiskStall { host, lasts } => {
                let host = self.host_named(host);
                self.hosts[host].disk_mut().stall(now, now + Span(*lasts));
                self.may_time_out(host, *lasts);
            }
            Do::BitRot { host, resource, blocks } => {
                let (host, at) = (self.host_named(host), self.resource_named(resource));
                self.rot(host, at, *blocks);
            }
            Do::DiskLies { host } => {
                let host = self.host_named(host);
                for at in 0..self.resources.len() {
                    self.distrust(host, at);
                }
                self.hosts[host].disk_mut().set_lying_flush(true);
            }
            Do::DiskHonest { host } => self.honest(self.host_named(host)),
            _ => {}
        }
    }

    /// From now on nothing that this copy said or says is owed by it; its slot, if it has one.
    fn distrust(&mut self, host: usize, at: usize) -> Option<usize> {
        let resource = &mut self.resources[at];
        let node = resource.node_on(host)?;
        resource.nodes[node].was_broken = true;
        resource.nodes[node].is_broken = true;
        resource.nodes[node].unwhole = resource.nodes[node].diskful;
        for ledger in &mut resource.ledgers {
            ledger.distrust(Resource::id(node));
        }
        Some(resource.nodes[node].slot)
    }

    /// A disk stands still for so long, in ns: `disk-timeout` may have copies let go of it.
    fn may_time_out(&mut self, host: usize, lasts: u64) {
        for resource in &mut self.resources {
            let Some(node) = resource.node_on(host) else { continue };
            let engine = self.hosts[host].engine(resource.nodes[node].slot);
            let limit = engine.map_or(0, |engine| engine.config().disk_timeout_ms);
            resource.nodes[node].was_broken |= limit > 0 && lasts / 1_000_000 >= limit;
        }
    }

    fn repair(&mut self, host: usize, at: usize) {
        let Some(node) = self.resources[at].node_on(host) else { return };
        let slot = self.resources[at].nodes[node].slot;
        self.hosts[host].set_failing(slot, false, false);
        self.hosts[host].give_room(SimTime(self.now));
        self.resources[at].nodes[node].is_broken = false;
        for ledger in &mut self.resources[at].ledgers {
            ledger.trust(Resource::id(node));
        }
        self.may_be_whole(at, node);
    }

    fn honest(&mut self, host: usize) {
        self.hosts[host].disk_mut().set_lying_flush(false);
        for at in 0..self.resources.len() {
            self.repair(host, at);
        }
    }

    fn rot(&mut self, host: usize, at: usize, blocks: u32) {
        let Some(node) = self.resources[at].node_on(host) else { return };
        let slot = self.resources[at].nodes[node].slot;
        for volume in 0..self.resources[at].volumes {
            let touched =
                |vm: &&super::vm::Vm| vm.vdi.resource == at && vm.vdi.volume.index() == volume;
            let span = self.vms.iter().filter(touched).map(|vm| vm.span()).max().unwrap_or(0);
            for _ in 0..blocks {
                let block = self.luck.below(span);
                let page = Ledger::stamp(ROT, block);
                if span > 0 && self.hosts[host].rot(slot, volume, block, page) {
                    self.resources[at].ledgers[volume].rotted(block);
                }
            }
        }
        self.fallen_is_changed(host);
        self.resources[at].nodes[node].was_broken = true;
        debug_assert!(self.resources[at].blocks <= 1 << 24, "{} bytes", Blocks::BYTES);
    }

    // ---- VMs ----

    fn move_vm(&mut self, name: &str, to: Option<&str>) {
        let vm = self.vms.iter().position(|vm| vm.name == name);
        let vm = vm.expect("a validated scenario names VMs");
        let to = to.map(|host| self.host_named(host));
        self.stop_or_abandon(vm, to);
        match to {
            Some(host) => {
                self.end_runaways_of(vm, host);
                self.vms[vm].moving_since = Some(self.now);
                self.start_vm(vm, host);
            }
            None => self.vms[vm].host = None,
        }
    }

    /// After everything was healed: what died is started where it was.
    fn start_dead_vms(&mut self, host: usize) {
        for vm in 0..self.homes.len() {
            if self.vms[vm].host == Some(host) && self.vms[vm].state == State::Off {
                self.start_vm(vm, host);
            }
        }
    }

    // ---- the end of all faults ----

    fn heal_all(&mut self) {
        self.net.heal_all();
        for (id, calm) in self.networks.ids.iter().zip(&self.networks.calm) {
            *self.net.network_mut(*id) = calm.clone();
        }
        for host in 0..self.hosts.len() {
            debug_assert_eq!(net_id(host).0 as usize, host);
            self.thaw(host);
            if let Some(table) = self.net.conntrack_mut(net_id(host)) {
                table.fill(0, SimTime(self.now));
            }
            self.hosts[host].disk_mut().unstall(SimTime(self.now));
            self.honest(host);
            self.boot(host);
            if self.hosts[host].has_kernel() {
                self.later(2_000_000_000, Deed::StartVms(host));
            }
        }
        self.later(ADJUST_AFTER, Deed::Adjust);
    }
}

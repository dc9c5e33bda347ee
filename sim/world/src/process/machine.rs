//! One host: what lives below its processes and beside them.

use super::{
    build::Service,
    commands::Change,
    files::Files,
    state::{Event, Payload, State},
};
use env::hooks::{Handle, Pid};
use models::{
    SimTime,
    disk::Lv,
    host::{Host, HostEvent, HostState, HostWhat},
    net::HostId,
};
use std::collections::BTreeMap;

/// A block device that processes can open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Device {
    pub(super) disk: usize,
    pub(super) lv: Lv,
    /// Who has it open for writing.
    pub(super) writer: Option<Handle>,
}

/// A host.
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) id: HostId,
    pub(super) model: Host,
    /// Time of the newest entry on the agenda.
    pub(super) armed: SimTime,
    pub(super) disks: Vec<usize>,
    pub(super) devices: BTreeMap<String, Device>,
    pub(super) files: Files,
    /// Unix sockets by path; `None` is one whose process died.
    pub(super) sockets: BTreeMap<String, Option<Handle>>,
    pub(super) locks: BTreeMap<String, Handle>,
    pub(super) watchdog: Option<Handle>,
    pub(super) services: Vec<ServiceState>,
}

/// A service and the process that runs it.
pub(super) struct ServiceState {
    pub(super) service: Service,
    pub(super) pid: Option<Pid>,
}

impl Machine {
    /// Forgets what only memory holds.
    fn forget_memory(&mut self) {
        self.sockets.clear();
        self.locks.clear();
        self.watchdog = None;
        self.devices.values_mut().for_each(|d| d.writer = None);
        self.services.iter_mut().for_each(|s| s.pid = None);
    }
}

impl<P: Payload> State<P> {
    pub(super) fn run_host(&mut self, at: SimTime, host: usize) {
        if self.machines[host].armed != at {
            return;
        }
        self.machines[host].armed = SimTime::FAR;
        let mut events: Vec<HostEvent> = Vec::new();
        let now = self.now;
        self.machines[host].model.run_due(now, &mut events);
        for event in events {
            match event.what {
                HostWhat::Up { boot } => self.booted(host, boot),
                HostWhat::Thawed => self.thawed(host),
                // What ran was gone when it crashed.
                HostWhat::Rebooting => self.note("reboot", host as u64),
                HostWhat::WatchdogFired => {
                    self.note("watchdog", host as u64);
                    self.kernel_gone(host, false);
                }
            }
        }
        self.schedule_host(host);
    }

    /// The kernel of a host runs: its network is up and its services start.
    pub(super) fn booted(&mut self, host: usize, boot: u32) {
        self.note("boot", host as u64);
        let now = self.now;
        match self.kernel.is_some() {
            true => self.kernel_changed(host, Change::Up),
            false => drop(self.net.host_up(now, self.machines[host].id)),
        }
        self.machines[host].files.boot();
        let services = self.machines[host].services.len();
        (0..services).for_each(|service| self.start_service(host, service, boot));
    }

    /// The kernel of a host is gone, its disks with it if power is. Nobody is told.
    pub(super) fn kernel_gone(&mut self, host: usize, power: bool) {
        let now = self.now;
        match self.kernel.is_some() {
            true => self.kernel_changed(host, Change::Gone { power }),
            false => self.net.host_down(now, self.machines[host].id),
        }
        for disk in self.machines[host].disks.clone() {
            let model = &mut self.disks[disk].model;
            if power {
                model.power_off(now)
            } else {
                model.crash(now)
            }
            self.disks[disk].powered = !power;
        }
        // Those that have ended too: the parents that would ask for them are gone.
        let here = self.processes.values().filter(|p| p.host == host);
        let pids: Vec<Pid> = here.map(|p| p.pid).collect();
        pids.into_iter().for_each(|pid| self.vanish(pid));
        let machine = &mut self.machines[host];
        machine.forget_memory();
        machine.files.lose_memory();
    }

    /// The host stands still with all its processes.
    pub(super) fn frozen(&mut self, host: usize) {
        self.note("freeze", host as u64);
        let now = self.now;
        match self.kernel.is_some() {
            true => self.kernel_changed(host, Change::Frozen),
            false => self.net.freeze(now, self.machines[host].id),
        }
        for p in self.processes.values().filter(|p| p.host == host && p.lives()) {
            self.runtime.pause(p.node);
        }
    }

    /// The host goes on, but for processes that were frozen one by one.
    pub(super) fn thawed(&mut self, host: usize) {
        self.note("thaw", host as u64);
        let now = self.now;
        match self.kernel.is_some() {
            true => self.kernel_changed(host, Change::Thawed),
            false => self.net.thaw(now, self.machines[host].id),
        }
        for p in self.processes.values().filter(|p| p.host == host && p.lives() && !p.frozen) {
            self.runtime.resume(p.node);
        }
    }

    /// Starts a service if its host still runs that boot.
    pub(super) fn start_service(&mut self, host: usize, service: usize, boot: u32) {
        let machine = &self.machines[host];
        if !machine.model.is_alive() || machine.model.boot() != boot {
            return;
        }
        let Service { program, args, .. } = machine.services[service].service.clone();
        match self.start(host, None, &program, args, bytes::Bytes::new()) {
            Ok(pid) => self.machines[host].services[service].pid = Some(pid),
            // The table of programs is the simulator's own: a gap in it must not pass for a fault.
            Err(e) => panic!("host {}: service {program}: {e}", self.machines[host].name),
        }
    }

    pub(super) fn restart_service(&mut self, host: usize, service: usize, boot: u32) {
        if self.machines[host].services[service].pid.is_none() {
            self.start_service(host, service, boot);
        }
    }

    /// A process has ended; if it was a service, its policy says what follows.
    pub(super) fn service_ended(&mut self, host: usize, pid: Pid) {
        let boot = self.machines[host].model.boot();
        let Some(service) = self.machines[host].services.iter().position(|s| s.pid == Some(pid))
        else {
            return;
        };
        self.machines[host].services[service].pid = None;
        if let Some(after) = self.machines[host].services[service].service.restart_after {
            self.schedule(self.now + after, Event::Restart { host, service, boot });
        }
    }

    /// Whether the kernel of a host stands still.
    pub(super) fn is_frozen(&self, host: usize) -> bool {
        matches!(self.machines[host].model.state(), HostState::Frozen { .. })
    }
}

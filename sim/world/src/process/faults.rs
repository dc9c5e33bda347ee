//! What may befall processes and hosts. The network's and the disks' own faults are reached through
//! [`Machines::net`] and [`Machines::disk`].

use super::{
    HostIx, Machines,
    processes::SIGKILL,
    state::{Payload, State},
};
use env::{
    exec::ExitStatus,
    hooks::{Pid, Signal},
};
use models::{SimTime, host::HostState};
use std::io::ErrorKind;

impl<P: Payload> State<P> {
    /// The reset button.
    pub(super) fn reset_host(&mut self, host: usize) {
        if self.machines[host].model.reset(self.now) {
            self.note("reset", host as u64);
            self.kernel_gone(host, false);
            self.schedule_host(host);
        }
    }
}

impl<P: Payload> Machines<P> {
    /// Kills a process; its kernel closes what it held.
    pub fn kill(&self, pid: Pid) {
        self.with(|state| state.end(pid, ExitStatus::Signal(SIGKILL)));
    }

    /// Asks a process to stop.
    pub fn terminate(&self, pid: Pid) {
        self.with(|state| state.signal(pid, Signal::Term));
    }

    /// A process stands still, its sockets stay.
    pub fn freeze_process(&self, pid: Pid) {
        self.with(|state| {
            state.note("freeze process", pid.0);
            if let Some(p) = state.processes.get_mut(&pid).filter(|p| p.lives()) {
                p.frozen = true;
                state.runtime.pause(p.node);
            }
        });
    }

    /// It goes on.
    pub fn thaw_process(&self, pid: Pid) {
        self.with(|state| {
            state.note("thaw process", pid.0);
            let Some(p) = state.processes.get_mut(&pid).filter(|p| p.lives()) else { return };
            p.frozen = false;
            let (node, host) = (p.node, p.host);
            if !state.is_frozen(host) {
                state.runtime.resume(node);
            }
        });
    }

    /// The host runs from now on, without boot time: how a world begins.
    pub fn begin(&self, host: HostIx) {
        self.with(|state| {
            let boot = state.machines[host.0].model.start(state.now);
            state.booted(host.0, boot);
            state.schedule_host(host.0);
        });
    }

    /// The power button: a host that was off boots.
    pub fn power_on(&self, host: HostIx) {
        self.with(|state| {
            if !state.machines[host.0].model.power_on(state.now) {
                return;
            }
            state.note("power on", host.0 as u64);
            for disk in state.machines[host.0].disks.clone() {
                if !std::mem::replace(&mut state.disks[disk].powered, true) {
                    state.disks[disk].model.power_on(state.now);
                    state.schedule_disk(disk);
                }
            }
            state.schedule_host(host.0);
        });
    }

    /// Power is lost: kernel, processes, caches are gone, and nobody is told.
    pub fn power_off(&self, host: HostIx) {
        self.with(|state| {
            if state.machines[host.0].model.power_off(state.now) {
                state.note("power off", host.0 as u64);
                state.kernel_gone(host.0, true);
            }
        });
    }

    /// The kernel dies. The disks keep their power.
    pub fn crash(&self, host: HostIx) {
        self.with(|state| {
            if state.machines[host.0].model.crash(state.now) {
                state.note("crash", host.0 as u64);
                state.kernel_gone(host.0, false);
                state.schedule_host(host.0);
            }
        });
    }

    /// The reset button.
    pub fn reset(&self, host: HostIx) {
        self.with(|state| state.reset_host(host.0));
    }

    /// A host stands still with all its processes, until then or ([`SimTime::FAR`]) until thawed.
    pub fn freeze(&self, host: HostIx, until: SimTime) {
        self.with(|state| {
            if state.machines[host.0].model.freeze(state.now, until) {
                state.frozen(host.0);
                state.schedule_host(host.0);
            }
        });
    }

    /// It goes on.
    pub fn thaw(&self, host: HostIx) {
        self.with(|state| {
            if state.machines[host.0].model.thaw(state.now) {
                state.thawed(host.0);
            }
        });
    }

    /// What a host is doing.
    pub fn host_state(&self, host: HostIx) -> HostState {
        self.lock().machines[host.0].model.state()
    }

    /// The wall clock of a host jumps.
    pub fn step_clock(&self, host: HostIx, by_ns: i64) {
        self.with(|state| {
            state.note("clock step", by_ns as u64);
            let now = state.now;
            state.machines[host.0].model.clock.step(now, by_ns);
        });
    }

    /// The clocks of a host run at another rate. Sleeps that run keep the end they had until they
    /// are next looked at, so a large change strikes them late by its share of the rest.
    pub fn set_drift(&self, host: HostIx, ppm: i32) {
        self.with(|state| {
            state.note("clock drift", ppm as u64);
            let now = state.now;
            state.machines[host.0].model.clock.set_drift(now, ppm);
        });
    }

    /// Every request on small files of a host fails so, or none any more.
    pub fn fail_files(&self, host: HostIx, kind: Option<ErrorKind>) {
        self.with(|state| state.machines[host.0].files.fault = kind);
    }
}

//! The clocks that processes read.

use super::{Machines, state::Payload};
use env::hooks::{Clocks, Pid};
use models::SimTime;
use std::time::Duration;

impl<P: Payload> Machines<P> {
    /// The clock of the process' host; `None` for whoever is on no host: there clocks are true.
    fn clock<R>(
        &self,
        pid: Pid,
        read: impl Fn(&models::host::HostClock, SimTime) -> R,
    ) -> Option<R> {
        // The supervisor's node is the commonest of those without a host.
        if pid == Pid(0) {
            return None;
        }
        let state = self.lock();
        let host = state.processes.get(&pid)?.host;
        Some(read(&state.machines[host].model.clock, state.now))
    }
}

impl<P: Payload> Clocks for Machines<P> {
    fn monotonic_ns(&self, pid: Pid) -> u64 {
        self.clock(pid, |clock, now| clock.mono(now)).unwrap_or_else(|| self.now().as_nanos())
    }

    fn true_ns_at(&self, pid: Pid, monotonic_ns: u64) -> u64 {
        self.clock(pid, |clock, _| clock.true_at_mono(monotonic_ns).as_nanos())
            .unwrap_or(monotonic_ns)
    }

    fn wall(&self, pid: Pid) -> Duration {
        let ns = self.clock(pid, |clock, now| clock.wall(now));
        Duration::from_nanos(ns.unwrap_or_else(|| self.now().as_nanos()))
    }
}

//! Simulated hosts full of processes: the world behind `env::hooks`, over the models.
//!
//! A [`Machines`] holds the network, the hosts with their disks, files and clocks, and a table of
//! programs. A process is one madsim node that never restarts, so its node number is its birth
//! number; what it holds (sockets, devices, locks, requests) is in one table of things, and goes
//! when it dies. The pump, one task, moves the models.
//!
//! **Invariants.** While a process dies with its kernel alive, its sockets are closed as `close(2)`
//! does it; when the kernel dies too, nobody is told. A handle of a dead process finds nothing. No
//! code of a program runs while the lock is held: wakers are only woken, and madsim's `kill`, which
//! calls back, waits until the lock is free.

mod agenda;
mod blocks;
mod build;
mod clocks;
pub mod commands;
mod drbd_kernel;
mod faults;
mod files;
mod life;
mod machine;
mod panics;
mod processes;
mod pump;
mod requests;
mod sockets;
mod state;
mod table;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;
mod unix;
mod wakers;
mod watchdogs;

pub use build::{DiskIx, HostIx, HostSetup, Service, simulate};
pub use drbd_kernel::DrbdKernels;
pub use panics::Panic;
pub use state::{Ended, Payload};

use env::hooks::madsim::{runtime::Handle, time::TimeHandle};
use models::{Luck, SimTime};
use state::State;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The hosts of a run and their processes. See the module's text.
pub struct Machines<P: Payload> {
    time: TimeHandle,
    runtime: Handle,
    state: Mutex<State<P>>,
}

impl<P: Payload> Machines<P> {
    /// No hosts yet. To be made inside a madsim runtime.
    pub fn new(seed: u64) -> Self {
        let runtime = Handle::current();
        Machines {
            time: TimeHandle::current(),
            state: Mutex::new(State::new(Luck::root(seed), runtime.clone())),
            runtime,
        }
    }

    /// True time of the run.
    pub fn now(&self) -> SimTime {
        SimTime(u64::try_from(self.time.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Works on the state, then does what must not be done under the lock.
    fn with<R>(&self, work: impl FnOnce(&mut State<P>) -> R) -> R {
        let mut state = self.lock();
        let result = work(&mut state);
        state.wake_pump();
        if !state.kills.is_empty() {
            let kills = std::mem::take(&mut state.kills);
            drop(state);
            kills.into_iter().for_each(|node| self.runtime.kill(node));
        }
        result
    }

    /// Locks and stamps the time. A panic under the lock is a bug of the simulator and ends the run
    /// anyway, so a poisoned lock is taken as it is: the report still wants to look.
    fn lock(&self) -> MutexGuard<'_, State<P>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now = self.now();
        state
    }

    /// Hash over everything that happened so far.
    pub fn hash(&self) -> u64 {
        self.lock().hash()
    }

    /// How many events were handled so far.
    pub fn events(&self) -> u64 {
        self.lock().events()
    }
}

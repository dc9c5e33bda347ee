//! Watchdogs in the hands of processes.
//!
//! The hardware one is the host's: it stays armed when its process dies. The software one lives in
//! its process.

use super::{
    processes::SIGABRT,
    requests::host_deadline,
    state::{Event, Payload, State, Thing, What},
};
use env::{
    exec::ExitStatus,
    hooks::{Handle, Pid},
    watchdog::{Bite, Choice},
};
use models::{SimTime, Span};
use std::io::{self, ErrorKind};

/// An armed watchdog.
pub(super) enum Guard {
    Hardware,
    Software { bite: Bite, timeout: Span, due: SimTime },
}

impl<P: Payload> State<P> {
    pub(super) fn guard_armed(
        &mut self,
        pid: Pid,
        choice: &Choice,
        timeout: Span,
    ) -> io::Result<Handle> {
        let host = self.host_of(pid)?;
        self.note("watchdog armed", pid.0);
        match choice {
            Choice::Hardware { .. } => {
                if self.machines[host].watchdog.is_some() {
                    return Err(ErrorKind::ResourceBusy.into());
                }
                let handle = self.hold(pid, What::Watchdog(Guard::Hardware));
                self.machines[host].watchdog = Some(handle);
                self.machines[host].model.arm_watchdog(self.now, timeout);
                self.schedule_host(host);
                Ok(handle)
            }
            Choice::Software(bite) => {
                let due = host_deadline(self, host, timeout);
                let guard = Guard::Software { bite: *bite, timeout, due };
                let watchdog = self.hold(pid, What::Watchdog(guard));
                self.schedule(due, Event::Bite { watchdog });
                Ok(watchdog)
            }
        }
    }

    pub(super) fn guard_petted(&mut self, watchdog: Handle, new: Option<Span>) -> io::Result<()> {
        let now = self.now;
        let Some(Thing { pid, what: What::Watchdog(guard) }) = self.things.get_mut(watchdog) else {
            return Ok(());
        };
        let pid = *pid;
        if let (Guard::Software { timeout, .. }, Some(new)) = (&mut *guard, new) {
            *timeout = new;
        }
        let software = match guard {
            Guard::Hardware => None,
            Guard::Software { timeout, .. } => Some(*timeout),
        };
        let host = self.host_of(pid)?;
        match (software, new) {
            (None, None) => self.machines[host].model.pet_watchdog(now),
            (None, Some(timeout)) => self.machines[host].model.arm_watchdog(now, timeout),
            (Some(timeout), _) => {
                let at = host_deadline(self, host, timeout);
                if let Some(Thing { what: What::Watchdog(Guard::Software { due, .. }), .. }) =
                    self.things.get_mut(watchdog)
                {
                    *due = at;
                }
                self.schedule(at, Event::Bite { watchdog });
            }
        }
        self.schedule_host(host);
        Ok(())
    }

    pub(super) fn guard_disarmed(&mut self, watchdog: Handle) -> io::Result<()> {
        let Some(Thing { pid, what: What::Watchdog(guard) }) = self.drop_thing(watchdog) else {
            return Ok(());
        };
        self.note("watchdog disarmed", pid.0);
        if let (Guard::Hardware, Some(host)) = (guard, self.machine_of(pid)) {
            self.machines[host].watchdog = None;
            self.machines[host].model.disarm_watchdog();
        }
        Ok(())
    }

    /// The process that held a watchdog is dead: the hardware goes on counting.
    pub(super) fn guard_dropped(&mut self, host: Option<usize>, watchdog: Handle, guard: Guard) {
        if let (Guard::Hardware, Some(host)) = (guard, host)
            && self.machines[host].watchdog == Some(watchdog)
        {
            self.machines[host].watchdog = None;
        }
    }

    /// The time of a software watchdog may be up, unless it was petted since.
    pub(super) fn bite(&mut self, watchdog: Handle) {
        let now = self.now;
        let Some(Thing { pid, what: What::Watchdog(Guard::Software { bite, due, .. }) }) =
            self.things.get_mut(watchdog)
        else {
            return;
        };
        let (pid, bite, due) = (*pid, *bite, *due);
        // A thread of a frozen process or host bites when it moves again.
        let Some(host) = self.machine_of(pid).filter(|_| due <= now) else { return };
        if self.processes[&pid].frozen || self.is_frozen(host) {
            return self.schedule(now + Span::ms(100), Event::Bite { watchdog });
        }
        self.note("watchdog", pid.0);
        match bite {
            Bite::AbortProcess => self.end(pid, ExitStatus::Signal(SIGABRT)),
            Bite::RebootHost => self.reset_host(host),
        }
    }
}

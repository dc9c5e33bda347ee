//! The watchdog: it resets this host when the program that holds it stops answering.
//!
//! Which one is used is the caller's explicit choice. A hardware watchdog also bites when the
//! kernel hangs and when the program is killed; the software one lives in the program's own
//! process, so whoever kills the program kills the guard: fit for demonstrations and tests.

use std::{io, time::Duration};

/// What guards the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Choice {
    /// A device such as `/dev/watchdog0`.
    Hardware {
        /// Its path.
        device: String,
    },
    /// A thread of this process.
    Software(Bite),
}

/// What the software watchdog does when its time is up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bite {
    /// Reboots the host at once, without syncing disks.
    RebootHost,
    /// Aborts this process.
    AbortProcess,
}

/// An armed watchdog. Dropping it does not disarm it: a program that ended by accident must not
/// leave the host unguarded.
pub trait Watchdog: Send {
    /// Starts the time anew.
    fn pet(&mut self) -> io::Result<()>;
    /// Sets how long it waits, and starts the time anew. Whole seconds on hardware.
    fn set_timeout(&mut self, timeout: Duration) -> io::Result<()>;
    /// Ends the guard.
    fn disarm(self: Box<Self>) -> io::Result<()>;
}

/// Arms a watchdog. Refused while another process holds it.
pub fn arm(choice: &Choice, timeout: Duration) -> io::Result<Box<dyn Watchdog>> {
    if timeout < Duration::from_secs(1) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a watchdog timeout of {timeout:?} is too short, give a second at least"),
        ));
    }
    crate::imp::watchdog::arm(choice, timeout)
}

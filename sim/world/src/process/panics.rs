//! Panics of processes.

use env::hooks::{self, PanicPlace, Pid};
use models::SimTime;

/// A process that panicked.
#[derive(Clone, Debug)]
pub struct Panic {
    /// When.
    pub at: SimTime,
    /// On which host.
    pub host: String,
    /// Which program.
    pub program: String,
    /// Its birth number.
    pub pid: Pid,
    /// What it said.
    pub message: String,
    /// Where, if the runner has called [`hooks::catch_panics`].
    pub place: Option<PanicPlace>,
}

impl Panic {
    pub(super) fn new(
        at: SimTime,
        host: String,
        program: String,
        pid: Pid,
        message: String,
    ) -> Self {
        Panic { at, host, program, pid, message, place: hooks::newest_panic() }
    }
}

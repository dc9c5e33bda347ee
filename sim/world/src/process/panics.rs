//! Panics of processes: caught, with the place where they happened.

use env::hooks::{Pid, madsim::runtime::Handle};
use models::SimTime;
use std::{backtrace::Backtrace, cell::RefCell, panic};

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
    /// File and line, if [`catch_panics`] was called before.
    pub location: Option<String>,
    /// How it came there, likewise.
    pub backtrace: Option<String>,
}

thread_local! {
    /// Where the newest panic of this thread happened: the hook knows, the catcher does not. One
    /// thread runs one world.
    static NEWEST: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

/// Makes panics inside simulated worlds silent and remembers where they happened. To be called once
/// by the runner; panics elsewhere go to the hook that was there before.
pub fn catch_panics() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if Handle::try_current().is_err() {
            return before(info);
        }
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = Backtrace::force_capture().to_string();
        NEWEST.with(|newest| *newest.borrow_mut() = Some((location, backtrace)));
    }));
}

impl Panic {
    pub(super) fn new(
        at: SimTime,
        host: String,
        program: String,
        pid: Pid,
        message: String,
    ) -> Self {
        let newest = NEWEST.with(|newest| newest.borrow_mut().take());
        let (location, backtrace) = newest.unzip();
        Panic { at, host, program, pid, message, location, backtrace }
    }
}

//! Where a panic happened: the hook knows, the one who catches it does not.

use std::{backtrace::Backtrace, cell::RefCell, panic};

/// The place of a panic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PanicPlace {
    /// File, line and column.
    pub location: String,
    /// How it came there.
    pub backtrace: String,
}

thread_local! {
    /// One thread runs one world, and whoever catches a panic asks at once.
    static NEWEST: RefCell<Option<PanicPlace>> = const { RefCell::new(None) };
}

/// Makes panics inside simulated worlds silent and remembers where they happened. To be called once
/// by the runner; panics elsewhere go to the hook that was there before.
pub fn catch_panics() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if madsim::runtime::Handle::try_current().is_err() {
            return before(info);
        }
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = Backtrace::force_capture().to_string();
        NEWEST.with(|newest| *newest.borrow_mut() = Some(PanicPlace { location, backtrace }));
    }));
}

/// Where this thread's newest panic happened, once.
pub fn newest_panic() -> Option<PanicPlace> {
    NEWEST.with(|newest| newest.borrow_mut().take())
}

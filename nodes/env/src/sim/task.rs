//! Tasks are madsim's.

use crate::hooks;
pub(crate) use madsim::task::JoinHandle as Handle;
use std::future::Future;

#[track_caller]
pub(crate) fn spawn<F>(future: F) -> Handle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let handle = madsim::task::spawn(future);
    hooks::world().spawned(hooks::this_process());
    handle
}

/// The world ends the process that the running task belongs to.
pub(crate) fn end_process(message: String) {
    hooks::world().panicked(hooks::this_process(), message);
}

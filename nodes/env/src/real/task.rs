//! Tasks are tokio's.

use std::future::Future;
pub(crate) use tokio::task::JoinHandle as Handle;

#[track_caller]
pub(crate) fn spawn<F>(future: F) -> Handle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(future)
}

/// The panic hook has printed the message and the backtrace already.
pub(crate) fn end_process(_message: String) {
    std::process::exit(crate::process::EXIT_PANIC.into());
}

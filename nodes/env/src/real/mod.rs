//! The door on a host: tokio and Linux.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is where the rest of the project is sent to"
)]

pub(crate) mod block;
pub(crate) mod exec;
pub(crate) mod file;
pub(crate) mod net;
pub(crate) mod process;
pub(crate) mod task;
pub(crate) mod time;
pub(crate) mod unix;
pub(crate) mod watchdog;

/// Runs what may block on a thread where that hurts nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(std::io::Error::other(e)),
    }
}

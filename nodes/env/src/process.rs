//! This process: its start and end, the signal to stop, its standard streams, and its host's name.

use crate::imp::process as imp;
use std::io;

pub use imp::{StopSignal, run};

/// What a process that panicked ends with, as Rust programs do.
pub const EXIT_PANIC: u8 = 101;

/// The code a program ends with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExitCode(pub u8);

impl ExitCode {
    /// All is well.
    pub const SUCCESS: ExitCode = ExitCode(0);
    /// Something is not.
    pub const FAILURE: ExitCode = ExitCode(1);
}

/// The name of this host.
pub fn host_name() -> io::Result<String> {
    imp::host_name()
}

/// A text that is new at each boot of this host and the same for all its processes.
pub fn boot_id() -> io::Result<String> {
    imp::boot_id()
}

/// Writes to standard output.
pub async fn print(text: &str) -> io::Result<()> {
    imp::write(imp::Stream::Out, text.as_bytes()).await
}

/// Writes to standard error.
pub async fn eprint(text: &str) -> io::Result<()> {
    imp::write(imp::Stream::Err, text.as_bytes()).await
}

/// Reads standard input to its end, at most `limit` bytes of it.
pub async fn stdin(limit: usize) -> io::Result<Vec<u8>> {
    imp::stdin(limit).await
}

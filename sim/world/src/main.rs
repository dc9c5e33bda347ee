//! The `sim` binary: `cargo xtask sim` builds and starts it. It reads the command line, shares the
//! runs out to one worker process per core, and reports. This shell is the only part of the
//! simulator that reads files, starts processes and threads, and looks at the host's clock; what a
//! run does never depends on any of them.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the shell around the runs; tidy lists its files"
)]

mod cli;
mod json;
mod report;
mod runner;
mod speed;

use std::process::ExitCode;

fn main() -> ExitCode {
    // As the operating system has it: clap says what is wrong with bytes that are no text.
    let verb = std::env::args_os().nth(1);
    let code = match verb.as_deref().and_then(std::ffi::OsStr::to_str) {
        Some("worker") => runner::worker::main(),
        Some("bench") => speed::main(),
        _ => runner::main(),
    };
    ExitCode::from(code)
}

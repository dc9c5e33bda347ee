//! This process, by way of Linux.

use crate::process::ExitCode;
use rustix::rand::{GetRandomFlags, getrandom};
use std::{future::Future, io, process};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    signal::unix::{Signal, SignalKind, signal},
};

/// Runs a program's `main` to its end: the whole of a binary's `fn main`. The first argument is not
/// the program's name.
pub fn run<F, M>(main: M) -> process::ExitCode
where
    M: FnOnce(Vec<String>) -> F + Send + 'static,
    F: Future<Output = ExitCode> + Send + 'static,
{
    // Two threads at least: a task that computes for long must not delay a heartbeat.
    let runtime =
        match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
            Ok(runtime) => runtime,
            Err(e) => {
                eprintln!("cannot start the runtime: {e}");
                return process::ExitCode::FAILURE;
            }
        };
    let args = std::env::args().skip(1).collect();
    let ExitCode(code) = runtime.block_on(crate::task::ends_process(main(args)));
    // A blocked system call on a dying disk must not hold the process.
    runtime.shutdown_background();
    process::ExitCode::from(code)
}

/// The wish of others that this process ends: SIGTERM or SIGINT. From [`StopSignal::listen`] on
/// neither ends the process by itself.
pub struct StopSignal {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignal {
    /// Takes over both signals.
    pub fn listen() -> io::Result<Self> {
        Ok(StopSignal {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Completes when one of them comes.
    pub async fn recv(&mut self) {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

pub(crate) fn host_name() -> io::Result<String> {
    Ok(rustix::system::uname().nodename().to_string_lossy().into_owned())
}

pub(crate) fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_string())
}

pub(crate) enum Stream {
    Out,
    Err,
}

pub(crate) async fn write(stream: Stream, data: &[u8]) -> io::Result<()> {
    match stream {
        Stream::Out => {
            let mut out = tokio::io::stdout();
            out.write_all(data).await?;
            out.flush().await
        }
        Stream::Err => {
            let mut err = tokio::io::stderr();
            err.write_all(data).await?;
            err.flush().await
        }
    }
}

pub(crate) async fn stdin(limit: usize) -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    tokio::io::stdin().take(limit as u64).read_to_end(&mut data).await?;
    Ok(data)
}

pub(crate) fn stream_seed(_name: &str) -> u64 {
    let mut seed = [0; 8];
    secret(&mut seed);
    u64::from_le_bytes(seed)
}

/// Without randomness no secret is safe, and the call fails only before Linux 3.17.
pub(crate) fn secret(buf: &mut [u8]) {
    let mut filled = 0;
    while filled < buf.len() {
        match getrandom(&mut buf[filled..], GetRandomFlags::empty()) {
            Ok(n) => filled += n,
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => panic!("the kernel gives no randomness: {e}"),
        }
    }
}

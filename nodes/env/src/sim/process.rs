//! This process, as the world knows it.

use crate::{
    hooks::{self, Pid, World},
    process::ExitCode,
};
use std::{future::Future, io, sync::Arc};

pub(crate) use crate::hooks::Stream;

/// In simulation programs are started by the simulator, from its table. A binary built for it that
/// somebody starts by hand says so.
pub fn run<F, M>(_main: M) -> std::process::ExitCode
where
    M: FnOnce(Vec<String>) -> F + Send + 'static,
    F: Future<Output = ExitCode> + Send + 'static,
{
    eprintln!("this binary was built for the simulator; build it without `--cfg madsim`");
    std::process::ExitCode::from(2)
}

/// The wish of others that this process ends: SIGTERM or SIGINT. From [`StopSignal::listen`] on
/// neither ends the process by itself.
pub struct StopSignal {
    world: Arc<dyn World>,
    pid: Pid,
}

impl StopSignal {
    /// Takes over both signals.
    pub fn listen() -> io::Result<Self> {
        let (world, pid) = (hooks::world(), hooks::this_process());
        world.listen_stop(pid);
        Ok(StopSignal { world, pid })
    }

    /// Completes when one of them comes.
    pub async fn recv(&mut self) {
        std::future::poll_fn(|cx| self.world.poll_stop(self.pid, cx)).await;
    }
}

pub(crate) fn host_name() -> io::Result<String> {
    Ok(hooks::world().host_name(hooks::this_process()))
}

pub(crate) fn boot_id() -> io::Result<String> {
    Ok(hooks::world().boot_id(hooks::this_process()))
}

pub(crate) async fn write(stream: Stream, mut data: &[u8]) -> io::Result<()> {
    let (world, pid) = (hooks::world(), hooks::this_process());
    while !data.is_empty() {
        let n = std::future::poll_fn(|cx| world.poll_print(pid, stream, cx, data)).await?;
        data = &data[n..];
    }
    Ok(())
}

pub(crate) async fn stdin(limit: usize) -> io::Result<Vec<u8>> {
    let data = hooks::world().stdin(hooks::this_process());
    Ok(data[..data.len().min(limit)].to_vec())
}

pub(crate) fn stream_seed(name: &str) -> u64 {
    hooks::world().stream_seed(hooks::this_process(), name)
}

/// The world gives each call a seed of its own, or two calls would share their secret.
pub(crate) fn secret(buf: &mut [u8]) {
    crate::rng::Rng::from_seed(stream_seed("")).fill(buf);
}

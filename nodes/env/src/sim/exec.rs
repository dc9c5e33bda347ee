//! Programs of the simulator's table, each a process of its own.

use crate::{
    exec::{Command, ExitStatus},
    hooks::{self, Pid, Signal, Stream, World},
};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, ReadBuf};

pub(crate) struct Child {
    world: Arc<dyn World>,
    pid: Pid,
    pub(crate) stdout: Pipe,
    pub(crate) stderr: Pipe,
}

pub(crate) struct Pipe {
    world: Arc<dyn World>,
    pid: Pid,
    stream: Stream,
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.world.poll_output(self.pid, self.stream, cx, buf)
    }
}

pub(crate) async fn start(command: Command) -> io::Result<Child> {
    let world = hooks::world();
    let Command { program, args, stdin } = command;
    let pid = world.spawn(hooks::this_process(), &program, args, stdin)?;
    let pipe = |stream| Pipe { world: world.clone(), pid, stream };
    let (stdout, stderr) = (pipe(Stream::Out), pipe(Stream::Err));
    Ok(Child { world, pid, stdout, stderr })
}

impl Child {
    pub(crate) fn terminate(&mut self) {
        self.world.signal(self.pid, Signal::Term);
    }

    pub(crate) fn kill(&mut self) {
        self.world.signal(self.pid, Signal::Kill);
    }

    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        std::future::poll_fn(|cx| self.world.poll_exit(self.pid, cx)).await
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.world.disown(self.pid);
    }
}

//! Programs are child processes, each in a process group of its own so that all they start can be
//! killed with them.

use crate::exec::{Command, ExitStatus};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    io,
    os::unix::process::ExitStatusExt,
    pin::Pin,
    process::Stdio,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    process,
};

pub(crate) struct Child {
    inner: process::Child,
    group: Option<Pid>,
    pub(crate) stdout: Pipe,
    pub(crate) stderr: Pipe,
}

pub(crate) enum Pipe {
    Out(process::ChildStdout),
    Err(process::ChildStderr),
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Pipe::Out(p) => Pin::new(p).poll_read(cx, buf),
            Pipe::Err(p) => Pin::new(p).poll_read(cx, buf),
        }
    }
}

pub(crate) async fn start(command: Command) -> io::Result<Child> {
    let mut inner = process::Command::new(&command.program)
        .args(&command.args)
        .stdin(if command.stdin.is_empty() { Stdio::null() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| io::Error::new(e.kind(), format!("cannot start `{command}`: {e}")))?;
    if let Some(mut stdin) = inner.stdin.take() {
        let data = command.stdin;
        tokio::spawn(async move {
            // A program that ends without reading its input has no use for it.
            let _ = stdin.write_all(&data).await;
        });
    }
    let group = inner.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    match (inner.stdout.take(), inner.stderr.take()) {
        (Some(out), Some(err)) => {
            Ok(Child { inner, group, stdout: Pipe::Out(out), stderr: Pipe::Err(err) })
        }
        _ => Err(io::Error::other("the child's pipes are missing")),
    }
}

impl Child {
    pub(crate) fn terminate(&mut self) {
        self.signal(Signal::TERM);
    }

    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
    }

    fn signal(&mut self, signal: Signal) {
        // Once the child has been waited for, the number of its group may be another's.
        if let Some(group) = self.group.filter(|_| self.inner.id().is_some()) {
            // The group may be gone already, which is what was wanted.
            let _ = kill_process_group(group, signal);
        }
    }

    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.inner.wait().await?;
        Ok(match status.code() {
            Some(code) => ExitStatus::Code(code as u8),
            None => ExitStatus::Signal(status.signal().unwrap_or(0) as u8),
        })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

//! Processes as they see themselves and each other.

use super::{
    Machines,
    state::{Payload, State},
    wakers::Wakers,
};
use bytes::Bytes;
use env::{
    exec::ExitStatus,
    hooks::{self, Handle, Pid, Processes, Signal, Stream, madsim::task::NodeId},
    io::ReadBuf,
    process::ExitCode,
};
use std::{
    collections::{BTreeSet, VecDeque},
    io::{self, ErrorKind},
    task::{Context, Poll},
};

/// What a pipe holds unread, as Linux does.
const PIPE: usize = 64 << 10;
/// madsim keeps a little of every task until it is asked for their number.
const SPAWNED_MAX: u32 = 4_096;

pub(super) const SIGABRT: u8 = 6;
pub(super) const SIGKILL: u8 = 9;
pub(super) const SIGTERM: u8 = 15;

/// A process, alive or ended and not yet forgotten by its parent.
pub(super) struct Process {
    pub(super) pid: Pid,
    pub(super) node: NodeId,
    pub(super) host: usize,
    pub(super) program: String,
    pub(super) parent: Option<Pid>,
    pub(super) things: BTreeSet<Handle>,
    pub(super) ended: Option<ExitStatus>,
    /// Frozen by itself, not with its host.
    pub(super) frozen: bool,
    pub(super) stdin: Bytes,
    pub(super) out: Pipe,
    pub(super) err: Pipe,
    pub(super) waiting: Wakers,
    pub(super) stop: Stop,
}

/// SIGTERM, as far as the process cares.
#[derive(Default)]
pub(super) struct Stop {
    pub(super) listening: bool,
    pub(super) pending: bool,
    pub(super) waiting: Wakers,
}

/// One output stream. Without a parent to read it, it is a log of which the end is kept.
#[derive(Default)]
pub(super) struct Pipe {
    held: VecDeque<u8>,
    readers: Wakers,
    writers: Wakers,
}

impl Pipe {
    /// More output of a command that does not wait for a reader.
    pub(super) fn add(&mut self, data: &[u8]) {
        self.held.extend(data);
        self.readers.wake();
    }

    pub(super) fn wake(&mut self) {
        self.readers.wake();
        self.writers.wake();
    }

    /// What a log holds.
    pub(super) fn text(&self) -> String {
        let bytes: Vec<u8> = self.held.iter().copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Process {
    pub(super) fn lives(&self) -> bool {
        self.ended.is_none()
    }

    pub(super) fn pipe(&mut self, stream: Stream) -> &mut Pipe {
        match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        }
    }
}

impl<P: Payload> State<P> {
    fn poll_output(
        &mut self,
        child: Pid,
        stream: Stream,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(process) = self.processes.get_mut(&child) else { return Poll::Ready(Ok(())) };
        let lives = process.lives();
        let pipe = process.pipe(stream);
        let n = pipe.held.len().min(buf.remaining());
        if n == 0 && lives && buf.remaining() > 0 {
            pipe.readers.add(cx);
            return Poll::Pending;
        }
        let (front, back) = pipe.held.as_slices();
        let split = n.min(front.len());
        buf.put_slice(&front[..split]);
        buf.put_slice(&back[..n - split]);
        pipe.held.drain(..n);
        pipe.writers.wake();
        Poll::Ready(Ok(()))
    }

    fn poll_print(
        &mut self,
        pid: Pid,
        stream: Stream,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(process) = self.processes.get(&pid) else { return Poll::Ready(Ok(data.len())) };
        let parent = process.parent.map(|parent| self.machine_of(parent).is_some());
        let Some(process) = self.processes.get_mut(&pid) else { return Poll::Pending };
        let pipe = process.pipe(stream);
        let n = match parent {
            // Nobody reads the pipe any more.
            Some(false) => return Poll::Ready(Err(ErrorKind::BrokenPipe.into())),
            Some(true) => data.len().min(PIPE - pipe.held.len().min(PIPE)),
            None => {
                let spill = (pipe.held.len() + data.len()).saturating_sub(PIPE);
                pipe.held.drain(..spill.min(pipe.held.len()));
                data.len().min(PIPE)
            }
        };
        if n == 0 {
            pipe.writers.add(cx);
            return Poll::Pending;
        }
        pipe.held.extend(&data[..n]);
        pipe.readers.wake();
        Poll::Ready(Ok(n))
    }

    fn poll_exit(&mut self, child: Pid, cx: &mut Context<'_>) -> Poll<io::Result<ExitStatus>> {
        match self.processes.get_mut(&child) {
            None => Poll::Ready(Err(io::Error::other("no such child"))),
            Some(Process { ended: Some(status), .. }) => Poll::Ready(Ok(*status)),
            Some(process) => {
                process.waiting.add(cx);
                Poll::Pending
            }
        }
    }

    fn stream_seed(&mut self, pid: Pid, name: &str) -> u64 {
        let who = match self.processes.get(&pid) {
            Some(p) => format!("{}/{}/{name}", self.machines[p.host].name, p.program),
            None => format!("/{name}"),
        };
        let times = self.streams.entry(who.clone()).or_insert(0);
        *times += 1;
        self.luck.fork("process").fork_n(&who, *times).u64()
    }
}

impl<P: Payload> Processes for Machines<P> {
    fn host_name(&self, pid: Pid) -> String {
        let state = self.lock();
        let host = state.processes.get(&pid).map(|p| p.host);
        host.map_or_else(|| "supervisor".into(), |host| state.machines[host].name.clone())
    }

    fn boot_id(&self, pid: Pid) -> String {
        let state = self.lock();
        let Some(host) = state.processes.get(&pid).map(|p| p.host) else { return String::new() };
        let machine = &state.machines[host];
        let mut luck = state.luck.fork(&machine.name).fork_n("boot", machine.model.boot().into());
        let (a, b) = (luck.u64(), luck.u64());
        let (high, mid, low) = (a >> 32, a >> 16 & 0xffff, a & 0xfff);
        let (variant, tail) = (b >> 48 & 0x3fff | 0x8000, b & 0xffff_ffff_ffff);
        format!("{high:08x}-{mid:04x}-4{low:03x}-{variant:04x}-{tail:012x}")
    }

    fn stream_seed(&self, pid: Pid, name: &str) -> u64 {
        self.lock().stream_seed(pid, name)
    }

    fn spawn(
        &self,
        parent: Pid,
        program: &str,
        args: Vec<String>,
        stdin: Bytes,
    ) -> io::Result<Pid> {
        self.with(|state| {
            let host = state.host_of(parent)?;
            state.start(host, Some(parent), program, args, stdin)
        })
    }

    fn poll_output(
        &self,
        child: Pid,
        stream: Stream,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.with(|state| state.poll_output(child, stream, cx, buf))
    }

    fn poll_exit(&self, child: Pid, cx: &mut Context<'_>) -> Poll<io::Result<ExitStatus>> {
        self.with(|state| state.poll_exit(child, cx))
    }

    fn signal(&self, child: Pid, signal: Signal) {
        self.with(|state| state.signal(child, signal));
    }

    fn disown(&self, child: Pid) {
        self.with(|state| state.disown(child));
    }

    fn poll_print(
        &self,
        pid: Pid,
        stream: Stream,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with(|state| state.poll_print(pid, stream, cx, data))
    }

    fn stdin(&self, pid: Pid) -> Bytes {
        self.lock().processes.get(&pid).map(|p| p.stdin.clone()).unwrap_or_default()
    }

    fn listen_stop(&self, pid: Pid) {
        if let Some(process) = self.lock().processes.get_mut(&pid) {
            process.stop.listening = true;
        }
    }

    fn poll_stop(&self, pid: Pid, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        let Some(process) = state.processes.get_mut(&pid) else { return Poll::Pending };
        if std::mem::take(&mut process.stop.pending) {
            return Poll::Ready(());
        }
        process.stop.waiting.add(cx);
        Poll::Pending
    }

    fn exited(&self, pid: Pid, code: ExitCode) {
        self.with(|state| state.end(pid, ExitStatus::Code(code.0)));
    }

    fn panicked(&self, pid: Pid, message: String) {
        self.with(|state| state.panicked(pid, message));
    }

    fn spawned(&self, _: Pid) {
        let mut state = self.lock();
        state.spawned += 1;
        if state.spawned >= SPAWNED_MAX {
            state.spawned = 0;
            state.runtime.metrics().num_tasks();
        }
    }

    fn died(&self, pid: Pid) {
        let mut state = self.lock();
        state.end(pid, ExitStatus::Signal(SIGKILL));
        // madsim is killing it right now, and must not be asked again from inside.
        state.kills.retain(|node| hooks::pid_of(*node) != pid);
        state.wake_pump();
    }
}

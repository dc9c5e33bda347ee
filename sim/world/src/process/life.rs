//! The life of a process: start, signals, end.

use super::{
    Machines,
    panics::Panic,
    processes::{Pipe, Process, SIGKILL, SIGTERM, Stop},
    state::{Ended, Payload, State},
    wakers::Wakers,
};
use bytes::Bytes;
use env::{
    exec::ExitStatus,
    hooks::{self, Pid, Signal},
    process::EXIT_PANIC,
};
use models::Span;
use std::{collections::BTreeSet, io, ops::RangeInclusive};

/// What it takes to fork, load and start a program.
const START: RangeInclusive<Span> = Span::us(400)..=Span::ms(3);

impl<P: Payload> State<P> {
    /// Starts a program of the table on a host.
    pub(super) fn start(
        &mut self,
        host: usize,
        parent: Option<Pid>,
        program: &str,
        args: Vec<String>,
        stdin: Bytes,
    ) -> io::Result<Pid> {
        let name = program.rsplit('/').next().unwrap_or(program);
        let Some(main) = self.programs.get(name).cloned() else {
            if self.is_command(name) {
                return Ok(self.start_command(host, parent, name, args));
            }
            let text = format!("cannot start `{program}`: no such program");
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        };
        let node = self.runtime.create_node().name(&*self.machines[host].name).build();
        let pid = hooks::pid_of(node.id());
        self.note(name, pid.0);
        self.processes.insert(
            pid,
            Process {
                pid,
                node: node.id(),
                host,
                program: name.to_string(),
                parent,
                things: BTreeSet::new(),
                ended: None,
                frozen: false,
                stdin,
                out: Pipe::default(),
                err: Pipe::default(),
                waiting: Wakers::default(),
                stop: Stop::default(),
            },
        );
        let delay = self.luck.fork("start").fork_n(name, pid.0).span(&START);
        node.spawn(async move {
            env::time::sleep(delay.into()).await;
            let end = env::task::contain(async move { main(args).await }).await;
            let world = hooks::world();
            match end {
                Ok(code) => world.exited(pid, code),
                Err(panicked) => world.panicked(pid, panicked.0),
            }
        });
        if self.is_frozen(host) {
            self.runtime.pause(node.id());
        }
        Ok(pid)
    }

    /// Ends a process while its kernel lives: what it holds is closed.
    pub(super) fn end(&mut self, pid: Pid, status: ExitStatus) {
        let Some(process) = self.processes.get_mut(&pid).filter(|p| p.lives()) else { return };
        let things = std::mem::take(&mut process.things);
        self.mark_ended(pid, status);
        things.into_iter().for_each(|thing| self.close(thing, true));
        self.children_orphaned(pid);
        if let Some(host) = self.processes.get(&pid).map(|p| p.host) {
            self.end_command(host, pid);
        }
        if let Some(host) = self.processes.get(&pid).map(|p| p.host) {
            self.service_ended(host, pid);
        }
        self.forget_if_alone(pid);
    }

    /// Ends a process together with its kernel: nothing is closed and nobody hears of it.
    pub(super) fn vanish(&mut self, pid: Pid) {
        self.mark_ended(pid, ExitStatus::Signal(SIGKILL));
        if let Some(process) = self.processes.remove(&pid) {
            process.things.into_iter().for_each(|thing| drop(self.things.remove(thing)));
        }
    }

    fn mark_ended(&mut self, pid: Pid, status: ExitStatus) {
        let at = self.now;
        let Some(process) = self.processes.get_mut(&pid).filter(|p| p.lives()) else { return };
        process.ended = Some(status);
        process.waiting.wake();
        process.out.wake();
        process.err.wake();
        let (node, host, program) = (process.node, process.host, process.program.clone());
        self.kills.push(node);
        let host = self.machines[host].name.clone();
        self.ended.push(Ended { at, host, program, pid, status });
        self.note("end", pid.0);
    }

    /// Children of a process that is gone live on; those that have ended are forgotten.
    fn children_orphaned(&mut self, pid: Pid) {
        let children: Vec<Pid> =
            self.processes.values().filter(|p| p.parent == Some(pid)).map(|p| p.pid).collect();
        for child in children {
            if let Some(child) = self.processes.get_mut(&child) {
                // Blocked on a full pipe that nobody will read, it must notice.
                child.out.wake();
                child.err.wake();
            }
            self.forget_if_alone(child);
        }
    }

    /// An ended process is kept for a living parent alone.
    fn forget_if_alone(&mut self, pid: Pid) {
        let Some(process) = self.processes.get(&pid) else { return };
        let awaited = process.parent.is_some_and(|parent| self.machine_of(parent).is_some());
        if !process.lives() && !awaited {
            self.processes.remove(&pid);
        }
    }

    pub(super) fn signal(&mut self, pid: Pid, signal: Signal) {
        let Some(process) = self.processes.get_mut(&pid).filter(|p| p.lives()) else { return };
        match signal {
            Signal::Kill => self.end(pid, ExitStatus::Signal(SIGKILL)),
            Signal::Term if process.stop.listening => {
                process.stop.pending = true;
                process.stop.waiting.wake();
            }
            Signal::Term => self.end(pid, ExitStatus::Signal(SIGTERM)),
        }
    }

    /// A living parent has dropped its handle of a child.
    pub(super) fn disown(&mut self, child: Pid) {
        let parent = self.processes.get(&child).and_then(|p| p.parent);
        if parent.is_some_and(|parent| self.machine_of(parent).is_some()) {
            self.end(child, ExitStatus::Signal(SIGKILL));
            self.processes.remove(&child);
        }
    }

    pub(super) fn panicked(&mut self, pid: Pid, message: String) {
        let (host, program) = match self.processes.get(&pid) {
            Some(p) if p.lives() => (self.machines[p.host].name.clone(), p.program.clone()),
            Some(_) => return,
            None => ("supervisor".to_string(), String::new()),
        };
        self.panics.push(Panic::new(self.now, host, program, pid, message));
        self.end(pid, ExitStatus::Code(EXIT_PANIC));
    }
}

impl<P: Payload> Machines<P> {
    /// Starts a program of the table on a host that runs, as a process without a parent.
    pub fn start(&self, host: super::HostIx, program: &str, args: &[&str]) -> io::Result<Pid> {
        let args = args.iter().map(|a| a.to_string()).collect();
        self.with(|state| {
            if !state.machines[host.0].model.is_alive() {
                return Err(io::Error::new(io::ErrorKind::HostUnreachable, "the host is off"));
            }
            state.start(host.0, None, program, args, Bytes::new())
        })
    }

    /// Whether a process lives.
    pub fn lives(&self, pid: Pid) -> bool {
        self.lock().machine_of(pid).is_some()
    }

    /// The living processes of a host: number and program.
    pub fn processes(&self, host: super::HostIx) -> Vec<(Pid, String)> {
        let state = self.lock();
        let here = state.processes.values().filter(|p| p.host == host.0 && p.lives());
        here.map(|p| (p.pid, p.program.clone())).collect()
    }

    /// What a process without a parent has printed: the end of its standard output and error.
    pub fn printed(&self, pid: Pid) -> Option<(String, String)> {
        let state = self.lock();
        state.processes.get(&pid).map(|p| (p.out.text(), p.err.text()))
    }

    /// The processes that have ended since the last call, in order.
    pub fn take_ended(&self) -> Vec<Ended> {
        std::mem::take(&mut self.lock().ended)
    }

    /// The panics so far.
    pub fn panics(&self) -> Vec<Panic> {
        self.lock().panics.clone()
    }

    /// How many processes are known and how many things they hold: nothing, when all are dead.
    pub fn held(&self) -> (usize, usize) {
        let state = self.lock();
        (state.processes.len(), state.things.len())
    }
}

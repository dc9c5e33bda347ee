//! Programs that are not in the table but belong to a host's kernel: `drbdadm` and its like. They
//! are processes to whoever starts them; what they do, a [`Kernel`] does.

use super::{
    Machines,
    processes::{Pipe, Process, Stop},
    state::{Payload, State},
    wakers::Wakers,
};
use bytes::Bytes;
use env::{
    exec::ExitStatus,
    hooks::{self, Pid},
};
use models::{
    SimTime,
    net::{Net, NetEvent},
};
use std::collections::BTreeSet;

/// What a command tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    /// It printed something.
    Printed {
        /// Which command.
        id: Pid,
        /// On standard error.
        error: bool,
        /// What.
        text: String,
    },
    /// It ended.
    Exited {
        /// Which command.
        id: Pid,
        /// Exit code.
        code: u8,
    },
}

/// What happens to a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Its kernel runs.
    Up,
    /// Its kernel is gone, with or without its power.
    Gone {
        /// The power, too.
        power: bool,
    },
    /// It stands still.
    Frozen,
    /// It goes on.
    Thawed,
}

/// The kernels of all hosts, as far as commands and sockets reach them. It is moved by the pump,
/// under the lock, and must not call back.
pub trait Kernel<P>: Send {
    /// Is there a command of this name?
    fn has(&self, program: &str) -> bool;
    /// Starts one.
    fn exec(&mut self, now: SimTime, host: usize, id: Pid, argv: &[String]);
    /// Ends one where it stands.
    fn kill(&mut self, host: usize, id: Pid);
    /// Something happened to a host.
    fn changed(&mut self, now: SimTime, host: usize, change: Change, net: &mut Net<P>);
    /// An event of a socket that no process owns.
    fn on_net(&mut self, now: SimTime, event: NetEvent<P>, net: &mut Net<P>);
    /// When [`Kernel::run_due`] wants to be called; FAR if never.
    fn next_due(&self) -> SimTime;
    /// Does all that is due.
    fn run_due(&mut self, now: SimTime, net: &mut Net<P>);
    /// What commands have told since the last call, in order.
    fn told(&mut self) -> Vec<Told>;
}

impl<P: Payload> State<P> {
    /// Is there a kernel with a command of this name?
    pub(super) fn is_command(&self, name: &str) -> bool {
        self.kernel.as_ref().is_some_and(|kernel| kernel.has(name))
    }

    /// Starts a command of the kernel as a process.
    pub(super) fn start_command(
        &mut self,
        host: usize,
        parent: Option<Pid>,
        name: &str,
        args: Vec<String>,
    ) -> Pid {
        // A node that no task runs on: it gives the process its number.
        let node = self.runtime.create_node().name(&*self.machines[host].name).build();
        let pid = hooks::pid_of(node.id());
        self.note(name, pid.0);
        let process = Process {
            pid,
            node: node.id(),
            host,
            program: name.to_string(),
            parent,
            things: BTreeSet::new(),
            ended: None,
            frozen: false,
            stdin: Bytes::new(),
            out: Pipe::default(),
            err: Pipe::default(),
            waiting: Wakers::default(),
            stop: Stop::default(),
        };
        self.processes.insert(pid, process);
        let mut argv = vec![name.to_string()];
        argv.extend(args);
        let now = self.now;
        if let Some(kernel) = &mut self.kernel {
            kernel.exec(now, host, pid, &argv);
        }
        self.hear_commands();
        pid
    }

    /// The process has ended: if it was a command that still runs, it ends there, too.
    pub(super) fn end_command(&mut self, host: usize, pid: Pid) {
        if let Some(kernel) = &mut self.kernel {
            kernel.kill(host, pid);
        }
    }

    /// When the kernels want to run.
    #[inline]
    pub(super) fn kernel_due(&self) -> SimTime {
        self.kernel.as_ref().map_or(SimTime::FAR, |kernel| kernel.next_due())
    }

    /// Moves the kernels.
    pub(super) fn run_kernel(&mut self) {
        let now = self.now;
        if let Some(kernel) = &mut self.kernel
            && kernel.next_due() <= now
        {
            kernel.run_due(now, &mut self.net);
            self.hear_commands();
        }
    }

    /// A socket of a kernel.
    pub(super) fn kernel_event(&mut self, event: NetEvent<P>) {
        let now = self.now;
        if let Some(kernel) = &mut self.kernel {
            kernel.on_net(now, event, &mut self.net);
            self.hear_commands();
        }
    }

    /// Tells the kernels what became of a host.
    pub(super) fn kernel_changed(&mut self, host: usize, change: Change) {
        let now = self.now;
        if let Some(kernel) = &mut self.kernel {
            kernel.changed(now, host, change, &mut self.net);
            self.hear_commands();
        }
    }

    fn hear_commands(&mut self) {
        let told = self.kernel.as_mut().map(|kernel| kernel.told()).unwrap_or_default();
        for told in told {
            match told {
                Told::Printed { id, error, text } => {
                    let Some(process) = self.processes.get_mut(&id) else { continue };
                    let pipe = if error { &mut process.err } else { &mut process.out };
                    pipe.add(text.as_bytes());
                }
                Told::Exited { id, code } => self.end(id, ExitStatus::Code(code)),
            }
        }
    }
}

impl<P: Payload> Machines<P> {
    /// Gives the hosts kernels, and their processes the kernels' commands. To be called once all
    /// hosts are there, before they boot.
    pub fn set_kernel(&self, kernel: impl Kernel<P> + 'static) {
        self.with(|state| state.kernel = Some(Box::new(kernel)));
    }
}

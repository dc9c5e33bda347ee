//! Everything behind the lock.

use super::{
    agenda::{Agenda, Item},
    blocks::DiskSlot,
    commands::Kernel,
    machine::Machine,
    panics::Panic,
    processes::Process,
    requests::Pending,
    table::Table,
    tcp::{Tcp, TcpListener},
    udp::Udp,
    unix::{UnixEnd, UnixListener},
};
use bytes::Bytes;
use env::{
    exec::ExitStatus,
    hooks::{
        Handle, Main, Pid,
        madsim::{runtime, task::NodeId},
    },
};
use models::{
    Hash64, Luck, SimTime,
    net::{Net, NetEvent},
};
use std::{collections::BTreeMap, task::Waker};

/// What the network carries. Sockets of processes carry bytes; others on the same network (a
/// kernel's DRBD) may carry what they like.
pub trait Payload: Clone + Send + 'static {
    /// What a process sends.
    fn from_bytes(bytes: Bytes) -> Self;
    /// The bytes, unless it is something else.
    fn into_bytes(self) -> Option<Bytes>;
}

impl Payload for Bytes {
    fn from_bytes(bytes: Bytes) -> Bytes {
        bytes
    }

    fn into_bytes(self) -> Option<Bytes> {
        Some(self)
    }
}

impl Payload for kernel::Wire {
    fn from_bytes(bytes: Bytes) -> Self {
        kernel::Wire::Bytes(bytes.to_vec().into())
    }

    fn into_bytes(self) -> Option<Bytes> {
        match self {
            kernel::Wire::Bytes(bytes) => Some(Bytes::copy_from_slice(&bytes)),
            _ => None,
        }
    }
}

/// Owners of sockets with this bit are not processes; their events go to the handler given to
/// [`super::Machines::on_foreign`].
pub(super) const FOREIGN: u64 = 1 << 63;

/// Handles network events of owners that are not processes.
pub(super) type Foreign<P> = Box<dyn FnMut(&mut Net<P>, NetEvent<P>) + Send>;

/// How a process ended, for whoever watches the run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// When.
    pub at: SimTime,
    /// Its host.
    pub host: String,
    /// Its program.
    pub program: String,
    /// Its birth number.
    pub pid: Pid,
    /// How.
    pub status: ExitStatus,
}

/// Something a process holds.
pub(super) struct Thing {
    pub(super) pid: Pid,
    pub(super) what: What,
}

/// Kinds of [`Thing`].
pub(super) enum What {
    Udp(Udp),
    TcpListener(TcpListener),
    Tcp(Tcp),
    UnixListener(UnixListener),
    Unix(UnixEnd),
    Pending(Pending),
    Device {
        disk: usize,
        path: String,
        lv: models::disk::Lv,
        exclusive: bool,
    },
    Lock {
        path: String,
    },
    /// About to become a socket.
    Reserved,
    Watchdog(super::watchdogs::Guard),
}

/// Events of our own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Event {
    /// A step of a request on small files is due.
    File { host: usize, op: u64 },
    /// Cached files of this boot reach the medium by themselves.
    WriteBack { host: usize, boot: u32 },
    /// A service starts again.
    Restart { host: usize, service: usize, boot: u32 },
    /// A software watchdog's time may be up.
    Bite { watchdog: Handle },
}

pub(super) struct State<P: Payload> {
    pub(super) now: SimTime,
    pub(super) luck: Luck,
    pub(super) runtime: runtime::Handle,
    pub(super) net: Net<P>,
    pub(super) machines: Vec<Machine>,
    pub(super) disks: Vec<DiskSlot>,
    pub(super) processes: BTreeMap<Pid, Process>,
    pub(super) things: Table<Thing>,
    pub(super) programs: BTreeMap<String, Main>,
    pub(super) agenda: Agenda<Event>,
    pub(super) foreign: Option<Foreign<P>>,
    /// The kernels of all hosts, if they have any.
    pub(super) kernel: Option<Box<dyn Kernel<P>>>,
    /// How often a named random stream was opened.
    pub(super) streams: BTreeMap<String, u64>,
    pub(super) panics: Vec<Panic>,
    pub(super) ended: Vec<Ended>,
    /// Nodes for madsim to kill once the lock is free.
    pub(super) kills: Vec<NodeId>,
    /// Tasks spawned since madsim was last asked to count them.
    pub(super) spawned: u32,
    pub(super) pump: Option<Waker>,
    /// When the pump will run by itself.
    pub(super) armed: SimTime,
    pub(super) hash: Hash64,
    pub(super) events: u64,
}

impl<P: Payload> State<P> {
    pub(super) fn new(luck: Luck, runtime: runtime::Handle) -> Self {
        State {
            now: SimTime::ZERO,
            net: Net::new(luck.fork("net")),
            luck,
            runtime,
            machines: Vec::new(),
            disks: Vec::new(),
            processes: BTreeMap::new(),
            things: Table::new(),
            programs: BTreeMap::new(),
            agenda: Agenda::new(),
            foreign: None,
            kernel: None,
            streams: BTreeMap::new(),
            panics: Vec::new(),
            ended: Vec::new(),
            kills: Vec::new(),
            spawned: 0,
            pump: None,
            armed: SimTime::FAR,
            hash: Hash64::new(),
            events: 0,
        }
    }

    /// The host of a process, if it lives.
    pub(super) fn machine_of(&self, pid: Pid) -> Option<usize> {
        self.processes.get(&pid).filter(|p| p.lives()).map(|p| p.host)
    }

    /// As [`State::machine_of`], as an error for a call that has no other way to be ignored.
    pub(super) fn host_of(&self, pid: Pid) -> std::io::Result<usize> {
        self.machine_of(pid).ok_or_else(|| std::io::Error::other("the calling process is dead"))
    }

    /// Gives a living process something to hold.
    pub(super) fn hold(&mut self, pid: Pid, what: What) -> Handle {
        let handle = self.things.insert(Thing { pid, what });
        if let Some(process) = self.processes.get_mut(&pid) {
            process.things.insert(handle);
        }
        handle
    }

    /// Takes something from its holder.
    pub(super) fn drop_thing(&mut self, handle: Handle) -> Option<Thing> {
        let thing = self.things.remove(handle)?;
        if let Some(process) = self.processes.get_mut(&thing.pid) {
            process.things.remove(&handle);
        }
        Some(thing)
    }

    /// Mixes an event of ours into the hash.
    pub(super) fn note(&mut self, kind: &str, subject: u64) {
        self.events += 1;
        self.hash.add(self.now.as_nanos());
        self.hash.add_bytes(kind.as_bytes());
        self.hash.add(subject);
    }

    /// Puts a host on the agenda after something about it changed.
    pub(super) fn schedule_host(&mut self, host: usize) {
        let machine = &mut self.machines[host];
        if let Some(at) = machine.model.next_due().filter(|at| *at < machine.armed) {
            machine.armed = at;
            self.agenda.push(at, Item::Host(host));
        }
    }

    /// Puts a disk on the agenda after something about it changed.
    pub(super) fn schedule_disk(&mut self, disk: usize) {
        let slot = &mut self.disks[disk];
        if let Some(at) = slot.model.next_due().filter(|at| *at < slot.armed) {
            slot.armed = at;
            self.agenda.push(at, Item::Disk(disk));
        }
    }

    pub(super) fn schedule(&mut self, at: SimTime, event: Event) {
        self.agenda.push(at, Item::Event(event));
    }

    pub(super) fn hash(&self) -> u64 {
        let mut all = self.hash;
        all.add(self.net.hash());
        self.machines.iter().for_each(|m| all.add(m.model.hash()));
        self.disks.iter().for_each(|d| all.add(d.model.hash()));
        all.value()
    }

    pub(super) fn events(&self) -> u64 {
        self.events + self.net.events() + self.disks.iter().map(|d| d.model.events()).sum::<u64>()
    }
}

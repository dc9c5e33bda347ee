//! What a run remembers of its events: compact entries in a bounded ring, formatted only when
//! somebody reads them.

use crate::outcome::LogLine;
use crate::picture::Recorder;
use drbd::core::event::{Notice, Ran, Refusal};
use drbd::ids::NodeId;
use drbd::packet::Packet;
use std::collections::VecDeque;

/// Entries kept for the story of a failure.
const RING: usize = 4_000;
/// Characters of a packet that are kept.
const PACKET: usize = 200;

/// One event, compact.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When, in ns.
    pub at: u64,
    /// What.
    pub what: What,
}

/// Kinds of entries. Hosts, resources and VMs by index.
#[derive(Clone, Debug)]
pub enum What {
    /// A step of the plan, or the world's own deed in its place.
    Plan(String),
    /// An engine noticed something.
    Notice {
        /// Host.
        host: u16,
        /// Resource.
        resource: u16,
        /// What.
        notice: Notice,
    },
    /// A command of a host's scripts was refused.
    Refused {
        /// Host.
        host: u16,
        /// Resource.
        resource: u16,
        /// `attach`, `connect`, `down`.
        command: &'static str,
        /// Why.
        why: Refusal,
    },
    /// The two sockets to a peer are up, or no longer.
    Link {
        /// Host.
        host: u16,
        /// Resource.
        resource: u16,
        /// Peer.
        peer: NodeId,
        /// Up?
        up: bool,
    },
    /// A packet; only when everything is kept.
    Packet {
        /// Host.
        host: u16,
        /// Resource.
        resource: u16,
        /// Peer.
        peer: NodeId,
        /// Out, or in?
        sent: bool,
        /// The packet.
        packet: Box<Packet>,
    },
    /// Something about a host.
    Host(u16, &'static str),
    /// A command on a host.
    Command(u16, String),
    /// Something about a VM.
    Vm(u16, VmNote),
    /// A request of a VM; only when everything is kept.
    Io {
        /// VM.
        vm: u16,
        /// `read`, `write`, `discard`, `flush`.
        kind: &'static str,
        /// First block.
        start: u64,
        /// Blocks.
        count: u32,
        /// Number of the write, 0 for others.
        number: u64,
        /// How it ended.
        end: IoEnd,
    },
    /// A promise was broken.
    Broken(String),
}

/// How a request stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IoEnd {
    /// It goes out.
    Submitted,
    /// Acknowledged with success, by so many copies (a mask of node ids).
    Acked(u32),
    /// Failed.
    Failed,
}

/// What happens to a VM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VmNote {
    /// It starts on this host.
    Starts(u16),
    /// Its device is open.
    Opened,
    /// The open was refused.
    OpenRefused(Refusal),
    /// It got an I/O error and is restarted.
    IoError,
    /// Its host is gone.
    HostDied,
    /// It was stopped.
    Stopped,
    /// Nobody could reach its host to stop it: it goes on there while it is started elsewhere.
    Abandoned,
    /// I/O goes on after so many ns.
    IoBack(u64),
    /// The device of a stopped VM is closed at last.
    Closed,
    /// A stopped VM's I/O hangs: the device's Primary is demoted by force.
    ForcedSecondary,
}

/// Names for indices.
pub trait Names {
    /// Host by index.
    fn host(&self, index: u16) -> &str;
    /// Resource by index.
    fn resource(&self, index: u16) -> &str;
    /// VM by index.
    fn vm(&self, index: u16) -> &str;
    /// Host name of a resource's node id.
    fn node(&self, resource: u16, node: NodeId) -> &str;
}

/// The log of one run.
pub struct Log {
    /// Told what the log is told, where a picture of the run is wanted.
    pub recorder: Option<Box<Recorder>>,
    ring: VecDeque<Entry>,
    all: Option<Vec<Kept>>,
}

/// An entry of a log that keeps everything. A packet is kept as its text: the data in it would
/// otherwise stay in memory to the end of the run.
enum Kept {
    Entry(Entry),
    Packet { at: u64, host: u16, resource: u16, peer: NodeId, sent: bool, text: Box<str> },
}

impl Log {
    /// An empty log; `keep_all` keeps everything.
    pub fn new(keep_all: bool) -> Log {
        let (ring, all) = (VecDeque::with_capacity(256), keep_all.then(Vec::new));
        Log { recorder: None, ring, all }
    }

    /// Is everything kept, requests of VMs too?
    pub fn keeps_all(&self) -> bool {
        self.all.is_some()
    }

    /// One more entry.
    pub fn add(&mut self, at: u64, what: What) {
        let entry = Entry { at, what };
        if let Some(recorder) = &mut self.recorder {
            recorder.hear(&entry);
        }
        if let Some(all) = &mut self.all {
            all.push(Kept::of(&entry));
        }
        if !matches!(entry.what, What::Io { .. } | What::Packet { .. }) {
            if self.ring.len() == RING {
                self.ring.pop_front();
            }
            self.ring.push_back(entry);
        }
    }

    /// The last `n` entries that `wanted` accepts, oldest first.
    pub fn last(&self, n: usize, wanted: impl Fn(&Entry) -> bool) -> Vec<&Entry> {
        let mut last: Vec<&Entry> = self.ring.iter().rev().filter(|e| wanted(e)).take(n).collect();
        last.reverse();
        last
    }

    /// Everything, if it was kept.
    pub fn lines(&self, names: &dyn Names) -> Vec<LogLine> {
        self.all.iter().flatten().map(|kept| kept.line(names)).collect()
    }
}

impl Kept {
    fn of(entry: &Entry) -> Kept {
        match &entry.what {
            What::Packet { host, resource, peer, sent, packet } => Kept::Packet {
                at: entry.at,
                host: *host,
                resource: *resource,
                peer: *peer,
                sent: *sent,
                text: packet_said(packet).into(),
            },
            _ => Kept::Entry(entry.clone()),
        }
    }

    fn line(&self, names: &dyn Names) -> LogLine {
        match self {
            Kept::Entry(entry) => entry.line(names),
            Kept::Packet { at, host, resource, peer, sent, text } => {
                packet_line(*at, names, (*host, *resource, *peer), *sent, text)
            }
        }
    }
}

/// The beginning of a packet.
fn packet_said(packet: &Packet) -> String {
    let mut text = format!("{packet:?}");
    if let Some((end, _)) = text.char_indices().nth(PACKET) {
        text.truncate(end);
    }
    text
}

fn packet_line(
    at: u64,
    names: &dyn Names,
    (host, resource, peer): (u16, u16, NodeId),
    sent: bool,
    said: &str,
) -> LogLine {
    let way = if sent { "→" } else { "←" };
    let peer = names.node(resource, peer);
    let text = format!("{} {way} {peer} {said}", names.resource(resource));
    LogLine { at, who: names.host(host).to_owned(), part: "net", text }
}

impl Entry {
    /// As text.
    pub fn line(&self, names: &dyn Names) -> LogLine {
        let (who, part, text) = match &self.what {
            What::Plan(text) => ("plan".to_owned(), "plan", text.clone()),
            What::Notice { host, resource, notice } => {
                let text =
                    format!("{} {}", names.resource(*resource), said(notice, *resource, names));
                (names.host(*host).to_owned(), "drbd", text)
            }
            What::Refused { host, resource, command, why } => {
                let text = format!("{} {command} refused: {why:?}", names.resource(*resource));
                (names.host(*host).to_owned(), "drbd", text)
            }
            What::Link { host, resource, peer, up } => {
                let state = if *up { "up" } else { "down" };
                let (resource, peer) = (names.resource(*resource), names.node(*resource, *peer));
                (names.host(*host).to_owned(), "net", format!("{resource} link to {peer} {state}"))
            }
            What::Packet { host, resource, peer, sent, packet } => {
                let end = (*host, *resource, *peer);
                return packet_line(self.at, names, end, *sent, &packet_said(packet));
            }
            What::Host(host, text) => (names.host(*host).to_owned(), "host", (*text).to_owned()),
            What::Command(host, text) => (names.host(*host).to_owned(), "command", text.clone()),
            What::Vm(vm, note) => (names.vm(*vm).to_owned(), "io", vm_said(note, names)),
            What::Io { vm, kind, start, count, number, end } => {
                let number = if *number == 0 { String::new() } else { format!(" {number}") };
                let end = match end {
                    IoEnd::Submitted => "submitted".to_owned(),
                    IoEnd::Acked(copies) => format!("acked, copies {copies:#b}"),
                    IoEnd::Failed => "failed".to_owned(),
                };
                let text = format!("{kind}{number} {start:#x}+{count} {end}");
                (names.vm(*vm).to_owned(), "io", text)
            }
            What::Broken(text) => ("checker".to_owned(), "io", text.clone()),
        };
        LogLine { at: self.at, who, part, text }
    }
}

fn vm_said(note: &VmNote, names: &dyn Names) -> String {
    match note {
        VmNote::Starts(host) => format!("starts on {}", names.host(*host)),
        VmNote::Opened => "device open".to_owned(),
        VmNote::OpenRefused(why) => format!("open refused: {why:?}"),
        VmNote::IoError => "I/O error, restarts".to_owned(),
        VmNote::HostDied => "dies with its host".to_owned(),
        VmNote::Stopped => "stopped".to_owned(),
        VmNote::Abandoned => "cannot be stopped on its host, which is out of reach".to_owned(),
        VmNote::IoBack(ns) => {
            format!("I/O is back after {}.{:03}s", ns / 1_000_000_000, ns / 1_000_000 % 1_000)
        }
        VmNote::Closed => "device closed".to_owned(),
        VmNote::ForcedSecondary => "stopped, but its I/O hangs: forced secondary".to_owned(),
    }
}

fn said(notice: &Notice, resource: u16, names: &dyn Names) -> String {
    let peer = |node| names.node(resource, node);
    match notice {
        Notice::Role(role) => format!("role {role}"),
        Notice::Disk(v, disk) => format!("/{} disk {disk}", v.0),
        Notice::Quorum(v, yes) => format!("/{} quorum {}", v.0, if *yes { "yes" } else { "no" }),
        Notice::Suspended(yes) => format!("suspended {}", if *yes { "yes" } else { "no" }),
        Notice::Connection(n, state) => format!("{} connection {state}", peer(*n)),
        Notice::PeerRole(n, role) => format!("{} role {role}", peer(*n)),
        Notice::Repl(n, v, repl) => format!("{} /{} replication {repl}", peer(*n), v.0),
        Notice::PeerDisk(n, v, disk) => format!("{} /{} peer-disk {disk}", peer(*n), v.0),
        Notice::Handshake(n, v, rule, verdict) => {
            format!("{} /{} uuid_compare = {verdict}, rule {rule}", peer(*n), v.0)
        }
        Notice::ResyncDone(n, v, stable) => {
            let how = if *stable { "stable" } else { "unstable" };
            format!("{} /{} resync done ({how})", peer(*n), v.0)
        }
        Notice::VerifyDone { node, volume, found, left } => {
            let what = format!("{found} blocks differ, {left} are out of sync");
            format!("{} /{} verify done: {what}", peer(*node), volume.0)
        }
        Notice::Size(v, blocks) => format!("/{} size {} KiB", v.0, blocks * 4),
        Notice::NewCurrentUuid(v, uuid) => format!("/{} new current UUID {uuid:?}", v.0),
        Notice::Handler(handler, n, v, ran) => {
            let about = n.map(|n| format!("{} ", peer(n))).unwrap_or_default();
            let about = about + &v.map(|v| format!("/{} ", v.0)).unwrap_or_default();
            let ran = match ran {
                Ran::Nothing => String::new(),
                Ran::Started => " starts".to_owned(),
                Ran::Exit(code) => format!(" exit code {code}"),
            };
            format!("{about}helper {}{ran}", handler.name())
        }
        Notice::Note(text) => text.clone(),
    }
}

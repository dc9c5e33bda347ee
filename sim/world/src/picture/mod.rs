//! The picture of a run: what is recorded of a run that is kept, and the files that people and
//! their tools open: `events.jsonl`, `trace.perfetto.json`, `report.html`.
//!
//! A recording is made beside the log, on change: what engines notice, what VMs are told, packets,
//! steps of the plan. It never reaches the run: a run with it has the hash of one without. It is
//! bounded: beyond its limits the oldest entries go, but packets and requests around the moments in
//! which something was decided stay; [`Cut`] says how much is missing.
//!
//! **Invariant:** the writers are pure: recording and facts in, text out, the same bytes each time.

mod bounded;
pub mod html;
mod json;
pub mod jsonl;
mod packet;
pub mod perfetto;
mod recorder;
mod segments;
#[cfg(test)]
mod tests;
mod wires;

pub use recorder::Recorder;

use crate::log::Names;
use crate::outcome::Outcome;
use drbd::ids::NodeId;
use scenarios::Do;

/// Facts about a run that the run itself does not know.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Name of the scenario.
    pub scenario: &'a str,
    /// The seed, as the command line takes it.
    pub seed: &'a str,
    /// Bug put back, if one was.
    pub quirk: Option<&'a str>,
    /// Of the code that ran.
    pub commit: &'a str,
    /// The command that makes this run again.
    pub replay: &'a str,
    /// The plan as a scenario file.
    pub plan: &'a str,
    /// The plan that was left after shrinking.
    pub shrunk: Option<&'a str>,
    /// What came of the run.
    pub outcome: &'a Outcome,
}

/// Who takes part.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Cast {
    /// Hosts by index.
    pub hosts: Vec<String>,
    /// Resources by index.
    pub resources: Vec<Part>,
    /// VMs by index.
    pub vms: Vec<Guest>,
}

/// A resource.
#[derive(Clone, PartialEq, Debug)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// How many volumes.
    pub volumes: u16,
    /// Size of each volume, bytes.
    pub bytes: u64,
    /// By node id: host, and whether it should have a disk.
    pub nodes: Vec<(u16, bool)>,
}

/// A VM.
#[derive(Clone, PartialEq, Debug)]
pub struct Guest {
    /// Its name.
    pub name: String,
    /// Resource of its disk.
    pub resource: u16,
    /// Volume of its disk.
    pub volume: u16,
}

impl Cast {
    /// The host of a node.
    pub fn host_of(&self, resource: u16, node: NodeId) -> Option<u16> {
        let part = self.resources.get(usize::from(resource))?;
        part.nodes.get(node.index()).map(|(host, _)| *host)
    }

    /// Node id of a host.
    pub fn node_on(&self, resource: u16, host: u16) -> Option<usize> {
        let part = self.resources.get(usize::from(resource))?;
        part.nodes.iter().position(|(at, _)| *at == host)
    }
}

impl Names for Cast {
    fn host(&self, index: u16) -> &str {
        self.hosts.get(usize::from(index)).map_or("?", String::as_str)
    }
    fn resource(&self, index: u16) -> &str {
        self.resources.get(usize::from(index)).map_or("?", |part| &part.name)
    }
    fn vm(&self, index: u16) -> &str {
        self.vms.get(usize::from(index)).map_or("?", |vm| &vm.name)
    }
    fn node(&self, resource: u16, node: NodeId) -> &str {
        self.host_of(resource, node).map_or("?", |host| self.host(host))
    }
}

/// What a track tells of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// `on`, `off`, `booting`, `frozen`.
    Power,
    /// Role of a resource.
    Role,
    /// `yes`: application I/O of a resource is held back.
    Suspended,
    /// Disk of a volume.
    Disk,
    /// Quorum of a volume, `yes` or `no`.
    Quorum,
    /// Connection to a peer.
    Connection,
    /// Replication of a volume towards a peer.
    Replication,
    /// What is known of a peer's disk.
    PeerDisk,
    /// Out-of-sync bytes of a volume towards a peer.
    OutOfSync,
    /// A VM: `running`, `opening`, `waiting`.
    Vm,
    /// Host of a VM.
    VmHost,
    /// Writes and discards of a VM that are not acknowledged.
    Unacked,
}

impl Kind {
    /// As the files call it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Power => "power",
            Kind::Role => "role",
            Kind::Suspended => "suspended",
            Kind::Disk => "disk",
            Kind::Quorum => "quorum",
            Kind::Connection => "connection",
            Kind::Replication => "replication",
            Kind::PeerDisk => "peer-disk",
            Kind::OutOfSync => "out-of-sync-bytes",
            Kind::Vm => "vm",
            Kind::VmHost => "vm-host",
            Kind::Unacked => "unacked-writes",
        }
    }
}

/// Something that has one value at a time. What does not apply is `None`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Track {
    /// What.
    pub kind: Kind,
    /// On which host.
    pub host: Option<u16>,
    /// Of which resource.
    pub resource: Option<u16>,
    /// Of which volume.
    pub volume: Option<u16>,
    /// Towards which host.
    pub peer: Option<u16>,
    /// Of which VM.
    pub vm: Option<u16>,
}

impl Track {
    /// Of a host.
    pub fn of_host(kind: Kind, host: u16) -> Track {
        let (resource, volume, peer, vm) = (None, None, None, None);
        Track { kind, host: Some(host), resource, volume, peer, vm }
    }

    /// Of a resource on a host.
    pub fn of(kind: Kind, host: u16, resource: u16) -> Track {
        Track { resource: Some(resource), ..Track::of_host(kind, host) }
    }

    /// Of a VM.
    pub fn of_vm(kind: Kind, vm: u16) -> Track {
        Track { host: None, vm: Some(vm), ..Track::of_host(kind, 0) }
    }

    /// Of a volume.
    pub fn volume(self, volume: u16) -> Track {
        Track { volume: Some(volume), ..self }
    }

    /// Towards a peer.
    pub fn peer(self, peer: u16) -> Track {
        Track { peer: Some(peer), ..self }
    }
}

/// The value of a track.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value {
    /// Nobody is there to have one.
    None,
    /// A state's name.
    Word(&'static str),
    /// A host.
    Host(u16),
    /// How many.
    Number(u64),
}

/// A track has another value.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Change {
    /// When, ns.
    pub at: u64,
    /// Orders what happens at one instant, over all kinds of entries.
    pub seq: u64,
    /// Which.
    pub track: Track,
    /// What it had.
    pub from: Value,
    /// What it has.
    pub to: Value,
}

/// Whom a note is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// The pool.
    Pool,
    /// A host.
    Host(u16),
    /// A resource on a host.
    Resource(u16, u16),
    /// A VM.
    Vm(u16),
}

/// Something happened.
#[derive(Clone, PartialEq, Debug)]
pub struct Note {
    /// When, ns.
    pub at: u64,
    /// As in [`Change::seq`].
    pub seq: u64,
    /// To whom.
    pub place: Place,
    /// `handshake`, `new-current-uuid`, `resync-done`, `note`, `refused`, `link`, `host`, `vm`,
    /// `peer-role`, `metadata-write`, `broken`.
    pub kind: &'static str,
    /// In words.
    pub text: String,
    /// An engine decided something that may cost data.
    pub decides: bool,
}

/// A step of the plan struck.
#[derive(Clone, PartialEq, Debug)]
pub struct Struck {
    /// When, ns.
    pub at: u64,
    /// As in [`Change::seq`].
    pub seq: u64,
    /// Its id in the plan.
    pub id: Option<String>,
    /// What it does.
    pub action: Do,
}

/// What became of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It arrived, at this time.
    Arrived(u64),
    /// Its connection ended first.
    Lost,
    /// The run ended first.
    OnItsWay,
}

/// A packet of DRBD.
#[derive(Clone, PartialEq, Debug)]
pub struct Message {
    /// Unique in a recording.
    pub id: u64,
    /// When it was sent, ns.
    pub sent: u64,
    /// As in [`Change::seq`].
    pub seq: u64,
    /// Of this resource.
    pub resource: u16,
    /// Sender.
    pub from: u16,
    /// Receiver.
    pub to: u16,
    /// `P_DATA`, …
    pub name: &'static str,
    /// On the control socket.
    pub control: bool,
    /// Bytes on the wire.
    pub bytes: u32,
    /// What became of it.
    pub fate: Fate,
    /// The packet that this one answers.
    pub answers: Option<u64>,
    /// What matters of its contents.
    pub text: String,
}

/// A request of a VM.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
    /// When it was submitted, ns.
    pub at: u64,
    /// As in [`Change::seq`].
    pub seq: u64,
    /// Whose.
    pub vm: u16,
    /// `read`, `write`, `discard`, `flush`.
    pub kind: &'static str,
    /// Number of the write or discard, 0 for others.
    pub number: u64,
    /// First block, and how many.
    pub blocks: (u64, u32),
    /// When it ended, if it did.
    pub ended: Option<u64>,
    /// `acked`, `failed`, `unknown` (the VM was gone first), `in flight`.
    pub end: &'static str,
    /// Node ids of the copies that acknowledged it.
    pub copies: u32,
}

/// A VM asked for I/O and got none.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Stall {
    /// Whose.
    pub vm: u16,
    /// From, ns.
    pub from: u64,
    /// Until; the end of the run if `ended` is false.
    pub to: u64,
    /// Did it get some?
    pub ended: bool,
    /// As in [`Change::seq`].
    pub seq: u64,
}

/// A write to the block that broke the promise.
#[derive(Clone, PartialEq, Debug)]
pub struct Version {
    /// In words: which write, when submitted, what became of it, who owes it.
    pub text: String,
    /// Nodes that owe it.
    pub owed_by: Vec<u16>,
    /// Of those, the ones that keep it through a power loss.
    pub durable_on: Vec<u16>,
}

/// The ledger's entry of the block in which a promise was broken.
#[derive(Clone, PartialEq, Debug)]
pub struct LedgerEntry {
    /// Resource.
    pub resource: u16,
    /// Volume.
    pub volume: u16,
    /// Block of 4 KiB.
    pub block: u64,
    /// What it was told to hold, oldest first.
    pub versions: Vec<Version>,
    /// What each host with a copy stores there.
    pub copies: Vec<(u16, String)>,
}

/// How much a recording left out to stay within its bounds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Cut {
    /// Packets.
    pub packets: u64,
    /// Requests of VMs.
    pub requests: u64,
    /// State changes, counters and notes.
    pub changes: u64,
}

impl Cut {
    /// In words, if anything is missing.
    pub fn said(&self) -> Option<String> {
        let parts = [
            (self.packets, "packets"),
            (self.requests, "requests of VMs"),
            (self.changes, "state changes and notes"),
        ];
        let parts: Vec<String> =
            parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        (!parts.is_empty()).then(|| {
            let kept = "kept are the latest, and those around decisions";
            format!("the recording is cut: {} are left out; {kept}", parts.join(", "))
        })
    }
}

/// Everything that was recorded of a run.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Recording {
    /// Who took part.
    pub cast: Cast,
    /// When it ended, ns.
    pub end: u64,
    /// The resource that the failure is about.
    pub about: Option<u16>,
    /// States and counters, in order.
    pub changes: Vec<Change>,
    /// In order.
    pub notes: Vec<Note>,
    /// In order.
    pub steps: Vec<Struck>,
    /// In order of sending.
    pub messages: Vec<Message>,
    /// In order of submission.
    pub requests: Vec<Request>,
    /// In order.
    pub stalls: Vec<Stall>,
    /// The block that broke a promise.
    pub entry: Option<LedgerEntry>,
    /// What is missing.
    pub cut: Cut,
}

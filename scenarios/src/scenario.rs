//! The scenario: topology, workload, fault plan, options. Times are nanoseconds, sizes bytes, rates
//! bytes per second, probabilities parts per million; the file spells them with units ("20s",
//! "64MiB", "10Gbit", "2%").

use crate::condition::Condition;
use std::collections::BTreeMap;

/// One run, but for its seed.
#[derive(Clone, PartialEq, Debug)]
pub struct Scenario {
    /// Kebab case, trigger then twist.
    pub name: String,
    /// Promises that the scenario is about; all are checked anyway.
    pub promise: Vec<String>,
    /// Threads or commits that it comes from.
    pub origin: Vec<String>,
    /// Simulated time after which the run ends.
    pub horizon: u64,
    /// Hosts.
    pub pool: Pool,
    /// Networks by name; DRBD uses `storage`.
    pub network: BTreeMap<String, Network>,
    /// Every host's disk.
    pub disk: Disk,
    /// Replicated volumes.
    pub resource: Vec<Resource>,
    /// Workloads.
    pub vm: Vec<Vm>,
    /// What happens, when.
    pub step: Vec<Step>,
    /// What has to be seen, and what must not.
    pub expect: Vec<Expect>,
    /// What a fuzzer may change: a path such as `leave.at`, and the values that it may have.
    pub vary: BTreeMap<String, Vary>,
    /// By world: how it fails there today, on a release or with a quirk.
    pub known: BTreeMap<String, Known>,
    /// What it replays, if it is the rest of a run that failed.
    pub replay: Option<Replay>,
    /// Worlds that it is meant for: `sim`, `lab`.
    pub worlds: Vec<String>,
    /// Parts of the stack that it needs, see [`PARTS`].
    pub requires: Vec<String>,
    /// The plan ends healed: `io-resumes` and `resync-finishes` are demanded at the end.
    pub heals: bool,
}

impl Scenario {
    /// Hosts without networks, resources, VMs or a plan: a beginning for those that are made, not
    /// read.
    pub fn bare(name: &str, pool: Pool) -> Scenario {
        Scenario {
            name: name.to_owned(),
            promise: Vec::new(),
            origin: Vec::new(),
            horizon: 0,
            pool,
            network: BTreeMap::new(),
            disk: Disk::default(),
            resource: Vec::new(),
            vm: Vec::new(),
            step: Vec::new(),
            expect: Vec::new(),
            vary: BTreeMap::new(),
            known: BTreeMap::new(),
            replay: None,
            worlds: vec!["sim".to_owned()],
            requires: Vec::new(),
            heals: true,
        }
    }
}

/// The hosts.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Pool {
    /// Names, e.g. `alpha`.
    pub hosts: Vec<String>,
    /// The pool master; none: the first host.
    pub master: Option<String>,
    /// High availability of XAPI is on.
    pub ha: bool,
    /// From power to kernel, shortest and longest.
    pub boot_time: (u64, u64),
    /// Largest offset of a host's wall clock from true time at the start.
    pub clock_offset: u64,
    /// Largest drift of a host's clock, parts per million.
    pub clock_drift_ppm: u32,
    /// Entries of each host's table of tracked connections (`nf_conntrack_max`); none: nothing is
    /// tracked.
    pub conntrack_max: Option<u32>,
    /// DRBD's ports are not tracked, as XCP-ng's rule has it.
    pub drbd_notrack: bool,
}

/// One network: a NIC on every host, one switch.
#[derive(Clone, PartialEq, Debug)]
pub struct Network {
    /// One way, shortest and longest.
    pub latency: (u64, u64),
    /// Bytes per second of each NIC.
    pub bandwidth: u64,
    /// Parts per million.
    pub loss: u32,
    /// Parts per million (UDP).
    pub duplicate: u32,
    /// Parts per million (UDP).
    pub reorder: u32,
}

/// Service of a disk.
#[derive(Clone, PartialEq, Debug)]
pub struct Disk {
    /// A read.
    pub read: (u64, u64),
    /// A write into the volatile cache.
    pub write: (u64, u64),
    /// A flush.
    pub flush: (u64, u64),
    /// Requests served at once.
    pub parallel: u32,
    /// Has a volatile write cache.
    pub volatile_cache: bool,
    /// Data of each host's thin pool, for resources with [`Storage::Thin`]; 0: no pool.
    pub thin_pool: u64,
}

impl Default for Disk {
    /// An NVMe disk with a volatile cache.
    fn default() -> Disk {
        const US: u64 = 1_000;
        Disk {
            read: (80 * US, 120 * US),
            write: (20 * US, 40 * US),
            flush: (200 * US, 600 * US),
            parallel: 16,
            volatile_cache: true,
            thin_pool: 0,
        }
    }
}

/// What the copies of a resource lie on.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum Storage {
    /// The host's disk itself.
    #[default]
    Disk,
    /// A thin volume of the host's pool.
    Thin,
}

/// What [`Storage`] may be, as in a file.
pub const STORAGES: [&str; 2] = ["disk", "thin"];

impl Storage {
    /// As in a file.
    pub fn name(self) -> &'static str {
        match self {
            Storage::Disk => "disk",
            Storage::Thin => "thin",
        }
    }
}

/// A DRBD resource.
#[derive(Clone, PartialEq, Debug)]
pub struct Resource {
    /// Name, e.g. `vol-a`.
    pub name: String,
    /// Size of each volume.
    pub size: u64,
    /// How many volumes.
    pub volumes: u16,
    /// Hosts with a copy.
    pub diskful: Vec<String>,
    /// The host without a copy that gives a vote.
    pub tiebreaker: Option<String>,
    /// Further hosts without a copy (clients).
    pub diskless: Vec<String>,
    /// What its copies lie on.
    pub storage: Storage,
    /// DRBD options by name, e.g. `quorum = majority`; see `drbd.conf(5)`.
    pub options: BTreeMap<String, String>,
}

/// A workload over one volume.
#[derive(Clone, PartialEq, Debug)]
pub struct Vm {
    /// Name, e.g. `vm-a`.
    pub name: String,
    /// Host that it starts on; started again by a step if that host dies.
    pub on: String,
    /// Resource, with `/1` for the second volume.
    pub vdi: String,
    /// What it does.
    pub io: Io,
}

/// Mix of I/O.
#[derive(Clone, PartialEq, Debug)]
pub struct Io {
    /// Weights.
    pub read: u32,
    /// Weights.
    pub write: u32,
    /// Weights.
    pub flush: u32,
    /// Weights.
    pub discard: u32,
    /// Size of a request, smallest and largest, multiples of 4 KiB.
    pub block: (u64, u64),
    /// Requests in flight at most.
    pub depth: u32,
    /// Requests per second, 0 for as fast as depth allows.
    pub rate: u32,
    /// Part of the volume that is touched, from its start; 0 for all.
    pub span: u64,
}

/// One thing that happens.
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    /// Name for `--set`, `after` and reports.
    pub id: Option<String>,
    /// When.
    pub when: When,
    /// What.
    pub action: Do,
    /// It is no failure if its time never comes.
    pub optional: bool,
}

impl Step {
    /// A step at a time from the start, in ns.
    pub fn at(at: u64, action: Do) -> Step {
        Step { id: None, when: When::at(at), action, optional: false }
    }
}

/// When a step strikes: `wait` after the moment at which `after` has struck and `that` holds.
#[derive(Clone, PartialEq, Debug)]
pub struct When {
    /// Not before this step has struck; none: from the start.
    pub after: Option<String>,
    /// Not before this holds. What it counts, it counts from `after` on.
    pub that: Option<Condition>,
    /// Nanoseconds.
    pub wait: u64,
}

impl When {
    /// At a time from the start, in ns.
    pub fn at(wait: u64) -> When {
        When { after: None, that: None, wait }
    }

    /// The time from the start in ns, if nothing else decides.
    pub fn time(&self) -> Option<u64> {
        (self.after.is_none() && self.that.is_none()).then_some(self.wait)
    }
}

/// Something that has to be seen, or must not be.
#[derive(Clone, PartialEq, Debug)]
pub struct Expect {
    /// Name for reports.
    pub id: Option<String>,
    /// How long, how often.
    pub kind: Expectation,
    /// What.
    pub that: Condition,
    /// From when this step has struck. None: `within` from the last step, the others from the
    /// first.
    pub after: Option<String>,
    /// Until this step strikes. None: to the end.
    pub until: Option<String>,
}

/// Kinds of [`Expect`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expectation {
    /// It holds at least once within so many ns.
    Within(u64),
    /// It holds all the time.
    Always,
    /// It does not hold at any time.
    Never,
}

impl Expectation {
    /// The key of a scenario file.
    pub fn key(self) -> &'static str {
        match self {
            Expectation::Within(_) => "within",
            Expectation::Always => "always",
            Expectation::Never => "never",
        }
    }
}

/// The values that something may have.
#[derive(Clone, PartialEq, Debug)]
pub enum Vary {
    /// From the first to the second, in the unit that the text says: `"5s..60s"`, `"1..8"`.
    Range(String, String),
    /// One of these, as TOML values.
    OneOf(Vec<String>),
}

/// A failure that is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    /// The release that has it, e.g. `drbd 9.3.3`.
    pub version: Option<String>,
    /// The quirk that puts it back.
    pub quirk: Option<String>,
    /// The promise that it breaks.
    pub breaks: String,
}

/// The run that a file was shrunk from, and what it shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replay {
    /// The seed under which it fails.
    pub seed: u64,
    /// The commit at which it failed: a seed means nothing after a change of the code.
    pub commit: Option<String>,
    /// The promise that it breaks, or `panic`, `limit`, `expectation`.
    pub breaks: String,
    /// The quirk that was on.
    pub quirk: Option<String>,
}

/// Worlds that a scenario may be meant for.
pub const WORLDS: [&str; 2] = ["sim", "lab"];

/// Parts of the stack that a scenario may require.
pub const PARTS: [&str; 8] =
    ["conntrack", "controller", "drbd", "ha", "lvm", "satellite", "sr", "xapi"];

/// Faults, repairs and planned work. Hosts, networks, resources and VMs by name.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs, reason = "the fields say host, network, resource, vm")]
pub enum Do {
    /// The plug is pulled: volatile caches are lost, nobody is told.
    PowerOff { host: String },
    /// Power on, boot, bring resources up.
    Boot { host: String },
    /// The kernel crashes: like power off, but the disk keeps its cache; reboots by itself.
    Crash { host: String },
    /// Clean: VMs stop, resources go down, power off. `network_first`: the network stops before
    /// DRBD does, as some init systems order it.
    Shutdown { host: String, network_first: bool },
    /// The host stands still.
    Freeze { host: String },
    /// It goes on.
    Thaw { host: String },
    /// Packets from one host to the other are lost, on one network or all; one direction, or both.
    Cut { from: String, to: String, network: Option<String>, both: bool },
    /// Undo of Cut.
    Mend { from: String, to: String, network: Option<String>, both: bool },
    /// A host alone: every cut from and to it.
    Isolate { host: String, network: Option<String> },
    /// Undo of Isolate.
    Rejoin { host: String, network: Option<String> },
    /// A switch is off (network name).
    SwitchOff { network: String },
    /// A switch is on again.
    SwitchOn { network: String },
    /// Loss on a network, parts per million.
    Loss { network: String, ppm: u32 },
    /// Extra latency on a network.
    Latency { network: String, latency: (u64, u64) },
    /// Reads and/or writes of the host's disk fail from now on, for one resource's copy.
    DiskError { host: String, resource: String, read: bool, write: bool },
    /// The disk works again; the copy is attached anew.
    DiskRepair { host: String, resource: String },
    /// The disk answers nothing for a while.
    DiskStall { host: String, lasts: u64 },
    /// Stored blocks of a copy change silently: how many, drawn in the span that VMs touch.
    BitRot { host: String, resource: String, blocks: u32 },
    /// Flushes are acknowledged but do nothing, until repaired.
    DiskLies { host: String },
    /// Undo of DiskLies (what the cache holds is written).
    DiskHonest { host: String },
    /// Connections of others fill a host's table of tracked connections, for so large a share of
    /// the moments at which one more is wanted. `flush`: it is emptied first, and what was
    /// established has to get in again.
    FillConntrack { host: String, share: u32, flush: bool, lasts: u64 },
    /// A host's wall clock jumps.
    ClockStep { host: String, by: i64 },
    /// A VM is stopped here and started there (no host: stays off).
    MoveVm { vm: String, to: Option<String> },
    /// A command on a host, as a shell there would run it: `drbdadm`, `drbdsetup`, `lvcreate`, …
    Run { on: String, command: String, exit: Exit },
    /// Everything works again: links, switches, disks, hosts on.
    HealAll,
}

/// How a command has to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// With this code.
    Code(u8),
    /// However it likes.
    Any,
}

impl Do {
    /// The verb of a scenario file, in kebab case.
    pub fn verb(&self) -> &'static str {
        match self {
            Do::PowerOff { .. } => "power-off",
            Do::Boot { .. } => "boot",
            Do::Crash { .. } => "crash",
            Do::Shutdown { .. } => "shutdown",
            Do::Freeze { .. } => "freeze",
            Do::Thaw { .. } => "thaw",
            Do::Cut { .. } => "cut",
            Do::Mend { .. } => "mend",
            Do::Isolate { .. } => "isolate",
            Do::Rejoin { .. } => "rejoin",
            Do::SwitchOff { .. } => "switch-off",
            Do::SwitchOn { .. } => "switch-on",
            Do::Loss { .. } => "loss",
            Do::Latency { .. } => "latency",
            Do::DiskError { .. } => "disk-error",
            Do::DiskRepair { .. } => "disk-repair",
            Do::DiskStall { .. } => "disk-stall",
            Do::BitRot { .. } => "bit-rot",
            Do::DiskLies { .. } => "disk-lies",
            Do::DiskHonest { .. } => "disk-honest",
            Do::FillConntrack { .. } => "fill-conntrack",
            Do::ClockStep { .. } => "clock-step",
            Do::MoveVm { .. } => "move-vm",
            Do::Run { .. } => "run",
            Do::HealAll => "heal-all",
        }
    }
}

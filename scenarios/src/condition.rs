//! What can be seen of a pool: the conditions of steps and expectations.

/// All of these hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Condition {
    /// One thing each, sorted.
    pub all: Vec<Fact>,
}

impl Condition {
    /// All of these; order and repetition say nothing.
    pub fn new(mut all: Vec<Fact>) -> Condition {
        all.sort();
        all.dedup();
        Condition { all }
    }
}

/// A resource on a host.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// Resource.
    pub resource: String,
    /// Host.
    pub host: String,
}

/// One thing that can be seen. States are DRBD's words, as `drbdsetup status` prints them; of a
/// resource with several volumes all are meant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs, reason = "the fields say resource, host, peer, vm")]
pub enum Fact {
    /// The disk state is one of these.
    Disk { at: Place, is: Vec<String> },
    /// The role is one of these.
    Role { at: Place, is: Vec<String> },
    /// It has quorum, or has not.
    Quorum { at: Place, yes: bool },
    /// I/O is suspended, or is not.
    Suspended { at: Place, yes: bool },
    /// The connection to a peer is in one of these states.
    Connection { at: Place, peer: String, is: Vec<String> },
    /// The replication towards a peer is in one of these states.
    Replication { at: Place, peer: String, is: Vec<String> },
    /// What is known of a peer's disk is one of these.
    PeerDisk { at: Place, peer: String, is: Vec<String> },
    /// At most so many bytes are out of sync towards a peer.
    OutOfSync { at: Place, peer: String, most: u64 },
    /// A host is `on`, `off`, `booting` or `frozen`.
    Power { host: String, is: Vec<String> },
    /// So many writes of a VM were acknowledged since the condition is watched.
    AckedWrites { vm: String, least: u64 },
    /// A VM's device is open.
    Running { vm: String, yes: bool },
    /// A VM is on a host.
    On { vm: String, host: String },
    /// A VM's last success is no older than this, in ns.
    Progress { vm: String, within: u64 },
    /// At most so many I/O errors of a VM since the condition is watched.
    Errors { vm: String, most: u64 },
    /// The `nth` time that an event is seen since the condition is watched.
    Event {
        event: Event,
        resource: Option<String>,
        host: Option<String>,
        peer: Option<String>,
        nth: u32,
    },
    /// What a command on a host prints and how it ends.
    Command {
        on: String,
        run: String,
        exit: Option<u8>,
        stdout: Option<String>,
        stderr: Option<String>,
    },
}

macro_rules! events {
    ($($variant:ident $name:literal $about:literal)*) => {
        /// Moments at which a fault may strike: edges of states, as the kernel of a host sees them.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Event { $(#[doc = $about] $variant,)* }

        impl Event {
            /// All of them.
            pub const ALL: &[Event] = &[$(Event::$variant,)*];

            /// As in a scenario file.
            pub fn name(self) -> &'static str {
                match self { $(Event::$variant => $name,)* }
            }

            /// What happens then.
            pub fn about(self) -> &'static str {
                match self { $(Event::$variant => $about,)* }
            }
        }

        /// Names of all events.
        pub(crate) const EVENT_NAMES: [&str; Event::ALL.len()] = [$($name,)*];
    };
}

events! {
    LinkUp "link-up"
        "Both sockets to a peer are up: the connect handshake begins."
    LinkDown "link-down"
        "The link to a peer is gone."
    Handshake "handshake"
        "The generations of two copies were compared."
    Connected "connected"
        "A connection is Connected."
    NewCurrentUuid "new-current-uuid"
        "A new current UUID."
    Opening "opening"
        "A VM asks to open its device on this host."
    Promoted "promoted"
        "A node became Primary."
    Demoted "demoted"
        "A node became Secondary."
    ResyncStarts "resync-starts"
        "A copy became SyncTarget."
    ResyncEnds "resync-ends"
        "A resync towards this copy ended."
    QuorumLost "quorum-lost"
        "A node lost quorum."
    QuorumBack "quorum-back"
        "A node has quorum again."
    Suspended "suspended"
        "I/O of a resource is suspended."
    DiskFailed "disk-failed"
        "A disk state became Failed."
    MetadataWrite "metadata-write"
        "A write to the metadata area was given to the disk and is not done yet."
    Booted "booted"
        "A kernel runs."
}

/// Words for a host's power.
pub const POWER: [&str; 4] = ["booting", "frozen", "off", "on"];
/// DRBD's roles.
pub const ROLES: [&str; 3] = ["Primary", "Secondary", "Unknown"];
/// DRBD's disk states.
pub const DISK_STATES: [&str; 10] = [
    "Diskless",
    "Attaching",
    "Detaching",
    "Failed",
    "Negotiating",
    "Inconsistent",
    "Outdated",
    "DUnknown",
    "Consistent",
    "UpToDate",
];
/// DRBD's connection states.
pub const CONNECTION_STATES: [&str; 10] = [
    "StandAlone",
    "Disconnecting",
    "Unconnected",
    "Timeout",
    "BrokenPipe",
    "NetworkFailure",
    "ProtocolError",
    "TearDown",
    "Connecting",
    "Connected",
];
/// DRBD's replication states.
pub const REPLICATION_STATES: [&str; 15] = [
    "Off",
    "Established",
    "StartingSyncS",
    "StartingSyncT",
    "WFBitMapS",
    "WFBitMapT",
    "WFSyncUUID",
    "SyncSource",
    "SyncTarget",
    "VerifyS",
    "VerifyT",
    "PausedSyncS",
    "PausedSyncT",
    "Ahead",
    "Behind",
];

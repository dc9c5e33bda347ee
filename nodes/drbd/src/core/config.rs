//! What `.res` files say about a resource, as seen from one node. Units and defaults are DRBD's.

use super::event::Handler;
use crate::ids::{NodeId, VolumeNumber};
use std::collections::{BTreeMap, BTreeSet};

/// `quorum`, and `quorum-minimum-redundancy`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Quorum {
    /// No quorum is asked for.
    Off,
    /// More than half of the voters.
    Majority,
    /// Every voter.
    All,
    /// This many, 1 to 32.
    Count(u8),
}

/// What happens to application I/O while quorum or data is missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnLoss {
    /// It waits.
    SuspendIo,
    /// It fails.
    IoError,
}

/// `rr-conflict`: the handshake makes a Primary with good data the target of a resync.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RrConflict {
    /// Disconnect: StandAlone.
    Disconnect,
    /// Try to connect again each second.
    RetryConnect,
    /// The handler `pri-lost` is called, then disconnect.
    CallPriLost,
    /// Go on: the Primary's data is replaced under it.
    Violently,
    /// As `violently` with protocol C. (A crashed Primary of protocols A and B is the source.)
    AutoDiscard,
}

impl RrConflict {
    /// The policy of a word of `drbd.conf(5)`.
    pub fn named(word: &str) -> Option<RrConflict> {
        Some(match word {
            "disconnect" => RrConflict::Disconnect,
            "retry-connect" => RrConflict::RetryConnect,
            "call-pri-lost" => RrConflict::CallPriLost,
            "violently" => RrConflict::Violently,
            "auto-discard" => RrConflict::AutoDiscard,
            _ => return None,
        })
    }
}

/// `after-sb-0pri`: which side of a split brain loses its data while nobody is Primary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AfterSb0 {
    /// Nobody's.
    Disconnect,
    /// The side that became Primary later.
    DiscardYounger,
    /// The side that became Primary first.
    DiscardOlder,
    /// The side that wrote nothing.
    DiscardZeroChanges,
    /// The side that wrote to fewer blocks.
    DiscardLeastChanges,
    /// This side; the peer says `discard-remote`.
    DiscardLocal,
    /// The peer; it says `discard-local`.
    DiscardRemote,
}

impl AfterSb0 {
    /// The policy of a word of `drbd.conf(5)`.
    pub fn named(word: &str) -> Option<AfterSb0> {
        Some(match word {
            "disconnect" => AfterSb0::Disconnect,
            "discard-younger-primary" => AfterSb0::DiscardYounger,
            "discard-older-primary" => AfterSb0::DiscardOlder,
            "discard-zero-changes" => AfterSb0::DiscardZeroChanges,
            "discard-least-changes" => AfterSb0::DiscardLeastChanges,
            "discard-local" => AfterSb0::DiscardLocal,
            "discard-remote" => AfterSb0::DiscardRemote,
            _ => return None,
        })
    }
}

/// `after-sb-1pri`: as above while one side is Primary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AfterSb1 {
    /// Nobody's.
    Disconnect,
    /// As `after-sb-0pri` says, if that is the Secondary.
    Consensus,
    /// As `after-sb-0pri` says, whoever that is.
    ViolentlyAs0p,
    /// The Secondary.
    DiscardSecondary,
    /// As `after-sb-0pri` says; a Primary is demoted first.
    CallPriLost,
}

impl AfterSb1 {
    /// The policy of a word of `drbd.conf(5)`.
    pub fn named(word: &str) -> Option<AfterSb1> {
        Some(match word {
            "disconnect" => AfterSb1::Disconnect,
            "consensus" => AfterSb1::Consensus,
            "violently-as0p" => AfterSb1::ViolentlyAs0p,
            "discard-secondary" => AfterSb1::DiscardSecondary,
            "call-pri-lost-after-sb" => AfterSb1::CallPriLost,
            _ => return None,
        })
    }
}

/// `after-sb-2pri`: as above while both are Primary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AfterSb2 {
    /// Nobody's.
    Disconnect,
    /// As `after-sb-0pri` says.
    ViolentlyAs0p,
    /// As `after-sb-0pri` says; the loser is demoted first.
    CallPriLost,
}

impl AfterSb2 {
    /// The policy of a word of `drbd.conf(5)`.
    pub fn named(word: &str) -> Option<AfterSb2> {
        Some(match word {
            "disconnect" => AfterSb2::Disconnect,
            "violently-as0p" => AfterSb2::ViolentlyAs0p,
            "call-pri-lost-after-sb" => AfterSb2::CallPriLost,
            _ => return None,
        })
    }
}

/// What settles a split brain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AfterSb {
    /// `after-sb-0pri`, default disconnect.
    pub zero: AfterSb0,
    /// `after-sb-1pri`, default disconnect.
    pub one: AfterSb1,
    /// `after-sb-2pri`, default disconnect.
    pub two: AfterSb2,
    /// `always-asbp`, default no: also where only the histories have a common generation.
    pub always: bool,
}

impl AfterSb {
    /// Sets the policy that an option of `drbd.conf(5)` names; `false` if there is no such option
    /// or word, and nothing changes.
    pub fn set(&mut self, option: &str, word: &str) -> bool {
        fn put<T>(into: &mut T, value: Option<T>) -> bool {
            value.map(|value| *into = value).is_some()
        }
        match option {
            "after-sb-0pri" => put(&mut self.zero, AfterSb0::named(word)),
            "after-sb-1pri" => put(&mut self.one, AfterSb1::named(word)),
            "after-sb-2pri" => put(&mut self.two, AfterSb2::named(word)),
            "always-asbp" => {
                put(&mut self.always, ["no", "yes"].contains(&word).then_some(word == "yes"))
            }
            _ => false,
        }
    }
}

/// `fencing`: what a Primary does about a peer that it cannot see.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fencing {
    /// Nothing.
    DontCare,
    /// It has the handler `fence-peer` outdate the peer's copy.
    ResourceOnly,
    /// As above, and I/O is on hold until that has worked.
    ResourceAndStonith,
}

impl Fencing {
    /// The policy of a word of `drbd.conf(5)`.
    pub fn named(word: &str) -> Option<Fencing> {
        Some(match word {
            "dont-care" => Fencing::DontCare,
            "resource-only" => Fencing::ResourceOnly,
            "resource-and-stonith" => Fencing::ResourceAndStonith,
            _ => return None,
        })
    }
}

/// `on-io-error`: what follows when the lower device fails a request for data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnIoError {
    /// The disk is Inconsistent from then on, and the error passed on if no other copy helps.
    PassOn,
    /// The handler `local-io-error` is called, then as `detach`.
    CallLocalIoError,
    /// The disk is given up.
    Detach,
}

impl OnIoError {
    /// The policy of a word of `drbd.conf(5)`.
    pub fn named(word: &str) -> Option<OnIoError> {
        Some(match word {
            "pass_on" => OnIoError::PassOn,
            "call-local-io-error" => OnIoError::CallLocalIoError,
            "detach" => OnIoError::Detach,
            _ => return None,
        })
    }
}

/// `read-balancing`: which copy a Primary reads that has several good ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadBalancing {
    /// Its own.
    PreferLocal,
    /// A peer's.
    PreferRemote,
    /// Its own and a peer's by turns.
    RoundRobin,
    /// The one with fewer requests that are not answered.
    LeastPending,
    /// Its own, unless that is congested.
    WhenCongestedRemote,
    /// Its own and a peer's by turns, for stripes of so many KiB.
    Striping(u32),
}

impl ReadBalancing {
    /// The policy of a word of `drbd.conf(5)`.
    pub fn named(word: &str) -> Option<ReadBalancing> {
        Some(match word {
            "prefer-local" => ReadBalancing::PreferLocal,
            "prefer-remote" => ReadBalancing::PreferRemote,
            "round-robin" => ReadBalancing::RoundRobin,
            "least-pending" => ReadBalancing::LeastPending,
            "when-congested-remote" => ReadBalancing::WhenCongestedRemote,
            "32K-striping" => ReadBalancing::Striping(32),
            "64K-striping" => ReadBalancing::Striping(64),
            "128K-striping" => ReadBalancing::Striping(128),
            "256K-striping" => ReadBalancing::Striping(256),
            "512K-striping" => ReadBalancing::Striping(512),
            "1M-striping" => ReadBalancing::Striping(1_024),
            _ => return None,
        })
    }
}

/// `peer-device-options`: the pace of resyncs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerDeviceOptions {
    /// `resync-rate` in KiB/s, default 250: how a resync begins, and its rate without a plan.
    pub resync_rate_kib: u64,
    /// `c-plan-ahead` in 0.1 s, default 20; 0: no controller, `resync-rate` all the time.
    pub plan_ahead: u16,
    /// `c-delay-target` in 0.1 s, default 10: how long answers may be on their way.
    pub delay_target: u16,
    /// `c-fill-target` in sectors, default 100: so much may be on its way; 0: `c-delay-target`
    /// says it.
    pub fill_target: u32,
    /// `c-max-rate` in KiB/s, default 102400; 0: no limit.
    pub max_rate_kib: u64,
    /// `c-min-rate` in KiB/s, default 250: a resync that is faster gives way to other I/O; 0:
    /// never.
    pub min_rate_kib: u64,
}

impl Default for PeerDeviceOptions {
    fn default() -> PeerDeviceOptions {
        PeerDeviceOptions {
            resync_rate_kib: 250,
            plan_ahead: 20,
            delay_target: 10,
            fill_target: 100,
            max_rate_kib: 102_400,
            min_rate_kib: 250,
        }
    }
}

impl PeerDeviceOptions {
    /// Sets the option of that name to a number in its unit; `false` if there is no such option.
    pub fn set(&mut self, option: &str, number: u64) -> bool {
        match option {
            "resync-rate" => self.resync_rate_kib = number,
            "c-plan-ahead" => self.plan_ahead = number as u16,
            "c-delay-target" => self.delay_target = number as u16,
            "c-fill-target" => self.fill_target = number as u32,
            "c-max-rate" => self.max_rate_kib = number,
            "c-min-rate" => self.min_rate_kib = number,
            _ => return false,
        }
        true
    }
}

/// One volume of the resource on this node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VolumeConfig {
    /// Size of the device in 4 KiB blocks, without metadata.
    pub size: u64,
    /// This node has a disk for it (`disk none` otherwise).
    pub diskful: bool,
}

/// One peer of this node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerConfig {
    /// Its node id.
    pub node: NodeId,
    /// Its host name.
    pub name: String,
    /// It has a disk (`disk none` otherwise, which implies `bitmap no`).
    pub diskful: bool,
}

/// A resource as configured on one node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Resource name.
    pub name: String,
    /// This node's id.
    pub node: NodeId,
    /// Volumes, numbered from 0.
    pub volumes: Vec<VolumeConfig>,
    /// Every other node of the resource.
    pub peers: Vec<PeerConfig>,
    /// `quorum`, default off.
    pub quorum: Quorum,
    /// `quorum-minimum-redundancy`, default off.
    pub quorum_minimum_redundancy: Quorum,
    /// `on-no-quorum`, default suspend-io.
    pub on_no_quorum: OnLoss,
    /// `on-no-data-accessible`, default io-error.
    pub on_no_data: OnLoss,
    /// `on-suspended-primary-outdated force-secondary` (default: disconnect).
    pub force_secondary: bool,
    /// `rr-conflict`, default disconnect.
    pub rr_conflict: RrConflict,
    /// `after-sb-0pri`, `after-sb-1pri`, `after-sb-2pri`, `always-asbp`.
    pub after_sb: AfterSb,
    /// `fencing`, default dont-care.
    pub fencing: Fencing,
    /// Handlers that a program is configured for.
    pub handlers: BTreeSet<Handler>,
    /// `auto-promote`, default yes.
    pub auto_promote: bool,
    /// `auto-promote-timeout` in ms, default 2000.
    pub auto_promote_timeout_ms: u64,
    /// `ping-int` in ms, default 10000.
    pub ping_int_ms: u64,
    /// `ping-timeout` in ms, default 500.
    pub ping_timeout_ms: u64,
    /// `timeout` in ms, default 6000.
    pub timeout_ms: u64,
    /// `ko-count`, default 7.
    pub ko_count: u32,
    /// `twopc-timeout` in ms, default 30000.
    pub twopc_timeout_ms: u64,
    /// `twopc-retry-timeout` in ms, default 100.
    pub twopc_retry_timeout_ms: u64,
    /// `max-epoch-size`, default 2048 writes.
    pub max_epoch_size: u32,
    /// `al-extents`, default 1237, 67 to 65534.
    pub al_extents: u16,
    /// `on-io-error`, default detach.
    pub on_io_error: OnIoError,
    /// `disk-timeout` in ms, default 0: a lower device that does not answer is waited for.
    pub disk_timeout_ms: u64,
    /// `rs-discard-granularity` in bytes, default 0: a resync to here sends all that is zero.
    pub rs_discard_granularity: u32,
    /// `read-balancing`, default prefer-local.
    pub read_balancing: ReadBalancing,
    /// `allow-remote-read`, default yes. (For all peers or none.)
    pub allow_remote_read: bool,
    /// `verify-alg`: the digest of online verify, default none.
    pub verify_alg: Option<String>,
    /// `csums-alg`: the digest of checksum-based resync, default none.
    pub csums_alg: Option<String>,
    /// `csums-after-crash-only`, default no.
    pub csums_after_crash_only: bool,
    /// The pace of resyncs, where [`Config::towards`] does not say otherwise.
    pub peer_device: PeerDeviceOptions,
    /// The pace of resyncs of a volume with a peer.
    pub towards: BTreeMap<(NodeId, VolumeNumber), PeerDeviceOptions>,
    /// `max-buffers`, default 2048 pages of 4 KiB: half of them may be in flight for a resync.
    pub max_buffers: u32,
    /// `peer-ack-delay` in ms, default 100.
    pub peer_ack_delay_ms: u64,
    /// `peer-ack-window` in sectors, default 4096.
    pub peer_ack_window: u64,
    /// `resync-after` by volume: the minor of the volume on this host that is resynced before it.
    /// Minors are known to whoever runs the engines, who tells of chains with
    /// [`Event::Waits`](super::event::Event::Waits).
    pub resync_after: BTreeMap<VolumeNumber, u32>,
    /// `max-peers` that metadata has bitmap slots for.
    pub max_peers: u8,
}

impl Config {
    /// A resource with DRBD's defaults, no volumes and no peers.
    pub fn new(name: &str, node: NodeId) -> Config {
        Config {
            name: name.to_owned(),
            node,
            volumes: Vec::new(),
            peers: Vec::new(),
            quorum: Quorum::Off,
            quorum_minimum_redundancy: Quorum::Off,
            on_no_quorum: OnLoss::SuspendIo,
            on_no_data: OnLoss::IoError,
            force_secondary: false,
            rr_conflict: RrConflict::Disconnect,
            after_sb: AfterSb {
                zero: AfterSb0::Disconnect,
                one: AfterSb1::Disconnect,
                two: AfterSb2::Disconnect,
                always: false,
            },
            fencing: Fencing::DontCare,
            handlers: BTreeSet::new(),
            auto_promote: true,
            auto_promote_timeout_ms: 2_000,
            ping_int_ms: 10_000,
            ping_timeout_ms: 500,
            timeout_ms: 6_000,
            ko_count: 7,
            twopc_timeout_ms: 30_000,
            twopc_retry_timeout_ms: 100,
            max_epoch_size: 2_048,
            al_extents: 1_237,
            on_io_error: OnIoError::Detach,
            disk_timeout_ms: 0,
            rs_discard_granularity: 0,
            read_balancing: ReadBalancing::PreferLocal,
            allow_remote_read: true,
            verify_alg: None,
            csums_alg: None,
            csums_after_crash_only: false,
            peer_device: PeerDeviceOptions::default(),
            towards: BTreeMap::new(),
            max_buffers: 2_048,
            peer_ack_delay_ms: 100,
            peer_ack_window: 4_096,
            resync_after: BTreeMap::new(),
            max_peers: 7,
        }
    }

    /// The pace of resyncs of a volume with a peer.
    pub fn pace(&self, node: NodeId, volume: VolumeNumber) -> PeerDeviceOptions {
        self.towards.get(&(node, volume)).copied().unwrap_or(self.peer_device)
    }
}

//! A resource as the kernel shows it over netlink: what `status`, `events2`, `show` and the waiting
//! commands read. Sizes are KiB where the tools print them.

use drbd::core::{Pauses, Suspension};
use drbd::ids::NodeId;
use drbd::state::{ConnState, DiskState, ReplState, Role};
use std::net::SocketAddr;

/// Options as the kernel was given them: name and value.
pub(crate) type Options = Vec<(String, String)>;

/// A resource.
#[derive(Clone, PartialEq, Debug)]
pub struct ResourceView {
    /// Name.
    pub name: String,
    /// Own node id.
    pub node: NodeId,
    /// Own role.
    pub role: Role,
    /// Why I/O stands still.
    pub suspended: Suspension,
    /// It was made Secondary by force and is still open.
    pub fails_io: bool,
    /// `resource-options`.
    pub options: Options,
    /// By volume number.
    pub devices: Vec<DeviceView>,
    /// By name of the peer.
    pub connections: Vec<ConnectionView>,
}

/// A volume.
#[derive(Clone, PartialEq, Debug)]
pub struct DeviceView {
    /// Number.
    pub volume: u16,
    /// Minor.
    pub minor: u32,
    /// Own disk.
    pub disk: DiskState,
    /// It was made without a disk on purpose.
    pub client: bool,
    /// Path of the lower device while attached.
    pub backing: Option<String>,
    /// Quorum.
    pub quorum: bool,
    /// Somebody has it open.
    pub open: bool,
    /// Size in KiB.
    pub size: u64,
    /// What went to the lower device.
    pub io: DeviceIo,
    /// Application writes in flight.
    pub upper_pending: usize,
    /// `disk-options`.
    pub options: Options,
}

/// Counts of a lower device since the resource is up.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct DeviceIo {
    /// Blocks read from the data area.
    pub read: u64,
    /// Blocks written there.
    pub written: u64,
    /// Writes to the activity log.
    pub al_writes: u64,
    /// Writes to the bitmap.
    pub bm_writes: u64,
}

/// A connection.
#[derive(Clone, PartialEq, Debug)]
pub struct ConnectionView {
    /// Node id of the peer.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// State.
    pub state: ConnState,
    /// Role of the peer.
    pub role: Role,
    /// Paths.
    pub paths: Vec<PathView>,
    /// `net-options`.
    pub options: Options,
    /// By volume.
    pub peer_devices: Vec<PeerDeviceView>,
}

/// A path of a connection.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PathView {
    /// Here.
    pub local: SocketAddr,
    /// There.
    pub peer: SocketAddr,
    /// Both sockets are up.
    pub established: bool,
}

/// A volume towards a peer.
#[derive(Clone, PartialEq, Debug)]
pub struct PeerDeviceView {
    /// Volume.
    pub volume: u16,
    /// Replication.
    pub repl: ReplState,
    /// The peer's disk.
    pub disk: DiskState,
    /// The peer has none on purpose.
    pub client: bool,
    /// The peer says that its data is stable.
    pub stable: bool,
    /// Why a resync stands still, or would.
    pub pauses: Pauses,
    /// Blocks received from the peer.
    pub received: u64,
    /// Blocks sent to it.
    pub sent: u64,
    /// KiB out of sync.
    pub out_of_sync: u64,
    /// KiB of the volume.
    pub size: u64,
    /// Writes that the peer has not acknowledged.
    pub pending: usize,
    /// Its writes that were not acknowledged from here.
    pub unacked: usize,
    /// KiB that were out of sync when the running resync began.
    pub sync_total: Option<u64>,
    /// Milliseconds since then.
    pub sync_ms: u64,
    /// `peer-device-options`.
    pub options: Options,
}

impl PeerDeviceView {
    /// Percent of the volume that are in sync.
    pub fn percent_in_sync(&self) -> f64 {
        match self.size {
            0 => 0.0,
            size => 100.0 * (1.0 - self.out_of_sync as f64 / size as f64),
        }
    }

    /// Percent of a running resync that are done.
    pub fn done(&self) -> Option<f64> {
        let total = self.sync_total.filter(|total| *total > 0)?;
        let left = self.out_of_sync.min(total);
        Some(100.0 * (total - left) as f64 / total as f64)
    }
}

impl ResourceView {
    /// `suspended:`
    pub fn suspended_for(&self) -> String {
        let Suspension { user, no_data, fencing, quorum } = self.suspended;
        let reasons =
            [(user, "user"), (no_data, "no-data"), (fencing, "fencing"), (quorum, "quorum")];
        let words: Vec<&str> =
            reasons.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
        if words.is_empty() { "no".to_owned() } else { words.join(",") }
    }

    /// May it be promoted now, and how good a place is this node for a Primary? (`may_promote`,
    /// `promotion_score` of `events2`.)
    pub fn promotion(&self) -> (bool, u32) {
        if self.devices.is_empty() || self.fails_io {
            return (false, 0);
        }
        let good = |disk| disk == DiskState::UpToDate;
        let (mut local, mut replicas, mut all_disks, mut stable) = (0, u32::MAX, true, true);
        for device in &self.devices {
            if !device.quorum {
                return (false, 0);
            }
            let peers = self.connections.iter().flat_map(|connection| &connection.peer_devices);
            let peers = peers.filter(|peer| peer.volume == device.volume && good(peer.disk));
            let own = u32::from(good(device.disk));
            local += own;
            replicas = replicas.min(own + peers.clone().count() as u32);
            use DiskState::{Consistent, Inconsistent, UpToDate};
            all_disks &= matches!(device.disk, UpToDate | Consistent | Inconsistent);
            stable &= good(device.disk) || peers.clone().any(|peer| peer.stable);
        }
        if replicas == 0 {
            return (false, 0);
        }
        let primary = self.role == Role::Primary
            || self.connections.iter().any(|connection| connection.role == Role::Primary);
        let score = u32::from(all_disks) * 10_000 + local.min(99) * 100 + replicas.min(99);
        (stable && !primary, score)
    }
}

/// `yes` or `no`.
pub(crate) fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

/// An address as the tools write it.
pub(crate) fn address(address: SocketAddr) -> String {
    if address.is_ipv4() { format!("ipv4:{address}") } else { format!("ipv6:{address}") }
}

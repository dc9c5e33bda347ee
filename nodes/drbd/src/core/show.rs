//! What `drbdsetup` shows beyond roles and states.

use super::Resource;
use super::config::OnLoss;
use super::parts::Conn;
use crate::ids::{NodeId, Uuid, VolumeNumber};
use crate::meta::{MdFlags, PeerFlags};
use crate::packet::UuidFlags;
use crate::state::Role;

/// Why application I/O is on hold: `suspended:` of `drbdsetup status`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Suspension {
    /// `suspend-io`.
    pub user: bool,
    /// No UpToDate copy can be reached.
    pub no_data: bool,
    /// A peer is not fenced yet.
    pub fencing: bool,
    /// No quorum.
    pub quorum: bool,
}

/// Generations of a volume towards one peer: `get-gi`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Generations {
    /// Current UUID.
    pub current: Uuid,
    /// Bitmap UUID for the peer.
    pub bitmap: Uuid,
    /// The two youngest of the history.
    pub history: [Uuid; 2],
    /// Flags of the metadata.
    pub flags: MdFlags,
    /// Flags for the peer.
    pub peer_flags: PeerFlags,
}

impl Resource {
    /// Why I/O is on hold.
    pub fn suspended_by(&self) -> Suspension {
        let primary = self.role == Role::Primary;
        let volumes = 0..self.devices.len();
        Suspension {
            user: self.user_suspended,
            no_data: primary
                && self.config.on_no_data == OnLoss::SuspendIo
                && volumes.into_iter().any(|v| !self.data_accessible(v)),
            fencing: primary && self.awaits_stonith(),
            quorum: self.config.on_no_quorum == OnLoss::SuspendIo
                && self.devices.iter().any(|device| !device.quorum),
        }
    }

    /// Does I/O fail until the last close, after a demotion by force?
    pub fn fails_io(&self) -> bool {
        self.roles.fail_io
    }

    /// Has somebody a device open?
    pub fn is_open(&self) -> bool {
        self.roles.is_open()
    }

    /// Did the peer say that its data is stable?
    pub fn peer_is_stable(&self, node: NodeId, volume: VolumeNumber) -> bool {
        let pd = |conn: &Conn| {
            let uuids = conn.volumes.get(volume.index())?.uuids.clone()?;
            Some(uuids.flags.has(UuidFlags::STABLE))
        };
        self.conn_of(node).and_then(|c| pd(&self.conns[c])).unwrap_or(false)
    }

    /// The generation of a volume: of its disk, or without one that of the peers' data.
    pub fn current(&self, volume: VolumeNumber) -> Uuid {
        self.devices.get(volume.index()).map_or(Uuid::NONE, |device| match device.has_disk() {
            true => device.md.current,
            false => device.exposed,
        })
    }

    /// Generations of an attached volume; `None` without a disk or such a peer.
    pub fn generations(&self, volume: VolumeNumber, node: NodeId) -> Option<Generations> {
        let device = self.devices.get(volume.index()).filter(|device| device.has_disk())?;
        self.conn_of(node)?;
        let md = &device.md;
        let old = |n: usize| md.history.get(n).copied().unwrap_or(Uuid::NONE);
        Some(Generations {
            current: md.current,
            bitmap: md.peer(node).bitmap_uuid,
            history: [old(0), old(1)],
            flags: md.flags,
            peer_flags: md.peer(node).flags,
        })
    }
}

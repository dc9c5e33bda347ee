//! The engine of one resource on one node.

pub mod config;
pub mod event;

use crate::ids::{NodeId, NodeMask, Time, Uuid, VolumeNumber};
use crate::quirks::Quirks;
use crate::state::{ConnState, DiskState, ReplState, Role};
use config::Config;
use event::{Action, Event};

/// One resource as one node sees it: the running state of the engine.
pub struct Resource {
    config: Config,
}

/// What checkers, `drbdsetup status` and reports read of one volume.
#[derive(Clone, PartialEq, Debug)]
pub struct VolumeView {
    /// Own disk.
    pub disk: DiskState,
    /// Quorum as the engine acts on it.
    pub quorum: bool,
    /// Current (diskful) or exposed (diskless) UUID.
    pub current: Uuid,
    /// Size in 4 KiB blocks.
    pub size: u64,
    /// Application writes in flight: submitted, not completed (on hold included).
    pub app_in_flight: usize,
    /// Peer writes received and not covered by a peer ack.
    pub peer_unacked: usize,
    /// The same volume at each configured peer.
    pub peers: Vec<PeerView>,
}

/// What this node knows of one volume at one peer.
#[derive(Clone, PartialEq, Debug)]
pub struct PeerView {
    /// The peer.
    pub node: NodeId,
    /// Replication state.
    pub repl: ReplState,
    /// Its disk, as known here.
    pub disk: DiskState,
    /// Bits set in the bitmap slot for it (4 KiB each).
    pub out_of_sync: u64,
}

impl Resource {
    /// A resource as `drbdsetup new-resource`, `new-peer` and `new-minor` leave it: Secondary, Diskless, StandAlone.
    /// `luck` seeds the engine's own generator, for UUIDs and transaction numbers: given it and the events,
    /// everything follows.
    pub fn new(config: Config, luck: u64, quirks: Quirks) -> Resource {
        let _ = (luck, quirks);
        Resource { config }
    }

    /// Metadata as `drbdmeta create-md` leaves it, as (first block, pages) runs to write to a lower device of
    /// `lower_blocks` 4 KiB blocks; with `uuid`, as `drbdadm new-current-uuid --clear-bitmap` then leaves it:
    /// UpToDate without an initial sync, the same on every node.
    pub fn create_md(config: &Config, lower_blocks: u64, uuid: Option<Uuid>) -> Vec<(u64, crate::page::Payload)> {
        let _ = (config, lower_blocks, uuid);
        Vec::new()
    }

    /// Blocks that a lower device needs for `data_blocks` of data and its internal metadata.
    pub fn lower_blocks(data_blocks: u64, max_peers: u8) -> u64 {
        let _ = max_peers;
        data_blocks
    }

    /// One event in, actions out (appended to `out`, in the order to carry them out).
    pub fn step(&mut self, now: Time, event: Event, out: &mut Vec<Action>) {
        let _ = (now, event, out);
    }

    /// Configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }
    /// Own role.
    pub fn role(&self) -> Role {
        Role::Secondary
    }
    /// Is application I/O on hold (user, no data, quorum)?
    pub fn is_suspended(&self) -> bool {
        false
    }
    /// Connection state and role of a peer; StandAlone and Unknown if it is not configured.
    pub fn peer(&self, node: NodeId) -> (ConnState, Role) {
        let _ = node;
        (ConnState::StandAlone, Role::Unknown)
    }
    /// One volume, or `None` if there is no such one.
    pub fn volume(&self, volume: VolumeNumber) -> Option<VolumeView> {
        let _ = volume;
        None
    }
    /// Is the block marked out of sync towards the peer, or inside an extent of the activity log?
    pub fn may_differ(&self, volume: VolumeNumber, peer: NodeId, block: u64) -> bool {
        let _ = (volume, peer, block);
        false
    }
    /// `members`: nodes that took part in the last agreement, stale-high at most.
    pub fn members(&self) -> NodeMask {
        NodeMask::NONE
    }
}

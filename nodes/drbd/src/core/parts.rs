//! The objects of a resource, as DRBD has them: devices, connections, and the peer devices between
//! them.

use super::activity_log::ActivityLog;
use super::bitmap::Bitmap;
use super::config::PeerConfig;
use super::event::{CommandId, Request, RequestId};
use super::fence::Fence;
use super::handshake::Verdict;
use super::locks::{LockId, Locks};
use super::resync::Resync;
use super::verify::Verify;
use crate::ids::{Blocks, Dagtag, NodeId, NodeMask, Time, Uuid, VolumeNumber};
use crate::meta::{Layout, Superblock};
use crate::packet::{BlockId, PeerState, Uuids};
use crate::page::Payload;
use crate::state::{ConnState, DiskState, ReplState, Role};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Something to go on with once a range, an extent or a metadata write is ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Work {
    /// An application write has its range.
    AppLocked(usize),
    /// An application write has its extents.
    AppActive(usize),
    /// A peer's write has its range.
    PeerLocked(usize),
    /// A peer's write has its extents.
    PeerActive(usize),
    /// A resync request to a source has its range.
    Request(usize),
    /// Resync data has its range.
    ResyncWrite(usize),
    /// Resync data has its extents.
    ResyncActive(usize),
    /// A target's request may be read.
    ResyncRead(usize),
    /// A block that is verified may be read.
    VerifyRead(usize),
    /// The metadata of a new generation is durable.
    Generation,
    /// The metadata of a generation that an administrator asked for is durable (volume).
    Founded(usize),
    /// PRIMARY_IND is durable.
    Promoted,
    /// AL_CLEAN is gone from the superblock: the volume is attached.
    Attached(usize),
    /// The disk is marked Inconsistent: resync may write (connection, volume).
    SyncTarget(usize, usize),
    /// The bits of a full sync on demand are sure to be set (connection, volume).
    FullSync(usize, usize),
    /// The end of a resync is durable (connection, volume).
    ResyncEnd(usize, usize),
    /// The metadata of a larger device is durable.
    Grown(usize),
    /// A clean detach is durable.
    Detached(usize, Option<CommandId>),
}

/// What a request to the lower device is for.
#[derive(Clone, Debug)]
pub(super) enum LowerUse {
    /// Application request.
    App(usize),
    /// A peer's write.
    Peer(usize),
    /// Read for a diskless peer (connection, its birth, cookie, where).
    PeerRead(usize, u64, BlockId, Blocks),
    /// Resync data, written on the target.
    ResyncWrite(usize),
    /// Resync read on the source.
    ResyncRead(usize),
    /// Read for a verify, on either side.
    VerifyRead(usize),
    /// Resync: what the target has itself.
    ResyncOwn(usize),
    /// Flush that ends epochs of a peer (connection, its birth).
    EpochFlush(usize, u64),
    /// The superblock, up to this version.
    Superblock(u64),
    /// A transaction of the activity log.
    Transaction,
    /// A page of the bitmap.
    Bitmap(u64),
    /// The metadata area at attach.
    MetaRead,
    /// Metadata at its new place.
    Moved,
    /// Nobody waits for it any more.
    GivenUp,
}

/// One volume on this node.
#[derive(Clone)]
pub(super) struct Device {
    /// The agreed size, in blocks.
    pub size: u64,
    /// What applications may use of it: every connected copy has it.
    pub capacity: u64,
    /// Blocks of the lower device, whose metadata `layout` says how to find.
    pub lower: u64,
    /// `u_size`: the last limit that an administrator gave, 0 for none.
    pub user_size: u64,
    /// What a resize added last is taken as identical.
    pub no_resync: bool,
    /// It is about to be larger.
    pub growth: Option<super::resize::Growth>,
    pub configured_diskful: bool,
    pub disk: DiskState,
    pub layout: Layout,
    pub md: Superblock,
    /// Bumped at each change of `md`; written versions follow.
    pub md_version: u64,
    pub md_writing: Option<u64>,
    pub md_written: u64,
    /// Nodes that the superblock on disk, and the one on its way, make this node do without: it
    /// would have quorum alone after a crash.
    pub md_disowns: NodeMask,
    pub md_disowns_next: NodeMask,
    pub md_waiters: Vec<(u64, Work)>,
    /// By bitmap index.
    pub bitmaps: Vec<Bitmap>,
    /// Ranges that a resync wrote here and nothing dirtied since, by first block: P_PEERS_IN_SYNC
    /// may clear them.
    /// With whom it came from.
    pub resynced: BTreeMap<u64, (Blocks, NodeId)>,
    /// Pages of the bitmap area that differ from what is on disk.
    pub bm_dirty: BTreeSet<u64>,
    /// Pages that are being written; `true`: once more, they have changed since.
    pub bm_flight: BTreeMap<u64, bool>,
    /// The rest of the changed pages follows those in flight.
    pub bm_draining: bool,
    /// A clean detach waits for the bitmap, and answers this command.
    pub detaching: Option<Option<CommandId>>,
    pub al: ActivityLog<Work>,
    pub al_number: u32,
    pub al_context: u16,
    pub al_pending: Option<super::attach::AlWrite>,
    /// The superblock before a generation of its own that nobody was told of yet.
    pub untold: Option<Box<Superblock>>,
    /// Generation that the data seen by applications belongs to (also without a disk).
    pub exposed: Uuid,
    /// Without a disk: the generation before `exposed`, until a peer with data confirmed that it
    /// has `exposed`.
    pub predecessor: Option<Uuid>,
    /// A generation that was given up because nobody could confirm it; a peer may have it yet.
    pub abandoned: Option<Uuid>,
    /// A generation that an administrator asked for and that waits for its superblock.
    pub founding: Option<super::new_current::Founding>,
    pub quorum: bool,
    /// A new current UUID is due before the next request.
    pub new_uuid: bool,
    /// Nothing was written since this node became Primary, or had quorum again.
    pub new_session: bool,
    pub crashed_primary: bool,
    /// It was not detached cleanly, and not compared since.
    pub unclean: bool,
    pub locks: Locks<Work>,
    /// I/O of applications and peers on the lower device so far, without resyncs, in sectors.
    pub foreign_sectors: u64,
    /// Counts attachments; completions for an earlier one are stale.
    pub birth: u64,
    pub attach_reply: Option<CommandId>,
    pub in_flight: usize,
    /// Disk state that the metadata told at attach, for as long as peers are asked.
    pub attach_disk: DiskState,
    /// A disk that is behind does not ask for a resync before.
    pub ask_at: Option<Time>,
    /// When bits between this copy and another good one are looked into.
    pub stray_at: Option<Time>,
    /// What is left to announce is not looked at before.
    pub announce_at: Option<Time>,
    /// A device before it in its chain of `resync-after` is busy.
    pub waits: bool,
    /// `read-balancing round-robin`: the last read that could be either was local.
    pub read_turn: bool,
}

impl Device {
    /// Has it a disk that I/O can go to?
    pub fn has_disk(&self) -> bool {
        self.disk >= DiskState::Inconsistent && self.disk != DiskState::DUnknown
    }
    /// The bitmap slot of a node.
    pub fn slot(&self, node: NodeId) -> Option<usize> {
        self.md.peer(node).bitmap_index.map(usize::from).filter(|slot| *slot < self.bitmaps.len())
    }
    /// Bits towards a node, 0 without a slot.
    pub fn weight(&self, node: NodeId) -> u64 {
        self.slot(node).map_or(0, |slot| self.bitmaps[slot].weight())
    }
}

/// One volume between this node and a peer.
#[derive(Clone)]
pub(super) struct PeerDevice {
    pub repl: ReplState,
    pub disk: DiskState,
    /// The size that the peer said last (`c_size`), 0 before.
    pub size: u64,
    /// Newest UUIDs that the peer sent.
    pub uuids: Option<Arc<Uuids>>,
    /// Newest P_STATE of the peer.
    pub state: Option<PeerState>,
    /// Last P_STATE sent.
    pub sent_state: Option<PeerState>,
    /// What was said in a handshake that is going on.
    pub offered: Option<Offer>,
    /// A P_STATE that follows handshake UUIDs is still to come.
    pub await_state: bool,
    pub verdict: Option<Verdict>,
    pub resync: Resync,
    /// A verify that goes on.
    pub verify: Option<Verify>,
    /// The next verify: from this block to before that one.
    pub verify_asked: (u64, u64),
    /// How far the last verify came, if it was interrupted.
    pub verify_from: u64,
    /// There are bits that a verify found; they stand until the two compare again.
    pub verified: bool,
    /// `pause-sync`, until `resume-sync`.
    pub paused: bool,
    /// Both lost a Primary; which of them followed it further is not settled yet.
    pub reconcile: bool,
    /// The last comparison found both copies the same, and nothing has changed since.
    pub agreed: bool,
    /// It crashed as Primary, and another copy of its generation did not: it is not read before it
    /// says that the two have compared.
    pub doubted: bool,
    /// It acknowledged writes of this Primary that it may not have flushed when it was lost.
    pub unflushed: bool,
    /// It was lost when it may just have ended its resync: whatever its slot says, it may have this
    /// generation.
    pub caught_up: bool,
    /// It came back without writes of this Primary that another copy has, and no generation tells
    /// yet.
    pub missed: bool,
    /// Ranges that the peer was resynced in from here, and nobody was told of (P_PEERS_IN_SYNC).
    pub unannounced: Vec<Blocks>,
    /// It said last that it is behind: what is newer is not there.
    pub behind: bool,
    /// A peer without a disk: copies that it was told have yet to compare with this one.
    pub unsettled: NodeMask,
}

impl PeerDevice {
    /// Bits that either side told the other of in a handshake that is going on.
    pub fn bits_offered(&self) -> u64 {
        let mine = self.offered.as_ref().map_or(0, |offer| offer.uuids.dirty_bits);
        mine + self.uuids.as_ref().map_or(0, |uuids| uuids.dirty_bits)
    }
}

/// One side's half of a comparison, as it was sent. Both sides judge just these two halves, so that
/// they come to mirrored verdicts.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    pub uuids: Arc<Uuids>,
    pub state: PeerState,
    /// The Primary that was lost, and how far its stream was followed.
    pub lost: Option<(NodeId, Dagtag)>,
}

impl PeerDevice {
    pub fn new() -> PeerDevice {
        PeerDevice {
            repl: ReplState::Off,
            disk: DiskState::DUnknown,
            size: 0,
            uuids: None,
            state: None,
            sent_state: None,
            offered: None,
            await_state: false,
            verdict: None,
            resync: Resync::default(),
            verify: None,
            verify_asked: (0, 0),
            verify_from: 0,
            verified: false,
            paused: false,
            reconcile: false,
            agreed: false,
            doubted: false,
            unflushed: false,
            caught_up: false,
            missed: false,
            unannounced: Vec::new(),
            behind: false,
            unsettled: NodeMask::NONE,
        }
    }
}

/// An epoch of a peer's writes, on the receiving side.
#[derive(Clone, Debug)]
pub(super) struct Epoch {
    pub seq: u64,
    pub nr: Option<u32>,
    pub size: u32,
    pub active: u32,
    pub flushes: u32,
    pub flushing: bool,
}

/// Progress of the connect handshake.
#[derive(Clone, Debug, Default)]
pub(super) struct Greeting {
    /// Own parameters were sent.
    pub sent: bool,
    /// Volumes whose UUIDs arrived over this link.
    pub heard: BTreeSet<VolumeNumber>,
    /// Volumes whose P_STATE arrived.
    pub states: usize,
    /// The verdicts of all volumes stand.
    pub ready: bool,
    /// A reason to end the connection, or to try again.
    pub refused: Option<super::event::Refusal>,
}

/// One connection.
#[derive(Clone)]
pub(super) struct Conn {
    pub node: NodeId,
    pub config: PeerConfig,
    pub cstate: ConnState,
    pub role: Role,
    pub volumes: Vec<PeerDevice>,
    /// Counts links; what was received over an earlier one is stale.
    pub birth: u64,
    pub linked: bool,
    pub was_connected: bool,
    /// `--discard-my-data`, until it is connected.
    pub discard: bool,
    /// `forget-peer`: it does not count any more, until it is connected to again.
    pub forgotten: bool,
    pub greeting: Option<Greeting>,
    pub handshake_deadline: Option<Time>,
    pub heard: Time,
    pub pinged: Option<Time>,
    /// Pings sent over this link.
    pub pings: u64,
    /// PingAcks that came.
    pub pongs: u64,
    /// So many PingAcks are wanted before something else may happen.
    pub ping_wanted: Option<u64>,
    /// The peer's position in its own write stream.
    pub last_dagtag: Dagtag,
    /// Primaries that this node receives writes from, and that the peer no longer received any from
    /// when the two compared last.
    pub deaf_to: NodeMask,
    /// It told its position over this link. What is known from an earlier one says nothing if it
    /// was restarted in between.
    pub placed: bool,
    /// The peer's position in the stream of a Primary that both lost.
    pub peer_dagtag: Option<(NodeId, Dagtag)>,
    /// The lost Primary that the peer named in the last comparison, and its position there.
    pub named: Option<(NodeId, Dagtag)>,
    /// Writes received that no peer ack covers, in order.
    pub unacked: VecDeque<usize>,
    pub epochs: VecDeque<Epoch>,
    pub epoch_seq: u64,
    /// Position in this node's stream that the peer knows of.
    pub sent_dagtag: Dagtag,
    /// Writes sent in the resource's current epoch.
    pub sent_in_epoch: u32,
    /// Barriers sent and not acknowledged: number and writes.
    pub barriers: VecDeque<(u32, u32)>,
    /// The peer has said something since the connect was committed: it knows of it.
    pub confirmed: bool,
    /// At the connect it said that it was connected before: it has not been down in between.
    pub kept_on: bool,
    /// The peer is about to end resyncs: once no write up to here is pending anywhere, it may.
    pub flush_asked: Vec<(u32, Dagtag)>,
    /// The next link waits for this.
    pub relink_at: Option<Time>,
    /// What is done about a copy that cannot be seen.
    pub fence: Fence,
    /// P_DISCONNECT or the commit of a disconnect was sent, and the peer has so long to close the
    /// link.
    pub lingers: Option<Time>,
    /// The command that is answered when that is over.
    pub leaving: Option<CommandId>,
}

impl Conn {
    /// Connected, Primary, and with good data of its own.
    pub fn is_primary_with_disk(&self, v: usize) -> bool {
        let disk = self.volumes[v].disk;
        let good = disk >= DiskState::Consistent;
        self.connected() && self.role == Role::Primary && good
    }
    /// Connected, and Primary.
    pub fn is_primary(&self) -> bool {
        self.connected() && self.role == Role::Primary
    }
    pub fn connected(&self) -> bool {
        self.cstate == ConnState::Connected
    }
}

/// State of the local part of an application request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Local {
    None,
    Pending,
    Ok,
    Failed,
}

/// An application request on its way.
#[derive(Clone, Debug)]
pub(super) struct AppRequest {
    /// Its place among all requests, which it keeps when it has to wait again.
    pub ticket: u64,
    pub volume: usize,
    pub id: RequestId,
    pub request: Request,
    pub at: Option<Blocks>,
    pub local: Local,
    /// Peers that have not answered.
    pub pending: NodeMask,
    /// Peers it was sent to.
    pub sent: NodeMask,
    /// Nodes that acknowledged it.
    pub ok: NodeMask,
    /// Of those, the ones that were UpToDate then and ever since: a resync may overwrite what its
    /// target acknowledged.
    pub kept: NodeMask,
    /// Peers of `sent` that need not be waited for any more (barrier ack, or connection lost).
    pub done: NodeMask,
    pub epoch: u32,
    pub dagtag: Dagtag,
    pub completed: bool,
    pub lock: Option<LockId>,
    pub active: bool,
    /// Went out before its extents were in the activity log, which only a quirk does.
    pub awaits_extents: bool,
    /// It is in the transfer log.
    pub logged: bool,
    pub since: Time,
}

/// A write received from a peer.
#[derive(Clone, Debug)]
pub(super) struct PeerRequest {
    pub conn: usize,
    pub birth: u64,
    pub volume: usize,
    pub device_birth: u64,
    pub at: Blocks,
    /// `None` for a discard.
    pub payload: Option<Payload>,
    pub id: BlockId,
    pub fua: bool,
    pub may_set_in_sync: bool,
    pub epoch: u64,
    pub dagtag: Dagtag,
    pub lock: Option<LockId>,
    pub active: bool,
    /// In the connection's list of unacked writes.
    pub tracked: bool,
    /// Nodes that were told, before a peer ack said it, that they may lack this write: their bits
    /// are set, or were cleared by a resync that read it.
    pub doubted: NodeMask,
    /// Nodes that did not receive the sender's writes any more when they compared with this one: a
    /// resync from here may have overwritten this write there, before it came here.
    pub overwritten: NodeMask,
    /// Written, or given up.
    pub finished: bool,
}

//! The packets of DRBD 9 (protocol 124) as values. Names follow `enum drbd_packet`; bytes are the
//! wire's concern.

use crate::ids::{Blocks, Dagtag, NodeId, NodeMask, Uuid, VolumeMask, VolumeNumber};
use crate::page::{Digest, Payload};
use crate::state::{DiskState, ReplState, Role};
use std::sync::Arc;

/// The two sockets of a connection. They are not ordered against each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stream {
    /// The ordered stream of requests ("D").
    Data,
    /// Acknowledgements and pings ("M").
    Control,
}

/// Opaque cookie that the receiver of a request echoes (`block_id`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct BlockId(pub u64);

/// `uuid_flags` of P_UUIDS110.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct UuidFlags(pub u64);

impl UuidFlags {
    /// The sender wants its own data thrown away.
    pub const DISCARD_MY_DATA: u64 = 0x1;
    /// The sender was Primary when it crashed.
    pub const CRASHED_PRIMARY: u64 = 0x2;
    /// The sender's disk is Inconsistent.
    pub const INCONSISTENT: u64 = 0x4;
    /// Copies that were just created are all the same as the sender's.
    pub const SKIP_INITIAL_SYNC: u64 = 0x8;
    /// The packet announces a new data generation.
    pub const NEW_DATAGEN: u64 = 0x10;
    /// The sender is Primary or has no Primary neighbour.
    pub const STABLE: u64 = 0x20;
    /// A resync from an unstable source ended at a now stable one.
    pub const GOT_STABLE: u64 = 0x40;
    /// Please compare, and resync if needed.
    pub const RESYNC: u64 = 0x80;
    /// This connection was Connected before, since the connection object exists.
    pub const RECONNECT: u64 = 0x100;
    /// With RESYNC: the Primary is diskless.
    pub const DISKLESS_PRIMARY: u64 = 0x200;
    /// The sender was Primary when it lost quorum.
    pub const PRIMARY_LOST_QUORUM: u64 = 0x400;
    /// The sender is SyncTarget of another node.
    pub const SYNC_TARGET: u64 = 0x800;
    /// The bitmap UUIDs list the generation that the day0 slot counts from, under the node id in
    /// the highest byte.
    pub const HAS_UNALLOC: u64 = 0x1000;
    /// The sender's host went down without a clean detach, and the copy was not compared since: it
    /// may lack what it had not flushed. (Not DRBD's; a kernel ignores it.)
    pub const UNCLEAN: u64 = 1 << 32;
    /// With RESYNC: these are the answer to UUIDs that came with RESYNC, not a question. (Not
    /// DRBD's; a kernel ignores it.)
    pub const ANSWER: u64 = 1 << 33;
    /// Are all bits of `flag` set?
    pub fn has(self, flag: u64) -> bool {
        self.0 & flag == flag
    }
}

/// P_UUIDS110.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Uuids {
    /// Current UUID; while SyncTarget of another node the one of that source ("resolved").
    pub current: Uuid,
    /// The generation that the sender really has: while SyncTarget the one that it is leaving.
    /// (DRBD lists it in the slot of the receiver.)
    pub held: Uuid,
    /// The sender's out-of-sync bits towards the receiver.
    pub dirty_bits: u64,
    /// See [`UuidFlags`].
    pub flags: UuidFlags,
    /// Weak nodes with NEW_DATAGEN; otherwise Primaries that the sender receives writes from. (DRBD
    /// fills it in without STABLE alone.)
    pub node_mask: NodeMask,
    /// Bitmap UUID per listed node id. Unlisted is unknown, listed zero is "in sync as far as I
    /// know".
    pub bitmap: Vec<(NodeId, Uuid)>,
    /// History, newest first, at most 32.
    pub history: Vec<Uuid>,
}

/// P_SIZES, in 4 KiB blocks.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Sizes {
    /// Backing capacity usable for data, 0 if diskless.
    pub disk: u64,
    /// Administrator's limit, 0 for none.
    pub user: u64,
    /// Size exposed now; 0: none that a peer could be held to.
    pub current: u64,
    /// `dds_flags`, 2 (no_resync): what was added last is taken as identical.
    pub no_resync: bool,
}

/// P_STATE of one volume.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerState {
    /// The sender's role.
    pub role: Role,
    /// The sender's disk.
    pub disk: DiskState,
    /// What the sender believes of the receiver's disk.
    pub peer_disk: DiskState,
    /// The sender's replication state towards the receiver.
    pub repl: ReplState,
    /// Resync paused by the sender (aftr_isp, user_isp, other connection).
    pub resync_paused: bool,
    /// The sender's volume has quorum.
    pub quorum: bool,
    /// The sender is suspended.
    pub suspended: bool,
}

/// Identity of a two-phase commit: initiator and its random, non-zero number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TwopcId {
    /// The initiator.
    pub initiator: NodeId,
    /// `tid`.
    pub tid: u32,
}

/// What a two-phase commit changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Connect initiator and target; the initiator's role with it.
    Connect,
    /// Graceful disconnect of initiator and target; the initiator outdates itself if it says so.
    Disconnect {
        /// The initiator's disk becomes Outdated.
        outdate_me: bool,
        /// The target's disk becomes Outdated.
        outdate_you: bool,
    },
    /// The initiator becomes Primary.
    Promote,
    /// The initiator becomes Secondary.
    Demote,
    /// Nothing: finds out who is there (after a lost peer, or to settle Consistent).
    Empty,
    /// Target and initiator copy everything anew, one from the other.
    Resync {
        /// Volume.
        volume: VolumeNumber,
        /// The initiator is the one that is overwritten (`invalidate`).
        to_initiator: bool,
    },
    /// The initiator verifies its copy against the target's.
    Verify {
        /// Volume.
        volume: VolumeNumber,
    },
    /// The initiator makes a new current UUID on an administrator's word. (DRBD asks nobody.)
    NewCurrent {
        /// Volume.
        volume: VolumeNumber,
    },
    /// P_TWOPC_PREP_RSZ: every copy gets as large as all can be.
    Resize {
        /// Volume.
        volume: VolumeNumber,
        /// `user_size` in 4 KiB blocks: no larger than this; 0: no limit.
        user: u64,
        /// `dds_flags`, 1: copies that cannot be reached are taken to have room.
        assume_room: bool,
        /// `dds_flags`, 2: what is added is taken as identical.
        no_resync: bool,
    },
    /// The initiator's disk changes (graceful detach, outdate).
    Disk {
        /// Volume.
        volume: VolumeNumber,
        /// New disk state of the initiator.
        to: DiskState,
    },
}

/// P_TWOPC_PREPARE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TwopcRequest {
    /// Transaction.
    pub id: TwopcId,
    /// `None`: everybody.
    pub target: Option<NodeId>,
    /// Nodes that the request has not reached yet.
    pub nodes_to_reach: NodeMask,
    /// The change.
    pub change: Change,
}

/// What P_TWOPC_YES collects.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct TwopcReply {
    /// Nodes that can be reached from below here.
    pub reachable: NodeMask,
    /// Primaries among them.
    pub primaries: NodeMask,
    /// Nodes without access to the Primary's data.
    pub weak: NodeMask,
    /// Volumes of which a Primary has no good data. (Ours: DRBD has one answer for all volumes.)
    pub incapable: VolumeMask,
    /// Nodes of which a Primary has the only good copy, of each volume. (Ours.)
    pub relied_on: NodeMask,
    /// Of a resize, `max_possible_size`: the blocks that all copies have room for; `None`: nothing
    /// limits it.
    pub max_size: Option<u64>,
}

/// How a participant answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TwopcVote {
    /// P_TWOPC_YES.
    Yes(TwopcReply),
    /// P_TWOPC_NO.
    No,
    /// P_TWOPC_RETRY.
    Retry,
}

/// P_TWOPC_COMMIT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TwopcCommit {
    /// The request that is committed.
    pub request: TwopcRequest,
    /// All Primaries that will be.
    pub primaries: NodeMask,
    /// All nodes that can be reached.
    pub reachable: NodeMask,
    /// PRI_INCAPABLE: there is a Primary, but it has no good data, of no volume.
    pub primary_incapable: bool,
    /// Volumes of which it has none, while it has of others.
    pub incapable: VolumeMask,
    /// Nodes of which it has the only good copy, of each volume.
    pub relied_on: NodeMask,
    /// Of a resize, `exposed_size`: the new size in blocks, 0 for any other change.
    pub size: u64,
}

/// A packet. `Data*` and everything not named otherwise travels on [`Stream::Data`].
#[derive(Clone, PartialEq, Debug)]
pub enum Packet {
    /// P_DATA: an application write.
    Data {
        /// Volume.
        volume: VolumeNumber,
        /// Where.
        at: Blocks,
        /// Cookie for the ack.
        id: BlockId,
        /// Contents.
        payload: Payload,
        /// DP_MAY_SET_IN_SYNC: the ack may clear bits.
        may_set_in_sync: bool,
        /// DP_FUA.
        fua: bool,
    },
    /// P_TRIM: an application discard.
    Trim {
        /// Volume.
        volume: VolumeNumber,
        /// Where.
        at: Blocks,
        /// Cookie for the ack.
        id: BlockId,
        /// DP_MAY_SET_IN_SYNC.
        may_set_in_sync: bool,
    },
    /// P_DATA_REQUEST: a read by a node that cannot read locally.
    DataRequest {
        /// Volume.
        volume: VolumeNumber,
        /// Where.
        at: Blocks,
        /// Cookie for the reply.
        id: BlockId,
    },
    /// P_DATA_REPLY.
    DataReply {
        /// Cookie of the request.
        id: BlockId,
        /// Contents.
        payload: Payload,
    },
    /// P_NEG_DREPLY (control): the read failed.
    NegDReply {
        /// Cookie of the request.
        id: BlockId,
    },
    /// P_BARRIER: closes the epoch `nr`.
    Barrier {
        /// Epoch number, a cookie.
        nr: u32,
    },
    /// P_BARRIER_ACK (control).
    BarrierAck {
        /// Epoch number.
        nr: u32,
        /// Writes of that epoch.
        set_size: u32,
    },
    /// P_WRITE_ACK, or P_WRITE_ACK_IN_SYNC (control).
    WriteAck {
        /// Cookie of the write.
        id: BlockId,
        /// P_WRITE_ACK_IN_SYNC: both clear the bits.
        in_sync: bool,
    },
    /// P_NEG_ACK (control): the write failed or there is no disk.
    NegAck {
        /// Cookie of the write.
        id: BlockId,
    },
    /// P_OUT_OF_SYNC: the sender dirtied blocks that it does not send.
    OutOfSync {
        /// Volume.
        volume: VolumeNumber,
        /// Where.
        at: Blocks,
    },
    /// P_DAGTAG: the sender's position in its own write stream.
    Dagtag(Dagtag),
    /// P_PEER_DAGTAG: how far the sender followed the lost Primary `node`.
    PeerDagtag {
        /// The lost Primary.
        node: NodeId,
        /// Last position received from it.
        dagtag: Dagtag,
    },
    /// P_PEER_ACK (control): all writes up to `dagtag` are on the nodes in `mask`.
    PeerAck {
        /// Nodes that have them.
        mask: NodeMask,
        /// Position in the sender's stream.
        dagtag: Dagtag,
    },
    /// P_PEERS_IN_SYNC (control): sender and `mask` hold the same data here.
    PeersInSync {
        /// Volume.
        volume: VolumeNumber,
        /// Where.
        at: Blocks,
        /// The nodes.
        mask: NodeMask,
    },
    /// P_RS_DATA_REQUEST, with a dagtag P_RS_DAGTAG_REQ: the target asks for blocks. With a digest
    /// P_CSUM_RS_REQUEST, or P_RS_CSUM_DAGTAG_REQ: unless it has them already.
    RsDataRequest {
        /// Volume.
        volume: VolumeNumber,
        /// Where.
        at: Blocks,
        /// Cookie.
        id: BlockId,
        /// The newest write of the Primary that the target knows.
        dagtag: Option<(NodeId, Dagtag)>,
        /// What the target has.
        digest: Option<Digest>,
        /// P_RS_THIN_REQ, or P_RS_THIN_DAGTAG_REQ: if nothing is there, it need not be sent.
        thin: bool,
    },
    /// P_RS_DEALLOCATED: all of it is zero.
    RsDeallocated {
        /// Cookie of the request.
        id: BlockId,
    },
    /// P_RS_IS_IN_SYNC (control): the digests are equal.
    RsIsInSync {
        /// Cookie of the request.
        id: BlockId,
    },
    /// P_RS_DATA_REPLY.
    RsDataReply {
        /// Cookie of the request.
        id: BlockId,
        /// Contents.
        payload: Payload,
    },
    /// P_NEG_RS_DREPLY (control): the source cannot read.
    NegRsDReply {
        /// Cookie of the request.
        id: BlockId,
    },
    /// P_RS_WRITE_ACK (control): resync data is written; both clear the bits.
    RsWriteAck {
        /// Cookie of the request.
        id: BlockId,
    },
    /// P_RS_NEG_ACK (control).
    RsNegAck {
        /// Cookie of the request.
        id: BlockId,
    },
    /// P_OV_REQUEST, with a dagtag P_OV_DAGTAG_REQ: what is there?
    OvRequest {
        /// Volume.
        volume: VolumeNumber,
        /// Where.
        at: Blocks,
        /// Cookie.
        id: BlockId,
        /// The newest write of the Primary that the sender knows.
        dagtag: Option<(NodeId, Dagtag)>,
    },
    /// P_OV_REPLY, with a dagtag P_OV_DAGTAG_REPLY.
    OvReply {
        /// Cookie of the request.
        id: BlockId,
        /// What is there; `None` if it cannot be told.
        digest: Option<Digest>,
        /// The newest write of the Primary that may be in it.
        dagtag: Option<(NodeId, Dagtag)>,
    },
    /// P_OV_RESULT (control).
    OvResult {
        /// Volume.
        volume: VolumeNumber,
        /// Where.
        at: Blocks,
        /// Cookie of the request.
        id: BlockId,
        /// The two differ: both mark it out of sync.
        differs: bool,
    },
    /// P_FLUSH_REQUESTS: the ending target asks the Primary to let no write be missed.
    FlushRequests {
        /// Sequence number of the sender.
        seq: u32,
    },
    /// P_FLUSH_FORWARD (control).
    FlushForward {
        /// Sequence number of the initiator.
        seq: u32,
        /// The target that asked.
        initiator: NodeId,
    },
    /// P_FLUSH_REQUESTS_ACK.
    FlushRequestsAck {
        /// Sequence number of the initiator.
        seq: u32,
        /// The Primary.
        primary: NodeId,
    },
    /// P_BITMAP: the whole bitmap of one volume.
    Bitmap {
        /// Volume.
        volume: VolumeNumber,
        /// Little-endian words, bit i is block i.
        words: Arc<[u64]>,
    },
    /// P_SIZES.
    Sizes(VolumeNumber, Sizes),
    /// P_UUIDS110.
    Uuids(VolumeNumber, Arc<Uuids>),
    /// P_CURRENT_UUID.
    CurrentUuid {
        /// Volume.
        volume: VolumeNumber,
        /// The sender's exposed (diskless) or new current UUID.
        uuid: Uuid,
        /// Weak nodes.
        weak: NodeMask,
    },
    /// P_STATE.
    State(VolumeNumber, PeerState),
    /// P_TWOPC_PREPARE.
    TwopcPrepare(TwopcRequest),
    /// P_TWOPC_YES, P_TWOPC_NO, P_TWOPC_RETRY (control).
    TwopcVote(TwopcId, TwopcVote),
    /// P_TWOPC_COMMIT.
    TwopcCommit(TwopcCommit),
    /// P_TWOPC_ABORT.
    TwopcAbort(TwopcRequest),
    /// P_DISCONNECT: stop trying to connect.
    Disconnect,
    /// P_PING (control).
    Ping,
    /// P_PING_ACK (control).
    PingAck,
}

impl Packet {
    /// The socket that the packet travels on.
    pub fn stream(&self) -> Stream {
        use Packet::*;
        match self {
            NegDReply { .. } | BarrierAck { .. } | WriteAck { .. } | NegAck { .. } => {
                Stream::Control
            }
            PeerAck { .. } | PeersInSync { .. } | NegRsDReply { .. } => Stream::Control,
            RsWriteAck { .. } | RsNegAck { .. } | FlushForward { .. } => Stream::Control,
            RsIsInSync { .. } => Stream::Control,
            TwopcVote(..) | Ping | PingAck | OvResult { .. } => Stream::Control,
            _ => Stream::Data,
        }
    }

    /// DRBD's name of it.
    pub fn name(&self) -> &'static str {
        use Packet::*;
        match self {
            Data { .. } => "P_DATA",
            Trim { .. } => "P_TRIM",
            DataRequest { .. } => "P_DATA_REQUEST",
            DataReply { .. } => "P_DATA_REPLY",
            NegDReply { .. } => "P_NEG_DREPLY",
            Barrier { .. } => "P_BARRIER",
            BarrierAck { .. } => "P_BARRIER_ACK",
            NegAck { .. } => "P_NEG_ACK",
            OutOfSync { .. } => "P_OUT_OF_SYNC",
            PeerAck { .. } => "P_PEER_ACK",
            PeersInSync { .. } => "P_PEERS_IN_SYNC",
            RsDataReply { .. } => "P_RS_DATA_REPLY",
            NegRsDReply { .. } => "P_NEG_RS_DREPLY",
            RsWriteAck { .. } => "P_RS_WRITE_ACK",
            RsNegAck { .. } => "P_RS_NEG_ACK",
            FlushRequests { .. } => "P_FLUSH_REQUESTS",
            FlushForward { .. } => "P_FLUSH_FORWARD",
            FlushRequestsAck { .. } => "P_FLUSH_REQUESTS_ACK",
            Bitmap { .. } => "P_BITMAP",
            CurrentUuid { .. } => "P_CURRENT_UUID",
            PeerDagtag { .. } => "P_PEER_DAGTAG",
            WriteAck { in_sync: false, .. } => "P_WRITE_ACK",
            WriteAck { .. } => "P_WRITE_ACK_IN_SYNC",
            RsDataRequest { dagtag: None, digest: Some(_), .. } => "P_CSUM_RS_REQUEST",
            RsDataRequest { digest: Some(_), .. } => "P_RS_CSUM_DAGTAG_REQ",
            RsDataRequest { dagtag: None, thin: true, .. } => "P_RS_THIN_REQ",
            RsDataRequest { thin: true, .. } => "P_RS_THIN_DAGTAG_REQ",
            RsDataRequest { dagtag: None, .. } => "P_RS_DATA_REQUEST",
            RsDataRequest { .. } => "P_RS_DAGTAG_REQ",
            RsIsInSync { .. } => "P_RS_IS_IN_SYNC",
            RsDeallocated { .. } => "P_RS_DEALLOCATED",
            OvRequest { dagtag: None, .. } => "P_OV_REQUEST",
            OvRequest { .. } => "P_OV_DAGTAG_REQ",
            OvReply { dagtag: None, .. } => "P_OV_REPLY",
            OvReply { .. } => "P_OV_DAGTAG_REPLY",
            OvResult { .. } => "P_OV_RESULT",
            Dagtag(_) => "P_DAGTAG",
            Sizes(..) => "P_SIZES",
            Uuids(..) => "P_UUIDS110",
            State(..) => "P_STATE",
            TwopcPrepare(request) => match request.change {
                Change::Resize { .. } => "P_TWOPC_PREP_RSZ",
                _ => "P_TWOPC_PREPARE",
            },
            TwopcVote(_, vote) => match vote {
                self::TwopcVote::Yes(_) => "P_TWOPC_YES",
                self::TwopcVote::No => "P_TWOPC_NO",
                self::TwopcVote::Retry => "P_TWOPC_RETRY",
            },
            TwopcCommit(_) => "P_TWOPC_COMMIT",
            TwopcAbort(_) => "P_TWOPC_ABORT",
            Disconnect => "P_DISCONNECT",
            Ping => "P_PING",
            PingAck => "P_PING_ACK",
        }
    }

    /// Bytes on the wire, the 16-byte header included.
    pub fn wire_len(&self) -> u32 {
        use Packet::*;
        let pages = |payload: &Payload| payload.len() as u32 * Blocks::BYTES as u32;
        16 + match self {
            Data { payload, .. } => 24 + pages(payload),
            DataReply { payload, .. } | RsDataReply { payload, .. } => 24 + pages(payload),
            Trim { .. } => 28,
            DataRequest { .. } | NegDReply { .. } | WriteAck { .. } | NegAck { .. } => 24,
            NegRsDReply { .. } | RsWriteAck { .. } | RsNegAck { .. } | PeersInSync { .. } => 24,
            RsDataRequest { .. } | OvRequest { .. } => 32,
            OvReply { .. } => 44,
            OvResult { .. } | RsIsInSync { .. } | RsDeallocated { .. } => 24,
            Barrier { .. } | BarrierAck { .. } | Dagtag(_) | FlushRequests { .. } => 8,
            OutOfSync { .. } | PeerAck { .. } | CurrentUuid { .. } => 16,
            PeerDagtag { .. } | FlushForward { .. } | FlushRequestsAck { .. } => 12,
            Bitmap { words, .. } => words.len() as u32 * 8,
            Sizes(..) => 56,
            Uuids(_, u) => 40 + 8 * (u.bitmap.len() + u.history.len()) as u32,
            State(..) => 4,
            TwopcPrepare(_) | TwopcCommit(_) | TwopcAbort(_) => 36,
            TwopcVote(..) => 32,
            Disconnect | Ping | PingAck => 0,
        }
    }
}

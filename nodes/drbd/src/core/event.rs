//! What goes into [`Resource::step`](super::Resource::step) and what comes out.

use super::config::{PeerConfig, PeerDeviceOptions};
use crate::ids::{Blocks, NodeId, NodeMask, Time, Uuid, VolumeNumber};
use crate::packet::Packet;
use crate::page::{Page, Payload};
use crate::state::{ConnState, DiskState, ReplState, Role};
use std::sync::Arc;

/// Names an application request from submission to completion; the caller's choice, unique while in
/// flight.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub u64);

/// Names a request to the lower device from [`Action::Lower`] to [`Event::LowerDone`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct IoTag(pub u64);

/// Names a command from [`Event::Command`] to [`Action::Reply`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CommandId(pub u64);

/// What an application asks of `/dev/drbdN`.
#[derive(Clone, PartialEq, Debug)]
pub enum Request {
    /// Read whole blocks.
    Read(Blocks),
    /// Write whole blocks: one page for each.
    Write {
        /// First block; the payload gives the length.
        start: u64,
        /// Contents.
        payload: Payload,
        /// REQ_FUA.
        fua: bool,
    },
    /// Empty flush.
    Flush,
    /// Discard; reads as zero afterwards.
    Discard(Blocks),
}

/// An I/O error, as the application or the lower device sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IoError;

/// How a request to the lower device ended. A read carries its pages, everything else none.
pub type LowerResult = Result<Option<Payload>, IoError>;

/// A request to a lower device, in its own 4 KiB blocks: data from 0, internal metadata at the end.
#[derive(Clone, PartialEq, Debug)]
pub enum Lower {
    /// Read.
    Read(Blocks),
    /// Write. `preflush` makes all earlier completed writes of the device durable first, `fua` this
    /// one.
    Write {
        /// First block.
        start: u64,
        /// Contents.
        payload: Payload,
        /// REQ_PREFLUSH.
        preflush: bool,
        /// REQ_FUA.
        fua: bool,
    },
    /// Make all earlier completed writes durable.
    Flush,
    /// Discard.
    Discard(Blocks),
}

/// Names a call of a handler from [`Action::Call`] to [`Event::Called`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CallId(pub u64);

macro_rules! handlers {
    ($($(#[$doc:meta])* $name:ident $word:literal,)*) => {
        /// A program that `drbd.conf(5)` names in the section `handlers`.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Handler { $($(#[$doc])* $name,)* }

        impl Handler {
            /// All of them.
            pub const ALL: &[Handler] = &[$(Handler::$name,)*];

            /// Its name in `drbd.conf(5)`.
            pub fn name(self) -> &'static str {
                match self { $(Handler::$name => $word,)* }
            }

            /// The handler of this name.
            pub fn named(word: &str) -> Option<Handler> {
                Handler::ALL.iter().copied().find(|handler| handler.name() == word)
            }
        }
    };
}

handlers! {
    /// A peer that cannot be seen is to be kept from going on with its copy.
    FencePeer "fence-peer",
    /// It has been resynced: it may again.
    UnfencePeer "unfence-peer",
    /// This copy is about to be overwritten; anything but exit code 0 ends the connection.
    BeforeResyncTarget "before-resync-target",
    /// It was.
    AfterResyncTarget "after-resync-target",
    /// A peer's copy is about to be overwritten; exit codes other than 0 and 3 end the connection.
    BeforeResyncSource "before-resync-source",
    /// A Primary lost all good data, and its own copy is Inconsistent.
    PriOnInconDegr "pri-on-incon-degr",
    /// A Primary is to be overwritten (`rr-conflict call-pri-lost`).
    PriLost "pri-lost",
    /// A Primary lost a split brain.
    PriLostAfterSb "pri-lost-after-sb",
    /// A split brain, before any policy.
    InitialSplitBrain "initial-split-brain",
    /// A split brain that no policy settled.
    SplitBrain "split-brain",
    /// A Primary lost quorum.
    QuorumLost "quorum-lost",
    /// A connection was lost.
    Disconnected "disconnected",
    /// A request for data failed (`on-io-error call-local-io-error`).
    LocalIoError "local-io-error",
    /// A verify ended, and something is out of sync.
    OutOfSync "out-of-sync",
}

/// How far a handler is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ran {
    /// None is configured, which counts as exit code 0.
    Nothing,
    /// It was started.
    Started,
    /// It ended with this exit code.
    Exit(u8),
}

/// An administrator's command, as `drbdsetup` would send it.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// Attach the lower device of a volume, whose size in 4 KiB blocks is given.
    Attach(VolumeNumber, u64),
    /// Detach; `force` does not wait for I/O.
    Detach(VolumeNumber, bool),
    /// Start to connect to a configured peer.
    Connect(NodeId),
    /// As above, with `--discard-my-data`: in a split brain this node's data is thrown away.
    ConnectDiscarding(NodeId),
    /// Leave a peer; `force` does not ask it.
    Disconnect(NodeId, bool),
    /// Become Primary; `force` takes what data there is.
    Primary(bool),
    /// Become Secondary; `force` fails the I/O of those who have it open.
    Secondary(bool),
    /// Freeze application I/O.
    SuspendIo,
    /// Thaw it.
    ResumeIo,
    /// Mark the disk of a volume Outdated.
    Outdate(VolumeNumber),
    /// Copy everything anew from a peer (`--sync-from-peer-node-id`), or from any that has it.
    Invalidate(VolumeNumber, Option<NodeId>),
    /// Have a peer copy everything anew from here.
    InvalidateRemote(VolumeNumber, NodeId),
    /// `new-peer`: a peer that the resource came up without; StandAlone until it is connected to.
    NewPeer(PeerConfig),
    /// `new-current-uuid`: a new data generation.
    NewCurrentUuid(VolumeNumber, InitialSync),
    /// Forget a peer that is gone for good: its bitmap slot is free from then on.
    ForgetPeer(NodeId),
    /// `verify`: compare this copy with a peer's.
    Verify {
        /// Volume.
        volume: VolumeNumber,
        /// The peer.
        node: NodeId,
        /// First block; by default where the last verify was interrupted.
        start: Option<u64>,
        /// The block before which it ends; by default the end of the device.
        stop: Option<u64>,
    },
    /// `resize`: every copy gets as large as all can be.
    Resize(VolumeNumber, Resize),
    /// `pause-sync`: a resync with this peer stands still until it is resumed.
    PauseSync(VolumeNumber, NodeId),
    /// `resume-sync`.
    ResumeSync(VolumeNumber, NodeId),
    /// `disk-options --resync-after`: the minor that comes before this volume, or none.
    ResyncAfter(VolumeNumber, Option<u32>),
    /// `peer-device-options`: the pace of resyncs with this peer, from now on.
    PeerDeviceOptions(NodeId, VolumeNumber, PeerDeviceOptions),
    /// `down`: disconnect and detach everything; the resource goes away with the reply.
    Down,
}

/// The options of `resize`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Resize {
    /// `--size` in 4 KiB blocks: no larger than this; `None`: as large as possible.
    pub size: Option<u64>,
    /// `--assume-clean`: what is added is taken as identical.
    pub assume_clean: bool,
    /// `--assume-peer-has-space`: copies that cannot be reached are taken to have room.
    pub assume_peer_has_space: bool,
}

/// What `new-current-uuid` makes of the initial sync of copies that were just created.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InitialSync {
    /// Nothing is said: no peer may be connected.
    Unsaid,
    /// `--clear-bitmap`: they are taken as identical.
    Skip,
    /// `--force-resync`: they are overwritten with this node's.
    Force,
}

/// Why a command, an open or a state change was refused: DRBD's codes. Negative ones are `SS_`, of
/// the state engine; from 101 on they are `ERR_`, of the administrative interface. For numbers and
/// texts see [`Refusal::number`] and [`Refusal::text`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(i16)]
pub enum Refusal {
    /// SS_TWO_PRIMARIES
    TwoPrimaries = -1,
    /// SS_NO_UP_TO_DATE_DISK
    NoUpToDateDisk = -2,
    /// SS_NO_LOCAL_DISK
    NoLocalDisk = -4,
    /// SS_NO_REMOTE_DISK
    NoRemoteDisk = -5,
    /// SS_CONNECTED_OUTDATES
    ConnectedOutdates = -6,
    /// SS_PRIMARY_NOP
    PrimaryNop = -7,
    /// SS_RESYNC_RUNNING
    ResyncRunning = -8,
    /// SS_ALREADY_STANDALONE
    AlreadyStandalone = -9,
    /// SS_CW_FAILED_BY_PEER
    FailedByPeer = -10,
    /// SS_IS_DISKLESS
    IsDiskless = -11,
    /// SS_DEVICE_IN_USE
    DeviceInUse = -12,
    /// SS_NO_NET_CONFIG
    NoNetConfig = -13,
    /// SS_NO_VERIFY_ALG
    NoVerifyAlg = -14,
    /// SS_NEED_CONNECTION
    NeedConnection = -15,
    /// SS_LOWER_THAN_OUTDATED
    LowerThanOutdated = -16,
    /// SS_NOT_SUPPORTED
    NotSupported = -17,
    /// SS_IN_TRANSIENT_STATE
    InTransientState = -18,
    /// SS_CONCURRENT_ST_CHG
    Concurrent = -19,
    /// SS_O_VOL_PEER_PRI
    OtherVolumePrimary = -20,
    /// SS_INTERRUPTED
    Interrupted = -21,
    /// SS_PRIMARY_READER
    PrimaryReader = -22,
    /// SS_TIMEOUT
    Timeout = -23,
    /// SS_WEAKLY_CONNECTED
    WeaklyConnected = -24,
    /// SS_NO_QUORUM
    NoQuorum = -25,
    /// SS_ATTACH_NO_BITMAP
    AttachNoBitmap = -26,
    /// SS_HANDSHAKE_DISCONNECT
    HandshakeDisconnect = -27,
    /// SS_HANDSHAKE_RETRY
    HandshakeRetry = -28,
    /// ERR_DISK_TOO_SMALL
    DiskTooSmall = 111,
    /// ERR_IO_MD_DISK
    MetadataIo = 118,
    /// ERR_MD_INVALID
    BadMetadata = 119,
    /// ERR_DISCARD_IMPOSSIBLE
    DiscardImpossible = 123,
    /// ERR_DISK_CONFIGURED
    DiskConfigured = 124,
    /// ERR_NET_CONFIGURED
    NetConfigured = 125,
    /// ERR_MINOR_INVALID
    MinorInvalid = 127,
    /// ERR_RESIZE_RESYNC
    ResizeDuringResync = 130,
    /// ERR_NO_PRIMARY
    NoPrimary = 131,
    /// ERR_RESYNC_AFTER_CYCLE
    ResyncAfterCycle = 133,
    /// ERR_PAUSE_IS_SET
    PauseIsSet = 134,
    /// ERR_PAUSE_IS_CLEAR
    PauseIsClear = 135,
    /// ERR_NO_DISK
    NoDisk = 138,
    /// ERR_DATA_NOT_CURRENT
    DataNotCurrent = 150,
    /// ERR_CONNECTED
    NeedStandalone = 151,
    /// ERR_PIC_AFTER_DEP
    PausedByDependency = 156,
    /// ERR_PIC_PEER_DEP
    PausedByPeer = 157,
    /// ERR_INVALID_REQUEST
    InvalidRequest = 162,
    /// ERR_IMPLICIT_SHRINK
    ImplicitShrink = 170,
    /// ERR_INVALID_PEER_NODE_ID
    InvalidPeerNodeId = 171,
}

/// Something happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A command; answered by [`Action::Reply`].
    Command(CommandId, Command),
    /// Somebody opens the device of a volume (`true`: for writing); answered by [`Action::Reply`].
    Open(CommandId, VolumeNumber, bool),
    /// Somebody closes what was opened (`true`: for writing).
    Close(VolumeNumber, bool),
    /// Application I/O on a device that is open; answered by [`Action::Complete`].
    Submit(VolumeNumber, RequestId, Request),
    /// A request to the lower device ended.
    LowerDone(IoTag, LowerResult),
    /// Both sockets to a peer are up and the features are agreed.
    LinkUp(NodeId),
    /// A socket to a peer failed or was closed by the peer.
    LinkDown(NodeId, LinkFault),
    /// A packet from a peer whose link is up.
    Packet(NodeId, Packet),
    /// The lower device of a volume has so many 4 KiB blocks from now on.
    LowerResized(VolumeNumber, u64),
    /// A device before this volume in its chain of `resync-after` is busy, or (`false`) none is any
    /// more; see [`Resource::holds_back`](super::Resource::holds_back).
    Waits(VolumeNumber, bool),
    /// The alarm set by [`Action::WakeAt`] went off.
    Wake,
    /// A handler ended with this exit code.
    Called(CallId, u8),
}

/// How a link ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkFault {
    /// The peer closed it.
    Closed,
    /// Reset or timed out.
    Broken,
}

/// Something to do. The caller carries actions out in order.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// Try to connect both sockets to this peer until it works ([`Event::LinkUp`]) or
    /// [`Action::Unlink`].
    Link(NodeId),
    /// Close both sockets to this peer, or stop trying. No [`Event::LinkDown`] follows.
    Unlink(NodeId),
    /// Send a packet on its stream. Packets of one stream keep their order.
    Send(NodeId, Packet),
    /// A request to the lower device of a volume; ends in [`Event::LowerDone`].
    Lower(VolumeNumber, IoTag, Lower),
    /// An application request is finished.
    Complete {
        /// Volume.
        volume: VolumeNumber,
        /// The request.
        id: RequestId,
        /// Pages for a read, `None` for the rest.
        result: LowerResult,
        /// For a write or discard: the nodes that acknowledged it (this one if its own disk has
        /// it). For a flush: this node if its own disk was flushed.
        copies: NodeMask,
    },
    /// A command or an open is finished.
    Reply(CommandId, Result<(), Refusal>),
    /// Run a handler of the administrator; ends in [`Event::Called`]. The peer and the volume that
    /// it is about go into its environment (`DRBD_PEER_NODE_ID`, `DRBD_VOLUME`).
    Call {
        /// Names the call.
        id: CallId,
        /// Which one.
        handler: Handler,
        /// The peer.
        peer: Option<NodeId>,
        /// The volume.
        volume: Option<VolumeNumber>,
    },
    /// Call with [`Event::Wake`] at this time; replaces the previous one. `None`: no alarm.
    WakeAt(Option<Time>),
    /// Something to log, to show in `events2`, and for checkers to see.
    Notice(Notice),
}

/// A change that an administrator would see.
#[derive(Clone, PartialEq, Debug)]
pub enum Notice {
    /// Role of this node.
    Role(Role),
    /// Disk state of a volume of this node.
    Disk(VolumeNumber, DiskState),
    /// Quorum of a volume of this node.
    Quorum(VolumeNumber, bool),
    /// Application I/O is suspended, or no longer.
    Suspended(bool),
    /// Connection to a peer.
    Connection(NodeId, ConnState),
    /// What is known of the role of a peer.
    PeerRole(NodeId, Role),
    /// Replication towards a peer.
    Repl(NodeId, VolumeNumber, ReplState),
    /// What is known of the disk of a peer.
    PeerDisk(NodeId, VolumeNumber, DiskState),
    /// A handshake was decided: the rule and its verdict, in DRBD's words.
    Handshake(NodeId, VolumeNumber, &'static str, &'static str),
    /// A resync of this node from the peer ended and this node has all its data (`true`: stable).
    ResyncDone(NodeId, VolumeNumber, bool),
    /// A verify with this peer ended.
    VerifyDone {
        /// The peer.
        node: NodeId,
        /// Volume.
        volume: VolumeNumber,
        /// Blocks that differed.
        found: u64,
        /// Blocks that are out of sync now.
        left: u64,
    },
    /// The device of a volume of this node has so many 4 KiB blocks from now on.
    Size(VolumeNumber, u64),
    /// A new data generation.
    NewCurrentUuid(VolumeNumber, Uuid),
    /// A handler was due, for this peer and volume.
    Handler(Handler, Option<NodeId>, Option<VolumeNumber>, Ran),
    /// Anything else worth a line.
    Note(String),
}

/// `copies` of a request that no node has.
pub const NO_COPY: NodeMask = NodeMask::NONE;

/// One page as a payload.
pub fn one(page: Page) -> Payload {
    Arc::new([page])
}

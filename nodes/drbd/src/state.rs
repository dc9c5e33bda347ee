//! The states of DRBD 9 with DRBD's names (`drbd_conn_str` and friends) and wire numbers.

use std::fmt;

macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $number:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $number,)* }

        impl $name {
            /// The word that DRBD's tools print.
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => stringify!($variant),)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

states! {
    /// Role of a resource on one node.
    Role {
        /// Not known (peers that are not connected).
        Unknown = 0,
        /// May write.
        Primary = 1,
        /// May not write.
        Secondary = 2,
    }
}

states! {
    /// State of a local or a peer's disk, worst first.
    DiskState {
        /// No disk.
        Diskless = 0,
        /// Metadata is being read.
        Attaching = 1,
        /// Being detached.
        Detaching = 2,
        /// An I/O error was seen; becomes Diskless next.
        Failed = 3,
        /// Attached while connected; waits for the verdict of the handshake.
        Negotiating = 4,
        /// Holds data that is neither old nor new.
        Inconsistent = 5,
        /// Consistent, but a newer generation exists.
        Outdated = 6,
        /// A peer's disk that cannot be seen.
        DUnknown = 7,
        /// Consistent; whether newer data exists elsewhere is not known yet.
        Consistent = 8,
        /// The newest data.
        UpToDate = 9,
    }
}

states! {
    /// State of a connection to one peer.
    ConnState {
        /// No connection is wanted.
        StandAlone = 0,
        /// On the way to StandAlone.
        Disconnecting = 1,
        /// On the way to Connecting.
        Unconnected = 2,
        /// The peer did not answer in time.
        Timeout = 3,
        /// The peer closed the connection.
        BrokenPipe = 4,
        /// The network failed.
        NetworkFailure = 5,
        /// The peer said something that cannot be.
        ProtocolError = 6,
        /// The peer closes the connection on purpose.
        TearDown = 7,
        /// Trying; the connect handshake included.
        Connecting = 8,
        /// Connected.
        Connected = 9,
    }
}

states! {
    /// Replication state of one volume towards one peer.
    ReplState {
        /// Not connected.
        Off = 0,
        /// Every write is replicated.
        Established = 10,
        /// A full resync towards the peer begins.
        StartingSyncS = 11,
        /// A full resync from the peer begins.
        StartingSyncT = 12,
        /// Exchanging bitmaps as the source-to-be.
        WFBitMapS = 13,
        /// Exchanging bitmaps as the target-to-be.
        WFBitMapT = 14,
        /// Protocols before 110 only.
        WFSyncUUID = 15,
        /// Resync towards the peer.
        SyncSource = 16,
        /// Resync from the peer.
        SyncTarget = 17,
        /// Online verify, driving.
        VerifyS = 18,
        /// Online verify, driven.
        VerifyT = 19,
        /// Resync towards the peer, paused.
        PausedSyncS = 20,
        /// Resync from the peer, paused.
        PausedSyncT = 21,
        /// Congested; the peer is told of out-of-sync blocks only.
        Ahead = 22,
        /// The peer is Ahead.
        Behind = 23,
    }
}

impl ReplState {
    /// This side is, or will be, the target of a resync.
    pub fn is_sync_target(self) -> bool {
        use ReplState::*;
        matches!(self, StartingSyncT | WFBitMapT | WFSyncUUID | SyncTarget | PausedSyncT)
    }
    /// This side is, or will be, the source of a resync.
    pub fn is_sync_source(self) -> bool {
        use ReplState::*;
        matches!(self, StartingSyncS | WFBitMapS | SyncSource | PausedSyncS)
    }
    /// Every write is replicated and nothing is resynced, though a verify may go on.
    pub fn is_idle(self) -> bool {
        use ReplState::*;
        matches!(self, Established | VerifyS | VerifyT)
    }
    /// A resync in either direction, bitmap exchange included.
    pub fn is_sync(self) -> bool {
        self.is_sync_target() || self.is_sync_source()
    }
}

//! DRBD's numbers and texts of refusals, which people search for and programs parse.

use super::event::Refusal;

impl Refusal {
    /// DRBD's number: negative for `SS_`, from 101 on for `ERR_`.
    pub fn number(self) -> i16 {
        self as i16
    }

    /// Is it a refusal by the state engine (`SS_`), as opposed to a wrong request (`ERR_`)?
    pub fn is_state(self) -> bool {
        self.number() < 0
    }

    /// DRBD's text.
    pub fn text(self) -> &'static str {
        match self {
            Refusal::TwoPrimaries => "Multiple primaries not allowed by config",
            Refusal::NoUpToDateDisk => "Need access to UpToDate data",
            Refusal::NoLocalDisk => "Can not resync without local disk",
            Refusal::NoRemoteDisk => "Can not resync without remote disk",
            Refusal::ConnectedOutdates => "Refusing to be Outdated while Connected",
            Refusal::PrimaryNop => "Refusing to be Primary while peer is not outdated",
            Refusal::ResyncRunning => "Can not start OV/resync since it is already active",
            Refusal::AlreadyStandalone => "Can not disconnect a StandAlone device",
            Refusal::FailedByPeer => "State change was refused by peer node",
            Refusal::IsDiskless => "Device is diskless, the requested operation requires a disk",
            Refusal::DeviceInUse => "Device is held open by someone",
            Refusal::NoNetConfig => "Have no net/connection configuration",
            Refusal::NoVerifyAlg => "Need a verify algorithm to start online verify",
            Refusal::NeedConnection => "Need a connection to start verify or resync",
            Refusal::LowerThanOutdated => "Disk state is lower than outdated",
            Refusal::NotSupported => "Peer does not support protocol",
            Refusal::InTransientState => "In transient state, retry after next state change",
            Refusal::Concurrent => "Concurrent state changes detected and aborted",
            Refusal::OtherVolumePrimary => "Other vol primary on peer not allowed by config",
            Refusal::Interrupted => "Interrupted state change",
            Refusal::PrimaryReader => {
                "Peer may not become primary while device is opened read-only"
            }
            Refusal::Timeout => "Timeout in operation",
            Refusal::WeaklyConnected => "Primary nodes must be strongly connected among each other",
            Refusal::NoQuorum => "No quorum",
            Refusal::AttachNoBitmap => "Intentional diskless peer may not attach a disk",
            Refusal::HandshakeDisconnect => "Disconnect chosen in handshake",
            Refusal::HandshakeRetry => "Retry chosen in handshake",
            Refusal::DiskTooSmall => "Low.dev. smaller than requested DRBD-dev. size.",
            Refusal::MetadataIo => "IO error(s) occurred during initial access to meta-data.",
            Refusal::BadMetadata => "No valid meta-data signature found.",
            Refusal::DiskConfigured => "Device is attached to a disk (use detach first)",
            Refusal::NetConfigured => "Device has a net-config (use disconnect first)",
            Refusal::MinorInvalid => "Device minor not allocated",
            Refusal::ResizeDuringResync => "Resize not allowed during resync.",
            Refusal::NoPrimary => "Need one Primary node to resize.",
            Refusal::ImplicitShrink => "Implicit device shrinking not allowed. See kernel log.",
            Refusal::ResyncAfterCycle => "This would cause a resync-after dependency cycle",
            Refusal::PauseIsSet => "Sync-pause flag is already set",
            Refusal::PauseIsClear => "Sync-pause flag is already cleared",
            Refusal::PausedByDependency => {
                "Sync-pause flag is already cleared.\n\
                 Note: Resync pause caused by a local resync-after dependency."
            }
            Refusal::PausedByPeer => {
                "Sync-pause flag is already cleared.\n\
                 Note: Resync pause caused by the peer node."
            }
            Refusal::NoDisk => "Device does not have a disk-config",
            Refusal::DataNotCurrent => "Can only attach to the data we lost last (see kernel log).",
            Refusal::NeedStandalone => "Need to be StandAlone",
            Refusal::DiscardImpossible => "--discard-my-data not allowed when primary.",
            Refusal::InvalidRequest => "Invalid configuration request",
            Refusal::InvalidPeerNodeId => "Invalid peer-node-id",
        }
    }

    /// What `drbdsetup` says: `State change failed` for the state engine's, the bare text
    /// otherwise.
    pub fn message(self) -> String {
        match self.is_state() {
            true => format!("State change failed: ({}) {}", self.number(), self.text()),
            false => format!("Failure: ({}) {}", self.number(), self.text()),
        }
    }

    /// How `drbdsetup` exits.
    pub fn exit_code(self) -> u8 {
        match self {
            Refusal::LowerThanOutdated => 5,
            Refusal::NoLocalDisk => 16,
            Refusal::NoUpToDateDisk => 17,
            _ if self.is_state() => 11,
            _ => 10,
        }
    }
}

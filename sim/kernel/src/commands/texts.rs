//! What the tools say of errors, and the exit codes that follow: DRBD's numbers and words.

use drbd::core::event::Refusal;

/// How a call into the kernel ended badly.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Bad {
    /// An `ERR_` code of the kernel, with what it says besides.
    Failure(u16, Option<String>),
    /// A state change was refused.
    State(Refusal),
}

/// ERR_OPEN_DISK.
pub(crate) const OPEN_DISK: u16 = 104;
/// ERR_DISK_CONFIGURED.
pub(crate) const DISK_CONFIGURED: u16 = 124;
/// ERR_NET_CONFIGURED.
pub(crate) const NET_CONFIGURED: u16 = 125;
/// ERR_RES_IN_USE.
pub(crate) const IN_USE: u16 = 159;
/// ERR_MINOR_INVALID.
pub(crate) const MINOR_INVALID: u16 = 127;
/// ERR_RES_NOT_KNOWN.
pub(crate) const RES_NOT_KNOWN: u16 = 158;
/// ERR_MINOR_OR_VOLUME_EXISTS.
pub(crate) const EXISTS: u16 = 161;
/// ERR_INVALID_REQUEST.
pub(crate) const INVALID_REQUEST: u16 = 162;
/// ERR_MD_INVALID.
pub(crate) const MD_INVALID: u16 = 119;
/// ERR_INVALID_PEER_NODE_ID.
pub(crate) const INVALID_PEER: u16 = 171;
/// ERR_ALREADY_EXISTS.
pub(crate) const ALREADY_EXISTS: u16 = 174;

/// Begins what the modelled kernel says where the real one could go on.
pub(crate) const UNABLE: &str = "the modelled kernel cannot";

impl Bad {
    /// What the modelled kernel cannot do, said as the real one says what it cannot.
    pub(crate) fn cannot(what: &str) -> Bad {
        Bad::Failure(INVALID_REQUEST, Some(format!("{UNABLE} {what}")))
    }

    /// Lines on stderr about the object, and the exit code of drbdsetup.
    pub(crate) fn told(&self, object: &str) -> (String, u8) {
        match self {
            Bad::State(Refusal::BadMetadata) => Bad::Failure(MD_INVALID, None).told(object),
            Bad::State(refusal) => {
                let number = *refusal as i8;
                let text = refused(*refusal);
                let code = if *refusal == Refusal::NoUpToDateDisk { 17 } else { 11 };
                let code = if *refusal == Refusal::NoLocalDisk { 16 } else { code };
                (format!("{object}: State change failed: ({number}) {text}\n"), code)
            }
            Bad::Failure(number, more) => {
                let mut text = format!("{object}: Failure: ({number}) {}\n", failure(*number));
                if let Some(more) = more {
                    text += &format!("additional info from kernel:\n{more}\n");
                }
                (text, 10)
            }
        }
    }
}

/// `drbd_set_st_err_str`.
pub(crate) fn refused(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::TwoPrimaries => "Multiple primaries not allowed by config",
        Refusal::NoUpToDateDisk => "Need access to UpToDate data",
        Refusal::NoLocalDisk => "Can not resync without local disk",
        Refusal::ConnectedOutdates => "Refusing to be Outdated while Connected",
        Refusal::AlreadyStandalone => "Can not disconnect a StandAlone device",
        Refusal::FailedByPeer => "State change was refused by peer node",
        Refusal::IsDiskless => "Device is diskless, the requested operation requires a disk",
        Refusal::DeviceInUse => "Device is held open by someone",
        Refusal::NeedConnection => "Need a connection to start verify or resync",
        Refusal::NotSupported => "Peer does not support protocol",
        Refusal::InTransientState => "In transient state, retry after next state change",
        Refusal::Concurrent => "Concurrent state changes detected and aborted",
        Refusal::Interrupted => "Interrupted state change",
        Refusal::PrimaryReader => "Peer may not become primary while device is opened read-only",
        Refusal::Timeout => "Timeout in operation",
        Refusal::WeaklyConnected => "Primary nodes must be strongly connected among each other",
        Refusal::NoQuorum => "No quorum",
        Refusal::HandshakeDisconnect => "Disconnect chosen in handshake",
        Refusal::HandshakeRetry => "Retry chosen in handshake",
        Refusal::BadMetadata => "No valid meta-data signature found.",
    }
}

fn failure(number: u16) -> &'static str {
    match number {
        OPEN_DISK => "Can not open backing device.",
        MD_INVALID => {
            "No valid meta-data signature found.\n\n\
             \t==> Use 'drbdadm create-md res' to initialize meta-data area. <==\n"
        }
        DISK_CONFIGURED => "Device is attached to a disk (use detach first)",
        MINOR_INVALID => "Device minor not allocated",
        NET_CONFIGURED => "Device has a net-config (use disconnect first)",
        IN_USE => "Resource still in use (delete all minors first)",
        RES_NOT_KNOWN => "Unknown resource",
        EXISTS => "Minor or volume exists already (delete it first)",
        INVALID_PEER => "Invalid peer-node-id\n",
        ALREADY_EXISTS => "Already exists\n",
        _ => "Invalid configuration request",
    }
}

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
            Bad::State(refusal) if refusal.is_state() => {
                (format!("{object}: {}\n", refusal.message()), refusal.exit_code())
            }
            // What the engine says of a request, as the kernel would have said it first.
            Bad::State(refusal) => Bad::Failure(refusal.number().unsigned_abs(), None).told(object),
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

fn failure(number: u16) -> &'static str {
    match number {
        111 => Refusal::DiskTooSmall.text(),
        118 => Refusal::MetadataIo.text(),
        123 => Refusal::DiscardImpossible.text(),
        130 => Refusal::ResizeDuringResync.text(),
        131 => Refusal::NoPrimary.text(),
        133 => Refusal::ResyncAfterCycle.text(),
        134 => Refusal::PauseIsSet.text(),
        135 => Refusal::PauseIsClear.text(),
        138 => Refusal::NoDisk.text(),
        150 => Refusal::DataNotCurrent.text(),
        151 => Refusal::NeedStandalone.text(),
        156 => Refusal::PausedByDependency.text(),
        157 => Refusal::PausedByPeer.text(),
        170 => Refusal::ImplicitShrink.text(),
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

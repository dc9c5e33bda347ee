//! `no-forbidden-state`: what must never be seen, whoever does not ask.
//!
//! * A connection in ProtocolError: one engine said what another engine of the same build does not
//!   understand.
//! * A connection StandAlone that nobody asked for, in a resource with quorum and `rr-conflict
//!   retry-connect`: it means split brain or unrelated data, which quorum exists to prevent. (With
//!   `rr-conflict disconnect` it may also mean that a Primary which lost quorum met its successor.)
//!   Exempt are hosts that are shutting down, hosts on which an administrator asked for it, and
//!   resources one of whose disks the plan broke (a copy that lost what it had said it holds may
//!   look unrelated).
//! * A disk Failed on a host whose disk the plan did not break.

use drbd::core::event::Notice;
use drbd::state::{ConnState, DiskState};

/// Its name.
pub const NAME: &str = "no-forbidden-state";

/// What excuses a notice.
#[derive(Clone, Copy, Default, Debug)]
pub struct Context {
    /// The resource has quorum, and retries a connection that a conflict of roles ended.
    pub never_alone: bool,
    /// The host is shutting down.
    pub leaving: bool,
    /// The plan broke this host's disk for this resource, now or before.
    pub broken_here: bool,
    /// The plan broke some disk of this resource, now or before.
    pub broken_anywhere: bool,
    /// An administrator asked for it on this host.
    pub asked: bool,
}

/// Judges one notice; the text says what is wrong with it.
pub fn check(notice: &Notice, context: Context) -> Result<(), &'static str> {
    match notice {
        Notice::Connection(_, ConnState::ProtocolError) => Err("connection:ProtocolError"),
        Notice::Connection(_, ConnState::StandAlone)
            if context.never_alone
                && !context.leaving
                && !context.asked
                && !context.broken_anywhere =>
        {
            Err("connection:StandAlone that nobody asked for, with quorum")
        }
        Notice::Disk(_, DiskState::Failed) if !context.broken_here => {
            Err("disk:Failed on a good disk")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drbd::ids::{NodeId, VolumeNumber};

    #[test]
    fn each_forbidden_state_is_caught_and_excused_where_it_may_be() {
        let peer = NodeId::new(1).unwrap();
        let quorum = Context { never_alone: true, ..Context::default() };
        let alone = Notice::Connection(peer, ConnState::StandAlone);
        assert!(check(&alone, quorum).is_err());
        assert!(check(&alone, Context::default()).is_ok());
        assert!(check(&alone, Context { leaving: true, ..quorum }).is_ok());
        assert!(check(&alone, Context { asked: true, ..quorum }).is_ok());
        let error = Notice::Connection(peer, ConnState::ProtocolError);
        assert!(check(&error, Context::default()).is_err());
        let failed = Notice::Disk(VolumeNumber(0), DiskState::Failed);
        assert!(check(&failed, quorum).is_err());
        assert!(check(&failed, Context { broken_here: true, ..quorum }).is_ok());
    }
}

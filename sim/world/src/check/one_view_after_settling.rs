//! `one-view-after-settling`: two nodes that are connected and quiet tell the same of each other.
//!
//! Once nothing has been noticed on a resource for [`SETTLE`], and no step of the plan struck, each
//! node has of each peer that it is connected to: its role, its disk, the other side of its own
//! replication state, and for two UpToDate copies that are Established the same generation. What
//! one of them believes and the other is not decides wrongly as soon as something happens: who may
//! be promoted, whose vote counts, who is to be the source.
//!
//! A copy that calls itself UpToDate or Consistent may be held for worse than that: a node that has
//! seen a newer generation, or that nobody vouches for the copy, believes itself.
//!
//! Assumes: both hosts run, not frozen, on disks that the plan or a full pool did not break; what
//! is on its way arrives within [`SETTLE`] and the time in which a lost peer is noticed.

use drbd::ids::Uuid;
use drbd::state::{DiskState, ReplState, Role};

/// Its name.
pub const NAME: &str = "one-view-after-settling";

/// Nothing was noticed for so long, beside the time in which a lost peer is noticed.
pub const SETTLE: u64 = 10_000_000_000;

/// What there is to know of one volume of a node, as seen by itself or by a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Its role.
    pub role: Role,
    /// Its disk.
    pub disk: DiskState,
    /// Replication, from the node towards the peer.
    pub repl: ReplState,
    /// The generation; of a node without a disk the one that it exposes.
    pub current: Uuid,
}

/// The state that the other side of a replication is in.
fn mirror(repl: ReplState) -> ReplState {
    use ReplState::*;
    match repl {
        SyncSource => SyncTarget,
        SyncTarget => SyncSource,
        PausedSyncS => PausedSyncT,
        PausedSyncT => PausedSyncS,
        WFBitMapS => WFBitMapT,
        WFBitMapT => WFBitMapS,
        Ahead => Behind,
        Behind => Ahead,
        VerifyS => VerifyT,
        VerifyT => VerifyS,
        other => other,
    }
}

/// Compares what a node is with what a peer believes of it. `believed.repl` and `believed.current`
/// are the peer's own.
pub fn check(is: Seen, believed: Seen) -> Result<(), String> {
    if is.role != believed.role {
        return Err(format!("{} is taken for {}", is.role, believed.role));
    }
    let good = |disk| matches!(disk, DiskState::UpToDate | DiskState::Consistent);
    let doubted = good(is.disk)
        && matches!(believed.disk, DiskState::Consistent | DiskState::Outdated)
        && is.disk > believed.disk;
    let told = match is.disk {
        DiskState::Attaching | DiskState::Detaching | DiskState::Failed => DiskState::Diskless,
        disk => disk,
    };
    if told != believed.disk && !doubted {
        return Err(format!("its {} disk is taken for {}", is.disk, believed.disk));
    }
    if is.repl != mirror(believed.repl) {
        return Err(format!("it is {} while the other side is {}", is.repl, believed.repl));
    }
    Ok(())
}

/// Compares the generations of two nodes that replicate to each other, of which `a` has good data.
pub fn same_generation(a: Seen, b: Seen) -> Result<(), String> {
    let good = |seen: Seen| seen.disk == DiskState::UpToDate && seen.repl == ReplState::Established;
    if good(a) && good(b) && !a.current.same(b.current) {
        return Err(format!("both are UpToDate, one of {:?}, one of {:?}", a.current, b.current));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Seen = Seen {
        role: Role::Secondary,
        disk: DiskState::UpToDate,
        repl: ReplState::Established,
        current: Uuid(16),
    };

    #[test]
    fn the_same_view_is_fine_and_mirrored_replication_too() {
        assert_eq!(check(GOOD, GOOD), Ok(()));
        let source = Seen { repl: ReplState::SyncSource, ..GOOD };
        let target = Seen { repl: ReplState::SyncTarget, ..GOOD };
        assert_eq!(check(source, target), Ok(()));
        assert_eq!(same_generation(GOOD, Seen { current: Uuid(17), ..GOOD }), Ok(()));
    }

    #[test]
    fn a_peer_may_be_more_careful_and_not_less() {
        let outdated = Seen { disk: DiskState::Outdated, ..GOOD };
        assert_eq!(check(GOOD, outdated), Ok(()));
        assert!(check(outdated, GOOD).is_err());
        let attaching = Seen { disk: DiskState::Attaching, ..GOOD };
        assert_eq!(check(attaching, Seen { disk: DiskState::Diskless, ..GOOD }), Ok(()));
    }

    #[test]
    fn each_difference_is_caught() {
        let wrong = [
            Seen { role: Role::Primary, ..GOOD },
            Seen { disk: DiskState::Inconsistent, ..GOOD },
            Seen { repl: ReplState::SyncTarget, ..GOOD },
        ];
        assert!(wrong.into_iter().all(|believed| check(GOOD, believed).is_err()));
        assert!(same_generation(GOOD, Seen { current: Uuid(18), ..GOOD }).is_err());
        let behind = Seen { current: Uuid(18), disk: DiskState::Outdated, ..GOOD };
        assert_eq!(same_generation(GOOD, behind), Ok(()), "it does not say that it is the same");
    }
}

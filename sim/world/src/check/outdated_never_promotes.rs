//! `outdated-never-promotes`: nobody becomes Primary without good data.
//!
//! For each volume a new Primary's own disk is UpToDate, or it is connected to a peer whose disk it
//! knows as UpToDate and will read. Outdated, Inconsistent and Consistent (a survivor that has not
//! compared notes yet) do not count. Whether what calls itself UpToDate is as new as it says, is
//! the business of `acked-write-survives` and `reads-are-fresh`.
//!
//! Assumes: no `--force`. A resource that an administrator promoted by force is not looked at.

use drbd::state::DiskState;

/// Its name.
pub const NAME: &str = "outdated-never-promotes";

/// May a node become Primary with this disk, connected to peers with these disks?
pub fn check(own: DiskState, peers: impl IntoIterator<Item = DiskState>) -> Result<(), String> {
    let good = |disk: DiskState| disk == DiskState::UpToDate;
    if good(own) || peers.into_iter().any(good) {
        return Ok(());
    }
    Err(format!("became Primary with a disk that is {own}, and no UpToDate peer is connected"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use DiskState::{Consistent, DUnknown, Diskless, Inconsistent, Outdated, UpToDate};

    #[test]
    fn only_good_data_makes_a_primary() {
        assert!(check(UpToDate, []).is_ok());
        assert!(check(Diskless, [Outdated, UpToDate]).is_ok());
        assert!(check(Inconsistent, [UpToDate]).is_ok());
        for own in [Consistent, Outdated, Inconsistent, Diskless] {
            assert!(check(own, [Consistent, DUnknown]).is_err(), "{own}");
        }
    }
}

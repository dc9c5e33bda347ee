//! `last-good-copy-kept`: the last good copy is not given up while another one is half overwritten.
//!
//! A copy is good while it is UpToDate, may be while it is Consistent, and stays what it was last
//! while its node is down or its disk detached: its metadata says so. While a copy is Inconsistent
//! (half overwritten) no other one becomes Outdated that is the last good one: who takes the source
//! of a resync away takes what could complete its target, and nobody can be promoted any more
//! though nothing broke. And at no time are all copies Inconsistent. That all are Outdated may
//! happen: they find out who is not when all of them meet.
//!
//! It is no violation that a copy becomes Outdated because a handshake found newer data in another
//! one, Outdated or not: it was not good, and only did not know. Nor that the source of a running
//! resync becomes Outdated: it completes its target all the same.
//!
//! Assumes: no disk that the plan (or a full pool) broke, no copy that an administrator outdated,
//! invalidated or made anew. A resource where that happened is not looked at any more.

use drbd::state::DiskState;

/// Its name.
pub const NAME: &str = "last-good-copy-kept";

/// What a copy is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Worth {
    Good,
    /// Good, or Outdated: it has not heard yet.
    Unsure,
    Outdated,
    Half,
}

/// The copies of one volume, by node; `None` for a node without one.
#[derive(Clone, Debug)]
pub struct Copies(Vec<Option<Worth>>);

impl Copies {
    /// All of them good; `diskful` says which nodes have one.
    pub fn new(diskful: impl IntoIterator<Item = bool>) -> Copies {
        Copies(diskful.into_iter().map(|has| has.then_some(Worth::Good)).collect())
    }

    /// Has the node a copy?
    pub fn has(&self, node: usize) -> bool {
        self.0.get(node).is_some_and(Option::is_some)
    }

    /// The disk of a node is in this state now. `false`: it was the last good one and a copy is
    /// half overwritten, or all are.
    pub fn disk(&mut self, node: usize, disk: DiskState) -> bool {
        use DiskState::{Consistent, Inconsistent, Outdated, UpToDate};
        let Some(worth) = self.0.get_mut(node).and_then(Option::as_mut) else { return true };
        let was = *worth;
        *worth = match disk {
            UpToDate => Worth::Good,
            Consistent => Worth::Unsure,
            Outdated => Worth::Outdated,
            Inconsistent => Worth::Half,
            // On its way in or out: its metadata says what it was.
            _ => *worth,
        };
        let is = |wanted: Worth| self.0.iter().flatten().any(|worth| *worth == wanted);
        let given_up = was == Worth::Good && disk == Outdated && is(Worth::Half);
        is(Worth::Good) || is(Worth::Unsure) || !given_up && is(Worth::Outdated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DiskState::{Consistent, Diskless, Inconsistent, Outdated, UpToDate};

    #[test]
    fn one_copy_has_to_stay_good() {
        let mut copies = Copies::new([true, true, false]);
        assert!(copies.disk(1, Inconsistent));
        assert!(copies.disk(2, Inconsistent), "it has no copy");
        assert!(!copies.disk(0, Outdated));
        assert!(copies.disk(0, Outdated), "it was before");
        assert!(copies.disk(1, Outdated), "both are whole");
        assert!(copies.disk(1, Inconsistent), "the other one may complete it");
        assert!(copies.disk(0, Consistent));
        assert!(copies.disk(0, Outdated), "it did not know");
    }

    #[test]
    fn a_copy_that_is_away_stays_what_it_was() {
        let mut copies = Copies::new([true, true]);
        assert!(copies.disk(1, Diskless));
        assert!(copies.disk(0, Inconsistent), "the other one is good");
        assert!(!copies.disk(1, Inconsistent));
        assert!(copies.disk(0, UpToDate));
    }
}

//! `bitmap-drains`: bits between two good copies go away.
//!
//! A set bit says that a block may differ. Between two copies that are both UpToDate and
//! Established with each other nothing is left to be resynced, so what bits there are belong to
//! writes that a peer ack has yet to cover, or to a comparison that is about to begin. Those of a
//! Primary, and while no write is in flight or waits for its peer ack those of others, become fewer
//! than they ever were within [`BOUND`], or replication begins something. Bits that stay are a
//! resync that nobody will ever make: as soon as one of the copies is served alone, nobody knows
//! what they stood for.
//!
//! Assumes: both hosts run, not frozen, and no fault strikes meanwhile.

use super::Quiet;

/// Its name.
pub const NAME: &str = "bitmap-drains";

/// Bits may stay as they are for so long.
pub const BOUND: u64 = 40_000_000_000;

/// The bits of one node towards one peer.
#[derive(Clone, Copy, Default, Debug)]
pub struct Drain {
    since: Option<(u64, u64)>,
}

impl Drain {
    /// One look, at a Primary or with no write under way. `bits`: how many are set, `None` while
    /// the two are not both UpToDate and Established with each other. The error says since when
    /// nothing moves.
    pub fn look(&mut self, quiet: Quiet, bits: Option<u64>) -> Result<(), u64> {
        let Some(bits) = bits.filter(|bits| *bits > 0) else {
            self.since = None;
            return Ok(());
        };
        let since = match self.since {
            Some((since, least)) if bits >= least => since.max(quiet.since),
            _ => quiet.now,
        };
        let least = self.since.map_or(bits, |(_, least)| least.min(bits));
        self.since = Some((since, least));
        if quiet.now > since + BOUND { Err(since) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(now: u64) -> Quiet {
        Quiet { now, since: 0 }
    }

    #[test]
    fn bits_that_stay_are_caught() {
        let mut drain = Drain::default();
        assert_eq!(drain.look(at(5), Some(3)), Ok(()));
        assert_eq!(drain.look(at(5 + BOUND), Some(3)), Ok(()));
        assert_eq!(drain.look(at(6 + BOUND), Some(4)), Err(5), "more is not fewer");
    }

    #[test]
    fn bits_that_move_or_go_are_not() {
        let mut drain = Drain::default();
        assert_eq!(drain.look(at(5), Some(3)), Ok(()));
        assert_eq!(drain.look(at(6 + BOUND), Some(2)), Ok(()));
        assert_eq!(drain.look(at(7 + BOUND), None), Ok(()));
        assert_eq!(drain.look(at(8 + 2 * BOUND), Some(2)), Ok(()));
        let late = Quiet { now: 9 + 3 * BOUND, since: 9 + 3 * BOUND };
        assert_eq!(drain.look(late, Some(2)), Ok(()), "a fault has just struck");
    }
}

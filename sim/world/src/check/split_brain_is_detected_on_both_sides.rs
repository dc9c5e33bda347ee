//! `split-brain-is-detected-on-both-sides`: both ends of a handshake come to the same verdict.
//!
//! Two rules:
//! 1. Of a connection that comes up, both ends compare what they have, each with what the other
//!    sent: where one is the source the other is the target, and where one sees a split brain the
//!    other sees it. Ends that disagree go on with different ideas of whose data counts.
//! 2. An end that gave up for good because of a split brain (StandAlone) is not alone with that:
//!    within [`BOUND`] the other one has seen a split brain, too, since they connected. Otherwise
//!    it keeps trying to connect for ever, and whoever looks after it is not told why.
//!
//! Assumes: for the second, that both hosts keep running and no fault strikes meanwhile: a link
//! that is cut just then leaves the other end with nothing but a lost connection, in DRBD too.

use super::Quiet;

/// Its name.
pub const NAME: &str = "split-brain-is-detected-on-both-sides";

/// The other end may take so long.
pub const BOUND: u64 = 20_000_000_000;

/// What a verdict says to the other side.
fn mirror(verdict: &str) -> String {
    match verdict.split_once('-') {
        Some(("source", "copy-other-bitmap")) => "target-clear-bitmap".to_owned(),
        Some(("target", "clear-bitmap")) => "source-copy-other-bitmap".to_owned(),
        Some(("source", bits)) => format!("target-{bits}"),
        Some(("target", bits)) => format!("source-{bits}"),
        _ => verdict.to_owned(),
    }
}

/// One end of a pair.
#[derive(Clone, Default, Debug)]
struct End {
    /// Its first verdict since both have been linked.
    verdict: Option<&'static str>,
    /// It has seen a split brain since it was linked.
    split: bool,
    /// It gave up because of one at this time.
    gave_up: Option<u64>,
}

/// One volume of two nodes.
#[derive(Clone, Default, Debug)]
pub struct Pair([End; 2]);

impl Pair {
    /// The link of one end came up or went down: what was sent before is not what is compared next.
    pub fn linked(&mut self, up: bool) {
        for end in &mut self.0 {
            end.verdict = None;
            end.split &= !up;
        }
    }

    /// An end tries again: it has not given up any more.
    pub fn connects(&mut self, end: usize) {
        self.0[end].gave_up = None;
    }

    /// An end (0 or 1) has compared. `Ok(true)`: both have, and agree.
    pub fn verdict(
        &mut self,
        end: usize,
        verdict: &'static str,
        split: bool,
    ) -> Result<bool, [&'static str; 2]> {
        self.0[end].split |= split;
        if split {
            // It knows; the other may have given up before.
            self.0[1 - end].gave_up = None;
        }
        if self.0[end].verdict.is_some() {
            return Ok(false);
        }
        self.0[end].verdict = Some(verdict);
        let Some(other) = self.0[1 - end].verdict else { return Ok(false) };
        if mirror(verdict) == other { Ok(true) } else { Err([verdict, other]) }
    }

    /// An end gave up for good, because of a split brain.
    pub fn gave_up(&mut self, now: u64, end: usize) {
        if !self.0[1 - end].split {
            self.0[end].gave_up = Some(now);
        }
    }

    /// One look. The error: which end is alone with its split brain, and since when.
    pub fn look(&mut self, quiet: Quiet) -> Result<(), (usize, u64)> {
        for end in 0..2 {
            let Some(since) = self.0[end].gave_up else { continue };
            if quiet.since >= since {
                // Something struck since: the other end may never hear of it.
                self.0[end].gave_up = None;
            } else if quiet.now > since + BOUND {
                return Err((end, since));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrored_verdicts_agree() {
        for (a, b) in [
            ("no-sync", "no-sync"),
            ("source-use-bitmap", "target-use-bitmap"),
            ("source-copy-other-bitmap", "target-clear-bitmap"),
            ("split-brain-disconnect", "split-brain-disconnect"),
        ] {
            for (a, b) in [(a, b), (b, a)] {
                let mut pair = Pair::default();
                assert_eq!(pair.verdict(0, a, false), Ok(false));
                assert_eq!(pair.verdict(1, b, false), Ok(true));
            }
        }
    }

    #[test]
    fn ends_that_disagree_are_caught_unless_they_are_of_two_links() {
        let mut pair = Pair::default();
        assert_eq!(pair.verdict(1, "no-sync", false), Ok(false));
        let both = ["source-use-bitmap", "no-sync"];
        assert_eq!(pair.verdict(0, "source-use-bitmap", false), Err(both));
        pair.linked(true);
        assert_eq!(pair.verdict(0, "source-use-bitmap", false), Ok(false));
        assert_eq!(pair.verdict(1, "target-use-bitmap", false), Ok(true));
    }

    #[test]
    fn who_is_alone_with_a_split_brain_is_caught() {
        let quiet = |now| Quiet { now, since: 0 };
        let mut pair = Pair::default();
        assert_eq!(pair.verdict(0, "split-brain-disconnect", true), Ok(false));
        pair.gave_up(7, 0);
        assert_eq!(pair.look(quiet(7 + BOUND)), Ok(()));
        assert_eq!(pair.look(quiet(8 + BOUND)), Err((0, 7)));
        let mut struck = pair.clone();
        assert_eq!(struck.look(Quiet { now: 8 + BOUND, since: 8 }), Ok(()));
        assert_eq!(pair.verdict(1, "split-brain-disconnect", true), Ok(true));
        assert_eq!(pair.look(quiet(8 + BOUND)), Ok(()));
    }
}

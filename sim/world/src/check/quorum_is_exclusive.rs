//! `quorum-is-exclusive`: with quorum, at most one partition writes.
//!
//! Two rules, for resources whose quorum is a majority of the copies:
//! 1. A node that was Primary before another became Primary acknowledges nothing that was submitted
//!    after that moment. A Primary that lost its peers and has not noticed may take writes; it must
//!    not say that they are done, because a majority that it cannot see has moved on. (A write that
//!    was submitted earlier and reached the others earlier may be acknowledged late, after a thaw
//!    for instance.)
//! 2. No two nodes are Primary with quorum at the same time for longer than it takes to notice a
//!    lost peer: `ping-int` plus `ping-timeout`, and `timeout` times `ko-count` for a peer that
//!    answers pings but not writes is not needed, because a Primary that is not acknowledged does
//!    no harm. A frozen host's time does not count.
//!
//! Assumes: no `--force`, no administrator who takes voters away. A resource that an administrator
//! promoted by force, without quorum or on data that is not UpToDate, is not looked at any more.

/// Its name.
pub const NAME: &str = "quorum-is-exclusive";

/// Slack on top of the time to notice a lost peer: two-phase commits and their retries.
const SLACK: u64 = 10_000_000_000;

#[derive(Clone, Copy, Default)]
struct Node {
    primary_since: Option<u64>,
}

/// What broke the promise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    /// `old` acknowledged a write submitted after `new` had become Primary.
    Superseded {
        /// The earlier Primary.
        old: usize,
        /// The later one.
        new: usize,
        /// When the later one became Primary.
        since: u64,
    },
    /// Both have been Primary with quorum since then.
    Both {
        /// One.
        a: usize,
        /// The other.
        b: usize,
        /// Since when.
        since: u64,
    },
}

/// The history of one resource.
pub struct Exclusive {
    nodes: Vec<Node>,
    /// Since when two nodes are both Primary with quorum, by pair.
    both: Vec<Option<u64>>,
    limit: u64,
}

impl Exclusive {
    /// `notice`: nanoseconds in which an idle connection notices that its peer is gone.
    pub fn new(nodes: usize, notice: u64) -> Exclusive {
        Exclusive {
            nodes: vec![Node::default(); nodes],
            both: vec![None; nodes * nodes],
            limit: notice + SLACK,
        }
    }

    /// A node became Primary, or no longer is (demoted, or its kernel is gone).
    pub fn role(&mut self, now: u64, node: usize, primary: bool) {
        let since = &mut self.nodes[node].primary_since;
        *since = primary.then(|| since.unwrap_or(now));
    }

    /// A node acknowledged a write with success.
    pub fn acked(&self, node: usize, submitted: u64) -> Result<(), Broken> {
        let own = self.nodes[node].primary_since.unwrap_or(0);
        for (new, other) in self.nodes.iter().enumerate() {
            if let Some(since) = other.primary_since
                && new != node
                && since > own
                && submitted > since
            {
                return Err(Broken::Superseded { old: node, new, since });
            }
        }
        Ok(())
    }

    /// To be called now and then. `writable(n)`: n is Primary, has quorum on all volumes, and is
    /// not frozen.
    pub fn observe(&mut self, now: u64, writable: impl Fn(usize) -> bool) -> Result<(), Broken> {
        let count = self.nodes.len();
        for a in 0..count {
            for b in a + 1..count {
                let since = &mut self.both[a * count + b];
                if !(writable(a) && writable(b)) {
                    *since = None;
                    continue;
                }
                let since = *since.get_or_insert(now);
                if now > since + self.limit {
                    return Err(Broken::Both { a, b, since });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_superseded_primary_that_acknowledges_is_caught() {
        let mut history = Exclusive::new(3, 1_000);
        history.role(10, 0, true);
        history.role(50, 1, true);
        assert_eq!(history.acked(1, 60), Ok(()));
        assert_eq!(history.acked(0, 49), Ok(()));
        let broken = Broken::Superseded { old: 0, new: 1, since: 50 };
        assert_eq!(history.acked(0, 51), Err(broken));
        history.role(70, 1, false);
        assert_eq!(history.acked(0, 80), Ok(()));
    }

    #[test]
    fn two_primaries_with_quorum_for_too_long_are_caught() {
        let mut history = Exclusive::new(2, 1_000);
        assert_eq!(history.observe(5, |_| true), Ok(()));
        assert_eq!(history.observe(5 + 1_000 + SLACK, |_| true), Ok(()));
        assert!(history.observe(6 + 1_000 + SLACK, |_| true).is_err());
        assert_eq!(history.observe(7 + 1_000 + SLACK, |n| n == 0), Ok(()));
        assert_eq!(history.observe(8 + 2_000 + SLACK, |_| true), Ok(()));
    }
}

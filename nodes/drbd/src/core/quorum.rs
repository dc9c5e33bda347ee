//! Quorum of one volume: who votes, how many votes are needed, and the tie-breaker's word.

use super::config::Quorum;

/// What one other node counts as.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Voter {
    /// Connected, UpToDate.
    UpToDate,
    /// Connected, with a disk that is not UpToDate (or lost it by failure).
    Present,
    /// Connected, diskless on purpose.
    Diskless,
    /// Not connected, diskless on purpose.
    MissingDiskless,
    /// Not connected, known to be at most Outdated.
    Outdated,
    /// Not connected, and not in `members` while this node has quorum: proven to be without quorum.
    Quorumless,
    /// Not connected, and that is all that is known.
    Unknown,
}

/// What quorum is computed from.
#[derive(Clone, Debug)]
pub struct Ballot<'a> {
    /// This node: UpToDate, Present, or Diskless on purpose, or Unknown when it lost its disk.
    pub me: Voter,
    /// Every other known node that votes.
    pub others: &'a [Voter],
    /// This node had quorum before this change.
    pub had_quorum: bool,
    /// This node has no disk and a connected UpToDate peer reports quorum.
    pub peer_vouches: bool,
}

/// What gave a volume its quorum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// None is asked for.
    NoRules,
    /// A peer with data says so.
    Peer,
    /// A majority of those who vote.
    Votes,
    /// A tie, and a majority of the diskless nodes.
    TieBreaker,
}

/// Has the volume quorum?
pub fn has_quorum(quorum: Quorum, redundancy: Quorum, ballot: &Ballot) -> bool {
    won_by(quorum, redundancy, ballot).is_some()
}

/// Has the volume quorum, and by what? (DRBD 9's `calc_quorum`)
pub fn won_by(quorum: Quorum, redundancy: Quorum, ballot: &Ballot) -> Option<By> {
    if quorum == Quorum::Off {
        return Some(By::NoRules);
    }
    if ballot.peer_vouches {
        return Some(By::Peer);
    }
    let count = |voter: Voter| {
        let others = ballot.others.iter().filter(|v| **v == voter).count();
        others as u32 + u32::from(ballot.me == voter)
    };
    let (up_to_date, present) = (count(Voter::UpToDate), count(Voter::Present));
    let (outdated, mut quorumless) = (count(Voter::Outdated), count(Voter::Quorumless));
    let mut unknown = count(Voter::Unknown);
    let here = up_to_date + present;
    let absent = outdated + quorumless + unknown;
    // Absent nodes that could form a partition with quorum of their own may not be ignored.
    if quorumless > 0 && absent >= threshold(quorum, absent + here) {
        unknown += quorumless;
        quorumless = 0;
    }
    let voters = if unknown > 0 { outdated + quorumless + unknown + here } else { here };
    let needed = threshold(quorum, voters);
    if here >= needed && up_to_date >= minimum(redundancy, voters) {
        return (here > 0).then_some(By::Votes);
    }
    let diskless = count(Voter::Diskless);
    let all_diskless = diskless + count(Voter::MissingDiskless);
    let tie = voters > 0 && voters.is_multiple_of(2) && here + 1 == needed;
    let decides = diskless > all_diskless / 2 && diskless > 0 && ballot.had_quorum;
    (tie && decides).then_some(By::TieBreaker)
}

fn threshold(quorum: Quorum, voters: u32) -> u32 {
    match quorum {
        Quorum::Off => 0,
        Quorum::Majority => voters / 2 + 1,
        Quorum::All => voters,
        Quorum::Count(n) => u32::from(n),
    }
}

fn minimum(redundancy: Quorum, voters: u32) -> u32 {
    threshold(redundancy, voters)
}

#[cfg(test)]
mod tests {
    use super::Voter::*;
    use super::*;

    fn majority(me: Voter, others: &[Voter], had_quorum: bool) -> bool {
        let ballot = Ballot { me, others, had_quorum, peer_vouches: false };
        has_quorum(Quorum::Majority, Quorum::Off, &ballot)
    }

    #[test]
    fn the_tie_breaker_keeps_quorum_and_never_gives_it() {
        assert!(majority(UpToDate, &[Unknown, Diskless], true));
        assert!(!majority(UpToDate, &[Unknown, Diskless], false));
        assert!(!majority(UpToDate, &[Unknown, MissingDiskless], true));
    }

    #[test]
    fn the_last_man_standing_keeps_quorum() {
        assert!(majority(UpToDate, &[Quorumless, MissingDiskless], true));
        assert!(majority(UpToDate, &[Outdated, MissingDiskless], true));
        assert!(!majority(UpToDate, &[Unknown, Unknown], true));
    }

    #[test]
    fn quorumless_nodes_that_could_meet_count_as_unknown() {
        assert!(!majority(UpToDate, &[Quorumless, Quorumless, Quorumless, Unknown], true));
    }

    #[test]
    fn two_halves_never_both_gain_quorum() {
        // Every way to split up to five diskful nodes, all unknown to the other side.
        for n in 1..=5u32 {
            for mask in 0..1u32 << n {
                let side = |size: u32| {
                    let mut others = vec![UpToDate; size.saturating_sub(1) as usize];
                    others.extend(vec![Unknown; (n - size) as usize]);
                    size > 0 && majority(UpToDate, &others, false)
                };
                let left = mask.count_ones();
                assert!(!(side(left) && side(n - left)), "{left} of {n}");
            }
        }
    }
}

//! Quorum of up to five nodes, all of it: every ballot against the rules as they are written down,
//! and every way in which a cluster falls into parts.

use crate::parts::steps;
use drbd::core::config::Quorum;
use drbd::core::quorum::{Ballot, Voter, has_quorum};

const OTHERS: [Voter; 7] = [
    Voter::UpToDate,
    Voter::Present,
    Voter::Diskless,
    Voter::MissingDiskless,
    Voter::Outdated,
    Voter::Quorumless,
    Voter::Unknown,
];

const RULES: [Quorum; 8] = [
    Quorum::Off,
    Quorum::Majority,
    Quorum::All,
    Quorum::Count(1),
    Quorum::Count(2),
    Quorum::Count(3),
    Quorum::Count(4),
    Quorum::Count(5),
];

/// Every multiset of `count` voters.
fn ballots(count: usize) -> Vec<Vec<Voter>> {
    let mut all = vec![Vec::new()];
    for _ in 0..count {
        let longer = all.iter().flat_map(|voters: &Vec<Voter>| {
            let from = voters.last().map_or(0, |last| {
                OTHERS.iter().position(|voter| voter == last).expect("one of them")
            });
            OTHERS[from..].iter().map(move |voter| {
                let mut longer = voters.clone();
                longer.push(*voter);
                longer
            })
        });
        all = longer.collect();
    }
    all
}

/// How many of `voters` a rule asks for.
fn asked(rule: Quorum, voters: usize) -> usize {
    match rule {
        Quorum::Off => 0,
        Quorum::Majority => voters / 2 + 1,
        Quorum::All => voters,
        Quorum::Count(n) => usize::from(n),
    }
}

/// The rules as they are written down, one sentence after the other.
fn by_the_rules(rule: Quorum, redundancy: Quorum, ballot: &Ballot) -> bool {
    if rule == Quorum::Off || ballot.peer_vouches {
        return true;
    }
    let everybody: Vec<Voter> =
        ballot.others.iter().copied().chain(std::iter::once(ballot.me)).collect();
    let are = |kinds: &[Voter]| everybody.iter().filter(|voter| kinds.contains(voter)).count();
    let here = are(&[Voter::UpToDate, Voter::Present]);
    let away = [Voter::Outdated, Voter::Quorumless, Voter::Unknown];
    // Absent ones that could be a partition with quorum of their own count, proof or no proof.
    let could_meet = are(&away) >= asked(rule, here + are(&away));
    let in_doubt = are(&[Voter::Unknown]) > 0 || (could_meet && are(&[Voter::Quorumless]) > 0);
    // The last man standing: if no absent node could be promoted, those that are here vote alone.
    let voters = if in_doubt { here + are(&away) } else { here };
    if here > 0
        && here >= asked(rule, voters)
        && are(&[Voter::UpToDate]) >= asked(redundancy, voters)
    {
        return true;
    }
    // The tie-breaker keeps quorum and never gives it.
    let breakers = are(&[Voter::Diskless, Voter::MissingDiskless]);
    ballot.had_quorum
        && voters > 0
        && voters.is_multiple_of(2)
        && here + 1 == asked(rule, voters)
        && are(&[Voter::Diskless]) > breakers / 2
}

/// Goal: the engine counts as the rules say. Method: every ballot of up to five nodes, for every
/// `quorum` and `quorum-minimum-redundancy`, with and without quorum before.
#[test]
fn every_ballot_of_five_nodes_is_counted_by_the_rules() {
    let (mut with, mut without) = (0u64, 0u64);
    let own = [Voter::UpToDate, Voter::Present, Voter::Diskless, Voter::Unknown];
    for others in (0..=4).flat_map(ballots) {
        for (me, had_quorum) in own.iter().flat_map(|me| [(*me, false), (*me, true)]) {
            for peer_vouches in [false, true] {
                let ballot = Ballot { me, others: &others, had_quorum, peer_vouches };
                for (rule, redundancy) in
                    RULES.iter().flat_map(|rule| RULES.iter().map(move |least| (*rule, *least)))
                {
                    let has = has_quorum(rule, redundancy, &ballot);
                    let expected = by_the_rules(rule, redundancy, &ballot);
                    assert_eq!(has, expected, "{rule:?} {redundancy:?}: {ballot:?}");
                    with += u64::from(has);
                    without += u64::from(!has);
                }
            }
        }
    }
    assert!(with > 50_000 && without > 50_000, "{with} with, {without} without");
}

/// A cluster that falls into parts, step by step, as each node sees it: who has quorum, and who was
/// part of the last agreement (`members`).
#[derive(Clone)]
struct Nodes {
    diskful: Vec<bool>,
    quorum: Vec<bool>,
    members: Vec<u32>,
}

impl Nodes {
    fn new(diskful: &[bool]) -> Nodes {
        let (count, all) = (diskful.len(), (1 << diskful.len()) - 1);
        Nodes { diskful: diskful.to_vec(), quorum: vec![true; count], members: vec![all; count] }
    }

    fn vote(&self, me: usize, part: u32, rule: Quorum) -> bool {
        let kind = |node: usize| match (part & (1 << node) != 0, self.diskful[node]) {
            (true, true) => Voter::UpToDate,
            (true, false) => Voter::Diskless,
            (false, false) => Voter::MissingDiskless,
            (false, true) if self.quorum[me] && self.members[me] & (1 << node) == 0 => {
                Voter::Quorumless
            }
            (false, true) => Voter::Unknown,
        };
        let others: Vec<Voter> =
            (0..self.diskful.len()).filter(|node| *node != me).map(kind).collect();
        // A node without a disk has quorum where a copy that it is connected to has it.
        let ballot = Ballot {
            me: kind(me),
            others: &others,
            had_quorum: self.quorum[me],
            peer_vouches: false,
        };
        has_quorum(rule, Quorum::Off, &ballot)
    }

    /// The nodes are in these parts from now on.
    fn part(&mut self, parts: &[u32], rule: Quorum) {
        let before = self.clone();
        for part in parts {
            let nodes: Vec<usize> =
                (0..self.diskful.len()).filter(|node| part & (1 << node) != 0).collect();
            for me in &nodes {
                self.quorum[*me] = before.vote(*me, *part, rule);
            }
            let vouched = nodes.iter().any(|node| self.diskful[*node] && self.quorum[*node]);
            for me in nodes.iter().filter(|me| !self.diskful[**me]) {
                self.quorum[*me] |= vouched;
            }
            for me in nodes {
                self.members[me] |= part;
                if self.quorum[me] {
                    self.members[me] = *part;
                }
            }
        }
    }
}

/// Goal: two parts of a cluster never both have quorum, however it fell apart and came together
/// before. Method: up to five nodes, with and without disks, every four splits and reunions.
#[test]
fn two_parts_never_both_have_quorum() {
    let mut kept = 0u64;
    for count in 2..=5usize {
        // Nodes are alike: the ones with a disk come first.
        for copies in 1..=count {
            let diskful: Vec<bool> = (0..count).map(|node| node < copies).collect();
            for rule in [Quorum::Majority, Quorum::All] {
                kept += walk(&Nodes::new(&diskful), &[(1 << count) - 1], rule, 4);
            }
        }
    }
    assert!(kept > 10_000, "{kept}");
}

fn walk(nodes: &Nodes, parts: &[u32], rule: Quorum, depth: u32) -> u64 {
    if depth == 0 {
        return 0;
    }
    let mut kept = 0;
    for parts in steps(parts) {
        let mut next = nodes.clone();
        next.part(&parts, rule);
        let has = |part: &&u32| {
            (0..next.quorum.len()).any(|node| *part & (1 << node) != 0 && next.quorum[node])
        };
        let quorate: Vec<&u32> = parts.iter().filter(has).collect();
        assert!(
            quorate.len() <= 1,
            "{rule:?}, disks {:?}: {:?} (members {:?}) into {parts:?}: {:?}",
            nodes.diskful,
            nodes.quorum,
            nodes.members,
            next.quorum
        );
        kept += quorate.len() as u64 + walk(&next, &parts, rule, depth - 1);
    }
    kept
}

//! What is small is enumerated: the comparison of two generations, and who has quorum after a
//! split. Sampling misses corners, loops do not.

use drbd::core::config::Quorum;
use drbd::core::handshake::{Bits, Bugs, Outcome, Side, Verdict, decide};
use drbd::core::quorum::{Ballot, Voter, has_quorum};
use drbd::core::split_brain::led;
use drbd::ids::{NodeId, NodeMask, Uuid};
use drbd::packet::{UuidFlags, Uuids};
use drbd::state::DiskState;

const NEWER: Uuid = Uuid(0x1000);
const OLDER: Uuid = Uuid(0x2000);
const OLDEST: Uuid = Uuid(0x3000);

fn uuids(current: Uuid, flags: u64, dirty_bits: u64) -> Uuids {
    let (node_mask, flags) = (NodeMask::default(), UuidFlags(flags));
    Uuids {
        current,
        held: current,
        dirty_bits,
        flags,
        node_mask,
        bitmap: Vec::new(),
        history: Vec::new(),
    }
}

fn id(node: u8) -> NodeId {
    NodeId::new(node).expect("a node id")
}

fn side(node: u8, uuids: &Uuids) -> Side<'_> {
    let (node, disk) = (id(node), DiskState::UpToDate);
    Side { node, uuids, disk, primary: false, quorum: true, dagtag: None }
}

/// Each end decides by itself; both must come to the same.
#[track_caller]
fn mirrored(a: &Side, b: &Side) -> Outcome {
    let (mine, theirs) = (decide(a, b, Bugs::default()), decide(b, a, Bugs::default()));
    assert_eq!(mine.outcome, theirs.outcome.mirror(), "{mine:?}, {theirs:?}: {a:?} {b:?}");
    mine.outcome
}

/// Everything that a side can say when both present the same generation.
fn sides_of_one_generation(node: u8) -> Vec<(Uuids, Side<'static>)> {
    let flags = [
        UuidFlags::CRASHED_PRIMARY,
        UuidFlags::PRIMARY_LOST_QUORUM,
        UuidFlags::RECONNECT,
        UuidFlags::SYNC_TARGET,
    ];
    let disks = [
        DiskState::Diskless,
        DiskState::Inconsistent,
        DiskState::Outdated,
        DiskState::Consistent,
        DiskState::UpToDate,
    ];
    let mut all = Vec::new();
    for mask in 0..1u32 << flags.len() {
        let set = flags.iter().enumerate().filter(|(i, _)| mask & (1 << i) != 0);
        let flags = set.fold(0, |sum, (_, flag)| sum | flag);
        for (disk, bits) in disks.iter().flat_map(|disk| [(disk, 0), (disk, 7)]) {
            for (primary, dagtag) in
                [(false, None), (false, Some(8)), (false, Some(16)), (true, None)]
            {
                let said: &'static Uuids = Box::leak(Box::new(uuids(NEWER, flags, bits)));
                let side = Side { disk: *disk, primary, dagtag, ..side(node, said) };
                all.push((said.clone(), side));
            }
        }
    }
    all
}

#[test]
fn both_ends_agree_about_one_generation() {
    let (left, right) = (sides_of_one_generation(0), sides_of_one_generation(1));
    let mut resyncs = 0u64;
    for (said, a) in &left {
        for (_, b) in &right {
            let outcome = mirrored(a, b);
            let split = matches!(outcome, Outcome::SplitBrain(_) | Outcome::Unrelated);
            assert!(!split, "one generation is no split brain: {a:?} {b:?}");
            let usable = |side: &Side| side.disk >= DiskState::Inconsistent;
            let dirty = said.dirty_bits > 0 && usable(a) && usable(b);
            // Neither of two that are neither old nor new has anything for the other: bits stay.
            let nothing = a.disk.max(b.disk) == DiskState::Inconsistent;
            let reconciled = outcome != Outcome::None || (a.primary && b.primary) || nothing;
            assert!(!dirty || reconciled, "dirty bits are dropped: {a:?} {b:?}");
            resyncs += u64::from(outcome != Outcome::None);
        }
    }
    assert!(resyncs > 100_000, "{resyncs}");
}

/// One side went on to a new generation without the other: it is the source, whatever else is said.
#[test]
fn the_side_that_went_on_is_the_source() {
    for flags in 0..1u64 << 12 {
        let mut ahead = uuids(NEWER, flags, 3);
        let behind = uuids(OLDER, 0, 0);
        for (slot, old) in [(Some(OLDER), None), (None, Some(OLDER)), (Some(OLDER), Some(OLDEST))] {
            ahead.bitmap = slot.map(|uuid| (id(1), uuid)).into_iter().collect();
            ahead.history = old.into_iter().collect();
            let outcome = mirrored(&side(0, &ahead), &side(1, &behind));
            assert!(matches!(outcome, Outcome::Source(_)), "{outcome:?}");
        }
    }
}

#[test]
fn sides_that_both_went_on_are_a_split_brain_unless_quorum_decides() {
    let mut left = uuids(NEWER, 0, 3);
    let mut right = uuids(OLDER, 0, 3);
    left.bitmap = vec![(id(1), OLDEST)];
    right.bitmap = vec![(id(0), OLDEST)];
    let (a, b) = (side(0, &left), side(1, &right));
    assert_eq!(mirrored(&a, &b), Outcome::SplitBrain(true));
    let without = Side { quorum: false, ..a.clone() };
    assert!(matches!(mirrored(&without, &b), Outcome::Target(_)));
    left.bitmap.clear();
    right.bitmap.clear();
    assert_eq!(mirrored(&side(0, &left), &side(1, &right)), Outcome::Unrelated);
}

/// Quorum of a side after a split, as one of its nodes with a disk computes it.
fn keeps(here: u32, there: u32, diskless: (u32, u32), had_quorum: bool) -> bool {
    let repeat = |voter, times: u32| std::iter::repeat_n(voter, times as usize);
    let others: Vec<Voter> = repeat(Voter::UpToDate, here.saturating_sub(1))
        .chain(repeat(Voter::Unknown, there))
        .chain(repeat(Voter::Diskless, diskless.0))
        .chain(repeat(Voter::MissingDiskless, diskless.1))
        .collect();
    let ballot = Ballot { me: Voter::UpToDate, others: &others, had_quorum, peer_vouches: false };
    here > 0 && has_quorum(Quorum::Majority, Quorum::Off, &ballot)
}

/// Every way to split up to seven copies and four tie-breakers in two.
#[test]
fn at_most_one_side_of_a_split_keeps_quorum() {
    let mut kept = 0;
    for (copies, breakers) in (1..=7).flat_map(|copies| (0..=4).map(move |b| (copies, b))) {
        for (left, with) in (0..=copies).flat_map(|left| (0..=breakers).map(move |b| (left, b))) {
            let (right, without) = (copies - left, breakers - with);
            for had in [false, true] {
                let a = keeps(left, right, (with, without), had);
                let b = keeps(right, left, (without, with), had);
                assert!(!(a && b), "{left}+{with} and {right}+{without}");
                assert!(left * 2 <= copies || a, "a majority of {copies} copies lost quorum");
                kept += u32::from(a || b);
            }
        }
    }
    assert!(kept > 100, "{kept}");
}

/// Both are connected to a Primary without a disk, which reads what is UpToDate: that is not
/// overwritten with what a copy has that nobody vouches for.
#[test]
fn what_a_primary_reads_is_the_source() {
    for (left, right) in [(3, 3), (0, 3), (3, 0)] {
        let mut said = [uuids(NEWER, 0, left), uuids(NEWER, UuidFlags::RECONNECT, right)];
        said.iter_mut().for_each(|uuids| uuids.node_mask = id(2).mask());
        let a = side(0, &said[0]);
        let b = Side { disk: DiskState::Consistent, ..side(1, &said[1]) };
        assert_eq!(mirrored(&a, &b), Outcome::Source(Bits::Use));
    }
}

/// Two copies that split and follow one Primary: the one that it reads is the source, on both ends;
/// whatever else the disks are, and whatever is no split brain, stays as it was.
#[test]
fn under_one_primary_the_copy_that_it_reads_is_the_source() {
    use DiskState::{Consistent, Inconsistent, Outdated, UpToDate};
    let outcomes = [
        Outcome::SplitBrain(true),
        Outcome::SplitBrain(false),
        Outcome::None,
        Outcome::Source(Bits::Use),
        Outcome::Target(Bits::All),
        Outcome::Unrelated,
    ];
    let disks = [Inconsistent, Outdated, Consistent, UpToDate];
    let (left, right) = (uuids(NEWER, 0, 3), uuids(OLDER, 0, 3));
    let mut led_by = 0;
    for outcome in outcomes {
        for (mine, theirs) in disks.iter().flat_map(|mine| disks.map(|theirs| (*mine, theirs))) {
            let a = Side { disk: mine, ..side(0, &left) };
            let b = Side { disk: theirs, ..side(1, &right) };
            let before = Verdict { rule: "split", outcome };
            let after = led(&a, &b, before);
            let mirror = Verdict { rule: "split", outcome: outcome.mirror() };
            assert_eq!(led(&b, &a, mirror).outcome, after.outcome.mirror(), "{a:?} {b:?}");
            let bits = match outcome {
                Outcome::SplitBrain(true) => Bits::Use,
                _ => Bits::All,
            };
            let wanted = match (outcome, mine, theirs) {
                (Outcome::SplitBrain(_), UpToDate, Outdated) => Outcome::Source(bits),
                (Outcome::SplitBrain(_), Outdated, UpToDate) => Outcome::Target(bits),
                _ => outcome,
            };
            assert_eq!(after.outcome, wanted, "{outcome:?} {mine:?} {theirs:?}");
            let settled = after.rule == "read-by-primary";
            assert_eq!(settled, wanted != outcome, "{outcome:?} {mine:?} {theirs:?}");
            led_by += u32::from(settled);
        }
    }
    assert_eq!(led_by, 4);
}

//! Who has the newer data: every pair of small histories, against the table of rules as DRBD has
//! it, from both ends.

use drbd::core::handshake::{Bits, Bugs, Outcome, Side, Verdict, decide};
use drbd::ids::{NodeId, NodeMask, Uuid};
use drbd::packet::{UuidFlags, Uuids};
use drbd::state::DiskState;

/// Four generations, the last one being the "day0" of all copies.
const GENERATIONS: [Uuid; 4] = [Uuid(0x1001), Uuid(0x2000), Uuid(0x3000), Uuid(0xd0d0)];

fn id(node: u8) -> NodeId {
    NodeId::new(node).expect("a node id")
}

/// What one side tells: `slots` for the other side and for a third node.
fn said(current: Uuid, slots: [(NodeId, Uuid); 2], history: &[Uuid]) -> Uuids {
    Uuids {
        current,
        held: current,
        dirty_bits: 0,
        flags: UuidFlags(0),
        node_mask: NodeMask::NONE,
        bitmap: slots.to_vec(),
        history: history.to_vec(),
    }
}

fn side(node: u8, uuids: &Uuids) -> Side<'_> {
    let (node, disk) = (id(node), DiskState::UpToDate);
    Side { node, uuids, disk, primary: false, quorum: true, dagtag: None }
}

/// Both ends judge the same two halves; the verdicts must mirror each other.
#[track_caller]
fn both_ends(a: &Side, b: &Side) -> (Verdict, Verdict) {
    let (mine, theirs) = (decide(a, b, Bugs::default()), decide(b, a, Bugs::default()));
    assert_eq!(
        mine.outcome,
        theirs.outcome.mirror(),
        "{} at one end, {} at the other:\n{a:?}\n{b:?}",
        mine.rule,
        theirs.rule
    );
    (mine, theirs)
}

/// Every small set of UUIDs of a node: current just created, none, or one of four generations; each
/// slot empty or one of them, except that a slot never repeats the current one; every history.
fn stories(other: u8) -> Vec<Uuids> {
    let mut all = vec![
        said(Uuid::JUST_CREATED, [(id(other), Uuid::NONE), (id(2), Uuid::NONE)], &[]),
        said(Uuid::NONE, [(id(other), Uuid::NONE), (id(2), Uuid::NONE)], &[]),
    ];
    for current in GENERATIONS {
        let past: Vec<Uuid> = GENERATIONS.into_iter().filter(|uuid| *uuid != current).collect();
        let slots: Vec<Uuid> = [Uuid::NONE].into_iter().chain(past.iter().copied()).collect();
        for (towards, third) in
            slots.iter().flat_map(|towards| slots.iter().map(move |third| (*towards, *third)))
        {
            for mask in 0..1usize << past.len() {
                let picked = |i: &usize| mask & (1 << i) != 0;
                let history: Vec<Uuid> =
                    (0..past.len()).filter(picked).map(|i| Uuid(past[i].masked())).collect();
                let free = history.iter().all(|old| !old.same(towards) && !old.same(third));
                if free {
                    all.push(said(current, [(id(other), towards), (id(2), third)], &history));
                }
            }
        }
    }
    all
}

/// A rule of the table: its name, when it matches, and what it says.
type Rule = (&'static str, fn(&Facts) -> bool, fn(&Facts) -> Outcome);

/// What the table asks of two sides.
struct Facts<'a> {
    mine: &'a Uuids,
    theirs: &'a Uuids,
    me: NodeId,
    peer: NodeId,
}

impl Facts<'_> {
    fn slot(uuids: &Uuids, node: NodeId) -> u64 {
        let found = uuids.bitmap.iter().find(|(listed, _)| *listed == node);
        found.map_or(0, |(_, uuid)| uuid.masked())
    }
    fn scur(&self) -> u64 {
        self.mine.current.masked()
    }
    fn pcur(&self) -> u64 {
        self.theirs.current.masked()
    }
    fn fresh(current: u64) -> bool {
        current == 0 || current == 4
    }
    /// Scur stands in P's slot of another node than S.
    fn in_other_slot_of_peer(&self) -> bool {
        Self::other(self.theirs, self.me, self.scur())
    }
    fn in_other_slot_of_mine(&self) -> bool {
        Self::other(self.mine, self.peer, self.pcur())
    }
    fn other(uuids: &Uuids, except: NodeId, current: u64) -> bool {
        uuids.bitmap.iter().any(|(node, uuid)| *node != except && uuid.masked() == current)
    }
    fn old(uuids: &Uuids, current: u64) -> bool {
        uuids.history.iter().any(|uuid| uuid.masked() == current)
    }
    fn peer_went_on(&self) -> bool {
        Self::slot(self.theirs, self.me) == self.scur() || self.in_other_slot_of_peer()
    }
    fn i_went_on(&self) -> bool {
        Self::slot(self.mine, self.peer) == self.pcur() || self.in_other_slot_of_mine()
    }
    fn ancestors(uuids: &Uuids, slots: bool) -> impl Iterator<Item = u64> {
        let slots = uuids.bitmap.iter().filter(move |_| slots).map(|(_, uuid)| uuid.masked());
        slots.chain(uuids.history.iter().map(|uuid| uuid.masked())).filter(|uuid| *uuid > 4)
    }
    fn share_ancestor(&self) -> bool {
        Self::ancestors(self.mine, true)
            .any(|uuid| Self::ancestors(self.theirs, true).any(|other| other == uuid))
    }
}

/// The table of the comparison in DRBD's order. Where the engine differs on purpose, `ours` says so
/// in its name's comment.
const TABLE: &[Rule] = &[
    ("just-created-both", |f| Facts::fresh(f.scur()) && Facts::fresh(f.pcur()), |_| Outcome::None),
    ("just-created-self", |f| Facts::fresh(f.scur()), |_| Outcome::Target(Bits::All)),
    ("just-created-peer", |f| Facts::fresh(f.pcur()), |_| Outcome::Source(Bits::All)),
    (
        "missed-finish",
        |f| {
            let remembers = |uuids, node| Facts::slot(uuids, node) != 0;
            f.scur() == f.pcur() && remembers(f.mine, f.peer) != remembers(f.theirs, f.me)
        },
        |_| Outcome::None,
    ),
    ("both-off", |f| f.scur() == f.pcur(), |_| Outcome::None),
    // Ours: each remembers the other's generation as the one that fell behind. DRBD's order of
    // rules makes both the target.
    (
        "bitmap-both",
        |f| f.peer_went_on() && f.i_went_on(),
        |f| {
            let direct =
                Facts::slot(f.theirs, f.me) == f.scur() && Facts::slot(f.mine, f.peer) == f.pcur();
            Outcome::SplitBrain(direct)
        },
    ),
    ("bitmap-peer", |f| Facts::slot(f.theirs, f.me) == f.scur(), |_| Outcome::Target(Bits::Use)),
    (
        "bitmap-peer-other",
        |f| f.in_other_slot_of_peer(),
        |_| Outcome::Target(Bits::CopyOf(NodeId::new(2).expect("the third node"))),
    ),
    ("bitmap-self", |f| Facts::slot(f.mine, f.peer) == f.pcur(), |_| Outcome::Source(Bits::Use)),
    (
        "bitmap-self-other",
        |f| f.in_other_slot_of_mine(),
        |_| Outcome::Source(Bits::CopyOf(NodeId::new(2).expect("the third node"))),
    ),
    (
        "history-peer",
        |f| Facts::old(f.theirs, f.scur()) && !Facts::old(f.mine, f.pcur()),
        |_| Outcome::Target(Bits::All),
    ),
    (
        "history-self",
        |f| Facts::old(f.mine, f.pcur()) && !Facts::old(f.theirs, f.scur()),
        |_| Outcome::Source(Bits::All),
    ),
    (
        "bitmap-both",
        |f| {
            let slot = Facts::slot(f.mine, f.peer);
            slot != 0 && slot == Facts::slot(f.theirs, f.me)
        },
        |_| Outcome::SplitBrain(true),
    ),
    // Ours: an ancestor that still stands in a slot counts like one in the history.
    ("history-both", |f| f.share_ancestor(), |_| Outcome::SplitBrain(false)),
    ("unrelated-data", |_| true, |_| Outcome::Unrelated),
];

fn by_the_table(mine: &Uuids, theirs: &Uuids) -> (&'static str, Outcome) {
    let facts = Facts { mine, theirs, me: id(0), peer: id(1) };
    let (name, _, says) =
        TABLE.iter().find(|(_, matches, _)| matches(&facts)).expect("the last one matches all");
    (name, says(&facts))
}

/// Goal: every pair of small histories gets the verdict that the table says, by the rule of that
/// name, and the other end the mirrored one. Method: all of them.
#[test]
fn every_pair_of_histories_is_judged_by_the_table_from_both_ends() {
    let (left, right) = (stories(1), stories(0));
    let mut rules = std::collections::BTreeMap::<&str, u64>::new();
    for mine in &left {
        for theirs in &right {
            let (a, b) = (side(0, mine), side(1, theirs));
            let (verdict, _) = both_ends(&a, &b);
            let expected = by_the_table(mine, theirs);
            assert_eq!((verdict.rule, verdict.outcome), expected, "{a:?}\n{b:?}");
            *rules.entry(verdict.rule).or_default() += 1;
        }
    }
    let names: std::collections::BTreeSet<&str> = TABLE.iter().map(|(name, ..)| *name).collect();
    assert!(names.iter().all(|name| rules.contains_key(name)), "never matched: {rules:?}");
}

/// The flags that decide between equal generations, as the table has them; `None` for a side that
/// has not the flag. Returns the rule and, if both failed, whether S is the source.
fn equal_by_the_table(mine: u64, theirs: u64) -> (&'static str, Option<bool>) {
    use UuidFlags as F;
    let has = |flags: u64, flag: u64| flags & flag != 0;
    let [s_crashed, p_crashed] = [mine, theirs].map(|flags| has(flags, F::CRASHED_PRIMARY));
    let [s_again, p_again] = [mine, theirs].map(|flags| has(flags, F::RECONNECT));
    let [mut s_lost, mut p_lost] = [mine, theirs].map(|flags| has(flags, F::PRIMARY_LOST_QUORUM));
    if s_again && p_again {
        return ("reconnected", None);
    }
    // Ours: a Primary that crashed after it lost quorum is the target of a copy that kept running.
    s_lost &= !(s_crashed && !p_crashed && p_again);
    p_lost &= !(p_crashed && !s_crashed && s_again);
    // The node with the higher id accepts the control socket: it resolves conflicts. S is node 0.
    let s_resolves = false;
    match (s_lost, p_lost) {
        (true, true) => return ("lost-quorum", Some(s_resolves)),
        (false, true) => return ("lost-quorum", Some(false)),
        (true, false) => return ("lost-quorum", Some(true)),
        (false, false) => {}
    }
    if p_crashed && s_again {
        return ("reconnected", Some(true));
    }
    if s_crashed && p_again {
        return ("reconnected", Some(false));
    }
    if s_again || p_again {
        return ("reconnected", None);
    }
    match (s_crashed, p_crashed) {
        (false, false) => ("both-off", None),
        (true, true) => ("both-off", Some(!s_resolves)),
        (true, false) => ("both-off", Some(true)),
        (false, true) => ("both-off", Some(false)),
    }
}

const SAID: [u64; 4] = [
    UuidFlags::CRASHED_PRIMARY,
    UuidFlags::PRIMARY_LOST_QUORUM,
    UuidFlags::RECONNECT,
    UuidFlags::SYNC_TARGET,
];

fn flags(mask: usize) -> u64 {
    let set = SAID.iter().enumerate().filter(|(i, _)| mask & (1 << i) != 0);
    set.fold(0, |sum, (_, flag)| sum | flag)
}

/// Goal: crashed Primaries, lost quorum and reconnects decide as the table says where generations
/// are equal and disks as good as each other, and a Primary is the source whatever else is said.
/// Method: all flags of both sides, all roles.
#[test]
fn flags_decide_between_equal_generations_as_the_table_says() {
    for (mine, theirs) in (0..16).flat_map(|mine| (0..16).map(move |theirs| (mine, theirs))) {
        let slots = |other| [(id(other), Uuid::NONE), (id(2), Uuid::NONE)];
        let mut said = [said(GENERATIONS[0], slots(1), &[]), said(GENERATIONS[0], slots(0), &[])];
        said[0].flags.0 = flags(mine);
        said[1].flags.0 = flags(theirs);
        for (s_primary, p_primary) in [(false, false), (true, false), (false, true), (true, true)] {
            let a = Side { primary: s_primary, ..side(0, &said[0]) };
            let b = Side { primary: p_primary, ..side(1, &said[1]) };
            let (verdict, _) = both_ends(&a, &b);
            let (rule, if_both_failed) = equal_by_the_table(flags(mine), flags(theirs));
            let source = match (if_both_failed, s_primary, p_primary) {
                (None, ..) | (_, true, true) => None,
                (_, true, false) => Some(true),
                (_, false, true) => Some(false),
                (decided, false, false) => decided,
            };
            let outcome = match source {
                None => Outcome::None,
                Some(true) => Outcome::Source(Bits::Use),
                Some(false) => Outcome::Target(Bits::Use),
            };
            assert_eq!((verdict.rule, verdict.outcome), (rule, outcome), "{a:?}\n{b:?}");
        }
    }
}

/// Goal: whatever histories, flags, disks, bits, roles and quorum two sides have, reachable or not,
/// the two ends come to mirrored verdicts. Method: all histories of three generations with all that
/// is said of them, thinned out by a stride that is prime to every dimension.
#[test]
fn nothing_that_is_said_makes_the_two_ends_disagree() {
    let (left, right) = (stories(1), stories(0));
    let disks = [
        DiskState::Inconsistent,
        DiskState::Outdated,
        DiskState::Consistent,
        DiskState::UpToDate,
        DiskState::Negotiating,
    ];
    let pairs = left.len() as u64 * right.len() as u64;
    let per_side = 16 * disks.len() as u64 * 2 * 2 * 2 * 3 * 2 * 4 * 2;
    let space = pairs * per_side * per_side;
    let stride = 999_999_937 % space;
    let mut at = 0u64;
    for _ in 0..3_000_000u64 {
        at = (at + stride) % space;
        let mut rest = at;
        let mut pick = |count: u64| {
            let picked = rest % count;
            rest /= count;
            picked as usize
        };
        let mut said =
            [left[pick(left.len() as u64)].clone(), right[pick(right.len() as u64)].clone()];
        let mut facts = Vec::new();
        for uuids in &mut said {
            uuids.flags.0 = flags(pick(16));
            uuids.dirty_bits = [0, 7][pick(2)];
            if pick(2) == 1 {
                uuids.held = [GENERATIONS[pick(4)], Uuid::JUST_CREATED][pick(2)];
            }
            facts.push((
                disks[pick(5)],
                pick(2) == 1,
                pick(2) == 1,
                [None, Some(8), Some(16)][pick(3)],
            ));
        }
        let sides: Vec<Side> = (0..2)
            .map(|i| {
                let (disk, primary, quorum, dagtag) = facts[i];
                Side { disk, primary, quorum, dagtag, ..side(i as u8, &said[i]) }
            })
            .collect();
        both_ends(&sides[0], &sides[1]);
    }
}

/// Goal: with equal generations the better disk is the source if one is Inconsistent, or if crashes
/// or a lost quorum decide; two copies that are Outdated, or Consistent and UpToDate, are as good
/// as each other (resync-based-on-disk-states; two nodes Outdated after a resync: fixed in 9.0.28).
/// Method: all disks, with and without a rule that decides.
#[test]
fn equal_generations_are_decided_by_disk_states() {
    use DiskState::{Consistent, Inconsistent, Outdated, UpToDate};
    let disks = [Inconsistent, Outdated, Consistent, UpToDate];
    for (mine, theirs) in disks.into_iter().flat_map(|mine| disks.map(|theirs| (mine, theirs))) {
        for crashed in [false, true] {
            let slots = |other| [(id(other), Uuid::NONE), (id(2), Uuid::NONE)];
            let mut left = said(GENERATIONS[0], slots(1), &[]);
            left.flags.0 = if crashed { UuidFlags::CRASHED_PRIMARY } else { 0 };
            let right = said(GENERATIONS[0], slots(0), &[]);
            let a = Side { disk: mine, ..side(0, &left) };
            let b = Side { disk: theirs, ..side(1, &right) };
            let (verdict, _) = both_ends(&a, &b);
            let rank = |disk: DiskState| disk.min(Consistent);
            let differ = rank(mine) != rank(theirs);
            let one_bad = (mine == Inconsistent) != (theirs == Inconsistent);
            let source = match crashed {
                true => Some(if differ { mine > theirs } else { true }),
                false => one_bad.then_some(mine > theirs),
            };
            let wanted = match source {
                None => Outcome::None,
                Some(true) => Outcome::Source(Bits::Use),
                Some(false) => Outcome::Target(Bits::Use),
            };
            assert_eq!(verdict.outcome, wanted, "{mine} {theirs} crashed: {crashed}");
        }
    }
}

/// Goal: a target that presents its source's generation is resynced by the bits that lead from what
/// it has: those of its own slot, of another one (day0's, too), or all. Method: every generation
/// that it may have, against slots for it and for a third node.
#[test]
fn a_target_of_another_is_judged_by_what_it_has() {
    let [current, old, older, day0] = GENERATIONS;
    for held in [current, old, older, day0, Uuid::JUST_CREATED, Uuid(0x9999)] {
        let source = said(current, [(id(1), old), (id(5), day0)], &[older]);
        let mut target = said(current, [(id(0), Uuid::NONE), (id(2), Uuid::NONE)], &[]);
        target.held = held;
        target.flags.0 = UuidFlags::SYNC_TARGET;
        let a = side(0, &source);
        let b = Side { disk: DiskState::Inconsistent, ..side(1, &target) };
        let bits = match held {
            uuid if uuid == current || uuid == old => Bits::Use,
            uuid if uuid == day0 => Bits::CopyOf(id(5)),
            _ => Bits::All,
        };
        assert_eq!(both_ends(&a, &b).0.outcome, Outcome::Source(bits), "{held:?}");
    }
}

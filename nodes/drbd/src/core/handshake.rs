//! Who has the newer data? The comparison of two nodes' generations when they meet (drbd-9
//! `drbd_uuid_compare` and what follows it). A pure function of what each side told the other, so
//! that both ends derive mirrored verdicts.

use crate::ids::{NodeId, Uuid};
use crate::packet::{UuidFlags, Uuids};
use crate::state::DiskState;

/// One side of a handshake, as it presented itself.
#[derive(Clone, Debug)]
pub struct Side<'a> {
    /// Node id.
    pub node: NodeId,
    /// Its UUIDs and flags, as sent.
    pub uuids: &'a Uuids,
    /// Its disk, as sent.
    pub disk: DiskState,
    /// It is Primary.
    pub primary: bool,
    /// Its volume has quorum.
    pub quorum: bool,
    /// Its position in the stream of the Primary that both lost, if it named one.
    pub dagtag: Option<u64>,
}

impl Side<'_> {
    fn has(&self, flag: u64) -> bool {
        self.uuids.flags.has(flag)
    }
    pub(super) fn slot(&self, node: NodeId) -> Uuid {
        let found = self.uuids.bitmap.iter().find(|(id, _)| *id == node);
        found.map_or(Uuid::NONE, |(_, uuid)| *uuid)
    }
    fn slot_holding(&self, uuid: Uuid, except: NodeId) -> Option<NodeId> {
        let mut slots = self.uuids.bitmap.iter();
        let held = |(id, slot): &&(NodeId, Uuid)| *id != except && slot.same(uuid);
        slots.find(held).map(|(id, _)| *id).filter(|_| !uuid.is_fresh())
    }
    /// Every generation that is known to come before the current one.
    fn ancestors(&self) -> impl Iterator<Item = Uuid> {
        let slots = self.uuids.bitmap.iter().map(|(_, uuid)| *uuid);
        slots.chain(self.uuids.history.iter().copied()).filter(|uuid| !uuid.is_fresh())
    }
    fn in_history(&self, uuid: Uuid) -> bool {
        !uuid.is_none() && self.uuids.history.iter().any(|old| old.same(uuid))
    }
}

/// Which bits the resync starts from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bits {
    /// The bits of both sides' slots for each other.
    Use,
    /// The source replaces its slot for the target by its slot of this node; the target clears its
    /// own.
    CopyOf(NodeId),
    /// All bits are set on both sides.
    All,
}

/// Verdict for the side called `me`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// No resync.
    None,
    /// I am the source.
    Source(Bits),
    /// I am the target.
    Target(Bits),
    /// Both sides have data that the other lacks; `true`: after-sb policies may solve it.
    SplitBrain(bool),
    /// The data has no common ancestor.
    Unrelated,
}

impl Outcome {
    /// The same verdict as the peer states it.
    pub fn mirror(self) -> Outcome {
        match self {
            Outcome::Source(bits) => Outcome::Target(bits),
            Outcome::Target(bits) => Outcome::Source(bits),
            other => other,
        }
    }

    /// In DRBD's words.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::None => "no-sync",
            Outcome::Source(Bits::Use) => "source-use-bitmap",
            Outcome::Source(Bits::CopyOf(_)) => "source-copy-other-bitmap",
            Outcome::Source(Bits::All) => "source-set-bitmap",
            Outcome::Target(Bits::Use) => "target-use-bitmap",
            Outcome::Target(Bits::CopyOf(_)) => "target-clear-bitmap",
            Outcome::Target(Bits::All) => "target-set-bitmap",
            Outcome::SplitBrain(true) => "split-brain-auto-recover",
            Outcome::SplitBrain(false) => "split-brain-disconnect",
            Outcome::Unrelated => "unrelated-data",
        }
    }
}

/// A verdict and the rule that gave it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// The rule's name.
    pub rule: &'static str,
    /// What it says.
    pub outcome: Outcome,
}

/// Switches that put historical bugs back.
#[derive(Clone, Copy, Default, Debug)]
pub struct Bugs {
    /// Equal generations with dirty bits are taken as identical.
    pub ignore_dirty_bits: bool,
    /// Equal generations do not ask for the disks' states.
    pub ignore_disk_states: bool,
}

/// The whole decision for `me`.
pub fn decide(me: &Side, peer: &Side, bugs: Bugs) -> Verdict {
    let verdict = by_uuids(me, peer);
    let verdict = if bugs.ignore_disk_states { verdict } else { by_disk_state(me, peer, verdict) };
    let verdict = if bugs.ignore_dirty_bits { verdict } else { by_bits(me, peer, verdict) };
    let verdict = by_inconsistency(me, peer, verdict);
    by_quorum(me, peer, verdict)
}

fn by_uuids(me: &Side, peer: &Side) -> Verdict {
    let (mine, theirs) = (me.uuids.current, peer.uuids.current);
    let verdict = |rule, outcome| Verdict { rule, outcome };
    match (mine.is_fresh(), theirs.is_fresh()) {
        (true, true) => return verdict("just-created-both", Outcome::None),
        (true, false) => return verdict("just-created-self", Outcome::Target(Bits::All)),
        (false, true) => return verdict("just-created-peer", Outcome::Source(Bits::All)),
        (false, false) => {}
    }
    if mine.same(theirs) {
        let verdict = equal(me, peer);
        return match verdict.outcome {
            Outcome::None if missed_finish(me, peer) => {
                Verdict { rule: "missed-finish", ..verdict }
            }
            _ => verdict,
        };
    }
    let use_bits = Bits::Use;
    // Each was once the other's source: neither slot says which of them went on. (DRBD would make
    // both of them the target.)
    if peer.slot(me.node).same(mine) && me.slot(peer.node).same(theirs) {
        return verdict("bitmap-both", Outcome::SplitBrain(true));
    }
    let theirs_went_on = (peer.slot(me.node).same(mine), peer.slot_holding(mine, me.node));
    let mine_went_on = (me.slot(peer.node).same(theirs), me.slot_holding(theirs, peer.node));
    if (theirs_went_on.0 || theirs_went_on.1.is_some())
        && (mine_went_on.0 || mine_went_on.1.is_some())
    {
        // Nor do slots of third nodes, and what bits there are do not tell what both changed.
        return verdict("bitmap-both", Outcome::SplitBrain(false));
    }
    match (theirs_went_on, mine_went_on) {
        ((true, _), _) => return verdict("bitmap-peer", Outcome::Target(use_bits)),
        ((_, Some(node)), _) => {
            return verdict("bitmap-peer-other", Outcome::Target(Bits::CopyOf(node)));
        }
        (_, (true, _)) => return verdict("bitmap-self", Outcome::Source(use_bits)),
        (_, (_, Some(node))) => {
            return verdict("bitmap-self-other", Outcome::Source(Bits::CopyOf(node)));
        }
        _ => {}
    }
    match (peer.in_history(mine), me.in_history(theirs)) {
        (true, false) => return verdict("history-peer", Outcome::Target(Bits::All)),
        (false, true) => return verdict("history-self", Outcome::Source(Bits::All)),
        _ => {}
    }
    let (ours, same) = (me.slot(peer.node), peer.slot(me.node));
    if !ours.is_none() && ours.same(same) {
        return verdict("bitmap-both", Outcome::SplitBrain(true));
    }
    // The ancestor may still stand in a slot of one side. (DRBD looks at the histories alone.)
    if me.ancestors().any(|old| peer.ancestors().any(|theirs| theirs.same(old))) {
        return verdict("history-both", Outcome::SplitBrain(false));
    }
    verdict("unrelated-data", Outcome::Unrelated)
}

/// Did a resync end that just one of them heard the end of? The target has the source's generation,
/// and nothing that the source should have; the source still remembers where the target was.
/// Without bits there is nothing to do but to forget that (protocol 124); with bits they decide as
/// they do between any equals. (DRBD has them copied again from the source, also if it crashed
/// meanwhile.)
fn missed_finish(me: &Side, peer: &Side) -> bool {
    let remembers = |side: &Side, other: &Side| {
        let slot = side.slot(other.node);
        !slot.is_none() && !slot.same(side.uuids.current)
    };
    let resolved = me.has(UuidFlags::SYNC_TARGET) || peer.has(UuidFlags::SYNC_TARGET);
    !resolved && remembers(me, peer) != remembers(peer, me)
}

/// Equal current UUIDs: crashes and lost quorum decide.
fn equal(me: &Side, peer: &Side) -> Verdict {
    let crashed = |side: &Side| side.has(UuidFlags::CRASHED_PRIMARY);
    let lost = |side: &Side| side.has(UuidFlags::PRIMARY_LOST_QUORUM);
    let (again, peer_again) = (me.has(UuidFlags::RECONNECT), peer.has(UuidFlags::RECONNECT));
    if again && peer_again {
        return Verdict { rule: "reconnected", outcome: Outcome::None };
    }
    // What it wrote without quorum was never acknowledged, and the crash may have cost it what was:
    // the copy that kept running has all of it. (DRBD looks at the lost quorum first.)
    let lost = |side: &Side, other: &Side| {
        lost(side) && !(crashed(side) && !crashed(other) && other.has(UuidFlags::RECONNECT))
    };
    let (rule, source) = match (lost(me, peer), lost(peer, me)) {
        (true, false) => ("lost-quorum", true),
        (false, true) => ("lost-quorum", false),
        (true, true) => ("lost-quorum", resolves_conflicts(me, peer)),
        (false, false) if crashed(peer) && again => ("reconnected", true),
        (false, false) if crashed(me) && peer_again => ("reconnected", false),
        (false, false) if again || peer_again => {
            return Verdict { rule: "reconnected", outcome: Outcome::None };
        }
        (false, false) => match (crashed(me), crashed(peer)) {
            (false, false) => return Verdict { rule: "both-off", outcome: Outcome::None },
            (true, true) => ("both-off", !resolves_conflicts(me, peer)),
            (mine, _) => ("both-off", mine),
        },
    };
    // The verdict above is the one "if both failed": a node that is Primary now is always the
    // source.
    let source = match (me.primary, peer.primary) {
        (true, true) => return Verdict { rule, outcome: Outcome::None },
        (true, false) => true,
        (false, true) => false,
        (false, false) => source,
    };
    let outcome = if source { Outcome::Source(Bits::Use) } else { Outcome::Target(Bits::Use) };
    Verdict { rule, outcome }
}

/// The node that accepted the control socket resolves conflicts; sockets are dialled by the lower
/// node id.
fn resolves_conflicts(me: &Side, peer: &Side) -> bool {
    me.node > peer.node
}

/// With equal generations the better disk is the source. A copy that is Consistent only because a
/// Primary was just lost is no worse than one that is UpToDate: it may hold more.
fn by_disk_state(me: &Side, peer: &Side, verdict: Verdict) -> Verdict {
    let usable = |disk| disk >= DiskState::Inconsistent && disk != DiskState::DUnknown;
    if !me.uuids.current.same(peer.uuids.current) || !usable(me.disk) || !usable(peer.disk) {
        return verdict;
    }
    let rank = |disk: DiskState| disk.min(DiskState::Consistent);
    let bad = |disk| disk == DiskState::Inconsistent;
    let decides = match verdict.outcome {
        Outcome::None => bad(me.disk) != bad(peer.disk),
        Outcome::Source(_) | Outcome::Target(_) => rank(me.disk) != rank(peer.disk),
        _ => false,
    };
    if !decides {
        return verdict;
    }
    let source = rank(me.disk) > rank(peer.disk);
    let (from, to) = if source { (me, peer) } else { (peer, me) };
    let bits = bits_towards(from, to);
    let outcome = if source { Outcome::Source(bits) } else { Outcome::Target(bits) };
    Verdict { rule: "disk-states", outcome }
}

/// A target that syncs from somebody else presented that node's generation: which bits lead from
/// what it really holds to what the source has? (Its own slot of the source's was taken whatever
/// it stood for: fixed in 9.0.29, 9.1.2.)
fn bits_towards(from: &Side, to: &Side) -> Bits {
    let held = to.uuids.held;
    match from.slot_holding(held, to.node) {
        _ if !to.has(UuidFlags::SYNC_TARGET) || held.same(from.uuids.current) => Bits::Use,
        _ if !held.is_fresh() && from.slot(to.node).same(held) => Bits::Use,
        Some(node) => Bits::CopyOf(node),
        None => Bits::All,
    }
}

/// Equal generations and yet bits are set: writes that one side has and the other may lack. Who is
/// Primary, who followed the lost Primary further, who kept running decides the direction; bits are
/// never dropped.
fn by_bits(me: &Side, peer: &Side, verdict: Verdict) -> Verdict {
    let (mine, theirs) = (me.uuids.dirty_bits, peer.uuids.dirty_bits);
    let fresh = me.uuids.current.is_fresh();
    // Of two copies that are neither old nor new, none has anything for the other.
    let nothing = fresh || me.disk.max(peer.disk) == DiskState::Inconsistent;
    if verdict.outcome != Outcome::None || (mine == 0 && theirs == 0) || nothing {
        return verdict;
    }
    let again = |side: &Side| side.has(UuidFlags::RECONNECT);
    let ahead = |a: &Side, b: &Side| match (a.dagtag, b.dagtag) {
        (Some(a), Some(b)) => a > b,
        (a, b) => a.is_some() && b.is_none(),
    };
    let follows = |side: &Side, other: &Side| !side.uuids.node_mask.without(other.node).is_empty();
    let behind = |side: &Side| side.disk < DiskState::Consistent;
    let common = !me.uuids.node_mask.and(peer.uuids.node_mask).is_empty();
    let in_use = |side: &Side| common && side.disk == DiskState::UpToDate;
    let source = if me.primary != peer.primary {
        me.primary
    } else if behind(me) != behind(peer) {
        // Being connected to the Primary is not having its data.
        behind(peer)
    } else if in_use(me) != in_use(peer) {
        // The Primary that both are connected to reads what is UpToDate.
        in_use(me)
    } else if follows(me, peer) != follows(peer, me) {
        // One still receives what a Primary writes, the other no longer does.
        follows(me, peer)
    } else if ahead(me, peer) || ahead(peer, me) {
        ahead(me, peer)
    } else if again(me) != again(peer) {
        again(me)
    } else if (mine == 0) != (theirs == 0) {
        mine != 0
    } else {
        me.node < peer.node
    };
    let outcome = if source { Outcome::Source(Bits::Use) } else { Outcome::Target(Bits::Use) };
    Verdict { rule: "reconcile", outcome }
}

/// A split brain with a copy that is Inconsistent is none: that copy was being replaced by another,
/// and what it had of its own is half gone. (As DRBD 8.4 has it; 9 lets quorum decide alone.) Where
/// that goes on, the copy presents the generation that it is about to have; a Primary works on
/// others' data. Theirs are the newer ones then.
fn by_inconsistency(me: &Side, peer: &Side, verdict: Verdict) -> Verdict {
    let idle = |side: &Side| !side.has(UuidFlags::SYNC_TARGET) && !side.primary;
    let bad = |side: &Side| side.disk == DiskState::Inconsistent && idle(side);
    let better =
        |side: &Side| side.disk > DiskState::Inconsistent && side.disk != DiskState::DUnknown;
    match verdict.outcome {
        Outcome::SplitBrain(auto) if bad(me) && better(peer) || better(me) && bad(peer) => {
            let bits = if auto { Bits::Use } else { Bits::All };
            let outcome = if bad(peer) { Outcome::Source(bits) } else { Outcome::Target(bits) };
            Verdict { rule: "split-brain-inconsistent", outcome }
        }
        _ => verdict,
    }
}

/// A split brain where just one side kept quorum is none: the other side's writes were never
/// acknowledged.
fn by_quorum(me: &Side, peer: &Side, verdict: Verdict) -> Verdict {
    match verdict.outcome {
        Outcome::SplitBrain(auto) if me.quorum != peer.quorum => {
            let bits = if auto { Bits::Use } else { Bits::All };
            let outcome = if me.quorum { Outcome::Source(bits) } else { Outcome::Target(bits) };
            Verdict { rule: "split-brain-quorum", outcome }
        }
        _ => verdict,
    }
}

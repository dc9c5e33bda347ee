//! What settles a split brain: the after-split-brain policies, and `--discard-my-data`. Pure, like
//! the comparison that found it; both ends come to the same.

use super::config::{AfterSb, AfterSb0, AfterSb1, AfterSb2};
use super::handshake::{Bits, Outcome, Side, Verdict};
use crate::ids::Uuid;
use crate::packet::UuidFlags;
use crate::state::DiskState;

/// The verdict after everything that may settle a split brain.
pub fn settle(me: &Side, peer: &Side, policies: &AfterSb, verdict: Verdict) -> Verdict {
    let Outcome::SplitBrain(auto) = verdict.outcome else {
        return against_discard(me, peer, verdict);
    };
    let bits = if auto { Bits::Use } else { Bits::All };
    let outcome = |source: bool| match source {
        true => Outcome::Source(bits),
        false => Outcome::Target(bits),
    };
    let (rule, source) = by_policy(me, peer, policies);
    if let (Some(source), true) = (source, auto || policies.always) {
        return Verdict { rule, outcome: outcome(source) };
    }
    match (discards(me), discards(peer)) {
        (true, false) => Verdict { rule: "discard-my-data", outcome: outcome(false) },
        (false, true) => Verdict { rule: "discard-my-data", outcome: outcome(true) },
        _ => verdict,
    }
}

/// The verdict of two copies that split and follow one Primary, which reads the one that is
/// UpToDate and holds the other for Outdated: the pool goes on with what the Primary reads, and the
/// link would be tried again for ever. (DRBD ends it for good, see `is_unsettled`.)
pub fn led(me: &Side, peer: &Side, verdict: Verdict) -> Verdict {
    let Outcome::SplitBrain(auto) = verdict.outcome else { return verdict };
    let bits = if auto { Bits::Use } else { Bits::All };
    let outcome = match (me.disk, peer.disk) {
        (DiskState::UpToDate, DiskState::Outdated) => Outcome::Source(bits),
        (DiskState::Outdated, DiskState::UpToDate) => Outcome::Target(bits),
        _ => return verdict,
    };
    Verdict { rule: "read-by-primary", outcome }
}

fn discards(side: &Side) -> bool {
    side.uuids.flags.has(UuidFlags::DISCARD_MY_DATA)
}

/// A resync against the wish of the side that throws its data away goes the other way, if the other
/// side's data is consistent.
fn against_discard(me: &Side, peer: &Side, verdict: Verdict) -> Verdict {
    if discards(me) == discards(peer) {
        return verdict;
    }
    let good =
        |side: &Side| side.disk > DiskState::Inconsistent && side.disk != DiskState::DUnknown;
    let outcome = match verdict.outcome {
        Outcome::Source(Bits::CopyOf(_)) | Outcome::Target(Bits::CopyOf(_)) => return verdict,
        Outcome::Source(bits) if discards(me) && good(peer) => Outcome::Target(bits),
        Outcome::Target(bits) if discards(peer) && good(me) => Outcome::Source(bits),
        _ => return verdict,
    };
    Verdict { rule: "discard-my-data", outcome }
}

/// Is `me` the source, if the policy for this many Primaries knows?
fn by_policy(me: &Side, peer: &Side, policies: &AfterSb) -> (&'static str, Option<bool>) {
    let zero = || without_primary(me, peer, policies.zero);
    match (me.primary, peer.primary) {
        (false, false) => ("after-sb-0pri", zero()),
        (true, true) => {
            let source = match policies.two {
                AfterSb2::Disconnect => None,
                AfterSb2::ViolentlyAs0p | AfterSb2::CallPriLost => zero(),
            };
            ("after-sb-2pri", source)
        }
        (primary, _) => {
            let source = match policies.one {
                AfterSb1::Disconnect => None,
                AfterSb1::Consensus => zero().filter(|source| *source == primary),
                AfterSb1::ViolentlyAs0p | AfterSb1::CallPriLost => zero(),
                AfterSb1::DiscardSecondary => Some(primary),
            };
            ("after-sb-1pri", source)
        }
    }
}

fn without_primary(me: &Side, peer: &Side, policy: AfterSb0) -> Option<bool> {
    let bits = (me.uuids.dirty_bits, peer.uuids.dirty_bits);
    // Who resolves conflicts, the node with the higher id, is the target of a tie.
    let tie = me.node < peer.node;
    let least = if bits.0 == bits.1 { tie } else { bits.0 > bits.1 };
    match policy {
        AfterSb0::Disconnect => None,
        AfterSb0::DiscardLocal => Some(false),
        AfterSb0::DiscardRemote => Some(true),
        AfterSb0::DiscardLeastChanges => Some(least),
        AfterSb0::DiscardZeroChanges => match bits {
            (0, 0) => Some(tie),
            (0, _) => Some(false),
            (_, 0) => Some(true),
            _ => None,
        },
        // Who was Primary when the generations split went on with it, and is the older one.
        AfterSb0::DiscardYounger | AfterSb0::DiscardOlder => {
            let was_primary = |slot: Uuid| slot.0 & 1 != 0;
            let older = (was_primary(me.slot(peer.node)), was_primary(peer.slot(me.node)));
            let keeps_older = policy == AfterSb0::DiscardYounger;
            match older {
                (true, false) => Some(keeps_older),
                (false, true) => Some(!keeps_older),
                _ if bits.0 == 0 || bits.1 == 0 => {
                    without_primary(me, peer, AfterSb0::DiscardZeroChanges)
                }
                _ => Some(least),
            }
        }
    }
}

//! `no-needless-split-brain`: who has only what the other has too is not told that they parted.
//!
//! A connection that is given up for good because of split brain or unrelated data, or a split
//! brain that a policy settles by throwing data away, has to be one: neither copy's generation
//! came from the other's. A copy whose generation is the other's, or an earlier one of it, has
//! nothing to lose, and an administrator who is asked which data to throw away may choose wrongly.
//!
//! Assumes: no copy of the pair was made anew, broken or had its data thrown away, no administrator
//! overruled the engine.

use crate::ledger::Kin;

/// Its name.
pub const NAME: &str = "no-needless-split-brain";

/// Does this verdict (or this rule, by which a policy settled one) say that two copies parted?
pub fn is_split(rule: &str, verdict: &str) -> bool {
    let verdict =
        matches!(verdict, "split-brain-auto-recover" | "split-brain-disconnect" | "unrelated-data");
    verdict || rule.starts_with("after-sb-")
}

/// Judges a split brain that was acted on: the connection was given up, or data is thrown away.
pub fn check(rule: &str, kin: Kin) -> Result<(), String> {
    match kin {
        Kin::Apart => Ok(()),
        Kin::Same => Err(format!("parted ({rule}), though both have the same generation")),
        Kin::Before | Kin::After => {
            Err(format!("parted ({rule}), though the one has an earlier generation of the other"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relatives_have_not_parted() {
        assert!(is_split("bitmap-both", "split-brain-auto-recover"));
        assert!(is_split("unrelated-data", "unrelated-data"));
        assert!(is_split("after-sb-0pri", "target-use-bitmap"));
        assert!(!is_split("bitmap-peer", "target-use-bitmap"));
        assert_eq!(check("bitmap-both", Kin::Apart), Ok(()));
        for kin in [Kin::Same, Kin::Before, Kin::After] {
            assert!(check("bitmap-both", kin).is_err());
        }
    }
}

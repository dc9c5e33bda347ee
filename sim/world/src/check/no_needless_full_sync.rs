//! `no-needless-full-sync`: nothing is copied whole that a bitmap could tell apart.
//!
//! When a resync begins that a handshake gave all bits (`source-set-bitmap`, `target-set-bitmap`),
//! the two copies have to be strangers: one made anew, or generations of which neither came from
//! the other. For each copy that is away when a new generation is made a bitmap is kept from that
//! moment on, under the generation that it has (its slot's UUID), by every copy that goes on; so a
//! copy that comes back with that generation, or has the same as the other, is brought up to date
//! by what changed since. Copying terabytes instead takes days, in which there is one copy less.
//!
//! Assumes: two copies (of three, one may have been the target of a third since: what it knows of
//! others then is what its source told it, which is younger, and DRBD's rules copy everything);
//! neither was made anew, invalidated, forgotten or broken, no administrator threw data away;
//! neither is Inconsistent, half of one generation and half of another; no resync between them was
//! unstable, or ended without the source knowing. A copy that was linked just before the next
//! generation was made is not looked at: it may have been told and lost before it had noted it, and
//! no slot was set for it.

use crate::ledger::Kin;

/// Its name.
pub const NAME: &str = "no-needless-full-sync";

/// Does a verdict have everything copied?
pub fn is_full(verdict: &str) -> bool {
    matches!(verdict, "source-set-bitmap" | "target-set-bitmap")
}

/// Judges a resync that begins, by the verdict of the handshake before it; `Kin::Apart` also where
/// the older one was not away when it was left behind.
pub fn check(verdict: &str, rule: &str, kin: Kin) -> Result<(), String> {
    if is_full(verdict) && kin != Kin::Apart {
        let kin = match kin {
            Kin::Same => "both have the same generation",
            _ => "the one has an earlier generation of the other",
        };
        return Err(format!("everything is copied ({rule}), though {kin}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relatives_are_not_copied_whole() {
        assert!(check("target-set-bitmap", "history-peer", Kin::Before).is_err());
        assert!(check("source-set-bitmap", "history-self", Kin::After).is_err());
        assert!(check("source-set-bitmap", "disk-states", Kin::Same).is_err());
        assert!(check("source-use-bitmap", "bitmap-self", Kin::After).is_ok());
        assert!(check("target-set-bitmap", "just-created-self", Kin::Apart).is_ok());
    }
}

//! `acked-write-survives`: what an application was told is written is found by whoever may serve it
//! next.
//!
//! A write that was followed by an acknowledged flush survives any fault inside the budget; an
//! unflushed one survives while copies that acknowledged it stay up and cannot be outvoted.
//! [`crate::ledger`] keeps who owes what, and says exactly when a copy stops to owe.
//!
//! Checked on the stored blocks themselves:
//! * at rest and at the end, every block of every copy that is UpToDate and could be promoted: its
//!   node has quorum (or quorum is off), and each of its connections is Connected at both ends, so
//!   that it does not merely not know yet that it was left alone;
//! * when a node becomes Primary, every block that it would read: its own copy if that is UpToDate,
//!   otherwise that of each UpToDate peer it is connected to.
//!
//! Assumes: protocol C; disks that keep their word (those that the plan breaks owe nothing); with
//! quorum off, a plan that does not let two hosts miss each other's writes.

use crate::ledger::{Ledger, Wrong};
use drbd::ids::NodeId;
use drbd::page::Page;

/// Its name.
pub const NAME: &str = "acked-write-survives";

/// Compares `blocks` of the copy of `node` with what is owed; how many were compared, or the first
/// that is wrong.
pub fn check(
    ledger: &Ledger,
    node: NodeId,
    blocks: impl Iterator<Item = u64>,
    stored: impl Fn(u64) -> Page,
) -> Result<u64, Wrong> {
    let mut checked = 0;
    for block in blocks {
        ledger.judge(block, &stored(block), Some(node), u64::MAX)?;
        checked += 1;
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use drbd::ids::Blocks;

    #[test]
    fn a_promoted_copy_without_an_acked_write_is_caught() {
        let [a, b] = [0, 1].map(|n| NodeId::new(n).unwrap());
        let mut ledger = Ledger::new(a.mask().with(b));
        let id = ledger.submitted(1, 1, Blocks::new(3, 2), false);
        ledger.acked(2, id, a.mask());
        let stale = check(&ledger, b, 0..5, |_| Page::Zero);
        assert_eq!(stale.unwrap_err().block, 3);
        let whole = |block| match block {
            3 | 4 => Ledger::stamp(1, block),
            _ => Page::Zero,
        };
        assert_eq!(check(&ledger, b, 0..5, whole), Ok(5));
        let torn = |block| if block == 3 { whole(3) } else { Page::Zero };
        assert_eq!(check(&ledger, b, 0..5, torn).unwrap_err().block, 4);
    }
}

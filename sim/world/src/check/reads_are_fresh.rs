//! `reads-are-fresh`: a read returns, for each block, the newest write that was acknowledged before
//! the read was submitted, or one that was not settled by then.
//!
//! A write that was never acknowledged (its host died, or it failed) may be found or not; once an
//! application has read it, it stays: it counts as acknowledged from that read on, owed by the
//! UpToDate copies that hold it then. A read of a write that is still in flight binds nobody: the
//! application that reads is the one that writes, and if its host dies now, no disk can be asked to
//! keep what was never acknowledged.
//!
//! Assumes: one application per volume at a time; blocks that the plan rotted are outside the
//! promise.

use crate::ledger::{Judgement, Ledger, Wrong};
use drbd::ids::{NodeId, NodeMask};
use drbd::page::Page;

/// Its name.
pub const NAME: &str = "reads-are-fresh";

/// One block of a read that ended well.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// Which block.
    pub block: u64,
    /// What it held.
    pub page: &'a Page,
    /// The node that read.
    pub reader: NodeId,
    /// When the read was submitted.
    pub submitted: u64,
    /// When it ended.
    pub ended: u64,
}

/// Judges a block that was read. `copies` says which UpToDate copies hold the contents; asked only
/// when it matters.
pub fn check(
    ledger: &mut Ledger,
    found: Found,
    copies: impl FnOnce() -> NodeMask,
) -> Result<(), Wrong> {
    let reader = Some(found.reader);
    let judged = ledger.judge(found.block, found.page, reader, found.submitted)?;
    if let Judgement::Version(id) = judged
        && ledger.is_unsettled(id)
    {
        ledger.was_read(found.ended, found.block, judged, copies());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use drbd::ids::Blocks;

    fn read(ledger: &mut Ledger, page: Page, submitted: u64) -> Result<(), Wrong> {
        let a = NodeId::new(0).unwrap();
        let found = Found { block: 0, page: &page, reader: a, submitted, ended: submitted + 1 };
        check(ledger, found, || a.mask())
    }

    #[test]
    fn a_stale_read_is_caught_and_a_maybe_write_stays_once_read() {
        let a = NodeId::new(0).unwrap();
        let mut ledger = Ledger::new(a.mask());
        let one = ledger.submitted(1, 1, Blocks::new(0, 1), false);
        ledger.acked(2, one, a.mask());
        let two = ledger.submitted(3, 2, Blocks::new(0, 1), false);
        ledger.failed(two);
        assert!(read(&mut ledger, Page::Zero, 5).is_err());
        assert!(read(&mut ledger, Ledger::stamp(1, 0), 6).is_ok());
        assert!(read(&mut ledger, Ledger::stamp(2, 0), 8).is_ok());
        assert!(read(&mut ledger, Ledger::stamp(1, 0), 10).is_err());
    }

    #[test]
    fn a_read_that_began_before_the_ack_may_see_the_older_write() {
        let a = NodeId::new(0).unwrap();
        let mut ledger = Ledger::new(a.mask());
        let one = ledger.submitted(1, 1, Blocks::new(0, 1), false);
        ledger.acked(5, one, a.mask());
        assert!(read(&mut ledger, Page::Zero, 4).is_ok());
        assert!(read(&mut ledger, Page::Zero, 6).is_err());
    }
}

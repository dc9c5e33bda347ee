//! `uptodate-means-identical`: two copies that call themselves UpToDate hold the same.
//!
//! At rest: no application write in flight on any node of the resource, no write received and not
//! yet covered by a peer ack, both copies UpToDate and Established with each other. Then blocks
//! with no bit set for the pair must be identical on the two disks. While some bit is set, a hot
//! extent of the activity log may stand for bits not yet set, so blocks are skipped that
//! [`drbd::core::Resource::may_differ`] names; with no bit set on either side nothing is skipped.
//!
//! Assumes: no rot (those blocks are skipped) and no disk that lies (that copy is skipped).

use drbd::page::Page;

/// Its name.
pub const NAME: &str = "uptodate-means-identical";

/// Two blocks that should be the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Differs {
    /// Which block.
    pub block: u64,
    /// On the first copy and on the second.
    pub pages: (Page, Page),
}

/// Compares `blocks` of two copies; how many were compared, or the first that differs.
pub fn check(
    blocks: impl Iterator<Item = u64>,
    skip: impl Fn(u64) -> bool,
    stored: impl Fn(u64) -> (Page, Page),
) -> Result<u64, Differs> {
    let mut checked = 0;
    for block in blocks {
        if skip(block) {
            continue;
        }
        let pages = stored(block);
        if pages.0 != pages.1 {
            return Err(Differs { block, pages });
        }
        checked += 1;
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_that_no_bit_excuses_is_caught() {
        let stored = |block| (Page::Stamp(block), Page::Stamp(if block == 2 { 9 } else { block }));
        assert_eq!(check(0..4, |_| false, stored).unwrap_err().block, 2);
        assert_eq!(check(0..4, |block| block == 2, stored), Ok(3));
    }
}

//! Linear mapping: several logical volumes on one disk.

/// A logical volume: a run of blocks of a disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Lv {
    /// First block on the disk.
    pub start: u64,
    /// How many blocks.
    pub len: u64,
}

impl Lv {
    /// The place on the disk of `count` blocks from `block` of the volume, `None` if they are not
    /// all within it.
    pub fn map(self, block: u64, count: u64) -> Option<u64> {
        (block.checked_add(count)? <= self.len).then(|| self.start + block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_what_is_inside_and_nothing_else() {
        let lv = Lv { start: 100, len: 10 };
        assert_eq!(lv.map(0, 10), Some(100));
        assert_eq!(lv.map(9, 1), Some(109));
        assert_eq!(lv.map(9, 2), None);
        assert_eq!(lv.map(u64::MAX, 1), None);
    }
}

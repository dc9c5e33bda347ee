//! The running hash that tells whether two runs were the same.

/// A running 64-bit hash over words: `h = (rotl(h, 5) ^ x) * odd`. Fast and order-sensitive; it
/// finds accidents, not attacks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hash64(u64);

impl Default for Hash64 {
    fn default() -> Hash64 {
        Hash64::new()
    }
}

impl Hash64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

    /// The hash of nothing.
    pub const fn new() -> Hash64 {
        Hash64(0xcbf2_9ce4_8422_2325)
    }
    /// Mixes one word in.
    #[inline]
    pub fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(Self::ODD);
    }
    /// Mixes bytes in, and their number, so that `"a" "bc"` differs from `"ab" "c"`.
    pub fn add_bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.add(u64::from_le_bytes(last));
        self.add(bytes.len() as u64);
    }
    /// The hash of all that was mixed in so far, with its bits spread.
    pub fn value(self) -> u64 {
        mix(self.0)
    }
}

/// The finisher of SplitMix64: spreads every input bit over the whole word.
pub(crate) const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &[&[u8]]) -> u64 {
        let mut h = Hash64::new();
        parts.iter().for_each(|p| h.add_bytes(p));
        h.value()
    }

    #[test]
    fn order_and_borders_matter() {
        assert_ne!(of(&[b"a", b"bc"]), of(&[b"ab", b"c"]));
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"c", b"ab"]));
        assert_ne!(of(&[b""]), of(&[b"\0"]));
        assert_eq!(of(&[b"0123456789"]), of(&[b"0123456789"]));
    }

    #[test]
    fn the_value_is_the_same_on_every_machine() {
        let mut h = Hash64::new();
        h.add(1);
        h.add(2);
        // Worked out by hand from the definition.
        assert_eq!(h.value(), 0x8d6c_96b2_c460_54c6);
    }
}

//! Randomness in named streams.
//!
//! Each use takes a stream of its own by name, so that one more draw here does not reshuffle what
//! is drawn there. On a host streams are seeded by the kernel; in simulation by the run's seed, the
//! host, the program and the name.

/// Opens the stream of that name.
pub fn stream(name: &str) -> Rng {
    Rng::from_seed(crate::imp::process::stream_seed(name))
}

/// A small fast generator (xoshiro256++). Not for secrets: see [`secret`].
#[derive(Clone, Debug)]
pub struct Rng([u64; 4]);

impl Rng {
    /// The generator that follows from this seed.
    pub fn from_seed(mut seed: u64) -> Self {
        // splitmix64 fills the state, as the generator's authors advise.
        Rng(std::array::from_fn(|_| {
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = seed;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }))
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.0;
        let out = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        out
    }

    /// A number below `n`, each equally likely but for a bias under 2^-64 * n.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "no number is below zero");
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// A number in `range`.
    pub fn range(&mut self, range: std::ops::Range<u64>) -> u64 {
        range.start + self.below(range.end.saturating_sub(range.start))
    }

    /// True with this probability.
    pub fn chance(&mut self, p: f64) -> bool {
        // 53 bits are what a double can tell apart.
        ((self.next_u64() >> 11) as f64) < p * (1u64 << 53) as f64
    }

    /// Fills the buffer.
    pub fn fill(&mut self, buf: &mut [u8]) {
        for chunk in buf.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Fills the buffer with bytes nobody can guess: keys, tokens, challenges. In simulation they
/// follow from the seed like everything else.
pub fn secret(buf: &mut [u8]) {
    crate::imp::process::secret(buf);
}

#[cfg(test)]
mod tests {
    use super::Rng;

    /// The reference implementation's first outputs for state 1, 2, 3, 4.
    #[test]
    fn follows_the_reference() {
        let mut r = Rng([1, 2, 3, 4]);
        let got: Vec<u64> = (0..4).map(|_| r.next_u64()).collect();
        assert_eq!(got, [41943041, 58720359, 3588806011781223, 3591011842654386]);
    }

    #[test]
    fn below_covers_its_range_and_no_more() {
        let mut r = Rng::from_seed(7);
        let mut seen = [0u32; 5];
        for _ in 0..5_000 {
            seen[r.below(5) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| (800..1200).contains(&n)), "{seen:?}");
    }

    #[test]
    fn chance_is_about_right_and_exact_at_the_ends() {
        let mut r = Rng::from_seed(7);
        assert!((0..1_000).all(|_| !r.chance(0.0)));
        assert!((0..1_000).all(|_| r.chance(1.0)));
        let hits = (0..10_000).filter(|_| r.chance(0.25)).count();
        assert!((2_300..2_700).contains(&hits), "{hits}");
    }
}

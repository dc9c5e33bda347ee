//! Randomness: one seed, a tree of named generators.
//!
//! A child depends on the seed and on the names that lead to it, never on how much its parent or
//! its siblings drew. One more draw in one place therefore reshuffles nothing elsewhere, which is
//! what keeps shrinking and bisecting alive.

use crate::hash::{Hash64, mix};
use crate::time::{Span, SpanRange};
use std::ops::RangeInclusive;

/// A generator (xoshiro256++) that can fork named children.
#[derive(Clone, Debug)]
pub struct Luck {
    /// Names the place in the tree; draws do not change it.
    key: u64,
    state: [u64; 4],
}

impl Luck {
    /// The root of the tree for this seed.
    pub fn root(seed: u64) -> Luck {
        Luck::at(mix(seed ^ 0x7469_6562_7265_616b))
    }

    /// The child called `name`. The same name gives the same child, however much was drawn.
    pub fn fork(&self, name: &str) -> Luck {
        self.fork_n(name, 0)
    }

    /// The `n`th child called `name`.
    pub fn fork_n(&self, name: &str, n: u64) -> Luck {
        let mut h = Hash64::new();
        h.add(self.key);
        h.add_bytes(name.as_bytes());
        h.add(n);
        Luck::at(h.value())
    }

    fn at(key: u64) -> Luck {
        let mut z = key;
        let state = std::array::from_fn(|_| {
            z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
            mix(z)
        });
        Luck { key, state }
    }

    /// 64 random bits.
    #[inline]
    pub fn u64(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number below `n`; 0 if `n` is 0. One draw always, so that the number of draws is the same
    /// everywhere (the bias of less than n / 2^64 does no harm here).
    #[inline]
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.u64()) * u128::from(n)) >> 64) as u64
    }

    /// A number of the closed range; its start if the range is empty.
    pub fn range(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (low, high) = range.into_inner();
        match high.saturating_sub(low).checked_add(1) {
            Some(n) => low + self.below(n),
            None => self.u64(),
        }
    }

    /// A span of the closed range.
    #[inline]
    pub fn span(&mut self, range: &SpanRange) -> Span {
        Span(self.range(range.start().0..=range.end().0))
    }

    /// True `ppm` times in a million. Draws nothing for 0 and for a million or more.
    #[inline]
    pub fn chance(&mut self, ppm: u32) -> bool {
        match ppm {
            0 => false,
            1_000_000.. => true,
            _ => self.below(1_000_000) < u64::from(ppm),
        }
    }

    /// True half of the time.
    #[inline]
    pub fn coin(&mut self) -> bool {
        self.u64() >> 63 == 1
    }

    /// One element, or `None` of nothing.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() {
            return None;
        }
        from.get(self.below(from.len() as u64) as usize)
    }

    /// Shuffles in place (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }

    /// A number in [0, 1) with 53 random bits.
    pub fn unit(&mut self) -> f64 {
        (self.u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A span with exponential distribution around `mean`: the time to the next of events that
    /// strike independently. At least 1 ns, at most 40 times the mean.
    pub fn exponential(&mut self, mean: Span) -> Span {
        let factor = -libm::log(1.0 - self.unit());
        let ns = (mean.0 as f64 * factor).min(mean.0 as f64 * 40.0);
        Span((ns as u64).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_does_not_depend_on_draws_of_its_parent_or_siblings() {
        let mut root = Luck::root(7);
        let mut before = root.fork("net");
        let mut sibling = root.fork("disk");
        (0..100).for_each(|_| {
            root.u64();
            sibling.u64();
        });
        let mut after = root.fork("net");
        assert!((0..100).all(|_| before.u64() == after.u64()));
    }

    #[test]
    fn names_numbers_and_seeds_give_other_streams() {
        let root = Luck::root(7);
        let first = |mut l: Luck| l.u64();
        let mut all = vec![
            first(root.clone()),
            first(Luck::root(8)),
            first(root.fork("net")),
            first(root.fork("ten")),
            first(root.fork_n("net", 1)),
            first(root.fork("net").fork("net")),
        ];
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 6);
    }

    #[test]
    fn draws_stay_in_bounds_and_reach_them() {
        let mut luck = Luck::root(1);
        let mut seen = [0; 4];
        for _ in 0..1000 {
            seen[luck.range(3..=6) as usize - 3] += 1;
        }
        assert!(seen.iter().all(|n| *n > 150), "{seen:?}");
        assert_eq!(luck.below(0), 0);
        assert_eq!(luck.range(9..=9), 9);
        luck.range(0..=u64::MAX);
        assert!(luck.pick::<u8>(&[]).is_none());
        assert_eq!(luck.pick(&[5]), Some(&5));
    }

    #[test]
    fn chance_is_about_right_and_its_ends_are_exact() {
        let mut luck = Luck::root(2);
        let hits = (0..100_000).filter(|_| luck.chance(100_000)).count();
        assert!((9_500..10_500).contains(&hits), "{hits}");
        assert!((0..1000).all(|_| !luck.chance(0) && luck.chance(1_000_000)));
    }

    #[test]
    fn exponential_has_its_mean() {
        let mut luck = Luck::root(3);
        let sum: u64 = (0..100_000).map(|_| luck.exponential(Span::ms(1)).0).sum();
        assert!((980_000..1_020_000).contains(&(sum / 100_000)), "{sum}");
    }

    #[test]
    fn shuffle_keeps_every_element() {
        let mut items: Vec<u32> = (0..50).collect();
        Luck::root(4).shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}

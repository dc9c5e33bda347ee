//! Simulated time: instants and spans in nanoseconds.

use std::fmt;
use std::ops::{Add, AddAssign, Div, Mul, RangeInclusive, Sub};

/// An instant of true simulated time, in nanoseconds since the run began.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SimTime(pub u64);

/// A length of time in nanoseconds.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub u64);

impl SimTime {
    /// The beginning of the run.
    pub const ZERO: SimTime = SimTime(0);
    /// Later than everything: "never".
    pub const FAR: SimTime = SimTime(u64::MAX);

    /// The length of time since `earlier`, zero if it is not earlier.
    pub fn since(self, earlier: SimTime) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
    /// Nanoseconds since the beginning of the run.
    pub fn as_nanos(self) -> u64 {
        self.0
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);
    /// For ever.
    pub const FOREVER: Span = Span(u64::MAX);

    /// `n` nanoseconds.
    pub const fn ns(n: u64) -> Span {
        Span(n)
    }
    /// `n` microseconds.
    pub const fn us(n: u64) -> Span {
        Span(n.saturating_mul(1_000))
    }
    /// `n` milliseconds.
    pub const fn ms(n: u64) -> Span {
        Span(n.saturating_mul(1_000_000))
    }
    /// `n` seconds.
    pub const fn secs(n: u64) -> Span {
        Span(n.saturating_mul(1_000_000_000))
    }
    /// As nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }
    /// As whole milliseconds, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }
    /// As seconds, for people to read; no model computes with it.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

/// A closed range of spans from which a model draws.
pub type SpanRange = RangeInclusive<Span>;

impl Add<Span> for SimTime {
    type Output = SimTime;
    fn add(self, by: Span) -> SimTime {
        SimTime(self.0.saturating_add(by.0))
    }
}

impl AddAssign<Span> for SimTime {
    fn add_assign(&mut self, by: Span) {
        *self = *self + by;
    }
}

impl Sub<SimTime> for SimTime {
    type Output = Span;
    fn sub(self, earlier: SimTime) -> Span {
        self.since(earlier)
    }
}

impl Add for Span {
    type Output = Span;
    fn add(self, by: Span) -> Span {
        Span(self.0.saturating_add(by.0))
    }
}

impl Sub for Span {
    type Output = Span;
    fn sub(self, by: Span) -> Span {
        Span(self.0.saturating_sub(by.0))
    }
}

impl Mul<u64> for Span {
    type Output = Span;
    fn mul(self, by: u64) -> Span {
        Span(self.0.saturating_mul(by))
    }
}

impl Div<u64> for Span {
    type Output = Span;
    fn div(self, by: u64) -> Span {
        Span(self.0 / by)
    }
}

impl From<std::time::Duration> for Span {
    fn from(d: std::time::Duration) -> Span {
        Span(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl From<Span> for std::time::Duration {
    fn from(s: Span) -> std::time::Duration {
        std::time::Duration::from_nanos(s.0)
    }
}

impl fmt::Display for SimTime {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        Span(self.0).fmt(f)
    }
}

impl fmt::Debug for SimTime {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "t={self}")
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}.{:09}s", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_and_prints_exactly() {
        assert_eq!(SimTime::FAR + Span::secs(1), SimTime::FAR);
        assert_eq!(SimTime(5) - SimTime(9), Span::ZERO);
        assert_eq!(Span::ms(2) * 3 / 2, Span::ms(3));
        assert_eq!(format!("{}", SimTime(1_000_000_007)), "1.000000007s");
        assert_eq!(Span::from(std::time::Duration::from_micros(3)), Span::us(3));
    }
}

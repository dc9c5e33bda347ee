//! The clocks of a host: wall and monotonic, with offset, drift and steps, in integers.

use crate::time::{SimTime, Span};

const MILLION: i128 = 1_000_000;
/// No quartz is worse; keeps the rate positive.
const DRIFT_LIMIT_PPM: i32 = 500_000;

/// Converts true time to what a host believes, and back for timers.
///
/// Both clocks run at `1 + drift` of true time from the last change (the anchor). The wall clock
/// outlives reboots (battery); the monotonic clock starts at zero with each boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostClock {
    anchor: SimTime,
    wall_at_anchor: i128,
    mono_at_anchor: i128,
    drift_ppm: i32,
}

impl HostClock {
    /// A clock that shows `wall_ns` (nanoseconds since 1970) at `now` and drifts.
    pub fn new(now: SimTime, wall_ns: u64, drift_ppm: i32) -> HostClock {
        HostClock {
            anchor: now,
            wall_at_anchor: i128::from(wall_ns),
            mono_at_anchor: 0,
            drift_ppm: drift_ppm.clamp(-DRIFT_LIMIT_PPM, DRIFT_LIMIT_PPM),
        }
    }

    /// Nanoseconds since 1970 as the host believes, never below zero.
    pub fn wall(&self, now: SimTime) -> u64 {
        (self.wall_at_anchor + self.elapsed(now)).clamp(0, i128::from(u64::MAX)) as u64
    }

    /// Nanoseconds on the monotonic clock: never goes back within a boot.
    pub fn mono(&self, now: SimTime) -> u64 {
        (self.mono_at_anchor + self.elapsed(now)).clamp(0, i128::from(u64::MAX)) as u64
    }

    /// Drift in parts per million: positive is fast.
    pub fn drift_ppm(&self) -> i32 {
        self.drift_ppm
    }

    /// The wall clock jumps (`settimeofday`, NTP step).
    pub fn step(&mut self, now: SimTime, by_ns: i64) {
        self.move_anchor(now);
        self.wall_at_anchor = (self.wall_at_anchor + i128::from(by_ns)).max(0);
    }

    /// The clocks run at another rate from now on.
    pub fn set_drift(&mut self, now: SimTime, ppm: i32) {
        self.move_anchor(now);
        self.drift_ppm = ppm.clamp(-DRIFT_LIMIT_PPM, DRIFT_LIMIT_PPM);
    }

    /// The host booted: the monotonic clock starts again.
    pub fn boot(&mut self, now: SimTime) {
        self.move_anchor(now);
        self.mono_at_anchor = 0;
    }

    /// The first true instant, not before the last change, at which the monotonic clock shows at
    /// least `mono_ns`: when a timer for it strikes.
    pub fn true_at_mono(&self, mono_ns: u64) -> SimTime {
        self.true_at(i128::from(mono_ns) - self.mono_at_anchor)
    }

    /// The first true instant, not before the last change, at which the wall clock shows at least
    /// `wall_ns`.
    pub fn true_at_wall(&self, wall_ns: u64) -> SimTime {
        self.true_at(i128::from(wall_ns) - self.wall_at_anchor)
    }

    /// True time that passes while the host counts `span`, rounded up.
    pub fn true_span(&self, span: Span) -> Span {
        Span(div_ceil(i128::from(span.0) * MILLION, self.rate()).min(i128::from(u64::MAX)) as u64)
    }

    fn rate(&self) -> i128 {
        MILLION + i128::from(self.drift_ppm)
    }

    fn elapsed(&self, now: SimTime) -> i128 {
        i128::from(now.since(self.anchor).0) * self.rate() / MILLION
    }

    fn true_at(&self, host_ns_after_anchor: i128) -> SimTime {
        let wait = div_ceil(host_ns_after_anchor.max(0) * MILLION, self.rate());
        self.anchor + Span(wait.min(i128::from(u64::MAX)) as u64)
    }

    fn move_anchor(&mut self, now: SimTime) {
        let elapsed = self.elapsed(now);
        self.wall_at_anchor += elapsed;
        self.mono_at_anchor += elapsed;
        self.anchor = self.anchor.max(now);
    }
}

fn div_ceil(n: i128, by: i128) -> i128 {
    (n + by - 1) / by
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn drift_makes_clocks_run_apart() {
        let clock = HostClock::new(SimTime::ZERO, 1_000, 100);
        let now = SimTime::ZERO + Span::secs(10_000);
        assert_eq!(clock.mono(now), 10_001_000_000_000);
        assert_eq!(clock.wall(now), 10_001_000_001_000);
    }

    #[test]
    fn a_step_moves_wall_and_not_mono() {
        let mut clock = HostClock::new(SimTime::ZERO, 5_000_000_000, 0);
        clock.step(SimTime(100), -2_000_000_000);
        assert_eq!(clock.wall(SimTime(100)), 3_000_000_100);
        assert_eq!(clock.mono(SimTime(100)), 100);
    }

    #[test]
    fn boot_restarts_mono_and_keeps_wall() {
        let mut clock = HostClock::new(SimTime::ZERO, 7, 0);
        clock.boot(SimTime(50));
        assert_eq!((clock.mono(SimTime(60)), clock.wall(SimTime(60))), (10, 67));
    }

    #[test]
    fn changing_drift_makes_no_jump() {
        let mut clock = HostClock::new(SimTime::ZERO, 0, -300);
        let now = SimTime(123_456_789);
        let (mono, wall) = (clock.mono(now), clock.wall(now));
        clock.set_drift(now, 400);
        assert_eq!((clock.mono(now), clock.wall(now)), (mono, wall));
    }

    proptest! {
        #[test]
        fn timers_strike_when_the_clock_shows_their_time_and_not_before(
            drift in -1000i32..1000, mono in 0u64..1 << 50, boot in 0u64..1 << 40,
        ) {
            let mut clock = HostClock::new(SimTime::ZERO, 0, drift);
            clock.boot(SimTime(boot));
            let at = clock.true_at_mono(mono);
            prop_assert!(clock.mono(at) >= mono);
            prop_assert!(at.0 == boot || clock.mono(SimTime(at.0 - 1)) < mono);
        }
    }
}

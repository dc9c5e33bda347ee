//! Time of this host: monotonic instants, sleeping, timeouts, intervals, the wall clock.
//!
//! In simulation sleeping is exact to the microsecond and follows the clock of the host: a host
//! whose clock drifts sleeps too long or too short, and reads a wall clock that is off.

use std::{
    fmt,
    future::Future,
    ops::{Add, AddAssign, Sub},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

pub use crate::imp::time::Sleep;
pub use std::time::Duration;

/// A tick later than this counts as missed.
const TICK_SLACK: Duration = Duration::from_millis(5);

/// A moment on this host's monotonic clock, in nanoseconds since an origin of the host's choice
/// (its boot). Means nothing on another host, nor after a reboot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Instant(u64);

impl Instant {
    /// The moment so many nanoseconds after the origin.
    pub const fn from_nanos(ns: u64) -> Self {
        Instant(ns)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long ago this was; zero if it lies ahead.
    pub fn elapsed(self) -> Duration {
        now() - self
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, d: Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, d: Duration) {
        *self = *self + d;
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// Zero when `earlier` is the later one, as clocks read on two paths may cross.
    fn sub(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;

    fn sub(self, d: Duration) -> Instant {
        Instant(self.0.saturating_sub(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// The monotonic clock, now.
pub fn now() -> Instant {
    crate::imp::time::now()
}

/// The wall clock, now, as time since 1970. It may step, forwards and backwards: good for showing
/// to people and for records, not for deciding how long ago something was.
pub fn wall() -> Duration {
    crate::imp::time::wall()
}

/// Completes after so much time.
pub fn sleep(d: Duration) -> Sleep {
    sleep_until(now() + d)
}

/// Completes at that moment, or at once if it has passed.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep::until(deadline)
}

/// The time was up before the future was ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("time is up")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for std::io::Error {
    fn from(_: Elapsed) -> Self {
        std::io::ErrorKind::TimedOut.into()
    }
}

/// Runs the future for at most `limit`; a future ready at the deadline itself wins.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    timeout_at(now() + limit, future).await
}

/// Runs the future until that moment at the latest.
pub async fn timeout_at<F: Future>(deadline: Instant, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let mut nap = sleep_until(deadline);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(out) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(out));
        }
        Pin::new(&mut nap).poll(cx).map(|()| Err(Elapsed))
    })
    .await
}

/// Ticks once per period, the first time at once.
pub fn interval(period: Duration) -> Interval {
    interval_at(now(), period)
}

/// Ticks once per period, the first time at `start`.
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval needs a period above zero");
    Interval { nap: sleep_until(start), period }
}

/// See [`interval`]. A missed tick is not made up for: after a freeze the next tick comes one
/// period after the late one, never a burst.
pub struct Interval {
    nap: Sleep,
    period: Duration,
}

impl Interval {
    /// Waits for the next tick; returns the moment it was due.
    pub async fn tick(&mut self) -> Instant {
        std::future::poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// As [`Interval::tick`], for hand-written futures.
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(Pin::new(&mut self.nap).poll(cx));
        let (due, now) = (self.nap.deadline(), now());
        let next = if now > due + TICK_SLACK { now } else { due } + self.period;
        self.nap.reset(next);
        Poll::Ready(due)
    }

    /// The next tick comes one period from now.
    pub fn reset(&mut self) {
        self.nap.reset(now() + self.period);
    }

    /// The period.
    pub fn period(&self) -> Duration {
        self.period
    }
}

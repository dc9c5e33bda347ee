//! The kernel's clocks, tokio's timers.

use crate::time::Instant;
use rustix::time::{ClockId, Timespec, clock_gettime};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

pub(crate) fn now() -> Instant {
    let t = since_origin(clock_gettime(ClockId::Monotonic));
    Instant::from_nanos(u64::try_from(t.as_nanos()).unwrap_or(u64::MAX))
}

pub(crate) fn wall() -> Duration {
    since_origin(clock_gettime(ClockId::Realtime))
}

fn since_origin(t: Timespec) -> Duration {
    let secs = u64::try_from(t.tv_sec).unwrap_or(0);
    Duration::new(secs, u32::try_from(t.tv_nsec).unwrap_or(0))
}

/// See [`crate::time::sleep`].
pub struct Sleep {
    deadline: Instant,
    inner: Pin<Box<tokio::time::Sleep>>,
}

impl Sleep {
    pub(crate) fn until(deadline: Instant) -> Self {
        Sleep { deadline, inner: Box::pin(tokio::time::sleep_until(at(deadline))) }
    }

    /// When it completes.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Another deadline, whether or not the old one has passed.
    pub fn reset(&mut self, deadline: Instant) {
        self.deadline = deadline;
        self.inner.as_mut().reset(at(deadline));
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.inner.as_mut().poll(cx)
    }
}

fn at(deadline: Instant) -> tokio::time::Instant {
    // A century is as good as for ever, and tokio's instants can hold it.
    const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);
    tokio::time::Instant::now() + (deadline - now()).min(FOR_EVER)
}

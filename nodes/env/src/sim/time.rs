//! The clocks of the modelled host over madsim's timers.

use crate::{
    hooks::{self, Pid, World},
    time::Instant,
};
use madsim::time::TimeHandle;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

/// A timer entry of madsim cannot be taken back and lives to its deadline. Longer naps are cut into
/// pieces, so that a loop of long timeouts leaves no more behind than this span's worth.
const NAP_MAX_NS: u64 = 16_000_000_000;

pub(crate) fn now() -> Instant {
    Instant::from_nanos(hooks::world().monotonic_ns(hooks::this_process()))
}

pub(crate) fn wall() -> Duration {
    hooks::world().wall(hooks::this_process())
}

/// See [`crate::time::sleep`].
pub struct Sleep {
    world: Arc<dyn World>,
    time: TimeHandle,
    pid: Pid,
    deadline: Instant,
    nap: madsim::time::Sleep,
    /// Who is woken at the end of the nap: polled again by the same task before then, there is
    /// nothing to do.
    armed: Option<Waker>,
}

impl Sleep {
    pub(crate) fn until(deadline: Instant) -> Self {
        let time = TimeHandle::current();
        Sleep {
            world: hooks::world(),
            pid: hooks::this_process(),
            deadline,
            nap: time.sleep(Duration::ZERO),
            time,
            armed: None,
        }
    }

    /// When it completes.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Another deadline, whether or not the old one has passed.
    pub fn reset(&mut self, deadline: Instant) {
        self.deadline = deadline;
        self.armed = None;
    }

    fn arm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.time.now_instant();
        let now_ns = u64::try_from(self.time.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let due_ns = self.world.true_ns_at(self.pid, self.deadline.as_nanos());
        // At least 1 ns: a clock that rounds must not make this spin at one instant.
        let left = due_ns.saturating_sub(now_ns).clamp(1, NAP_MAX_NS);
        // `reset` is exact where a new sleep would be rounded up to a millisecond.
        Pin::new(&mut self.nap).reset(now + Duration::from_nanos(left));
        self.armed = Some(cx.waker().clone());
        Pin::new(&mut self.nap).poll(cx)
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.world.monotonic_ns(self.pid) >= self.deadline.as_nanos() {
                self.armed = None;
                return Poll::Ready(());
            }
            let waits = self.armed.as_ref().is_some_and(|w| w.will_wake(cx.waker()));
            if waits && !self.nap.is_elapsed() || self.arm(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

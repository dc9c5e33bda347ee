//! The tasks that wait for one thing.

use std::task::{Context, Waker};

/// Almost always one task waits, so that one needs no allocation.
#[derive(Default)]
pub(super) struct Wakers {
    first: Option<Waker>,
    more: Vec<Waker>,
}

impl Wakers {
    /// Wakes this task at the next [`Wakers::wake`].
    #[inline]
    pub(super) fn add(&mut self, cx: &Context<'_>) {
        match &self.first {
            None => self.first = Some(cx.waker().clone()),
            Some(w) if w.will_wake(cx.waker()) => {}
            Some(_) => {
                if !self.more.iter().any(|w| w.will_wake(cx.waker())) {
                    self.more.push(cx.waker().clone());
                }
            }
        }
    }

    /// Wakes all and forgets them.
    #[inline]
    pub(super) fn wake(&mut self) {
        if let Some(first) = self.first.take() {
            first.wake();
            self.more.drain(..).for_each(Waker::wake);
        }
    }
}

//! A hardware (or hypervisor) watchdog: counts down unless petted.

use crate::time::{SimTime, Span};

/// Counts true time, whatever the host's clock or userspace does.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Watchdog {
    armed: Option<Armed>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Armed {
    timeout: Span,
    due: SimTime,
}

impl Watchdog {
    /// Starts to count, or changes the timeout and pets.
    pub fn arm(&mut self, now: SimTime, timeout: Span) {
        self.armed = Some(Armed { timeout, due: now + timeout });
    }
    /// Starts the countdown again. Does nothing when it is not armed.
    pub fn pet(&mut self, now: SimTime) {
        if let Some(armed) = &mut self.armed {
            armed.due = now + armed.timeout;
        }
    }
    /// Stops it.
    pub fn disarm(&mut self) {
        self.armed = None;
    }
    /// When it will fire, `None` when not armed.
    pub fn due(&self) -> Option<SimTime> {
        self.armed.map(|a| a.due)
    }
    /// Has it run out? If so it is disarmed, as the reset leaves it, and the answer is when.
    pub fn fire(&mut self, now: SimTime) -> Option<SimTime> {
        let due = self.due().filter(|due| *due <= now)?;
        self.disarm();
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fires_once_and_only_when_not_petted() {
        let at = |s| SimTime::ZERO + Span::secs(s);
        let mut dog = Watchdog::default();
        dog.pet(at(0));
        assert_eq!(dog.due(), None);
        dog.arm(at(0), Span::secs(10));
        dog.pet(at(9));
        assert_eq!(dog.fire(at(18)), None);
        assert_eq!(dog.fire(at(30)), Some(at(19)));
        assert_eq!(dog.fire(at(60)), None);
    }

    #[test]
    fn a_disarmed_one_never_fires() {
        let mut dog = Watchdog::default();
        dog.arm(SimTime::ZERO, Span::secs(1));
        dog.disarm();
        assert_eq!(dog.fire(SimTime::FAR), None);
    }
}

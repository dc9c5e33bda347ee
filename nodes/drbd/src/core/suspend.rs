//! `suspend-io` and `resume-io`: an administrator freezes a device to take the same snapshot of all
//! copies.

use super::Resource;
use super::event::{Action, CommandId, Refusal};
use super::points::reach;

/// What an administrator froze.
#[derive(Clone, Debug, Default)]
pub(super) struct UserSuspension {
    /// No request starts.
    pub on: bool,
    /// Commands that wait for the writes in flight.
    waiting: Vec<CommandId>,
}

impl Resource {
    /// New requests wait from now on; the answer comes once no write is in flight any more, so that
    /// all copies hold the same then (since 9.2.14).
    pub(super) fn suspend_io(&mut self, id: CommandId) {
        self.user.on = true;
        self.user.waiting.push(id);
        self.changed = true;
    }

    /// Requests go on. Who still waits for the writes in flight has not got what it asked for.
    pub(super) fn resume_io(&mut self, id: CommandId) {
        self.user.on = false;
        self.resume_unfenced();
        self.changed = true;
        for waiting in std::mem::take(&mut self.user.waiting) {
            reach!(self, SuspendInterrupted);
            self.out.push(Action::Reply(waiting, Err(Refusal::Interrupted)));
        }
        self.out.push(Action::Reply(id, Ok(())));
    }

    /// Answers those whose writes are all done.
    pub(super) fn answer_suspends(&mut self) {
        if !self.user.waiting.is_empty() && self.devices.iter().all(|d| d.in_flight == 0) {
            for id in std::mem::take(&mut self.user.waiting) {
                self.out.push(Action::Reply(id, Ok(())));
            }
        }
    }
}

//! What becomes of a lower device that fails or does not answer: `on-io-error`, `disk-timeout`,
//! `detach --force`.

use super::Resource;
use super::config::OnIoError;
use super::event::{Handler, IoError, Notice};
use super::parts::LowerUse;
use super::points::reach;
use crate::ids::{Blocks, Time};
use crate::state::{DiskState, Role};

/// A request at the lower device.
#[derive(Clone, Debug)]
pub(super) struct LowerRequest {
    pub volume: usize,
    /// The attachment that it belongs to.
    pub birth: u64,
    pub usage: LowerUse,
    pub since: Time,
}

impl Resource {
    /// A request for data failed: `on-io-error` says what follows. (Errors of metadata always cost
    /// the disk.)
    pub(super) fn data_failed(&mut self, v: usize) {
        match self.config.on_io_error {
            OnIoError::PassOn => {
                reach!(self, DiskPassedOn);
                if self.devices[v].has_disk() && self.devices[v].disk > DiskState::Inconsistent {
                    self.set_disk(v, DiskState::Inconsistent);
                    self.write_bitmap(v);
                }
            }
            _ if matches!(self.devices[v].disk, DiskState::Diskless | DiskState::Failed) => {}
            policy => {
                if policy == OnIoError::CallLocalIoError {
                    self.call(Handler::LocalIoError, None, Some(v));
                }
                self.disk_failed(v);
                if self.role == Role::Primary {
                    // What it could not read it is not to bring back as good: at once, though
                    // nothing may be written until then. (DRBD waits for a write.)
                    self.assert_generation(v);
                }
            }
        }
    }

    /// Blocks that this copy cannot read, or could not write: it lacks them from now on, also once
    /// it is attached again.
    pub(super) fn lost_blocks(&mut self, v: usize, at: Blocks) {
        if !self.devices[v].has_disk() {
            return;
        }
        for (node, _) in self.slots_listed(v) {
            self.set_out_of_sync(v, node, at);
        }
        self.write_bitmap(v);
    }

    /// Detaches without waiting for the lower device: what it has not answered counts as failed,
    /// and what it still does counts for nothing.
    pub(super) fn force_detach(&mut self, v: usize) {
        self.disk_failed(v);
        let stuck = |request: &LowerRequest| {
            request.volume == v && !matches!(request.usage, LowerUse::GivenUp)
        };
        let tags: Vec<usize> =
            self.lower.iter().filter(|(_, request)| stuck(request)).map(|(tag, _)| tag).collect();
        for tag in tags {
            reach!(self, DiskRequestGivenUp);
            let usage = std::mem::replace(&mut self.lower[tag].usage, LowerUse::GivenUp);
            let request = LowerRequest { usage, ..self.lower[tag].clone() };
            self.lower_ended(request, Err(IoError));
        }
    }

    /// When the oldest request to a lower device will have taken too long; for one volume or all.
    pub(super) fn disk_alarm(&self, v: Option<usize>) -> Option<Time> {
        let limit = self.config.disk_timeout_ms;
        let waits = |request: &LowerRequest| {
            let device = &self.devices[request.volume];
            let current = request.birth == device.birth && device.disk != DiskState::Diskless;
            current && v.is_none_or(|v| v == request.volume)
        };
        let asked = (limit > 0).then_some(&self.lower).into_iter().flatten();
        asked.filter(|(_, r)| waits(r)).map(|(_, request)| request.since.plus_ms(limit)).min()
    }

    /// Lets go of lower devices that do not answer.
    pub(super) fn disk_alarms(&mut self) {
        for v in 0..self.devices.len() {
            if self.disk_alarm(Some(v)).is_some_and(|at| at <= self.now) {
                reach!(self, DiskTimeout);
                let text = "Local backing device failed to meet the disk-timeout";
                self.notice(Notice::Note(text.to_owned()));
                self.force_detach(v);
            }
        }
    }
}

//! A Primary that stood still (its host was frozen, or did not give it the CPU) may be the last to
//! know that another took over: its own disk would answer reads with what is old. It looks at the
//! clock all the time, and when that jumped, every peer has to answer before I/O goes on. (DRBD
//! reads on until its pings fail.)

use super::Resource;
use super::points::reach;
use crate::ids::Time;
use crate::state::Role;

/// Whether this Primary stood still.
#[derive(Clone, Debug, Default)]
pub(super) struct Pulse {
    /// The next look at the clock.
    pub due: Option<Time>,
    /// It came too late, and not all peers have answered since.
    pub missed: bool,
}

impl Resource {
    /// Looks at the clock: at each event, before it is handled.
    pub(super) fn feel_pulse(&mut self) {
        // Well within `ping-timeout`, so that no peer has given this node up unnoticed.
        let beat = self.config.ping_timeout_ms / 4;
        if self.role != Role::Primary {
            self.pulse = Pulse::default();
            return;
        }
        if self.pulse.due.is_some_and(|due| due.plus_ms(beat) < self.now) {
            reach!(self, StoodStill);
            self.pulse.missed = true;
            self.ask_for_life();
        }
        if self.pulse.due.is_none_or(|due| due <= self.now) {
            self.pulse.due = Some(self.now.plus_ms(beat));
        }
    }

    /// A ping to every peer, whose answer is waited for.
    pub(super) fn ask_for_life(&mut self) {
        for c in 0..self.conns.len() {
            if self.conns[c].connected() {
                self.conns[c].pinged = None;
                self.ping(c);
                self.conns[c].ping_wanted = Some(self.conns[c].pings);
            }
        }
    }

    /// Have all peers that were asked answered, or gone?
    pub(super) fn all_alive(&self) -> bool {
        self.conns.iter().all(|conn| conn.ping_wanted.is_none())
    }

    /// Does I/O wait for peers to answer?
    pub(super) fn stood_still(&self) -> bool {
        self.pulse.missed && !self.all_alive()
    }
}

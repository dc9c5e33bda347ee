//! Leaving a peer for good: after a split brain, unrelated data, or two Primaries, neither side
//! tries again by itself.

use super::Resource;
use super::config::{Fencing, Quorum};
use super::event::{Action, CommandId};
use super::points::reach;
use crate::ids::{NodeId, Time};
use crate::packet::{Change, Packet};
use crate::state::{ConnState, Role};

impl Resource {
    /// P_DISCONNECT: both sides go StandAlone. The link stays until the peer has closed it, for
    /// `ping-timeout` at most: the end of the control stream could overtake the packet, and the
    /// peer would try again for ever. (DRBD closes at once and leaves that to luck.)
    pub(super) fn dismiss(&mut self, c: usize) {
        self.send(c, Packet::Disconnect);
        if !self.conns[c].linked {
            return self.stand_alone(c);
        }
        self.lost(c, ConnState::Disconnecting);
        self.conns[c].lingers = Some(self.now.plus_ms(self.config.ping_timeout_ms));
    }

    /// Both ends agreed that this one leaves. The link stays as above, or its end could overtake
    /// the commit: the peer would take the leaver for lost, and might freeze without its vote.
    /// `reply` waits until it is over.
    pub(super) fn leave(&mut self, c: usize, reply: Option<CommandId>) {
        self.conns[c].leaving = reply;
        if !self.conns[c].linked {
            return self.stand_alone(c);
        }
        self.lost(c, ConnState::Disconnecting);
        self.conns[c].lingers = Some(self.now.plus_ms(self.config.ping_timeout_ms));
    }

    /// How both agree on leaving. With quorum or fencing it must not be forgotten that the copy
    /// on the side without the Primary falls behind; otherwise either may go on (DRBD's
    /// `outdate_on_disconnect`).
    pub(super) fn change_of_leaving(&self, node: NodeId) -> Change {
        let theirs = self.conn_of(node).map_or(Role::Unknown, |c| self.conns[c].role);
        let kept = self.config.quorum != Quorum::Off || self.config.fencing > Fencing::DontCare;
        let outdates = kept && self.role != theirs;
        Change::Disconnect {
            outdate_me: outdates && theirs == Role::Primary,
            outdate_you: outdates && self.role == Role::Primary,
        }
    }

    /// Ends a connection for good.
    pub(super) fn stand_alone(&mut self, c: usize) {
        self.part(c, true);
    }

    /// P_DISCONNECT came. Nobody agreed on it: what a connected peer knew and wrote last is as
    /// uncertain as after a link that broke.
    pub(super) fn sent_away(&mut self, c: usize) {
        self.part(c, false);
    }

    fn part(&mut self, c: usize, graceful: bool) {
        if self.conns[c].cstate == ConnState::StandAlone {
            return;
        }
        if self.down.is_none() {
            reach!(self, StandAlone);
        }
        self.conns[c].lingers = None;
        self.out.push(Action::Unlink(self.conns[c].node));
        self.lost_as(c, ConnState::Disconnecting, graceful);
        self.set_cstate(c, ConnState::StandAlone);
        if let Some(id) = self.conns[c].leaving.take() {
            self.out.push(Action::Reply(id, Ok(())));
        }
        self.finish_down();
    }

    /// The peer had its time to read P_DISCONNECT.
    pub(super) fn dismissed(&mut self, c: usize, now: Time) {
        if self.conns[c].lingers.is_some_and(|at| at <= now) {
            self.stand_alone(c);
        }
    }
}

//! Primary and Secondary: commands, auto-promote on open, demotion on the last close, `down`.

use super::Resource;
use super::event::{Action, CommandId, Notice, Refusal};
use super::parts::Work;
use super::points::reach;
use super::twopc::Purpose;
use crate::ids::{NodeId, Time, VolumeNumber};
use crate::meta::MdFlags;
use crate::packet::Change;
use crate::state::{ConnState, DiskState, Role};

/// Somebody waits for this node to be Primary.
#[derive(Clone, Debug)]
struct Waiter {
    id: CommandId,
    /// An opener for writing (otherwise the `primary` command).
    open: bool,
    /// `primary --force`.
    force: bool,
    deadline: Time,
}

/// Openers and wishes about the role.
#[derive(Clone, Debug, Default)]
pub(super) struct RoleState {
    writers: u32,
    readers: u32,
    /// Promoted by command: the last close does not demote.
    explicit: bool,
    /// Forcefully demoted: I/O fails until the last close ("force-io-failures").
    pub fail_io: bool,
    waiters: Vec<Waiter>,
    demote_reply: Vec<CommandId>,
    /// Role to return to Secondary as soon as nothing is in flight.
    demoting: bool,
    /// It was the last close that wants that, not a command.
    by_close: bool,
    /// PRIMARY_IND is being written.
    becoming: bool,
    retry_at: Option<Time>,
    /// Why the last try was refused, by a peer perhaps.
    refused: Option<Refusal>,
    /// `fence-peer` runs: nobody who waits for the role is late meanwhile.
    pub fencing: bool,
    /// Last time that peers were told, this node was an authoritative source.
    pub was_stable: bool,
}

impl RoleState {
    pub fn has_reader(&self) -> bool {
        self.readers > 0
    }
    /// Does somebody want the role whatever data there is?
    pub fn is_forced(&self) -> bool {
        self.waiters.iter().any(|waiter| waiter.force)
    }
    pub fn is_demoting(&self) -> bool {
        self.demoting
    }
    pub fn is_open(&self) -> bool {
        self.readers > 0 || self.writers > 0
    }
    pub fn alarm(&self) -> Option<Time> {
        // Once the role is won, nobody is late any more: PRIMARY_IND only has to reach the disk.
        // Nor is it the fault of who waits for a demotion.
        let patient = self.becoming || self.demoting || self.fencing;
        let waiters = self.waiters.iter().filter(|_| !patient);
        waiters.map(|w| w.deadline).chain(self.retry_at).min()
    }
}

/// A refused promotion is tried again after so long, while somebody waits.
const RETRY_MS: u64 = 100;

impl Resource {
    pub(super) fn open(&mut self, id: CommandId, volume: VolumeNumber, write: bool) {
        let closed = self.roles.fail_io || self.down.is_some();
        if volume.index() >= self.devices.len() || closed {
            return self.out.push(Action::Reply(id, Err(Refusal::DeviceInUse)));
        }
        if !write {
            let primary = self.conns.iter().any(|conn| conn.role == Role::Primary);
            let v = volume.index();
            let ok = self.role == Role::Primary
                || (!primary && self.devices[v].quorum && self.data_accessible(v));
            self.roles.readers += u32::from(ok);
            let result = if ok { Ok(()) } else { Err(Refusal::NoUpToDateDisk) };
            return self.out.push(Action::Reply(id, result));
        }
        if self.role == Role::Primary && !self.roles.becoming && !self.demotes_after_close() {
            self.roles.writers += 1;
            self.roles.demoting = false;
            self.unwant(Purpose::Demote);
            self.reply_demoted(Err(Refusal::DeviceInUse));
            if !self.twopc.wants(Purpose::Demote) {
                return self.out.push(Action::Reply(id, Ok(())));
            }
            self.roles.writers -= 1;
        }
        if self.role == Role::Primary {
            reach!(self, OpenDuringDemote);
        }
        if !self.config.auto_promote {
            return self.out.push(Action::Reply(id, Err(Refusal::DeviceInUse)));
        }
        let deadline = self.now.plus_ms(self.config.auto_promote_timeout_ms);
        self.begin_to_wait();
        self.roles.waiters.push(Waiter { id, open: true, force: false, deadline });
        self.changed = true;
    }

    /// Somebody wants this node to be Primary: what was tried before counts no more.
    fn begin_to_wait(&mut self) {
        self.roles.refused = self.roles.refused.filter(|_| !self.roles.waiters.is_empty());
        self.forget_tries();
    }

    /// Does a demotion go on that a last close began? Who opens now waits for its end, and is to
    /// find out anew whether this node may be Primary: it may have stood still while another took
    /// over. (DRBD: `open_release`.)
    fn demotes_after_close(&self) -> bool {
        self.roles.demoting && self.roles.by_close && self.config.auto_promote
    }

    pub(super) fn close(&mut self, volume: VolumeNumber, write: bool) {
        let _ = volume;
        if !write {
            self.roles.readers = self.roles.readers.saturating_sub(1);
            return;
        }
        self.roles.writers = self.roles.writers.saturating_sub(1);
        if self.roles.writers > 0 {
            return;
        }
        if self.roles.fail_io {
            self.roles.fail_io = false;
            self.changed = true;
        }
        if self.role == Role::Primary && !self.roles.explicit {
            self.roles.demoting = true;
            self.roles.by_close = true;
            self.changed = true;
        }
    }

    pub(super) fn primary(&mut self, id: CommandId, force: bool) {
        if self.down.is_some() {
            return self.out.push(Action::Reply(id, Err(Refusal::InTransientState)));
        }
        if self.role == Role::Primary && !self.demotes_after_close() {
            self.roles.explicit = true;
            return self.out.push(Action::Reply(id, Ok(())));
        }
        let deadline = self.now.plus_ms(self.config.auto_promote_timeout_ms);
        self.begin_to_wait();
        self.roles.waiters.push(Waiter { id, open: false, force, deadline });
        self.changed = true;
    }

    pub(super) fn secondary(&mut self, id: CommandId, force: bool) {
        if self.role != Role::Primary {
            return self.out.push(Action::Reply(id, Ok(())));
        }
        if force {
            self.force_secondary();
            return self.out.push(Action::Reply(id, Ok(())));
        }
        if self.roles.writers > 0 {
            return self.out.push(Action::Reply(id, Err(Refusal::DeviceInUse)));
        }
        self.roles.explicit = false;
        self.roles.by_close &= self.roles.demoting;
        self.roles.demoting = true;
        self.roles.demote_reply.push(id);
        self.changed = true;
    }

    /// Secondary at once; the I/O of those who have it open fails until they close.
    pub(super) fn force_secondary(&mut self) {
        reach!(self, DemotedByForce);
        self.roles.fail_io = self.roles.writers > 0;
        self.roles.explicit = false;
        self.roles.demoting = false;
        self.set_role(Role::Secondary);
        let frozen = std::mem::replace(&mut self.roles.fail_io, true);
        self.fail_all();
        self.roles.fail_io = frozen;
        self.unwant(Purpose::Demote);
        self.unwant(Purpose::Promote);
    }

    fn set_role(&mut self, role: Role) {
        if self.role == role {
            return;
        }
        self.role = role;
        self.changed = true;
        self.notice(Notice::Role(role));
        match role {
            Role::Secondary => {
                self.take_back_generation();
                // Who opened during the demotion may be made to wait from now on.
                let deadline = self.now.plus_ms(self.config.auto_promote_timeout_ms);
                self.roles.waiters.iter_mut().for_each(|waiter| waiter.deadline = deadline);
            }
            _ => self.feel_pulse(),
        }
        for v in 0..self.devices.len() {
            if role == Role::Secondary && self.devices[v].has_disk() {
                self.devices[v].md.current.0 &= !1;
                self.touch_md(v);
            }
            self.devices[v].new_uuid = role == Role::Primary;
            self.devices[v].new_session = role == Role::Primary;
            self.nobody_missed(v);
            if role == Role::Primary {
                self.expose_peers_data(v);
            }
        }
    }

    /// A Primary without good data of its own works on a peer's.
    fn expose_peers_data(&mut self, v: usize) {
        if self.devices[v].disk == DiskState::UpToDate {
            return;
        }
        let source = self
            .conns
            .iter()
            .find(|conn| conn.connected() && conn.volumes[v].disk == DiskState::UpToDate);
        if let Some(uuids) = source.and_then(|conn| conn.volumes[v].uuids.as_ref()) {
            self.devices[v].exposed = uuids.current;
        }
    }

    /// Why this node may not become Primary now.
    pub(super) fn promote_refusal(&self) -> Option<Refusal> {
        if self.role == Role::Primary || self.roles.waiters.is_empty() {
            return Some(Refusal::Interrupted);
        }
        let peer_primary =
            |conn: &super::parts::Conn| conn.connected() && conn.role == Role::Primary;
        if self.conns.iter().any(peer_primary) && !self.quirk("promote-not-refused") {
            return Some(Refusal::TwoPrimaries);
        }
        let busy = self.uuids_locked();
        let attaching = self
            .devices
            .iter()
            .any(|device| matches!(device.disk, DiskState::Attaching | DiskState::Negotiating));
        if busy || attaching {
            return Some(Refusal::InTransientState);
        }
        if self.roles.fail_io {
            return Some(Refusal::DeviceInUse);
        }
        let force = self.roles.is_forced();
        let quorum = |v: usize| self.devices[v].quorum || (force && self.quorum_by_force(v));
        let unreconciled = self.quirk("survivor-promotes-unreconciled");
        let data = |v: usize| {
            let consistent = unreconciled && self.devices[v].disk == DiskState::Consistent;
            self.data_accessible(v) || consistent || (force && self.devices[v].has_disk())
        };
        match () {
            () if !(0..self.devices.len()).all(quorum) => Some(Refusal::NoQuorum),
            () if !(0..self.devices.len()).all(data) => Some(Refusal::NoUpToDateDisk),
            () if self.awaits_fencing(force) => Some(Refusal::PrimaryNop),
            () => None,
        }
    }

    /// Why this node may not become Secondary now.
    pub(super) fn demote_refusal(&self) -> Option<Refusal> {
        let open = self.role != Role::Primary || self.roles.writers > 0 || !self.roles.demoting;
        open.then_some(Refusal::Interrupted)
    }

    /// Moves wishes about the role on: called after every change.
    pub(super) fn progress_roles(&mut self) {
        if self.role == Role::Secondary && !self.roles.waiters.is_empty() {
            let retry_later = self.roles.retry_at.is_some_and(|at| at > self.now);
            if !self.twopc.wants(Purpose::Promote) && !retry_later {
                self.roles.retry_at = None;
                self.want(Purpose::Promote);
            }
        }
        self.serve_openers();
        if self.roles.demoting && self.role == Role::Primary {
            if self.suspended {
                // Nobody is left who could wait for the frozen I/O.
                self.force_secondary();
                return self.reply_demoted(Ok(()));
            }
            let idle = self.log.is_empty()
                && self.held.is_empty()
                && self.devices.iter().all(|device| device.in_flight == 0);
            if idle && !self.twopc.wants(Purpose::Demote) {
                self.send_peer_ack();
                self.want(Purpose::Demote);
            }
        }
    }

    pub(super) fn promote_done(&mut self, result: Result<(), Refusal>) {
        match result {
            Ok(()) => {
                reach!(self, Promoted);
                if self.roles.is_forced() {
                    self.take_by_force();
                }
                if !self.devices.iter().any(|device| device.has_disk()) {
                    reach!(self, PromotedDiskless);
                }
                self.set_role(Role::Primary);
                self.roles.becoming = true;
                for c in 0..self.conns.len() {
                    // Who took part in this promotion knows. (`members` may be older.)
                    let reached = self.twopc.reached.has(self.conns[c].node);
                    for v in 0..self.devices.len() {
                        let unknown = self.conns[c].volumes[v].disk == DiskState::DUnknown;
                        if unknown && reached && self.conns[c].config.diskful {
                            self.set_peer_disk(c, v, DiskState::Outdated);
                        }
                    }
                }
                self.compare_unacked();
                let v = (0..self.devices.len()).find(|v| self.devices[*v].has_disk());
                match v {
                    Some(v) => {
                        self.devices[v].md.flags.put(MdFlags::PRIMARY_IND, true);
                        self.md_sync(v, Work::Promoted);
                    }
                    None => self.promoted_durable(),
                }
            }
            Err(refusal) => self.promote_refused(refusal),
        }
    }

    /// The last Primary was made Secondary while writes of its hung: they may have reached this
    /// copy alone, and are about to be read.
    fn compare_unacked(&mut self) {
        for v in 0..self.devices.len() {
            for c in 0..self.conns.len() {
                let idle = self.conns[c].volumes[v].repl.is_idle();
                let copies = self.devices[v].has_disk() && self.conns[c].config.diskful;
                if copies && idle && self.has_unacked(v, self.conns[c].node) {
                    self.renegotiate(c, v);
                }
            }
        }
    }

    fn promote_refused(&mut self, refusal: Refusal) {
        match refusal {
            Refusal::NoQuorum => reach!(self, PromoteNoQuorum),
            Refusal::NoUpToDateDisk => reach!(self, PromoteNoData),
            Refusal::TwoPrimaries => reach!(self, PromoteTwoPrimaries),
            Refusal::InTransientState => reach!(self, PromoteTransient),
            _ => {}
        }
        self.roles.refused = Some(refusal);
        let now = self.now;
        let hopeless = refusal == Refusal::PrimaryNop && !self.fence_for_promotion();
        let (late, wait): (Vec<_>, Vec<_>) = std::mem::take(&mut self.roles.waiters)
            .into_iter()
            .partition(|w| (hopeless && !w.force) || (w.deadline <= now && !self.roles.fencing));
        self.roles.waiters = wait;
        for waiter in late {
            self.out.push(Action::Reply(waiter.id, Err(refusal)));
        }
        if !self.roles.waiters.is_empty() {
            self.roles.retry_at = Some(now.plus_ms(RETRY_MS));
        }
    }

    pub(super) fn promoted_durable(&mut self) {
        if !std::mem::take(&mut self.roles.becoming) {
            return;
        }
        self.answer_waiters();
        self.changed = true;
    }

    fn answer_waiters(&mut self) {
        let still = self.role == Role::Primary;
        for waiter in std::mem::take(&mut self.roles.waiters) {
            self.roles.writers += u32::from(still && waiter.open);
            self.roles.explicit |= still && !waiter.open;
            let result = if still { Ok(()) } else { Err(Refusal::NoQuorum) };
            self.out.push(Action::Reply(waiter.id, result));
        }
    }

    /// A Primary serves who came while a demotion was going on that did not happen, and is demoted
    /// when nobody is left, however that came about.
    fn serve_openers(&mut self) {
        let demotes = self.twopc.wants(Purpose::Demote) || self.demotes_after_close();
        if self.role != Role::Primary || self.roles.becoming || demotes {
            return;
        }
        self.answer_waiters();
        if self.roles.writers == 0 && !self.roles.explicit {
            self.roles.demoting = true;
            self.roles.by_close = true;
        }
    }

    pub(super) fn demote_done(&mut self, result: Result<(), Refusal>) {
        if result.is_ok() {
            if self.roles.by_close {
                reach!(self, DemotedByClose);
            }
            self.set_role(Role::Secondary);
        }
        // Refused, it is tried again, unless somebody waits who is served by a Primary as well.
        let again = self.demote_refusal().is_none() && self.roles.waiters.is_empty();
        self.roles.demoting &= again;
        self.reply_demoted(result);
    }

    fn reply_demoted(&mut self, result: Result<(), Refusal>) {
        for id in std::mem::take(&mut self.roles.demote_reply) {
            self.out.push(Action::Reply(id, result));
        }
    }

    pub(super) fn role_alarms(&mut self) {
        let now = self.now;
        if self.roles.retry_at.is_some_and(|at| at <= now) {
            self.roles.retry_at = None;
            self.changed = true;
        }
        let late = self.roles.waiters.iter().any(|w| w.deadline <= now);
        let patient = self.roles.becoming || self.roles.demoting || self.roles.fencing;
        if late && !patient {
            let refusal = self.promote_refusal().or(self.roles.refused);
            let refusal = refusal.unwrap_or(Refusal::Timeout);
            self.promote_refused(refusal);
            if self.roles.waiters.is_empty() {
                self.unwant(Purpose::Promote);
            }
        }
    }

    pub(super) fn disconnect(&mut self, id: CommandId, node: NodeId, force: bool) {
        let Some(c) = self.conn_of(node) else {
            return self.out.push(Action::Reply(id, Err(Refusal::InvalidPeerNodeId)));
        };
        if self.conns[c].connected() && !force {
            return self.want(Purpose::Disconnect(node, Some(id)));
        }
        self.stand_alone(c);
        self.out.push(Action::Reply(id, Ok(())));
    }

    pub(super) fn disconnect_done(
        &mut self,
        node: NodeId,
        reply: Option<CommandId>,
        result: Result<(), Refusal>,
    ) {
        let Some(c) = self.conn_of(node) else { return };
        if result.is_ok() {
            return self.leaves(c, reply);
        }
        if self.down.is_some() || result == Err(Refusal::AlreadyStandalone) {
            // A node that goes down does not stay for a peer that objects. And who wants to leave
            // a peer that was lost meanwhile does not want it back.
            self.stand_alone(c);
        }
        if let Some(id) = reply {
            let result = match result {
                Err(Refusal::AlreadyStandalone) => Ok(()),
                other => other,
            };
            self.out.push(Action::Reply(id, result));
        }
        self.finish_down();
    }

    fn leaves(&mut self, c: usize, reply: Option<CommandId>) {
        let change = self.change_of_leaving(self.conns[c].node);
        self.leave(c, reply);
        let Change::Disconnect { outdate_me, outdate_you } = change else { return };
        if outdate_me {
            self.outdate();
        }
        for v in 0..self.devices.len() {
            if outdate_you && self.conns[c].config.diskful {
                self.set_peer_disk(c, v, DiskState::Outdated);
            }
        }
    }

    /// The peer left on purpose.
    pub(super) fn left_by_peer(&mut self, c: usize, outdated: bool) {
        reach!(self, LeftByPeer);
        self.out.push(Action::Unlink(self.conns[c].node));
        self.lost(c, ConnState::TearDown);
        for v in 0..self.devices.len() {
            if outdated && self.conns[c].config.diskful {
                self.set_peer_disk(c, v, DiskState::Outdated);
            }
        }
        self.set_cstate(c, ConnState::Unconnected);
        self.conns[c].relink_at = Some(self.now.plus_ms(RETRY_MS));
    }

    pub(super) fn go_down(&mut self, id: CommandId) {
        if self.role == Role::Primary {
            return self.out.push(Action::Reply(id, Err(Refusal::DeviceInUse)));
        }
        self.down = Some(id);
        // A promotion that is under way comes to nothing: nobody waits for it any more.
        for waiter in std::mem::take(&mut self.roles.waiters) {
            self.out.push(Action::Reply(waiter.id, Err(Refusal::Interrupted)));
        }
        self.unwant(Purpose::Promote);
        for c in 0..self.conns.len() {
            if self.conns[c].connected() {
                self.want(Purpose::Disconnect(self.conns[c].node, None));
            } else if self.conns[c].lingers.is_none() {
                self.stand_alone(c);
            }
        }
        self.finish_down();
    }

    /// All connections gone: detach; all detached: answer.
    pub(super) fn finish_down(&mut self) {
        let Some(id) = self.down else { return };
        if self.conns.iter().any(|conn| conn.cstate != ConnState::StandAlone) {
            return;
        }
        let mut detached = true;
        for v in 0..self.devices.len() {
            let goes = self.devices[v].disk == DiskState::Detaching;
            if self.devices[v].has_disk() || goes {
                detached = false;
                let pending = self.devices[v]
                    .md_waiters
                    .iter()
                    .any(|(_, work)| matches!(work, Work::Detached(..)));
                if !pending && self.devices[v].detaching.is_none() {
                    self.clean_detach(v, None);
                }
            }
        }
        if detached {
            self.down = None;
            self.out.push(Action::Reply(id, Ok(())));
        }
    }
}

//! What follows from every change: quorum, suspension, metadata flags, the states that peers are
//! told.

use super::Resource;
use super::config::OnLoss;
use super::event::{Action, Handler, Notice};
use super::points::reach;
use super::quorum::{self, Ballot, Voter};
use crate::ids::{NodeId, NodeMask, Time, VolumeNumber};
use crate::meta::{MdFlags, PeerFlags};
use crate::packet::{Packet, PeerState};
use crate::state::{DiskState, ReplState, Role};

impl Resource {
    /// Follows changes up until nothing more follows.
    pub(super) fn settle(&mut self) {
        for round in 0.. {
            if !std::mem::take(&mut self.changed) {
                break;
            }
            assert!(round < 1000, "{}: the state does not settle", self.config.name);
            self.pulse.missed = self.stood_still();
            self.weigh_claims();
            self.update_quorum();
            self.update_capacities();
            self.progress_fencing();
            self.update_suspension();
            self.update_md_flags();
            self.broadcast_states();
            self.tell_unsettled();
            self.progress_roles();
            self.trust_primaries();
            self.everybody_is_here();
            self.progress_resyncs();
            self.admit();
            let due = self.role == Role::Primary && self.needs_generation_now();
            if due && (self.asserts || !self.log.is_empty()) && !self.access_lost {
                self.need_generation();
            }
            self.release_completions();
            self.progress_twopc();
        }
        self.answer_suspends();
    }

    pub(super) fn update_quorum(&mut self) {
        for v in 0..self.devices.len() {
            let had = self.devices[v].quorum;
            let has = self.compute_quorum(v);
            if had == has {
                continue;
            }
            self.devices[v].quorum = has;
            self.changed = true;
            self.notice(Notice::Quorum(VolumeNumber(v as u16), has));
            if self.role != Role::Primary {
                continue;
            }
            if has {
                reach!(self, QuorumBackPrimary);
                // Without this Primary, copies may have become what they were not when it lost
                // touch with them: its next write begins a session. (DRBD's does only if a copy
                // falls behind.)
                self.devices[v].new_uuid = true;
                self.devices[v].new_session = true;
            } else if self.devices[v].has_disk() {
                self.devices[v].md.flags.put(MdFlags::PRIMARY_LOST_QUORUM, true);
                self.touch_md(v);
            }
            if !has {
                reach!(self, QuorumLostPrimary);
                self.call(Handler::QuorumLost, None, Some(v));
            }
        }
    }

    /// What this node and every other that is known counts as.
    pub(super) fn voters(&self, v: usize) -> (Voter, Vec<Voter>) {
        let device = &self.devices[v];
        let me = match device.disk {
            DiskState::UpToDate => Voter::UpToDate,
            disk if disk > DiskState::Attaching => Voter::Present,
            _ if !device.configured_diskful => Voter::Diskless,
            _ => Voter::Unknown,
        };
        // Without a disk and without quorum, what is known of an absent copy may be long past:
        // another copy may have brought it up to date.
        let knows = device.has_disk() || device.quorum;
        let voter = |conn: &super::parts::Conn| {
            let disk = conn.volumes[v].disk;
            let outdated =
                device.has_disk() && device.md.peer(conn.node).flags.has(PeerFlags::OUTDATED);
            match (conn.connected(), conn.config.diskful) {
                (true, false) => Voter::Diskless,
                // It may crash before its metadata says that it is not alone any more, and have
                // quorum of its own then. Until it has confirmed the connection it keeps quorum
                // here, but gives none. (DRBD counts it at once.)
                (true, true) if !conn.confirmed && !device.quorum => {
                    reach!(self, QuorumUnconfirmed);
                    Voter::Unknown
                }
                (true, true) if disk == DiskState::UpToDate => Voter::UpToDate,
                (true, true) => Voter::Present,
                (false, false) => Voter::MissingDiskless,
                (false, true) if knows && (disk <= DiskState::Outdated || outdated) => {
                    Voter::Outdated
                }
                (false, true)
                    if self.quirk("quorumless-without-proof")
                        || (device.quorum && !self.members.has(conn.node)) =>
                {
                    Voter::Quorumless
                }
                (false, true) => Voter::Unknown,
            }
        };
        let known = self.conns.iter().filter(|conn| !conn.forgotten);
        let mut others: Vec<Voter> = known.map(voter).collect();
        self.forget_quorumless(&mut others);
        (me, others)
    }

    pub(super) fn compute_quorum(&self, v: usize) -> bool {
        let device = &self.devices[v];
        let (me, others) = self.voters(v);
        let peer_vouches = !device.has_disk()
            && self.conns.iter().any(|conn| {
                let good = conn.volumes[v].disk == DiskState::UpToDate;
                conn.connected() && good && conn.volumes[v].state.is_some_and(|s| s.quorum)
            });
        let ballot = Ballot { me, others: &others, had_quorum: device.quorum, peer_vouches };
        let (q, redundancy) = (self.config.quorum, self.config.quorum_minimum_redundancy);
        if let Some(by) = quorum::won_by(q, redundancy, &ballot) {
            self.note_quorum(by, &others);
            return true;
        }
        let last = self.last_man(v);
        if last {
            reach!(self, QuorumLastMan);
        }
        last
    }

    fn note_quorum(&self, by: quorum::By, others: &[Voter]) {
        match by {
            quorum::By::NoRules => return,
            quorum::By::Peer => return reach!(self, QuorumVouched),
            quorum::By::Votes => reach!(self, QuorumByVotes),
            quorum::By::TieBreaker => reach!(self, QuorumByTieBreaker),
        }
        if others.contains(&Voter::Quorumless) {
            reach!(self, QuorumByQuorumless);
        }
        if others.contains(&Voter::Outdated) {
            reach!(self, QuorumByOutdated);
        }
    }

    /// A node that was alone with quorum when it stopped has it again once its disk is UpToDate.
    fn last_man(&self, v: usize) -> bool {
        let device = &self.devices[v];
        device.disk == DiskState::UpToDate
            && device.md.flags.has(MdFlags::HAVE_QUORUM)
            && device.md.member_mask() == self.me().mask()
            && self.members == self.me().mask()
    }

    pub(super) fn update_suspension(&mut self) {
        let primary = self.role == Role::Primary;
        let lost_quorum = self.config.on_no_quorum == OnLoss::SuspendIo
            && self.devices.iter().any(|device| !device.quorum);
        let no_data = self.config.on_no_data == OnLoss::SuspendIo
            && (0..self.devices.len()).any(|v| !self.data_accessible(v));
        let forced = self.roles.fail_io;
        let fencing = self.awaits_stonith();
        let lost = !forced && primary && (lost_quorum || no_data || fencing);
        self.changed |= std::mem::replace(&mut self.access_lost, lost) != lost;
        let suspended = lost || (!forced && self.user.on);
        if suspended != self.suspended {
            match (suspended, lost_quorum, no_data) {
                (false, ..) => reach!(self, Resumed),
                (true, true, _) => reach!(self, SuspendedQuorum),
                (true, false, true) => reach!(self, SuspendedData),
                (true, false, false) if fencing => reach!(self, SuspendedFencing),
                (true, false, false) => {}
            }
            self.suspended = suspended;
            if !suspended {
                self.resumes_without_uuid();
            }
            self.changed = true;
            self.notice(Notice::Suspended(suspended));
        }
    }

    pub(super) fn update_md_flags(&mut self) {
        for v in 0..self.devices.len() {
            // What the copy was, its metadata keeps while it goes.
            let goes = self.devices[v].disk == DiskState::Detaching;
            if !self.devices[v].has_disk() && !goes {
                continue;
            }
            let primary = self.role == Role::Primary;
            let members = u64::from(self.members.0);
            let peers: Vec<_> = self
                .conns
                .iter()
                .filter(|conn| !conn.forgotten)
                .map(|conn| {
                    let pd = &conn.volumes[v];
                    let outdated = pd.disk == DiskState::Outdated && !pd.agreed;
                    let known = conn.connected() || pd.disk <= DiskState::Outdated;
                    (conn.node, conn.config.diskful, conn.connected(), known.then_some(outdated))
                })
                .collect();
            let device = &mut self.devices[v];
            let mut md = device.md.flags;
            md.put(MdFlags::PRIMARY_IND, primary);
            if !goes {
                md.put(MdFlags::CONSISTENT, device.disk > DiskState::Inconsistent);
                md.put(MdFlags::WAS_UP_TO_DATE, device.disk > DiskState::Outdated);
            }
            md.put(MdFlags::CRASHED_PRIMARY, device.crashed_primary);
            md.put(MdFlags::HAVE_QUORUM, device.quorum);
            let mut touched = md != device.md.flags || members != device.md.members;
            device.md.flags = md;
            device.md.members = members;
            for (node, diskful, connected, outdated) in peers {
                let mut flags = device.md.peer(node).flags;
                flags.put(PeerFlags::NODE_EXISTS, true);
                flags.put(PeerFlags::DEVICE_SEEN, diskful);
                flags.put(PeerFlags::CONNECTED, connected);
                if let Some(outdated) = outdated {
                    flags.put(PeerFlags::OUTDATED, outdated);
                }
                touched |= flags != device.md.peer(node).flags;
                device.md.peer_mut(node).flags = flags;
            }
            if touched {
                self.touch_md(v);
            }
        }
    }

    pub(super) fn peer_state(&self, c: usize, v: usize) -> PeerState {
        let pd = &self.conns[c].volumes[v];
        PeerState {
            role: self.role,
            disk: self.devices[v].disk,
            peer_disk: pd.disk,
            repl: pd.repl,
            resync_paused: self.pauses(c, v).own(),
            quorum: self.devices[v].quorum,
            suspended: self.suspended,
        }
    }

    /// Tells connected peers what changed (P_STATE).
    pub(super) fn broadcast_states(&mut self) {
        for c in 0..self.conns.len() {
            if !self.conns[c].connected() || self.disowns_on_disk(c) || self.is_founding() {
                continue;
            }
            for v in 0..self.devices.len() {
                let state = self.peer_state(c, v);
                if self.conns[c].volumes[v].sent_state != Some(state) {
                    self.conns[c].volumes[v].sent_state = Some(state);
                    if state.repl.is_sync() && self.quirk("state-lost-in-resync") {
                        continue;
                    }
                    self.send(c, Packet::State(VolumeNumber(v as u16), state));
                }
            }
        }
    }

    /// This node just connected, and its metadata does not know it yet: after a crash it would have
    /// quorum without this peer. The peer, which does not count it before it has confirmed the
    /// connection (see [`Resource::compute_quorum`]), has to wait.
    fn disowns_on_disk(&self, c: usize) -> bool {
        let conn = &self.conns[c];
        let fresh = conn.volumes.iter().any(|pd| pd.sent_state.is_none());
        let pending = |device: &super::parts::Device| {
            let writing = device.md_version > device.md_written;
            device.has_disk() && device.md_disowns.has(conn.node) && writing
        };
        let waits = fresh && self.devices.iter().any(pending);
        if waits {
            reach!(self, QuorumWithdrawn);
        }
        waits
    }

    pub(super) fn set_disk(&mut self, v: usize, disk: DiskState) {
        if self.devices[v].disk != disk {
            if self.devices[v].disk == DiskState::UpToDate {
                self.not_kept(v, self.me());
            }
            self.devices[v].disk = disk;
            self.changed = true;
            self.notice(Notice::Disk(VolumeNumber(v as u16), disk));
        }
    }

    pub(super) fn set_repl(&mut self, c: usize, v: usize, repl: ReplState) {
        let before = self.conns[c].volumes[v].repl;
        if before != repl {
            if !matches!(repl, ReplState::VerifyS | ReplState::VerifyT) {
                self.drop_verify(c, v);
            }
            let pd = &mut self.conns[c].volumes[v];
            pd.repl = repl;
            pd.agreed &= repl.is_idle();
            pd.verified &= repl.is_idle();
            self.changed = true;
            self.notice(Notice::Repl(self.conns[c].node, VolumeNumber(v as u16), repl));
            self.clamp_disks(c, v, before);
        }
    }

    /// What is known of a peer's disk. Losing contact to a copy makes a new generation due.
    pub(super) fn set_peer_disk(&mut self, c: usize, v: usize, disk: DiskState) {
        let disk = self.clamped(c, v, disk);
        let old = self.conns[c].volumes[v].disk;
        if old == disk {
            return;
        }
        if old == DiskState::UpToDate {
            self.not_kept(v, self.conns[c].node);
        }
        if disk == DiskState::UpToDate && !self.near_a_primary() {
            // Who was just resynced passes it on before older bits are settled.
            self.devices[v].stray_at = None;
        }
        self.conns[c].volumes[v].disk = disk;
        self.changed = true;
        self.notice(Notice::PeerDisk(self.conns[c].node, VolumeNumber(v as u16), disk));
        let usable = |disk| {
            use DiskState::*;
            matches!(disk, Inconsistent | Consistent | UpToDate)
        };
        if self.role == Role::Primary && usable(old) && !usable(disk) {
            self.devices[v].new_uuid = true;
        }
    }

    /// A node that this one has no connection to was behind, and may have caught up with a third.
    /// Taken for Outdated, it would not count for quorum.
    pub(super) fn may_have_caught_up(&mut self, v: usize, node: NodeId) {
        let Some(c) = self.conn_of(node).filter(|c| !self.conns[*c].connected()) else { return };
        self.conns[c].volumes[v].behind = false;
        let outdated = self.devices[v].md.peer(node).flags.has(PeerFlags::OUTDATED);
        if self.role == Role::Primary || !self.conns[c].config.diskful {
            return;
        }
        if self.conns[c].volumes[v].disk <= DiskState::Outdated || outdated {
            if self.devices[v].has_disk() {
                self.devices[v].md.peer_mut(node).flags.put(PeerFlags::OUTDATED, false);
                self.touch_md(v);
            }
            self.set_peer_disk(c, v, DiskState::DUnknown);
        }
    }

    pub(super) fn set_peer_role(&mut self, c: usize, role: Role) {
        if self.conns[c].role != role {
            let before = std::mem::replace(&mut self.conns[c].role, role);
            if before == Role::Primary {
                // What it writes from now on, no copy gets that it has no connection to.
                let node = self.conns[c].node;
                self.conns.iter_mut().for_each(|conn| conn.deaf_to.remove(node));
            }
            self.follow_to_the_end(c, before, role);
            self.forget_flushes();
            self.changed = true;
            self.notice(Notice::PeerRole(self.conns[c].node, role));
        }
    }

    /// Who followed a Primary until it stepped down has all of it: more than one that lost it
    /// before.
    fn follow_to_the_end(&mut self, c: usize, before: Role, now: Role) {
        let node = self.conns[c].node;
        match (before, now) {
            (Role::Primary, Role::Secondary) => self.lost_primary = Some(node),
            (_, Role::Primary) if self.lost_primary == Some(node) => self.lost_primary = None,
            _ => {}
        }
    }

    pub(super) fn set_members(&mut self, members: NodeMask) {
        if self.members != members {
            self.members = members;
            self.changed = true;
        }
    }

    /// Asks for the next alarm, if it moved forward.
    pub(super) fn arm(&mut self) {
        let next = self.next_alarm();
        let due = match (next, self.armed) {
            (Some(next), Some(armed)) => next < armed,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if due {
            self.armed = next;
            self.out.push(Action::WakeAt(next));
        }
    }

    fn next_alarm(&self) -> Option<Time> {
        let links = self.conns.iter().filter_map(|conn| self.conn_alarm(conn));
        let resyncs =
            self.conns.iter().flat_map(|conn| conn.volumes.iter().filter_map(|pd| pd.resync.tick));
        links
            .chain(resyncs)
            .chain(self.twopc.alarm())
            .chain(self.roles.alarm())
            .chain(self.peer_ack.deadline)
            .chain(self.pulse.due)
            .chain(self.disk_alarm(None))
            .chain((0..self.devices.len()).filter_map(|v| self.ask_alarm(v)))
            .min()
    }

    /// Everything that is due.
    pub(super) fn alarms(&mut self) {
        for c in 0..self.conns.len() {
            self.conn_alarms(c);
            for v in 0..self.devices.len() {
                if self.conns[c].volumes[v].resync.tick.is_some_and(|at| at <= self.now) {
                    self.resync_tick(c, v);
                }
            }
        }
        self.twopc_alarms();
        self.disk_alarms();
        let now = self.now;
        self.changed |=
            (0..self.devices.len()).any(|v| self.ask_alarm(v).is_some_and(|at| at <= now));
        self.role_alarms();
        if self.peer_ack.deadline.is_some_and(|at| at <= self.now) {
            self.send_peer_ack();
        }
    }
}

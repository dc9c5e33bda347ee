//! The life of a connection: links, pings, loss, and where each packet goes.

use super::Resource;
use super::event::{Action, CommandId, Notice, Refusal};
use super::parts::{Conn, Epoch, Greeting, PeerDevice};
use super::points::reach;
use super::twopc::Purpose;
use crate::ids::{Dagtag, NodeMask, Time};
use crate::packet::Packet;
use crate::state::{ConnState, DiskState, ReplState, Role};
use std::collections::VecDeque;

/// After a handshake that asked for another try.
const RETRY_MS: u64 = 1_000;

impl Conn {
    pub(super) fn new(peer: &super::config::PeerConfig, volumes: usize) -> Conn {
        Conn {
            node: peer.node,
            config: peer.clone(),
            cstate: ConnState::StandAlone,
            role: Role::Unknown,
            volumes: (0..volumes).map(|_| PeerDevice::new()).collect(),
            birth: 0,
            linked: false,
            was_connected: false,
            discard: false,
            forgotten: false,
            greeting: None,
            handshake_deadline: None,
            heard: Time::default(),
            pinged: None,
            ping_wanted: None,
            pings: 0,
            pongs: 0,
            last_dagtag: Dagtag(0),
            deaf_to: NodeMask::NONE,
            placed: false,
            peer_dagtag: None,
            named: None,
            unacked: VecDeque::new(),
            epochs: VecDeque::new(),
            epoch_seq: 0,
            sent_dagtag: Dagtag(0),
            sent_in_epoch: 0,
            barriers: VecDeque::new(),
            confirmed: false,
            kept_on: false,
            flush_asked: Vec::new(),
            relink_at: None,
            fence: Default::default(),
            lingers: None,
            leaving: None,
        }
    }
}

impl Resource {
    pub(super) fn connect(&mut self, id: CommandId, node: crate::ids::NodeId) {
        let Some(c) = self.conn_of(node) else {
            return self.out.push(Action::Reply(id, Err(Refusal::InvalidPeerNodeId)));
        };
        if self.conns[c].cstate != ConnState::StandAlone {
            return self.out.push(Action::Reply(id, Err(Refusal::NetConfigured)));
        }
        self.remember_peer(c);
        self.set_cstate(c, ConnState::Unconnected);
        self.start_wanted_links();
        self.out.push(Action::Reply(id, Ok(())));
    }

    /// Starts to connect where it is wanted, once no volume is attaching any more.
    pub(super) fn start_wanted_links(&mut self) {
        if self.devices.iter().any(|device| device.disk == DiskState::Attaching) {
            return;
        }
        for c in 0..self.conns.len() {
            let due = self.conns[c].relink_at.is_none_or(|at| at <= self.now);
            if self.conns[c].cstate == ConnState::Unconnected && due {
                self.conns[c].relink_at = None;
                self.set_cstate(c, ConnState::Connecting);
                self.out.push(Action::Link(self.conns[c].node));
            }
        }
    }

    pub(super) fn set_cstate(&mut self, c: usize, cstate: ConnState) {
        if self.conns[c].cstate != cstate {
            self.conns[c].cstate = cstate;
            self.changed = true;
            self.notice(Notice::Connection(self.conns[c].node, cstate));
        }
    }

    pub(super) fn link_up(&mut self, c: usize) {
        if self.conns[c].cstate != ConnState::Connecting {
            return;
        }
        let (me, now) = (self.me(), self.now);
        let deadline = now.plus_ms(self.config.twopc_timeout_ms);
        let conn = &mut self.conns[c];
        conn.birth += 1;
        conn.linked = true;
        conn.greeting = Some(Greeting::default());
        conn.handshake_deadline = Some(deadline);
        conn.heard = now;
        conn.pinged = None;
        (conn.pings, conn.pongs) = (0, 0);
        conn.epoch_seq += 1;
        let seq = conn.epoch_seq;
        conn.epochs.clear();
        conn.epochs.push_back(Epoch {
            seq,
            nr: None,
            size: 0,
            active: 0,
            flushes: 0,
            flushing: false,
        });
        if me < conn.node {
            let node = conn.node;
            self.want(Purpose::Connect(node));
        }
    }

    /// Ends a link on this node's decision and tries again.
    pub(super) fn drop_link(&mut self, c: usize, why: ConnState) {
        self.out.push(Action::Unlink(self.conns[c].node));
        self.lost(c, why);
        self.relink(c, 0);
    }

    /// Ends a handshake that is to be tried again in a second.
    pub(super) fn retry_link(&mut self, c: usize) {
        reach!(self, LinkRetried);
        self.out.push(Action::Unlink(self.conns[c].node));
        self.lost(c, ConnState::NetworkFailure);
        self.relink(c, RETRY_MS);
    }

    fn relink(&mut self, c: usize, after_ms: u64) {
        self.set_cstate(c, ConnState::Unconnected);
        self.conns[c].relink_at = Some(self.now.plus_ms(after_ms));
        self.start_wanted_links();
    }

    /// A socket broke; that ends a link that only waited for the peer to read what came last.
    pub(super) fn link_down(&mut self, c: usize) {
        if self.conns[c].lingers.is_some() {
            return self.stand_alone(c);
        }
        self.lost(c, ConnState::NetworkFailure);
        if self.conns[c].cstate == ConnState::Unconnected {
            // The link is still wanted, and tried again.
            self.set_cstate(c, ConnState::Connecting);
        }
    }

    /// The link is gone: everything that went over it is settled without the peer.
    pub(super) fn lost(&mut self, c: usize, why: ConnState) {
        let graceful = matches!(why, ConnState::Disconnecting | ConnState::TearDown);
        self.lost_as(c, why, graceful);
    }

    /// As above; `graceful`: nothing is uncertain, so nobody has to be asked who is there.
    pub(super) fn lost_as(&mut self, c: usize, why: ConnState, graceful: bool) {
        let was_connected = self.conns[c].connected();
        let was_primary = was_connected && self.conns[c].role == Role::Primary;
        let conn = &mut self.conns[c];
        conn.linked = false;
        conn.birth += 1;
        conn.greeting = None;
        conn.handshake_deadline = None;
        conn.pinged = None;
        conn.ping_wanted = None;
        conn.peer_dagtag = None;
        conn.named = None;
        conn.flush_asked.clear();
        conn.confirmed = false;
        conn.epochs.clear();
        let leaves = why == ConnState::Disconnecting;
        if was_connected || leaves {
            self.set_cstate(c, why);
        }
        self.set_peer_role(c, Role::Unknown);
        for v in 0..self.devices.len() {
            self.end_peer_device(c, v);
        }
        self.changed = true;
        if was_connected {
            self.forget_sent(c);
            self.forget_received(c);
            self.serve_waiting(c);
        }
        self.pings_answered();
        self.twopc_conn_lost(c);
        if was_primary && !graceful {
            self.primary_lost(c);
        }
        if was_connected {
            self.contact_lost(c, graceful);
        }
        if was_connected && !graceful {
            self.want(Purpose::LostPeer);
        }
        if !leaves && self.conns[c].cstate != ConnState::StandAlone {
            self.set_cstate(c, ConnState::Unconnected);
        }
    }

    fn end_peer_device(&mut self, c: usize, v: usize) {
        let finished = self.may_have_finished(c, v);
        let agreed = self.conns[c].volumes[v].agreed;
        self.abort_resync(c, v);
        self.set_repl(c, v, ReplState::Off);
        let pd = &mut self.conns[c].volumes[v];
        let offered = pd.offered.take().is_some();
        pd.verdict = None;
        pd.sent_state = None;
        pd.state = None;
        pd.await_state = false;
        pd.reconcile = false;
        pd.unannounced.clear();
        pd.verified = false;
        pd.caught_up |= finished;
        if finished {
            reach!(self, LostMayHaveFinished);
        }
        let pd = &mut self.conns[c].volumes[v];
        pd.agreed = false;
        let disk = match pd.disk {
            // Neither is behind the other: it may have heard what ends its being Outdated, as this
            // node did or would have. (DRBD keeps what was known.)
            DiskState::Outdated if agreed => DiskState::DUnknown,
            // Unless it got the last block just now, and is UpToDate without our having heard of
            // it.
            DiskState::Inconsistent if !finished => DiskState::Inconsistent,
            DiskState::Outdated => DiskState::Outdated,
            _ => DiskState::DUnknown,
        };
        self.set_peer_disk(c, v, disk);
        if offered && self.devices[v].disk == DiskState::Negotiating {
            self.settle_attach(v, None);
        }
    }

    /// An ungraceful loss of the last Primary: it may have told others more than this node.
    fn primary_lost(&mut self, c: usize) {
        reach!(self, PrimaryLost);
        let node = self.conns[c].node;
        self.lost_primary = Some(node);
        let other = self.conns.iter().any(Conn::is_primary);
        if self.role == Role::Primary || other {
            return;
        }
        for v in 0..self.devices.len() {
            if self.devices[v].disk == DiskState::UpToDate {
                self.set_disk(v, DiskState::Consistent);
            }
        }
        // Held Consistent until the survivors have compared how far each followed it.
        for conn in self.conns.iter_mut().filter(|conn| conn.connected() && conn.config.diskful) {
            for (pd, device) in conn.volumes.iter_mut().zip(&self.devices) {
                pd.reconcile = device.has_disk();
            }
        }
    }

    pub(super) fn ping(&mut self, c: usize) {
        if self.conns[c].linked && self.conns[c].pinged.is_none() {
            self.conns[c].pinged = Some(self.now);
            self.conns[c].pings += 1;
            self.send(c, Packet::Ping);
        }
    }

    /// The answer to the oldest ping.
    fn pinged_back(&mut self, c: usize) {
        let conn = &mut self.conns[c];
        conn.pongs = conn.pings.min(conn.pongs + 1);
        conn.pinged = conn.pinged.filter(|_| conn.pongs < conn.pings);
        conn.ping_wanted = conn.ping_wanted.filter(|wanted| conn.pongs < *wanted);
        self.changed |= self.pulse.missed;
    }

    pub(super) fn conn_alarm(&self, conn: &Conn) -> Option<Time> {
        let ping = conn.linked.then(|| match conn.pinged {
            Some(at) => at.plus_ms(self.config.ping_timeout_ms),
            None => conn.heard.plus_ms(self.config.ping_int_ms),
        });
        ping.into_iter()
            .chain(conn.handshake_deadline)
            .chain(conn.relink_at)
            .chain(conn.lingers)
            .min()
    }

    pub(super) fn conn_alarms(&mut self, c: usize) {
        let now = self.now;
        self.dismissed(c, now);
        let conn = &self.conns[c];
        if conn.relink_at.is_some_and(|at| at <= now) {
            self.start_wanted_links();
            self.conns[c].relink_at = None;
        }
        let conn = &self.conns[c];
        if !conn.linked {
            return;
        }
        if conn.handshake_deadline.is_some_and(|at| at <= now) {
            reach!(self, HandshakeTimeout);
            self.leak_lock(c);
            return self.drop_link(c, ConnState::Timeout);
        }
        match conn.pinged {
            Some(at) if at.plus_ms(self.config.ping_timeout_ms) <= now => {
                if conn.heard > at {
                    self.conns[c].pinged = None;
                } else {
                    reach!(self, PingTimeout);
                    self.drop_link(c, ConnState::NetworkFailure);
                }
            }
            None if conn.heard.plus_ms(self.config.ping_int_ms) <= now => self.ping(c),
            _ if self.unanswered(c) => {
                reach!(self, WriteTimeout);
                self.drop_link(c, ConnState::Timeout);
            }
            _ => {}
        }
    }

    /// Has a write waited for this peer for ko-count times timeout?
    fn unanswered(&self, c: usize) -> bool {
        let limit = self.config.timeout_ms * u64::from(self.config.ko_count);
        let node = self.conns[c].node;
        let oldest = self.log.iter().find(|key| self.reqs[**key].pending.has(node));
        limit > 0 && oldest.is_some_and(|key| self.now.ms_since(self.reqs[*key].since) >= limit)
    }

    pub(super) fn packet(&mut self, c: usize, packet: Packet) {
        if !self.conns[c].linked {
            return;
        }
        self.conns[c].heard = self.now;
        if self.refuses(c, &packet) {
            return;
        }
        match packet {
            Packet::Ping => self.send(c, Packet::PingAck),
            Packet::PingAck => {
                self.pinged_back(c);
                self.pings_answered();
            }
            Packet::TwopcPrepare(req) => self.twopc_prepare(c, req),
            Packet::TwopcVote(id, vote) => self.twopc_vote(c, id, vote),
            Packet::TwopcCommit(commit) => self.twopc_commit(c, commit),
            Packet::TwopcAbort(req) => self.twopc_abort(c, req),
            Packet::Disconnect => self.sent_away(c),
            Packet::PeerDagtag { node, dagtag } => {
                self.conns[c].peer_dagtag = Some((node, dagtag));
            }
            Packet::Dagtag(dagtag) => {
                self.conns[c].last_dagtag = dagtag;
                self.conns[c].placed = true;
                self.changed = true;
                self.serve_waiting(c);
            }
            packet => self.volume_packet(c, packet),
        }
    }

    fn volume_packet(&mut self, c: usize, packet: Packet) {
        use Packet::*;
        match packet {
            Sizes(volume, sizes) => self.receive_sizes(c, volume.index(), sizes),
            Uuids(volume, uuids) => self.receive_uuids(c, volume.index(), uuids),
            CurrentUuid { volume, uuid, weak } => {
                self.receive_current(c, volume.index(), uuid, weak)
            }
            State(volume, state) => self.receive_state(c, volume.index(), state),
            _ if !self.conns[c].connected() => {}
            Data { volume, at, id, payload, may_set_in_sync, fua } => {
                self.receive_write(c, volume.index(), at, id, Some(payload), may_set_in_sync, fua);
            }
            Trim { volume, at, id, may_set_in_sync } => {
                self.receive_write(c, volume.index(), at, id, None, may_set_in_sync, false);
            }
            DataRequest { volume, at, id } => self.receive_read(c, volume.index(), at, id),
            DataReply { id, payload } => self.read_reply(c, id, Some(payload)),
            NegDReply { id } => self.read_reply(c, id, None),
            Barrier { nr } => self.receive_barrier(c, nr),
            BarrierAck { nr, set_size } => self.barrier_ack(c, nr, set_size),
            WriteAck { id, in_sync } => self.write_ack(c, id, in_sync, true),
            NegAck { id } => self.write_ack(c, id, false, false),
            OutOfSync { volume, at } => self.receive_out_of_sync(c, volume.index(), at),
            PeerAck { mask, dagtag } => self.receive_peer_ack(c, mask, dagtag),
            PeersInSync { volume, at, mask } => {
                self.receive_peers_in_sync(c, volume.index(), at, mask);
            }
            RsDataRequest { volume, at, id, dagtag, digest, thin } => {
                self.receive_resync_request((c, volume.index()), at, id, dagtag, (digest, thin));
            }
            RsDeallocated { id } => self.resync_deallocated(c, id),
            RsIsInSync { id } => self.resync_is_same(c, id),
            OvRequest { volume, at, id, dagtag } => {
                self.receive_ov_request((c, volume.index()), at, id, dagtag);
            }
            OvReply { id, digest, dagtag } => self.receive_ov_reply(c, id, digest, dagtag),
            OvResult { volume, id, differs, .. } => {
                self.receive_ov_result((c, volume.index()), id, differs);
            }
            RsDataReply { id, payload } => self.resync_reply(c, id, Some(payload)),
            NegRsDReply { id } => self.resync_reply(c, id, None),
            RsWriteAck { id } => self.resync_ack(c, id, true),
            RsNegAck { id } => self.resync_ack(c, id, false),
            Bitmap { volume, words } => self.receive_bitmap(c, volume.index(), &words),
            FlushRequests { seq } => self.receive_flush_requests(c, seq),
            FlushForward { seq, initiator } => self.receive_flush_forward(c, seq, initiator),
            FlushRequestsAck { seq, primary } => self.receive_flush_ack(c, seq, primary),
            _ => {}
        }
    }
}

//! The engine of one resource on one node.
//!
//! [`Resource::step`] takes one event and appends actions. Inside, each file holds one concern:
//! `request` the application's I/O, `replicate` the peers' writes, `resync` with what comes before
//! its end (`flush`), its `pace`, its pauses (`pause`), digests (`csum`), holes (`thin`), what
//! others left (`stray`) and the one on demand (`full_sync`), `verify` the comparison of copies at
//! work, `attach` the lower device and metadata, `detach` letting go of it, `disk_errors` what
//! becomes of a device that fails, `balance` where reads go, `gate` what a peer may say, `connect`
//! links and handshakes, `leave` their end for good, `twopc` cluster-wide changes, `role`
//! promotion and demotion, `force` what `--force` takes for granted, `fence` peers that cannot be
//! seen, `handlers` programs of the administrator, `pulse` a Primary that stood still,
//! `generation` new data generations, `new_current` those that an administrator asks for, `resize`
//! the size of a volume, `day0` the one that copies are preset with, `objects` peers that come
//! later, `admin` what else administrators ask for, `suspend` its `suspend-io`, `remembers` with
//! whom a copy that is behind had quorum, `unsettled` what nodes without a disk are told of copies
//! that differ, `clamp` which states go together, `history` what the bugs of DRBD's history do that
//! can be put back, `status` what follows from every change.

pub mod activity_log;
mod admin;
mod attach;
mod balance;
pub mod bitmap;
mod bitmap_io;
mod clamp;
pub mod config;
mod connect;
mod connection;
mod csum;
mod day0;
mod detach;
mod disk_errors;
pub mod event;
mod fence;
mod flush;
mod force;
mod full_sync;
mod gate;
mod generation;
mod handlers;
pub mod handshake;
mod history;
mod leave;
mod locks;
mod new_current;
mod objects;
mod pace;
mod parts;
mod pause;
pub mod points;
mod pulse;
pub mod quorum;
mod refusal;
mod remembers;
mod replicate;
mod request;
mod resize;
mod resync;
mod role;
mod show;
pub mod split_brain;
mod status;
mod stray;
mod suspend;
mod thin;
mod twopc;
mod unsettled;
mod verify;

pub use pause::Pauses;
pub use show::{Generations, Suspension};

use crate::ids::{Dagtag, NodeId, NodeMask, Time, Uuid, VolumeNumber};
use crate::meta::Layout;
use crate::packet::Packet;
use crate::quirks::Quirks;
use crate::state::{ConnState, DiskState, ReplState, Role};
use config::Config;
use event::{Action, CommandId, Event, Notice, Request, RequestId};
use parts::{AppRequest, Conn, Device, PeerRequest, Work};
use points::Passed;
use slab::Slab;
use std::collections::{BTreeMap, VecDeque};

/// One resource as one node sees it: the running state of the engine. A clone goes its own way from
/// the same state: tests look at every order of what comes next.
#[derive(Clone)]
pub struct Resource {
    config: Config,
    quirks: Quirks,
    luck: u64,
    now: Time,
    out: Vec<Action>,
    armed: Option<Time>,
    role: Role,
    devices: Vec<Device>,
    conns: Vec<Conn>,
    by_node: [Option<u8>; NodeId::COUNT],
    members: NodeMask,
    /// Requests that may not start yet, in order.
    held: BTreeMap<u64, (usize, RequestId, Request)>,
    /// Numbers requests in the order in which they came.
    tickets: u64,
    reqs: Slab<AppRequest>,
    /// Transfer log: writes in order of their dagtag.
    log: VecDeque<usize>,
    peer_reqs: Slab<PeerRequest>,
    resync_reqs: Slab<resync::ResyncRequest>,
    verify_reqs: Slab<verify::VerifyRequest>,
    lower: Slab<disk_errors::LowerRequest>,
    dagtag: Dagtag,
    epoch: u32,
    epoch_size: u32,
    peer_ack: request::PeerAckState,
    generation: generation::Generation,
    pulse: pulse::Pulse,
    /// The generation that is due does not wait for a request.
    asserts: bool,
    roles: role::RoleState,
    calls: handlers::Calls,
    twopc: twopc::Twopc,
    user: suspend::UserSuspension,
    /// A Primary's requests wait for quorum or data.
    access_lost: bool,
    suspended: bool,
    /// Something changed that `status` has to look at.
    changed: bool,
    down: Option<CommandId>,
    /// The Primary that was lost last, or stepped down, until it is back.
    lost_primary: Option<NodeId>,
    /// Primaries of the last commit that this node has no connection to.
    far_primaries: NodeMask,
    /// Numbers resync requests.
    serial: u64,
    /// Fist points.
    passed: Passed,
}

/// What checkers, `drbdsetup status` and reports read of one volume.
#[derive(Clone, PartialEq, Debug)]
pub struct VolumeView {
    /// Own disk.
    pub disk: DiskState,
    /// Quorum as the engine acts on it.
    pub quorum: bool,
    /// Current (diskful) or exposed (diskless) UUID.
    pub current: Uuid,
    /// Size in 4 KiB blocks.
    pub size: u64,
    /// Application writes in flight: submitted, not completed (on hold included).
    pub app_in_flight: usize,
    /// Peer writes received and not covered by a peer ack.
    pub peer_unacked: usize,
    /// The same volume at each configured peer.
    pub peers: Vec<PeerView>,
}

/// What this node knows of one volume at one peer.
#[derive(Clone, PartialEq, Debug)]
pub struct PeerView {
    /// The peer.
    pub node: NodeId,
    /// Replication state.
    pub repl: ReplState,
    /// Its disk, as known here.
    pub disk: DiskState,
    /// Bits set in the bitmap slot for it (4 KiB each).
    pub out_of_sync: u64,
    /// Why a resync with it stands still, or would.
    pub pauses: Pauses,
}

impl Resource {
    /// A resource as `drbdsetup new-resource`, `new-peer` and `new-minor` leave it: Secondary,
    /// Diskless, StandAlone. `luck` seeds the engine's own generator, for UUIDs and transaction
    /// numbers: given it and the events, everything follows.
    pub fn new(config: Config, luck: u64, quirks: Quirks) -> Resource {
        let mut by_node = [None; NodeId::COUNT];
        for (i, peer) in config.peers.iter().enumerate() {
            by_node[peer.node.index()] = Some(i as u8);
        }
        let members = config.node.mask();
        Resource {
            devices: (0..config.volumes.len()).map(|v| Device::new(&config, v)).collect(),
            conns: config.peers.iter().map(|peer| Conn::new(peer, config.volumes.len())).collect(),
            by_node,
            members,
            quirks,
            luck,
            config,
            now: Time::default(),
            out: Vec::new(),
            armed: None,
            role: Role::Secondary,
            held: BTreeMap::new(),
            tickets: 0,
            reqs: Slab::new(),
            log: VecDeque::new(),
            peer_reqs: Slab::new(),
            resync_reqs: Slab::new(),
            verify_reqs: Slab::new(),
            lower: Slab::new(),
            dagtag: Dagtag(0),
            epoch: 1,
            epoch_size: 0,
            peer_ack: Default::default(),
            generation: Default::default(),
            pulse: Default::default(),
            asserts: false,
            roles: Default::default(),
            calls: Default::default(),
            twopc: Default::default(),
            user: Default::default(),
            access_lost: false,
            suspended: false,
            changed: true,
            down: None,
            lost_primary: None,
            far_primaries: NodeMask::NONE,
            serial: 0,
            passed: Passed::default(),
        }
    }

    /// Metadata as `drbdmeta create-md` leaves it, as (first block, pages) runs to write to a lower
    /// device of `lower_blocks` 4 KiB blocks; with `uuid`, as `drbdadm new-current-uuid
    /// --clear-bitmap` then leaves it: UpToDate without an initial sync, the same on every node.
    pub fn create_md(
        config: &Config,
        volume: VolumeNumber,
        lower_blocks: u64,
        uuid: Option<Uuid>,
    ) -> Vec<(u64, crate::page::Payload)> {
        attach::create_md(config, volume, lower_blocks, uuid)
    }

    /// Blocks that a lower device needs for `data_blocks` of data and its internal metadata.
    pub fn lower_blocks(data_blocks: u64, max_peers: u8) -> u64 {
        Layout::lower_for(data_blocks, max_peers)
    }

    /// One event in, actions out (appended to `out`, in the order to carry them out).
    pub fn step(&mut self, now: Time, event: Event, out: &mut Vec<Action>) {
        self.now = now;
        std::mem::swap(&mut self.out, out);
        self.feel_pulse();
        self.handle(event);
        self.progress_growths();
        self.settle();
        self.progress_growths();
        self.arm();
        std::mem::swap(&mut self.out, out);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Command(id, command) => self.command(id, command),
            Event::Open(id, volume, write) => self.open(id, volume, write),
            Event::Close(volume, write) => self.close(volume, write),
            Event::Submit(volume, id, request) => self.submit(volume, id, request),
            Event::LowerDone(tag, result) => self.lower_done(tag, result),
            Event::LinkUp(node) => self.on_conn(node, |r, c| r.link_up(c)),
            Event::LinkDown(node, _) => {
                self.on_conn(node, |r, c| r.link_down(c));
            }
            Event::Packet(node, packet) => self.on_conn(node, |r, c| r.packet(c, packet)),
            Event::Called(id, exit) => self.called(id, exit),
            Event::LowerResized(volume, blocks) => self.lower_resized(volume, blocks),
            Event::Waits(volume, waits) => self.set_waits(volume, waits),
            Event::Wake => {
                self.armed = None;
                self.alarms();
            }
        }
    }

    fn on_conn(&mut self, node: NodeId, f: impl FnOnce(&mut Resource, usize)) {
        if let Some(c) = self.conn_of(node) {
            f(self, c);
        }
    }

    fn conn_of(&self, node: NodeId) -> Option<usize> {
        self.by_node[node.index()].map(usize::from)
    }

    fn me(&self) -> NodeId {
        self.config.node
    }

    /// SplitMix64: the engine's own luck, part of its state.
    fn draw(&mut self) -> u64 {
        self.luck = self.luck.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.luck;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Is this historical bug switched on? Never on hosts.
    fn quirk(&self, name: &str) -> bool {
        self.quirks.has(name)
    }

    fn send(&mut self, c: usize, packet: Packet) {
        if self.conns[c].linked {
            self.out.push(Action::Send(self.conns[c].node, packet));
        }
    }

    fn notice(&mut self, notice: Notice) {
        self.out.push(Action::Notice(notice));
    }

    fn work(&mut self, work: Work) {
        match work {
            Work::AppLocked(key) => self.app_locked(key),
            Work::AppActive(key) => self.app_active(key),
            Work::PeerLocked(key) => self.peer_locked(key),
            Work::PeerActive(key) => self.peer_active(key),
            Work::Request(key) => self.resync_request(key),
            Work::ResyncWrite(key) => self.resync_write(key),
            Work::ResyncActive(key) => self.resync_active(key),
            Work::ResyncRead(key) => self.resync_read(key),
            Work::VerifyRead(key) => self.verify_read(key),
            Work::Generation => self.generation_durable(),
            Work::Founded(v) => self.founded(v),
            Work::Promoted => self.promoted_durable(),
            Work::Attached(v) => self.attached(v),
            Work::SyncTarget(c, v) => self.sync_target_durable(c, v),
            Work::FullSync(c, v) => self.full_sync_durable(c, v),
            Work::ResyncEnd(c, v) => self.resync_end_durable(c, v),
            Work::Grown(v) => self.grown(v),
            Work::Detached(v, reply) => self.detached(v, reply),
        }
    }

    fn works(&mut self, works: Vec<Work>) {
        works.into_iter().for_each(|work| self.work(work));
    }

    fn command(&mut self, id: CommandId, command: event::Command) {
        use event::Command::*;
        match command {
            Attach(volume, blocks) => self.attach(id, volume, blocks),
            Detach(volume, force) => self.detach(id, volume, force),
            Connect(node) => self.connect(id, node),
            ConnectDiscarding(node) => self.connect_discarding(id, node),
            Disconnect(node, force) => self.disconnect(id, node, force),
            Primary(force) => self.primary(id, force),
            Secondary(force) => self.secondary(id, force),
            SuspendIo => self.suspend_io(id),
            ResumeIo => self.resume_io(id),
            Outdate(volume) => self.outdate_by_command(id, volume),
            Invalidate(volume, from) => self.invalidate(id, volume, from),
            InvalidateRemote(volume, node) => self.invalidate_remote(id, volume, node),
            ForgetPeer(node) => self.forget_peer(id, node),
            Verify { volume, node, start, stop } => {
                self.verify(id, (volume, node), (start, stop));
            }
            Resize(volume, resize) => self.resize(id, volume, resize),
            PauseSync(volume, node) => self.pause_sync(id, (volume, node), true),
            ResumeSync(volume, node) => self.pause_sync(id, (volume, node), false),
            ResyncAfter(volume, minor) => {
                self.set_resync_after(volume, minor);
                self.out.push(Action::Reply(id, Ok(())));
            }
            PeerDeviceOptions(node, volume, options) => {
                self.set_peer_device_options((node, volume), options);
                self.out.push(Action::Reply(id, Ok(())));
            }
            NewPeer(peer) => self.new_peer(id, peer),
            NewCurrentUuid(volume, initial) => self.new_current_by_command(id, volume, initial),
            Down => self.go_down(id),
        }
    }

    /// Fist points that were passed.
    pub fn passed(&self) -> &Passed {
        &self.passed
    }
    /// Notes no fist points from now on.
    pub fn mute_points(&mut self) {
        self.passed.mute();
    }
    /// Configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }
    /// Own role.
    pub fn role(&self) -> Role {
        self.role
    }
    /// Is application I/O on hold (user, no data, quorum)?
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }
    /// Connection state and role of a peer; StandAlone and Unknown if it is not configured.
    pub fn peer(&self, node: NodeId) -> (ConnState, Role) {
        let conn = self.conn_of(node).map(|c| &self.conns[c]);
        conn.map_or((ConnState::StandAlone, Role::Unknown), |conn| (conn.cstate, conn.role))
    }
    /// One volume, or `None` if there is no such one.
    pub fn volume(&self, volume: VolumeNumber) -> Option<VolumeView> {
        let v = volume.index();
        let device = self.devices.get(v)?;
        let peer = |(c, conn): (usize, &Conn)| PeerView {
            node: conn.node,
            pauses: self.pauses(c, v),
            repl: conn.volumes[v].repl,
            disk: conn.volumes[v].disk,
            out_of_sync: device.weight(conn.node),
        };
        Some(VolumeView {
            disk: device.disk,
            quorum: device.quorum,
            current: self.current(volume),
            size: device.capacity,
            app_in_flight: device.in_flight + self.held.values().filter(|(h, ..)| *h == v).count(),
            peer_unacked: self.peer_reqs.iter().filter(|(_, r)| r.volume == v).count(),
            peers: self.conns.iter().enumerate().map(peer).collect(),
        })
    }
    /// Where things are on the lower device of a volume, as far as it is attached or about to be.
    pub fn layout(&self, volume: VolumeNumber) -> Option<Layout> {
        let device = self.devices.get(volume.index())?;
        (device.disk != DiskState::Diskless).then_some(device.layout)
    }
    /// Is the block marked out of sync towards the peer, or inside an extent of the activity log?
    pub fn may_differ(&self, volume: VolumeNumber, peer: NodeId, block: u64) -> bool {
        self.devices.get(volume.index()).is_some_and(|device| {
            let bit = device.slot(peer).is_some_and(|slot| device.bitmaps[slot].is_set(block));
            bit || device.al.is_active(crate::ids::Blocks::new(block, 1))
        })
    }
    /// `members`: nodes that took part in the last agreement, stale-high at most.
    pub fn members(&self) -> NodeMask {
        self.members
    }
}

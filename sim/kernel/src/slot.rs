//! One resource of a host: its engine while the kernel runs, its links, its place on the disk.

use crate::commands::shape::Shape;
use crate::commands::view::DeviceIo;
use crate::link::Link;
use crate::lower::Region;
use drbd::core::Resource;
use drbd::core::config::Config;
use drbd::core::event::{CallId, Lower, Notice};
use drbd::ids::{NodeId, VolumeNumber};
use drbd::packet::Packet;
use drbd::state::ReplState;
use models::SimTime;
use models::net::ListenerId;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// A resource as configured on one host.
#[derive(Clone, Debug)]
pub struct SlotConfig {
    /// What the `.res` file says.
    pub config: Config,
    /// The lower device of each volume, `None` where this node is diskless.
    pub regions: Vec<Option<Region>>,
    /// Where this node listens.
    pub listen: SocketAddr,
    /// Where the peers listen.
    pub peers: Vec<SlotPeer>,
    /// Minor of volume 0; the others follow.
    pub minor: u32,
}

impl SlotConfig {
    /// Path of the lower device of a volume, as LINSTOR names it.
    pub fn lower_path(&self, volume: u16) -> String {
        lower_path(&self.config.name, volume)
    }
}

/// Path of the logical volume that LINSTOR makes for a volume.
pub fn lower_path(resource: &str, volume: u16) -> String {
    format!("/dev/linstor_group/{resource}_{volume:05}")
}

/// A peer's address.
#[derive(Clone, Copy, Debug)]
pub struct SlotPeer {
    /// Its node id.
    pub node: NodeId,
    /// Where it listens.
    pub address: SocketAddr,
}

/// How far `drbdadm up` or `down` got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// No such resource in the kernel.
    Gone,
    /// So many attaches are not answered.
    Attaching(u32),
    /// Attached (or refused) and connecting.
    Up,
    /// `Down` is not answered.
    GoingDown,
}

/// A resource of this host.
pub(crate) struct Slot {
    pub fixed: SlotConfig,
    pub engine: Option<Resource>,
    pub phase: Phase,
    /// Counts engines, so that what an earlier one asked for does not reach this one.
    pub life: u32,
    pub links: Vec<Link>,
    pub listener: Option<ListenerId>,
    pub wake: SimTime,
    /// Handlers that run: when each ends, and with which exit code.
    pub calls: Vec<(SimTime, CallId, u8)>,
    /// When `Down` is asked for again.
    pub again: SimTime,
    /// Fist points that engines of earlier boots passed.
    passed: Vec<u64>,
    /// The number of an administrator's `down` that is not answered.
    pub down_asked: Option<u64>,
    /// Its objects, once a command has looked at them or made them.
    pub shape: Option<Shape>,
    /// What went to the lower device, by volume.
    pub io: Vec<DeviceIo>,
    /// Blocks received and sent, by peer and volume.
    pub traffic: BTreeMap<(NodeId, u16), (u64, u64)>,
    /// Lower devices that were extended, or are about to be attached, and their blocks: the engine
    /// is told before anything else.
    pub extended: Vec<(VolumeNumber, u64)>,
    /// Resyncs: blocks that were out of sync when they began, and when that was.
    pub syncs: BTreeMap<(NodeId, u16), (u64, SimTime)>,
}

impl Slot {
    pub fn new(fixed: SlotConfig) -> Slot {
        Slot {
            io: vec![DeviceIo::default(); fixed.config.volumes.len()],
            traffic: BTreeMap::new(),
            syncs: BTreeMap::new(),
            extended: Vec::new(),
            shape: None,
            down_asked: None,
            fixed,
            engine: None,
            phase: Phase::Gone,
            life: 0,
            links: Vec::new(),
            listener: None,
            wake: SimTime::FAR,
            calls: Vec::new(),
            again: SimTime::FAR,
            passed: Vec::new(),
        }
    }

    /// Fist points that the engines have passed, in all lives.
    pub fn passed(&self) -> Vec<u64> {
        let now = self.engine.as_ref().map(|engine| engine.passed().words()).unwrap_or_default();
        let words = self.passed.len().max(now.len());
        let word = |from: &[u64], at: usize| from.get(at).copied().unwrap_or(0);
        (0..words).map(|at| word(&self.passed, at) | word(&now, at)).collect()
    }

    /// The kernel is gone: nobody is told.
    pub fn lost(&mut self) {
        self.passed = self.passed();
        self.engine = None;
        self.shape = None;
        self.down_asked = None;
        self.io.iter_mut().for_each(|io| *io = DeviceIo::default());
        self.traffic.clear();
        self.syncs.clear();
        self.extended.clear();
        self.phase = Phase::Gone;
        self.links.clear();
        self.listener = None;
        self.wake = SimTime::FAR;
        self.calls.clear();
        self.again = SimTime::FAR;
        self.life += 1;
    }

    /// Does a request to the lower device write to the metadata behind the data?
    pub fn is_metadata(&self, volume: VolumeNumber, lower: &Lower) -> bool {
        let data = self.data_of(volume);
        matches!((lower, data), (Lower::Write { start, .. }, Some(data)) if *start >= data)
    }

    /// Blocks of the lower device before its metadata, as the engine has it.
    fn data_of(&self, volume: VolumeNumber) -> Option<u64> {
        self.engine.as_ref()?.layout(volume).map(|layout| layout.usable())
    }

    /// A request to the lower device, for the counters.
    pub fn count(&mut self, volume: VolumeNumber, lower: &Lower) {
        let layout = self.engine.as_ref().and_then(|engine| engine.layout(volume));
        let Some((layout, size)) = layout.zip(self.data_of(volume)) else { return };
        let (bitmap, al) = (layout.bitmap().start, layout.al().start);
        let Some(io) = self.io.get_mut(volume.index()) else { return };
        match lower {
            Lower::Read(at) if at.start < size => io.read += u64::from(at.count),
            Lower::Write { start, payload, .. } if *start < size => {
                io.written += payload.len() as u64;
            }
            Lower::Write { start, .. } if *start < bitmap => {}
            Lower::Write { start, .. } if *start < al => io.bm_writes += 1,
            Lower::Write { .. } => io.al_writes += 1,
            _ => {}
        }
    }

    /// A packet with data, for the counters. Answers to resync requests do not tell their volume
    /// and count for the first.
    pub fn carried(&mut self, peer: NodeId, sent: bool, packet: &Packet) {
        let (volume, blocks) = match packet {
            Packet::Data { volume, payload, .. } => (volume.0, payload.len()),
            Packet::DataReply { payload, .. } | Packet::RsDataReply { payload, .. } => {
                (0, payload.len())
            }
            _ => return,
        };
        let counts = self.traffic.entry((peer, volume)).or_default();
        let count = if sent { &mut counts.1 } else { &mut counts.0 };
        *count += blocks as u64;
    }

    /// What the engine noticed, for the counters of resyncs.
    pub fn noticed(&mut self, now: SimTime, notice: &Notice) {
        let Notice::Repl(node, volume, repl) = notice else { return };
        let key = (*node, volume.0);
        if !matches!(
            repl,
            ReplState::SyncSource
                | ReplState::SyncTarget
                | ReplState::PausedSyncS
                | ReplState::PausedSyncT
        ) {
            self.syncs.remove(&key);
            return;
        }
        let seen = self.engine.as_ref().and_then(|engine| engine.volume(*volume));
        let towards = seen.and_then(|seen| seen.peers.into_iter().find(|p| p.node == *node));
        let blocks = towards.map_or(0, |towards| towards.out_of_sync);
        self.syncs.entry(key).or_insert((blocks, now));
    }

    pub fn due(&self) -> SimTime {
        let links = self.links.iter().map(Link::due).min().unwrap_or(SimTime::FAR);
        let calls = self.calls.iter().map(|(due, ..)| *due).min().unwrap_or(SimTime::FAR);
        self.wake.min(self.again).min(links).min(calls)
    }
}

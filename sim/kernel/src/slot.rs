//! One resource of a host: its engine while the kernel runs, its links, its place on the disk.

use crate::link::Link;
use crate::lower::Region;
use drbd::core::Resource;
use drbd::core::config::Config;
use drbd::core::event::Lower;
use drbd::ids::{NodeId, VolumeNumber};
use models::SimTime;
use models::net::ListenerId;
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
    /// When `Down` is asked for again.
    pub again: SimTime,
    /// Fist points that engines of earlier boots passed.
    passed: Vec<u64>,
}

impl Slot {
    pub fn new(fixed: SlotConfig) -> Slot {
        Slot {
            fixed,
            engine: None,
            phase: Phase::Gone,
            life: 0,
            links: Vec::new(),
            listener: None,
            wake: SimTime::FAR,
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
        self.phase = Phase::Gone;
        self.links.clear();
        self.listener = None;
        self.wake = SimTime::FAR;
        self.again = SimTime::FAR;
        self.life += 1;
    }

    /// Does a request to the lower device write to the metadata behind the data?
    pub fn is_metadata(&self, volume: VolumeNumber, lower: &Lower) -> bool {
        let size = self.fixed.config.volumes.get(volume.index()).map(|volume| volume.size);
        matches!((lower, size), (Lower::Write { start, .. }, Some(size)) if *start >= size)
    }

    pub fn due(&self) -> SimTime {
        let links = self.links.iter().map(Link::due).min().unwrap_or(SimTime::FAR);
        self.wake.min(self.again).min(links)
    }
}

//! A logical volume.

use super::BLOCK;
use super::group::Segment;
use super::pool::{Discards, Mode};
use super::thin::Space;

/// A volume of a host: not reused while the host lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct VolumeId(pub u32);

/// A logical volume.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Volume {
    /// Its number.
    pub id: VolumeId,
    /// Its name in the group.
    pub name: String,
    /// Size in extents (of a pool: its data).
    pub extents: u64,
    /// `lvchange -prw`
    pub writable: bool,
    /// Has it a device?
    pub active: bool,
    /// It is left alone when everything is activated (`k`).
    pub skip: bool,
    /// Somebody has its device open.
    pub open: bool,
    /// What it is.
    pub kind: Kind,
}

impl Volume {
    /// As a thin pool.
    pub fn as_pool(&self) -> Option<&Pool> {
        match &self.kind {
            Kind::Pool(pool) => Some(pool),
            _ => None,
        }
    }

    /// As a thin volume.
    pub fn as_thin(&self) -> Option<&Thin> {
        match &self.kind {
            Kind::Thin(thin) => Some(thin),
            _ => None,
        }
    }
}

/// What a volume is.
#[allow(clippy::large_enum_variant, reason = "a host has few volumes")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Extents in a row.
    Linear(Vec<Segment>),
    /// A thin pool.
    Pool(Pool),
    /// A thin volume.
    Thin(Thin),
}

/// A thin pool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pool {
    /// Where its data lies (`_tdata`).
    pub data: Vec<Segment>,
    /// Where its metadata lies (`_tmeta`).
    pub metadata: Vec<Segment>,
    /// Bytes of a chunk.
    pub chunk: u64,
    /// Zero what a first write does not cover of a new chunk.
    pub zero: bool,
    /// What becomes of discards.
    pub discards: Discards,
    /// A write that finds no chunk fails at once (`--errorwhenfull y`).
    pub error_when_full: bool,
    /// Does it take writes?
    pub mode: Mode,
    /// Counts changes of the set of thin volumes.
    pub transaction: u64,
    /// Which chunk is whose.
    pub space: Space,
}

impl Pool {
    /// Blocks of a chunk.
    pub fn chunk_blocks(&self) -> u64 {
        (self.chunk / BLOCK).max(1)
    }

    /// The pool's table is loaded anew: whether it is full, the next write finds out.
    pub fn refresh(&mut self) {
        if self.mode != Mode::ReadOnly {
            self.mode = Mode::Write;
        }
    }
}

/// A thin volume.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Thin {
    /// Its pool.
    pub pool: VolumeId,
    /// Its number in the pool.
    pub device: u32,
    /// The pool's count of changes when it was made.
    pub transaction: u64,
    /// What it is a snapshot of, if that is still there.
    pub origin: Option<VolumeId>,
}

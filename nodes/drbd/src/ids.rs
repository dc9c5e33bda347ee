//! Small identifiers that must not be mixed up, and sets of node ids.

use std::fmt;

/// Nanoseconds on the engine's clock. Only differences and order matter; the caller chooses the
/// zero.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Time(pub u64);

impl Time {
    /// The instant `ms` milliseconds later.
    pub fn plus_ms(self, ms: u64) -> Time {
        Time(self.0.saturating_add(ms.saturating_mul(1_000_000)))
    }
    /// Milliseconds from `earlier` to this instant, 0 if it is not earlier.
    pub fn ms_since(self, earlier: Time) -> u64 {
        self.0.saturating_sub(earlier.0) / 1_000_000
    }
}

/// DRBD's `node-id`, 0 to 31, unique within a resource.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u8);

impl NodeId {
    /// How many node ids there are (`DRBD_NODE_ID_MAX`).
    pub const COUNT: usize = 32;
    /// A node id, or `None` above 31.
    pub fn new(id: u8) -> Option<NodeId> {
        (usize::from(id) < Self::COUNT).then_some(NodeId(id))
    }
    /// As an index into an array of [`NodeId::COUNT`] elements.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
    /// The set that holds this node alone.
    pub fn mask(self) -> NodeMask {
        NodeMask(1 << self.0)
    }
    /// All 32 ids, ascending.
    pub fn all() -> impl Iterator<Item = NodeId> {
        (0..32).map(NodeId)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A set of node ids, DRBD's `node_mask`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeMask(pub u32);

impl NodeMask {
    /// The empty set.
    pub const NONE: NodeMask = NodeMask(0);
    /// All 32 ids.
    pub const ALL: NodeMask = NodeMask(u32::MAX);
    /// Is `id` in the set?
    pub fn has(self, id: NodeId) -> bool {
        self.0 & id.mask().0 != 0
    }
    /// Adds `id`.
    pub fn insert(&mut self, id: NodeId) {
        self.0 |= id.mask().0;
    }
    /// Removes `id`.
    pub fn remove(&mut self, id: NodeId) {
        self.0 &= !id.mask().0;
    }
    /// The set with `id` added.
    pub fn with(self, id: NodeId) -> NodeMask {
        NodeMask(self.0 | id.mask().0)
    }
    /// The set with `id` taken out.
    pub fn without(self, id: NodeId) -> NodeMask {
        NodeMask(self.0 & !id.mask().0)
    }
    /// Union.
    pub fn or(self, other: NodeMask) -> NodeMask {
        NodeMask(self.0 | other.0)
    }
    /// Intersection.
    pub fn and(self, other: NodeMask) -> NodeMask {
        NodeMask(self.0 & other.0)
    }
    /// All ids that are not in the set.
    pub fn complement(self) -> NodeMask {
        NodeMask(!self.0)
    }
    /// Has it no member?
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// How many members.
    pub fn len(self) -> u32 {
        self.0.count_ones()
    }
    /// Members, ascending.
    pub fn iter(self) -> impl Iterator<Item = NodeId> {
        NodeId::all().filter(move |id| self.has(*id))
    }
}

impl fmt::Debug for NodeMask {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Volume number within a resource, 0 to 65534.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct VolumeNumber(pub u16);

impl VolumeNumber {
    /// As an index into a list of volumes that are numbered from 0.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A set of volumes of a resource. Those from 63 on are in it together.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct VolumeMask(pub u64);

impl VolumeMask {
    /// Puts a volume, by its index, into the set.
    pub fn insert(&mut self, volume: usize) {
        self.0 |= 1 << volume.min(63);
    }
    /// Is the volume of this index in the set?
    pub fn has(self, volume: usize) -> bool {
        self.0 & 1 << volume.min(63) != 0
    }
    /// What is in either.
    pub fn or(self, other: VolumeMask) -> VolumeMask {
        VolumeMask(self.0 | other.0)
    }
}

/// A data generation identifier. 0 is none, 4 is "just created"; bit 0 says "was Primary" and is
/// ignored when two are compared.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub u64);

impl Uuid {
    /// No generation.
    pub const NONE: Uuid = Uuid(0);
    /// `UUID_JUST_CREATED`: metadata made by `create-md`, no data yet.
    pub const JUST_CREATED: Uuid = Uuid(4);
    /// The value without its Primary bit.
    pub fn masked(self) -> u64 {
        self.0 & !1
    }
    /// The same generation (bit 0 ignored)?
    pub fn same(self, other: Uuid) -> bool {
        self.masked() == other.masked()
    }
    /// Is it none?
    pub fn is_none(self) -> bool {
        self.masked() == 0
    }
    /// Is it none or just created?
    pub fn is_fresh(self) -> bool {
        self.is_none() || self.same(Uuid::JUST_CREATED)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:016X}", self.0)
    }
}

/// Position in a Primary's write stream of one resource, in 512-byte sectors written.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Dagtag(pub u64);

/// A run of whole 4 KiB blocks: the unit of the bitmap, of pages, and the smallest request of this
/// engine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Blocks {
    /// First block.
    pub start: u64,
    /// How many, at least 1.
    pub count: u32,
}

impl Blocks {
    /// Bytes in one block.
    pub const BYTES: u64 = 4096;
    /// 512-byte sectors in one block.
    pub const SECTORS: u64 = 8;
    /// The run of `count` blocks from `start`.
    pub fn new(start: u64, count: u32) -> Blocks {
        Blocks { start, count }
    }
    /// The block after the last.
    pub fn end(self) -> u64 {
        self.start + u64::from(self.count)
    }
    /// Do the two runs share a block?
    pub fn overlaps(self, other: Blocks) -> bool {
        self.start < other.end() && other.start < self.end()
    }
    /// Every block number of the run.
    pub fn iter(self) -> std::ops::Range<u64> {
        self.start..self.end()
    }
    /// Length in 512-byte sectors.
    pub fn sectors(self) -> u64 {
        u64::from(self.count) * Self::SECTORS
    }
}

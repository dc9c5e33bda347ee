//! LVM of one host: physical volumes on ranges of its disk, volume groups, linear and thin volumes.
//!
//! What it does:
//!
//! * A *device* is a range of the modelled disk that can be made a physical volume; the first MiB
//!   is LVM's own ([`DATA_START`]), the rest is cut into extents.
//! * [`Lvm`] is what the metadata says: groups, volumes, where their extents lie. It is written at
//!   once by the command that changes it, so all of it survives power loss.
//! * A thin pool has a data and a metadata volume. [`thin::Space`] is what the pool's metadata says
//!   of chunks: which chunk of a thin volume lies where, which are shared with a snapshot. A change
//!   of it is durable once it was committed: at a flush, at FUA, a second after it was made, and at
//!   commands. Power loss goes back to the last commit.
//! * [`dm::Dm`] carries requests through: it maps, allocates, copies shared chunks before they are
//!   written to, lets writes wait while the pool is full, and fails them when that lasts.
//!
//! Known gaps: one disk under all devices; no stripes, mirrors, caches, tags, old-style (thick)
//! snapshots; no automatic extension; a command that commits (snapshot, removal) takes the pool's
//! data for durable without a flush of its own; the order of requests to one chunk that overlap is
//! nobody's promise; repair of a broken pool is not there.

pub mod dm;
mod group;
mod pool;
pub mod thin;
mod volume;

pub use group::{Group, NoRoom, Physical, Segment};
pub use pool::{Discards, Mode, PoolOptions, default_chunk, default_metadata};
pub use volume::{Kind, Pool, Thin, Volume, VolumeId};

use std::collections::BTreeMap;

/// Bytes at the start of a physical volume that hold no extents.
pub const DATA_START: u64 = 1 << 20;
/// Bytes of a block of the disk model.
pub const BLOCK: u64 = 4096;
/// Bytes of an extent, unless said otherwise.
pub const EXTENT: u64 = 4 << 20;

/// A range of the disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// As in `/dev/vda`.
    pub name: String,
    /// First block on the disk.
    pub start: u64,
    /// How many blocks.
    pub blocks: u64,
    /// Does it carry a label of LVM?
    pub label: bool,
}

impl Device {
    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.blocks * BLOCK
    }

    /// How many extents of so many bytes fit.
    pub fn extents(&self, extent: u64) -> u64 {
        self.bytes().saturating_sub(DATA_START) / extent.max(BLOCK)
    }
}

/// The LVM of a host. See the module's text.
#[derive(Clone, Default, Debug)]
pub struct Lvm {
    devices: BTreeMap<String, Device>,
    groups: BTreeMap<String, Group>,
    last: u32,
}

impl Lvm {
    /// No devices.
    pub fn new() -> Lvm {
        Lvm::default()
    }

    /// A range of the disk becomes known under a name.
    pub fn add_device(&mut self, name: &str, start: u64, blocks: u64) {
        let device = Device { name: name.to_owned(), start, blocks, label: false };
        self.devices.insert(name.to_owned(), device);
    }

    /// All devices, by name.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.devices.values()
    }

    /// A device.
    pub fn device(&self, name: &str) -> Option<&Device> {
        self.devices.get(name)
    }

    /// All groups, by name.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// A group.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.get(name)
    }

    /// A group, to change.
    pub fn group_mut(&mut self, name: &str) -> Option<&mut Group> {
        self.groups.get_mut(name)
    }

    /// The group that a device is part of.
    pub fn group_of(&self, device: &str) -> Option<&Group> {
        self.groups.values().find(|group| group.physical.iter().any(|p| p.device == device))
    }

    /// Writes LVM's label on a device, or takes it away.
    pub fn set_label(&mut self, device: &str, label: bool) {
        if let Some(device) = self.devices.get_mut(device) {
            device.label = label;
        }
    }

    /// Makes a group of devices. Unknown ones are left out.
    pub fn create_group(&mut self, name: &str, extent: u64, devices: &[String]) {
        let group = Group::new(name, extent);
        self.groups.insert(name.to_owned(), group);
        self.extend_group(name, devices);
    }

    /// Adds devices to a group. Unknown ones, and those of another group, are left out.
    pub fn extend_group(&mut self, name: &str, devices: &[String]) {
        for device in devices {
            if self.group_of(device).is_some() {
                continue;
            }
            let (Some(device), Some(group)) =
                (self.devices.get_mut(device), self.groups.get_mut(name))
            else {
                continue;
            };
            device.label = true;
            group.add(device);
        }
    }

    /// Removes a group with all its volumes; its devices stay physical volumes.
    pub fn remove_group(&mut self, name: &str) -> Option<Group> {
        self.groups.remove(name)
    }

    /// A device is taken from its group by force: the volumes that lay on it are gone, and the
    /// group too if that was its last device.
    pub fn lose_device(&mut self, device: &str) {
        let Some(name) = self.group_of(device).map(|group| group.name.clone()) else { return };
        let Some(group) = self.groups.get_mut(&name) else { return };
        group.lose(device);
        if group.physical.is_empty() {
            self.groups.remove(&name);
        }
    }

    /// Gives a group another name; `false` if it is taken, or nobody has the old one.
    pub fn rename_group(&mut self, from: &str, to: &str) -> bool {
        if self.groups.contains_key(to) {
            return false;
        }
        let Some(mut group) = self.groups.remove(from) else { return false };
        group.name = to.to_owned();
        self.groups.insert(to.to_owned(), group);
        true
    }

    /// A number that no volume has had yet.
    pub fn next_id(&mut self) -> VolumeId {
        self.last += 1;
        VolumeId(self.last)
    }

    /// The group that has this volume.
    pub fn home(&self, id: VolumeId) -> Option<&Group> {
        self.groups.values().find(|group| group.volume(id).is_some())
    }

    /// The group that has this volume, to change.
    pub fn home_mut(&mut self, id: VolumeId) -> Option<&mut Group> {
        self.groups.values_mut().find(|group| group.volume(id).is_some())
    }

    /// A volume.
    pub fn volume(&self, id: VolumeId) -> Option<&Volume> {
        self.groups.values().find_map(|group| group.volume(id))
    }

    /// A volume by `group/name`.
    pub fn find(&self, group: &str, name: &str) -> Option<&Volume> {
        self.group(group)?.find(name)
    }

    /// Where a block of a volume lies on the disk; `None` if it is beyond the end, or no chunk of
    /// the pool stands for it.
    pub fn place(&self, id: VolumeId, block: u64) -> Option<u64> {
        let group = self.home(id)?;
        let volume = group.volume(id)?;
        if block >= group.blocks(volume) {
            return None;
        }
        match &volume.kind {
            Kind::Linear(segments) => group.map(segments, block, 1).first().map(|run| run.0),
            Kind::Pool(_) => None,
            Kind::Thin(thin) => {
                let pool = group.pool(thin.pool)?;
                let chunk = pool.chunk_blocks();
                let at = pool.space.lookup(thin.device, block / chunk)?.chunk;
                let inner = at * chunk + block % chunk;
                group.map(&pool.data, inner, 1).first().map(|run| run.0)
            }
        }
    }

    /// Gives a block of a thin volume its chunk, committed: to prepare a disk. A full pool gives
    /// none.
    pub fn provision(&mut self, id: VolumeId, block: u64) {
        let Some(thin) = self.volume(id).and_then(|v| v.as_thin()).cloned() else { return };
        let Some(pool) = self.home_mut(thin.pool).and_then(|g| g.pool_mut(thin.pool)) else {
            return;
        };
        let at = block / pool.chunk_blocks();
        if pool.space.lookup(thin.device, at).is_none()
            && let Ok(chunk) = pool.space.allocate()
        {
            pool.space.map(thin.device, at, chunk);
            pool.space.commit(pool.space.mark());
        }
    }

    /// Says which volumes are in use.
    pub fn set_open(&mut self, open: &dyn Fn(VolumeId) -> bool) {
        for volume in self.groups.values_mut().flat_map(|group| &mut group.volumes) {
            volume.open = open(volume.id);
        }
    }

    /// Each pool grows until it holds all that it has promised, or its group has no room.
    pub fn give_room(&mut self) {
        for group in self.groups.values_mut() {
            let pools: Vec<VolumeId> =
                group.volumes.iter().filter(|v| v.as_pool().is_some()).map(|v| v.id).collect();
            for pool in pools {
                let promised: u64 = group.thins(pool).map(|thin| thin.extents).sum();
                let has = group.volume(pool).map_or(0, |volume| volume.extents);
                let more = promised.saturating_sub(has).min(group.free());
                // It was seen to be there.
                let _ = group.resize(pool, has + more);
            }
        }
    }

    /// The kernel is gone: what pools had not committed is as it was before, and volumes are not
    /// active.
    pub fn power_lost(&mut self) {
        for volume in self.groups.values_mut().flat_map(|group| &mut group.volumes) {
            volume.active = false;
            if let Kind::Pool(pool) = &mut volume.kind {
                pool.space.revert();
                pool.mode = Mode::Write;
            }
        }
    }

    /// The host boots: everything becomes active but what is to be skipped.
    pub fn boot(&mut self) {
        for volume in self.groups.values_mut().flat_map(|group| &mut group.volumes) {
            volume.active = !volume.skip;
        }
    }
}

//! A volume group: extents of its physical volumes, and who has them.

use super::pool::{Discards, Mode, PoolOptions};
use super::thin::Space;
use super::volume::{Kind, Pool, Thin, Volume, VolumeId};
use super::{BLOCK, DATA_START, Device};

/// A device in its part of physical volume of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Physical {
    /// Its name.
    pub device: String,
    /// First block on the disk of its first extent.
    pub first: u64,
    /// How many extents.
    pub extents: u64,
}

/// A run of extents of one physical volume.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Index of the physical volume in its group.
    pub physical: usize,
    /// First extent there.
    pub start: u64,
    /// How many.
    pub count: u64,
}

/// So many extents are not free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoRoom {
    /// Free extents.
    pub free: u64,
}

/// A volume group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Bytes of an extent.
    pub extent: u64,
    /// Physical volumes in the order in which they were added.
    pub physical: Vec<Physical>,
    /// Volumes in LVM's order: pools first, the newest of them first of all; then the others in the
    /// order in which they were made.
    pub volumes: Vec<Volume>,
    /// The spare for the repair of a pool's metadata (`lvol0_pmspare`).
    pub spare: Vec<Segment>,
    last_device: u32,
}

impl Group {
    pub(super) fn new(name: &str, extent: u64) -> Group {
        Group {
            name: name.to_owned(),
            extent,
            physical: Vec::new(),
            volumes: Vec::new(),
            spare: Vec::new(),
            last_device: 0,
        }
    }

    pub(super) fn add(&mut self, device: &Device) {
        self.physical.push(Physical {
            device: device.name.clone(),
            first: device.start + DATA_START / BLOCK,
            extents: device.extents(self.extent),
        });
    }

    /// A physical volume on which nothing lies leaves the group.
    pub fn reduce(&mut self, device: &str) {
        let Some(at) = self.physical.iter().position(|p| p.device == device) else { return };
        if self.free_on(at) < self.physical[at].extents {
            return;
        }
        self.physical.remove(at);
        let runs = self.volumes.iter_mut().flat_map(|volume| match &mut volume.kind {
            Kind::Linear(segments) => vec![segments],
            Kind::Pool(pool) => vec![&mut pool.data, &mut pool.metadata],
            Kind::Thin(_) => Vec::new(),
        });
        for segment in runs.flatten().chain(&mut self.spare) {
            segment.physical -= usize::from(segment.physical > at);
        }
    }

    /// A physical volume is gone, and what lay on it.
    pub(super) fn lose(&mut self, device: &str) {
        let Some(at) = self.physical.iter().position(|p| p.device == device) else { return };
        let lies = |segments: &[Segment]| segments.iter().any(|s| s.physical == at);
        let gone: Vec<VolumeId> = self
            .volumes
            .iter()
            .filter(|volume| match &volume.kind {
                Kind::Linear(segments) => lies(segments),
                Kind::Pool(pool) => lies(&pool.data) || lies(&pool.metadata),
                Kind::Thin(_) => false,
            })
            .map(|volume| volume.id)
            .collect();
        gone.into_iter().for_each(|id| self.remove(id));
        self.spare.retain(|segment| segment.physical != at);
        self.reduce(device);
    }

    // ---- what can be seen ----

    /// All extents.
    pub fn extents(&self) -> u64 {
        self.physical.iter().map(|p| p.extents).sum()
    }

    /// Free extents.
    pub fn free(&self) -> u64 {
        self.extents().saturating_sub(self.taken().iter().map(|s| s.count).sum())
    }

    /// Free extents of one physical volume.
    pub fn free_on(&self, physical: usize) -> u64 {
        let all = self.physical.get(physical).map_or(0, |p| p.extents);
        let taken = self.taken();
        let taken = taken.iter().filter(|s| s.physical == physical).map(|s| s.count);
        all.saturating_sub(taken.sum())
    }

    /// A volume.
    pub fn volume(&self, id: VolumeId) -> Option<&Volume> {
        self.volumes.iter().find(|volume| volume.id == id)
    }

    /// A volume, to change.
    pub fn volume_mut(&mut self, id: VolumeId) -> Option<&mut Volume> {
        self.volumes.iter_mut().find(|volume| volume.id == id)
    }

    /// A volume by name.
    pub fn find(&self, name: &str) -> Option<&Volume> {
        self.volumes.iter().find(|volume| volume.name == name)
    }

    /// A thin pool.
    pub fn pool(&self, id: VolumeId) -> Option<&Pool> {
        self.volume(id)?.as_pool()
    }

    /// A thin pool, to change.
    pub fn pool_mut(&mut self, id: VolumeId) -> Option<&mut Pool> {
        match &mut self.volume_mut(id)?.kind {
            Kind::Pool(pool) => Some(pool),
            _ => None,
        }
    }

    /// The thin volumes of a pool.
    pub fn thins(&self, pool: VolumeId) -> impl Iterator<Item = &Volume> {
        let is_of = move |v: &&Volume| matches!(&v.kind, Kind::Thin(thin) if thin.pool == pool);
        self.volumes.iter().filter(is_of)
    }

    /// Snapshots of a volume that are there.
    pub fn snapshots(&self, origin: VolumeId) -> impl Iterator<Item = &Volume> {
        let of = move |v: &&Volume| matches!(&v.kind, Kind::Thin(t) if t.origin == Some(origin));
        self.volumes.iter().filter(of)
    }

    /// Blocks of a volume.
    pub fn blocks(&self, volume: &Volume) -> u64 {
        volume.extents * self.extent / BLOCK
    }

    /// Runs of extents that have an owner, in no order.
    pub fn taken(&self) -> Vec<Segment> {
        let mut taken = self.spare.clone();
        for volume in &self.volumes {
            match &volume.kind {
                Kind::Linear(segments) => taken.extend(segments),
                Kind::Pool(pool) => taken.extend(pool.data.iter().chain(&pool.metadata)),
                Kind::Thin(_) => {}
            }
        }
        taken
    }

    /// Where blocks of a run of segments lie on the disk: (start, count) each.
    pub fn map(&self, segments: &[Segment], start: u64, count: u64) -> Vec<(u64, u64)> {
        let per = self.extent / BLOCK;
        let (mut at, end) = (0, start.saturating_add(count));
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for segment in segments {
            let len = segment.count * per;
            let (low, high) = (start.max(at), end.min(at + len));
            let first = self.physical.get(segment.physical).map_or(0, |p| p.first);
            if low < high {
                let place = first + segment.start * per + (low - at);
                match runs.last_mut() {
                    Some(last) if last.0 + last.1 == place => last.1 += high - low,
                    _ => runs.push((place, high - low)),
                }
            }
            at += len;
        }
        runs
    }

    // ---- room ----

    /// Takes the first free extents, of these physical volumes if any are named.
    fn allocate(&self, mut wanted: u64, only: &[usize]) -> Result<Vec<Segment>, NoRoom> {
        let mut taken = self.taken();
        taken.sort_by_key(|s| (s.physical, s.start));
        let (mut found, free) = (Vec::new(), self.free());
        for (index, physical) in self.physical.iter().enumerate() {
            if !only.is_empty() && !only.contains(&index) {
                continue;
            }
            let mut at = 0;
            let here = taken.iter().filter(|s| s.physical == index);
            let end = Segment { physical: index, start: physical.extents, count: 0 };
            for segment in here.chain([&end]) {
                let count = segment.start.saturating_sub(at).min(wanted);
                if count > 0 {
                    found.push(Segment { physical: index, start: at, count });
                    wanted -= count;
                }
                at = segment.start + segment.count;
            }
        }
        if wanted > 0 { Err(NoRoom { free }) } else { Ok(found) }
    }

    // ---- volumes ----

    fn insert(&mut self, id: VolumeId, name: &str, extents: u64, kind: Kind) {
        let is_pool = matches!(kind, Kind::Pool(_));
        let volume = Volume {
            id,
            name: name.to_owned(),
            extents,
            writable: true,
            active: true,
            skip: false,
            open: false,
            kind,
        };
        if is_pool { self.volumes.insert(0, volume) } else { self.volumes.push(volume) }
    }

    /// Makes a linear volume.
    pub fn create_linear(
        &mut self,
        id: VolumeId,
        name: &str,
        extents: u64,
        only: &[usize],
    ) -> Result<(), NoRoom> {
        let segments = self.allocate(extents, only)?;
        self.insert(id, name, extents, Kind::Linear(segments));
        Ok(())
    }

    /// Makes a thin pool of so many extents of data; with the first one, a spare for its metadata.
    pub fn create_pool(
        &mut self,
        id: VolumeId,
        name: &str,
        extents: u64,
        options: &PoolOptions,
    ) -> Result<(), NoRoom> {
        let metadata = options.metadata_extents;
        let spare = self.spare.iter().map(|s| s.count).sum::<u64>();
        let more = metadata.saturating_sub(spare);
        if self.free() < extents + metadata + more {
            return Err(NoRoom { free: self.free() });
        }
        let spare = self.allocate(more, &[])?;
        self.spare.extend(spare);
        let data = self.allocate(extents, &[])?;
        let blocks = metadata * self.extent / BLOCK;
        let pool = Pool {
            data,
            metadata: Vec::new(),
            chunk: options.chunk,
            zero: options.zero,
            discards: Discards::Passdown,
            error_when_full: options.error_when_full,
            mode: Mode::Write,
            transaction: 0,
            space: Space::new(extents * self.extent / options.chunk, blocks),
        };
        // The data has its extents first, behind the spare.
        self.insert(id, name, extents, Kind::Pool(pool));
        let metadata = self.allocate(metadata, &[])?;
        if let Some(pool) = self.pool_mut(id) {
            pool.metadata = metadata;
        }
        Ok(())
    }

    /// Makes a thin volume.
    pub fn create_thin(&mut self, id: VolumeId, name: &str, extents: u64, pool: VolumeId) {
        let (device, transaction) = self.next_device(pool);
        let thin = Thin { pool, device, transaction, origin: None };
        self.insert(id, name, extents, Kind::Thin(thin));
    }

    /// Makes a thin snapshot of a thin volume; `false` if the origin is none.
    pub fn create_snapshot(&mut self, id: VolumeId, name: &str, origin: VolumeId) -> bool {
        let Some(of) = self.volume(origin) else { return false };
        let Kind::Thin(thin) = &of.kind else { return false };
        let (pool, parent, extents) = (thin.pool, thin.device, of.extents);
        let (device, transaction) = self.next_device(pool);
        if let Some(pool) = self.pool_mut(pool) {
            pool.space.snapshot(device, parent);
        }
        let kind = Kind::Thin(Thin { pool, device, transaction, origin: Some(origin) });
        self.insert(id, name, extents, kind);
        true
    }

    /// A new device of the pool, and the pool's count of changes before it.
    fn next_device(&mut self, pool: VolumeId) -> (u32, u64) {
        self.last_device += 1;
        let device = self.last_device;
        let Some(pool) = self.pool_mut(pool) else { return (device, 0) };
        pool.space.create(device);
        pool.transaction += 1;
        (device, pool.transaction - 1)
    }

    /// Gives a volume another size: extents of a linear volume and of a pool's data are taken or
    /// given back at the end; a pool does not shrink.
    pub fn resize(&mut self, id: VolumeId, extents: u64) -> Result<(), NoRoom> {
        let Some(old) = self.volume(id).map(|volume| volume.extents) else { return Ok(()) };
        let more = match self.volume(id).map(|volume| &volume.kind) {
            Some(Kind::Linear(_) | Kind::Pool(_)) if extents > old => {
                self.allocate(extents - old, &[])?
            }
            _ => Vec::new(),
        };
        let extent = self.extent;
        let Some(volume) = self.volume_mut(id) else { return Ok(()) };
        let thin = match &mut volume.kind {
            Kind::Linear(segments) => {
                segments.extend(more);
                cut(segments, extents);
                merge(segments);
                None
            }
            Kind::Pool(pool) => {
                pool.data.extend(more);
                merge(&mut pool.data);
                pool.space.grow(extents * extent / pool.chunk);
                pool.refresh();
                None
            }
            Kind::Thin(thin) => Some((thin.pool, thin.device)),
        };
        volume.extents = extents;
        if let Some((pool, device)) = thin
            && let Some(pool) = self.pool_mut(pool)
        {
            pool.space.cut(device, extents * extent / pool.chunk);
        }
        Ok(())
    }

    /// Removes a volume; with a pool, its thin volumes; with the last pool, the spare. Snapshots of
    /// it live on without an origin.
    pub fn remove(&mut self, id: VolumeId) {
        let thins: Vec<VolumeId> = self.thins(id).map(|volume| volume.id).collect();
        for thin in thins {
            self.remove(thin);
        }
        let Some(at) = self.volumes.iter().position(|volume| volume.id == id) else { return };
        let gone = self.volumes.remove(at);
        if let Kind::Thin(thin) = &gone.kind
            && let Some(pool) = self.pool_mut(thin.pool)
        {
            pool.space.delete(thin.device);
            pool.transaction += 1;
        }
        for volume in &mut self.volumes {
            if let Kind::Thin(thin) = &mut volume.kind
                && thin.origin == Some(id)
            {
                thin.origin = None;
            }
        }
        if !self.volumes.iter().any(|volume| matches!(volume.kind, Kind::Pool(_))) {
            self.spare.clear();
        }
    }

    /// `lvconvert --merge`: the snapshot takes the place of its origin, under the origin's name and
    /// as active as that was. The volume that is left has the origin's number. Other snapshots of
    /// the origin have none any more.
    pub fn merge(&mut self, snapshot: VolumeId) -> bool {
        let Some(Kind::Thin(thin)) = self.volume(snapshot).map(|v| v.kind.clone()) else {
            return false;
        };
        let Some(origin) = thin.origin.and_then(|id| self.volume(id)).cloned() else {
            return false;
        };
        let Kind::Thin(before) = origin.kind else { return false };
        let own: Vec<VolumeId> = self.snapshots(snapshot).map(|v| v.id).collect();
        self.remove(origin.id);
        if let Some(volume) = self.volume_mut(snapshot) {
            volume.id = origin.id;
            volume.name = origin.name;
            volume.writable = origin.writable;
            (volume.active, volume.skip, volume.open) = (origin.active, origin.skip, origin.open);
            volume.kind = Kind::Thin(Thin { origin: before.origin, ..thin });
        }
        for id in own {
            if let Some(Kind::Thin(thin)) = self.volume_mut(id).map(|v| &mut v.kind) {
                thin.origin = Some(origin.id);
            }
        }
        true
    }
}

/// Leaves so many extents.
fn cut(segments: &mut Vec<Segment>, mut left: u64) {
    for segment in segments.iter_mut() {
        segment.count = segment.count.min(left);
        left -= segment.count;
    }
    segments.retain(|segment| segment.count > 0);
}

/// Joins runs that touch.
fn merge(segments: &mut Vec<Segment>) {
    segments.dedup_by(|next, last| {
        let touches = last.physical == next.physical && last.start + last.count == next.start;
        if touches {
            last.count += next.count;
        }
        touches
    });
}

//! What lies below DRBD's lower devices: the host's one disk and the logical volumes on it, in one
//! space of addresses.
//!
//! Blocks below [`VOLUMES`] are the disk's own. Above, each logical volume has a range of its own;
//! requests there go through LVM's device mapper and reach the disk as its requests. A host without
//! volumes does exactly what its disk does.

use crate::lvm::{Output, run};
use drbd::page::Page;
use models::SimTime;
use models::disk::{Direction, Disk, DiskError, Done, Kind, Op, Tag};
use models::lvm::dm::{Dm, Effect, Note};
use models::lvm::{Kind as VolumeKind, Lvm, VolumeId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Addresses of logical volumes have this bit.
const VOLUMES: u64 = 1 << 62;
/// Blocks of a volume's range.
const SPAN_BITS: u32 = 34;
/// Requests to the disk that the device mapper made have this bit.
const MAPPED: u64 = 1 << 62;
/// Requests to the device mapper that are a part of a discard have this bit.
const PART: u64 = 1 << 61;

/// The first address of a volume.
pub(crate) fn address(volume: VolumeId) -> u64 {
    VOLUMES | u64::from(volume.0 & 0xf_ffff) << SPAN_BITS
}

/// The volume of an address, and the block in it; `None`: the disk's own.
fn volume_at(address: u64) -> Option<(VolumeId, u64)> {
    let id = (address & !VOLUMES) >> SPAN_BITS;
    (address & VOLUMES != 0).then_some((VolumeId(id as u32), address & ((1 << SPAN_BITS) - 1)))
}

/// A discard that goes on in parts.
struct Discard {
    owner: u64,
    left: u32,
    error: Option<DiskError>,
}

/// The logical volumes of a host.
struct Volumes {
    lvm: Lvm,
    dm: Dm<Page>,
    discards: BTreeMap<u64, Discard>,
    last: u64,
    failing: BTreeMap<VolumeId, (bool, bool)>,
    /// What flushes of the whole disk will commit: owner, pool, mark.
    marks: Vec<(u64, VolumeId, u64)>,
    effects: Vec<Effect<Page>>,
}

/// See the module's text.
pub(crate) struct Below {
    disk: Disk<Page>,
    volumes: Option<Box<Volumes>>,
    done: Vec<Done<Page>>,
}

impl Below {
    pub fn new(disk: Disk<Page>) -> Below {
        Below { disk, volumes: None, done: Vec::new() }
    }

    /// The host has LVM from now on.
    pub fn set_lvm(&mut self, lvm: Lvm) {
        self.volumes = Some(Box::new(Volumes {
            lvm,
            dm: Dm::new(),
            discards: BTreeMap::new(),
            last: 0,
            failing: BTreeMap::new(),
            marks: Vec::new(),
            effects: Vec::new(),
        }));
    }

    pub fn lvm(&self) -> Option<&Lvm> {
        self.volumes.as_ref().map(|volumes| &volumes.lvm)
    }

    pub fn disk(&self) -> &Disk<Page> {
        &self.disk
    }

    pub fn disk_mut(&mut self) -> &mut Disk<Page> {
        &mut self.disk
    }

    /// Runs one of LVM's commands; what waits for room may go on. `open` says which volumes are in
    /// use.
    pub fn run_lvm(
        &mut self,
        now: SimTime,
        argv: &[String],
        open: &dyn Fn(VolumeId) -> bool,
    ) -> Option<Output> {
        let volumes = self.volumes.as_deref_mut()?;
        volumes.lvm.set_open(open);
        // A command that commits a pool's metadata flushes the data first (Linux 5.5): else a
        // volume could find, after a power loss, what another had in the same chunk.
        self.disk.write_back();
        let output = run(&mut volumes.lvm, argv);
        volumes.dm.changed(now, &mut volumes.lvm, &mut volumes.effects);
        self.carry_out(now);
        Some(output)
    }

    /// What pools have said since this was asked last.
    pub fn notes(&mut self) -> Vec<Note> {
        self.volumes.as_mut().map_or_else(Vec::new, |volumes| volumes.dm.notes())
    }

    /// The pools of all thin volumes are made large enough for everything that was promised, as far
    /// as their groups have room.
    pub fn give_room(&mut self, now: SimTime) {
        let Some(volumes) = self.volumes.as_deref_mut() else { return };
        volumes.lvm.give_room();
        volumes.dm.changed(now, &mut volumes.lvm, &mut volumes.effects);
        self.carry_out(now);
    }

    // ---- requests ----

    /// A request whose blocks have addresses; a flush is one of the device that `at` lies in.
    pub fn submit_at(&mut self, now: SimTime, at: u64, owner: u64, op: Op<Page>) {
        match volume_at(at) {
            None => self.submit_for(now, owner, op),
            Some((volume, _)) => self.submit_to(now, volume, owner, op),
        }
    }

    /// A request to the disk itself. A flush of it is one of everything.
    pub fn submit_for(&mut self, now: SimTime, owner: u64, op: Op<Page>) {
        if let (Op::Flush, Some(volumes)) = (&op, self.volumes.as_deref_mut()) {
            let pools = volumes.lvm.groups().flat_map(|group| &group.volumes);
            let mark = |v: &models::lvm::Volume| Some((owner, v.id, v.as_pool()?.space.mark()));
            volumes.marks.extend(pools.filter_map(mark));
        }
        self.disk.submit_for(now, owner, op);
    }

    fn submit_to(&mut self, now: SimTime, volume: VolumeId, owner: u64, op: Op<Page>) {
        let Some(volumes) = self.volumes.as_deref_mut() else { return };
        let within = |start: u64| start & ((1 << SPAN_BITS) - 1);
        let op = match op {
            Op::Read { start, count } => Op::Read { start: within(start), count },
            Op::Write { start, data, preflush, fua } => {
                Op::Write { start: within(start), data, preflush, fua }
            }
            Op::Flush => Op::Flush,
            Op::Discard { start, count } => {
                volumes.discard(now, owner, volume, (within(start), count));
                return self.carry_out(now);
            }
        };
        volumes.dm.submit(now, &mut volumes.lvm, owner, volume, op, &mut volumes.effects);
        self.carry_out(now);
    }

    /// Requests for the disk go to it; completions wait for [`Below::run_due`].
    fn carry_out(&mut self, now: SimTime) {
        let Some(volumes) = self.volumes.as_deref_mut() else { return };
        let mut effects = std::mem::take(&mut volumes.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Disk { number, op } => {
                    self.disk.submit_for(now, number | MAPPED, op);
                }
                Effect::Done { owner, kind, result } => {
                    let done = Done { at: now, tag: Tag(0), owner, kind, result };
                    self.done.extend(volumes.joined(done));
                }
            }
        }
        volumes.effects = effects;
    }

    pub fn next_due(&self) -> Option<SimTime> {
        let disk = self.disk.next_due();
        let Some(volumes) = &self.volumes else { return disk };
        if !self.done.is_empty() {
            return Some(SimTime::ZERO);
        }
        [disk, volumes.dm.next_due()].into_iter().flatten().min()
    }

    pub fn run_due(&mut self, now: SimTime, out: &mut Vec<Done<Page>>) {
        if self.volumes.is_none() {
            return self.disk.run_due(now, out);
        }
        let mut done = Vec::new();
        self.disk.run_due(now, &mut done);
        for done in done {
            match self.volumes.as_deref_mut().filter(|_| is_mapped(done.owner)) {
                Some(volumes) => {
                    let number = done.owner & !MAPPED;
                    let Volumes { dm, lvm, effects, .. } = volumes;
                    dm.below_done(now, lvm, number, done.result, effects);
                }
                None => {
                    self.flushed(done.owner, done.result.is_ok());
                    self.done.push(done);
                }
            }
            self.carry_out(now);
        }
        if let Some(volumes) = self.volumes.as_deref_mut() {
            volumes.dm.run_due(now, &mut volumes.lvm, &mut volumes.effects);
        }
        self.carry_out(now);
        out.append(&mut self.done);
    }

    /// A flush of everything is done: pools have committed what there was.
    fn flushed(&mut self, owner: u64, well: bool) {
        let Some(volumes) = self.volumes.as_deref_mut() else { return };
        let marks = std::mem::take(&mut volumes.marks);
        for (of, pool, mark) in marks {
            if of != owner {
                volumes.marks.push((of, pool, mark));
            } else if let Some(group) = volumes.lvm.home_mut(pool).filter(|_| well)
                && let Some(pool) = group.pool_mut(pool)
            {
                pool.space.commit(mark);
            }
        }
    }

    // ---- life ----

    pub fn power_on(&mut self, now: SimTime) {
        self.disk.power_on(now);
        if let Some(volumes) = &mut self.volumes {
            volumes.lvm.boot();
        }
    }

    pub fn power_off(&mut self, now: SimTime) {
        self.disk.power_off(now);
        self.forget();
    }

    pub fn crash(&mut self, now: SimTime) {
        self.disk.crash(now);
        self.forget();
    }

    fn forget(&mut self) {
        self.done.clear();
        if let Some(volumes) = &mut self.volumes {
            volumes.dm.power_lost();
            volumes.lvm.power_lost();
            volumes.discards.clear();
            volumes.marks.clear();
            volumes.effects.clear();
        }
    }

    // ---- contents and faults, by address ----

    /// Where an address lies on the disk; none: nowhere, it reads as zeroes.
    fn place(&self, at: u64) -> Option<u64> {
        match volume_at(at) {
            None => Some(at),
            Some((volume, block)) => self.lvm()?.place(volume, block),
        }
    }

    pub fn peek(&self, at: u64) -> Page {
        self.place(at).map_or(Page::Zero, |at| self.disk.peek(at))
    }

    pub fn poke(&mut self, at: u64, page: Page) {
        if let (Some((volume, block)), Some(volumes)) = (volume_at(at), &mut self.volumes) {
            volumes.lvm.provision(volume, block);
        }
        if let Some(place) = self.place(at) {
            self.disk.poke(place, page);
        }
    }

    /// Changes what is stored; `false` where nothing is.
    pub fn rot(&mut self, at: u64, change: impl FnOnce(&mut Page)) -> bool {
        let place = self.place(at);
        if let Some(place) = place {
            self.disk.rot(place, change);
        }
        place.is_some()
    }

    pub fn fail_range(&mut self, direction: Direction, start: u64, count: u64) {
        let Some((volume, _)) = volume_at(start) else {
            return self.disk.fail_range(direction, start, count);
        };
        let Some(volumes) = &mut self.volumes else { return };
        let failing = volumes.failing.entry(volume).or_default();
        match direction {
            Direction::Read => failing.0 = true,
            Direction::Write => failing.1 = true,
        }
        volumes.dm.set_failing(volume, failing.0, failing.1);
    }

    pub fn clear_failures(&mut self, direction: Direction) {
        self.disk.clear_failures(direction);
        let Some(volumes) = self.volumes.as_deref_mut() else { return };
        for (volume, failing) in &mut volumes.failing {
            match direction {
                Direction::Read => failing.0 = false,
                Direction::Write => failing.1 = false,
            }
            volumes.dm.set_failing(*volume, failing.0, failing.1);
        }
    }
}

/// Owners of the host's own requests are small numbers, or all bits.
fn is_mapped(owner: u64) -> bool {
    owner & MAPPED != 0 && owner != u64::MAX
}

impl Volumes {
    /// DRBD discards whole chunks and zeroes what is left at both ends (`discard-zeroes-if-aligned
    /// yes`), as a thin volume leaves parts of chunks as they are.
    fn discard(&mut self, now: SimTime, owner: u64, volume: VolumeId, (start, count): (u64, u64)) {
        let chunk = self.lvm.volume(volume).and_then(|of| match &of.kind {
            VolumeKind::Thin(thin) => {
                self.lvm.home(thin.pool)?.pool(thin.pool).map(|pool| pool.chunk_blocks())
            }
            _ => None,
        });
        let chunk = chunk.unwrap_or(1);
        let end = start.saturating_add(count);
        let (low, high) = (start.div_ceil(chunk) * chunk, end / chunk * chunk);
        let zeroes = |from: u64, to: u64| {
            let data: Arc<[Page]> = (from..to).map(|_| Page::Zero).collect();
            (from < to).then_some(Op::Write { start: from, data, preflush: false, fua: false })
        };
        let parts: Vec<Op<Page>> = if low < high {
            let inner = Op::Discard { start: low, count: high - low };
            [zeroes(start, low), Some(inner), zeroes(high, end)].into_iter().flatten().collect()
        } else {
            zeroes(start, end).into_iter().collect()
        };
        self.last += 1;
        let number = self.last;
        let discard = Discard { owner, left: parts.len() as u32, error: None };
        self.discards.insert(number, discard);
        for op in parts {
            self.dm.submit(now, &mut self.lvm, number | PART, volume, op, &mut self.effects);
        }
    }

    /// The completion of a whole request, if this one ends it.
    fn joined(&mut self, done: Done<Page>) -> Option<Done<Page>> {
        if done.owner & PART == 0 || done.owner == u64::MAX {
            return Some(done);
        }
        let number = done.owner & !PART;
        let discard = self.discards.get_mut(&number)?;
        discard.left -= 1;
        if let Err(error) = done.result {
            discard.error.get_or_insert(error);
        }
        if discard.left > 0 {
            return None;
        }
        let Discard { owner, error, .. } = self.discards.remove(&number)?;
        let result = error.map_or_else(|| Ok(Arc::from([])), Err);
        Some(Done { owner, kind: Kind::Discard, result, ..done })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_volumes_are_their_own() {
        let one = address(VolumeId(1));
        assert_eq!(volume_at(one + 7), Some((VolumeId(1), 7)));
        assert_eq!(volume_at(address(VolumeId(2)) - 1).map(|at| at.0), Some(VolumeId(1)));
        assert_eq!(volume_at(7), None);
        assert!(!is_mapped(u64::MAX) && !is_mapped(9) && is_mapped(9 | MAPPED));
    }
}

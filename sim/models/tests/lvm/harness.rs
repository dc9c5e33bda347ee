//! A host's disk with LVM on it, and requests that are driven to their end.

use models::disk::{Disk, DiskError, Kind, Op, Profile};
use models::lvm::dm::{Dm, Effect};
use models::lvm::{Lvm, PoolOptions, VolumeId};
use models::{Luck, SimTime, Span};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What came of a request.
pub type Answer = Result<Arc<[u64]>, DiskError>;

pub const MIB: u64 = 256;
pub const CHUNK: u64 = 16;

pub struct Lab {
    pub now: SimTime,
    pub disk: Disk<u64>,
    pub lvm: Lvm,
    pub dm: Dm<u64>,
    pub done: BTreeMap<u64, (SimTime, Kind, Answer)>,
    numbers: BTreeMap<models::disk::Tag, u64>,
    owners: u64,
}

impl Lab {
    /// One device of so many MiB in the group `vg`.
    pub fn new(seed: u64, mib: u64, profile: Profile<u64>) -> Lab {
        let mut lvm = Lvm::new();
        lvm.add_device("/dev/vda", 0, mib * MIB);
        lvm.create_group("vg", 4 << 20, &["/dev/vda".to_owned()]);
        Lab {
            now: SimTime::ZERO,
            disk: Disk::new(Luck::root(seed), Profile { blocks: mib * MIB, ..profile }),
            lvm,
            dm: Dm::new(),
            done: BTreeMap::new(),
            numbers: BTreeMap::new(),
            owners: 0,
        }
    }

    /// A pool of so many extents, and thin volumes of so many each.
    pub fn pool(&mut self, extents: u64, zero: bool, thins: &[u64]) -> (VolumeId, Vec<VolumeId>) {
        let options =
            PoolOptions { metadata_extents: 1, chunk: 64 << 10, zero, error_when_full: false };
        let pool = self.lvm.next_id();
        let ids: Vec<VolumeId> = thins.iter().map(|_| self.lvm.next_id()).collect();
        let group = self.lvm.group_mut("vg").expect("the group");
        group.create_pool(pool, "tp", extents, &options).expect("room");
        for (index, (id, extents)) in ids.iter().zip(thins).enumerate() {
            group.create_thin(*id, &format!("t{index}"), *extents, pool);
        }
        (pool, ids)
    }

    pub fn submit(&mut self, volume: VolumeId, op: Op<u64>) -> u64 {
        self.owners += 1;
        let mut out = Vec::new();
        self.dm.submit(self.now, &mut self.lvm, self.owners, volume, op, &mut out);
        let early = out.iter().any(|effect| matches!(effect, Effect::Done { .. }));
        assert!(!early, "answered before it was asked");
        self.carry_out(out);
        self.owners
    }

    fn carry_out(&mut self, effects: Vec<Effect<u64>>) {
        for effect in effects {
            match effect {
                Effect::Disk { number, op } => {
                    let tag = self.disk.submit(self.now, op);
                    self.numbers.insert(tag, number);
                }
                Effect::Done { owner, kind, result } => {
                    let twice = self.done.insert(owner, (self.now, kind, result));
                    assert!(twice.is_none(), "request {owner} was answered twice");
                }
            }
        }
    }

    /// Everything that happens until then.
    pub fn run_to(&mut self, until: SimTime) {
        loop {
            let due = [self.disk.next_due(), self.dm.next_due()].into_iter().flatten().min();
            let Some(due) = due.filter(|due| *due <= until) else { break };
            self.now = due;
            let (mut done, mut out) = (Vec::new(), Vec::new());
            self.disk.run_due(due, &mut done);
            for done in done {
                let number = self.numbers.remove(&done.tag).expect("a request of ours");
                self.dm.below_done(due, &mut self.lvm, number, done.result, &mut out);
            }
            self.dm.run_due(due, &mut self.lvm, &mut out);
            self.carry_out(out);
        }
        self.now = until;
    }

    pub fn pass(&mut self, span: Span) {
        self.run_to(self.now + span);
    }

    /// Submits and waits up to a second.
    pub fn ask(&mut self, volume: VolumeId, op: Op<u64>) -> Answer {
        let owner = self.submit(volume, op);
        self.pass(Span::secs(1));
        self.done.remove(&owner).expect("answered within a second").2
    }

    pub fn write(&mut self, volume: VolumeId, start: u64, data: &[u64]) -> Answer {
        self.ask(volume, write(start, data))
    }

    pub fn read(&mut self, volume: VolumeId, start: u64, count: u32) -> Vec<u64> {
        self.ask(volume, Op::Read { start, count }).expect("a read").to_vec()
    }

    /// A command changed something.
    pub fn changed(&mut self) {
        let mut out = Vec::new();
        self.dm.changed(self.now, &mut self.lvm, &mut out);
        self.carry_out(out);
    }

    pub fn power_cycle(&mut self) {
        self.disk.power_off(self.now);
        self.dm.power_lost();
        self.lvm.power_lost();
        self.numbers.clear();
        self.done.clear();
        self.disk.power_on(self.now);
        self.lvm.boot();
    }
}

pub fn write(start: u64, data: &[u64]) -> Op<u64> {
    Op::Write { start, data: data.into(), preflush: false, fua: false }
}

//! What holds under drawn commands, requests and power losses.

use crate::harness::*;
use models::disk::{Op, Profile};
use models::lvm::{Group, Lvm, PoolOptions, VolumeId};
use models::{Luck, Span};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn extents_are_owned_once(group: &Group) {
    let mut seen = BTreeSet::new();
    for segment in group.taken() {
        for extent in segment.start..segment.start + segment.count {
            assert!(extent < group.physical[segment.physical].extents);
            assert!(seen.insert((segment.physical, extent)), "extent {extent} has two owners");
        }
    }
    assert_eq!(group.free() + seen.len() as u64, group.extents());
}

/// Volumes come, grow, shrink and go.
fn commands(seed: u64) {
    let mut luck = Luck::root(seed);
    let mut lvm = Lvm::new();
    lvm.add_device("/dev/vda", 0, 100 * MIB);
    lvm.add_device("/dev/vdb", 100 * MIB, 50 * MIB);
    lvm.create_group("vg", 4 << 20, &["/dev/vda".to_owned(), "/dev/vdb".to_owned()]);
    for step in 0..60 {
        let id = lvm.next_id();
        let group = lvm.group_mut("vg").expect("the group");
        let some: Vec<VolumeId> = group.volumes.iter().map(|v| v.id).collect();
        let one = luck.pick(&some).copied();
        let extents = luck.range(1..=12);
        let name = format!("v{step}");
        match (luck.below(6), one) {
            (0, _) => {
                let _ = group.create_linear(id, &name, extents, &[]);
            }
            (1, _) => {
                let zero = luck.coin();
                let options = PoolOptions {
                    metadata_extents: 1,
                    chunk: 64 << 10,
                    zero,
                    error_when_full: false,
                };
                let _ = group.create_pool(id, &name, extents, &options);
            }
            (2, Some(one)) if group.pool(one).is_some() => {
                group.create_thin(id, &name, extents, one);
            }
            (2 | 3, Some(one)) => {
                group.create_snapshot(id, &name, one);
            }
            (4, Some(one)) => {
                let pool = group.pool(one).is_some();
                let old = group.volume(one).map_or(0, |v| v.extents);
                let _ = group.resize(one, if pool { old + extents } else { extents });
            }
            (_, Some(one)) if luck.coin() => group.remove(one),
            _ => {}
        }
        extents_are_owned_once(group);
    }
}

/// What a thin volume must hold, by block: the contents that a reader may see.
type Model = BTreeMap<u64, Vec<u64>>;

struct Storm {
    lab: Lab,
    luck: Luck,
    pool: VolumeId,
    /// By volume: what was acknowledged last, and since the last flush.
    volumes: Vec<(VolumeId, Model)>,
    next: u64,
}

const BLOCKS: u64 = 2 * 1024;

impl Storm {
    fn new(seed: u64) -> Storm {
        let mut luck = Luck::root(seed).fork("storm");
        let profile = if luck.coin() { Profile::nvme(0) } else { Profile::protected(0) };
        let mut lab = Lab::new(seed, 64, profile);
        let (pool, thins) = lab.pool(4, true, &[2, 2]);
        let volumes = thins.into_iter().map(|id| (id, Model::new())).collect();
        Storm { lab, luck, pool, volumes, next: 0 }
    }

    fn act(&mut self) {
        let of = self.luck.below(self.volumes.len() as u64) as usize;
        match self.luck.below(100) {
            0..=59 => self.write(of),
            60..=79 => self.compare(of),
            80..=89 => self.flush(of),
            90..=94 => self.discard(of),
            95..=96 if self.volumes.len() < 6 => self.snapshot(of),
            97 if self.volumes.len() > 2 => {
                // As LVM does it: the pool flushes before it commits that the volume is gone.
                self.flush(of);
                let (id, _) = self.volumes.remove(of.max(2));
                self.lab.lvm.group_mut("vg").expect("the group").remove(id);
                self.lab.changed();
            }
            98 => self.power_loss(),
            _ => self.lab.pass(Span::ms(300)),
        }
        let group = self.lab.lvm.group("vg").expect("the group");
        let pool = group.pool(self.pool).expect("the pool");
        assert!(pool.space.used() <= pool.space.chunks());
    }

    fn range(&mut self, most: u64) -> (u64, u64) {
        // Few places, so that chunks are met again.
        let start = self.luck.below(12) * CHUNK * 3 + self.luck.below(CHUNK);
        (start, self.luck.range(1..=most).min(BLOCKS - start))
    }

    fn write(&mut self, of: usize) {
        let (start, count) = self.range(40);
        self.next += 1;
        let (id, next) = (self.volumes[of].0, self.next);
        let fua = self.luck.chance(100_000);
        let data: Vec<u64> = vec![next; count as usize];
        let op = Op::Write { start, data: data.into(), preflush: fua && self.luck.coin(), fua };
        let answer = self.lab.ask(id, op);
        assert!(answer.is_ok(), "the pool has room for all: {answer:?}");
        for block in start..start + count {
            let may = self.volumes[of].1.entry(block).or_insert_with(|| vec![0]);
            if fua {
                may.clear();
            }
            may.push(next);
        }
    }

    fn discard(&mut self, of: usize) {
        let (start, count) = self.range(60);
        let id = self.volumes[of].0;
        self.lab.ask(id, Op::Discard { start, count }).expect("discarded");
        let whole = start.div_ceil(CHUNK) * CHUNK..(start + count) / CHUNK * CHUNK;
        for block in whole {
            self.volumes[of].1.entry(block).or_insert_with(|| vec![0]).push(0);
        }
    }

    fn flush(&mut self, of: usize) {
        let id = self.volumes[of].0;
        self.lab.ask(id, Op::Flush).expect("flushed");
        // One disk: a flush of one volume is one of all.
        self.settle();
    }

    fn settle(&mut self) {
        for may in self.volumes.iter_mut().flat_map(|(_, model)| model.values_mut()) {
            may.drain(..may.len() - 1);
        }
    }

    fn snapshot(&mut self, of: usize) {
        // As LVM does it: the origin is flushed first.
        self.flush(of);
        let id = self.lab.lvm.next_id();
        let origin = self.volumes[of].0;
        let group = self.lab.lvm.group_mut("vg").expect("the group");
        assert!(group.create_snapshot(id, &format!("s{}", id.0), origin));
        let model = self.volumes[of].1.clone();
        self.volumes.push((id, model));
    }

    /// Without a power loss, a reader sees the last.
    fn compare(&mut self, of: usize) {
        let (start, count) = self.range(60);
        let id = self.volumes[of].0;
        let found = self.lab.read(id, start, count as u32);
        for (block, found) in (start..).zip(found) {
            let last = self.volumes[of].1.get(&block).and_then(|may| may.last()).copied();
            assert_eq!(found, last.unwrap_or(0), "volume {of}, block {block}");
        }
    }

    fn power_loss(&mut self) {
        let writes = self.luck.below(4);
        for _ in 0..writes {
            let (start, count) = self.range(20);
            self.next += 1;
            let of = self.luck.below(self.volumes.len() as u64) as usize;
            let data = vec![self.next; count as usize];
            self.lab.submit(self.volumes[of].0, write(start, &data));
            for block in start..start + count {
                let may = self.volumes[of].1.entry(block).or_insert_with(|| vec![0]);
                may.push(self.next);
            }
        }
        let span = self.luck.exponential(Span::us(300));
        self.lab.pass(span);
        self.lab.power_cycle();
        for of in 0..self.volumes.len() {
            let id = self.volumes[of].0;
            let found = self.lab.read(id, 0, BLOCKS as u32);
            for (block, found) in (0..).zip(found) {
                let model = &mut self.volumes[of].1;
                let may = model.remove(&block).unwrap_or_else(|| vec![0]);
                assert!(may.contains(&found), "volume {of}, block {block}: {found} of {may:?}");
                model.insert(block, vec![found]);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn an_extent_has_one_owner(seed: u64) {
        commands(seed);
    }

    #[test]
    fn thin_volumes_hold_what_was_written(seed: u64) {
        let mut storm = Storm::new(seed);
        for _ in 0..300 {
            storm.act();
        }
    }
}

//! Linear volumes and extents.

use crate::harness::*;
use models::disk::{DiskError, Op, Profile};
use models::lvm::NoRoom;

#[test]
fn a_linear_volume_over_a_gap_reads_what_was_written() {
    let mut lab = Lab::new(1, 64, Profile::nvme(0));
    let ids: Vec<_> = (0..3).map(|_| lab.lvm.next_id()).collect();
    let group = lab.lvm.group_mut("vg").expect("the group");
    assert_eq!(group.extents(), 15);
    group.create_linear(ids[0], "a", 2, &[]).expect("room");
    group.create_linear(ids[1], "b", 2, &[]).expect("room");
    group.resize(ids[0], 4).expect("room");
    assert_eq!(group.create_linear(ids[2], "c", 10, &[]), Err(NoRoom { free: 9 }));
    // Block 2047 is the last of the first run, 2048 the first behind the gap.
    let data: Vec<u64> = (100..108).collect();
    lab.write(ids[0], 2044, &data).expect("written");
    assert_eq!(lab.read(ids[0], 2043, 10), [0, 100, 101, 102, 103, 104, 105, 106, 107, 0]);
    assert_eq!(lab.read(ids[1], 0, 1), [0]);
    assert_eq!(lab.lvm.place(ids[0], 2048).map(|at| lab.disk.peek(at)), Some(104));
    assert_eq!(lab.lvm.place(ids[0], 4096), None);
    let beyond = lab.ask(ids[0], Op::Read { start: 4095, count: 2 });
    assert_eq!(beyond, Err(DiskError::OutOfRange));
}

#[test]
fn a_volume_without_a_device_is_offline() {
    let mut lab = Lab::new(2, 64, Profile::nvme(0));
    let (pool, thin) = lab.pool(4, true, &[8]);
    lab.write(thin[0], 0, &[7]).expect("written");
    let group = lab.lvm.group_mut("vg").expect("the group");
    group.volume_mut(thin[0]).expect("the volume").active = false;
    assert_eq!(lab.write(thin[0], 0, &[8]), Err(DiskError::Offline));
    assert_eq!(lab.write(pool, 0, &[8]), Err(DiskError::Offline));
    lab.lvm.boot();
    assert_eq!(lab.read(thin[0], 0, 1), [7]);
    lab.lvm.group_mut("vg").expect("the group").remove(thin[0]);
    assert_eq!(lab.write(thin[0], 0, &[8]), Err(DiskError::Offline));
}

#[test]
fn a_read_only_volume_and_a_failing_one() {
    let mut lab = Lab::new(3, 64, Profile::nvme(0));
    let (_, thin) = lab.pool(4, true, &[8]);
    lab.dm.set_failing(thin[0], true, false);
    assert_eq!(lab.ask(thin[0], Op::Read { start: 0, count: 1 }), Err(DiskError::Io));
    lab.write(thin[0], 0, &[1]).expect("writes do not fail");
    lab.dm.set_failing(thin[0], false, false);
    let group = lab.lvm.group_mut("vg").expect("the group");
    group.volume_mut(thin[0]).expect("the volume").writable = false;
    assert_eq!(lab.write(thin[0], 0, &[2]), Err(DiskError::Io));
    assert_eq!(lab.read(thin[0], 0, 1), [1]);
}

#[test]
fn a_merged_snapshot_is_its_origin_as_it_was() {
    let mut lab = Lab::new(4, 64, Profile::nvme(0));
    let (_, thin) = lab.pool(4, true, &[8]);
    lab.write(thin[0], 0, &[1; 20]).expect("written");
    let snapshot = lab.lvm.next_id();
    let group = lab.lvm.group_mut("vg").expect("the group");
    assert!(group.create_snapshot(snapshot, "s", thin[0]));
    lab.write(thin[0], 3, &[2; 4]).expect("written");
    assert_eq!(lab.read(snapshot, 2, 3), [1, 1, 1]);
    assert_eq!(lab.read(thin[0], 2, 6), [1, 2, 2, 2, 2, 1]);
    assert!(lab.lvm.group_mut("vg").expect("the group").merge(snapshot));
    assert_eq!(lab.read(thin[0], 2, 6), [1; 6]);
    let group = lab.lvm.group("vg").expect("the group");
    assert_eq!(group.volumes.iter().map(|v| v.name.as_str()).collect::<Vec<_>>(), ["tp", "t0"]);
}

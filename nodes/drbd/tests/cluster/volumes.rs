//! Resources with more than one volume, and resources that grow while they run.

use crate::cluster::{Cluster, FIRST, V, configs, id};
use crate::disk::Loss;
use drbd::core::config::{Config, PeerConfig, VolumeConfig};
use drbd::core::event::{Command, Refusal};
use drbd::ids::VolumeNumber;
use drbd::packet::Stream;
use drbd::page::Page;
use drbd::state::{ConnState, DiskState, ReplState};

/// The second volume.
const W: VolumeNumber = VolumeNumber(1);

/// Nodes with two volumes, of which each has a disk or not, connected and idle.
fn two_volumes(diskful: &[[bool; 2]]) -> Cluster {
    let any: Vec<bool> = diskful.iter().map(|volumes| volumes.contains(&true)).collect();
    let mut all = configs(&any);
    for (config, volumes) in all.iter_mut().zip(diskful) {
        let volume =
            |diskful: &bool| VolumeConfig { size: crate::cluster::SIZE, diskful: *diskful };
        config.volumes = volumes.iter().map(volume).collect();
    }
    let mut c = Cluster::new(all);
    (0..diskful.len()).for_each(|n| c.boot(n));
    c.settle();
    c
}

fn quorum(c: &Cluster, n: usize) -> [bool; 2] {
    [V, W].map(|volume| c.engine(n).volume(volume).expect("a volume").quorum)
}

fn disks(c: &Cluster, n: usize) -> [DiskState; 2] {
    [V, W].map(|volume| c.engine(n).volume(volume).expect("a volume").disk)
}

/// Goal: all volumes lose quorum together, and have it back together (quorum-multi-volume).
/// Topology: three copies of two volumes. Method: the Primary is isolated, the others go on, all
/// meet again.
#[test]
fn all_volumes_lose_quorum_together() {
    let mut c = two_volumes(&[[true; 2]; 3]);
    c.promote(0);
    for volume in [V, W] {
        let write = c.write_on(0, volume, 1, 1);
        assert!(c.wait(0, write).result.is_ok());
    }
    c.isolate(0);
    c.settle();
    assert_eq!(quorum(&c, 0), [false; 2]);
    assert!(c.engine(0).is_suspended());
    let held = [V, W].map(|volume| c.write_on(0, volume, 2, 2));
    c.run_ms(5_000);
    assert!(held.iter().all(|write| c.done(0, *write).is_none()));
    assert_eq!([quorum(&c, 1), quorum(&c, 2)], [[true; 2]; 2]);
    c.mend_all();
    c.settle();
    assert_eq!(quorum(&c, 0), [true; 2]);
    for (volume, write) in [V, W].into_iter().zip(held) {
        assert!(c.wait(0, write).result.is_ok());
        assert!((0..3).all(|n| c.data_of(n, volume, 2) == Page::Stamp(2)));
    }
}

/// Goal: the volumes have one order of writes: the survivor that followed the lost Primary further
/// is the source of both. Topology: three copies of two volumes. Method: the second survivor misses
/// the last writes, to one volume each.
#[test]
fn volumes_have_one_order_of_writes() {
    for missed in [1, 2] {
        let mut c = two_volumes(&[[true; 2]; 3]);
        c.promote(0);
        let first = c.write_on(0, V, 1, 1);
        c.wait(0, first);
        c.settle();
        let volumes = [V, W];
        for (step, volume) in volumes.into_iter().enumerate() {
            if step + missed == 2 {
                c.hold((0, 2, Stream::Data));
            }
            c.write_on(0, volume, 5, 50 + step as u64);
            c.run_ms(20);
        }
        c.power_loss(0, Loss::Everything, 0);
        c.release((0, 2, Stream::Data));
        c.settle();
        for (step, volume) in volumes.into_iter().enumerate() {
            let newest = Page::Stamp(50 + step as u64);
            assert_eq!(c.data_of(1, volume, 5), newest, "missed {missed}");
            assert_eq!(c.data_of(2, volume, 5), newest, "missed {missed}:\n{}", c.status());
        }
        c.promote(2);
        c.boot(0);
        c.settle();
        assert!((0..3).all(|n| disks(&c, n) == [DiskState::UpToDate; 2]), "{}", c.status());
    }
}

/// A node may have a disk for one volume only; detaching one leaves the other.
#[test]
fn volumes_have_disks_of_their_own() {
    let mut c = two_volumes(&[[true, true], [true, true], [true, true]]);
    c.promote(2);
    assert_eq!(c.told(1, Command::Detach(W, false)), Ok(()));
    assert_eq!(disks(&c, 1), [DiskState::UpToDate, DiskState::Diskless]);
    for (volume, value) in [(V, 3), (W, 4)] {
        let write = c.write_on(2, volume, 9, value);
        assert!(c.wait(2, write).result.is_ok());
    }
    assert_eq!((c.data_of(1, V, 9), c.data_of(1, W, 9)), (Page::Stamp(3), Page::Zero));
    let attach = Command::Attach(W, c.nodes[1].lower_blocks);
    assert_eq!(c.told(1, attach), Ok(()));
    c.settle();
    assert_eq!(disks(&c, 1), [DiskState::UpToDate; 2]);
    assert_eq!(c.data_of(1, W, 9), Page::Stamp(4));
    assert!(c.resynced[&1] <= 2, "one block, from either copy: {:?}", c.resynced);
}

/// A cluster of which the last node is not there yet, and nobody knows of it; and what it will be.
fn growing(diskful: &[bool]) -> (Cluster, Vec<Config>) {
    let all = configs(diskful);
    let last = diskful.len() - 1;
    let mut now = all.clone();
    now[..last].iter_mut().for_each(|config| config.peers.retain(|p| p.node != id(last)));
    let mut c = Cluster::new(now);
    (0..last).for_each(|n| c.boot(n));
    c.settle();
    (c, all)
}

/// Goal: a peer is added to a resource that is up and written to; with a disk it gets what was
/// written since day0, without one it reads. Topology: two copies, and one node more. Method:
/// `new-peer` and `connect` while the Primary writes; then the new node outlives the others.
#[test]
fn a_peer_is_added_while_the_resource_runs() {
    for has_disk in [true, false] {
        let (mut c, all) = growing(&[true, true, has_disk]);
        c.promote(0);
        (0..5u64).for_each(|block| assert!(c.put(0, block * 100, 7).len() == 2));
        let peer = all[0].peers.iter().find(|peer| peer.node == id(2)).expect("it").clone();
        for n in 0..2 {
            assert_eq!(c.told(n, Command::NewPeer(peer.clone())), Ok(()));
            assert_eq!(c.told(n, Command::NewPeer(peer.clone())), Err(Refusal::InvalidRequest));
        }
        assert!(c.quorum(0), "two of three");
        c.put(0, 1000, 8);
        c.boot(2);
        for n in 0..2 {
            c.command(n, Command::Connect(id(2)));
        }
        c.put(0, 1001, 9);
        c.settle();
        c.assert_all_good();
        if has_disk {
            assert!((6..=7).contains(&c.resynced[&2]), "{:?}", c.resynced);
            assert_eq!(c.data(2, 400), Page::Stamp(7));
        }
        c.close(0);
        c.settle();
        c.promote(2);
        assert_eq!(c.read(2, 1001), Page::Stamp(9));
        c.put(2, 1002, 10);
        c.crash(0);
        c.settle();
        assert!(c.quorum(2), "{}", c.status());
        c.boot(0);
        c.command(0, Command::NewPeer(peer.clone()));
        c.run_ms(1);
        c.command(0, Command::Connect(id(2)));
        c.settle();
        c.assert_all_good();
    }
}

/// No peer beyond the bitmap slots, none with the node's own id.
#[test]
fn a_peer_needs_a_bitmap_slot() {
    let mut all = configs(&[true, true, true]);
    all.iter_mut().for_each(|config| config.max_peers = 1);
    all[0].peers.retain(|peer| peer.node == id(1));
    all[1].peers.retain(|peer| peer.node == id(0));
    let mut c = Cluster::new(all);
    (0..2).for_each(|n| c.boot(n));
    c.settle();
    let peer = |node, diskful| PeerConfig { node, name: "more".to_owned(), diskful };
    let told = |c: &mut Cluster, node: usize, diskful| {
        c.told(0, Command::NewPeer(peer(id(node), diskful)))
    };
    assert_eq!(told(&mut c, 2, true), Err(Refusal::InvalidRequest));
    assert_eq!(told(&mut c, 0, true), Err(Refusal::InvalidPeerNodeId));
    assert_eq!(told(&mut c, 2, false), Ok(()), "without a disk it needs none");
    assert_eq!(c.conn(0, 2), ConnState::StandAlone);
    assert_eq!(c.repl(0, 1), ReplState::Established);
    assert!(c.view(0).current.same(FIRST));
}

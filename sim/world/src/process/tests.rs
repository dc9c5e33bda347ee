//! The machines alone, over two hosts. What programs see of them is in the door's conformance
//! cases; here is what only the simulator sees and does.

mod chaos;
mod commands;
mod faults;
mod lives;

use super::*;
use bytes::Bytes;
use env::{
    hooks::Pid,
    process::ExitCode,
    time::{self, Duration},
};
use models::{Span, disk::Profile, net::NetworkSettings};
use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::AtomicU64},
};

const ALPHA: HostIx = HostIx(0);
const BRAVO: HostIx = HostIx(1);
const DISK: &str = "/dev/sda";

type World = Machines<Bytes>;

fn addr(host: HostIx, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::from([10, 0, 0, host.0 as u8 + 1]), port)
}

/// Two hosts, alpha and bravo, up and joined, each with a disk.
fn pair<P: Payload>(world: &Machines<P>) -> DiskIx {
    let network = world.add_network(NetworkSettings::default());
    let mut disk = DiskIx(0);
    for name in ["alpha", "bravo"] {
        let mut setup = HostSetup::new(name);
        setup.profile.boot = Span::secs(5)..=Span::secs(9);
        let host = world.add_host(setup);
        world.add_nic(host, network, 0, addr(host, 0).ip());
        disk = world.add_disk(host, DISK, Profile::nvme(256));
        world.begin(host);
    }
    disk
}

fn run<F: Future>(seed: u64, scenario: impl FnOnce(Arc<World>) -> F) -> F::Output {
    simulate(seed, |world: Arc<World>| {
        pair(&world);
        scenario(world)
    })
}

async fn pause(ms: u64) {
    time::sleep(Duration::from_millis(ms)).await;
}

/// A program that counts how often it has slept 10 ms.
fn add_counter(world: &World) -> Arc<AtomicU64> {
    let count = Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    world.add_program("counter", move |_| {
        let counted = counted.clone();
        async move {
            let mut ticks = time::interval(Duration::from_millis(10));
            loop {
                ticks.tick().await;
                counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
    });
    count
}

fn started(world: &World, host: HostIx, program: &str) -> Pid {
    world.start(host, program, &[]).unwrap()
}

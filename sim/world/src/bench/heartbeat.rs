//! `heartbeat-5`: five hosts, each sending ten UDP heartbeats a second to each other host and
//! writing 4 KiB a second to its disk, with latencies of 1 to 10 ms. On our world, with all models,
//! hash and host clocks on, and on madsim's own network, which is what it is compared with.

use crate::process::{HostSetup, Machines, simulate};
use bytes::Bytes;
use env::{
    block::{Access, BLOCK, BlockDevice},
    hooks::madsim,
    net::UdpSocket as Udp,
    process::ExitCode,
    task, time,
};
use models::{Span, disk::Profile, net::NetworkSettings};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

const HOSTS: u8 = 5;
const PORT: u16 = 694;
const BEAT: Duration = Duration::from_millis(100);
const WRITE: Duration = Duration::from_secs(1);
/// What a heartbeat carries.
const LEN: usize = 64;
const DISK: &str = "/dev/sda";

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Simulated seconds.
    pub sim_s: f64,
    /// CPU seconds of this thread.
    pub cpu_s: f64,
    /// Heartbeats received.
    pub received: u64,
    /// Hash over all events; 0 where there is none.
    pub hash: u64,
}

impl Measured {
    /// Simulated seconds per CPU second.
    pub fn speed(&self) -> f64 {
        self.sim_s / self.cpu_s.max(1e-9)
    }
}

/// Runs `work`, which returns how many heartbeats came and the hash, for so many simulated seconds.
fn measure(seconds: u64, work: impl FnOnce() -> (u64, u64)) -> Measured {
    let before = thread_cpu_s();
    let (received, hash) = work();
    let cpu_s = thread_cpu_s() - before;
    // A load that is not carried is not fast. Missing are those of the first moments and the last.
    let due = seconds * 10 * u64::from(HOSTS) * u64::from(HOSTS - 1);
    assert!(received + due / 50 + 400 >= due, "{received} of {due} heartbeats arrived");
    Measured { sim_s: seconds as f64, cpu_s, received, hash }
}

fn thread_cpu_s() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

fn address(host: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, host + 1])
}

fn socket(host: u8) -> SocketAddr {
    SocketAddr::new(address(host), PORT)
}

/// The load on our world.
pub fn world(seconds: u64) -> Measured {
    measure(seconds, || {
        simulate(1, move |world: Arc<Machines<Bytes>>| async move {
            let latency = Span::ms(1)..=Span::ms(10);
            let network = world.add_network(NetworkSettings { latency, ..Default::default() });
            let received = Arc::new(AtomicU64::new(0));
            let count = received.clone();
            world.add_program("heartbeat", move |args| node(args, count.clone()));
            for host in 0..HOSTS {
                // Clocks that drift, each its own way: the price of host clocks is in the measure.
                let drift_ppm = 20 - 10 * i32::from(host);
                let setup = HostSetup { drift_ppm, ..HostSetup::new(&format!("host-{host}")) };
                let ix = world.add_host(setup);
                world.add_nic(ix, network, 1_000_000_000, address(host));
                world.add_disk(ix, DISK, Profile::nvme(1 << 16));
                world.begin(ix);
                let started = world.start(ix, "heartbeat", &[&host.to_string()]);
                assert!(started.is_ok(), "{started:?}");
            }
            time::sleep(Duration::from_secs(seconds)).await;
            assert!(world.take_ended().is_empty(), "a node of the load died");
            (received.load(Ordering::Relaxed), world.hash())
        })
    })
}

async fn node(args: Vec<String>, received: Arc<AtomicU64>) -> ExitCode {
    let host = args.first().and_then(|arg| arg.parse().ok()).unwrap_or(0);
    match beat(host, received).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

async fn beat(host: u8, received: Arc<AtomicU64>) -> io::Result<()> {
    let udp = Arc::new(Udp::bind(socket(host)).await?);
    let ears = udp.clone();
    task::spawn(async move {
        let mut buf = [0; 1500];
        while ears.recv_from(&mut buf).await.is_ok() {
            received.fetch_add(1, Ordering::Relaxed);
        }
    })
    .detach();
    let device = BlockDevice::open(DISK, Access::ReadWriteExclusive).await?;
    task::spawn(async move {
        let data = Bytes::from(vec![host + 1; BLOCK as usize]);
        let mut writes = time::interval(WRITE);
        for block in 0.. {
            writes.tick().await;
            if device.write_at(block % 1024 * BLOCK, data.clone()).await.is_err() {
                return;
            }
        }
    })
    .detach();
    let mut beats = time::interval(BEAT);
    loop {
        beats.tick().await;
        for peer in (0..HOSTS).filter(|peer| *peer != host) {
            udp.send_to(&[host; LEN], socket(peer)).await?;
        }
    }
}

/// The load on madsim's own network and files.
pub fn netsim(seconds: u64) -> Measured {
    measure(seconds, || {
        let mut config = madsim::Config::default();
        config.net.send_latency = Duration::from_millis(1)..Duration::from_millis(10);
        let runtime = madsim::runtime::Runtime::with_seed_and_config(1, config);
        let received = Arc::new(AtomicU64::new(0));
        for host in 0..HOSTS {
            let node = runtime.create_node().ip(address(host)).build();
            node.spawn(netsim_node(host, received.clone()));
        }
        runtime.block_on(async { madsim::time::sleep(Duration::from_secs(seconds)).await });
        (received.load(Ordering::Relaxed), 0)
    })
}

async fn netsim_node(host: u8, received: Arc<AtomicU64>) -> io::Result<()> {
    use madsim::net::UdpSocket as NetSimUdp;
    let udp = Arc::new(NetSimUdp::bind(socket(host)).await?);
    let ears = udp.clone();
    madsim::task::spawn(async move {
        let mut buf = [0; 1500];
        while ears.recv_from(&mut buf).await.is_ok() {
            received.fetch_add(1, Ordering::Relaxed);
        }
    });
    madsim::task::spawn(async move {
        let file = madsim::fs::File::create("disk").await?;
        let mut writes = madsim::time::interval(WRITE);
        for block in 0.. {
            writes.tick().await;
            file.write_all_at(&[host + 1; BLOCK as usize], block % 1024 * BLOCK).await?;
        }
        io::Result::Ok(())
    });
    let mut beats = madsim::time::interval(BEAT);
    loop {
        beats.tick().await;
        for peer in (0..HOSTS).filter(|peer| *peer != host) {
            udp.send_to(socket(peer), &[host; LEN]).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_is_carried_and_the_same_each_time() {
        let (a, b) = (world(10), world(10));
        assert_eq!((a.received, a.hash), (b.received, b.hash));
        assert!(netsim(10).received > 1_900);
    }
}

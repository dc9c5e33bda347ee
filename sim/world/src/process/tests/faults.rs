//! Faults of hosts and disks as programs meet them, and sockets that no process owns.

use super::*;
use env::{
    block::{Access, BlockDevice},
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};
use models::{
    disk::Direction,
    net::{HostId, NetWhat},
};
use std::{
    io::{self, ErrorKind},
    sync::Mutex,
};

/// Runs `work` as a process on bravo and returns what it says.
async fn on_bravo<T, F>(world: &World, work: impl Fn() -> F + Send + Sync + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let said = Arc::new(Mutex::new(None));
    let saying = said.clone();
    world.add_program("work", move |_| {
        let (work, saying) = (work(), saying.clone());
        async move {
            let result = work.await;
            *saying.lock().unwrap() = Some(result);
            ExitCode::SUCCESS
        }
    });
    let pid = started(world, BRAVO, "work");
    while world.lives(pid) {
        pause(10).await;
    }
    said.lock().unwrap().take().expect("the work ended before it was done")
}

async fn write_and_flush() -> io::Result<()> {
    let device = BlockDevice::open(DISK, Access::ReadWriteExclusive).await?;
    device.write_at(0, Bytes::from(vec![1; 4096])).await?;
    device.flush().await
}

#[test]
fn errors_of_a_disk_reach_the_program() {
    simulate(1, |world: Arc<World>| async move {
        let disk = pair(&world);
        assert!(on_bravo(&world, write_and_flush).await.is_ok());
        world.disk(disk, |disk, _| disk.fail_range(Direction::Write, 0, 1));
        let error = on_bravo(&world, write_and_flush).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(5));
        world.disk(disk, |disk, _| disk.clear_failures(Direction::Write));
        world.disk(disk, |disk, _| disk.set_offline(true));
        let error = on_bravo(&world, write_and_flush).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(19));
        world.disk(disk, |disk, _| disk.set_offline(false));
        // A stall delays, and costs no error.
        let until = world.now() + Span::secs(3);
        world.disk(disk, |disk, now| disk.stall(now, until));
        assert!(on_bravo(&world, write_and_flush).await.is_ok());
        assert!(world.now() >= until);
    });
}

#[test]
fn errors_of_files_reach_the_program() {
    run(2, |world| async move {
        let write = || env::file::write("/etc/conf", Bytes::from_static(b"x"));
        assert!(on_bravo(&world, write).await.is_ok());
        world.fail_files(BRAVO, Some(ErrorKind::StorageFull));
        let error = on_bravo(&world, write).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        world.fail_files(BRAVO, None);
        assert!(on_bravo(&world, write).await.is_ok());
    });
}

/// A crash of the kernel is as silent as power loss, but the disk keeps what it had cached.
#[test]
fn after_a_crash_the_disk_has_its_cache() {
    simulate(3, |world: Arc<World>| async move {
        let disk = pair(&world);
        let write = || async {
            let device = BlockDevice::open(DISK, Access::ReadWriteExclusive).await?;
            device.write_at(0, Bytes::from(vec![9; 4096])).await
        };
        on_bravo(&world, write).await.unwrap();
        world.crash(BRAVO);
        pause(30_000).await;
        assert_eq!(world.host_state(BRAVO), models::host::HostState::Up);
        assert_eq!(world.disk(disk, |disk, _| disk.peek(0)).bytes(), [9; 4096]);
    });
}

/// What is under /run is gone after a boot, what was only cached may be, what was synced stays.
#[test]
fn files_after_a_boot() {
    run(4, |world| async move {
        let write = || async {
            for path in ["/run/state", "/etc/conf"] {
                env::file::write(path, Bytes::from_static(b"x")).await?;
            }
            env::file::write_cached("/var/lib/aged", Bytes::from_static(b"x")).await?;
            // Longer than the page cache holds back.
            pause(40_000).await;
            io::Result::Ok(())
        };
        on_bravo(&world, write).await.unwrap();
        world.power_off(BRAVO);
        world.power_on(BRAVO);
        pause(20_000).await;
        let read = || async {
            let mut there = Vec::new();
            for path in ["/run/state", "/etc/conf", "/var/lib/aged"] {
                there.push(env::file::read(path).await.is_ok());
            }
            there
        };
        assert_eq!(on_bravo(&world, read).await, [false, true, true]);
    });
}

/// What was only cached is sometimes lost with power and sometimes not; what was synced never is.
#[test]
fn cached_files_are_lost_by_a_draw() {
    run(8, |world| async move {
        let mut lost = 0;
        for round in 0..10 {
            let write = move || async move {
                let path = format!("/etc/{round}");
                env::file::write_cached(&path, Bytes::from_static(b"x")).await
            };
            on_bravo(&world, write).await.unwrap();
            world.power_off(BRAVO);
            world.power_on(BRAVO);
            pause(10_000).await;
            let read = move || async move { env::file::read(&format!("/etc/{round}")).await };
            lost += u32::from(on_bravo(&world, read).await.is_err());
        }
        assert!((1..=9).contains(&lost), "{lost} of 10 were lost");
    });
}

/// A host with a fast clock wakes early in true time, and believes that it did not.
#[test]
fn a_drifting_clock_sleeps_by_its_own_time() {
    run(5, |world| async move {
        world.set_drift(BRAVO, 100_000);
        let nap = || async {
            let before = (time::now(), time::wall());
            time::sleep(Duration::from_secs(11)).await;
            (time::now() - before.0, time::wall() - before.1)
        };
        let before = world.now();
        let (mono, wall) = on_bravo(&world, nap).await;
        let took = (world.now() - before).as_millis();
        assert!((10_000..10_030).contains(&took), "{took} ms of true time");
        let error = mono.abs_diff(Duration::from_secs(11));
        assert!(error < Duration::from_micros(1), "its own clock was off by {error:?}");
        assert!(wall.abs_diff(mono) < Duration::from_micros(1));
    });
}

/// The kernel of a host that stands still acknowledges nothing; the sender's timeout decides.
#[test]
fn a_frozen_host_is_silent_and_comes_back() {
    run(6, |world| async move {
        world.add_program("echo", |_| async {
            let listener = TcpListener::bind(addr(BRAVO, 7)).await.unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buf = [0; 16];
            while let Ok(n @ 1..) = stream.read(&mut buf).await {
                stream.write_all(&buf[..n]).await.unwrap();
            }
            ExitCode::SUCCESS
        });
        world.add_program("client", |_| async {
            let mut stream = TcpStream::connect(addr(BRAVO, 7)).await.unwrap();
            pause(1_000).await;
            stream.write_all(b"x").await.unwrap();
            let early = time::timeout(Duration::from_secs(3), stream.read(&mut [0; 1])).await;
            assert!(early.is_err(), "the frozen host answered");
            let late = time::timeout(Duration::from_secs(20), stream.read(&mut [0; 1])).await;
            assert_eq!(late.unwrap().unwrap(), 1);
            ExitCode(8)
        });
        started(&world, BRAVO, "echo");
        pause(50).await;
        let client = started(&world, ALPHA, "client");
        pause(500).await;
        world.freeze(BRAVO, world.now() + Span::secs(6));
        while world.lives(client) {
            pause(100).await;
        }
        let ended = world.take_ended();
        let end = ended.iter().find(|e| e.pid == client).unwrap();
        assert_eq!(end.status, env::exec::ExitStatus::Code(8), "{:?}", world.panics());
    });
}

/// What the network carries here: bytes of processes, and what a kernel alone understands.
#[derive(Clone)]
enum Mixed {
    Bytes(Bytes),
    Number,
}

impl Payload for Mixed {
    fn from_bytes(bytes: Bytes) -> Self {
        Mixed::Bytes(bytes)
    }

    fn into_bytes(self) -> Option<Bytes> {
        match self {
            Mixed::Bytes(bytes) => Some(bytes),
            Mixed::Number => None,
        }
    }
}

/// A kernel's socket on the same network: it answers numbers by numbers and bytes by bytes, and a
/// process sees only the bytes.
#[test]
fn a_kernel_shares_the_network_with_processes() {
    simulate(7, |world: Arc<Machines<Mixed>>| async move {
        pair(&world);
        let owner = Machines::<Mixed>::foreign_owner(3);
        let bound = world.net(|net, _| net.udp_bind(HostId(1), addr(BRAVO, 9), owner));
        assert!(bound.is_ok());
        let numbers = Arc::new(AtomicU64::new(0));
        let seen = numbers.clone();
        world.on_foreign(move |net, event| {
            assert_eq!(event.owner, owner);
            let NetWhat::Datagram { sock, from, payload, len, .. } = event.what else {
                panic!("no datagram");
            };
            seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            net.udp_send(event.at, sock, from, Mixed::Number, 8);
            net.udp_send(event.at, sock, from, payload, len);
        });
        world.add_program("client", |_| async {
            let udp = UdpSocket::bind(addr(ALPHA, 0)).await.unwrap();
            udp.send_to(b"ping", addr(BRAVO, 9)).await.unwrap();
            let mut buf = [0; 16];
            let (n, from) = udp.recv_from(&mut buf).await.unwrap();
            assert_eq!((&buf[..n], from), (&b"ping"[..], addr(BRAVO, 9)));
            let more = time::timeout(Duration::from_secs(1), udp.recv_from(&mut buf)).await;
            assert!(more.is_err(), "a number became bytes");
            ExitCode::SUCCESS
        });
        world.start(ALPHA, "client", &[]).unwrap();
        pause(5_000).await;
        let ended = world.take_ended();
        assert!(ended[0].status.success(), "{:?}", world.panics());
        assert_eq!(numbers.load(std::sync::atomic::Ordering::Relaxed), 1);
    });
}

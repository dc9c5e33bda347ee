//! Everything at once, twice: a busy pair of hosts under random faults. The same seed must give the
//! same events, and when all is over nothing may be left.

use super::*;
use env::{
    block::{Access, BLOCK, BlockDevice},
    exec, file,
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    process, rng, task,
    unix::{UnixListener, UnixStream},
};
use models::{Luck, net::HostId};

async fn serve() -> std::io::Result<()> {
    let here = if process::host_name()? == "alpha" { ALPHA } else { BRAVO };
    let listener = TcpListener::bind(addr(here, 80)).await?;
    let local = UnixListener::bind("/run/serve.sock").await?;
    let udp = UdpSocket::bind(addr(here, 53)).await?;
    task::spawn(async move {
        let mut buf = [0; 64];
        while let Ok((n, from)) = udp.recv_from(&mut buf).await {
            let _ = udp.send_to(&buf[..n], from).await;
        }
    })
    .detach();
    task::spawn(async move {
        while let Ok(mut stream) = local.accept().await {
            let _ = stream.write_all(b"local").await;
        }
    })
    .detach();
    loop {
        let (mut stream, _) = listener.accept().await?;
        task::spawn(async move {
            let mut buf = [0; 9_000];
            while let Ok(n @ 1..) = stream.read(&mut buf).await {
                if stream.write_all(&buf[..n]).await.is_err() {
                    break;
                }
            }
        })
        .detach();
    }
}

/// One round of work against a host; whatever fails, fails.
async fn work(peer: HostIx) -> std::io::Result<()> {
    let mut luck = rng::stream("work");
    let mut stream = TcpStream::connect(addr(peer, 80)).await?;
    let data = vec![7; 1 + luck.below(50_000) as usize];
    let mut back = vec![0; data.len()];
    stream.write_all(&data).await?;
    stream.read_exact(&mut back).await?;
    assert_eq!(data, back, "the echo changed the bytes");
    let udp = UdpSocket::bind(addr(if peer == ALPHA { BRAVO } else { ALPHA }, 0)).await?;
    udp.send_to(b"x", addr(peer, 53)).await?;
    let _ = time::timeout(Duration::from_millis(50), udp.recv_from(&mut [0; 4])).await;
    let mut text = String::new();
    UnixStream::connect("/run/serve.sock").await?.read_to_string(&mut text).await?;
    file::write("/var/lib/state", Bytes::from(data)).await?;
    let device = BlockDevice::open(DISK, Access::ReadWriteExclusive).await?;
    device.write_at(luck.below(200) * BLOCK, Bytes::from(vec![1; 4096])).await?;
    device.flush().await?;
    let out = exec::Command::new("tool").output(Duration::from_secs(2)).await?;
    assert!(out.stdout.is_empty() || out.stdout == b"done\n");
    Ok(())
}

fn add_programs(world: &World) {
    world.add_program("serve", |_| async {
        let _ = serve().await;
        ExitCode::FAILURE
    });
    world.add_program("tool", |_| async {
        pause(30).await;
        let _ = process::print("done\n").await;
        ExitCode::SUCCESS
    });
    world.add_program("work", |args| async move {
        let peer = if args[0] == "alpha" { ALPHA } else { BRAVO };
        loop {
            let _ = time::timeout(Duration::from_secs(3), work(peer)).await;
            pause(20).await;
        }
    });
    for host in [ALPHA, BRAVO] {
        let restart_after = Some(Span::ms(500));
        let other = if host == ALPHA { "bravo" } else { "alpha" };
        for (program, args) in [("serve", vec![]), ("work", vec![other.to_string()])] {
            world.add_service(host, Service { program: program.into(), args, restart_after });
        }
    }
}

fn strike(world: &World, luck: &mut Luck) {
    let host = if luck.coin() { ALPHA } else { BRAVO };
    let processes = world.processes(host);
    let victim = luck.pick(&processes).map(|(pid, _)| *pid);
    let (a, b) = (HostId(0), HostId(1));
    match (luck.below(30), victim) {
        (0, _) => world.power_off(host),
        (1..6, _) => [ALPHA, BRAVO].into_iter().for_each(|host| world.power_on(host)),
        (6, _) => world.crash(host),
        (7 | 8, _) => world.freeze(host, world.now() + Span::ms(luck.below(3_000))),
        (9, _) => world.thaw(host),
        (10 | 11, _) => world.net(|net, _| net.cut_hosts(a, b)),
        (12..18, _) => world.net(|net, _| net.heal_hosts(a, b)),
        (18, _) => world.step_clock(host, luck.below(9_000_000_000) as i64 - 4_000_000_000),
        (19, _) => world.set_drift(host, luck.below(400) as i32 - 200),
        (20 | 21, Some(pid)) => world.freeze_process(pid),
        (22 | 23, Some(pid)) => world.thaw_process(pid),
        (24 | 25, Some(pid)) => world.terminate(pid),
        (_, Some(pid)) => world.kill(pid),
        (_, None) => world.power_on(host),
    }
}

/// The hash, the number of processes that ended, and what was left at the end.
fn chaos(seed: u64) -> (u64, usize, (usize, usize)) {
    simulate(seed, |world: Arc<World>| async move {
        pair(&world);
        add_programs(&world);
        [ALPHA, BRAVO].into_iter().for_each(|host| world.reset(host));
        let mut luck = Luck::root(seed).fork("chaos");
        for _ in 0..150 {
            pause(luck.below(900)).await;
            strike(&world, &mut luck);
        }
        assert!(world.panics().is_empty(), "{:?}", world.panics());
        [ALPHA, BRAVO].into_iter().for_each(|host| world.power_off(host));
        pause(1_000).await;
        (world.hash(), world.take_ended().len(), world.held())
    })
}

#[test]
fn the_same_seed_gives_the_same_events_and_leaves_nothing() {
    let mut hashes = Vec::new();
    let mut all_ended = 0;
    for seed in 0..12 {
        let (hash, ended, held) = chaos(seed);
        assert_eq!(held, (0, 0), "seed {seed}: processes and things left");
        all_ended += ended;
        assert_eq!(chaos(seed).0, hash, "seed {seed} gave two stories");
        hashes.push(hash);
    }
    assert!(all_ended > 2_000, "only {all_ended} processes ended, little happened");
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), 12, "different seeds gave the same story");
}

//! Runs a model flat out, to be measured from outside:
//! `time cargo run --release -p models --example pace -- tcp 10000000`
//! (kinds: tcp, udp, disk, replicate). Prints how many events were handled and the hash.

use models::disk::{Disk, Done, Op, Profile};
use models::net::*;
use models::{Luck, SimTime, Span};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let kind = args.next().unwrap_or_else(|| "tcp".into());
    let count: u64 = args.next().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let (events, hash) = match kind.as_str() {
        "tcp" => tcp(count),
        "udp" => udp(count),
        "disk" => disk(count),
        "replicate" => replicate(count),
        other => {
            eprintln!("unknown kind {other:?}; one of tcp, udp, disk, replicate");
            return ExitCode::from(2);
        }
    };
    println!("{kind}: {events} events, hash {hash:016x}");
    ExitCode::SUCCESS
}

fn address(h: usize) -> SocketAddr {
    SocketAddr::new(IpAddr::from([10, 0, 0, h as u8 + 1]), 7)
}

fn hosts(n: usize) -> (Net<u64>, Vec<HostId>) {
    let mut net = Net::new(Luck::root(1));
    let switch = net.add_network(NetworkSettings::default());
    let hosts: Vec<HostId> = (0..n).map(|_| net.add_host()).collect();
    for (h, host) in hosts.iter().enumerate() {
        net.add_nic(*host, switch, 10_000_000_000, address(h).ip());
        net.host_up(SimTime::ZERO, *host);
    }
    (net, hosts)
}

fn options() -> TcpOptions {
    TcpOptions { auto_consume: true, ..TcpOptions::default() }
}

/// Ping-pong over 16 connections.
fn tcp(count: u64) -> (u64, u64) {
    let (mut net, hosts) = hosts(2);
    net.tcp_listen(hosts[1], address(1), options(), 1).expect("a fresh host");
    for _ in 0..16 {
        net.tcp_connect(SimTime::ZERO, hosts[0], None, address(1), options(), 0).expect("up");
    }
    let mut out = Vec::new();
    while net.events() < count {
        let Some(now) = net.next_due() else { break };
        net.run_due(now, &mut out);
        for event in out.drain(..) {
            let (NetWhat::Connected { conn } | NetWhat::Data { conn, .. }) = event.what else {
                continue;
            };
            net.tcp_send(now, conn, 1, 4096).expect("room");
        }
    }
    (net.events(), net.hash())
}

/// Heartbeats of five hosts to each other, ten a second.
fn udp(count: u64) -> (u64, u64) {
    let (mut net, hosts) = hosts(5);
    let bind = |net: &mut Net<u64>, h: usize| net.udp_bind(hosts[h], address(h), h as u64);
    let socks: Vec<UdpId> = (0..5).map(|h| bind(&mut net, h).expect("a fresh host")).collect();
    let (mut out, mut now) = (Vec::new(), SimTime::ZERO);
    while net.events() < count {
        for (h, sock) in socks.iter().enumerate() {
            for peer in (0..5).filter(|peer| *peer != h) {
                net.udp_send(now, *sock, address(peer), 1, 200);
            }
        }
        now += Span::ms(100);
        while let Some(due) = net.next_due().filter(|due| *due <= now) {
            net.run_due(due, &mut out);
            out.clear();
        }
    }
    (net.events(), net.hash())
}

/// Writes at depth 8, a flush after every 16.
fn disk(count: u64) -> (u64, u64) {
    let mut disk: Disk<u64> = Disk::new(Luck::root(1), Profile::nvme(16_384));
    let mut luck = Luck::root(2);
    let mut out = Vec::new();
    let data: Arc<[u64]> = Arc::new([1]);
    for _ in 0..8 {
        disk.submit(SimTime::ZERO, Op::Flush);
    }
    while disk.events() < count {
        let Some(now) = disk.next_due() else { break };
        disk.run_due(now, &mut out);
        for done in out.drain(..) {
            let start = luck.below(16_384);
            let write = Op::Write { start, data: data.clone(), preflush: false, fua: false };
            disk.submit(now, if done.tag.0 % 16 == 0 { Op::Flush } else { write });
        }
    }
    (disk.events(), disk.hash())
}

/// `count` replicated writes, 100 a second: to the own disk and over TCP to the peer's, which
/// acknowledges; 4 KiB each.
fn replicate(count: u64) -> (u64, u64) {
    let (mut net, hosts) = hosts(2);
    let disk = |n| Disk::new(Luck::root(n), Profile::nvme(16_384));
    let mut disks: [Disk<u64>; 2] = [disk(3), disk(4)];
    net.tcp_listen(hosts[1], address(1), options(), 1).expect("a fresh host");
    let a = net.tcp_connect(SimTime::ZERO, hosts[0], None, address(1), options(), 0).expect("up");
    let (mut told, mut done): (Vec<NetEvent<u64>>, Vec<Done<u64>>) = (Vec::new(), Vec::new());
    let (mut b, mut acked, mut due_write) = (None, 0, SimTime::ZERO + Span::ms(10));
    let mut luck = Luck::root(5);
    let data: Arc<[u64]> = Arc::new([1]);
    let write = |start| Op::Write { start, data: data.clone(), preflush: false, fua: false };
    while acked < count {
        let dues = [net.next_due(), disks[0].next_due(), disks[1].next_due(), Some(due_write)];
        let now = dues.into_iter().flatten().min().unwrap_or(due_write);
        if now == due_write {
            let block = luck.below(16_384);
            disks[0].submit(now, write(block));
            net.tcp_send(now, a, block, 4096 + 32).expect("room");
            due_write += Span::ms(10);
        }
        net.run_due(now, &mut told);
        for event in told.drain(..) {
            match event.what {
                NetWhat::Incoming { conn, .. } => b = Some(conn),
                NetWhat::Data { payload, .. } if event.host == hosts[1] => {
                    disks[1].submit(now, write(payload));
                }
                NetWhat::Data { .. } => acked += 1,
                _ => {}
            }
        }
        disks[0].run_due(now, &mut done);
        done.clear();
        disks[1].run_due(now, &mut done);
        for _ in done.drain(..) {
            net.tcp_send(now, b.expect("connected"), 0, 16).expect("room");
        }
    }
    (net.events() + disks[0].events() + disks[1].events(), net.hash())
}

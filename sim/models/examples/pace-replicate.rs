//! Replicated writes, 100 a second: to the own disk and over TCP to the peer's.
//!
//! `time cargo run --release -p models --example pace-replicate` tells the pace from outside.

mod common;

use common::{address, hosts};
use models::disk::{Disk, Done, Op, Profile};
use models::net::*;
use models::{Luck, SimTime, Span};
use std::sync::Arc;

fn main() {
    let (events, hash) = replicate(1_000_000);
    println!("{events} events, hash {hash:016x}");
}

fn options() -> TcpOptions {
    TcpOptions { auto_consume: true, ..TcpOptions::default() }
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

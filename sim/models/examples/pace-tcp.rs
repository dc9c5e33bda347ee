//! Ping-pong over 16 TCP connections.
//!
//! `time cargo run --release -p models --example pace-tcp` tells the pace from outside.

mod common;

use common::{address, hosts};
use models::SimTime;
use models::net::*;

fn main() {
    let (events, hash) = tcp(10_000_000);
    println!("{events} events, hash {hash:016x}");
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

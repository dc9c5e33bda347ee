//! Heartbeats of five hosts to each other, ten a second.
//!
//! `time cargo run --release -p models --example pace-udp` tells the pace from outside.

mod common;

use common::{address, hosts};
use models::net::*;
use models::{SimTime, Span};

fn main() {
    let (events, hash) = udp(10_000_000);
    println!("{events} events, hash {hash:016x}");
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

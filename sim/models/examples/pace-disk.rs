//! Writes at depth 8, a flush after every 16.
//!
//! `time cargo run --release -p models --example pace-disk` tells the pace from outside.

use models::disk::{Disk, Op, Profile};
use models::{Luck, SimTime};
use std::sync::Arc;

fn main() {
    let (events, hash) = disk(10_000_000);
    println!("{events} events, hash {hash:016x}");
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

//! The engine alone: mirrored writes, a full resync, and what a large volume takes.

use super::nodes::{Nodes, V, configs};
use crate::bench::thread_cpu_ns;
use drbd::core::event::Command;
use drbd::state::DiskState;

/// How much of what was done, and in how many CPU seconds of this thread.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Writes, or bytes.
    pub amount: u64,
    /// CPU seconds.
    pub cpu_s: f64,
}

impl Work {
    /// Per CPU second.
    pub fn speed(&self) -> f64 {
        self.amount as f64 / self.cpu_s.max(1e-9)
    }
}

/// Blocks of 4 KiB in a GiB.
const GIB: u64 = 1 << 18;
/// Writes in flight.
const DEPTH: u64 = 32;

fn measured(amount: u64, work: impl FnOnce()) -> Work {
    let before = thread_cpu_ns();
    work();
    Work { amount, cpu_s: (thread_cpu_ns() - before) as f64 / 1e9 }
}

/// `step/write-c-3`: this many 4 KiB writes over a volume of 1 GiB, protocol C, three copies, 32 in
/// flight; 300 of the 1237 extents of the activity log are hot. Every copy has each write.
pub fn writes(count: u64) -> Result<Work, String> {
    let mut nodes = Nodes::new(configs(3, GIB), 3);
    nodes.settle();
    nodes.promote();
    let mut block = 0;
    let mut batch = |nodes: &mut Nodes| {
        for _ in 0..DEPTH {
            // An odd step visits every block once before it comes to one again.
            block = (block + 40_503) % GIB;
            nodes.write(block);
        }
        nodes.run();
    };
    // The activity log warms up.
    (0..100).for_each(|_| batch(&mut nodes));
    let (done, written) = (nodes.done, nodes.written);
    let batches = count.div_ceil(DEPTH);
    let work = measured(batches * DEPTH, || {
        for turn in 0..batches {
            batch(&mut nodes);
            if turn % 256 == 0 {
                // Peer acks and pings are part of it.
                nodes.tick();
            }
        }
    });
    if nodes.done - done != work.amount || nodes.written - written != 3 * work.amount {
        let (done, written) = (nodes.done - done, nodes.written - written);
        return Err(format!("of {} writes {done} ended, {written} blocks written", work.amount));
    }
    Ok(work)
}

/// `step/resync`: a copy that holds nothing is filled from two that hold a volume of this many GiB.
pub fn resync(gib: u64) -> Result<Work, String> {
    let mut nodes = Nodes::new(configs(3, gib * GIB), 2);
    let mut work = Work { amount: gib << 30, cpu_s: 0.0 };
    let whole = |nodes: &Nodes| {
        nodes.engines[2].volume(V).is_some_and(|view| view.disk == DiskState::UpToDate)
    };
    work.cpu_s = measured(0, || while !whole(&nodes) && nodes.tick() {}).cpu_s;
    if !whole(&nodes) || nodes.written != gib * GIB {
        return Err(format!("the resync did not end, or wrote {} blocks", nodes.written));
    }
    Ok(work)
}

/// A Primary of eight copies of 1 TiB, alone: all others are away. It writes at this many places,
/// evenly spread, and then is marked out of sync as a whole if `all`.
pub fn large(writes: u64, all: bool) -> Result<u64, String> {
    const TIB: u64 = 1 << 28;
    let mut alone = configs(8, TIB);
    alone.truncate(1);
    let mut nodes = Nodes::new(alone, 1);
    nodes.settle();
    nodes.forgetful = true;
    if all {
        nodes.command(0, Command::Invalidate(V, None));
        nodes.settle();
    } else {
        nodes.promote();
        (0..writes).for_each(|turn| {
            nodes.write(turn * (TIB / writes));
            nodes.run();
        });
    }
    let view = nodes.engines[0].volume(V).ok_or("no volume")?;
    let marked: u64 = view.peers.iter().map(|peer| peer.out_of_sync).sum();
    let wanted = if all { 7 * TIB } else { 7 * writes };
    match nodes.refused == 0 && marked == wanted {
        true => Ok(marked),
        false => Err(format!("{marked} bits are set, not {wanted}; {} refused", nodes.refused)),
    }
}

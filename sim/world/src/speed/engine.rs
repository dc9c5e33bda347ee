//! `bench engine`: the replication engine alone, without world, network and disks.

use sim::bench::engine::{Work, large, resync, writes};

use super::{Measured, Target, alone, median};
use crate::runner::peak_kib;

/// Runs of each load.
const REPEATS: usize = 5;
/// Mirrored writes of one run.
const WRITES: u64 = 320_000;
/// Places that are written to on the large volume: one for each GiB.
const TOUCHED: u64 = 1_024;

/// Measures it all.
pub fn measure(all: &mut Vec<Measured>) -> Result<(), String> {
    // First, while this process has done nothing else: its peak is then the peak of one run.
    memory(all, "memory/1TiB-8 touched", || large(TOUCHED, false), 64.0)?;
    memory(all, "memory/1TiB-8 all out of sync", || large(0, true), 300.0)?;
    speed(all, "step/write-c-3", ("writes per CPU s", 1.0), 300_000.0, || writes(WRITES))?;
    speed(all, "step/resync", ("MB per CPU s", 1e-6), 1_000.0, || resync(1))?;
    Ok(())
}

fn memory(
    all: &mut Vec<Measured>,
    name: &'static str,
    load: impl FnOnce() -> Result<u64, String> + Send + 'static,
    bound: f64,
) -> Result<(), String> {
    eprintln!("{name}");
    alone(load)??;
    let value = peak_kib() as f64 / 1_024.0;
    all.push(Measured { name, value, unit: "MiB", target: Some(Target::AtMost(bound)) });
    Ok(())
}

fn speed(
    all: &mut Vec<Measured>,
    name: &'static str,
    (unit, scale): (&'static str, f64),
    bound: f64,
    load: fn() -> Result<Work, String>,
) -> Result<(), String> {
    let mut speeds = Vec::new();
    for run in 1..=REPEATS {
        eprintln!("{name}, run {run} of {REPEATS}");
        speeds.push(alone(load)??.speed() * scale);
    }
    let target = Some(Target::AtLeast(bound));
    all.push(Measured { name, value: median(speeds), unit, target });
    Ok(())
}

//! `--json FILE`: the results for programs.

use serde_json::{Map, Value, json};
use std::path::Path;

use crate::report::Frame;
use crate::report::failure::replay;
use crate::report::tally::{Failure, Group, Known, Tally, is_whole, percentile};

/// The document. Hashes are strings, because 64 bits do not survive as a number everywhere.
pub fn document(tally: &mut Tally, frame: &Frame, exit_code: u8) -> Value {
    let seconds = |ns: u128| ns as f64 / 1e9;
    let runs: Vec<_> = tally
        .runs
        .iter()
        .map(|(name, seed, hash)| (name, seed, format!("{hash:#018x}")))
        .map(|(name, seed, hash)| json!({"name": name, "seed": seed, "trace_hash": hash}))
        .collect();
    let mut recovery = Map::new();
    for (name, times) in &mut tally.recovery {
        times.sort_unstable();
        let rank = |percent| seconds(percentile(times, percent).into());
        let value = json!({"p50_s": rank(50), "p99_s": rank(99), "count": times.len()});
        recovery.insert(name.clone(), value);
    }
    // Only plans that end healed can be excused from converging: they are the whole.
    let share = |plans: u64| plans as f64 / tally.healed.max(1) as f64;
    let excused: Map<_, _> = tally
        .excused
        .iter()
        .map(|(reason, plans)| (reason.clone(), json!(share(*plans))))
        .collect();
    let failures: Vec<_> = tally.failures.iter().map(failure).collect();
    json!({
        "commit": frame.commit,
        "quirk": frame.quirk,
        "interrupted": frame.interrupted,
        "exit_code": exit_code,
        "scenarios": {
            "passed": tally.passed,
            "failed": tally.failed,
            "skipped": frame.skips.len(),
        },
        "seeds": tally.seeds.len(),
        "drawn": tally.drawn,
        "safety_only": tally.safety_only,
        "healed": tally.healed,
        "sim_seconds": seconds(tally.sim_ns),
        "cpu_seconds": seconds(tally.cpu_ns),
        "wall_seconds": frame.wall.as_secs_f64(),
        "peak_mib": tally.peak_kib as f64 / 1_024.0,
        "events": tally.events as u64,
        "runs": runs,
        "promises": tally.promises,
        "excused": excused,
        "excused_share": share(tally.excused_plans),
        "faults": tally.faults,
        "recovery": recovery,
        "marks": {
            "points": marks(tally.points.named(drbd::core::points::POINTS)),
            "sometimes": marks(tally.sometimes.named(sim::world::SOMETIMES)),
        },
        "failures": failures,
        "signatures": tally.groups.iter().map(signature).collect::<Vec<_>>(),
        "known": tally.known.iter().map(known).collect::<Vec<_>>(),
        "skips": frame.skips.iter().map(skip).collect::<Vec<_>>(),
        "replay": frame.replay.map(replayed),
    })
}

/// Failing runs that are one failure, with their number.
fn signature(group: &Group) -> Value {
    json!({
        "scenario": group.scenario,
        "quirk": group.quirk,
        "class": group.signature.severity.label().to_lowercase(),
        "promise": group.signature.promise,
        "detail": group.signature.detail,
        "count": group.also.len() + 1,
    })
}

fn known(it: &Known) -> Value {
    json!({"scenario": it.scenario, "quirk": it.quirk, "breaks": it.breaks, "seed": it.seed})
}

fn skip((name, why): &(String, String)) -> Value {
    json!({"scenario": name, "because": why})
}

/// What the file says that it replays.
fn replayed(it: &scenarios::Replay) -> Value {
    json!({"seed": it.seed, "commit": it.commit, "breaks": it.breaks, "quirk": it.quirk})
}

/// Name: runs that had it.
fn marks(named: Vec<(&str, u64)>) -> Map<String, Value> {
    named.into_iter().map(|(name, runs)| (name.to_owned(), json!(runs))).collect()
}

fn failure((job, done, failed): &Failure) -> Value {
    let whole = is_whole(done);
    json!({
        "scenario": done.name,
        "seed": (!whole).then_some(job.seed),
        "quirk": job.quirk,
        "promise": failed.promise,
        "class": failed.severity.label().to_lowercase(),
        "time_s": failed.at.map(|at| at as f64 / 1e9),
        "what": failed.what,
        "replay": (!whole).then(|| replay(job, done)),
    })
}

/// Is the file one that can be written? Asked before an hour of runs, not after.
pub fn writable(path: &Path) -> Result<(), String> {
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
    opened.map(|_| ()).map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> String {
    format!(
        "--json {}: {error}\n  remedy: name a file in a folder that can be written",
        path.display()
    )
}

/// Writes a document; the error names the file.
pub fn write(path: &Path, document: &Value) -> Result<(), String> {
    let text = format!("{document:#}\n");
    std::fs::write(path, text).map_err(|error| unwritable(path, &error))
}

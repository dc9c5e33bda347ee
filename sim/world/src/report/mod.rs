//! What an invocation says: verdicts, times to recover, faults, promises, and one plain last line.

pub mod failure;
pub mod progress;
pub mod tally;
pub mod text;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use failure::Kept;
use tally::{Known, Tally, percentile};

/// Columns that lists are given where nothing says how many there are.
pub const WIDTH: usize = 110;
/// Failing runs that are shown in full; the others have a line each.
pub const SHOWN: usize = 3;
/// Drawn plans after which a point or state that was never seen is listed by name.
const ENOUGH_TO_MISS: u64 = 500;
/// Lines of what led to a failure that are shown; the kept report has all.
const STORY: usize = 16;
/// Seeds that are named of those that fail the same way.
const ALSO: usize = 16;

/// What the report says beside the sums.
pub struct Frame<'a> {
    /// Of the code that ran.
    pub commit: &'a str,
    /// Real time of the invocation.
    pub wall: Duration,
    /// Kept runs, by index of the run.
    pub kept: &'a BTreeMap<u64, Kept>,
    /// A run that passed, kept because its pictures were asked for.
    pub passed: Option<&'a Kept>,
    /// Each run was made twice.
    pub twice: bool,
    /// Bug put back.
    pub quirk: Option<&'a str>,
    /// Stopped by hand.
    pub interrupted: bool,
    /// What the file says that it replays.
    pub replay: Option<&'a scenarios::Replay>,
    /// Scenarios that were not run, and why.
    pub skips: &'a [(String, String)],
    /// Columns of the terminal, if there is one.
    pub width: Option<usize>,
}

/// The whole report, for stdout.
pub fn render(tally: &mut Tally, frame: &Frame) -> String {
    let mut out = String::new();
    passed(&mut out, tally, frame);
    aside(&mut out, tally, frame);
    for (i, group) in tally.groups.iter().enumerate() {
        let failure @ (job, done, failed) = &tally.failures[group.first];
        if i < SHOWN {
            let kept = frame.kept.get(&job.index);
            out.push_str(&failure::block(failure, kept, frame.commit, STORY, frame.width));
        } else {
            let _ = writeln!(out, "{}", failure::headline(job, done, failed));
        }
        out.push_str(&also(&group.also));
        if i < SHOWN {
            out.push('\n');
        }
    }
    let whole: Vec<_> =
        tally.failures.iter().filter(|(_, done, _)| tally::is_whole(done)).collect();
    for failure in &whole {
        out.push_str(&failure::block(failure, None, frame.commit, STORY, frame.width));
    }
    if tally.groups.is_empty() || tally.groups.len() > SHOWN || !whole.is_empty() {
        out.push('\n');
    }
    sums(&mut out, tally, frame);
    // What is not read on a terminal may be read by a program.
    frame.width.map_or(out.clone(), |width| text::folded(&out, width))
}

/// Other seeds that fail the same way.
fn also(seeds: &[u64]) -> String {
    if seeds.is_empty() {
        return String::new();
    }
    let named: Vec<_> = seeds.iter().take(ALSO).map(|seed| text::seed(*seed)).collect();
    let more = match seeds.len().saturating_sub(ALSO) {
        0 => String::new(),
        more => format!(" and {} more", text::count(more as u128)),
    };
    let number = text::plural(seeds.len() as u64, "seed");
    format!("  also     {number}: {}{more}\n", named.join(", "))
}

/// What is known to fail and does, and what was not run.
fn aside(out: &mut String, tally: &Tally, frame: &Frame) {
    for Known { scenario, quirk, breaks, seed } in &tally.known {
        let seed = text::seed(*seed);
        let _ = writeln!(out, "known {scenario}  breaks {breaks} with {quirk}, seed {seed}");
    }
    out.push_str(&frame.passed.map_or(String::new(), failure::places));
    for (name, why) in frame.skips {
        let _ = writeln!(out, "skip  {name}  skipped, because {why}");
    }
}

/// A line per scenario without failure.
fn passed(out: &mut String, tally: &Tally, frame: &Frame) {
    let mut scenarios: Vec<_> = tally.scenarios.iter().collect();
    scenarios.sort_by_key(|(_, sums)| sums.order);
    let mut rows = Vec::new();
    for (name, sums) in scenarios {
        if sums.failed == sums.runs {
            continue;
        }
        let (first, last) = sums.seeds;
        let seeds = match name.as_str() {
            _ if first == last => format!("seed {}", text::seed(first)),
            _ => format!("seeds {}..{}", text::seed(first), text::seed(last.saturating_add(1))),
        };
        let name = if name == "drawn" { "drawn plans" } else { name };
        let mut runs = text::plural(sums.runs - sums.failed, "run");
        if frame.twice {
            runs.push_str(", each twice");
        }
        let slowest = sums.slowest.as_ref();
        rows.push(vec![
            "ok  ".to_owned(),
            name.to_owned(),
            seeds,
            runs,
            format!("{} simulated", text::time(sums.sim_ns)),
            text::plural(sums.faults, "fault"),
            slowest
                .map_or(String::new(), |(what, ns)| format!("{what} {}", text::time((*ns).into()))),
        ]);
    }
    // The verdict stands at the margin, as FAIL does.
    for line in text::table(&rows).lines() {
        let _ = writeln!(out, "{}", line.trim_start());
    }
}

/// The lines below the verdicts.
fn sums(out: &mut String, tally: &mut Tally, frame: &Frame) {
    let mut recovery = Vec::new();
    for (name, times) in &mut tally.recovery {
        times.sort_unstable();
        let rank = |percent| text::time(percentile(times, percent).into());
        recovery.push(format!("{name} p50 {} p99 {}", rank(50), rank(99)));
    }
    let width = frame.width.unwrap_or(WIDTH).min(WIDTH);
    let listed = |out: &mut String, head: &str, items| listed(out, head, items, width);
    listed(out, "recovery", recovery);
    let counts = |map: &BTreeMap<String, u64>, noun: &str| -> Vec<String> {
        map.iter().map(|(name, n)| format!("{name}{noun} {}", text::count((*n).into()))).collect()
    };
    listed(out, "faults", counts(&tally.faults, ""));
    listed(out, "promises", counts(&tally.promises, ""));
    if tally.excused_plans > 0 {
        let of = format!("of {} plans that end healed", text::count(tally.healed.into()));
        listed(out, "excused", vec![format!("{} {of}", counts(&tally.excused, "").join(" · "))]);
    }
    coverage(out, tally, width);
    let wall = frame.wall.as_nanos().max(1);
    let per_cpu = tally.sim_ns.checked_div(tally.cpu_ns).unwrap_or(0);
    let speed = vec![
        format!("{} simulated in {}", text::time(tally.sim_ns), text::time(wall)),
        format!("{} simulated seconds per CPU second", text::count(per_cpu)),
        format!("{} events", text::count(tally.events)),
        format!("at most {} MiB in a run", tally.peak_kib.div_ceil(1_024)),
    ];
    listed(out, "speed", speed);
    if let (Some(quirk), 0) = (frame.quirk, tally.failed) {
        let _ = writeln!(out, "the quirk {quirk} was on and was not caught");
    }
    if frame.interrupted {
        let _ = writeln!(out, "interrupted: what follows counts the runs that had ended");
    }
    let skipped = match frame.skips.len() {
        0 => String::new(),
        skipped => format!(", {skipped} skipped"),
    };
    let _ = writeln!(out, "{} passed, {} failed{skipped}", tally.passed, tally.failed);
}

/// What the runs reached of what there is; in a large batch, by name what they did not.
fn coverage(out: &mut String, tally: &Tally, width: usize) {
    let points = tally.points.named(drbd::core::points::POINTS);
    let states = tally.sometimes.named(sim::world::SOMETIMES);
    let share = |of: &[(&str, u64)]| {
        format!("{}/{}", of.iter().filter(|(_, runs)| *runs > 0).count(), of.len())
    };
    let mut items =
        vec![format!("fist points {}", share(&points)), format!("sometimes {}", share(&states))];
    if tally.safety_only > 0 {
        let of = text::plural(tally.safety_only, "plan");
        items.push(format!("{of} beyond the budget, safety only"));
    }
    listed(out, "coverage", items, width);
    if tally.drawn >= ENOUGH_TO_MISS {
        let missed = points.iter().chain(&states).filter(|(_, runs)| *runs == 0);
        listed(out, "never", missed.map(|(name, _)| (*name).to_owned()).collect(), width);
    }
}

/// A heading and items, folded.
fn listed(out: &mut String, head: &str, items: Vec<String>, width: usize) {
    let mut line = format!("{head:<9}");
    let mut first = true;
    for item in items {
        if !first && line.chars().count() + item.chars().count() + 3 > width {
            let _ = writeln!(out, "{line}");
            (line, first) = (" ".repeat(9), true);
        }
        line.push_str(if first { " " } else { " · " });
        line.push_str(&item);
        first = false;
    }
    if !first {
        let _ = writeln!(out, "{line}");
    }
}

//! `sim bench`: how fast simulator and engine are, against their targets.
//!
//! Speeds are simulated seconds per CPU second of one thread, the median of several runs, each on a
//! thread of its own; loads that are compared take turns, so that a busy machine slows both.

mod engine;

use clap::{Parser, ValueEnum};
use serde_json::{Map, Value, json};
use sim::bench::lifetime;
use std::path::PathBuf;
use std::process::Command;

use crate::json::{writable, write};
use crate::report::text::{count, table};
use crate::runner::{peak_kib, say, told};

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench sim                      the simulator: speed, memory, scaling over cores
  cargo xtask bench engine                   the replication engine alone
  cargo xtask bench sim --json bench.json    the same for programs

Exit codes: 0 every target is met, 1 one is missed.";

/// Runs of each load.
const REPEATS: u64 = 7;
/// Simulated seconds of one run of the heartbeat load.
#[cfg(madsim)]
const HEARTBEATS: u64 = 600;
/// Seeds over which scaling is measured: enough that the last one does not matter.
const SEEDS: &str = "0..128";
/// How often: one and two jobs take turns, and the median turn counts.
const TURNS: usize = 3;

/// Measures speed and memory against their targets.
#[derive(Parser)]
#[command(name = "bench", bin_name = "cargo xtask bench", after_help = EXAMPLES)]
struct Bench {
    /// What is measured
    #[arg(default_value = "sim")]
    what: What,
    /// Results for programs
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// The simulator: simulated seconds per CPU second, memory, scaling over cores
    Sim,
    /// The engine alone: mirrored writes and resync per CPU second, memory of a large volume
    Engine,
}

/// A number, and what it should be.
struct Measured {
    name: &'static str,
    value: f64,
    unit: &'static str,
    target: Option<Target>,
}

enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Measured {
    fn met(&self) -> Option<bool> {
        match self.target {
            Some(Target::AtLeast(bound)) => Some(self.value >= bound),
            Some(Target::AtMost(bound)) => Some(self.value <= bound),
            None => None,
        }
    }

    fn row(&self) -> Vec<String> {
        let target = match self.target {
            Some(Target::AtLeast(bound)) => format!("at least {}", number(bound)),
            Some(Target::AtMost(bound)) => format!("at most {}", number(bound)),
            None => String::new(),
        };
        let verdict = self.met().map_or("", |met| if met { "ok" } else { "MISSED" });
        let value = format!("{} {}", number(self.value), self.unit);
        vec![self.name.to_owned(), value.trim_end().to_owned(), target, verdict.to_owned()]
    }
}

/// Large numbers whole, small ones with two digits.
fn number(value: f64) -> String {
    if value >= 100.0 { count(value.round() as u128) } else { format!("{value:.2}") }
}

/// `sim bench`
pub fn main() -> u8 {
    let bench = match Bench::try_parse_from(std::env::args_os().skip(1)) {
        Ok(bench) => bench,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { 2 } else { 0 };
        }
    };
    if let Some(Err(message)) = bench.json.as_deref().map(writable) {
        eprintln!("error: {message}");
        return 2;
    }
    match measure(&bench) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("error: {message}");
            1
        }
    }
}

fn measure(bench: &Bench) -> Result<u8, String> {
    if let Some(load) = busy() {
        eprintln!("note: this machine is busy, load {load}: wait until it is not, or expect less");
    }
    let mut all = Vec::new();
    match bench.what {
        What::Sim => {
            // First, while this process has done nothing else: its peak is then that of one run.
            lifetimes(&mut all)?;
            heartbeats(&mut all)?;
            scaling(&mut all)?;
        }
        What::Engine => engine::measure(&mut all)?,
    }
    let rows: Vec<_> = all.iter().map(Measured::row).collect();
    let mut text = table(&rows);
    let passed = all.iter().filter(|it| it.met() == Some(true)).count();
    let failed = all.iter().filter(|it| it.met() == Some(false)).count();
    if let Some(path) = &bench.json {
        let measured: Map<_, _> = all.iter().map(|it| (it.name.to_owned(), document(it))).collect();
        write(path, &json!({"measured": measured, "passed": passed, "failed": failed}))?;
    }
    text.push_str(&format!("{passed} passed, {failed} failed\n"));
    Ok(told(say(&text), u8::from(failed > 0)))
}

/// The load of the last minute, if others compute: two jobs then do not get two cores.
fn busy() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    let load: f64 = text.split_whitespace().next()?.parse().ok()?;
    (load > 1.0).then_some(load)
}

fn document(it: &Measured) -> Value {
    let (at_least, at_most) = match it.target {
        Some(Target::AtLeast(bound)) => (Some(bound), None),
        Some(Target::AtMost(bound)) => (None, Some(bound)),
        None => (None, None),
    };
    json!({
        "value": it.value, "unit": it.unit, "at_least": at_least, "at_most": at_most, "met": it.met(),
    })
}

/// On a thread of its own, as runs are.
fn alone<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(work);
    let thread = thread.map_err(|error| format!("no thread: {error}"))?;
    thread.join().map_err(|_| "a load panicked; its message is above".to_owned())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

const SPEED: &str = "simulated s per CPU s";

fn lifetimes(all: &mut Vec<Measured>) -> Result<(), String> {
    let (mut speeds, mut without) = (Vec::new(), Vec::new());
    for seed in 0..REPEATS {
        eprintln!("lifetime-3/100io, run {} of {REPEATS}", seed + 1);
        let run = alone(move || lifetime::measure(seed, true))?;
        if let Some(failure) = &run.outcome.failure {
            return Err(format!("the measured run fails, seed {seed}: {}", failure.what));
        }
        speeds.push(run.speed());
        if seed == 0 {
            all.push(Measured {
                name: "lifetime-3/100io peak memory",
                value: peak_kib() as f64 / 1_024.0,
                unit: "MiB",
                target: Some(Target::AtMost(150.0)),
            });
        }
        without.push(alone(move || lifetime::measure(seed, false))?.speed());
    }
    let marked = speeds.iter().zip(&without).map(|(with, without)| with / without).collect();
    all.push(Measured {
        name: "lifetime-3 with marks to without",
        value: median(marked),
        unit: "",
        target: Some(Target::AtLeast(0.95)),
    });
    let (value, target) = (median(speeds), Some(Target::AtLeast(1_000.0)));
    all.insert(0, Measured { name: "lifetime-3/100io", value, unit: SPEED, target });
    Ok(())
}

#[cfg(madsim)]
fn heartbeats(all: &mut Vec<Measured>) -> Result<(), String> {
    use sim::bench::heartbeat;
    let (mut world, mut netsim) = (Vec::new(), Vec::new());
    for run in 0..REPEATS {
        eprintln!("heartbeat-5, run {} of {REPEATS}", run + 1);
        world.push(alone(|| heartbeat::world(HEARTBEATS))?.speed());
        netsim.push(alone(|| heartbeat::netsim(HEARTBEATS))?.speed());
    }
    let (world, netsim) = (median(world), median(netsim));
    let line = |name, value| Measured { name, value, unit: SPEED, target: None };
    all.push(line("heartbeat-5/world", world));
    all.push(line("heartbeat-5/netsim", netsim));
    all.push(Measured {
        name: "heartbeat-5 world to netsim",
        value: world / netsim,
        unit: "",
        target: Some(Target::AtLeast(1.5)),
    });
    Ok(())
}

#[cfg(not(madsim))]
fn heartbeats(_: &mut Vec<Measured>) -> Result<(), String> {
    Err("this binary was built for hosts; `cargo xtask bench sim` builds the right one".to_owned())
}

/// The same seeds with one job and with two, and the whole default invocation.
fn scaling(all: &mut Vec<Measured>) -> Result<(), String> {
    let whole = invocation(&[])?;
    let seconds = |json: &Value| json["wall_seconds"].as_f64().unwrap_or(f64::NAN);
    let peak_of = |json: &Value| json["peak_mib"].as_f64().unwrap_or(f64::NAN);
    let (mut scales, mut peak) = (Vec::new(), peak_of(&whole));
    for _ in 0..TURNS {
        let one = invocation(&["--seeds", SEEDS, "--jobs", "1", "--no-shrink"])?;
        let two = invocation(&["--seeds", SEEDS, "--jobs", "2", "--no-shrink"])?;
        scales.push(seconds(&one) / seconds(&two));
        peak = peak.max(peak_of(&one)).max(peak_of(&two));
    }
    all.push(Measured {
        name: "peak memory of a drawn run",
        value: peak,
        unit: "MiB",
        target: Some(Target::AtMost(150.0)),
    });
    all.push(Measured {
        name: "two jobs to one",
        value: median(scales),
        unit: "",
        target: Some(Target::AtLeast(1.8)),
    });
    all.push(Measured {
        name: "cargo xtask sim, after its build",
        value: seconds(&whole),
        unit: "s",
        target: Some(Target::AtMost(60.0)),
    });
    Ok(())
}

/// Runs the simulator as a user does; its `--json`.
fn invocation(args: &[&str]) -> Result<Value, String> {
    eprintln!("sim {}", args.join(" "));
    let file = std::env::temp_dir().join(format!("sim-bench-{}.json", std::process::id()));
    let output = Command::new("/proc/self/exe").args(args).arg("--json").arg(&file).output();
    output.map_err(|error| format!("cannot start the simulator: {error}"))?;
    let text = std::fs::read_to_string(&file).map_err(|error| format!("no results: {error}"))?;
    let _ = std::fs::remove_file(&file);
    serde_json::from_str(&text).map_err(|error| format!("results are not JSON: {error}"))
}

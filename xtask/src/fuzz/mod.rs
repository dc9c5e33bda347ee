//! `cargo xtask fuzz`: drawn plans for as long as there is time, without bugs put back, or with
//! each of them in turn to see that it is caught.

mod hunt;
mod page;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::build::{run_simulator, sim_target, simulator, simulator_command};
use crate::{BadArgument, root, writable_json, write_json};
use hunt::{Hunt, Quirk, Ran, Slice};

pub const EXAMPLES: &str = "\
Examples:
  cargo xtask fuzz --for 30m                     drawn plans until one fails
  cargo xtask fuzz --quirks --for 30m            each bug that can be put back has to be caught
  cargo xtask fuzz --quirks --quirk NAME         one of them; as often as needed
  cargo xtask fuzz --quirks --for 8h --seed 1e6  a night's hunt with seeds of its own
  cargo xtask fuzz --quirks --write              and write scenarios/QUIRKS.md

A quirk is caught when a drawn plan breaks a promise with it and passes without it. Rounds of
growing slices share the time; who is caught drops out. Ctrl-C ends with the table so far.

Exit codes: 0 all were caught; 1 some were not, or a plan fails without a quirk; 130 interrupted.
Without --quirks those of `cargo xtask sim`.";

/// Seeds to begin with are whole numbers, 1e6 allowed.
fn seed(text: &str) -> Result<u64, String> {
    let (digits, zeroes) = text.split_once('e').unwrap_or((text, "0"));
    let number = digits.parse::<u64>().ok();
    let scale = zeroes.parse::<u32>().ok().and_then(|zeroes| 10u64.checked_pow(zeroes));
    let value = number.zip(scale).and_then(|(number, scale)| number.checked_mul(scale));
    value.ok_or_else(|| "not a whole number below 2^64".to_owned())
}

/// `30s`, `10m`, `8h`.
fn time(text: &str) -> Result<Duration, String> {
    let units = [('s', 1), ('m', 60), ('h', 3_600)];
    let split = units.into_iter().find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, scale)));
    let number = |digits: &str| digits.parse::<u64>().ok();
    let seconds = split.and_then(|(digits, scale)| number(digits)?.checked_mul(scale));
    seconds.map(Duration::from_secs).ok_or_else(|| "use a time like 30s, 10m or 8h".to_owned())
}

#[derive(Args)]
pub struct FuzzArgs {
    /// Hunt the bugs that can be put back
    #[arg(long)]
    quirks: bool,
    /// How long
    #[arg(long = "for", value_name = "TIME", value_parser = time, default_value = "30m")]
    time: Duration,
    /// Runs at the same time [default: one per core]
    #[arg(long, value_name = "N")]
    jobs: Option<u16>,
    /// Only this quirk; as often as needed
    #[arg(long, value_name = "NAME", requires = "quirks")]
    quirk: Vec<String>,
    /// The first seed; quirks have theirs a million apart
    #[arg(long, value_name = "N", value_parser = seed, default_value = "0")]
    seed: u64,
    /// Write what was found to scenarios/QUIRKS.md
    #[arg(long, requires = "quirks")]
    write: bool,
    /// Results for programs
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// `cargo xtask fuzz`
pub fn run(args: &FuzzArgs) -> Result<u8> {
    writable_json(args.json.as_ref())?;
    match args.quirks {
        true => quirks(args),
        false => plain(args),
    }
}

fn plain(args: &FuzzArgs) -> Result<u8> {
    let mut passed: Vec<OsString> = vec!["--for".into()];
    passed.push(format!("{}s", args.time.as_secs()).into());
    passed.extend(["--seed".into(), args.seed.to_string().into()]);
    if let Some(jobs) = args.jobs {
        passed.extend(["--jobs".into(), jobs.to_string().into()]);
    }
    if let Some(path) = &args.json {
        passed.extend(["--json".into(), path.into()]);
    }
    run_simulator(&passed)
}

/// The simulator, and whether somebody wants to stop.
struct Runner {
    binary: PathBuf,
    jobs: Option<u16>,
    stop: Arc<AtomicBool>,
}

fn quirks(args: &FuzzArgs) -> Result<u8> {
    let binary = simulator()?;
    let listed = simulator_command(binary.clone()).args(["--quirk", "list"]).output();
    let listed = listed.context("cannot start the simulator")?;
    let all = hunt::listed(&String::from_utf8_lossy(&listed.stdout));
    let wanted = chosen(&all, &args.quirk)?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, stop.clone()).context("no handler for Ctrl-C")?;
    }
    let runner = Runner { binary, jobs: args.jobs, stop };
    let mut hunt = Hunt::new(wanted, args.seed);
    runner.hunt(&mut hunt, args.time)?;
    print!("{}", table(&hunt));
    if args.write {
        let path = root().join(page::FILE);
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        std::fs::write(&path, page::written(&all, &hunt, &before)).context(page::FILE)?;
    }
    let interrupted = runner.stop.load(Ordering::Relaxed);
    let anyway = hunt.targets.iter().any(|target| !target.fail_anyway.is_empty());
    let code = match hunt.is_over() && !anyway {
        true => 0,
        false if interrupted => 130,
        false => 1,
    };
    write_json(args.json.as_ref(), &document(&hunt, code))?;
    println!("{} of {} quirks caught", hunt.caught(), hunt.targets.len());
    Ok(code)
}

/// Those that were asked for; all, if none was.
fn chosen(all: &[Quirk], names: &[String]) -> Result<Vec<Quirk>> {
    if let Some(name) = names.iter().find(|name| !all.iter().any(|it| it.name == **name)) {
        let remedy = "`cargo xtask sim --quirk list` shows all";
        return Err(BadArgument(format!("no quirk is called {name}\n  remedy: {remedy}")).into());
    }
    let wanted = |quirk: &&Quirk| names.is_empty() || names.contains(&quirk.name);
    Ok(all.iter().filter(wanted).cloned().collect())
}

impl Runner {
    fn hunt(&self, hunt: &mut Hunt, time: Duration) -> Result<()> {
        let began = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            let left = time.saturating_sub(began.elapsed());
            let Some(slice) = hunt.next(left) else { break };
            let name = hunt.targets[slice.target].quirk.name.clone();
            let Some(ran) = self.slice(&name, slice)? else { break };
            hunt.done(slice, ran);
            let target = &hunt.targets[slice.target];
            let how = match &target.caught {
                Some(catch) => format!("caught by {}, seed {}", catch.promise, catch.seed),
                None => format!("not in {} runs", target.runs),
            };
            let minutes = time.saturating_sub(began.elapsed()).as_secs() / 60;
            eprintln!(
                "round {}  {}/{} caught  {minutes} min left  {name}: {how}, {:.1} s of CPU",
                hunt.round + 1,
                hunt.caught(),
                hunt.targets.len(),
                target.cpu,
            );
        }
        Ok(())
    }

    /// `None`: somebody stopped it.
    fn slice(&self, name: &str, slice: Slice) -> Result<Option<Ran>> {
        let time = format!("{}s", slice.time.as_secs());
        let seed = slice.seed.to_string();
        let Some(found) = self.sim(&["--quirk", name, "--for", &time, "--seed", &seed])? else {
            return Ok(None);
        };
        let mut ran = ran(&found);
        if let Some((_, seed)) = &ran.failed {
            let Some(without) = self.sim(&["--seed", &seed.to_string()])? else { return Ok(None) };
            ran.fails_anyway = without["exit_code"] != 0;
        }
        Ok(Some(ran))
    }

    /// Runs the simulator; what it wrote. `None`: somebody stopped it.
    fn sim(&self, args: &[&str]) -> Result<Option<Value>> {
        let file = sim_target().join("fuzz.json");
        let _ = std::fs::remove_file(&file);
        let mut command = simulator_command(self.binary.clone());
        command.args(args).arg("--no-shrink").arg("--json").arg(&file);
        if let Some(jobs) = self.jobs {
            command.arg("--jobs").arg(jobs.to_string());
        }
        self.wait(&mut command)?;
        if self.stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        read(&file).map(Some)
    }

    /// Its end; an interruption is passed on.
    fn wait(&self, command: &mut Command) -> Result<ExitStatus> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().context("cannot start the simulator")?;
        let mut told = false;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if self.stop.load(Ordering::Relaxed) && !told {
                told = true;
                // It tidies up after itself; on a terminal it has been told already.
                let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn read(file: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(file).context("the simulator wrote no results")?;
    serde_json::from_str(&text).context("the simulator's results are not JSON")
}

/// What the simulator's results say of a slice.
fn ran(found: &Value) -> Ran {
    let failure = &found["failures"][0];
    let failed = failure["promise"].as_str().zip(failure["seed"].as_u64());
    Ran {
        runs: found["runs"].as_array().map_or(0, Vec::len) as u64,
        cpu: found["cpu_seconds"].as_f64().unwrap_or(0.0),
        failed: failed.map(|(promise, seed)| (promise.to_owned(), seed)),
        fails_anyway: false,
    }
}

/// A line for each quirk.
fn table(hunt: &Hunt) -> String {
    let width = |text: fn(&hunt::Target) -> usize| hunt.targets.iter().map(text).max().unwrap_or(0);
    let name = width(|target| target.quirk.name.len()).max(5);
    let promise = width(|target| target.caught.as_ref().map_or(0, |it| it.promise.len())).max(10);
    let mut out =
        format!("{:<name$}  {:<promise$}  {:>9}  {:>8}\n", "quirk", "caught by", "seed", "CPU s");
    for target in &hunt.targets {
        let (by, seed) = match &target.caught {
            Some(catch) => (catch.promise.as_str(), catch.seed.to_string()),
            None => ("not caught", "–".to_owned()),
        };
        let cpu = target.cpu;
        let line = format!("{:<name$}  {by:<promise$}  {seed:>9}  {cpu:>8.1}", target.quirk.name);
        out.push_str(&line);
        if !target.fail_anyway.is_empty() {
            let seeds: Vec<_> = target.fail_anyway.iter().map(u64::to_string).collect();
            out.push_str(&format!("  fails without it, too: seed {}", seeds.join(", ")));
        }
        out.push('\n');
    }
    out
}

fn document(hunt: &Hunt, code: u8) -> Value {
    let row = |target: &hunt::Target| {
        json!({
            "quirk": target.quirk.name,
            "listed_under": target.quirk.promise,
            "promise": target.caught.as_ref().map(|catch| &catch.promise),
            "seed": target.caught.as_ref().map(|catch| catch.seed),
            "cpu_seconds": target.cpu,
            "runs": target.runs,
            "fail_anyway": target.fail_anyway,
        })
    };
    let rows: Vec<Value> = hunt.targets.iter().map(row).collect();
    json!({ "caught": hunt.caught(), "quirks": rows, "rounds": hunt.round + 1, "exit_code": code })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_seeds_are_read() {
        assert_eq!(time("30m"), Ok(Duration::from_secs(1_800)));
        assert!(["", "30", "m", "3x", "é"].iter().all(|text| time(text).is_err()));
        assert_eq!((seed("7"), seed("3e2")), (Ok(7), Ok(300)));
        assert!(["", "-1", "1e99", "e"].iter().all(|text| seed(text).is_err()));
    }

    #[test]
    fn results_are_read_and_told() {
        let found = json!({
            "runs": [{}, {}, {}], "cpu_seconds": 2.5, "exit_code": 10,
            "failures": [{ "promise": "one-primary", "seed": 12 }],
        });
        let ran = ran(&found);
        assert_eq!((ran.runs, ran.cpu), (3, 2.5));
        assert_eq!(ran.failed, Some(("one-primary".to_owned(), 12)));
        let quirk = |name: &str| Quirk {
            name: name.to_owned(),
            promise: "one-primary".to_owned(),
            origin: String::new(),
        };
        let mut hunt = Hunt::new(vec![quirk("a-quirk"), quirk("another")], 0);
        let slice = hunt.next(Duration::from_secs(90)).expect("a slice");
        hunt.done(slice, ran);
        let expected = "\
quirk    caught by         seed     CPU s
a-quirk  one-primary         12       2.5
another  not caught           –       0.0
";
        assert_eq!(table(&hunt), expected);
        let document = document(&hunt, 1);
        assert_eq!((&document["caught"], &document["quirks"][0]["seed"]), (&1.into(), &12.into()));
        assert_eq!(document["quirks"][1]["promise"], Value::Null);
    }

    #[test]
    fn an_unknown_quirk_is_refused() {
        let error = chosen(&[], &["nobody".to_owned()]).expect_err("there is none");
        assert!(error.is::<BadArgument>());
    }
}

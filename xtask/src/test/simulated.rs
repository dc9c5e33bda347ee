//! The parts that are runs of the simulator, read through its `--json`.

use anyhow::{Context, Result};
use serde_json::Value;
use std::path::PathBuf;

use super::Counts;
use super::cargo::output;
use crate::build::{sim_target, simulator, simulator_command};

/// Seeds that are run twice.
const TWICE: &str = "0..40";
/// Seeds whose traces are compared between one job and two.
const COMPARED: &str = "0..20";
/// One in so many quirks is looked at in each run of the tests.
const SHARE: usize = 4;
/// How long a quirk may stay unseen.
const QUIRK_TIME: &str = "2m";
/// Exit codes of a promise that broke.
const SAFETY: i64 = 10;
const LIVENESS: i64 = 11;

/// Runs the simulator; what it wrote, and what it said.
pub fn sim(args: &[&str]) -> Result<(Value, String)> {
    let file: PathBuf = sim_target().join("result.json");
    // What an earlier run wrote says nothing about this one.
    let _ = std::fs::remove_file(&file);
    let mut command = simulator_command(simulator()?);
    command.args(args).arg("--json").arg(&file);
    let (_, text) = output(&mut command)?;
    let json = std::fs::read_to_string(&file).context("the simulator wrote no results")?;
    let json = serde_json::from_str(&json).context("the simulator's results are not JSON")?;
    Ok((json, text))
}

/// Each run counts.
fn runs(args: &[&str]) -> Result<Counts> {
    let (json, text) = sim(args)?;
    let number = |name: &str| json["scenarios"][name].as_u64().unwrap_or(0);
    let (passed, failed) = (number("passed"), number("failed"));
    if failed > 0 {
        println!("{text}");
    }
    if passed + failed == 0 {
        return Ok(Counts::fail("nothing ran"));
    }
    let failures = json["failures"].as_array().into_iter().flatten();
    let said = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let note = |failure: &Value| match said(&failure["replay"]) {
        // The whole invocation, not a run of it.
        replay if replay.is_empty() => said(&failure["what"]),
        replay => format!("{}: {replay}", said(&failure["promise"])),
    };
    let skips = json["skips"].as_array().into_iter().flatten();
    let why = |it: &Value| format!("{}, because {}", said(&it["scenario"]), said(&it["because"]));
    let skipped = skips.map(why).map(|why| format!("skipped {why}")).collect();
    Ok(Counts { passed, failed, skipped, notes: failures.map(note).collect() })
}

/// Every scenario once, fifty drawn plans.
pub fn scenarios() -> Result<Counts> {
    runs(&[])
}

/// Each seed twice in two processes; then one job against two, which is another order and other
/// neighbours. Whether the runs pass is the business of the part before.
pub fn determinism() -> Result<Counts> {
    let (json, text) = sim(&["--twice", "--seeds", TWICE, "--no-shrink"])?;
    let runs = json["runs"].as_array().map_or(0, Vec::len) as u64;
    let failures = json["failures"].as_array().into_iter().flatten();
    let differ: Vec<_> = failures.filter(|it| it["class"] == "not deterministic").collect();
    if !differ.is_empty() {
        println!("{text}");
    }
    let failed = differ.len() as u64;
    let replay = |it: &&Value| it["replay"].as_str().unwrap_or_default().to_owned();
    let notes = differ.iter().map(|it| format!("not the same twice: {}", replay(it))).collect();
    let mut counts = Counts { passed: runs - failed, failed, skipped: Vec::new(), notes };
    let (one, _) = sim(&["--seeds", COMPARED, "--jobs", "1", "--no-shrink"])?;
    let (two, _) = sim(&["--seeds", COMPARED, "--jobs", "2", "--no-shrink"])?;
    let same = runs > 0 && one["runs"] == two["runs"] && one["runs"].is_array();
    counts.add(Counts::of(same, format!("--jobs 1 and --jobs 2 differ over --seeds {COMPARED}")));
    Ok(counts)
}

/// A share of the quirks that rotates with the commits: each has to be caught.
pub fn quirks() -> Result<Counts> {
    let (_, text) = output(simulator_command(simulator()?).args(["--quirk", "list"]))?;
    let names: Vec<_> =
        text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    if names.is_empty() {
        return Ok(Counts::fail(
            "the simulator knows no quirk: nothing shows that its checkers see",
        ));
    }
    let turn = turn();
    let mut counts = Counts::default();
    for (_, name) in names.iter().enumerate().filter(|(i, _)| i % SHARE == turn % SHARE) {
        let (json, _) = sim(&["--quirk", name, "--for", QUIRK_TIME, "--no-shrink"])?;
        let code = json["exit_code"].as_i64().unwrap_or(0);
        let runs = json["runs"].as_array().map_or(0, Vec::len);
        println!("quirk {name}: exit {code} after {runs} runs");
        counts.add(if code == SAFETY || code == LIVENESS {
            passes_without(name, &json)?
        } else {
            Counts::fail(format!("quirk {name} was not caught: exit {code}"))
        });
    }
    Ok(counts)
}

/// The run that caught a quirk has to pass without it: else it caught something else.
fn passes_without(quirk: &str, caught: &Value) -> Result<Counts> {
    let seed = caught["failures"][0]["seed"].as_u64().context("a failure without a seed")?;
    let (json, _) = sim(&["--seed", &seed.to_string(), "--no-shrink"])?;
    let note =
        format!("quirk {quirk}: seed {seed} fails without it too, so it was not what failed");
    Ok(Counts::of(json["exit_code"] == 0, note))
}

/// How many commits there are: the share moves on with each.
fn turn() -> usize {
    let mut git = std::process::Command::new("git");
    git.current_dir(crate::root()).args(["rev-list", "--count", "HEAD"]);
    let counted = output(&mut git).ok().and_then(|(_, text)| text.trim().parse().ok());
    counted.unwrap_or(0)
}

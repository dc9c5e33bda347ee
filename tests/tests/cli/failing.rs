//! Failing runs: what is said of them, how they are grouped, shrunk and replayed; and what is set,
//! skipped and known. The files under `failing/` do not change with what seeds draw.

use super::{code, golden, results, root, scratch, sim, text};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The quirk that the files fail with.
const QUIRK: &str = "promote-not-refused";

fn fixture(name: &str) -> String {
    root().join("tests/tests/cli/failing").join(name).display().to_string()
}

/// What was said, without what depends on machine and folder.
fn plain(said: &str) -> String {
    let folder = format!("{}/", root().display());
    let mut out = String::new();
    let mut speed = false;
    for line in said.lines() {
        speed = line.starts_with("speed") || speed && line.starts_with(' ');
        if !speed {
            out += &format!("{}\n", line.replace(&folder, ""));
        }
    }
    out
}

fn said(folder: &Path, args: &[&str]) -> (i32, String) {
    let output = sim(folder, args);
    (code(&output), text(&output.stdout))
}

/// The command line of a `replay` or `shrunk` line, as words after `cargo xtask sim`.
fn command_in(said: &str, line: &str) -> Vec<String> {
    let line = said.lines().find(|it| it.trim_start().starts_with(line)).expect("the line");
    let (_, command) = line.split_once("cargo xtask sim ").expect("a command");
    let command = command.split("      (at").next().unwrap_or_default();
    command.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_failing_run_says_what_broke_and_how_to_see_it_again() {
    let folder = scratch("failing");
    let file = fixture("two-promote.toml");
    let run = ["--file", &file, "--seed", "2", "--quirk", QUIRK, "--no-shrink"];
    let (code, short) = said(&folder, &run);
    assert_eq!(code, 10, "{short}");
    golden("failing/short.txt", &plain(&short));
    let (code, full) = said(&folder, &[&run[..], &["--log", "full"]].concat());
    assert_eq!(code, 10, "{full}");
    golden("failing/full.txt", &without_packets(&plain(&full)));
    let (code, again) = said(&folder, &words(&command_in(&short, "replay")));
    assert_eq!(code, 10, "{again}");
}

/// Packets are spelled as the engine has them: no words of the command line.
fn without_packets(log: &str) -> String {
    let packet = |line: &&str| {
        line.starts_with("t=") && line.split_whitespace().nth(3).is_some_and(|part| part == "net")
    };
    log.lines().filter(|line| !packet(line)).map(|line| format!("{line}\n")).collect()
}

fn words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

#[test]
fn seeds_that_fail_the_same_way_are_one_failure() {
    let folder = scratch("grouped");
    let file = fixture("two-promote.toml");
    let run = ["--file", &file, "--seeds", "0..8", "--quirk", QUIRK, "--keep-going", "--no-shrink"];
    let (output, json) = results(&folder, &run);
    let report = plain(&text(&output.stdout));
    golden("failing/grouped.txt", &report);
    assert_eq!(report.lines().filter(|line| line.starts_with("FAIL  ")).count(), 1, "{report}");
    let failed = json["scenarios"]["failed"].as_u64().expect("a number");
    assert!(failed > 1, "{json:#}");
    assert_eq!(json["signatures"][0]["count"], failed);
    assert_eq!(json["signatures"][0]["promise"], "one-primary");
    assert_eq!(json["signatures"].as_array().map(Vec::len), Some(1));
    assert_eq!(json["failures"].as_array().map(Vec::len), Some(failed as usize));
}

/// Shrinks the noisy file; report and shrunk file.
fn shrunk(name: &str, jobs: &str) -> (PathBuf, String, String) {
    let folder = scratch(name);
    let file = fixture("noisy.toml");
    let run = ["--file", &file, "--seed", "1", "--quirk", QUIRK, "--jobs", jobs];
    let (code, report) = said(&folder, &run);
    assert_eq!(code, 10, "{report}");
    let command = command_in(&report, "shrunk");
    assert_eq!(command[0], "--file");
    let text = std::fs::read_to_string(folder.join(&command[1])).expect("the shrunk file");
    (folder, report, text)
}

#[test]
fn a_failing_plan_is_shrunk_to_what_matters_and_replays() {
    let (folder, report, file) = shrunk("shrunk", "2");
    let steps = file.matches("[[step]]").count();
    assert!(steps <= 2, "{steps} steps of a plan that needs one:\n{file}");
    assert!(file.contains("[replay]\nseed   = 1\ncommit = \"4f2c1d9\"\n"), "{file}");
    assert!(file.starts_with("# SAFETY one-primary\n"), "{file}");
    assert!(report.contains(" of 16 other seeds"), "{report}");
    // The file knows its seed and its quirk.
    let replay = command_in(&report, "shrunk");
    let (code, again) = said(&folder, &words(&replay));
    assert_eq!(code, 10, "{again}");
    assert!(again.contains("SAFETY one-primary"), "{again}");
    let (code, without) = said(&folder, &[&words(&replay)[..], &["--quirk", "none"]].concat());
    assert_eq!(code, 0, "{without}");
    // The same run shrinks to the same plan: it is told at once.
    let noisy = fixture("noisy.toml");
    let run = ["--file", &noisy, "--seed", "1", "--quirk", QUIRK, "--shrink-time", "1ms"];
    assert_eq!(plain(&said(&folder, &run).1), plain(&report));
}

#[test]
fn one_job_shrinks_to_what_two_do() {
    let (_, one, plan) = shrunk("shrunk-1", "1");
    let (_, two, other) = shrunk("shrunk-2", "2");
    assert_eq!(plan, other);
    assert_eq!(plain(&one), plain(&two));
}

#[test]
fn a_shrunk_file_of_another_commit_is_told_and_runs() {
    let (folder, report, file) = shrunk("other-commit", "2");
    let path = folder.join(&command_in(&report, "shrunk")[1]);
    let older = file.replace("commit = \"4f2c1d9\"", "commit = \"0000000\"");
    std::fs::write(&path, &older).expect("a file");
    let path = path.display().to_string();
    let output = sim(&folder, &["--file", &path]);
    assert_eq!(code(&output), 10);
    let warnings: Vec<_> = text(&output.stderr).lines().map(str::to_owned).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("was written at 0000000, this is 4f2c1d9"), "{warnings:?}");
    std::fs::write(&path, older.replace("schema  = 1", "schema  = 2")).expect("a file");
    assert_eq!(code(&sim(&folder, &["--file", &path])), 2);
}

#[test]
fn values_are_set_and_varied() {
    let folder = scratch("set");
    let file = fixture("two-promote.toml");
    let wrong = [
        "promote",
        "promotes.at=2s",
        "promote.at=2m",
        "promote.at=2",
        "vm-a.io.dept=3",
        "pool.hosts=alpha",
        "=3",
    ];
    let mut out = String::new();
    for set in wrong {
        let output = sim(&folder, &["--file", &file, "--set", set]);
        out += &format!("$ sim --set {set}\n{}", plain(&text(&output.stderr)));
        out += &format!("exit {}\n\n", code(&output));
    }
    let output = sim(&folder, &["--seed", "1", "--set", "vm-a.io.depth=3"]);
    out += &format!("$ sim --seed 1\n{}exit {}\n", text(&output.stderr), code(&output));
    golden("failing/set.txt", &out);

    let traces = |args: &[&str]| {
        let args = [&["--file", &file, "--quirk", "none"], args].concat();
        let json = results(&folder, &args).1;
        assert_eq!(json["exit_code"], 0, "{json:#}");
        json["runs"].as_array().expect("runs").iter().map(|run| run["trace_hash"].clone()).collect()
    };
    let plain: Vec<Value> = traces(&["--seed", "5"]);
    let set: Vec<Value> = traces(&["--seed", "5", "--set", "vm-a.io.rate=7"]);
    assert_ne!(plain, set);
    // What the file has anyway changes nothing.
    assert_eq!(plain, traces(&["--seed", "5", "--set", "vm-a.io.depth=1"]));
}

#[test]
fn a_seed_draws_what_may_vary_and_the_replay_line_says_it() {
    let folder = scratch("vary");
    let file = fixture("varies.toml");
    let run = |seed: &str| {
        said(&folder, &["--file", &file, "--seed", seed, "--quirk", QUIRK, "--no-shrink"])
    };
    let (code, zero) = run("0");
    assert!(!zero.contains("drawn  "), "{code} {zero}");
    let failing = ["1", "2", "3", "4", "5", "6", "7", "8"].into_iter().find(|it| run(it).0 == 10);
    let (_, report) = run(failing.expect("a seed that fails"));
    assert!(report.contains("  drawn    vm-a.io.rate="), "{report}");
    let command = command_in(&report, "replay");
    assert!(command.contains(&"--set".to_owned()), "{command:?}");
    let (code, again) = said(&folder, &[&words(&command)[..], &["--no-shrink"]].concat());
    assert_eq!(code, 10, "{again}");
}

#[test]
fn what_this_world_cannot_run_is_skipped_with_its_reason() {
    let folder = scratch("skipped");
    let mut out = String::new();
    for file in ["lab-only.toml", "needs-xapi.toml"] {
        let (output, json) = results(&folder, &["--file", &fixture(file)]);
        out += &format!("$ sim --file {file}\n{}", plain(&text(&output.stdout)));
        out += &format!("exit {}\n\n", code(&output));
        assert_eq!(json["scenarios"]["skipped"], 1);
        assert!(json["skips"][0]["because"].is_string());
    }
    golden("failing/skipped.txt", &out);
}

#[test]
fn a_known_failure_has_to_come() {
    let folder = scratch("known");
    let file = fixture("known.toml");
    let (output, json) = results(&folder, &["--file", &file]);
    let report = text(&output.stdout);
    assert_eq!(code(&output), 0, "{report}");
    let said = format!("known known  breaks one-primary with {QUIRK}, seed ");
    assert!(report.lines().any(|line| line.starts_with(&said)), "{report}");
    assert_eq!(report.lines().last(), Some("2 passed, 0 failed"));
    assert_eq!(json["known"][0]["breaks"], "one-primary");
    let other = std::fs::read_to_string(&file).expect("the file");
    let other = other.replace(QUIRK, "al-transaction-not-awaited");
    std::fs::write(folder.join("known.toml"), other).expect("a file");
    let (output, json) = results(&folder, &["--file", "known.toml"]);
    assert_eq!(code(&output), 14, "{}", text(&output.stdout));
    assert_eq!(json["failures"][0]["promise"], "known");
}

/// Where there are few columns no line is longer, but for commands: those are copied whole.
#[test]
fn sixty_columns_are_enough() {
    let folder = scratch("narrow");
    let file = fixture("two-promote.toml");
    let run = ["--file", &file, "--seed", "2", "--quirk", QUIRK, "--no-shrink"];
    let narrow = |args: &[&str]| {
        let mut command = super::command(&folder, args);
        let output = command.env("COLUMNS", "60").env("NO_COLOR", "1").output();
        text(&output.expect("the simulator starts").stdout)
    };
    let reports = [narrow(&run), narrow(&["flapping-link", "primary-isolated"])];
    for report in &reports {
        for line in report.lines().filter(|line| !line.contains("cargo xtask sim")) {
            // A word of its own may be a path.
            let breaks = line.trim().contains(' ');
            assert!(line.chars().count() <= 60 || !breaks, "{line}");
            assert!(!line.contains('\u{1b}'), "{line:?}");
        }
    }
    let whole = command_in(&reports[0], "replay");
    assert!(whole.ends_with(&["--quirk".to_owned(), QUIRK.to_owned()]), "{whole:?}");
    golden("failing/narrow.txt", &plain(&reports[0]));
}

#[test]
fn schema_and_reference_are_those_of_the_repository() {
    let folder = scratch("schema");
    for (flag, file) in [("--schema", "schema.json"), ("--reference", "REFERENCE.md")] {
        let output = sim(&folder, &[flag]);
        let kept = std::fs::read_to_string(root().join("scenarios").join(file)).expect("the file");
        assert_eq!((code(&output), text(&output.stdout)), (0, kept));
    }
}

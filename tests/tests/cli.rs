//! The command line: what it says, byte by byte, and how it ends. Golden texts are under `cli/`;
//! write them anew with `UPDATE_GOLDEN=1 cargo test -p tests --test cli` and read the difference
//! before committing it.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "starts the real binary")]

#[path = "cli/failing.rs"]
mod failing;
mod pictures;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// The root of the workspace.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// `cargo xtask …` without going through the alias, so that it works from any folder.
fn xtask(args: &[&str]) -> Output {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root()).env_remove("COLUMNS").env_remove("TIEBREAKER_SIM");
    let output = command.args(["run", "--quiet", "--package", "xtask", "--"]).args(args).output();
    output.expect("cargo starts")
}

/// The simulator, built if `cargo xtask test` has not said where it is.
fn simulator() -> &'static Path {
    static SIMULATOR: OnceLock<PathBuf> = OnceLock::new();
    SIMULATOR.get_or_init(|| {
        if let Some(path) = std::env::var_os("TIEBREAKER_SIM") {
            return path.into();
        }
        let listed = xtask(&["sim", "--list"]);
        assert!(listed.status.success(), "{}", text(&listed.stderr));
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        target.unwrap_or_else(|| root().join("target")).join("sim/release/sim")
    })
}

/// A folder of the test's own.
fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a scratch folder");
    folder
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(simulator());
    command
        .current_dir(folder)
        .env_remove("COLUMNS")
        .env("TIEBREAKER_ROOT", folder)
        .env("TIEBREAKER_COMMIT", "4f2c1d9")
        .args(args);
    command
}

fn sim(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().expect("the simulator starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

/// Runs and reads `--json`.
fn results(folder: &Path, args: &[&str]) -> (Output, Value) {
    let _ = std::fs::remove_file(folder.join("out.json"));
    let output = sim(folder, &[args, &["--json", "out.json"]].concat());
    let json = std::fs::read_to_string(folder.join("out.json")).expect("results");
    (output, serde_json::from_str(&json).expect("JSON"))
}

/// Compares with the golden text of this name.
fn golden(name: &str, actual: &str) {
    let path = root().join("tests/tests/cli").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, actual).expect("the golden text is writable");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let ends = std::iter::repeat("(the end)");
    let lines = actual.lines().chain(ends.clone()).zip(expected.lines().chain(ends));
    let length = actual.lines().count().max(expected.lines().count());
    let place = lines.take(length).enumerate().find(|(_, (said, wanted))| said != wanted);
    if let Some((line, (said, wanted))) = place {
        let place = format!("{}:{}", path.display(), line + 1);
        panic!("{place}: the text differs\n  said:   {said}\n  golden: {wanted}");
    }
    assert_eq!(actual, expected, "{} differs in how its lines end", path.display());
}

/// What was typed, what was said, how it ended.
fn transcript(folder: &Path, lines: &[&[&str]]) -> String {
    let mut out = String::new();
    for args in lines {
        let output = sim(folder, args);
        let said = text(&output.stdout) + &text(&output.stderr);
        out += &format!("$ sim {}\n{}exit {}\n\n", args.join(" "), said, code(&output));
    }
    out
}

#[test]
fn help_has_examples_and_exit_codes() {
    let folder = scratch("help");
    golden("sim-help.txt", &text(&sim(&folder, &["--help"]).stdout));
    golden("bench-help.txt", &text(&sim(&folder, &["bench", "--help"]).stdout));
    for verb in ["test", "bench", "tidy"] {
        let output = xtask(&[verb, "--help"]);
        golden(&format!("xtask-{verb}-help.txt"), &text(&output.stdout));
    }
    golden("xtask-help.txt", &text(&xtask(&["--help"]).stdout));
}

#[test]
fn bad_flags_say_where_and_what_to_do() {
    let said = transcript(
        &scratch("flags"),
        &[
            &["--bogus"],
            &["--seed", "x"],
            &["--seed", "18446744073709551616"],
            &["--seeds", "9..3"],
            &["--seed", "1", "--seeds", "0..2"],
            &["--for", "10"],
            &["--seeds", "5..5"],
            &["--jobs", "0"],
            &["--jobs", "many"],
            &["--log", "full"],
            &["--quirk", "no-such-quirk"],
            &["--family", "qorum"],
            &["--family", "quorum", "flapping-link"],
            &["flaping-link"],
            &["no/such/*"],
            &["--file", "absent.toml"],
            &["--seed", "1", "--json", "absent/out.json"],
            &["bench", "--json", "absent/out.json"],
        ],
    );
    golden("bad-flags.txt", &said);
}

/// Bytes that are no text are a bad flag as any other.
#[test]
fn arguments_need_not_be_text() {
    use std::os::unix::ffi::OsStrExt;
    let bytes = std::ffi::OsStr::from_bytes(b"a\xff");
    for first in [None, Some("--file"), Some("--seed"), Some("bench")] {
        let mut command = command(&scratch("bytes"), &[]);
        let output = command.args(first).arg(bytes).output().expect("the simulator starts");
        assert_eq!(code(&output), 2, "{}", text(&output.stderr));
        assert!(text(&output.stderr).starts_with("error: "), "{}", text(&output.stderr));
    }
}

#[test]
fn what_cannot_be_read_as_a_scenario_is_refused() {
    let folder = scratch("files");
    std::fs::create_dir(folder.join("folder.toml")).expect("a folder");
    std::fs::write(folder.join("bytes.toml"), b"schema = 1\n\xff\xfe").expect("a file");
    std::fs::write(folder.join("huge.toml"), vec![b' '; 2 << 20]).expect("a file");
    std::fs::write(folder.join("empty.toml"), b"").expect("a file");
    let files = ["folder.toml", "bytes.toml", "huge.toml", "empty.toml", "/dev/zero"];
    let lines = files.map(|file| ["--file", file]);
    let lines: Vec<&[&str]> = lines.iter().map(|line| line.as_slice()).collect();
    golden("bad-files.txt", &transcript(&folder, &lines));
}

#[test]
fn bad_arguments_of_xtask_are_told_before_anything_is_built() {
    let json = ["--json", "/no/such/folder/out.json"];
    for args in [
        &[&["test", "--only", "tidy"], &json[..]].concat()[..],
        &[&["tidy"], &json[..]].concat(),
        &["test", "--only", "nothing"],
        &["test", "--bogus"],
        &["bogus"],
    ] {
        let output = xtask(args);
        let said = text(&output.stderr);
        assert_eq!((code(&output), text(&output.stdout)), (2, String::new()), "{args:?}: {said}");
        assert!(said.starts_with("error: "), "{said}");
    }
}

#[test]
fn bad_scenarios_say_where_and_what_to_do() {
    let files = root().join("tests/tests/cli/bad");
    let mut names: Vec<_> = std::fs::read_dir(&files)
        .expect("bad scenarios")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert!(names.len() >= 5);
    let lines: Vec<_> = names.iter().map(|name| ["--file", name.as_str()]).collect();
    let lines: Vec<&[&str]> = lines.iter().map(|line| line.as_slice()).collect();
    golden("bad-scenarios.txt", &transcript(&files, &lines));
}

/// The families, and what reaching nothing looks like.
#[test]
fn families_are_listed_and_drawn_from() {
    let folder = scratch("families");
    golden("families.txt", &text(&sim(&folder, &["--family", "list"]).stdout));
    let (output, json) = results(&folder, &["--family", "beyond", "--seeds", "0..2"]);
    let said = text(&output.stdout);
    assert_eq!(code(&output), 0, "{said}");
    assert!(said.contains("2 plans beyond the budget, safety only"), "{said}");
    assert_eq!((&json["safety_only"], &json["drawn"]), (&2.into(), &2.into()));
    let failing = sim(&folder, &["--family", "power", "--seed", "3", "--drill", "panic"]);
    let said = text(&failing.stdout);
    assert!(said.contains("replay   cargo xtask sim --family power --seed 3"), "{said}");
    assert!(said.contains("see      target/sim/runs/power-3/"), "{said}");
}

#[test]
fn scenarios_are_listed() {
    golden("list.txt", &text(&sim(&scratch("list"), &["--list"]).stdout));
}

/// Every promise is shown to bite by at least one bug that can be put back.
#[test]
fn quirks_are_listed_with_the_promise_that_catches_them() {
    let output = sim(&scratch("quirks"), &["--quirk", "list"]);
    assert_eq!(code(&output), 0);
    let list = text(&output.stdout);
    let words: Vec<Vec<&str>> =
        list.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    for promise in [
        "acked-write-survives",
        "reads-are-fresh",
        "uptodate-means-identical",
        "one-primary",
        "quorum-is-exclusive",
        "io-resumes",
        "resync-finishes",
        "no-forbidden-state",
        "split-brain-is-detected-on-both-sides",
        "no-needless-split-brain",
        "no-needless-full-sync",
        "outdated-never-promotes",
        "last-good-copy-kept",
        "bitmap-drains",
        "one-view-after-settling",
        "metadata-survives-crash",
        "no-io-after-power-loss",
    ] {
        let bites = words.iter().any(|row| row.get(1) == Some(&promise));
        assert!(bites, "no quirk breaks {promise}:\n{list}");
    }
}

#[test]
fn a_run_passes_and_says_so_to_people_and_programs() {
    let folder = scratch("pass");
    let (output, json) =
        results(&folder, &["storage-switch-reboots-under-load", "--seeds", "0..2"]);
    let said = text(&output.stdout);
    assert_eq!(code(&output), 0, "{said}");
    assert!(said.starts_with("ok    storage-switch-reboots-under-load"), "{said}");
    assert_eq!(said.lines().last(), Some("2 passed, 0 failed"));
    assert_eq!(json["scenarios"]["passed"], 2);
    assert_eq!(json["scenarios"]["failed"], 0);
    assert_eq!(json["scenarios"]["skipped"], 0);
    assert_eq!(json["seeds"], 2);
    for number in ["sim_seconds", "cpu_seconds", "events"] {
        assert!(json[number].as_f64().is_some_and(|n| n > 0.0), "{number} in {json:#}");
    }
    assert_eq!(json["runs"][1]["name"], "storage-switch-reboots-under-load");
    assert_eq!(json["runs"][1]["seed"], 1);
    assert!(json["runs"][1]["trace_hash"].as_str().is_some_and(|hash| hash.starts_with("0x")));
    assert!(json["promises"]["one-primary"].as_u64().is_some_and(|times| times > 0));
    assert!(json["excused"].is_object());
    let recovery = json["recovery"].as_object().expect("times to recover");
    assert!(recovery.values().all(|it| it["p50_s"].is_number() && it["p99_s"].is_number()));
    assert!(!recovery.is_empty());
    assert_eq!(json["failures"].as_array().map(Vec::len), Some(0));
}

#[test]
fn one_job_and_two_give_the_same_traces_in_the_same_order() {
    let one = results(&scratch("jobs-1"), &["--seeds", "0..8", "--jobs", "1"]).1;
    let two = results(&scratch("jobs-2"), &["--seeds", "0..8", "--jobs", "2"]).1;
    assert_eq!(one["runs"].as_array().map(Vec::len), Some(8));
    assert_eq!(one["runs"], two["runs"]);
    assert_eq!(one["marks"], two["marks"]);
    let points = one["marks"]["points"].as_object().expect("fist points by name");
    assert!(points["drbd.role.promote.done"].as_u64().is_some_and(|runs| runs > 4));
    assert!(one["marks"]["sometimes"]["primary.up-to-date"].as_u64() > Some(0));
}

/// Drills: runs that misbehave on purpose, one for each way of ending badly.
#[test]
fn exit_codes_say_what_went_wrong() {
    let folder = scratch("codes");
    let ends = |args: &[&str], expected: i32, words: &[&str]| {
        let (output, json) = results(&folder, args);
        let said = text(&output.stdout);
        assert_eq!(code(&output), expected, "{said}");
        words.iter().for_each(|word| assert!(said.contains(word), "{word:?} is not in {said}"));
        assert_eq!(said.lines().last(), Some("0 passed, 1 failed"));
        assert_eq!(json["exit_code"], expected);
        assert_eq!(json["failures"].as_array().map(Vec::len), Some(1));
    };
    let replay = "replay   cargo xtask sim --seed 3 --drill";
    ends(&["--seed", "3", "--drill", "panic"], 12, &["PANIC", "a drill", "backtrace", replay]);
    ends(&["--seed", "3", "--drill", "die"], 12, &["PANIC", "SIGABRT", "(at 4f2c1d9)"]);
    ends(&["--seed", "3", "--drill", "greed"], 12, &["SIGABRT", "memory allocation of"]);
    let hang = ["--seed", "3", "--drill", "hang", "--wall-limit", "1s"];
    ends(&hang, 11, &["LIMIT", "was killed"]);
    let drift = ["--seed", "3", "--drill", "drift", "--twice"];
    ends(&drift, 13, &["NOT DETERMINISTIC", "the first event that differs", "this is process"]);
}

#[test]
fn a_failing_run_is_kept_and_its_plan_runs_again() {
    let folder = scratch("kept");
    let output = sim(&folder, &["--seed", "0x5eed91c4", "--drill", "panic"]);
    assert!(text(&output.stdout).contains("see      target/sim/runs/0x5eed91c4/scenario.toml"));
    let kept = folder.join("target/sim/runs/0x5eed91c4");
    let report = std::fs::read_to_string(kept.join("report.txt")).expect("the report");
    assert!(report.starts_with("FAIL  drawn plan  seed 0x5eed91c4"), "{report}");
    let file = "target/sim/runs/0x5eed91c4/scenario.toml";
    let drawn = results(&folder, &["--seed", "0x5eed91c4"]).1;
    let read = results(&folder, &["--file", file, "--seed", "0x5eed91c4"]).1;
    assert_eq!(drawn["runs"][0]["trace_hash"], read["runs"][0]["trace_hash"]);
}

/// A full disk, say: the verdict comes all the same, and says what is missing.
#[test]
fn a_run_that_cannot_be_kept_is_reported() {
    let folder = scratch("not-kept");
    std::fs::write(folder.join("target"), "a file where the folder would be").expect("a file");
    let failing = sim(&folder, &["--seed", "3", "--drill", "panic"]);
    let said = text(&failing.stdout);
    assert_eq!(code(&failing), 12, "{said}");
    assert!(said.contains("note     not kept: target/sim/runs/3/scenario.toml"), "{said}");
    assert!(!said.contains("not deterministic") && !said.contains("see  "), "{said}");
    let drift = sim(&folder, &["--seed", "3", "--drill", "drift", "--twice"]);
    let said = text(&drift.stdout);
    assert!(said.contains("note     not kept: target/sim/runs/3"), "{said}");
    let logged = sim(&folder, &["--seed", "3", "--log", "full"]);
    // The verdict is what the exit code is about.
    assert_eq!((code(&logged), text(&logged.stdout).lines().count() > 3), (0, true));
    assert!(text(&logged.stderr).contains("no log: target/sim/runs/last"));
}

/// Results that cannot be written take nothing from the verdict.
#[test]
fn results_that_cannot_be_written_hide_no_failure() {
    let folder = scratch("json-full");
    let run = ["--seed", "3", "--no-shrink", "--json", "/dev/full"];
    let ends = |args: &[&str], expected: i32, word: &str| {
        let output = sim(&folder, &[&run[..], args].concat());
        let said = text(&output.stdout);
        assert_eq!(code(&output), expected, "{said}");
        assert!(said.contains(word), "{word:?} is not in {said}");
        assert!(text(&output.stderr).contains("error: --json /dev/full: "), "{said}");
    };
    ends(&["--drill", "panic"], 12, "PANIC");
    ends(&[], 1, "1 passed, 0 failed");
}

/// The bound is for one run; a panic, whose backtrace takes more, is no part of it.
#[test]
fn a_run_stays_within_its_memory() {
    let folder = scratch("memory");
    let (_, json) = results(&folder, &["--seeds", "0..12", "--jobs", "1"]);
    let peak = json["peak_mib"].as_f64().expect("a peak");
    assert!(peak > 1.0 && peak < 150.0, "{peak} MiB");
}

#[test]
fn every_event_can_be_printed() {
    let folder = scratch("log");
    let output = sim(&folder, &["primary-isolated", "--log", "full"]);
    let said = text(&output.stdout);
    assert_eq!(code(&output), 0, "{said}");
    let events = said.lines().take_while(|line| line.starts_with("t=")).count();
    assert!(events > 100, "{events} events in {said}");
    assert_eq!(said.lines().last(), Some("1 passed, 0 failed"));
}

#[test]
fn ctrl_c_ends_with_a_summary() {
    let folder = scratch("interrupt");
    // Runs that never end: the summary comes although they are under way.
    let child = command(&folder, &["--for", "60s", "--drill", "hang"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the simulator starts");
    std::thread::sleep(Duration::from_secs(2));
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.expect("kill starts").success());
    let output = child.wait_with_output().expect("an end");
    let said = text(&output.stdout);
    assert_eq!(code(&output), 130, "{said}");
    assert!(said.contains("interrupted"), "{said}");
    assert_eq!(said.lines().last(), Some("0 passed, 0 failed"));
}

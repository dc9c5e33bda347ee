//! What is kept of a run: `events.jsonl`, `trace.perfetto.json`, `report.html`, and what is said
//! when it cannot be kept. (That the page draws in a browser is a part of `cargo xtask test` of its
//! own.)

use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

/// Two copies, a tie-breaker, a VM; a link that is cut for a while.
const SMALL: &str = r#"
schema  = 1
name    = "small"
promise = ["one-primary"]
horizon = "40s"

[pool]
hosts = ["alpha", "bravo", "charlie"]

[[resource]]
name       = "vol-a"
size       = "8MiB"
diskful    = ["alpha", "bravo"]
tiebreaker = "charlie"
options    = { quorum = "majority", on-no-quorum = "suspend-io" }

[[vm]]
name = "vm-a"
on   = "alpha"
vdi  = "vol-a"
io   = { write = 8, read = 2, flush = 1, block = "4KiB..8KiB", depth = 2, rate = 20 }

[[step]]
at = "2s"
do = { cut = { from = "alpha", to = "bravo" } }

[[step]]
at = "20s"
do = { mend = { from = "alpha", to = "bravo" } }
"#;

/// Its file's name is outside data like any other.
const NAME: &str = "a<b onload=x>&'.toml";

/// Runs it with its pictures; the folder in which they are.
fn small(name: &str) -> PathBuf {
    let folder = scratch(name);
    std::fs::write(folder.join(NAME), SMALL).expect("a scenario");
    let output = sim(&folder, &["--file", NAME, "--seed", "7", "--trace", "--html"]);
    let said = text(&output.stdout);
    assert_eq!(code(&output), 0, "{said}");
    let place = said.lines().find_map(|line| line.strip_prefix("  see      "));
    let place = place.and_then(|line| line.split_once("report.html")).expect("where they are").0;
    assert!(said.contains("trace.perfetto.json") && said.contains("events.jsonl"), "{said}");
    folder.join(place)
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).expect(name)
}

/// Words with digits in them as `N`: what is left is the shape.
fn masked(line: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    for c in line.chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() {
            word.push(c);
            continue;
        }
        let number = word.bytes().any(|byte| byte.is_ascii_digit());
        out.push_str(if number { "N" } else { &word });
        word.clear();
        out.push(c);
    }
    out
}

#[test]
fn events_are_lines_of_json_with_a_header() {
    let lines = read(&small("events"), "events.jsonl");
    let mut shapes = BTreeMap::new();
    let mut before = 0;
    for (i, line) in lines.lines().enumerate() {
        let event: Value = serde_json::from_str(line).expect("JSON");
        let at = event["t_ns"].as_u64().expect("a time");
        assert!(at >= before, "{line}");
        before = at;
        let word = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        assert!(!word("source").is_empty(), "{line}");
        assert_eq!(word("kind") == "header", i == 0, "{line}");
        shapes.entry((word("kind"), word("track"))).or_insert_with(|| masked(line));
    }
    golden("pictures-events.txt", &shapes.into_values().collect::<String>());
}

#[test]
fn the_trace_is_whole() {
    let text = read(&small("trace"), "trace.perfetto.json");
    let trace: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(trace["otherData"]["verdict"], "passed");
    let events = trace["traceEvents"].as_array().expect("events");
    let mut named = BTreeMap::new();
    let mut used = BTreeSet::new();
    let mut flows: BTreeMap<u64, String> = BTreeMap::new();
    let mut open: BTreeMap<u64, i64> = BTreeMap::new();
    for event in events {
        let ph = event["ph"].as_str().expect("a phase");
        let (pid, tid) = (event["pid"].as_u64().expect("pid"), event["tid"].as_u64().expect("tid"));
        assert!(event["ts"].as_f64().is_some_and(|ts| ts >= 0.0), "{event}");
        let id = || event["id"].as_u64().expect("an id");
        match ph {
            "M" if event["name"] == "thread_name" => {
                let name = event["args"]["name"].as_str().expect("a name").to_owned();
                assert_eq!(named.insert((pid, tid), name), None);
            }
            "M" => {}
            "X" => assert!(event["dur"].as_f64().is_some_and(|dur| dur >= 0.0), "{event}"),
            "i" => assert!(["g", "t"].contains(&event["s"].as_str().unwrap_or_default())),
            "C" => assert!(event["args"]["value"].is_u64(), "{event}"),
            "s" | "t" | "f" => flows.entry(id()).or_default().push_str(ph),
            "b" => *open.entry(id()).or_default() += 1,
            "e" => *open.entry(id()).or_default() -= 1,
            other => panic!("an event of kind {other}"),
        }
        if !["M", "C"].contains(&ph) {
            used.insert((pid, tid));
        }
    }
    assert!(open.values().all(|open| *open == 0) && !open.is_empty());
    let whole = |flow: &String| {
        let steps = flow.trim_start_matches('s').trim_end_matches('f');
        flow.starts_with('s') && flow.ends_with('f') && steps.bytes().all(|byte| byte == b't')
    };
    assert!(flows.values().all(whole) && flows.len() > 100, "{} flows", flows.len());
    assert!(used.iter().all(|place| named.contains_key(place)));
    let threads: Vec<String> =
        named.iter().map(|((pid, _), name)| format!("{pid:>3} {name}\n")).collect();
    golden("pictures-threads.txt", &threads.concat());
}

/// Slices of one thread either follow each other or lie within each other.
#[test]
fn slices_do_not_overlap() {
    let text = read(&small("slices"), "trace.perfetto.json");
    let trace: Value = serde_json::from_str(&text).expect("JSON");
    let mut ends: BTreeMap<(u64, u64), f64> = BTreeMap::new();
    for event in trace["traceEvents"].as_array().expect("events") {
        if event["ph"] != "X" {
            continue;
        }
        let number = |key: &str| event[key].as_f64().expect("a number");
        let place = (event["pid"].as_u64().expect("pid"), event["tid"].as_u64().expect("tid"));
        let (from, to) = (number("ts"), number("ts") + number("dur"));
        let end = ends.entry(place).or_default();
        assert!(from >= *end - 1e-6 || to <= *end + 1e-6, "{event} begins before {end}");
        *end = end.max(to);
    }
    assert!(ends.len() > 10);
}

#[test]
fn the_page_needs_nothing_and_runs_nothing_that_it_was_told() {
    let page = read(&small("page"), "report.html");
    for outside in ["http:", "https:", " src=", "@import", "<link", "<iframe", "<img", "<object"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert_eq!(page.matches("url(").count(), page.matches("url(#").count());
    assert!(page.len() < 1 << 20, "{} bytes", page.len());
    assert!(page.contains("a&lt;b onload=x&gt;&amp;") && !page.contains("<b onload"));
    for said in ["PASSED", "small", "cargo xtask sim --file", "UpToDate", "P_UUIDS110"] {
        assert!(page.contains(said), "{said}");
    }
    assert_eq!(page, read(&small("page-again"), "report.html"), "same seed, same bytes");
}

#[test]
fn what_cannot_be_kept_is_said_and_takes_nothing_from_the_rest() {
    let folder = scratch("half-kept");
    // One file cannot be written, the others can.
    std::fs::create_dir_all(folder.join("target/sim/runs/flapping-link-3/report.html/x"))
        .expect("");
    let output = sim(&folder, &["flapping-link", "--seed", "3", "--html"]);
    let said = text(&output.stdout);
    assert_eq!(code(&output), 0, "{said}");
    let note = said.lines().find(|line| line.starts_with("  note     not kept: ")).expect("a note");
    assert!(note.contains("flapping-link-3/report.html: "), "{note}");
    assert!(said.contains("remedy: make room"), "{said}");
    assert!(
        said.contains("  see      target/sim/runs/flapping-link-3/trace.perfetto.json"),
        "{said}"
    );
    assert_eq!(said.lines().last(), Some("1 passed, 0 failed"));
}

#[test]
fn results_that_cannot_be_printed_are_no_success() {
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        return println!("skipped, because this machine has no /dev/full");
    };
    let folder = scratch("full");
    for (args, expected) in [
        (&["--seed", "3"][..], 1),
        (&["--list"], 1),
        (&["--help"], 1),
        (&["--quirk", "list"], 1),
        (&["--seed", "3", "--drill", "panic"], 12),
    ] {
        let full = full.try_clone().expect("one more");
        let output = command(&folder, args).stdout(full).output().expect("it starts");
        let said = text(&output.stderr);
        assert_eq!(code(&output), expected, "{args:?}: {said}");
        assert_eq!(args[0] == "--seed", said.contains(" failed\n"), "{args:?}: {said}");
        assert!(said.contains("error: stdout: No space left on device"), "{args:?}: {said}");
    }
}

//! The engine beside the DRBD of a real kernel: scripts that were played on guests are played on
//! two modelled hosts, and everything that can be seen is compared: roles, connection, disk and
//! replication states of each host in their order, what commands were refused, what is out of sync
//! at rest, and every block at the end. Not compared: generation UUIDs and two-phase commits, which
//! 8.4 and 9 do not share.
//!
//! A difference that is accepted has a line in `kernel/accepted.txt`; any other fails, and so does
//! a line that nothing needs.
#![cfg(not(madsim))]
#![allow(clippy::disallowed_methods, reason = "a test reads its files")]

#[path = "conformance_kernel/accepted.rs"]
mod accepted;
#[path = "conformance_kernel/compare.rs"]
mod compare;
#[path = "conformance_kernel/pair.rs"]
mod pair;
#[path = "conformance_kernel/policies.rs"]
mod policies;

use accepted::Accepted;
use images::script::{self, Script};
use images::transcript::Transcript;
use std::collections::BTreeMap;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/kernel")
}

/// Every script with its transcript.
fn recordings() -> Vec<(Script, Transcript)> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder()).unwrap().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|ending| ending != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for script in script::read(&path.display().to_string(), &text).unwrap() {
            let file = folder().join(format!("{}.jsonl", script.name));
            let kept = std::fs::read_to_string(&file);
            let kept = kept.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            all.insert(script.name.clone(), (script, Transcript::read(&kept).unwrap()));
        }
    }
    all.into_values().collect()
}

#[test]
fn the_engine_does_what_the_kernel_does() {
    let text = std::fs::read_to_string(folder().join("accepted.txt")).unwrap();
    let mut accepted = Accepted::read(&text).unwrap();
    let (mut wrong, mut played) = (Vec::new(), 0);
    for (script, transcript) in recordings() {
        match compare::compare(&script, &transcript) {
            Ok(differences) => {
                played += 1;
                wrong.extend(differences.iter().filter_map(|it| accepted.judge(it)));
            }
            Err(why) => wrong.extend(accepted.judge_unplayed(&script.name, &why)),
        }
    }
    wrong.extend(accepted.unused());
    println!("{played} scripts are the same on the engine, but for what is accepted");
    assert!(wrong.is_empty(), "not accepted:\n{}", wrong.join("\n"));
    assert!(played >= 10, "only {played} scripts were played");
}

//! The files under `tests/replay/`: each reads, says what it replays, and is called as its file is.
//! That each is run, and runs as it says, is the part `replay` of `cargo xtask test`.
#![allow(clippy::disallowed_methods, reason = "a test that reads the folder")]

use scenarios::{read, write};
use std::path::Path;

#[test]
fn every_replay_says_what_it_replays() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/replay");
    let mut found = 0;
    for entry in std::fs::read_dir(&folder).expect("the folder of replays") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a readable file");
        let scenario = read(&name, &text).unwrap_or_else(|error| panic!("{error}"));
        let stem = name.strip_suffix(".toml").unwrap_or_else(|| panic!("{name}: nobody runs it"));
        assert_eq!(scenario.name, stem);
        assert!(scenario.replay.is_some(), "{name}: it lacks [replay]");
        let header = text.lines().take_while(|line| line.starts_with('#')).count();
        assert!(header >= 3, "{name}: the comment at the top says what happens");
        found += 1;
    }
    assert!(found >= 8, "{found} replays");
}

/// What people do to a shrunk file before they send it on: keys go, values become absurd. It is
/// refused with a place and a remedy, or it can be run.
#[test]
fn a_replay_that_was_edited_by_hand_reads_or_says_where() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/replay");
    let absurd = [
        "-1",
        "0",
        "99999999999999999999",
        "\"\"",
        "\"1h..1s\"",
        "[]",
        "{}",
        "true",
        "\"\\u0000\"",
        "1e309",
    ];
    let mut refused = 0;
    for entry in std::fs::read_dir(&folder).expect("the folder of replays") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a readable file");
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) else {
                continue;
            };
            let changed = |line: &str| {
                let mut lines = lines.clone();
                lines[at] = line;
                lines.join("\n")
            };
            refused += check(&changed(""));
            for value in absurd {
                refused += check(&changed(&format!("{key} = {value}")));
            }
        }
    }
    assert!(refused > 100, "{refused} were refused");
}

/// 1 if it is refused.
fn check(text: &str) -> usize {
    match read("edited.toml", text) {
        Ok(scenario) => {
            assert_eq!(read("again.toml", &write(&scenario)), Ok(scenario));
            0
        }
        Err(error) => {
            let lines = text.lines().count() + 1;
            assert!((1..=lines).contains(&error.line) && error.column >= 1, "{error}\n{text}");
            assert!(!error.what.is_empty() && !error.remedy.is_empty(), "{error}");
            1
        }
    }
}

//! The files of this repository: the compiled-in list is complete, every file reads, and its name
//! is its file name.
#![allow(clippy::disallowed_methods, reason = "a test that reads the folder")]

use scenarios::{BUILTIN, read, read_with, varied};
use std::collections::BTreeSet;
use std::path::Path;

fn files_under(dir: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).expect("the scenarios folder is readable") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files_under(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "toml") && !path.ends_with("Cargo.toml")
        {
            found.push(path.to_string_lossy().into_owned());
        }
    }
}

#[test]
fn the_list_is_the_folder() {
    let mut found = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for family in std::fs::read_dir(root).expect("the scenarios folder") {
        let family = family.expect("an entry").path();
        let name = family.file_name().expect("a name").to_string_lossy().into_owned();
        if family.is_dir() && !["src", "tests", "target"].contains(&name.as_str()) {
            files_under(&family, &mut found);
        }
    }
    let prefix = format!("{}/", root.display());
    let mut found: Vec<_> =
        found.iter().map(|file| file.replacen(&prefix, "scenarios/", 1)).collect();
    found.sort();
    let listed: Vec<_> = BUILTIN.iter().map(|file| file.path.to_owned()).collect();
    assert_eq!(listed, found, "add the file to scenarios/src/builtin.rs");
}

#[test]
fn every_file_reads_and_says_what_it_is() {
    for file in BUILTIN {
        let scenario = read(file.path, file.text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(scenario.name, file.name(), "{}", file.path);
        assert!(!scenario.promise.is_empty(), "{}: which promises is it about?", file.path);
        assert!(!scenario.expect.is_empty(), "{}: what tells that it happened?", file.path);
        let wide = file.text.lines().find(|line| line.chars().count() > 100);
        assert_eq!(wide, None, "{}: more than 100 columns", file.path);
        let header: Vec<_> = file.text.lines().take_while(|line| line.starts_with('#')).collect();
        assert!(header.len() >= 4, "{}: a header says goal, topology and method", file.path);
    }
}

#[test]
fn whatever_a_seed_varies_reads() {
    for file in BUILTIN {
        let scenario = read(file.path, file.text).unwrap_or_else(|error| panic!("{error}"));
        assert!(!scenario.vary.is_empty(), "{}: what may a seed vary?", file.path);
        for seed in 0..12u64 {
            // Not chance, but all over the place.
            let below = |path: &str, n: u64| {
                path.bytes().fold(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), |sum, byte| {
                    (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(17)
                }) % n
            };
            let settings = varied(&scenario.vary, seed, below);
            let again = read_with(file.path, file.text, &settings);
            assert_eq!(seed == 0, settings.is_empty());
            again.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
    }
}

/// Files in backticks in the second column of COVERAGE.md: those that are there, and no other.
#[test]
fn the_table_of_incidents_names_every_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("COVERAGE.md")).expect("the table");
    let (text, _) = text.split_once(UPSTREAM).expect("LINBIT's tests");
    let cells = second_column(text);
    let named: BTreeSet<&str> = cells.iter().flat_map(|cell| in_backticks(cell)).collect();
    let files: BTreeSet<&str> = BUILTIN.iter().map(scenarios::Builtin::family_and_name).collect();
    assert_eq!(named, files, "COVERAGE.md and the folders differ");
    assert!(cells.iter().all(|cell| !cell.trim().is_empty()), "a row without file and reason");
}

/// Where the names of LINBIT's tests begin.
const UPSTREAM: &str = "## LINBIT's tests";

fn second_column(text: &str) -> Vec<&str> {
    let rows = text.lines().filter(|line| line.starts_with("| "));
    rows.filter_map(|row| row.split('|').nth(2)).collect()
}

fn in_backticks(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// What plays LINBIT's tests is there: a scenario, or a function that is a test of the engine.
#[test]
fn what_plays_linbits_tests_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("COVERAGE.md")).expect("the table");
    let (_, text) = text.split_once(UPSTREAM).expect("LINBIT's tests");
    let files: BTreeSet<&str> = BUILTIN.iter().map(scenarios::Builtin::family_and_name).collect();
    let mut played = 0;
    for name in second_column(text).into_iter().flat_map(in_backticks) {
        let Some((file, test)) = name.split_once("::") else {
            assert!(files.contains(name) || name.starts_with("cargo "), "no scenario {name}");
            continue;
        };
        let path = root.join("../nodes/drbd/tests").join(file);
        let code = std::fs::read_to_string(&path).unwrap_or_else(|_| panic!("no file {file}"));
        let found = code.contains(&format!("#[test]\nfn {test}()"));
        assert!(found, "{file} has no test {test}");
        played += 1;
    }
    assert!(played > 50, "{played}");
}

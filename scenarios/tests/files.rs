//! The files of this repository: the compiled-in list is complete, every file reads, and its name
//! is its file name.
#![allow(clippy::disallowed_methods, reason = "a test that reads the folder")]

use scenarios::{BUILTIN, read};
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
        let header: Vec<_> = file.text.lines().take_while(|line| line.starts_with('#')).collect();
        assert!(header.len() >= 4, "{}: a header says goal, topology and method", file.path);
    }
}

//! What `--plan` prints: packages, image, machines, configuration, steps. Text in, text out;
//! `UPDATE_GOLDEN=1` writes what is printed today.
#![allow(clippy::disallowed_methods, reason = "a test reads its files")]

use images::{plan, script};
use std::path::{Path, PathBuf};

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn check(golden: &str, text: &str) {
    let file = here().join("tests").join(golden);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text, expected, "{} is not what is printed", file.display());
}

fn scripts(path: &Path) -> Vec<script::Script> {
    script::read("x.toml", &std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn a_build_is_planned() {
    check("build.txt", &plan::build());
}

#[test]
fn a_recording_is_planned() {
    let scripts = scripts(&here().join("tests/script.toml"));
    assert_eq!(scripts.len(), 2, "two variants");
    check("record.txt", &plan::record(&scripts[1]));
}

/// What guests cannot play is refused when the file is read, not when a machine waits.
#[test]
fn what_guests_cannot_play_is_refused() {
    let good = std::fs::read_to_string(here().join("tests/script.toml")).unwrap();
    let refused = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        let error = script::read("x.toml", &good.replace(from, to)).unwrap_err();
        format!("{error:#}")
    };
    let error = refused("after = \"promote\"\nwait  = \"1s\"", "at = \"5s\"");
    assert!(error.contains("strikes at a time"), "{error}");
    let error = refused("id    = \"off\"\n", "");
    assert!(error.contains("needs an id"), "{error}");
    let error = refused("[kernel]", "[kernel]\nfrsh = true");
    assert!(error.contains("frsh"), "{error}");
    let error = refused("size    = \"16MiB\"", "size    = \"16MiB\"\nvolumes = 2");
    assert!(error.contains("one volume"), "{error}");
}

//! `drbdadm` where it needs no kernel: `tests/data/drbdadm.txt` has configurations behind `|`,
//! arguments behind `>`, and below what the tool says. The answers are those of drbd-utils 9.22:
//! the conformance tests ask the real tool, where it is installed.
//! `UPDATE_GOLDEN=1 cargo test -p kernel --test drbdadm` writes ours.

#![allow(clippy::disallowed_methods)] // tests read their golden files

use kernel::commands::{dry_drbdadm, split};
use kernel::res::{Files, dump_all, parse};
use proptest::prelude::*;
use std::fmt::Write;

const CONFIG: &str = "/etc/drbd.conf";

fn file(text: &str) -> Files {
    Files::from([(CONFIG.to_owned(), text.to_owned())])
}

fn retold(cases: &str) -> String {
    let mut out = String::new();
    let mut config = String::new();
    let mut head = true;
    for line in cases.lines() {
        head &= !line.starts_with("==");
        if line.starts_with("==") {
            config.clear();
        }
        if let Some(text) = line.strip_prefix('|') {
            config += text.strip_prefix(' ').unwrap_or(text);
            config.push('\n');
        }
        if head || line.starts_with("==") || line.starts_with('|') {
            let _ = writeln!(out, "{line}");
        }
        let Some(args) = line.strip_prefix("> ") else { continue };
        let _ = writeln!(out, "{line}");
        let said = dry_drbdadm(&file(&config), "alpha", &split(args).unwrap());
        out += &said.out;
        for line in said.err.lines() {
            let _ = writeln!(out, "E {line}");
        }
        if said.code != 0 {
            let _ = writeln!(out, "exit {}", said.code);
        }
    }
    out
}

#[test]
fn answers_are_those_of_the_tool() {
    let path = format!("{}/tests/data/drbdadm.txt", env!("CARGO_MANIFEST_DIR"));
    let cases = std::fs::read_to_string(&path).unwrap();
    let told = retold(&cases);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &told).unwrap();
        return;
    }
    assert!(told == cases, "told differently:\n{told}");
}

/// Lines of configurations as they may be found, to be cut and mixed.
const WORDS: &[&str] = &[
    "resource",
    "a",
    "{",
    "}",
    ";",
    "on",
    "alpha",
    "bravo",
    "node-id",
    "0",
    "volume",
    "device",
    "minor",
    "1000",
    "disk",
    "/dev/a",
    "meta-disk",
    "internal",
    "address",
    "ipv4",
    "1.2.3.4:7000",
    "[",
    "]",
    "net",
    "options",
    "ping-int",
    "10",
    "99999999999999999999",
    "common",
    "global",
    "usage-count",
    "no",
    "connection",
    "host",
    "connection-mesh",
    "hosts",
    "path",
    "include",
    "\"drbd.conf\"",
    "\"*\"",
    "skip",
    "floating",
    "ipv6",
    "\"open",
    "#",
    "\n",
    "quorum",
    "-1k",
    "handlers",
    "startup",
    "wfc-timeout",
    "none",
    "template-file",
    "flexible-meta-disk",
];

proptest! {
    #[test]
    fn nothing_makes_the_parser_panic(words in prop::collection::vec(0..WORDS.len(), 0..60)) {
        let text: Vec<&str> = words.into_iter().map(|word| WORDS[word]).collect();
        let files = file(&text.join(" "));
        if let Ok(config) = parse(&files, CONFIG) {
            dump_all(&config, "alpha");
            for args in [&["-d", "up", "all"][..], &["-d", "adjust", "all"], &["sh-dev", "all"]] {
                let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
                dry_drbdadm(&files, "alpha", &args);
            }
        }
    }

    #[test]
    fn nor_does_any_text(text in ".{0,200}") {
        let _ = parse(&file(&text), CONFIG);
    }

    #[test]
    fn what_is_dumped_is_read_as_the_same(words in prop::collection::vec(0..WORDS.len(), 0..60)) {
        let text: Vec<&str> = words.into_iter().map(|word| WORDS[word]).collect();
        if let Ok(config) = parse(&file(&text.join(" ")), CONFIG) {
            let once = dump_all(&config, "alpha");
            let again = parse(&file(&once), CONFIG);
            prop_assert!(again.is_ok(), "{once}\n{again:?}");
            let lines = |text: &str| -> Vec<String> {
                text.lines().filter(|l| !l.starts_with('#')).map(str::to_owned).collect()
            };
            prop_assert_eq!(lines(&once), lines(&dump_all(&again.unwrap(), "alpha")));
        }
    }
}

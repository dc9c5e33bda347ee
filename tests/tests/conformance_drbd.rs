//! The real `drbdadm`, asked what `sim/kernel/tests/data/drbdadm.txt` asks of ours, where it is
//! installed in the version whose answers these are. Prints a line for each case and the counts.

#![allow(clippy::disallowed_methods)] // it starts the tool, and writes the files that it reads

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sim/kernel/tests/data/drbdadm.txt");
/// `DRBDADM_VERSION` of the tool that the answers are from.
const VERSION: &str = "DRBDADM_VERSION=9.22.";
/// Words of our texts whose place the tool fills with its own version.
const USAGE: &str = "USAGE:";

fn main() -> ExitCode {
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    match installed() {
        Err(why) => {
            println!("skipped drbdadm, because {why}");
            skipped += 1;
        }
        Ok(()) => {
            let text = std::fs::read_to_string(CASES).expect("the cases are there");
            for (name, wrong) in compare(&text) {
                match wrong {
                    None => passed += 1,
                    Some(wrong) => {
                        println!("FAILED {name}: {wrong}");
                        failed += 1;
                    }
                }
            }
        }
    }
    println!("conformance[drbdadm]: {passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn installed() -> Result<(), String> {
    let version = Command::new("drbdadm").arg("--version").output();
    let version = version.map_err(|_| "drbdadm is not installed".to_owned())?;
    let text = String::from_utf8_lossy(&version.stdout);
    match text.contains(VERSION) {
        true => Ok(()),
        false => Err(format!("the answers are those of {VERSION}x")),
    }
}

/// What differs, by case.
fn compare(text: &str) -> Vec<(String, Option<String>)> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("drbdadm");
    std::fs::create_dir_all(&folder).expect("a folder of ours");
    let mut all = Vec::new();
    for case in text.split("\n== ").skip(1) {
        let mut lines = case.lines();
        let name = lines.next().unwrap_or_default();
        let mut config = String::new();
        let mut asked: Vec<(&str, String)> = Vec::new();
        for line in lines {
            if let Some(text) = line.strip_prefix('|') {
                config += text.strip_prefix(' ').unwrap_or(text);
                config.push('\n');
            } else if let Some(args) = line.strip_prefix("> ") {
                asked.push((args, String::new()));
            } else if let Some((_, answer)) = asked.last_mut() {
                *answer += line;
                answer.push('\n');
            }
        }
        std::fs::write(folder.join("drbd.conf"), &config).expect("a file of ours");
        for (args, wanted) in asked {
            let found = ask(&folder, args);
            let usage = wanted.contains(USAGE) && found.contains(USAGE);
            let same = usage || tidy(&found) == tidy(&wanted);
            let wrong = (!same).then(|| format!("\n--- the tool\n{found}--- ours\n{wanted}"));
            all.push((format!("{name}: drbdadm {args}"), wrong));
        }
    }
    all
}

/// Empty lines do not matter.
fn tidy(text: &str) -> String {
    text.lines().filter(|line| !matches!(line.trim(), "" | "E")).collect::<Vec<_>>().join("\n")
}

/// The answer of the tool in the shape of ours.
fn ask(folder: &Path, args: &str) -> String {
    let environment = BTreeMap::from([("__DRBD_NODE__", "alpha")]);
    let said = Command::new("drbdadm")
        .args(["-c", "drbd.conf"])
        .args(args.split(' '))
        .current_dir(folder)
        .envs(environment)
        .output()
        .expect("it ran before");
    let path = format!("{}/drbd.conf", folder.display());
    let named = |line: &str| {
        let line = line.replace(&path, "/etc/drbd.conf");
        match line.strip_prefix("drbd.conf:") {
            Some(rest) => format!("/etc/drbd.conf:{rest}"),
            None => line,
        }
    };
    let noise = |line: &&str| {
        let words = ["modinfo", "modprobe", "__DRBD_NODE__", "PRETENDING"];
        !words.iter().any(|word| line.contains(word))
    };
    let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    let mut text = String::new();
    out.lines().for_each(|line| text += &format!("{}\n", named(line)));
    err.lines().filter(noise).for_each(|line| text += &format!("E {}\n", named(line)));
    match said.status.code() {
        Some(0) => {}
        code => text += &format!("exit {}\n", code.unwrap_or(-1)),
    }
    text
}

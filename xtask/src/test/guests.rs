//! The engine beside a real kernel's DRBD: transcripts that are kept, and some of them played again
//! on guests.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Counts;
use super::cargo::{output, tests};
use crate::build::cargo;
use crate::root;

/// Scripts that are played on guests: of a connection, of resyncs both ways, of a host that loses
/// its power.
const LIVE: [&str; 3] = ["connect", "cut-and-heal", "primary-loses-power"];
/// Set to 0, no guest is started.
const ASKED: &str = "GUESTS";
/// Guests keep real time. On a machine that has other things to do a timer of DRBD may run out
/// where it did not in the transcript, which would be no fault of anybody: so often what differs is
/// played once more.
const AGAIN: usize = 2;

/// What the engine does against what is kept; then, whether what is kept is still so.
pub fn kernel() -> Result<Counts> {
    let mut command = cargo();
    command.args(["test", "--package", "tests", "--test", "conformance_kernel"]);
    let mut counts = tests(&mut command)?;
    counts.add(match std::env::var_os(ASKED) {
        Some(word) if word == "0" => Counts::skip("GUESTS=0 asks for no guests"),
        _ => live()?,
    });
    Ok(counts)
}

/// Plays what is to be played; once more what is not the same.
fn live() -> Result<Counts> {
    let images = images()?;
    let mut text = play(&images, &LIVE)?;
    for _ in 0..AGAIN {
        let again = wrong(&text);
        if again.is_empty() {
            break;
        }
        println!("{text}played once more: {}", again.join(", "));
        let more = play(&images, &again)?;
        let same = text.lines().filter(|line| line.starts_with("same "));
        text = same.chain(more.lines()).map(|line| format!("{line}\n")).collect();
    }
    Ok(played(&text))
}

fn play(images: &Path, scripts: &[&str]) -> Result<String> {
    let mut command = Command::new(images);
    command.current_dir(root()).args(["record", "--check"]).args(scripts);
    Ok(output(&mut command)?.1)
}

/// The scripts of which `differs NAME:` or `failed NAME: WHY` is said.
fn wrong(text: &str) -> Vec<&str> {
    let verdicts = text
        .lines()
        .filter_map(|line| line.strip_prefix("differs ").or_else(|| line.strip_prefix("failed ")));
    let names = verdicts.filter_map(|rest| rest.split_once(':').map(|(name, _)| name));
    names.filter(|name| LIVE.contains(name)).collect()
}

/// Builds the `images` binary and says where it is.
fn images() -> Result<PathBuf> {
    let status = cargo().args(["build", "--package", "images"]).status();
    if !status.context("cannot start cargo")?.success() {
        bail!("the crate images does not build");
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or("target".into());
    Ok(root().join(target).join("debug/images"))
}

/// Counts `same NAME`, `differs NAME:` with what differs, `failed NAME: WHY`, or one
/// `skipped, because WHY` for all.
fn played(text: &str) -> Counts {
    let mut counts = Counts::default();
    for line in text.lines() {
        if let Some(why) = line.strip_prefix("skipped, because ") {
            counts.add(Counts::skip(why));
        } else if line.starts_with("same ") {
            println!("{line}");
            counts.add(Counts::pass());
        }
    }
    for name in wrong(text) {
        counts.add(Counts::fail(said_of(name, text)));
    }
    let all = LIVE.len() as u64;
    if counts.skipped.is_empty() && counts.passed + counts.failed != all {
        counts.add(Counts::fail(format!("not {all} scripts were played:\n{text}")));
    }
    counts
}

/// The verdict of a script that is not the same, with the lines that differ.
fn said_of(name: &str, text: &str) -> String {
    let of_it = |line: &&str| {
        ["differs ", "failed "].iter().any(|word| {
            let rest = line.strip_prefix(word).and_then(|rest| rest.strip_prefix(name));
            rest.is_some_and(|rest| rest.starts_with(':'))
        })
    };
    let next =
        |line: &&str| ["same ", "differs ", "failed "].iter().any(|word| line.starts_with(word));
    let mut lines = text.lines().skip_while(|line| !of_it(line));
    let first = lines.next().unwrap_or_default();
    let rest = lines.take_while(|line| !next(line));
    [first].into_iter().chain(rest).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_played_is_counted() {
        let text = "same connect    (3 s)\ndiffers cut-and-heal:\n- x\n+ y\n\
                    failed primary-loses-power: no\n";
        let counts = played(text);
        assert_eq!((counts.passed, counts.failed), (1, 2));
        let notes = ["differs cut-and-heal:\n- x\n+ y", "failed primary-loses-power: no"];
        assert_eq!(counts.notes, notes);
        assert_eq!(wrong(text), ["cut-and-heal", "primary-loses-power"]);
        let counts = played("skipped, because there is no QEMU\n");
        assert_eq!((counts.passed, counts.failed), (0, 0));
        assert_eq!(counts.skipped, ["there is no QEMU"]);
        assert_eq!(played("").failed, 1);
        assert_eq!(played("same connect\n").failed, 1);
    }
}

//! The engine beside a real kernel's DRBD: transcripts that are kept, and some of them played again
//! on guests.

use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::Command;

use super::Counts;
use super::cargo::{output, tests};
use crate::build::cargo;
use crate::root;

/// Scripts that are played each time: of a connection, of resyncs both ways, of a host that loses
/// its power.
const LIVE: [&str; 3] = ["connect", "cut-and-heal", "primary-loses-power"];

/// What the engine does against what is kept; then, whether what is kept is still so.
pub fn kernel() -> Result<Counts> {
    let mut command = cargo();
    command.args(["test", "--package", "tests", "--test", "conformance_kernel"]);
    let mut counts = tests(&mut command)?;
    let (_, text) = output(Command::new(images()?).current_dir(root()).args(live()))?;
    counts.add(played(&text));
    Ok(counts)
}

fn live() -> Vec<&'static str> {
    [&["record", "--check"], &LIVE[..]].concat()
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

/// `same NAME`, `differs NAME`, `failed NAME: WHY`, or one `skipped, because WHY` for all.
fn played(text: &str) -> Counts {
    let mut counts = Counts::default();
    for line in text.lines() {
        if let Some(why) = line.strip_prefix("skipped, because ") {
            counts.add(Counts::skip(why));
        } else if line.starts_with("same ") {
            println!("{line}");
            counts.add(Counts::pass());
        } else if line.starts_with("differs ") || line.starts_with("failed ") {
            counts.add(Counts::fail(line));
        }
    }
    if counts.failed > 0 {
        println!("{text}");
    }
    let all = LIVE.len() as u64;
    if counts.skipped.is_empty() && counts.passed + counts.failed != all {
        counts.add(Counts::fail(format!("not {all} scripts were played:\n{text}")));
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_played_is_counted() {
        let counts = played("same a    (3 s)\ndiffers b:\n- x\n+ y\nfailed c: no\n");
        assert_eq!((counts.passed, counts.failed), (1, 2));
        assert_eq!(counts.notes, ["differs b:", "failed c: no"]);
        let counts = played("skipped, because there is no QEMU\n");
        assert_eq!((counts.passed, counts.failed), (0, 0));
        assert_eq!(counts.skipped, ["there is no QEMU"]);
        assert_eq!(played("").failed, 1);
    }
}

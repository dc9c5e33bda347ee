//! Builds the simulator, in a target folder of its own, and starts it.
//!
//! `--cfg madsim` reaches every crate of that build and none of a host build; two folders, so that
//! the two kinds of build neither fight over one binary nor wait for one lock.

use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::root;

/// Cargo, as it was called.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// The target folder of the simulated build.
pub fn sim_target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or("target".into());
    root().join(target).join("sim")
}

/// Cargo for the simulated build: the verb, release profile, flag and folder.
pub fn cargo_sim(verb: &str) -> Command {
    let mut cargo = cargo();
    cargo
        .args([verb, "--release", "--target-dir"])
        .arg(sim_target())
        .env("CARGO_ENCODED_RUSTFLAGS", "--cfg\u{1f}madsim")
        .env("CARGO_ENCODED_RUSTDOCFLAGS", "--cfg\u{1f}madsim")
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTDOCFLAGS")
        // It would put the binary somewhere else.
        .env_remove("CARGO_BUILD_TARGET");
    cargo
}

/// Builds the `sim` binary and says where it is.
pub fn simulator() -> Result<PathBuf> {
    let mut build = cargo_sim("build");
    build.args(["--package", "sim", "--bin", "sim"]);
    let status = build.status().context("cannot start cargo")?;
    if !status.success() {
        bail!("the simulator does not build");
    }
    Ok(sim_target().join("release/sim"))
}

/// The simulator with what it has to know from outside: commit and root.
pub fn simulator_command(binary: PathBuf) -> Command {
    let mut sim = Command::new(binary);
    sim.env("TIEBREAKER_COMMIT", commit()).env("TIEBREAKER_ROOT", root());
    sim
}

/// Becomes the simulator: signals and exit code are its own.
pub fn run_simulator(args: &[OsString]) -> Result<u8> {
    let error = simulator_command(simulator()?).args(args).exec();
    Err(error).context("cannot start the simulator")
}

/// Short hash of the commit, `-dirty` if tracked files differ from it. A seed means nothing without
/// it.
pub fn commit() -> String {
    let git = |args: &[&str]| -> Option<String> {
        let output = Command::new("git").current_dir(root()).args(args).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    };
    let Some(hash) = git(&["rev-parse", "--short=7", "HEAD"]) else {
        return "unknown commit".to_owned();
    };
    let dirty = git(&["status", "--porcelain", "--untracked-files=no"]);
    if dirty.is_some_and(|files| !files.is_empty()) { format!("{hash}-dirty") } else { hash }
}

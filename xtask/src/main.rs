//! `cargo xtask`: thin verbs over cargo and the project's binaries. Depends on no crate of the
//! project, so that it builds in seconds and says what is missing before anything else is built.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a tool of developers: it starts programs and reads files"
)]

mod bench;
mod build;
mod fuzz;
mod test;
mod tidy;

use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  cargo xtask sim                   every scenario once and 50 drawn plans
  cargo xtask sim --help            what else the simulator can do
  cargo xtask fuzz --quirks         does somebody catch each bug that can be put back?
  cargo xtask test                  everything that CI runs
  cargo xtask test --only tidy,fmt  some of it
  cargo xtask bench sim             how fast the simulator is
  cargo xtask tidy                  the rules that neither compiler nor clippy knows";

/// Work on tiebreaker: simulate, test, measure.
#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build the simulator and run it; all arguments are its own, --help and --json too
    #[command(disable_help_flag = true)]
    Sim(Passed),
    /// Search drawn plans for as long as there is time, or hunt the bugs that can be put back
    #[command(after_help = fuzz::EXAMPLES)]
    Fuzz(fuzz::FuzzArgs),
    /// Run everything that CI runs; the last line is `N passed, M failed, K skipped`
    #[command(after_help = test::EXAMPLES)]
    Test(test::TestArgs),
    /// Measure speed
    #[command(after_help = bench::EXAMPLES)]
    Bench(bench::BenchArgs),
    /// Check the rules that neither compiler nor clippy knows
    #[command(after_help = tidy::EXAMPLES)]
    Tidy(tidy::TidyArgs),
}

#[derive(Args)]
struct Passed {
    /// Arguments of the simulator
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

fn main() -> ExitCode {
    let result = match Cli::parse().verb {
        Verb::Sim(passed) => build::run_simulator(&passed.args),
        Verb::Fuzz(args) => fuzz::run(&args),
        Verb::Test(args) => test::run(&args),
        Verb::Bench(args) => bench::run(&args),
        Verb::Tidy(args) => tidy::run(&args),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if error.is::<BadArgument>() { 2 } else { 1 })
        }
    }
}

/// The caller's mistake, not the project's: exit code 2.
#[derive(Debug)]
struct BadArgument(String);

impl std::fmt::Display for BadArgument {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadArgument {}

/// The root of the workspace.
fn root() -> PathBuf {
    // Cargo says it again at run time: a clone that was moved after the build is found.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let here = here.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    here.parent().map_or(here.clone(), |root| root.to_owned())
}

/// Is `--json FILE` one that can be written? Asked before half an hour of tests, not after.
fn writable_json(path: Option<&PathBuf>) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
    opened.map(|_| ()).map_err(|error| {
        let remedy = "name a file in a folder that can be written";
        BadArgument(format!("--json {}: {error}\n  remedy: {remedy}", path.display())).into()
    })
}

/// Writes `--json FILE`.
fn write_json(path: Option<&PathBuf>, document: &serde_json::Value) -> anyhow::Result<()> {
    use anyhow::Context;
    let Some(path) = path else { return Ok(()) };
    std::fs::write(path, format!("{document:#}\n"))
        .with_context(|| format!("--json {}", path.display()))
}

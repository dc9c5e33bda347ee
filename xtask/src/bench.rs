//! `cargo xtask bench`: builds what is measured, starts it, and passes on what it says.

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use std::path::PathBuf;

use crate::build;

pub const EXAMPLES: &str = "\
Examples:
  cargo xtask bench sim                      the simulator, against its targets
  cargo xtask bench engine                   the replication engine alone, against its targets
  cargo xtask bench sim --json bench.json    the same for programs";

#[derive(Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The simulator: simulated seconds per CPU second, memory, scaling over cores
    #[command(after_help = EXAMPLES)]
    Sim {
        /// Results for programs
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// The engine alone: mirrored writes and resync per CPU second, memory of a large volume
    #[command(after_help = EXAMPLES)]
    Engine {
        /// Results for programs
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
}

/// `cargo xtask bench`
pub fn run(args: &BenchArgs) -> Result<u8> {
    let (what, json) = match &args.what {
        What::Sim { json } => ("sim", json),
        What::Engine { json } => ("engine", json),
    };
    let mut sim = build::simulator_command(build::simulator()?);
    sim.args(["bench", what]);
    if let Some(path) = json {
        sim.arg("--json").arg(path);
    }
    let status = sim.status().context("cannot start the simulator")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

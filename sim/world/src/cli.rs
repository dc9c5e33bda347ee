//! The command line: flags, their values, and which runs they ask for.

mod asked;
mod values;

pub use asked::{Asked, Seeds};

use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

use crate::runner::job::Drill;
use values::{jobs, seed, seeds, time};

const EXAMPLES: &str = "\
Examples:
  cargo xtask sim                             every scenario once and 50 drawn plans
  cargo xtask sim 'primary-*' --seeds 0..20   scenarios by name, each with twenty seeds
  cargo xtask sim --seed 0x5eed91c4           one drawn plan again
  cargo xtask sim --for 10m                   drawn plans for ten minutes, until one fails
  cargo xtask sim --family quorum --for 10m   drawn plans of one family; `--family list` shows all
  cargo xtask sim --twice --seeds 0..200      each twice in two processes; traces must not differ
  cargo xtask sim --quirk list                bugs that can be put back, and what catches them
  cargo xtask sim --quirk NAME --for 2m       put one back, draw plans until it is caught
  cargo xtask sim --file my.toml --log full   a scenario of your own, every event printed
  cargo xtask sim flapping-link --set vm-a.io.depth=32 --set network.storage.loss=1%
                                              a scenario with other values
  cargo xtask sim flapping-link --html        its page: states, faults, messages; failing runs have
                                              one anyway, under target/sim/runs/
  cargo xtask sim bench                       how fast the simulator is

Demanded of a whole invocation, unless a quirk is on:
  at least 20 drawn plans             every promise was checked
  scenarios by name                   every promise that they list was checked
  at least 20 plans that end healed   at most 15 % were excused from showing it

Exit codes, the worst wins:
   0  passed                  10  safety: something happened that must not
   1  our own failure         11  liveness: not in time, or the run never ended
   2  bad flag or scenario    12  a node panicked
 130  interrupted             13  not deterministic
  20  all was skipped         14  an expectation of the scenario is unmet";

/// Runs pools of hosts under faults and says which promises held.
///
/// Without arguments: every scenario once and 50 drawn plans.
#[derive(Parser, Debug)]
#[command(name = "sim", bin_name = "cargo xtask sim", after_help = EXAMPLES, max_term_width = 110)]
pub struct Cli {
    /// Scenarios by name, family/name or glob; none: all, and drawn plans
    #[arg(value_name = "NAME|GLOB")]
    pub names: Vec<String>,
    /// One seed, decimal or 0x hex; with --for the first one. `random` takes a fresh one
    #[arg(long, value_name = "N", value_parser = seed, conflicts_with = "seeds")]
    pub seed: Option<u64>,
    /// Seeds from A to before B
    #[arg(long, value_name = "A..B", value_parser = seeds)]
    pub seeds: Option<(u64, u64)>,
    /// Seeds for as long as this: 30s, 10m, 8h; stops at the first failure
    #[arg(long = "for", value_name = "TIME", value_parser = time, conflicts_with = "seeds")]
    pub time: Option<Duration>,
    /// Runs at the same time [default: one per core]
    #[arg(long, value_name = "N", value_parser = jobs)]
    pub jobs: Option<u16>,
    /// Each run twice, in two processes; their traces must be the same
    #[arg(long)]
    pub twice: bool,
    /// Drawn plans of one family, or `list`
    #[arg(long, value_name = "NAME|list", conflicts_with_all = ["names", "file"])]
    pub family: Option<String>,
    /// A bug to put back; `none` if the file names one; or `list`. Stops at the first failure
    #[arg(long, value_name = "NAME|none|list")]
    pub quirk: Option<String>,
    /// A value of the scenario: leave.at=30s, vm-a.io.depth=8; as often as needed
    #[arg(long, value_name = "PATH=VALUE", value_parser = scenarios::Setting::parse)]
    pub set: Vec<scenarios::Setting>,
    /// Results for programs
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// A scenario file that is not part of the repository, or a kept or shrunk plan
    #[arg(long, value_name = "PATH", conflicts_with = "names")]
    pub file: Option<PathBuf>,
    /// Go on after a failure under --for and --quirk too
    #[arg(long)]
    pub keep_going: bool,
    /// Do not look for a smaller plan after a failure
    #[arg(long)]
    pub no_shrink: bool,
    /// How long smaller plans are looked for
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "2m")]
    pub shrink_time: Duration,
    /// What a run prints: the lines that led to a failure, or every event (of one run)
    #[arg(long, value_enum, value_name = "WHAT", default_value = "short")]
    pub log: Log,
    /// Keep events.jsonl and trace.perfetto.json of one run that passes, too
    #[arg(long)]
    pub trace: bool,
    /// Keep the page report.html of one run that passes, too
    #[arg(long)]
    pub html: bool,
    /// Cut a run after this much real time
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "60s")]
    pub wall_limit: Duration,
    /// Print the names of all scenarios
    #[arg(long)]
    pub list: bool,
    /// Print the JSON Schema of scenario files, for editors
    #[arg(long)]
    pub schema: bool,
    /// Print the reference of scenario files
    #[arg(long)]
    pub reference: bool,
    /// Make every run misbehave, to test the runner itself
    #[arg(long, value_enum, hide = true)]
    pub drill: Option<Drill>,
}

/// How much of a run is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Log {
    /// The lines that led to a failure.
    Short,
    /// Every event.
    Full,
}

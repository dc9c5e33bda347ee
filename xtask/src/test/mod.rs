//! `cargo xtask test`: everything that CI runs, part by part, each with its minutes, and one plain
//! last line.

mod apt;
mod cargo;
mod guests;
mod parts;
mod pictures;
mod replay;
mod simulated;
mod skips;

use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::time::Instant;

use crate::{BadArgument, writable_json, write_json};

pub const EXAMPLES: &str = "\
Examples:
  cargo xtask test                        everything
  cargo xtask test --only tidy,clippy     some parts
  cargo xtask test --list                 the parts, in order
  cargo xtask test --json test.json       results for programs

A part that cannot run on this machine is skipped with its reason. Skips that are allowed are
listed in tests/skips.txt; any other fails. Where CI is set, those marked `elsewhere` fail too.
With GUESTS=0 in its environment, the part `kernel` plays nothing on guests.";

#[derive(Args)]
pub struct TestArgs {
    /// Parts to run, by name
    #[arg(long, value_name = "PART,…", value_delimiter = ',')]
    only: Vec<String>,
    /// Print the names of the parts
    #[arg(long)]
    list: bool,
    /// Results for programs
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What came of a part.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct Counts {
    pub passed: u64,
    pub failed: u64,
    /// Reasons, one for each thing skipped.
    pub skipped: Vec<String>,
    /// What to read when something failed.
    pub notes: Vec<String>,
}

impl Counts {
    /// One check that passed.
    pub fn pass() -> Counts {
        Counts { passed: 1, ..Counts::default() }
    }

    /// One check that failed, and why.
    pub fn fail(note: impl Into<String>) -> Counts {
        Counts { failed: 1, notes: vec![note.into()], ..Counts::default() }
    }

    /// Passed or failed.
    pub fn of(good: bool, note: impl Into<String>) -> Counts {
        if good { Counts::pass() } else { Counts::fail(note) }
    }

    /// One check that this machine cannot make.
    pub fn skip(reason: impl Into<String>) -> Counts {
        Counts { skipped: vec![reason.into()], ..Counts::default() }
    }

    /// Sums.
    pub fn add(&mut self, more: Counts) {
        self.passed += more.passed;
        self.failed += more.failed;
        self.skipped.extend(more.skipped);
        self.notes.extend(more.notes);
    }
}

/// A part of the whole.
pub struct Part {
    pub name: &'static str,
    pub what: &'static str,
    pub run: fn() -> Result<Counts>,
}

/// `cargo xtask test`
pub fn run(args: &TestArgs) -> Result<u8> {
    let parts = parts::PARTS;
    if args.list {
        parts.iter().for_each(|part| println!("{:<14} {}", part.name, part.what));
        return Ok(0);
    }
    if let Some(unknown) =
        args.only.iter().find(|name| !parts.iter().any(|part| part.name == **name))
    {
        let known: Vec<_> = parts.iter().map(|part| part.name).collect();
        let known = known.join(", ");
        let message = format!("no part is called {unknown}\n  remedy: use some of {known}");
        return Err(BadArgument(message).into());
    }
    writable_json(args.json.as_ref())?;
    let allowed = skips::allowed()?;
    let mut total = Counts::default();
    let mut rows = Vec::new();
    for part in parts {
        if !args.only.is_empty() && !args.only.iter().any(|name| name == part.name) {
            continue;
        }
        let (counts, minutes) = timed(part, &allowed);
        rows.push(json!({
            "part": part.name, "minutes": minutes, "passed": counts.passed, "failed": counts.failed,
            "skipped": counts.skipped, "notes": counts.notes,
        }));
        total.add(counts);
    }
    if total.failed > 0 {
        println!("\nwhat failed:");
        total.notes.iter().for_each(|note| println!("  {}", note.replace('\n', "\n    ")));
    }
    let code = u8::from(total.failed > 0);
    let skipped = total.skipped.len();
    let document = json!({
        "passed": total.passed, "failed": total.failed, "skipped": skipped, "parts": rows, "exit_code": code,
    });
    write_json(args.json.as_ref(), &document)?;
    println!("{} passed, {} failed, {skipped} skipped", total.passed, total.failed);
    Ok(code)
}

/// Runs a part and says how it went.
fn timed(part: &Part, allowed: &[String]) -> (Counts, f64) {
    eprintln!("== {}: {}", part.name, part.what);
    let began = Instant::now();
    let mut counts = (part.run)().unwrap_or_else(|error| Counts::fail(format!("{error:#}")));
    let unlisted: Vec<_> = counts
        .skipped
        .iter()
        .filter(|reason| !allowed.contains(&format!("{}: {reason}", part.name)))
        .collect();
    let notes: Vec<_> = unlisted
        .iter()
        .map(|reason| {
            format!("skipped, because {reason}; this skip is not listed in {}", skips::FILE)
        })
        .collect();
    counts.failed += notes.len() as u64;
    counts.notes.extend(notes);
    for note in &mut counts.notes {
        *note = format!("{}: {note}", part.name);
    }
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    println!(
        "{:<14} {minutes:>5.1} min   {} passed, {} failed, {} skipped",
        part.name,
        counts.passed,
        counts.failed,
        counts.skipped.len(),
    );
    for why in &counts.skipped {
        // The conformance cases say it themselves.
        let said = if why.contains("skipped") { "" } else { "skipped, because " };
        println!("{:>26} {said}{why}", "");
    }
    (counts, (minutes * 100.0).round() / 100.0)
}

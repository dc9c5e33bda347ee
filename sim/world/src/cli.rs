//! The command line: flags, their values, and which runs they ask for.

use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

use crate::runner::job::{Drill, Source};

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
  20  no lab here             14  an expectation of the scenario is unmet";

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
    /// A bug to put back, or `list`; stops at the first failure
    #[arg(long, value_name = "NAME|list")]
    pub quirk: Option<String>,
    /// Results for programs
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// A scenario file that is not part of the repository, or a kept plan
    #[arg(long, value_name = "PATH", conflicts_with = "names")]
    pub file: Option<PathBuf>,
    /// Go on after a failure under --for and --quirk too
    #[arg(long)]
    pub keep_going: bool,
    /// What a run prints: the lines that led to a failure, or every event (of one run)
    #[arg(long, value_enum, value_name = "WHAT", default_value = "short")]
    pub log: Log,
    /// Cut a run after this much real time
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "60s")]
    pub wall_limit: Duration,
    /// Print the names of all scenarios
    #[arg(long)]
    pub list: bool,
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

/// Which seeds each source runs with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seeds {
    /// From the first to the second, both included.
    Range(u64, u64),
    /// From here on until time is up.
    From(u64),
}

/// The runs that were asked for: each batch runs all its sources with its first seed, then the
/// next.
#[derive(Debug)]
pub struct Asked {
    /// In this order.
    pub batches: Vec<(Vec<Source>, Seeds)>,
    /// Until then.
    pub time: Option<Duration>,
}

/// Drawn plans of an invocation without arguments.
const DRAWN: u64 = 50;
/// How long a quirk is looked for, if nothing else says how long.
const QUIRK_TIME: Duration = Duration::from_secs(120);

impl Cli {
    /// Which runs, from names, file and seeds; `promises` are those that can be listed. The error
    /// is for the user.
    pub fn asked(&self, promises: &[&str]) -> Result<Asked, String> {
        let sources = self.sources(promises)?;
        let drawn = match &self.family {
            Some(family) => Source::Family(family.clone()),
            None => Source::Drawn,
        };
        let bare = self.seed.is_none() && self.seeds.is_none() && self.time.is_none();
        if let (Some(sources), true) = (&sources, bare) {
            return Ok(Asked { batches: vec![(sources.clone(), Seeds::Range(0, 0))], time: None });
        }
        if bare && self.quirk.is_none() && self.family.is_some() {
            return Ok(Asked {
                batches: vec![(vec![drawn], Seeds::Range(0, DRAWN - 1))],
                time: None,
            });
        }
        if bare && self.quirk.is_none() {
            let all = scenarios::BUILTIN.iter().map(|file| Source::Builtin(file.path.to_owned()));
            let batches = vec![
                (all.collect(), Seeds::Range(0, 0)),
                (vec![drawn], Seeds::Range(0, DRAWN - 1)),
            ];
            return Ok(Asked { batches, time: None });
        }
        let first = self.seed.unwrap_or(0);
        let time = self.time.or(bare.then_some(QUIRK_TIME));
        let seeds = match (self.seeds, time) {
            (Some((from, to)), _) => Seeds::Range(from, to - 1),
            (None, Some(_)) => Seeds::From(first),
            (None, None) => Seeds::Range(first, first),
        };
        Ok(Asked { batches: vec![(sources.unwrap_or(vec![drawn]), seeds)], time })
    }

    /// Scenarios by name or file; `None` if none is named.
    fn sources(&self, promises: &[&str]) -> Result<Option<Vec<Source>>, String> {
        if let Some(path) = &self.file {
            let text = read_file(path)?;
            let file = path.display().to_string();
            let scenario = scenarios::read(&file, &text).map_err(|error| error.to_string())?;
            listed(&file, &scenario, promises)?;
            return Ok(Some(vec![Source::File { path: file, text }]));
        }
        if self.names.is_empty() {
            return Ok(None);
        }
        let mut found = Vec::new();
        for pattern in &self.names {
            let matching = scenarios::BUILTIN.iter().filter(|file| file.matches(pattern));
            let before = found.len();
            for file in matching {
                let source = Source::Builtin(file.path.to_owned());
                if !found.contains(&source) {
                    found.push(source);
                }
            }
            if found.len() == before && !scenarios::BUILTIN.iter().any(|file| file.matches(pattern))
            {
                return Err(no_scenario(pattern));
            }
        }
        Ok(Some(found))
    }
}

/// A scenario file is small: a larger one is refused before it is read.
fn read_file(path: &std::path::Path) -> Result<String, String> {
    let remedy =
        "name a readable scenario file; `cargo xtask sim --list` shows those that are built in";
    let wrong = |what: String| format!("{}: {what}\n  remedy: {remedy}", path.display());
    let size = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?;
    if !size.is_file() {
        return Err(wrong("not a file".to_owned()));
    }
    if size.len() > scenarios::FILE_MAX as u64 {
        return Err(wrong(format!("larger than {} bytes", scenarios::FILE_MAX)));
    }
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| {
        wrong(format!("not text: byte {} is no UTF-8", error.utf8_error().valid_up_to()))
    })
}

/// A promise that no checker knows would never be checked.
fn listed(file: &str, scenario: &scenarios::Scenario, promises: &[&str]) -> Result<(), String> {
    let unknown = scenario.promise.iter().find(|name| !promises.contains(&name.as_str()));
    unknown.map_or(Ok(()), |name| {
        let known = promises.join(", ");
        Err(format!("{file}: nobody checks the promise \"{name}\"\n  remedy: use some of {known}"))
    })
}

fn no_scenario(pattern: &str) -> String {
    let names = scenarios::BUILTIN.iter().map(scenarios::Builtin::name);
    let remedy = match scenarios::nearest(pattern, names) {
        Some(near) => format!("did you mean {near}?"),
        None => "`cargo xtask sim --list` shows all; a glob needs quotes: 'primary-*'".to_owned(),
    };
    let pattern: String = pattern.chars().take(80).collect();
    format!("no scenario is called {pattern}\n  remedy: {remedy}")
}

/// Decimal, 0x hex, or `random`.
fn seed(text: &str) -> Result<u64, String> {
    if text == "random" {
        return Ok(random_seed());
    }
    let parsed = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    let usable = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    parsed.ok().filter(|_| usable).ok_or_else(|| {
        "a seed is a whole number below 2^64, decimal or hex: 42, 0x5eed91c4".to_owned()
    })
}

/// Chance from the host, for those who ask for it: the seed is printed and decides everything else.
fn random_seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = since.map_or(0, |since| since.as_nanos() as u64);
    (now ^ (u64::from(std::process::id()) << 48)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
}

fn seeds(text: &str) -> Result<(u64, u64), String> {
    let wrong = || "a range of seeds is A..B with A below B: 0..200, 0x100..0x200".to_owned();
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let range = (seed(from)?, seed(to)?);
    if range.0 < range.1 { Ok(range) } else { Err(wrong()) }
}

fn jobs(text: &str) -> Result<u16, String> {
    let jobs = text.parse().ok().filter(|jobs| (1..=256).contains(jobs));
    jobs.ok_or_else(|| "from 1 to 256 runs can be under way at the same time".to_owned())
}

fn time(text: &str) -> Result<Duration, String> {
    match scenarios::parse_duration(text)? {
        0 => Err("no time at all; write it as in 30s, 10m, 8h".to_owned()),
        ns => Ok(Duration::from_nanos(ns)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_decimal_or_hex() {
        assert_eq!(seed("42"), Ok(42));
        assert_eq!(seed("0x2a"), Ok(42));
        assert_eq!(seed("18446744073709551615"), Ok(u64::MAX));
        for wrong in ["", "0x", "-1", "+1", "1e3", "18446744073709551616", "0x1_0"] {
            assert!(seed(wrong).is_err(), "{wrong}");
        }
        assert_eq!(seeds("0..0x10"), Ok((0, 16)));
        for wrong in ["5", "5..5", "9..1", "..4", "a..b"] {
            assert!(seeds(wrong).is_err(), "{wrong}");
        }
    }

    fn asked(args: &[&str]) -> Result<Asked, String> {
        let args = [&["sim"], args].concat();
        Cli::try_parse_from(args).expect("good flags").asked(&["one-primary"])
    }

    #[test]
    fn scenarios_list_promises_that_somebody_checks() {
        let known: Vec<_> = sim::check::Promise::ALL.iter().map(|it| it.name()).collect();
        for file in scenarios::BUILTIN {
            let scenario = scenarios::read(file.path, file.text).expect("a good file");
            assert_eq!(listed(file.path, &scenario, &known), Ok(()));
        }
    }

    #[test]
    fn flags_say_which_runs() {
        let bare = asked(&[]).expect("runs");
        assert_eq!(bare.batches[0].0.len(), scenarios::BUILTIN.len());
        assert_eq!(bare.batches[1], (vec![Source::Drawn], Seeds::Range(0, 49)));
        let one = asked(&["--seed", "0x10"]).expect("runs");
        assert_eq!(one.batches, [(vec![Source::Drawn], Seeds::Range(16, 16))]);
        let last = asked(&["--seed", "18446744073709551615"]).expect("runs");
        assert_eq!(last.batches, [(vec![Source::Drawn], Seeds::Range(u64::MAX, u64::MAX))]);
        let named = asked(&["primary-*"]).expect("runs");
        assert_eq!((named.batches[0].0.len(), named.batches[0].1), (2, Seeds::Range(0, 0)));
        let fuzz = asked(&["--for", "10m", "--seed", "7"]).expect("runs");
        assert_eq!(fuzz.batches, [(vec![Source::Drawn], Seeds::From(7))]);
        let quirk = asked(&["--quirk", "any"]).expect("runs");
        assert_eq!((quirk.batches[0].1, quirk.time), (Seeds::From(0), Some(QUIRK_TIME)));
        let family = asked(&["--family", "quorum"]).expect("runs");
        let quorum = || vec![Source::Family("quorum".to_owned())];
        assert_eq!(family.batches, [(quorum(), Seeds::Range(0, 49))]);
        let one = asked(&["--family", "quorum", "--seed", "3"]).expect("runs");
        assert_eq!(one.batches, [(quorum(), Seeds::Range(3, 3))]);
        assert!(asked(&["flaping-link"]).unwrap_err().contains("did you mean flapping-link?"));
    }
}

//! What the runner and its workers say to each other: one JSON line per job and per result.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use sim::outcome::{Class, HostRow, LogLine, Outcome};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where a run's plan comes from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Source {
    /// The seed draws it.
    Drawn,
    /// The seed draws it, in this family.
    Family(String),
    /// A file of the repository, by path.
    Builtin(String),
    /// Any other file.
    File {
        /// As the user named it.
        path: String,
        /// What it says.
        text: String,
    },
}

impl Source {
    /// Does the seed draw it?
    pub fn is_drawn(&self) -> bool {
        matches!(self, Source::Drawn | Source::Family(_))
    }
}

/// Ways in which a run can misbehave on purpose: a fire drill for the runner.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ValueEnum)]
pub enum Drill {
    /// It panics.
    Panic,
    /// It never ends.
    Hang,
    /// Its process dies.
    Die,
    /// It allocates without end.
    Greed,
    /// The trace depends on the process.
    Drift,
}

/// One run to make.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Position in the order of results.
    pub index: u64,
    /// The plan.
    pub source: Source,
    /// The seed.
    pub seed: u64,
    /// Values set by hand: path and value.
    #[serde(default)]
    pub settings: Vec<(String, String)>,
    /// Bug put back, by name.
    pub quirk: Option<String>,
    /// Cut after this much real time.
    pub wall_limit_ms: u64,
    /// Write the plan and the whole event log into this folder.
    pub keep: Option<PathBuf>,
    /// Misbehave.
    pub drill: Option<Drill>,
}

impl Job {
    /// A run of this plan, nothing else said.
    pub fn new(source: Source, seed: u64) -> Job {
        let (settings, quirk, keep, drill) = (Vec::new(), None, None, None);
        Job { index: 0, source, seed, settings, quirk, wall_limit_ms: 60_000, keep, drill }
    }
}

/// How a failure is classed; the exit code follows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Severity {
    /// The runner, a worker or the generator of plans is at fault.
    Own,
    /// The scenario cannot be carried out as written.
    Scenario,
    /// An expectation of the scenario.
    Expectation,
    /// Something did not happen in time.
    Liveness,
    /// The run never ended.
    Limit,
    /// Something happened that must not.
    Safety,
    /// A node panicked.
    Panic,
    /// Two runs of one seed differ.
    NotDeterministic,
}

impl Severity {
    /// As documented in `--help`.
    pub fn exit_code(self) -> u8 {
        match self {
            Severity::Own => 1,
            Severity::Scenario => 2,
            Severity::Expectation => 14,
            Severity::Liveness | Severity::Limit => 11,
            Severity::Safety => 10,
            Severity::Panic => 12,
            Severity::NotDeterministic => 13,
        }
    }

    /// For the verdict line.
    pub fn label(self) -> &'static str {
        match self {
            Severity::Own => "OWN FAILURE",
            Severity::Scenario => "BAD SCENARIO",
            Severity::Expectation => "EXPECTATION",
            Severity::Liveness => "LIVENESS",
            Severity::Limit => "LIMIT",
            Severity::Safety => "SAFETY",
            Severity::Panic => "PANIC",
            Severity::NotDeterministic => "NOT DETERMINISTIC",
        }
    }
}

impl From<Class> for Severity {
    fn from(class: Class) -> Severity {
        match class {
            Class::Scenario => Severity::Scenario,
            Class::Expectation => Severity::Expectation,
            Class::Liveness => Severity::Liveness,
            Class::Limit => Severity::Limit,
            Class::Safety => Severity::Safety,
            Class::Panic => Severity::Panic,
            Class::NotDeterministic => Severity::NotDeterministic,
        }
    }
}

/// One line of a log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Simulated nanoseconds.
    pub at: u64,
    /// Host or VM.
    pub who: String,
    /// Part of it.
    pub part: String,
    /// What happened.
    pub text: String,
}

/// A row of the host table: host, resource, role, disk, quorum, peers, out of sync.
pub type Row = [String; 7];

/// Why a run failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failed {
    /// Class.
    pub severity: Severity,
    /// The promise, or `panic`, `limit`, `determinism`, `plan`.
    pub promise: String,
    /// Simulated time, if there was one.
    pub at: Option<u64>,
    /// What is wrong.
    pub what: String,
    /// Lines that led here.
    pub story: Vec<Line>,
    /// Which of them decided.
    pub decision: Option<usize>,
    /// Host table.
    pub hosts: Vec<Row>,
    /// Of a panic.
    pub backtrace: Option<String>,
}

impl Failed {
    /// A failure that the run itself could not report.
    pub fn bare(severity: Severity, promise: &str, what: String) -> Failed {
        Failed {
            severity,
            promise: promise.to_owned(),
            at: None,
            what,
            story: Vec::new(),
            decision: None,
            hosts: Vec::new(),
            backtrace: None,
        }
    }
}

/// What a worker answers to a job.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Done {
    /// Of the job.
    pub index: u64,
    /// The scenario's name.
    pub name: String,
    /// Values that the seed drew for `[vary]`: path and value.
    #[serde(default)]
    pub varied: Vec<(String, String)>,
    /// The plan ends healed and demands convergence.
    pub heals: bool,
    /// Promises that the scenario lists.
    pub lists: Vec<String>,
    /// Hash over every event.
    pub trace_hash: u64,
    /// How many events.
    pub events: u64,
    /// Simulated nanoseconds.
    pub sim_ns: u64,
    /// CPU nanoseconds of the run's thread.
    pub cpu_ns: u64,
    /// Largest memory of the worker during the run, KiB.
    pub peak_kib: u64,
    /// Why it failed, if it did.
    pub failed: Option<Failed>,
    /// Promise: times checked.
    pub promises: BTreeMap<String, u64>,
    /// Reasons for liveness that was not demanded.
    pub excused: Vec<String>,
    /// Times to recover by name, nanoseconds.
    pub recovery: BTreeMap<String, Vec<u64>>,
    /// Faults by kind.
    pub faults: BTreeMap<String, u64>,
    /// What could not be kept of it, and what to do about that.
    pub lost: Option<String>,
    /// The plan is beyond the budget: only safety was asked of it.
    pub safety_only: bool,
    /// Fist points, a bit each.
    pub points: Vec<u64>,
    /// States, a bit each.
    pub sometimes: Vec<u64>,
}

impl Done {
    /// Takes over what the run says about itself; the log is not part of it.
    pub fn absorb(&mut self, outcome: Outcome) {
        self.trace_hash = outcome.trace_hash;
        self.events = outcome.events;
        self.sim_ns = outcome.sim_ns;
        self.promises = owned(outcome.promises);
        self.excused = outcome.excused.into_iter().map(str::to_owned).collect();
        self.recovery = owned(outcome.recovery);
        self.faults = owned(outcome.faults);
        self.points = outcome.points;
        self.sometimes = outcome.sometimes;
        self.failed = outcome.failure.map(|failure| Failed {
            severity: failure.class.into(),
            promise: failure.promise.to_owned(),
            at: Some(failure.at),
            what: failure.what,
            story: failure.story.into_iter().map(line).collect(),
            decision: failure.decision,
            hosts: failure.hosts.into_iter().map(row).collect(),
            backtrace: failure.backtrace,
        });
    }
}

fn owned<T>(map: BTreeMap<&'static str, T>) -> BTreeMap<String, T> {
    map.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn line(line: LogLine) -> Line {
    Line { at: line.at, who: line.who, part: line.part.to_owned(), text: line.text }
}

fn row(row: HostRow) -> Row {
    [row.host, row.resource, row.role, row.disk, row.quorum, row.peers, row.out_of_sync]
}

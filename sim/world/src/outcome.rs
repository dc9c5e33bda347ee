//! What a run says about itself.

use crate::picture::Recording;
use std::collections::BTreeMap;

/// How to run a scenario.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Everything that chance decides follows from it.
    pub seed: u64,
    /// Bugs put back on purpose.
    pub quirks: drbd::quirks::Quirks,
    /// Keep the whole event log (memory!) and make a recording, not only what the failure report
    /// needs.
    pub keep_log: bool,
    /// The run is cut after this much wall time.
    pub wall_limit: std::time::Duration,
    /// Notes fist points and states for the coverage; the trace is the same without.
    pub marks: bool,
}

/// The result of one run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Hash over every event, in order.
    pub trace_hash: u64,
    /// How many events.
    pub events: u64,
    /// Simulated nanoseconds.
    pub sim_ns: u64,
    /// What broke, if anything.
    pub failure: Option<Failure>,
    /// Promise: times checked.
    pub promises: BTreeMap<&'static str, u64>,
    /// Liveness that was not demanded: reason.
    pub excused: Vec<&'static str>,
    /// Times to recover, by name, in nanoseconds.
    pub recovery: BTreeMap<&'static str, Vec<u64>>,
    /// Faults that struck, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// The plan is beyond the budget: see [`crate::budget`].
    pub safety_only: bool,
    /// Fist points that the engines passed: a bit each, in the order of
    /// [`drbd::core::points::POINTS`].
    pub points: Vec<u64>,
    /// States that were seen: a bit each, in the order of [`crate::world::SOMETIMES`].
    pub sometimes: Vec<u64>,
    /// The log, if it was kept: one line per event.
    pub log: Vec<LogLine>,
    /// What pictures are made of, if the log was kept.
    pub recording: Option<Recording>,
}

impl Outcome {
    /// When the event happened that decided a failure, in ns.
    pub fn decision(&self) -> Option<u64> {
        let failure = self.failure.as_ref()?;
        Some(failure.story.get(failure.decision?)?.at)
    }
}

/// Classes of failure, worst last; `exit_code` as in `cargo xtask sim --help`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Class {
    /// The scenario cannot be carried out as written (2).
    Scenario,
    /// An expectation of the scenario is unmet (14).
    Expectation,
    /// Something that must happen did not (11).
    Liveness,
    /// The run never ended: simulated or wall limit (11).
    Limit,
    /// Something happened that must not (10).
    Safety,
    /// A node panicked (12).
    Panic,
    /// The same seed gave another hash (13).
    NotDeterministic,
}

impl Class {
    /// As the verdict says it.
    pub fn name(self) -> &'static str {
        match self {
            Class::Scenario => "SCENARIO",
            Class::Expectation => "EXPECTATION",
            Class::Liveness => "LIVENESS",
            Class::Limit => "LIMIT",
            Class::Safety => "SAFETY",
            Class::Panic => "PANIC",
            Class::NotDeterministic => "NOT DETERMINISTIC",
        }
    }
}

/// Why a run failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Class.
    pub class: Class,
    /// The promise, or `panic`, `limit`.
    pub promise: &'static str,
    /// Simulated time in ns.
    pub at: u64,
    /// What is wrong, in one or two sentences.
    pub what: String,
    /// The lines that led here, the deciding one marked.
    pub story: Vec<LogLine>,
    /// Index into `story` of the deciding event.
    pub decision: Option<usize>,
    /// One row per host and resource at that moment.
    pub hosts: Vec<HostRow>,
    /// For a panic: the backtrace.
    pub backtrace: Option<String>,
}

/// One line of the log.
#[derive(Clone, PartialEq, Debug)]
pub struct LogLine {
    /// Simulated time in ns.
    pub at: u64,
    /// Host or VM, or `plan`.
    pub who: String,
    /// `drbd`, `io`, `net`, `disk`, `host`, `plan`.
    pub part: &'static str,
    /// Text.
    pub text: String,
}

/// A row of the host table in a failure report.
#[derive(Clone, PartialEq, Debug)]
pub struct HostRow {
    /// Host.
    pub host: String,
    /// Resource.
    pub resource: String,
    /// Role, or `off`.
    pub role: String,
    /// Disk state of volume 0 (worst over volumes).
    pub disk: String,
    /// `yes` or `no`.
    pub quorum: String,
    /// `alpha Est · charlie Conn`.
    pub peers: String,
    /// Bits towards peers.
    pub out_of_sync: String,
}

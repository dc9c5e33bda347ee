//! Sums over all runs of an invocation.

use std::collections::{BTreeMap, BTreeSet};

use crate::runner::job::{Done, Failed, Job, Severity, Source};
use crate::runner::signature::Signature;

/// Plans of a kind that are needed before a rule about their share or their whole is applied.
const ENOUGH: u64 = 20;
/// Excused liveness above this share of plans fails the invocation, in percent.
const EXCUSED_MAX: u64 = 15;

/// A failing run: what was to be run, what came of it, why it failed.
pub type Failure = (Job, Done, Failed);

/// Sums, in the order of the runs.
#[derive(Default)]
pub struct Tally {
    /// Runs without a failure.
    pub passed: u64,
    /// Runs with one.
    pub failed: u64,
    /// Different seeds.
    pub seeds: BTreeSet<u64>,
    /// Drawn plans.
    pub drawn: u64,
    /// Plans that end healed.
    pub healed: u64,
    /// Simulated nanoseconds.
    pub sim_ns: u128,
    /// CPU nanoseconds of the threads of the runs.
    pub cpu_ns: u128,
    /// Events.
    pub events: u128,
    /// Largest memory of a worker in a run, KiB.
    pub peak_kib: u64,
    /// Name, seed, hash of every run.
    pub runs: Vec<(String, u64, u64)>,
    /// Per scenario.
    pub scenarios: BTreeMap<String, PerScenario>,
    /// Promise: times checked.
    pub promises: BTreeMap<String, u64>,
    /// Reason: plans that were excused for it.
    pub excused: BTreeMap<String, u64>,
    /// Plans that were excused for any reason.
    pub excused_plans: u64,
    /// Name: nanoseconds.
    pub recovery: BTreeMap<String, Vec<u64>>,
    /// Kind: how many.
    pub faults: BTreeMap<String, u64>,
    /// Plans beyond the budget: only safety was asked of them.
    pub safety_only: u64,
    /// By number of the fist point: runs that passed it.
    pub points: Hits,
    /// By number of the state: runs in which it held.
    pub sometimes: Hits,
    /// The failing runs. Only the first of a group has its story.
    pub failures: Vec<Failure>,
    /// The failing runs of one scenario that fail the same way, by their first.
    pub groups: Vec<Group>,
    /// Failures that a scenario says it has with a quirk: they came.
    pub known: Vec<Known>,
    /// Promises that scenarios asked for by name list.
    listed: BTreeSet<String>,
}

/// Failing runs that are one failure.
#[derive(Debug)]
pub struct Group {
    /// The scenario; drawn plans are one.
    pub scenario: String,
    /// The bug that was put back.
    pub quirk: Option<String>,
    /// How they fail.
    pub signature: Signature,
    /// The first of them among the failures.
    pub first: usize,
    /// The others' seeds.
    pub also: Vec<u64>,
}

/// A known failure that came as the scenario says.
#[derive(Debug)]
pub struct Known {
    /// The scenario.
    pub scenario: String,
    /// The bug that was put back.
    pub quirk: String,
    /// The promise that broke.
    pub breaks: String,
    /// Under this seed.
    pub seed: u64,
}

/// How many runs set each bit.
#[derive(Default)]
pub struct Hits(Vec<u64>);

impl Hits {
    fn add(&mut self, words: &[u64]) {
        self.0.resize(self.0.len().max(words.len() * 64), 0);
        for (at, count) in self.0.iter_mut().enumerate() {
            let word = words.get(at / 64).copied().unwrap_or(0);
            *count += word >> (at % 64) & 1;
        }
    }

    /// Each name and how many runs had it.
    pub fn named<'a>(&self, names: &[&'a str]) -> Vec<(&'a str, u64)> {
        let count = |at: usize| self.0.get(at).copied().unwrap_or(0);
        names.iter().enumerate().map(|(at, name)| (*name, count(at))).collect()
    }
}

/// Sums over the runs of one scenario; drawn plans are one.
#[derive(Default)]
pub struct PerScenario {
    /// Order of appearance.
    pub order: usize,
    /// Runs.
    pub runs: u64,
    /// Failing ones.
    pub failed: u64,
    /// First and last seed.
    pub seeds: (u64, u64),
    /// Simulated nanoseconds.
    pub sim_ns: u128,
    /// Faults of all kinds.
    pub faults: u64,
    /// Longest time to recover of each run: name and nanoseconds.
    pub slowest: Option<(String, u64)>,
}

impl Tally {
    /// Adds one run.
    pub fn add(&mut self, job: Job, mut done: Done) {
        let drawn = job.source.is_drawn();
        let name = if drawn { "drawn".to_owned() } else { done.name.clone() };
        self.per_scenario(&name, job.seed, &done);
        self.runs.push((name, job.seed, done.trace_hash));
        self.seeds.insert(job.seed);
        self.drawn += u64::from(drawn);
        self.healed += u64::from(done.heals);
        self.safety_only += u64::from(done.safety_only);
        self.points.add(&done.points);
        self.sometimes.add(&done.sometimes);
        self.sim_ns += u128::from(done.sim_ns);
        self.cpu_ns += u128::from(done.cpu_ns);
        self.events += u128::from(done.events);
        self.peak_kib = self.peak_kib.max(done.peak_kib);
        add_all(&mut self.promises, &done.promises);
        add_all(&mut self.faults, &done.faults);
        let reasons: BTreeSet<_> = done.excused.iter().cloned().collect();
        self.excused_plans += u64::from(!reasons.is_empty());
        for reason in reasons {
            *self.excused.entry(reason).or_default() += 1;
        }
        for (name, times) in &done.recovery {
            self.recovery.entry(name.clone()).or_default().extend(times);
        }
        if !drawn {
            self.listed.extend(done.lists.iter().cloned());
        }
        match done.failed.take() {
            None => self.passed += 1,
            Some(failed) => self.fail(job, done, failed),
        }
    }

    /// Adds a failure that counts as a run.
    pub fn fail(&mut self, job: Job, done: Done, mut failed: Failed) {
        self.failed += 1;
        let scenario = if job.source == Source::Drawn { "drawn" } else { &done.name }.to_owned();
        let (quirk, signature) = (job.quirk.clone(), Signature::of(&failed));
        let same = |group: &&mut Group| {
            (&group.scenario, &group.quirk, &group.signature) == (&scenario, &quirk, &signature)
        };
        match self.groups.iter_mut().find(same) {
            Some(group) => {
                group.also.push(job.seed);
                (failed.story, failed.hosts, failed.backtrace) = (Vec::new(), Vec::new(), None);
            }
            None => {
                let first = self.failures.len();
                self.groups.push(Group { scenario, quirk, signature, first, also: Vec::new() });
            }
        }
        self.failures.push((job, done, failed));
    }

    fn per_scenario(&mut self, name: &str, seed: u64, done: &Done) {
        let order = self.scenarios.len();
        let fresh = || PerScenario { order, seeds: (seed, seed), ..PerScenario::default() };
        let sums = self.scenarios.entry(name.to_owned()).or_insert_with(fresh);
        sums.runs += 1;
        sums.failed += u64::from(done.failed.is_some());
        sums.seeds = (sums.seeds.0.min(seed), sums.seeds.1.max(seed));
        sums.sim_ns += u128::from(done.sim_ns);
        sums.faults += done.faults.values().sum::<u64>();
        for (what, times) in &done.recovery {
            let longest = times.iter().max().copied().unwrap_or(0);
            if sums.slowest.as_ref().is_none_or(|(_, slowest)| longest > *slowest) {
                sums.slowest = Some((what.clone(), longest));
            }
        }
    }

    /// What is wrong with the invocation as a whole, though each run may have passed. Not asked of
    /// runs with a quirk on, nor of those that were interrupted: they stop anywhere.
    pub fn judge(&mut self, all_promises: &[&str]) {
        let whole = self.drawn >= ENOUGH;
        let mut demanded: BTreeSet<&str> = self.listed.iter().map(String::as_str).collect();
        if whole {
            demanded.extend(all_promises);
        }
        let unchecked = |name: &&&str| self.promises.get(**name).is_none_or(|times| *times == 0);
        let blind: Vec<String> =
            demanded.iter().filter(unchecked).map(|name| (*name).to_owned()).collect();
        for promise in blind {
            let what =
                format!("{promise} was not checked once: what passed here says nothing about it");
            self.own_failure(&promise, what);
        }
        if self.healed >= ENOUGH && self.excused_plans * 100 > self.healed * EXCUSED_MAX {
            let what = format!(
                "{} of {} plans that end healed were excused from showing it; at most {EXCUSED_MAX} % may be",
                self.excused_plans, self.healed,
            );
            self.own_failure("excused-liveness", what);
        }
    }

    fn own_failure(&mut self, promise: &str, what: String) {
        self.failed += 1;
        let job = Job { index: u64::MAX, ..Job::new(Source::Drawn, 0) };
        let done = Done { index: u64::MAX, name: "all runs".to_owned(), ..Done::default() };
        self.failures.push((job, done, Failed::bare(Severity::Own, promise, what)));
    }

    /// The worst failure decides.
    pub fn exit_code(&self) -> u8 {
        let worst = self.failures.iter().map(|(_, _, failed)| failed.severity).max();
        worst.map_or(0, Severity::exit_code)
    }
}

/// Is the failure one of the invocation, not of a run?
pub fn is_whole(done: &Done) -> bool {
    done.index == u64::MAX
}

fn add_all(sums: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    for (name, count) in more {
        *sums.entry(name.clone()).or_default() += count;
    }
}

/// The value below which this percentage of the sorted values lies, by nearest rank.
pub fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(index: u64) -> Job {
        Job { index, ..Job::new(Source::Drawn, index) }
    }

    fn done(index: u64, excused: bool) -> Done {
        let excused = if excused { vec!["no-core".to_owned()] } else { Vec::new() };
        let promises = BTreeMap::from([("one-primary".to_owned(), 3)]);
        Done { index, heals: true, excused, promises, ..Done::default() }
    }

    #[test]
    fn a_promise_that_nobody_checked_fails_the_whole() {
        let mut tally = Tally::default();
        (0..20).for_each(|i| tally.add(job(i), done(i, false)));
        tally.judge(&["one-primary"]);
        assert_eq!((tally.failed, tally.exit_code()), (0, 0));
        tally.judge(&["one-primary", "reads-are-fresh"]);
        assert_eq!((tally.failed, tally.exit_code()), (1, 1));
        assert!(tally.failures[0].2.what.contains("reads-are-fresh"));
    }

    #[test]
    fn runs_are_counted_by_what_they_passed() {
        let mut hits = Hits::default();
        hits.add(&[0b101, 1]);
        hits.add(&[0b100]);
        let names = ["a"; 65];
        let counts = hits.named(&names).into_iter().map(|(_, runs)| runs);
        let set: Vec<_> = counts.enumerate().filter(|(_, runs)| *runs > 0).collect();
        assert_eq!(set, [(0, 1), (2, 2), (64, 1)]);
    }

    #[test]
    fn a_few_plans_need_not_check_everything() {
        let mut tally = Tally::default();
        (0..19).for_each(|i| tally.add(job(i), done(i, true)));
        tally.judge(&["one-primary", "reads-are-fresh"]);
        assert_eq!(tally.failed, 0);
    }

    #[test]
    fn too_many_excuses_fail_the_whole() {
        let mut tally = Tally::default();
        (0..20).for_each(|i| tally.add(job(i), done(i, i < 3)));
        tally.judge(&["one-primary"]);
        assert_eq!(tally.failed, 0);
        let mut tally = Tally::default();
        (0..20).for_each(|i| tally.add(job(i), done(i, i < 4)));
        tally.judge(&["one-primary"]);
        assert_eq!(tally.failed, 1);
    }

    #[test]
    fn the_worst_failure_wins() {
        let mut tally = Tally::default();
        for (i, severity) in
            [Severity::Liveness, Severity::Safety, Severity::Own].into_iter().enumerate()
        {
            let failed = Some(Failed::bare(severity, "x", String::new()));
            tally.add(job(i as u64), Done { failed, ..done(i as u64, false) });
        }
        assert_eq!(tally.exit_code(), 10);
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let values: Vec<u64> = (1..=100).collect();
        assert_eq!((percentile(&values, 50), percentile(&values, 99)), (50, 99));
        assert_eq!((percentile(&[7], 50), percentile(&[7], 99), percentile(&[], 50)), (7, 7, 0));
    }
}

//! Shrinks a failing plan with the workers: the search proposes, they try. See [`sim::shrink`].
//!
//! While a candidate is tried, the ones that would come next if it is rejected are tried too, as
//! far as there are workers. Verdicts are kept by plan, and the search takes them in its own order:
//! how many workers there are changes nothing but the time.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use models::Hash64;
use scenarios::{Replay, Scenario};
use sim::shrink::{Fails, Search};

use super::job::{Done, Failed, Job, Severity, Source};
use super::pool::{Pool, Ticket};
use super::signature::Signature;
use crate::report::failure::Shrunk;
use crate::report::progress::Progress;
use crate::report::text;

/// The file next to the kept run.
pub const SHRUNK_FILE: &str = "shrunk.toml";
/// Begins the line of the file's comment that is told again.
const SUMMARY: &str = "Shrunk: ";
/// Other seeds under which the result is tried.
const OTHERS: u64 = 16;
/// Longest wait for a worker.
const BEAT: Duration = Duration::from_millis(100);
/// Indexes of tries begin here: no run of the invocation has them.
const FIRST: u64 = 1 << 48;

/// What limits shrinking, and who hears of it.
pub struct Means<'a> {
    /// Tries at the same time.
    pub jobs: usize,
    /// Until then.
    pub until: Instant,
    /// Set by Ctrl-C.
    pub stop: &'a AtomicBool,
    /// Of the code that runs.
    pub commit: &'a str,
}

/// What is known of a candidate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    /// It fails the same way, at this time, after so many events.
    Same { at: u64, events: u64 },
    /// It does not.
    Other,
}

/// Why no smaller plan is looked for, if that makes no sense.
pub fn refused(job: &Job, failed: &Failed) -> Option<&'static str> {
    let unmet = ["was not seen", "never came"].iter().any(|word| failed.what.contains(word));
    match failed.severity {
        Severity::Own | Severity::NotDeterministic => Some(""),
        _ if job.drill.is_some() || failed.at.is_none() => Some(""),
        // A limit of real time; that of simulated time says otherwise.
        Severity::Limit if !failed.what.contains("round in circles") => Some(""),
        Severity::Expectation if failed.promise == "known" => Some(""),
        Severity::Expectation if unmet && job.quirk.is_none() => {
            Some("what should have come does not come in a smaller plan either: see the whole one")
        }
        _ => None,
    }
}

/// Shrinks a failing run; the result is a file in `folder`. The error says why there is none.
pub fn shrink(
    failing: (&Job, &Done, &Failed),
    folder: &Path,
    means: &Means,
    progress: &mut Progress,
) -> Result<Shrunk, String> {
    let (job, done, failed) = failing;
    let path = folder.join(SHRUNK_FILE);
    if let Some(summary) = told_before(&path, job, failed, means.commit) {
        return Ok(Shrunk { file: path.display().to_string(), summary });
    }
    let began = Instant::now();
    let plan = job.source.scenario(job.seed, &job.settings)?.0;
    let fails = Fails { breaks: failed.promise.clone(), at: failed.at.unwrap_or(plan.horizon) };
    let mut tries = Tries::new(job, done, failed, means)?;
    let mut search = Search::new(&plan, &fails);
    let Verdict::Same { mut events, .. } = tries.verdict(search.best())? else {
        return Err("not shrunk: its plan alone does not fail the same way".to_owned());
    };
    let mut told = Instant::now();
    let cut = loop {
        if means.stop.load(Ordering::Relaxed) {
            break Some("stopped by hand");
        }
        if Instant::now() >= means.until {
            break Some("time was up");
        }
        let Some(candidate) = search.candidate() else { break None };
        match tries.known.get(&key(&candidate)).copied() {
            Some(Verdict::Same { at, events: fewer }) => {
                events = fewer;
                search.accepted(candidate, at);
            }
            Some(Verdict::Other) => search.rejected(),
            None => {
                tries.ahead(&search);
                tries.wait()?;
            }
        }
        if told.elapsed() > Duration::from_millis(100) {
            told = Instant::now();
            let steps = (plan.step.len(), search.best().step.len());
            progress.show(&tries.line(steps, began));
        }
    };
    let best = search.best();
    let others = tries.others(best)?;
    let summary = Summary { plan: &plan, best, events: (done.events, events), others, cut };
    let comment = comment(failing, &summary.text(), means.commit);
    let named = named(best.clone(), failing, means.commit);
    write(&path, &scenarios::write_with_comment(&named, &comment))?;
    Ok(Shrunk { file: path.display().to_string(), summary: summary.text() })
}

/// The result of an earlier invocation: the same run of the same code shrinks to the same plan.
fn told_before(path: &Path, job: &Job, failed: &Failed, commit: &str) -> Option<String> {
    if commit.ends_with("-dirty") || commit.starts_with("unknown") {
        return None;
    }
    let text = std::fs::read_to_string(path).ok()?;
    let replay = scenarios::read(SHRUNK_FILE, &text).ok()?.replay?;
    let same = replay.commit.as_deref() == Some(commit)
        && replay.seed == job.seed
        && replay.quirk == job.quirk
        && replay.breaks == failed.promise;
    let summary = text.lines().find_map(|line| line.strip_prefix("# ")?.strip_prefix(SUMMARY))?;
    // What was cut short may become smaller in another try.
    (same && !summary.contains('(')).then(|| summary.trim_end_matches('.').to_owned())
}

/// Names the result and what it replays.
fn named(mut plan: Scenario, (job, _, failed): (&Job, &Done, &Failed), commit: &str) -> Scenario {
    match &job.source {
        Source::Drawn => plan.name = format!("drawn-{:x}", job.seed),
        Source::Family(family) => plan.name = format!("drawn-{family}-{:x}", job.seed),
        _ => {}
    }
    let commit = (!commit.starts_with("unknown")).then(|| commit.to_owned());
    let (breaks, quirk) = (failed.promise.clone(), job.quirk.clone());
    plan.replay = Some(Replay { seed: job.seed, commit, breaks, quirk });
    plan
}

fn comment((job, _, failed): (&Job, &Done, &Failed), summary: &str, commit: &str) -> String {
    let mut out = format!("{} {}\n", failed.severity.label(), failed.promise);
    failed.what.lines().for_each(|line| out += &format!("  {line}\n"));
    if let Some(quirk) = &job.quirk {
        out += &format!("with the quirk {quirk} on\n");
    }
    out + &format!("{SUMMARY}{summary}.\nWritten at {commit}.\n")
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let written = folder.and_then(|()| std::fs::write(path, text));
    written.map_err(|error| format!("not shrunk: {}: {error}", path.display()))
}

/// What came of it.
struct Summary<'a> {
    plan: &'a Scenario,
    best: &'a Scenario,
    events: (u64, u64),
    /// Other seeds under which it fails the same way.
    others: u64,
    /// Why it did not go on to the end.
    cut: Option<&'static str>,
}

impl Summary<'_> {
    fn text(&self) -> String {
        let count = |n: u64| text::count(n.into());
        let cut = self.cut.map_or(String::new(), |why| format!(" ({why})"));
        format!(
            "{} → {} events, {} → {} steps{cut}; fails under {} of {OTHERS} other seeds",
            count(self.events.0),
            count(self.events.1),
            self.plan.step.len(),
            self.best.step.len(),
            self.others,
        )
    }
}

/// Names a plan.
fn key(plan: &Scenario) -> u64 {
    let mut hash = Hash64::new();
    hash.add_bytes(scenarios::write(plan).as_bytes());
    hash.value()
}

/// Runs of candidates.
struct Tries {
    pool: Pool,
    jobs: usize,
    job: Job,
    wanted: Signature,
    known: BTreeMap<u64, Verdict>,
    /// By index: the plan's key, and is it the run without the quirk?
    running: BTreeMap<u64, (u64, bool)>,
    /// Fail with the quirk as they should; whether they pass without it is to be asked.
    half: BTreeMap<u64, (String, Verdict)>,
    ask: VecDeque<u64>,
    /// Plans under way.
    texts: BTreeMap<u64, String>,
    made: u64,
}

impl Tries {
    fn new(job: &Job, done: &Done, failed: &Failed, means: &Means) -> Result<Tries, String> {
        // A candidate that takes much longer than the run itself is no simpler one.
        let most = 10_000 + done.cpu_ns / 1_000_000 * 20;
        let wall_limit_ms = job.wall_limit_ms.min(most);
        Ok(Tries {
            pool: Pool::new(means.jobs)?,
            jobs: means.jobs,
            job: Job { settings: Vec::new(), keep: None, wall_limit_ms, ..job.clone() },
            wanted: Signature::of(failed),
            known: BTreeMap::new(),
            running: BTreeMap::new(),
            half: BTreeMap::new(),
            ask: VecDeque::new(),
            texts: BTreeMap::new(),
            made: 0,
        })
    }

    /// As the user sees it.
    fn line(&self, (from, to): (usize, usize), began: Instant) -> String {
        let time = text::time(began.elapsed().as_nanos());
        format!("shrinking  {from} → {to} steps  {} tries  {time}", text::count(self.made.into()))
    }

    /// One plan, waited for.
    fn verdict(&mut self, plan: &Scenario) -> Result<Verdict, String> {
        let key = key(plan);
        loop {
            if let Some(verdict) = self.known.get(&key) {
                return Ok(*verdict);
            }
            self.second();
            self.first(key, plan);
            self.wait()?;
        }
    }

    /// Gives out what the search asks for now, and what it would ask for next.
    fn ahead(&mut self, search: &Search) {
        let mut ahead = search.clone();
        self.second();
        while self.pool.busy() < self.jobs {
            let Some(candidate) = ahead.candidate() else { return };
            let key = key(&candidate);
            match self.known.get(&key).copied() {
                Some(Verdict::Same { at, .. }) => ahead.accepted(candidate, at),
                Some(Verdict::Other) => ahead.rejected(),
                None => {
                    self.first(key, &candidate);
                    ahead.rejected();
                }
            }
        }
    }

    /// A run with the quirk, unless it is under way.
    fn first(&mut self, key: u64, plan: &Scenario) {
        if !self.texts.contains_key(&key) {
            let text = scenarios::write(plan);
            if self.give(key, text.clone(), false) {
                self.texts.insert(key, text);
            }
        }
    }

    /// Runs without the quirk.
    fn second(&mut self) {
        while let Some(key) = self.ask.pop_front() {
            let Some((text, _)) = self.half.get(&key) else { continue };
            if !self.give(key, text.clone(), true) {
                return self.ask.push_front(key);
            }
        }
    }

    fn give(&mut self, key: u64, text: String, plain: bool) -> bool {
        let slot = self.pool.idle().first().copied().filter(|_| self.pool.busy() < self.jobs);
        let Some(slot) = slot else { return false };
        let index = FIRST + self.made;
        self.made += 1;
        let source = Source::File { path: SHRUNK_FILE.to_owned(), text };
        let mut job = Job { index, source, ..self.job.clone() };
        if plain {
            job.quirk = None;
        }
        self.running.insert(index, (key, plain));
        self.pool.give(slot, Ticket { job, pass: 0 });
        true
    }

    /// Hears of one run, or of none for a while.
    fn wait(&mut self) -> Result<(), String> {
        let Some((_, ticket, done)) = self.pool.wait(BEAT)? else { return Ok(()) };
        let Some((key, plain)) = self.running.remove(&ticket.job.index) else { return Ok(()) };
        if plain {
            // A plan that fails without its quirk shows something else.
            if let Some((_, verdict)) = self.half.remove(&key) {
                let passes = done.failed.is_none();
                self.known.insert(key, if passes { verdict } else { Verdict::Other });
            }
            return Ok(());
        }
        let text = self.texts.remove(&key).unwrap_or_default();
        let verdict = self.judged(&done);
        if verdict == Verdict::Other || self.job.quirk.is_none() {
            self.known.insert(key, verdict);
        } else {
            self.half.insert(key, (text, verdict));
            self.texts.insert(key, String::new());
            self.ask.push_back(key);
        }
        Ok(())
    }

    fn judged(&self, done: &Done) -> Verdict {
        match &done.failed {
            Some(failed) if Signature::of(failed) == self.wanted => {
                Verdict::Same { at: failed.at.unwrap_or(done.sim_ns), events: done.events }
            }
            _ => Verdict::Other,
        }
    }

    /// Under how many other seeds does the plan fail the same way?
    fn others(&mut self, plan: &Scenario) -> Result<u64, String> {
        let text = scenarios::write(plan);
        let source = Source::File { path: SHRUNK_FILE.to_owned(), text };
        let seeds = (1..=OTHERS).map(|n| self.job.seed.wrapping_add(n));
        let jobs = seeds.map(|seed| Job { source: source.clone(), seed, ..self.job.clone() });
        let all = self.pool.run_all(jobs.collect())?;
        Ok(all.iter().filter(|done| self.judged(done) != Verdict::Other).count() as u64)
    }
}

//! Failing runs are made once more with their log on, and kept: plan, events, report.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::job::{Done, Failed, Job, Severity, Source};
use super::pictures::{self, LOG_FILE, Lost, REPORT_FILE};
use super::pool::Pool;
use super::shrink::{self, Means};
use crate::report::SHOWN;
use crate::report::failure::{self, Kept};
use crate::report::progress::Progress;
use crate::report::tally::Tally;
use crate::report::text;

/// How failing runs are shrunk: for so long in all; `None`: they are not.
pub struct Shrinking<'a> {
    /// For all of them.
    pub time: Option<Duration>,
    /// Tries at the same time.
    pub jobs: usize,
    /// Set by Ctrl-C.
    pub stop: &'a AtomicBool,
}

/// Keeps the failing runs that are shown in full, one of each signature, by index.
pub fn keep(
    pool: &mut Pool,
    tally: &mut Tally,
    commit: &str,
    shrinking: &Shrinking,
    progress: &mut Progress,
) -> BTreeMap<u64, Kept> {
    let mut kept = BTreeMap::new();
    let shown: Vec<usize> = tally.groups.iter().take(SHOWN).map(|group| group.first).collect();
    let until = shrinking.time.map(|time| Instant::now() + time);
    for (place, at) in shown.iter().enumerate() {
        let failing = &mut tally.failures[*at];
        let (job, done, failed) = &mut *failing;
        if failed.promise == "plan" {
            // There is no plan to keep.
            continue;
        }
        let folder = runs_folder().join(folder_name(job, done));
        let note = match failed.severity {
            Severity::NotDeterministic => {
                Some(differing(job, &folder).unwrap_or_else(|error| error))
            }
            _ => again(pool, job, done, failed, &folder).or_else(|| without_quirk(pool, job)),
        };
        let mut it = Kept { note, ..Kept::in_folder(&folder) };
        if let Some(until) = until {
            // Each of those that are left gets its share of the time.
            let left = until.saturating_duration_since(Instant::now());
            let share = left / (shown.len() - place) as u32;
            let (jobs, stop, until) = (shrinking.jobs, shrinking.stop, Instant::now() + share);
            let means = Means { jobs, until, stop, commit };
            shrunk((job, done, failed), &folder, &means, progress, &mut it);
        }
        let report = failure::block(failing, None, commit, usize::MAX, None);
        let backtrace = failing.2.backtrace.as_deref().unwrap_or_default();
        let report = report + backtrace;
        let mut lost = Lost::default();
        lost.write(&folder, REPORT_FILE, |file| file.write_all(report.as_bytes()));
        if let Some(shrunk) = &it.shrunk {
            pictures::add_shrunk(&mut lost, &folder, Path::new(&shrunk.file), &shrunk.replay());
        }
        it.note = it.note.or(lost.said().map(|lost| format!("not kept: {lost}")));
        it.files = pictures::files(&folder);
        kept.insert(failing.0.index, it);
    }
    kept
}

/// Looks for a smaller plan, if that makes sense.
fn shrunk(
    failing: (&Job, &Done, &Failed),
    folder: &Path,
    means: &Means,
    progress: &mut Progress,
    kept: &mut Kept,
) {
    let (job, done, failed) = failing;
    // A shrunk plan is as small as it gets; one that is not the quirk's doing has no smaller one.
    if means.stop.load(Ordering::Relaxed) || is_replay(job) || kept.note.is_some() {
        return;
    }
    match shrink::refused(job, failed) {
        Some("") => {}
        Some(why) => kept.note = Some(why.to_owned()),
        None => {
            progress.say(&failure::headline(job, done, failed));
            match shrink::shrink(failing, folder, means, progress) {
                Ok(it) => kept.shrunk = Some(it),
                Err(why) => kept.note = Some(why),
            }
            progress.clear();
        }
    }
}

fn is_replay(job: &Job) -> bool {
    let file = job.source.file().ok().flatten();
    let scenario = file.and_then(|(path, text)| scenarios::read(path, text).ok());
    scenario.is_some_and(|scenario| scenario.replay.is_some())
}

/// Where runs are kept: with the workspace's build output, or below the current folder.
fn runs_folder() -> PathBuf {
    let root = std::env::var("TIEBREAKER_ROOT").unwrap_or_default();
    let here = std::env::current_dir().unwrap_or_default();
    let folder = Path::new(&root).join("target/sim/runs");
    // As short as it can be said from where the user is.
    folder.strip_prefix(&here).map_or(folder.clone(), Path::to_owned)
}

fn folder_name(job: &Job, done: &Done) -> String {
    let quirk = job.quirk.as_ref().map_or(String::new(), |quirk| format!("-{quirk}"));
    match job.source {
        Source::Drawn => format!("{}{quirk}", text::seed(job.seed)),
        Source::Family(ref family) => format!("{family}-{}{quirk}", text::seed(job.seed)),
        _ => {
            let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
            let name: String = done.name.chars().map(plain).take(80).collect();
            format!("{name}-{}{quirk}", text::seed(job.seed))
        }
    }
}

/// One run, waited for. A session that stops at the first failure leaves others under way: their
/// results are of no use any more.
pub fn run(pool: &mut Pool, job: Job) -> Result<Done, String> {
    let done = pool.run_all(vec![job])?.pop();
    done.ok_or_else(|| "the run has no result".to_owned())
}

/// Makes the run again with its log, and with the backtrace of a panic; says so if it was not the
/// same.
fn again(
    pool: &mut Pool,
    job: &Job,
    done: &Done,
    failed: &mut Failed,
    folder: &Path,
) -> Option<String> {
    let job = Job { keep: Some(folder.to_owned()), ..job.clone() };
    match run(pool, job) {
        Err(error) => Some(error),
        Ok(second) => {
            let lost = second.lost.map(|lost| format!("not kept: {lost}"));
            let cut = second.failed.as_ref().is_some_and(|it| it.severity == Severity::Limit);
            let same = second.trace_hash == done.trace_hash || cut;
            let backtrace = second.failed.and_then(|it| it.backtrace);
            failed.backtrace = failed.backtrace.take().or(backtrace);
            let differs = "made again for the log, this run had another trace: not deterministic";
            (!same).then(|| differs.to_owned()).or(lost)
        }
    }
}

/// A run that fails without its quirk too says nothing about the quirk.
fn without_quirk(pool: &mut Pool, job: &Job) -> Option<String> {
    let quirk = job.quirk.as_ref()?;
    let plain = run(pool, Job { quirk: None, ..job.clone() }).ok()?;
    let failed = plain.failed?;
    let promise = failed.promise;
    Some(format!("fails without {quirk} too ({promise}): this is not the quirk's doing"))
}

/// Makes the run twice with its log; says which event differs first.
fn differing(job: &Job, folder: &Path) -> Result<String, String> {
    let mut logs = Vec::new();
    for name in ["second", "first"] {
        // A process of its own for each: what differs may be what a process did before.
        let mut fresh = Pool::new(1)?;
        let folder = if name == "first" { folder.to_owned() } else { folder.join(name) };
        let path = folder.join(LOG_FILE);
        let done = run(&mut fresh, Job { keep: Some(folder), ..job.clone() })?;
        let log = std::fs::read_to_string(&path).map_err(|error| match done.lost {
            Some(lost) => lost,
            None => format!("{}: {error}", path.display()),
        });
        logs.push(log.map_err(|why| format!("not kept: {why}"))?);
    }
    let (second, first) = (logs[0].lines(), logs[1].lines());
    let ends = std::iter::repeat("(the run is over)");
    let pairs = first.chain(ends.clone()).zip(second.chain(ends));
    let lines = logs.iter().map(|log| log.lines().count()).max().unwrap_or(0);
    let place = pairs.take(lines).enumerate().find(|(_, (first, second))| first != second);
    Ok(match place {
        Some((line, (first, second))) => {
            format!(
                "the first event that differs is {}:\n             {first}\n             {second}",
                line + 1
            )
        }
        None => "made twice again, in fresh processes, the logs were the same".to_owned(),
    })
}

/// Keeps a run that passed, because its pictures were asked for.
pub fn keep_passed(pool: &mut Pool, job: &Job) -> Result<Kept, String> {
    let name = Done { name: job.source.label(), ..Done::default() };
    let folder = runs_folder().join(folder_name(job, &name));
    let done = run(pool, Job { keep: Some(folder.clone()), ..job.clone() })?;
    let note = done.lost.map(|lost| format!("not kept: {lost}"));
    Ok(Kept { note, files: pictures::files(&folder), ..Kept::in_folder(&folder) })
}

/// Where `--log full` has its run written.
pub fn log_folder() -> PathBuf {
    runs_folder().join("last")
}

/// `--log full`: every event of the one run.
pub fn print_log() -> Result<(), String> {
    let path = log_folder().join(LOG_FILE);
    let log = std::fs::read_to_string(&path)
        .map_err(|error| format!("{}: {error}; remedy: {}", path.display(), pictures::REMEDY))?;
    super::say(&log)
}

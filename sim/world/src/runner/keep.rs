//! Failing runs are made once more with their log on, and kept: plan, events, report.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::job::{Done, Failed, Job, Severity, Source};
use super::pool::{Pool, Ticket};
use super::worker::{LOG_FILE, PLAN_FILE};
use crate::report::SHOWN;
use crate::report::failure::{self, Kept};
use crate::report::progress::Progress;
use crate::report::tally::{Tally, is_whole};
use crate::report::text;

/// The failure as it was printed.
const REPORT_FILE: &str = "report.txt";
/// Longest wait for a step of the pool.
const BEAT: Duration = Duration::from_millis(500);

/// Keeps the failing runs that are shown in full, by index.
pub fn keep(
    pool: &mut Pool,
    tally: &mut Tally,
    commit: &str,
    progress: &mut Progress,
) -> BTreeMap<u64, Kept> {
    let mut kept = BTreeMap::new();
    let runs = tally.failures.iter_mut().filter(|(_, done, _)| !is_whole(done)).take(SHOWN);
    for failing in runs {
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
        let mut it = Kept { folder: folder.display().to_string(), files: Vec::new(), note };
        let report = failure::block(failing, None, commit, usize::MAX);
        let backtrace = failing.2.backtrace.as_deref().unwrap_or_default();
        if let Err(error) = std::fs::write(folder.join(REPORT_FILE), report + backtrace) {
            progress.say(&format!("{}: {error}", folder.display()));
        }
        let files = [PLAN_FILE, LOG_FILE, REPORT_FILE];
        it.files.extend(files.into_iter().filter(|file| folder.join(file).is_file()));
        kept.insert(failing.0.index, it);
    }
    kept
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

/// One run on one worker, waited for.
fn run(pool: &mut Pool, job: Job) -> Result<Done, String> {
    // A run that stops at the first failure leaves others under way: their results are of no use
    // any more.
    let slot = loop {
        if let Some(slot) = pool.idle().first() {
            break *slot;
        }
        pool.wait(BEAT)?;
    };
    let index = job.index;
    pool.give(slot, Ticket { job, pass: 0 });
    loop {
        match pool.wait(BEAT)? {
            Some((from, ticket, done)) if from == slot && ticket.job.index == index => {
                return Ok(done);
            }
            _ => {}
        }
    }
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
            // No plan or no log could be written: of a full disk, say.
            if let Some(lost) = second.failed.as_ref().filter(|it| it.promise == "plan") {
                return Some(format!("not kept: {}", lost.what));
            }
            let cut = second.failed.as_ref().is_some_and(|it| it.severity == Severity::Limit);
            let same = second.trace_hash == done.trace_hash || cut;
            let backtrace = second.failed.and_then(|it| it.backtrace);
            failed.backtrace = failed.backtrace.take().or(backtrace);
            (!same).then(|| {
                "made again for the log, this run had another trace: not deterministic".to_owned()
            })
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
        let log = std::fs::read_to_string(&path).map_err(|error| match done.failed {
            Some(failed) => failed.what,
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

/// Where `--log full` has its run written.
pub fn log_folder() -> PathBuf {
    runs_folder().join("last")
}

/// `--log full`: every event of the one run.
pub fn print_log() -> Result<(), String> {
    let path = log_folder().join(LOG_FILE);
    let log = std::fs::read_to_string(&path)
        .map_err(|error| format!("{}: {error}; the verdict below says why", path.display()))?;
    super::say(&log);
    Ok(())
}

//! Failures that scenarios say they have with a quirk on: they must come, and come as they say.
//!
//! A file stands for its bug: if the quirk no longer breaks the promise, either the file has lost
//! its point or the checker its eyes.

use super::job::{Done, Failed, Job, Severity};
use super::keep::run;
use super::pool::Pool;
use super::queue::Common;
use crate::cli::Asked;
use crate::report::tally::{Known, Tally};

/// Seeds of which one has to break the promise.
const SEEDS: u64 = 16;
/// Indexes of these runs begin here: no other has them.
const FIRST: u64 = 1 << 57;

/// Runs each scenario that was asked for as it stands with the quirk that it names.
pub fn check(
    pool: &mut Pool,
    asked: &Asked,
    common: &Common,
    tally: &mut Tally,
) -> Result<(), String> {
    let sources = asked.batches.iter().filter(|(_, seeds)| seeds.holds(0));
    for (index, source) in (FIRST..).zip(sources.flat_map(|(sources, _)| sources)) {
        let Some((path, text)) = source.file()? else { continue };
        let scenario = scenarios::read(path, text).map_err(|error| error.to_string())?;
        let Some(scenarios::Known { quirk: Some(quirk), breaks, .. }) = scenario.known.get("sim")
        else {
            continue;
        };
        let common = common.job(index, source.clone(), 0);
        // The log that is asked for is that of the run itself.
        let job = Job { quirk: Some(quirk.clone()), keep: None, ..common };
        match first(pool, &job, breaks)? {
            Ok(seed) => {
                tally.passed += 1;
                let (quirk, breaks) = (quirk.clone(), breaks.clone());
                tally.known.push(Known { scenario: scenario.name, quirk, breaks, seed });
            }
            Err((done, instead)) => {
                let what = format!(
                    "with the quirk {quirk} it should break {breaks}, but none of {SEEDS} seeds \
                     does{instead}"
                );
                let failed = Failed::bare(Severity::Expectation, "known", what);
                tally.fail(job, *done, failed);
            }
        }
    }
    Ok(())
}

/// The first seed under which the promise breaks; else the first run, and what else broke.
fn first(
    pool: &mut Pool,
    job: &Job,
    breaks: &str,
) -> Result<Result<u64, (Box<Done>, String)>, String> {
    let mut instead = String::new();
    let mut zero = None;
    for seed in 0..SEEDS {
        let mut done = run(pool, Job { seed, ..job.clone() })?;
        match done.failed.take() {
            Some(failed) if failed.promise == breaks => return Ok(Ok(seed)),
            Some(failed) if instead.is_empty() => {
                instead = format!("; seed {seed} breaks {}", failed.promise);
            }
            _ => {}
        }
        zero.get_or_insert(done);
    }
    Ok(Err((Box::new(zero.unwrap_or_default()), instead)))
}

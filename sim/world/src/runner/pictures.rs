//! Writes what is kept of a run beside its plan: every event, for people and for tools.
//!
//! A file that cannot be written (a full disk, say) takes nothing from the verdict, nor from the
//! other files: it is left out, and said.

use std::io::{BufWriter, Write};
use std::path::Path;

use scenarios::Scenario;
use sim::outcome::{LogLine, Outcome};
use sim::picture::{About, html, jsonl, perfetto};

use super::job::{Done, Job, Source};
use crate::report::{failure, text};

/// The plan of a run.
pub const PLAN_FILE: &str = "scenario.toml";
/// Every event of a run, a line each.
pub const LOG_FILE: &str = "events.log";
/// Every event of a run, for programs.
pub const JSONL_FILE: &str = "events.jsonl";
/// For ui.perfetto.dev.
pub const TRACE_FILE: &str = "trace.perfetto.json";
/// The page.
pub const PAGE_FILE: &str = "report.html";
/// The failure as it was printed.
pub const REPORT_FILE: &str = "report.txt";
/// What to do about a file that could not be written.
pub const REMEDY: &str = "make room or let the folder be written, then replay";

/// Files that could not be written: the first one's error stands for all.
#[derive(Default)]
pub struct Lost {
    first: Option<String>,
    more: usize,
}

impl Lost {
    /// Writes one file; what is left of a failed attempt is removed.
    pub fn write(
        &mut self,
        folder: &Path,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> IoResult,
    ) {
        let path = folder.join(name);
        let written = std::fs::create_dir_all(folder).and_then(|()| {
            let mut file = BufWriter::new(std::fs::File::create(&path)?);
            write(&mut file)?;
            file.flush()
        });
        if let Err(error) = written {
            // Half a file would be taken for a whole one.
            let _ = std::fs::remove_file(&path);
            self.more += usize::from(self.first.is_some());
            self.first.get_or_insert_with(|| format!("{}: {error}", path.display()));
        }
    }

    /// One line, if anything was lost.
    pub fn said(&self) -> Option<String> {
        let more = match self.more {
            0 => String::new(),
            1 => " (and one more file)".to_owned(),
            more => format!(" (and {more} more files)"),
        };
        self.first.as_ref().map(|first| format!("{first}{more}; remedy: {REMEDY}"))
    }
}

type IoResult = std::io::Result<()>;

/// Writes all that is kept of a run that was made with its log.
pub fn write(
    lost: &mut Lost,
    folder: &Path,
    scenario: &Scenario,
    (job, done): (&Job, &Done),
    outcome: &mut Outcome,
) {
    let log = std::mem::take(&mut outcome.log);
    lost.write(folder, LOG_FILE, |file| write_log(file, log));
    let Some(recording) = outcome.recording.take() else { return };
    let commit = std::env::var("TIEBREAKER_COMMIT").unwrap_or_else(|_| "unknown commit".to_owned());
    let (seed, replay) = (text::seed(job.seed), failure::replay(job, done));
    let plan = scenarios::write(scenario);
    let about = About {
        scenario: if job.source == Source::Drawn { "drawn plan" } else { &scenario.name },
        seed: &seed,
        quirk: job.quirk.as_deref(),
        commit: &commit,
        replay: &replay,
        plan: &plan,
        shrunk: None,
        outcome,
    };
    let mut text =
        |name, text: String| lost.write(folder, name, |file| file.write_all(text.as_bytes()));
    text(JSONL_FILE, jsonl::jsonl(&recording, &about));
    text(TRACE_FILE, perfetto::perfetto(&recording, &about));
    text(PAGE_FILE, html::page(&recording, &about));
}

/// Puts the plan that shrinking left, a file of its own, into the page of a run that is kept.
pub fn add_shrunk(lost: &mut Lost, folder: &Path, shrunk: &Path, replay: &str) {
    let page = std::fs::read_to_string(folder.join(PAGE_FILE));
    // Without a page there is nothing to add to; without a plan nothing to add.
    if let (Ok(page), Ok(plan)) = (page, std::fs::read_to_string(shrunk)) {
        let page = html::with_shrunk(&page, &plan, replay);
        lost.write(folder, PAGE_FILE, |file| file.write_all(page.as_bytes()));
    }
}

/// What is there of all that is kept, what people open first in front.
pub fn files(folder: &Path) -> Vec<&'static str> {
    let all = [PAGE_FILE, TRACE_FILE, LOG_FILE, JSONL_FILE, PLAN_FILE, REPORT_FILE];
    all.into_iter().filter(|file| folder.join(file).is_file()).collect()
}

/// One line per event, as it is compared and read.
fn write_log(file: &mut dyn Write, log: Vec<LogLine>) -> IoResult {
    for LogLine { at, who, part, text } in log {
        let (seconds, rest) = (at / 1_000_000_000, at % 1_000_000_000);
        writeln!(file, "t={seconds:>4}.{rest:09}s  {who:<8} {part:<5} {text}")?;
    }
    Ok(())
}

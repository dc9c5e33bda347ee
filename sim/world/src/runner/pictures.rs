//! Writes what is kept of a run beside its plan: every event, for people and for tools.
//!
//! A file that cannot be written (a full disk, say) takes nothing from the verdict, nor from the
//! other files: it is left out, and said.

use std::io::{BufWriter, Write};
use std::path::Path;

use scenarios::Scenario;
use sim::outcome::{LogLine, Outcome};
use sim::picture::{About, html, jsonl, perfetto};

use super::job::{Done, Job};
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
/// What to do about a file that could not be written.
const REMEDY: &str = "make room or let the folder be written, then replay";

/// Files that could not be written: the first one's error stands for all.
#[derive(Default)]
pub struct Lost {
    first: Option<String>,
    more: usize,
}

impl Lost {
    /// Writes one file; what is left of a failed attempt is removed.
    pub fn write(&mut self, folder: &Path, name: &str, write: impl FnOnce(&mut dyn Write) -> IoResult) {
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
pub fn write(folder: &Path, scenario: &Scenario, job: &Job, done: &Done, outcome: &mut Outcome) -> Lost {
    let mut lost = Lost::default();
    let log = std::mem::take(&mut outcome.log);
    lost.write(folder, LOG_FILE, |file| write_log(file, log));
    let Some(recording) = outcome.recording.take() else { return lost };
    let commit = std::env::var("TIEBREAKER_COMMIT").unwrap_or_else(|_| "unknown commit".to_owned());
    let (seed, replay) = (text::seed(job.seed), failure::replay(job, done));
    let plan = scenarios::write(scenario);
    let about = About {
        scenario: &scenario.name,
        seed: &seed,
        quirk: job.quirk.as_deref(),
        commit: &commit,
        replay: &replay,
        plan: &plan,
        shrunk: None,
        outcome,
    };
    let mut text = |name, text: String| lost.write(folder, name, |file| file.write_all(text.as_bytes()));
    text(JSONL_FILE, jsonl::jsonl(&recording, &about));
    text(TRACE_FILE, perfetto::perfetto(&recording, &about));
    text(PAGE_FILE, html::page(&recording, &about));
    lost
}

/// Puts the plan that shrinking left into the page of a run that is kept.
pub fn add_shrunk(folder: &Path, plan: &str, replay: &str) -> Result<(), String> {
    let path = folder.join(PAGE_FILE);
    let page = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let page = html::with_shrunk(&page, plan, replay);
    let mut lost = Lost::default();
    lost.write(folder, PAGE_FILE, |file| file.write_all(page.as_bytes()));
    lost.said().map_or(Ok(()), Err)
}

/// One line per event, as it is compared and read.
fn write_log(file: &mut dyn Write, log: Vec<LogLine>) -> IoResult {
    for LogLine { at, who, part, text } in log {
        let (seconds, rest) = (at / 1_000_000_000, at % 1_000_000_000);
        writeln!(file, "t={seconds:>4}.{rest:09}s  {who:<8} {part:<5} {text}")?;
    }
    Ok(())
}

//! From the command line to the verdict.

pub mod engine;
pub mod job;
mod keep;
mod known;
mod pictures;
mod pool;
mod queue;
mod shrink;
pub mod signature;
pub mod worker;

pub use worker::peak_kib;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Parser;

use crate::cli::{Asked, Cli, Log};
use crate::json;
use crate::report::failure::{Kept, headline};
use crate::report::progress::Progress;
use crate::report::tally::Tally;
use crate::report::{self, Frame};
use job::{Done, Failed, Job, Severity};
use pool::{Pool, Ticket};
use queue::{Common, Queue};

/// Bad flag or scenario.
const BAD_ARGUMENTS: u8 = 2;
/// Everything was skipped.
const NOTHING_RAN: u8 = 20;
/// Stopped by hand, as shells say it.
const INTERRUPTED: u8 = 130;
/// Results are looked for at least this often.
const BEAT: Duration = Duration::from_millis(100);
/// From here on a failure is told when it happens, not only in the report.
const LONG: Duration = Duration::from_secs(10);

/// `sim …`
pub fn main() -> u8 {
    // Not Cli::parse: its exit would skip what this process has to tidy up, and it would hide the
    // code.
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let printed = error.print();
            return if error.use_stderr() { BAD_ARGUMENTS } else { told(said(printed), 0) };
        }
    };
    if let Some(text) = printed(&cli) {
        return told(say(&text), 0);
    }
    let asked = match checked(&cli) {
        Ok(asked) => asked,
        Err(message) => {
            eprintln!("error: {message}");
            return BAD_ARGUMENTS;
        }
    };
    session(&cli, &asked).unwrap_or_else(|message| {
        eprintln!("error: {message}");
        Severity::Own.exit_code()
    })
}

/// Prints; the error is for people. A reader that has seen enough (`| head`) is none.
pub fn say(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    said(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

fn said(written: std::io::Result<()>) -> Result<(), String> {
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(format!("stdout: {error}\n  remedy: let the results go where there is room"))
        }
        _ => Ok(()),
    }
}

/// The exit code, if what was to be said could be said.
pub fn told(said: Result<(), String>, code: u8) -> u8 {
    match said {
        Ok(()) => code,
        Err(message) => {
            eprintln!("error: {message}");
            if code == 0 { Severity::Own.exit_code() } else { code }
        }
    }
}

/// Families of drawn plans and what they are about.
fn families() -> String {
    let rows = engine::families().into_iter();
    let rows = rows.map(|(name, about)| vec![name.to_owned(), about.to_owned()]);
    report::text::table(&rows.collect::<Vec<_>>())
}

/// What is only to be printed.
fn printed(cli: &Cli) -> Option<String> {
    let names = scenarios::BUILTIN.iter().map(|file| format!("{}\n", file.family_and_name()));
    match cli {
        Cli { quirk: Some(quirk), .. } if quirk == "list" => Some(quirks()),
        Cli { family: Some(family), .. } if family == "list" => Some(families()),
        Cli { list: true, .. } => Some(names.collect()),
        Cli { schema: true, .. } => Some(scenarios::json_schema()),
        Cli { reference: true, .. } => Some(scenarios::reference()),
        _ => None,
    }
}

/// The runs that were asked for.
fn checked(cli: &Cli) -> Result<Asked, String> {
    if let Some(quirk) = cli.quirk.as_ref().filter(|it| *it != "none" && !engine::is_quirk(it)) {
        let known = drbd::quirks::ALL.iter().map(|quirk| quirk.name);
        let near = scenarios::nearest(quirk, known)
            .map_or(String::new(), |near| format!("did you mean {near}? "));
        return Err(format!(
            "no quirk is called {quirk}\n  remedy: {near}`cargo xtask sim --quirk list` shows all"
        ));
    }
    cli.family.as_deref().map_or(Ok(()), known_family)?;
    let asked = cli.asked()?;
    if cli.log == Log::Full && Queue::total(&asked) != Some(1) {
        return Err(
            "--log full prints every event of one run\n  remedy: name one scenario or one --seed"
                .to_owned(),
        );
    }
    if let Some(path) = &cli.json {
        json::writable(path)?;
    }
    Ok(asked)
}

fn known_family(family: &str) -> Result<(), String> {
    let known = || engine::families().into_iter().map(|(name, _)| name);
    if known().any(|name| name == family) {
        return Ok(());
    }
    let near = scenarios::nearest(family, known());
    let near = near.map_or(String::new(), |near| format!("did you mean {near}? "));
    Err(format!(
        "no family is called {family}\n  remedy: {near}`cargo xtask sim --family list` shows all"
    ))
}

fn quirks() -> String {
    let head = ["name", "caught by", "origin"].map(str::to_owned).to_vec();
    let quirks = drbd::quirks::ALL.iter();
    let row = |quirk: &drbd::quirks::Quirk| {
        [quirk.name, quirk.promise, quirk.origin].map(str::to_owned).to_vec()
    };
    let rows: Vec<_> = std::iter::once(head).chain(quirks.map(row)).collect();
    report::text::table(&rows)
}

fn session(cli: &Cli, asked: &Asked) -> Result<u8, String> {
    let stop = interrupts();
    let commit = std::env::var("TIEBREAKER_COMMIT").unwrap_or_else(|_| "unknown commit".to_owned());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let total = Queue::total(asked);
    let jobs = cli.jobs.map_or(cores, usize::from).min(total.unwrap_or(u64::MAX) as usize).max(1);
    other_commit(cli, asked, &commit);
    let common = Common {
        quirk: asked.quirk.clone(),
        settings: asked.settings.clone(),
        wall_limit_ms: cli.wall_limit.as_millis() as u64,
        drill: cli.drill,
        keep: (cli.log == Log::Full).then(keep::log_folder),
    };
    // The second run of a seed is another process's, also when only one may run at a time.
    let pool = Pool::new(if cli.twice { jobs.max(2) } else { jobs })?;
    let session = Session {
        pool,
        cores,
        jobs,
        twice: cli.twice,
        stops_at_failure: (asked.time.is_some() || asked.quirk.is_some()) && !cli.keep_going,
        queue: Queue::new(asked, common.clone()),
        progress: Progress::new(total, asked.time),
        tally: Tally::default(),
        first: BTreeMap::new(),
        ready: BTreeMap::new(),
        next: 0,
        stop,
    };
    Ok(session.verdict(cli, asked, common, &commit))
}

/// Prints the report; the exit code of all.
fn reported(tally: &mut Tally, frame: &Frame) -> u8 {
    let code = match tally.exit_code() {
        0 if frame.interrupted => INTERRUPTED,
        // Never a pass.
        0 if tally.passed == 0 && !frame.skips.is_empty() => NOTHING_RAN,
        code => code,
    };
    let text = report::render(tally, frame);
    let said = say(&text);
    if said.is_err() {
        // The verdict at least.
        eprintln!("{}", text.lines().last().unwrap_or_default());
    }
    told(said, code)
}

/// A seed means little after a change of the code; the plan is the same.
fn other_commit(cli: &Cli, asked: &Asked, commit: &str) {
    let (Some(file), Some(replay)) = (&cli.file, &asked.replay) else { return };
    match &replay.commit {
        Some(written) if written != commit => eprintln!(
            "warning: {} was written at {written}, this is {commit}: it may not fail any more",
            file.display()
        ),
        _ => {}
    }
}

/// Set by the first Ctrl-C; the second ends the process at once.
fn interrupts() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // Without a handler the process just ends; nothing is lost but the summary.
        let _ = signal_hook::flag::register_conditional_shutdown(
            signal,
            INTERRUPTED.into(),
            stop.clone(),
        );
        let _ = signal_hook::flag::register(signal, stop.clone());
    }
    stop
}

/// An invocation under way.
struct Session {
    pool: Pool,
    /// Of the machine.
    cores: usize,
    /// Runs at the same time.
    jobs: usize,
    twice: bool,
    stops_at_failure: bool,
    queue: Queue,
    progress: Progress,
    tally: Tally,
    /// First runs that wait for their second.
    first: BTreeMap<u64, Done>,
    /// Results whose turn has not come.
    ready: BTreeMap<u64, (Job, Done)>,
    /// The index whose turn it is.
    next: u64,
    stop: Arc<AtomicBool>,
}

/// Why no more runs are made.
#[derive(PartialEq, Eq, Debug)]
enum Stopped {
    /// A failure is enough: later runs are not told of.
    AtFailure,
    /// All are made, or time is up, or somebody stopped it.
    Otherwise,
}

impl Session {
    /// Makes the runs, looks at what failed, and tells it; the exit code. What goes wrong on the
    /// way is told after the verdict: it takes nothing from a failure that was found.
    fn verdict(mut self, cli: &Cli, asked: &Asked, common: Common, commit: &str) -> u8 {
        let mut trouble: Vec<String> = Vec::new();
        let ran = self.run();
        let wall = self.progress.elapsed();
        let whole = ran.is_ok();
        trouble.extend(ran.err());
        if whole && !self.is_stopped() && asked.quirk.is_none() {
            self.tally.judge(&engine::promises());
            if cli.drill.is_none() {
                let (pool, tally) = (&mut self.pool, &mut self.tally);
                trouble.extend(known::check(pool, asked, &common, tally, &self.stop).err());
            }
        }
        let interrupted = self.is_stopped();
        // Without workers nothing is made again.
        let kept = if whole { self.kept(cli, commit) } else { BTreeMap::new() };
        self.progress.clear();
        if cli.log == Log::Full {
            // Without a log there is still a verdict.
            keep::print_log().unwrap_or_else(|message| eprintln!("no log: {message}"));
        }
        let passed = self.passed(cli, asked, common).unwrap_or_else(|message| {
            trouble.push(message);
            None
        });
        let frame = Frame {
            commit,
            wall,
            kept: &kept,
            passed: passed.as_ref(),
            twice: cli.twice,
            quirk: asked.quirk.as_deref(),
            interrupted,
            replay: asked.replay.as_ref(),
            skips: &asked.skips,
            width: report::progress::width(&std::io::stdout()),
        };
        let code = reported(&mut self.tally, &frame);
        let code = trouble.into_iter().fold(code, |code, message| told(Err(message), code));
        let Some(path) = &cli.json else { return code };
        told(json::write(path, &json::document(&mut self.tally, &frame, code)), code)
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Keeps what failed, and shrinks it.
    fn kept(&mut self, cli: &Cli, commit: &str) -> BTreeMap<u64, Kept> {
        let shrinking = keep::Shrinking {
            time: (!cli.no_shrink && !self.is_stopped()).then_some(cli.shrink_time),
            jobs: cli.jobs.map_or(self.cores, usize::from),
            stop: &self.stop,
        };
        keep::keep(&mut self.pool, &mut self.tally, commit, &shrinking, &mut self.progress)
    }

    /// Keeps the one run that passed, if its pictures were asked for.
    fn passed(&mut self, cli: &Cli, asked: &Asked, common: Common) -> Result<Option<Kept>, String> {
        let one = Queue::total(asked) == Some(1) && self.tally.failures.is_empty();
        if !one || !(cli.trace || cli.html) {
            return Ok(None);
        }
        let ticket = Queue::new(asked, common).next(0, true);
        ticket.map(|ticket| keep::keep_passed(&mut self.pool, &ticket.job)).transpose()
    }

    /// Until all runs are made, time is up, a failure ends it, or somebody does.
    fn run(&mut self) -> Result<(), String> {
        let ran = self.rounds();
        if ran != Ok(Stopped::AtFailure) {
            for (_, (job, done)) in std::mem::take(&mut self.ready) {
                self.tally.add(job, done);
            }
        }
        ran.map(|_| ())
    }

    fn rounds(&mut self) -> Result<Stopped, String> {
        while !self.is_stopped() {
            self.hand_out();
            if self.pool.busy() == 0 && !self.queue.has_second() {
                break;
            }
            if let Some((worker, ticket, done)) = self.pool.wait(BEAT)? {
                self.heard(worker, ticket, done);
            }
            if self.release() && self.stops_at_failure {
                return Ok(Stopped::AtFailure);
            }
            self.progress.tick(&self.tally);
        }
        Ok(Stopped::Otherwise)
    }

    fn hand_out(&mut self) {
        for worker in self.pool.idle() {
            if self.pool.busy() >= self.jobs {
                return;
            }
            let fresh = !self.progress.over();
            if let Some(ticket) = self.queue.next(worker, fresh) {
                self.pool.give(worker, ticket);
            }
        }
    }

    fn heard(&mut self, worker: usize, ticket: Ticket, done: Done) {
        let Ticket { job, pass } = ticket;
        if !self.twice {
            self.ready.insert(job.index, (job, done));
        } else if pass == 0 {
            self.first.insert(job.index, done);
            self.queue.again(job, worker);
        } else if let Some(first) = self.first.remove(&job.index) {
            self.ready.insert(job.index, (job, compared(first, &done)));
        }
    }

    /// Takes results in the order of the runs; did one of them fail?
    fn release(&mut self) -> bool {
        while let Some((job, done)) = self.ready.remove(&self.next) {
            self.next += 1;
            let line = done.failed.as_ref().map(|failed| headline(&job, &done, failed));
            self.tally.add(job, done);
            if let Some(line) = line {
                // Soon it is all on stdout; a long wait is told at once.
                if self.progress.elapsed() > LONG {
                    self.progress.say(&line);
                }
                if self.stops_at_failure {
                    return true;
                }
            }
        }
        false
    }
}

/// The first of two runs, failed if the second was another. Runs that real time cut may differ.
fn compared(mut first: Done, second: &Done) -> Done {
    first.cpu_ns += second.cpu_ns;
    first.peak_kib = first.peak_kib.max(second.peak_kib);
    let cut =
        |done: &Done| done.failed.as_ref().is_some_and(|failed| failed.severity == Severity::Limit);
    let verdict = |done: &Done| done.failed.as_ref().map(|failed| (failed.severity, failed.at));
    let same = first.trace_hash == second.trace_hash && verdict(&first) == verdict(second);
    if !same && !cut(&first) && !cut(second) {
        let what = format!(
            "two runs in two processes differ: trace hash {:#018x} and {:#018x}, {} and {} events",
            first.trace_hash, second.trace_hash, first.events, second.events,
        );
        first.failed = Some(Failed::bare(Severity::NotDeterministic, "determinism", what));
    }
    first
}

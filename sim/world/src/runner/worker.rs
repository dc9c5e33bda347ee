//! A worker process: jobs come in over stdin, results go out over stdout, each run has a thread of
//! its own.
//!
//! A fresh thread, because what a thread did before can leak into hash seeds and thread-locals of
//! libraries; a process of its own, because a run that hangs or aborts must not take the others
//! along.

use std::backtrace::Backtrace;
use std::io::{BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use scenarios::Scenario;
use sim::outcome::{LogLine, Outcome, RunOptions};

use super::job::{Done, Drill, Failed, Job, Severity, Source};
use super::pictures;

/// Begins every result; anything else on stdout is noise.
pub const MARK: &str = "@done ";

/// Room for deep recursion in a run; only touched pages cost memory.
const STACK: usize = 64 << 20;

/// Address space of a worker: many times what a run takes, a few of them are less than a machine
/// has.
const MEMORY: u64 = 6 << 30;

/// Values by path.
type Settings = Vec<(String, String)>;

/// First panic since it was last taken: message with place, and backtrace.
type Panics = Arc<Mutex<Option<(String, Backtrace)>>>;

/// The hidden verb `worker`: until stdin ends.
pub fn main() -> u8 {
    bound_memory();
    let panics = Panics::default();
    catch_panics(panics.clone());
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return 0 };
        let job: Job = match serde_json::from_str(&line) {
            Ok(job) => job,
            Err(error) => {
                eprintln!("sim worker: not a job: {error}");
                return 2;
            }
        };
        let done = on_fresh_thread(job, &panics);
        let Ok(text) = serde_json::to_string(&done) else { return 1 };
        let mut out = std::io::stdout().lock();
        if writeln!(out, "{MARK}{text}").and_then(|()| out.flush()).is_err() {
            // The runner is gone.
            return 0;
        }
    }
    0
}

/// A run that allocates without end dies by itself and is reported, before the machine suffers.
fn bound_memory() {
    let Rlimit { maximum, .. } = getrlimit(Resource::As);
    let current = Some(maximum.map_or(MEMORY, |most| most.min(MEMORY)));
    // Without the bound the run is made all the same.
    let _ = setrlimit(Resource::As, Rlimit { current, maximum });
}

/// Panics are kept for the report instead of being printed in the middle of others' output.
fn catch_panics(panics: Panics) {
    std::panic::set_hook(Box::new(move |info| {
        let payload = info.payload();
        let text = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or(payload.downcast_ref::<&str>().copied())
            .unwrap_or("panic without a message");
        let place = info.location().map_or(String::new(), |place| format!("{place}: "));
        let backtrace = Backtrace::force_capture();
        let mut slot = panics.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert((format!("{place}{text}"), backtrace));
    }));
}

fn on_fresh_thread(job: Job, panics: &Panics) -> Done {
    let index = job.index;
    let name = job.source.label();
    let panics = panics.clone();
    let thread = std::thread::Builder::new().name("run".to_owned()).stack_size(STACK);
    let done = thread.spawn(move || one(&job, &panics)).map(std::thread::JoinHandle::join);
    let what = match done {
        Ok(Ok(done)) => return done,
        Ok(Err(_)) => "the thread of the run ended without a result".to_owned(),
        Err(error) => format!("no thread for the run: {error}"),
    };
    let failed = Some(Failed::bare(Severity::Own, "worker", what));
    Done { index, name, failed, ..Done::default() }
}

/// Makes one run on this thread.
fn one(job: &Job, panics: &Panics) -> Done {
    let mut done = Done { index: job.index, name: job.source.label(), ..Done::default() };
    let take = || panics.lock().unwrap_or_else(PoisonError::into_inner).take();
    take();
    forget_peak();
    let before = thread_cpu_ns();
    match catch_unwind(AssertUnwindSafe(|| prepared(job, &mut done))) {
        Ok(Ok(outcome)) => done.absorb(outcome),
        Ok(Err(failed)) => done.failed = Some(*failed),
        Err(_) => done.failed = Some(Failed::bare(Severity::Panic, "panic", String::new())),
    }
    done.cpu_ns = thread_cpu_ns().saturating_sub(before);
    done.peak_kib = peak_kib();
    if let (Some(failed), Some((text, backtrace))) = (&mut done.failed, take()) {
        if failed.what.is_empty() {
            failed.what = text;
        }
        // Names and lines of the frames come from the binary's debug information, which takes more
        // memory than any run: only for a run that is kept.
        if job.keep.is_some() {
            failed.backtrace.get_or_insert_with(|| backtrace.to_string());
        }
    }
    done
}

fn prepared(job: &Job, done: &mut Done) -> Result<Outcome, Box<Failed>> {
    let plan = |what| Box::new(Failed::bare(Severity::Own, "plan", what));
    let (scenario, varied) = job.source.scenario(job.seed, &job.settings).map_err(plan)?;
    done.varied = varied;
    scenarios::validate(&scenario).map_err(|invalid| plan(invalid.to_string()))?;
    done.name.clone_from(&scenario.name);
    done.safety_only = super::engine::is_safety_only(&scenario);
    done.heals = scenario.heals && !done.safety_only;
    done.lists.clone_from(&scenario.promise);
    let quirks = match &job.quirk {
        None => drbd::quirks::Quirks::default(),
        Some(name) => drbd::quirks::Quirks::named(name)
            .ok_or_else(|| plan(format!("no quirk is called {name}")))?,
    };
    let options = RunOptions {
        seed: job.seed,
        quirks,
        keep_log: job.keep.is_some(),
        wall_limit: std::time::Duration::from_millis(job.wall_limit_ms),
        marks: true,
    };
    let mut lost = pictures::Lost::default();
    if let Some(folder) = &job.keep {
        // The plan first: a run that panics is kept all the same.
        let text = scenarios::write(&scenario);
        lost.write(folder, pictures::PLAN_FILE, |file| file.write_all(text.as_bytes()));
        done.lost = lost.said();
    }
    misbehave(job.drill);
    let mut outcome = super::engine::run(&scenario, &options);
    if job.drill == Some(Drill::Drift) {
        drift(&mut outcome);
    }
    if let Some(folder) = &job.keep {
        pictures::write(&mut lost, folder, &scenario, (job, done), &mut outcome);
        done.lost = lost.said();
    }
    Ok(outcome)
}

impl Source {
    /// Name before the plan is known.
    pub fn label(&self) -> String {
        match self {
            Source::Drawn => "drawn".to_owned(),
            Source::Family(family) => format!("drawn-{family}"),
            Source::File { path, .. } => path.clone(),
            Source::Builtin(path) => {
                builtin(path).map_or(path.clone(), |file| file.name().to_owned())
            }
        }
    }

    /// Path and text, if it is a file.
    pub fn file(&self) -> Result<Option<(&str, &str)>, String> {
        Ok(match self {
            Source::Drawn | Source::Family(_) => None,
            Source::File { path, text } => Some((path, text)),
            Source::Builtin(path) => {
                let file = builtin(path).ok_or_else(|| format!("{path} is not built in"))?;
                Some((file.path, file.text))
            }
        })
    }

    /// The plan of a seed, with values set by hand; and the values that the seed drew.
    pub fn scenario(&self, seed: u64, by_hand: &Settings) -> Result<(Scenario, Settings), String> {
        let Some((path, text)) = self.file()? else {
            let plan = match self {
                Source::Family(family) => super::engine::draw_of(family, seed)?,
                _ => super::engine::draw(seed),
            };
            return Ok((plan, Settings::new()));
        };
        let read = |settings: &Settings| {
            let setting = |(path, value): &(String, String)| scenarios::Setting {
                path: path.clone(),
                value: value.clone(),
            };
            let settings: Vec<_> = settings.iter().map(setting).collect();
            scenarios::read_with(path, text, &settings).map_err(|error| error.to_string())
        };
        let plain = read(by_hand)?;
        let mut vary = plain.vary.clone();
        // What is set by hand stays so.
        vary.retain(|path, _| by_hand.iter().all(|(set, _)| set != path));
        let varied = super::engine::vary(seed, &vary);
        if varied.is_empty() {
            return Ok((plain, varied));
        }
        Ok((read(&[by_hand.clone(), varied.clone()].concat())?, varied))
    }
}

fn builtin(path: &str) -> Option<&'static scenarios::Builtin> {
    scenarios::BUILTIN.iter().find(|file| file.path == path)
}

fn misbehave(drill: Option<Drill>) {
    match drill {
        Some(Drill::Panic) => panic!("a drill: this run panics"),
        Some(Drill::Hang) => loop {
            std::thread::sleep(std::time::Duration::from_secs(1));
        },
        Some(Drill::Die) => std::process::abort(),
        Some(Drill::Greed) => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(vec![0u8; 1 << 30]);
            }
        }
        Some(Drill::Drift) | None => {}
    }
}

fn drift(outcome: &mut Outcome) {
    let process = std::process::id();
    outcome.trace_hash ^= u64::from(process);
    let text = format!("a drill: this is process {process}");
    let at = outcome.sim_ns;
    outcome.log.push(LogLine { at, who: "plan".to_owned(), part: "plan", text });
}

/// CPU time of this thread. Straight from the kernel: inside a run the C library's clock is a
/// simulated one.
fn thread_cpu_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// Begins to look for the largest resident memory anew: what came before was another run's. Where
/// the kernel does not allow it, the peak is that of all runs so far.
fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Largest resident memory of this process, so far or since it was told to forget.
pub fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

//! Worker processes: start, feed, hear, cut what hangs, replace what dies.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::job::{Done, Failed, Job, Severity};
use super::worker::MARK;

/// A run cuts itself at its wall limit; one that does not even do that is cut this much later.
const GRACE: Duration = Duration::from_secs(5);
/// Longest wait for a run that is waited for.
const BEAT: Duration = Duration::from_millis(500);
/// Their indexes: no other run has them.
const ALONE: u64 = 1 << 56;
/// Lines of a worker's stderr that are kept in case it dies.
const LAST_WORDS: usize = 100;

/// The workers.
pub struct Pool {
    workers: Vec<Worker>,
    heard: Receiver<(usize, u64, Heard)>,
    ear: Sender<(usize, u64, Heard)>,
    started: u64,
}

struct Worker {
    /// Which start of this slot: what an earlier process said late is ignored.
    birth: u64,
    child: Child,
    stdin: Option<ChildStdin>,
    busy: Option<(Ticket, Instant)>,
    last_words: Arc<Mutex<VecDeque<String>>>,
}

enum Heard {
    Done(Box<Done>),
    Closed,
}

/// A job and which of its runs this is: 0, or 1 for the second of `--twice`.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// What to run.
    pub job: Job,
    /// Which time.
    pub pass: u8,
}

impl Pool {
    /// Starts `size` workers.
    pub fn new(size: usize) -> Result<Pool, String> {
        let (ear, heard) = channel();
        let mut pool = Pool { workers: Vec::new(), heard, ear, started: 0 };
        for slot in 0..size {
            let worker = pool.start(slot)?;
            pool.workers.push(worker);
        }
        Ok(pool)
    }

    fn start(&mut self, slot: usize) -> Result<Worker, String> {
        self.started += 1;
        let birth = self.started;
        // The running binary itself, also if a build has put another in its place. A process group
        // of its own: Ctrl-C is the runner's to handle.
        let mut child = Command::new("/proc/self/exe")
            .arg0("sim")
            .arg("worker")
            // What a dying process says is the same for everybody.
            .env("RUST_BACKTRACE", "1")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start a worker process: {error}"))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let ear = self.ear.clone();
        std::thread::spawn(move || listen(stdout, &ear, slot, birth));
        let last_words = Arc::new(Mutex::new(VecDeque::new()));
        let words = last_words.clone();
        std::thread::spawn(move || remember(stderr, &words));
        Ok(Worker { birth, stdin: child.stdin.take(), child, busy: None, last_words })
    }

    /// Workers without a job.
    pub fn idle(&self) -> Vec<usize> {
        let idle = |slot: &usize| self.workers[*slot].busy.is_none();
        (0..self.workers.len()).filter(idle).collect()
    }

    /// How many workers have a job.
    pub fn busy(&self) -> usize {
        self.workers.iter().filter(|worker| worker.busy.is_some()).count()
    }

    /// Gives an idle worker a job. A worker that cannot take it is found dead by [`Pool::wait`].
    pub fn give(&mut self, slot: usize, ticket: Ticket) {
        let text = serde_json::to_string(&ticket.job).unwrap_or_default();
        let worker = &mut self.workers[slot];
        worker.busy = Some((ticket, Instant::now()));
        if let Some(stdin) = &mut worker.stdin {
            let _ = writeln!(stdin, "{text}").and_then(|()| stdin.flush());
        }
    }

    /// Waits for a result, at most this long. What hangs or dies counts as a result.
    pub fn wait(&mut self, patience: Duration) -> Result<Option<(usize, Ticket, Done)>, String> {
        // Also while others are busy: their results must not keep a hanging run alive.
        if let Some(cut) = self.cut_hanging()? {
            return Ok(Some(cut));
        }
        match self.heard.recv_timeout(patience) {
            Ok((slot, birth, _)) if self.workers[slot].birth != birth => Ok(None),
            Ok((slot, _, Heard::Done(done))) => {
                let ticket = self.workers[slot].busy.take().map(|(ticket, _)| ticket);
                Ok(ticket.map(|ticket| (slot, ticket, *done)))
            }
            Ok((slot, _, Heard::Closed)) => self.died(slot),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err("no worker is left".to_owned()),
        }
    }

    /// Runs that are waited for, in their order.
    pub fn run_all(&mut self, jobs: Vec<Job>) -> Result<Vec<Done>, String> {
        let total = jobs.len();
        let mut next = jobs.into_iter().enumerate();
        let mut done: BTreeMap<u64, Done> = BTreeMap::new();
        while done.len() < total {
            for slot in self.idle() {
                let Some((at, job)) = next.next() else { break };
                let job = Job { index: ALONE + at as u64, ..job };
                self.give(slot, Ticket { job, pass: 0 });
            }
            match self.wait(BEAT)? {
                Some((_, ticket, it)) if ticket.job.index >= ALONE => {
                    done.insert(ticket.job.index, it);
                }
                // A run that nobody waits for any more.
                _ => {}
            }
        }
        Ok(done.into_values().collect())
    }

    fn died(&mut self, slot: usize) -> Result<Option<(usize, Ticket, Done)>, String> {
        let worker = &mut self.workers[slot];
        let status =
            worker.child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
        // The reader of stderr ends with the process; give it the moment that it needs.
        std::thread::sleep(Duration::from_millis(50));
        let words = worker.last_words.clone();
        let words = words.lock().unwrap_or_else(PoisonError::into_inner);
        let words: Vec<_> = words.iter().cloned().collect();
        let Some((ticket, _)) = worker.busy.take() else {
            return Err(format!("a worker ended by itself, {status}: {}", words.join("\n")));
        };
        let first = words.iter().find(|line| !line.trim().is_empty());
        let said = first.map_or(String::new(), |line| format!(": {}", line.trim()));
        let what = format!("the process of the run died, {status}{said}");
        let mut failed = Failed::bare(Severity::Panic, "panic", what);
        failed.backtrace = (!words.is_empty()).then(|| words.join("\n"));
        self.replaced(slot, ticket, failed)
    }

    fn cut_hanging(&mut self) -> Result<Option<(usize, Ticket, Done)>, String> {
        let hangs = |worker: &Worker| {
            worker.busy.as_ref().is_some_and(|(ticket, since)| {
                since.elapsed() > Duration::from_millis(ticket.job.wall_limit_ms) + GRACE
            })
        };
        let Some(slot) = self.workers.iter().position(hangs) else { return Ok(None) };
        let worker = &mut self.workers[slot];
        let _ = worker.child.kill();
        let _ = worker.child.wait();
        let Some((ticket, since)) = worker.busy.take() else { return Ok(None) };
        let what = format!(
            "the run was stuck: no result after {} s of real time (limit {} s); its process was killed",
            since.elapsed().as_secs(),
            ticket.job.wall_limit_ms / 1_000,
        );
        self.replaced(slot, ticket, Failed::bare(Severity::Limit, "limit", what))
    }

    fn replaced(
        &mut self,
        slot: usize,
        ticket: Ticket,
        failed: Failed,
    ) -> Result<Option<(usize, Ticket, Done)>, String> {
        self.workers[slot] = self.start(slot)?;
        let name = ticket.job.source.label();
        let index = ticket.job.index;
        let done = Done { index, name, failed: Some(failed), ..Done::default() };
        Ok(Some((slot, ticket, done)))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            // An idle worker ends when its stdin does; one in the middle of a run would take its
            // time.
            worker.stdin = None;
            if worker.busy.is_some() {
                let _ = worker.child.kill();
            }
        }
        for worker in &mut self.workers {
            let _ = worker.child.wait();
        }
    }
}

fn listen(stdout: Option<impl Read>, ear: &Sender<(usize, u64, Heard)>, slot: usize, birth: u64) {
    for line in stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).lines()) {
        let Ok(line) = line else { break };
        let Some(text) = line.strip_prefix(MARK) else { continue };
        let Ok(done) = serde_json::from_str(text) else { break };
        if ear.send((slot, birth, Heard::Done(Box::new(done)))).is_err() {
            return;
        }
    }
    let _ = ear.send((slot, birth, Heard::Closed));
}

fn remember(stderr: Option<impl Read>, words: &Mutex<VecDeque<String>>) {
    for line in stderr.into_iter().flat_map(|stderr| BufReader::new(stderr).lines()) {
        let Ok(line) = line else { return };
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        if words.len() == LAST_WORDS {
            words.pop_front();
        }
        words.push_back(line);
    }
}

//! The one line on stderr that says how far it is: redrawn on a terminal, printed each ten seconds
//! elsewhere.

use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::tally::Tally;
use super::text;

/// Columns of a terminal: what `COLUMNS` says, else what the terminal does; `None` where there is
/// none.
pub fn width(of: &(impl IsTerminal + AsFd)) -> Option<usize> {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse().ok());
    let found = || match of.is_terminal() {
        true => rustix::termios::tcgetwinsize(of).ok().map(|size| usize::from(size.ws_col)),
        false => None,
    };
    let usable = |columns: &usize| (20..=10_000).contains(columns);
    said.filter(usable).or_else(found).filter(usable)
}

/// How far a job is.
pub struct Progress {
    began: Instant,
    last: Instant,
    terminal: bool,
    /// Columns of it.
    width: usize,
    drawn: bool,
    /// Runs in all, if known.
    total: Option<u64>,
    /// Time in all, if that is the limit.
    time: Option<Duration>,
}

impl Progress {
    /// Begins now.
    pub fn new(total: Option<u64>, time: Option<Duration>) -> Progress {
        let (began, terminal) = (Instant::now(), std::io::stderr().is_terminal());
        let width = width(&std::io::stderr()).unwrap_or(super::WIDTH);
        Progress { began, last: began, terminal, width, drawn: false, total, time }
    }

    /// Since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Is time up?
    pub fn over(&self) -> bool {
        self.time.is_some_and(|time| self.elapsed() >= time)
    }

    /// Shows where things are, if it is time to.
    pub fn tick(&mut self, tally: &Tally) {
        let pause = Duration::from_millis(if self.terminal { 200 } else { 10_000 });
        if self.last.elapsed() < pause {
            return;
        }
        let line = self.line(tally);
        self.draw(&line);
    }

    /// Shows another line instead, if it is time to.
    pub fn show(&mut self, line: &str) {
        let pause = Duration::from_millis(if self.terminal { 200 } else { 10_000 });
        if self.last.elapsed() >= pause {
            self.draw(line);
        }
    }

    fn draw(&mut self, line: &str) {
        self.last = Instant::now();
        let mut err = std::io::stderr().lock();
        // A line that is broken by the terminal cannot be redrawn. Nobody to tell is not a reason
        // to stop.
        let line: String = line.chars().take(self.width.saturating_sub(1)).collect();
        let _ = if self.terminal { write!(err, "\r\x1b[K{line}") } else { writeln!(err, "{line}") };
        let _ = err.flush();
        self.drawn = self.terminal;
    }

    /// Prints a line of its own, above the redrawn one.
    pub fn say(&mut self, line: &str) {
        self.clear();
        eprintln!("{line}");
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            eprint!("\r\x1b[K");
        }
    }

    fn line(&self, tally: &Tally) -> String {
        let elapsed = self.elapsed();
        let ms = elapsed.as_millis().max(1);
        let runs = tally.runs.len() as u64;
        let of = self.total.map_or(String::new(), |total| format!("/{total}"));
        let left = match (self.time, self.total) {
            (Some(time), _) => Some(time.saturating_sub(elapsed).as_nanos()),
            (None, Some(total)) if runs > 0 => {
                Some(ms * 1_000_000 * u128::from(total - runs.min(total)) / u128::from(runs))
            }
            _ => None,
        };
        let left = left.map_or(String::new(), |left| format!("  eta {}", text::time(left)));
        format!(
            "sim  {runs}{of} runs  {}/s  {} simulated per second  {} failed{left}",
            (u128::from(runs) * 1_000 + ms / 2) / ms,
            text::time(tally.sim_ns * 1_000 / ms),
            tally.failed,
        )
    }
}

//! What a case may ask of the world it runs in.

use std::{fmt, future::Future, io, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

/// An answer that takes a while.
pub type Wait<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The code of a case.
pub type Code = fn(Arc<dyn Fixture>) -> Wait<'static, Result<(), Stop>>;

/// One case.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// Its code.
    pub run: Code,
}

/// Why a case stopped before its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stop {
    /// The door breaks its promise.
    Failed(String),
    /// This world lacks what the case needs.
    Skipped(String),
}

impl From<io::Error> for Stop {
    fn from(e: io::Error) -> Self {
        Stop::Failed(format!("{e} ({:?})", e.kind()))
    }
}

impl From<crate::time::Elapsed> for Stop {
    fn from(e: crate::time::Elapsed) -> Self {
        Stop::Failed(e.to_string())
    }
}

/// How a case ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The promise holds.
    Passed,
    /// It does not.
    Failed(String),
    /// It could not be tried.
    Skipped(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Passed => f.write_str("passed"),
            Verdict::Failed(why) => write!(f, "FAILED: {why}"),
            Verdict::Skipped(why) => write!(f, "skipped, because {why}"),
        }
    }
}

/// Where a process runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// On the host of the case.
    Here,
    /// On the other host.
    There,
}

/// What can be done to the world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The link between the two hosts loses everything, silently.
    CutLink,
    /// It works again.
    HealLink,
    /// The other host loses power.
    PowerOff,
    /// It has power again; done when it runs.
    PowerOn,
    /// The wall clock of the case's host jumps by so many seconds.
    StepClock(i64),
}

/// A process that a case has started; killed when dropped.
pub trait Process: Send {
    /// Kills it; done when it is dead.
    fn kill(&mut self) -> Wait<'_, io::Result<()>>;
}

/// The world a case runs in.
pub trait Fixture: Send + Sync {
    /// A directory of the case's host for files and unix sockets.
    fn dir(&self) -> String;
    /// The address of the case's host.
    fn here(&self) -> IpAddr;
    /// The address of the other host, or why there is none.
    fn there(&self) -> Result<IpAddr, String>;
    /// A block device of the place of a mebibyte or more, or why there is none.
    fn device(&self, place: Place) -> Result<String, String>;
    /// Whether the other host is a host of its own, which boots and loses its memory with its
    /// power, or why it is not.
    fn reboots(&self) -> Result<(), String>;
    /// A port that nobody uses.
    fn port(&self) -> u16;
    /// How much later than asked for a sleep may end.
    fn lateness(&self) -> Duration;
    /// Starts the [agent](super::agent).
    fn start(&self, place: Place, args: Vec<String>) -> Wait<'_, Result<Box<dyn Process>, Stop>>;
    /// The agent as a command to be executed.
    fn command(&self, args: &[&str]) -> crate::exec::Command;
    /// Strikes, or says why it cannot.
    fn strike(&self, fault: Fault) -> Wait<'_, Result<(), Stop>>;
}

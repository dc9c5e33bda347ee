//! Cases about running programs.

use super::{Fixture, Stop, ensure, ensure_err, list_cases};
use crate::{
    exec::{Child, Command, ExitStatus, Line},
    process::EXIT_PANIC,
    time::{self, Duration},
};

list_cases![
    a_program_runs_to_its_end,
    a_failing_program_says_its_code,
    no_such_program_is_not_found,
    a_hanging_program_is_killed_in_time,
    a_killed_program_ends_by_signal,
    lines_arrive_as_they_are_written,
    a_program_may_answer_the_wish_to_stop,
    a_program_that_does_not_listen_is_ended_by_sigterm,
    a_panic_ends_the_program,
    a_panic_in_a_task_ends_the_program,
    dropping_the_child_kills_it,
    long_output_is_complete,
];

const SOON: Duration = Duration::from_secs(10);

/// Starts the agent and waits for it to say that it is ready.
pub(super) async fn ready(f: &dyn Fixture, args: &[&str]) -> Result<Child, Stop> {
    let mut child = f.command(args).start().await?;
    let line = time::timeout(SOON, child.next_line()).await??;
    ensure!(line == Some(Line::Out("ready".into())), "{args:?} began with {line:?}");
    Ok(child)
}

async fn a_program_runs_to_its_end(f: &dyn Fixture) -> Result<(), Stop> {
    let out = f.command(&["cat"]).stdin("in and out\n").output(SOON).await?;
    ensure!(out.stdout == b"in and out\n", "standard output was {:?}", out.stdout);
    ensure!(out.stderr == b"to the other stream\n", "standard error was {:?}", out.stderr);
    ensure!(out.status == ExitStatus::Code(7), "it ended with {}", out.status);
    Ok(())
}

async fn a_failing_program_says_its_code(f: &dyn Fixture) -> Result<(), Stop> {
    for code in [0, 1, 77] {
        let out = f.command(&["exit", &code.to_string()]).output(SOON).await?;
        ensure!(out.status == ExitStatus::Code(code), "{code} became {}", out.status);
        ensure!(out.status.success() == (code == 0), "success of {}", out.status);
    }
    Ok(())
}

async fn no_such_program_is_not_found(_: &dyn Fixture) -> Result<(), Stop> {
    let out = Command::new("no-such-program-anywhere").output(SOON).await;
    ensure_err!(out, NotFound, "a program that does not exist");
    Ok(())
}

async fn a_hanging_program_is_killed_in_time(f: &dyn Fixture) -> Result<(), Stop> {
    let before = time::now();
    let out = f.command(&["hang"]).output(Duration::from_secs(1)).await;
    let took = before.elapsed();
    ensure_err!(out, TimedOut, "a program that hangs");
    ensure!(took < Duration::from_secs(3), "it took {took:?}");
    Ok(())
}

async fn a_killed_program_ends_by_signal(f: &dyn Fixture) -> Result<(), Stop> {
    let mut child = f.command(&["hang"]).start().await?;
    child.kill();
    let status = time::timeout(SOON, child.wait()).await??;
    ensure!(status == ExitStatus::Signal(9), "it ended with {status}");
    ensure!(child.next_line().await?.is_none(), "a dead program said something");
    Ok(())
}

async fn lines_arrive_as_they_are_written(f: &dyn Fixture) -> Result<(), Stop> {
    let mut child = f.command(&["lines", "5"]).start().await?;
    let mut at = Vec::new();
    for i in 0..5 {
        let line = time::timeout(SOON, child.next_line()).await??;
        ensure!(line == Some(Line::Out(format!("line {i}"))), "line {i} was {line:?}");
        at.push(time::now());
    }
    ensure!(at[4] - at[0] >= Duration::from_millis(40), "all lines came at once");
    ensure!(child.next_line().await?.is_none(), "there was a sixth line");
    ensure!(child.wait().await?.success(), "it failed");
    Ok(())
}

async fn a_program_may_answer_the_wish_to_stop(f: &dyn Fixture) -> Result<(), Stop> {
    let mut child = ready(f, &["polite"]).await?;
    child.terminate();
    let status = time::timeout(SOON, child.wait()).await??;
    ensure!(status == ExitStatus::Code(3), "it ended with {status}");
    Ok(())
}

async fn a_program_that_does_not_listen_is_ended_by_sigterm(f: &dyn Fixture) -> Result<(), Stop> {
    let mut child = f.command(&["hang"]).start().await?;
    child.terminate();
    let status = time::timeout(SOON, child.wait()).await??;
    ensure!(status == ExitStatus::Signal(15), "it ended with {status}");
    Ok(())
}

async fn a_panic_ends_the_program(f: &dyn Fixture) -> Result<(), Stop> {
    let out = f.command(&["panic"]).output(SOON).await?;
    ensure!(out.status == ExitStatus::Code(EXIT_PANIC), "it ended with {}", out.status);
    Ok(())
}

async fn a_panic_in_a_task_ends_the_program(f: &dyn Fixture) -> Result<(), Stop> {
    let out = f.command(&["panic-in-task"]).output(SOON).await?;
    ensure!(out.status == ExitStatus::Code(EXIT_PANIC), "it ended with {}", out.status);
    Ok(())
}

/// The child holds a lock; once it is free again, the child is dead.
async fn dropping_the_child_kills_it(f: &dyn Fixture) -> Result<(), Stop> {
    let path = format!("{}/dropped{}.lock", f.dir(), f.port());
    let child = ready(f, &["lock", &path]).await?;
    ensure_err!(crate::file::lock(&path).await, ResourceBusy, "the lock of a living child");
    drop(child);
    let deadline = time::now() + SOON;
    while crate::file::lock(&path).await.is_err() {
        ensure!(time::now() < deadline, "the child outlived its handle");
        time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn long_output_is_complete(f: &dyn Fixture) -> Result<(), Stop> {
    // Longer than a pipe holds, and cut at no convenient place.
    let text: String = (0..30_000).map(|i| format!("{i};")).collect();
    let out = f.command(&["cat"]).stdin(text.clone()).output(SOON).await?;
    ensure!(out.stdout == text.as_bytes(), "{} of {} bytes came", out.stdout.len(), text.len());
    Ok(())
}

//! Cases about time.

use super::{Fault, Fixture, Stop, ensure, list_cases};
use crate::time::{self, Duration, Instant};

list_cases![
    sleeps_are_exact,
    a_sleep_into_the_past_is_over_at_once,
    intervals_keep_their_rhythm,
    a_missed_tick_is_not_made_up_for,
    timeouts_cut_and_let_pass,
    the_wall_clock_steps_alone,
];

fn on_time(due: Instant, f: &dyn Fixture, what: &str) -> Result<(), Stop> {
    let now = time::now();
    ensure!(now >= due, "{what}: {:?} too early", due - now);
    ensure!(now - due <= f.lateness(), "{what}: {:?} too late", now - due);
    Ok(())
}

async fn sleeps_are_exact(f: &dyn Fixture) -> Result<(), Stop> {
    for us in [0, 1, 50, 999, 1_000, 1_001, 12_345, 1_500_000] {
        let d = Duration::from_micros(us);
        let due = time::now() + d;
        time::sleep(d).await;
        on_time(due, f, &format!("a sleep of {d:?}"))?;
    }
    // Longer than simulation sleeps in one piece.
    if f.lateness() <= Duration::from_micros(1) {
        let due = time::now() + Duration::from_secs(3_601);
        time::sleep_until(due).await;
        on_time(due, f, "a sleep of an hour")?;
    }
    Ok(())
}

async fn a_sleep_into_the_past_is_over_at_once(f: &dyn Fixture) -> Result<(), Stop> {
    time::sleep(Duration::from_millis(5)).await;
    let before = time::now();
    time::sleep_until(before - Duration::from_millis(5)).await;
    on_time(before, f, "a sleep into the past")
}

async fn intervals_keep_their_rhythm(f: &dyn Fixture) -> Result<(), Stop> {
    let start = time::now();
    let mut ticks = time::interval(Duration::from_millis(100));
    for i in 0..5 {
        let due = ticks.tick().await;
        on_time(due, f, "a tick")?;
        let expected = start + Duration::from_millis(100) * i;
        ensure!(
            due - expected <= f.lateness() * (i + 1),
            "tick {i} was due {:?} late",
            due - expected
        );
    }
    Ok(())
}

async fn a_missed_tick_is_not_made_up_for(_: &dyn Fixture) -> Result<(), Stop> {
    let mut ticks = time::interval(Duration::from_millis(100));
    ticks.tick().await;
    time::sleep(Duration::from_millis(550)).await;
    ticks.tick().await;
    let late = time::now();
    ticks.tick().await;
    let gap = late.elapsed();
    ensure!(gap >= Duration::from_millis(99), "after a missed tick the next came after {gap:?}");
    Ok(())
}

async fn timeouts_cut_and_let_pass(f: &dyn Fixture) -> Result<(), Stop> {
    let due = time::now() + Duration::from_millis(50);
    let cut = time::timeout(Duration::from_millis(50), std::future::pending::<()>()).await;
    ensure!(cut.is_err(), "a future that never ends ended");
    on_time(due, f, "a timeout")?;
    let ready = time::timeout(Duration::ZERO, async { 7 }).await;
    ensure!(ready == Ok(7), "a ready future was cut: {ready:?}");
    let short = time::timeout(Duration::from_secs(60), time::sleep(Duration::from_millis(1))).await;
    ensure!(short.is_ok(), "a short sleep was cut");
    Ok(())
}

async fn the_wall_clock_steps_alone(f: &dyn Fixture) -> Result<(), Stop> {
    let (wall, mono) = (time::wall(), time::now());
    let nap = time::sleep(Duration::from_secs(2));
    f.strike(Fault::StepClock(3_600)).await?;
    let jumped = time::wall().saturating_sub(wall);
    ensure!(jumped >= Duration::from_secs(3_600), "the wall clock moved by {jumped:?}");
    nap.await;
    let slept = mono.elapsed();
    ensure!(slept < Duration::from_secs(3), "a sleep of 2 s took {slept:?}");
    f.strike(Fault::StepClock(-7_200)).await?;
    ensure!(time::wall() < wall, "the wall clock did not go back");
    Ok(())
}

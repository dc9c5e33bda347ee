//! Cases about tasks, panics and randomness.

use super::{Fixture, Stop, ensure, list_cases};
use crate::{
    rng,
    sync::oneshot,
    task,
    time::{self, Duration},
};

list_cases![
    a_task_returns_its_value,
    an_aborted_task_is_dropped,
    a_dropped_guard_aborts,
    a_panic_can_be_contained,
    streams_of_randomness_differ,
];

async fn a_task_returns_its_value(_: &dyn Fixture) -> Result<(), Stop> {
    let task = task::spawn(async {
        task::yield_now().await;
        42
    });
    let got = task.await;
    ensure!(got == Ok(42), "got {got:?}");
    Ok(())
}

async fn an_aborted_task_is_dropped(_: &dyn Fixture) -> Result<(), Stop> {
    let (held, dropped) = oneshot::channel::<()>();
    let task = task::spawn(async move {
        let _held = held;
        std::future::pending::<()>().await;
    });
    task::yield_now().await;
    task.abort();
    ensure!(task.await.is_err(), "an aborted task returned");
    let end = time::timeout(Duration::from_secs(5), dropped).await?;
    ensure!(end.is_err(), "an aborted task sent something");
    Ok(())
}

async fn a_dropped_guard_aborts(_: &dyn Fixture) -> Result<(), Stop> {
    let (held, dropped) = oneshot::channel::<()>();
    let guard = task::spawn(async move {
        let _held = held;
        std::future::pending::<()>().await;
    })
    .abort_on_drop();
    task::yield_now().await;
    drop(guard);
    let end = time::timeout(Duration::from_secs(5), dropped).await?;
    ensure!(end.is_err(), "an aborted task sent something");
    Ok(())
}

async fn a_panic_can_be_contained(_: &dyn Fixture) -> Result<(), Stop> {
    let got = task::contain(async {
        task::yield_now().await;
        assert!(time::now() < time::Instant::from_nanos(0), "of course not");
    })
    .await;
    match got {
        Err(panicked) => ensure!(panicked.0.contains("of course not"), "it said {panicked}"),
        Ok(()) => return Err(Stop::Failed("the panic was lost".into())),
    }
    Ok(())
}

async fn streams_of_randomness_differ(_: &dyn Fixture) -> Result<(), Stop> {
    let draw = |name| {
        let mut stream = rng::stream(name);
        [stream.next_u64(), stream.next_u64()]
    };
    let draws = [draw("a"), draw("b"), draw("a")];
    ensure!(draws[0] != draws[1] && draws[0] != draws[2], "two streams agree: {draws:?}");
    let mut secrets = [[0; 16]; 2];
    secrets.iter_mut().for_each(|s| rng::secret(s));
    ensure!(secrets[0] != secrets[1] && secrets[0] != [0; 16], "secrets: {secrets:?}");
    Ok(())
}

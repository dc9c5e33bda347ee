//! Cases about unix sockets.

use super::{Fixture, Stop, ensure, ensure_err, exec::ready, list_cases};
use crate::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{self, Duration},
    unix::{UnixListener, UnixStream},
};

list_cases![
    a_unix_stream_carries_bytes_both_ways,
    a_unix_writer_waits_for_its_reader,
    a_unix_path_without_listener_is_not_found,
    a_living_unix_listener_keeps_its_path,
    a_unix_listener_of_a_dead_process_is_replaced,
];

fn path(f: &dyn Fixture) -> String {
    format!("{}/s{}.sock", f.dir(), f.port())
}

async fn pair(f: &dyn Fixture) -> Result<(UnixStream, UnixStream, UnixListener), Stop> {
    let path = path(f);
    let listener = UnixListener::bind(&path).await?;
    let (a, b) = crate::join!(UnixStream::connect(&path), listener.accept());
    Ok((a?, b?, listener))
}

async fn a_unix_stream_carries_bytes_both_ways(f: &dyn Fixture) -> Result<(), Stop> {
    let (mut a, mut b, _listener) = pair(f).await?;
    a.write_all(b"there").await?;
    a.shutdown().await?;
    let mut got = Vec::new();
    time::timeout(Duration::from_secs(5), b.read_to_end(&mut got)).await??;
    ensure!(got == b"there", "got {got:?}");
    b.write_all(b"and back").await?;
    drop(b);
    got.clear();
    time::timeout(Duration::from_secs(5), a.read_to_end(&mut got)).await??;
    ensure!(got == b"and back", "got {got:?}");
    ensure_err!(a.write_all(b"x").await, BrokenPipe, "a write to a closed peer");
    Ok(())
}

async fn a_unix_writer_waits_for_its_reader(f: &dyn Fixture) -> Result<(), Stop> {
    let (mut a, mut b, _listener) = pair(f).await?;
    let mut sent = 0;
    while let Ok(n) = time::timeout(Duration::from_millis(300), a.write(&[5; 8192])).await {
        sent += n?;
        ensure!(sent < 16 << 20, "{sent} bytes were taken while nobody read");
    }
    drop(a);
    let mut got = Vec::new();
    time::timeout(Duration::from_secs(5), b.read_to_end(&mut got)).await??;
    ensure!(got.len() == sent, "sent {sent}, got {}", got.len());
    Ok(())
}

async fn a_unix_path_without_listener_is_not_found(f: &dyn Fixture) -> Result<(), Stop> {
    let path = path(f);
    ensure_err!(UnixStream::connect(&path).await, NotFound, "a connect to no path");
    drop(UnixListener::bind(&path).await?);
    ensure_err!(UnixStream::connect(&path).await, NotFound, "a connect to a dropped listener");
    Ok(())
}

async fn a_living_unix_listener_keeps_its_path(f: &dyn Fixture) -> Result<(), Stop> {
    let path = path(f);
    let _listener = UnixListener::bind(&path).await?;
    ensure_err!(UnixListener::bind(&path).await, AddrInUse, "a second listener");
    Ok(())
}

async fn a_unix_listener_of_a_dead_process_is_replaced(f: &dyn Fixture) -> Result<(), Stop> {
    let path = path(f);
    let mut child = ready(f, &["listen-unix", &path]).await?;
    UnixStream::connect(&path).await?;
    child.kill();
    child.wait().await?;
    ensure_err!(UnixStream::connect(&path).await, ConnectionRefused, "a connect to a dead one");
    UnixListener::bind(&path).await?;
    Ok(())
}

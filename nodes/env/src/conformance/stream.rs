//! Cases about the bytes of a TCP stream: half close, back-pressure, what a reader sees at the end.
//! The helpers to talk to an agent are here too.

use super::{Fault, Fixture, Place, Process, Stop, ensure, ensure_err, list_cases};
use crate::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::{self, Duration},
};
use std::{io, net::SocketAddr};

list_cases![
    half_close,
    dropping_the_write_half_ends_the_stream,
    a_slow_reader_stops_the_writer,
    a_stopped_writer_goes_on_when_there_is_room,
    a_stream_survives_a_short_cut,
    a_peer_that_closes_unread_data_resets,
    kill_of_the_peer_process_is_seen,
    power_loss_of_the_peer_is_silence,
];

/// A sum in which order matters.
pub(super) fn mix(sum: u64, byte: u8) -> u64 {
    sum.wrapping_mul(31).wrapping_add(u64::from(byte))
}

/// The `i`th byte of a long stream.
fn byte(i: u64) -> u8 {
    (i.wrapping_mul(0x9e37_79b9) >> 13) as u8
}

/// An agent that serves at an address.
pub(super) struct Served {
    pub(super) process: Box<dyn Process>,
    pub(super) addr: SocketAddr,
}

/// Starts a serving agent and waits until it answers.
pub(super) async fn serve(f: &dyn Fixture, place: Place) -> Result<Served, Stop> {
    let ip = match place {
        Place::Here => f.here(),
        Place::There => f.there().map_err(Stop::Skipped)?,
    };
    let addr = SocketAddr::new(ip, f.port());
    let process = f.start(place, vec!["serve".into(), addr.to_string()]).await?;
    let patience = time::now() + Duration::from_secs(20);
    loop {
        let last = match time::timeout(Duration::from_secs(5), TcpStream::connect(addr)).await {
            Ok(Ok(_)) => return Ok(Served { process, addr }),
            Ok(Err(e)) => e,
            Err(elapsed) => elapsed.into(),
        };
        ensure!(time::now() < patience, "the agent never listened at {addr}: {last}");
        time::sleep(Duration::from_millis(20)).await;
    }
}

/// Where a serving agent is easiest to have: on the other host, or else on this one.
pub(super) async fn serve_anywhere(f: &dyn Fixture) -> Result<Served, Stop> {
    serve(f, if f.there().is_ok() { Place::There } else { Place::Here }).await
}

/// A conversation by lines.
pub(super) struct Talk(BufReader<TcpStream>);

impl Talk {
    pub(super) async fn with(addr: SocketAddr) -> io::Result<Talk> {
        Ok(Talk(BufReader::new(TcpStream::connect(addr).await?)))
    }

    /// Sends a command and returns what follows `ok`.
    pub(super) async fn ask(&mut self, command: &str) -> Result<String, Stop> {
        self.0.write_all(format!("{command}\n").as_bytes()).await?;
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        match line.trim().split_once("ok") {
            Some(("", rest)) => Ok(rest.trim().to_string()),
            _ => Err(Stop::Failed(format!("`{command}` was answered by `{}`", line.trim()))),
        }
    }
}

async fn connect(addr: SocketAddr, command: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all(format!("{command}\n").as_bytes()).await?;
    Ok(stream)
}

async fn half_close(f: &dyn Fixture) -> Result<(), Stop> {
    let served = serve_anywhere(f).await?;
    let mut stream = connect(served.addr, "count-after 0").await?;
    stream.write_all(&[7; 100_000]).await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    time::timeout(Duration::from_secs(10), stream.read_to_string(&mut answer)).await??;
    ensure!(answer.starts_with("100000 "), "after the half close came {answer:?}");
    ensure_err!(stream.write_all(b"x").await, BrokenPipe, "a write after shutdown");
    Ok(())
}

async fn dropping_the_write_half_ends_the_stream(f: &dyn Fixture) -> Result<(), Stop> {
    let served = serve_anywhere(f).await?;
    let (mut read, mut write) = connect(served.addr, "count-after 0").await?.into_split();
    write.write_all(b"abc").await?;
    drop(write);
    let mut answer = String::new();
    time::timeout(Duration::from_secs(10), read.read_to_string(&mut answer)).await??;
    ensure!(answer.starts_with("3 "), "after the write half was dropped came {answer:?}");
    Ok(())
}

/// The writer is stopped after a bounded number of bytes, and nothing is lost by it.
async fn a_slow_reader_stops_the_writer(f: &dyn Fixture) -> Result<(), Stop> {
    const LIMIT: u64 = 48 << 20;
    let served = serve_anywhere(f).await?;
    let mut stream = connect(served.addr, "count-after 4000").await?;
    let (mut sent, mut sum) = (0u64, 0u64);
    loop {
        let chunk: Vec<u8> = (sent..sent + 32_768).map(byte).collect();
        let n = match time::timeout(Duration::from_secs(1), stream.write(&chunk)).await {
            Ok(n) => n?,
            Err(_) => break,
        };
        sum = chunk[..n].iter().fold(sum, |sum, b| mix(sum, *b));
        sent += n as u64;
        ensure!(sent < LIMIT, "{sent} bytes were taken while nobody read");
    }
    ensure!(sent > 10_000, "no more than {sent} bytes were taken");
    stream.shutdown().await?;
    let mut answer = String::new();
    time::timeout(Duration::from_secs(30), stream.read_to_string(&mut answer)).await??;
    let expected = format!("{sent} {sum}\n");
    ensure!(answer == expected, "sent {expected:?}, the reader counted {answer:?}");
    Ok(())
}

async fn a_stopped_writer_goes_on_when_there_is_room(f: &dyn Fixture) -> Result<(), Stop> {
    let served = serve_anywhere(f).await?;
    let mut stream = connect(served.addr, "count-after 500").await?;
    // More than both buffers hold, so that it cannot end before the reader begins.
    let data = vec![3; 24 << 20];
    time::timeout(Duration::from_secs(30), stream.write_all(&data)).await??;
    stream.shutdown().await?;
    let mut answer = String::new();
    time::timeout(Duration::from_secs(30), stream.read_to_string(&mut answer)).await??;
    let expected = format!("{} ", data.len());
    ensure!(answer.starts_with(&expected), "sent {expected}bytes, the reader counted {answer:?}");
    Ok(())
}

async fn a_stream_survives_a_short_cut(f: &dyn Fixture) -> Result<(), Stop> {
    let served = serve(f, Place::There).await?;
    let mut stream = connect(served.addr, "echo").await?;
    stream.write_all(b"before").await?;
    let mut echoed = [0; 6];
    time::timeout(Duration::from_secs(5), stream.read_exact(&mut echoed)).await??;
    f.strike(Fault::CutLink).await?;
    stream.write_all(b"during").await?;
    let early = time::timeout(Duration::from_secs(2), stream.read(&mut echoed)).await;
    f.strike(Fault::HealLink).await?;
    ensure!(early.is_err(), "something came through the cut: {early:?}");
    time::timeout(Duration::from_secs(20), stream.read_exact(&mut echoed)).await??;
    ensure!(&echoed == b"during", "after healing came {echoed:?}");
    Ok(())
}

async fn a_peer_that_closes_unread_data_resets(f: &dyn Fixture) -> Result<(), Stop> {
    let served = serve_anywhere(f).await?;
    let mut stream = connect(served.addr, "slam-after 500").await?;
    // More than the agent's buffer takes in with its command line.
    stream.write_all(&[1; 200_000]).await?;
    let read = time::timeout(Duration::from_secs(10), stream.read(&mut [0; 16])).await?;
    ensure_err!(read, ConnectionReset, "a read after the peer closed");
    Ok(())
}

async fn kill_of_the_peer_process_is_seen(f: &dyn Fixture) -> Result<(), Stop> {
    let mut served = serve_anywhere(f).await?;
    let mut stream = connect(served.addr, "echo").await?;
    stream.write_all(b"x").await?;
    stream.read_exact(&mut [0; 1]).await?;
    served.process.kill().await?;
    let read = time::timeout(Duration::from_secs(5), stream.read(&mut [0; 1])).await?;
    match read {
        Ok(0) => {}
        other => ensure_err!(other, ConnectionReset, "a read after the peer was killed"),
    }
    ensure_err!(
        TcpStream::connect(served.addr).await,
        ConnectionRefused,
        "a connect after the peer was killed"
    );
    Ok(())
}

/// No end, no error: only a timeout can tell. Once the host is back, it knows nothing of the
/// connection and says so.
async fn power_loss_of_the_peer_is_silence(f: &dyn Fixture) -> Result<(), Stop> {
    let served = serve(f, Place::There).await?;
    let mut stream = connect(served.addr, "echo").await?;
    stream.write_all(b"x").await?;
    stream.read_exact(&mut [0; 1]).await?;
    f.strike(Fault::PowerOff).await?;
    let silent = time::timeout(Duration::from_secs(5), stream.read(&mut [0; 1])).await;
    f.strike(Fault::PowerOn).await?;
    ensure!(silent.is_err(), "the dead host was heard: {silent:?}");
    stream.write_all(b"y").await?;
    let read = time::timeout(Duration::from_secs(30), stream.read(&mut [0; 1])).await?;
    ensure_err!(read, ConnectionReset, "a read after the peer rebooted");
    Ok(())
}

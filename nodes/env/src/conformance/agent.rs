//! The program that cases run beside themselves: a server that does what it is told over TCP, and a
//! handful of small commands.

use crate::{
    block::{Access, BLOCK, BlockDevice},
    file,
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    process::{self, ExitCode, StopSignal},
    task, time, unix, watchdog,
};
use bytes::Bytes;
use std::{io, net::SocketAddr, time::Duration};

/// The agent's name in a table of programs.
pub const PROGRAM: &str = "conformance-agent";

/// The agent's `main`.
pub async fn main(args: Vec<String>) -> ExitCode {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match command(&args).await {
        Ok(code) => code,
        Err(e) => {
            // With standard error closed there is nobody to tell.
            let _ = process::eprint(&format!("agent: {e}\n")).await;
            ExitCode(99)
        }
    }
}

async fn command(args: &[&str]) -> io::Result<ExitCode> {
    match args {
        ["serve", addr] => serve(addr.parse().map_err(io::Error::other)?).await,
        ["exit", code] => Ok(ExitCode(code.parse().map_err(io::Error::other)?)),
        ["hang"] => std::future::pending().await,
        ["panic"] => panic!("as told"),
        ["panic-in-task"] => {
            let _ = task::spawn(async { panic!("as told, in a task") }).await;
            Ok(ExitCode::SUCCESS)
        }
        ["lines", n] => lines(n.parse().map_err(io::Error::other)?).await,
        ["cat"] => {
            let data = process::stdin(1 << 20).await?;
            process::print(&String::from_utf8_lossy(&data)).await?;
            process::eprint("to the other stream\n").await?;
            Ok(ExitCode(7))
        }
        ["polite"] => {
            let mut stop = StopSignal::listen()?;
            process::print("ready\n").await?;
            stop.recv().await;
            Ok(ExitCode(3))
        }
        ["guarded", pets] => guarded(pets.parse().map_err(io::Error::other)?).await,
        ["listen-unix", path] => {
            let listener = unix::UnixListener::bind(path).await?;
            process::print("ready\n").await?;
            loop {
                listener.accept().await?;
            }
        }
        ["open", path] => {
            let _device = BlockDevice::open(path, Access::ReadWriteExclusive).await?;
            process::print("ready\n").await?;
            std::future::pending().await
        }
        ["lock", path] => {
            let _lock = file::lock(path).await?;
            process::print("ready\n").await?;
            std::future::pending().await
        }
        other => Err(io::Error::other(format!("no such command: {other:?}"))),
    }
}

async fn lines(n: u32) -> io::Result<ExitCode> {
    for i in 0..n {
        process::print(&format!("line {i}\n")).await?;
        time::sleep(Duration::from_millis(20)).await;
    }
    Ok(ExitCode::SUCCESS)
}

/// Pets a watchdog of one second every half second, so many times, then disarms it; never petted,
/// it is left to bite.
async fn guarded(pets: u32) -> io::Result<ExitCode> {
    let choice = watchdog::Choice::Software(watchdog::Bite::AbortProcess);
    let mut dog = watchdog::arm(&choice, Duration::from_secs(1))?;
    if pets == 0 {
        return std::future::pending().await;
    }
    for _ in 0..pets {
        time::sleep(Duration::from_millis(500)).await;
        dog.pet()?;
    }
    dog.disarm()?;
    // Disarmed it must not bite any more.
    time::sleep(Duration::from_millis(1_500)).await;
    Ok(ExitCode::SUCCESS)
}

async fn serve(addr: SocketAddr) -> io::Result<ExitCode> {
    let listener = TcpListener::bind(addr).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        task::spawn(async move {
            // The case sees a broken connection itself.
            let _ = converse(stream).await;
        })
        .detach();
    }
}

/// One connection: commands by line, each answered by a line.
async fn converse(stream: TcpStream) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut device = None;
    let mut dog = None;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        match *words {
            ["echo"] => return echo(stream).await,
            ["count-after", ms] => return count(stream, ms).await,
            ["slam-after", ms] => {
                time::sleep(millis(ms)?).await;
                return Ok(());
            }
            ["watchdog", seconds] => {
                let device = "/dev/watchdog0".to_string();
                let timeout = Duration::from_secs(seconds.parse().map_err(io::Error::other)?);
                dog = Some(watchdog::arm(&watchdog::Choice::Hardware { device }, timeout)?);
                stream.write_all(b"ok\n").await?;
            }
            ["pet"] => {
                dog.as_mut().ok_or(io::ErrorKind::NotFound)?.pet()?;
                stream.write_all(b"ok\n").await?;
            }
            _ => {
                let answer = match storage(&mut device, &words).await {
                    Ok(text) => format!("ok {text}\n"),
                    Err(e) => format!("err {e}\n"),
                };
                stream.write_all(answer.as_bytes()).await?;
            }
        }
    }
}

fn millis(text: &str) -> io::Result<Duration> {
    Ok(Duration::from_millis(text.parse().map_err(io::Error::other)?))
}

async fn echo(mut stream: BufReader<TcpStream>) -> io::Result<()> {
    let mut chunk = vec![0; 64 << 10];
    loop {
        let n = stream.read(&mut chunk).await?;
        if n == 0 {
            return stream.shutdown().await;
        }
        stream.write_all(&chunk[..n]).await?;
    }
}

/// Reads nothing for a while, then all, and says how much it was and a sum over it.
async fn count(mut stream: BufReader<TcpStream>, ms: &str) -> io::Result<()> {
    time::sleep(millis(ms)?).await;
    let mut chunk = vec![0; 64 << 10];
    let (mut bytes, mut sum) = (0u64, 0u64);
    loop {
        let n = stream.read(&mut chunk).await?;
        if n == 0 {
            break;
        }
        for &b in &chunk[..n] {
            sum = super::stream::mix(sum, b);
        }
        bytes += n as u64;
    }
    stream.write_all(format!("{bytes} {sum}\n").as_bytes()).await?;
    stream.shutdown().await
}

async fn storage(device: &mut Option<BlockDevice>, words: &[&str]) -> io::Result<String> {
    match words {
        ["disk-open", path] => {
            *device = Some(BlockDevice::open(path, Access::ReadWriteExclusive).await?);
            return Ok(String::new());
        }
        ["file-write", path, text] => {
            let data = Bytes::copy_from_slice(text.as_bytes());
            return file::write(path, data).await.map(|()| String::new());
        }
        ["file-write-cached", path, text] => {
            let data = Bytes::copy_from_slice(text.as_bytes());
            return file::write_cached(path, data).await.map(|()| String::new());
        }
        ["file-read", path] => return file::read_to_string(path).await,
        ["boot-id"] => return process::boot_id(),
        _ => {}
    }
    let device = device.as_ref().ok_or(io::ErrorKind::NotFound)?;
    match words {
        ["disk-write", block, byte] => {
            let byte: u8 = byte.parse().map_err(io::Error::other)?;
            let data = Bytes::from(vec![byte; BLOCK as usize]);
            device.write_at(offset(block)?, data).await.map(|()| String::new())
        }
        ["disk-flush"] => device.flush().await.map(|()| String::new()),
        ["disk-read", block] => {
            let data = device.read_at(offset(block)?, BLOCK as usize).await?;
            let uniform = data.iter().all(|b| *b == data[0]);
            Ok(if uniform { data[0].to_string() } else { "torn".into() })
        }
        other => Err(io::Error::other(format!("no such request: {other:?}"))),
    }
}

fn offset(block: &str) -> io::Result<u64> {
    Ok(block.parse::<u64>().map_err(io::Error::other)? * BLOCK)
}

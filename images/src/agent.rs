//! Inside a guest: runs what the host orders, reports what DRBD says. Also the small programs that
//! guests have: `fill` writes stamped blocks, `handler` tells of a handler that DRBD called.

use crate::wire::{Ended, Order, PORT, Report};
use anyhow::{Context, Result, bail};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Where `handler` tells the agent.
const HELPERS: &str = "/run/helpers";
/// Bytes of a block.
const BLOCK: usize = 4096;
/// `O_DIRECT | O_DSYNC` of Linux on x86-64: past the page cache, durable when it returns.
const DIRECT_DSYNC: i32 = 0o40000 | 0o10000;
/// A child of a command may keep its output open: it is not waited for longer.
const LINGER: Duration = Duration::from_millis(200);

type Out = Arc<Mutex<File>>;

fn report(out: &Out, report: &Report) {
    let Ok(mut line) = serde_json::to_string(report) else { return };
    line.push('\n');
    if let Ok(mut file) = out.lock() {
        // Nobody to tell that the host went away.
        let _ = file.write_all(line.as_bytes());
    }
}

/// Runs until the guest ends.
pub fn run() -> Result<()> {
    let port = OpenOptions::new().read(true).write(true).open(find_port()?)?;
    let out: Out = Arc::new(Mutex::new(port.try_clone()?));
    let helpers = UnixDatagram::bind(HELPERS).context(HELPERS)?;
    for watch in [events, log] {
        let out = Arc::clone(&out);
        thread::spawn(move || watch(&out));
    }
    let told = Arc::clone(&out);
    thread::spawn(move || listen(&helpers, &told));
    report(&out, &Report::Hello);
    let mut port = BufReader::new(port);
    let mut line = String::new();
    loop {
        match port.read_line(&mut line) {
            // No host is connected (any more), or not yet the end of a line.
            Ok(_) if !line.ends_with('\n') => thread::sleep(Duration::from_millis(20)),
            Ok(_) => {
                let order: Order = serde_json::from_str(&line).context("an order")?;
                line.clear();
                let out = Arc::clone(&out);
                thread::spawn(move || obey(order, &out));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn find_port() -> Result<String> {
    for entry in std::fs::read_dir("/sys/class/virtio-ports")? {
        let entry = entry?;
        let name = std::fs::read_to_string(entry.path().join("name")).unwrap_or_default();
        if name.trim() == PORT {
            return Ok(format!("/dev/{}", entry.file_name().to_string_lossy()));
        }
    }
    bail!("no virtio port is called {PORT}")
}

fn obey(order: Order, out: &Out) {
    let (id, ended) = match order {
        Order::Run { id, command, limit_ms } => {
            (id, shell(&command, Duration::from_millis(limit_ms)))
        }
        Order::Put { id, path, text } => (id, std::fs::write(path, text).map(|()| nothing())),
    };
    let failed = |error: std::io::Error| Ended { exit: None, err: error.to_string(), ..nothing() };
    report(out, &Report::Ended { id, ended: ended.unwrap_or_else(failed) });
}

fn nothing() -> Ended {
    Ended { exit: Some(0), out: String::new(), err: String::new() }
}

fn shell(command: &str, limit: Duration) -> std::io::Result<Ended> {
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let out = gather(child.stdout.take());
    let err = gather(child.stderr.take());
    let exit = wait(&mut child, limit)?;
    let said = |from: mpsc::Receiver<Vec<u8>>| {
        let mut text = Vec::new();
        while let Ok(part) = from.recv_timeout(LINGER) {
            text.extend(part);
        }
        String::from_utf8_lossy(&text).into_owned()
    };
    Ok(Ended { exit, out: said(out), err: said(err) })
}

/// What a stream says, part by part.
fn gather(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (to, from) = mpsc::channel();
    thread::spawn(move || {
        let Some(mut stream) = stream else { return };
        let mut buffer = [0; BLOCK];
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            if to.send(buffer[..n].to_vec()).is_err() {
                return;
            }
        }
    });
    from
}

fn wait(child: &mut Child, limit: Duration) -> std::io::Result<Option<i32>> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code());
        }
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Every line of `events2`; started again if it ends.
fn events(out: &Out) {
    loop {
        let child = Command::new("drbdsetup")
            .args(["events2", "all"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        if let Ok(mut child) = child {
            for line in child.stdout.take().into_iter().flat_map(|it| BufReader::new(it).lines()) {
                let Ok(line) = line else { break };
                report(out, &Report::Event(line));
            }
            let _ = child.wait();
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Lines of the kernel's log that speak of DRBD.
fn log(out: &Out) {
    let Ok(mut file) = File::open("/dev/kmsg") else { return };
    let mut record = [0; 2 * BLOCK];
    loop {
        match file.read(&mut record) {
            Ok(n) => {
                let text = String::from_utf8_lossy(&record[..n]).into_owned();
                let line = text.lines().next().unwrap_or_default();
                let Some((_, line)) = line.split_once(';') else { continue };
                if line.starts_with("drbd ") || line.contains(" drbd") {
                    report(out, &Report::Log(line.to_owned()));
                }
            }
            // Records were overwritten before they were read.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            Err(_) => return,
        }
    }
}

fn listen(helpers: &UnixDatagram, out: &Out) {
    let mut text = vec![0; 16 * BLOCK];
    while let Ok(n) = helpers.recv(&mut text) {
        if let Ok(helper) = serde_json::from_slice::<Report>(&text[..n]) {
            report(out, &helper);
        }
    }
}

/// `handler NAME`: DRBD called a handler.
pub fn handler(name: &str) -> Result<()> {
    let env = std::env::vars().filter(|(key, _)| key.starts_with("DRBD_")).collect();
    let report = Report::Helper { name: name.to_owned(), env };
    UnixDatagram::unbound()?.send_to(&serde_json::to_vec(&report)?, HELPERS)?;
    Ok(())
}

/// `fill DEVICE FIRST COUNT STAMP`: writes so many blocks of 4 KiB, one request each, durable when
/// it returns. A block holds the stamp, little endian, in every 8 bytes.
pub fn fill(device: &str, first: u64, count: u64, stamp: u64) -> Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).custom_flags(DIRECT_DSYNC).open(device)?;
    // O_DIRECT wants memory that begins at a block.
    let mut memory = vec![0_u8; 2 * BLOCK];
    let start = memory.as_ptr().align_offset(BLOCK);
    let block = &mut memory[start..start + BLOCK];
    block.as_chunks_mut::<8>().0.fill(stamp.to_le_bytes());
    file.seek(SeekFrom::Start(first * BLOCK as u64))?;
    for nr in first..first + count {
        file.write_all(block).with_context(|| format!("block {nr}"))?;
    }
    Ok(())
}

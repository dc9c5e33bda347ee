//! One machine: QEMU, its power, its disks, the agent inside.

use crate::initramfs::Image;
use crate::qmp::Qmp;
use crate::switch;
use crate::wire::{Order, Report};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

/// From exec to the agent; loaded machines take their time.
const BOOT: Duration = Duration::from_secs(90);
/// Megabytes.
const MEMORY: u32 = 320;

/// What a guest is made of.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Its name.
    pub host: String,
    /// Its port of the switch.
    pub port: usize,
    /// Its disks, in order: `/dev/vda`, `/dev/vdb`, …
    pub disks: Vec<PathBuf>,
    /// Where its sockets and its console are. Short: the name of a socket has 107 bytes at most.
    pub folder: PathBuf,
}

/// Address of the guest at a port of the switch.
pub fn address(port: usize) -> String {
    format!("10.9.0.{}", port + 1)
}

impl Machine {
    fn file(&self, what: &str) -> PathBuf {
        self.folder.join(format!("{}.{what}", self.host))
    }

    /// The console's text.
    pub fn console(&self) -> PathBuf {
        self.file("console")
    }

    /// The command that runs it. `nice`: others need the processors. `setpriv`: QEMU dies with who
    /// started it, however that ends. `q35`: `microvm` hangs on a loaded machine. `cache.no-flush`:
    /// the machine itself is not expected to lose power.
    pub fn command(&self, image: &Image) -> Vec<String> {
        let mut words: Vec<String> = "nice -n 10 setpriv --pdeathsig KILL qemu-system-x86_64 \
             -accel tcg,thread=multi -M q35 -cpu max -smp 1 -nodefaults -display none -no-reboot"
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        let mut add = |key: &str, value: String| words.extend([key.to_owned(), value]);
        let path = |path: &Path| path.display().to_string();
        let (switch, own) = switch::sockets(&self.folder, self.port);
        add("-m", MEMORY.to_string());
        add("-kernel", path(&image.kernel));
        add("-initrd", path(&image.root));
        let (host, address) = (&self.host, address(self.port));
        let who = format!("guest.host={host} guest.address={address}/24");
        // On a loaded machine the timer may look broken to a kernel that checks it.
        let kernel = "console=ttyS0 quiet panic=-1 no_timer_check net.ifnames=0";
        add("-append", format!("{kernel} {who}"));
        add("-serial", format!("file:{}", path(&self.console())));
        add("-qmp", format!("unix:{},server=on,wait=off", path(&self.file("qmp"))));
        let agent = path(&self.file("agent"));
        add("-chardev", format!("socket,id=agent,path={agent},server=on,wait=off"));
        add("-device", "virtio-serial-pci".to_owned());
        add("-device", "virtserialport,chardev=agent,name=agent".to_owned());
        let (own, switch) = (path(&own), path(&switch));
        add(
            "-netdev",
            format!(
                "dgram,id=n0,local.type=unix,local.path={own},remote.type=unix,remote.path={switch}"
            ),
        );
        add("-device", format!("virtio-net-pci,netdev=n0,mac={}", switch::mac(self.port)));
        for (nr, disk) in self.disks.iter().enumerate() {
            let file = format!("driver=file,filename={},cache.no-flush=on", path(disk));
            add("-blockdev", format!("{file},node-name=file{nr}"));
            add("-blockdev", format!("driver=raw,node-name=disk{nr},file=file{nr}"));
            let errors = "werror=report,rerror=report";
            add("-device", format!("virtio-blk-pci,drive=disk{nr},id=vd{nr},{errors}"));
        }
        words
    }
}

/// A machine with power. It goes with the value.
pub struct Guest {
    machine: Machine,
    child: Child,
    qmp: Qmp,
    agent: UnixStream,
}

impl Guest {
    /// Power on; returns when QEMU runs. What the agent says goes to `reports`, with the port; its
    /// first word is [`Report::Hello`].
    pub fn start(
        machine: &Machine,
        image: &Image,
        reports: Sender<(usize, Report)>,
    ) -> Result<Guest> {
        let words = machine.command(image);
        for old in ["qmp", "agent"] {
            let _ = std::fs::remove_file(machine.file(old));
        }
        let errors = File::create(machine.file("errors"))?;
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .with_context(|| format!("cannot start {}", words[0]))?;
        let end = Instant::now() + BOOT;
        let (qmp, agent) = loop {
            let both = Qmp::open(&machine.file("qmp"))
                .and_then(|qmp| Ok((qmp, UnixStream::connect(machine.file("agent"))?)));
            match both {
                Ok(both) => break both,
                Err(_) if child.try_wait()?.is_some() => {
                    let why = std::fs::read_to_string(machine.file("errors")).unwrap_or_default();
                    bail!("QEMU of {} ended: {}", machine.host, why.trim());
                }
                Err(error) if Instant::now() > end => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(error.context(format!("QEMU of {} does not answer", machine.host)));
                }
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        };
        let (reader, port) = (BufReader::new(agent.try_clone()?), machine.port);
        thread::spawn(move || {
            for line in reader.lines().map_while(|line| line.ok()) {
                let Ok(report) = serde_json::from_str(&line) else { continue };
                if reports.send((port, report)).is_err() {
                    return;
                }
            }
        });
        Ok(Guest { machine: machine.clone(), child, qmp, agent })
    }

    /// Sends an order; the answer comes as a report.
    pub fn order(&mut self, order: &Order) -> Result<()> {
        let mut line = serde_json::to_string(order)?;
        line.push('\n');
        let gone = || format!("the agent of {} went away", self.machine.host);
        self.agent.write_all(line.as_bytes()).with_context(gone)
    }

    /// Power off, at once: what the guest has not written is lost.
    pub fn power_off(mut self) -> Result<()> {
        // QEMU may be gone before it has answered.
        let _ = self.qmp.call("quit", json!({}));
        let end = Instant::now() + Duration::from_secs(5);
        while self.child.try_wait()?.is_none() && Instant::now() < end {
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// The machine stands still, clock and all; or goes on.
    pub fn freeze(&mut self, still: bool) -> Result<()> {
        self.qmp.call(if still { "stop" } else { "cont" }, json!({})).map(|_| ())
    }

    /// Reads and/or writes of a disk fail with EIO, or none do any more.
    pub fn disk_errors(&mut self, disk: usize, read: bool, write: bool) -> Result<()> {
        let good = format!("disk{disk}");
        let bad = format!("bad{disk}");
        let kinds = [("read", read), ("write", write), ("flush", write)];
        let errors: Vec<_> = { kinds.into_iter().filter(|(_, fails)| *fails) }
            .map(|(kind, _)| json!({"event": "none", "iotype": kind, "errno": 5}))
            .collect();
        let device = format!("/machine/peripheral/vd{disk}");
        let mut plug = |node: &str| {
            let arguments = json!({"path": device, "property": "drive", "value": node});
            self.qmp.call("qom-set", arguments).map(|_| ())
        };
        if errors.is_empty() {
            plug(&good)?;
            return self.qmp.call("blockdev-del", json!({"node-name": bad})).map(|_| ());
        }
        let node = json!({
            "driver": "blkdebug", "node-name": bad, "image": good, "inject-error": errors,
        });
        self.qmp.call("blockdev-add", node)?;
        let device = format!("/machine/peripheral/vd{disk}");
        let arguments = json!({"path": device, "property": "drive", "value": bad});
        self.qmp.call("qom-set", arguments).map(|_| ())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! A pool of guests at one switch, and what can be done to them: power, cables, disks, commands.

use crate::guest::{Guest, Machine};
use crate::initramfs::Image;
use crate::switch::Switch;
use crate::wire::{Order, Report};
use anyhow::{Context, Result};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Bytes of a block; of the activity log of 8.4.
const BLOCK: u64 = 4096;
const ACTIVITY_LOG: u64 = 32 << 10;
/// Folders of labs are called so, with the process behind.
const PREFIX: &str = "tiebreaker-lab-";

/// The pool.
pub struct Lab {
    image: Image,
    folder: PathBuf,
    machines: Vec<Machine>,
    guests: Vec<Option<Guest>>,
    switch: Switch,
    reports: Receiver<(usize, Report)>,
    sender: Sender<(usize, Report)>,
    serial: u64,
}

/// The folder of this process's labs; those of processes that are gone are removed.
fn own_folder() -> Result<PathBuf> {
    let temporary = std::env::temp_dir();
    for entry in std::fs::read_dir(&temporary)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let gone = |pid: &str| !Path::new("/proc").join(pid).exists();
        if name.strip_prefix(PREFIX).is_some_and(gone) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    Ok(temporary.join(format!("{PREFIX}{}", std::process::id())))
}

/// Bytes of 8.4's internal metadata beside a volume: superblock, activity log, a bit for each block
/// of the lower device in whole blocks.
fn metadata(size: u64) -> u64 {
    let bits = (size + BLOCK + ACTIVITY_LOG).div_ceil(BLOCK).next_multiple_of(64);
    (bits / 8).next_multiple_of(BLOCK) + BLOCK + ACTIVITY_LOG
}

/// The machines of a pool whose hosts have a disk for one volume of `size` bytes.
pub fn machines(folder: &Path, hosts: &[String]) -> Vec<Machine> {
    let machine = |(port, host): (usize, &String)| Machine {
        host: host.clone(),
        port,
        disks: vec![folder.join(format!("{host}.vda"))],
        folder: folder.to_owned(),
    };
    hosts.iter().enumerate().map(machine).collect()
}

impl Lab {
    /// A pool without power; its disks hold zero.
    pub fn new(image: &Image, hosts: &[String], size: u64) -> Result<Lab> {
        let folder = own_folder()?;
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let machines = machines(&folder, hosts);
        for disk in machines.iter().flat_map(|machine| &machine.disks) {
            File::create(disk)?.set_len(size + metadata(size))?;
        }
        let switch = Switch::start(&folder, hosts.len())?;
        let (sender, reports) = channel();
        Ok(Lab {
            image: image.clone(),
            guests: hosts.iter().map(|_| None).collect(),
            machines,
            folder,
            switch,
            reports,
            sender,
            serial: 0,
        })
    }

    /// Power on. The agent's [`Report::Hello`] comes later.
    pub fn boot(&mut self, port: usize) -> Result<()> {
        let guest = Guest::start(&self.machines[port], &self.image, self.sender.clone())?;
        self.guests[port] = Some(guest);
        Ok(())
    }

    /// The plug is pulled.
    pub fn power_off(&mut self, port: usize) -> Result<()> {
        self.guests[port].take().map_or(Ok(()), Guest::power_off)
    }

    /// Has it power?
    pub fn is_on(&self, port: usize) -> bool {
        self.guests[port].is_some()
    }

    /// A guest that has power.
    pub fn guest(&mut self, port: usize) -> Result<&mut Guest> {
        let host = &self.machines[port].host;
        self.guests[port].as_mut().with_context(|| format!("{host} has no power"))
    }

    /// The cables.
    pub fn switch(&self) -> &Switch {
        &self.switch
    }

    /// Sends an order that is made with its number; the number.
    pub fn order(&mut self, port: usize, make: impl FnOnce(u64) -> Order) -> Result<u64> {
        self.serial += 1;
        let id = self.serial;
        self.guest(port)?.order(&make(id))?;
        Ok(id)
    }

    /// What a guest says next, if it says something in time.
    pub fn next(&self, within: Duration) -> Option<(usize, Report)> {
        self.reports.recv_timeout(within).ok()
    }

    /// The first bytes of a guest's disk, as the last write left them.
    pub fn read_disk(&self, port: usize, bytes: u64) -> Result<Vec<u8>> {
        use std::io::Read;
        let mut out = Vec::new();
        File::open(&self.machines[port].disks[0])?.take(bytes).read_to_end(&mut out)?;
        Ok(out)
    }

    /// The end of a guest's console, for when something went wrong.
    pub fn console(&self, port: usize) -> String {
        let text = std::fs::read(self.machines[port].console()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // QEMU first: it has the files open.
        self.guests.clear();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

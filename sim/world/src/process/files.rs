//! Small files of a host: what processes see, and what survives power loss.
//!
//! Each name has a current content and a durable one. A replacement becomes current when it is
//! renamed and durable when the directory has been synced; in between, power loss decides by a draw
//! of its own for each name, old or new, never a mixture. Directories survive once made. What lies
//! under `/run` is memory.

use super::state::{Event, Payload, State, What};
use bytes::Bytes;
use env::hooks::{Handle, Pid, Reply, Request};
use models::{Luck, Span};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, ErrorKind},
    ops::RangeInclusive,
};

/// What a request on a cached file takes.
const TOUCH: RangeInclusive<Span> = Span::us(20)..=Span::us(200);
/// What it takes to make something durable.
const SYNC: RangeInclusive<Span> = Span::us(500)..=Span::ms(8);
/// What was never synced reaches the medium by itself after this, as with Linux's page cache.
const WRITE_BACK: Span = Span::secs(30);
/// Directories of a fresh host.
const DIRS: [&str; 7] = ["/", "/etc", "/run", "/tmp", "/var", "/var/lib", "/var/log"];

/// The files of a host.
pub(super) struct Files {
    luck: Luck,
    current: BTreeMap<String, Bytes>,
    durable: BTreeMap<String, Bytes>,
    dirs: BTreeSet<String>,
    /// Requests on their way, by number.
    ops: BTreeMap<u64, FileOp>,
    next_op: u64,
    /// What every request fails with while it is set.
    pub(super) fault: Option<ErrorKind>,
}

/// A request and how far it is.
struct FileOp {
    pending: Handle,
    request: Request,
    /// The change is visible, and now it is being synced.
    syncing: bool,
}

/// The directory of a path, `None` for what is no absolute path of a file.
fn parent(path: &str) -> Option<&str> {
    let (dir, name) = path.rsplit_once('/')?;
    let absolute = path.starts_with('/') && !name.is_empty();
    absolute.then_some(if dir.is_empty() { "/" } else { dir })
}

fn in_memory(path: &str) -> bool {
    path.starts_with("/run/")
}

impl Files {
    pub(super) fn new(luck: Luck) -> Self {
        Files {
            luck,
            current: BTreeMap::new(),
            durable: BTreeMap::new(),
            dirs: DIRS.iter().map(|d| d.to_string()).collect(),
            ops: BTreeMap::new(),
            next_op: 0,
            fault: None,
        }
    }

    /// The kernel is gone, and its page cache with it.
    pub(super) fn lose_memory(&mut self) {
        self.ops.clear();
        let names: BTreeSet<String> =
            self.current.keys().chain(self.durable.keys()).cloned().collect();
        for name in names {
            if self.current.get(&name) == self.durable.get(&name) {
                continue;
            }
            if self.luck.coin() && !in_memory(&name) {
                self.sync(&name);
            }
        }
        self.current = self.durable.clone();
    }

    /// The host boots: what is memory starts empty.
    pub(super) fn boot(&mut self) {
        self.dirs.retain(|d| !in_memory(d));
    }

    fn sync(&mut self, name: &str) {
        match self.current.get(name) {
            _ if in_memory(name) => {}
            Some(data) => _ = self.durable.insert(name.to_string(), data.clone()),
            None => _ = self.durable.remove(name),
        }
    }

    fn sync_all(&mut self) {
        self.durable = self.current.clone();
        self.durable.retain(|name, _| !in_memory(name));
    }

    /// Carries out the visible part of a request.
    fn act(&mut self, request: &Request) -> io::Result<Reply> {
        if let Some(kind) = self.fault {
            return Err(kind.into());
        }
        let home = |path: &str| match parent(path) {
            Some(dir) if self.dirs.contains(dir) => Ok(()),
            Some(_) => Err(io::Error::from(ErrorKind::NotFound)),
            None => Err(ErrorKind::InvalidInput.into()),
        };
        match request {
            Request::FileRead { path } => {
                let data = self.current.get(path).ok_or(ErrorKind::NotFound)?;
                return Ok(Reply::Data(data.clone()));
            }
            Request::FileWrite { path, data, .. } => {
                home(path)?;
                if self.dirs.contains(path) {
                    return Err(ErrorKind::IsADirectory.into());
                }
                self.current.insert(path.clone(), data.clone());
            }
            Request::FileRemove { path } => {
                self.current.remove(path).ok_or(ErrorKind::NotFound)?;
            }
            Request::FileList { dir } => return self.list(dir),
            Request::DirCreate { path } => self.create_dir(path)?,
            _ => return Err(ErrorKind::InvalidInput.into()),
        }
        Ok(Reply::Done)
    }

    fn list(&self, dir: &str) -> io::Result<Reply> {
        let dir = if dir == "/" { dir } else { dir.trim_end_matches('/') };
        if !self.dirs.contains(dir) {
            return Err(ErrorKind::NotFound.into());
        }
        let names = self.current.keys().filter(|path| parent(path) == Some(dir));
        let names = names.filter_map(|path| path.rsplit_once('/'));
        Ok(Reply::Names(names.map(|(_, name)| name.to_string()).collect()))
    }

    fn create_dir(&mut self, path: &str) -> io::Result<()> {
        if !path.starts_with('/') {
            return Err(ErrorKind::InvalidInput.into());
        }
        let mut dir = path.trim_end_matches('/');
        while !dir.is_empty() && self.dirs.insert(dir.to_string()) {
            dir = parent(dir).unwrap_or("");
        }
        Ok(())
    }
}

impl FileOp {
    fn must_sync(&self) -> bool {
        matches!(
            self.request,
            Request::FileWrite { durable: true, .. } | Request::FileRemove { .. }
        )
    }
}

impl<P: Payload> State<P> {
    pub(super) fn file_request(&mut self, host: usize, pending: Handle, request: Request) {
        let files = &mut self.machines[host].files;
        let wait = files.luck.span(&TOUCH);
        let op = files.next_op;
        files.next_op += 1;
        files.ops.insert(op, FileOp { pending, request, syncing: false });
        self.schedule(self.now + wait, Event::File { host, op });
    }

    /// A request has reached its next step: its change is visible, then durable.
    pub(super) fn file_step(&mut self, host: usize, op: u64) {
        let machine = &mut self.machines[host];
        let boot = machine.model.boot();
        // Gone if the host lost its kernel in between.
        let Some(mut step) = machine.files.ops.remove(&op) else { return };
        if step.syncing {
            if let Request::FileWrite { path, .. } | Request::FileRemove { path } = &step.request {
                machine.files.sync(path);
            }
            return self.answer(step.pending, Ok(Reply::Done));
        }
        let reply = machine.files.act(&step.request);
        let cached = matches!(step.request, Request::FileWrite { durable: false, .. });
        if reply.is_ok() && step.must_sync() {
            let wait = machine.files.luck.span(&SYNC);
            step.syncing = true;
            machine.files.ops.insert(op, step);
            return self.schedule(self.now + wait, Event::File { host, op });
        }
        if reply.is_ok() && cached {
            self.schedule(self.now + WRITE_BACK, Event::WriteBack { host, boot });
        }
        self.answer(step.pending, reply);
    }

    pub(super) fn write_back(&mut self, host: usize, boot: u32) {
        let machine = &mut self.machines[host];
        if machine.model.is_alive() && machine.model.boot() == boot {
            machine.files.sync_all();
        }
    }

    pub(super) fn file_lock(&mut self, pid: Pid, host: usize, path: String) -> io::Result<Reply> {
        let files = &self.machines[host].files;
        let dir = parent(&path).ok_or(ErrorKind::InvalidInput)?;
        if !files.dirs.contains(dir) {
            return Err(ErrorKind::NotFound.into());
        }
        if self.machines[host].locks.contains_key(&path) {
            return Err(ErrorKind::ResourceBusy.into());
        }
        let lock = self.hold(pid, What::Lock { path: path.clone() });
        self.machines[host].locks.insert(path, lock);
        Ok(Reply::Lock(lock))
    }
}

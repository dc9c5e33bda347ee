//! Block devices of processes.

use super::state::{Payload, State, Thing, What};
use bytes::{Bytes, BytesMut};
use drbd::page::Page;
use env::{
    block::{Access, BLOCK},
    hooks::{Handle, Pid, Reply, Request},
};
use models::{
    SimTime,
    disk::{Disk, DiskError, Done, Lv, Op},
};
use std::{
    io::{self, ErrorKind},
    sync::Arc,
};

/// Linux's error numbers that Rust has no kind for.
const EIO: i32 = 5;
const ENODEV: i32 = 19;

/// A disk and its host.
pub(super) struct DiskSlot {
    pub(super) host: usize,
    pub(super) model: Disk<Page>,
    /// Time of the newest entry on the agenda.
    pub(super) armed: SimTime,
    pub(super) powered: bool,
}

fn disk_error(e: DiskError) -> io::Error {
    match e {
        DiskError::Io => io::Error::from_raw_os_error(EIO),
        DiskError::NoSpace => ErrorKind::StorageFull.into(),
        DiskError::OutOfRange => io::Error::new(ErrorKind::InvalidInput, e),
        DiskError::Offline => io::Error::from_raw_os_error(ENODEV),
    }
}

/// Cuts a write into pages; what is all zero stays cheap.
fn pages(data: &Bytes) -> Arc<[Page]> {
    let (blocks, _) = data.as_chunks::<4096>();
    blocks
        .iter()
        .map(|b| if b.iter().all(|&x| x == 0) { Page::Zero } else { Page::Bytes(Arc::new(*b)) })
        .collect()
}

fn joined(pages: &[Page]) -> Bytes {
    let mut all = BytesMut::with_capacity(pages.len() * BLOCK as usize);
    pages.iter().for_each(|p| all.extend_from_slice(&p.bytes()));
    all.freeze()
}

impl<P: Payload> State<P> {
    pub(super) fn device_open(
        &mut self,
        pid: Pid,
        host: usize,
        path: String,
        access: Access,
    ) -> io::Result<Reply> {
        let device = *self.machines[host].devices.get(&path).ok_or(ErrorKind::NotFound)?;
        let exclusive = access == Access::ReadWriteExclusive;
        if exclusive && device.writer.is_some() {
            return Err(ErrorKind::ResourceBusy.into());
        }
        let (disk, lv) = (device.disk, device.lv);
        let handle = self.hold(pid, What::Device { disk, path: path.clone(), lv, exclusive });
        if let Some(device) = self.machines[host].devices.get_mut(&path).filter(|_| exclusive) {
            device.writer = Some(handle);
        }
        Ok(Reply::Device { device: handle, size: device.lv.len * BLOCK })
    }

    pub(super) fn device_closed(&mut self, host: Option<usize>, path: &str, handle: Handle) {
        let Some(host) = host else { return };
        if let Some(device) = self.machines[host].devices.get_mut(path)
            && device.writer == Some(handle)
        {
            device.writer = None;
        }
    }

    /// Passes a request on to its disk, or refuses it.
    pub(super) fn block_request(&mut self, pending: Handle, request: Request) {
        match self.disk_op(&request) {
            Ok((disk, op)) => {
                self.disks[disk].model.submit_for(self.now, pending.0, op);
                self.schedule_disk(disk);
            }
            Err(e) => self.answer(pending, Err(e)),
        }
    }

    fn disk_op(&mut self, request: &Request) -> io::Result<(usize, Op<Page>)> {
        let (Request::BlockRead { device, .. }
        | Request::BlockWrite { device, .. }
        | Request::BlockFlush { device }
        | Request::BlockDiscard { device, .. }) = *request
        else {
            return Err(ErrorKind::InvalidInput.into());
        };
        let Some(Thing { what: What::Device { disk, lv, exclusive, .. }, .. }) =
            self.things.get_mut(device)
        else {
            return Err(io::Error::from_raw_os_error(ENODEV));
        };
        let (disk, lv, writable) = (*disk, *lv, *exclusive);
        let op = match request {
            Request::BlockRead { offset, len, .. } => {
                let (start, count) = blocks_of(lv, *offset, *len as u64)?;
                Op::Read { start, count: count as u32 }
            }
            // A flush is harmless, and Linux allows it to readers.
            Request::BlockFlush { .. } => Op::Flush,
            _ if !writable => return Err(ErrorKind::PermissionDenied.into()),
            Request::BlockWrite { offset, data, .. } => {
                let (start, _) = blocks_of(lv, *offset, data.len() as u64)?;
                Op::Write { start, data: pages(data), preflush: false, fua: false }
            }
            Request::BlockDiscard { offset, len, .. } => {
                let (start, count) = blocks_of(lv, *offset, *len)?;
                Op::Discard { start, count }
            }
            _ => return Err(ErrorKind::InvalidInput.into()),
        };
        Ok((disk, op))
    }

    pub(super) fn run_disk(&mut self, at: SimTime, disk: usize) {
        if self.disks[disk].armed != at {
            return;
        }
        self.disks[disk].armed = SimTime::FAR;
        let mut done: Vec<Done<Page>> = Vec::new();
        self.disks[disk].model.run_due(self.now, &mut done);
        for Done { owner, kind, result, .. } in done {
            let reply = match (kind, result) {
                (models::disk::Kind::Read, Ok(pages)) => Ok(Reply::Data(joined(&pages))),
                (_, Ok(_)) => Ok(Reply::Done),
                (_, Err(e)) => Err(disk_error(e)),
            };
            self.answer(Handle(owner), reply);
        }
        self.schedule_disk(disk);
    }
}

/// Where on the disk a range of bytes lies.
fn blocks_of(lv: Lv, offset: u64, len: u64) -> io::Result<(u64, u64)> {
    let aligned = offset.is_multiple_of(BLOCK) && len.is_multiple_of(BLOCK);
    let start = lv.map(offset / BLOCK, len / BLOCK).filter(|_| aligned);
    let start = start.ok_or(ErrorKind::InvalidInput)?;
    Ok((start, len / BLOCK))
}

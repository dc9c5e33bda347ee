//! Requests to thin volumes, chunk by chunk.

use super::{AT_ONCE, Below, Dm, Effect, Ev};
use crate::disk::{DiskError, Op};
use crate::lvm::pool::{Discards, Mode};
use crate::lvm::thin::Full;
use crate::lvm::{Lvm, Pool, VolumeId};
use crate::slab::Key;
use crate::time::SimTime;
use std::collections::VecDeque;
use std::sync::Arc;

/// The part of a write that lies in one chunk.
pub(super) struct Write<C> {
    request: Key,
    volume: VolumeId,
    pool: VolumeId,
    device: u32,
    /// Which chunk of the volume.
    at: u64,
    /// First block in it.
    offset: u64,
    data: Vec<C>,
    fua: bool,
    /// It holds the chunk: others wait.
    holds: bool,
}

/// Where a chunk of a pool begins on the disk.
fn place_of(lvm: &Lvm, pool: VolumeId, chunk: u64) -> Option<u64> {
    let group = lvm.home(pool)?;
    let of = group.pool(pool)?;
    let blocks = of.chunk_blocks();
    group.map(&of.data, chunk * blocks, blocks).first().map(|run| run.0)
}

fn pool_mut(lvm: &mut Lvm, pool: VolumeId) -> Option<&mut Pool> {
    lvm.home_mut(pool)?.pool_mut(pool)
}

impl<C: Clone + Default> Dm<C> {
    /// Cuts a request to a thin volume into chunks and begins each.
    pub(super) fn thin(
        &mut self,
        now: SimTime,
        lvm: &mut Lvm,
        request: Key,
        (volume, pool): (VolumeId, VolumeId),
        op: Op<C>,
        out: &mut Vec<Effect<C>>,
    ) {
        let device = lvm.volume(volume).and_then(|v| Some(v.as_thin()?.device));
        let blocks = lvm.home(pool).and_then(|g| g.pool(pool)).map(Pool::chunk_blocks);
        let (Some(device), Some(blocks)) = (device, blocks) else {
            return self.fail(request, DiskError::Offline);
        };
        match op {
            Op::Read { start, count } => {
                let range = (start, u64::from(count), blocks);
                self.read(lvm, request, (pool, device), range, out);
            }
            Op::Write { start, data, fua, .. } => {
                let mut done = 0;
                while done < data.len() as u64 {
                    let (at, offset) = ((start + done) / blocks, (start + done) % blocks);
                    let len = (blocks - offset).min(data.len() as u64 - done);
                    let part = data[done as usize..(done + len) as usize].to_vec();
                    let write = Write {
                        request,
                        volume,
                        pool,
                        device,
                        at,
                        offset,
                        data: part,
                        fua,
                        holds: false,
                    };
                    if let Some(of) = self.requests.get_mut(request) {
                        of.left += 1;
                    }
                    self.write(now, lvm, write, out);
                    done += len;
                }
            }
            // A chunk that is only partly discarded stays as it is.
            Op::Discard { start, count } => {
                let range = (start.div_ceil(blocks), (start + count) / blocks);
                self.discard(now, lvm, request, (volume, pool, device), range, out);
            }
            Op::Flush => {}
        }
    }

    fn read(
        &mut self,
        lvm: &Lvm,
        request: Key,
        (pool, device): (VolumeId, u32),
        (start, count, blocks): (u64, u64, u64),
        out: &mut Vec<Effect<C>>,
    ) {
        if let Some(of) = self.requests.get_mut(request) {
            of.data = vec![C::default(); count as usize];
        }
        let space = lvm.home(pool).and_then(|g| g.pool(pool)).map(|pool| &pool.space);
        let mut done = 0;
        while done < count {
            let (at, offset) = ((start + done) / blocks, (start + done) % blocks);
            let len = (blocks - offset).min(count - done);
            let mapped = space.and_then(|space| space.lookup(device, at));
            if let Some(place) = mapped.and_then(|m| place_of(lvm, pool, m.chunk)) {
                let op = Op::Read { start: place + offset, count: len as u32 };
                self.piece(request, done as usize, op, out);
            }
            done += len;
        }
    }

    /// A write that waited is tried again.
    pub(super) fn again(
        &mut self,
        now: SimTime,
        lvm: &mut Lvm,
        write: Write<C>,
        out: &mut Vec<Effect<C>>,
    ) {
        self.write(now, lvm, write, out);
    }

    /// One piece, already counted in its request.
    fn write(&mut self, now: SimTime, lvm: &mut Lvm, write: Write<C>, out: &mut Vec<Effect<C>>) {
        let lock = (write.volume, write.at);
        if let (Some(waiting), false) = (self.busy.get_mut(&lock), write.holds) {
            return waiting.push_back(write);
        }
        let (pool, device) = (write.pool, write.device);
        let Some(of) = pool_mut(lvm, pool) else {
            return self.give_up(now, lvm, write, DiskError::Offline, out);
        };
        let mapped = of.space.lookup(device, write.at);
        if let Some(mapped) = mapped.filter(|mapped| !mapped.shared) {
            return self.write_in_place(now, lvm, write, mapped.chunk, out);
        }
        if of.mode == Mode::ReadOnly {
            return self.give_up(now, lvm, write, DiskError::Io, out);
        }
        // Nobody else begins to fill this chunk meanwhile.
        self.busy.entry(lock).or_default();
        let write = Write { holds: true, ..write };
        match of.space.allocate() {
            Ok(chunk) => {
                self.fill(now, lvm, write, chunk, mapped.map(|mapped| mapped.chunk), out);
            }
            Err(Full::DataUntilCommit) => self.wait_for_commit(lvm, pool, write, out),
            Err(Full::Data) => self.is_full(now, lvm, pool, write),
            Err(Full::Metadata) => {
                self.read_only(now, lvm, pool);
                self.refuse(now, write, DiskError::Io);
            }
        }
    }

    fn write_in_place(
        &mut self,
        now: SimTime,
        lvm: &mut Lvm,
        write: Write<C>,
        chunk: u64,
        out: &mut Vec<Effect<C>>,
    ) {
        let Some(place) = place_of(lvm, write.pool, chunk) else {
            return self.give_up(now, lvm, write, DiskError::OutOfRange, out);
        };
        let Write { request, volume, at, offset, data, fua, holds, .. } = write;
        let op = Op::Write { start: place + offset, data: data.into(), preflush: false, fua };
        self.below(Below::Piece { request, at: 0 }, op, out);
        if holds {
            self.unlock(now, lvm, (volume, at), out);
        }
    }

    /// Fills a new chunk: with zeroes, or with what the shared one holds.
    fn fill(
        &mut self,
        now: SimTime,
        lvm: &mut Lvm,
        write: Write<C>,
        chunk: u64,
        shared: Option<u64>,
        out: &mut Vec<Effect<C>>,
    ) {
        let Some(of) = lvm.home(write.pool).and_then(|g| g.pool(write.pool)) else { return };
        let blocks = of.chunk_blocks();
        let whole = write.data.len() as u64 == blocks;
        let place = |chunk| place_of(lvm, write.pool, chunk);
        let (Some(new), old) = (place(chunk), shared.and_then(place)) else {
            return self.give_up(now, lvm, write, DiskError::OutOfRange, out);
        };
        if let (Some(start), false) = (old, whole) {
            let op = Op::Read { start, count: blocks as u32 };
            return self.below(Below::Copy { write, chunk }, op, out);
        }
        let (start, data) = if of.zero && !whole {
            (new, around(&vec![C::default(); blocks as usize], &write))
        } else {
            (new + write.offset, write.data.as_slice().into())
        };
        let op = Op::Write { start, data, preflush: false, fua: write.fua };
        self.below(Below::Fill { write, chunk }, op, out);
    }

    /// The shared chunk was read: it is written anew, with the change in it.
    pub(super) fn copied(
        &mut self,
        now: SimTime,
        lvm: &mut Lvm,
        write: Write<C>,
        chunk: u64,
        result: Result<Arc<[C]>, DiskError>,
        out: &mut Vec<Effect<C>>,
    ) {
        match (result, place_of(lvm, write.pool, chunk)) {
            (Ok(old), Some(start)) => {
                let data = around(&old, &write);
                let op = Op::Write { start, data, preflush: false, fua: write.fua };
                self.below(Below::Fill { write, chunk }, op, out);
            }
            (result, _) => {
                let error = result.err().unwrap_or(DiskError::Offline);
                self.filled(now, lvm, write, chunk, Some(error), out);
            }
        }
    }

    /// A new chunk is filled: now it is the volume's.
    pub(super) fn filled(
        &mut self,
        now: SimTime,
        lvm: &mut Lvm,
        write: Write<C>,
        chunk: u64,
        error: Option<DiskError>,
        out: &mut Vec<Effect<C>>,
    ) {
        if let Some(of) = pool_mut(lvm, write.pool) {
            match error {
                None => of.space.map(write.device, write.at, chunk),
                Some(_) => of.space.give_back(chunk),
            }
        }
        self.has_changed(now, write.pool);
        if let Some(error) = error {
            return self.give_up(now, lvm, write, error, out);
        }
        self.piece_done(now, lvm, write.request, out);
        self.unlock(now, lvm, (write.volume, write.at), out);
    }

    /// A write fails, and whoever waits for its chunk goes on.
    pub(super) fn give_up(
        &mut self,
        now: SimTime,
        lvm: &mut Lvm,
        write: Write<C>,
        error: DiskError,
        out: &mut Vec<Effect<C>>,
    ) {
        self.fail(write.request, error);
        if write.holds {
            self.unlock(now, lvm, (write.volume, write.at), out);
        }
        self.piece_done(now, lvm, write.request, out);
    }

    /// As [`Dm::give_up`] while the request may be just being made: it ends a moment later.
    pub(super) fn refuse(&mut self, now: SimTime, write: Write<C>, error: DiskError) {
        self.queue.push(now + AT_ONCE, Ev::Refused(Box::new(write), error));
    }

    fn unlock(
        &mut self,
        now: SimTime,
        lvm: &mut Lvm,
        lock: (VolumeId, u64),
        out: &mut Vec<Effect<C>>,
    ) {
        let waiting: VecDeque<Write<C>> = self.busy.remove(&lock).unwrap_or_default();
        for write in waiting {
            self.write(now, lvm, write, out);
        }
    }

    fn discard(
        &mut self,
        now: SimTime,
        lvm: &mut Lvm,
        request: Key,
        (volume, pool, device): (VolumeId, VolumeId, u32),
        (from, to): (u64, u64),
        out: &mut Vec<Effect<C>>,
    ) {
        let Some(of) = pool_mut(lvm, pool) else { return };
        if of.discards == Discards::Ignore || of.mode == Mode::ReadOnly {
            return;
        }
        let (passdown, blocks) = (of.discards == Discards::Passdown, of.chunk_blocks());
        let mut freed = Vec::new();
        for at in of.space.mapped_in(device, from, to) {
            // A chunk that is being filled belongs to a write that came before or comes after.
            if !self.busy.contains_key(&(volume, at)) {
                freed.extend(of.space.unmap(device, at));
            }
        }
        if of.space.is_dirty() {
            self.has_changed(now, pool);
        }
        for chunk in freed.into_iter().filter(|_| passdown) {
            if let Some(start) = place_of(lvm, pool, chunk) {
                self.piece(request, 0, Op::Discard { start, count: blocks }, out);
            }
        }
    }
}

/// A whole chunk with a write's data in its place.
fn around<C: Clone>(old: &[C], write: &Write<C>) -> Arc<[C]> {
    let mut all = old.to_vec();
    for (to, from) in all.iter_mut().skip(write.offset as usize).zip(&write.data) {
        *to = from.clone();
    }
    all.into()
}

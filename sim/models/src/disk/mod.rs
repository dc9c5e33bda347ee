//! A disk of 4 KiB blocks: durable store, volatile cache, faults.
//!
//! What it does:
//!
//! * Requests are served `parallel` at a time, each for a time drawn from the profile, so they may
//!   complete in another order than they were submitted. A write takes effect, and a read looks,
//!   when it completes. Reads see the cache.
//! * A completed write sits in the volatile cache (if there is one). A flush or preflush makes
//!   durable what completed before its submission; FUA makes this one write durable.
//! * Power loss: every cached block, and every block of a write in flight, survives or not by its
//!   own draw; how likely is drawn for each power loss, so that all, none and mixtures occur. A
//!   block is atomic unless the profile's `tear` says 512-byte sectors. A write with preflush in
//!   flight survives only where the flush it asked for was done. Requests in flight never
//!   complete.
//! * Crash of the kernel: the disk keeps power and its cache; of the writes in flight each block is
//!   applied or not.
//! * The cache is written back by itself: blocks older than `write_back_after` for certain, and a
//!   cached block that is overwritten may or may not have reached the medium before (decided only
//!   when it matters, so it costs no events).
//! * Faults: EIO by range or by rate, stalls, silent bit rot, flushes that lie, a full thin volume,
//!   a device that goes offline.
//!
//! Known gaps: no seek model, no queue limit, no read-ahead, no write same; a discard is a write of
//! zeroes that also unmaps. A lying flush lies for FUA and preflush as well.

mod cache;
mod faults;
mod lv;
mod store;
mod types;

use crate::hash::Hash64;
use crate::luck::Luck;
use crate::queue::Queue;
use crate::slab::{Key, Slab};
use crate::time::{SimTime, Span};
pub use lv::Lv;
use std::sync::Arc;
pub use types::*;

/// A request in flight.
struct Request<C> {
    tag: Tag,
    owner: u64,
    op: Op<C>,
    /// Of a flush: what it makes durable.
    mark: u64,
}

#[derive(Clone, Copy)]
enum Ev {
    Complete(Key),
    StallEnd,
}

/// A disk whose blocks have contents of type `C`; `C::default()` is the block of zeroes. See the
/// module's text.
pub struct Disk<C> {
    profile: Profile<C>,
    cache: cache::Cache<C>,
    faults: faults::Faults,
    powered: bool,
    /// When each of the `parallel` channels is free.
    channels: Vec<SimTime>,
    requests: Slab<Request<C>>,
    queue: Queue<Ev>,
    /// Requests that fell due during a stall.
    parked: Vec<Key>,
    last_tag: u64,
    service: Luck,
    write_back: Luck,
    survival: Luck,
    hash: Hash64,
    events: u64,
}

impl<C: Clone + Default> Disk<C> {
    /// A disk full of zeroes, with power.
    pub fn new(luck: Luck, profile: Profile<C>) -> Disk<C> {
        Disk {
            cache: cache::Cache::new(),
            faults: faults::Faults::new(luck.fork("faults")),
            powered: true,
            channels: vec![SimTime::ZERO; profile.parallel.max(1)],
            requests: Slab::new(),
            queue: Queue::new(),
            parked: Vec::new(),
            last_tag: 0,
            service: luck.fork("service"),
            write_back: luck.fork("write-back"),
            survival: luck.fork("survival"),
            hash: Hash64::new(),
            events: 0,
            profile,
        }
    }

    /// Size in blocks.
    pub fn blocks(&self) -> u64 {
        self.profile.blocks
    }

    // ---- requests ----

    /// Submits a request. The completion comes out of [`Disk::run_due`], unless power or the kernel
    /// is lost before. A disk without power takes the request and never answers.
    pub fn submit(&mut self, now: SimTime, op: Op<C>) -> Tag {
        self.submit_for(now, 0, op)
    }

    /// As [`Disk::submit`], with a number that comes back in [`Done::owner`].
    pub fn submit_for(&mut self, now: SimTime, owner: u64, op: Op<C>) -> Tag {
        self.last_tag += 1;
        let tag = Tag(self.last_tag);
        if !self.powered {
            return tag;
        }
        let took = self.service_time(&op);
        let free = self.channels.iter_mut().min().expect("a disk has at least one channel");
        *free = (*free).max(now) + took;
        let done = *free;
        let mark = self.cache.mark();
        let key = self.requests.insert(Request { tag, owner, op, mark });
        self.queue.push(done, Ev::Complete(key));
        tag
    }

    fn service_time(&mut self, op: &Op<C>) -> Span {
        let Disk { profile, service, .. } = self;
        match op {
            Op::Read { count, .. } => {
                service.span(&profile.read) + profile.per_block * u64::from(*count)
            }
            Op::Write { data, preflush, fua, .. } => {
                let write = service.span(&profile.write) + profile.per_block * data.len() as u64;
                let flushes = u64::from(*preflush) + u64::from(*fua && profile.volatile_cache);
                if flushes == 0 {
                    return write;
                }
                write + service.span(&profile.flush) * flushes
            }
            Op::Flush => service.span(&profile.flush),
            Op::Discard { .. } => service.span(&profile.discard),
        }
    }

    /// How many requests are in flight.
    pub fn in_flight(&self) -> usize {
        self.requests.len()
    }

    /// When [`Disk::run_due`] wants to be called next.
    pub fn next_due(&self) -> Option<SimTime> {
        self.queue.next_due()
    }

    /// Completes all that is due at or before `now`.
    pub fn run_due(&mut self, now: SimTime, out: &mut Vec<Done<C>>) {
        while let Some((at, event)) = self.queue.pop_due(now) {
            match event {
                Ev::Complete(key) if at < self.faults.stalled_until => self.parked.push(key),
                Ev::Complete(key) => self.complete(at, key, out),
                Ev::StallEnd if at < self.faults.stalled_until => {}
                Ev::StallEnd => self.release(at),
            }
        }
    }

    fn complete(&mut self, at: SimTime, key: Key, out: &mut Vec<Done<C>>) {
        let Some(Request { tag, owner, op, mark }) = self.requests.remove(key) else { return };
        let (kind, result) = self.serve(at, op, mark);
        self.events += 1;
        self.hash.add(at.0);
        let outcome = result.as_ref().map_or_else(|e| *e as u64 + 1, |_| 0);
        self.hash.add(tag.0 << 8 ^ (kind as u64) << 4 ^ outcome);
        out.push(Done { at, tag, owner, kind, result });
    }

    fn serve(&mut self, at: SimTime, op: Op<C>, mark: u64) -> (Kind, Result<Arc<[C]>, DiskError>) {
        let (kind, start, count) = extent(&op);
        if let Err(error) = self.check(&op) {
            return (kind, Err(error));
        }
        let direction = if kind == Kind::Read { Direction::Read } else { Direction::Write };
        let failed = self.faults.strikes(direction, start, count);
        let result = self.take_effect(at, op, mark, failed);
        (kind, if failed { Err(DiskError::Io) } else { Ok(result) })
    }

    /// Can the request be served at all?
    fn check(&self, op: &Op<C>) -> Result<(), DiskError> {
        if self.faults.offline {
            return Err(DiskError::Offline);
        }
        let (kind, start, count) = extent(op);
        let fits = start.checked_add(count).is_some_and(|end| end <= self.profile.blocks);
        if kind != Kind::Flush && (!fits || count == 0) {
            return Err(DiskError::OutOfRange);
        }
        if self.has_space(op) { Ok(()) } else { Err(DiskError::NoSpace) }
    }

    fn has_space(&self, op: &Op<C>) -> bool {
        let (Some(limit), Op::Write { start, data, .. }) = (self.profile.thin_limit, op) else {
            return true;
        };
        let is_new = |block: &u64| !self.cache.store.get(*block).is_some_and(|c| c.mapped);
        let new = (*start..start + data.len() as u64).filter(is_new).count() as u64;
        new == 0 || self.cache.mapped() + new <= limit
    }

    /// What a request does to the contents; of a failed one each block may be written or not.
    fn take_effect(&mut self, at: SimTime, op: Op<C>, mark: u64, failed: bool) -> Arc<[C]> {
        let Disk { cache, faults, profile, write_back, .. } = self;
        let honest = !faults.lying_flush;
        match op {
            Op::Read { start, count } if !failed => {
                let end = start + u64::from(count);
                return (start..end).map(|block| seen(cache, block)).collect();
            }
            Op::Read { .. } => {}
            Op::Write { start, data, preflush, fua } => {
                if preflush && honest && !failed {
                    cache.flush(mark);
                }
                for (block, content) in (start..).zip(data.iter()) {
                    if failed && faults.coin() {
                        continue;
                    }
                    if !profile.volatile_cache || (fua && honest) {
                        cache.write_durable(block, content.clone());
                    } else {
                        cache.write(at, block, content.clone(), write_back);
                    }
                }
                cache.write_back(at, profile.write_back_after);
            }
            Op::Flush if honest && !failed => cache.flush(mark),
            Op::Flush => {}
            Op::Discard { start, count } => {
                for block in cache.store.present(start, count) {
                    if failed && faults.coin() {
                        continue;
                    }
                    if profile.volatile_cache {
                        cache.write(at, block, C::default(), write_back);
                    } else {
                        cache.write_durable(block, C::default());
                    }
                    cache.unmap(block);
                }
            }
        }
        Arc::new([])
    }

    // ---- power ----

    /// Power is lost: see the module's text for what survives.
    pub fn power_off(&mut self, now: SimTime) {
        if !self.powered {
            return;
        }
        self.powered = false;
        self.hash.add(now.0 ^ 1 << 63);
        if self.faults.straggles {
            return;
        }
        // Extremes find other bugs than mixtures, so they get their share.
        let ppm = *self.survival.pick(&[0, 0, 100_000, 500_000, 900_000, 1_000_000]).unwrap_or(&0);
        let in_flight = self.take_in_flight(now);
        self.cache.lose(ppm, self.profile.tear, &mut self.survival);
        self.apply_in_flight(now, in_flight, Some(ppm));
    }

    /// Power is back.
    pub fn power_on(&mut self, now: SimTime) {
        if self.powered {
            return;
        }
        self.powered = true;
        self.hash.add(now.0 ^ 2 << 62);
        self.channels.fill(now);
    }

    /// Does it have power?
    pub fn is_powered(&self) -> bool {
        self.powered
    }

    /// The host's kernel died; the disk kept its power.
    pub fn crash(&mut self, now: SimTime) {
        if !self.powered {
            return;
        }
        self.hash.add(now.0 ^ 3 << 62);
        if self.faults.straggles {
            return;
        }
        let in_flight = self.take_in_flight(now);
        self.apply_in_flight(now, in_flight, None);
        self.channels.fill(now);
    }

    /// The requests in flight that may still change contents, in the order of submission; no
    /// completion comes any more. Flushes among them were done or not.
    fn take_in_flight(&mut self, now: SimTime) -> Vec<Request<C>> {
        self.queue.clear();
        self.parked.clear();
        let until = self.faults.stalled_until;
        if until > now && until != SimTime::FAR {
            self.queue.push(until, Ev::StallEnd);
        }
        let keys: Vec<Key> = self.requests.keys().collect();
        let mut taken: Vec<_> = keys.iter().filter_map(|k| self.requests.remove(*k)).collect();
        taken.sort_by_key(|r| r.tag);
        taken.retain(|request| match &request.op {
            Op::Read { .. } => false,
            Op::Flush => {
                self.perhaps_flush(request.mark);
                false
            }
            // A write never overtakes the flush that it asked for.
            Op::Write { preflush: true, .. } => self.perhaps_flush(request.mark),
            Op::Write { .. } | Op::Discard { .. } => true,
        });
        taken
    }

    /// Was a flush in flight done? A flush that lies always says so.
    fn perhaps_flush(&mut self, mark: u64) -> bool {
        if self.faults.lying_flush {
            return true;
        }
        let done = self.survival.coin();
        if done {
            self.cache.flush(mark);
        }
        done
    }

    /// Each block of the writes in flight is applied or not: on the medium when power is lost,
    /// otherwise as if they had completed.
    fn apply_in_flight(&mut self, now: SimTime, requests: Vec<Request<C>>, lost: Option<u32>) {
        for Request { op, .. } in requests {
            if self.check(&op).is_err() {
                continue;
            }
            match op {
                Op::Write { start, data, .. } => {
                    for (block, content) in (start..).zip(data.iter()) {
                        self.apply_block(now, block, content.clone(), lost);
                    }
                }
                Op::Discard { start, count } => {
                    for block in self.cache.store.present(start, count) {
                        self.apply_block(now, block, C::default(), lost);
                    }
                }
                Op::Read { .. } | Op::Flush => {}
            }
        }
    }

    fn apply_block(&mut self, now: SimTime, block: u64, new: C, lost: Option<u32>) {
        let Disk { cache, profile, survival, write_back, .. } = self;
        if let Some(ppm) = lost {
            let old = cache.store.make(block).durable.clone();
            let survivor = cache::survivor(&old, new, ppm, profile.tear, survival);
            cache.write_durable(block, survivor);
        } else if survival.coin() {
            if profile.volatile_cache {
                cache.write(now, block, new, write_back);
            } else {
                cache.write_durable(block, new);
            }
        }
    }

    // ---- faults ----

    /// Requests that touch these blocks fail with EIO from now on.
    pub fn fail_range(&mut self, direction: Direction, start: u64, count: u64) {
        self.faults.fail_range(direction, start, count);
    }

    /// Ends every [`Disk::fail_range`] of the direction.
    pub fn clear_failures(&mut self, direction: Direction) {
        self.faults.clear(direction);
    }

    /// So many requests in a million fail with EIO.
    pub fn set_error_rate(&mut self, direction: Direction, ppm: u32) {
        self.faults.set_rate(direction, ppm);
    }

    /// Nothing completes before `until` ([`SimTime::FAR`]: until [`Disk::unstall`]).
    pub fn stall(&mut self, now: SimTime, until: SimTime) {
        self.hash.add(now.0 ^ until.0.rotate_left(32));
        self.faults.stalled_until = until;
        if until != SimTime::FAR {
            self.queue.push(until.max(now), Ev::StallEnd);
        }
    }

    /// Ends a stall.
    pub fn unstall(&mut self, now: SimTime) {
        self.stall(now, now);
    }

    fn release(&mut self, at: SimTime) {
        for key in self.parked.drain(..) {
            self.queue.push(at, Ev::Complete(key));
        }
    }

    /// Changes the contents of a block silently, on the medium (and as read, unless it is cached).
    pub fn rot(&mut self, block: u64, change: impl FnOnce(&mut C)) {
        self.cache.rot(block, change);
    }

    /// Are flushes acknowledged and not done?
    pub fn is_lying(&self) -> bool {
        self.faults.lying_flush
    }

    /// Flush, preflush and FUA are acknowledged and not done from now on, or are honest again.
    pub fn set_lying_flush(&mut self, lying: bool) {
        self.faults.lying_flush = lying;
    }

    /// A disk with a battery and a will of its own: from now on it goes on with what it was given
    /// when its host loses power or its kernel, and keeps its cache. No real disk should.
    pub fn set_straggling(&mut self, yes: bool) {
        self.faults.straggles = yes;
    }

    /// What was acknowledged is on the medium at once, as after a flush: for a command that waits
    /// for one.
    pub fn write_back(&mut self) {
        if !self.faults.lying_flush {
            self.cache.flush(self.cache.mark());
        }
    }

    /// Changes how many blocks a thin volume can map.
    pub fn set_thin_limit(&mut self, limit: Option<u64>) {
        self.profile.thin_limit = limit;
    }

    /// How many blocks are mapped (were written and not discarded since).
    pub fn mapped(&self) -> u64 {
        self.cache.mapped()
    }

    /// Makes the disk larger; a smaller size is ignored.
    pub fn grow(&mut self, blocks: u64) {
        self.profile.blocks = self.profile.blocks.max(blocks);
    }

    /// Requests fail with `Offline`, those in flight too, or are served again.
    pub fn set_offline(&mut self, offline: bool) {
        self.faults.offline = offline;
    }

    // ---- for checkers, which see everything ----

    /// What a reader would see now.
    pub fn peek(&self, block: u64) -> C {
        seen(&self.cache, block)
    }

    /// What survives power loss even if the cache loses everything.
    pub fn peek_durable(&self, block: u64) -> C {
        self.cache.store.get(block).map_or_else(C::default, |cell| cell.durable.clone())
    }

    /// The instant T such that all that completed before T is durable; `now` if all is.
    pub fn last_durable_mark(&self, now: SimTime) -> SimTime {
        self.cache.oldest_dirty().unwrap_or(now)
    }

    /// Writes contents at once, as seen and durable: to prepare a test.
    pub fn poke(&mut self, block: u64, content: C) {
        self.cache.write_durable(block, content);
    }

    /// Hash over everything that happened so far.
    pub fn hash(&self) -> u64 {
        self.hash.value()
    }

    /// How many requests were completed so far.
    pub fn events(&self) -> u64 {
        self.events
    }
}

/// Kind, first block and number of blocks.
fn extent<C>(op: &Op<C>) -> (Kind, u64, u64) {
    match op {
        Op::Read { start, count } => (Kind::Read, *start, u64::from(*count)),
        Op::Write { start, data, .. } => (Kind::Write, *start, data.len() as u64),
        Op::Flush => (Kind::Flush, 0, 0),
        Op::Discard { start, count } => (Kind::Discard, *start, *count),
    }
}

fn seen<C: Clone + Default>(cache: &cache::Cache<C>, block: u64) -> C {
    cache.store.get(block).map_or_else(C::default, |cell| cell.seen.clone())
}

//! A disk of 4 KiB blocks: durable store, volatile cache, faults.
//!
//! What it does:
//!
//! * Requests are served `parallel` at a time, each for a time drawn from the profile, so they may
//!   complete in another order than they were submitted. A write takes effect, and a read looks,
//!   when it completes. Reads see the cache.
//! * A completed write sits in the volatile cache (if there is one). A flush or preflush makes durable
//!   what completed before its submission; FUA makes this one write durable.
//! * Power loss: every cached block, and every block of a write in flight, survives or not by its own
//!   draw; how likely is drawn for each power loss, so that all, none and mixtures occur. A block is
//!   atomic unless the profile's `tear` says 512-byte sectors. A write with preflush in flight
//!   survives only where the flush it asked for was done. Requests in flight never complete.
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

mod types;

use crate::luck::Luck;
use crate::time::SimTime;
pub use types::*;

/// A disk whose blocks have contents of type `C`; `C::default()` is the block of zeroes. See the
/// module's text.
pub struct Disk<C> {
    _c: std::marker::PhantomData<C>,
}

impl<C: Clone + Default> Disk<C> {
    /// A disk full of zeroes, with power.
    pub fn new(luck: Luck, profile: Profile<C>) -> Disk<C> {
        todo!()
    }
    /// Size in blocks.
    pub fn blocks(&self) -> u64 {
        todo!()
    }

    // ---- requests ----

    /// Submits a request. The completion comes out of [`Disk::run_due`], unless power or the kernel
    /// is lost before. A disk without power takes the request and never answers.
    pub fn submit(&mut self, now: SimTime, op: Op<C>) -> Tag {
        todo!()
    }
    /// As [`Disk::submit`], with a number that comes back in [`Done::owner`].
    pub fn submit_for(&mut self, now: SimTime, owner: u64, op: Op<C>) -> Tag {
        todo!()
    }
    /// How many requests are in flight.
    pub fn in_flight(&self) -> usize {
        todo!()
    }
    /// When [`Disk::run_due`] wants to be called next.
    pub fn next_due(&self) -> Option<SimTime> {
        todo!()
    }
    /// Completes all that is due at or before `now`.
    pub fn run_due(&mut self, now: SimTime, out: &mut Vec<Done<C>>) {
        todo!()
    }

    // ---- power ----

    /// Power is lost.
    pub fn power_off(&mut self, now: SimTime) {
        todo!()
    }
    /// Power is back.
    pub fn power_on(&mut self, now: SimTime) {
        todo!()
    }
    /// The host's kernel died; the disk kept its power.
    pub fn crash(&mut self, now: SimTime) {
        todo!()
    }

    // ---- faults ----

    /// Requests that touch these blocks fail with EIO from now on.
    pub fn fail_range(&mut self, direction: Direction, start: u64, count: u64) {
        todo!()
    }
    /// Ends every [`Disk::fail_range`] of the direction.
    pub fn clear_failures(&mut self, direction: Direction) {
        todo!()
    }
    /// So many requests in a million fail with EIO.
    pub fn set_error_rate(&mut self, direction: Direction, ppm: u32) {
        todo!()
    }
    /// Nothing completes before `until` ([`SimTime::FAR`]: until [`Disk::unstall`]).
    pub fn stall(&mut self, now: SimTime, until: SimTime) {
        todo!()
    }
    /// Ends a stall.
    pub fn unstall(&mut self, now: SimTime) {
        todo!()
    }
    /// Changes the contents of a block silently, on the medium (and as read, unless it is cached).
    pub fn rot(&mut self, block: u64, change: impl FnOnce(&mut C)) {
        todo!()
    }
    /// Flush, preflush and FUA are acknowledged and not done from now on, or are honest again.
    pub fn set_lying_flush(&mut self, lying: bool) {
        todo!()
    }
    /// Changes how many blocks a thin volume can map.
    pub fn set_thin_limit(&mut self, limit: Option<u64>) {
        todo!()
    }
    /// How many blocks are mapped (were written and not discarded since).
    pub fn mapped(&self) -> u64 {
        todo!()
    }
    /// Makes the disk larger; a smaller size is ignored.
    pub fn grow(&mut self, blocks: u64) {
        todo!()
    }
    /// Requests fail with `Offline`, those in flight too, or are served again.
    pub fn set_offline(&mut self, offline: bool) {
        todo!()
    }

    // ---- for checkers, which see everything ----

    /// What a reader would see now.
    pub fn peek(&self, block: u64) -> C {
        todo!()
    }
    /// What is certain to survive power loss now.
    pub fn peek_durable(&self, block: u64) -> C {
        todo!()
    }
    /// The instant T such that all that completed before T is durable.
    pub fn last_durable_mark(&self, now: SimTime) -> SimTime {
        todo!()
    }
    /// Writes contents at once, as seen and durable: to prepare a test.
    pub fn poke(&mut self, block: u64, content: C) {
        todo!()
    }
    /// Hash over everything that happened so far.
    pub fn hash(&self) -> u64 {
        todo!()
    }
    /// How many requests were completed so far.
    pub fn events(&self) -> u64 {
        todo!()
    }
}

/// A logical volume: a run of blocks of a disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Lv {
    /// First block on the disk.
    pub start: u64,
    /// How many blocks.
    pub len: u64,
}

impl Lv {
    /// The place on the disk of `count` blocks from `block` of the volume, `None` if they are not
    /// all within it.
    pub fn map(self, block: u64, count: u64) -> Option<u64> {
        (block.checked_add(count)? <= self.len).then(|| self.start + block)
    }
}

//! A pool at work: its flushes and commits, its mode, and the writes that wait for room.

use super::chunks::Write;
use super::{Below, COMMIT_PERIOD, Dm, Effect, Ev, NO_SPACE_TIMEOUT, Note};
use crate::disk::{DiskError, Op};
use crate::lvm::pool::Mode;
use crate::lvm::{Lvm, Pool, VolumeId};
use crate::slab::Key;
use crate::time::SimTime;
use std::collections::VecDeque;

/// What a pool has in hand.
pub(super) struct PoolIo<C> {
    /// Writes that found no free chunk.
    pub(super) waiting: VecDeque<Write<C>>,
    /// A commit is due.
    timer: bool,
    /// A flush is on its way: what it commits, and who waits for it.
    flushing: Option<(u64, Vec<Key>)>,
    /// Who waits for the next one.
    next: Option<Vec<Key>>,
    /// What was said of the pool last.
    noted: Mode,
}

impl<C> Default for PoolIo<C> {
    fn default() -> PoolIo<C> {
        let (waiting, noted) = (VecDeque::new(), Mode::Write);
        PoolIo { waiting, timer: false, flushing: None, next: None, noted }
    }
}

fn pool_of(lvm: &Lvm, pool: VolumeId) -> Option<&Pool> {
    lvm.home(pool)?.pool(pool)
}

impl<C: Clone + Default> Dm<C> {
    /// Makes data and mapping durable; a request that waits for it hears of it.
    pub(super) fn flush(
        &mut self,
        lvm: &Lvm,
        pool: VolumeId,
        who: Option<Key>,
        out: &mut Vec<Effect<C>>,
    ) {
        let io = self.pools.entry(pool).or_default();
        if io.flushing.is_some() {
            io.next.get_or_insert_default().extend(who);
            return;
        }
        let mark = pool_of(lvm, pool).map_or(0, |pool| pool.space.mark());
        io.flushing = Some((mark, who.into_iter().collect()));
        self.below(Below::Flush { pool, metadata: false }, Op::Flush, out);
    }

    /// The disk has flushed: a changed mapping is written next, and flushed too.
    pub(super) fn flushed(
        &mut self,
        now: SimTime,
        lvm: &mut Lvm,
        pool: VolumeId,
        metadata: bool,
        error: Option<DiskError>,
        out: &mut Vec<Effect<C>>,
    ) {
        let Some(io) = self.pools.get_mut(&pool) else { return };
        let Some((mark, waiters)) = io.flushing.take() else { return };
        let space = lvm.home_mut(pool).and_then(|group| group.pool_mut(pool));
        if let (None, Some(of)) = (error, space) {
            if !metadata && of.space.is_dirty() {
                io.flushing = Some((mark, waiters));
                return self.below(Below::Flush { pool, metadata: true }, Op::Flush, out);
            }
            of.space.commit(mark);
        }
        let next = io.next.take();
        for key in waiters {
            if let Some(error) = error {
                self.fail(key, error);
            }
            self.piece_done(now, lvm, key, out);
        }
        if let Some(error) = error {
            let waiting = std::mem::take(&mut self.pools.entry(pool).or_default().waiting);
            for write in waiting {
                self.give_up(now, lvm, write, error, out);
            }
        }
        if let Some(next) = next {
            self.flush(lvm, pool, None, out);
            let io = self.pools.entry(pool).or_default();
            if let Some((_, waiters)) = &mut io.flushing {
                waiters.extend(next);
            }
        }
        self.room(now, lvm, pool, out);
    }

    /// The mapping has changed: it is committed soon.
    pub(super) fn has_changed(&mut self, now: SimTime, pool: VolumeId) {
        let io = self.pools.entry(pool).or_default();
        if !io.timer {
            io.timer = true;
            self.queue.push(now + COMMIT_PERIOD, Ev::Commit(pool));
        }
    }

    pub(super) fn commit_is_due(
        &mut self,
        lvm: &mut Lvm,
        pool: VolumeId,
        out: &mut Vec<Effect<C>>,
    ) {
        self.pools.entry(pool).or_default().timer = false;
        if pool_of(lvm, pool).is_some_and(|pool| pool.space.is_dirty()) {
            self.flush(lvm, pool, None, out);
        }
    }

    fn set_mode(&mut self, now: SimTime, lvm: &mut Lvm, pool: VolumeId, mode: Mode) {
        let Some(of) = lvm.home_mut(pool).and_then(|group| group.pool_mut(pool)) else { return };
        of.mode = mode;
        let io = self.pools.entry(pool).or_default();
        if io.noted != mode {
            io.noted = mode;
            self.notes.push(Note { at: now, pool, mode });
        }
    }

    /// No chunk is free: the write waits, or fails.
    pub(super) fn is_full(&mut self, now: SimTime, lvm: &mut Lvm, pool: VolumeId, write: Write<C>) {
        let Some(of) = pool_of(lvm, pool) else { return };
        let (mode, at_once) = (of.mode, of.error_when_full);
        if at_once || mode == Mode::OutOfDataSpaceError {
            self.set_mode(now, lvm, pool, Mode::OutOfDataSpaceError);
            return self.refuse(now, write, DiskError::NoSpace);
        }
        self.pools.entry(pool).or_default().waiting.push_back(write);
        if mode != Mode::OutOfDataSpace {
            self.set_mode(now, lvm, pool, Mode::OutOfDataSpace);
            self.queue.push(now + NO_SPACE_TIMEOUT, Ev::NoSpace(pool, now));
        }
    }

    /// A chunk will be free after a commit.
    pub(super) fn wait_for_commit(
        &mut self,
        lvm: &Lvm,
        pool: VolumeId,
        write: Write<C>,
        out: &mut Vec<Effect<C>>,
    ) {
        self.pools.entry(pool).or_default().waiting.push_back(write);
        self.flush(lvm, pool, None, out);
    }

    /// The metadata is full.
    pub(super) fn read_only(&mut self, now: SimTime, lvm: &mut Lvm, pool: VolumeId) {
        self.set_mode(now, lvm, pool, Mode::ReadOnly);
    }

    /// So long nothing became free.
    pub(super) fn no_space(
        &mut self,
        at: SimTime,
        lvm: &mut Lvm,
        pool: VolumeId,
        since: SimTime,
        out: &mut Vec<Effect<C>>,
    ) {
        let full = pool_of(lvm, pool).is_some_and(|of| of.mode == Mode::OutOfDataSpace);
        if !full || at.since(since) < NO_SPACE_TIMEOUT {
            return;
        }
        self.set_mode(at, lvm, pool, Mode::OutOfDataSpaceError);
        let waiting = std::mem::take(&mut self.pools.entry(pool).or_default().waiting);
        for write in waiting {
            self.give_up(at, lvm, write, DiskError::NoSpace, out);
        }
    }

    /// Is there room now? Then those who wait go on, in their order.
    pub(super) fn room(
        &mut self,
        now: SimTime,
        lvm: &mut Lvm,
        pool: VolumeId,
        out: &mut Vec<Effect<C>>,
    ) {
        let Some(of) = pool_of(lvm, pool) else {
            // The pool is gone, and its volumes with it.
            let waiting = self.pools.remove(&pool).map(|io| io.waiting).unwrap_or_default();
            for write in waiting {
                self.give_up(now, lvm, write, DiskError::Offline, out);
            }
            return;
        };
        let full = of.space.used() >= of.space.chunks();
        if of.mode == Mode::ReadOnly || full && of.mode != Mode::Write {
            return;
        }
        // A pool that was loaded anew and is still full finds out again.
        if !full {
            self.set_mode(now, lvm, pool, Mode::Write);
        }
        let waiting = std::mem::take(&mut self.pools.entry(pool).or_default().waiting);
        for write in waiting {
            self.again(now, lvm, write, out);
        }
    }
}

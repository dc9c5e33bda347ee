//! Requests on their way through logical volumes to the disk and back.
//!
//! The caller hands in a request for a volume and gets [`Effect`]s: requests for the disk, each
//! with a number that comes back in [`Dm::below_done`], and completions. As for all models, it is
//! told the time; `next_due` and `run_due` are for what takes time without the disk.
//!
//! What dm-thin does, in short: a write to a chunk that is not there, or is shared, takes a free
//! chunk, fills it (with zeroes or with the shared one's contents, around what is written), and
//! only then maps it; other writes to that chunk wait. A flush makes the data durable, then the
//! mapping. When no chunk is free, writes that need one wait; after [`NO_SPACE_TIMEOUT`] they fail,
//! and so do later ones, until there is room again. Reads of what is not mapped give zeroes.

mod chunks;
mod flush;

use super::pool::Mode;
use super::{Kind as VolumeKind, Lvm, VolumeId};
use crate::disk::{DiskError, Kind, Op};
use crate::queue::Queue;
use crate::slab::{Key, Slab};
use crate::time::{SimTime, Span};
use chunks::Write;
use flush::PoolIo;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// How long writes wait for room (`no_space_timeout` of dm-thin).
pub const NO_SPACE_TIMEOUT: Span = Span::secs(60);
/// A change of the mapping is committed after this, if nobody asked before.
pub const COMMIT_PERIOD: Span = Span::secs(1);
/// What is answered without the disk takes this long.
const AT_ONCE: Span = Span::us(5);

/// What follows from an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect<C> {
    /// A request for the disk.
    Disk {
        /// To be handed to [`Dm::below_done`].
        number: u64,
        /// What.
        op: Op<C>,
    },
    /// A request is done.
    Done {
        /// The caller's own number.
        owner: u64,
        /// Its kind.
        kind: Kind,
        /// As of a disk.
        result: Result<Arc<[C]>, DiskError>,
    },
}

/// A pool took another mode, as its kernel log says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Note {
    /// When.
    pub at: SimTime,
    /// Which pool.
    pub pool: VolumeId,
    /// Its mode from now on.
    pub mode: Mode,
}

/// What is done of a request, one after the other.
enum Stage<C> {
    Flush,
    Data(Op<C>),
    /// If the mapping has changed.
    Commit,
}

struct Request<C> {
    owner: u64,
    volume: VolumeId,
    kind: Kind,
    error: Option<DiskError>,
    /// What was read.
    data: Vec<C>,
    /// Pieces of this stage that are not done.
    left: usize,
    stages: VecDeque<Stage<C>>,
}

/// What a request to the disk is for.
enum Below<C> {
    /// A piece; what is read goes to this place.
    Piece { request: Key, at: usize },
    /// The shared chunk that is being replaced was read.
    Copy { write: Write<C>, chunk: u64 },
    /// A new chunk was filled.
    Fill { write: Write<C>, chunk: u64 },
    /// A pool's flush: first its data, then its metadata.
    Flush { pool: VolumeId, metadata: bool },
}

enum Ev<C> {
    /// The stage was over before it had begun.
    Next(Key),
    /// A write that fails without having reached the disk.
    Refused(Box<Write<C>>, DiskError),
    Commit(VolumeId),
    NoSpace(VolumeId, SimTime),
}

/// See the module's text. It holds nothing that outlives the kernel.
pub struct Dm<C> {
    requests: Slab<Request<C>>,
    below: Slab<Below<C>>,
    queue: Queue<Ev<C>>,
    /// Chunks that are being filled, and who waits for that.
    busy: BTreeMap<(VolumeId, u64), VecDeque<Write<C>>>,
    pools: BTreeMap<VolumeId, PoolIo<C>>,
    failing: BTreeMap<VolumeId, (bool, bool)>,
    notes: Vec<Note>,
}

impl<C: Clone + Default> Default for Dm<C> {
    fn default() -> Dm<C> {
        Dm::new()
    }
}

impl<C: Clone + Default> Dm<C> {
    /// Nothing in flight.
    pub fn new() -> Dm<C> {
        Dm {
            requests: Slab::new(),
            below: Slab::new(),
            queue: Queue::new(),
            busy: BTreeMap::new(),
            pools: BTreeMap::new(),
            failing: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    /// The kernel is gone, and with it all that was in flight. Faults of devices stay.
    pub fn power_lost(&mut self) {
        let failing = std::mem::take(&mut self.failing);
        *self = Dm { failing, ..Dm::new() };
    }

    /// Reads and/or writes of a volume fail from now on; both `false`: no longer.
    pub fn set_failing(&mut self, volume: VolumeId, read: bool, write: bool) {
        if read || write {
            self.failing.insert(volume, (read, write));
        } else {
            self.failing.remove(&volume);
        }
    }

    /// What pools have said since this was asked last.
    pub fn notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// How many writes wait for room in a pool.
    pub fn waiting(&self, pool: VolumeId) -> usize {
        self.pools.get(&pool).map_or(0, |io| io.waiting.len())
    }

    /// A request for a volume; answered by [`Effect::Done`] with this owner.
    pub fn submit(
        &mut self,
        now: SimTime,
        lvm: &mut Lvm,
        owner: u64,
        volume: VolumeId,
        op: Op<C>,
        out: &mut Vec<Effect<C>>,
    ) {
        let kind = match op {
            Op::Read { .. } => Kind::Read,
            Op::Write { .. } => Kind::Write,
            Op::Flush => Kind::Flush,
            Op::Discard { .. } => Kind::Discard,
        };
        let error = self.refuses(lvm, volume, &op);
        let thin = matches!(lvm.volume(volume).map(|v| &v.kind), Some(VolumeKind::Thin(_)));
        let stages = if error.is_some() { VecDeque::new() } else { stages(op, thin) };
        let request = Request { owner, volume, kind, error, data: Vec::new(), left: 0, stages };
        let key = self.requests.insert(request);
        self.advance(now, lvm, key, out, true);
    }

    /// Why a request cannot be served at all.
    fn refuses(&self, lvm: &Lvm, volume: VolumeId, op: &Op<C>) -> Option<DiskError> {
        let (read, write) = self.failing.get(&volume).copied().unwrap_or_default();
        let (start, count, fails, writes) = match op {
            Op::Read { start, count } => (*start, u64::from(*count), read, false),
            Op::Write { start, data, .. } => (*start, data.len() as u64, write, true),
            Op::Discard { start, count } => (*start, *count, write, true),
            Op::Flush => (0, 1, false, false),
        };
        let Some(group) = lvm.home(volume) else { return Some(DiskError::Offline) };
        let of = group.volume(volume).filter(|of| of.active);
        let Some(of) = of.filter(|of| of.as_pool().is_none()) else {
            return Some(DiskError::Offline);
        };
        let fits = start.checked_add(count).is_some_and(|end| end <= group.blocks(of));
        match () {
            () if !fits || count == 0 => Some(DiskError::OutOfRange),
            () if fails || writes && !of.writable => Some(DiskError::Io),
            () => None,
        }
    }

    /// Begins the next stage of a request, or ends it.
    fn advance(
        &mut self,
        now: SimTime,
        lvm: &mut Lvm,
        key: Key,
        out: &mut Vec<Effect<C>>,
        first: bool,
    ) {
        let Some(request) = self.requests.get_mut(key) else { return };
        let volume = request.volume;
        let stage = match request.error {
            None => request.stages.pop_front(),
            Some(_) => None,
        };
        let Some(stage) = stage else {
            // Who asks is not answered before it has asked.
            return match first {
                true => self.queue.push(now + AT_ONCE, Ev::Next(key)),
                false => self.finish(key, out),
            };
        };
        request.left = 1;
        let pool = lvm.volume(volume).and_then(|v| Some(v.as_thin()?.pool));
        match (stage, pool) {
            (Stage::Flush, Some(pool)) => self.flush(lvm, pool, Some(key), out),
            (Stage::Flush, None) => {
                self.below(Below::Piece { request: key, at: 0 }, Op::Flush, out)
            }
            (Stage::Commit, Some(pool)) => {
                let is_dirty = lvm.home(pool).and_then(|g| g.pool(pool));
                if is_dirty.is_some_and(|pool| pool.space.is_dirty()) {
                    return self.flush(lvm, pool, Some(key), out);
                }
                self.piece_done(now, lvm, key, out);
            }
            (Stage::Commit, None) => self.piece_done(now, lvm, key, out),
            (Stage::Data(op), None) => self.linear(now, lvm, key, volume, op, out),
            (Stage::Data(op), Some(pool)) => {
                self.thin(now, lvm, key, (volume, pool), op, out);
                self.piece_done_at_once(now, lvm, key, out, first);
            }
        }
    }

    /// The stage's own piece, which kept it from ending while its others were being made.
    fn piece_done_at_once(
        &mut self,
        now: SimTime,
        lvm: &mut Lvm,
        key: Key,
        out: &mut Vec<Effect<C>>,
        first: bool,
    ) {
        let Some(request) = self.requests.get_mut(key) else { return };
        if first && request.left == 1 {
            request.left = 0;
            return self.queue.push(now + AT_ONCE, Ev::Next(key));
        }
        self.piece_done(now, lvm, key, out);
    }

    fn piece_done(&mut self, now: SimTime, lvm: &mut Lvm, key: Key, out: &mut Vec<Effect<C>>) {
        let Some(request) = self.requests.get_mut(key) else { return };
        request.left = request.left.saturating_sub(1);
        if request.left == 0 {
            self.advance(now, lvm, key, out, false);
        }
    }

    fn fail(&mut self, key: Key, error: DiskError) {
        if let Some(request) = self.requests.get_mut(key) {
            request.error.get_or_insert(error);
        }
    }

    fn finish(&mut self, key: Key, out: &mut Vec<Effect<C>>) {
        let Some(request) = self.requests.remove(key) else { return };
        let Request { owner, kind, error, data, .. } = request;
        let result = error.map_or_else(|| Ok(data.into()), Err);
        out.push(Effect::Done { owner, kind, result });
    }

    fn below(&mut self, what: Below<C>, op: Op<C>, out: &mut Vec<Effect<C>>) {
        let key = self.below.insert(what);
        let number = u64::from(key.generation) << 32 | u64::from(key.slot);
        out.push(Effect::Disk { number, op });
    }

    /// One more piece of a request's stage.
    fn piece(&mut self, request: Key, at: usize, op: Op<C>, out: &mut Vec<Effect<C>>) {
        if let Some(of) = self.requests.get_mut(request) {
            of.left += 1;
        }
        self.below(Below::Piece { request, at }, op, out);
    }

    fn linear(
        &mut self,
        now: SimTime,
        lvm: &mut Lvm,
        key: Key,
        volume: VolumeId,
        op: Op<C>,
        out: &mut Vec<Effect<C>>,
    ) {
        let (start, count) = match &op {
            Op::Read { start, count } => (*start, u64::from(*count)),
            Op::Write { start, data, .. } => (*start, data.len() as u64),
            Op::Discard { start, count } => (*start, *count),
            Op::Flush => (0, 0),
        };
        let runs = lvm.home(volume).and_then(|group| {
            let VolumeKind::Linear(segments) = &group.volume(volume)?.kind else { return None };
            Some(group.map(segments, start, count))
        });
        if let (Op::Read { .. }, Some(request)) = (&op, self.requests.get_mut(key)) {
            request.data = vec![C::default(); count as usize];
        }
        let mut at = 0;
        for (place, len) in runs.unwrap_or_default() {
            let part = match &op {
                Op::Write { data, preflush, fua, .. } => Op::Write {
                    start: place,
                    data: data[at..at + len as usize].into(),
                    preflush: *preflush,
                    fua: *fua,
                },
                Op::Discard { .. } => Op::Discard { start: place, count: len },
                _ => Op::Read { start: place, count: len as u32 },
            };
            self.piece(key, at, part, out);
            at += len as usize;
        }
        self.piece_done(now, lvm, key, out);
    }

    /// The disk has answered.
    pub fn below_done(
        &mut self,
        now: SimTime,
        lvm: &mut Lvm,
        number: u64,
        result: Result<Arc<[C]>, DiskError>,
        out: &mut Vec<Effect<C>>,
    ) {
        let key = Key { slot: number as u32, generation: (number >> 32) as u32 };
        match self.below.remove(key) {
            None => {}
            Some(Below::Piece { request, at }) => {
                match (result, self.requests.get_mut(request)) {
                    (Err(error), _) => self.fail(request, error),
                    (Ok(read), Some(of)) if of.kind == Kind::Read => {
                        for (to, from) in of.data.iter_mut().skip(at).zip(read.iter()) {
                            *to = from.clone();
                        }
                    }
                    _ => {}
                }
                self.piece_done(now, lvm, request, out);
            }
            Some(Below::Copy { write, chunk }) => {
                self.copied(now, lvm, write, chunk, result, out);
            }
            Some(Below::Fill { write, chunk }) => {
                self.filled(now, lvm, write, chunk, result.err(), out);
            }
            Some(Below::Flush { pool, metadata }) => {
                self.flushed(now, lvm, pool, metadata, result.err(), out);
            }
        }
    }

    /// When [`Dm::run_due`] wants to be called next.
    pub fn next_due(&self) -> Option<SimTime> {
        self.queue.next_due()
    }

    /// Does all that is due at or before `now`.
    pub fn run_due(&mut self, now: SimTime, lvm: &mut Lvm, out: &mut Vec<Effect<C>>) {
        while let Some((at, event)) = self.queue.pop_due(now) {
            match event {
                Ev::Next(key) => self.advance(at, lvm, key, out, false),
                Ev::Refused(write, error) => self.give_up(at, lvm, *write, error, out),
                Ev::Commit(pool) => self.commit_is_due(lvm, pool, out),
                Ev::NoSpace(pool, since) => self.no_space(at, lvm, pool, since, out),
            }
        }
    }

    /// A command has changed something: what waits for room is tried again.
    pub fn changed(&mut self, now: SimTime, lvm: &mut Lvm, out: &mut Vec<Effect<C>>) {
        let pools: Vec<VolumeId> = self.pools.keys().copied().collect();
        for pool in pools {
            self.room(now, lvm, pool, out);
        }
    }
}

/// What is done for a request. A linear volume hands its flags down to the disk.
fn stages<C>(op: Op<C>, thin: bool) -> VecDeque<Stage<C>> {
    match op {
        Op::Flush => [Stage::Flush].into(),
        Op::Write { start, data, preflush, fua } if thin => {
            let before = preflush.then_some(Stage::Flush);
            let write = Stage::Data(Op::Write { start, data, preflush: false, fua });
            let after = fua.then_some(Stage::Commit);
            before.into_iter().chain([write]).chain(after).collect()
        }
        op => [Stage::Data(op)].into(),
    }
}

//! Links between nodes: two ordered streams in each direction, which break, stall, and come back.

use drbd::core::event::LinkFault;
use drbd::ids::Time;
use drbd::packet::{Packet, Stream};
use std::collections::{BTreeMap, VecDeque};

/// The streams of a link.
pub const STREAMS: [Stream; 2] = [Stream::Data, Stream::Control];

/// What travels.
#[derive(Clone, Debug)]
pub enum Item {
    Packet(Packet),
    End(LinkFault),
}

/// From, to, and which of the two streams.
pub type PipeId = (usize, usize, Stream);

#[derive(Default)]
pub struct Pipe {
    /// When it arrives, and over which link.
    items: VecDeque<(Time, u64, Item)>,
    pub held: bool,
}

/// All pipes, and which of the pairs are cut or stand still.
#[derive(Default)]
pub struct Net {
    pipes: BTreeMap<PipeId, Pipe>,
    cut: BTreeMap<(usize, usize), bool>,
    silent: BTreeMap<(usize, usize), bool>,
    pub link_serial: u64,
    /// Pairs that are being connected.
    pub dials: BTreeMap<(usize, usize), Time>,
}

fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

impl Net {
    pub fn pipe(&mut self, id: PipeId) -> &mut Pipe {
        self.pipes.entry(id).or_default()
    }

    pub fn set_cut(&mut self, a: usize, b: usize, cut: bool) {
        self.cut.insert(pair(a, b), cut);
    }

    pub fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cut.get(&pair(a, b)).is_some_and(|cut| *cut)
    }

    pub fn set_silent(&mut self, a: usize, b: usize, silent: bool) {
        self.silent.insert(pair(a, b), silent);
    }

    pub fn push(&mut self, id: PipeId, due: Time, link: u64, item: Item) {
        let pipe = self.pipe(id);
        let due = pipe.items.back().map_or(due, |(last, ..)| due.max(*last));
        pipe.items.push_back((due, link, item));
    }

    /// Ends both streams of one direction; of what is on its way, the first `keep` still arrive.
    pub fn end(&mut self, from: usize, to: usize, now: Time, link: u64, keep: usize) {
        for stream in STREAMS {
            self.pipe((from, to, stream)).items.truncate(keep);
            self.push((from, to, stream), now, link, Item::End(LinkFault::Broken));
        }
    }

    /// Everything on the way from and to a node is lost.
    pub fn lose_all_to(&mut self, to: usize) {
        for (id, pipe) in &mut self.pipes {
            if id.1 == to {
                pipe.items.clear();
            }
        }
    }

    pub fn next_due(&self) -> Option<(Time, PipeId)> {
        let silent = |id: &PipeId| self.silent.get(&pair(id.0, id.1)).is_some_and(|on| *on);
        let open = self.pipes.iter().filter(|(id, pipe)| !pipe.held && !silent(id));
        open.filter_map(|(id, pipe)| Some((pipe.items.front()?.0, *id))).min()
    }

    pub fn first(&self, id: PipeId) -> Option<(u64, &Item)> {
        self.pipes.get(&id)?.items.front().map(|(_, link, item)| (*link, item))
    }

    /// The first item arrives at this time, and what is behind it not before.
    pub fn postpone(&mut self, id: PipeId, due: Time) {
        if let Some((at, ..)) = self.pipe(id).items.front_mut() {
            *at = due;
        }
    }

    pub fn pop(&mut self, id: PipeId) -> Option<(u64, Item)> {
        self.pipe(id).items.pop_front().map(|(_, link, item)| (link, item))
    }
}

//! A resync and writes to the blocks that it copies, in every order in which packets, disks and
//! applications can follow each other: no block is lost, and in the end the copies are the same.

use drbd::core::config::{Config, PeerConfig, VolumeConfig};
use drbd::core::event::{
    Action, Command, CommandId, Event, IoTag, LinkFault, Lower, Request, RequestId, one,
};
use drbd::core::{Resource, VolumeView};
use drbd::ids::{NodeId, Time, Uuid, VolumeNumber};
use drbd::packet::{Packet, Stream};
use drbd::page::Page;
use drbd::quirks::Quirks;
use drbd::state::{ConnState, DiskState, ReplState};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

const FIRST: Uuid = Uuid(0x1111_0000_0000_0000);
/// Blocks of a volume.
const SIZE: u64 = 128;
/// No exploration takes more.
const MAX_STATES: usize = 400_000;
/// No bound on the orders.
const EVERY: u32 = u32::MAX;

fn id(node: usize) -> NodeId {
    NodeId::new(node as u8).expect("a node id")
}

/// Something that may happen next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Choice {
    /// The first packet of this stream from this node arrives at the other.
    Packet(usize, bool),
    /// The oldest request of this node's disk is done.
    Disk(usize),
    /// The application writes its next block.
    Write,
}

impl Choice {
    /// The node whose engine it happens to.
    fn node(self) -> usize {
        match self {
            Choice::Packet(from, _) => 1 - from,
            Choice::Disk(node) => node,
            Choice::Write => 0,
        }
    }
}

/// A block of a volume.
type Place = (u16, u64);

/// What the resource is like.
#[derive(Clone, Copy, Debug)]
struct Shape {
    volumes: u16,
    /// Checksum-based resync.
    csums: bool,
    /// Thin resync, in pairs of blocks. What is to be resynced behind the first pair is zero.
    thin: bool,
}

/// One volume, and every block is sent.
const PLAIN: Shape = Shape { volumes: 1, csums: false, thin: false };

/// Two nodes, the first of which is Primary.
#[derive(Clone)]
struct Pair {
    shape: Shape,
    now: Time,
    engines: [Resource; 2],
    disks: [BTreeMap<Place, Page>; 2],
    ops: [VecDeque<(VolumeNumber, IoTag, Lower)>; 2],
    /// By sender: data and control stream.
    pipes: [[VecDeque<Packet>; 2]; 2],
    wakes: [Option<Time>; 2],
    wants: [bool; 2],
    linked: bool,
    cut: bool,
    /// Blocks that the application has yet to write.
    todo: VecDeque<Place>,
    written: u64,
    done: BTreeSet<u64>,
    /// What the blocks should hold in the end.
    expected: BTreeMap<Place, Page>,
    /// What happened at each node so far, in its order. With equal pasts of both nodes, everything
    /// is equal.
    past: [u64; 2],
}

fn config(node: usize, shape: Shape) -> Config {
    let other = 1 - node;
    let volume = VolumeConfig { size: SIZE, diskful: true };
    Config {
        volumes: vec![volume; usize::from(shape.volumes)],
        csums_alg: shape.csums.then(|| "crc32c".to_owned()),
        rs_discard_granularity: if shape.thin { 8_192 } else { 0 },
        peers: vec![PeerConfig { node: id(other), name: format!("host-{other}"), diskful: true }],
        al_extents: 7,
        max_peers: 1,
        ..Config::new("r0", id(node))
    }
}

fn is_metadata(lower: &Lower) -> bool {
    match lower {
        Lower::Write { start, .. } => *start >= SIZE,
        Lower::Read(at) => at.start >= SIZE,
        _ => true,
    }
}

/// Does its order matter to what is written and resynced? Whatever else is first in its stream
/// arrives at once.
fn is_data(packet: &Packet) -> bool {
    use Packet::*;
    let write = matches!(packet, Data { .. } | WriteAck { .. } | OutOfSync { .. });
    let request = matches!(packet, RsDataRequest { .. } | RsDataReply { .. } | RsWriteAck { .. });
    let request = request || matches!(packet, RsIsInSync { .. } | RsDeallocated { .. });
    let around = matches!(packet, Bitmap { .. } | FlushRequests { .. } | FlushRequestsAck { .. });
    write || request || around
}

impl Pair {
    fn new(shape: Shape) -> Pair {
        let configs = [config(0, shape), config(1, shape)];
        let volumes = || (0..shape.volumes).map(VolumeNumber);
        let lower = Resource::lower_blocks(SIZE, 1);
        let disks = configs.each_ref().map(|config| {
            let mut disk = BTreeMap::new();
            for volume in volumes() {
                for (start, pages) in Resource::create_md(config, volume, lower, Some(FIRST)) {
                    let blocks = (start..).map(|block| (volume.0, block));
                    disk.extend(blocks.zip(pages.iter().cloned()));
                }
            }
            disk
        });
        let mut pair = Pair {
            shape,
            now: Time(0),
            engines: [
                Resource::new(configs[0].clone(), 1, Quirks::default()),
                Resource::new(configs[1].clone(), 2, Quirks::default()),
            ],
            disks,
            ops: Default::default(),
            pipes: Default::default(),
            wakes: [None; 2],
            wants: [false; 2],
            linked: false,
            cut: false,
            todo: VecDeque::new(),
            written: 0,
            done: BTreeSet::new(),
            expected: BTreeMap::new(),
            past: [0; 2],
        };
        for node in 0..2 {
            for volume in volumes() {
                pair.event(node, Event::Command(CommandId(1), Command::Attach(volume, lower)));
            }
            pair.event(node, Event::Command(CommandId(2), Command::Connect(id(1 - node))));
        }
        pair.rest(10_000);
        volumes().for_each(|volume| pair.event(0, Event::Open(CommandId(3), volume, true)));
        pair.rest(3_000);
        pair
    }

    fn event(&mut self, node: usize, event: Event) {
        let mut actions = Vec::new();
        self.engines[node].step(self.now, event, &mut actions);
        let mut metadata = Vec::new();
        for action in actions {
            match action {
                Action::Lower(volume, tag, lower) if is_metadata(&lower) => {
                    metadata.push((volume, tag, lower));
                }
                Action::Send(_, packet) if self.linked => {
                    let control = usize::from(packet.stream() == Stream::Control);
                    self.pipes[node][control].push_back(packet);
                }
                Action::Link(_) => self.wants[node] = true,
                Action::Unlink(_) => {
                    self.wants[node] = false;
                    self.unlink(1 - node);
                }
                Action::Lower(volume, tag, lower) => {
                    self.ops[node].push_back((volume, tag, lower));
                }
                Action::Complete { id, result, .. } => {
                    assert!(result.is_ok(), "a write failed");
                    self.done.insert(id.0);
                }
                Action::WakeAt(at) => self.wakes[node] = at,
                _ => {}
            }
        }
        // What the order of these is good for, other tests look at (`crash.rs`).
        metadata.into_iter().for_each(|request| self.carry_out(node, request));
    }

    /// The link ends, as this node notices.
    fn unlink(&mut self, node: usize) {
        if std::mem::take(&mut self.linked) {
            self.pipes = Default::default();
            self.event(node, Event::LinkDown(id(1 - node), LinkFault::Closed));
        }
    }

    fn cut(&mut self) {
        self.cut = true;
        if std::mem::take(&mut self.linked) {
            self.pipes = Default::default();
            (0..2).for_each(|node| {
                self.event(node, Event::LinkDown(id(1 - node), LinkFault::Broken));
            });
        }
    }

    fn choices(&self) -> Vec<Choice> {
        let mut all = Vec::new();
        for (node, control) in [(0, false), (0, true), (1, false), (1, true)] {
            let first = self.pipes[node][usize::from(control)].front();
            if first.is_some_and(|packet| !is_data(packet)) {
                return vec![Choice::Packet(node, control)];
            }
        }
        for node in 0..2 {
            for control in [false, true] {
                if !self.pipes[node][usize::from(control)].is_empty() {
                    all.push(Choice::Packet(node, control));
                }
            }
            if !self.ops[node].is_empty() {
                all.push(Choice::Disk(node));
            }
        }
        if !self.todo.is_empty() {
            all.push(Choice::Write);
        }
        all
    }

    fn happen(&mut self, choice: Choice) {
        let node = choice.node();
        let mut hasher = DefaultHasher::new();
        (self.past[node], choice).hash(&mut hasher);
        self.past[node] = hasher.finish();
        match choice {
            Choice::Packet(from, control) => {
                if let Some(packet) = self.pipes[from][usize::from(control)].pop_front() {
                    self.event(node, Event::Packet(id(from), packet));
                }
            }
            Choice::Disk(_) => self.disk(node),
            Choice::Write => {
                if let Some(place) = self.todo.pop_front() {
                    self.write(place);
                }
            }
        }
    }

    fn write(&mut self, (volume, block): Place) {
        self.written += 1;
        let value = self.written;
        let zero = self.shape.thin && self.cut && block >= 2;
        let page = if zero { Page::Zero } else { Page::Stamp(value) };
        self.expected.insert((volume, block), page.clone());
        let payload = one(page);
        let request = Request::Write { start: block, payload, fua: false };
        self.event(0, Event::Submit(VolumeNumber(volume), RequestId(value), request));
    }

    fn disk(&mut self, node: usize) {
        if let Some(request) = self.ops[node].pop_front() {
            self.carry_out(node, request);
        }
    }

    fn carry_out(&mut self, node: usize, request: (VolumeNumber, IoTag, Lower)) {
        let (VolumeNumber(volume), tag, lower) = request;
        let disk = &mut self.disks[node];
        let pages = match lower {
            Lower::Read(at) => {
                let page = |block| disk.get(&(volume, block)).cloned().unwrap_or_default();
                Some(at.iter().map(page).collect())
            }
            Lower::Write { start, payload, .. } => {
                let blocks = (start..).map(|block| (volume, block));
                disk.extend(blocks.zip(payload.iter().cloned()));
                None
            }
            Lower::Discard(at) => {
                disk.extend(at.iter().map(|block| ((volume, block), Page::Zero)));
                None
            }
            Lower::Flush => None,
        };
        self.event(node, Event::LowerDone(tag, Ok(pages)));
    }

    /// Everything happens in the order in which it comes, until `ms` later.
    fn rest(&mut self, ms: u64) {
        let end = self.now.plus_ms(ms);
        loop {
            if let Some(choice) = self.choices().first() {
                self.happen(*choice);
                continue;
            }
            if !self.linked && !self.cut && self.wants == [true; 2] {
                self.linked = true;
                (0..2).for_each(|node| self.event(node, Event::LinkUp(id(1 - node))));
                continue;
            }
            let due = |node: &usize| self.wakes[*node].filter(|at| *at <= end);
            let Some(node) =
                (0..2).filter(|node| due(node).is_some()).min_by_key(|n| self.wakes[*n])
            else {
                break;
            };
            self.now = self.now.max(self.wakes[node].take().unwrap_or(self.now));
            self.event(node, Event::Wake);
        }
        self.now = end;
    }

    fn views(&self, node: usize) -> impl Iterator<Item = VolumeView> {
        let volumes = (0..self.shape.volumes).map(VolumeNumber);
        volumes.map(move |volume| self.engines[node].volume(volume).expect("the volume"))
    }

    fn bits(&self, node: usize) -> u64 {
        self.views(node).map(|view| view.peers[0].out_of_sync).sum()
    }

    /// Nothing is on its way any more: all is as it should be.
    fn check(&self, story: &dyn Fn() -> String) {
        for (node, view) in (0..2).flat_map(|node| self.views(node).map(move |view| (node, view))) {
            let (cstate, _) = self.engines[node].peer(id(1 - node));
            assert_eq!(
                (view.disk, cstate, view.peers[0].repl, view.peers[0].disk),
                (
                    DiskState::UpToDate,
                    ConnState::Connected,
                    ReplState::Established,
                    DiskState::UpToDate
                ),
                "n{node}: {}",
                story()
            );
            assert_eq!(view.peers[0].out_of_sync, 0, "n{node}: {}", story());
            for (place, expected) in &self.expected {
                let page = self.disks[node].get(place);
                assert_eq!(page, Some(expected), "n{node} {place:?}: {}", story());
            }
        }
        assert_eq!(self.done.len() as u64, self.written, "{}", story());
    }
}

/// A copy was away while `dirty` was written, and is back: the bitmap exchange is about to begin.
fn about_to_resync(dirty: &[Place], shape: Shape) -> Pair {
    let mut pair = Pair::new(shape);
    pair.cut();
    pair.rest(1_000);
    pair.todo = dirty.iter().copied().collect();
    pair.rest(1_000);
    assert_eq!(pair.bits(0), dirty.len() as u64);
    pair.cut = false;
    pair.linked = true;
    (0..2).for_each(|node| pair.event(node, Event::LinkUp(id(1 - node))));
    while pair.views(0).all(|view| view.peers[0].repl != ReplState::WFBitMapS) {
        let choice = pair.choices()[0];
        pair.happen(choice);
    }
    pair
}

/// Every order from here on, or those in which something is not served in its turn `bound` times at
/// most. From one state in `cuts` the link also breaks. Returns the states.
fn explore(start: &Pair, cuts: u64, bound: u32) -> usize {
    let mut seen = BTreeSet::new();
    let mut stack = vec![(start.clone(), Vec::new(), bound)];
    let mut ends = 0;
    while let Some((pair, path, left)) = stack.pop() {
        let story = || format!("after {path:?}");
        let choices = pair.choices();
        if choices.is_empty() {
            let mut last = pair.clone();
            last.rest(4_000);
            last.check(&story);
            ends += 1;
        }
        if cuts > 0 && (pair.past[0] ^ pair.past[1].rotate_left(7)) % cuts == 0 {
            let mut broken = pair.clone();
            broken.cut();
            broken.rest(100);
            broken.cut = false;
            broken.rest(4_000);
            broken.check(&|| format!("after {path:?} and a cut"));
        }
        for (turn, choice) in choices.into_iter().enumerate() {
            let Some(left) = left.checked_sub(u32::from(turn > 0)) else { break };
            let mut next = pair.clone();
            next.happen(choice);
            let key = if bound == EVERY { 0 } else { left };
            if seen.insert((next.past, next.todo.len(), key)) {
                let mut longer: Vec<Choice> = path.clone();
                longer.push(choice);
                stack.push((next, longer, left));
            }
        }
        assert!(seen.len() < MAX_STATES, "too many states");
    }
    assert!(ends > 0);
    seen.len()
}

fn all(dirty: &[&[u64]], writes: &[&[u64]], cuts: u64, bound: u32) {
    shaped(PLAIN, dirty, writes, cuts, bound);
}

/// As above; in the second half of the blocks of a resource with two volumes lies the second one.
fn shaped(shape: Shape, dirty: &[&[u64]], writes: &[&[u64]], cuts: u64, bound: u32) {
    let places = |blocks: &[u64]| -> Vec<Place> {
        blocks.iter().map(|block| ((block / SIZE) as u16, block % SIZE)).collect()
    };
    let mut states = 0;
    for blocks in dirty {
        for todo in writes {
            let mut pair = about_to_resync(&places(blocks), shape);
            pair.todo = places(todo).into();
            states += explore(&pair, cuts, bound);
        }
    }
    assert!(states > 1_000, "{states} states");
}

/// Goal: see above. Topology: a Primary and a copy that was away. Method: one to three blocks that
/// lie in one request; a write to each of them, or none, in every order.
#[test]
fn one_request_and_one_write() {
    all(&[&[0], &[0, 1], &[0, 1, 2]], &[&[], &[0], &[1], &[2]], 7, EVERY);
}

/// As above, with blocks that are requested one by one: every order that leaves the usual one four
/// times at most.
#[test]
fn three_requests_and_one_write() {
    all(&[&[0, 40], &[0, 40, 80]], &[&[0], &[40], &[80]], 41, 4);
}

/// As above, with two writes, also to the same block.
#[test]
fn two_writes() {
    all(&[&[0], &[0, 1, 2]], &[&[0, 0], &[1, 0], &[2, 40]], 41, 4);
}

/// As above, with a write to each of the three blocks.
#[test]
fn three_writes() {
    all(&[&[0, 1, 2], &[0, 40, 80]], &[&[0, 1, 2], &[80, 40, 0]], 41, 3);
}

/// As above, with checksum-based resync: the target reads its own blocks, too.
#[test]
fn digests_and_one_write() {
    let shape = Shape { csums: true, ..PLAIN };
    shaped(shape, &[&[0], &[0, 1, 2]], &[&[], &[0], &[1]], 13, 5);
}

/// As above, with thin resync: pairs of blocks are asked for, and one of them, which is zero, is
/// discarded.
#[test]
fn thin_requests_and_one_write() {
    let shape = Shape { thin: true, ..PLAIN };
    shaped(shape, &[&[0, 1], &[0, 1, 2, 3]], &[&[0], &[1], &[2]], 13, 4);
}

/// As above, with two volumes, whose writes share epochs and positions in one stream: a write to
/// either, or to both.
#[test]
fn two_volumes_and_two_writes() {
    let shape = Shape { volumes: 2, ..PLAIN };
    let second = SIZE;
    let writes: [&[u64]; 3] = [&[0, second], &[second, 0], &[second, second]];
    shaped(shape, &[&[0, second], &[0, 1, second]], &writes, 41, 3);
}

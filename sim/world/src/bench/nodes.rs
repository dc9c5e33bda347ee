//! Engines in memory, for measuring the engine alone: packets arrive at once and in order, disks
//! are arrays that answer at once, and time passes only when nothing else is left to do.

use drbd::core::Resource;
use drbd::core::config::{Config, PeerConfig, PeerDeviceOptions, VolumeConfig};
use drbd::core::event::{Action, Command, CommandId, Event, IoTag, Lower, Request, RequestId, one};
use drbd::ids::{Blocks, NodeId, Time, Uuid, VolumeNumber};
use drbd::page::{Page, Payload};
use drbd::quirks::Quirks;
use std::collections::{BTreeSet, VecDeque};

/// The only volume.
pub const V: VolumeNumber = VolumeNumber(0);
const FIRST: Uuid = Uuid(0x1111_0000_0000_0000);

/// The engines of one resource, and what lies between them.
pub struct Nodes {
    /// One for each node; node ids count from 0.
    pub engines: Vec<Resource>,
    disks: Vec<Disk>,
    queue: VecDeque<(usize, Event)>,
    wants: BTreeSet<(usize, usize)>,
    wakes: Vec<Option<Time>>,
    now: Time,
    out: Vec<Action>,
    serial: u64,
    /// Application requests that succeeded.
    pub done: u64,
    /// Requests and commands that did not.
    pub refused: u64,
    /// Blocks written to lower devices below the metadata.
    pub written: u64,
    data_blocks: u64,
    /// Disks keep nothing of what is written: where memory is measured, it is the engine's.
    pub forgetful: bool,
}

/// A node id by its number.
pub fn id(node: usize) -> NodeId {
    NodeId::new(node as u8).expect("fewer than 32 nodes")
}

/// What every node of a resource of `copies` copies and `blocks` blocks is told.
pub fn configs(copies: usize, blocks: u64) -> Vec<Config> {
    let peer =
        |node: usize| PeerConfig { node: id(node), name: format!("host-{node}"), diskful: true };
    let config = |own: usize| Config {
        volumes: vec![VolumeConfig { size: blocks, diskful: true }],
        peers: (0..copies).filter(|other| *other != own).map(peer).collect(),
        // As fast as it goes: what is measured is CPU time.
        peer_device: PeerDeviceOptions {
            plan_ahead: 0,
            resync_rate_kib: 4 << 20,
            min_rate_kib: 0,
            ..PeerDeviceOptions::default()
        },
        max_buffers: 131_072,
        ..Config::new("bench", id(own))
    };
    (0..copies).map(config).collect()
}

impl Nodes {
    /// Engines whose copies are the same, but for those of the nodes from `fresh` on: these hold
    /// nothing yet. Attached, and connected if there is more than one.
    pub fn new(configs: Vec<Config>, fresh: usize) -> Nodes {
        let count = configs.len();
        let blocks = configs[0].volumes[0].size;
        let mut nodes = Nodes {
            engines: Vec::new(),
            disks: Vec::new(),
            queue: VecDeque::new(),
            wants: BTreeSet::new(),
            wakes: vec![None; count],
            now: Time(0),
            out: Vec::new(),
            serial: 0,
            done: 0,
            refused: 0,
            written: 0,
            data_blocks: blocks,
            forgetful: false,
        };
        for (n, config) in configs.into_iter().enumerate() {
            let lower = Resource::lower_blocks(blocks, config.max_peers);
            let uuid = (n < fresh).then_some(FIRST);
            let mut disk = Disk::new(lower);
            for (start, pages) in Resource::create_md(&config, V, lower, uuid) {
                disk.put(start, &pages);
            }
            nodes.disks.push(disk);
            let peers: Vec<NodeId> = config.peers.iter().map(|peer| peer.node).collect();
            nodes.engines.push(Resource::new(config, n as u64 + 1, Quirks::default()));
            nodes.command(n, Command::Attach(V, lower));
            for peer in peers {
                nodes.command(n, Command::Connect(peer));
            }
        }
        nodes
    }

    /// Gives a command, without waiting for its answer.
    pub fn command(&mut self, n: usize, command: Command) {
        self.serial += 1;
        self.queue.push_back((n, Event::Command(CommandId(self.serial), command)));
    }

    /// Node 0 becomes Primary and has the volume open for writing.
    pub fn promote(&mut self) {
        self.command(0, Command::Primary(false));
        self.settle();
        self.serial += 1;
        self.queue.push_back((0, Event::Open(CommandId(self.serial), V, true)));
        self.settle();
    }

    /// Writes one block at node 0.
    pub fn write(&mut self, block: u64) {
        self.serial += 1;
        let payload = one(Page::Stamp(self.serial));
        let request = Request::Write { start: block, payload, fua: false };
        self.queue.push_back((0, Event::Submit(V, RequestId(self.serial), request)));
    }

    /// Carries out what is to do at this moment.
    pub fn run(&mut self) {
        while let Some((n, event)) = self.queue.pop_front() {
            let mut out = std::mem::take(&mut self.out);
            self.engines[n].step(self.now, event, &mut out);
            for action in out.drain(..) {
                self.carry_out(n, action);
            }
            self.out = out;
        }
    }

    /// The next moment at which an engine wants to be woken. `false`: none does.
    pub fn tick(&mut self) -> bool {
        self.run();
        let next = (0..self.engines.len()).filter_map(|n| self.wakes[n].map(|at| (at, n))).min();
        let Some((at, n)) = next else { return false };
        self.now = self.now.max(at);
        self.wakes[n] = None;
        self.queue.push_back((n, Event::Wake));
        self.run();
        true
    }

    /// Two seconds pass: handshakes are over, peer acks are sent.
    pub fn settle(&mut self) {
        let end = self.now.plus_ms(2_000);
        self.run();
        while self.wakes.iter().flatten().any(|at| *at <= end) && self.tick() {}
        self.now = self.now.max(end);
    }

    fn carry_out(&mut self, n: usize, action: Action) {
        match action {
            Action::Send(peer, packet) => {
                self.queue.push_back((peer.index(), Event::Packet(id(n), packet)));
            }
            Action::Link(peer) => {
                self.wants.insert((n, peer.index()));
                if self.wants.contains(&(peer.index(), n)) {
                    self.queue.push_back((n, Event::LinkUp(peer)));
                    self.queue.push_back((peer.index(), Event::LinkUp(id(n))));
                }
            }
            Action::Unlink(peer) => {
                self.wants.remove(&(n, peer.index()));
            }
            Action::Lower(_, tag, lower) => self.lower(n, tag, lower),
            Action::Complete { result, .. } => match result {
                Ok(_) => self.done += 1,
                Err(_) => self.refused += 1,
            },
            Action::Reply(_, result) => self.refused += u64::from(result.is_err()),
            Action::WakeAt(at) => self.wakes[n] = at,
            // No handler is configured.
            Action::Call { .. } | Action::Notice(_) => {}
        }
    }

    fn lower(&mut self, n: usize, tag: IoTag, lower: Lower) {
        let mut pages = None;
        match lower {
            Lower::Read(at) => pages = Some(self.disks[n].get(at)),
            Lower::Write { start, payload, .. } => {
                self.written += if start < self.data_blocks { payload.len() as u64 } else { 0 };
                if !self.forgetful {
                    self.disks[n].put(start, &payload);
                }
            }
            Lower::Discard(at) => {
                at.iter().for_each(|block| self.disks[n].put(block, &[Page::Zero]));
            }
            Lower::Flush => {}
        }
        self.queue.push_back((n, Event::LowerDone(tag, Ok(pages))));
    }
}

/// A lower device: an array, of which there is what was written.
struct Disk(Vec<Option<Box<[Page; Disk::RUN]>>>);

impl Disk {
    /// Blocks that come into being together.
    const RUN: usize = 1_024;

    fn new(blocks: u64) -> Disk {
        let runs = blocks.div_ceil(Disk::RUN as u64) as usize;
        Disk(std::iter::repeat_with(|| None).take(runs).collect())
    }

    fn get(&self, at: Blocks) -> Payload {
        let page = |block: u64| {
            let (run, place) = (block as usize / Disk::RUN, block as usize % Disk::RUN);
            self.0[run].as_ref().map_or(Page::Zero, |run| run[place].clone())
        };
        at.iter().map(page).collect()
    }

    fn put(&mut self, start: u64, pages: &[Page]) {
        for (block, page) in (start as usize..).zip(pages) {
            let run = &mut self.0[block / Disk::RUN];
            if run.is_some() || *page != Page::Zero {
                let run = run.get_or_insert_with(|| Box::new([const { Page::Zero }; Disk::RUN]));
                run[block % Disk::RUN] = page.clone();
            }
        }
    }
}

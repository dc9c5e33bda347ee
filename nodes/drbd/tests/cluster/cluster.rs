//! Nodes in memory: engines, their disks, the links between them, one virtual clock.

use crate::disk::{Disk, Loss};
use crate::luck::Luck;
use crate::net::{Item, Net, PipeId, STREAMS};
use drbd::core::Resource;
use drbd::core::config::{Config, PeerConfig, Quorum, VolumeConfig};
use drbd::core::event::{
    Action, CallId, Command, CommandId, Event, Handler, LinkFault, Lower, LowerResult, Notice,
    Refusal, RequestId,
};
use drbd::ids::{Blocks, NodeId, NodeMask, Time, Uuid, VolumeNumber};
use drbd::meta::{Layout, Superblock};
use drbd::packet::Packet;
use drbd::quirks::Quirks;
use std::collections::{BTreeMap, BTreeSet};

/// Blocks of the volume: four extents of the activity log.
pub const SIZE: u64 = 4096;
/// The only volume, or the first.
pub const V: VolumeNumber = VolumeNumber(0);
/// The generation that every copy starts with.
pub const FIRST: Uuid = Uuid(0x1111_0000_0000_0000);

const PACKET_NS: u64 = 100_000;
const DISK_NS: u64 = 50_000;
const DIAL_MS: u64 = 200;
/// No run takes more.
const MAX_STEPS: u64 = 300_000;

/// How a request ended.
#[derive(Clone, PartialEq, Debug)]
pub struct Done {
    pub result: LowerResult,
    pub copies: NodeMask,
}

/// One node.
pub struct Node {
    pub config: Config,
    pub engine: Option<Resource>,
    pub disk: Disk,
    pub lower_blocks: u64,
    /// Blocks of it that its metadata is at the end of.
    pub metadata_end: u64,
    pub wake: Option<Time>,
    pub boots: u64,
    pub wants: BTreeSet<usize>,
    /// Live links: peer, serial number of the link.
    pub links: BTreeMap<usize, u64>,
    pub done: BTreeMap<RequestId, Done>,
    pub replies: BTreeMap<CommandId, Result<(), Refusal>>,
    pub notices: Vec<Notice>,
    /// What a handler answers, and after how many ms.
    pub answers: BTreeMap<Handler, (u64, u8)>,
    /// Handlers that run.
    pub calls: BTreeMap<(Time, CallId), u8>,
}

/// The cluster.
pub struct Cluster {
    pub now: Time,
    pub nodes: Vec<Node>,
    pub net: Net,
    pub luck: Luck,
    /// Latencies vary by so much.
    pub jitter_ns: u64,
    pub last_busy: Time,
    pub serial: u64,
    /// Steps carried out.
    pub steps: u64,
    /// Packets delivered to an engine.
    pub delivered: u64,
    /// Blocks that arrived at a node by resync.
    pub resynced: BTreeMap<usize, u64>,
    /// The links of a packet break in place of its delivery, when this many were delivered.
    pub break_at: Option<u64>,
    /// What happens to the packet of a two-phase commit that comes after so many others.
    pub spoil: Option<(u64, Spoil)>,
    /// Packets of two-phase commits that arrived.
    pub transactions: u64,
    pub trace: bool,
}

/// What may happen to one packet. (No TCP stream does the first or the last two; what must not
/// happen is not to lock the nodes up either.)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spoil {
    /// It does not arrive, and nobody notices.
    Lost,
    /// Its connection breaks in its place.
    Broken,
    /// It and what is behind it arrive this much later.
    Late(u64),
    /// It arrives twice.
    Twice,
    /// It arrives once more, behind what was sent after it.
    Again,
}

/// The id of a node by its number.
pub fn id(node: usize) -> NodeId {
    NodeId::new(node as u8).expect("a node id")
}

/// Configurations of a cluster whose nodes have a disk or not, with quorum majority.
pub fn configs(diskful: &[bool]) -> Vec<Config> {
    let peer = |node: usize| PeerConfig {
        node: id(node),
        name: format!("host-{node}"),
        diskful: diskful[node],
    };
    let all = 0..diskful.len();
    all.clone()
        .map(|own| Config {
            volumes: vec![VolumeConfig { size: SIZE, diskful: diskful[own] }],
            peers: all.clone().filter(|other| *other != own).map(peer).collect(),
            quorum: Quorum::Majority,
            ..Config::new("r0", id(own))
        })
        .collect()
}

/// The lower devices of a node's volumes lie one behind the other on its disk.
fn shifted(lower: Lower, by: u64) -> Lower {
    match lower {
        Lower::Read(at) => Lower::Read(Blocks::new(at.start + by, at.count)),
        Lower::Discard(at) => Lower::Discard(Blocks::new(at.start + by, at.count)),
        Lower::Write { start, payload, preflush, fua } => {
            Lower::Write { start: start + by, payload, preflush, fua }
        }
        Lower::Flush => Lower::Flush,
    }
}

impl Cluster {
    /// Nodes without power; the copies are all the same.
    pub fn new(configs: Vec<Config>) -> Cluster {
        let nodes = configs.into_iter().map(Node::new).collect();
        Cluster {
            now: Time(0),
            nodes,
            net: Net::default(),
            luck: Luck(1),
            jitter_ns: 0,
            last_busy: Time(0),
            serial: 0,
            steps: 0,
            delivered: 0,
            resynced: BTreeMap::new(),
            break_at: None,
            spoil: None,
            transactions: 0,
            trace: false,
        }
    }

    // ---- events in, actions out ----

    pub fn event(&mut self, n: usize, event: Event) {
        if self.trace {
            println!("{:>12} n{n} <- {event:?}", self.now.0 / 1000);
        }
        let now = self.now;
        let Some(engine) = &mut self.nodes[n].engine else { return };
        let mut actions = Vec::new();
        engine.step(now, event, &mut actions);
        for action in actions {
            self.carry_out(n, action);
        }
    }

    fn carry_out(&mut self, n: usize, action: Action) {
        if self.trace && !matches!(action, Action::WakeAt(_)) {
            println!("{:>12} n{n}    {action:?}", self.now.0 / 1000);
        }
        let node = &mut self.nodes[n];
        match action {
            Action::Send(peer, packet) => self.send(n, peer.index(), packet),
            Action::Link(peer) => {
                node.wants.insert(peer.index());
            }
            Action::Unlink(peer) => self.unlink(n, peer.index()),
            Action::Lower(volume, tag, lower) => {
                let shift = volume.index() as u64 * node.lower_blocks;
                let due = self.later(DISK_NS);
                self.nodes[n].disk.submit(due, tag, shifted(lower, shift));
            }
            Action::Complete { id, result, copies, .. } => {
                node.done.insert(id, Done { result, copies });
            }
            Action::Reply(id, result) => {
                node.replies.insert(id, result);
            }
            Action::Call { id, handler, .. } => {
                let (ms, exit) = node.answers[&handler];
                node.calls.insert((self.now.plus_ms(ms), id), exit);
            }
            Action::WakeAt(at) => node.wake = at,
            Action::Notice(notice) => node.notices.push(notice),
        }
        self.dial();
    }

    fn later(&mut self, ns: u64) -> Time {
        let jitter = if self.jitter_ns == 0 { 0 } else { self.luck.below(self.jitter_ns) };
        Time(self.now.0 + ns + jitter)
    }

    fn send(&mut self, from: usize, to: usize, packet: Packet) {
        let due = self.later(PACKET_NS);
        if let Some(link) = self.nodes[from].links.get(&to) {
            self.net.push((from, to, packet.stream()), due, *link, Item::Packet(packet));
        }
    }

    /// What was sent before still travels, the end behind it.
    fn unlink(&mut self, n: usize, peer: usize) {
        self.nodes[n].wants.remove(&peer);
        if let Some(link) = self.nodes[n].links.remove(&peer) {
            let due = self.later(PACKET_NS);
            for stream in STREAMS {
                self.net.push((n, peer, stream), due, link, Item::End(LinkFault::Closed));
            }
        }
    }

    // ---- links ----

    fn may_link(&self, a: usize, b: usize) -> bool {
        let ready = |own: usize, other: usize| {
            let node = &self.nodes[own];
            let free = !node.links.contains_key(&other);
            node.engine.is_some() && node.wants.contains(&other) && free
        };
        !self.net.is_cut(a, b) && ready(a, b) && ready(b, a)
    }

    /// Starts to connect whoever may be.
    pub fn dial(&mut self) {
        for b in 0..self.nodes.len() {
            for a in 0..b {
                if self.may_link(a, b) && !self.net.dials.contains_key(&(a, b)) {
                    self.net.dials.insert((a, b), self.now.plus_ms(DIAL_MS));
                }
            }
        }
    }

    fn dialled(&mut self, a: usize, b: usize) {
        self.net.dials.remove(&(a, b));
        if !self.may_link(a, b) {
            return;
        }
        self.net.link_serial += 1;
        let link = self.net.link_serial;
        self.nodes[a].links.insert(b, link);
        self.nodes[b].links.insert(a, link);
        self.event(b, Event::LinkUp(id(a)));
        self.event(a, Event::LinkUp(id(b)));
    }

    /// Both ends of a link break; of what is on its way in each stream, `keep` packets arrive.
    pub fn break_link(&mut self, a: usize, b: usize, keep: usize) {
        for (from, to) in [(a, b), (b, a)] {
            if let Some(link) = self.nodes[to].links.get(&from).copied() {
                self.net.end(from, to, self.now, link, keep);
            }
        }
    }

    // ---- power ----

    /// Power on: attach, connect to everybody.
    pub fn boot(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        assert!(node.engine.is_none(), "n{n} runs already");
        node.boots += 1;
        let luck = (n as u64) << 32 | node.boots;
        node.engine = Some(Resource::new(node.config.clone(), luck, Quirks::default()));
        let peers: Vec<NodeId> = node.config.peers.iter().map(|peer| peer.node).collect();
        let volumes = node.config.volumes.clone();
        for (number, _) in (0u16..).zip(&volumes).filter(|(_, volume)| volume.diskful) {
            self.attach(n, VolumeNumber(number));
        }
        for peer in peers {
            self.command(n, Command::Connect(peer));
        }
    }

    /// The plug is pulled. Of what is on its way from it, `keep` packets of each stream arrive.
    pub fn power_loss(&mut self, n: usize, loss: Loss, keep: usize) {
        for peer in 0..self.nodes.len() {
            if let Some(link) = self.nodes[peer].links.get(&n).copied() {
                self.net.end(n, peer, self.now, link, keep);
            }
        }
        self.net.lose_all_to(n);
        let node = &mut self.nodes[n];
        node.engine = None;
        node.wake = None;
        node.wants.clear();
        node.links.clear();
        node.calls.clear();
        node.disk.power_loss(loss);
    }

    /// As drbdadm does: of a lower device that has grown since, the metadata is where it was, or
    /// where it was moved to.
    pub fn attach(&mut self, n: usize, volume: VolumeNumber) -> CommandId {
        let node = &mut self.nodes[n];
        let layout = Layout::new(node.lower_blocks, node.config.max_peers);
        let found = Superblock::decode(&node.disk.peek(layout.superblock()).bytes(), &layout);
        if found.is_ok() {
            node.metadata_end = node.lower_blocks;
        }
        let (end, blocks) = (node.metadata_end, node.lower_blocks);
        self.event(n, Event::LowerResized(volume, blocks));
        self.command(n, Command::Attach(volume, end))
    }

    pub fn command(&mut self, n: usize, command: Command) -> CommandId {
        self.serial += 1;
        let id = CommandId(self.serial);
        self.event(n, Event::Command(id, command));
        id
    }

    // ---- time ----

    /// When something happens next.
    pub fn next_due(&self) -> Option<Time> {
        let disks = self.nodes.iter().filter_map(|node| node.disk.next_due());
        let wakes = self.nodes.iter().filter_map(|node| node.wake);
        let dials = self.net.dials.values().copied();
        let calls =
            self.nodes.iter().filter_map(|node| node.calls.keys().next().map(|(at, _)| *at));
        let next = disks
            .chain(wakes)
            .chain(calls)
            .chain(dials)
            .chain(self.net.next_due().map(|(at, _)| at));
        next.min()
    }

    /// The next thing happens, if there is one until `end`.
    pub fn step(&mut self, end: Time) -> bool {
        let Some(due) = self.next_due().filter(|due| *due <= end) else {
            self.now = self.now.max(end);
            return false;
        };
        self.steps += 1;
        assert!(self.steps < MAX_STEPS, "no end: {:?}", self.net.next_due());
        self.now = self.now.max(due);
        if let Some(n) = (0..self.nodes.len()).find(|n| self.nodes[*n].disk.next_due() == Some(due))
        {
            self.last_busy = self.now;
            if let Some((tag, result)) = self.nodes[n].disk.complete_next() {
                self.event(n, Event::LowerDone(tag, result));
            }
        } else if let Some((_, pipe)) = self.net.next_due().filter(|(at, _)| *at == due) {
            self.deliver(pipe);
        } else if let Some((a, b)) = self.dial_due(due) {
            self.last_busy = self.now;
            self.dialled(a, b);
        } else if let Some((n, id, exit)) = self.call_due(due) {
            self.last_busy = self.now;
            self.event(n, Event::Called(id, exit));
        } else if let Some(n) = (0..self.nodes.len()).find(|n| self.nodes[*n].wake == Some(due)) {
            self.nodes[n].wake = None;
            self.event(n, Event::Wake);
        }
        true
    }

    fn call_due(&mut self, due: Time) -> Option<(usize, CallId, u8)> {
        let first = |node: &Node| node.calls.keys().next().filter(|(at, _)| *at == due).copied();
        let n = self.nodes.iter().position(|node| first(node).is_some())?;
        let ((_, id), exit) = self.nodes[n].calls.pop_first()?;
        Some((n, id, exit))
    }

    fn dial_due(&self, due: Time) -> Option<(usize, usize)> {
        self.net.dials.iter().find(|(_, at)| **at == due).map(|(pair, _)| *pair)
    }

    /// Happens something else to the first item of a pipe than that it arrives?
    fn spoils(&mut self, pipe: PipeId) -> bool {
        let Some((link, Item::Packet(packet))) = self.net.first(pipe) else { return false };
        let twopc = matches!(
            packet,
            Packet::TwopcPrepare(_)
                | Packet::TwopcVote(..)
                | Packet::TwopcCommit(_)
                | Packet::TwopcAbort(_)
        );
        if !twopc {
            return false;
        }
        let spoil = self.spoil.filter(|(at, _)| *at == self.transactions);
        self.transactions += 1;
        let Some((_, spoil)) = spoil else { return false };
        self.spoil = None;
        let (from, to, _) = pipe;
        let (packet, now) = (packet.clone(), self.now);
        match spoil {
            Spoil::Lost => drop(self.net.pop(pipe)),
            Spoil::Broken => self.break_link(from, to, 0),
            Spoil::Late(ms) => self.net.postpone(pipe, now.plus_ms(ms)),
            Spoil::Twice => self.event(to, Event::Packet(id(from), packet)),
            Spoil::Again => self.net.push(pipe, now.plus_ms(20), link, Item::Packet(packet)),
        }
        !matches!(spoil, Spoil::Twice | Spoil::Again)
    }

    /// The first item of a pipe arrives.
    pub fn deliver(&mut self, pipe: PipeId) {
        let (from, to, _) = pipe;
        if self.spoils(pipe) {
            return;
        }
        let Some((link, item)) = self.net.pop(pipe) else { return };
        if self.nodes[to].links.get(&from) != Some(&link) {
            return;
        }
        if self.break_at == Some(self.delivered) {
            self.break_at = None;
            return self.break_link(from, to, 0);
        }
        match item {
            Item::Packet(packet) => {
                self.delivered += 1;
                if let Packet::RsDataReply { payload, .. } = &packet {
                    *self.resynced.entry(to).or_default() += payload.len() as u64;
                }
                if !matches!(packet, Packet::Ping | Packet::PingAck) {
                    self.last_busy = self.now;
                }
                self.event(to, Event::Packet(id(from), packet));
            }
            Item::End(fault) => {
                self.last_busy = self.now;
                self.nodes[to].links.remove(&from);
                self.event(to, Event::LinkDown(id(from), fault));
                self.dial();
            }
        }
    }
}

impl Node {
    fn new(config: Config) -> Node {
        let lower_blocks = Resource::lower_blocks(SIZE, config.max_peers);
        let mut disk = Disk::default();
        for (number, _) in (0u16..).zip(&config.volumes).filter(|(_, volume)| volume.diskful) {
            let shift = u64::from(number) * lower_blocks;
            let runs =
                Resource::create_md(&config, VolumeNumber(number), lower_blocks, Some(FIRST));
            disk.format(runs.into_iter().map(|(start, pages)| (start + shift, pages)).collect());
        }
        Node {
            config,
            engine: None,
            disk,
            lower_blocks,
            metadata_end: lower_blocks,
            wake: None,
            boots: 0,
            wants: BTreeSet::new(),
            links: BTreeMap::new(),
            done: BTreeMap::new(),
            replies: BTreeMap::new(),
            notices: Vec::new(),
            answers: BTreeMap::new(),
            calls: BTreeMap::new(),
        }
    }
}

//! What tests say: write, read, flush, promote, cut, mend, boot; and what they look at.

use crate::cluster::{Cluster, Done, SIZE, V, configs, id};
use crate::disk::Loss;
use crate::net::PipeId;
use drbd::core::Resource;
use drbd::core::event::{Command, CommandId, Event, Notice, Refusal, Request, RequestId, one};
use drbd::core::{PeerView, VolumeView};
use drbd::ids::{Blocks, NodeMask, Time, Uuid, VolumeNumber};
use drbd::meta::{Layout, Superblock};
use drbd::page::Page;
use drbd::state::{ConnState, DiskState, ReplState, Role};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Nothing takes longer.
const LIMIT_MS: u64 = 300_000;
/// Nothing but pings for so long: the cluster is idle.
pub const IDLE_MS: u64 = 8_000;

/// Nodes with or without a disk, connected and idle.
#[track_caller]
pub fn up(diskful: &[bool]) -> Cluster {
    let mut c = Cluster::new(configs(diskful));
    (0..diskful.len()).for_each(|n| c.boot(n));
    c.settle();
    c.assert_all_good();
    c
}

impl Cluster {
    // ---- time ----

    /// Until this holds.
    #[track_caller]
    pub fn until(&mut self, what: &str, holds: impl Fn(&Cluster) -> bool) {
        let end = self.now.plus_ms(LIMIT_MS);
        while !holds(self) {
            let step = self.next_due().unwrap_or(end).min(end);
            assert!(self.step(step) && self.now < end, "never {what}:\n{}", self.status());
        }
    }

    /// For so long.
    pub fn run_ms(&mut self, ms: u64) {
        let end = self.now.plus_ms(ms);
        while self.step(end) {}
    }

    /// Until nothing happens any more but pings.
    #[track_caller]
    pub fn settle(&mut self) {
        let end = self.now.plus_ms(LIMIT_MS);
        self.last_busy = self.now;
        while self.now < self.last_busy.plus_ms(IDLE_MS) {
            let step = self.last_busy.plus_ms(IDLE_MS);
            self.step(step);
            assert!(self.now < end, "never idle:\n{}", self.status());
        }
    }

    // ---- applications and administrators ----

    fn request(&mut self, n: usize, request: Request) -> RequestId {
        self.request_on(n, V, request)
    }

    fn request_on(&mut self, n: usize, volume: VolumeNumber, request: Request) -> RequestId {
        self.serial += 1;
        let id = RequestId(self.serial);
        self.event(n, Event::Submit(volume, id, request));
        id
    }

    /// Submits a write of one block of any volume.
    pub fn write_on(
        &mut self,
        n: usize,
        volume: VolumeNumber,
        block: u64,
        value: u64,
    ) -> RequestId {
        let payload = one(Page::Stamp(value));
        self.request_on(n, volume, Request::Write { start: block, payload, fua: false })
    }

    /// What the lower device of any volume holds.
    pub fn data_of(&self, n: usize, volume: VolumeNumber, block: u64) -> Page {
        let shift = volume.index() as u64 * self.nodes[n].lower_blocks;
        self.nodes[n].disk.peek(block + shift)
    }

    /// Submits a write of one block.
    pub fn write(&mut self, n: usize, block: u64, value: u64) -> RequestId {
        let payload = one(Page::Stamp(value));
        self.request(n, Request::Write { start: block, payload, fua: false })
    }

    /// Submits an empty flush.
    pub fn flush(&mut self, n: usize) -> RequestId {
        self.request(n, Request::Flush)
    }

    /// Discards so many blocks and waits for success.
    #[track_caller]
    pub fn discard(&mut self, n: usize, start: u64, count: u32) {
        let request = self.request(n, Request::Discard(Blocks::new(start, count)));
        assert!(self.wait(n, request).result.is_ok(), "discard failed:\n{}", self.status());
    }

    pub fn done(&self, n: usize, id: RequestId) -> Option<&Done> {
        self.nodes[n].done.get(&id)
    }

    /// Waits for the completion of a request.
    #[track_caller]
    pub fn wait(&mut self, n: usize, id: RequestId) -> Done {
        self.until("complete", |c| c.done(n, id).is_some());
        self.nodes[n].done[&id].clone()
    }

    /// Writes and waits for success; the nodes that have it.
    #[track_caller]
    pub fn put(&mut self, n: usize, block: u64, value: u64) -> NodeMask {
        let request = self.write(n, block, value);
        let done = self.wait(n, request);
        assert!(done.result.is_ok(), "write failed:\n{}", self.status());
        done.copies
    }

    /// Submits a read of one block.
    pub fn ask(&mut self, n: usize, block: u64) -> RequestId {
        self.request(n, Request::Read(Blocks::new(block, 1)))
    }

    /// Reads one block.
    #[track_caller]
    pub fn read(&mut self, n: usize, block: u64) -> Page {
        let request = self.ask(n, block);
        let pages = self.wait(n, request).result.expect("a read that succeeds");
        pages.expect("pages")[0].clone()
    }

    /// Flushes and waits for success.
    #[track_caller]
    pub fn sync(&mut self, n: usize) {
        let request = self.flush(n);
        assert!(self.wait(n, request).result.is_ok(), "flush failed");
    }

    pub fn open(&mut self, n: usize) -> CommandId {
        self.serial += 1;
        let id = CommandId(self.serial);
        self.event(n, Event::Open(id, V, true));
        id
    }

    pub fn close(&mut self, n: usize) {
        self.event(n, Event::Close(V, true));
    }

    #[track_caller]
    pub fn reply(&mut self, n: usize, id: CommandId) -> Result<(), Refusal> {
        self.until("answered", |c| c.nodes[n].replies.contains_key(&id));
        self.nodes[n].replies[&id]
    }

    #[track_caller]
    pub fn told(&mut self, n: usize, command: Command) -> Result<(), Refusal> {
        let id = self.command(n, command);
        self.reply(n, id)
    }

    /// Opens for writing, which promotes.
    #[track_caller]
    pub fn promote(&mut self, n: usize) {
        let open = self.open(n);
        let result = self.reply(n, open);
        assert_eq!(result, Ok(()), "n{n} is not promoted:\n{}", self.status());
    }

    /// Metadata anew, as `drbdmeta create-md` makes it; with `uuid`, as a copy of that generation.
    pub fn create_md(&mut self, n: usize, uuid: Option<Uuid>) {
        let node = &mut self.nodes[n];
        assert!(node.engine.is_none(), "n{n} runs");
        let runs = Resource::create_md(&node.config, V, node.lower_blocks, uuid);
        node.disk.format(runs);
    }

    // ---- faults ----

    /// Both ends notice at once; what is on its way is lost.
    pub fn cut(&mut self, a: usize, b: usize) {
        self.net.set_cut(a, b, true);
        self.break_link(a, b, 0);
    }

    /// A node loses all its links.
    pub fn isolate(&mut self, n: usize) {
        (0..self.nodes.len()).filter(|peer| *peer != n).for_each(|peer| self.cut(n, peer));
    }

    /// Links come back, and everything that was held goes on.
    pub fn mend(&mut self, a: usize, b: usize) {
        self.net.set_cut(a, b, false);
        self.net.set_silent(a, b, false);
        for stream in crate::net::STREAMS {
            self.net.pipe((a, b, stream)).held = false;
            self.net.pipe((b, a, stream)).held = false;
        }
        self.dial();
    }

    pub fn mend_all(&mut self) {
        for b in 0..self.nodes.len() {
            (0..b).for_each(|a| self.mend(a, b));
        }
    }

    pub fn hold(&mut self, pipe: PipeId) {
        self.net.pipe(pipe).held = true;
    }

    pub fn release(&mut self, pipe: PipeId) {
        self.net.pipe(pipe).held = false;
    }

    /// Power loss; nothing that is unflushed or on its way survives.
    pub fn crash(&mut self, n: usize) {
        self.power_loss(n, Loss::Everything, 0);
    }

    // ---- what can be seen ----

    pub fn engine(&self, n: usize) -> &Resource {
        self.nodes[n].engine.as_ref().expect("a node that runs")
    }
    pub fn is_on(&self, n: usize) -> bool {
        self.nodes[n].engine.is_some()
    }
    pub fn role(&self, n: usize) -> Role {
        self.engine(n).role()
    }
    pub fn view(&self, n: usize) -> VolumeView {
        self.engine(n).volume(V).expect("the volume")
    }
    pub fn disk(&self, n: usize) -> DiskState {
        self.view(n).disk
    }
    pub fn quorum(&self, n: usize) -> bool {
        self.view(n).quorum
    }
    pub fn conn(&self, n: usize, peer: usize) -> ConnState {
        self.engine(n).peer(id(peer)).0
    }
    pub fn peer(&self, n: usize, peer: usize) -> PeerView {
        let found = self.view(n).peers.into_iter().find(|view| view.node == id(peer));
        found.expect("a peer")
    }
    pub fn repl(&self, n: usize, peer: usize) -> ReplState {
        self.peer(n, peer).repl
    }
    pub fn peer_disk(&self, n: usize, peer: usize) -> DiskState {
        self.peer(n, peer).disk
    }
    pub fn bits(&self, n: usize, peer: usize) -> u64 {
        self.peer(n, peer).out_of_sync
    }
    /// What the lower device holds.
    pub fn data(&self, n: usize, block: u64) -> Page {
        self.nodes[n].disk.peek(block)
    }
    pub fn layout(&self, n: usize) -> Layout {
        Layout::new(self.nodes[n].lower_blocks, self.nodes[n].config.max_peers)
    }
    /// The superblock that a power loss would leave.
    pub fn superblock(&self, n: usize) -> Superblock {
        let layout = self.layout(n);
        let page = self.nodes[n].disk.durable(layout.superblock());
        Superblock::decode(&page.bytes(), &layout).expect("a superblock")
    }
    /// Handshakes of a node with a peer since `from`: rule and verdict.
    pub fn verdicts(
        &self,
        n: usize,
        peer: usize,
        from: usize,
    ) -> Vec<(&'static str, &'static str)> {
        let handshake = |notice: &Notice| match notice {
            Notice::Handshake(node, _, rule, verdict) if *node == id(peer) => {
                Some((*rule, *verdict))
            }
            _ => None,
        };
        self.nodes[n].notices[from..].iter().filter_map(handshake).collect()
    }

    pub fn diskful(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|n| self.nodes[*n].config.volumes[0].diskful).collect()
    }

    /// Every data block that some copy ever held.
    pub fn used(&self) -> BTreeSet<u64> {
        let on = (0..self.nodes.len()).filter(|n| self.is_on(*n));
        let size = on.map(|n| self.view(n).size).max().unwrap_or(SIZE);
        self.nodes.iter().flat_map(|node| node.disk.used(size)).collect()
    }

    /// What every node thinks, as text.
    pub fn status(&self) -> String {
        let mut out = format!("at {} us\n", self.now.0 / 1000);
        for (n, node) in self.nodes.iter().enumerate() {
            let Some(engine) = &node.engine else {
                let _ = writeln!(out, "n{n} off");
                continue;
            };
            let view = self.view(n);
            let _ = writeln!(
                out,
                "n{n} {} {} quorum:{} suspended:{} {:?} members:{:?} in flight:{}",
                engine.role(),
                view.disk,
                view.quorum,
                engine.is_suspended(),
                view.current,
                engine.members(),
                view.app_in_flight
            );
            for peer in &view.peers {
                let (cstate, role) = engine.peer(peer.node);
                let _ = writeln!(
                    out,
                    "   {:?} {cstate} {role} {} {} out-of-sync:{}",
                    peer.node, peer.repl, peer.disk, peer.out_of_sync
                );
            }
        }
        out
    }

    // ---- what must hold ----

    /// Copies that are running hold the same data.
    #[track_caller]
    pub fn assert_same_copies(&self) {
        let copies: Vec<usize> = self.diskful().into_iter().filter(|n| self.is_on(*n)).collect();
        for block in self.used() {
            for pair in copies.windows(2) {
                let (a, b) = (self.data(pair[0], block), self.data(pair[1], block));
                assert_eq!(
                    a,
                    b,
                    "block {block} of n{} and n{}:\n{}",
                    pair[0],
                    pair[1],
                    self.status()
                );
            }
        }
    }

    /// Everybody is here, UpToDate, connected, in sync, and idle.
    #[track_caller]
    pub fn assert_all_good(&self) {
        let status = self.status();
        for n in 0..self.nodes.len() {
            let own = if self.nodes[n].config.volumes[0].diskful {
                DiskState::UpToDate
            } else {
                DiskState::Diskless
            };
            assert_eq!(self.disk(n), own, "n{n}:\n{status}");
            assert!(self.quorum(n) && !self.engine(n).is_suspended(), "n{n}:\n{status}");
            assert_eq!(self.view(n).app_in_flight, 0, "n{n}:\n{status}");
            for peer in (0..self.nodes.len()).filter(|peer| *peer != n) {
                assert_eq!(self.conn(n, peer), ConnState::Connected, "n{n} n{peer}:\n{status}");
                assert_eq!(self.repl(n, peer), ReplState::Established, "n{n} n{peer}:\n{status}");
                assert_eq!(self.bits(n, peer), 0, "n{n} n{peer}:\n{status}");
            }
        }
        self.assert_same_copies();
    }

    /// Nodes that see each other are not Primary both.
    #[track_caller]
    pub fn assert_one_primary(&self) {
        let primary = |n: &usize| self.is_on(*n) && self.role(*n) == Role::Primary;
        let primaries: Vec<usize> = (0..self.nodes.len()).filter(primary).collect();
        for a in &primaries {
            for b in &primaries {
                let sees = |a: usize, b: usize| self.conn(a, b) == ConnState::Connected;
                let connected = a != b && sees(*a, *b) && sees(*b, *a);
                assert!(!connected, "n{a} and n{b} are Primary:\n{}", self.status());
            }
        }
    }

    /// The next moment.
    pub fn tick(&mut self) -> bool {
        self.step(Time(u64::MAX))
    }
}

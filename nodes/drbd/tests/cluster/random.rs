//! Random schedules of writes, cuts and power losses against an oracle: what was acknowledged and
//! flushed is there afterwards, and all copies are the same.

use crate::cluster::{Cluster, Done, configs};
use crate::disk::Loss;
use crate::luck::Luck;
use drbd::core::config::{OnLoss, RrConflict};
use drbd::core::event::{Command, CommandId, RequestId};
use drbd::page::Page;
use drbd::state::Role;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::collections::BTreeMap;

/// Blocks that are written: in two extents of the activity log.
const BLOCKS: [u64; 6] = [0, 1, 40, 1023, 1024, 3000];

#[derive(Clone, Debug)]
enum Op {
    Open(usize),
    Close(usize),
    Write(usize, usize),
    Flush(usize),
    Cut(usize, usize, usize),
    Silence(usize, usize),
    Mend(usize, usize),
    PowerLoss(usize, Option<u64>, usize),
    Boot,
    Run(u64),
}

/// A write, and what became of it.
struct Wrote {
    node: usize,
    request: RequestId,
    block: u64,
    value: u64,
    /// Later sessions, and later writes of one, are newer.
    age: (u64, u64),
    flushed: bool,
}

/// A flush, with the writes of its session that were acknowledged when it was submitted.
struct Flushed {
    node: usize,
    request: RequestId,
    covers: Vec<usize>,
}

/// A cluster, what its applications did, and what they were told.
struct Run {
    c: Cluster,
    /// Sessions by node: opened, and not closed.
    sessions: BTreeMap<usize, u64>,
    opening: BTreeMap<usize, CommandId>,
    count: u64,
    wrote: Vec<Wrote>,
    flushes: Vec<Flushed>,
    losses: u32,
}

impl Run {
    fn new(diskful: &[bool], seed: u64, on_loss: OnLoss) -> Run {
        let mut configs = configs(diskful);
        for config in &mut configs {
            config.force_secondary = true;
            config.rr_conflict = RrConflict::RetryConnect;
            config.on_no_quorum = on_loss;
            config.on_no_data = on_loss;
            // As fast as the links: a schedule is over before a slow resync gets anywhere.
            config.peer_device.plan_ahead = 0;
            config.peer_device.resync_rate_kib = 102_400;
        }
        let mut c = Cluster::new(configs);
        c.luck = Luck(seed);
        c.jitter_ns = 400_000;
        (0..diskful.len()).for_each(|n| c.boot(n));
        c.settle();
        Run {
            c,
            sessions: BTreeMap::new(),
            opening: BTreeMap::new(),
            count: 0,
            wrote: Vec::new(),
            flushes: Vec::new(),
            losses: 0,
        }
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Open(n) if self.may_open(*n) => {
                let id = self.c.open(*n);
                self.opening.insert(*n, id);
            }
            Op::Close(n) => {
                // As a file system does: the last close comes after the last completion.
                let busy = self.c.is_on(*n) && self.c.view(*n).app_in_flight > 0;
                if !busy && self.sessions.remove(n).is_some() {
                    self.c.close(*n);
                }
            }
            Op::Write(n, block) => self.write(*n, BLOCKS[*block]),
            Op::Flush(n) if self.sessions.contains_key(n) => self.flush(*n),
            Op::Cut(a, b, keep) if a != b => {
                self.c.net.set_cut(*a, *b, true);
                self.c.break_link(*a, *b, *keep);
            }
            Op::Silence(a, b) if a != b => self.c.net.set_silent(*a, *b, true),
            Op::Mend(a, b) if a != b => self.c.mend(*a, *b),
            Op::PowerLoss(n, luck, keep) if (0..self.c.nodes.len()).all(|n| self.c.is_on(n)) => {
                self.collect();
                self.losses += 1;
                let loss = luck.map_or(Loss::Everything, Loss::Luck);
                self.c.power_loss(*n, loss, *keep);
                self.sessions.remove(n);
                self.opening.remove(n);
            }
            Op::Boot => self.boot(),
            Op::Run(ms) => self.c.run_ms(*ms),
            _ => {}
        }
        self.collect();
        self.c.assert_one_primary();
    }

    fn boot(&mut self) {
        for n in 0..self.c.nodes.len() {
            if !self.c.is_on(n) {
                self.c.boot(n);
            }
        }
    }

    fn may_open(&self, n: usize) -> bool {
        let busy = self.sessions.contains_key(&n) || self.opening.contains_key(&n);
        self.c.is_on(n) && !busy
    }

    fn write(&mut self, node: usize, block: u64) {
        let Some(session) = self.sessions.get(&node).copied() else { return };
        self.count += 1;
        let value = self.count;
        let request = self.c.write(node, block, value);
        let age = (session, value);
        self.wrote.push(Wrote { node, request, block, value, age, flushed: false });
    }

    fn flush(&mut self, node: usize) {
        let session = self.sessions[&node];
        let covers = (0..self.wrote.len())
            .filter(|w| self.wrote[*w].age.0 == session && self.acknowledged(&self.wrote[*w]))
            .collect();
        let request = self.c.flush(node);
        self.flushes.push(Flushed { node, request, covers });
    }

    fn acknowledged(&self, wrote: &Wrote) -> bool {
        self.c.done(wrote.node, wrote.request).is_some_and(|done| done.result.is_ok())
    }

    /// Looks at what was answered.
    fn collect(&mut self) {
        let opening = std::mem::take(&mut self.opening);
        for (n, id) in opening {
            match self.c.nodes[n].replies.get(&id) {
                Some(Ok(())) => {
                    self.count += 1;
                    self.sessions.insert(n, self.count);
                }
                Some(Err(_)) => {}
                None => {
                    self.opening.insert(n, id);
                }
            }
        }
        for flush in &self.flushes {
            // A Primary without a disk flushes nothing: its peers do that in their time.
            let flushed = |done: &Done| done.result.is_ok() && !done.copies.is_empty();
            if self.c.done(flush.node, flush.request).is_some_and(flushed) {
                flush.covers.iter().for_each(|w| self.wrote[*w].flushed = true);
            }
        }
    }

    /// Everything comes back, and applications let go once they are answered. (A Primary that
    /// froze cannot connect as long as another one is open; in the end an administrator helps.)
    fn heal(&mut self) {
        self.c.mend_all();
        self.boot();
        for round in 0..5 {
            self.c.run_ms(10_000);
            self.collect();
            for n in (0..self.c.nodes.len()).filter(|_| round == 3) {
                if self.c.engine(n).is_suspended() {
                    self.c.command(n, Command::Secondary(true));
                }
            }
            let open: Vec<usize> = self.sessions.keys().copied().collect();
            open.into_iter().for_each(|n| self.apply(&Op::Close(n)));
        }
        self.c.settle();
    }

    fn check(&mut self) {
        self.c.assert_all_good();
        for block in BLOCKS {
            let of_block = || self.wrote.iter().filter(|wrote| wrote.block == block);
            let must = of_block()
                .filter(|wrote| self.acknowledged(wrote))
                .filter(|wrote| wrote.flushed || self.losses == 0)
                .map(|wrote| wrote.age)
                .max();
            let page = self.c.data(0, block);
            let age = of_block().find(|w| page == Page::Stamp(w.value)).map(|w| w.age);
            assert!(page == Page::Zero || age.is_some(), "block {block} holds {page:?}");
            assert!(
                age >= must,
                "block {block} holds {page:?}, not {must:?}:\n{}",
                self.c.status()
            );
        }
        self.c.promote(0);
        assert_eq!(self.c.role(0), Role::Primary);
        self.c.put(0, 5, 555);
        self.c.assert_same_copies();
    }
}

fn op(nodes: usize) -> impl Strategy<Value = Op> {
    let node = 0..nodes;
    let pair = || (0..nodes, 0..nodes);
    prop_oneof![
        4 => node.clone().prop_map(Op::Open),
        2 => node.clone().prop_map(Op::Close),
        12 => (node.clone(), 0..BLOCKS.len()).prop_map(|(n, block)| Op::Write(n, block)),
        4 => node.clone().prop_map(Op::Flush),
        3 => (pair(), 0..4usize).prop_map(|((a, b), keep)| Op::Cut(a, b, keep)),
        1 => pair().prop_map(|(a, b)| Op::Silence(a, b)),
        4 => pair().prop_map(|(a, b)| Op::Mend(a, b)),
        2 => (node, proptest::option::of(any::<u64>()), 0..4usize)
            .prop_map(|(n, luck, keep)| Op::PowerLoss(n, luck, keep)),
        3 => Just(Op::Boot),
        8 => prop_oneof![Just(0), Just(1), 2..20u64, Just(300), Just(3_000)].prop_map(Op::Run),
    ]
}

fn schedules(diskful: &'static [bool], cases: u32, seed: u8) {
    let config =
        Config { cases, failure_persistence: None, source_file: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let nodes = diskful.len();
    // Most start with an application at work.
    let ops = (0..2usize, vec(op(nodes), 1..60));
    let strategy = (any::<u64>(), any::<bool>(), ops);
    let result =
        TestRunner::new_with_rng(config, rng).run(&strategy, |(luck, fails, (home, ops))| {
            let on_loss = if fails { OnLoss::IoError } else { OnLoss::SuspendIo };
            let mut run = Run::new(diskful, luck, on_loss);
            run.apply(&Op::Open(home));
            run.apply(&Op::Run(50));
            ops.iter().for_each(|op| run.apply(op));
            run.heal();
            run.check();
            Ok(())
        });
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// Goal: whatever happens, everything comes back, the copies are the same, and no write is missing
/// that was acknowledged and flushed. Topology: two copies and a tie-breaker. Method: random
/// schedules, one node without power at a time.
#[test]
fn two_copies_and_a_tie_breaker_keep_what_was_flushed() {
    schedules(&[true, true, false], 500, 1);
}

/// As above, with three copies.
#[test]
fn three_copies_keep_what_was_flushed() {
    schedules(&[true, true, true], 500, 3);
}

/// As above, with three copies and a tie-breaker.
#[test]
fn three_copies_and_a_tie_breaker_keep_what_was_flushed() {
    schedules(&[true, true, true, false], 250, 4);
}

/// As above, with four copies.
#[test]
fn four_copies_keep_what_was_flushed() {
    schedules(&[true, true, true, true], 250, 5);
}

/// As above, with three copies and two clients without a disk.
#[test]
fn three_copies_and_two_clients_keep_what_was_flushed() {
    schedules(&[true, true, true, false, false], 200, 6);
}

/// As above, with five copies.
#[test]
fn five_copies_keep_what_was_flushed() {
    schedules(&[true, true, true, true, true], 150, 7);
}

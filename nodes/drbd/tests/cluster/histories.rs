//! Every short history of a small cluster without quorum: whoever has what the other lacks is the
//! source, both are a split brain, and the two ends say the same.

use crate::cluster::{Cluster, FIRST, configs};
use crate::disk::Disk;
use crate::verbs::IDLE_MS;
use drbd::core::config::Quorum;
use drbd::page::Page;
use drbd::state::{ConnState, DiskState, Role};
use std::collections::BTreeSet;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Op {
    /// The node loses its links to all others.
    Leave(usize),
    /// All links are back.
    Meet,
    /// Somebody opens, writes one block that was never written, flushes, and closes.
    Write(usize),
    /// As above, and the power goes before the close.
    WriteAndCrash(usize),
    /// Power goes and comes back.
    Reboot(usize),
    /// The node is made anew: empty, with the generation that all began with.
    Recreate(usize),
}

/// Which nodes have a disk (those come first), and whether they are made anew, too.
#[derive(Clone, Copy)]
struct Shape {
    diskful: &'static [bool],
    recreate: bool,
}

impl Shape {
    fn copies(self) -> usize {
        self.diskful.iter().filter(|diskful| **diskful).count()
    }

    fn ops(self) -> Vec<Op> {
        let nodes = self.diskful.len();
        let each = |op: fn(usize) -> Op| (0..nodes).map(op);
        let leave = if nodes == 2 { 1 } else { nodes };
        let recreate = if self.recreate { self.copies() } else { 0 };
        each(Op::Leave)
            .take(leave)
            .chain([Op::Meet])
            .chain(each(Op::Write))
            .chain(each(Op::WriteAndCrash))
            .chain(each(Op::Reboot))
            .chain(each(Op::Recreate).take(recreate))
            .collect()
    }
}

struct History {
    c: Cluster,
    writes: u64,
    together: bool,
}

/// Blocks that were written, each once.
type Data = BTreeSet<u64>;

impl History {
    fn new(shape: Shape) -> History {
        let mut configs = configs(shape.diskful);
        configs.iter_mut().for_each(|config| config.quorum = Quorum::Off);
        let mut c = Cluster::new(configs);
        (0..shape.diskful.len()).for_each(|n| c.boot(n));
        c.settle();
        History { c, writes: 0, together: true }
    }

    fn data(&self, n: usize) -> Data {
        (1..=self.writes).filter(|block| self.c.data(n, *block) == Page::Stamp(*block)).collect()
    }

    fn write(&mut self, n: usize) -> bool {
        let open = self.c.open(n);
        if self.c.reply(n, open).is_err() {
            return false;
        }
        self.writes += 1;
        self.c.put(n, self.writes, self.writes);
        self.c.sync(n);
        self.c.run_ms(300);
        true
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Leave(n) => {
                self.c.isolate(n);
                self.together = false;
            }
            Op::Meet => {
                self.together = true;
                self.c.mend_all();
            }
            Op::Write(n) => {
                if self.write(n) {
                    self.c.close(n);
                }
            }
            Op::WriteAndCrash(n) => {
                self.write(n);
                self.c.crash(n);
                self.c.run_ms(IDLE_MS);
                self.c.boot(n);
            }
            Op::Reboot(n) => {
                self.c.crash(n);
                self.c.run_ms(IDLE_MS);
                self.c.boot(n);
            }
            Op::Recreate(n) => {
                self.c.crash(n);
                self.c.run_ms(IDLE_MS);
                self.c.nodes[n].disk = Disk::default();
                self.c.create_md(n, Some(FIRST));
                self.c.boot(n);
            }
        }
        self.c.settle();
    }
}

/// Does it, and looks at what follows.
fn step(history: &mut History, op: Op, path: &[Op]) {
    let nodes = history.c.diskful().len();
    let mut before: Vec<Data> = (0..nodes).map(|n| history.data(n)).collect();
    if let Op::Recreate(n) = op {
        before[n].clear();
    }
    let from: Vec<usize> = history.c.nodes.iter().map(|node| node.notices.len()).collect();
    history.apply(op);
    let after: Vec<Data> = (0..nodes).map(|n| history.data(n)).collect();
    let story = || format!("{path:?}\n{}", history.c.status());
    for n in 0..nodes {
        // What one had that no other has is still there.
        let mut others = (0..nodes).filter(|other| *other != n);
        let alone: Data = before[n]
            .iter()
            .copied()
            .filter(|w| !others.clone().any(|o| before[o].contains(w)))
            .collect();
        let kept = others.any(|other| alone.is_subset(&after[other])) || alone.is_subset(&after[n]);
        assert!(kept, "n{n} had {alone:?} alone: {}", story());
        assert_eq!(history.c.role(n), Role::Secondary, "{}", story());
    }
    for (a, b) in (0..nodes).flat_map(|b| (0..b).map(move |a| (a, b))) {
        let said = |n: usize, peer: usize| {
            history.c.verdicts(n, peer, from[n]).last().map(|(rule, verdict)| (*rule, *verdict))
        };
        let (mine, theirs) = (said(a, b), said(b, a));
        assert_eq!(
            mine.map(|(_, verdict)| mirrored(verdict)),
            theirs.map(|(_, verdict)| verdict.to_owned()),
            "n{a} n{b}: {mine:?} {theirs:?}: {}",
            story()
        );
        if !history.together {
            continue;
        }
        let connected = history.c.conn(a, b) == ConnState::Connected;
        let comparable = before[a].is_subset(&before[b]) || before[b].is_subset(&before[a]);
        let apart = |n: usize, peer: usize| history.c.conn(n, peer) == ConnState::StandAlone;
        assert_eq!(connected, history.c.conn(b, a) == ConnState::Connected, "{}", story());
        if connected {
            assert_eq!(after[a], after[b], "{}", story());
            assert_eq!(history.c.disk(a), DiskState::UpToDate, "{}", story());
            assert_eq!((history.c.bits(a, b), history.c.bits(b, a)), (0, 0), "{}", story());
        } else {
            assert!(apart(a, b) && apart(b, a), "one side only: {}", story());
            let ever = nodes > 2 || !comparable || after[a] != after[b];
            assert!(ever, "a split brain without reason: {}", story());
        }
        // What was written since day0, a copy may have forgotten in a crash.
        if nodes == 2 && !path.iter().any(|op| matches!(op, Op::Recreate(_))) {
            let full =
                |said: Option<(&str, &str)>| said.is_some_and(|(_, v)| v.contains("set-bitmap"));
            assert!(!full(mine), "a full sync: {}", story());
        }
    }
}

fn mirrored(verdict: &str) -> String {
    match verdict.split_once('-') {
        Some(("source", "copy-other-bitmap")) => "target-clear-bitmap".to_owned(),
        Some(("target", "clear-bitmap")) => "source-copy-other-bitmap".to_owned(),
        Some(("source", how)) => format!("target-{how}"),
        Some(("target", how)) => format!("source-{how}"),
        _ => verdict.to_owned(),
    }
}

/// A node without a disk reads what the copies hold, once they all hold the same.
fn read_by_clients(history: &mut History, path: &[Op]) {
    let (copies, nodes) = (history.c.diskful().len(), history.c.nodes.len());
    let together = |c: &Cluster| {
        let mut pairs = (0..copies).flat_map(|b| (0..b).map(move |a| (a, b)));
        pairs.all(|(a, b)| c.conn(a, b) == ConnState::Connected)
    };
    if !together(&history.c) {
        return;
    }
    for client in copies..nodes {
        let open = history.c.open(client);
        let opened = history.c.reply(client, open);
        assert_eq!(opened, Ok(()), "{path:?}\n{}", history.c.status());
        for block in 1..=history.writes {
            let (read, held) = (history.c.read(client, block), history.c.data(0, block));
            assert_eq!(read, held, "block {block}: {path:?}\n{}", history.c.status());
        }
        history.c.close(client);
        history.c.settle();
    }
}

fn walk(shape: Shape, path: &mut Vec<Op>, depth: usize) -> u64 {
    if path.len() == depth {
        let mut history = History::new(shape);
        for (i, op) in path.iter().enumerate() {
            step(&mut history, *op, &path[..=i]);
        }
        let all: Vec<Op> = path.iter().copied().chain([Op::Meet]).collect();
        step(&mut history, Op::Meet, &all);
        read_by_clients(&mut history, &all);
        return 1;
    }
    let mut count = 0;
    for op in shape.ops() {
        // Twice the same changes nothing, but for writes.
        if path.last() == Some(&op) && !matches!(op, Op::Write(_) | Op::WriteAndCrash(_)) {
            continue;
        }
        path.push(op);
        count += walk(shape, path, depth);
        path.pop();
    }
    count
}

fn every_history(diskful: &'static [bool], recreate: bool, depth: usize) -> u64 {
    walk(Shape { diskful, recreate }, &mut Vec::new(), depth)
}

/// Goal: see above. Topology: two copies without quorum. Method: every history of four steps.
#[test]
fn two_copies_know_who_has_what() {
    assert!(every_history(&[true, true], false, 4) > 2_000);
}

/// As above with three copies, and every history of three steps.
#[test]
fn three_copies_know_who_has_what() {
    assert!(every_history(&[true, true, true], false, 3) > 1_000);
}

/// As above with two copies and a node without a disk, which writes and reads, too.
#[test]
fn two_copies_and_a_client_know_who_has_what() {
    assert!(every_history(&[true, true, false], false, 3) > 1_000);
}

/// As above with two copies that are made anew on day0.
#[test]
fn two_copies_made_anew_know_who_has_what() {
    assert!(every_history(&[true, true], true, 3) > 500);
}

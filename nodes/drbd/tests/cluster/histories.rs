//! Every short history of a small cluster without quorum: whoever has what the other lacks is the
//! source, both are a split brain, and the two ends say the same.

use crate::cluster::{Cluster, configs};
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
}

fn ops(nodes: usize) -> Vec<Op> {
    let each = |op: fn(usize) -> Op| (0..nodes).map(op);
    let leave = if nodes == 2 { 1 } else { nodes };
    each(Op::Leave)
        .take(leave)
        .chain([Op::Meet])
        .chain(each(Op::Write))
        .chain(each(Op::WriteAndCrash))
        .chain(each(Op::Reboot))
        .collect()
}

struct History {
    c: Cluster,
    writes: u64,
    together: bool,
}

/// Blocks that were written, each once.
type Data = BTreeSet<u64>;

impl History {
    fn new(nodes: usize) -> History {
        let mut configs = configs(&vec![true; nodes]);
        configs.iter_mut().for_each(|config| config.quorum = Quorum::Off);
        let mut c = Cluster::new(configs);
        (0..nodes).for_each(|n| c.boot(n));
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
        }
        self.c.settle();
    }
}

/// Does it, and looks at what follows.
fn step(history: &mut History, op: Op, path: &[Op]) {
    let nodes = history.c.nodes.len();
    let before: Vec<Data> = (0..nodes).map(|n| history.data(n)).collect();
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
        if nodes == 2 {
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

fn walk(nodes: usize, path: &mut Vec<Op>, depth: usize) -> u64 {
    if path.len() == depth {
        let mut history = History::new(nodes);
        for (i, op) in path.iter().enumerate() {
            step(&mut history, *op, &path[..=i]);
        }
        let all: Vec<Op> = path.iter().copied().chain([Op::Meet]).collect();
        step(&mut history, Op::Meet, &all);
        return 1;
    }
    let mut count = 0;
    for op in ops(nodes) {
        // Twice the same changes nothing, but for writes.
        if path.last() == Some(&op) && !matches!(op, Op::Write(_) | Op::WriteAndCrash(_)) {
            continue;
        }
        path.push(op);
        count += walk(nodes, path, depth);
        path.pop();
    }
    count
}

/// Goal: see above. Topology: two copies without quorum. Method: every history of four steps.
#[test]
fn two_copies_know_who_has_what() {
    assert!(walk(2, &mut Vec::new(), 4) > 2_000);
}

/// As above with three copies, and every history of three steps.
#[test]
fn three_copies_know_who_has_what() {
    assert!(walk(3, &mut Vec::new(), 3) > 1_000);
}

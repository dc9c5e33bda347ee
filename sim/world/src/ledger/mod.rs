//! What every block of one volume was told to hold, and which copies still owe it.
//!
//! A write is *in flight* until its completion, then *acked* (the application got success) or
//! *maybe* (it got an error, or its host died first). An acked write is **owed** by the copies that
//! acknowledged it. A copy drops out of that set when
//!
//! * its host loses power or its kernel, unless the application flushed after the write was acked
//!   and the acknowledgement said that this node's own disk was flushed: a volatile cache owes
//!   nothing. That a disk happened to flush for a reason of its own, or kept its cache through a
//!   crash of the kernel, does not count: when all copies went down, the crashed Primary is the
//!   source of the resync, and what only another copy kept is lost by DRBD's rules, with the
//!   consent of an application that did not flush. (A copy that stays up is never overruled that
//!   way: it knows that it was connected.);
//! * the plan makes its disk lie, fail or rot: no replication engine repairs a disk that breaks its
//!   own word;
//! * an administrator makes its metadata anew: it begins as if it held nothing;
//! * it becomes the target of a resync from a copy that holds the write too: from then on only the
//!   source owes it, because a half-resynced copy is Inconsistent and may not be used. When the
//!   resync has ended (stable), the target owes all that its source owes. If the source does
//!   **not** hold an owed write, the target keeps owing it: a resync in the wrong direction must
//!   not launder the loss.
//!
//! A copy that was not UpToDate when the write was acked never counts, nor one whose host went down
//! between submission and acknowledgement.
//!
//! The write must be found by a reader while the copies that owe it cannot be outvoted: the copies
//! that do not hold it are fewer than a majority of all copies, or the reader's own copy holds it.
//! (With three copies and volatile caches, a power loss of two that meet again without the third
//! loses what was never flushed there; no quorum rule can help.) A write that nobody owes any
//! longer may still be there; then the next older owed write is the oldest that a reader may see.

mod history;
mod lineage;
mod write;

pub use history::{Judgement, Wrong};
pub use lineage::{Kin, Lineage};
pub use write::{Fate, Write, WriteId};

use drbd::ids::{Blocks, NodeId, NodeMask};
use drbd::page::Page;
use history::Block;
use std::collections::VecDeque;
use write::Writes;

/// Becomes durable on one copy with an acknowledged flush that was submitted after the `seq`th ack.
#[derive(Clone, Copy)]
struct Pending {
    seq: u64,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    /// This write, if its place still holds the write of this number.
    Write(WriteId, u64),
    /// Everything that the copy holds: a resync ended.
    All,
}

/// The history of one volume.
pub struct Ledger {
    copies: NodeMask,
    writes: Writes,
    blocks: Vec<Block>,
    pending: Vec<VecDeque<Pending>>,
    lost_host: Vec<u64>,
    distrusted: NodeMask,
    acks: u64,
    touched: Vec<u64>,
    /// Blocks from here on were added later: they hold anything until they are written.
    added: u64,
}

impl Ledger {
    /// Nothing written yet; `copies` are the nodes with a disk.
    pub fn new(copies: NodeMask) -> Ledger {
        Ledger {
            copies,
            writes: Writes::default(),
            blocks: Vec::new(),
            pending: (0..NodeId::COUNT).map(|_| VecDeque::new()).collect(),
            lost_host: vec![0; NodeId::COUNT],
            distrusted: NodeMask::NONE,
            acks: 0,
            touched: Vec::new(),
            added: u64::MAX,
        }
    }

    /// The volume is larger from now on: whatever the storage held from block `from` on is there.
    pub fn grew(&mut self, from: u64) {
        self.added = self.added.min(from);
    }

    /// The number that a block written by write `number` holds.
    pub fn stamp(number: u64, block: u64) -> Page {
        Page::Stamp(number << 24 | (block & 0xff_ffff))
    }

    /// How many blocks from 0 may have been touched.
    pub fn span(&self) -> u64 {
        self.blocks.len() as u64
    }

    /// Blocks that an application has written or discarded: the others hold what they were born
    /// with.
    pub fn written(&self) -> impl Iterator<Item = u64> {
        (0..).zip(&self.blocks).filter(|(_, block)| block.is_written()).map(|(at, _)| at)
    }

    /// How many writes are remembered.
    pub fn remembered(&self) -> usize {
        self.writes.len()
    }

    /// A write (`zero`: a discard) goes out.
    pub fn submitted(&mut self, now: u64, number: u64, at: Blocks, zero: bool) -> WriteId {
        let end = at.end() as usize;
        if self.blocks.len() < end {
            self.blocks.resize_with(end, Block::default);
        }
        let id = self.writes.insert(Write::new(number, at, zero, now));
        self.writes[id].refs = 1;
        for block in at.iter() {
            self.prune(block);
            self.blocks[block as usize].push(id);
            self.writes[id].refs += 1;
            self.touched.push(block);
        }
        id
    }

    /// It was acknowledged with success; `copies` said that they have it, and were UpToDate.
    pub fn acked(&mut self, now: u64, id: WriteId, copies: NodeMask) {
        let since = self.writes[id].submitted;
        let mut holders = copies.and(self.copies).and(self.distrusted.complement());
        for node in holders.iter() {
            if self.lost_host[node.index()] > since {
                holders.remove(node);
            }
        }
        self.holds(now, id, holders);
        self.writes.release(id);
    }

    /// It failed, or whoever waited for it is gone: it may have happened or not.
    pub fn failed(&mut self, id: WriteId) {
        self.writes[id].fate = Fate::Maybe;
        self.writes.release(id);
    }

    fn holds(&mut self, now: u64, id: WriteId, holders: NodeMask) {
        self.acks += 1;
        let seq = self.acks;
        let write = &mut self.writes[id];
        write.fate = Fate::Acked { at: now, seq };
        write.holders = holders;
        let what = What::Write(id, write.number);
        for node in holders.iter() {
            let queue = &mut self.pending[node.index()];
            queue.push_back(Pending { seq, what });
            // Applications that never flush: only writes that a history still names matter.
            if queue.len() > 1_024 + 4 * self.writes.len() {
                let writes = &self.writes;
                queue.retain(|p| !matches!(p.what, What::Write(id, n) if !writes.holds(id, n)));
            }
        }
    }

    fn settle(&mut self, node: NodeId) {
        let Some(entry) = self.pending[node.index()].pop_front() else { return };
        match entry.what {
            What::Write(id, number) => {
                if self.writes.holds(id, number) && self.writes[id].holders.has(node) {
                    self.writes[id].durable.insert(node);
                }
            }
            What::All => {
                for write in self.writes.iter_mut() {
                    if write.holders.has(node) && write.seq() <= entry.seq {
                        write.durable.insert(node);
                    }
                }
            }
        }
    }

    /// To be kept by whoever submits a flush, for [`Ledger::flushed`].
    pub fn flush_submitted(&self) -> u64 {
        self.acks
    }

    /// An application's flush was acknowledged by `copies`: what was acked before it was submitted
    /// is durable there.
    pub fn flushed(&mut self, submitted: u64, copies: NodeMask) {
        for node in copies.and(self.copies).iter() {
            while self.pending[node.index()].front().is_some_and(|f| f.seq <= submitted) {
                self.settle(node);
            }
        }
    }

    /// The host of a copy lost its power or its kernel.
    pub fn host_lost(&mut self, now: u64, node: NodeId) {
        self.lost_host[node.index()] = now;
        self.pending[node.index()].clear();
        for write in self.writes.iter_mut().filter(|w| !w.durable.has(node)) {
            write.holders.remove(node);
        }
    }

    /// The plan broke the disk of a copy: it owes nothing, and nothing new until it is trusted
    /// again.
    pub fn distrust(&mut self, node: NodeId) {
        self.distrusted.insert(node);
        for write in self.writes.iter_mut() {
            write.holders.remove(node);
            write.durable.remove(node);
        }
        self.pending[node.index()].clear();
    }

    /// An administrator threw away what a copy holds: it owes nothing of it, and what it takes from
    /// now on.
    pub fn gave_up(&mut self, node: NodeId) {
        let distrusted = self.distrusted;
        self.distrust(node);
        self.distrusted = distrusted;
    }

    /// The disk of a copy is good again.
    pub fn trust(&mut self, node: NodeId) {
        self.distrusted.remove(node);
    }

    /// Copies that the plan has broken.
    pub fn distrusted(&self) -> NodeMask {
        self.distrusted
    }

    /// The plan changed what a copy stores: nobody can be held to the contents of the block any
    /// more.
    pub fn rotted(&mut self, block: u64) {
        let index = block as usize;
        if self.blocks.len() <= index {
            self.blocks.resize_with(index + 1, Block::default);
        }
        self.blocks[index].rotten = true;
    }

    /// Is the block outside all promises, because the plan rotted it?
    pub fn is_rotten(&self, block: u64) -> bool {
        self.blocks.get(block as usize).is_some_and(|b| b.rotten)
    }

    /// `target` became the target of a resync from `source`.
    pub fn resync_started(&mut self, target: NodeId, source: NodeId) {
        for id in self.writes.ids() {
            let write = &self.writes[id];
            if !write.holders.has(target) {
                continue;
            }
            if write.holders.has(source) || !self.is_owed(write, None) {
                let write = &mut self.writes[id];
                write.holders.remove(target);
                write.durable.remove(target);
            }
        }
    }

    /// The resync of `target` from `source` ended, and was stable. `serving` are the copies that
    /// could be read by applications at this moment: a write that was outvoted, and that one of
    /// them does not hold, is lost with the consent of the rules; that another copy still has it
    /// makes nobody owe it again.
    pub fn resync_done(&mut self, target: NodeId, source: NodeId, serving: NodeMask) {
        if self.distrusted.has(target) {
            return;
        }
        for id in self.writes.ids() {
            let owed = self.is_owed(&self.writes[id], None);
            let write = &mut self.writes[id];
            let given_up =
                !owed && serving.without(target).and(write.holders) != serving.without(target);
            if write.holders.has(source) && !given_up {
                write.holders.insert(target);
            } else if write.holders.has(target) && !owed {
                write.holders.remove(target);
                write.durable.remove(target);
            }
        }
        let entry = Pending { seq: self.acks, what: What::All };
        self.pending[target.index()].push_back(entry);
    }

    /// May the copies outside `holders` not decide without them?
    fn cannot_be_outvoted(&self, holders: NodeMask) -> bool {
        let copies = self.copies.len();
        !holders.is_empty() && copies - holders.and(self.copies).len() < copies / 2 + 1
    }

    fn is_owed(&self, write: &Write, reader: Option<NodeId>) -> bool {
        matches!(write.fate, Fate::Acked { .. })
            && (reader.is_some_and(|r| write.holders.has(r))
                || self.cannot_be_outvoted(write.holders))
    }

    /// Blocks written since the last call, each at least once.
    pub fn take_touched(&mut self, into: &mut Vec<u64>) {
        into.clear();
        std::mem::swap(into, &mut self.touched);
    }
}

//! Volumes that grow while they are in use: sizes agree everywhere, what was added is the same on
//! all copies, and metadata is found after a crash at any point.

use crate::cluster::{Cluster, SIZE, V, id};
use crate::disk::Loss;
use crate::verbs::up;
use drbd::core::event::{Command, CommandId, Event, Refusal, Resize};
use drbd::meta::Layout;
use drbd::page::Page;
use drbd::state::{ConnState, DiskState, ReplState};

/// What the tests grow to.
const LARGER: u64 = 2 * SIZE;

const PLAIN: Resize = Resize { size: None, assume_clean: false, assume_peer_has_space: false };

impl Cluster {
    /// `lvextend`: room for so many blocks of data on a node.
    pub fn extend(&mut self, n: usize, data: u64) {
        let most = self.nodes[n].config.max_peers;
        let blocks = Layout::lower_for(data, most);
        self.nodes[n].lower_blocks = blocks;
        self.event(n, Event::LowerResized(V, blocks));
    }

    fn extend_all(&mut self, data: u64) {
        self.diskful().into_iter().for_each(|n| self.extend(n, data));
    }

    pub fn sizes(&self) -> Vec<u64> {
        (0..self.nodes.len()).map(|n| self.view(n).size).collect()
    }

    #[track_caller]
    fn assert_all_as_large(&self, size: u64) {
        assert_eq!(self.sizes(), vec![size; self.nodes.len()], "{}", self.status());
        for n in self.diskful() {
            assert_eq!(self.superblock(n).effective_size, size, "n{n}");
        }
    }
}

fn resize(c: &mut Cluster, n: usize, resize: Resize) -> Result<(), Refusal> {
    c.told(n, Command::Resize(V, resize))
}

/// A Primary, and everybody's lower device is larger already.
fn extended(diskful: &[bool]) -> Cluster {
    let mut c = up(diskful);
    let primary = diskful.len() - 1;
    c.promote(primary);
    c.put(primary, 2, 2);
    c.settle();
    c.extend_all(LARGER);
    c
}

#[test]
fn all_copies_grow_and_what_was_added_is_resynced_from_the_primary() {
    let mut c = extended(&[true; 3]);
    let write = c.write(2, SIZE, 7);
    assert!(c.wait(2, write).result.is_err(), "past the end");
    assert_eq!(resize(&mut c, 0, PLAIN), Ok(()));
    c.until("resynced", |c| c.repl(2, 0) == ReplState::SyncSource);
    c.put(2, LARGER - 1, 9);
    c.settle();
    c.assert_all_as_large(LARGER);
    c.assert_all_good();
    assert_eq!(c.resynced.keys().copied().collect::<Vec<_>>(), [0, 1]);
    assert!(c.resynced.values().all(|blocks| *blocks >= LARGER - SIZE - 1), "{:?}", c.resynced);
    assert_eq!(c.data(0, LARGER - 1), Page::Stamp(9));
    assert_eq!(c.data(0, 2), Page::Stamp(2));
}

#[test]
fn a_limit_is_kept_to_and_what_is_left_follows_later() {
    let mut c = extended(&[true; 2]);
    let half = Resize { size: Some(SIZE + 100), ..PLAIN };
    assert_eq!(resize(&mut c, 1, half), Ok(()));
    c.settle();
    c.assert_all_as_large(SIZE + 100);
    assert_eq!(resize(&mut c, 1, half), Ok(()), "nothing to do");
    assert_eq!(resize(&mut c, 1, PLAIN), Ok(()));
    c.settle();
    c.assert_all_as_large(LARGER);
    c.assert_all_good();
}

/// Where metadata was, two copies cannot be the same, whatever an administrator assumes.
#[test]
fn assume_clean_resyncs_nothing_but_what_was_metadata() {
    let mut c = extended(&[true; 2]);
    assert_eq!(resize(&mut c, 1, Resize { assume_clean: true, ..PLAIN }), Ok(()));
    c.settle();
    c.assert_all_as_large(LARGER);
    c.assert_all_good();
    let copied: u64 = c.resynced.values().sum();
    assert!((1..100).contains(&copied), "{copied} blocks");
}

#[test]
fn the_smallest_copy_says_how_large() {
    let mut c = extended(&[true; 3]);
    c.extend(1, SIZE + 500);
    assert_eq!(resize(&mut c, 0, PLAIN), Ok(()));
    c.settle();
    c.assert_all_as_large(SIZE + 500);
    c.assert_all_good();
}

#[test]
fn refusals_are_in_drbds_words() {
    let mut c = up(&[true, true, false]);
    assert_eq!(resize(&mut c, 0, PLAIN), Err(Refusal::NoPrimary));
    assert_eq!(resize(&mut c, 2, PLAIN), Err(Refusal::NoDisk));
    c.promote(0);
    assert_eq!(resize(&mut c, 0, PLAIN), Ok(()), "nothing to do");
    let size = |blocks| Resize { size: Some(blocks), ..PLAIN };
    assert_eq!(resize(&mut c, 0, size(LARGER)), Err(Refusal::DiskTooSmall));
    assert_eq!(resize(&mut c, 0, size(SIZE - 1)), Err(Refusal::ImplicitShrink));
    assert_eq!(c.told(1, Command::Invalidate(V, None)), Ok(()));
    assert_eq!(resize(&mut c, 0, PLAIN), Err(Refusal::ResizeDuringResync));
    c.settle();
    c.assert_all_as_large(SIZE);
    assert_eq!(Refusal::NoPrimary.message(), "Failure: (131) Need one Primary node to resize.");
}

#[test]
fn a_diskless_primary_learns_the_new_size() {
    let mut c = extended(&[true, true, false]);
    assert_eq!(resize(&mut c, 1, PLAIN), Ok(()));
    c.settle();
    c.assert_all_as_large(LARGER);
    c.put(2, LARGER - 1, 5);
    c.settle();
    c.assert_all_good();
    assert_eq!(c.read(2, LARGER - 1), Page::Stamp(5));
}

#[test]
fn a_diskless_node_that_comes_later_learns_the_size() {
    let mut c = extended(&[true, true, false]);
    c.crash(2);
    c.settle();
    c.promote(0);
    assert_eq!(resize(&mut c, 0, PLAIN), Ok(()));
    c.settle();
    c.boot(2);
    c.settle();
    c.assert_all_as_large(LARGER);
    c.assert_all_good();
}

/// Without a word about it, a copy that is away keeps the size; with `--assume-peer-has-space` it
/// grows when it comes back.
#[test]
fn a_copy_that_is_away() {
    let mut c = extended(&[true; 3]);
    c.isolate(0);
    c.settle();
    assert_eq!(resize(&mut c, 2, PLAIN), Ok(()));
    c.settle();
    assert_eq!(c.sizes(), [SIZE; 3]);
    assert_eq!(resize(&mut c, 2, Resize { assume_peer_has_space: true, ..PLAIN }), Ok(()));
    c.settle();
    assert_eq!(c.sizes(), [SIZE, LARGER, LARGER]);
    c.put(2, LARGER - 2, 3);
    c.mend_all();
    c.settle();
    c.assert_all_as_large(LARGER);
    c.assert_all_good();
    assert_eq!(c.data(0, LARGER - 2), Page::Stamp(3));
}

#[test]
fn a_copy_without_room_is_not_connected_to_any_more() {
    let mut c = extended(&[true; 3]);
    c.extend(0, SIZE);
    c.isolate(0);
    c.settle();
    assert_eq!(resize(&mut c, 2, Resize { assume_peer_has_space: true, ..PLAIN }), Ok(()));
    c.settle();
    c.mend_all();
    c.settle();
    assert_eq!(c.sizes(), [SIZE, LARGER, LARGER]);
    assert_ne!(c.conn(2, 0), ConnState::Connected, "{}", c.status());
    assert_eq!(c.conn(2, 1), ConnState::Connected);
    // Once it has room, it may come back.
    c.extend(0, LARGER);
    for (n, peer) in [(0, 1), (1, 0), (0, 2), (2, 0)] {
        c.command(n, Command::Connect(id(peer)));
    }
    c.settle();
    c.assert_all_as_large(LARGER);
    c.assert_all_good();
}

#[test]
fn a_disk_that_comes_back_later_grows_as_it_is_attached() {
    let mut c = extended(&[true; 3]);
    assert_eq!(c.told(0, Command::Detach(V, false)), Ok(()));
    assert_eq!(resize(&mut c, 2, PLAIN), Ok(()), "who is detached keeps the size");
    assert_eq!(c.sizes(), [SIZE; 3]);
    assert_eq!(c.told(0, Command::Disconnect(id(2), true)), Ok(()));
    assert_eq!(c.told(0, Command::Disconnect(id(1), true)), Ok(()));
    c.settle();
    assert_eq!(resize(&mut c, 2, Resize { assume_peer_has_space: true, ..PLAIN }), Ok(()));
    c.command(0, Command::Connect(id(1)));
    c.command(0, Command::Connect(id(2)));
    c.mend_all();
    c.settle();
    assert_eq!(c.sizes(), [LARGER; 3]);
    let attach = c.attach(0, V);
    assert_eq!(c.reply(0, attach), Ok(()));
    c.settle();
    c.assert_all_as_large(LARGER);
    c.assert_all_good();
}

#[test]
fn two_are_told_at_once() {
    let mut c = extended(&[true; 3]);
    let both = [0, 2].map(|n| (n, c.command(n, Command::Resize(V, PLAIN))));
    let replies = both.map(|(n, id)| c.reply(n, id));
    // Whoever comes second may find that what was added is resynced already.
    let second = |reply: &&Result<(), Refusal>| **reply == Err(Refusal::ResizeDuringResync);
    assert!(replies.contains(&Ok(())), "{replies:?}");
    assert!(replies.iter().filter(|r| r.is_err()).all(|r| second(&r)), "{replies:?}");
    c.settle();
    c.assert_all_as_large(LARGER);
    c.assert_all_good();
}

/// Writes go on in the old part, and each of them completes.
#[test]
fn writes_go_on_meanwhile() {
    let mut c = extended(&[true; 3]);
    let mut writes = Vec::new();
    let ask = c.command(1, Command::Resize(V, PLAIN));
    for i in 0..200 {
        writes.push(c.write(2, i * 20, i));
        c.run_ms(1);
    }
    assert_eq!(c.reply(1, ask), Ok(()));
    for write in writes {
        assert!(c.wait(2, write).result.is_ok());
    }
    c.settle();
    c.assert_all_as_large(LARGER);
    c.assert_all_good();
}

/// One node loses power after each number of requests to its disk: it finds its metadata, and in
/// the end all have the new size and the same data.
#[test]
fn power_is_lost_at_each_write() {
    for (victim, by) in [(0, LARGER), (2, LARGER), (0, SIZE + 3), (2, SIZE + 3)] {
        for after in 0..24 {
            let mut c = extended(&[true; 3]);
            c.extend_all(by);
            c.command(1, Command::Resize(V, PLAIN));
            c.put(2, 100, 1);
            for _ in 0..after * 4 {
                c.tick();
            }
            c.power_loss(victim, Loss::Torn(after), 1);
            c.run_ms(20_000);
            c.boot(victim);
            c.settle();
            assert_eq!(c.disk(victim), DiskState::UpToDate, "{victim} {after}:\n{}", c.status());
            if c.view(1).size == SIZE {
                c.promote(1);
                assert_eq!(resize(&mut c, 1, PLAIN), Ok(()));
                c.settle();
            }
            c.assert_all_as_large(by);
            c.assert_all_good();
        }
    }
}

/// What a node does, as [`crate::twopc_faults`] wants it.
pub fn deed(c: &mut Cluster, n: usize) -> Vec<(usize, CommandId)> {
    c.extend_all(LARGER);
    vec![(n, c.command(n, Command::Resize(V, PLAIN)))]
}

/// Goal: a resize that moves no metadata is answered, though nothing else happens. Topology: a
/// Primary alone, with room for two steps.
#[test]
fn a_primary_alone_grows_twice() {
    let mut c = up(&[true]);
    c.promote(0);
    c.extend_all(LARGER);
    for size in [Some(SIZE + 64), None] {
        assert_eq!(resize(&mut c, 0, Resize { size, ..PLAIN }), Ok(()), "{size:?}");
    }
    c.settle();
    c.assert_all_as_large(LARGER);
}

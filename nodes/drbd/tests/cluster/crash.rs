//! A node that loses its power at each write of its metadata: what may differ from a peer that is
//! away is marked afterwards, and not much more.

use crate::disk::{Disk, Loss};
use crate::luck::Luck;
use drbd::core::Resource;
use drbd::core::config::{Config, PeerConfig, VolumeConfig};
use drbd::core::event::{Action, Command, CommandId, Event, Request, RequestId, one};
use drbd::ids::{NodeId, Time, Uuid, VolumeNumber};
use drbd::page::Page;
use drbd::quirks::Quirks;
use drbd::state::DiskState;
use std::collections::{BTreeMap, BTreeSet};

const V: VolumeNumber = VolumeNumber(0);
/// Blocks in an extent of the activity log.
const EXTENT: u64 = 1024;
/// Extents of the volume, and how many of them the activity log holds.
const EXTENTS: u64 = 20;
const SLOTS: u16 = 7;

fn id(node: u8) -> NodeId {
    NodeId::new(node).expect("a node id")
}

/// One node and its disk; its peer with the other copy is away.
struct Lone {
    engine: Resource,
    disk: Disk,
    now: Time,
    luck: Luck,
    lower_blocks: u64,
    completed: BTreeMap<u64, bool>,
    replies: BTreeSet<u64>,
    /// Requests to the lower device that were carried out.
    carried_out: u64,
}

fn config() -> Config {
    Config {
        volumes: vec![VolumeConfig { size: EXTENTS * EXTENT, diskful: true }],
        peers: vec![PeerConfig { node: id(1), name: "host-1".to_owned(), diskful: true }],
        al_extents: SLOTS,
        max_peers: 2,
        ..Config::new("r0", id(0))
    }
}

impl Lone {
    fn new(seed: u64) -> Lone {
        let lower_blocks = Resource::lower_blocks(EXTENTS * EXTENT, 2);
        let mut disk = Disk::default();
        disk.format(Resource::create_md(&config(), V, lower_blocks, Some(Uuid(0x1111_0000))));
        let mut lone = Lone {
            engine: Resource::new(config(), seed, Quirks::default()),
            disk,
            now: Time(0),
            luck: Luck(seed),
            lower_blocks,
            completed: BTreeMap::new(),
            replies: BTreeSet::new(),
            carried_out: 0,
        };
        lone.attach();
        lone.event(Event::Open(CommandId(2), V, true));
        lone.until_quiet();
        assert!(lone.replies.contains(&2), "not promoted");
        lone
    }

    fn attach(&mut self) {
        self.event(Event::Command(CommandId(1), Command::Attach(V, self.lower_blocks)));
        self.until_quiet();
        assert_eq!(self.engine.volume(V).expect("the volume").disk, DiskState::UpToDate);
    }

    fn event(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.engine.step(self.now, event, &mut actions);
        for action in actions {
            match action {
                Action::Lower(_, tag, lower) => {
                    // Requests overtake each other.
                    let due = Time(self.now.0 + 1 + self.luck.below(50_000));
                    self.disk.submit(due, tag, lower);
                }
                Action::Complete { id, result, .. } => {
                    self.completed.insert(id.0, result.is_ok());
                }
                Action::Reply(id, Ok(())) => {
                    self.replies.insert(id.0);
                }
                _ => {}
            }
        }
    }

    /// One request to the lower device is carried out.
    fn tick(&mut self) -> bool {
        let Some(due) = self.disk.next_due() else { return false };
        self.now = self.now.max(due);
        self.carried_out += 1;
        if let Some((tag, result)) = self.disk.complete_next() {
            self.event(Event::LowerDone(tag, result));
        }
        true
    }

    fn until_quiet(&mut self) {
        while self.tick() {}
    }
}

/// Writes that were made, by block, with their values.
type Wrote = BTreeMap<u64, u64>;

/// Random writes until `ticks` requests of the lower device were carried out, then power loss with
/// this luck, and power again. `false`: the work was done before.
fn crash_after(seed: u64, ticks: u64) -> bool {
    let mut lone = Lone::new(seed);
    let mut script = Luck(seed ^ 0xabcd);
    let start = lone.carried_out;
    let (mut submitted, mut all) = (Wrote::new(), 0u64);
    let mut flushed: Option<(u64, Wrote)> = None;
    let mut durable = Wrote::new();
    let mut crashed = false;
    for _ in 0..60 {
        let block = script.below(EXTENTS) * EXTENT + [0, 7, EXTENT - 1][script.below(3) as usize];
        all += 1;
        submitted.insert(block, all);
        let payload = one(Page::Stamp(all));
        let write = Request::Write { start: block, payload, fua: false };
        lone.event(Event::Submit(V, RequestId(all), write));
        if all.is_multiple_of(10) {
            // What is complete before a flush is submitted is durable when the flush is complete.
            let complete = |value: &u64| lone.completed.get(value) == Some(&true);
            let covers = submitted.iter().filter(|(_, value)| complete(value));
            let covers = covers.map(|(block, value)| (*block, *value)).collect();
            flushed = Some((1_000_000 + all, covers));
            lone.event(Event::Submit(V, RequestId(1_000_000 + all), Request::Flush));
        }
        for _ in 0..script.below(6) {
            crashed |= lone.carried_out - start >= ticks;
            if crashed {
                break;
            }
            lone.tick();
            if let Some((request, covers)) = &flushed
                && lone.completed.contains_key(request)
            {
                durable.extend(covers.iter().map(|(block, value)| (*block, *value)));
                flushed = None;
            }
        }
        if crashed {
            break;
        }
    }
    if !crashed {
        return false;
    }
    lone.disk.power_loss(Loss::Torn(seed.wrapping_mul(31) ^ ticks));
    lone.engine = Resource::new(config(), seed + 1, Quirks::default());
    lone.attach();
    check(&lone, &submitted, &durable, seed, ticks);
    true
}

fn check(lone: &Lone, submitted: &Wrote, durable: &Wrote, seed: u64, ticks: u64) {
    let story = format!("seed {seed}, {ticks} requests carried out");
    let marked = |block: u64| lone.engine.may_differ(V, id(1), block);
    for block in submitted.keys() {
        let page = lone.disk.peek(*block);
        assert!(page == Page::Zero || marked(*block), "block {block} is not marked: {story}");
    }
    for (block, value) in durable {
        let newest = match lone.disk.peek(*block) {
            Page::Stamp(value) => value,
            _ => 0,
        };
        assert!(newest >= *value, "block {block} lost a flushed write: {story}");
    }
    let bits = lone.engine.volume(V).expect("the volume").peers[0].out_of_sync;
    let most = u64::from(SLOTS) * EXTENT + submitted.len() as u64;
    assert!(bits <= most, "{bits} bits, {most} at most: {story}");
}

/// Goal: with the activity log's transactions and the bitmap's pages in whatever state a power loss
/// leaves them, every block that may differ from the peer's is marked, no flushed write is lost,
/// and no more than the log's extents are marked beside what was written. Method: random writes in
/// three times as many extents as the log holds; the power goes after each request of the lower
/// device, what is in flight is lost, kept, or torn.
#[test]
fn a_crash_at_any_request_of_the_disk_leaves_everything_marked() {
    let mut crashes = 0;
    for seed in 1..=12 {
        crashes += (0..).take_while(|ticks| crash_after(seed, *ticks)).count();
    }
    assert!(crashes > 1_000, "{crashes} crashes");
}

//! Bad input: what a peer says that cannot be, in every state of a connection. The link is dropped,
//! and neither data nor metadata change.

use crate::cluster::{Cluster, SIZE, V, configs, id};
use crate::luck::Luck;
use drbd::core::config::Quorum;
use drbd::core::event::{Command, Event, Notice};
use drbd::ids::{Blocks, Dagtag, NodeMask, Uuid, VolumeNumber};
use drbd::packet::{
    BlockId, Change, Packet, PeerState, Sizes, TwopcCommit, TwopcId, TwopcReply, TwopcRequest,
    TwopcVote, UuidFlags, Uuids,
};
use drbd::page::{Digest, Page, Payload};
use drbd::state::{ConnState, DiskState, ReplState, Role};
use std::sync::Arc;

/// States of the connection between n0, Primary, and n1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    StandAlone,
    Connecting,
    Greeting,
    Established,
    Resync(ReplState),
}

const STAGES: [Stage; 8] = [
    Stage::StandAlone,
    Stage::Connecting,
    Stage::Greeting,
    Stage::Established,
    Stage::Resync(ReplState::WFBitMapT),
    Stage::Resync(ReplState::SyncTarget),
    Stage::Resync(ReplState::StartingSyncT),
    Stage::Resync(ReplState::Established),
];

/// Two copies and a node without disk in that stage.
fn at(stage: Stage) -> Cluster {
    let mut all = configs(&[true, true, false]);
    all.iter_mut().for_each(|config| config.quorum = Quorum::Off);
    let mut c = Cluster::new(all);
    (0..3).for_each(|n| c.boot(n));
    c.settle();
    c.promote(0);
    for block in 0..40 {
        c.write(0, block, block + 1);
    }
    c.settle();
    match stage {
        Stage::Established => {}
        Stage::StandAlone => {
            assert_eq!(c.told(1, Command::Disconnect(id(0), true)), Ok(()));
        }
        Stage::Connecting => c.cut(0, 1),
        Stage::Greeting => {
            c.cut(0, 1);
            c.run_ms(100);
            c.mend_all();
            c.until("a link", |c| c.nodes[1].links.contains_key(&0));
        }
        Stage::Resync(ReplState::StartingSyncT) => {
            c.command(1, Command::Invalidate(V, Some(id(0))));
            c.until("a full sync", |c| c.repl(1, 0) == ReplState::StartingSyncT);
        }
        Stage::Resync(repl) => {
            c.cut(0, 1);
            for block in 0..40 {
                c.write(0, block, block + 500);
            }
            c.run_ms(1_000);
            c.mend_all();
            c.until("a resync", |c| c.repl(1, 0).is_sync());
            c.until("the state", |c| c.repl(1, 0) == repl);
        }
    }
    c
}

fn pages(count: u64) -> Payload {
    (0..count).map(Page::Stamp).collect()
}

fn state() -> PeerState {
    PeerState {
        role: Role::Primary,
        disk: DiskState::UpToDate,
        peer_disk: DiskState::UpToDate,
        repl: ReplState::Established,
        resync_paused: false,
        quorum: true,
        suspended: false,
    }
}

fn uuids() -> Uuids {
    Uuids {
        current: Uuid(0x77),
        held: Uuid(0x77),
        dirty_bits: 0,
        flags: UuidFlags(UuidFlags::STABLE),
        node_mask: NodeMask::NONE,
        bitmap: Vec::new(),
        history: Vec::new(),
    }
}

fn request(tid: u32) -> TwopcRequest {
    TwopcRequest {
        id: TwopcId { initiator: id(0), tid },
        target: None,
        nodes_to_reach: NodeMask::NONE,
        change: Change::Empty,
    }
}

/// What can never be said, whatever the state of a connection that is up. (`data`: only once it is
/// Connected is it known to be wrong, before it the packet itself is.)
fn impossible() -> Vec<Packet> {
    let none = VolumeNumber(1);
    let (past, huge) = (Blocks::new(SIZE - 1, 2), Blocks::new(u64::MAX, u32::MAX));
    let fine = Blocks::new(3, 1);
    let (b, fua, may_set_in_sync) = (BlockId(1 << 40), false, false);
    let data =
        |volume, at, payload| Packet::Data { volume, at, id: b, payload, may_set_in_sync, fua };
    let prepare = |request| Packet::TwopcPrepare(request);
    let mut all = vec![
        data(none, fine, pages(1)),
        data(V, past, pages(2)),
        data(V, huge, pages(1)),
        data(V, fine, pages(2)),
        data(V, Blocks::new(0, 0), pages(0)),
        data(V, Blocks::new(0, 300), pages(300)),
        Packet::Bitmap { volume: V, words: vec![0; 3].into() },
        Packet::Bitmap { volume: none, words: vec![0; 64].into() },
        Packet::Sizes(none, Sizes::default()),
        Packet::Sizes(V, Sizes { current: u64::MAX, ..Sizes::default() }),
        Packet::Uuids(none, Arc::new(uuids())),
        Packet::Uuids(V, Arc::new(Uuids { history: vec![Uuid(9); 33], ..uuids() })),
        Packet::Uuids(V, Arc::new(Uuids { bitmap: vec![(id(1), Uuid(9)); 2], ..uuids() })),
        Packet::CurrentUuid { volume: none, uuid: Uuid(9), weak: NodeMask::NONE },
        Packet::State(none, state()),
        Packet::State(V, PeerState { role: Role::Unknown, ..state() }),
        Packet::State(V, PeerState { disk: DiskState::DUnknown, ..state() }),
        Packet::State(V, PeerState { repl: ReplState::WFSyncUUID, ..state() }),
        Packet::Dagtag(Dagtag(u64::MAX)),
        Packet::PeerDagtag { node: id(2), dagtag: Dagtag(u64::MAX) },
        prepare(request(0)),
        prepare(TwopcRequest { change: Change::Connect, ..request(1) }),
        prepare(TwopcRequest { target: Some(id(0)), change: Change::Connect, ..request(1) }),
    ];
    for at in [past, huge, Blocks::new(0, 0)] {
        all.push(Packet::Trim { volume: V, at, id: b, may_set_in_sync });
        all.push(Packet::DataRequest { volume: V, at, id: b });
        let (dagtag, digest, thin) = (None, None, false);
        all.push(Packet::RsDataRequest { volume: V, at, id: b, dagtag, digest, thin });
        all.push(Packet::OvRequest { volume: V, at, id: b, dagtag });
        all.push(Packet::OutOfSync { volume: V, at });
    }
    all
}

/// What is wrong on the control stream of a connection that is Connected; before, it may have
/// overtaken what makes it right.
fn impossible_answers() -> Vec<Packet> {
    let b = BlockId(1 << 40);
    let past = Blocks::new(SIZE - 1, 2);
    vec![
        Packet::WriteAck { id: b, in_sync: true },
        Packet::WriteAck { id: BlockId(u64::MAX), in_sync: false },
        Packet::NegAck { id: b },
        Packet::NegDReply { id: b },
        Packet::PeersInSync { volume: VolumeNumber(9), at: past, mask: NodeMask::ALL },
        Packet::PeersInSync { volume: V, at: Blocks::new(u64::MAX, 2), mask: NodeMask::ALL },
        Packet::OvResult { volume: V, at: past, id: b, differs: true },
        Packet::PeerAck { mask: NodeMask::ALL, dagtag: Dagtag(u64::MAX) },
        Packet::BarrierAck { nr: 77, set_size: 3 },
    ]
}

/// What the data area of a node holds, and its superblock as it would survive a power loss.
fn held(c: &Cluster, n: usize) -> (Vec<Page>, Uuid) {
    ((0..SIZE).map(|block| c.data(n, block)).collect(), c.superblock(n).current)
}

/// Goal: what cannot be ends the connection with a reason in the log, and changes nothing; the
/// copies come together again. Topology: two copies and a client. Method: n1 gets a packet from n0
/// that n0 never sent, in each state of their connection.
#[test]
fn what_cannot_be_said_ends_the_connection() {
    for stage in STAGES {
        let answers = matches!(stage, Stage::Established | Stage::Resync(_));
        let mut all = impossible();
        if answers {
            all.extend(impossible_answers());
        }
        for packet in all {
            let mut c = at(stage);
            let (before, told) = (held(&c, 1), c.nodes[1].notices.len());
            let up = c.nodes[1].links.contains_key(&0);
            let conn = c.conn(1, 0);
            c.event(1, Event::Packet(id(0), packet.clone()));
            let said = &c.nodes[1].notices[told..];
            let reason = |notice: &Notice| {
                matches!(notice, Notice::Note(text) if text.contains(packet.name())
                    || text.contains("BarrierAck"))
            };
            let error = Notice::Connection(id(0), ConnState::ProtocolError);
            let was_connected = conn == ConnState::Connected;
            assert_eq!(said.iter().any(reason), up, "{stage:?} {packet:?}: {said:?}");
            assert_eq!(said.contains(&error), was_connected, "{stage:?} {packet:?}: {said:?}");
            let down = !c.nodes[1].links.contains_key(&0);
            assert!(down, "{stage:?} {packet:?}");
            assert_eq!(held(&c, 1), before, "{stage:?} {packet:?}");
        }
    }
}

/// Goal: a link that was dropped for bad input comes back, and the copies with it. Topology: as
/// above. Method: one bad packet in each state, then nothing else happens.
#[test]
fn the_copies_come_together_after_bad_input() {
    for stage in STAGES {
        if matches!(stage, Stage::StandAlone | Stage::Connecting) {
            continue;
        }
        let mut c = at(stage);
        c.event(1, Event::Packet(id(0), Packet::Dagtag(Dagtag(u64::MAX))));
        c.settle();
        c.assert_all_good();
    }
}

/// Values that packets are made of, some of them right, most of them not.
struct Words<'a> {
    luck: &'a mut Luck,
}

impl Words<'_> {
    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.luck.below(all.len() as u64) as usize]
    }
    fn yes(&mut self) -> bool {
        self.of(&[false, true])
    }
    fn volume(&mut self) -> VolumeNumber {
        VolumeNumber(self.of(&[0, 0, 0, 0, 0, 1, 9]))
    }
    fn at(&mut self) -> Blocks {
        let start = self.luck.below(SIZE);
        let start = self.of(&[0, 3, SIZE - 1, SIZE, u64::MAX, start]);
        Blocks::new(start, self.of(&[0, 1, 2, 32, 4096, u32::MAX]))
    }
    fn id(&mut self) -> BlockId {
        let small = self.luck.below(64);
        BlockId(self.of(&[0, 1, 5, 1 << 32 | 1, u64::MAX, small]))
    }
    fn node(&mut self) -> drbd::ids::NodeId {
        id(self.luck.below(4) as usize)
    }
    fn mask(&mut self) -> NodeMask {
        NodeMask(self.luck.below(16) as u32)
    }
    fn dagtag(&mut self) -> Dagtag {
        Dagtag(self.of(&[0, 8, 4096, u64::MAX]))
    }
    fn uuid(&mut self) -> Uuid {
        Uuid(self.of(&[0, 4, 0x77, 0x1111_0000_0000_0000, u64::MAX]))
    }
    fn seq(&mut self) -> u32 {
        self.luck.below(5) as u32
    }
    fn pages(&mut self) -> Payload {
        pages(self.luck.below(4))
    }
    fn state(&mut self) -> PeerState {
        use DiskState::{Consistent, DUnknown, Diskless, Failed, Inconsistent, Outdated, UpToDate};
        use ReplState::{Established, Off, PausedSyncT, SyncTarget, WFBitMapT};
        let disks = [Diskless, Failed, Inconsistent, Outdated, DUnknown, Consistent, UpToDate];
        PeerState {
            role: self.of(&[Role::Unknown, Role::Primary, Role::Secondary]),
            disk: self.of(&disks),
            repl: self.of(&[Off, Established, WFBitMapT, SyncTarget, PausedSyncT]),
            quorum: self.yes(),
            ..state()
        }
    }
    fn uuids(&mut self) -> Uuids {
        Uuids {
            current: self.uuid(),
            flags: UuidFlags(self.luck.below(0x1000)),
            node_mask: self.mask(),
            bitmap: vec![(self.node(), self.uuid())],
            ..uuids()
        }
    }
    fn request(&mut self) -> TwopcRequest {
        let (yes, volume) = (self.yes(), self.volume());
        let changes = [
            Change::Connect,
            Change::Disconnect { outdate_me: yes, outdate_you: !yes },
            Change::Promote,
            Change::Demote,
            Change::Empty,
            Change::Resync { volume, to_initiator: yes },
            Change::Disk { volume, to: DiskState::Detaching },
            Change::Resize { volume, user: 0, assume_room: yes, no_resync: !yes },
        ];
        let node = self.node();
        TwopcRequest {
            id: TwopcId { initiator: self.node(), tid: self.seq() },
            target: self.of(&[None, Some(node)]),
            nodes_to_reach: self.mask(),
            change: self.of(&changes),
        }
    }
    fn vote(&mut self) -> TwopcVote {
        let (reachable, weak) = (self.mask(), self.mask());
        let primaries = self.node().mask();
        let reply = TwopcReply { reachable, primaries, weak, ..TwopcReply::default() };
        self.of(&[TwopcVote::Yes(reply), TwopcVote::No, TwopcVote::Retry])
    }
}

/// A packet of any kind.
fn any(luck: &mut Luck) -> Packet {
    let kind = luck.below(33);
    let mut w = Words { luck };
    let (volume, at, id, may_set_in_sync) = (w.volume(), w.at(), w.id(), w.yes());
    match kind {
        0 => Packet::Trim { volume, at, id, may_set_in_sync },
        1 => Packet::DataRequest { volume, at, id },
        2 => Packet::DataReply { id, payload: w.pages() },
        3 => Packet::NegDReply { id },
        4 => Packet::Barrier { nr: w.seq() },
        5 => Packet::BarrierAck { nr: w.seq(), set_size: w.seq() },
        6 => Packet::WriteAck { id, in_sync: w.yes() },
        7 => Packet::NegAck { id },
        8 if w.yes() => Packet::OvResult { volume, at, id, differs: w.yes() },
        8 => Packet::OutOfSync { volume, at },
        9 => Packet::Dagtag(w.dagtag()),
        10 => Packet::PeerDagtag { node: w.node(), dagtag: w.dagtag() },
        11 => Packet::PeerAck { mask: w.mask(), dagtag: w.dagtag() },
        12 => Packet::PeersInSync { volume, at, mask: w.mask() },
        13 => {
            let dagtag = w.yes().then(|| (w.node(), w.dagtag()));
            let digest = w.yes().then_some(Digest(7));
            match w.yes() {
                true => Packet::OvRequest { volume, at, id, dagtag },
                false => Packet::RsDataRequest { volume, at, id, dagtag, digest, thin: w.yes() },
            }
        }
        14 if w.yes() => Packet::OvReply { id, digest: Some(Digest(7)), dagtag: None },
        14 => Packet::RsDataReply { id, payload: w.pages() },
        15 => Packet::NegRsDReply { id },
        16 if w.yes() => Packet::RsIsInSync { id },
        16 => Packet::RsWriteAck { id },
        17 if w.yes() => Packet::RsDeallocated { id },
        17 => Packet::RsNegAck { id },
        18 => Packet::FlushRequests { seq: w.seq() },
        19 => Packet::FlushForward { seq: w.seq(), initiator: w.node() },
        20 => Packet::FlushRequestsAck { seq: w.seq(), primary: w.node() },
        21 => Packet::Bitmap { volume, words: vec![7; w.of(&[0, 3, 64, 65])].into() },
        22 => {
            let disk = w.of(&[0, 1, SIZE]);
            Packet::Sizes(volume, Sizes { disk, user: 0, current: SIZE, no_resync: w.yes() })
        }
        23 => Packet::Uuids(volume, Arc::new(w.uuids())),
        24 => Packet::CurrentUuid { volume, uuid: w.uuid(), weak: w.mask() },
        25 => Packet::State(volume, w.state()),
        26 => Packet::TwopcPrepare(w.request()),
        27 => Packet::TwopcVote(w.request().id, w.vote()),
        28 => {
            let (request, primary_incapable) = (w.request(), w.yes());
            let (primaries, reachable, relied_on) = (w.mask(), w.mask(), w.mask());
            let incapable = drbd::ids::VolumeMask::default();
            Packet::TwopcCommit(TwopcCommit {
                request,
                primaries,
                reachable,
                primary_incapable,
                incapable,
                relied_on,
                size: w.of(&[0, 1, SIZE, SIZE + 1]),
            })
        }
        29 => Packet::TwopcAbort(w.request()),
        30 => Packet::Ping,
        31 => Packet::PingAck,
        _ => Packet::Data { volume, at, id, payload: w.pages(), may_set_in_sync, fua: w.yes() },
    }
}

/// Goal: whatever a peer says, the engine goes on, and nothing but a write writes. Topology and
/// method: as above, with packets at random, and time between them.
#[test]
fn nothing_that_is_said_stops_the_engine() {
    for (seed, stage) in STAGES.iter().cycle().take(64).enumerate() {
        let mut c = at(*stage);
        let mut luck = Luck(seed as u64 + 1);
        for _ in 0..60 {
            let packet = any(&mut luck);
            let writes = matches!(
                packet,
                Packet::Data { .. } | Packet::Trim { .. } | Packet::RsDataReply { .. }
            );
            let from = [0, 2][luck.below(2) as usize];
            let before = (!writes && luck.below(8) == 0).then(|| held(&c, 1).0);
            c.event(1, Event::Packet(id(from), packet.clone()));
            if let Some(before) = before {
                assert_eq!(held(&c, 1).0, before, "{stage:?} {packet:?}");
            }
            if luck.below(4) == 0 {
                c.run_ms(luck.below(400));
            }
        }
        c.run_ms(5_000);
    }
}

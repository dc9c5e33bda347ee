//! Bad input: what a peer says that cannot be, in every state of a connection. The link is dropped,
//! and neither data nor metadata change.

use crate::cluster::{Cluster, SIZE, V, configs, id};
use crate::luck::Luck;
use drbd::core::config::Quorum;
use drbd::core::event::{Command, Event, Notice, one};
use drbd::ids::{Blocks, Dagtag, NodeMask, Uuid, VolumeNumber};
use drbd::packet::{
    BlockId, Change, Packet, PeerState, Sizes, TwopcCommit, TwopcId, TwopcReply, TwopcRequest,
    TwopcVote, UuidFlags, Uuids,
};
use drbd::page::{Page, Payload};
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
        all.push(Packet::RsDataRequest { volume: V, at, id: b, dagtag: None });
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
        Packet::PeersInSync { volume: V, at: past, mask: NodeMask::ALL },
        Packet::PeersInSync { volume: VolumeNumber(9), at: past, mask: NodeMask::ALL },
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

/// A packet of any kind, some of them right, most of them not.
fn any(luck: &mut Luck) -> Packet {
    let volume = VolumeNumber(luck.below(8).saturating_sub(6) as u16);
    let starts = [0, 3, SIZE - 1, SIZE, u64::MAX, luck.below(SIZE)];
    let counts = [0, 1, 2, 32, 4096, u32::MAX];
    let at = Blocks::new(starts[luck.below(6) as usize], counts[luck.below(6) as usize]);
    let id_of = [0, 1, 5, 1 << 32 | 1, u64::MAX, luck.below(64)];
    let b = BlockId(id_of[luck.below(6) as usize]);
    let node = id(luck.below(4) as usize);
    let mask = NodeMask(luck.below(16) as u32);
    let dagtag = Dagtag([0, 8, 4096, u64::MAX][luck.below(4) as usize]);
    let uuid = Uuid([0, 4, 0x77, 0x1111_0000_0000_0000, u64::MAX][luck.below(5) as usize]);
    let payload = pages(luck.below(4));
    let yes = luck.below(2) == 0;
    let seq = luck.below(5) as u32;
    let disks = [0, 3, 5, 6, 7, 8, 9].map(disk_of);
    let repls = [ReplState::Off, ReplState::Established, ReplState::WFBitMapT];
    let repls = [repls[luck.below(3) as usize], ReplState::SyncTarget, ReplState::PausedSyncT];
    let state = PeerState {
        role: [Role::Unknown, Role::Primary, Role::Secondary][luck.below(3) as usize],
        disk: disks[luck.below(7) as usize],
        repl: repls[luck.below(3) as usize],
        quorum: yes,
        ..state()
    };
    let flags = UuidFlags(luck.below(0x1000));
    let told =
        Uuids { current: uuid, flags, node_mask: mask, bitmap: vec![(node, uuid)], ..uuids() };
    let change = [
        Change::Connect,
        Change::Disconnect { outdate_me: yes, outdate_you: !yes },
        Change::Promote,
        Change::Demote,
        Change::Empty,
        Change::Resync { volume, to_initiator: yes },
        Change::Disk { volume, to: DiskState::Detaching },
    ][luck.below(7) as usize];
    let target = [None, Some(node)][luck.below(2) as usize];
    let tid = TwopcId { initiator: node, tid: seq };
    let request = TwopcRequest { id: tid, target, nodes_to_reach: mask, change };
    let reply = TwopcReply { reachable: mask, primaries: node.mask(), weak: mask };
    let vote = [TwopcVote::Yes(reply), TwopcVote::No, TwopcVote::Retry][luck.below(3) as usize];
    let commit = TwopcCommit { request, primaries: mask, reachable: mask, primary_incapable: yes };
    let words = vec![luck.below(9); luck.below(70) as usize].into();
    match luck.below(33) {
        0 => Packet::Trim { volume, at, id: b, may_set_in_sync: yes },
        1 => Packet::DataRequest { volume, at, id: b },
        2 => Packet::DataReply { id: b, payload },
        3 => Packet::NegDReply { id: b },
        4 => Packet::Barrier { nr: seq },
        5 => Packet::BarrierAck { nr: seq, set_size: seq },
        6 => Packet::WriteAck { id: b, in_sync: yes },
        7 => Packet::NegAck { id: b },
        8 => Packet::OutOfSync { volume, at },
        9 => Packet::Dagtag(dagtag),
        10 => Packet::PeerDagtag { node, dagtag },
        11 => Packet::PeerAck { mask, dagtag },
        12 => Packet::PeersInSync { volume, at, mask },
        13 => Packet::RsDataRequest { volume, at, id: b, dagtag: yes.then_some((node, dagtag)) },
        14 => Packet::RsDataReply { id: b, payload },
        15 => Packet::NegRsDReply { id: b },
        16 => Packet::RsWriteAck { id: b },
        17 => Packet::RsNegAck { id: b },
        18 => Packet::FlushRequests { seq },
        19 => Packet::FlushForward { seq, initiator: node },
        20 => Packet::FlushRequestsAck { seq, primary: node },
        21 => Packet::Bitmap { volume, words },
        22 => Packet::Sizes(volume, Sizes { disk: luck.below(9), user: 0, current: SIZE }),
        23 => Packet::Uuids(volume, Arc::new(told)),
        24 => Packet::CurrentUuid { volume, uuid, weak: mask },
        25 => Packet::State(volume, state),
        26 => Packet::TwopcPrepare(request),
        27 => Packet::TwopcVote(tid, vote),
        28 => Packet::TwopcCommit(commit),
        29 => Packet::TwopcAbort(request),
        30 => Packet::Ping,
        31 => Packet::PingAck,
        _ => Packet::Data {
            volume,
            at,
            id: b,
            payload: one(Page::Stamp(9)),
            may_set_in_sync: yes,
            fua: yes,
        },
    }
}

fn disk_of(number: u8) -> DiskState {
    use DiskState::*;
    match number {
        0 => Diskless,
        3 => Failed,
        5 => Inconsistent,
        6 => Outdated,
        7 => DUnknown,
        8 => Consistent,
        _ => UpToDate,
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

//! What a peer may say, and when: every packet is checked against the state of the connection
//! before anything is done about it. One that cannot be ends the connection (ProtocolError) and
//! changes nothing else.
//!
//! What a peer may have said before it knew better is no error: answers to a resync that was given
//! up, votes of a transaction that is over, what overtook the commit of a connect on the control
//! stream.

use super::Resource;
use super::event::Notice;
use super::parts::{Conn, Device};
use super::points::reach;
use crate::ids::{Blocks, Dagtag, NodeId, VolumeNumber};
use crate::packet::{Change, Packet, PeerState, Stream, TwopcRequest, Uuids};
use crate::page::Payload;
use crate::state::{ConnState, DiskState, ReplState, Role};

/// Blocks in a packet with data at most: 1 MiB (`DRBD_MAX_BIO_SIZE`).
const MAX_DATA: u32 = 256;
/// Blocks in a discard at most: 128 MiB.
const MAX_DISCARD: u32 = 32_768;
/// Generations of a history at most, on the wire as on disk.
const MAX_HISTORY: usize = 32;
/// Blocks of a volume at most: 1 PiB, as of DRBD 9.
const MAX_SIZE: u64 = 1 << 38;
/// No stream gets there; positions beyond could not be counted on.
const MAX_DAGTAG: u64 = 1 << 62;

impl Resource {
    /// Ends the connection if the packet cannot be. `true`: it did.
    pub(super) fn refuses(&mut self, c: usize, packet: &Packet) -> bool {
        let Err(why) = self.admits(c, packet) else { return false };
        reach!(self, PacketRefused);
        let (name, bytes) = (packet.name(), packet.wire_len());
        let text = format!("error receiving {name}, e: -22 l: {bytes}! ({why})");
        self.notice(Notice::Note(text));
        self.drop_link(c, ConnState::ProtocolError);
        true
    }

    fn admits(&self, c: usize, packet: &Packet) -> Result<(), &'static str> {
        use Packet::*;
        let conn = &self.conns[c];
        match packet {
            Ping | PingAck | Disconnect | TwopcVote(..) | TwopcAbort(_) => Ok(()),
            TwopcCommit(commit) => size(commit.size),
            TwopcPrepare(request) => transaction(request),
            PeerDagtag { dagtag, .. } | Dagtag(dagtag) => position(*dagtag),
            Sizes(volume, sizes) => {
                self.device(*volume)?;
                [sizes.disk, sizes.user, sizes.current].into_iter().try_for_each(size)
            }
            Uuids(volume, uuids) => self.device(*volume).and_then(|_| generations(uuids)),
            CurrentUuid { volume, .. } => self.device(*volume).map(|_| ()),
            State(volume, state) => {
                self.device(*volume)?;
                self.in_turn(conn, *volume, state)
            }
            _ if !conn.connected() && packet.stream() == Stream::Control => Ok(()),
            _ if !conn.connected() => Err("not connected"),
            _ => self.admits_connected(conn, packet),
        }
    }

    fn admits_connected(&self, conn: &Conn, packet: &Packet) -> Result<(), &'static str> {
        use Packet::*;
        match packet {
            Data { volume, at, payload, .. } => {
                self.writable(*volume)?;
                full(*at, payload)?;
                self.range(*volume, *at, MAX_DATA)
            }
            Trim { volume, at, .. } => {
                self.writable(*volume)?;
                self.range(*volume, *at, MAX_DISCARD)
            }
            DataRequest { volume, at, .. } => self.range(*volume, *at, MAX_DATA),
            RsDataRequest { volume, at, dagtag, .. } => {
                dagtag.map_or(Ok(()), |(_, dagtag)| position(dagtag))?;
                self.range(*volume, *at, MAX_DATA)
            }
            OvRequest { volume, at, dagtag, .. } => {
                dagtag.map_or(Ok(()), |(_, dagtag)| position(dagtag))?;
                self.range(*volume, *at, MAX_DATA)
            }
            OvReply { dagtag, .. } => dagtag.map_or(Ok(()), |(_, dagtag)| position(dagtag)),
            OvResult { volume, at, .. } => self.range(*volume, *at, MAX_DATA),
            OutOfSync { volume, at } => self.range(*volume, *at, u32::MAX),
            // It may overtake what makes this copy larger.
            PeersInSync { volume, at, .. } => {
                self.device(*volume)?;
                size(at.start)
            }
            Bitmap { volume, words } => self.whole_bitmap(*volume, words),
            WriteAck { id, .. } | NegAck { id } => self.awaits_ack(conn.node, id.0),
            DataReply { id, payload } => self.awaits_read(conn.node, id.0, Some(payload)),
            NegDReply { id } => self.awaits_read(conn.node, id.0, None),
            PeerAck { dagtag, .. } => position(*dagtag),
            _ => Ok(()),
        }
    }

    /// The blocks of a volume.
    fn device(&self, volume: VolumeNumber) -> Result<u64, &'static str> {
        self.devices.get(volume.index()).map(Device::size_to_be).ok_or("no such volume")
    }

    fn range(&self, volume: VolumeNumber, at: Blocks, most: u32) -> Result<(), &'static str> {
        let size = self.device(volume)?;
        match () {
            () if at.count == 0 => Err("no blocks"),
            () if at.count > most => Err("too many blocks"),
            () if at.start >= size || u64::from(at.count) > size - at.start => {
                Err("request for a sector past the end of the device")
            }
            () => Ok(()),
        }
    }

    /// Nobody replicates to a node that has no disk on purpose.
    fn writable(&self, volume: VolumeNumber) -> Result<(), &'static str> {
        self.device(volume)?;
        match self.devices[volume.index()].configured_diskful {
            true => Ok(()),
            false => Err("a write to a diskless node"),
        }
    }

    /// In a handshake, sizes and generations go before the state that belongs to them.
    fn in_turn(
        &self,
        conn: &Conn,
        volume: VolumeNumber,
        state: &PeerState,
    ) -> Result<(), &'static str> {
        let early = conn.greeting.as_ref().is_some_and(|g| !g.heard.contains(&volume));
        match () {
            () if early => Err("a state before the UUIDs"),
            () if state.role == Role::Unknown => Err("a node that does not know its own role"),
            () if state.disk == DiskState::DUnknown => {
                Err("a node that does not know its own disk")
            }
            () if state.repl == ReplState::WFSyncUUID => Err("a state of earlier protocols"),
            () => Ok(()),
        }
    }

    fn whole_bitmap(&self, volume: VolumeNumber, words: &[u64]) -> Result<(), &'static str> {
        let size = self.device(volume)?;
        let tail = size % 64;
        let beyond = tail != 0 && words.last().is_some_and(|last| last >> tail != 0);
        match () {
            () if words.len() as u64 != size.div_ceil(64) => Err("a bitmap of another size"),
            () if beyond => Err("bitmap overflow while decoding"),
            () => Ok(()),
        }
    }

    /// Is this the cookie of a write that the peer has not answered?
    fn awaits_ack(&self, node: NodeId, cookie: u64) -> Result<(), &'static str> {
        let req = usize::try_from(cookie).ok().and_then(|key| self.reqs.get(key));
        let known = req.is_some_and(|req| req.logged && req.pending.has(node));
        known.then_some(()).ok_or("failed to find the request")
    }

    /// Is this the cookie of a read that the peer has not answered, and of so many pages?
    fn awaits_read(
        &self,
        node: NodeId,
        cookie: u64,
        payload: Option<&Payload>,
    ) -> Result<(), &'static str> {
        let req = usize::try_from(cookie).ok().and_then(|key| self.reqs.get(key));
        let known = req.filter(|req| !req.logged && req.pending.has(node));
        let Some(at) = known.and_then(|req| req.at) else {
            return Err("failed to find the request");
        };
        payload.map_or(Ok(()), |pages| full(at, pages))
    }
}

fn full(at: Blocks, pages: &Payload) -> Result<(), &'static str> {
    (pages.len() == at.count as usize).then_some(()).ok_or("data of another size")
}

fn size(blocks: u64) -> Result<(), &'static str> {
    (blocks <= MAX_SIZE).then_some(()).ok_or("a size that no volume has")
}

fn position(dagtag: Dagtag) -> Result<(), &'static str> {
    (dagtag.0 < MAX_DAGTAG).then_some(()).ok_or("a position that no stream reaches")
}

fn generations(uuids: &Uuids) -> Result<(), &'static str> {
    let listed = &uuids.bitmap;
    let twice = (1..listed.len()).any(|i| listed[..i].iter().any(|(node, _)| *node == listed[i].0));
    match () {
        () if uuids.history.len() > MAX_HISTORY => Err("too long a history"),
        () if twice => Err("two bitmap UUIDs for a node"),
        () => Ok(()),
    }
}

fn transaction(request: &TwopcRequest) -> Result<(), &'static str> {
    let needs_target = matches!(
        request.change,
        Change::Connect | Change::Disconnect { .. } | Change::Resync { .. } | Change::Verify { .. }
    );
    match request.target {
        _ if request.id.tid == 0 => Err("a transaction without a number"),
        None if needs_target => Err("a change without a target"),
        Some(node) if node == request.id.initiator => Err("a change with oneself"),
        _ => Ok(()),
    }
}

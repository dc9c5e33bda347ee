//! A packet in words: DRBD's name for it, what matters of its contents, and what it answers.

use drbd::ids::Blocks;
use drbd::packet::{Change, Packet, TwopcRequest, TwopcVote};
use drbd::state::Role;

/// As `enum drbd_packet` calls it.
pub fn name(packet: &Packet) -> &'static str {
    use Packet::*;
    match packet {
        Data { .. } => "P_DATA",
        Trim { .. } => "P_TRIM",
        DataRequest { .. } => "P_DATA_REQUEST",
        DataReply { .. } => "P_DATA_REPLY",
        NegDReply { .. } => "P_NEG_DREPLY",
        Barrier { .. } => "P_BARRIER",
        BarrierAck { .. } => "P_BARRIER_ACK",
        WriteAck { in_sync: false, .. } => "P_WRITE_ACK",
        WriteAck { in_sync: true, .. } => "P_WRITE_ACK_IN_SYNC",
        NegAck { .. } => "P_NEG_ACK",
        OutOfSync { .. } => "P_OUT_OF_SYNC",
        Dagtag(_) => "P_DAGTAG",
        PeerDagtag { .. } => "P_PEER_DAGTAG",
        PeerAck { .. } => "P_PEER_ACK",
        PeersInSync { .. } => "P_PEERS_IN_SYNC",
        RsDataRequest { dagtag: None, digest: Some(_), .. } => "P_CSUM_RS_REQUEST",
        RsDataRequest { dagtag: Some(_), digest: Some(_), .. } => "P_RS_CSUM_DAGTAG_REQ",
        RsDataRequest { dagtag: None, thin: true, .. } => "P_RS_THIN_REQ",
        RsDataRequest { dagtag: Some(_), thin: true, .. } => "P_RS_THIN_DAGTAG_REQ",
        RsIsInSync { .. } => "P_RS_IS_IN_SYNC",
        RsDeallocated { .. } => "P_RS_DEALLOCATED",
        RsDataRequest { dagtag: None, .. } => "P_RS_DATA_REQUEST",
        RsDataRequest { dagtag: Some(_), .. } => "P_RS_DAGTAG_REQ",
        OvRequest { dagtag: None, .. } => "P_OV_REQUEST",
        OvRequest { dagtag: Some(_), .. } => "P_OV_DAGTAG_REQ",
        OvReply { dagtag: None, .. } => "P_OV_REPLY",
        OvReply { dagtag: Some(_), .. } => "P_OV_DAGTAG_REPLY",
        OvResult { .. } => "P_OV_RESULT",
        RsDataReply { .. } => "P_RS_DATA_REPLY",
        NegRsDReply { .. } => "P_NEG_RS_DREPLY",
        RsWriteAck { .. } => "P_RS_WRITE_ACK",
        RsNegAck { .. } => "P_RS_NEG_ACK",
        FlushRequests { .. } => "P_FLUSH_REQUESTS",
        FlushForward { .. } => "P_FLUSH_FORWARD",
        FlushRequestsAck { .. } => "P_FLUSH_REQUESTS_ACK",
        Bitmap { .. } => "P_BITMAP",
        Sizes(..) => "P_SIZES",
        Uuids(..) => "P_UUIDS110",
        CurrentUuid { .. } => "P_CURRENT_UUID",
        State(..) => "P_STATE",
        TwopcPrepare(_) => "P_TWOPC_PREPARE",
        TwopcVote(_, self::TwopcVote::Yes(_)) => "P_TWOPC_YES",
        TwopcVote(_, self::TwopcVote::No) => "P_TWOPC_NO",
        TwopcVote(_, self::TwopcVote::Retry) => "P_TWOPC_RETRY",
        TwopcCommit(_) => "P_TWOPC_COMMIT",
        TwopcAbort(_) => "P_TWOPC_ABORT",
        Disconnect => "P_DISCONNECT",
        Ping => "P_PING",
        PingAck => "P_PING_ACK",
    }
}

fn blocks(at: &Blocks) -> String {
    format!("{:#x}+{}", at.start, at.count)
}

/// What matters of its contents, short.
pub fn text(packet: &Packet) -> String {
    use Packet::*;
    match packet {
        Data { volume, at, .. } | Trim { volume, at, .. } | DataRequest { volume, at, .. } => {
            format!("/{} {}", volume.0, blocks(at))
        }
        OutOfSync { volume, at } | PeersInSync { volume, at, .. } => {
            format!("/{} {}", volume.0, blocks(at))
        }
        RsDataRequest { volume, at, .. } | OvRequest { volume, at, .. } => {
            format!("/{} {}", volume.0, blocks(at))
        }
        OvResult { volume, at, differs, .. } => {
            let found = if *differs { "differs" } else { "is the same" };
            format!("/{} {} {found}", volume.0, blocks(at))
        }
        Barrier { nr } => format!("epoch {nr}"),
        BarrierAck { nr, set_size } => format!("epoch {nr}, {set_size} writes"),
        Dagtag(dagtag) => dagtag.0.to_string(),
        PeerDagtag { node, dagtag } => format!("of node {node}: {}", dagtag.0),
        PeerAck { mask, dagtag } => format!("nodes {:#b} up to {}", mask.0, dagtag.0),
        Sizes(volume, sizes) => format!("/{} {} blocks", volume.0, sizes.current),
        Uuids(volume, uuids) => format!(
            "/{} current {:016X}, {} bits, flags {:#x}",
            volume.0, uuids.current.0, uuids.dirty_bits, uuids.flags.0
        ),
        CurrentUuid { volume, uuid, .. } => format!("/{} {:016X}", volume.0, uuid.0),
        State(volume, state) => {
            let quorum = if state.quorum { "" } else { ", no quorum" };
            let role = if state.role == Role::Unknown { "" } else { state.role.name() };
            format!("/{} {role} {}, {}{quorum}", volume.0, state.disk, state.repl)
        }
        TwopcPrepare(request) | TwopcAbort(request) => twopc(request),
        TwopcCommit(commit) => twopc(&commit.request),
        TwopcVote(id, _) => format!("tid {}", id.tid),
        _ => String::new(),
    }
}

fn twopc(request: &TwopcRequest) -> String {
    let change = match request.change {
        Change::Connect => "connect".to_owned(),
        Change::Disconnect { .. } => "disconnect".to_owned(),
        Change::Promote => "promote".to_owned(),
        Change::Demote => "demote".to_owned(),
        Change::Empty => "empty".to_owned(),
        Change::Resync { volume, to_initiator } => {
            let whom = if to_initiator { "initiator" } else { "target" };
            format!("resync /{} of the {whom}", volume.0)
        }
        Change::Verify { volume } => format!("verify /{}", volume.0),
        Change::Resize { volume, .. } => format!("resize /{}", volume.0),
        Change::NewCurrent { volume } => format!("new-current /{}", volume.0),
        Change::Disk { volume, to } => format!("disk /{} {to}", volume.0),
    };
    format!("{change}, tid {}", request.id.tid)
}

/// Families of questions; within one, a cookie tells which.
pub type Cookie = (u8, u64);

/// What an answer to this packet will name, if one comes.
pub fn asks(packet: &Packet) -> Option<Cookie> {
    use Packet::*;
    Some(match packet {
        Data { id, .. } | Trim { id, .. } => (0, id.0),
        DataRequest { id, .. } => (1, id.0),
        RsDataRequest { id, .. } => (2, id.0),
        RsDataReply { id, .. } => (3, id.0),
        OvRequest { id, .. } => (7, id.0),
        OvReply { id, .. } => (8, id.0),
        Barrier { nr } => (4, u64::from(*nr)),
        TwopcPrepare(request) => (5, u64::from(request.id.tid)),
        Ping => (6, 0),
        _ => return None,
    })
}

/// The question that this packet answers.
pub fn answers(packet: &Packet) -> Option<Cookie> {
    use Packet::*;
    Some(match packet {
        WriteAck { id, .. } | NegAck { id } => (0, id.0),
        DataReply { id, .. } | NegDReply { id } => (1, id.0),
        RsDataReply { id, .. } | NegRsDReply { id } => (2, id.0),
        RsIsInSync { id } | RsDeallocated { id } => (2, id.0),
        RsWriteAck { id } | RsNegAck { id } => (3, id.0),
        OvReply { id, .. } => (7, id.0),
        OvResult { id, .. } => (8, id.0),
        BarrierAck { nr, .. } => (4, u64::from(*nr)),
        TwopcVote(id, _) => (5, u64::from(id.tid)),
        PingAck => (6, 0),
        _ => return None,
    })
}

//! What an administrator takes upon himself: `drbdsetup` `outdate`, `invalidate`,
//! `invalidate-remote`, `new-current-uuid`, `forget-peer`, and peers that were deleted.

use super::exec::{After, Begun, Exit};
use super::setup::{missing, over};
use super::{Administered, Host};
use crate::commands::args::Args;
use crate::commands::shape::{Shape, ShapePeer};
use crate::commands::texts::{Bad, INVALID_REQUEST, MINOR_INVALID, NET_CONFIGURED, RES_NOT_KNOWN};
use crate::slot::SlotPeer;
use drbd::core::event::{Command, InitialSync, Refusal};
use drbd::ids::{NodeId, VolumeNumber};
use drbd::state::DiskState;

/// A command for the engine, and what the world hears of once it is done.
type Asked = Result<(Command, Administered), Bad>;

/// Everything is copied anew; what the bitmap says alone, the engine does not copy on demand.
fn resets(args: &Args) -> Result<(), Bad> {
    match args.option("reset-bitmap") {
        Some("no") => Err(Bad::cannot("copy on demand what the bitmap says alone")),
        _ => Ok(()),
    }
}

impl Host {
    /// A peer is deleted from the kernel. Its metadata, and the engine, remember it until it is
    /// forgotten.
    pub(super) fn drop_peer(&mut self, slot: usize, node: NodeId) {
        if let Some(shape) = &mut self.slots[slot].shape {
            shape.peers.retain(|peer| usize::from(peer.node) != node.index());
        }
    }

    /// What an administrator takes upon himself: `outdate`, `invalidate`, `invalidate-remote`,
    /// `new-current-uuid`, `forget-peer`.
    pub(super) fn overrule(&self, command: &str, args: &Args) -> Begun {
        let object = args.word(0).to_owned();
        let by_minor = matches!(command, "outdate" | "invalidate" | "new-current-uuid");
        if by_minor && object.parse::<u32>().is_err() {
            let text = format!("Cannot determine minor device number of device '{object}'\n");
            return match object.is_empty() {
                true => missing("minor"),
                false => Begun::Over(Exit::fails(20, text)),
            };
        }
        let found = match by_minor {
            true => object.parse().ok().and_then(|minor| self.slot_of_minor(minor)),
            false => self.slot_named(&object).map(|slot| (slot, args.number(2).unwrap_or(0))),
        };
        let Some((slot, volume)) = found.filter(|(slot, _)| self.shape(*slot).is_some()) else {
            let unknown = if by_minor { MINOR_INVALID } else { RES_NOT_KNOWN };
            return over(Err(Bad::Failure(unknown, None)), &object);
        };
        let asked = match command {
            "forget-peer" => self.forgets(slot, args),
            "invalidate-remote" => self.invalidates_remote((slot, volume), args),
            "invalidate" => self.invalidates((slot, volume), args),
            "new-current-uuid" => self.renews((slot, volume), args),
            _ => self.outdates((slot, volume)),
        };
        match asked {
            Ok((command, deed)) => Begun::Asks(slot, command, object, After::Tell(deed)),
            Err(bad) => over(Err(bad), &object),
        }
    }

    fn has_disk(&self, slot: usize, volume: u16) -> bool {
        let engine = self.slots[slot].engine.as_ref();
        let seen = engine.and_then(|engine| engine.volume(VolumeNumber(volume)));
        seen.is_some_and(|seen| seen.disk != DiskState::Diskless)
    }

    fn outdates(&self, (slot, volume): (usize, u16)) -> Asked {
        match self.has_disk(slot, volume) {
            true => Ok((Command::Outdate(VolumeNumber(volume)), Administered::Outdate)),
            false => Err(Bad::State(Refusal::LowerThanOutdated)),
        }
    }

    fn renews(&self, (slot, volume): (usize, u16), args: &Args) -> Asked {
        let initial = match (args.has("clear-bitmap"), args.has("force-resync")) {
            (true, true) => return Err(Bad::Failure(INVALID_REQUEST, None)),
            (true, false) => InitialSync::Skip,
            (false, true) => InitialSync::Force,
            (false, false) => InitialSync::Unsaid,
        };
        if !self.has_disk(slot, volume) {
            return Err(Bad::State(Refusal::NoDisk));
        }
        let command = Command::NewCurrentUuid(VolumeNumber(volume), initial);
        let initial = initial != InitialSync::Unsaid;
        Ok((command, Administered::NewCurrentUuid { initial }))
    }

    fn invalidates(&self, (slot, volume): (usize, u16), args: &Args) -> Asked {
        resets(args)?;
        if !self.has_disk(slot, volume) {
            return Err(Bad::State(Refusal::NoDisk));
        }
        let from = args.option("sync-from-peer-node-id").and_then(|node| node.parse().ok());
        let command = Command::Invalidate(VolumeNumber(volume), from.and_then(NodeId::new));
        Ok((command, Administered::Invalidate(self.slots[slot].fixed.config.node)))
    }

    fn invalidates_remote(&self, (slot, volume): (usize, u16), args: &Args) -> Asked {
        resets(args)?;
        let known =
            args.number(1).filter(|node| self.shape(slot).is_some_and(|s| s.peer(*node).is_some()));
        let Some(node) = known.and_then(NodeId::new) else {
            let text = Some("unknown connection".to_owned());
            return Err(Bad::Failure(INVALID_REQUEST, text));
        };
        if !self.has_disk(slot, volume) {
            return Err(Bad::State(Refusal::NoDisk));
        }
        let command = Command::InvalidateRemote(VolumeNumber(volume), node);
        Ok((command, Administered::Invalidate(node)))
    }

    fn forgets(&self, slot: usize, args: &Args) -> Asked {
        let number = args.number::<u8>(1);
        if self.shape(slot).is_some_and(|s| number.is_some_and(|node| s.peer(node).is_some())) {
            return Err(Bad::Failure(NET_CONFIGURED, None));
        }
        match number.and_then(NodeId::new) {
            Some(node) if self.slots[slot].engine.is_some() => {
                Ok((Command::ForgetPeer(node), Administered::ForgetPeer(node)))
            }
            _ => Err(Bad::State(Refusal::InvalidPeerNodeId)),
        }
    }

    /// Has an engine that runs all of these objects already, because only peers that were deleted
    /// from it come back?
    pub(super) fn comes_back(&self, slot: usize, made: &Shape) -> bool {
        let of = &self.slots[slot];
        let (Some(engine), fixed) = (&of.engine, &of.fixed) else { return false };
        let config = engine.config();
        let knows = |peer: &ShapePeer| {
            let node = usize::from(peer.node);
            let at = fixed.peers.iter().find(|known| known.node.index() == node);
            let way = |at: &SlotPeer| (fixed.listen, at.address);
            config.peers.iter().any(|known| known.node.index() == node)
                && peer.paths.len() <= 1
                && peer.paths.first().is_none_or(|path| at.is_some_and(|at| way(at) == *path))
        };
        made.devices.len() == config.volumes.len() && made.peers.iter().all(knows)
    }
}

//! `drbdsetup` `pause-sync`, `resume-sync` and `verify`: what goes on between a volume and a peer.

use super::Host;
use super::exec::{After, Begun};
use super::setup::{missing, over};
use crate::commands::args::Args;
use crate::commands::texts::{Bad, INVALID_REQUEST, RES_NOT_KNOWN};
use crate::res::number;
use drbd::core::event::{Command, Refusal};
use drbd::ids::{NodeId, VolumeNumber};

impl Host {
    /// A command about a volume towards a peer.
    pub(super) fn of_peer_device(&self, command: &str, args: &Args) -> Begun {
        let object = args.word(0).to_owned();
        if object.is_empty() {
            return missing("resource");
        }
        let Some(slot) = self.slot_named(&object).filter(|slot| self.shape(*slot).is_some()) else {
            return over(Err(Bad::Failure(RES_NOT_KNOWN, None)), &object);
        };
        let Some(volume) = args.number(2).map(VolumeNumber) else { return missing("volume") };
        let known = |node: &u8| self.shape(slot).is_some_and(|shape| shape.peer(*node).is_some());
        let Some(node) = args.number(1).filter(known).and_then(NodeId::new) else {
            let text = Some("unknown connection".to_owned());
            return over(Err(Bad::Failure(INVALID_REQUEST, text)), &object);
        };
        if self.slots[slot].engine.is_none() {
            // Objects alone: nothing is connected yet.
            return over(Err(Bad::State(Refusal::NeedConnection)), &object);
        }
        let sectors = |name: &str| args.option(name).and_then(|text| number(text, 512));
        let blocks = |name: &str| sectors(name).map(|sectors| sectors.max(0) as u64 / 8);
        let command = match command {
            "verify" => {
                Command::Verify { volume, node, start: blocks("start"), stop: blocks("stop") }
            }
            "pause-sync" => Command::PauseSync(volume, node),
            _ => Command::ResumeSync(volume, node),
        };
        Begun::Asks(slot, command, object, After::Nothing)
    }
}

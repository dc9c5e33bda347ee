//! Volumes that grow: logical volumes below DRBD that were extended, where its metadata is on them,
//! and `drbdsetup resize`.

use super::Host;
use super::exec::{After, Begun};
use super::setup::over;
use crate::below::address;
use crate::commands::args::Args;
use crate::commands::texts::{Bad, INVALID_REQUEST};
use drbd::core::event::{Command, Refusal, Resize};
use drbd::ids::{Blocks, VolumeNumber};
use drbd::meta::{Layout, Superblock};
use std::collections::BTreeMap;

/// Bytes that `--size` asks for; without a unit it counts sectors.
fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let unit: u64 = match unit {
        "s" | "S" => 512,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        "t" | "T" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

impl Host {
    /// Blocks of the host's logical volumes, by their first address.
    pub(super) fn volume_sizes(&self) -> BTreeMap<u64, u64> {
        let groups = self.disk.lvm().into_iter().flat_map(|lvm| lvm.groups());
        let sizes = groups.flat_map(|group| {
            group.volumes.iter().map(|volume| (address(volume.id), group.blocks(volume)))
        });
        sizes.collect()
    }

    /// Lower devices that are larger than before: the engines on them hear of it.
    pub(super) fn note_extended(&mut self, before: &BTreeMap<u64, u64>) {
        let after = self.volume_sizes();
        for slot in 0..self.slots.len() {
            for volume in 0..self.slots[slot].fixed.regions.len() {
                let Some(start) = self.slots[slot].fixed.regions[volume].map(|r| r.start) else {
                    continue;
                };
                let old = before.get(&start).copied().unwrap_or(0);
                if let Some(new) = after.get(&start).filter(|new| **new > old) {
                    self.extend(slot, volume, *new);
                }
            }
        }
    }

    fn extend(&mut self, slot: usize, volume: usize, room: u64) {
        // Metadata may have moved since it was looked for last; soon nobody knows where to.
        let end = self.metadata_end(slot, volume);
        let slot = &mut self.slots[slot];
        let Some(region) = &mut slot.fixed.regions[volume] else { return };
        region.len = end.unwrap_or(region.len);
        region.room = room;
        slot.extended.push((VolumeNumber(volume as u16), room));
    }

    /// Blocks of a volume's lower device that its metadata is at the end of: all there are now, or
    /// all there were when it was made or found last.
    pub(super) fn metadata_end(&self, slot: usize, volume: usize) -> Option<u64> {
        let fixed = &self.slots.get(slot)?.fixed;
        let region = fixed.regions.get(volume).copied().flatten()?;
        if region.room == region.len {
            return Some(region.len);
        }
        let layout = Layout::new(region.room, fixed.config.max_peers);
        let block = self.disk.peek(region.start + layout.superblock()).bytes();
        let moved = Superblock::decode(&block, &layout).is_ok();
        Some(if moved { region.room } else { region.len })
    }

    /// As above, for an attach, to which the engine hears how large the device is. (drbdmeta moves
    /// metadata that it finds where the device ended when it was attached last, which it knows from
    /// a file in /var/lib/drbd. Here the next resize moves it.)
    pub(super) fn find_metadata(&mut self, slot: usize, volume: usize) -> Option<u64> {
        let end = self.metadata_end(slot, volume)?;
        let slot = &mut self.slots[slot];
        let region = slot.fixed.regions[volume].as_mut()?;
        region.len = end;
        if region.room > end {
            slot.extended.push((VolumeNumber(volume as u16), region.room));
        }
        Some(end)
    }

    /// `drbdsetup resize`.
    pub(super) fn resize(&self, (slot, volume): (usize, u16), args: &Args) -> Begun {
        let object = args.word(0).to_owned();
        let size = args.option("size").map(bytes);
        if size == Some(None) {
            let what = Some("cannot read the size".to_owned());
            return over(Err(Bad::Failure(INVALID_REQUEST, what)), &object);
        }
        if self.slots[slot].engine.is_none() {
            return over(Err(Bad::State(Refusal::NoDisk)), &object);
        }
        let resize = Resize {
            // 0 is no limit; a size below a block is one.
            size: size
                .flatten()
                .filter(|bytes| *bytes > 0)
                .map(|bytes| (bytes / Blocks::BYTES).max(1)),
            assume_clean: args.has("assume-clean"),
            assume_peer_has_space: args.has("assume-peer-has-space"),
        };
        let command = Command::Resize(VolumeNumber(volume), resize);
        Begun::Asks(slot, command, object, After::Nothing)
    }
}

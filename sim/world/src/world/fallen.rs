//! Hosts that fell: what their disks hold at that moment, and that nothing comes of them any more.

use super::World;
use super::resource::Resource;
use crate::check::Promise;
use crate::check::metadata_survives_crash::{self, Found};
use crate::check::no_io_after_power_loss::{self, Still};
use crate::outcome::Class;
use drbd::ids::{Uuid, VolumeNumber};
use drbd::page::Page;
use drbd::state::DiskState;
use kernel::What;

/// A copy on a host that fell.
#[derive(Debug)]
pub(super) struct Fallen {
    at: usize,
    node: usize,
    volume: usize,
    still: Still,
}

/// The other copy of a pair, as far as it can be asked.
enum Other<'a> {
    /// Its engine runs.
    Runs(&'a drbd::core::Resource),
    /// It is down, and its disk says this.
    Down(Box<Found>),
}

impl World {
    /// The power or the kernel of a host is gone, and its disk has done what it still does.
    pub(super) fn has_fallen(&mut self, host: usize) {
        let mut copies = Vec::new();
        for (at, node) in self.slots[host].clone() {
            for volume in 0..self.resources[at].volumes {
                let Some(still) = self.still(at, node, volume) else { continue };
                copies.push(Fallen { at, node, volume, still });
                self.check_metadata(at, node, volume);
            }
        }
        self.fallen[host] = Some(copies);
    }

    fn stored(&self, at: usize, node: usize, volume: usize, block: u64) -> Page {
        let place = &self.resources[at].nodes[node];
        self.hosts[place.host].peek(place.slot, volume, block).unwrap_or(Page::Zero)
    }

    fn layout(&self, at: usize, node: usize, volume: usize) -> Option<drbd::meta::Layout> {
        let place = &self.resources[at].nodes[node];
        self.hosts[place.host].layout(place.slot, volume).filter(|_| place.diskful)
    }

    fn still(&self, at: usize, node: usize, volume: usize) -> Option<Still> {
        let layout = self.layout(at, node, volume)?;
        let data = self.resources[at].ledgers[volume].written();
        let blocks = data.chain(layout.al()).chain([layout.superblock()]);
        Some(Still::of(blocks, |block| self.stored(at, node, volume, block)))
    }

    /// The plan changes what a copy holds while its host is down.
    pub(super) fn fallen_is_changed(&mut self, host: usize) {
        if let Some(copies) = &mut self.fallen[host] {
            copies.clear();
        }
    }

    /// A kernel runs there again.
    pub(super) fn has_risen(&mut self, host: usize) {
        for Fallen { at, node, volume, still } in self.fallen[host].take().unwrap_or_default() {
            match still.check(|block| self.stored(at, node, volume, block)) {
                Ok(checked) => self.tally.add(Promise::NoIoAfterPowerLoss, checked),
                Err(block) => {
                    let resource = &self.resources[at];
                    let what = format!(
                        "{}/{volume}, block {block:#x} of {}'s lower device was written after the \
                         host had fallen, and before its kernel ran again",
                        resource.name,
                        self.hosts[host].name(),
                    );
                    self.fail(Class::Safety, no_io_after_power_loss::NAME, what, Some(at));
                }
            }
        }
    }

    /// A host that fell and has no kernel yet tells something.
    pub(super) fn heed_the_dead(&mut self, host: usize, what: &What) {
        if self.fallen[host].is_some() && matches!(what, What::Complete { .. } | What::Reply(..)) {
            let name = self.hosts[host].name();
            let what = format!("{name} has fallen, and a request of that life is answered");
            self.fail(Class::Safety, no_io_after_power_loss::NAME, what, None);
        }
    }

    // ---- metadata ----

    /// May what a copy holds be held against its metadata?
    fn is_honest(&self, at: usize, node: usize) -> bool {
        let place = &self.resources[at].nodes[node];
        place.diskful && !place.was_broken && !place.made_anew && !place.asked_invalid
    }

    fn found(&self, at: usize, node: usize, volume: usize) -> Option<Result<Found, String>> {
        let layout = self.layout(at, node, volume)?;
        let size = self.resources[at].blocks;
        Some(Found::read(layout, size, |block| self.stored(at, node, volume, block)))
    }

    fn check_metadata(&mut self, at: usize, node: usize, volume: usize) {
        if !self.is_honest(at, node) || self.resources[at].past_saving {
            return;
        }
        let Some(found) = self.found(at, node, volume) else { return };
        let host = self.node_name(at, node).to_owned();
        let name = format!("{}/{volume} of {host}", self.resources[at].name);
        let found = match found {
            Ok(found) => found,
            Err(what) => {
                let what = format!("{name}, as the host fell: {what}");
                return self.fail(Class::Safety, metadata_survives_crash::NAME, what, Some(at));
            }
        };
        self.tally.add(Promise::MetadataSurvivesCrash, 1);
        for other in (0..self.resources[at].nodes.len()).filter(|other| *other != node) {
            match self.uncovered(at, (node, other), volume, &found) {
                Ok(checked) => self.tally.add(Promise::MetadataSurvivesCrash, checked),
                Err(block) => {
                    let there = self.node_name(at, other);
                    let what = format!(
                        "{name}, as the host fell: block {block:#x} differs from {there}'s; they \
                         go by their bitmaps, and neither's bitmap nor activity log has it"
                    );
                    self.fail(Class::Safety, metadata_survives_crash::NAME, what, Some(at));
                }
            }
        }
    }

    /// The other copy of a pair, if bitmaps say what the two differ in.
    fn other(
        &self,
        at: usize,
        (node, other): (usize, usize),
        volume: usize,
        found: &Found,
    ) -> Option<Other<'_>> {
        let (id, peer) = (Resource::id(node), Resource::id(other));
        let tracked = |current: Uuid, slot: Uuid| {
            let mine = found.current();
            current.same(mine) || found.slot(peer).same(current) || slot.same(mine)
        };
        let place = &self.resources[at].nodes[other];
        let engine = self.hosts[place.host].engine(place.slot);
        if let (Some(engine), true) = (engine, self.hosts[place.host].has_kernel()) {
            let number = VolumeNumber(volume as u16);
            let (view, there) = (engine.volume(number)?, engine.generations(number, id)?);
            let whole = [DiskState::Outdated, DiskState::Consistent, DiskState::UpToDate];
            let alike = tracked(there.current, there.bitmap) && whole.contains(&view.disk);
            return alike.then_some(Other::Runs(engine));
        }
        let there = self.found(at, other, volume)?.ok()?;
        let alike = tracked(there.current(), there.slot(id)) && there.is_consistent();
        alike.then(|| Other::Down(Box::new(there)))
    }

    /// Blocks compared, or the first difference that nobody would find.
    fn uncovered(
        &self,
        at: usize,
        (node, other): (usize, usize),
        volume: usize,
        found: &Found,
    ) -> Result<u64, u64> {
        if !self.is_honest(at, other) || !found.is_consistent() {
            return Ok(0);
        }
        let Some(there) = self.other(at, (node, other), volume, found) else { return Ok(0) };
        let ledger = &self.resources[at].ledgers[volume];
        let (id, peer) = (Resource::id(node), Resource::id(other));
        let here = |block| self.stored(at, node, volume, block);
        let over = |block| self.stored(at, other, volume, block);
        let differs = |block| here(block) != over(block) && !ledger.is_rotten(block);
        let covered = |block| {
            found.covers(peer, block, here)
                || match &there {
                    Other::Runs(engine) => {
                        engine.may_differ(VolumeNumber(volume as u16), id, block)
                    }
                    Other::Down(there) => there.covers(id, block, over),
                }
        };
        metadata_survives_crash::check(ledger.written(), differs, covered)
    }
}

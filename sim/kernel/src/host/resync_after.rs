//! `resync-after`: a volume whose resync waits until that of another volume of this host is over.
//! Chains cross resources, so that no engine can follow them.

use super::{Host, Out};
use crate::commands::texts::Bad;
use crate::wire::Wire;
use drbd::core::event::{Event, Refusal};
use drbd::ids::VolumeNumber;
use drbd::state::DiskState;
use models::SimTime;
use models::net::Net;

/// A volume of a host: its slot and number.
type Place = (usize, VolumeNumber);

impl Host {
    /// The volume that comes before one in its chain. A chain ends at a volume that is not there,
    /// or that has no disk.
    fn before(&self, (slot, volume): Place) -> Option<Place> {
        let engine = self.slots[slot].engine.as_ref()?;
        if engine.volume(volume)?.disk == DiskState::Diskless {
            return None;
        }
        self.place_of(*engine.config().resync_after.get(&volume)?)
    }

    fn place_of(&self, minor: u32) -> Option<Place> {
        self.slots.iter().enumerate().find_map(|(slot, of)| {
            let volumes = of.engine.as_ref()?.config().volumes.len() as u32;
            let number = minor.checked_sub(of.fixed.minor).filter(|number| *number < volumes)?;
            Some((slot, VolumeNumber(number as u16)))
        })
    }

    /// All that comes before a volume, the next one first. It never meets itself.
    fn chain(&self, from: Place) -> Vec<Place> {
        let mut all = Vec::new();
        let mut at = from;
        while let Some(next) = self.before(at).filter(|next| *next != from && !all.contains(next)) {
            all.push(next);
            at = next;
        }
        all
    }

    /// May a volume be made to wait for the one with this minor? Not if that one waits for it.
    pub(super) fn may_wait(&self, place: Place, minor: Option<u32>) -> Result<(), Bad> {
        let Some(first) = minor.and_then(|minor| self.place_of(minor)) else { return Ok(()) };
        match first == place || self.chain(first).contains(&place) {
            true => Err(Bad::State(Refusal::ResyncAfterCycle)),
            false => Ok(()),
        }
    }

    /// Tells engines which of their volumes wait for others, as far as that changed.
    pub(super) fn follow_chains(&mut self, now: SimTime, net: &mut Net<Wire>, out: &mut Vec<Out>) {
        for slot in 0..self.slots.len() {
            let Some(engine) = &self.slots[slot].engine else { continue };
            if engine.config().resync_after.is_empty() && !engine.waits_at_all() {
                continue;
            }
            for number in 0..engine.config().volumes.len() as u16 {
                let place = (slot, VolumeNumber(number));
                let busy = |(slot, volume): &Place| {
                    let engine = self.slots[*slot].engine.as_ref();
                    engine.is_some_and(|engine| engine.holds_back(*volume))
                };
                let waits = self.chain(place).iter().any(busy);
                let engine = self.slots[slot].engine.as_ref();
                if engine.is_some_and(|engine| engine.waits(place.1) != waits) {
                    // Who waits for this one is looked at again behind that step.
                    return self.step(now, slot, Event::Waits(place.1, waits), net, out);
                }
            }
        }
    }
}

//! The block layer below DRBD: volumes of a resource as runs of blocks of the host's one disk.

use crate::below::address;
use drbd::core::event::{IoError, IoTag, Lower, LowerResult};
use drbd::page::Page;
use models::disk::{Done, Kind, Lv, Op};
use models::lvm::VolumeId;

/// Where the lower device of one volume lies: on the host's disk, or on a logical volume.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Region {
    /// First block on the disk, or the address of the logical volume's first block.
    pub start: u64,
    /// Blocks, internal metadata included: the metadata was found, or made, at their end.
    pub len: u64,
    /// Blocks of the device, which may have been extended since.
    pub room: u64,
}

impl Region {
    /// So many blocks from `start`.
    pub fn new(start: u64, len: u64) -> Region {
        Region { start, len, room: len }
    }

    /// The first so many blocks of a logical volume of the host.
    pub fn on_volume(volume: VolumeId, len: u64) -> Region {
        Region::new(address(volume), len)
    }

    /// The request on the disk, or `None` if it leaves the region.
    pub(crate) fn map(self, lower: Lower) -> Option<Op<Page>> {
        let lv = Lv { start: self.start, len: self.room };
        Some(match lower {
            Lower::Read(at) => {
                Op::Read { start: lv.map(at.start, at.count.into())?, count: at.count }
            }
            Lower::Write { start, payload, preflush, fua } => {
                let start = lv.map(start, payload.len() as u64)?;
                Op::Write { start, data: payload, preflush, fua }
            }
            Lower::Flush => Op::Flush,
            Lower::Discard(at) => {
                let count = u64::from(at.count);
                Op::Discard { start: lv.map(at.start, count)?, count }
            }
        })
    }
}

/// A request to the lower device that has not come back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub slot: u16,
    /// Which life of the slot's engine asked.
    pub life: u32,
    pub tag: IoTag,
}

/// Requests in flight by the number that the disk carries for us; places are reused.
#[derive(Default)]
pub(crate) struct InFlight {
    places: Vec<Option<Pending>>,
    free: Vec<u32>,
}

impl InFlight {
    pub fn insert(&mut self, pending: Pending) -> u64 {
        if let Some(place) = self.free.pop() {
            self.places[place as usize] = Some(pending);
            return u64::from(place);
        }
        self.places.push(Some(pending));
        self.places.len() as u64 - 1
    }

    pub fn take(&mut self, number: u64) -> Option<Pending> {
        let pending = self.places.get_mut(number as usize)?.take()?;
        self.free.push(number as u32);
        Some(pending)
    }

    pub fn clear(&mut self) {
        self.places.clear();
        self.free.clear();
    }
}

/// A completion of the disk in DRBD's words.
pub(crate) fn result(done: Done<Page>) -> LowerResult {
    match (done.result, done.kind) {
        (Ok(pages), Kind::Read) => Ok(Some(pages)),
        (Ok(_), _) => Ok(None),
        (Err(_), _) => Err(IoError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drbd::core::event::one;
    use drbd::ids::Blocks;

    #[test]
    fn a_volume_cannot_reach_its_neighbour() {
        let region = Region::new(100, 10);
        assert_eq!(
            region.map(Lower::Read(Blocks::new(8, 2))),
            Some(Op::Read { start: 108, count: 2 })
        );
        assert_eq!(region.map(Lower::Read(Blocks::new(9, 2))), None);
        let beyond =
            Lower::Write { start: 10, payload: one(Page::Zero), preflush: true, fua: true };
        assert_eq!(region.map(beyond), None);
        assert_eq!(region.map(Lower::Discard(Blocks::new(u64::MAX, 2))), None);
    }

    #[test]
    fn places_are_reused_and_taken_once() {
        let mut in_flight = InFlight::default();
        let pending = Pending { slot: 0, life: 1, tag: IoTag(7) };
        let number = in_flight.insert(pending);
        assert_eq!(in_flight.take(number).map(|p| p.tag), Some(IoTag(7)));
        assert!(in_flight.take(number).is_none());
        assert_eq!(in_flight.insert(pending), number);
    }
}

//! What can be wrong with a disk, apart from its power.

use super::types::Direction;
use crate::luck::Luck;
use crate::time::SimTime;

pub(super) struct Faults {
    luck: Luck,
    ranges: Vec<(Direction, u64, u64)>,
    read_error_ppm: u32,
    write_error_ppm: u32,
    /// Nothing completes before.
    pub(super) stalled_until: SimTime,
    pub(super) lying_flush: bool,
    /// It goes on when its host has fallen.
    pub(super) straggles: bool,
    pub(super) offline: bool,
}

impl Faults {
    pub(super) fn new(luck: Luck) -> Faults {
        Faults {
            luck,
            ranges: Vec::new(),
            read_error_ppm: 0,
            write_error_ppm: 0,
            stalled_until: SimTime::ZERO,
            lying_flush: false,
            straggles: false,
            offline: false,
        }
    }

    pub(super) fn fail_range(&mut self, direction: Direction, start: u64, count: u64) {
        self.ranges.push((direction, start, start.saturating_add(count)));
    }

    pub(super) fn clear(&mut self, direction: Direction) {
        self.ranges.retain(|(d, _, _)| *d != direction);
    }

    pub(super) fn set_rate(&mut self, direction: Direction, ppm: u32) {
        match direction {
            Direction::Read => self.read_error_ppm = ppm,
            Direction::Write => self.write_error_ppm = ppm,
        }
    }

    /// Does a request on these blocks fail?
    #[inline]
    pub(super) fn strikes(&mut self, direction: Direction, start: u64, count: u64) -> bool {
        let end = start.saturating_add(count);
        if self.ranges.iter().any(|(d, s, e)| *d == direction && start < *e && *s < end) {
            return true;
        }
        let ppm = match direction {
            Direction::Read => self.read_error_ppm,
            Direction::Write => self.write_error_ppm,
        };
        self.luck.chance(ppm)
    }

    /// A fair draw for what a failed write leaves behind.
    pub(super) fn coin(&mut self) -> bool {
        self.luck.coin()
    }
}

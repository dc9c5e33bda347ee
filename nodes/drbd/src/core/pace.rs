//! The pace of a resync: what its target asks for each tick (DRBD's resync controller), and when a
//! resync makes room for other I/O (`c-min-rate`).

use super::Resource;
use super::config::PeerDeviceOptions;
use super::event::Lower;
use super::parts::{LowerUse, Work};
use super::points::reach;
use super::resync::Resync;
use super::verify::Verify;
use crate::ids::{Blocks, NodeId, Time, VolumeNumber};
use crate::state::{ReplState, Role};
use std::collections::VecDeque;

/// A target asks once in so many ms (`RS_MAKE_REQS_INTV`).
pub(super) const TICK_MS: u64 = 100;
/// How far marks are apart (`DRBD_SYNC_MARK_STEP`).
const MARK_MS: u64 = 3_000;
/// Other I/O of so many sectors since the last look makes a resync slow down.
const FOREIGN_SECTORS: u64 = 64;

/// The resync controller of one target. It steers towards so much data in flight that the slowest
/// part between the two disks always has a little to do, and no more.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    /// Corrections that were decided and are still to come, in sectors a tick, the next one first.
    plan: VecDeque<i64>,
    /// Sectors that were asked for and had not been answered at the last tick.
    in_flight: u64,
    /// Sectors answered since.
    came_in: u64,
    /// What the last ticks gave beyond whole blocks, in sectors.
    rest: u64,
    /// Blocks that may be asked for until the next tick.
    budget: u64,
    ticked: Option<Time>,
}

impl Pace {
    /// A resync begins, or goes on after a pause: what was planned is void.
    pub fn restart(&mut self) {
        self.plan.clear();
        (self.rest, self.budget, self.ticked) = (0, 0, None);
    }

    /// Blocks that may be asked for now.
    pub fn budget(&self) -> u64 {
        self.budget
    }

    /// Nothing more before the next tick.
    pub fn pause(&mut self) {
        self.budget = 0;
    }

    pub fn asked(&mut self, at: Blocks) {
        self.budget = self.budget.saturating_sub(u64::from(at.count));
        self.in_flight += at.sectors();
    }

    pub fn answered(&mut self, at: Blocks) {
        self.came_in += at.sectors();
    }

    /// Deals out the share of the next tick. `max_buffers` is in pages of 4 KiB: half of them may
    /// be in flight. Of a tick that comes late no more is made than of one in time.
    pub fn tick(&mut self, now: Time, options: &PeerDeviceOptions, max_buffers: u32) {
        let elapsed = self.ticked.map_or(TICK_MS, |at| now.ms_since(at).max(1));
        self.ticked = Some(now);
        let came_in = std::mem::take(&mut self.came_in);
        self.in_flight = self.in_flight.saturating_sub(came_in);
        let sectors = match options.plan_ahead {
            0 => sectors_per_tick(options.resync_rate_kib),
            steps => self.control(came_in * TICK_MS / elapsed, usize::from(steps), options),
        };
        let sectors = self.rest + sectors;
        let room = u64::from(max_buffers / 2).saturating_sub(self.in_flight / Blocks::SECTORS);
        self.budget = (sectors / Blocks::SECTORS).min(room);
        self.rest = sectors % Blocks::SECTORS;
    }

    /// `drbd_rs_controller`: sectors to ask for in this tick, when so many came in during the last.
    fn control(&mut self, came_in: u64, steps: usize, options: &PeerDeviceOptions) -> u64 {
        self.plan.resize(steps, 0);
        let start = self.in_flight + came_in == 0;
        let want = match options.fill_target {
            // A sector a tick at least: DRBD stands still at rates that it rounds down to nothing.
            _ if start => sectors_per_tick(options.resync_rate_kib) * steps as u64,
            // The delay is in ticks, as is what came in.
            0 => came_in * u64::from(options.delay_target),
            sectors => u64::from(sectors),
        };
        let planned: i64 = self.plan.iter().sum();
        let correction = (want as i64 - self.in_flight as i64 - planned) / steps as i64;
        self.plan.iter_mut().for_each(|slot| *slot += correction);
        let now = self.plan.pop_front().unwrap_or(0);
        self.plan.push_back(0);
        let sectors = came_in.saturating_add_signed(now);
        match options.max_rate_kib {
            0 => sectors,
            rate => sectors.min(sectors_per_tick(rate)),
        }
    }
}

/// A rate in KiB/s as sectors in 100 ms, one at least.
fn sectors_per_tick(rate_kib: u64) -> u64 {
    (rate_kib * 2 * TICK_MS / 1000).max(1)
}

/// How many bits went lately: DRBD keeps a mark each three seconds, and measures from the one
/// before the last.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    /// The last mark and the one before: time, and bits that were left.
    last: Option<[(Time, u64); 2]>,
    /// Sectors of other I/O at the last look.
    seen: u64,
}

impl Marks {
    /// KiB/s since the mark before the last, with so many bits left.
    fn speed_kib(&mut self, now: Time, left: u64) -> u64 {
        let [newest, before] = *self.last.get_or_insert([(now, left); 2]);
        if now.ms_since(newest.0) >= MARK_MS {
            self.last = Some([(now, left), newest]);
        }
        let seconds = (now.ms_since(before.0) / 1000).max(1);
        before.1.saturating_sub(left) * (Blocks::BYTES / 1024) / seconds
    }
}

impl Resource {
    /// Counts I/O on a lower device that is not the resync's own, nor of the metadata.
    pub(super) fn count_foreign(&mut self, v: usize, request: &Lower, usage: &LowerUse) {
        let foreign =
            matches!(usage, LowerUse::App(_) | LowerUse::Peer(_) | LowerUse::PeerRead(..));
        if foreign {
            self.devices[v].foreign_sectors += match request {
                Lower::Read(at) | Lower::Discard(at) => at.sectors(),
                Lower::Write { payload, .. } => payload.len() as u64 * Blocks::SECTORS,
                Lower::Flush => 0,
            };
        }
    }

    /// Is other I/O to go first (`drbd_rs_c_min_rate_throttle`): does it wait for the activity log,
    /// or was there some lately, and is the resync faster than it need be?
    fn throttles(&mut self, c: usize, v: usize) -> bool {
        let node = self.conns[c].node;
        let least = self.config.pace(node, VolumeNumber(v as u16)).min_rate_kib;
        let verify = self.conns[c].volumes[v].verify.as_ref();
        let left = verify.map_or(self.devices[v].weight(node), Verify::left);
        let device = &self.devices[v];
        let waits = |work: &Work| matches!(work, Work::AppActive(_) | Work::PeerActive(_));
        let waits = device.al.waiting().any(waits);
        let foreign = device.foreign_sectors;
        let marks = &mut self.conns[c].volumes[v].resync.marks;
        let speed = marks.speed_kib(self.now, left);
        if !waits && foreign.saturating_sub(marks.seen) <= FOREIGN_SECTORS {
            return false;
        }
        marks.seen = foreign;
        least > 0 && speed > least
    }

    /// The next tick: a target, or who drives a verify, asks for its share; a source serves the
    /// next request of those that wait.
    pub(super) fn resync_tick(&mut self, c: usize, v: usize) {
        let repl = self.conns[c].volumes[v].repl;
        if repl.is_sync_source() {
            return self.serve_next(c, v);
        }
        let throttled = self.throttles(c, v);
        let options = self.config.pace(self.conns[c].node, VolumeNumber(v as u16));
        let resync = &mut self.conns[c].volumes[v].resync;
        resync.tick = Some(self.now.plus_ms(TICK_MS));
        resync.pace.tick(self.now, &options, self.config.max_buffers);
        if throttled {
            reach!(self, ResyncThrottled);
            resync.pace.pause();
        }
        match repl {
            ReplState::VerifyS => self.verify_progress(c, v),
            _ => self.resync_progress(c, v),
        }
    }

    /// A source serves a request at once, or, to let other I/O go first, one in 100 ms. (If the
    /// target is Primary, it alone slows down: it knows what its application waits for.)
    pub(super) fn pace_request(&mut self, key: usize, c: usize, v: usize) {
        let waiting = !self.conns[c].volumes[v].resync.slowed.is_empty();
        let throttled = self.throttles(c, v) && self.conns[c].role != Role::Primary;
        if !waiting && !throttled {
            return self.serve(key);
        }
        reach!(self, ResyncSlowed);
        self.resync_reqs[key].slowed = true;
        let next = self.now.plus_ms(TICK_MS);
        let resync = &mut self.conns[c].volumes[v].resync;
        resync.slowed.push_back(key);
        resync.tick.get_or_insert(next);
    }

    fn serve_next(&mut self, c: usize, v: usize) {
        loop {
            let Resync { slowed, tick, .. } = &mut self.conns[c].volumes[v].resync;
            let Some(key) = slowed.pop_front() else { return *tick = None };
            *tick = Some(self.now.plus_ms(TICK_MS));
            self.resync_reqs[key].slowed = false;
            self.serve_or_refuse(key);
            if self.throttles(c, v) {
                return;
            }
        }
    }

    /// Options of `drbdsetup peer-device-options` take effect with the next tick.
    pub(super) fn set_peer_device_options(
        &mut self,
        towards: (NodeId, VolumeNumber),
        options: PeerDeviceOptions,
    ) {
        self.config.towards.insert(towards, options);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link and two disks that move so many sectors a tick, in their order.
    struct Path {
        pace: Pace,
        now: Time,
        capacity: u64,
        backlog: u64,
        max_buffers: u32,
    }

    impl Path {
        fn new(capacity: u64) -> Path {
            let (pace, now, backlog) = (Pace::default(), Time(0), 0);
            Path { pace, now, capacity, backlog, max_buffers: 2_048 }
        }

        /// Sectors that arrived in this tick; the target has asked for all that it may.
        fn tick(&mut self, options: &PeerDeviceOptions) -> u64 {
            self.pace.tick(self.now, options, self.max_buffers);
            self.now = self.now.plus_ms(TICK_MS);
            if let Some(blocks) = u32::try_from(self.pace.budget()).ok().filter(|n| *n > 0) {
                let at = Blocks::new(0, blocks);
                self.pace.asked(at);
                self.backlog += at.sectors();
            }
            let blocks = self.backlog.min(self.capacity) / Blocks::SECTORS;
            if blocks > 0 {
                self.pace.answered(Blocks::new(0, blocks as u32));
            }
            self.backlog -= blocks * Blocks::SECTORS;
            blocks * Blocks::SECTORS
        }

        /// Sectors of each of the last ten of so many ticks, on average.
        fn after(&mut self, ticks: u32, options: &PeerDeviceOptions) -> u64 {
            for _ in 10..ticks {
                self.tick(options);
            }
            (0..10).map(|_| self.tick(options)).sum::<u64>() / 10
        }
    }

    #[test]
    fn it_begins_with_the_fixed_rate_and_grows_step_by_step() {
        let options = PeerDeviceOptions::default();
        let mut path = Path::new(u64::MAX);
        // 250 KiB/s are 50 sectors in a tick. From then on as much is added as would fill the path
        // up to its target in two seconds, if nothing left it.
        let first: Vec<u64> = (0..4).map(|_| path.tick(&options)).collect();
        assert_eq!(first, [48, 56, 64, 72]);
        let grown = path.after(200, &options);
        assert!(grown > 800 && path.after(200, &options) > grown + 800, "{grown}");
    }

    #[test]
    fn a_slow_path_is_kept_full_and_no_fuller() {
        let options = PeerDeviceOptions::default();
        let mut path = Path::new(800);
        assert_eq!(path.after(400, &options), 800);
        // 100 sectors, give or take what the steps of the plan are rounded to.
        assert!((40..=140).contains(&path.backlog), "{}", path.backlog);
        path.capacity = 160;
        path.after(400, &options);
        assert!((40..=140).contains(&path.backlog), "{}", path.backlog);
    }

    #[test]
    fn without_a_fill_target_the_delay_says_how_much_is_on_its_way() {
        let options =
            PeerDeviceOptions { fill_target: 0, delay_target: 5, ..PeerDeviceOptions::default() };
        let mut path = Path::new(160);
        path.after(600, &options);
        assert!((640..=960).contains(&path.backlog), "half a second: {}", path.backlog);
    }

    #[test]
    fn limits_hold() {
        let mut options = PeerDeviceOptions { max_rate_kib: 4_000, ..Default::default() };
        assert_eq!(Path::new(u64::MAX).after(400, &options), 800);
        options.plan_ahead = 0;
        // 250 KiB/s do not come out in whole blocks, but in the long run.
        assert_eq!(Path::new(u64::MAX).after(100, &options), 50);
        let mut fixed = Path::new(u64::MAX);
        assert_eq!((0..100).map(|_| fixed.tick(&options)).sum::<u64>(), 5_000);
        options.resync_rate_kib = 1;
        let mut slow = Path::new(u64::MAX);
        assert!((0..100).any(|_| slow.tick(&options) > 0), "the slowest still moves");
        options.resync_rate_kib = 1_000_000;
        let mut stuck = Path::new(0);
        stuck.max_buffers = 100;
        for _ in 0..10 {
            stuck.tick(&options);
        }
        assert_eq!(stuck.backlog, 50 * Blocks::SECTORS, "half of max-buffers");
    }

    #[test]
    fn the_speed_is_measured_over_some_seconds() {
        let mut marks = Marks::default();
        let at = |ms| Time(0).plus_ms(ms);
        assert_eq!(marks.speed_kib(at(0), 1_000), 0);
        assert_eq!(marks.speed_kib(at(2_000), 500), 1_000);
        assert_eq!(marks.speed_kib(at(3_000), 500), 666);
        assert_eq!(marks.speed_kib(at(6_000), 500), 333);
        // The first mark is gone by now: only the last three seconds count, in which nothing went.
        assert_eq!(marks.speed_kib(at(6_500), 500), 0);
    }
}

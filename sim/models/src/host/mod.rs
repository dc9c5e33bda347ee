//! A host below its kernel: power, boot, crash, freeze; its clock and its watchdog.
//!
//! What it does:
//!
//! * Power on, reset and the reboot after a crash take a boot time drawn from the profile; each
//!   boot has a number, from 1.
//! * Power loss and reset end everything at once. A kernel crash leaves the host dead until it
//!   reboots by itself (after a drawn time) or for good, as the profile says.
//! * A frozen host stands still, until a given time or [`Host::thaw`]. Its watchdog does not.
//! * The watchdog survives a crash and a freeze; when it fires, the host resets.
//!
//! The host does not know its network stack and disks: the caller passes on what happens here
//! (`Net::host_down`, `Disk::power_off` or `Disk::crash`). A reset by the watchdog leaves the disks
//! their power.
//!
//! Known gaps: booting cannot fail; time spent frozen passes on the host's clocks.

mod clock;
mod watchdog;

use crate::hash::Hash64;
use crate::luck::Luck;
use crate::time::{SimTime, Span, SpanRange};
pub use clock::HostClock;
pub use watchdog::Watchdog;

/// How a host behaves.
#[derive(Clone, Debug)]
pub struct HostProfile {
    /// From power on to a running kernel.
    pub boot: SpanRange,
    /// From a kernel crash to the beginning of the reboot; `None`: it stays dead until someone
    /// switches it off and on.
    pub reboot_after_crash: Option<SpanRange>,
}

impl Default for HostProfile {
    fn default() -> HostProfile {
        HostProfile {
            boot: Span::secs(20)..=Span::secs(90),
            reboot_after_crash: Some(Span::secs(1)..=Span::secs(10)),
        }
    }
}

/// What a host is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostState {
    /// No power.
    Off,
    /// Firmware and kernel start; up at this time.
    Booting {
        /// When the kernel runs.
        until: SimTime,
    },
    /// The kernel runs.
    Up,
    /// The kernel runs but nothing moves, until then or (`FAR`) until thawed.
    Frozen {
        /// When it goes on by itself.
        until: SimTime,
    },
    /// The kernel is dead; power is on.
    Crashed {
        /// When the reboot begins by itself; `FAR` is never.
        reboot_at: SimTime,
    },
}

/// Something that happened to a host by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostEvent {
    /// When.
    pub at: SimTime,
    /// What.
    pub what: HostWhat,
}

/// Kinds of [`HostEvent`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostWhat {
    /// The kernel runs.
    Up {
        /// How many boots so far, from 1.
        boot: u32,
    },
    /// A freeze ended by itself.
    Thawed,
    /// After a crash the reboot has begun.
    Rebooting,
    /// The watchdog fired: whatever ran is gone, and the host reboots.
    WatchdogFired,
}

/// One host. See the module's text.
#[derive(Clone, Debug)]
pub struct Host {
    luck: Luck,
    profile: HostProfile,
    state: HostState,
    boots: u32,
    hash: Hash64,
    /// Its clocks.
    pub clock: HostClock,
    watchdog: Watchdog,
}

impl Host {
    /// A host without power.
    pub fn new(luck: Luck, profile: HostProfile, clock: HostClock) -> Host {
        Host {
            luck,
            profile,
            state: HostState::Off,
            boots: 0,
            hash: Hash64::new(),
            clock,
            watchdog: Watchdog::default(),
        }
    }

    /// What it is doing.
    pub fn state(&self) -> HostState {
        self.state
    }
    /// Does its kernel run and move?
    pub fn is_up(&self) -> bool {
        self.state == HostState::Up
    }
    /// Does its kernel live (moving or frozen)?
    pub fn is_alive(&self) -> bool {
        matches!(self.state, HostState::Up | HostState::Frozen { .. })
    }
    /// Number of the running boot or of the last one; 0 before the first.
    pub fn boot(&self) -> u32 {
        self.boots
    }
    /// Hash over everything that happened so far.
    pub fn hash(&self) -> u64 {
        self.hash.value()
    }

    /// Running at once, without boot time: how a world begins. Returns the boot number.
    pub fn start(&mut self, now: SimTime) -> u32 {
        self.up(now);
        self.boots
    }
    /// The power button: boots if it was off, otherwise nothing. Tells whether anything changed.
    pub fn power_on(&mut self, now: SimTime) -> bool {
        let off = self.state == HostState::Off;
        if off {
            self.begin_boot(now);
        }
        off
    }
    /// Power is lost. Tells whether it was on.
    pub fn power_off(&mut self, now: SimTime) -> bool {
        let on = self.state != HostState::Off;
        self.watchdog.disarm();
        self.enter(now, HostState::Off);
        on
    }
    /// The reset button: whatever ran is gone, the host boots. Does nothing without power.
    pub fn reset(&mut self, now: SimTime) -> bool {
        let on = self.state != HostState::Off;
        if on {
            self.begin_boot(now);
        }
        on
    }
    /// The kernel dies. Does nothing unless one runs.
    pub fn crash(&mut self, now: SimTime) -> bool {
        if !self.is_alive() {
            return false;
        }
        let wait = self.profile.reboot_after_crash.as_ref().map(|r| self.luck.span(r));
        let reboot_at = wait.map_or(SimTime::FAR, |wait| now + wait);
        self.enter(now, HostState::Crashed { reboot_at });
        true
    }
    /// Stands still until then. Does nothing unless the kernel runs.
    pub fn freeze(&mut self, now: SimTime, until: SimTime) -> bool {
        let alive = self.is_alive();
        if alive {
            self.enter(now, HostState::Frozen { until });
        }
        alive
    }
    /// Ends a freeze.
    pub fn thaw(&mut self, now: SimTime) -> bool {
        let frozen = matches!(self.state, HostState::Frozen { .. });
        if frozen {
            self.enter(now, HostState::Up);
        }
        frozen
    }

    /// Software on the host arms the watchdog, or changes its timeout. Ignored unless up.
    pub fn arm_watchdog(&mut self, now: SimTime, timeout: Span) {
        if self.is_up() {
            self.watchdog.arm(now, timeout);
        }
    }
    /// Software on the host pets the watchdog. Ignored unless up.
    pub fn pet_watchdog(&mut self, now: SimTime) {
        if self.is_up() {
            self.watchdog.pet(now);
        }
    }
    /// Software on the host stops the watchdog. Ignored unless up.
    pub fn disarm_watchdog(&mut self) {
        if self.is_up() {
            self.watchdog.disarm();
        }
    }
    /// When the watchdog will fire.
    pub fn watchdog_due(&self) -> Option<SimTime> {
        self.watchdog.due()
    }

    /// When [`Host::run_due`] wants to be called next.
    pub fn next_due(&self) -> Option<SimTime> {
        let own = match self.state {
            HostState::Booting { until } | HostState::Frozen { until } => until,
            HostState::Crashed { reboot_at } => reboot_at,
            HostState::Off | HostState::Up => SimTime::FAR,
        };
        let next = own.min(self.watchdog.due().unwrap_or(SimTime::FAR));
        (next != SimTime::FAR).then_some(next)
    }

    /// Handles all that is due at or before `now`.
    pub fn run_due(&mut self, now: SimTime, out: &mut Vec<HostEvent>) {
        while let Some(at) = self.next_due().filter(|at| *at <= now) {
            let what = self.step(at);
            out.push(HostEvent { at, what });
        }
    }

    fn step(&mut self, at: SimTime) -> HostWhat {
        // The watchdog first: a host that thaws at the very moment comes too late.
        if self.watchdog.fire(at).is_some() {
            self.begin_boot(at);
            return HostWhat::WatchdogFired;
        }
        match self.state {
            HostState::Booting { .. } => {
                self.up(at);
                HostWhat::Up { boot: self.boots }
            }
            HostState::Crashed { .. } => {
                self.begin_boot(at);
                HostWhat::Rebooting
            }
            HostState::Frozen { .. } | HostState::Up | HostState::Off => {
                self.enter(at, HostState::Up);
                HostWhat::Thawed
            }
        }
    }

    fn begin_boot(&mut self, now: SimTime) {
        self.watchdog.disarm();
        let until = now + self.luck.span(&self.profile.boot);
        self.enter(now, HostState::Booting { until });
    }

    fn up(&mut self, now: SimTime) {
        self.boots += 1;
        self.clock.boot(now);
        self.enter(now, HostState::Up);
    }

    fn enter(&mut self, now: SimTime, state: HostState) {
        let (kind, until) = match state {
            HostState::Off => (0, SimTime::FAR),
            HostState::Booting { until } => (1, until),
            HostState::Up => (2, SimTime::FAR),
            HostState::Frozen { until } => (3, until),
            HostState::Crashed { reboot_at } => (4, reboot_at),
        };
        self.hash.add(now.0);
        self.hash.add(until.0 ^ kind);
        self.state = state;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> SimTime {
        SimTime::ZERO + Span::secs(s)
    }

    fn alpha() -> Host {
        let profile = HostProfile {
            boot: Span::secs(30)..=Span::secs(30),
            reboot_after_crash: Some(Span::secs(5)..=Span::secs(5)),
        };
        let clock = HostClock::new(SimTime::ZERO, 0, 0);
        let mut host = Host::new(Luck::root(1).fork("alpha"), profile, clock);
        assert_eq!(host.start(at(0)), 1);
        host
    }

    fn run(host: &mut Host, until: SimTime) -> Vec<(u64, HostWhat)> {
        let mut out = Vec::new();
        host.run_due(until, &mut out);
        out.into_iter().map(|e| (e.at.0 / 1_000_000_000, e.what)).collect()
    }

    #[test]
    fn power_loss_and_boot() {
        let mut host = alpha();
        assert!(host.power_off(at(1)));
        assert_eq!((host.next_due(), host.power_off(at(1))), (None, false));
        assert!(host.power_on(at(10)) && !host.power_on(at(11)));
        assert_eq!(run(&mut host, at(39)), []);
        assert_eq!(run(&mut host, at(100)), [(40, HostWhat::Up { boot: 2 })]);
        assert_eq!(host.clock.mono(at(41)), 1_000_000_000);
    }

    #[test]
    fn a_crash_reboots_by_itself() {
        let mut host = alpha();
        assert!(host.crash(at(1)));
        assert!(!host.is_alive() && !host.crash(at(1)));
        let expected = [(6, HostWhat::Rebooting), (36, HostWhat::Up { boot: 2 })];
        assert_eq!(run(&mut host, at(100)), expected);
    }

    #[test]
    fn a_crash_without_reboot_stays_dead_until_power_cycled() {
        let mut host = alpha();
        host.profile.reboot_after_crash = None;
        host.crash(at(1));
        assert_eq!((host.next_due(), host.power_on(at(2))), (None, false));
        host.power_off(at(3));
        host.power_on(at(4));
        assert_eq!(run(&mut host, at(100)), [(34, HostWhat::Up { boot: 2 })]);
    }

    #[test]
    fn a_freeze_ends_by_itself_or_by_thaw() {
        let mut host = alpha();
        assert!(host.freeze(at(1), at(4)));
        assert!(host.is_alive() && !host.is_up());
        assert_eq!(run(&mut host, at(10)), [(4, HostWhat::Thawed)]);
        host.freeze(at(11), SimTime::FAR);
        assert_eq!(host.next_due(), None);
        assert!(host.thaw(at(12)) && host.is_up() && !host.thaw(at(12)));
    }

    #[test]
    fn the_watchdog_resets_a_frozen_host() {
        let mut host = alpha();
        host.arm_watchdog(at(0), Span::secs(60));
        host.pet_watchdog(at(10));
        host.freeze(at(20), at(90));
        host.pet_watchdog(at(50));
        let expected = [(70, HostWhat::WatchdogFired), (100, HostWhat::Up { boot: 2 })];
        assert_eq!(run(&mut host, at(200)), expected);
        assert_eq!(host.watchdog_due(), None);
    }

    #[test]
    fn the_watchdog_rescues_a_crashed_host_and_dies_with_power() {
        let mut host = alpha();
        host.profile.reboot_after_crash = None;
        host.arm_watchdog(at(0), Span::secs(60));
        host.crash(at(20));
        assert_eq!(run(&mut host, at(61)), [(60, HostWhat::WatchdogFired)]);
        run(&mut host, at(90));
        host.arm_watchdog(at(90), Span::secs(60));
        host.power_off(at(95));
        assert_eq!(host.next_due(), None);
    }

    #[test]
    fn the_same_seed_boots_at_the_same_time() {
        let boot = |seed| {
            let clock = HostClock::new(SimTime::ZERO, 0, 0);
            let mut host = Host::new(Luck::root(seed), HostProfile::default(), clock);
            host.power_on(at(0));
            (host.next_due(), host.hash())
        };
        assert_eq!(boot(1), boot(1));
        assert_ne!(boot(1), boot(2));
    }
}

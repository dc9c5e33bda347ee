//! States that a search should see: products of roles, disks, quorum, connections and replication,
//! and faults that strike while they last. Each is noted once per run; over a batch the counts say
//! what was tested and what was not.
//!
//! Marks are no part of the trace: they look at the world and change nothing.

use super::World;
use super::resource::{Node, Resource};
use drbd::state::{ConnState, DiskState, ReplState, Role};
use kernel::Power;
use scenarios::{Do, Event, Fact, Step};

macro_rules! marks {
    ($($mark:ident $name:literal)*) => {
        /// One of the states.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        enum Mark { $($mark,)* }

        /// Names of all states, by number.
        pub const SOMETIMES: &[&str] = &[$($name,)*];
    };
}

marks! {
    PrimaryUpToDate "primary.up-to-date"
    PrimaryInconsistent "primary.inconsistent"
    PrimaryOutdated "primary.outdated"
    PrimaryDiskless "primary.diskless"
    PrimaryLostDisk "primary.disk-lost"
    PrimaryNoQuorum "primary.no-quorum"
    PrimaryDisklessNoQuorum "primary.diskless.no-quorum"
    PrimarySuspended "primary.suspended"
    PrimarySuspendedQuorate "primary.suspended.with-quorum"
    PrimaryAlone "primary.no-peer-connected"
    PrimaryOneCopyLeft "primary.diskless.one-copy-left"
    TwoPrimaries "two-primaries.apart"
    TwoPrimariesOneQuorum "two-primaries.apart.one-with-quorum"
    SecondaryConsistent "secondary.consistent"
    SecondaryOutdated "secondary.outdated"
    SecondaryOutdatedQuorum "secondary.outdated.quorum"
    AllOutdated "copies.none-up-to-date"
    OneUpToDate "copies.one-up-to-date"
    SourcePrimary "resync.source-is-primary"
    SourceSecondary "resync.source-is-secondary"
    TargetPrimary "resync.target-is-primary"
    TwoTargets "resync.two-targets-of-one-source"
    Chain "resync.target-is-source-too"
    PausedTarget "resync.paused"
    BitmapExchange "resync.bitmap-exchange"
    ResyncDisklessPrimary "resync.diskless-primary"
    ResyncNoQuorum "resync.target-without-quorum"
    ResyncSuspended "resync.primary-suspended"
    ResyncPartial "resync.third-copy-away"
    BitsBetweenGood "resync.bits-between-up-to-date-copies"
    OneSided "connection.one-sided"
    Partitioned "connection.two-pairs"
    TwoDown "hosts.two-down"
    AllDown "hosts.all-down"
    DownAndFrozen "hosts.one-down-one-frozen"
    ShuttingDown "hosts.shutting-down-while-another-is-down"
    BootDuringResync "hosts.boot-during-resync"
    PowerPrimary "power-loss.primary"
    PowerTarget "power-loss.sync-target"
    PowerSource "power-loss.sync-source"
    PowerBitmap "power-loss.bitmap-exchange"
    PowerSuspended "power-loss.while-suspended"
    PowerLastCopy "power-loss.last-up-to-date-copy"
    PowerTieBreaker "power-loss.tie-breaker-with-a-copy-away"
    ShutdownPrimary "shutdown.primary"
    ShutdownTarget "shutdown.sync-target"
    ShutdownSource "shutdown.sync-source"
    FreezePrimary "freeze.primary"
    FreezeSource "freeze.sync-source"
    FreezeTarget "freeze.sync-target"
    LinkTarget "link-loss.sync-target"
    LinkSource "link-loss.sync-source"
    LinkNoQuorum "link-loss.without-quorum"
    LinkOneAway "link-loss.another-host-away"
    DiskPrimary "disk-error.primary"
    DiskSource "disk-error.sync-source"
    DiskTarget "disk-error.sync-target"
    MoveResync "move.during-resync"
    MoveSuspended "move.while-suspended"
    MoveOneAway "move.a-copy-away"
    AimedLinkUp "aimed.link-up"
    AimedLinkDown "aimed.link-down"
    AimedHandshake "aimed.handshake"
    AimedConnected "aimed.connected"
    AimedUuid "aimed.new-current-uuid"
    AimedOpening "aimed.opening"
    AimedPromoted "aimed.promoted"
    AimedDemoted "aimed.demoted"
    AimedResyncStarts "aimed.resync-starts"
    AimedResyncEnds "aimed.resync-ends"
    AimedQuorumLost "aimed.quorum-lost"
    AimedQuorumBack "aimed.quorum-back"
    AimedSuspended "aimed.suspended"
    AimedMetadata "aimed.metadata-write"
    AimedBooted "aimed.booted"
}

/// Words of 64 bits that hold a bit for each state.
const WORDS: usize = SOMETIMES.len().div_ceil(64);

/// The states that a run has seen.
#[derive(Clone, Default, Debug)]
pub(super) struct Seen {
    words: [u64; WORDS],
    /// Nothing is looked at.
    off: bool,
}

impl Seen {
    /// Looks, or does not.
    pub fn new(on: bool) -> Seen {
        Seen { off: !on, ..Seen::default() }
    }

    /// By number of the state, 64 to a word.
    pub fn words(&self) -> Vec<u64> {
        self.words.to_vec()
    }

    fn note(&mut self, holds: bool, mark: Mark) {
        if holds {
            self.add(mark);
        }
    }

    fn add(&mut self, mark: Mark) {
        self.words[mark as usize / 64] |= 1 << (mark as usize % 64);
    }
}

/// This state holds, if it does.
macro_rules! sometimes {
    ($seen:expr, $holds:expr, $mark:ident) => {
        $seen.note($holds, Mark::$mark)
    };
}

/// What one node looks like; of several volumes, any.
struct Look {
    primary: bool,
    quorum: bool,
    diskful: bool,
    disk: DiskState,
    up: bool,
    target: bool,
    source: usize,
    bitmap: bool,
    paused: bool,
}

impl Look {
    fn of(node: &Node) -> Look {
        let repl = || node.view.repl.iter().flatten();
        let is = |wanted: fn(&ReplState) -> bool| repl().any(wanted);
        Look {
            primary: node.view.role == Role::Primary,
            quorum: node.view.quorum.iter().all(|yes| *yes),
            diskful: node.diskful,
            disk: node.view.disk.iter().copied().min().unwrap_or(DiskState::Diskless),
            up: node.view.role != Role::Unknown,
            target: is(|repl| matches!(repl, ReplState::SyncTarget | ReplState::PausedSyncT)),
            source: repl().filter(|repl| **repl == ReplState::SyncSource).count(),
            bitmap: is(|repl| matches!(repl, ReplState::WFBitMapS | ReplState::WFBitMapT)),
            paused: is(|repl| *repl == ReplState::PausedSyncT),
        }
    }

    fn syncs(&self) -> bool {
        self.target || self.source > 0
    }
}

impl World {
    /// A resource has changed.
    pub(super) fn look_for_marks(&mut self, at: usize) {
        if self.seen.off {
            return;
        }
        let resource = &self.resources[at];
        let looks: Vec<Look> = resource.nodes.iter().map(Look::of).collect();
        let suspended = resource.nodes.iter().any(|n| self.is_suspended(n));
        let seen = &mut self.seen;
        let primaries = looks.iter().filter(|look| look.primary).count();
        sometimes!(seen, primaries > 1, TwoPrimaries);
        let quorate = looks.iter().filter(|look| look.primary && look.quorum).count();
        sometimes!(seen, primaries > 1 && quorate == 1 && resource.quorum, TwoPrimariesOneQuorum);
        let copies = || looks.iter().filter(|look| look.diskful);
        let good = copies().filter(|look| look.disk == DiskState::UpToDate).count();
        let away = copies().filter(|look| !look.up).count();
        let present = copies().filter(|look| look.disk >= DiskState::Inconsistent).count();
        sometimes!(seen, present > 0 && good == 0, AllOutdated);
        sometimes!(seen, present > 1 && good == 1, OneUpToDate);
        let syncs = looks.iter().any(Look::syncs);
        let diskless = looks.iter().any(|look| look.primary && !look.diskful);
        sometimes!(seen, syncs && diskless, ResyncDisklessPrimary);
        sometimes!(seen, syncs && suspended, ResyncSuspended);
        sometimes!(seen, syncs && away > 0, ResyncPartial);
        sometimes!(seen, diskless && good == 1, PrimaryOneCopyLeft);
        for (node, look) in looks.iter().enumerate() {
            mark_node(seen, look, resource, node);
        }
        sometimes!(seen, one_sided(resource), OneSided);
        sometimes!(seen, two_pairs(resource), Partitioned);
    }

    /// Marks that are cheap enough for now and then only.
    pub(super) fn look_at_engines(&mut self) {
        if self.seen.off {
            return;
        }
        for at in 0..self.resources.len() {
            for node in 0..self.resources[at].nodes.len() {
                let place = &self.resources[at].nodes[node];
                let primary = place.view.role == Role::Primary;
                let quorum = place.view.quorum.iter().all(|yes| *yes);
                let suspended = primary && self.is_suspended(place);
                sometimes!(self.seen, suspended, PrimarySuspended);
                sometimes!(self.seen, suspended && quorum, PrimarySuspendedQuorate);
                let Some(view) = self.volume_view(at, node, 0) else { continue };
                let good = |disk| disk == DiskState::UpToDate;
                let bits = view.peers.iter().any(|peer| {
                    let whole = good(peer.disk) && peer.repl == ReplState::Established;
                    whole && peer.out_of_sync > 0
                });
                sometimes!(self.seen, good(view.disk) && bits, BitsBetweenGood);
            }
        }
        let count = |is: fn(&kernel::Host) -> bool| self.hosts.iter().filter(|h| is(h)).count();
        let down = count(|host| !host.has_kernel());
        let frozen = count(kernel::Host::is_frozen);
        let leaving = count(|host| matches!(host.power(), Power::ShuttingDown(_)));
        sometimes!(self.seen, down >= 2, TwoDown);
        sometimes!(self.seen, down == self.hosts.len(), AllDown);
        sometimes!(self.seen, down > 0 && frozen > 0, DownAndFrozen);
        sometimes!(self.seen, down > 0 && leaving > 0, ShuttingDown);
    }

    fn is_suspended(&self, node: &Node) -> bool {
        let engine = self.hosts[node.host].engine(node.slot);
        engine.is_some_and(|engine| engine.is_suspended())
    }

    /// A step is about to strike: what does it strike?
    pub(super) fn mark_fault(&mut self, step: &Step) {
        if self.seen.off {
            return;
        }
        if let Some(event) = aimed_at(step) {
            self.seen.add(event);
        }
        let host = match &step.action {
            Do::PowerOff { host } | Do::Crash { host } | Do::Shutdown { host, .. } => Some(host),
            Do::Freeze { host } | Do::Isolate { host, .. } | Do::Boot { host } => Some(host),
            Do::DiskError { host, .. } => Some(host),
            Do::Cut { from, .. } => Some(from),
            _ => None,
        };
        let host = host.and_then(|name| self.hosts.iter().position(|h| h.name() == name));
        for at in 0..self.resources.len() {
            let resource = &self.resources[at];
            let looks: Vec<Look> = resource.nodes.iter().map(Look::of).collect();
            let struck = host.and_then(|host| resource.node_on(host));
            let suspended = resource.nodes.iter().any(|n| self.is_suspended(n));
            mark_struck(&mut self.seen, &step.action, &looks, struck, suspended);
        }
    }
}

fn mark_node(seen: &mut Seen, look: &Look, resource: &Resource, node: usize) {
    use DiskState::{Consistent, Diskless, Inconsistent, Outdated, UpToDate};
    let connected = |peer: usize| peer != node && resource.connected(node, peer);
    let alone = !(0..resource.nodes.len()).any(connected);
    let is = |disk| look.disk == disk;
    sometimes!(seen, look.primary && is(UpToDate), PrimaryUpToDate);
    sometimes!(seen, look.primary && is(Inconsistent), PrimaryInconsistent);
    sometimes!(seen, look.primary && is(Outdated), PrimaryOutdated);
    sometimes!(seen, look.primary && !look.diskful, PrimaryDiskless);
    sometimes!(seen, look.primary && look.diskful && is(Diskless), PrimaryLostDisk);
    sometimes!(seen, look.primary && !look.quorum, PrimaryNoQuorum);
    sometimes!(seen, look.primary && !look.diskful && !look.quorum, PrimaryDisklessNoQuorum);
    sometimes!(seen, look.primary && alone, PrimaryAlone);
    let secondary = look.up && !look.primary;
    sometimes!(seen, secondary && is(Consistent), SecondaryConsistent);
    sometimes!(seen, secondary && is(Outdated), SecondaryOutdated);
    sometimes!(seen, secondary && is(Outdated) && look.quorum, SecondaryOutdatedQuorum);
    sometimes!(seen, look.primary && look.source > 0, SourcePrimary);
    sometimes!(seen, secondary && look.source > 0, SourceSecondary);
    sometimes!(seen, look.primary && look.target, TargetPrimary);
    sometimes!(seen, look.source > 1, TwoTargets);
    sometimes!(seen, look.source > 0 && look.target, Chain);
    sometimes!(seen, look.paused, PausedTarget);
    sometimes!(seen, look.bitmap, BitmapExchange);
    sometimes!(seen, look.target && !look.quorum, ResyncNoQuorum);
}

fn mark_struck(
    seen: &mut Seen,
    action: &Do,
    looks: &[Look],
    struck: Option<usize>,
    suspended: bool,
) {
    let syncs = looks.iter().any(Look::syncs);
    let copies = || looks.iter().filter(|look| look.diskful);
    let good = copies().filter(|look| look.disk == DiskState::UpToDate).count();
    let away = copies().any(|look| !look.up);
    if let Do::MoveVm { .. } = action {
        sometimes!(seen, syncs, MoveResync);
        sometimes!(seen, suspended, MoveSuspended);
        sometimes!(seen, away, MoveOneAway);
    }
    let Some(look) = struck.and_then(|node| looks.get(node)) else { return };
    match action {
        Do::Boot { .. } => sometimes!(seen, syncs && !look.up, BootDuringResync),
        _ if !look.up => {}
        Do::PowerOff { .. } | Do::Crash { .. } => {
            sometimes!(seen, look.primary, PowerPrimary);
            sometimes!(seen, look.target, PowerTarget);
            sometimes!(seen, look.source > 0, PowerSource);
            sometimes!(seen, look.bitmap, PowerBitmap);
            sometimes!(seen, suspended, PowerSuspended);
            sometimes!(seen, look.disk == DiskState::UpToDate && good == 1, PowerLastCopy);
            sometimes!(seen, !look.diskful && away, PowerTieBreaker);
        }
        Do::Shutdown { .. } => {
            sometimes!(seen, look.primary, ShutdownPrimary);
            sometimes!(seen, look.target, ShutdownTarget);
            sometimes!(seen, look.source > 0, ShutdownSource);
        }
        Do::Freeze { .. } => {
            sometimes!(seen, look.primary, FreezePrimary);
            sometimes!(seen, look.target, FreezeTarget);
            sometimes!(seen, look.source > 0, FreezeSource);
        }
        Do::Isolate { .. } | Do::Cut { .. } => {
            sometimes!(seen, look.target, LinkTarget);
            sometimes!(seen, look.source > 0, LinkSource);
            sometimes!(seen, !look.quorum, LinkNoQuorum);
            sometimes!(seen, looks.iter().any(|look| !look.up), LinkOneAway);
        }
        Do::DiskError { .. } => {
            sometimes!(seen, look.primary, DiskPrimary);
            sometimes!(seen, look.source > 0, DiskSource);
            sometimes!(seen, look.target, DiskTarget);
        }
        _ => {}
    }
}

/// The event that a fault was aimed at.
fn aimed_at(step: &Step) -> Option<Mark> {
    let facts = step.when.that.iter().flat_map(|that| &that.all);
    let mut event = facts.filter_map(|fact| match fact {
        Fact::Event { event, .. } => Some(*event),
        _ => None,
    });
    Some(match event.next_back()? {
        Event::LinkUp => Mark::AimedLinkUp,
        Event::LinkDown => Mark::AimedLinkDown,
        Event::Handshake => Mark::AimedHandshake,
        Event::Connected => Mark::AimedConnected,
        Event::NewCurrentUuid => Mark::AimedUuid,
        Event::Opening => Mark::AimedOpening,
        Event::Promoted => Mark::AimedPromoted,
        Event::Demoted => Mark::AimedDemoted,
        Event::ResyncStarts => Mark::AimedResyncStarts,
        Event::ResyncEnds => Mark::AimedResyncEnds,
        Event::QuorumLost => Mark::AimedQuorumLost,
        Event::QuorumBack => Mark::AimedQuorumBack,
        Event::Suspended => Mark::AimedSuspended,
        Event::MetadataWrite => Mark::AimedMetadata,
        Event::Booted => Mark::AimedBooted,
        Event::DiskFailed => return None,
    })
}

/// Does a node believe in a connection whose other end does not?
fn one_sided(resource: &Resource) -> bool {
    let up = |node: usize| resource.nodes[node].view.role != Role::Unknown;
    (0..resource.nodes.len()).any(|node| up(node) && !resource.knows_its_place(node))
}

/// Are there two groups of at least two nodes that see each other within, and not across?
fn two_pairs(resource: &Resource) -> bool {
    let says = |a: usize, b: usize| resource.nodes[a].view.conn[b] == ConnState::Connected;
    let count = resource.nodes.len();
    if count < 4 {
        return false;
    }
    let partner = |a: usize| (0..count).find(|b| *b != a && says(a, *b) && says(*b, a));
    let pairs = (0..count).filter_map(|a| Some((a, partner(a)?)));
    let pairs: Vec<(usize, usize)> = pairs.collect();
    let apart = |a: usize, b: usize| !says(a, b) && !says(b, a);
    pairs.iter().any(|(a, b)| {
        let mut others = pairs.iter();
        others.any(|(c, d)| [a, b].iter().all(|x| apart(**x, *c) && apart(**x, *d)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_each_has_its_bit() {
        let mut names = SOMETIMES.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SOMETIMES.len());
        let mut seen = Seen::new(true);
        seen.add(Mark::AimedBooted);
        assert_eq!(SOMETIMES[Mark::AimedBooted as usize], "aimed.booted");
        assert_eq!(seen.words().iter().map(|word| word.count_ones()).sum::<u32>(), 1);
    }
}

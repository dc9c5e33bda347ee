//! Historical bugs that the simulator can put back. On hosts none can be switched on.

/// A change to the engine that reproduces a real bug of DRBD's history. Where `self.quirk(name)`
/// stands in the engine, the bug stood in DRBD; what takes more than a condition is in
/// `core/history.rs`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Quirk {
    /// Name on the command line, kebab case.
    pub name: &'static str,
    /// The promise that catches it.
    pub promise: &'static str,
    /// What the bug was and where it was fixed. A number before it is the bug's own in the
    /// project's list of them.
    pub origin: &'static str,
}

/// Which quirk is on, if any.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Quirks(Option<&'static str>);

macro_rules! quirks {
    ($($name:literal $promise:literal $origin:literal)*) => {
        /// All quirks that this build knows.
        pub const ALL: &[Quirk] = &[$(Quirk { name: $name, promise: $promise, origin: $origin },)*];
    };
}

quirks! {
    "ack-before-peer" "acked-write-survives"
        "protocol C completes before the peers' acks, as if their loss had been taken for success"
    "write-ack-before-disk" "acked-write-survives"
        "P_WRITE_ACK is sent on receipt: a disk error or power loss then loses an acknowledged write"
    "equal-uuids-drop-bits" "uptodate-means-identical"
        "14: peers with equal UUIDs drop dirty bits on reconnect (fixed in 9.2.19, 9.3.3)"
    "al-transaction-not-awaited" "uptodate-means-identical"
        "3: data is submitted before its activity log transaction is durable (fixed in 8.3, 2010)"
    "no-notice-in-wfbitmaps" "uptodate-means-identical"
        "5: a write during the bitmap exchange is neither sent nor announced (fixed in 9.0.26)"
    "no-notice-to-outdated-target" "uptodate-means-identical"
        "1: a write while the paused sync target is Outdated is not announced (fixed in 9.1.9, 9.2.0)"
    "read-error-clobbered" "reads-are-fresh"
        "2: a read error of the lower device is reported as success (fixed in 9.0.29, 9.1.2)"
    "promote-not-refused" "one-primary"
        "29: a promotion races with another Primary and is not refused (fixed in 9.1.14)"
    "quorumless-without-proof" "quorum-is-exclusive"
        "30b: every absent node counts as being without quorum (an attempt before 9.1.13, 9.2.2)"
    "stale-barrier-after-reconnect" "no-forbidden-state"
        "39: barriers of a lost connection are awaited on the next: BarrierAck mismatch (8.4, 2012)"
    "transfer-log-entry-stuck" "io-resumes"
        "39: the cleanup after a lost connection stops at the first pending write (fixed in 9.2.13)"
    "twopc-abort-not-sent" "io-resumes"
        "35: a connection breaks between the phases and the participant holds on (fixed in 9.1.8)"
    "paused-resync-never-resumes" "resync-finishes"
        "a paused sync target stays paused for ever (seen with 9.2.14)"
    "late-peers-in-sync" "acked-write-survives"
        "4, 18: P_PEERS_IN_SYNC clears bits that a write has set since (fixed in 9.0.26, 9.2.0)"
    "diskless-sessions-share-uuid" "acked-write-survives"
        "10: no new UUID for a diskless Primary whose peer has nothing to rotate (fixed in 9.2.18, \
         9.3.2)"
    "optimistic-uuid-trusted" "acked-write-survives"
        "12: a diskless Primary trusts a peer to have a UUID that never arrived (fixed in 9.2.19, \
         9.3.3)"
    "diskless-promotions-overwrite-slot" "no-forbidden-state"
        "23: repeated promotions of a diskless node forget an absent copy's UUID (fixed in 9.0.20)"
    "uuids-not-locked" "acked-write-survives"
        "25: UUIDs change between being sent and being compared (fixed in 9.0.22, 9.0.25)"
    "new-uuid-while-frozen" "io-resumes"
        "27: a Primary that is frozen without quorum makes a new UUID (fixed in 9.1.6)"
    "demoting-primary-agrees" "one-primary"
        "29: a Primary that steps down lets another be promoted before (fixed in 9.1.14)"
    "quorumless-could-meet" "no-forbidden-state"
        "30c: quorumless and Outdated nodes might have quorum together (fixed in 9.1.13, 9.2.2)"
    "new-uuid-not-confirmed" "acked-write-survives"
        "33: a new UUID that no peer received is lost when quorum changes (fixed in 9.1)"
    "connect-timeout-leaks-lock" "io-resumes"
        "36: a connect that times out on the passive side keeps the UUIDs locked (fixed in 9.1.15, \
         9.2.4)"
    "barrier-waits-for-next-write" "io-resumes"
        "39: the barrier behind the last write goes out with the next alone (8.4)"
    "resync-end-missed" "resync-finishes"
        "the source misses that its target has finished (fixed in 9.0.23)"
    "disk-states-ignored" "io-resumes"
        "with equal UUIDs the disks' states are ignored (fixed in 9.0.28)"
    "remote-read-stuck" "io-resumes"
        "a diskless Primary's reads hang with the link that they went over (fixed in 9.1.19)"
    "far-copy-not-outdated" "acked-write-survives"
        "16: a diskless Primary resumes with one copy while a far one stays UpToDate (fixed after \
         9.3.3)"
    "one-end-reconciles" "split-brain-is-detected-on-both-sides"
        "14: one end of two survivors alone decides to reconcile (fixed after 9.3.3)"
    "evicted-bits-not-written" "acked-write-survives"
        "3: an extent leaves the activity log before its bits are on disk (fixed in 8.3, 2010)"
    "survivor-promotes-unreconciled" "outdated-never-promotes"
        "15: a survivor is promoted before it has compared notes (fixed in 9.2.19, 9.3.3)"
    "disconnect-takes-last-data" "last-good-copy-kept"
        "a Primary lets its last UpToDate copy leave, which is Outdated then (SS_NO_QUORUM unasked)"
    "evicted-bits-not-awaited" "metadata-survives-crash"
        "3: an extent leaves the activity log before its bits are durable (fixed in 8.3, 2010)"
    "stray-bits-stay" "bitmap-drains"
        "14: bits between UpToDate peers with equal UUIDs are never looked into (until 9.2.19)"
    "absent-peers-slot-not-set" "no-needless-full-sync"
        "a new UUID leaves the absent peer's bitmap slot empty: only the history knows the old one"
    "old-uuid-forgotten-by-followers" "no-needless-split-brain"
        "who is told of a new UUID keeps the one before neither in a slot nor in its history"
    "state-lost-in-resync" "one-view-after-settling"
        "a P_STATE that is due while a resync runs is not sent, and counts as sent"
    "io-outlives-power" "no-io-after-power-loss"
        "a host's disk goes on with the requests that it had when the host fell"
}

impl Quirks {
    /// The set with the quirk of this name, or `None` if no quirk has it.
    pub fn named(name: &str) -> Option<Quirks> {
        ALL.iter().find(|quirk| quirk.name == name).map(|quirk| Quirks(Some(quirk.name)))
    }

    /// Is any quirk on?
    pub fn any(self) -> bool {
        self.0.is_some()
    }

    /// Is this one on? (For the engine, and for models of what is below it.)
    #[inline]
    pub fn has(self, name: &str) -> bool {
        cfg!(madsim) && self.0.is_some_and(|on| on == name)
    }
}

//! Fist points: decisions of the engine that a search should reach. Passing one sets a bit of the
//! instance; what was never set over many runs is a corner that nothing has tested.
//!
//! Names are `drbd.component.operation.edge`. The bits are part of the engine's state and decide
//! nothing: [`Resource::step`](super::Resource::step) does the same with or without them.

use std::cell::Cell;

macro_rules! points {
    ($($point:ident $name:literal)*) => {
        /// One point.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub enum Point { $(#[doc = $name] $point,)* }

        /// Names of all points, by number.
        pub const POINTS: &[&str] = &[$($name,)*];
    };
}

points! {
    // Handshake: the rule that decided, and the verdict. `handshake.rs` has the names.
    RuleJustCreatedBoth "drbd.handshake.rule.just-created-both"
    RuleJustCreatedSelf "drbd.handshake.rule.just-created-self"
    RuleJustCreatedPeer "drbd.handshake.rule.just-created-peer"
    RuleMissedFinish "drbd.handshake.rule.missed-finish"
    RuleReconnected "drbd.handshake.rule.reconnected"
    RuleLostQuorum "drbd.handshake.rule.lost-quorum"
    RuleBothOff "drbd.handshake.rule.both-off"
    RuleBitmapBoth "drbd.handshake.rule.bitmap-both"
    RuleBitmapPeer "drbd.handshake.rule.bitmap-peer"
    RuleBitmapPeerOther "drbd.handshake.rule.bitmap-peer-other"
    RuleBitmapSelf "drbd.handshake.rule.bitmap-self"
    RuleBitmapSelfOther "drbd.handshake.rule.bitmap-self-other"
    RuleHistoryPeer "drbd.handshake.rule.history-peer"
    RuleHistorySelf "drbd.handshake.rule.history-self"
    RuleHistoryBoth "drbd.handshake.rule.history-both"
    RuleUnrelated "drbd.handshake.rule.unrelated-data"
    RuleDiskStates "drbd.handshake.rule.disk-states"
    RuleReconcile "drbd.handshake.rule.reconcile"
    RuleSplitInconsistent "drbd.handshake.rule.split-brain-inconsistent"
    RuleSplitQuorum "drbd.handshake.rule.split-brain-quorum"
    RuleReadByPrimary "drbd.handshake.rule.read-by-primary"
    VerdictNoSync "drbd.handshake.verdict.no-sync"
    VerdictSourceUse "drbd.handshake.verdict.source-use-bitmap"
    VerdictSourceCopy "drbd.handshake.verdict.source-copy-other-bitmap"
    VerdictSourceSet "drbd.handshake.verdict.source-set-bitmap"
    VerdictTargetUse "drbd.handshake.verdict.target-use-bitmap"
    VerdictTargetClear "drbd.handshake.verdict.target-clear-bitmap"
    VerdictTargetSet "drbd.handshake.verdict.target-set-bitmap"
    VerdictSplitAuto "drbd.handshake.verdict.split-brain-auto-recover"
    VerdictSplit "drbd.handshake.verdict.split-brain-disconnect"
    VerdictUnrelated "drbd.handshake.verdict.unrelated-data"
    RefusedUnsettled "drbd.handshake.refuse.unsettled"
    RefusedSplitBrain "drbd.handshake.refuse.split-brain"
    RefusedOutranks "drbd.handshake.refuse.primary-with-quorum"
    RefusedConflict "drbd.handshake.refuse.primary-would-be-target"
    RefusedRemembers "drbd.handshake.refuse.remembers-quorum"
    RefusedElsewhere "drbd.handshake.refuse.follows-elsewhere"
    RefusedMovedOn "drbd.handshake.refuse.peer-moved-on"
    RefusedPeerPrimary "drbd.handshake.refuse.peer-primary-would-be-target"
    RefusedReader "drbd.handshake.refuse.read-only-opener"
    RefusedSuperseded "drbd.handshake.refuse.primary-left-behind"
    OfferStale "drbd.handshake.offer.stale"
    RenegotiatedStale "drbd.handshake.renegotiate.stale"
    RenegotiatedLate "drbd.handshake.renegotiate.late"
    RenegotiatedInUse "drbd.handshake.renegotiate.in-use"
    TakesUpGeneration "drbd.handshake.generation.taken-up"
    DisklessOutdates "drbd.handshake.diskless-primary.outdates"
    DisklessUnknown "drbd.handshake.diskless.presents-unknown"
    PeerNotTrusted "drbd.peer-disk.distrust.outdated"
    PeerMissesWrites "drbd.peer-disk.missed.outdated"
    PeerDoubtful "drbd.peer-disk.doubt.consistent"
    GivesWay "drbd.peer-disk.moved-on.gives-way"
    EverybodyHere "drbd.peer-disk.everybody-here.consistent"
    TrustsPrimary "drbd.peer-disk.primary-sees-it.up-to-date"
    // Connections.
    LinkRetried "drbd.connection.handshake.retried"
    StandAlone "drbd.connection.handshake.stand-alone"
    HandshakeTimeout "drbd.connection.handshake.timeout"
    PingTimeout "drbd.connection.ping.timeout"
    WriteTimeout "drbd.connection.ko-count.timeout"
    LeftByPeer "drbd.connection.disconnect.left-by-peer"
    PrimaryLost "drbd.connection.primary.lost"
    LostMayHaveFinished "drbd.connection.lost.target-may-have-finished"
    LateWrite "drbd.connection.write.from-former-primary"
    PacketRefused "drbd.connection.packet.refused"
    // Quorum.
    QuorumByVotes "drbd.quorum.compute.by-votes"
    QuorumByTieBreaker "drbd.quorum.compute.by-tie-breaker"
    QuorumByQuorumless "drbd.quorum.compute.peer-proven-quorumless"
    QuorumByOutdated "drbd.quorum.compute.peer-outdated"
    QuorumVouched "drbd.quorum.compute.peer-vouches"
    QuorumLastMan "drbd.quorum.compute.last-man"
    QuorumLostPrimary "drbd.quorum.primary.lost"
    QuorumBackPrimary "drbd.quorum.primary.back"
    QuorumUnconfirmed "drbd.quorum.compute.peer-unconfirmed"
    QuorumWithdrawn "drbd.quorum.last-man.withdraws-first"
    MembersShrink "drbd.quorum.members.shrink"
    // Generations.
    NewUuidWithDisk "drbd.uuid.new-current.own-disk"
    NewUuidDiskless "drbd.uuid.new-current.diskless-primary"
    NewUuidSession "drbd.uuid.new-current.session-with-absent-peer"
    NewUuidAsserted "drbd.uuid.new-current.asserted"
    NewUuidPings "drbd.uuid.new-current.waits-for-pings"
    NewUuidLocked "drbd.uuid.new-current.waits-for-handshake"
    NewUuidNotNeeded "drbd.uuid.new-current.not-needed"
    NewUuidConfirmed "drbd.uuid.new-current.confirmed"
    PeerUnsettled "drbd.uuid.unsettled.told"
    NewUuidDiskLost "drbd.uuid.new-current.disk-lost"
    UuidTakenBack "drbd.uuid.new-current.taken-back"
    NewUuidDay0 "drbd.uuid.new-current.preset"
    NewUuidByCommand "drbd.uuid.new-current.by-command"
    InitialSyncSkipped "drbd.uuid.initial-sync.skipped"
    UuidPredecessor "drbd.uuid.new-current.predecessor-presented"
    UuidLearned "drbd.uuid.learn.rotated"
    UuidLeftOut "drbd.uuid.learn.left-out"
    UuidOutdatedBy "drbd.uuid.learn.peer-moved-on"
    // Two-phase commits.
    TwopcCommitted "drbd.twopc.initiator.committed"
    TwopcTimeout "drbd.twopc.initiator.timeout"
    TwopcConcurrent "drbd.twopc.initiator.concurrent"
    TwopcRefused "drbd.twopc.initiator.failed-by-peer"
    TwopcTwoPrimaries "drbd.twopc.initiator.two-primaries"
    TwopcPeerLost "drbd.twopc.initiator.peer-lost"
    TwopcYielded "drbd.twopc.initiator.yields-to-lower-id"
    TwopcAround "drbd.twopc.participant.came-around"
    TwopcBusy "drbd.twopc.participant.busy"
    TwopcForwarded "drbd.twopc.participant.forwarded"
    TwopcVotedNo "drbd.twopc.participant.no"
    TwopcVotedRetry "drbd.twopc.participant.retry"
    TwopcParentLost "drbd.twopc.participant.parent-lost"
    TwopcExpired "drbd.twopc.participant.timeout"
    TwopcAborted "drbd.twopc.participant.aborted"
    TwopcDropsDead "drbd.twopc.participant.initiator-is-gone"
    TwopcFarPrimary "drbd.twopc.commit.far-primary-outdates"
    TwopcOutdatesFar "drbd.twopc.commit.far-copy-outdated"
    TwopcSettles "drbd.twopc.commit.consistent-settles"
    TwopcReconciles "drbd.twopc.commit.survivors-compare"
    TwopcLeftBehind "drbd.twopc.commit.left-behind"
    // Roles.
    PromoteNoQuorum "drbd.role.promote.no-quorum"
    PromoteNoData "drbd.role.promote.no-up-to-date-disk"
    PromoteTwoPrimaries "drbd.role.promote.two-primaries"
    PromoteTransient "drbd.role.promote.in-transient-state"
    PromoteVoteStale "drbd.role.promote.peer-has-newer"
    Promoted "drbd.role.promote.done"
    PromotedDiskless "drbd.role.promote.without-disk"
    DemotedByClose "drbd.role.demote.last-close"
    DemotedByForce "drbd.role.demote.forced"
    OpenDuringDemote "drbd.role.open.during-demotion"
    StoodStill "drbd.role.primary.stood-still"
    // Handlers and fencing.
    HandlerCalled "drbd.handler.program.called"
    FenceNeeded "drbd.fence.peer.lost-sight-of"
    Fenced "drbd.fence.peer.fenced"
    FenceFailed "drbd.fence.peer.not-fenced"
    FenceLate "drbd.fence.peer.answer-is-late"
    FenceOutdatesMe "drbd.fence.peer.is-primary"
    // Resync.
    ResyncSource "drbd.resync.start.source"
    ResyncTarget "drbd.resync.start.target"
    FullSyncSource "drbd.resync.on-demand.source"
    FullSyncTarget "drbd.resync.on-demand.target"
    ResyncPaused "drbd.resync.pause.other-source-is-primary"
    ResyncWaits "drbd.resync.pause.another-is-active"
    ResyncResumed "drbd.resync.pause.resumed"
    ResyncThrottled "drbd.resync.pace.throttled"
    ResyncSlowed "drbd.resync.pace.source-slowed"
    ResyncUnplaced "drbd.resync.pause.stream-not-placed"
    ResyncBehindStream "drbd.resync.source.waits-for-stream"
    ResyncNegReply "drbd.resync.source.negative-reply"
    ResyncDirtied "drbd.resync.write.dirtied"
    ResyncFlush "drbd.resync.end.flush-asked"
    ResyncEndLocked "drbd.resync.end.waits-for-handshake"
    ResyncEndUnstable "drbd.resync.end.unstable-source"
    ResyncEndStable "drbd.resync.end.stable"
    ResyncEndRaced "drbd.resync.end.source-moved-on"
    ResyncEndOthers "drbd.resync.end.other-targets-dropped"
    ResyncSourceEnds "drbd.resync.end.source"
    ResyncAgain "drbd.resync.end.bits-left"
    ResyncAborted "drbd.resync.abort.disk-lost"
    VerifyStart "drbd.verify.begin.started"
    VerifyBehindStream "drbd.verify.read.waits-for-stream"
    VerifySkipped "drbd.verify.compare.skipped"
    VerifyDiffers "drbd.verify.compare.differs"
    VerifyEnds "drbd.verify.end.done"
    ResyncDeallocated "drbd.resync.thin.deallocated"
    ResyncSame "drbd.resync.csum.same"
    ResyncSurvival "drbd.resync.end.inherits-survival"
    ResyncAsked "drbd.resync.ask.behind"
    ResizeCommitted "drbd.resize.size.committed"
    ResizeUnchanged "drbd.resize.size.unchanged"
    ResizeLimited "drbd.resize.size.limited-by-absent"
    ResizeMoved "drbd.resize.metadata.moved"
    ResizeShielded "drbd.resize.metadata.new-overlaps-old"
    ResizeCaughtUp "drbd.resize.size.told-by-peer"
    ResizeAtAttach "drbd.resize.size.grew-at-attach"
    ResizeTooSmall "drbd.resize.handshake.too-small"
    ResizeHandshake "drbd.resize.handshake.grows-first"
    ResizeResync "drbd.resize.added.compared"
    StrayBits "drbd.resync.stray-bits.compared"
    StrayBitsWait "drbd.resync.stray-bits.await-peer-acks"
    // Requests.
    RequestFailedQuorum "drbd.request.write.no-quorum-io-error"
    RequestFailedData "drbd.request.io.no-data-io-error"
    SuspendInterrupted "drbd.suspend.user.interrupted"
    DiskPassedOn "drbd.disk.error.passed-on"
    DiskRequestGivenUp "drbd.disk.force-detach.request-given-up"
    DiskTimeout "drbd.disk.timeout.detached"
    ReadBalanced "drbd.request.read.balanced"
    RequestHeldSuspended "drbd.request.io.suspended"
    RequestHeldGeneration "drbd.request.write.waits-for-generation"
    RequestPutBack "drbd.request.io.put-back"
    RequestWrittenAgain "drbd.request.write.again"
    RequestCompletionWaits "drbd.request.write.completion-waits"
    RequestReadRetried "drbd.request.read.retried"
    RequestReadRemote "drbd.request.read.remote"
    RequestReadHopeless "drbd.request.read.failed"
    RequestNotice "drbd.request.write.out-of-sync-notice"
    RequestNothing "drbd.request.write.peer-left-out"
    RequestForgotten "drbd.request.write.lost-with-connection"
    RequestNegAck "drbd.request.write.negative-ack"
    RequestEpochFull "drbd.request.epoch.max-size"
    RequestExtentWaits "drbd.request.activity-log.waits"
    SuspendedQuorum "drbd.suspend.quorum.begin"
    SuspendedData "drbd.suspend.no-data.begin"
    SuspendedFencing "drbd.suspend.fencing.begin"
    Resumed "drbd.suspend.any.end"
    PeerUnacked "drbd.peer-request.unacked.marked-on-loss"
    PeerDoubted "drbd.peer-request.unacked.doubted"
    // Lower device.
    AttachUpToDate "drbd.attach.metadata.up-to-date"
    AttachOutdated "drbd.attach.metadata.outdated"
    AttachInconsistent "drbd.attach.metadata.inconsistent"
    AttachNegotiates "drbd.attach.peers.negotiating"
    AttachReplaysLog "drbd.attach.activity-log.replayed"
    AttachCrashed "drbd.attach.metadata.crashed-primary"
    AttachRefused "drbd.attach.metadata.unreadable"
    AttachAnother "drbd.attach.generation.not-what-was-seen"
    DiskFailed "drbd.disk.io-error.detached"
    DiskFailedPrimary "drbd.disk.io-error.primary-goes-on"
    DetachedClean "drbd.disk.detach.clean"
    BitmapWrittenAgain "drbd.disk.bitmap.written-again"
}

/// Words of 64 bits that hold a bit for each point.
const WORDS: usize = POINTS.len().div_ceil(64);

/// The points that an engine has passed.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Passed {
    words: [Cell<u64>; WORDS],
    muted: bool,
}

impl Passed {
    /// By number of the point, 64 to a word.
    pub fn words(&self) -> Vec<u64> {
        self.words.iter().map(Cell::get).collect()
    }

    /// Nothing is noted from now on: for who measures what noting costs.
    pub(super) fn mute(&mut self) {
        self.muted = true;
    }

    #[inline]
    pub(super) fn reach(&self, point: Point) {
        self.set(point as usize);
    }

    /// The point of this operation whose edge has this name, if there is one.
    pub(super) fn reach_named(&self, operation: &str, edge: &str) {
        let is = |name: &&&str| name.strip_prefix(operation).is_some_and(|rest| rest == edge);
        if let Some(at) = POINTS.iter().position(|name| is(&name)) {
            self.set(at);
        }
    }

    #[inline]
    fn set(&self, at: usize) {
        if !self.muted {
            let word = &self.words[at / 64];
            word.set(word.get() | 1 << (at % 64));
        }
    }
}

/// This point was passed.
macro_rules! reach {
    ($engine:expr, $point:ident) => {
        $engine.passed.reach($crate::core::points::Point::$point)
    };
}
pub(super) use reach;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_have_four_parts() {
        let mut names = POINTS.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), POINTS.len());
        for name in POINTS {
            let good = |c: char| c.is_ascii_lowercase() || "-.".contains(c);
            assert!(name.starts_with("drbd.") && name.chars().all(good), "{name}");
            assert_eq!(name.split('.').count(), 4, "{name}");
        }
    }

    #[test]
    fn a_point_that_is_passed_is_seen() {
        let passed = Passed::default();
        passed.reach(Point::BitmapWrittenAgain);
        passed.reach_named("drbd.handshake.rule.", "both-off");
        passed.reach_named("drbd.handshake.rule.", "no-such-rule");
        let set: u32 = passed.words().iter().map(|word| word.count_ones()).sum();
        assert_eq!(set, 2);
        let last = POINTS.len() - 1;
        assert_eq!(passed.words()[last / 64] >> (last % 64) & 1, 1);
    }
}

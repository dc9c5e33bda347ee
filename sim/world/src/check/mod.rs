//! The promises, one file each. They see everything and trust nobody: bytes on disks, what
//! applications were told, and the engines' own view only where a promise is about it.

pub mod acked_write_survives;
pub mod bitmap_drains;
pub mod io_resumes;
pub mod last_good_copy_kept;
pub mod metadata_survives_crash;
pub mod no_forbidden_state;
pub mod no_io_after_power_loss;
pub mod no_needless_full_sync;
pub mod no_needless_split_brain;
pub mod one_primary;
pub mod one_view_after_settling;
pub mod outdated_never_promotes;
pub mod quorum_is_exclusive;
pub mod reads_are_fresh;
pub mod resync_finishes;
pub mod split_brain_is_detected_on_both_sides;
pub mod uptodate_means_identical;

use std::collections::BTreeMap;

/// A promise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(usize)]
pub enum Promise {
    /// See [`acked_write_survives`].
    AckedWriteSurvives,
    /// See [`reads_are_fresh`].
    ReadsAreFresh,
    /// See [`uptodate_means_identical`].
    UptodateMeansIdentical,
    /// See [`one_primary`].
    OnePrimary,
    /// See [`quorum_is_exclusive`].
    QuorumIsExclusive,
    /// See [`io_resumes`].
    IoResumes,
    /// See [`resync_finishes`].
    ResyncFinishes,
    /// See [`no_forbidden_state`].
    NoForbiddenState,
    /// See [`split_brain_is_detected_on_both_sides`].
    SplitBrainIsDetectedOnBothSides,
    /// See [`no_needless_split_brain`].
    NoNeedlessSplitBrain,
    /// See [`no_needless_full_sync`].
    NoNeedlessFullSync,
    /// See [`outdated_never_promotes`].
    OutdatedNeverPromotes,
    /// See [`last_good_copy_kept`].
    LastGoodCopyKept,
    /// See [`bitmap_drains`].
    BitmapDrains,
    /// See [`one_view_after_settling`].
    OneViewAfterSettling,
    /// See [`metadata_survives_crash`].
    MetadataSurvivesCrash,
    /// See [`no_io_after_power_loss`].
    NoIoAfterPowerLoss,
}

impl Promise {
    /// All of them.
    pub const ALL: [Promise; 17] = [
        Promise::AckedWriteSurvives,
        Promise::ReadsAreFresh,
        Promise::UptodateMeansIdentical,
        Promise::OnePrimary,
        Promise::QuorumIsExclusive,
        Promise::IoResumes,
        Promise::ResyncFinishes,
        Promise::NoForbiddenState,
        Promise::SplitBrainIsDetectedOnBothSides,
        Promise::NoNeedlessSplitBrain,
        Promise::NoNeedlessFullSync,
        Promise::OutdatedNeverPromotes,
        Promise::LastGoodCopyKept,
        Promise::BitmapDrains,
        Promise::OneViewAfterSettling,
        Promise::MetadataSurvivesCrash,
        Promise::NoIoAfterPowerLoss,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Promise::AckedWriteSurvives => acked_write_survives::NAME,
            Promise::ReadsAreFresh => reads_are_fresh::NAME,
            Promise::UptodateMeansIdentical => uptodate_means_identical::NAME,
            Promise::OnePrimary => one_primary::NAME,
            Promise::QuorumIsExclusive => quorum_is_exclusive::NAME,
            Promise::IoResumes => io_resumes::NAME,
            Promise::ResyncFinishes => resync_finishes::NAME,
            Promise::NoForbiddenState => no_forbidden_state::NAME,
            Promise::SplitBrainIsDetectedOnBothSides => split_brain_is_detected_on_both_sides::NAME,
            Promise::NoNeedlessSplitBrain => no_needless_split_brain::NAME,
            Promise::NoNeedlessFullSync => no_needless_full_sync::NAME,
            Promise::OutdatedNeverPromotes => outdated_never_promotes::NAME,
            Promise::LastGoodCopyKept => last_good_copy_kept::NAME,
            Promise::BitmapDrains => bitmap_drains::NAME,
            Promise::OneViewAfterSettling => one_view_after_settling::NAME,
            Promise::MetadataSurvivesCrash => metadata_survives_crash::NAME,
            Promise::NoIoAfterPowerLoss => no_io_after_power_loss::NAME,
        }
    }
}

/// A moment, and since when no step of the plan has struck.
#[derive(Clone, Copy, Debug)]
pub struct Quiet {
    /// Now, in ns of the run.
    pub now: u64,
    /// The last step, in ns of the run.
    pub since: u64,
}

/// How often each promise was checked.
#[derive(Clone, Copy, Default, Debug)]
pub struct Tally([u64; Promise::ALL.len()]);

impl Tally {
    /// Checked `times` more.
    pub fn add(&mut self, promise: Promise, times: u64) {
        self.0[promise as usize] += times;
    }

    /// By name, all of them.
    pub fn by_name(&self) -> BTreeMap<&'static str, u64> {
        Promise::ALL.iter().map(|p| (p.name(), self.0[*p as usize])).collect()
    }
}

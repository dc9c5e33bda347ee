//! The promises, one file each. They see everything and trust nobody: bytes on disks, what
//! applications were told, and the engines' own view only where a promise is about it.

pub mod acked_write_survives;
pub mod io_resumes;
pub mod no_forbidden_state;
pub mod one_primary;
pub mod quorum_is_exclusive;
pub mod reads_are_fresh;
pub mod resync_finishes;
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
}

impl Promise {
    /// All of them.
    pub const ALL: [Promise; 8] = [
        Promise::AckedWriteSurvives,
        Promise::ReadsAreFresh,
        Promise::UptodateMeansIdentical,
        Promise::OnePrimary,
        Promise::QuorumIsExclusive,
        Promise::IoResumes,
        Promise::ResyncFinishes,
        Promise::NoForbiddenState,
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
        }
    }
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

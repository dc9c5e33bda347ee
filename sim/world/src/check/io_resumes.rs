//! `io-resumes`: after everything was healed, every VM makes progress again.
//!
//! Demanded of plans that end healed: within [`BOUND`] after the last repair (or when the run ends,
//! if that is earlier), each VM that should run and whose host is up has had I/O acknowledged
//! since, and its last success is no older than [`STALL`].
//!
//! Excused, by name: `no-quorum-by-design` when the plan leaves hosts off so that no majority of
//! the copies is there; `conflict-disconnects-by-option` when `rr-conflict disconnect` left a
//! connection StandAlone (a Primary that had lost quorum met its successor; only an administrator
//! ends that); `split-brain-by-plan` when quorum is off and the plan separated writers;
//! `last-copy-broken-by-plan` when the plan broke the disks of all copies.

/// Its name.
pub const NAME: &str = "io-resumes";
/// Time to recover after the last repair.
pub const BOUND: u64 = 120_000_000_000;
/// A VM whose last success is older than this is stalled.
pub const STALL: u64 = 15_000_000_000;

/// What is known of one VM when progress is demanded.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// It should be running, on a host that is up.
    pub wanted: bool,
    /// When its last I/O succeeded, 0 for never.
    pub last_ok: u64,
    /// When everything was healed.
    pub healed: u64,
    /// Now.
    pub now: u64,
}

/// Does it make progress?
pub fn check(progress: Progress) -> Result<(), String> {
    if !progress.wanted {
        return Ok(());
    }
    let seconds = |ns: u64| ns / 1_000_000_000;
    if progress.last_ok <= progress.healed {
        let since = seconds(progress.now - progress.healed);
        return Err(format!(
            "no I/O was acknowledged in the {since} s since everything was healed"
        ));
    }
    if progress.now - progress.last_ok > STALL {
        let since = seconds(progress.now - progress.last_ok);
        return Err(format!("I/O stands still again, for {since} s"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vm_that_never_comes_back_is_caught() {
        let fine = Progress { wanted: true, last_ok: 200, healed: 100, now: 300 };
        assert!(check(fine).is_ok());
        assert!(check(Progress { last_ok: 100, ..fine }).is_err());
        assert!(check(Progress { now: 300 + STALL, ..fine }).is_err());
        assert!(check(Progress { last_ok: 100, wanted: false, ..fine }).is_ok());
    }
}

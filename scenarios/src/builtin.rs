//! The scenario files of this repository, compiled in, so that the simulator knows them wherever it
//! runs.

/// A scenario file of this repository.
pub struct Builtin {
    /// From the root of the repository, e.g. `scenarios/power/primary-loses-power.toml`.
    pub path: &'static str,
    /// What it says.
    pub text: &'static str,
}

impl Builtin {
    /// The scenario's name: the file's, without folder and ending.
    pub fn name(&self) -> &'static str {
        let file = self.path.rsplit('/').next().unwrap_or(self.path);
        file.strip_suffix(".toml").unwrap_or(file)
    }

    /// Family and name, e.g. `power/primary-loses-power`.
    pub fn family_and_name(&self) -> &'static str {
        let path = self.path.strip_prefix("scenarios/").unwrap_or(self.path);
        path.strip_suffix(".toml").unwrap_or(path)
    }

    /// Does the pattern mean this file: its name, or family and name?
    pub fn matches(&self, pattern: &str) -> bool {
        glob_matches(pattern, self.name()) || glob_matches(pattern, self.family_and_name())
    }
}

macro_rules! builtin {
    ($($path:literal),* $(,)?) => {
        /// Every scenario file, by path. A test compares the list with the folder.
        pub const BUILTIN: &[Builtin] = &[$(Builtin {
            path: concat!("scenarios/", $path),
            text: include_str!(concat!("../", $path)),
        }),*];
    };
}

builtin![
    "disk/disk-error-detaches-then-returns.toml",
    "disk/stuck-disk-is-let-go.toml",
    "disk/verify-finds-rot.toml",
    "divergence/detach-attach-under-quorate-diskless.toml",
    "divergence/diskless-primary-new-uuid-not-received.toml",
    "divergence/equal-uuids-with-dirty-bitmap.toml",
    "divergence/false-split-brain-unrelated-data.toml",
    "divergence/fresh-volume-born-split.toml",
    "divergence/new-replica-uptodate-without-copy.toml",
    "divergence/one-sided-stale-bitmap.toml",
    "divergence/secondary-rejoins-after-clean-shutdown.toml",
    "divergence/stranded-bitmap-after-rapid-promote.toml",
    "divergence/survivor-promotes-before-reconciling.toml",
    "fencing/fencing-dont-care.toml",
    "fencing/fencing-fails.toml",
    "fencing/fencing-resource-and-stonith.toml",
    "fencing/fencing-resource-only.toml",
    "network/diskless-client-loses-a-peer.toml",
    "network/flapping-link.toml",
    "network/storage-switch-reboots-under-load.toml",
    "operations/loss-on-client-links-under-io.toml",
    "operations/rolling-pool-update-paced.toml",
    "operations/thin-pool-full.toml",
    "operations/volume-grows-under-load.toml",
    "power/degraded-primary-crashes-amid-writes.toml",
    "power/primary-loses-power.toml",
    "power/whole-pool-loses-power.toml",
    "quorum/all-links-standalone-suspended.toml",
    "quorum/last-copy-outlives-its-witness.toml",
    "quorum/new-uuid-unseen-by-the-majority.toml",
    "quorum/phantom-tiebreaker-vote.toml",
    "quorum/ping-timeout-too-short.toml",
    "quorum/primary-isolated.toml",
    "quorum/quorum-lost-with-one-node-down.toml",
    "quorum/replication-dropped-by-conntrack.toml",
    "quorum/suspended-primary-cannot-be-killed.toml",
    "quorum/suspended-primary-yields-to-diskless.toml",
    "quorum/switch-outage-with-io-error.toml",
    "quorum/two-hosts-rebooted-in-a-row.toml",
    "quorum/witness-dies-between-parted-copies.toml",
    "resync/rebuilt-node-full-resync-storm.toml",
    "resync/resync-99-percent.toml",
    "resync/resync-after-one-another.toml",
    "resync/resync-latched-behind-diskless-peer.toml",
    "resync/resync-starves-control-plane.toml",
    "resync/resync-too-slow-under-load.toml",
    "resync/sync-source-dies-another-takes-over.toml",
    "resync/wfbitmapt-stuck.toml",
    "resync/write-during-bitmap-exchange.toml",
    "resync/write-while-the-target-is-paused.toml",
];

/// `*` stands for any characters, `?` for one.
pub fn glob_matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where the last star was, and how much of the name it swallows so far.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, n));
            p += 1;
        } else if pattern.get(p).is_some_and(|c| *c == '?' || *c == name[n]) {
            (p, n) = (p + 1, n + 1);
        } else if let Some((at, swallowed)) = star {
            star = Some((at, swallowed + 1));
            (p, n) = (at + 1, swallowed + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_in_a_shell() {
        assert!(glob_matches("primary-*", "primary-isolated"));
        assert!(glob_matches("*link*", "flapping-link"));
        assert!(glob_matches("*", ""));
        assert!(glob_matches("a*b*c", "a-b-b-c"));
        assert!(glob_matches("f?apping-link", "flapping-link"));
        assert!(!glob_matches("primary", "primary-isolated"));
        assert!(!glob_matches("a*b", "a-c"));
        // All of the text, its lines and its last newline included.
        assert!(glob_matches("Primary*", "Primary\n"));
        assert!(!glob_matches("Primary", "Primary\n"));
        assert!(glob_matches("*disk:UpToDate*", "vol-a role:Primary\n  disk:UpToDate open:no\n"));
    }
}

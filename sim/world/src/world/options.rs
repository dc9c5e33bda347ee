//! DRBD options of a scenario, in DRBD's units, into the engine's configuration.

use drbd::core::config::{Config, Fencing, OnIoError, OnLoss, Quorum, ReadBalancing, RrConflict};
use drbd::ids::VolumeNumber;
use std::collections::BTreeMap;

/// Applies the options; unknown names and values have been refused when the scenario was read, and
/// change nothing.
pub fn apply(options: &BTreeMap<String, String>, config: &mut Config) {
    for (name, value) in options {
        set(config, name, value);
    }
}

fn set(config: &mut Config, name: &str, value: &str) {
    let Some(number) = value.parse::<u64>().ok() else { return set_word(config, name, value) };
    match name {
        "al-extents" => config.al_extents = number as u16,
        "auto-promote-timeout" => config.auto_promote_timeout_ms = number * 100,
        "disk-timeout" => config.disk_timeout_ms = number * 100,
        "ko-count" => config.ko_count = number as u32,
        "max-epoch-size" => config.max_epoch_size = number as u32,
        "max-buffers" => config.max_buffers = number as u32,
        "max-peers" => config.max_peers = number as u8,
        "peer-ack-delay" => config.peer_ack_delay_ms = number,
        "peer-ack-window" => config.peer_ack_window = number,
        "ping-int" => config.ping_int_ms = number * 1_000,
        "ping-timeout" => config.ping_timeout_ms = number * 100,
        "resync-after" => {
            let volumes = (0..config.volumes.len() as u16).map(VolumeNumber);
            config.resync_after = volumes.map(|volume| (volume, number as u32)).collect();
        }
        "quorum" => config.quorum = Quorum::Count(number as u8),
        "quorum-minimum-redundancy" => {
            config.quorum_minimum_redundancy = Quorum::Count(number as u8);
        }
        "rs-discard-granularity" => config.rs_discard_granularity = number as u32,
        "timeout" => config.timeout_ms = number * 100,
        "twopc-retry-timeout" => config.twopc_retry_timeout_ms = number * 100,
        "twopc-timeout" => config.twopc_timeout_ms = number * 100,
        _ => {
            config.peer_device.set(name, number);
        }
    }
}

fn votes(value: &str) -> Quorum {
    match value {
        "majority" => Quorum::Majority,
        "all" => Quorum::All,
        _ => Quorum::Off,
    }
}

fn on_loss(value: &str) -> OnLoss {
    if value == "io-error" { OnLoss::IoError } else { OnLoss::SuspendIo }
}

fn set_word(config: &mut Config, name: &str, value: &str) {
    match name {
        "auto-promote" => config.auto_promote = value == "yes",
        "fencing" => {
            if let Some(policy) = Fencing::named(value) {
                config.fencing = policy;
            }
        }
        "on-no-data-accessible" => config.on_no_data = on_loss(value),
        "on-no-quorum" => config.on_no_quorum = on_loss(value),
        "on-suspended-primary-outdated" => config.force_secondary = value == "force-secondary",
        "quorum" => config.quorum = votes(value),
        "quorum-minimum-redundancy" => config.quorum_minimum_redundancy = votes(value),
        "csums-after-crash-only" => config.csums_after_crash_only = value == "yes",
        "csums-alg" => config.csums_alg = Some(value.to_owned()),
        "verify-alg" => config.verify_alg = Some(value.to_owned()),
        "allow-remote-read" => config.allow_remote_read = value == "yes",
        "on-io-error" => {
            config.on_io_error = OnIoError::named(value).unwrap_or(OnIoError::Detach);
        }
        "read-balancing" => {
            let named = ReadBalancing::named(value);
            config.read_balancing = named.unwrap_or(ReadBalancing::PreferLocal);
        }
        "rr-conflict" => {
            if let Some(policy) = RrConflict::named(value) {
                config.rr_conflict = policy;
            }
        }
        _ => {
            config.after_sb.set(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drbd::core::config::{AfterSb, AfterSb0, AfterSb1, AfterSb2};
    use drbd::ids::NodeId;

    #[test]
    fn units_are_drbds() {
        let text = [
            ("ping-int", "3"),
            ("ping-timeout", "5"),
            ("quorum", "majority"),
            ("on-no-quorum", "io-error"),
            ("quorum-minimum-redundancy", "2"),
            ("after-sb-0pri", "discard-zero-changes"),
            ("after-sb-1pri", "consensus"),
            ("after-sb-2pri", "call-pri-lost-after-sb"),
            ("always-asbp", "yes"),
            ("rr-conflict", "auto-discard"),
        ];
        let options = text.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let mut config = Config::new("vol-a", NodeId::new(0).unwrap());
        apply(&options, &mut config);
        assert_eq!((config.ping_int_ms, config.ping_timeout_ms), (3_000, 500));
        assert_eq!(config.quorum, Quorum::Majority);
        assert_eq!(config.on_no_quorum, OnLoss::IoError);
        assert_eq!(config.quorum_minimum_redundancy, Quorum::Count(2));
        let (zero, one) = (AfterSb0::DiscardZeroChanges, AfterSb1::Consensus);
        let policies = AfterSb { zero, one, two: AfterSb2::CallPriLost, always: true };
        assert_eq!((config.after_sb, config.rr_conflict), (policies, RrConflict::AutoDiscard));
    }
}

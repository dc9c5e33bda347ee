//! DRBD options that a scenario may set, with DRBD's units and ranges; see `drbd.conf(5)`.

use crate::error::{Wrong, nearest};

/// What an option's value may be.
pub(crate) enum Domain {
    /// One of these words.
    Words(&'static [&'static str]),
    /// A number in DRBD's unit, smallest and largest.
    Number(u64, u64),
    /// A word, or a number of votes.
    Votes(&'static [&'static str]),
    /// A program of the section `handlers`: commands `sleep SECONDS`, `exit CODE`, `true` and
    /// `false`, with a `;` between them.
    Program,
}

use Domain::{Number, Program, Votes, Words};

const YES_NO: &[&str] = &["yes", "no"];
/// What a Linux kernel is sure to have.
const DIGESTS: &[&str] = &["crc32c", "md5", "sha1", "sha256"];
const LOSS: &[&str] = &["suspend-io", "io-error"];

/// Option and domain. Units: 0.1 s for the timeouts but `ping-int` (1 s), for `c-plan-ahead` and
/// `c-delay-target`; KiB/s for rates, ms for `peer-ack-delay`, sectors for `peer-ack-window` and
/// `c-fill-target`, pages of 4 KiB for `max-buffers`.
const TABLE: &[(&str, Domain)] = &[
    ("after-resync-target", Program),
    (
        "after-sb-0pri",
        Words(&[
            "disconnect",
            "discard-younger-primary",
            "discard-older-primary",
            "discard-zero-changes",
            "discard-least-changes",
            "discard-local",
            "discard-remote",
        ]),
    ),
    (
        "after-sb-1pri",
        Words(&[
            "disconnect",
            "consensus",
            "violently-as0p",
            "discard-secondary",
            "call-pri-lost-after-sb",
        ]),
    ),
    ("after-sb-2pri", Words(&["disconnect", "violently-as0p", "call-pri-lost-after-sb"])),
    ("al-extents", Number(67, 65_534)),
    ("allow-remote-read", Words(YES_NO)),
    ("always-asbp", Words(YES_NO)),
    ("auto-promote", Words(YES_NO)),
    ("auto-promote-timeout", Number(0, 600)),
    ("before-resync-source", Program),
    ("before-resync-target", Program),
    ("c-delay-target", Number(1, 100)),
    ("c-fill-target", Number(0, 1 << 20)),
    ("c-max-rate", Number(0, 4 << 20)),
    ("c-min-rate", Number(0, 4 << 20)),
    ("c-plan-ahead", Number(0, 300)),
    ("csums-after-crash-only", Words(YES_NO)),
    ("csums-alg", Words(DIGESTS)),
    ("disconnected", Program),
    ("disk-timeout", Number(0, 6_000)),
    ("fence-peer", Program),
    ("fencing", Words(&["dont-care", "resource-only", "resource-and-stonith"])),
    ("initial-split-brain", Program),
    ("ko-count", Number(0, 200)),
    ("local-io-error", Program),
    ("max-buffers", Number(32, 131_072)),
    ("max-epoch-size", Number(1, 20_000)),
    ("max-peers", Number(1, 31)),
    ("on-io-error", Words(&["pass_on", "call-local-io-error", "detach"])),
    ("on-no-data-accessible", Words(LOSS)),
    ("on-no-quorum", Words(LOSS)),
    ("on-suspended-primary-outdated", Words(&["disconnect", "force-secondary"])),
    ("out-of-sync", Program),
    ("peer-ack-delay", Number(1, 10_000)),
    ("peer-ack-window", Number(2_048, 204_800)),
    ("ping-int", Number(1, 120)),
    ("ping-timeout", Number(1, 300)),
    ("pri-lost", Program),
    ("pri-lost-after-sb", Program),
    ("pri-on-incon-degr", Program),
    ("quorum", Votes(&["off", "majority", "all"])),
    ("quorum-lost", Program),
    ("quorum-minimum-redundancy", Votes(&["off", "majority", "all"])),
    (
        "read-balancing",
        Words(&[
            "prefer-local",
            "prefer-remote",
            "round-robin",
            "least-pending",
            "when-congested-remote",
            "32K-striping",
            "64K-striping",
            "128K-striping",
            "256K-striping",
            "512K-striping",
            "1M-striping",
        ]),
    ),
    ("resync-after", Number(0, 1_048_575)),
    ("resync-rate", Number(1, 8 << 20)),
    (
        "rr-conflict",
        Words(&["disconnect", "retry-connect", "call-pri-lost", "violently", "auto-discard"]),
    ),
    ("rs-discard-granularity", Number(0, 1 << 20)),
    ("split-brain", Program),
    ("timeout", Number(1, 600)),
    ("twopc-retry-timeout", Number(1, 50)),
    ("twopc-timeout", Number(50, 600)),
    ("unfence-peer", Program),
    ("verify-alg", Words(DIGESTS)),
];

/// Names of all options that a scenario may set, sorted.
pub const OPTIONS: [&str; TABLE.len()] = {
    let mut names = [""; TABLE.len()];
    let mut i = 0;
    while i < TABLE.len() {
        names[i] = TABLE[i].0;
        i += 1;
    }
    names
};

/// Does the modelled host's shell know all of it?
fn is_program(text: &str) -> bool {
    text.len() <= 100
        && text.split(';').map(str::trim).all(|command| match command.split_once(' ') {
            Some(("sleep" | "exit", number)) => {
                number.trim().parse::<u16>().is_ok_and(|number| number <= 3_600)
            }
            Some(_) => false,
            None => matches!(command, "true" | "false"),
        })
}

/// May the option have this value?
pub(crate) fn check(name: &str, value: &str) -> Result<(), Wrong> {
    let Some((_, domain)) = TABLE.iter().find(|(known, _)| *known == name) else {
        let short: String = name.chars().take(40).collect();
        let remedy = match nearest(name, OPTIONS) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("use one of {}", OPTIONS.join(", ")),
        };
        return Err(Wrong::new(format!("unknown DRBD option \"{short}\""), remedy));
    };
    let number = value.parse::<u64>().ok();
    let (fits, remedy) = match domain {
        Words(words) => (words.contains(&value), format!("use one of {}", words.join(", "))),
        Number(low, high) => (
            number.is_some_and(|n| (*low..=*high).contains(&n)),
            format!("use a whole number from {low} to {high}, in DRBD's unit"),
        ),
        Votes(words) => (
            words.contains(&value) || number.is_some_and(|n| (1..=32).contains(&n)),
            format!("use one of {}, or a number from 1 to 32", words.join(", ")),
        ),
        Program => (
            is_program(value),
            "use commands `sleep SECONDS`, `exit CODE`, `true` and `false`, with a `;` between them"
                .to_owned(),
        ),
    };
    let short: String = value.chars().take(40).collect();
    if fits { Ok(()) } else { Err(Wrong::new(format!("{name} cannot be \"{short}\""), remedy)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_names_and_ranges() {
        assert!(OPTIONS.is_sorted());
        assert_eq!(check("quorum", "majority"), Ok(()));
        assert_eq!(check("quorum", "2"), Ok(()));
        assert_eq!(check("ping-int", "10"), Ok(()));
        assert_eq!(check("fence-peer", "sleep 2; exit 4"), Ok(()));
        assert!(check("fence-peer", "/usr/lib/drbd/crm-fence-peer.9.sh").is_err());
        assert!(check("quorum", "33").is_err());
        assert!(check("ping-int", "0").is_err());
        assert!(check("on-no-quorum", "freeze").unwrap_err().remedy.contains("suspend-io"));
        assert!(check("on-no-quorom", "io-error").unwrap_err().remedy.contains("\"on-no-quorum\""));
    }
}

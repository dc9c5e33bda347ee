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
const LOSS: &[&str] = &["suspend-io", "io-error"];

/// Option and domain. Units: 0.1 s for the timeouts but `ping-int` (1 s), KiB/s for rates, ms for
/// `peer-ack-delay`, sectors for `peer-ack-window`.
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
    ("always-asbp", Words(YES_NO)),
    ("auto-promote", Words(YES_NO)),
    ("auto-promote-timeout", Number(0, 600)),
    ("before-resync-source", Program),
    ("before-resync-target", Program),
    ("c-max-rate", Number(0, 4 << 20)),
    ("disconnected", Program),
    ("fence-peer", Program),
    ("fencing", Words(&["dont-care", "resource-only", "resource-and-stonith"])),
    ("initial-split-brain", Program),
    ("ko-count", Number(0, 200)),
    ("max-epoch-size", Number(1, 20_000)),
    ("max-peers", Number(1, 31)),
    ("on-no-data-accessible", Words(LOSS)),
    ("on-no-quorum", Words(LOSS)),
    ("on-suspended-primary-outdated", Words(&["disconnect", "force-secondary"])),
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
        "rr-conflict",
        Words(&["disconnect", "retry-connect", "call-pri-lost", "violently", "auto-discard"]),
    ),
    ("split-brain", Program),
    ("timeout", Number(1, 600)),
    ("twopc-retry-timeout", Number(1, 50)),
    ("twopc-timeout", Number(50, 600)),
    ("unfence-peer", Program),
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

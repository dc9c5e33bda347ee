//! Which options each section of a `.res` file knows, and which values they take: names, ranges,
//! units and defaults of drbd-utils 9.

/// Sections that hold options.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Section {
    /// `options`, of the resource.
    Options,
    /// `net`, of a connection.
    Net,
    /// `disk`, of a volume, and towards a peer.
    Disk,
    /// `startup`, of the init script.
    Startup,
    /// `handlers`, called by the kernel.
    Handlers,
}

impl Section {
    /// All of them, in the order in which `drbdadm dump` prints them.
    pub const ALL: [Section; 5] =
        [Section::Options, Section::Net, Section::Disk, Section::Startup, Section::Handlers];

    /// Its keyword.
    pub fn keyword(self) -> &'static str {
        match self {
            Section::Options => "options",
            Section::Net => "net",
            Section::Disk => "disk",
            Section::Startup => "startup",
            Section::Handlers => "handlers",
        }
    }

    /// The section of a keyword.
    pub fn named(word: &str) -> Option<Section> {
        Section::ALL.into_iter().find(|section| section.keyword() == word)
    }
}

/// What an option takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Takes {
    /// A number in these bounds; the unit that a bare number has, in bytes (`1` for what is no
    /// size, `512` for sectors, `1024` for KiB).
    Number(i64, i64, i64),
    /// `yes`, `no`, or nothing for `yes`.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
    /// One of these words or a number in these bounds.
    WordOrNumber(&'static [&'static str], i64, i64),
    /// Any text of less than so many bytes.
    Text(usize),
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub name: &'static str,
    pub takes: Takes,
    /// It belongs to a volume towards a peer and not to the volume.
    pub of_peer_device: bool,
}

const fn known(name: &'static str, takes: Takes) -> Known {
    Known { name, takes, of_peer_device: false }
}

const fn towards(name: &'static str, takes: Takes) -> Known {
    Known { name, takes, of_peer_device: true }
}

use Takes::{Flag, Number, Text, Word, WordOrNumber};

const ON_LOSS: Takes = Word(&["io-error", "suspend-io"]);
const VOTES: Takes = WordOrNumber(&["off", "majority", "all"], 1, 32);
/// SHARED_SECRET_MAX.
const NAME: Takes = Text(64);

const OPTIONS: &[Known] = &[
    known("cpu-mask", Text(908)),
    known("on-no-data-accessible", ON_LOSS),
    known("auto-promote", Flag),
    known("peer-ack-window", Number(2048, 204_800, 512)),
    known("peer-ack-delay", Number(1, 10_000, 1)),
    known("twopc-timeout", Number(50, 600, 1)),
    known("twopc-retry-timeout", Number(1, 50, 1)),
    known("auto-promote-timeout", Number(0, 600, 1)),
    known("max-io-depth", Number(4, 4_294_967_295, 1)),
    known("quorum", VOTES),
    known("on-no-quorum", ON_LOSS),
    known("quorum-minimum-redundancy", VOTES),
    known("on-suspended-primary-outdated", Word(&["disconnect", "force-secondary"])),
];

const NET: &[Known] = &[
    known("transport", NAME),
    known("protocol", Word(&["A", "B", "C"])),
    known("timeout", Number(1, 600, 1)),
    known("max-epoch-size", Number(1, 20_000, 1)),
    known("connect-int", Number(1, 120, 1)),
    known("ping-int", Number(1, 120, 1)),
    known("sndbuf-size", Number(0, 10 << 20, 1)),
    known("rcvbuf-size", Number(0, 10 << 20, 1)),
    known("ko-count", Number(0, 200, 1)),
    known("allow-two-primaries", Flag),
    known("cram-hmac-alg", NAME),
    known("shared-secret", NAME),
    known(
        "after-sb-0pri",
        Word(&[
            "disconnect",
            "discard-younger-primary",
            "discard-older-primary",
            "discard-zero-changes",
            "discard-least-changes",
            "discard-local",
            "discard-remote",
        ]),
    ),
    known(
        "after-sb-1pri",
        Word(&[
            "disconnect",
            "consensus",
            "discard-secondary",
            "call-pri-lost-after-sb",
            "violently-as0p",
        ]),
    ),
    known("after-sb-2pri", Word(&["disconnect", "call-pri-lost-after-sb", "violently-as0p"])),
    known("always-asbp", Flag),
    known(
        "rr-conflict",
        Word(&["disconnect", "call-pri-lost", "violently", "retry-connect", "auto-discard"]),
    ),
    known("ping-timeout", Number(1, 300, 1)),
    known("data-integrity-alg", NAME),
    known("tcp-cork", Flag),
    known("on-congestion", Word(&["block", "pull-ahead", "disconnect"])),
    known("congestion-fill", Number(0, 20_971_520, 512)),
    known("congestion-extents", Number(67, 65_534, 1)),
    known("csums-alg", NAME),
    known("csums-after-crash-only", Flag),
    known("verify-alg", NAME),
    known("use-rle", Flag),
    known("socket-check-timeout", Number(0, 300, 1)),
    known("fencing", Word(&["dont-care", "resource-only", "resource-and-stonith"])),
    known("max-buffers", Number(32, 131_072, 1)),
    known("allow-remote-read", Flag),
    known("_name", NAME),
];

const DISK: &[Known] = &[
    known("size", Number(0, 1 << 41, 512)),
    known("on-io-error", Word(&["pass_on", "call-local-io-error", "detach"])),
    known("disk-barrier", Flag),
    known("disk-flushes", Flag),
    known("disk-drain", Flag),
    known("md-flushes", Flag),
    known("resync-after", Number(-1, 1_048_575, 1)),
    known("al-extents", Number(67, 65_534, 1)),
    known("al-updates", Flag),
    known("discard-zeroes-if-aligned", Flag),
    known("disable-write-same", Flag),
    known("disk-timeout", Number(0, 6_000, 1)),
    known(
        "read-balancing",
        Word(&[
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
    known("rs-discard-granularity", Number(0, 1 << 20, 1)),
    towards("resync-rate", Number(1, 8_388_608, 1024)),
    towards("c-plan-ahead", Number(0, 300, 1)),
    towards("c-delay-target", Number(1, 100, 1)),
    towards("c-fill-target", Number(0, 1 << 20, 512)),
    towards("c-max-rate", Number(0, 4_194_304, 1024)),
    towards("c-min-rate", Number(0, 4_194_304, 1024)),
    towards("bitmap", Flag),
];

const STARTUP: &[Known] = &[
    known("wfc-timeout", Number(0, 300_000, 1)),
    known("degr-wfc-timeout", Number(0, 300_000, 1)),
    known("outdated-wfc-timeout", Number(0, 300_000, 1)),
    known("stacked-timeouts", Flag),
    known("become-primary-on", Text(1024)),
    known("wait-after-sb", Flag),
];

/// A command line may be long.
const COMMAND: Takes = Text(4096);
const HANDLERS: &[Known] = &[
    known("pri-on-incon-degr", COMMAND),
    known("pri-lost-after-sb", COMMAND),
    known("pri-lost", COMMAND),
    known("initial-split-brain", COMMAND),
    known("split-brain", COMMAND),
    known("before-resync-target", COMMAND),
    known("after-resync-target", COMMAND),
    known("before-resync-source", COMMAND),
    known("out-of-sync", COMMAND),
    known("local-io-error", COMMAND),
    known("fence-peer", COMMAND),
    known("unfence-peer", COMMAND),
    known("quorum-lost", COMMAND),
    known("disconnected", COMMAND),
];

fn all(section: Section) -> &'static [Known] {
    match section {
        Section::Options => OPTIONS,
        Section::Net => NET,
        Section::Disk => DISK,
        Section::Startup => STARTUP,
        Section::Handlers => HANDLERS,
    }
}

/// The option of that name in a section.
pub(crate) fn find(section: Section, name: &str) -> Option<Known> {
    all(section).iter().find(|known| known.name == name).copied()
}

/// Where an option stands in its section, and whether its value stands between quotes.
pub(crate) fn place(section: Section, name: &str) -> Option<(usize, bool)> {
    let at = all(section).iter().position(|known| known.name == name)?;
    Some((at, matches!(all(section)[at].takes, Text(_))))
}

/// A number with a suffix `k`, `M`, `G` (powers of 1024; `s` is sectors), in units of `unit` bytes.
/// As the tools do, a suffix counts bytes and a bare number counts units.
pub(crate) fn number(text: &str, unit: i64) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let value: i128 = digits[..end].parse().ok()?;
    let scale: i128 = match &digits[end..] {
        "" => return i64::try_from(if text.starts_with('-') { -value } else { value }).ok(),
        "s" | "S" => 512,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        _ => return None,
    };
    let scaled = value.checked_mul(scale)? / i128::from(unit);
    Some(i64::try_from(scaled).unwrap_or(i64::MAX))
}

/// Checks a value; the text is what drbdadm says after the name.
pub(crate) fn check(takes: Takes, value: Option<&str>) -> Result<(), String> {
    let Some(value) = value else {
        return match takes {
            Flag => Ok(()),
            _ => Err("Value is not a number.".to_owned()),
        };
    };
    let in_bounds = |number: i64, low: i64, high: i64| {
        if number < low {
            return Err("Value is too small.".to_owned());
        }
        if number > high {
            return Err("Value is too big.".to_owned());
        }
        Ok(())
    };
    match takes {
        Flag if matches!(value, "yes" | "no") => Ok(()),
        Flag => Err("Value is not 'yes' or 'no'.".to_owned()),
        Number(low, high, unit) => match number(value, unit) {
            Some(number) => in_bounds(number, low, high),
            None => Err("Value is not a number.".to_owned()),
        },
        Word(words) if words.contains(&value) => Ok(()),
        Word(words) => {
            Err(format!("Value is not valid.\nAllowed values are: {}", words.join(" | ")))
        }
        WordOrNumber(words, low, high) => match number(value, 1) {
            _ if words.contains(&value) => Ok(()),
            Some(number) => in_bounds(number, low, high),
            None => Err("Value is not valid.".to_owned()),
        },
        Text(most) if value.len() < most => Ok(()),
        Text(_) => Err("Value is too long.".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_counts_bytes_and_a_bare_number_units() {
        assert_eq!(number("10", 1024), Some(10));
        assert_eq!(number("10M", 1024), Some(10_240));
        assert_eq!(number("8k", 1), Some(8_192));
        assert_eq!(number("8s", 512), Some(8));
        assert_eq!(number("-1", 1), Some(-1));
        assert_eq!(number("10X", 1), None);
        assert_eq!(number("", 1), None);
        assert_eq!(number("99999999999999999999999999999999999999999", 1), None);
        assert_eq!(number("9999999999999G", 1), Some(i64::MAX));
    }
}

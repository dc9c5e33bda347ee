//! Quantities with units, exact in both directions: "20s", "0.1ms..0.5ms", "64MiB", "10Gbit", "2%".

use crate::error::Wrong;

/// Units, largest first, as (name, how many base units).
type Units = &'static [(&'static str, u64)];

/// Base: one nanosecond.
pub(crate) const DURATION: Kind = Kind {
    what: "a duration",
    example: "20s, 1.5ms, 200us",
    units: &[
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ],
};
/// Base: one byte.
pub(crate) const SIZE: Kind = Kind {
    what: "a size",
    example: "4KiB, 64MiB, 1GiB",
    units: &[("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)],
};
/// Base: one byte per second; so eight bits are the least.
pub(crate) const RATE: Kind = Kind {
    what: "a rate",
    example: "10Gbit, 1Gbit, 100Mbit, 50MiB/s",
    units: &[
        ("Gbit", 125_000_000),
        ("Mbit", 125_000),
        ("Kbit", 125),
        ("GiB/s", 1 << 30),
        ("MiB/s", 1 << 20),
        ("KiB/s", 1 << 10),
        ("B/s", 1),
    ],
};
/// Base: one part per million.
pub(crate) const SHARE: Kind =
    Kind { what: "a share", example: "2%, 0.5%, 200ppm", units: &[("%", 10_000), ("ppm", 1)] };

/// A kind of quantity.
pub(crate) struct Kind {
    pub what: &'static str,
    pub example: &'static str,
    units: Units,
}

impl Kind {
    /// The text as a whole number of base units.
    pub fn parse(&self, text: &str) -> Result<u64, Wrong> {
        let text = text.trim();
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = (&text[..split], text[split..].trim_start());
        // Both spellings of micro, U+00B5 and U+03BC, are on keyboards.
        let unit = if unit == "\u{b5}s" || unit == "\u{3bc}s" { "us" } else { unit };
        let known = self.units.iter().find(|(name, _)| *name == unit && !number.is_empty());
        let Some((_, scale)) = known else {
            return Err(self.wrong(text, self.unit_fault(number, unit)));
        };
        let value = scaled(number, *scale).map_err(|fault| self.wrong(text, fault.to_owned()))?;
        u64::try_from(value).map_err(|_| self.wrong(text, "too large".to_owned()))
    }

    /// "A..B" or one value for both, smallest first.
    pub fn parse_range(&self, text: &str) -> Result<(u64, u64), Wrong> {
        let Some((low, high)) = text.split_once("..") else {
            return self.parse(text).map(|value| (value, value));
        };
        let range = (self.parse(low)?, self.parse(high)?);
        if range.0 > range.1 {
            let remedy =
                format!("write the smaller end first: \"{}..{}\"", high.trim(), low.trim());
            return Err(Wrong::new(format!("\"{text}\" ends before it starts"), remedy));
        }
        Ok(range)
    }

    /// The shortest spelling that reads back as the same value.
    pub fn format(&self, value: u64) -> String {
        let fits = self.units.iter().find(|(_, scale)| value != 0 && value.is_multiple_of(*scale));
        match fits.or(self.units.last()) {
            Some((name, scale)) => format!("{}{name}", value / scale),
            None => value.to_string(),
        }
    }

    /// A range, or one value when both ends are the same.
    pub fn format_range(&self, range: (u64, u64)) -> String {
        if range.0 == range.1 {
            return self.format(range.0);
        }
        format!("{}..{}", self.format(range.0), self.format(range.1))
    }

    fn wrong(&self, text: &str, fault: String) -> Wrong {
        let text: String = text.chars().take(40).collect();
        Wrong::new(
            format!("\"{text}\" is not {}: {fault}", self.what),
            format!("write it as in {}", self.example),
        )
    }

    fn unit_fault(&self, number: &str, unit: &str) -> String {
        let known: Vec<_> = self.units.iter().map(|(name, _)| *name).collect();
        let known = known.join(", ");
        match (number, unit) {
            ("", _) => "it does not start with a number".to_owned(),
            (_, "") => format!("the unit is missing (one of {known})"),
            (_, unit) => {
                let unit: String = unit.chars().take(16).collect();
                format!("unknown unit \"{unit}\" (one of {known})")
            }
        }
    }
}

/// `number * scale`, exactly.
fn scaled(number: &str, scale: u64) -> Result<u128, &'static str> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') || (number.contains('.') && fraction.is_empty()) {
        return Err("the number is malformed");
    }
    if whole.len() > 20 || fraction.len() > 12 {
        return Err("the number has too many digits");
    }
    let digits = |text: &str| text.parse::<u128>().map_err(|_| "the number is malformed");
    let power = 10_u128.pow(fraction.len() as u32);
    let fraction = if fraction.is_empty() { 0 } else { digits(fraction)? };
    let fraction = fraction * u128::from(scale);
    if !fraction.is_multiple_of(power) {
        return Err("finer than the smallest unit");
    }
    Ok(digits(whole)? * u128::from(scale) + fraction / power)
}

/// A signed duration: "-5s".
pub(crate) fn parse_signed(text: &str) -> Result<i64, Wrong> {
    let text = text.trim();
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let size = i64::try_from(DURATION.parse(rest)?)
        .map_err(|_| Wrong::new(format!("\"{text}\" is too large"), "write less than 292 years"))?;
    Ok(if negative { -size } else { size })
}

/// The spelling that [`parse_signed`] reads back.
pub(crate) fn format_signed(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}", DURATION.format(value.unsigned_abs()))
}

/// Nanoseconds as "20s", "1500us", "10m": the largest unit that is exact.
pub fn duration(ns: u64) -> String {
    DURATION.format(ns)
}

/// A duration with its unit, "10m" or "0.5s", in nanoseconds; the error says what is wrong and how
/// to write it.
pub fn parse_duration(text: &str) -> Result<u64, String> {
    DURATION.parse(text).map_err(|wrong| format!("{}; {}", wrong.what, wrong.remedy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantities_read_as_written() {
        assert_eq!(DURATION.parse("20s").ok(), Some(20_000_000_000));
        assert_eq!(DURATION.parse("0.1ms").ok(), Some(100_000));
        assert_eq!(DURATION.parse("1.5 µs").ok(), Some(1_500));
        assert_eq!(SIZE.parse("64MiB").ok(), Some(64 << 20));
        assert_eq!(RATE.parse("10Gbit").ok(), Some(1_250_000_000));
        assert_eq!(SHARE.parse("0.5%").ok(), Some(5_000));
        assert_eq!(SIZE.parse_range("4KiB..64KiB").ok(), Some((4_096, 65_536)));
        assert_eq!(DURATION.parse_range("3s").ok(), Some((3_000_000_000, 3_000_000_000)));
        assert_eq!(parse_signed("-5s").ok(), Some(-5_000_000_000));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let fault = |text| DURATION.parse(text).unwrap_err().what;
        assert_eq!(
            fault("20"),
            "\"20\" is not a duration: the unit is missing (one of h, m, s, ms, us, ns)"
        );
        assert!(fault("20sec").contains("unknown unit \"sec\""));
        assert!(fault("s").contains("does not start with a number"));
        assert!(fault("1.s").contains("malformed"));
        assert!(fault("1.2.3s").contains("malformed"));
        assert!(fault("0.5ns").contains("finer than the smallest unit"));
        assert!(fault("9999999999h").contains("too large"));
        assert!(fault("99999999999999999999999s").contains("too many digits"));
        assert!(DURATION.parse_range("5s..1s").unwrap_err().remedy.contains("1s..5s"));
    }

    proptest! {
        #[test]
        fn every_value_survives_being_written(value: u64) {
            for kind in [DURATION, SIZE, RATE, SHARE] {
                prop_assert_eq!(kind.parse(&kind.format(value)).ok(), Some(value));
            }
        }

        #[test]
        fn any_text_is_refused_or_read(text in "\\PC{0,24}") {
            for kind in [DURATION, SIZE, RATE, SHARE] {
                let _ = kind.parse_range(&text);
            }
            let _ = parse_signed(&text);
        }

        #[test]
        fn signed_durations_survive_being_written(value in -i64::MAX..i64::MAX) {
            prop_assert_eq!(parse_signed(&format_signed(value)).ok(), Some(value));
        }
    }
}

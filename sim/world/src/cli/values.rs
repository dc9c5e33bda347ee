//! Values of flags.

use std::time::Duration;

/// Decimal, 0x hex, or `random`.
pub(super) fn seed(text: &str) -> Result<u64, String> {
    if text == "random" {
        return Ok(random_seed());
    }
    let parsed = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    let usable = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    parsed.ok().filter(|_| usable).ok_or_else(|| {
        "a seed is a whole number below 2^64, decimal or hex: 42, 0x5eed91c4".to_owned()
    })
}

/// Chance from the host, for those who ask for it: the seed is printed and decides everything else.
fn random_seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = since.map_or(0, |since| since.as_nanos() as u64);
    (now ^ (u64::from(std::process::id()) << 48)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
}

pub(super) fn seeds(text: &str) -> Result<(u64, u64), String> {
    let wrong = || "a range of seeds is A..B with A below B: 0..200, 0x100..0x200".to_owned();
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let range = (seed(from)?, seed(to)?);
    if range.0 < range.1 { Ok(range) } else { Err(wrong()) }
}

pub(super) fn jobs(text: &str) -> Result<u16, String> {
    let jobs = text.parse().ok().filter(|jobs| (1..=256).contains(jobs));
    jobs.ok_or_else(|| "from 1 to 256 runs can be under way at the same time".to_owned())
}

pub(super) fn time(text: &str) -> Result<Duration, String> {
    match scenarios::parse_duration(text)? {
        0 => Err("no time at all; write it as in 30s, 10m, 8h".to_owned()),
        ns => Ok(Duration::from_nanos(ns)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_decimal_or_hex() {
        assert_eq!(seed("42"), Ok(42));
        assert_eq!(seed("0x2a"), Ok(42));
        assert_eq!(seed("18446744073709551615"), Ok(u64::MAX));
        for wrong in ["", "0x", "-1", "+1", "1e3", "18446744073709551616", "0x1_0"] {
            assert!(seed(wrong).is_err(), "{wrong}");
        }
        assert_eq!(seeds("0..0x10"), Ok((0, 16)));
        for wrong in ["5", "5..5", "9..1", "..4", "a..b"] {
            assert!(seeds(wrong).is_err(), "{wrong}");
        }
    }
}

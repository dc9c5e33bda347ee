//! Sizes as LVM reads and writes them.

use super::args::{Args, wrong};
use super::{Said, Stop};

/// Bytes of a sector.
pub(crate) const SECTOR: u64 = 512;
const LETTERS: &str = "bskmgtpe";

fn unit(letter: char) -> Option<u64> {
    Some(match LETTERS.find(letter)? {
        0 => 1,
        1 => SECTOR,
        power => 1 << (10 * (power - 1)),
    })
}

/// A size or a number of extents, absolute or by how much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Amount {
    Bytes(u64),
    Extents(u64),
    /// Per cent of what the letter says: of the group, its free extents, or those of the physical
    /// volumes.
    Percent(u64, Of),
}

/// Of what a share is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Of {
    Group,
    Free,
    Physical,
    Origin,
}

/// `+`, `-`, or to this very size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sign {
    To,
    More,
    Less,
}

/// Reads a size: `64m`, `65544k`, `1.5g`; megabytes without a letter. Upper case is the same.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, &'static str> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    if !number.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Err("Size requires number argument.");
    }
    let letters = &text[number.len()..];
    let letter = match letters.to_ascii_lowercase().as_str() {
        "" => 'm',
        one if one.len() == 1 => one.chars().next().unwrap_or('m'),
        _ => return Err("Can't parse size argument."),
    };
    let per = unit(letter).ok_or("Can't parse size argument.")?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| match text {
        "" => Ok(0),
        text => text.parse::<u64>().map_err(|_| "Can't parse size argument."),
    };
    // More digits than these say nothing about sectors.
    let part = part.get(..part.len().min(9)).unwrap_or("");
    let scale = 10_u64.pow(part.len() as u32);
    let extra = u128::from(digits(part)?) * u128::from(per) / u128::from(scale);
    let bytes = u128::from(digits(whole)?) * u128::from(per) + extra;
    u64::try_from(bytes).map_err(|_| "Can't parse size argument.")
}

/// The value of `--size`, `--virtualsize` and the like.
pub(crate) fn bytes_of(args: &Args, option: &str, said: &mut Said) -> Result<Option<u64>, Stop> {
    let Some(text) = args.value(option) else { return Ok(None) };
    let refused = match text {
        text if text.starts_with('-') => "Size may not be negative.",
        text => match parse_bytes(text.trim_start_matches('+')) {
            Ok(bytes) => return Ok(Some(bytes)),
            Err(why) => why,
        },
    };
    said.warn(refused);
    said.warn(format!("Invalid argument for --{option}: {text}"));
    wrong(said)
}

/// `--size` or `--extents`, with a sign where the command takes one.
pub(crate) fn amount_of(
    args: &Args,
    signs: bool,
    said: &mut Said,
) -> Result<Option<(Sign, Amount)>, Stop> {
    let size = args.value("size");
    if size.is_some() && args.has("extents") {
        return said.misused(args.command, "Please specify either size or extents (not both).");
    }
    let Some(text) = size.or(args.value("extents")) else { return Ok(None) };
    let (sign, plain) = match text.split_at_checked(1) {
        Some(("+", rest)) if signs => (Sign::More, rest),
        Some(("-", rest)) if signs => (Sign::Less, rest),
        _ => (Sign::To, text),
    };
    let zero = |said: &mut Said, name: &str| {
        said.misused(args.command, format!("--{name} may not be zero."))
    };
    if size.is_some() {
        let bytes = if sign == Sign::To {
            bytes_of(args, "size", said)?.unwrap_or(0)
        } else {
            match parse_bytes(plain) {
                Ok(bytes) => bytes,
                Err(why) => {
                    said.warn(why);
                    said.warn(format!("Invalid argument for --size: {text}"));
                    return wrong(said);
                }
            }
        };
        return match bytes {
            0 => zero(said, "size"),
            bytes => Ok(Some((sign, Amount::Bytes(bytes)))),
        };
    }
    match extents(plain) {
        Some(Amount::Extents(0) | Amount::Percent(0, _)) => zero(said, "extents"),
        Some(amount) => Ok(Some((sign, amount))),
        None => {
            said.warn(format!("Invalid argument for --extents: {text}"));
            wrong(said)
        }
    }
}

/// `17`, `100%FREE`, `50%VG`.
fn extents(text: &str) -> Option<Amount> {
    let Some((number, of)) = text.split_once('%') else {
        return text.parse().ok().map(Amount::Extents);
    };
    let of = match of.to_ascii_uppercase().as_str() {
        "VG" | "V" => Of::Group,
        "FREE" | "F" => Of::Free,
        "PVS" | "P" => Of::Physical,
        "ORIGIN" | "O" => Of::Origin,
        _ => return None,
    };
    Some(Amount::Percent(number.parse().ok()?, of))
}

/// `--units` and `--nosuffix`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Units {
    /// Bytes of one; 0: what fits.
    per: u64,
    /// The letter behind it.
    letter: char,
    /// Powers of 1000.
    si: bool,
    /// Says that it rounded up.
    marks: bool,
    suffix: bool,
}

impl Units {
    /// What LVM takes if nothing is said.
    pub const USUAL: Units = Units { per: 0, letter: 'r', si: false, marks: true, suffix: true };

    /// The same with or without the letter.
    pub fn suffixed(self, suffix: bool) -> Units {
        Units { suffix, ..self }
    }

    /// `b`, `k`, `H`, `4m`; none if that is no unit.
    pub fn parse(text: &str, suffix: bool) -> Option<Units> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let mut letters = text[digits.len()..].chars();
        let (letter, None) = (letters.next()?, letters.next()) else { return None };
        let si = letter.is_ascii_uppercase();
        match (letter.to_ascii_lowercase(), digits) {
            ('h', "") => Some(Units { per: 0, letter, si, marks: false, suffix }),
            ('r', "") => Some(Units { per: 0, letter, si, marks: true, suffix }),
            (lower, digits) => {
                let power = LETTERS.find(lower)?;
                let base =
                    if si && power > 1 { 1000_u64.pow(power as u32 - 1) } else { unit(lower)? };
                let times: u64 = if digits.is_empty() { 1 } else { digits.parse().ok()? };
                let letter = if digits.is_empty() { letter } else { 'U' };
                let per = base.checked_mul(times).filter(|per| *per > 0)?;
                Some(Units { per, letter, si, marks: false, suffix })
            }
        }
    }

    /// A size for a column.
    pub fn show(self, bytes: u64) -> String {
        let suffix = |letter: char| if self.suffix { letter.to_string() } else { String::new() };
        if self.per > 0 {
            let upper = self.letter.to_ascii_uppercase();
            return match (self.letter.to_ascii_lowercase(), bytes) {
                ('b', _) => format!("{bytes}{}", suffix('B')),
                ('s', _) => format!("{}{}", bytes / SECTOR, suffix('S')),
                (_, 0) => format!("0{}", if self.suffix { " " } else { "" }),
                _ => {
                    let letter = if self.si { upper } else { self.letter };
                    format!("{}{}", hundredths(bytes, self.per).0, suffix(letter))
                }
            };
        }
        let (number, letter) = human(bytes, self.si, self.marks);
        // The letter says which unit it is, so it stays with --nosuffix.
        format!("{number}{letter}")
    }
}

/// A size as messages say it: `68.00 MiB`.
pub(crate) fn words(bytes: u64) -> String {
    match human(bytes, false, true) {
        (number, 'b' | ' ') => format!("{number} B "),
        (number, letter) => format!("{number} {}iB", letter.to_ascii_uppercase()),
    }
}

/// In the largest unit that is not larger than it.
fn human(bytes: u64, si: bool, marks: bool) -> (String, char) {
    if bytes == 0 {
        return ("0".to_owned(), ' ');
    }
    let base: u64 = if si { 1000 } else { 1024 };
    let mut per: u64 = 1;
    let mut letter = 'b';
    for next in "kmgtpe".chars() {
        let Some(more) = per.checked_mul(base).filter(|more| bytes >= *more) else { break };
        (per, letter) = (more, next);
    }
    if per == 1 {
        return (bytes.to_string(), letter);
    }
    let (number, rounded_up) = hundredths(bytes, per);
    let mark = if marks && rounded_up { "<" } else { "" };
    (format!("{mark}{number}"), if si { letter.to_ascii_uppercase() } else { letter })
}

/// With two decimals, half to even as printf does; and whether that is more than it is.
fn hundredths(bytes: u64, per: u64) -> (String, bool) {
    let (scaled, per) = (u128::from(bytes) * 100, u128::from(per));
    let (mut whole, rest) = (scaled / per, scaled % per);
    if rest * 2 > per || (rest * 2 == per && whole % 2 == 1) {
        whole += 1;
    }
    (format!("{}.{:02}", whole / 100, whole % 100), whole * per > scaled)
}

/// A share in per cent with two decimals; not 0 or 100 unless it is exactly that.
pub(crate) fn percent(part: u64, all: u64) -> String {
    if all == 0 || part == 0 {
        return "0.00".to_owned();
    }
    if part >= all {
        return "100.00".to_owned();
    }
    match hundredths(part.saturating_mul(100), all).0.as_str() {
        "0.00" => "0.01".to_owned(),
        "100.00" => "99.99".to_owned(),
        text => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        let all = [
            ("64m", 64 << 20),
            ("65544k", 65544 << 10),
            ("1.5G", 3 << 29),
            ("8", 8 << 20),
            ("2s", 1024),
            ("10b", 10),
        ];
        for (text, bytes) in all {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        assert!(
            ["foo", "10x", "", "10mb", "99999999999e", "1.2.3k"]
                .iter()
                .all(|text| parse_bytes(text).is_err())
        );
    }

    /// As a real `lvs` printed them.
    #[test]
    fn sizes_are_written() {
        assert_eq!(Units::USUAL.show(1216 << 20), "<1.19g");
        assert_eq!(Units::USUAL.show(1152 << 20), "1.12g");
        assert_eq!(Units::USUAL.show(0), "0 ");
        let show = |unit, bytes| Units::parse(unit, true).map(|units| units.show(bytes));
        assert_eq!(show("b", 8 << 20).as_deref(), Some("8388608B"));
        assert_eq!(show("H", 8 << 20).as_deref(), Some("8.39M"));
        assert_eq!(show("g", 128 << 20).as_deref(), Some("0.12g"));
        assert_eq!(show("s", 8 << 20).as_deref(), Some("16384S"));
        assert_eq!(show("4m", 252 << 20).as_deref(), Some("63.00U"));
        assert_eq!(Units::parse("MB", true), None);
        assert_eq!(Units::parse("q", true), None);
        assert_eq!(words(68 << 20), "68.00 MiB");
        assert_eq!(words(127 << 37), "<15.88 TiB");
    }

    #[test]
    fn shares_are_rounded_as_lvm_does() {
        assert_eq!(percent(320, 2048), "15.62");
        assert_eq!(percent(111, 1024), "10.84");
        assert_eq!(percent(1, 1 << 40), "0.01");
        assert_eq!(percent((1 << 40) - 1, 1 << 40), "99.99");
        assert_eq!(percent(3, 3), "100.00");
    }
}

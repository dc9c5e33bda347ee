//! Numbers and times as people read them.

/// Seconds, minutes or hours, as few digits as say enough: "0.04 s", "8.2 s", "41 s", "12.5 m",
/// "3.1 h".
pub fn time(ns: u128) -> String {
    let tenths = |unit: u128| {
        let tenths = (ns * 10 + unit / 2) / unit;
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    const SECOND: u128 = 1_000_000_000;
    match ns {
        0 => "0 s".to_owned(),
        _ if ns < SECOND / 10 => format!("{} ms", tenths(1_000_000)),
        _ if ns < 20 * SECOND => format!("{} s", tenths(SECOND)),
        _ if ns < 600 * SECOND => format!("{} s", (ns + SECOND / 2) / SECOND),
        _ if ns < 6_000 * SECOND => format!("{} m", tenths(60 * SECOND)),
        _ => format!("{} h", tenths(3_600 * SECOND)),
    }
}

/// Digits in groups of three: "21 904".
pub fn count(number: u128) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// "1 run", "2 runs".
pub fn plural(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(u128::from(number)), if number == 1 { "" } else { "s" })
}

/// A seed that can be pasted: small ones decimal, others hex.
pub fn seed(seed: u64) -> String {
    if seed < 1_000_000 { seed.to_string() } else { format!("{seed:#x}") }
}

/// Simulated time to the microsecond's thousand: "143.882s".
pub fn at(ns: u64) -> String {
    format!("{}.{:03}s", ns / 1_000_000_000, ns / 1_000_000 % 1_000)
}

/// A table with aligned columns, two spaces in front.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths);
        let cells: Vec<_> = cells.map(|(cell, width)| format!("{cell:<width$}")).collect();
        out.push_str(&format!("  {}\n", cells.join("  ").trim_end()));
    }
    out
}

/// Every line within so many columns, but for commands: they are there to be copied.
pub fn folded(text: &str, width: usize) -> String {
    let mut out = String::new();
    for line in text.lines() {
        if line.chars().count() <= width {
            out.push_str(line);
            out.push('\n');
        } else if let Some(at) = line.find("cargo xtask ") {
            command(&mut out, line, at, width);
        } else {
            fold(&mut out, line, width);
        }
    }
    out
}

/// What stands before and after a command, and the command on a line of its own.
fn command(out: &mut String, line: &str, at: usize, width: usize) {
    let (before, rest) = line.split_at(at);
    let (command, after) = rest.split_once("      ").unwrap_or((rest, ""));
    if before.trim_end().ends_with(':') {
        fold(out, before.trim_end(), width);
        out.push_str(&format!("    {command}\n"));
    } else {
        out.push_str(&format!("{before}{command}\n"));
    }
    if !after.is_empty() {
        fold(out, &format!("{}{}", " ".repeat(11), after.trim_start()), width);
    }
}

/// Breaks at spaces; what does not fit is indented. A word that is too long stays whole.
fn fold(out: &mut String, line: &str, width: usize) {
    let indent = line.chars().take_while(|c| *c == ' ').count();
    let margin = " ".repeat((indent + 4).min(width / 4));
    let mut rest = line;
    let mut lead = "";
    loop {
        let room = width.saturating_sub(lead.len()).max(1);
        let trimmed = if lead.is_empty() { rest } else { rest.trim_start() };
        if trimmed.chars().count() <= room {
            out.push_str(&format!("{lead}{trimmed}\n"));
            return;
        }
        let end = trimmed.char_indices().nth(room).map_or(trimmed.len(), |(at, _)| at);
        let words = if lead.is_empty() { indent } else { 0 };
        let place = trimmed[..end].rfind(' ').filter(|at| *at > words);
        // The space itself may stand just behind the last column.
        let place = if trimmed[end..].starts_with(' ') { Some(end) } else { place };
        // Between columns rather than within one.
        let column = trimmed[..end].rfind("  ").filter(|at| *at > words && *at * 2 > end);
        let place = column.or(place);
        let place = place.or_else(|| trimmed[end..].find(' ').map(|at| end + at));
        let (head, tail) = trimmed.split_at(place.unwrap_or(trimmed.len()));
        out.push_str(&format!("{lead}{}\n", head.trim_end()));
        if tail.trim().is_empty() {
            return;
        }
        (rest, lead) = (tail, &margin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_digits_that_matter() {
        const SECOND: u128 = 1_000_000_000;
        assert_eq!(time(0), "0 s");
        assert_eq!(time(SECOND / 250), "4.0 ms");
        assert_eq!(time(SECOND / 5), "0.2 s");
        assert_eq!(time(8 * SECOND + SECOND / 5), "8.2 s");
        assert_eq!(time(41 * SECOND), "41 s");
        assert_eq!(time(750 * SECOND), "12.5 m");
        assert_eq!(time(11_160 * SECOND), "3.1 h");
    }

    #[test]
    fn digits_come_in_groups() {
        assert_eq!(
            (count(4), count(904), count(21_904)),
            ("4".into(), "904".into(), "21 904".into())
        );
        assert_eq!(plural(1, "run") + &plural(1_000, "run"), "1 run1 000 runs");
        assert_eq!((seed(42), seed(0x5eed_91c4)), ("42".into(), "0x5eed91c4".into()));
        assert_eq!(at(143_882_001_000), "143.882s");
    }

    #[test]
    fn lines_fit_and_commands_stay_whole() {
        let fold = |text: &str| folded(text, 20);
        assert_eq!(fold("short\n"), "short\n");
        assert_eq!(fold("  one two three four five"), "  one two three four\n     five\n");
        assert_eq!(fold("ünïcödé wörds äre cöünted"), "ünïcödé wörds äre\n    cöünted\n");
        assert_eq!(fold("a-word-that-is-far-too-long it"), "a-word-that-is-far-too-long\n    it\n");
        let replay = "  replay   cargo xtask sim x --seed 42      (at 4f2c1d9)";
        let expected = "  replay   cargo xtask sim x --seed 42\n           (at\n     4f2c1d9)\n";
        assert_eq!(fold(replay), expected);
        let shrunk = "  shrunk   41 → 7 steps: cargo xtask sim --file x/shrunk.toml";
        let expected = "  shrunk   41 → 7\n     steps:\n    cargo xtask sim --file x/shrunk.toml\n";
        assert_eq!(fold(shrunk), expected);
    }

    #[test]
    fn tables_are_aligned() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        assert_eq!(table(&[row(["host", "disk"]), row(["a", "·"])]), "  host  disk\n  a     ·\n");
    }
}

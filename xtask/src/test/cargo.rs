//! Cargo as a test runner: what it says counted.

use anyhow::{Context, Result};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::Counts;

/// Lines of a failing command that are worth keeping.
const KEPT: usize = 60;

/// Runs a command to its end; its stderr passes through, its stdout is returned. The bool is its
/// success.
pub fn output(command: &mut Command) -> Result<(bool, String)> {
    let name = command.get_program().to_string_lossy().into_owned();
    let starting = || format!("cannot start {name}");
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().with_context(starting)?;
    let mut text = String::new();
    for line in child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).split(b'\n')) {
        text.push_str(&String::from_utf8_lossy(&line?));
        text.push('\n');
    }
    Ok((child.wait()?.success(), text))
}

/// One check: the command succeeds.
pub fn succeeds(command: &mut Command, remedy: &str) -> Result<Counts> {
    let (good, text) = output(command)?;
    if !good {
        println!("{text}");
    }
    Ok(Counts::of(good, remedy))
}

/// `cargo test …`: every test counts.
pub fn tests(command: &mut Command) -> Result<Counts> {
    let (good, text) = output(command)?;
    let mut counts = count(&text);
    if good && counts.failed == 0 && counts.passed > 0 {
        return Ok(counts);
    }
    println!("{}", tail(&text));
    if counts.failed == 0 {
        // It did not come as far as its tests, or has none: a part without tests proves nothing.
        counts.add(Counts::fail(if good {
            "no test ran"
        } else {
            "the tests do not build or run"
        }));
    }
    Ok(counts)
}

/// Sums over the `test result:` lines, and the names of what failed.
fn count(text: &str) -> Counts {
    let mut counts = Counts::default();
    for line in text.lines() {
        if let Some(sums) = line.strip_prefix("test result: ") {
            counts.passed += number_before(sums, " passed");
            counts.failed += number_before(sums, " failed");
        }
        let failed = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"));
        counts.notes.extend(failed.map(|name| format!("test {name}")));
    }
    counts
}

/// The number in front of a word, 0 if there is none.
pub fn number_before(text: &str, word: &str) -> u64 {
    let Some(at) = text.find(word) else { return 0 };
    let digits = text[..at].rfind(|c: char| !c.is_ascii_digit()).map_or(0, |i| i + 1);
    text[digits..at].parse().unwrap_or(0)
}

fn tail(text: &str) -> String {
    let wanted = |line: &&str| !line.ends_with(" ... ok");
    let lines: Vec<_> = text.lines().filter(wanted).collect();
    lines[lines.len().saturating_sub(KEPT)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_summed_and_failures_named() {
        let text = "running 2 tests\ntest a::b ... ok\ntest a::c ... FAILED\n\n\
            test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n\
            test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
        let counts = count(text);
        assert_eq!((counts.passed, counts.failed), (13, 1));
        assert_eq!(counts.notes, ["test a::c"]);
        assert_eq!(number_before("x: 7 passed, 0 failed", " failed"), 0);
        assert_eq!(number_before("nothing", " failed"), 0);
    }
}

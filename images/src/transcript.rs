//! What was seen when a script was played on a real kernel: a head, then a JSON line for each thing
//! seen, by step and host in the order of the script, and within both in the order of seeing.
//! Times are not kept: two recordings of a script are the same text.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which software it was.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq, Debug)]
pub struct Head {
    /// Name of the script, with its variant.
    pub script: String,
    /// Debian's version of the kernel.
    pub kernel: String,
    /// DRBD's version.
    pub module: String,
    /// Of drbd-utils.
    pub tools: String,
}

/// One thing seen.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq, Debug)]
pub struct Line {
    /// The step that struck last.
    pub step: String,
    /// Where.
    pub host: String,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// Kinds of things seen.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A command of the script, how it ended, what it said.
    Ran {
        /// As in the script.
        command: String,
        /// Its exit code; none if it did not end.
        exit: Option<i32>,
        /// stdout and stderr.
        said: Vec<String>,
    },
    /// `events2`: fields that changed together.
    Saw(String),
    /// A handler, with what of its environment says something: minor, role and addresses are the
    /// script's.
    Helper {
        /// e.g. `split-brain`.
        name: String,
        /// Variables `DRBD_…`.
        env: BTreeMap<String, String>,
    },
    /// The kernel's log: comparisons of generations, and how much is synced.
    Log(String),
    /// Every field, when nothing moved any more; `out-of-sync` in KiB.
    Rest(BTreeMap<String, String>),
    /// What the copy holds at the end, `0..16 stamp 7` in blocks of 4 KiB; blocks that hold zero
    /// are left out, those that hold no stamp are told by a hash.
    Blocks(Vec<String>),
}

/// A recording.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transcript {
    /// Of what.
    pub head: Head,
    /// What was seen.
    pub lines: Vec<Line>,
}

impl Transcript {
    /// The file's text.
    pub fn write(&self) -> Result<String> {
        let mut text = serde_json::to_string(&self.head)?;
        text.push('\n');
        for line in &self.lines {
            text.push_str(&serde_json::to_string(line)?);
            text.push('\n');
        }
        Ok(text)
    }

    /// Reads a file's text.
    pub fn read(text: &str) -> Result<Transcript> {
        let (head, rest) = text.split_once('\n').context("a transcript begins with its head")?;
        let head = serde_json::from_str(head).context("the head of a transcript")?;
        let line = |(nr, line)| {
            serde_json::from_str(line).with_context(|| format!("line {} of a transcript", nr + 2))
        };
        let lines = rest.lines().enumerate().map(line).collect::<Result<_>>()?;
        Ok(Transcript { head, lines })
    }

    /// What one has and the other has not, as `-` and `+` lines. Versions may differ.
    pub fn differences(&self, other: &Transcript) -> Result<Vec<String>> {
        let text = |it: &Transcript| -> Result<Vec<String>> {
            it.lines.iter().map(|line| Ok(serde_json::to_string(line)?)).collect()
        };
        Ok(diff(&text(self)?, &text(other)?))
    }
}

/// Lines that went (`-`) and came (`+`), by the longest common subsequence.
fn diff(old: &[String], new: &[String]) -> Vec<String> {
    let mut longest = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            longest[i][j] = if old[i] == new[j] {
                longest[i + 1][j + 1] + 1
            } else {
                longest[i + 1][j].max(longest[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || i < old.len() && longest[i + 1][j] >= longest[i][j + 1] {
            out.push(format!("- {}", old[i]));
            i += 1;
        } else {
            out.push(format!("+ {}", new[j]));
            j += 1;
        }
    }
    out
}

/// Blocks of a copy, see [`What::Blocks`]. `bytes` is a whole number of blocks.
pub fn blocks(bytes: &[u8]) -> Vec<String> {
    let mut runs: Vec<(usize, usize, String)> = Vec::new();
    for (nr, block) in bytes.chunks(4096).enumerate() {
        let Some(holds) = contents(block) else { continue };
        match runs.last_mut() {
            Some((_, end, same)) if *end == nr && *same == holds => *end += 1,
            _ => runs.push((nr, nr + 1, holds)),
        }
    }
    runs.into_iter().map(|(start, end, holds)| format!("{start}..{end} {holds}")).collect()
}

fn contents(block: &[u8]) -> Option<String> {
    let (words, _) = block.as_chunks::<8>();
    let first = u64::from_le_bytes(*words.first()?);
    if words.iter().all(|word| u64::from_le_bytes(*word) == first) {
        return (first != 0).then(|| format!("stamp {first}"));
    }
    // FNV-1a: which bytes they are matters only in that it is the same on both sides.
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    Some(format!("hash {:016x}", block.iter().fold(0xcbf2_9ce4_8422_2325, step)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(what: What) -> Line {
        Line { step: "cut".to_owned(), host: "alpha".to_owned(), what }
    }

    #[test]
    fn what_was_written_is_read() {
        let command = "drbdadm primary vol-a".to_owned();
        let head = Head {
            script: "x".to_owned(),
            kernel: "6.1".to_owned(),
            module: "8.4.11".to_owned(),
            tools: "9.22".to_owned(),
        };
        let lines = vec![
            line(What::Ran { command, exit: Some(17), said: vec!["refused".to_owned()] }),
            line(What::Saw("role:Primary".to_owned())),
            line(What::Helper { name: "split-brain".to_owned(), env: BTreeMap::new() }),
            line(What::Rest(BTreeMap::from([("disk".to_owned(), "UpToDate".to_owned())]))),
            line(What::Blocks(vec!["0..1 stamp 1".to_owned()])),
        ];
        let transcript = Transcript { head, lines };
        let text = transcript.write().unwrap();
        let saw = r#"{"step":"cut","host":"alpha","saw":"role:Primary"}"#;
        assert_eq!(text.lines().nth(2), Some(saw));
        assert_eq!(Transcript::read(&text).unwrap(), transcript);
        assert!(Transcript::read("{}").is_err());
        let mut less = transcript.clone();
        less.lines.remove(1);
        less.head.kernel.clear();
        assert_eq!(transcript.differences(&less).unwrap(), [format!("- {saw}")]);
        assert_eq!(less.differences(&transcript).unwrap(), [format!("+ {saw}")]);
    }

    #[test]
    fn blocks_are_told_by_their_stamps() {
        let mut bytes = vec![0; 5 * 4096];
        bytes[4096..3 * 4096].as_chunks_mut::<8>().0.fill(7_u64.to_le_bytes());
        bytes[4 * 4096] = 1;
        let told = blocks(&bytes);
        assert_eq!(told[0], "1..3 stamp 7");
        assert!(told[1].starts_with("4..5 hash ") && told.len() == 2, "{told:?}");
    }
}

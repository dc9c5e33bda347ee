//! The skips that are allowed: a list that is committed, so that nothing stops being tested without
//! a word.

use anyhow::{Context, Result};

use crate::root;

/// One `part: reason` a line; `#` begins a comment.
pub const FILE: &str = "tests/skips.txt";
/// Begins a skip that is allowed on any machine but CI's.
const ELSEWHERE: &str = "elsewhere ";

/// Reads the list. The machine of CI says that it is one, as is usual, by a variable.
pub fn allowed() -> Result<Vec<String>> {
    let path = root().join(FILE);
    let text = std::fs::read_to_string(&path).with_context(|| format!("{FILE} is not readable"))?;
    Ok(parse(&text, std::env::var_os("CI").is_some()))
}

fn parse(text: &str, on_ci: bool) -> Vec<String> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or("").trim());
    let allowed = |line: &str| match line.strip_prefix(ELSEWHERE) {
        Some(line) => (!on_ci).then(|| line.to_owned()),
        None => (!line.is_empty()).then(|| line.to_owned()),
    };
    lines.filter_map(allowed).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn comments_are_no_skips() {
        assert_eq!(
            super::parse("# why\n\ndeny: x is not installed  # here\n", true),
            ["deny: x is not installed"]
        );
    }

    #[test]
    fn some_skips_are_not_for_ci() {
        let list = "elsewhere conformance: no loop device\ndeny: x\n";
        assert_eq!(super::parse(list, true), ["deny: x"]);
        assert_eq!(super::parse(list, false), ["conformance: no loop device", "deny: x"]);
    }
}

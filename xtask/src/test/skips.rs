//! The skips that are allowed: a list that is committed, so that nothing stops being tested without
//! a word.

use anyhow::{Context, Result};

use crate::root;

/// One `part: reason` a line; `#` begins a comment.
pub const FILE: &str = "tests/skips.txt";

/// Reads the list.
pub fn allowed() -> Result<Vec<String>> {
    let path = root().join(FILE);
    let text = std::fs::read_to_string(&path).with_context(|| format!("{FILE} is not readable"))?;
    Ok(parse(&text))
}

fn parse(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or("").trim());
    lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn comments_are_no_skips() {
        assert_eq!(
            super::parse("# why\n\ndeny: x is not installed  # here\n"),
            ["deny: x is not installed"]
        );
    }
}

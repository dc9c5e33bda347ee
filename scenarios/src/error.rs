//! What is wrong with a scenario file: place, fact, remedy.

use std::fmt;

/// A scenario file that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    /// The file, as the user named it.
    pub file: String,
    /// From 1; 0 where `file` says the place already.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Error {
    /// An error at a path such as `step[2].do.run` of a file that has been read.
    pub fn of_path(file: &str, text: &str, path: &str, what: &str, remedy: &str) -> Error {
        let root = toml::de::DeTable::parse(text);
        let at = root.map_or(0, |root| crate::cursor::locate(root.get_ref(), path));
        Error::at(file, text, at, Wrong::new(what, remedy))
    }

    /// An error at a byte offset of `text`.
    pub(crate) fn at(file: &str, text: &str, offset: usize, wrong: Wrong) -> Error {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &text[..offset];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Error {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
            what: wrong.what,
            remedy: wrong.remedy,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.what)?,
            line => write!(f, "{}:{line}:{}: {}", self.file, self.column, self.what)?,
        }
        write!(f, "\n  remedy: {}", self.remedy)
    }
}

impl std::error::Error for Error {}

/// Fact and remedy, before the place is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Wrong {
    pub what: String,
    pub remedy: String,
}

impl Wrong {
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Wrong {
        Wrong { what: what.into(), remedy: remedy.into() }
    }
}

/// The candidate that looks most like `word`, if any looks like it at all.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(64).collect();
    let allowed = 1 + word.len() / 3;
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, candidate), candidate))
        .min()
        .filter(|(distance, _)| *distance <= allowed)
        .map(|(_, candidate)| candidate)
}

/// Insertions, removals and replacements between the two words.
fn distance(word: &[char], other: &str) -> usize {
    let other: Vec<char> = other.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in word.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_key() {
        assert_eq!(nearest("horizn", ["name", "horizon", "heals"]), Some("horizon"));
        assert_eq!(nearest("qourum", ["quorum", "on-no-quorum"]), Some("quorum"));
        assert_eq!(nearest("banana", ["name", "horizon"]), None);
    }

    #[test]
    fn the_place_counts_characters_from_one() {
        let error = Error::at("f.toml", "a\nbü!", 5, Wrong::new("w", "r"));
        assert_eq!((error.line, error.column), (2, 3));
        let end = Error::at("f.toml", "a\n", 99, Wrong::new("w", "r"));
        assert_eq!((end.line, end.column), (2, 1));
    }
}

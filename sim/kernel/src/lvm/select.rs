//! `--select`: comparisons of fields, joined by `&&` (or `,`) and `||`.
//!
//! Left out: brackets, sets, and regular expressions but for `^`, `$` and plain text.

use super::columns::{self, Class, Value};
use super::size::parse_bytes;
use super::{FAILED, Said, Stop};

/// Longest selection.
const LONGEST: usize = 1024;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum How {
    Is,
    IsNot,
    AtLeast,
    AtMost,
    More,
    Less,
    Matches,
    MatchesNot,
}

const WORDS: [(&str, How); 8] = [
    ("=~", How::Matches),
    ("!~", How::MatchesNot),
    ("!=", How::IsNot),
    (">=", How::AtLeast),
    ("<=", How::AtMost),
    ("=", How::Is),
    (">", How::More),
    ("<", How::Less),
];

/// A condition on one field.
#[derive(Debug)]
pub(crate) struct Test {
    pub column: &'static columns::Column,
    how: How,
    with: String,
}

/// Any of these, of which all have to hold.
pub(crate) type Selection = Vec<Vec<Test>>;

/// Reads a selection.
pub(crate) fn parse(text: &str, own: &[Class], said: &mut Said) -> Result<Selection, Stop> {
    let mut any = Vec::new();
    for part in text.split("||") {
        let mut all = Vec::new();
        for test in part.split("&&").flat_map(|part| part.split(',')) {
            match one(test.trim(), own) {
                Ok(test) => all.push(test),
                Err(why) => {
                    said.warn(why);
                    said.warn(format!("Selection syntax error at '{}'.", test.trim()));
                    said.warn("Use 'help' for selection to get more help.");
                    said.code = FAILED;
                    return Err(Stop);
                }
            }
        }
        any.push(all);
    }
    Ok(any)
}

fn one(test: &str, own: &[Class]) -> Result<Test, String> {
    if test.len() > LONGEST {
        return Err("Selection is too long.".to_owned());
    }
    let found = WORDS.iter().filter_map(|(word, how)| Some((test.find(word)?, word, how)));
    let Some((at, word, how)) = found.min_by_key(|(at, word, _)| (*at, usize::MAX - word.len()))
    else {
        return Err("Missing operator.".to_owned());
    };
    let (name, with) = (test[..at].trim(), test[at + word.len()..].trim());
    let Some(column) = columns::find(name, own) else {
        return Err(format!("Unrecognised selection field: {name}"));
    };
    let with = with.trim_matches(['"', '\'']);
    Ok(Test { column, how: *how, with: with.to_owned() })
}

/// Does a row's value of the column fit?
pub(crate) fn holds(test: &Test, value: &Value) -> bool {
    match value {
        Value::Size(bytes) => by_number(test.how, u128::from(*bytes), parse_bytes(&test.with).ok()),
        Value::Number(number) => {
            let number = u128::try_from(*number).unwrap_or(0);
            by_number(test.how, number, test.with.parse().ok())
        }
        Value::Percent(Some(millionths), _) => {
            let (whole, part) = test.with.split_once('.').unwrap_or((&test.with, ""));
            let part: String = part.chars().chain("0000".chars()).take(4).collect();
            let wanted = format!("{whole}{part}").parse().ok();
            by_number(test.how, u128::from(*millionths), wanted)
        }
        Value::Text(text) => by_text(test.how, text, &test.with),
        Value::Percent(None, _) | Value::Nothing => by_text(test.how, "", &test.with),
    }
}

fn by_number(how: How, value: u128, with: Option<u64>) -> bool {
    let Some(with) = with.map(u128::from) else { return false };
    match how {
        How::Is | How::Matches => value == with,
        How::IsNot | How::MatchesNot => value != with,
        How::AtLeast => value >= with,
        How::AtMost => value <= with,
        How::More => value > with,
        How::Less => value < with,
    }
}

fn by_text(how: How, value: &str, with: &str) -> bool {
    match how {
        How::Is => value == with,
        How::IsNot => value != with,
        How::Matches => matches(value, with),
        How::MatchesNot => !matches(value, with),
        How::AtLeast | How::AtMost | How::More | How::Less => false,
    }
}

fn matches(value: &str, pattern: &str) -> bool {
    match (pattern.strip_prefix('^'), pattern.strip_suffix('$')) {
        (Some(rest), Some(_)) => rest.strip_suffix('$') == Some(value),
        (Some(start), None) => value.starts_with(start),
        (None, Some(end)) => value.ends_with(end),
        (None, None) => value.contains(pattern),
    }
}

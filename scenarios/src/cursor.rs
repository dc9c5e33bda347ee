//! A walk over parsed TOML that remembers places and which keys were asked for.

use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Wrong, nearest};
use crate::units::Kind;
use crate::write::quoted;

/// A fault at a byte offset of the file.
#[derive(Debug)]
pub(crate) struct Fault {
    pub at: usize,
    pub wrong: Wrong,
}

pub(crate) type Read<T> = Result<T, Fault>;

/// A value and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    value: &'a DeValue<'a>,
    at: usize,
}

/// A table and the keys asked for so far: what is left at the end is unknown.
pub(crate) struct Table<'a> {
    table: &'a DeTable<'a>,
    at: usize,
    what: &'static str,
    asked: Vec<&'static str>,
    /// Keys that were found by looking at all of them.
    seen: Vec<&'a str>,
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

impl<'a> Value<'a> {
    /// An error here.
    pub fn fault<T>(&self, wrong: Wrong) -> Read<T> {
        Err(Fault { at: self.at, wrong })
    }

    fn not<T>(&self, wanted: &str, example: &str) -> Read<T> {
        let found = self.value.type_str();
        self.fault(Wrong::new(
            format!("expected {wanted}, found {}", article(found)),
            format!("write it as in {example}"),
        ))
    }

    /// A string.
    pub fn text(&self) -> Read<&'a str> {
        match self.value {
            DeValue::String(text) => Ok(text),
            _ => self.not("a string", "\"alpha\""),
        }
    }

    /// A string, owned.
    pub fn string(&self) -> Read<String> {
        self.text().map(str::to_owned)
    }

    /// `true` or `false`.
    pub fn flag(&self) -> Read<bool> {
        match self.value {
            DeValue::Boolean(flag) => Ok(*flag),
            _ => self.not("true or false", "true"),
        }
    }

    /// A whole number up to `max`.
    pub fn number(&self, max: u64) -> Read<u64> {
        let DeValue::Integer(integer) = self.value else {
            return self.not("a whole number", "8");
        };
        match u64::from_str_radix(integer.as_str().trim_start_matches('+'), integer.radix()) {
            Ok(number) if number <= max => Ok(number),
            _ => self.fault(Wrong::new(
                format!("{} is out of range", short(&integer.to_string())),
                format!("use a whole number from 0 to {max}"),
            )),
        }
    }

    /// A whole number up to `max`, as `u32`.
    pub fn count(&self, max: u32) -> Read<u32> {
        self.number(u64::from(max)).map(|number| u32::try_from(number).unwrap_or(max))
    }

    /// A seed: a whole number, or hexadecimal in quotes, because TOML's numbers have a sign.
    pub fn seed(&self) -> Read<u64> {
        let DeValue::String(text) = self.value else { return self.number(u64::MAX) };
        let digits =
            text.strip_prefix("0x").filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        digits.and_then(|hex| u64::from_str_radix(hex, 16).ok()).map_or_else(
            || {
                let what = format!("\"{}\" is not a seed", short(text));
                self.fault(Wrong::new(what, "write a whole number, or \"0x5eed91c4\""))
            },
            Ok,
        )
    }

    /// A quantity with a unit.
    pub fn quantity(&self, kind: &Kind) -> Read<u64> {
        match self.value {
            DeValue::String(text) => kind.parse(text).or_else(|wrong| self.fault(wrong)),
            _ => self.not(&format!("{} in quotes", kind.what), kind.example),
        }
    }

    /// "A..B", or one quantity for both ends.
    pub fn range(&self, kind: &Kind) -> Read<(u64, u64)> {
        match self.value {
            DeValue::String(text) => kind.parse_range(text).or_else(|wrong| self.fault(wrong)),
            _ => self.not(&format!("{} or a range in quotes", kind.what), kind.example),
        }
    }

    /// A string, whole number or flag as DRBD spells it: `true` is `yes`.
    pub fn option(&self) -> Read<String> {
        match self.value {
            DeValue::String(text) => Ok(text.to_string()),
            DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
            DeValue::Boolean(true) => Ok("yes".to_owned()),
            DeValue::Boolean(false) => Ok("no".to_owned()),
            _ => self.not("a word or a number", "\"majority\""),
        }
    }

    /// An array of at most `max` elements.
    pub fn list(&self, max: usize) -> Read<Vec<Value<'a>>> {
        let DeValue::Array(array) = self.value else {
            return self.not("a list", "[\"alpha\", \"bravo\"]");
        };
        if array.len() > max {
            let what = format!("{} entries, at most {max} are allowed", array.len());
            return self.fault(Wrong::new(what, "leave some out"));
        }
        Ok(array.iter().map(Value::new).collect())
    }

    /// A list of strings.
    pub fn strings(&self, max: usize) -> Read<Vec<String>> {
        self.list(max)?.iter().map(Value::string).collect()
    }

    /// A table; `what` names it in errors.
    pub fn table(&self, what: &'static str) -> Read<Table<'a>> {
        match self.value {
            DeValue::Table(table) => Ok(Table::new(table, self.at, what)),
            _ => self.not(&format!("a table for {what}"), "{ key = \"value\" }"),
        }
    }

    /// As TOML, on one line.
    pub fn source(&self) -> String {
        source(self.value)
    }

    /// Is it a table?
    pub fn is_table(&self) -> bool {
        self.value.is_table()
    }

    /// Is it a string?
    pub fn is_text(&self) -> bool {
        self.value.is_str()
    }

    fn new(value: &'a Spanned<DeValue<'a>>) -> Value<'a> {
        Value { value: value.get_ref(), at: value.span().start }
    }
}

fn source(value: &DeValue) -> String {
    match value {
        DeValue::String(text) => quoted(text),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(array) => {
            let items: Vec<_> = array.iter().map(|item| source(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(table) => {
            let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue>)| {
                let key: &std::borrow::Cow<str> = key.get_ref();
                format!("{} = {}", quoted(key), source(value.get_ref()))
            };
            let entries: Vec<_> = table.iter().map(entry).collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

fn article(kind: &str) -> String {
    let vowel = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if vowel { "an" } else { "a" })
}

impl<'a> Table<'a> {
    /// The table at a byte offset.
    pub fn new(table: &'a DeTable<'a>, at: usize, what: &'static str) -> Table<'a> {
        Table { table, at, what, asked: Vec::new(), seen: Vec::new() }
    }

    /// The value of a key, if it is there.
    pub fn get(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.asked.push(key);
        self.table.get(key).map(Value::new)
    }

    /// The value of a key that was seen among [`Table::entries`].
    pub fn known(&mut self, key: &str) -> Option<Value<'a>> {
        self.seen.extend(self.table.get_key_value(key).map(|(key, _)| key.get_ref().as_ref()));
        self.table.get(key).map(Value::new)
    }

    /// The value of a key, read by `read`, or the default.
    pub fn or<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&Value<'a>) -> Read<T>,
    ) -> Read<T> {
        self.get(key).map_or(Ok(default), |value| read(&value))
    }

    /// The value of a key that must be there. If it is misspelled, the error is about the
    /// misspelling.
    pub fn need(&mut self, key: &'static str) -> Read<Value<'a>> {
        if let Some(value) = self.get(key) {
            return Ok(value);
        }
        let near = nearest(key, self.table.keys().map(|key| &**key.get_ref()));
        if let Some((near, _)) = near.and_then(|near| self.table.get_key_value(near)) {
            return unknown_key(near.get_ref(), near.span().start, self.what, &[key]);
        }
        let what = format!("{} lacks \"{key}\"", self.what);
        self.fault(Wrong::new(what, format!("add a line `{key} = …`")))
    }

    /// Every key and value, for tables whose keys are names.
    pub fn entries(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> {
        self.table.iter().map(|(key, value)| (key.get_ref().as_ref(), Value::new(value)))
    }

    /// How many keys.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// An error at the table itself.
    pub fn fault<T>(&self, wrong: Wrong) -> Read<T> {
        Err(Fault { at: self.at, wrong })
    }

    /// Keys that nobody asked for are unknown: the first of them in the file is an error.
    pub fn finish(self) -> Read<()> {
        self.finish_but(&[])
    }

    /// As [`Table::finish`]; of these keys an error says that they would have been known.
    pub fn finish_but(mut self, more: &[&'static str]) -> Read<()> {
        let unknown = self.table.iter().filter(|(key, _)| {
            let key = &**key.get_ref();
            !self.asked.contains(&key) && !self.seen.contains(&key)
        });
        // A host or a peer that nobody asked for: the fact beside it is the misspelt one.
        let slip = |key: &str| !["host", "peer"].contains(&key);
        let first = unknown.min_by_key(|(key, _)| (!slip(key.get_ref()), key.span().start));
        let Some((key, _)) = first else {
            return Ok(());
        };
        let more = more.iter().filter(|key| !self.asked.contains(key)).copied();
        let more: Vec<&'static str> = more.collect();
        self.asked.extend(more);
        unknown_key(key.get_ref(), key.span().start, self.what, &self.asked)
    }
}

/// The error for a key that is not one of `known`.
pub(crate) fn unknown_key<T>(key: &str, at: usize, what: &str, known: &[&str]) -> Read<T> {
    let remedy = match nearest(key, known.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("use one of {}", known.join(", ")),
    };
    let wrong = Wrong::new(format!("unknown key \"{}\" in {what}", short(key)), remedy);
    Err(Fault { at, wrong })
}

/// The place of a path such as `step[2].do.cut.from`, or of the longest part of it that is in the
/// file.
pub(crate) fn locate(root: &DeTable<'_>, path: &str) -> usize {
    let mut at = 0;
    let mut table = root;
    for segment in path.split('.') {
        let (key, index) = match segment.split_once('[') {
            Some((key, index)) => (key, index.trim_end_matches(']').parse::<usize>().ok()),
            None => (segment, None),
        };
        let Some(found) = table.get(key) else { return at };
        at = start(found.span(), at);
        let mut value = found.get_ref();
        if let (Some(index), DeValue::Array(array)) = (index, value) {
            let Some(element) = array.get(index) else { return at };
            at = start(element.span(), at);
            value = element.get_ref();
        }
        let DeValue::Table(inner) = value else { return at };
        table = inner;
    }
    at
}

/// Tables made by dotted headers may have an empty place; the parent's is better then.
fn start(span: Range<usize>, parent: usize) -> usize {
    if span.is_empty() { parent } else { span.start }
}

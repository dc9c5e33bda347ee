//! Values by path, `leave.at` or `network.storage.loss`: what `--set` sets and `[vary]` varies.
//!
//! A path names a table of the file and a key in it. Elements of lists are named by their `id` or
//! `name`: `leave.at` is the step with id `leave`, `vm-a.io.depth` the depth of the VM `vm-a`,
//! `vol-a.size` the size of the resource. Everything else is spelled as in the file.

use std::collections::BTreeMap;
use toml::{Table, Value};

use crate::error::{Error, Wrong, nearest};
use crate::read::read;
use crate::scenario::{Scenario, Vary};
use crate::units::{DURATION, Kind, RATE, SHARE, SIZE};

/// A path and the value that it gets, as TOML; a bare word is taken for a string.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    /// Where.
    pub path: String,
    /// What.
    pub value: String,
}

impl Setting {
    /// `leave.at=30s`; the error says what is missing.
    pub fn parse(text: &str) -> Result<Setting, String> {
        let wrong = || "a setting is PATH=VALUE, as in leave.at=30s or vm-a.io.depth=8".to_owned();
        let (path, value) = text.split_once('=').ok_or_else(wrong)?;
        let (path, value) = (path.trim().to_owned(), value.trim().to_owned());
        if path.is_empty() || value.is_empty() { Err(wrong()) } else { Ok(Setting { path, value }) }
    }
}

const SECOND: u64 = 1_000_000_000;

/// Lists whose elements have names.
const NAMED: [(&str, &str); 4] =
    [("step", "id"), ("expect", "id"), ("vm", "name"), ("resource", "name")];

/// Reads a scenario with some values set; without any it is [`read`].
pub fn read_with(file: &str, text: &str, settings: &[Setting]) -> Result<Scenario, Error> {
    let plain = read(file, text)?;
    if settings.is_empty() {
        return Ok(plain);
    }
    let said = settings.iter().map(|s| format!("{}={}", s.path, s.value)).collect::<Vec<_>>();
    let place = format!("{file}, with {}", said.join(" "));
    // The changed text has other lines than the file: the place is the setting.
    let fail = |wrong: Wrong| Error { line: 0, ..Error::at(&place, "", 0, wrong) };
    let mut root: Table =
        text.parse().map_err(|_| fail(Wrong::new("not TOML", "mend the file")))?;
    for setting in settings {
        set(&mut root, setting).map_err(fail)?;
    }
    let changed = toml::to_string(&root)
        .map_err(|error| fail(Wrong::new(error.to_string(), "set something else")))?;
    read(&place, &changed).map_err(|error| fail(Wrong::new(error.what, error.remedy)))
}

/// The settings that a seed draws for `[vary]`: none for seed 0, which is the file as it stands.
/// `below(n)` gives a number below `n`.
pub fn varied(
    vary: &BTreeMap<String, Vary>,
    seed: u64,
    mut below: impl FnMut(&str, u64) -> u64,
) -> Vec<Setting> {
    if seed == 0 {
        return Vec::new();
    }
    let mut settings = Vec::new();
    for (path, values) in vary {
        let value = match values {
            Vary::OneOf(values) => values[below(path, values.len() as u64) as usize].clone(),
            Vary::Range(low, high) => match span(low, high) {
                Some(Span { low, high, kind }) => {
                    // Of seconds, milliseconds are fine enough, and can be read.
                    let fine = kind.is_some_and(|kind| kind.what == DURATION.what);
                    let unit = if fine && high - low >= SECOND { SECOND / 1_000 } else { 1 };
                    let steps = ((high - low) / unit).saturating_add(1);
                    say(low + below(path, steps) * unit, kind)
                }
                None => continue,
            },
        };
        settings.push(Setting { path: path.clone(), value });
    }
    settings
}

struct Span {
    low: u64,
    high: u64,
    kind: Option<&'static Kind>,
}

fn say(value: u64, kind: Option<&Kind>) -> String {
    kind.map_or_else(|| value.to_string(), |kind| kind.format(value))
}

/// Both ends in one kind of unit, or plain numbers.
fn span(low: &str, high: &str) -> Option<Span> {
    if let (Ok(low), Ok(high)) = (low.parse(), high.parse()) {
        return (low <= high).then_some(Span { low, high, kind: None });
    }
    [&DURATION, &SIZE, &RATE, &SHARE].into_iter().find_map(|kind| {
        let (low, high) = (kind.parse(low).ok()?, kind.parse(high).ok()?);
        (low <= high).then_some(Span { low, high, kind: Some(kind) })
    })
}

/// Can every value of `[vary]` be had? The first that cannot, by path.
pub(crate) fn check(text: &str, vary: &BTreeMap<String, Vary>) -> Result<(), (String, Wrong)> {
    for (path, values) in vary {
        let values = match values {
            Vary::OneOf(values) => values.clone(),
            Vary::Range(low, high) => match span(low, high) {
                Some(Span { low, high, kind }) => vec![say(low, kind), say(high, kind)],
                None => {
                    let what = format!("\"{low}..{high}\" is not a range");
                    let remedy = "write both ends with a unit, the smaller first: \"5s..60s\"";
                    return Err((path.clone(), Wrong::new(what, remedy)));
                }
            },
        };
        for value in values {
            let setting = Setting { path: path.clone(), value };
            try_one(text, &setting).map_err(|wrong| (path.clone(), wrong))?;
        }
    }
    Ok(())
}

fn try_one(text: &str, setting: &Setting) -> Result<(), Wrong> {
    let wrong = |what: String| Wrong::new(what, "give values that the file could have there");
    let mut root: Table = text.parse().map_err(|_| wrong("not TOML".to_owned()))?;
    set(&mut root, setting)?;
    // What it varies must not be tried for ever.
    root.remove("vary");
    let changed = toml::to_string(&root).map_err(|error| wrong(error.to_string()))?;
    read("", &changed).map(|_| ()).map_err(|error| {
        wrong(format!("{} cannot be {}: {}", setting.path, setting.value, error.what))
    })
}

/// Sets one value.
fn set(root: &mut Table, setting: &Setting) -> Result<(), Wrong> {
    let value = parse(&setting.value)?;
    let mut words: Vec<&str> = setting.path.split('.').collect();
    let last = words.pop().unwrap_or_default();
    let mut table = match words.first() {
        Some(first) if !root.contains_key(*first) => {
            let found = named(root, first)?;
            words.remove(0);
            found
        }
        _ => root,
    };
    for word in words {
        table = match table.entry(word).or_insert_with(|| Value::Table(Table::new())) {
            Value::Table(inner) => inner,
            _ => {
                let remedy = "name a key of the file, as in leave.at or network.storage.loss";
                return Err(Wrong::new(format!("{}: {word} is no table", setting.path), remedy));
            }
        };
    }
    // A step has one time: `at` takes the place of others.
    if last == "at" {
        table.remove("after");
        table.remove("wait");
    }
    // `leave.order` is a key beside the verb.
    let inner = table.get("do").and_then(|action| action.get(last)).is_some();
    match table.get_mut("do") {
        Some(Value::Table(action)) if inner || last == "order" => {
            action.insert(last.to_owned(), value);
        }
        _ => {
            table.insert(last.to_owned(), value);
        }
    }
    Ok(())
}

/// TOML, or a bare word.
fn parse(text: &str) -> Result<Value, Wrong> {
    let as_toml = format!("v = {text}").parse::<Table>();
    let value = as_toml.ok().and_then(|mut table| table.remove("v"));
    let plain = !text.contains(['"', '\n', '\\']) && text.chars().count() <= 256;
    match value {
        Some(value) => Ok(value),
        None if plain => Ok(Value::String(text.to_owned())),
        None => Err(Wrong::new("not a value", "write 30s, 8, true, or TOML: [\"a\", \"b\"]")),
    }
}

/// The element of this name, of any list.
fn named<'a>(root: &'a mut Table, name: &str) -> Result<&'a mut Table, Wrong> {
    let mut known: Vec<String> = root.keys().cloned().collect();
    let mut place = None;
    for (list, key) in NAMED {
        let Some(Value::Array(elements)) = root.get(list) else { continue };
        for (at, element) in elements.iter().enumerate() {
            let Some(found) = element.get(key).and_then(Value::as_str) else { continue };
            if found == name && place.is_none() {
                place = Some((list, at));
            }
            known.push(found.to_owned());
        }
    }
    let found = place.and_then(|(list, at)| root.get_mut(list)?.get_mut(at)?.as_table_mut());
    found.ok_or_else(|| {
        let known = || known.iter().map(String::as_str);
        let remedy = match nearest(name, known()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("name one of {}", known().collect::<Vec<_>>().join(", ")),
        };
        let short: String = name.chars().take(40).collect();
        Wrong::new(format!("nothing is called \"{short}\""), remedy)
    })
}

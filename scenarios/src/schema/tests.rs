//! The reader and what is said of it are the same.

use super::parts::{ALL, CONDITION};
use super::{Key, json_schema, verbs};
use crate::read;
use crate::read_step::VERBS;
use serde_json::Value;

/// A file with every table in it; `@` marks where a key of the table would stand.
const FILE: &str = r#"
schema = 1
name = "all"
horizon = "1m"
@The file
[pool]
hosts = ["alpha", "bravo"]
@[pool]
ha = { @ha = { … } }
[network.storage]
@[network.NAME]
[disk]
@[disk]
[[resource]]
name = "vol-a"
size = "64MiB"
diskful = ["alpha", "bravo"]
@[[resource]]
[[vm]]
name = "vm-a"
on = "alpha"
vdi = "vol-a"
io = { @io = { … } }
@[[vm]]
[[step]]
at = "20s"
do = { power-off = "alpha" }
@[[step]]
[[expect]]
always = { resource = "vol-a", host = "alpha", quorum = true }
@[[expect]]
[known]
lab = { version = "drbd 9.3.3", breaks = "one-primary" @[known] }
[replay]
seed = 1
breaks = "one-primary"
@[replay]
"#;

/// The file with an unknown key in one table; what the reader says it might have been.
fn known_of(head: &str) -> Vec<String> {
    let mut text = String::new();
    for line in FILE.lines() {
        let Some((before, rest)) = line.split_once('@') else {
            text += &format!("{line}\n");
            continue;
        };
        let inner = rest.trim_end_matches(" }").trim();
        let inner = if before.is_empty() { rest } else { inner };
        let is = inner == head || rest == format!("{head} }}");
        let comma = if before.contains("one-primary") { ", " } else { "" };
        let key = if is { format!("{comma}qqqqqqqqqq = 1") } else { String::new() };
        let end = if before.is_empty() { "" } else { " }" };
        text += &format!("{before}{key}{end}\n");
    }
    let error = read("f.toml", &text).expect_err("an unknown key");
    assert!(error.what.contains("unknown key \"qqqqqqqqqq\""), "{head}: {error}\n{text}");
    let list = error.remedy.strip_prefix("use one of ").unwrap_or_else(|| panic!("{error}"));
    let mut names: Vec<_> = list.split(", ").map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

fn names(keys: &[Key]) -> Vec<String> {
    let mut names: Vec<_> = keys.iter().map(|key| key.name.to_owned()).collect();
    names.sort();
    names
}

#[test]
fn the_reader_knows_the_keys_that_are_told() {
    for part in ALL {
        if !part.keys.is_empty() && part.head != CONDITION.head {
            assert_eq!(known_of(part.head), names(part.keys), "{}", part.head);
        }
    }
}

#[test]
fn the_verbs_are_those_of_the_reader() {
    assert_eq!(verbs::ALL.map(|verb| verb.name), VERBS);
}

/// Conditions: each subject has keys of its own, together they are all that are told.
#[test]
fn facts_are_those_of_the_reader() {
    let subjects = [
        "resource = \"vol-a\"",
        "vm = \"vm-a\"",
        "power = \"on\", host = \"alpha\"",
        "event = \"booted\"",
        "run = \"true\", on = \"alpha\"",
        "all = []",
    ];
    let mut found = vec!["step".to_owned()];
    for subject in subjects {
        let bad = format!("{subject}, qqqqqqqqqq = 1");
        let line = "always = { resource = \"vol-a\", host = \"alpha\", quorum = true }";
        let text: String = FILE
            .lines()
            .filter(|line| !line.starts_with('@'))
            .map(|line| {
                let line = line
                    .split_once('@')
                    .map_or(line.to_owned(), |(before, _)| format!("{before} }}"));
                line + "\n"
            })
            .collect();
        let text = text.replace(line, &format!("within = \"1s\"\nthat = {{ {bad} }}"));
        let error = read("f.toml", &text).expect_err("an unknown key");
        let list =
            error.remedy.strip_prefix("use one of ").unwrap_or_else(|| panic!("{error}\n{text}"));
        found.extend(list.split(", ").map(str::to_owned));
    }
    found.sort();
    found.dedup();
    assert_eq!(found, names(CONDITION.keys));
}

/// The part of JSON Schema that is used here, but for patterns: does the value fit?
fn fits(value: &Value, schema: &Value, root: &Value) -> Result<(), String> {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.trim_start_matches("#/$defs/");
        return fits(value, &root["$defs"][name], root);
    }
    let wrong = || Err(format!("{value} does not fit {schema}"));
    if let Some(choices) = schema["anyOf"].as_array() {
        return match choices.iter().any(|choice| fits(value, choice, root).is_ok()) {
            true => Ok(()),
            false => wrong(),
        };
    }
    let words = schema["enum"].as_array();
    if words.is_some_and(|words| !words.contains(value)) {
        return wrong();
    }
    if schema.get("const").is_some_and(|only| only != value) {
        return wrong();
    }
    let kind = match value {
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::Null => "null",
    };
    let kinds = &schema["type"];
    let one_of = kinds.as_array().is_some_and(|kinds| kinds.iter().any(|it| it == kind));
    if !kinds.is_null() && kinds != kind && !one_of {
        return wrong();
    }
    if let (Value::Array(items), Some(of)) = (value, schema.get("items")) {
        items.iter().try_for_each(|item| fits(item, of, root))?;
    }
    if let Value::Object(entries) = value {
        let required = schema["required"].as_array().into_iter().flatten();
        let mut missing =
            required.filter_map(Value::as_str).filter(|key| !entries.contains_key(*key));
        if missing.next().is_some() {
            return wrong();
        }
        for (key, entry) in entries {
            match (schema["properties"].get(key), &schema["additionalProperties"]) {
                (Some(of), _) => fits(entry, of, root)?,
                (None, Value::Bool(false)) => return Err(format!("unknown key {key}")),
                (None, Value::Object(_)) => fits(entry, &schema["additionalProperties"], root)?,
                (None, _) => {}
            }
        }
    }
    Ok(())
}

/// Every file of the repository fits the schema.
#[test]
fn the_files_fit_the_schema() {
    let schema: Value = serde_json::from_str(&json_schema()).expect("JSON");
    let read = |text: &str| text.parse::<toml::Table>().expect("TOML");
    for file in crate::BUILTIN {
        let value = serde_json::to_value(read(file.text)).expect("JSON");
        if let Err(wrong) = fits(&value, &schema, &schema) {
            panic!("{}: {wrong}", file.path);
        }
    }
    let good = read(crate::BUILTIN[0].text);
    let misspelled = |mut table: toml::Table, key: &str, value: toml::Value| {
        table.insert(key.to_owned(), value);
        serde_json::to_value(table).expect("JSON")
    };
    let bad = misspelled(good.clone(), "horizn", "1m".into());
    assert!(fits(&bad, &schema, &schema).is_err(), "an unknown key fits");
    let bad = misspelled(good, "heals", "perhaps".into());
    assert!(fits(&bad, &schema, &schema).is_err(), "a text fits a flag");
}

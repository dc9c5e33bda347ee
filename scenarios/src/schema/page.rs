//! The reference page, as Markdown.

use std::fmt::Write;

use super::parts::{ALL, CONDITION};
use super::{Key, Part, Shape, Unit, verbs};
use crate::condition::Event;
use crate::options::OPTIONS;

/// The page `scenarios/REFERENCE.md`.
pub fn reference() -> String {
    let mut out = String::from(
        "# Scenario files\n\nMade by `cargo xtask sim --reference`; a test holds it against the \
         reader. `scenarios/schema.json` says the same to editors.\n",
    );
    for part in ALL {
        section(&mut out, part);
    }
    out
}

fn section(out: &mut String, part: &Part) {
    let _ = write!(out, "\n## {}\n\n{}\n", part.head, part.about);
    if !part.keys.is_empty() {
        out.push_str("\n| key | value | if left out | meaning |\n| --- | --- | --- | --- |\n");
    }
    for key in part.keys {
        row(out, key, part.head == CONDITION.head);
    }
    if part.head == verbs::VERBS.head {
        all_verbs(out);
    }
    if part.head == "[[resource]]" {
        let _ = write!(out, "\nOptions: `{}`.\n", OPTIONS.join("` `"));
    }
    let _ = write!(out, "\n```toml\n{}```\n", part.example);
    if part.head == CONDITION.head {
        events(out);
    }
}

fn row(out: &mut String, key: &Key, facts: bool) {
    let default = match key.default {
        None => "needed".to_owned(),
        Some("") if facts => String::new(),
        Some(default) => default.to_owned(),
    };
    let (name, about) = (key.name, key.about);
    let _ = writeln!(out, "| `{name}` | {} | {default} | {about} |", said(key.shape));
}

fn said(shape: Shape) -> String {
    let words = |words: &[&str]| words.join(" ");
    match shape {
        Shape::Text => "text".to_owned(),
        Shape::Name => "name in kebab case".to_owned(),
        Shape::Flag => "true or false".to_owned(),
        Shape::Number => "number".to_owned(),
        Shape::Seed => "number, or \"0x…\"".to_owned(),
        Shape::Quantity(unit) => unit_said(unit).to_owned(),
        Shape::Range(unit) => format!("{}, or a range", unit_said(unit)),
        Shape::Signed => "duration with a sign".to_owned(),
        Shape::Word(all) => format!("one of {}", words(all)),
        Shape::Words(all) => format!("one or several of {}", words(all)),
        Shape::Texts => "list of texts".to_owned(),
        Shape::List(all) => format!("list of {}", words(all)),
        Shape::Exit => "0 to 255, or \"any\"".to_owned(),
        Shape::ByHost(inner) => format!("by host: {}", said(*inner)),
        Shape::ByPeer(inner) => format!("by host and peer: {}", said(*inner)),
        Shape::Table(part) => format!("table, see {}", part.head),
        Shape::Tables(part) => format!("tables, see {}", part.head),
        Shape::Conditions => "list of conditions".to_owned(),
        Shape::Named(part) => format!("tables by name, see {}", part.head),
        Shape::Vary => "values by path".to_owned(),
        Shape::Options => "options by name".to_owned(),
        Shape::Do => "verb, see below".to_owned(),
        Shape::StepOrCondition => "step, or condition".to_owned(),
        Shape::True => "true".to_owned(),
    }
}

fn unit_said(unit: Unit) -> &'static str {
    match unit {
        Unit::Duration => "duration",
        Unit::Size => "size",
        Unit::Rate => "rate",
        Unit::Share => "share",
    }
}

fn all_verbs(out: &mut String) {
    out.push_str("\n| verb | object | meaning |\n| --- | --- | --- |\n");
    for verb in &verbs::ALL {
        let keys = |keys: &[Key]| {
            let named = |key: &Key| match key.default {
                None => format!("`{}`", key.name),
                Some(default) => format!("`{}` ({default})", key.name),
            };
            keys.iter().map(named).collect::<Vec<_>>().join(", ")
        };
        let mut object = verb.plain.map_or(String::new(), said);
        if !verb.keys.is_empty() {
            let or = if object.is_empty() { "" } else { ", or " };
            let _ = write!(object, "{or}table: {}", keys(verb.keys));
        }
        if !verb.beside.is_empty() {
            let _ = write!(object, "; beside it: {}", keys(verb.beside));
        }
        let _ = writeln!(out, "| `{}` | {object} | {} |", verb.name, verb.about);
    }
}

fn events(out: &mut String) {
    out.push_str("\n| event | moment |\n| --- | --- |\n");
    for event in Event::ALL {
        let _ = writeln!(out, "| `{}` | {} |", event.name(), event.about());
    }
}

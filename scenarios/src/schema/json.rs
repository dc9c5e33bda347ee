//! The JSON Schema (draft 2020-12), for editors that complete TOML from one.

use serde_json::{Map, Value, json};

use super::parts::ROOT;
use super::{Key, Part, Shape, Unit, verbs};
use crate::options::OPTIONS;

/// The schema of a scenario file.
pub fn json_schema() -> String {
    let mut root = table(ROOT.keys);
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("tiebreaker scenario");
    root["properties"]["schema"] = json!({"const": 1, "description": "Version of the format."});
    // A condition may hold conditions: it is told once.
    root["$defs"] = json!({"condition": table(super::parts::CONDITION.keys)});
    format!("{root:#}\n")
}

/// A table with these keys and no others.
fn table(keys: &[Key]) -> Value {
    let mut properties = Map::new();
    for key in keys {
        let mut value = shape(key.shape);
        value["description"] = json!(key.about);
        properties.insert(key.name.to_owned(), value);
    }
    let required: Vec<_> =
        keys.iter().filter(|key| key.default.is_none()).map(|key| key.name).collect();
    json!({
        "type": "object", "properties": properties, "required": required,
        "additionalProperties": false,
    })
}

fn part(part: &'static Part) -> Value {
    if part.head == super::parts::CONDITION.head {
        return json!({"$ref": "#/$defs/condition"});
    }
    table(part.keys)
}

fn shape(it: Shape) -> Value {
    match it {
        Shape::Text => json!({"type": "string"}),
        Shape::Name => json!({"type": "string", "pattern": "^[a-z][a-z0-9-]*$"}),
        Shape::Flag => json!({"type": "boolean"}),
        Shape::Number => json!({"type": "integer", "minimum": 0}),
        Shape::Seed => json!({"anyOf": [
            {"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^0x[0-9a-fA-F]+$"},
        ]}),
        Shape::Quantity(unit) => json!({"type": "string", "pattern": quantity(unit)}),
        Shape::Range(unit) => {
            let one = quantity(unit);
            let one = one.trim_start_matches('^').trim_end_matches('$');
            json!({"type": "string", "pattern": format!("^{one}(\\s*\\.\\.\\s*{one})?$")})
        }
        Shape::Signed => json!({"type": "string", "pattern": "^[+-]?[0-9.]+ *[a-zµμ]+$"}),
        Shape::Word(words) => json!({"enum": words}),
        Shape::Words(words) => json!({"anyOf": [
            {"enum": words}, {"type": "array", "items": {"enum": words}},
        ]}),
        Shape::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Shape::List(words) => json!({"type": "array", "items": {"enum": words}}),
        Shape::Exit => json!({"anyOf": [
            {"type": "integer", "minimum": 0, "maximum": 255}, {"const": "any"},
        ]}),
        Shape::ByHost(inner) => {
            let inner = shape(*inner);
            json!({"anyOf": [inner, {"type": "object", "additionalProperties": inner}]})
        }
        Shape::ByPeer(inner) => by_peer(shape(*inner)),
        Shape::Table(of) => part(of),
        Shape::Tables(of) => json!({"type": "array", "items": part(of)}),
        Shape::Conditions => json!({"type": "array", "items": {"$ref": "#/$defs/condition"}}),
        Shape::Named(of) => json!({"type": "object", "additionalProperties": part(of)}),
        Shape::Vary => json!({"type": "object", "additionalProperties": {"anyOf": [
            {"type": "string", "pattern": "\\.\\."}, {"type": "array", "minItems": 1},
        ]}}),
        Shape::Options => options(),
        Shape::Do => step_do(),
        Shape::StepOrCondition => json!({"anyOf": [
            {"type": "string"}, {"$ref": "#/$defs/condition"},
        ]}),
        Shape::True => json!({"const": true}),
    }
}

fn by_peer(inner: Value) -> Value {
    let by_host = json!({"type": "object", "additionalProperties": inner});
    json!({"anyOf": [
        inner, by_host, {"type": "object", "additionalProperties": by_host},
    ]})
}

fn options() -> Value {
    let any = json!({"type": ["string", "integer", "boolean"]});
    let properties: Map<_, _> =
        OPTIONS.iter().map(|name| ((*name).to_owned(), any.clone())).collect();
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

fn quantity(unit: Unit) -> String {
    let units = match unit {
        Unit::Duration => "h|m|s|ms|us|µs|μs|ns",
        Unit::Size => "TiB|GiB|MiB|KiB|B",
        Unit::Rate => "Gbit|Mbit|Kbit|GiB/s|MiB/s|KiB/s|B/s",
        Unit::Share => "%|ppm",
    };
    format!("^\\s*[0-9]+(\\.[0-9]+)?\\s*({units})\\s*$")
}

/// One verb, and what may stand beside it.
fn step_do() -> Value {
    let mut choices = vec![json!({"const": "heal-all"})];
    for verb in &verbs::ALL {
        let mut forms: Vec<Value> = verb.plain.map(shape).into_iter().collect();
        if !verb.keys.is_empty() {
            forms.push(table(verb.keys));
        }
        let mut choice = table(verb.beside);
        let mut object = json!({"anyOf": forms});
        object["description"] = json!(verb.about);
        choice["properties"][verb.name] = object;
        if let Some(required) = choice["required"].as_array_mut() {
            required.push(json!(verb.name));
        }
        choices.push(choice);
    }
    json!({"anyOf": choices})
}

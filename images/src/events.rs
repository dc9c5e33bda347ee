//! `drbdsetup events2` of the 8.4 module: lines to what is known of a resource, and to the words
//! that a transcript keeps.

use std::collections::BTreeMap;

/// Fields that say what state something is in; of what follows a verb, nothing else is kept: ids
/// are the script's, counters and progress depend on the machine's speed.
const STATES: [&str; 7] =
    ["role", "suspended", "connection", "disk", "replication", "peer-disk", "resync-suspended"];

/// What a host says about one resource, by field. The peer's role is `peer-role`.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct State {
    fields: BTreeMap<(String, String), String>,
}

impl State {
    /// Takes a line; says what is new in it, `field:value` each, if something is.
    pub fn take(&mut self, line: &str) -> Option<String> {
        let mut words = line.split_whitespace();
        let (verb, object) = (words.next()?, words.next()?);
        let pairs = || line.split_whitespace().filter_map(|word| word.split_once(':'));
        let field = |key: &str| pairs().find(|(known, _)| *known == key).map(|(_, value)| value);
        match (verb, object) {
            ("call", "helper") => return Some(format!("call {}", field("helper")?)),
            ("response", "helper") => {
                return Some(format!("response {} status:{}", field("helper")?, field("status")?));
            }
            _ => {}
        }
        let resource = field("name")?;
        let name = |key: &str| match (object, key) {
            ("connection", "role") => "peer-role".to_owned(),
            _ => key.to_owned(),
        };
        let states = pairs().filter(|(key, _)| STATES.contains(key));
        if verb == "destroy" {
            let of_object = |key: &str| match object {
                "resource" => ["role", "suspended"].contains(&key),
                "connection" => ["connection", "peer-role"].contains(&key),
                "device" => key == "disk",
                _ => ["replication", "peer-disk", "resync-suspended"].contains(&key),
            };
            self.fields.retain(|(of, key), _| of != resource || !of_object(key));
            return Some(format!("destroy {object}"));
        }
        let mut new = Vec::new();
        for (key, value) in states {
            let key = name(key);
            let place = (resource.to_owned(), key.clone());
            if self.fields.get(&place).is_none_or(|old| old != value) {
                self.fields.insert(place, value.to_owned());
                new.push(format!("{key}:{value}"));
            }
        }
        (!new.is_empty()).then(|| new.join(" "))
    }

    /// A field of a resource.
    pub fn get(&self, resource: &str, key: &str) -> Option<&str> {
        self.fields.get(&(resource.to_owned(), key.to_owned())).map(String::as_str)
    }

    /// All fields of a resource.
    pub fn all(&self, resource: &str) -> BTreeMap<String, String> {
        let own = self.fields.iter().filter(|((of, _), _)| of == resource);
        own.map(|((_, key), value)| (key.clone(), value.clone())).collect()
    }
}

/// A number of a dump, e.g. `out-of-sync` in KiB: the first line that has it.
pub fn number(dump: &str, key: &str) -> Option<u64> {
    let words = dump.split_whitespace().filter_map(|word| word.split_once(':'));
    words.filter(|(known, _)| *known == key).find_map(|(_, value)| value.parse().ok())
}

/// The word of DRBD 9 for a connection state of 8.4.
pub fn in_drbd9(connection: &str) -> &str {
    match connection {
        "WFConnection" => "Connecting",
        "WFReportParams" => "Connected",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_as_what_is_new() {
        let mut state = State::default();
        let lines = [
            "create resource name:r role:Secondary suspended:no",
            "create connection name:r peer-node-id:0 conn-name:peer connection:StandAlone role:Unknown",
            "change connection name:r peer-node-id:0 conn-name:peer connection:Connected role:Primary",
            "change peer-device name:r peer-node-id:0 conn-name:peer volume:0 replication:SyncTarget done:1.2",
            "change peer-device name:r peer-node-id:0 conn-name:peer volume:0 replication:SyncTarget done:2.0",
            "call helper name:r helper:before-resync-target",
            "response helper name:r helper:before-resync-target status:0",
            "destroy connection name:r peer-node-id:0 conn-name:peer",
            "exists -",
        ];
        let told: Vec<_> = lines.iter().filter_map(|line| state.take(line)).collect();
        let expected = [
            "role:Secondary suspended:no",
            "connection:StandAlone peer-role:Unknown",
            "connection:Connected peer-role:Primary",
            "replication:SyncTarget",
            "call before-resync-target",
            "response before-resync-target status:0",
            "destroy connection",
        ];
        assert_eq!(told, expected);
        assert_eq!(state.get("r", "role"), Some("Secondary"));
        assert_eq!(state.get("r", "connection"), None);
        assert_eq!(number("x out-of-sync:12 y", "out-of-sync"), Some(12));
    }
}

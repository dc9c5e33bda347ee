//! Conditions to TOML: a table for each subject.

use std::collections::BTreeSet;

use crate::condition::{Condition, Fact};
use crate::units::{DURATION, SIZE};
use crate::write::{list, quoted};

/// What a table is about: it stands in it once.
#[derive(PartialEq)]
enum Subject {
    Resource(String),
    Vm(String),
    Power,
    /// Events and commands share their table with nobody.
    Alone,
}

/// One table.
struct Group {
    subject: Subject,
    /// Where facts stand in it, so that none takes another's place.
    taken: BTreeSet<String>,
    /// Key, and what stands behind it: a value, or entries by host.
    keys: Vec<(&'static str, Vec<String>)>,
}

/// The inside of a condition's table.
pub fn facts(condition: &Condition) -> String {
    let mut groups: Vec<Group> = Vec::new();
    for fact in &condition.all {
        let (subject, key, place, value) = parts(fact);
        let fits = |group: &Group| {
            group.subject == subject
                && subject != Subject::Alone
                && !group.taken.contains(&format!("{key} {place}"))
        };
        let at = groups.iter().position(fits);
        let at = at.unwrap_or_else(|| {
            groups.push(Group { subject, taken: BTreeSet::new(), keys: Vec::new() });
            groups.len() - 1
        });
        groups[at].add(key, &place, value);
    }
    match &groups[..] {
        [group] => group.inside(),
        groups => {
            let tables: Vec<_> = groups.iter().map(|g| format!("{{ {} }}", g.inside())).collect();
            format!("all = [{}]", tables.join(", "))
        }
    }
}

impl Group {
    fn add(&mut self, key: &'static str, place: &str, value: String) {
        self.taken.insert(format!("{key} {place}"));
        let entry = if place.is_empty() { value } else { format!("{place} = {value}") };
        match self.keys.iter_mut().find(|(known, _)| *known == key) {
            Some((_, entries)) => entries.push(entry),
            None => self.keys.push((key, vec![entry])),
        }
    }

    fn inside(&self) -> String {
        let mut out = match &self.subject {
            Subject::Resource(name) => vec![format!("resource = {}", quoted(name))],
            Subject::Vm(name) => vec![format!("vm = {}", quoted(name))],
            Subject::Power | Subject::Alone => Vec::new(),
        };
        for (key, entries) in &self.keys {
            let by_host = self
                .taken
                .iter()
                .any(|taken| taken.strip_prefix(key).is_some_and(|place| place.trim_start() != ""));
            out.push(match (key.is_empty(), by_host) {
                (true, _) => entries.join(", "),
                (false, true) => format!("{key} = {{ {} }}", entries.join(", ")),
                (false, false) => format!("{key} = {}", entries.join(", ")),
            });
        }
        out.join(", ")
    }
}

/// Subject, key, place below the key, value. An empty key: the value is the whole table.
fn parts(fact: &Fact) -> (Subject, &'static str, String, String) {
    let resource = |name: &String| Subject::Resource(name.clone());
    match fact {
        Fact::Disk { at, is } => (resource(&at.resource), "disk", at.host.clone(), list(is)),
        Fact::Role { at, is } => (resource(&at.resource), "role", at.host.clone(), list(is)),
        Fact::Quorum { at, yes } => {
            (resource(&at.resource), "quorum", at.host.clone(), yes.to_string())
        }
        Fact::Suspended { at, yes } => {
            (resource(&at.resource), "suspended", at.host.clone(), yes.to_string())
        }
        Fact::Connection { at, peer, is } => {
            (resource(&at.resource), "connection", format!("{}.{peer}", at.host), list(is))
        }
        Fact::Replication { at, peer, is } => {
            (resource(&at.resource), "replication", format!("{}.{peer}", at.host), list(is))
        }
        Fact::PeerDisk { at, peer, is } => {
            (resource(&at.resource), "peer-disk", format!("{}.{peer}", at.host), list(is))
        }
        Fact::OutOfSync { at, peer, most } => {
            let most = quoted(&SIZE.format(*most));
            (resource(&at.resource), "out-of-sync", format!("{}.{peer}", at.host), most)
        }
        Fact::Power { host, is } => (Subject::Power, "power", host.clone(), list(is)),
        Fact::Event { .. } => (Subject::Alone, "", String::new(), event(fact)),
        Fact::Command { .. } => (Subject::Alone, "", String::new(), command(fact)),
        of_vm => {
            let (vm, key, value) = vm_parts(of_vm);
            (Subject::Vm(vm), key, String::new(), value)
        }
    }
}

fn vm_parts(fact: &Fact) -> (String, &'static str, String) {
    match fact {
        Fact::AckedWrites { vm, least } => (vm.clone(), "acked-writes", least.to_string()),
        Fact::Running { vm, yes } => (vm.clone(), "running", yes.to_string()),
        Fact::On { vm, host } => (vm.clone(), "on", quoted(host)),
        Fact::Progress { vm, within } => {
            (vm.clone(), "progress", quoted(&DURATION.format(*within)))
        }
        Fact::Errors { vm, most } => (vm.clone(), "errors", most.to_string()),
        _ => (String::new(), "", String::new()),
    }
}

fn event(fact: &Fact) -> String {
    let Fact::Event { event, resource, host, peer, nth } = fact else { return String::new() };
    let mut out = vec![format!("event = {}", quoted(event.name()))];
    for (key, value) in [("resource", resource), ("host", host), ("peer", peer)] {
        out.extend(value.iter().map(|value| format!("{key} = {}", quoted(value))));
    }
    if *nth != 1 {
        out.push(format!("nth = {nth}"));
    }
    out.join(", ")
}

fn command(fact: &Fact) -> String {
    let Fact::Command { on, run, exit, stdout, stderr } = fact else { return String::new() };
    let mut out = vec![format!("run = {}, on = {}", quoted(run), quoted(on))];
    out.extend(exit.iter().map(|code| format!("exit = {code}")));
    for (key, value) in [("stdout", stdout), ("stderr", stderr)] {
        out.extend(value.iter().map(|value| format!("{key} = {}", quoted(value))));
    }
    out.join(", ")
}

//! Conditions: tables of what can be seen, in steps (`after`) and expectations.
//!
//! Facts of a resource name its host, `{ resource = "vol-a", host = "alpha", quorum = true }`, or
//! give a table by host, `{ resource = "vol-a", disk = { alpha = "UpToDate" } }`.

use crate::condition::{Condition, Event, Fact, Place};
use crate::cursor::{Read, Table, Value};
use crate::error::{Wrong, nearest};
use crate::limits::FACTS_MAX;
use crate::units::{DURATION, SIZE};

/// Facts of a resource on a host.
const OWN: [&str; 4] = ["disk", "role", "quorum", "suspended"];
/// Facts of a resource on a host towards a peer.
const PEER: [&str; 4] = ["connection", "replication", "peer-disk", "out-of-sync"];
/// Facts of a VM.
const VM: [&str; 5] = ["acked-writes", "running", "on", "progress", "errors"];

/// The condition that a table states; all of its keys are used.
pub(crate) fn condition(mut table: Table) -> Read<Condition> {
    let Some(tables) = table.get("all") else {
        return facts(table).map(Condition::new);
    };
    let mut all = Vec::new();
    for value in tables.list(FACTS_MAX)? {
        all.extend(facts(value.table("a condition")?)?);
        if all.len() > FACTS_MAX {
            let remedy = format!("use at most {FACTS_MAX}");
            return table.fault(Wrong::new("too many facts", remedy));
        }
    }
    table.finish()?;
    Ok(Condition::new(all))
}

/// The facts of one subject: a resource, a VM, hosts, an event, a command.
fn facts(mut table: Table) -> Read<Vec<Fact>> {
    let mut all = Vec::new();
    let command = table.get("run");
    let event = table.get("event");
    let text = |v: &Value| v.string().map(Some);
    let resource = table.or("resource", None, text)?;
    let vm = table.or("vm", None, text)?;
    if let Some(run) = command {
        all.push(command_of(&mut table, run)?);
    } else if let Some(event) = event {
        all.push(event_of(&mut table, event, resource)?);
    } else if let Some(vm) = vm {
        of_vm(&mut table, &vm, &mut all)?;
    } else if let Some(resource) = resource {
        of_resource(&mut table, &resource, &mut all)?;
    } else if let Some(power) = table.get("power") {
        of_hosts(&mut table, power, &mut all, |host, value| {
            Ok(Fact::Power { host, is: words(value)? })
        })?;
    }
    if all.len() > FACTS_MAX {
        return table.fault(Wrong::new("too many facts", format!("use at most {FACTS_MAX}")));
    }
    table.finish_but(&["all", "resource", "vm", "event", "power", "run"])?;
    Ok(all)
}

/// A condition that says something.
pub(crate) fn some_condition(value: &Value, what: &'static str) -> Read<Condition> {
    let condition = condition(value.table(what)?)?;
    if condition.all.is_empty() {
        let remedy = "as in { resource = \"vol-a\", host = \"alpha\", quorum = true }";
        return value.fault(Wrong::new("this says nothing", remedy));
    }
    Ok(condition)
}

/// One word, or a list of words of which one has to fit.
fn words(value: &Value) -> Read<Vec<String>> {
    if value.is_text() { Ok(vec![value.string()?]) } else { value.strings(16) }
}

/// `{ alpha = x, bravo = y }`, or `x` with `host` beside it.
fn of_hosts(
    table: &mut Table,
    value: Value,
    all: &mut Vec<Fact>,
    fact: impl Fn(String, &Value) -> Read<Fact>,
) -> Read<()> {
    if let Some(host) = table.get("host") {
        all.push(fact(host.string()?, &value)?);
        return Ok(());
    }
    if !value.is_table() {
        let remedy = "add host = \"alpha\", or give a value for each host: { alpha = … }";
        return value.fault(Wrong::new("on which host?", remedy));
    }
    for (host, value) in value.table("a table by host")?.entries() {
        all.push(fact(host.to_owned(), &value)?);
    }
    Ok(())
}

fn of_resource(table: &mut Table, resource: &str, all: &mut Vec<Fact>) -> Read<()> {
    let place = |host: String| Place { resource: resource.to_owned(), host };
    for key in OWN {
        let Some(value) = table.get(key) else { continue };
        of_hosts(table, value, all, |host, value| {
            let at = place(host);
            Ok(match key {
                "disk" => Fact::Disk { at, is: words(value)? },
                "role" => Fact::Role { at, is: words(value)? },
                "quorum" => Fact::Quorum { at, yes: value.flag()? },
                _ => Fact::Suspended { at, yes: value.flag()? },
            })
        })?;
    }
    for key in PEER {
        let Some(value) = table.get(key) else { continue };
        of_peers(table, value, all, |host, peer, value| {
            let at = place(host);
            Ok(match key {
                "connection" => Fact::Connection { at, peer, is: words(value)? },
                "replication" => Fact::Replication { at, peer, is: words(value)? },
                "peer-disk" => Fact::PeerDisk { at, peer, is: words(value)? },
                _ => Fact::OutOfSync { at, peer, most: value.quantity(&SIZE)? },
            })
        })?;
    }
    Ok(())
}

/// `{ alpha = { bravo = x } }`, or `x` with `host` and `peer` beside it.
fn of_peers(
    table: &mut Table,
    value: Value,
    all: &mut Vec<Fact>,
    fact: impl Fn(String, String, &Value) -> Read<Fact>,
) -> Read<()> {
    if let Some(peer) = table.get("peer") {
        let peer = peer.string()?;
        return of_hosts(table, value, all, |host, value| fact(host, peer.clone(), value));
    }
    if !value.is_table() {
        let remedy = "add peer = \"bravo\", or give tables: { alpha = { bravo = … } }";
        return value.fault(Wrong::new("towards which peer?", remedy));
    }
    let host = table.or("host", None, |v| v.string().map(Some))?;
    for (name, value) in value.table("a table by host")?.entries() {
        match &host {
            Some(host) => all.push(fact(host.clone(), name.to_owned(), &value)?),
            None => {
                for (peer, value) in value.table("a table by peer")?.entries() {
                    all.push(fact(name.to_owned(), peer.to_owned(), &value)?);
                }
            }
        }
    }
    Ok(())
}

fn of_vm(table: &mut Table, vm: &str, all: &mut Vec<Fact>) -> Read<()> {
    for key in VM {
        let Some(value) = table.get(key) else { continue };
        let vm = vm.to_owned();
        all.push(match key {
            "acked-writes" => Fact::AckedWrites { vm, least: value.number(u64::MAX >> 1)? },
            "running" => Fact::Running { vm, yes: value.flag()? },
            "on" => Fact::On { vm, host: value.string()? },
            "progress" => Fact::Progress { vm, within: value.quantity(&DURATION)? },
            _ => Fact::Errors { vm, most: value.number(u64::MAX >> 1)? },
        });
    }
    Ok(())
}

fn event_of(table: &mut Table, value: Value, resource: Option<String>) -> Read<Fact> {
    let name = value.text()?;
    let Some(event) = Event::ALL.iter().find(|event| event.name() == name) else {
        let known = || Event::ALL.iter().map(|event| event.name());
        let remedy = match nearest(name, known()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("use one of {}", known().collect::<Vec<_>>().join(", ")),
        };
        let short: String = name.chars().take(40).collect();
        return value.fault(Wrong::new(format!("unknown event \"{short}\""), remedy));
    };
    let text = |v: &Value| v.string().map(Some);
    let nth = table.or("nth", 1, |v| v.count(1_000_000))?;
    Ok(Fact::Event {
        event: *event,
        resource,
        host: table.or("host", None, text)?,
        peer: table.or("peer", None, text)?,
        nth,
    })
}

fn command_of(table: &mut Table, run: Value) -> Read<Fact> {
    let text = |v: &Value| v.string().map(Some);
    Ok(Fact::Command {
        on: table.need("on")?.string()?,
        run: run.string()?,
        exit: table.or("exit", None, |v| v.count(255).map(|code| Some(code as u8)))?,
        stdout: table.or("stdout", None, text)?,
        stderr: table.or("stderr", None, text)?,
    })
}

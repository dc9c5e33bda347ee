//! What must hold of steps and expectations: names exist, words are DRBD's, times are in the run.

use std::collections::{BTreeMap, BTreeSet};

use crate::condition::*;
use crate::limits::*;
use crate::scenario::*;
use crate::units::DURATION;
use crate::validate::{Check, count, fail, has_part, kebab, known, range, unique};

pub(crate) fn steps(scenario: &Scenario) -> Check {
    count("step", scenario.step.len(), STEPS_MAX)?;
    unique("step[#].id", scenario.step.iter().map(|step| step.id.as_deref()))?;
    for (i, step) in scenario.step.iter().enumerate() {
        let path = format!("step[{i}]");
        if let Some(id) = &step.id {
            kebab(&format!("{path}.id"), id)?;
        }
        check_when(&path, &step.when, scenario)?;
        action(&format!("{path}.do"), &step.action, scenario)?;
    }
    in_order(scenario)
}

fn check_when(path: &str, when: &When, scenario: &Scenario) -> Check {
    if when.wait >= scenario.horizon {
        let place = if when.time().is_some() { "at" } else { "wait" };
        let remedy = format!("end later than {}", DURATION.format(when.wait));
        return fail(format!("{path}.{place}"), "the run is over by then", remedy);
    }
    let after = format!("{path}.after");
    if let Some(step) = &when.after {
        is_step(&after, step, scenario)?;
    }
    when.that.as_ref().map_or(Ok(()), |that| condition(&after, that, scenario))
}

fn is_step(path: &str, step: &str, scenario: &Scenario) -> Check {
    known(path, "step", step, scenario.step.iter().filter_map(|step| step.id.as_deref()))
}

/// No step waits for itself, over others or at once.
fn in_order(scenario: &Scenario) -> Check {
    let waits: BTreeMap<&str, &str> = scenario
        .step
        .iter()
        .filter_map(|step| Some((step.id.as_deref()?, step.when.after.as_deref()?)))
        .collect();
    for (i, step) in scenario.step.iter().enumerate() {
        let (Some(id), mut seen) = (step.id.as_deref(), BTreeSet::new()) else { continue };
        let mut at = id;
        while let Some(before) = waits.get(at) {
            if !seen.insert(*before) || *before == id {
                let what = format!("\"{id}\" comes after itself");
                return fail(format!("step[{i}].after"), what, "let one of them have a time");
            }
            at = before;
        }
    }
    Ok(())
}

pub(crate) fn expects(scenario: &Scenario) -> Check {
    count("expect", scenario.expect.len(), EXPECTS_MAX)?;
    unique("expect[#].id", scenario.expect.iter().map(|expect| expect.id.as_deref()))?;
    for (i, expect) in scenario.expect.iter().enumerate() {
        let path = format!("expect[{i}]");
        if let Some(id) = &expect.id {
            kebab(&format!("{path}.id"), id)?;
        }
        for (key, step) in [("after", &expect.after), ("until", &expect.until)] {
            if let Some(step) = step {
                is_step(&format!("{path}.{key}"), step, scenario)?;
            }
        }
        let place = match expect.kind {
            Expectation::Within(ns) => {
                range(&format!("{path}.within"), (0, ns), HORIZON_MAX)?;
                format!("{path}.that")
            }
            kind => format!("{path}.{}", kind.key()),
        };
        condition(&place, &expect.that, scenario)?;
        let asks = expect.that.all.iter().any(|fact| matches!(fact, Fact::Command { .. }));
        if asks && !matches!(expect.kind, Expectation::Within(_)) {
            let remedy = "use `within`, or a fact that can be seen without a command";
            return fail(place, "a command is asked now and then, not all the time", remedy);
        }
        let moments = expect.that.all.iter().any(|fact| matches!(fact, Fact::Event { .. }));
        if moments && expect.kind == Expectation::Always {
            let remedy = "name the state that it leads to; or use `within`, or `never`";
            return fail(place, "an event is a moment, not a state: it cannot last", remedy);
        }
    }
    Ok(())
}

/// Worlds and parts of the stack exist; known failures are of worlds and say what brings them.
pub(crate) fn meant_for(scenario: &Scenario) -> Check {
    for (i, world) in scenario.worlds.iter().enumerate() {
        known(&format!("worlds[{i}]"), "world", world, WORLDS.into_iter())?;
    }
    for (i, part) in scenario.requires.iter().enumerate() {
        known(&format!("requires[{i}]"), "part of the stack", part, PARTS.into_iter())?;
    }
    for (world, it) in &scenario.known {
        let path = format!("known.{world}");
        known(&path, "world", world, WORLDS.into_iter())?;
        kebab(&format!("{path}.breaks"), &it.breaks)?;
        if world == "sim" && it.quirk.is_none() {
            let remedy = "name the quirk that puts the bug back: quirk = \"…\"";
            return fail(path, "the simulator runs no release", remedy);
        }
        if it.version.is_none() && it.quirk.is_none() {
            let remedy = "add version = \"drbd 9.3.3\", or quirk = \"…\"";
            return fail(path, "known of which release, or with which quirk?", remedy);
        }
        let long = |text: &Option<String>| text.as_ref().is_some_and(|t| t.len() > NOTE_MAX);
        if long(&it.version) || long(&it.quirk) {
            return fail(path, "too long", format!("at most {NOTE_MAX} characters"));
        }
    }
    Ok(())
}

/// What is replayed is named.
pub(crate) fn replays(scenario: &Scenario) -> Check {
    let Some(it) = &scenario.replay else { return Ok(()) };
    kebab("replay.breaks", &it.breaks)?;
    let quirk = it.quirk.as_ref();
    quirk.map_or(Ok(()), |quirk| kebab("replay.quirk", quirk))?;
    match &it.commit {
        Some(commit) if commit.is_empty() || commit.chars().count() > NOTE_MAX => {
            fail("replay.commit", "not a commit", "write its short hash, or leave it out")
        }
        _ => Ok(()),
    }
}

/// Names exist, words are DRBD's, at `path`.
fn condition(path: &str, condition: &Condition, scenario: &Scenario) -> Check {
    count(path, condition.all.len(), FACTS_MAX)?;
    condition.all.iter().try_for_each(|fact| check_fact(path, fact, scenario))
}

fn check_fact(path: &str, fact: &Fact, scenario: &Scenario) -> Check {
    let host =
        |name: &str| known(path, "host", name, scenario.pool.hosts.iter().map(String::as_str));
    let vm = |name: &str| known(path, "VM", name, scenario.vm.iter().map(|vm| vm.name.as_str()));
    let words = |kind: &str, is: &[String], all: &'static [&'static str]| {
        is.iter().try_for_each(|word| known(path, kind, word, all.iter().copied()))
    };
    match fact {
        Fact::Disk { at, is } => {
            member(path, at, scenario)?;
            words("disk state", is, &DISK_STATES)
        }
        Fact::Role { at, is } => {
            member(path, at, scenario)?;
            words("role", is, &ROLES)
        }
        Fact::Quorum { at, .. } | Fact::Suspended { at, .. } => member(path, at, scenario),
        Fact::Connection { at, peer, is } => {
            peers(path, at, peer, scenario)?;
            words("connection state", is, &CONNECTION_STATES)
        }
        Fact::Replication { at, peer, is } => {
            peers(path, at, peer, scenario)?;
            words("replication state", is, &REPLICATION_STATES)
        }
        Fact::PeerDisk { at, peer, is } => {
            peers(path, at, peer, scenario)?;
            words("disk state", is, &DISK_STATES)
        }
        Fact::OutOfSync { at, peer, .. } => peers(path, at, peer, scenario),
        Fact::Power { host: name, is } => {
            host(name)?;
            words("state of a host", is, &POWER)
        }
        Fact::On { vm: name, host: on } => vm(name).and_then(|()| host(on)),
        Fact::AckedWrites { vm: name, .. }
        | Fact::Running { vm: name, .. }
        | Fact::Progress { vm: name, .. }
        | Fact::Errors { vm: name, .. } => vm(name),
        Fact::Event { resource, host: on, peer, .. } => {
            let names = scenario.resource.iter().map(|r| r.name.as_str());
            resource.as_deref().map_or(Ok(()), |name| known(path, "resource", name, names))?;
            on.iter().chain(peer).try_for_each(|name| host(name))
        }
        Fact::Command { on, run, stdout, stderr, .. } => {
            host(on)?;
            let long = |text: &Option<String>| {
                text.as_ref().is_some_and(|text| text.chars().count() > COMMAND_MAX)
            };
            if long(stdout) || long(stderr) {
                return fail(path, "too long", format!("at most {COMMAND_MAX} characters"));
            }
            check_command(path, run)
        }
    }
}

/// A resource, and a host that has a part in it.
fn member(path: &str, at: &Place, scenario: &Scenario) -> Check {
    let names = scenario.resource.iter().map(|r| r.name.as_str());
    known(path, "resource", &at.resource, names)?;
    known(path, "host", &at.host, scenario.pool.hosts.iter().map(String::as_str))?;
    let of = scenario.resource.iter().find(|r| r.name == at.resource);
    if of.is_some_and(|resource| !has_part(resource, &at.host)) {
        let what = format!("{} has no part in {}", at.host, at.resource);
        return fail(path, what, "name a diskful or diskless host, or its tiebreaker");
    }
    Ok(())
}

fn peers(path: &str, at: &Place, peer: &str, scenario: &Scenario) -> Check {
    member(path, at, scenario)?;
    if at.host == peer {
        return fail(path, format!("{peer} is no peer of itself"), "name another host");
    }
    let peer = Place { resource: at.resource.clone(), host: peer.to_owned() };
    member(path, &peer, scenario)
}

fn action(path: &str, action: &Do, scenario: &Scenario) -> Check {
    let place = |key: &str| match action {
        Do::Run { .. } => format!("{path}.{key}"),
        _ => format!("{path}.{}.{key}", action.verb()),
    };
    let is_host = |key: &str, host: &str| {
        known(&place(key), "host", host, scenario.pool.hosts.iter().map(String::as_str))
    };
    let is_network = |network: &str| {
        known(&place("network"), "network", network, scenario.network.keys().map(String::as_str))
    };
    match action {
        Do::PowerOff { host }
        | Do::Boot { host }
        | Do::Crash { host }
        | Do::Shutdown { host, .. }
        | Do::Freeze { host }
        | Do::Thaw { host }
        | Do::DiskLies { host }
        | Do::DiskHonest { host } => is_host("host", host),
        Do::Cut { from, to, network, .. } | Do::Mend { from, to, network, .. } => {
            is_host("from", from)?;
            is_host("to", to)?;
            if from == to {
                return fail(place("to"), "a host always reaches itself", "name two hosts");
            }
            network.as_deref().map_or(Ok(()), is_network)
        }
        Do::Isolate { host, network } | Do::Rejoin { host, network } => {
            is_host("host", host)?;
            network.as_deref().map_or(Ok(()), is_network)
        }
        Do::SwitchOff { network } | Do::SwitchOn { network } => is_network(network),
        Do::Loss { network, ppm } => {
            let wrong = || fail(place("share"), "more than all", "use 0% to 100%");
            is_network(network)?;
            if *ppm > PPM_ONE { wrong() } else { Ok(()) }
        }
        Do::Latency { network, latency } => {
            is_network(network)?;
            range(&place("latency"), *latency, SERVICE_MAX)
        }
        Do::DiskError { .. } | Do::DiskRepair { .. } | Do::BitRot { .. } => {
            on_copy(&place, action, scenario)
        }
        Do::DiskStall { host, lasts } => {
            is_host("host", host)?;
            range(&place("lasts"), (0, *lasts), HORIZON_MAX)
        }
        Do::FillConntrack { host, share, lasts, .. } => {
            is_host("host", host)?;
            range(&place("lasts"), (0, *lasts), HORIZON_MAX)?;
            fill_conntrack(&place, *share, scenario)
        }
        Do::ClockStep { host, by } => {
            is_host("host", host)?;
            range(&place("by"), (0, by.unsigned_abs()), CLOCK_OFFSET_MAX)
        }
        Do::MoveVm { vm, to } => move_vm(&place, vm, to.as_ref(), scenario),
        Do::Run { on, command, .. } => {
            is_host("on", on)?;
            check_command(&format!("{path}.run"), command)
        }
        Do::HealAll => Ok(()),
    }
}

fn fill_conntrack(place: &dyn Fn(&str) -> String, share: u32, scenario: &Scenario) -> Check {
    if share > PPM_ONE {
        return fail(place("share"), "more than all", "use 0% to 100%");
    }
    if scenario.pool.conntrack_max.is_none() {
        let remedy = "give it a size, as in [pool] conntrack-max = 65536";
        return fail(place("host"), "its connections are not tracked", remedy);
    }
    Ok(())
}

/// A command is a word at least, and short.
fn check_command(path: &str, command: &str) -> Check {
    if command.trim().is_empty() || command.chars().count() > COMMAND_MAX {
        let remedy = format!("as in \"drbdadm adjust vol-a\", at most {COMMAND_MAX} characters");
        return fail(path, "not a command", remedy);
    }
    Ok(())
}

/// Faults of one resource's copy on one host: the host must have a copy.
fn on_copy(place: &dyn Fn(&str) -> String, action: &Do, scenario: &Scenario) -> Check {
    let (Do::DiskError { host, resource, .. }
    | Do::DiskRepair { host, resource }
    | Do::BitRot { host, resource, .. }) = action
    else {
        return Ok(());
    };
    known(&place("host"), "host", host, scenario.pool.hosts.iter().map(String::as_str))?;
    let names = scenario.resource.iter().map(|r| r.name.as_str());
    known(&place("resource"), "resource", resource, names)?;
    let copy = |r: &Resource| r.name == *resource && r.diskful.contains(host);
    if !scenario.resource.iter().any(copy) {
        let what = format!("{host} has no copy of {resource}");
        return fail(place("host"), what, "name one of its diskful hosts");
    }
    match action {
        Do::BitRot { blocks, .. } if *blocks == 0 || *blocks > ROT_MAX => {
            fail(place("blocks"), "not a number of blocks", format!("use 1 to {ROT_MAX}"))
        }
        Do::DiskError { read: false, write: false, .. } => {
            fail(place("read"), "neither reads nor writes fail", "set one of them")
        }
        _ => Ok(()),
    }
}

fn move_vm(
    place: &dyn Fn(&str) -> String,
    vm: &str,
    to: Option<&String>,
    scenario: &Scenario,
) -> Check {
    known(&place("vm"), "VM", vm, scenario.vm.iter().map(|vm| vm.name.as_str()))?;
    let Some(to) = to else { return Ok(()) };
    known(&place("to"), "host", to, scenario.pool.hosts.iter().map(String::as_str))?;
    let vdi = scenario.vm.iter().find(|known| known.name == vm).map(|vm| vm.vdi.as_str());
    let name = vdi.map(|vdi| vdi.split_once('/').map_or(vdi, |(name, _)| name));
    let resource = scenario.resource.iter().find(|r| Some(r.name.as_str()) == name);
    match resource {
        Some(resource) if !has_part(resource, to) => {
            let remedy = format!("add it to the diskless hosts of {}", resource.name);
            fail(place("to"), format!("{to} cannot open {}", resource.name), remedy)
        }
        _ => Ok(()),
    }
}

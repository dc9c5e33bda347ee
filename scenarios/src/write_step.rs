//! Steps, expectations, variations, known failures and replays to TOML.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use crate::scenario::*;
use crate::units::{DURATION, format_signed};
use crate::write::{quoted, share, span};
use crate::write_condition::facts;

/// One `[[step]]`.
pub(crate) fn step(out: &mut String, step: &Step) -> fmt::Result {
    writeln!(out, "\n[[step]]")?;
    if let Some(id) = &step.id {
        writeln!(out, "id = {}", quoted(id))?;
    }
    when(out, &step.when)?;
    writeln!(out, "do = {{ {} }}", describe(&step.action))?;
    if step.optional {
        writeln!(out, "optional = true")?;
    }
    Ok(())
}

/// Verb and object, as they stand in `do = { … }`.
pub fn describe(action: &Do) -> String {
    let beside = match action {
        Do::Shutdown { network_first: true, .. } => ", order = [\"network\", \"drbd\"]".to_owned(),
        Do::Run { on, exit, .. } => {
            let exit = match exit {
                Exit::Code(code) => code.to_string(),
                Exit::Any => quoted("any"),
            };
            format!(", on = {}, exit = {exit}", quoted(on))
        }
        _ => String::new(),
    };
    format!("{} = {}{beside}", action.verb(), object(action))
}

fn when(out: &mut String, when: &When) -> fmt::Result {
    let wait = quoted(&DURATION.format(when.wait));
    match (&when.after, &when.that) {
        (None, None) => return writeln!(out, "at = {wait}"),
        (Some(step), None) => writeln!(out, "after = {}", quoted(step))?,
        (step, Some(that)) => {
            let step = step.iter().map(|step| format!("step = {}, ", quoted(step)));
            writeln!(out, "after = {{ {}{} }}", step.collect::<String>(), facts(that))?;
        }
    }
    if when.wait > 0 {
        writeln!(out, "wait = {wait}")?;
    }
    Ok(())
}

/// One `[[expect]]`.
pub(crate) fn expect(out: &mut String, expect: &Expect) -> fmt::Result {
    writeln!(out, "\n[[expect]]")?;
    if let Some(id) = &expect.id {
        writeln!(out, "id = {}", quoted(id))?;
    }
    let that = facts(&expect.that);
    match expect.kind {
        Expectation::Within(ns) => {
            writeln!(out, "within = {}", quoted(&DURATION.format(ns)))?;
            writeln!(out, "that = {{ {that} }}")?;
        }
        kind => writeln!(out, "{} = {{ {that} }}", kind.key())?,
    }
    for (key, step) in [("after", &expect.after), ("until", &expect.until)] {
        if let Some(step) = step {
            writeln!(out, "{key} = {}", quoted(step))?;
        }
    }
    Ok(())
}

/// `[vary]`
pub(crate) fn vary(out: &mut String, vary: &BTreeMap<String, Vary>) -> fmt::Result {
    if !vary.is_empty() {
        writeln!(out, "\n[vary]")?;
    }
    for (path, values) in vary {
        let values = match values {
            Vary::Range(low, high) => quoted(&format!("{low}..{high}")),
            Vary::OneOf(values) => format!("[{}]", values.join(", ")),
        };
        writeln!(out, "{} = {values}", quoted(path))?;
    }
    Ok(())
}

/// `[known]`
pub(crate) fn known(out: &mut String, known: &BTreeMap<String, Known>) -> fmt::Result {
    if !known.is_empty() {
        writeln!(out, "\n[known]")?;
    }
    for (world, it) in known {
        let version = ("version", it.version.as_deref().map(quoted));
        let quirk = ("quirk", it.quirk.as_deref().map(quoted));
        let all = fields(&[version, quirk, ("breaks", Some(quoted(&it.breaks)))]);
        writeln!(out, "{} = {all}", quoted(world))?;
    }
    Ok(())
}

/// `[replay]`
pub(crate) fn replay(out: &mut String, replay: &Replay) -> fmt::Result {
    writeln!(out, "\n[replay]")?;
    match i64::try_from(replay.seed) {
        Ok(seed) if seed < 1_000_000 => writeln!(out, "seed   = {seed}")?,
        _ => writeln!(out, "seed   = \"{:#x}\"", replay.seed)?,
    }
    if let Some(commit) = &replay.commit {
        writeln!(out, "commit = {}", quoted(commit))?;
    }
    writeln!(out, "breaks = {}", quoted(&replay.breaks))?;
    replay.quirk.as_ref().map_or(Ok(()), |quirk| writeln!(out, "quirk  = {}", quoted(quirk)))
}

/// What follows the verb.
fn object(action: &Do) -> String {
    match action {
        Do::PowerOff { host }
        | Do::Boot { host }
        | Do::Crash { host }
        | Do::Shutdown { host, .. }
        | Do::Freeze { host }
        | Do::Thaw { host }
        | Do::DiskLies { host }
        | Do::DiskHonest { host } => quoted(host),
        Do::SwitchOff { network } | Do::SwitchOn { network } => quoted(network),
        Do::Cut { from, to, network, both } | Do::Mend { from, to, network, both } => fields(&[
            ("from", Some(quoted(from))),
            ("to", Some(quoted(to))),
            on(network),
            ("both", both.then(|| "true".to_owned())),
        ]),
        Do::Isolate { host, network } | Do::Rejoin { host, network } => match network {
            None => quoted(host),
            Some(_) => fields(&[("host", Some(quoted(host))), on(network)]),
        },
        Do::Loss { network, ppm } => {
            fields(&[("network", Some(quoted(network))), ("share", Some(share(*ppm)))])
        }
        Do::Latency { network, latency } => {
            fields(&[("network", Some(quoted(network))), ("latency", Some(span(*latency)))])
        }
        Do::DiskError { host, resource, read, write } => fields(&[
            ("host", Some(quoted(host))),
            ("resource", Some(quoted(resource))),
            ("read", Some(read.to_string())),
            ("write", Some(write.to_string())),
        ]),
        Do::DiskRepair { host, resource } => {
            fields(&[("host", Some(quoted(host))), ("resource", Some(quoted(resource)))])
        }
        Do::DiskStall { host, lasts } => {
            let lasts = quoted(&DURATION.format(*lasts));
            fields(&[("host", Some(quoted(host))), ("lasts", Some(lasts))])
        }
        Do::BitRot { host, resource, blocks } => fields(&[
            ("host", Some(quoted(host))),
            ("resource", Some(quoted(resource))),
            ("blocks", Some(blocks.to_string())),
        ]),
        Do::FillConntrack { host, share: part, flush, lasts } => fields(&[
            ("host", Some(quoted(host))),
            ("share", Some(share(*part))),
            ("flush", Some(flush.to_string())),
            ("lasts", Some(quoted(&DURATION.format(*lasts)))),
        ]),
        Do::ClockStep { host, by } => {
            fields(&[("host", Some(quoted(host))), ("by", Some(quoted(&format_signed(*by))))])
        }
        Do::MoveVm { vm, to } => {
            fields(&[("vm", Some(quoted(vm))), ("to", to.as_deref().map(quoted))])
        }
        Do::Run { command, .. } => quoted(command),
        Do::HealAll => "true".to_owned(),
    }
}

fn on(network: &Option<String>) -> (&'static str, Option<String>) {
    ("network", network.as_deref().map(quoted))
}

fn fields(fields: &[(&str, Option<String>)]) -> String {
    let fields: Vec<_> = fields
        .iter()
        .filter_map(|(key, value)| Some(format!("{key} = {}", value.as_ref()?)))
        .collect();
    format!("{{ {} }}", fields.join(", "))
}

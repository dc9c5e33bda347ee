//! The faults of a plan as bars: from the step that begins one to the step that ends it.

use super::super::segments::Segment;
use super::super::{Kind, Recording, Track, Value};
use scenarios::Do;
use std::collections::BTreeMap;

/// Something that was wrong for a while, or one thing that was done.
#[derive(Clone, PartialEq, Debug)]
pub struct Bar {
    /// From, ns.
    pub from: u64,
    /// Until; the same for what happens at once.
    pub to: u64,
    /// In words.
    pub text: String,
    /// A fault, or a repair or planned work?
    pub fault: bool,
}

/// All bars, in the order in which they begin.
pub fn bars(recording: &Recording, tracks: &BTreeMap<Track, Vec<Segment>>) -> Vec<Bar> {
    let mut bars = Vec::new();
    for (i, step) in recording.steps.iter().enumerate() {
        let later = || recording.steps[i + 1..].iter();
        let undone = later().find(|it| it.action == Do::HealAll || ends(&it.action, &step.action));
        let undone = undone.map_or(recording.end, |it| it.at);
        let to = match &step.action {
            Do::PowerOff { host } | Do::Crash { host } | Do::Shutdown { host, .. } => {
                runs_again(recording, tracks, host, step.at)
            }
            Do::DiskStall { lasts, .. } => step.at.saturating_add(*lasts).min(undone),
            action if lasts(action) => undone,
            _ => step.at,
        };
        // A repair is seen in the end of what it repairs.
        let ended = || recording.steps[..i].iter().any(|it| ends(&step.action, &it.action));
        let only_ends = !lasts(&step.action) && ended();
        if !only_ends {
            let fault = lasts(&step.action) || to > step.at;
            let to = to.min(recording.end);
            bars.push(Bar { from: step.at, to, text: words(&step.action), fault });
        }
    }
    bars
}

/// When the host's kernel runs again.
fn runs_again(
    recording: &Recording,
    tracks: &BTreeMap<Track, Vec<Segment>>,
    name: &str,
    at: u64,
) -> u64 {
    let host = recording.cast.hosts.iter().position(|host| host == name).unwrap_or(0) as u16;
    let power = tracks.get(&Track::of_host(Kind::Power, host)).into_iter().flatten();
    let mut on = power.filter(|s| s.from > at && s.value == Value::Word("on"));
    on.next().map_or(recording.end, |segment| segment.from)
}

/// Does it last until something ends it?
fn lasts(action: &Do) -> bool {
    match action {
        Do::Loss { ppm, .. } => *ppm > 0,
        Do::PowerOff { .. }
        | Do::Crash { .. }
        | Do::Shutdown { .. }
        | Do::Freeze { .. }
        | Do::Cut { .. }
        | Do::Isolate { .. }
        | Do::SwitchOff { .. }
        | Do::Latency { .. }
        | Do::DiskError { .. }
        | Do::DiskStall { .. }
        | Do::DiskLies { .. } => true,
        _ => false,
    }
}

/// Does the later step end what the earlier one began?
fn ends(later: &Do, earlier: &Do) -> bool {
    match (earlier, later) {
        (Do::PowerOff { host: a }, Do::Boot { host: b })
        | (Do::Shutdown { host: a, .. }, Do::Boot { host: b })
        | (Do::Freeze { host: a }, Do::Thaw { host: b })
        | (Do::DiskLies { host: a }, Do::DiskHonest { host: b }) => a == b,
        (Do::Cut { from: a, to: b, .. }, Do::Mend { from: c, to: d, both, .. }) => {
            (a, b) == (c, d) || *both && (a, b) == (d, c)
        }
        (Do::Isolate { host: a, .. }, Do::Rejoin { host: b, .. }) => a == b,
        (Do::SwitchOff { network: a }, Do::SwitchOn { network: b })
        | (Do::Loss { network: a, .. }, Do::Loss { network: b, .. })
        | (Do::Latency { network: a, .. }, Do::Latency { network: b, .. }) => a == b,
        (Do::DiskError { host: a, resource: r, .. }, Do::DiskRepair { host: b, resource: s }) => {
            (a, r) == (b, s)
        }
        _ => false,
    }
}

/// The step as one would tell it.
fn words(action: &Do) -> String {
    let on = |network: &Option<String>| {
        network.as_ref().map_or(String::new(), |network| format!(" ({network})"))
    };
    match action {
        Do::PowerOff { host } => format!("{host}: power off"),
        Do::Boot { host } => format!("{host}: power on"),
        Do::Crash { host } => format!("{host}: kernel crash"),
        Do::Shutdown { host, network_first: true } => format!("{host}: shutdown, network first"),
        Do::Shutdown { host, .. } => format!("{host}: shutdown"),
        Do::Freeze { host } => format!("{host}: frozen"),
        Do::Thaw { host } => format!("{host}: goes on"),
        Do::Cut { from, to, network, both } => {
            let way = if *both { "↔" } else { "→" };
            format!("cut {from} {way} {to}{}", on(network))
        }
        Do::Mend { from, to, network, .. } => format!("mend {from} → {to}{}", on(network)),
        Do::Isolate { host, network } => format!("{host}: isolated{}", on(network)),
        Do::Rejoin { host, network } => format!("{host}: rejoins{}", on(network)),
        Do::SwitchOff { network } => format!("switch {network} off"),
        Do::SwitchOn { network } => format!("switch {network} on"),
        Do::Loss { network, ppm } => {
            format!("{network}: {}.{:02} % loss", ppm / 10_000, ppm / 100 % 100)
        }
        Do::Latency { network, latency } => {
            format!("{network}: latency up to {}", super::span(latency.1))
        }
        Do::DiskError { host, resource, read, write } => {
            let what = match (read, write) {
                (true, true) => "all I/O fails",
                (true, false) => "reads fail",
                _ => "writes fail",
            };
            format!("{host}: {what} on {resource}'s disk")
        }
        Do::DiskRepair { host, resource } => format!("{host}: {resource}'s disk is repaired"),
        Do::DiskStall { host, .. } => format!("{host}: disk stalls"),
        Do::BitRot { host, resource, blocks } => {
            format!("{host}: {blocks} blocks of {resource} rot")
        }
        Do::DiskLies { host } => format!("{host}: disk lies about flushes"),
        Do::MoveVm { vm, to: Some(to) } => format!("{vm} moves to {to}"),
        Do::MoveVm { vm, to: None } => format!("{vm} is stopped"),
        Do::Run { on, command, .. } => format!("{on}$ {command}"),
        Do::HealAll => "everything is repaired".to_owned(),
        other => scenarios::describe_step(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Struck;

    #[test]
    fn a_fault_lasts_until_its_repair() {
        let cut = |both| Do::Cut { from: "a".into(), to: "b".into(), network: None, both };
        let mend = Do::Mend { from: "b".into(), to: "a".into(), network: None, both: true };
        let loss = |ppm| Do::Loss { network: "storage".into(), ppm };
        let actions = [(1, cut(true)), (2, loss(15_000)), (4, loss(0)), (5, mend), (7, cut(false))];
        let steps =
            actions.into_iter().map(|(at, action)| Struck { at, seq: at, id: None, action });
        let recording = Recording { steps: steps.collect(), end: 9, ..Recording::default() };
        let bars = bars(&recording, &BTreeMap::new());
        let said: Vec<_> = bars.iter().map(|b| (b.from, b.to, b.text.as_str())).collect();
        let expected = [(1, 5, "cut a ↔ b"), (2, 4, "storage: 1.50 % loss"), (7, 9, "cut a → b")];
        assert_eq!(said, expected);
    }
}

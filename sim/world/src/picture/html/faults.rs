//! The faults of a plan as bars: from the step that begins one to the step that ends it.

use super::super::segments::Segment;
use super::super::{Kind, Recording, Track, Value};
use crate::world::fault;
use scenarios::Do;
use std::collections::{BTreeMap, BTreeSet};

/// Something that was wrong for a while, or one thing that was done.
#[derive(Clone, PartialEq, Debug)]
pub struct Bar {
    /// From, ns.
    pub from: u64,
    /// Until; the same for what happens at once.
    pub to: u64,
    /// As the plan has it.
    pub text: String,
    /// A fault, or a repair or planned work?
    pub fault: bool,
}

/// All bars, in the order in which they begin.
pub fn bars(recording: &Recording, tracks: &BTreeMap<Track, Vec<Segment>>) -> Vec<Bar> {
    let mut bars = Vec::new();
    for (i, step) in recording.steps.iter().enumerate() {
        let undone = undone(recording, i).unwrap_or(recording.end);
        let to = match &step.action {
            Do::PowerOff { host } | Do::Crash { host } | Do::Shutdown { host, .. } => {
                runs_again(recording, tracks, host, step.at)
            }
            Do::DiskStall { lasts, .. } | Do::FillConntrack { lasts, .. } => {
                step.at.saturating_add(*lasts).min(undone)
            }
            action if lasts(action) => undone,
            _ => step.at,
        };
        // A repair is seen in the end of what it repairs.
        let only_ends = !lasts(&step.action) && repairs(recording, i);
        if !only_ends {
            // A VM that moves is counted with the faults, but somebody wanted it to.
            let moves = matches!(step.action, Do::MoveVm { .. });
            let fault = fault(&step.action).is_some() && !moves;
            let to = to.min(recording.end);
            bars.push(Bar {
                from: step.at,
                to,
                text: scenarios::describe_step(&step.action),
                fault,
            });
        }
    }
    bars
}

/// When something ends what this step began.
fn undone(recording: &Recording, step: usize) -> Option<u64> {
    let action = &recording.steps[step].action;
    let mut cut = links(action, &recording.cast.networks);
    let cuts = lasts(action) && !cut.is_empty();
    let mut later = recording.steps[step + 1..].iter();
    let end = later.find(|later| {
        mend(&mut cut, &later.action, &recording.cast.networks);
        let all = later.action == Do::HealAll || cuts && cut.is_empty();
        all || ends(&later.action, action)
    });
    end.map(|end| end.at)
}

/// Does this step end, or help to end, what an earlier one began?
fn repairs(recording: &Recording, step: usize) -> bool {
    let action = &recording.steps[step].action;
    recording.steps[..step].iter().any(|earlier| {
        let mut cut = links(&earlier.action, &recording.cast.networks);
        let before = cut.len();
        mend(&mut cut, action, &recording.cast.networks);
        lasts(&earlier.action) && cut.len() < before || ends(action, &earlier.action)
    })
}

/// One way, from and to, on a network; to nobody: from and to all others.
type Link<'a> = (&'a str, &'a str, &'a str);

/// What a step cuts or mends: on one network, or on all.
fn links<'a>(action: &'a Do, networks: &'a [String]) -> BTreeSet<Link<'a>> {
    let (from, to, network, both) = match action {
        Do::Cut { from, to, network, both } | Do::Mend { from, to, network, both } => {
            (from.as_str(), to.as_str(), network, *both)
        }
        Do::Isolate { host, network } => (host.as_str(), "", network, false),
        _ => return BTreeSet::new(),
    };
    let on = network.as_ref().map_or(networks, std::slice::from_ref);
    let ways = |on: &'a String| [(from, to, on.as_str()), (to, from, on.as_str())];
    on.iter().flat_map(|on| ways(on).into_iter().take(1 + usize::from(both))).collect()
}

/// Takes out what a later step mends. Who rejoins is reached again whatever cut it off.
fn mend(cut: &mut BTreeSet<Link>, later: &Do, networks: &[String]) {
    match later {
        Do::Mend { .. } => {
            let mended = links(later, networks);
            cut.retain(|link| !mended.contains(link));
        }
        Do::Rejoin { host, network } => cut.retain(|(from, to, on)| {
            let here = network.as_ref().is_none_or(|network| network == on);
            !(here && (from == host || to == host))
        }),
        _ => {}
    }
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
        | Do::DiskLies { .. }
        | Do::FillConntrack { .. } => true,
        _ => false,
    }
}

/// Does the later step end what the earlier one began? For what cuts links, see [`mend`].
fn ends(later: &Do, earlier: &Do) -> bool {
    match (earlier, later) {
        (Do::PowerOff { host: a }, Do::Boot { host: b })
        | (Do::Shutdown { host: a, .. }, Do::Boot { host: b })
        | (Do::Freeze { host: a }, Do::Thaw { host: b })
        | (Do::DiskLies { host: a }, Do::DiskHonest { host: b })
        | (Do::FillConntrack { host: a, .. }, Do::FillConntrack { host: b, .. }) => a == b,
        (Do::SwitchOff { network: a }, Do::SwitchOn { network: b })
        | (Do::Loss { network: a, .. }, Do::Loss { network: b, .. })
        | (Do::Latency { network: a, .. }, Do::Latency { network: b, .. }) => a == b,
        (Do::DiskError { host: a, resource: r, .. }, Do::DiskRepair { host: b, resource: s }) => {
            (a, r) == (b, s)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Struck;

    const ONE_WAY: &str = "cut = { from = \"a\", to = \"b\" }";
    const BOTH_WAYS: &str = "cut = { from = \"a\", to = \"b\", both = true }";

    /// Bars of these actions, in a pool of two networks; the run ends at time 9.
    fn drawn(actions: Vec<(u64, Do)>) -> Vec<Bar> {
        let steps =
            actions.into_iter().map(|(at, action)| Struck { at, seq: at, id: None, action });
        let mut recording = Recording { steps: steps.collect(), end: 9, ..Recording::default() };
        recording.cast.networks = ["storage", "management"].map(str::to_owned).to_vec();
        bars(&recording, &BTreeMap::new())
    }

    fn spans(bars: &[Bar]) -> Vec<(u64, u64, &str)> {
        bars.iter().map(|bar| (bar.from, bar.to, bar.text.as_str())).collect()
    }

    fn cut(network: Option<&str>, both: bool) -> Do {
        let network = network.map(str::to_owned);
        Do::Cut { from: "a".into(), to: "b".into(), network, both }
    }

    fn mend(from: &str, to: &str, network: Option<&str>, both: bool) -> Do {
        let network = network.map(str::to_owned);
        Do::Mend { from: from.into(), to: to.into(), network, both }
    }

    #[test]
    fn a_fault_lasts_until_its_repair() {
        let loss = |ppm| Do::Loss { network: "storage".into(), ppm };
        let bars = drawn(vec![
            (1, cut(None, true)),
            (2, loss(15_000)),
            (4, loss(0)),
            (5, mend("b", "a", None, true)),
            (7, cut(None, false)),
        ]);
        let loss = "loss = { network = \"storage\", share = \"15000ppm\" }";
        let expected = [(1, 5, BOTH_WAYS), (2, 4, loss), (7, 9, ONE_WAY)];
        assert_eq!(spans(&bars), expected);
        assert!(bars.iter().all(|bar| bar.fault));
    }

    #[test]
    fn a_cut_lasts_until_each_way_is_mended_on_each_network() {
        let one_way = vec![
            (1, cut(None, true)),
            (3, mend("a", "b", None, false)),
            (6, mend("b", "a", None, false)),
        ];
        assert_eq!(spans(&drawn(one_way)), [(1, 6, BOTH_WAYS)]);
        let storage = Some("storage");
        let one_network = vec![
            (1, cut(None, false)),
            (2, cut(storage, false)),
            (4, mend("a", "b", storage, false)),
            (6, mend("a", "b", Some("management"), false)),
        ];
        let part = "cut = { from = \"a\", to = \"b\", network = \"storage\" }";
        let expected = [(1, 6, ONE_WAY), (2, 4, part)];
        assert_eq!(spans(&drawn(one_network)), expected);
        let rejoin = |network| Do::Rejoin { host: "b".into(), network };
        let rejoins = vec![
            (1, Do::Isolate { host: "b".into(), network: None }),
            (2, cut(storage, true)),
            (4, rejoin(Some("management".to_owned()))),
            (6, rejoin(None)),
        ];
        let part = "cut = { from = \"a\", to = \"b\", network = \"storage\", both = true }";
        let expected = [(1, 6, "isolate = \"b\""), (2, 6, part)];
        assert_eq!(spans(&drawn(rejoins)), expected);
    }

    #[test]
    fn what_breaks_something_is_a_fault_however_long_it_lasts() {
        let host = || "a".to_owned();
        let lasting = Do::FillConntrack { host: host(), share: 1_000, flush: false, lasts: 3 };
        let rot = Do::BitRot { host: host(), resource: "vol-a".to_owned(), blocks: 1 };
        let bars = drawn(vec![
            (1, lasting),
            (2, rot),
            (3, Do::ClockStep { host: host(), by: 7 }),
            (5, Do::MoveVm { vm: "vm-a".to_owned(), to: None }),
        ]);
        let said: Vec<_> = bars.iter().map(|bar| (bar.from, bar.to, bar.fault)).collect();
        assert_eq!(said, [(1, 4, true), (2, 2, true), (3, 3, true), (5, 5, false)]);
    }
}

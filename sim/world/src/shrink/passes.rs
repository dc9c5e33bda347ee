//! What is tried, in which order.

use super::edit::Edit;
use crate::check::{io_resumes, resync_finishes};
use scenarios::{BLOCK, Do, Io, Scenario};
use std::collections::BTreeSet;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// Promises of recovery: what is demanded of a plan that breaks them stays demanded.
const RECOVERY: [&str; 2] = [io_resumes::NAME, resync_finishes::NAME];

/// Kinds of changes that are tried together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pass {
    /// The end, and what is demanded there.
    End,
    /// Fewer steps.
    Steps,
    /// Fewer hosts, resources, VMs, volumes, networks, expectations.
    Things,
    /// Earlier.
    Times,
    /// Simpler faults.
    Verbs,
    /// Less work.
    Work,
    /// Less that is not as usual.
    Defaults,
}

/// In this order.
pub(super) const ALL: [Pass; 9] = [
    Pass::End,
    Pass::Steps,
    Pass::Things,
    Pass::Steps,
    Pass::End,
    Pass::Times,
    Pass::Verbs,
    Pass::Work,
    Pass::Defaults,
];

/// The changes of a pass to a plan that fails `at`; so many steps are dropped together.
pub(super) fn edits(pass: Pass, plan: &Scenario, at: u64, chunk: usize) -> Vec<Edit> {
    match pass {
        Pass::End => end(plan, at),
        Pass::Steps => {
            let chunk = chunk.max(1);
            // From the end: what comes last matters least.
            let starts = (0..plan.step.len()).step_by(chunk).rev();
            starts.map(|from| Edit::Steps(from, from + chunk)).collect()
        }
        Pass::Things => things(plan),
        Pass::Times => times(plan),
        Pass::Verbs => verbs(plan),
        Pass::Work => work(plan),
        Pass::Defaults => defaults(plan),
    }
}

fn end(plan: &Scenario, at: u64) -> Vec<Edit> {
    let mut edits = Vec::new();
    let recovers = |name: &String| RECOVERY.contains(&name.as_str());
    if plan.heals && !plan.promise.iter().any(recovers) {
        edits.push(Edit::NoHealing);
    }
    // VMs ask for nothing in the last seconds.
    let ends = [1, 4, 10].map(|more| (at / SECOND + 1 + more) * SECOND);
    edits.extend(ends.into_iter().filter(|end| *end < plan.horizon).map(Edit::Horizon));
    // Less work makes all further tries quicker.
    edits.extend([5, 20].map(Edit::Calm));
    edits
}

fn things(plan: &Scenario) -> Vec<Edit> {
    let mut edits = Vec::new();
    if plan.expect.len() > 1 {
        edits.extend((0..plan.expect.len()).map(Edit::OnlyExpect));
    }
    edits.extend((0..plan.expect.len()).rev().map(Edit::Expect));
    edits.extend((0..plan.resource.len()).rev().map(Edit::Resource));
    edits.extend((0..plan.vm.len()).rev().map(Edit::Vm));
    edits.extend((0..plan.pool.hosts.len()).rev().map(Edit::Host));
    for (at, resource) in plan.resource.iter().enumerate() {
        edits.extend((resource.volumes > 1).then_some(Edit::Volume(at)));
        let parts = resource.diskless.iter().chain(&resource.tiebreaker).chain(&resource.diskful);
        edits.extend(parts.map(|host| Edit::Copy { resource: at, host: host.clone() }));
    }
    let others = plan.network.keys().filter(|name| *name != "storage");
    edits.extend(others.map(|name| Edit::Network(name.clone())));
    edits
}

/// Each gap between two times, then each wait for something else.
fn times(plan: &Scenario) -> Vec<Edit> {
    let mut edits = vec![Edit::Round(SECOND), Edit::Round(100 * MS)];
    let struck: BTreeSet<u64> = plan.step.iter().filter_map(|step| step.when.time()).collect();
    let mut before = 0;
    for time in struck {
        let gap = time - before;
        // A pool needs a moment to come up.
        let first = before == 0;
        let targets = if first { [SECOND, 3 * SECOND] } else { [0, SECOND] };
        let least = if first { SECOND } else { 0 };
        let targets = targets.into_iter().chain([half(gap)]);
        let wanted = targets.filter(|target| *target < gap && *target >= least);
        edits.extend(wanted.map(|target| Edit::Earlier { from: time, by: gap - target }));
        before = time;
    }
    for (at, step) in plan.step.iter().enumerate() {
        if step.when.time().is_none() {
            let wait = step.when.wait;
            let wanted = [0, SECOND, half(wait)].into_iter().filter(|target| *target < wait);
            edits.extend(wanted.map(|target| Edit::Wait(at, target)));
        }
    }
    edits
}

/// About half, in whole seconds or tenths.
fn half(time: u64) -> u64 {
    let unit = if time >= 4 * SECOND { SECOND } else { 100 * MS };
    (time / 2).div_ceil(unit) * unit
}

fn verbs(plan: &Scenario) -> Vec<Edit> {
    let mut edits = merges(plan);
    for (at, step) in plan.step.iter().enumerate() {
        edits.extend(simpler(&step.action).into_iter().map(|action| Edit::Action(at, action)));
        edits.extend(less_of_the_network(plan, at));
        edits.extend(any_network(plan, &step.action).map(|action| Edit::Action(at, action)));
    }
    edits
}

/// Where there is one network, it need not be named.
fn any_network(plan: &Scenario, action: &Do) -> Option<Do> {
    let mut action = action.clone();
    match &mut action {
        Do::Cut { network, .. }
        | Do::Mend { network, .. }
        | Do::Isolate { network, .. }
        | Do::Rejoin { network, .. }
            if plan.network.len() == 1 =>
        {
            network.take().map(|_| action)
        }
        _ => None,
    }
}

/// One direction and the other at the same time are one step.
fn merges(plan: &Scenario) -> Vec<Edit> {
    let mut edits = Vec::new();
    for (i, one) in plan.step.iter().enumerate() {
        let twins = plan.step.iter().enumerate().skip(i + 1);
        for (j, other) in twins.filter(|(_, other)| other.when == one.when) {
            let action = match (&one.action, &other.action) {
                (
                    Do::Cut { from, to, network, both: false },
                    Do::Cut { from: back, to: forth, network: same, both: false },
                ) if (from, to, network) == (forth, back, same) => {
                    let (from, to) = (from.clone(), to.clone());
                    Do::Cut { from, to, network: network.clone(), both: true }
                }
                (
                    Do::Mend { from, to, network, both: false },
                    Do::Mend { from: back, to: forth, network: same, both: false },
                ) if (from, to, network) == (forth, back, same) => {
                    let (from, to) = (from.clone(), to.clone());
                    Do::Mend { from, to, network: network.clone(), both: true }
                }
                _ => continue,
            };
            edits.push(Edit::Merge(i, action, j));
        }
    }
    edits
}

/// Faults that do less than this one.
fn simpler(action: &Do) -> Vec<Do> {
    match action.clone() {
        Do::Crash { host } => vec![Do::PowerOff { host }],
        Do::Shutdown { host, network_first } => {
            let clean = Do::Shutdown { host: host.clone(), network_first: false };
            let clean = network_first.then_some(clean);
            clean.into_iter().chain([Do::PowerOff { host }]).collect()
        }
        Do::Cut { from, to, network, both: true } => {
            let one = |from: &str, to: &str| {
                let (from, to, network) = (from.to_owned(), to.to_owned(), network.clone());
                Do::Cut { from, to, network, both: false }
            };
            vec![one(&from, &to), one(&to, &from)]
        }
        Do::DiskError { host, resource, read: true, write: true } => {
            let one = |read| {
                let (host, resource) = (host.clone(), resource.clone());
                Do::DiskError { host, resource, read, write: !read }
            };
            vec![one(true), one(false)]
        }
        Do::Loss { network, ppm } if ppm >= 2_000 => vec![Do::Loss { network, ppm: ppm / 2 }],
        Do::DiskStall { host, lasts } if lasts > SECOND => {
            let one = |lasts| Do::DiskStall { host: host.clone(), lasts };
            vec![one(SECOND), one(half(lasts))]
        }
        Do::BitRot { host, resource, blocks: 2.. } => {
            vec![Do::BitRot { host, resource, blocks: 1 }]
        }
        _ => Vec::new(),
    }
}

/// Of an isolated host one link, of a switch one host; with what undoes it, if that comes.
fn less_of_the_network(plan: &Scenario, at: usize) -> Vec<Edit> {
    let later = |undo: &dyn Fn(&Do) -> bool| {
        let steps = plan.step.iter().enumerate().skip(at + 1);
        steps.into_iter().find(|(_, step)| undo(&step.action)).map(|(place, _)| place)
    };
    let pair = |strike: Do, undo: Option<usize>, undone: Do| match undo {
        Some(place) => Edit::Pair(at, strike, place, undone),
        None => Edit::Action(at, strike),
    };
    match &plan.step[at].action {
        Do::Isolate { host, network } => {
            let undo = later(&|it| matches!(it, Do::Rejoin { host: back, .. } if back == host));
            let others = plan.pool.hosts.iter().filter(|other| *other != host);
            let link = |other: &String| {
                let (from, to) = (host.clone(), other.clone());
                let cut = |from: &str, to: &str| (from.to_owned(), to.to_owned(), network.clone());
                let (a, b, network) = cut(&from, &to);
                let strike = Do::Cut { from: a, to: b, network: network.clone(), both: true };
                pair(strike, undo, Do::Mend { from, to, network, both: true })
            };
            others.map(link).collect()
        }
        Do::Rejoin { host, network } => {
            let others = plan.pool.hosts.iter().filter(|other| *other != host);
            let link = |other: &String| {
                let (from, to, network) = (host.clone(), other.clone(), network.clone());
                Edit::Action(at, Do::Mend { from, to, network, both: true })
            };
            others.map(link).collect()
        }
        Do::SwitchOff { network } => {
            let undo = later(&|it| matches!(it, Do::SwitchOn { network: on } if on == network));
            let alone = |host: &String| {
                let of = || (host.clone(), Some(network.clone()));
                let ((a, n), (b, m)) = (of(), of());
                let strike = Do::Isolate { host: a, network: n };
                pair(strike, undo, Do::Rejoin { host: b, network: m })
            };
            plan.pool.hosts.iter().map(alone).collect()
        }
        _ => Vec::new(),
    }
}

fn work(plan: &Scenario) -> Vec<Edit> {
    let mut edits = Vec::new();
    for (at, vm) in plan.vm.iter().enumerate() {
        edits.extend(lighter(&vm.io).into_iter().map(|io| Edit::Io(at, io)));
    }
    for (at, resource) in plan.resource.iter().enumerate() {
        let sizes = [8 << 20, 16 << 20, resource.size / 2 / BLOCK * BLOCK];
        let wanted = sizes.into_iter().filter(|size| *size < resource.size && *size >= 8 << 20);
        edits.extend(wanted.map(|size| Edit::Size(at, size)));
    }
    edits
}

/// Work that is less than this.
fn lighter(io: &Io) -> Vec<Io> {
    let mut all = Vec::new();
    let mut offer = |change: &dyn Fn(&mut Io)| {
        let mut lighter = io.clone();
        change(&mut lighter);
        if lighter != *io {
            all.push(lighter);
        }
    };
    offer(&|io| io.discard = 0);
    offer(&|io| io.flush = 0);
    offer(&|io| io.read = 0);
    offer(&|io| io.block = (BLOCK, BLOCK));
    offer(&|io| io.depth = 1);
    offer(&|io| io.depth = (io.depth / 2).max(1));
    // 0 is as much as can be.
    offer(&|io| io.rate = if io.rate == 0 || io.rate > 10 { 10 } else { io.rate });
    offer(&|io| io.rate = if io.rate == 0 { 100 } else { (io.rate / 2).max(1) });
    for span in [64 << 10, 256 << 10, 1 << 20] {
        offer(&|io| {
            if io.span == 0 || io.span > span {
                io.span = span.max(io.block.1);
            }
        });
    }
    all
}

fn defaults(plan: &Scenario) -> Vec<Edit> {
    let parts =
        ["requires", "master", "ha", "clocks", "loss", "latency", "disk", "boot-time", "ids"];
    let mut edits: Vec<_> = parts.into_iter().map(Edit::Default).collect();
    for (at, resource) in plan.resource.iter().enumerate() {
        edits.extend(resource.options.keys().map(|name| Edit::Option(at, name.clone())));
    }
    edits
}

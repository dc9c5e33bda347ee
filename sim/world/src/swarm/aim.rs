//! Aimed faults: they strike when a state changes, not when a clock says so.
//!
//! Most bugs of a replication engine live in a window of a millisecond: between the generations'
//! comparison and the connection, between a new current UUID and its arrival, between data and the
//! metadata that speaks of it. Random times hit such a window once in thousands of runs. An aimed
//! fault is a step that waits for an event ([`scenarios::Event`]) and strikes within a millisecond
//! after it: plain data of the plan, which prints, shrinks and replays as any step does.
//!
//! What such a fault needs is that the event comes at all, so most of them come in a chain: a fault
//! at a time that chance draws, then one that is aimed at what follows from it (`link-down`,
//! `quorum-lost`, a new current UUID) or at its undoing (`link-up`, `resync-starts`, `booted`).
//! Steps of the chain are optional: an event that does not come is no failure.

use super::SECOND;
use super::events::{Plan, lasts};
use super::family::Family;
use models::{Luck, Span};
use scenarios::{Condition, Do, Event, Fact, Step, When};

/// A plan has aimed faults with this chance.
const HAS: u32 = 550_000;
/// Longest time from the event to the fault.
const WITHIN: u64 = 1_000_000;

/// Events that come by themselves, and how often they may be waited for.
const FREE: [(Event, u64); 5] = [
    (Event::Opening, 3),
    (Event::Promoted, 3),
    (Event::NewCurrentUuid, 4),
    (Event::MetadataWrite, 300),
    (Event::Demoted, 2),
];
/// Events that follow from a fault.
const DOWN: [(Event, u64); 6] = [
    (Event::LinkDown, 3),
    (Event::NewCurrentUuid, 2),
    (Event::QuorumLost, 2),
    (Event::Suspended, 1),
    (Event::MetadataWrite, 20),
    (Event::Promoted, 1),
];
/// Events that follow from its undoing.
const BACK: [(Event, u64); 9] = [
    (Event::LinkUp, 3),
    (Event::Handshake, 3),
    (Event::Connected, 3),
    (Event::ResyncStarts, 2),
    (Event::ResyncEnds, 2),
    (Event::QuorumBack, 2),
    (Event::Booted, 1),
    (Event::MetadataWrite, 30),
    (Event::NewCurrentUuid, 2),
];

/// Ways to strike.
const STRIKES: [&str; 9] = [
    "power-off",
    "crash",
    "freeze",
    "isolate",
    "isolate",
    "cut",
    "one-way-cut",
    "shutdown",
    "move",
];

/// Adds chains of aimed faults. Where the plan breaks a disk as well, only what the budget allows
/// beside that is aimed, and `chosen` loses what would not be allowed beside aimed faults.
pub(super) fn draw(luck: &Luck, family: Family, plan: &mut Plan, chosen: &mut Vec<&str>) {
    let mut which = luck.fork("which");
    if !which.chance(HAS) || plan.victims.is_empty() {
        return;
    }
    let breaks_disk = chosen.iter().any(|kind| matches!(*kind, "disk-error" | "disk-silent"));
    let mut aim = Aim { number: 0, victims: plan.victims.clone(), disk: false };
    let has_copy = plan.scenario.resource[0].diskful.contains(&plan.weak_disk);
    if family == Family::Disk && which.coin() && has_copy {
        // Nobody knows when the disk breaks: nothing but its own host may fail at any time.
        aim.disk = true;
        plan.broken.push((0, u64::MAX, false));
        chosen.retain(|kind| !matches!(*kind, "disk-error" | "disk-silent"));
    }
    if aim.disk || breaks_disk && !plan.unbound {
        if !plan.victims.contains(&plan.weak_disk) {
            return;
        }
        chosen.retain(|kind| *kind != "disk-silent");
        aim.victims = vec![plan.weak_disk.clone()];
    }
    let mut luck = luck.fork("chains");
    let mean = Span::secs([15, 30, 60][luck.below(3) as usize]);
    let mut at = 2 * SECOND + luck.exponential(mean).0;
    if luck.below(3) == 0 {
        aim.chain(plan, None, &mut luck);
    }
    while at < plan.end {
        aim.chain(plan, Some(at), &mut luck);
        at += SECOND + luck.exponential(mean).0;
    }
}

struct Aim {
    /// Chains so far: ids.
    number: u32,
    /// Hosts that may be struck.
    victims: Vec<String>,
    /// The weak disk fails at the events.
    disk: bool,
}

impl Aim {
    /// A fault at this time, and one that is aimed at what follows; without a time only the latter.
    fn chain(&mut self, plan: &mut Plan, at: Option<u64>, luck: &mut Luck) {
        self.number += 1;
        let name = format!("aim-{}", self.number);
        let (mut after, mut first) = (None, None);
        let mut events: &[(Event, u64)] = &FREE;
        if let Some(at) = at {
            let host = luck.pick(&self.victims).cloned().unwrap_or_default();
            let to = at + lasts(luck);
            if to >= plan.end || !plan.may_fall(&host, at, to) {
                return;
            }
            self.base(plan, &name, &host, (at, to), luck);
            let back = luck.below(3) > 0;
            events = if back { &BACK } else { &DOWN };
            after = Some(format!("{name}-{}", if back { "back" } else { "base" }));
            first = Some(host);
        }
        for shot in 1..=[1, 1, 1, 2, 3][luck.below(5) as usize] {
            let id = format!("{name}-{shot}");
            let when = self.when(plan, events, (after, first.as_ref()), luck);
            after = Some(self.shot(plan, &id, when, luck));
            // What is aimed next follows from the undoing of this one.
            events = &BACK;
        }
    }

    /// The fault that a chain begins with, and its undoing.
    fn base(&self, plan: &mut Plan, name: &str, host: &str, time: (u64, u64), luck: &mut Luck) {
        let kinds = ["power-off", "shutdown", "isolate", "isolate", "freeze", "move"];
        let kind = kinds[luck.below(if plan.quorum { 6 } else { 5 }) as usize];
        if kind == "move" {
            let vm = luck.below(plan.scenario.vm.len().max(1) as u64) as usize;
            for (n, at) in [time.0, time.1].into_iter().enumerate() {
                let homes = plan.homes(vm);
                let to = luck.pick(&homes).cloned();
                for (i, vm) in plan.vms_with(vm).into_iter().enumerate() {
                    let id = format!("{name}-{}", ["base", "back"][n]);
                    let id = (i == 0).then_some(id);
                    let action = Do::MoveVm { vm, to: to.clone() };
                    plan.steps.push(Step { id, ..Step::at(at, action) });
                }
            }
            return;
        }
        let (strike, repair) = struck(kind, host, luck);
        for (end, at, action) in [("base", time.0, strike), ("back", time.1, repair)] {
            plan.steps.push(Step { id: Some(format!("{name}-{end}")), ..Step::at(at, action) });
        }
        plan.outages.push((host.to_owned(), time.0, time.1));
    }

    /// The moment.
    fn when(
        &self,
        plan: &Plan,
        events: &[(Event, u64)],
        (after, first): (Option<String>, Option<&String>),
        luck: &mut Luck,
    ) -> When {
        let (event, most) = events[luck.below(events.len() as u64) as usize];
        // Most often the first one; but the deep ones come later.
        let most = if luck.coin() { most } else { most.min(2) };
        let nth = luck.range(1..=most) as u32;
        let host = match luck.below(5) {
            0 | 1 => first.cloned(),
            2 => None,
            _ => luck.pick(&plan.hosts).cloned(),
        };
        let wait = if luck.below(4) == 0 { 0 } else { luck.range(0..=WITHIN) };
        let fact = Fact::Event { event, resource: None, host, peer: None, nth };
        When { after, that: Some(Condition::new(vec![fact])), wait }
    }

    /// The aimed fault and its undoing; the id of the undoing.
    fn shot(&self, plan: &mut Plan, id: &str, when: When, luck: &mut Luck) -> String {
        let undo = format!("{id}-undo");
        let there = match when.that.as_ref().and_then(|that| that.all.first()) {
            Some(Fact::Event { host, .. }) => host.clone(),
            _ => None,
        };
        // What is half written tells only when the power goes there.
        let writes = when.that.as_ref().is_some_and(awaits_metadata);
        let here = if writes { 4 } else { 3 };
        let there = there.filter(|host| luck.below(5) < here && self.victims.contains(host));
        let host = there.or_else(|| luck.pick(&self.victims).cloned()).unwrap_or_default();
        let lasts = lasts(luck).min(plan.end / 2);
        let of_undo = |action| aimed(&undo, after(id, lasts), action);
        if self.disk {
            let resource = plan.scenario.resource[0].name.clone();
            let (read, write) =
                [(true, true), (true, false), (false, true)][luck.below(3) as usize];
            let (on, of) = (host.clone(), resource.clone());
            plan.steps.push(aimed(id, when, Do::DiskError { host: on, resource: of, read, write }));
            plan.steps.push(of_undo(Do::DiskRepair { host, resource }));
            return undo;
        }
        let kinds = match self.victims.len() < plan.hosts.len() {
            _ if writes && luck.coin() => 2,
            true => 5,
            false => STRIKES.len() as u64,
        };
        match STRIKES[luck.below(kinds) as usize] {
            kind @ ("cut" | "one-way-cut") => {
                let others: Vec<String> =
                    plan.hosts.iter().filter(|h| **h != host).cloned().collect();
                let other = luck.pick(&others).cloned().unwrap_or_default();
                let (from, to) = if luck.coin() { (host, other) } else { (other, host) };
                let (both, network) = (kind == "cut", None);
                let cut = Do::Cut { from: from.clone(), to: to.clone(), network, both };
                plan.steps.push(aimed(id, when, cut));
                plan.steps.push(of_undo(Do::Mend { from, to, network: None, both }));
            }
            "move" if !plan.scenario.vm.is_empty() => self.shot_at_vm(plan, id, when, luck),
            kind => {
                let kind = if kind == "move" { "isolate" } else { kind };
                let (strike, repair) = struck(kind, &host, luck);
                plan.steps.push(aimed(id, when, strike));
                plan.steps.push(of_undo(repair));
                if plan.quorum {
                    restart_vms(plan, id, &host, lasts, luck);
                }
            }
        }
        undo
    }

    /// The VMs of a resource go elsewhere at that moment, and again a little later.
    fn shot_at_vm(&self, plan: &mut Plan, id: &str, when: When, luck: &mut Luck) {
        let vm = luck.below(plan.scenario.vm.len() as u64) as usize;
        let homes = plan.homes(vm);
        let again = luck.range(50..=5_000) * 1_000_000;
        let ends = [(id.to_owned(), when), (format!("{id}-undo"), after(id, again))];
        for (id, when) in ends {
            let to = luck.pick(&homes).cloned();
            for (i, vm) in plan.vms_with(vm).into_iter().enumerate() {
                let action = Do::MoveVm { vm, to: to.clone() };
                let step = Step { id: None, when: when.clone(), action, optional: true };
                match i {
                    0 => plan.steps.push(Step { id: Some(id.clone()), ..step }),
                    _ => plan.steps.push(step),
                }
            }
        }
    }
}

fn awaits_metadata(that: &Condition) -> bool {
    let is = |fact: &Fact| matches!(fact, Fact::Event { event: Event::MetadataWrite, .. });
    that.all.iter().any(is)
}

fn aimed(id: &str, when: When, action: Do) -> Step {
    Step { id: Some(id.to_owned()), when, action, optional: true }
}

fn after(step: &str, wait: u64) -> When {
    When { after: Some(step.to_owned()), that: None, wait }
}

/// A fault of a host and what undoes it.
fn struck(kind: &str, host: &str, luck: &mut Luck) -> (Do, Do) {
    let host = || host.to_owned();
    match kind {
        "power-off" => (Do::PowerOff { host: host() }, Do::Boot { host: host() }),
        "crash" => (Do::Crash { host: host() }, Do::Boot { host: host() }),
        "freeze" => (Do::Freeze { host: host() }, Do::Thaw { host: host() }),
        "shutdown" => {
            let network_first = luck.coin();
            (Do::Shutdown { host: host(), network_first }, Do::Boot { host: host() })
        }
        _ => (
            Do::Isolate { host: host(), network: None },
            Do::Rejoin { host: host(), network: None },
        ),
    }
}

/// Whoever starts VMs again does so after an aimed fault, too.
fn restart_vms(plan: &mut Plan, id: &str, host: &str, lasts: u64, luck: &mut Luck) {
    for vm in 0..plan.scenario.vm.len() {
        let homes = plan.homes(vm);
        let second = plan.scenario.vm[vm].vdi.contains('/');
        if second || !homes.iter().any(|home| home == host) || luck.below(3) == 0 {
            continue;
        }
        let wait = luck.range(1_000..=30_000) * 1_000_000;
        let (to, wait) = match luck.coin() {
            true => (luck.pick(&homes).cloned(), wait),
            false => (Some(host.to_owned()), lasts + wait),
        };
        let wait = wait.min(plan.end);
        for vm in plan.vms_with(vm) {
            let action = Do::MoveVm { vm, to: to.clone() };
            plan.steps.push(Step { id: None, when: after(id, wait), action, optional: true });
        }
    }
}

//! What a plan may do so that a broken promise is a bug and not the plan's own doing. A candidate
//! may break no rule that the plan kept: without a majority two hosts write, with both disks broken
//! data is lost, a host that is never powered on again does not recover, and none of this is what
//! was found.
//!
//! The rules are those that drawn plans keep, see [`crate::swarm`]. Times of steps that wait for
//! something are not known: they count as any time.

use crate::budget::separates;
use crate::check::{io_resumes, resync_finishes};
use scenarios::{Do, Resource, Scenario, Step};
use std::collections::BTreeSet;

const SECOND: u64 = 1_000_000_000;
/// Between the last repair and the end, where recovery is demanded.
const RECOVERY: u64 = 100 * SECOND;
/// A copy is whole again so long after its disk was mended.
const SETTLED: u64 = 40 * SECOND;
/// An outage may still be felt so long after it began.
const FELT: u64 = 140 * SECOND;

/// Something that goes beyond the budget.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rule {
    /// A resource has no quorum.
    WithoutQuorum(String),
    /// A resource has one copy.
    OneCopy(String),
    /// Without quorum, the plan separates hosts that write.
    Separates,
    /// Disks break on more than one host.
    TwoDisks,
    /// While a disk is broken, other copies fail too.
    DiskNotAlone,
    /// Recovery is demanded and something stays broken.
    NotHealed,
    /// Recovery is demanded at once.
    Hasty,
}

/// The rules that a plan breaks.
pub fn broken(plan: &Scenario) -> BTreeSet<Rule> {
    let mut rules = BTreeSet::new();
    let writes = |host: &str| plan.vm.iter().any(|vm| vm.on == host);
    for resource in &plan.resource {
        if !has_quorum(resource) {
            rules.insert(Rule::WithoutQuorum(resource.name.clone()));
            if plan.step.iter().any(|step| separates(&step.action, writes)) {
                rules.insert(Rule::Separates);
            }
        }
        if resource.diskful.len() < 2 {
            rules.insert(Rule::OneCopy(resource.name.clone()));
        }
    }
    disks(plan, &mut rules);
    if demands_recovery(plan) {
        rules.extend((!is_healed(plan)).then_some(Rule::NotHealed));
        rules.extend(is_hasty(plan).then_some(Rule::Hasty));
    }
    rules
}

/// Does the run have to recover? Also a plan that only lists a promise of recovery.
pub(super) fn demands_recovery(plan: &Scenario) -> bool {
    let asks = |name: &String| [io_resumes::NAME, resync_finishes::NAME].contains(&name.as_str());
    plan.heals || plan.promise.iter().any(asks)
}

fn has_quorum(resource: &Resource) -> bool {
    resource.options.get("quorum").is_some_and(|quorum| quorum != "off")
}

/// Times at which a step may strike.
fn time(step: &Step) -> (u64, u64) {
    step.when.time().map_or((0, u64::MAX), |at| (at, at))
}

fn disks(plan: &Scenario, rules: &mut BTreeSet<Rule>) {
    let mut weak: BTreeSet<&String> = BTreeSet::new();
    for (place, step) in plan.step.iter().enumerate() {
        let (host, lies) = match &step.action {
            Do::DiskError { host, .. } | Do::BitRot { host, .. } => (host, false),
            Do::DiskLies { host } => (host, true),
            _ => continue,
        };
        weak.insert(host);
        let mended = plan.step[place..].iter().find(|later| match &later.action {
            Do::DiskRepair { host: mended, .. } => !lies && mended == host,
            Do::DiskHonest { host: mended } => lies && mended == host,
            Do::HealAll => true,
            _ => false,
        });
        let rots = matches!(step.action, Do::BitRot { .. });
        let end = match mended {
            _ if rots => time(step).1.saturating_add(SETTLED),
            Some(mended) => time(mended).1.saturating_add(SETTLED),
            None => u64::MAX,
        };
        let near = |other: &Step| {
            let (first, last) = time(other);
            first <= end && last.saturating_add(FELT) >= time(step).0
        };
        let fails = |other: &Step| match &other.action {
            Do::PowerOff { host: other } | Do::Crash { host: other } => lies || other != host,
            Do::Shutdown { host: other, .. } => lies || other != host,
            Do::Freeze { host: other } | Do::Isolate { host: other, .. } => other != host,
            Do::Cut { .. } | Do::SwitchOff { .. } => true,
            _ => false,
        };
        if plan.step.iter().any(|other| near(other) && fails(other)) {
            rules.insert(Rule::DiskNotAlone);
        }
    }
    if weak.len() > 1 {
        rules.insert(Rule::TwoDisks);
    }
}

/// Steps in the order in which they strike, as far as it is known.
fn in_order(plan: &Scenario) -> Vec<&Step> {
    let mut steps: Vec<&Step> = plan.step.iter().collect();
    steps.sort_by_key(|step| step.when.time().unwrap_or(u64::MAX));
    steps
}

/// Something broken: what, of which host or network, towards which, on which network.
type Open<'a> = (&'static str, &'a str, &'a str, &'a str);

/// Is everything that was broken mended in the end?
fn is_healed(plan: &Scenario) -> bool {
    let mut open: BTreeSet<Open> = BTreeSet::new();
    for step in in_order(plan) {
        match &step.action {
            Do::HealAll => open.clear(),
            // Also what was cut one by one.
            Do::Rejoin { host, network } => {
                let on = on(plan, network.as_deref());
                open.retain(|(what, from, to, network)| {
                    let link = ["alone", "cut"].contains(what) && (from == host || to == host);
                    !(link && on.contains(network))
                });
            }
            action => {
                for (what, broken) in touched(plan, action) {
                    if broken {
                        open.insert(what);
                    } else {
                        open.remove(&what);
                    }
                }
            }
        }
    }
    open.is_empty()
}

/// The networks that a step names: one, or all.
fn on<'a>(plan: &'a Scenario, network: Option<&'a str>) -> Vec<&'a str> {
    network.map_or_else(|| plan.network.keys().map(String::as_str).collect(), |it| vec![it])
}

/// What a step breaks (`true`) or mends.
fn touched<'a>(plan: &'a Scenario, action: &'a Do) -> Vec<(Open<'a>, bool)> {
    let one = |what, of: &'a str, broken| vec![((what, of, "", ""), broken)];
    let links = |what, from: &'a str, to: &'a str, network: &'a Option<String>, broken| {
        let on = on(plan, network.as_deref()).into_iter();
        on.map(move |network| ((what, from, to, network), broken))
    };
    let ways = |from, to, network, both: bool, broken| {
        let back = both.then(|| links("cut", to, from, network, broken));
        links("cut", from, to, network, broken).chain(back.into_iter().flatten()).collect()
    };
    match action {
        Do::PowerOff { host } | Do::Shutdown { host, .. } => one("off", host, true),
        Do::Boot { host } => one("off", host, false),
        Do::Freeze { host } => one("frozen", host, true),
        Do::Thaw { host } => one("frozen", host, false),
        Do::Isolate { host, network } => links("alone", host, "", network, true).collect(),
        Do::Cut { from, to, network, both } => ways(from, to, network, *both, true),
        Do::Mend { from, to, network, both } => ways(from, to, network, *both, false),
        Do::SwitchOff { network } => one("switch", network, true),
        Do::SwitchOn { network } => one("switch", network, false),
        Do::Loss { network, ppm } => {
            one("loss", network, *ppm > plan.network.get(network).map_or(0, |it| it.loss))
        }
        Do::DiskError { host, resource, .. } => vec![(("disk", host, resource, ""), true)],
        Do::DiskRepair { host, resource } => vec![(("disk", host, resource, ""), false)],
        Do::DiskLies { host } => one("lies", host, true),
        Do::DiskHonest { host } => one("lies", host, false),
        Do::MoveVm { vm, to } => one("vm", vm, to.is_none()),
        _ => Vec::new(),
    }
}

/// Is recovery demanded sooner than it can be had? Where the last repair waits for something, that
/// is not known.
fn is_hasty(plan: &Scenario) -> bool {
    let last = |heal: bool| {
        let steps = plan.step.iter().filter(|step| !heal || step.action == Do::HealAll);
        steps.filter_map(|step| step.when.time()).max()
    };
    let waits = plan.step.iter().any(|step| step.when.time().is_none() && !step.optional);
    let healed = match last(true) {
        Some(at) => at,
        None if waits => return false,
        None => last(false).unwrap_or(0),
    };
    plan.horizon < healed.saturating_add(RECOVERY)
}

//! What administrators do meanwhile, in one plan of four: pause a resync, hold I/O for a snapshot,
//! verify, take a link down. With it come options that matter to these alone.
//!
//! What lasts is undone by the same hand; and once more when the plan heals, because the host may
//! have been down or frozen then. Without quorum they only verify and pause resyncs: a link that is
//! taken down may split brain there.

use super::SECOND;
use super::events::{Plan, lasts};
use models::Luck;
use scenarios::{Do, Exit, Resource, Scenario, Step};
use std::collections::BTreeSet;

/// What they do.
const DEEDS: [&str; 4] = ["pause-sync", "suspend-io", "verify", "disconnect"];
/// Kernels run again this long after everything was healed.
const BOOTED: u64 = 15 * SECOND;

/// Does somebody do such things under this seed?
pub(super) fn is_drawn(luck: &Luck) -> bool {
    luck.fork("admin").below(4) == 0
}

/// Options that only matter to them.
pub(super) fn options(luck: &Luck, scenario: &mut Scenario) {
    let mut luck = luck.fork("admin-options");
    let (csums, balanced) = (luck.coin(), luck.coin());
    for resource in &mut scenario.resource {
        let mut set = |name: &str, value: &str| {
            resource.options.insert(name.to_owned(), value.to_owned());
        };
        set("verify-alg", "crc32c");
        if csums {
            set("csums-alg", "crc32c");
        }
        if balanced {
            set("read-balancing", "round-robin");
        }
    }
}

/// Adds their commands to a plan; those that undo what may be left at its end are returned.
pub(super) fn draw(luck: &Luck, plan: &mut Plan) -> Vec<Step> {
    let mut undone = BTreeSet::new();
    let mut which = luck.fork("admin-deeds");
    let harmless = |deed: &&str| plan.quorum || matches!(*deed, "pause-sync" | "verify");
    let deeds: Vec<&str> = DEEDS.into_iter().filter(|_| which.coin()).filter(harmless).collect();
    for deed in deeds {
        let mut luck = luck.fork("admin-deed").fork(deed);
        let mean = [10, 20, 40][luck.below(3) as usize];
        let mut at = 3 * SECOND + luck.exponential(models::Span::secs(mean)).0;
        while at < plan.end {
            if let Some((on, undo)) = strike(plan, deed, at, &mut luck) {
                undone.insert((on, undo));
            }
            at += SECOND + luck.exponential(models::Span::secs(mean)).0;
        }
    }
    let at = plan.end + BOOTED;
    undone.into_iter().map(|(on, command)| Step::at(at, run(on, command))).collect()
}

fn run(on: String, command: String) -> Do {
    Do::Run { on, command, exit: Exit::Any }
}

/// The host and the command that undoes it.
fn strike(plan: &mut Plan, deed: &str, at: u64, luck: &mut Luck) -> Option<(String, String)> {
    let resource = luck.pick(&plan.scenario.resource)?;
    let name = &resource.name;
    let (on, peer) = two(resource, luck);
    let link = format!("{name}:{peer}");
    let (to, short) = (at + lasts(luck), at + luck.range(50..=3_000) * 1_000_000);
    let (does, undoes, until) = match deed {
        "pause-sync" => (format!("pause-sync {link}"), format!("resume-sync {link}"), to),
        "suspend-io" => (format!("suspend-io {name}"), format!("resume-io {name}"), short),
        "disconnect" => (format!("disconnect {link}"), format!("connect {link}"), to),
        _ => {
            plan.add(at, run(on, format!("drbdadm verify {link}")));
            return None;
        }
    };
    let paused = deed == "pause-sync" && plan.quorum && plan.may_fall(&peer, at, until);
    let until = if paused { until.max(part(plan, (&on, &peer), at, luck)) } else { until };
    let undoes = format!("drbdadm {undoes}");
    plan.add(at, run(on.clone(), format!("drbdadm {does}")));
    plan.add(until, run(on.clone(), undoes.clone()));
    Some((on, undoes))
}

/// Cuts a link for a while and returns when it works again: a pause only shows where a resync has
/// to begin meanwhile.
fn part(plan: &mut Plan, ends: (&str, &str), at: u64, luck: &mut Luck) -> u64 {
    let gone = at + luck.range(50..=1_000) * 1_000_000;
    let back = gone + luck.range(500..=3_000) * 1_000_000;
    let (from, to, network, both) = (ends.0.to_owned(), ends.1.to_owned(), None, true);
    plan.add(gone, Do::Cut { from: from.clone(), to: to.clone(), network: None, both });
    plan.add(back, Do::Mend { from, to, network, both });
    back + SECOND
}

/// A node with a copy, and any other.
fn two(resource: &Resource, luck: &mut Luck) -> (String, String) {
    let mut copies = resource.diskful.clone();
    luck.shuffle(&mut copies);
    let on = copies.swap_remove(0);
    copies.extend(resource.tiebreaker.iter().chain(&resource.diskless).cloned());
    let peer = luck.pick(&copies).cloned().unwrap_or_else(|| on.clone());
    (on, peer)
}

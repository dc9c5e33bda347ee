//! Plans beyond the budget: each breaks more than a pool can survive. What may still not happen is
//! checked; what may be lost is not. See [`crate::budget`].

use super::SECOND;
use super::events::{Plan, lasts};
use models::Luck;
use scenarios::Do;

/// Ways to go too far.
const EXCESSES: [&str; 5] =
    ["lies-everywhere", "disks-of-many", "rot-of-many", "clocks", "total-loss"];

/// Adds what is too much, at least one thing that the budget forbids.
pub(super) fn draw(luck: &Luck, plan: &mut Plan) {
    let mut which = luck.fork("which");
    let mut chosen: Vec<&str> = EXCESSES.into_iter().filter(|_| which.chance(300_000)).collect();
    if chosen.is_empty() || chosen == ["total-loss"] {
        // Networks and power may all fail within the budget: alone, that is not too much.
        chosen.push(EXCESSES[which.below(4) as usize]);
    }
    for excess in chosen {
        let mut luck = luck.fork(excess);
        let at = luck.range(5 * SECOND..=(plan.end * 3 / 4).max(6 * SECOND));
        match excess {
            "lies-everywhere" => lies(plan, at, &mut luck),
            "disks-of-many" => errors(plan, at, &mut luck),
            "rot-of-many" => rot(plan, at, &mut luck),
            "clocks" => clocks(plan, at, &mut luck),
            _ => total_loss(plan, at, &mut luck),
        }
    }
}

fn copies(plan: &Plan) -> Vec<String> {
    plan.scenario.resource[0].diskful.clone()
}

/// All disks lie, and some hosts lose power while they do.
fn lies(plan: &mut Plan, at: u64, luck: &mut Luck) {
    let to = at + lasts(luck);
    let mut fell = false;
    for host in copies(plan) {
        plan.add(at, Do::DiskLies { host: host.clone() });
        plan.add(to, Do::DiskHonest { host: host.clone() });
        if luck.coin() || !fell {
            fell = true;
            let off = luck.range(at..=to);
            let back = off + lasts(luck);
            plan.add(off, Do::PowerOff { host: host.clone() });
            plan.add(back, Do::Boot { host: host.clone() });
            plan.outages.push((host, off, back));
        }
    }
}

/// One disk after the other fails and is attached again, in any order.
fn errors(plan: &mut Plan, at: u64, luck: &mut Luck) {
    let resource = plan.scenario.resource[0].name.clone();
    for host in copies(plan) {
        let from = at + luck.range(0..=20_000) * 1_000_000;
        let to = from + lasts(luck);
        let (read, write) = [(true, true), (true, false), (false, true)][luck.below(3) as usize];
        let (on, of) = (host.clone(), resource.clone());
        plan.add(from, Do::DiskError { host: on, resource: of, read, write });
        plan.add(to, Do::DiskRepair { host, resource: resource.clone() });
    }
}

fn rot(plan: &mut Plan, at: u64, luck: &mut Luck) {
    let resource = plan.scenario.resource[0].name.clone();
    for host in copies(plan) {
        let blocks = luck.range(1..=20) as u32;
        plan.add(at, Do::BitRot { host, resource: resource.clone(), blocks });
    }
}

fn clocks(plan: &mut Plan, at: u64, luck: &mut Luck) {
    for host in plan.hosts.clone() {
        let by = luck.range(1..=7_200_000) as i64 * 1_000_000;
        let by = if luck.coin() { by } else { -by };
        plan.add(at + luck.below(10 * SECOND), Do::ClockStep { host, by });
    }
}

/// No packet arrives anywhere, and all hosts lose power.
fn total_loss(plan: &mut Plan, at: u64, luck: &mut Luck) {
    let network = || "storage".to_owned();
    let to = at + lasts(luck);
    let calm = plan.scenario.network["storage"].loss;
    plan.add(at, Do::Loss { network: network(), ppm: 1_000_000 });
    plan.add(to, Do::Loss { network: network(), ppm: calm });
    for host in plan.hosts.clone() {
        let off = at + luck.below(2 * SECOND);
        let back = off + lasts(luck);
        plan.add(off, Do::PowerOff { host: host.clone() });
        plan.add(back, Do::Boot { host: host.clone() });
        plan.outages.push((host, off, back));
    }
}

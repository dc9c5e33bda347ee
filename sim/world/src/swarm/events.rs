//! The plan: which kinds of fault this seed has, how often they strike, and when.

use super::SECOND;
use super::family::Family;
use models::{Luck, Span};
use scenarios::{Do, Scenario, Step};

/// Kinds of fault that a seed may have.
pub(super) const KINDS: &[&str] = &[
    "power-off",
    "crash",
    "freeze",
    "shutdown",
    "isolate",
    "cut",
    "one-way-cut",
    "switch",
    "flap",
    "weather",
    "disk-error",
    "disk-stall",
    "disk-silent",
    "move",
    "in-a-row",
    "dead-peer",
    "absence",
    "hop",
    "chain",
];

/// A seed has each kind with this chance, and the whole pool loses power with the other.
const HAS: u32 = 300_000;
const HAS_OF_FAMILY: u32 = 400_000;
const POOL_POWER: u32 = 120_000;

/// Draws the plan of a scenario whose shape is known.
pub fn draw(luck: &Luck, family: Family, scenario: &mut Scenario) {
    let end = scenario.horizon
        - match (scenario.heals, family) {
            (true, _) => 110 * SECOND,
            (false, Family::Beyond) => 40 * SECOND,
            (false, _) => 5 * SECOND,
        };
    let mut plan = Plan::new(scenario, end);
    plan.unbound = family == Family::Beyond;
    let mut which = luck.fork("kinds");
    let kinds = family.kinds();
    let has = if matches!(family, Family::Mixed | Family::Beyond) { HAS } else { HAS_OF_FAMILY };
    let mut chosen: Vec<&str> = kinds.iter().copied().filter(|_| which.chance(has)).collect();
    let pool_power = which.chance(POOL_POWER);
    if chosen.is_empty() {
        chosen.push(kinds[which.below(kinds.len() as u64) as usize]);
    }
    super::aim::draw(&luck.fork("aim"), family, &mut plan, &mut chosen);
    for kind in chosen {
        let mut luck = luck.fork("kind").fork(kind);
        let mean = Span::secs([10, 20, 40, 80][luck.below(4) as usize]);
        let mut at = 3 * SECOND + luck.exponential(mean).0;
        while at < end {
            plan.strike(kind, at, &mut luck);
            at += SECOND / 10 + luck.exponential(mean).0;
        }
    }
    if pool_power && plan.quorum && !plan.disk_is_aimed() {
        plan.pool_power(&mut luck.fork("pool-power"));
    }
    if family == Family::Beyond {
        super::beyond::draw(&luck.fork("beyond"), &mut plan);
    }
    let undone = match super::admin::is_drawn(luck) {
        true => super::admin::draw(luck, &mut plan),
        false => Vec::new(),
    };
    plan.restart_vms(&mut luck.fork("restart"));
    let mut steps = plan.steps;
    if scenario.heals || family == Family::Beyond {
        steps.push(Step { id: Some("heal".to_owned()), ..Step::at(end, Do::HealAll) });
        steps.extend(undone);
    }
    scenario.step = steps;
}

/// How long a fault lasts: mostly short, because short outages hurt more than long ones.
pub(super) fn lasts(luck: &mut Luck) -> u64 {
    let (low, high) = [
        (500, 3_000),
        (500, 3_000),
        (3_000, 15_000),
        (3_000, 15_000),
        (3_000, 15_000),
        (15_000, 60_000),
        (15_000, 120_000),
    ][luck.below(7) as usize];
    luck.range(low..=high) * 1_000_000
}

pub(super) struct Plan<'a> {
    pub scenario: &'a Scenario,
    pub hosts: Vec<String>,
    /// Hosts that power, kernel and network faults may strike.
    pub victims: Vec<String>,
    /// The one host whose disk may break.
    pub weak_disk: String,
    pub quorum: bool,
    pub end: u64,
    pub steps: Vec<Step>,
    /// The budget does not bind it.
    pub unbound: bool,
    /// When the weak disk is broken: from, to (its copies whole again), and does it lie?
    pub broken: Vec<(u64, u64, bool)>,
    /// Host, from, to: a VM there has stopped working.
    pub outages: Vec<(String, u64, u64)>,
}

impl Plan<'_> {
    pub fn new(scenario: &Scenario, end: u64) -> Plan<'_> {
        let hosts = scenario.pool.hosts.clone();
        let quorum = scenario.resource[0].options.get("quorum").is_some_and(|q| q == "majority");
        let idle = |host: &&String| scenario.vm.iter().all(|vm| vm.on != **host);
        let victims = match quorum {
            true => hosts.clone(),
            false => hosts.iter().rfind(idle).into_iter().cloned().collect(),
        };
        let weak_disk = match quorum {
            true => scenario.resource[0].diskful[0].clone(),
            false => victims.first().cloned().unwrap_or_default(),
        };
        let (steps, broken, outages) = (Vec::new(), Vec::new(), Vec::new());
        let unbound = false;
        Plan { scenario, hosts, victims, weak_disk, quorum, end, steps, unbound, broken, outages }
    }

    pub fn add(&mut self, at: u64, action: Do) {
        if at < self.end {
            self.steps.push(Step::at(at, action));
        }
    }

    /// Is the weak disk whole between these times, or is `host` the one that has it and it may fail
    /// too?
    pub fn may_fall(&self, host: &str, from: u64, to: u64) -> bool {
        self.unbound
            || self.broken.iter().all(|(start, end, lies)| {
                to < *start || from > *end || (host == self.weak_disk && !lies)
            })
    }

    /// Do errors of the weak disk wait for a moment that nobody knows?
    pub fn disk_is_aimed(&self) -> bool {
        self.broken.iter().any(|(_, to, _)| *to == u64::MAX)
    }

    pub fn victim(&self, luck: &mut Luck) -> Option<String> {
        luck.pick(&self.victims).cloned()
    }

    fn strike(&mut self, kind: &str, at: u64, luck: &mut Luck) {
        match kind {
            "power-off" | "crash" | "freeze" | "shutdown" | "isolate" => {
                self.host_fault(kind, at, luck);
            }
            "cut" | "one-way-cut" if self.quorum => self.cut(kind == "cut", at, luck),
            "switch" if self.quorum => {
                let to = at + lasts(luck);
                if self.may_fall("", at, to) {
                    let network = "storage".to_owned();
                    self.add(at, Do::SwitchOff { network: network.clone() });
                    self.add(to, Do::SwitchOn { network });
                }
            }
            "flap" => self.flap(at, luck),
            "weather" => self.weather(at, luck),
            "disk-error" | "disk-silent" => self.break_disk(kind, at, luck),
            "disk-stall" => {
                let host = self.victim(luck);
                let lasts = lasts(luck) / 4;
                if let Some(host) = host {
                    self.add(at, Do::DiskStall { host, lasts });
                }
            }
            "move" if self.quorum => self.move_vm(at, luck),
            "in-a-row" if self.quorum => self.in_a_row(at, luck),
            "dead-peer" if self.quorum => self.dead_peer(at, luck),
            "absence" if self.quorum => self.absence(at, luck),
            "hop" if self.quorum => self.hop(at, luck),
            "chain" if self.quorum => self.chain(at, luck),
            _ => {}
        }
    }

    fn host_fault(&mut self, kind: &str, at: u64, luck: &mut Luck) {
        let (host, to) = (self.victim(luck), at + lasts(luck));
        let Some(host) = host else { return };
        // A host that is down already is struck again now and then, not as a rule.
        let down = self.outages.iter().any(|(h, from, to)| *h == host && *from <= at && at <= *to);
        if !self.may_fall(&host, at, to) || down && luck.below(5) > 0 {
            return;
        }
        let both = |host: &str| (host.to_owned(), host.to_owned());
        let (a, b) = both(&host);
        let (strike, repair) = match kind {
            "power-off" => (Do::PowerOff { host: a }, Some(Do::Boot { host: b })),
            "crash" => (Do::Crash { host: a }, None),
            "freeze" => (Do::Freeze { host: a }, Some(Do::Thaw { host: b })),
            "shutdown" => {
                let network_first = luck.below(3) == 0;
                (Do::Shutdown { host: a, network_first }, Some(Do::Boot { host: b }))
            }
            _ => (
                Do::Isolate { host: a, network: None },
                Some(Do::Rejoin { host: b, network: None }),
            ),
        };
        self.add(at, strike);
        let to = if kind == "crash" { at + 15 * SECOND } else { to };
        if let Some(repair) = repair {
            self.add(to, repair);
        }
        self.outages.push((host, at, to));
    }

    fn cut(&mut self, both_ways: bool, at: u64, luck: &mut Luck) {
        let mut pair = self.hosts.clone();
        luck.shuffle(&mut pair);
        let to = at + lasts(luck);
        if !self.may_fall("", at, to) {
            return;
        }
        let ways = [(0, 1), (1, 0)];
        for (a, b) in ways.into_iter().take(if both_ways { 2 } else { 1 }) {
            let (from, into, network) = (pair[a].clone(), pair[b].clone(), None);
            let both = false;
            self.add(at, Do::Cut { from: from.clone(), to: into.clone(), network: None, both });
            self.add(to, Do::Mend { from, to: into, network, both });
        }
    }

    fn flap(&mut self, at: u64, luck: &mut Luck) {
        let (host, times) = (self.victim(luck), luck.range(2..=6));
        let (down, up) = (luck.range(200..=4_000), luck.range(200..=8_000));
        let to = at + times * (down + up) * 1_000_000;
        let Some(host) = host.filter(|host| self.may_fall(host, at, to)) else { return };
        for n in 0..times {
            let at = at + n * (down + up) * 1_000_000;
            self.add(at, Do::Isolate { host: host.clone(), network: None });
            self.add(at + down * 1_000_000, Do::Rejoin { host: host.clone(), network: None });
        }
    }

    fn weather(&mut self, at: u64, luck: &mut Luck) {
        let network = "storage".to_owned();
        let to = at + lasts(luck);
        let calm = &self.scenario.network["storage"];
        if luck.coin() {
            let (ppm, back) = (luck.range(1_000..=100_000) as u32, calm.loss);
            self.add(at, Do::Loss { network: network.clone(), ppm });
            self.add(to, Do::Loss { network, ppm: back });
        } else {
            let low = luck.range(100..=20_000) * 1_000;
            let (latency, back) = ((low, low * 3), calm.latency);
            self.add(at, Do::Latency { network: network.clone(), latency });
            self.add(to, Do::Latency { network, latency: back });
        }
    }

    /// Do other faults strike the other copies, or a lying disk's own power, between these times?
    fn is_calm(&self, from: u64, to: u64, lies: bool) -> bool {
        if self.unbound {
            return true;
        }
        let near = |at: u64| at <= to && at + 140 * SECOND >= from;
        let mut steps = self.steps.iter().filter(|s| s.when.time().is_none_or(near));
        steps.all(|step| match &step.action {
            Do::PowerOff { host } | Do::Crash { host } | Do::Shutdown { host, .. } => {
                !lies && *host == self.weak_disk
            }
            Do::Freeze { host } | Do::Isolate { host, .. } => *host == self.weak_disk,
            Do::Cut { .. } | Do::SwitchOff { .. } => false,
            _ => true,
        })
    }

    fn break_disk(&mut self, kind: &str, at: u64, luck: &mut Luck) {
        let (to, what, way) = (at + lasts(luck), luck.below(2), luck.below(3));
        let settled = to + 40 * SECOND;
        let lies = kind == "disk-silent" && what == 0;
        let host = self.weak_disk.clone();
        if host.is_empty() || settled >= self.end || !self.is_calm(at, settled, lies) {
            return;
        }
        self.broken.push((at, settled, lies));
        let resource = self.scenario.resource[0].name.clone();
        if !self.scenario.resource[0].diskful.contains(&host) {
            return;
        }
        if kind == "disk-error" {
            let (read, write) = [(true, true), (true, false), (false, true)][way as usize];
            let (on, of) = (host.clone(), resource.clone());
            self.add(at, Do::DiskError { host: on, resource: of, read, write });
            self.add(to, Do::DiskRepair { host, resource });
        } else if lies {
            self.add(at, Do::DiskLies { host: host.clone() });
            self.add(to, Do::DiskHonest { host });
        } else {
            self.add(at, Do::BitRot { host, resource, blocks: 1 + way as u32 * 4 });
        }
    }

    /// Hosts on which a VM can run.
    pub fn homes(&self, vm: usize) -> Vec<String> {
        let vdi = &self.scenario.vm[vm].vdi;
        let name = vdi.split('/').next().unwrap_or_default();
        let resource = self.scenario.resource.iter().find(|r| r.name == name);
        let members = resource.map(|r| r.diskful.iter().chain(&r.tiebreaker).chain(&r.diskless));
        members.into_iter().flatten().cloned().collect()
    }

    /// All VMs of the resource that a VM uses.
    pub fn vms_with(&self, vm: usize) -> Vec<String> {
        let resource = |vdi: &str| vdi.split('/').next().unwrap_or_default().to_owned();
        let wanted = resource(&self.scenario.vm[vm].vdi);
        let with = self.scenario.vm.iter().filter(|vm| resource(&vm.vdi) == wanted);
        with.map(|vm| vm.name.clone()).collect()
    }

    /// All VMs of a resource go to one host: a resource is Primary in one place.
    pub fn move_all(&mut self, at: u64, vm: usize, to: &str) {
        for vm in self.vms_with(vm) {
            self.add(at, Do::MoveVm { vm, to: Some(to.to_owned()) });
        }
    }

    fn move_vm(&mut self, at: u64, luck: &mut Luck) {
        if self.scenario.vm.is_empty() {
            return;
        }
        let vm = luck.below(self.scenario.vm.len() as u64) as usize;
        let homes = self.homes(vm);
        if let Some(to) = luck.pick(&homes).cloned() {
            self.move_all(at, vm, &to);
        }
    }

    /// The mains fail.
    fn pool_power(&mut self, luck: &mut Luck) {
        let at = luck.range(5 * SECOND..=self.end.max(6 * SECOND));
        if !self.is_calm_for_all(at) {
            return;
        }
        for host in self.hosts.clone() {
            let gone = at + luck.below(SECOND / 2);
            let back = gone + luck.range(1_000..=20_000) * 1_000_000;
            self.add(gone, Do::PowerOff { host: host.clone() });
            self.add(back, Do::Boot { host: host.clone() });
            self.outages.push((host, gone, back));
        }
    }

    fn is_calm_for_all(&self, at: u64) -> bool {
        self.broken.iter().all(|(from, to, _)| at + 40 * SECOND < *from || at > *to)
    }

    /// Someone starts the VMs of dead hosts again: elsewhere after a while, or where they were.
    fn restart_vms(&mut self, luck: &mut Luck) {
        if !self.quorum {
            return;
        }
        let mut outages = std::mem::take(&mut self.outages);
        outages.sort_by_key(|(_, from, _)| *from);
        for (host, from, to) in outages {
            for vm in 0..self.scenario.vm.len() {
                let elsewhere = luck.coin();
                let wait = luck.range(1_000..=30_000) * 1_000_000;
                let homes = self.homes(vm);
                let target = luck.pick(&homes).cloned().unwrap_or_default();
                let first = self.scenario.vm[vm].vdi.split('/').nth(1).is_none();
                if !first || !homes.contains(&host) {
                    continue;
                }
                match elsewhere {
                    true => self.move_all(from + wait, vm, &target),
                    false => self.move_all(to + wait, vm, &host),
                }
            }
        }
    }
}

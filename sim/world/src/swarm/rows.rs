//! Rows: short stories that incidents have in common, as faults of a drawn plan. See
//! [`super::family`] for who has them.

use super::SECOND;
use super::events::{Plan, lasts};
use models::Luck;
use scenarios::Do;

/// What takes a host away, and what brings it back.
fn away(kind: u64, host: &str) -> (Do, Do) {
    let host = || host.to_owned();
    match kind {
        0 => (Do::PowerOff { host: host() }, Do::Boot { host: host() }),
        1 => (Do::Shutdown { host: host(), network_first: false }, Do::Boot { host: host() }),
        2 => (Do::Shutdown { host: host(), network_first: true }, Do::Boot { host: host() }),
        3 => (Do::Freeze { host: host() }, Do::Thaw { host: host() }),
        _ => (
            Do::Isolate { host: host(), network: None },
            Do::Rejoin { host: host(), network: None },
        ),
    }
}

/// Does its VM die with it?
fn kills(kind: u64) -> bool {
    kind < 3
}

impl Plan<'_> {
    /// The copies of one of the resources, and the host that its VM starts on.
    fn copies_and_home(&self, luck: &mut Luck) -> (Vec<String>, Option<String>) {
        let resource = &self.scenario.resource;
        let resource = &resource[luck.below(resource.len() as u64) as usize];
        let mut copies = resource.diskful.clone();
        luck.shuffle(&mut copies);
        let vm = self.scenario.vm.iter().find(|vm| vm.vdi.starts_with(&resource.name));
        (copies, vm.map(|vm| vm.on.clone()))
    }

    fn leave(&mut self, host: &str, from: u64, to: u64, kind: u64) {
        let (strike, repair) = away(kind, host);
        self.add(from, strike);
        self.add(to, repair);
        if kills(kind) {
            self.outages.push((host.to_owned(), from, to));
        }
    }

    /// An update reboots one host after the other: nobody waits until the first has caught up.
    pub fn in_a_row(&mut self, at: u64, luck: &mut Luck) {
        let (copies, _) = self.copies_and_home(luck);
        let boot = self.scenario.pool.boot_time.1;
        let mut from = at;
        for host in copies {
            let to = from + luck.range(500..=20_000) * 1_000_000;
            if !self.may_fall("", from, to) {
                return;
            }
            let kind = luck.below(3);
            self.leave(&host, from, to, kind);
            from = to + boot + luck.range(0..=8_000) * 1_000_000;
        }
    }

    /// One copy is away; meanwhile the links between those that are left break for a short time,
    /// and once more when it comes back.
    pub fn dead_peer(&mut self, at: u64, luck: &mut Luck) {
        let (copies, home) = self.copies_and_home(luck);
        let dead = copies.iter().find(|host| Some(*host) != home.as_ref()).cloned();
        let (Some(dead), Some(home)) = (dead, home) else { return };
        let to = at + luck.range(5..=90) * SECOND;
        if !self.may_fall("", at, to + 20 * SECOND) {
            return;
        }
        let kind = [0, 0, 1, 2, 4][luck.below(5) as usize];
        self.leave(&dead, at, to, kind);
        let others: Vec<String> = self.hosts.iter().filter(|h| **h != dead).cloned().collect();
        for n in 0..=luck.below(3) {
            let far = luck.pick(&others).cloned().unwrap_or_default();
            let from = match n {
                0 => to + luck.range(0..=10_000) * 1_000_000,
                _ => luck.range(at..=to),
            };
            let near = if luck.below(4) == 0 { &copies[0] } else { &home };
            if far == *near {
                continue;
            }
            let until = from + luck.range(300..=10_000) * 1_000_000;
            let (both, network) = (luck.below(3) > 0, None);
            let (a, b) = if luck.coin() { (near.clone(), far) } else { (far, near.clone()) };
            let cut = Do::Cut { from: a.clone(), to: b.clone(), network: network.clone(), both };
            self.add(from, cut);
            self.add(until, Do::Mend { from: a, to: b, network, both });
        }
    }

    /// A copy is away for long; while it catches up, it or the one that it learns from goes again.
    pub fn absence(&mut self, at: u64, luck: &mut Luck) {
        let (copies, _) = self.copies_and_home(luck);
        let Some(late) = copies.first().cloned() else { return };
        let to = at + luck.range(10..=60) * SECOND;
        if !self.may_fall("", at, to + 60 * SECOND) {
            return;
        }
        let kind = luck.below(5);
        self.leave(&late, at, to, kind);
        let boot = if kills(kind) { self.scenario.pool.boot_time.0 } else { 0 };
        let mut from = to + boot;
        for _ in 0..luck.range(1..=3) {
            from += luck.range(50..=6_000) * 1_000_000;
            let next = luck.pick(&copies).cloned().unwrap_or_default();
            let until = from + lasts(luck).min(20 * SECOND);
            let kind = luck.below(5);
            self.leave(&next, from, until, kind);
            from = until;
        }
    }

    /// A copy and another one, or the host of the VM, have no link for long: what one does, the
    /// other hears of through a third alone. Meanwhile a host that has links to both is away for a
    /// short time.
    pub fn chain(&mut self, at: u64, luck: &mut Luck) {
        let (copies, home) = self.copies_and_home(luck);
        let to = at + luck.range(20..=120) * SECOND;
        let from = home.filter(|_| luck.coin()).unwrap_or_else(|| copies[0].clone());
        let far = copies.iter().find(|host| **host != from).cloned();
        let Some(far) = far.filter(|_| self.may_fall("", at, to)) else { return };
        let others: Vec<String> =
            self.hosts.iter().filter(|h| **h != from && **h != far).cloned().collect();
        let (both, network) = (true, None);
        let cut = Do::Cut { from: from.clone(), to: far.clone(), network: network.clone(), both };
        self.add(at, cut);
        self.add(to, Do::Mend { from, to: far, network, both });
        let away = at + luck.range(500..=20_000) * 1_000_000;
        let back = away + lasts(luck).min(20 * SECOND);
        if let (Some(between), true) = (luck.pick(&others).cloned(), luck.coin()) {
            let kind = luck.below(5);
            self.leave(&between, away, back, kind);
        }
    }

    /// A VM goes from host to host, faster than anything settles.
    pub fn hop(&mut self, at: u64, luck: &mut Luck) {
        if self.scenario.vm.is_empty() {
            return;
        }
        let vm = luck.below(self.scenario.vm.len() as u64) as usize;
        let homes = self.homes(vm);
        let mut when = at;
        for _ in 0..luck.range(2..=5) {
            if let Some(to) = luck.pick(&homes).cloned() {
                self.move_all(when, vm, &to);
            }
            when += luck.range(50..=3_000) * 1_000_000;
        }
    }
}

//! `drbdsetup events2`: a line for everything that changes, in the order in which the kernel tells
//! it: resource, connections, devices, peer devices, paths.

use super::status::{counters, rates, resync_suspended, statistics};
use super::view::{
    ConnectionView, DeviceView, PathView, PeerDeviceView, ResourceView, address, yes,
};
use drbd::core::event::Ran;
use drbd::ids::NodeId;
use std::fmt::Write;

/// What was asked for.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Asked {
    /// Counters too.
    pub statistics: bool,
    /// Every group of a line, changed or not.
    pub full: bool,
    /// A time before each line.
    pub timestamps: bool,
    /// No more than what is there.
    pub now: bool,
}

/// What the kernel does for its own helper programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Helper {
    pub name: &'static str,
    pub peer: Option<NodeId>,
    pub volume: Option<u16>,
    pub ran: Ran,
}

/// Lines without their time.
pub(crate) struct Printer {
    asked: Asked,
    verb: &'static str,
    lines: Vec<String>,
}

/// What is there.
pub(crate) fn exists(asked: Asked, resources: &[ResourceView]) -> Vec<String> {
    let mut printer = Printer { asked, verb: "exists", lines: Vec::new() };
    for of in resources {
        printer.resource(None, of);
        of.connections.iter().for_each(|c| printer.connection(of, None, c));
        for connection in &of.connections {
            connection.paths.iter().for_each(|p| printer.path(of, connection, None, p));
        }
        of.devices.iter().for_each(|d| printer.device(of, None, d));
        for connection in &of.connections {
            let peers = connection.peer_devices.iter();
            peers.for_each(|p| printer.peer_device(of, connection, None, p));
        }
    }
    printer.lines.push("exists -".to_owned());
    printer.lines
}

/// What is different.
pub(crate) fn changes(
    asked: Asked,
    old: Option<&ResourceView>,
    new: Option<&ResourceView>,
) -> Vec<String> {
    let mut printer = Printer { asked, verb: "create", lines: Vec::new() };
    match (old, new) {
        (old, Some(new)) => printer.changed(old, new),
        (Some(old), None) => printer.destroyed(old),
        (None, None) => {}
    }
    printer.lines
}

/// The line of a helper that is called, the one of its end, or both.
pub(crate) fn helper(of: &ResourceView, helper: Helper) -> Vec<String> {
    let mut about = format!("name:{}", of.name);
    let connection = of.connections.iter().find(|c| Some(c.node) == helper.peer);
    if let Some(connection) = connection {
        let _ = write!(about, " {}", peer(connection));
    }
    if let Some(device) = of.devices.iter().find(|d| Some(d.volume) == helper.volume) {
        let _ = write!(about, " volume:{} minor:{}", device.volume, device.minor);
    }
    let name = helper.name;
    let call = format!("call helper {about} helper:{name}");
    let response = |exit: u8| format!("response helper {about} helper:{name} status:{exit}");
    match helper.ran {
        Ran::Nothing => vec![call, response(0)],
        Ran::Started => vec![call],
        Ran::Exit(exit) => vec![response(exit)],
    }
}

fn peer(connection: &ConnectionView) -> String {
    format!("peer-node-id:{} conn-name:{}", connection.node, connection.name)
}

impl Printer {
    fn changed(&mut self, old: Option<&ResourceView>, new: &ResourceView) {
        self.resource(old, new);
        let was = |c: &ConnectionView| {
            old.and_then(|old| old.connections.iter().find(|other| other.node == c.node))
        };
        for connection in &new.connections {
            self.connection(new, was(connection), connection);
        }
        for device in &new.devices {
            let find = |d: &&DeviceView| d.volume == device.volume;
            let was = old.and_then(|old| old.devices.iter().find(find));
            self.device(new, was, device);
        }
        for connection in &new.connections {
            for peer in &connection.peer_devices {
                let find = |p: &&PeerDeviceView| p.volume == peer.volume;
                let was = was(connection).and_then(|c| c.peer_devices.iter().find(find));
                self.peer_device(new, connection, was, peer);
            }
            for path in &connection.paths {
                let find = |p: &&PathView| p.local == path.local && p.peer == path.peer;
                let was = was(connection).and_then(|c| c.paths.iter().find(find));
                self.path(new, connection, was, path);
            }
        }
    }

    fn destroyed(&mut self, old: &ResourceView) {
        let name = &old.name;
        for connection in &old.connections {
            let peer = peer(connection);
            for path in &connection.paths {
                let (local, there) = (address(path.local), address(path.peer));
                self.lines
                    .push(format!("destroy path name:{name} {peer} local:{local} peer:{there}"));
            }
            self.lines.push(format!("destroy connection name:{name} {peer}"));
        }
        for device in &old.devices {
            self.lines.push(format!("destroy device name:{name} volume:{}", device.volume));
        }
        self.lines.push(format!("destroy resource name:{name}"));
    }

    fn verb(&self, is_new: bool) -> &'static str {
        if is_new { self.verb } else { "change" }
    }

    fn resource(&mut self, old: Option<&ResourceView>, new: &ResourceView) {
        let all = self.asked.full;
        let (may, score) = new.promotion();
        let role = old.is_none_or(|old| old.role != new.role);
        let suspended = old.is_none_or(|old| old.suspended != new.suspended);
        let fails = old.is_none_or(|old| old.fails_io != new.fails_io);
        let promotion = old.is_none_or(|old| old.promotion() != (may, score));
        if !(role || suspended || fails || promotion) {
            return;
        }
        let mut line = format!("{} resource name:{}", self.verb(old.is_none()), new.name);
        if role || all {
            let _ = write!(line, " role:{}", new.role);
        }
        if suspended || all {
            let _ = write!(line, " suspended:{}", new.suspended_for());
        }
        if fails || all {
            let _ = write!(line, " force-io-failures:{}", yes(new.fails_io));
        }
        if all || self.asked.statistics && old.is_none() {
            line += " write-ordering:flush";
        }
        if promotion || all {
            let _ = write!(line, " may_promote:{} promotion_score:{score}", yes(may));
        }
        self.lines.push(line);
    }

    fn connection(
        &mut self,
        of: &ResourceView,
        old: Option<&ConnectionView>,
        new: &ConnectionView,
    ) {
        let all = self.asked.full;
        let state = old.is_none_or(|old| old.state != new.state);
        let role = old.is_none_or(|old| old.role != new.role);
        if !(state || role) {
            return;
        }
        let verb = self.verb(old.is_none());
        let mut line = format!("{verb} connection name:{} {}", of.name, peer(new));
        if state || all {
            let _ = write!(line, " connection:{}", new.state);
        }
        if role || all {
            let _ = write!(line, " role:{}", new.role);
        }
        if all || self.asked.statistics && old.is_none() {
            line += " congested:no ap-in-flight:0 rs-in-flight:0";
        }
        self.lines.push(line);
    }

    fn device(&mut self, of: &ResourceView, old: Option<&DeviceView>, new: &DeviceView) {
        let asked = self.asked;
        let facts = |d: &DeviceView| (d.disk, d.quorum, d.open);
        let state = old.is_none_or(|old| facts(old) != facts(new));
        let counted = asked.statistics && old.is_none_or(|old| statistics(old) != statistics(new));
        if !(state || counted) {
            return;
        }
        let verb = self.verb(old.is_none());
        let (name, volume, minor) = (&of.name, new.volume, new.minor);
        let mut line = format!("{verb} device name:{name} volume:{volume} minor:{minor}");
        if state || asked.full {
            let _ = write!(
                line,
                " backing_dev:{} disk:{} client:{} open:{} quorum:{}",
                new.backing.as_deref().unwrap_or("none"),
                new.disk,
                yes(new.client),
                yes(new.open),
                yes(new.quorum)
            );
        }
        if asked.statistics && (counted || asked.full) {
            for (name, number, _) in statistics(new) {
                let _ = write!(line, " {name}:{number}");
            }
            if old.is_none() || asked.full {
                line += " al-suspended:no";
            }
            if old.is_none() {
                line += " blocked:no";
            }
        }
        self.lines.push(line);
    }

    fn peer_device(
        &mut self,
        of: &ResourceView,
        connection: &ConnectionView,
        old: Option<&PeerDeviceView>,
        new: &PeerDeviceView,
    ) {
        let asked = self.asked;
        let repl = old.is_none_or(|old| old.repl != new.repl);
        let disk = old.is_none_or(|old| old.disk != new.disk || old.client != new.client);
        let paused = old.is_none_or(|old| resync_suspended(old) != resync_suspended(new));
        let percent = |peer: &PeerDeviceView| peer.done().map(|done| format!("{done:.2}"));
        let moved = old.is_none_or(|old| percent(old) != percent(new));
        let counted = asked.statistics && old.is_none_or(|old| counters(old) != counters(new));
        if !(repl || disk || paused || counted || moved && new.sync_total.is_some()) {
            return;
        }
        let verb = self.verb(old.is_none());
        let mut line = format!(
            "{verb} peer-device name:{} {} volume:{}",
            of.name,
            peer(connection),
            new.volume
        );
        if repl || asked.full {
            let _ = write!(line, " replication:{}", new.repl);
        }
        if disk || asked.full {
            let _ = write!(line, " peer-disk:{} peer-client:{}", new.disk, yes(new.client));
        }
        if paused || asked.full {
            let _ = write!(line, " resync-suspended:{}", resync_suspended(new));
        }
        if let Some(done) = percent(new) {
            let _ = write!(line, " done:{done}");
        }
        if asked.statistics {
            for (name, number) in counters(new) {
                let _ = write!(line, " {name}:{number}");
            }
            for (name, text) in rates(new) {
                let _ = write!(line, " {name}:{text}");
            }
        }
        self.lines.push(line);
    }

    fn path(
        &mut self,
        of: &ResourceView,
        connection: &ConnectionView,
        old: Option<&PathView>,
        new: &PathView,
    ) {
        if old.is_some_and(|old| old.established == new.established) {
            return;
        }
        self.lines.push(format!(
            "{} path name:{} {} local:{} peer:{} established:{}",
            self.verb(old.is_none()),
            of.name,
            peer(connection),
            address(new.local),
            address(new.peer),
            yes(new.established)
        ));
    }
}

/// Simulated time as `--timestamps` writes it: nanoseconds of the run since the day that it began.
pub(crate) fn timestamp(ns: u64) -> String {
    let us = ns / 1_000;
    let (seconds, us) = (us / 1_000_000, us % 1_000_000);
    let (day, rest) = (1 + seconds / 86_400, seconds % 86_400);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("2026-01-{day:02}T{hour:02}:{minute:02}:{second:02}.{us:06}+00:00 ")
}

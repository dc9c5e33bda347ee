//! Two modelled hosts with one resource, driven by the steps of a script: what a guest's kernel
//! does for its transcript, the engine does here.

use crate::policies;
use drbd::core::Resource;
use drbd::core::config::{Config, PeerConfig, PeerDeviceOptions, VolumeConfig};
use drbd::core::event::{Command, CommandId, Event, Notice, Refusal, Request, RequestId, one};
use drbd::ids::{NodeId, Uuid, VolumeNumber};
use drbd::page::Page;
use drbd::quirks::Quirks;
use images::script::{Script, asks};
use kernel::{Host, HostConfig, Out, Region, SlotConfig, SlotPeer, What, Wire};
use models::disk::{Disk, Profile};
use models::net::{Net, NetworkSettings};
use models::{Luck, SimTime, Span};
use scenarios::Condition;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A condition that does not hold by then never will.
const PATIENCE: Span = Span::secs(120);
const V: VolumeNumber = VolumeNumber(0);
/// The generation that both copies begin with.
const FIRST: Uuid = Uuid(0x1111_0000_0000_0000);
/// A number option of a script in DRBD's unit.
type Unit = u64;

/// A field and its new value, in the words of `events2`.
pub type Change = (&'static str, String);

/// The hosts and what they told.
pub struct Pair {
    now: SimTime,
    net: Net<Wire>,
    hosts: Vec<Host>,
    /// What each host told since it was asked last.
    pub told: Vec<Vec<Change>>,
    replies: BTreeMap<(usize, CommandId), Result<(), Refusal>>,
    done: BTreeMap<(usize, RequestId), bool>,
    serial: u64,
    blocks: u64,
    /// Hosts whose resource was taken down.
    down: BTreeSet<usize>,
}

fn id(host: usize) -> NodeId {
    NodeId::new(host as u8).expect("a node id")
}

fn ip(host: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 9, 0, host as u8 + 1))
}

fn config(script: &Script, own: usize) -> Config {
    let hosts = &script.scenario.pool.hosts;
    let option = |name: &str, default: Unit| {
        script.net.get(name).and_then(|value| value.parse().ok()).unwrap_or(default)
    };
    let peer = 1 - own;
    let resource = &script.scenario.resource[0];
    Config {
        volumes: vec![VolumeConfig { size: resource.size / 4096, diskful: true }],
        peers: vec![PeerConfig { node: id(peer), name: hosts[peer].clone(), diskful: true }],
        // 8.4 knows neither quorum nor auto-promote.
        auto_promote: false,
        ping_int_ms: option("ping-int", 10) * 1_000,
        ping_timeout_ms: option("ping-timeout", 5) * 100,
        timeout_ms: option("timeout", 60) * 100,
        max_peers: 1,
        peer_device: pace(script),
        verify_alg: script.net.get("verify-alg").cloned(),
        after_sb: policies::read(&script.net),
        ..Config::new(&resource.name, id(own))
    }
}

/// A script's options of resyncs: numbers, rates with `k`.
fn pace(script: &Script) -> PeerDeviceOptions {
    let mut options = PeerDeviceOptions::default();
    for (name, value) in &script.disk {
        if let Ok(number) = value.trim_end_matches('k').parse() {
            options.set(name, number);
        }
    }
    options
}

impl Pair {
    /// Both hosts without power; their copies as the script wants them.
    pub fn new(script: &Script) -> Pair {
        let luck = Luck::root(1);
        let mut net = Net::new(luck.fork("net"));
        let network = net.add_network(NetworkSettings::default());
        let mut hosts = Vec::new();
        for own in 0..2 {
            let config = config(script, own);
            let len = Resource::lower_blocks(config.volumes[0].size, config.max_peers);
            let host = net.add_host();
            net.add_nic(host, network, 0, ip(own));
            let at = |host| SocketAddr::new(ip(host), 7789);
            let slot = SlotConfig {
                minor: 0,
                config: config.clone(),
                regions: vec![Some(Region::new(0, len))],
                listen: at(own),
                peers: vec![SlotPeer { node: id(1 - own), address: at(1 - own) }],
            };
            let disk = Disk::new(luck.fork_n("disk", own as u64), Profile::nvme(len));
            let settings = HostConfig {
                name: script.scenario.pool.hosts[own].clone(),
                net: host,
                boot_time: Span::secs(3)..=Span::secs(3),
                luck: luck.fork_n("host", own as u64),
                quirks: Quirks::default(),
            };
            let mut host = Host::new(settings, disk, None, vec![slot], &[vec![FIRST]]);
            if script.fresh {
                for (start, pages) in Resource::create_md(&config, V, len, None) {
                    for (block, page) in (start..).zip(pages.iter()) {
                        host.disk_mut().poke(block, page.clone());
                    }
                }
            }
            hosts.push(host);
        }
        Pair {
            now: SimTime::ZERO,
            net,
            hosts,
            told: vec![Vec::new(), Vec::new()],
            replies: BTreeMap::new(),
            done: BTreeMap::new(),
            serial: 0,
            down: BTreeSet::new(),
            blocks: script.scenario.resource[0].size / 4096,
        }
    }

    // ---- time ----

    /// The next thing happens, if there is one until `end`.
    fn step(&mut self, end: SimTime) -> bool {
        let hosts = self.hosts.iter().map(Host::next_due).min().unwrap_or(SimTime::FAR);
        let due = self.net.next_due().unwrap_or(SimTime::FAR).min(hosts);
        if due > end {
            self.now = self.now.max(end);
            return false;
        }
        self.now = self.now.max(due);
        let mut events = Vec::new();
        self.net.run_due(self.now, &mut events);
        for event in events {
            let at = usize::from(event.host.0);
            self.on_host(at, |host, now, net, out| host.on_net(now, event, net, out));
        }
        for at in 0..self.hosts.len() {
            if self.hosts[at].next_due() <= self.now {
                self.on_host(at, |host, now, net, out| host.run_due(now, net, out));
            }
        }
        true
    }

    fn on_host<T>(
        &mut self,
        at: usize,
        act: impl FnOnce(&mut Host, SimTime, &mut Net<Wire>, &mut Vec<Out>) -> T,
    ) -> T {
        let mut out = Vec::new();
        let result = act(&mut self.hosts[at], self.now, &mut self.net, &mut out);
        for out in out {
            match out.what {
                What::Notice(notice) => self.told[at].extend(change(&notice)),
                What::Reply(id, result) => {
                    self.replies.insert((at, id), result);
                }
                What::Complete { id, result, .. } => {
                    self.done.insert((at, id), result.is_ok());
                }
                _ => {}
            }
        }
        result
    }

    /// For so long.
    pub fn run(&mut self, span: Span) {
        let end = self.now + span;
        while self.step(end) {}
    }

    /// Until it holds; false if it never does.
    fn until(&mut self, holds: impl Fn(&Pair) -> bool) -> bool {
        let end = self.now + PATIENCE;
        while !holds(self) {
            if !self.step(end) {
                return false;
            }
        }
        true
    }

    /// Until a script's condition holds; what is missing if it never does.
    pub fn wait_for(&mut self, script: &Script, condition: &Condition) -> Result<(), String> {
        let asked = asks(condition).map_err(|error| error.to_string())?;
        let hosts = &script.scenario.pool.hosts;
        let missing = |pair: &Pair| {
            asked.iter().find_map(|(host, field, words)| {
                let at = hosts.iter().position(|known| known == host)?;
                let is = pair.rest(at).remove(*field).unwrap_or_default();
                let fits = words.contains(&is);
                (!fits).then(|| format!("{field} of {host} is {is:?}, not {words:?}"))
            })
        };
        if self.until(|pair| missing(pair).is_none()) {
            return Ok(());
        }
        Err(missing(self).unwrap_or_default())
    }

    // ---- power, cables, disks ----

    /// Power, kernel and `drbdadm up` at once.
    pub fn up(&mut self, at: usize) {
        self.on_host(at, |host, now, net, out| host.start(now, net, out));
    }

    /// The plug is pulled.
    pub fn power_off(&mut self, at: usize) {
        self.on_host(at, |host, now, net, _| host.power_off(now, net));
    }

    /// Does the host have the resource?
    pub fn is_on(&self, at: usize) -> bool {
        self.hosts[at].engine(0).is_some() && !self.down.contains(&at)
    }

    /// Packets of one direction are lost, or no longer.
    pub fn cable(&mut self, from: usize, to: usize, cut: bool) {
        if cut {
            self.net.cut(ip(from), ip(to));
        } else {
            self.net.heal(ip(from), ip(to));
        }
    }

    /// Requests to the disk of a host fail, or no longer.
    pub fn disk_errors(&mut self, at: usize, read: bool, write: bool) {
        self.hosts[at].set_failing(0, read, write);
    }

    // ---- commands ----

    /// A command of `drbdadm` by its words; none if the engine has no such command.
    pub fn drbdadm(&mut self, at: usize, words: &[&str]) -> Option<Result<(), Refusal>> {
        let peer = id(1 - at);
        let lower = Resource::lower_blocks(self.blocks, 1);
        let command = match words {
            ["up", _] => {
                self.up(at);
                return Some(Ok(()));
            }
            ["primary", _] => Command::Primary(false),
            ["primary", "--force", _] => Command::Primary(true),
            ["secondary", _] => Command::Secondary(false),
            ["connect", _] => Command::Connect(peer),
            ["connect", "--discard-my-data", _] => Command::ConnectDiscarding(peer),
            ["disconnect", _] => Command::Disconnect(peer, false),
            ["attach", _] => Command::Attach(V, lower),
            ["detach", _] => Command::Detach(V, false),
            ["outdate", _] => Command::Outdate(V),
            ["invalidate", _] => Command::Invalidate(V, None),
            ["invalidate-remote", _] => Command::InvalidateRemote(V, peer),
            ["verify", _] => Command::Verify { volume: V, node: peer, start: None, stop: None },
            ["down", _] => Command::Down,
            _ => return None,
        };
        let id = CommandId(self.next());
        let down = command == Command::Down;
        self.event(at, Event::Command(id, command));
        let result = self.reply(at, id);
        if down && result.is_ok() {
            self.down.insert(at);
        }
        Some(result)
    }

    /// A command of `drbdadm` while a program has the device open for reading.
    pub fn while_open(&mut self, at: usize, words: &[&str]) -> Option<Result<(), Refusal>> {
        let open = CommandId(self.next());
        self.event(at, Event::Open(open, V, false));
        let opened = self.reply(at, open);
        let result = self.drbdadm(at, words);
        self.event(at, Event::Close(V, false));
        opened.map_or_else(|refusal| Some(Err(refusal)), |()| result)
    }

    fn next(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn event(&mut self, at: usize, event: Event) {
        self.on_host(at, |host, now, net, out| host.application(now, 0, event, net, out));
    }

    fn reply(&mut self, at: usize, id: CommandId) -> Result<(), Refusal> {
        self.until(|pair| pair.replies.contains_key(&(at, id)));
        // A resource that is not there answers nobody.
        self.replies.remove(&(at, id)).unwrap_or(Err(Refusal::NeedConnection))
    }

    /// `fill DEVICE FIRST COUNT STAMP`; did every write succeed?
    pub fn fill(&mut self, at: usize, device: &str, first: u64, count: u64, stamp: u64) -> bool {
        if device != "/dev/drbd0" {
            return (first..first + count)
                .all(|block| self.hosts[at].rot(0, 0, block, Page::Stamp(stamp)));
        }
        let open = CommandId(self.next());
        self.event(at, Event::Open(open, V, true));
        if self.reply(at, open).is_err() {
            return false;
        }
        let good = (first..first + count).all(|start| {
            let id = RequestId(self.next());
            let payload = one(Page::Stamp(stamp));
            let request = Request::Write { start, payload, fua: true };
            self.event(at, Event::Submit(V, id, request));
            self.until(|pair| pair.done.contains_key(&(at, id)));
            self.done.remove(&(at, id)).unwrap_or(false)
        });
        self.event(at, Event::Close(V, true));
        good
    }

    // ---- what can be seen ----

    /// Every field of a host, as a transcript's `rest`; empty without the resource.
    pub fn rest(&self, at: usize) -> BTreeMap<String, String> {
        let engine = self.hosts[at].engine(0).filter(|_| self.is_on(at));
        let Some(engine) = engine else { return BTreeMap::new() };
        let (conn, role) = engine.peer(id(1 - at));
        let volume = engine.volume(V).expect("the volume");
        let peer = &volume.peers[0];
        let fields = [
            ("role", engine.role().to_string()),
            ("connection", conn.to_string()),
            ("peer-role", role.to_string()),
            ("disk", volume.disk.to_string()),
            ("peer-disk", peer.disk.to_string()),
            ("replication", peer.repl.to_string()),
            ("out-of-sync", (peer.out_of_sync * 4).to_string()),
        ];
        fields.into_iter().map(|(field, value)| (field.to_owned(), value)).collect()
    }

    /// The data that a host's copy holds.
    pub fn bytes(&self, at: usize) -> Vec<u8> {
        let page = |block| self.hosts[at].peek(0, 0, block).unwrap_or_default();
        (0..self.blocks).flat_map(|block| page(block).bytes()).collect()
    }
}

/// What a notice changes, if it is of what transcripts keep.
fn change(notice: &Notice) -> Option<Change> {
    Some(match notice {
        Notice::Role(role) => ("role", role.to_string()),
        Notice::Disk(_, disk) => ("disk", disk.to_string()),
        Notice::Connection(_, conn) => ("connection", conn.to_string()),
        Notice::PeerRole(_, role) => ("peer-role", role.to_string()),
        Notice::Repl(_, _, repl) => ("replication", repl.to_string()),
        Notice::PeerDisk(_, _, disk) => ("peer-disk", disk.to_string()),
        _ => return None,
    })
}

//! Three hosts with one resource, told what to do line by line: `> alpha drbdadm status vol-a`.

use drbd::core::Resource;
use drbd::core::config::{Config, PeerConfig, Quorum, VolumeConfig};
use drbd::ids::{NodeId, Uuid, VolumeNumber};
use drbd::page::Page;
use drbd::quirks::Quirks;
use kernel::{
    Host, HostConfig, Out, Region, ResFile, ResHost, SlotConfig, SlotPeer, What, Wire, lower_path,
};
use models::disk::{Disk, Profile};
use models::net::{HostId, Net, NetworkSettings};
use models::{Luck, SimTime, Span};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

pub const HOSTS: [&str; 3] = ["alpha", "bravo", "charlie"];
const PORT: u16 = 7_000;
/// 4 KiB blocks of the volume.
const BLOCKS: u64 = 4_096;
const MINOR: u32 = 1_000;
/// A command that runs longer is left behind.
const LONG: Span = Span::secs(30);

fn ip(host: usize) -> IpAddr {
    IpAddr::from([10, 0, 0, host as u8 + 1])
}

fn node(host: usize) -> NodeId {
    NodeId::new(host as u8).unwrap()
}

/// alpha and bravo have disks, charlie has none.
fn diskful(host: usize) -> bool {
    host < 2
}

fn config(own: usize) -> Config {
    let mut config = Config::new("vol-a", node(own));
    config.volumes = vec![VolumeConfig { size: BLOCKS, diskful: diskful(own) }];
    config.quorum = Quorum::Majority;
    for peer in (0..HOSTS.len()).filter(|peer| *peer != own) {
        let name = HOSTS[peer].to_owned();
        config.peers.push(PeerConfig { node: node(peer), name, diskful: diskful(peer) });
    }
    config
}

fn res_file(own: usize) -> ResFile {
    let host = |host: usize| ResHost {
        name: HOSTS[host].to_owned(),
        node: host as u8,
        address: SocketAddr::new(ip(host), PORT),
        disks: diskful(host).then(|| lower_path("vol-a", 0)).into_iter().collect(),
    };
    ResFile {
        name: "vol-a".to_owned(),
        options: BTreeMap::from([("quorum".to_owned(), "majority".to_owned())]),
        minor: MINOR,
        volumes: 1,
        own: host(own),
        peers: (0..HOSTS.len()).filter(|peer| *peer != own).map(host).collect(),
    }
}

fn host(own: usize, id: HostId) -> Host {
    let config = config(own);
    let len = Resource::lower_blocks(BLOCKS, config.max_peers);
    let region = diskful(own).then_some(Region::new(0, len));
    let peers = config.peers.iter().map(|peer| SlotPeer {
        node: peer.node,
        address: SocketAddr::new(ip(peer.node.index()), PORT),
    });
    let slot = SlotConfig {
        regions: vec![region],
        listen: SocketAddr::new(ip(own), PORT),
        peers: peers.collect(),
        minor: MINOR,
        config,
    };
    let disk: Disk<Page> = Disk::new(Luck::root(own as u64), Profile::nvme(len));
    let made = HostConfig {
        name: HOSTS[own].to_owned(),
        net: id,
        boot_time: Span::secs(5)..=Span::secs(5),
        luck: Luck::root(own as u64),
        quirks: Quirks::default(),
    };
    let mut host = Host::new(made, disk, None, vec![slot], &[vec![Uuid(0x1234_5678_9abc_def0)]]);
    let include = "include \"drbd.d/*.res\";\n".to_owned();
    host.files_mut().insert("/etc/drbd.conf".to_owned(), include);
    let text = kernel::res::res_file(&res_file(own));
    host.files_mut().insert("/etc/drbd.d/vol-a.res".to_owned(), text);
    host
}

/// How a command ended and what it said.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Said {
    pub out: String,
    pub err: String,
    pub code: Option<u8>,
}

pub struct Pool {
    pub net: Net<Wire>,
    pub hosts: Vec<Host>,
    pub now: SimTime,
    pub said: BTreeMap<u64, Said>,
    next: u64,
}

impl Pool {
    /// All hosts up and running for ten seconds.
    pub fn new() -> Pool {
        let mut net = Net::new(Luck::root(1));
        let network = net.add_network(NetworkSettings::default());
        let mut hosts = Vec::new();
        for own in 0..HOSTS.len() {
            let id = net.add_host();
            net.add_nic(id, network, 0, ip(own));
            hosts.push(host(own, id));
        }
        let mut pool = Pool { net, hosts, now: SimTime(0), said: BTreeMap::new(), next: 0 };
        for own in 0..HOSTS.len() {
            let mut outs = Vec::new();
            pool.hosts[own].start(pool.now, &mut pool.net, &mut outs);
        }
        pool.run(Span::secs(10));
        pool
    }

    fn heard(&mut self, outs: Vec<Out>) {
        for out in outs {
            match out.what {
                What::Printed { id, error, text } => {
                    let said = self.said.entry(id).or_default();
                    let into = if error { &mut said.err } else { &mut said.out };
                    *into += &text;
                }
                What::Exited { id, code } => self.said.entry(id).or_default().code = Some(code),
                _ => {}
            }
        }
    }

    pub fn run(&mut self, span: Span) {
        let end = self.now + span;
        self.run_while(end, |_| true);
    }

    fn run_while(&mut self, end: SimTime, go_on: impl Fn(&Pool) -> bool) {
        while go_on(self) {
            let hosts = self.hosts.iter().map(Host::next_due).min().unwrap();
            let due = self.net.next_due().unwrap_or(SimTime::FAR).min(hosts);
            if due > end {
                self.now = end;
                return;
            }
            self.now = due.max(self.now);
            let mut events = Vec::new();
            self.net.run_due(self.now, &mut events);
            let mut outs = Vec::new();
            for event in events {
                let host = usize::from(event.host.0);
                self.hosts[host].on_net(self.now, event, &mut self.net, &mut outs);
            }
            for host in &mut self.hosts {
                host.run_due(self.now, &mut self.net, &mut outs);
            }
            self.heard(outs);
        }
    }

    /// Starts a command.
    pub fn start(&mut self, host: usize, line: &str) -> u64 {
        self.next += 1;
        let argv = kernel::commands::split(line).unwrap();
        let mut outs = Vec::new();
        self.hosts[host].exec(self.now, self.next, &argv, &mut outs);
        self.said.insert(self.next, Said::default());
        self.heard(outs);
        self.next
    }

    /// Runs a command to its end, or for a long time.
    pub fn exec(&mut self, host: usize, line: &str) -> Said {
        let id = self.start(host, line);
        let end = self.now + LONG;
        self.run_while(end, |pool| pool.said[&id].code.is_none());
        self.said[&id].clone()
    }

    /// Application writes of so many blocks to volume 0, one by one.
    pub fn write(&mut self, host: usize, blocks: u64) {
        use drbd::core::event::{Event, Request, RequestId, one};
        let mut outs = Vec::new();
        let volume = VolumeNumber(0);
        let open = Event::Open(drbd::core::event::CommandId(7), volume, true);
        let now = self.now;
        self.hosts[host].application(now, 0, open, &mut self.net, &mut outs);
        self.heard(outs);
        self.run(Span::secs(1));
        for block in 0..blocks {
            let payload = one(Page::Zero);
            let request = Request::Write { start: block, payload, fua: false };
            let submit = Event::Submit(volume, RequestId(block), request);
            let mut outs = Vec::new();
            let now = self.now;
            self.hosts[host].application(now, 0, submit, &mut self.net, &mut outs);
            self.heard(outs);
            self.run(Span::ms(1));
        }
        let mut outs = Vec::new();
        let close = Event::Close(volume, true);
        let now = self.now;
        self.hosts[host].application(now, 0, close, &mut self.net, &mut outs);
        self.heard(outs);
        self.run(Span::secs(1));
    }

    /// Cuts or mends all between two hosts.
    pub fn cut(&mut self, a: usize, b: usize, cut: bool) {
        for (from, to) in [(a, b), (b, a)] {
            match cut {
                true => self.net.cut(ip(from), ip(to)),
                false => self.net.heal(ip(from), ip(to)),
            }
        }
    }
}

/// Tells a story anew: its lines with `>` are orders, whatever stands between is the answer.
pub fn retold(story: &str) -> String {
    let mut pool = Pool::new();
    let mut streams: BTreeMap<String, (u64, usize)> = BTreeMap::new();
    let mut out = String::new();
    for line in story.lines() {
        if line.starts_with("## ") {
            let _ = writeln!(out, "{line}");
        }
        let Some(order) = line.strip_prefix("> ") else { continue };
        let _ = writeln!(out, "{line}");
        let words: Vec<&str> = order.split(' ').collect();
        let at = |name: &str| HOSTS.iter().position(|host| *host == name).unwrap();
        match words[..] {
            ["wait", seconds] => pool.run(Span::secs(seconds.parse().unwrap())),
            ["wait-ms", ms] => pool.run(Span::ms(ms.parse().unwrap())),
            ["cut", a, b] => pool.cut(at(a), at(b), true),
            ["mend", a, b] => pool.cut(at(a), at(b), false),
            ["write", host, blocks] => pool.write(at(host), blocks.parse().unwrap()),
            ["stream", name, host, ..] => {
                let id = pool.start(at(host), &words[3..].join(" "));
                streams.insert(name.to_owned(), (id, 0));
            }
            ["read", name] => {
                let (id, told) = streams.get_mut(name).unwrap();
                let text = &pool.said[id].out;
                out += &text[*told..];
                *told = text.len();
            }
            ["kill", name] => {
                let (id, _) = streams[name];
                pool.hosts.iter_mut().for_each(|host| host.kill_command(id));
            }
            [host, ..] => {
                let said = pool.exec(at(host), &words[1..].join(" "));
                out += &said.out;
                said.err.lines().for_each(|line| {
                    let _ = writeln!(out, "E {line}");
                });
                match said.code {
                    Some(0) => {}
                    Some(code) => {
                        let _ = writeln!(out, "exit {code}");
                    }
                    None => out += "still runs\n",
                }
            }
            [] => {}
        }
    }
    out
}

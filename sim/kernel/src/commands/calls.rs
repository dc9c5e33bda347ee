//! The calls that drbdadm makes for a resource: which options of the files they carry, in which
//! order.

use super::drbdadm::{Call, Item};
use crate::res::{Address, Config, Host, MetaDisk, Opt, Resource, Section, Volume, find};

/// A resource as seen from one of its hosts.
#[derive(Clone, Copy)]
pub(crate) struct Us<'a> {
    pub config: &'a Config,
    pub resource: &'a Resource,
    pub own: &'a Host,
}

/// Words of a command line.
pub(crate) fn words(all: &[&str]) -> Vec<String> {
    all.iter().map(|word| (*word).to_owned()).collect()
}

fn inherit(own: &[Opt], from: &[Opt]) -> Vec<Opt> {
    // Each one is put in front, as the tool does it.
    let mut all = own.to_vec();
    for opt in from {
        if !all.iter().any(|known| known.name == opt.name) {
            all.insert(0, opt.clone());
        }
    }
    all
}

fn flags(options: &[Opt]) -> Vec<String> {
    let text = |opt: &Opt| format!("--{}={}", opt.name, opt.value.as_deref().unwrap_or("yes"));
    options.iter().map(text).collect()
}

fn of_peer_device(opt: &Opt) -> bool {
    find(Section::Disk, &opt.name).is_some_and(|known| known.of_peer_device)
}

impl<'a> Us<'a> {
    fn common(&self, section: Section) -> &'a [Opt] {
        self.config.common.as_ref().map_or(&[], |common| common.of(section))
    }

    /// Options of the resource, those of `common` included.
    fn inherited(&self, section: Section) -> Vec<Opt> {
        inherit(self.resource.sections.of(section), self.common(section))
    }

    /// Peers that this host has a connection to, in the order of the file.
    pub fn peers(&self) -> Vec<&'a Host> {
        let resource = self.resource;
        let others = resource.hosts.iter().filter(|host| host.name() != self.own.name());
        others.filter(|host| self.joins(host)).collect()
    }

    /// Does a connection, written or implied, join this host and a peer?
    fn joins(&self, peer: &Host) -> bool {
        let (own, peer) = (self.own.name(), peer.name());
        let named = |hosts: &mut dyn Iterator<Item = &String>| {
            let hosts: Vec<&String> = hosts.collect();
            hosts.iter().any(|h| *h == own) && hosts.iter().any(|h| *h == peer)
        };
        let resource = self.resource;
        if resource.connections.is_empty() && resource.meshes.is_empty() {
            return resource.hosts.len() == 2;
        }
        let mut paths = resource.connections.iter().flat_map(|connection| &connection.paths);
        paths.any(|ends| named(&mut ends.iter().map(|end| &end.host)))
            || resource.meshes.iter().any(|mesh| named(&mut mesh.hosts.iter()))
    }

    /// Options that the connection to a peer has of its own.
    fn towards(&self, peer: &Host, section: Section) -> Vec<Opt> {
        let (own, peer) = (self.own.name(), peer.name());
        let joins = |connection: &&crate::res::Connection| {
            connection.paths.iter().any(|path| {
                path.iter().any(|end| end.host == own) && path.iter().any(|end| end.host == peer)
            })
        };
        if let Some(direct) = self.resource.connections.iter().find(joins) {
            return direct.sections.of(section).to_vec();
        }
        let has = |name: &str, hosts: &[String]| hosts.iter().any(|host| host == name);
        let mut mesh = self.resource.meshes.iter();
        let mesh = mesh.find(|mesh| has(own, &mesh.hosts) && has(peer, &mesh.hosts));
        // What a mesh says is handed to each of its connections, the last first.
        mesh.map_or(Vec::new(), |mesh| mesh.sections.of(section).iter().rev().cloned().collect())
    }

    /// Has a host a disk for any volume?
    pub fn has_disk(&self, host: &Host) -> bool {
        self.resource.volumes_of(host).iter().any(|volume| volume.lower().is_some())
    }

    pub fn call(&self, argv: Vec<String>) -> Call {
        let prepares = ["new-resource", "new-minor", "new-peer", "new-path", "apply-al"];
        let needed = argv.iter().any(|word| prepares.contains(&word.as_str()));
        Call { argv, resource: self.resource.name.clone(), needed, otherwise: None }
    }

    pub fn item(&self, mut argv: Vec<String>, options: &[String]) -> Item {
        argv.extend(options.iter().cloned());
        Item::Call(self.call(argv))
    }

    pub fn item_or(&self, argv: Vec<String>, options: &[String], other: Vec<String>) -> Item {
        match self.item(argv, options) {
            Item::Call(call) => Item::Call(Call { otherwise: Some(other), ..call }),
            item => item,
        }
    }

    pub fn resource_options(&self) -> Vec<String> {
        flags(&self.inherited(Section::Options))
    }

    pub fn new_resource(&self) -> Vec<String> {
        let node = self.own.node.unwrap_or(0).to_string();
        let mut argv = words(&["drbdsetup", "new-resource", &self.resource.name, &node]);
        argv.extend(self.resource_options());
        argv
    }

    pub fn new_minor(&self, volume: &Volume) -> Vec<String> {
        let (minor, number) = (volume.minor.unwrap_or(0).to_string(), volume.number.to_string());
        let mut argv = words(&["drbdsetup", "new-minor", &self.resource.name, &minor, &number]);
        if volume.lower().is_none() {
            argv.push("--diskless".to_owned());
        }
        argv
    }

    pub fn net_options(&self, peer: &Host) -> Vec<String> {
        let all = inherit(&self.towards(peer, Section::Net), &self.inherited(Section::Net));
        let mut argv = flags(&all);
        argv.insert(0, format!("--_name={}", peer.name()));
        argv
    }

    pub fn new_peer(&self, peer: &Host) -> Vec<String> {
        let node = peer.node.unwrap_or(0).to_string();
        let mut argv = words(&["drbdsetup", "new-peer", &self.resource.name, &node]);
        argv.extend(self.net_options(peer));
        argv
    }

    pub fn new_paths(&self, peer: &Host) -> Vec<Vec<String>> {
        let node = peer.node.unwrap_or(0).to_string();
        let argv = |(own, there): (Address, Address)| {
            let (own, there) = (shown(&own), shown(&there));
            words(&["drbdsetup", "new-path", &self.resource.name, &node, &own, &there])
        };
        self.addresses(peer).into_iter().map(argv).collect()
    }

    /// Both ends of each path to a peer.
    fn addresses(&self, peer: &Host) -> Vec<(Address, Address)> {
        let at = |path: &[crate::res::End], host: &Host| {
            let end = path.iter().find(|end| end.host == host.name());
            end.and_then(|end| end.address.clone()).or_else(|| host.address.clone())
        };
        let names = |path: &&Vec<crate::res::End>| {
            [self.own, peer].iter().all(|host| path.iter().any(|end| end.host == host.name()))
        };
        let paths = self.resource.connections.iter().flat_map(|connection| &connection.paths);
        let written: Vec<(Address, Address)> = paths
            .filter(names)
            .filter_map(|path| Some((at(path, self.own)?, at(path, peer)?)))
            .collect();
        match (written.is_empty(), &self.own.address, &peer.address) {
            (true, Some(own), Some(there)) => vec![(own.clone(), there.clone())],
            _ => written,
        }
    }

    pub fn disk_options(&self, volume: &Volume) -> Vec<String> {
        let all = inherit(volume.options.of(Section::Disk), &self.inherited(Section::Disk));
        flags(&all.into_iter().filter(|opt| !of_peer_device(opt)).collect::<Vec<_>>())
    }

    pub fn peer_device_options(&self, volume: &Volume, peer: &Host) -> Vec<String> {
        let volumes = inherit(volume.options.of(Section::Disk), &self.inherited(Section::Disk));
        let all = inherit(&self.towards(peer, Section::Disk), &volumes);
        let mut argv = flags(&all.into_iter().filter(of_peer_device).collect::<Vec<_>>());
        let there = self.resource.volumes_of(peer);
        let bare = |v: &Volume| v.number == volume.number && v.lower().is_none();
        let said = argv.iter().any(|option| option.starts_with("--bitmap="));
        if there.iter().any(bare) && !said {
            argv.push("--bitmap=no".to_owned());
        }
        argv
    }

    pub fn meta_device<'v>(&self, volume: &'v Volume) -> &'v str {
        match &volume.meta_disk {
            Some(MetaDisk::Device(device) | MetaDisk::Indexed(device, _)) => device,
            _ => volume.lower().unwrap_or("none"),
        }
    }

    pub fn drbdmeta(&self, volume: &Volume, options: &[String], action: &str) -> Vec<String> {
        let minor = volume.minor.unwrap_or(0).to_string();
        let index = meta_index(volume);
        let mut argv = words(&["drbdmeta", &minor, "v09", self.meta_device(volume), &index]);
        argv.extend(options.iter().cloned());
        argv.push(action.to_owned());
        argv
    }

    pub fn attach(&self, volume: &Volume) -> Vec<Call> {
        let Some(lower) = volume.lower() else { return Vec::new() };
        let minor = volume.minor.unwrap_or(0).to_string();
        let index = meta_index(volume);
        let meta = self.meta_device(volume);
        let mut argv = words(&["drbdsetup", "attach", &minor, lower, meta, &index]);
        argv.extend(self.disk_options(volume));
        vec![self.call(self.drbdmeta(volume, &[], "apply-al")), self.call(argv)]
    }

    /// `up`; `adjust` of what is not there says `--set-defaults` besides.
    pub fn up(&self, volumes: &[Volume], adjusts: bool) -> Vec<Call> {
        let name = self.resource.name.as_str();
        let peers = self.peers();
        let mut all = vec![self.call(self.new_resource())];
        all.extend(volumes.iter().map(|volume| self.call(self.new_minor(volume))));
        all.extend(peers.iter().map(|peer| self.call(self.new_peer(peer))));
        for peer in &peers {
            all.extend(self.new_paths(peer).into_iter().map(|argv| self.call(argv)));
        }
        for peer in &peers {
            let node = peer.node.unwrap_or(0).to_string();
            for volume in volumes {
                let options = self.peer_device_options(volume, peer);
                if options.is_empty() {
                    continue;
                }
                let number = volume.number.to_string();
                let mut argv = words(&["drbdsetup", "peer-device-options", name, &node, &number]);
                argv.extend(adjusts.then(|| "--set-defaults".to_owned()));
                argv.extend(options);
                all.push(self.call(argv));
            }
        }
        all.extend(volumes.iter().flat_map(|volume| self.attach(volume)));
        for peer in &peers {
            let node = peer.node.unwrap_or(0).to_string();
            all.push(self.call(words(&["drbdsetup", "connect", name, &node])));
        }
        all
    }
}

fn meta_index(volume: &Volume) -> String {
    match &volume.meta_disk {
        Some(MetaDisk::Indexed(_, index)) => index.to_string(),
        Some(MetaDisk::Device(_)) => "flexible".to_owned(),
        _ => "internal".to_owned(),
    }
}

fn shown(address: &Address) -> String {
    let Address { family, host, port } = address;
    match family.as_str() {
        "ipv6" => format!("ipv6:[{host}]:{port}"),
        _ => format!("{family}:{host}:{port}"),
    }
}

/// Calls for one peer.
pub(crate) fn of_peer(command: &str, us: Us, peer: &Host, options: &[String]) -> Vec<Item> {
    let name = us.resource.name.as_str();
    let node = peer.node.unwrap_or(0).to_string();
    match command {
        "new-peer" => vec![us.item(us.new_peer(peer), options)],
        "new-path" => us.new_paths(peer).into_iter().map(|argv| us.item(argv, options)).collect(),
        "net-options" => {
            let mut argv = words(&["drbdsetup", command, name, &node]);
            argv.extend(us.net_options(peer));
            vec![us.item(argv, options)]
        }
        _ => vec![us.item(words(&["drbdsetup", command, name, &node]), options)],
    }
}

/// The call for one volume towards one peer.
pub(crate) fn for_peer_device(
    command: &str,
    us: Us,
    volume: &Volume,
    peer: &Host,
    options: &[String],
) -> Item {
    let name = us.resource.name.as_str();
    let (node, number) = (peer.node.unwrap_or(0).to_string(), volume.number.to_string());
    let mut argv = words(&["drbdsetup", command, name, &node, &number]);
    match command {
        "peer-device-options" => argv.extend(us.peer_device_options(volume, peer)),
        "get-gi" | "show-gi" => {
            let other = us.drbdmeta(volume, &[format!("--node-id={node}")], command);
            return us.item_or(argv, options, other);
        }
        _ => {}
    }
    us.item(argv, options)
}

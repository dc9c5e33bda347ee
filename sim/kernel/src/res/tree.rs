//! What `.res` files say, in the order in which they say it.

use super::options::Section;
use std::collections::BTreeMap;

/// One option as written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opt {
    /// Its name.
    pub name: String,
    /// Its value; a flag may have none, which is `yes`.
    pub value: Option<String>,
}

/// Options by section; a section that is there may be empty.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Sections {
    /// With the line of the section.
    pub all: BTreeMap<Section, (u32, Vec<Opt>)>,
}

impl Sections {
    /// Options of a section, none if it is not there.
    pub fn of(&self, section: Section) -> &[Opt] {
        self.all.get(&section).map_or(&[], |(_, all)| all.as_slice())
    }
}

/// `meta-disk`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MetaDisk {
    /// `internal`.
    Internal,
    /// A device of its own.
    Device(String),
    /// Part of a device of its own.
    Indexed(String, u32),
}

/// A volume on a host.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Volume {
    /// Its number.
    pub number: u16,
    /// It has a `volume` section of its own; otherwise it is volume 0, written right in the host.
    pub explicit: bool,
    /// Name of the device, where it is not `/dev/drbdMINOR`.
    pub device: Option<String>,
    /// `device minor`.
    pub minor: Option<u32>,
    /// `disk`; `none` is a volume without a disk.
    pub disk: Option<String>,
    /// `meta-disk`.
    pub meta_disk: Option<MetaDisk>,
    /// `disk` section.
    pub options: Sections,
}

impl Volume {
    /// Path of the lower device; `None` without one.
    pub fn lower(&self) -> Option<&str> {
        self.disk.as_deref().filter(|disk| *disk != "none")
    }
}

/// `address`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    /// `ipv4`, `ipv6`, …
    pub family: String,
    /// Without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// `on HOST …` or `floating ADDRESS …`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    /// Names; a floating host has none.
    pub names: Vec<String>,
    /// It is known by its address.
    pub floating: bool,
    /// `node-id`.
    pub node: Option<u8>,
    /// `address`.
    pub address: Option<Address>,
    /// Volumes in order of their number.
    pub volumes: Vec<Volume>,
    /// Where it begins.
    pub line: u32,
}

impl Host {
    /// What it is called elsewhere in the file.
    pub fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }
}

/// An end of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct End {
    /// Host.
    pub host: String,
    /// Its address there, if it is not the host's own.
    pub address: Option<Address>,
}

/// `connection { … }`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Connection {
    /// Name, seldom given.
    pub name: Option<String>,
    /// Paths, each with its two ends.
    pub paths: Vec<Vec<End>>,
    /// Its ends were written in `path` sections.
    pub explicit_paths: bool,
    /// `net` and `disk` sections.
    pub sections: Sections,
    /// `volume N { disk { … } }`.
    pub volumes: Vec<(u16, Sections)>,
    /// Where it begins.
    pub line: u32,
}

/// `connection-mesh { … }`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mesh {
    /// `hosts`.
    pub hosts: Vec<String>,
    /// `net` section.
    pub sections: Sections,
    /// Where it begins.
    pub line: u32,
}

/// `resource NAME { … }`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resource {
    /// Name.
    pub name: String,
    /// File that defines it.
    pub file: String,
    /// Line on which it begins.
    pub line: u32,
    /// Volumes for all hosts.
    pub volumes: Vec<Volume>,
    /// Hosts, in order.
    pub hosts: Vec<Host>,
    /// Connections, in order.
    pub connections: Vec<Connection>,
    /// Meshes, in order.
    pub meshes: Vec<Mesh>,
    /// Options.
    pub sections: Sections,
}

impl Resource {
    /// The host of that name.
    pub fn host(&self, name: &str) -> Option<&Host> {
        self.hosts.iter().find(|host| host.names.iter().any(|n| n == name))
    }

    /// Volumes of a host: its own, completed by what the resource says for all.
    pub fn volumes_of(&self, host: &Host) -> Vec<Volume> {
        let mut all: BTreeMap<u16, Volume> =
            self.volumes.iter().map(|volume| (volume.number, volume.clone())).collect();
        for own in &host.volumes {
            let volume = all.entry(own.number).or_insert_with(|| own.clone());
            volume.device = own.device.clone().or(volume.device.take());
            volume.minor = own.minor.or(volume.minor);
            volume.disk = own.disk.clone().or(volume.disk.take());
            volume.meta_disk = own.meta_disk.clone().or(volume.meta_disk.take());
            volume.options.all.extend(own.options.all.clone());
        }
        all.into_values().collect()
    }
}

/// All files together.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Config {
    /// The file that was read first.
    pub file: String,
    /// The line on which it ends.
    pub last_line: u32,
    /// `global`, if it is there.
    pub global: Option<Vec<Opt>>,
    /// `common`, if it is there.
    pub common: Option<Sections>,
    /// Resources, in order.
    pub resources: Vec<Resource>,
}

impl Config {
    /// The resource of that name.
    pub fn resource(&self, name: &str) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.name == name)
    }
}

//! A `.res` file as LINSTOR's satellite writes it: the own host first, a connection to each peer,
//! lower devices of others not told.

use super::options::{Section, find};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;

/// What LINSTOR writes for the disk of another host.
const NOT_OURS: &str = "/dev/drbd/this/is/not/used";

/// A resource as one host gets it.
#[derive(Clone, Debug)]
pub struct ResFile {
    /// Resource.
    pub name: String,
    /// DRBD's options by name, of any section; what no section knows is left out.
    pub options: BTreeMap<String, String>,
    /// Minor of volume 0; the others follow.
    pub minor: u32,
    /// How many volumes.
    pub volumes: u16,
    /// The host that the file is for.
    pub own: ResHost,
    /// The others.
    pub peers: Vec<ResHost>,
}

/// A host of it.
#[derive(Clone, Debug)]
pub struct ResHost {
    /// Its name.
    pub name: String,
    /// Its node id.
    pub node: u8,
    /// Where it listens.
    pub address: SocketAddr,
    /// Lower devices by volume; none without disks.
    pub disks: Vec<String>,
}

/// The text of the file.
pub fn res_file(file: &ResFile) -> String {
    let mut out = format!("# This file was generated for {}.\n\n", file.own.name);
    let _ = writeln!(out, "resource \"{}\"\n{{", file.name);
    for section in [Section::Options, Section::Net, Section::Disk, Section::Handlers] {
        let known = |name: &str| find(section, name).is_some();
        let all: Vec<_> = file.options.iter().filter(|(name, _)| known(name)).collect();
        if all.is_empty() {
            continue;
        }
        let _ = writeln!(out, "    {}\n    {{", section.keyword());
        for (name, value) in all {
            let quote = if section == Section::Handlers { "\"" } else { "" };
            let _ = writeln!(out, "        {name} {quote}{value}{quote};");
        }
        out += "    }\n\n";
    }
    on(&mut out, file, &file.own, true);
    for peer in &file.peers {
        on(&mut out, file, peer, false);
    }
    for peer in &file.peers {
        out += "    connection\n    {\n";
        for host in [&file.own, peer] {
            let family = if host.address.is_ipv4() { "ipv4" } else { "ipv6" };
            let (name, address) = (&host.name, host.address);
            let _ = writeln!(out, "        host \"{name}\" address {family} {address};");
        }
        out += "    }\n\n";
    }
    out += "}\n";
    out
}

fn on(out: &mut String, file: &ResFile, host: &ResHost, own: bool) {
    let _ = writeln!(out, "    on \"{}\"\n    {{", host.name);
    for number in 0..file.volumes {
        let disk = match host.disks.get(usize::from(number)) {
            Some(disk) if own => disk.as_str(),
            Some(_) => NOT_OURS,
            None => "none",
        };
        let minor = file.minor + u32::from(number);
        let _ = writeln!(
            out,
            "        volume {number}\n        {{\n            disk        {disk};\n            \
             meta-disk   internal;\n            device      minor {minor};\n        }}"
        );
    }
    let _ = writeln!(out, "        node-id    {};\n    }}\n", host.node);
}

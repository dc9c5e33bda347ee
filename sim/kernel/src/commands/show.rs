//! `drbdsetup show`: the configuration that the kernel runs with.

use super::view::{Options, ResourceView};
use crate::res::Section;
use std::fmt::Write;
use std::net::SocketAddr;

/// One resource.
pub(crate) fn show(of: &ResourceView) -> String {
    let mut out = format!("resource \"{}\" {{\n", of.name);
    options(&mut out, 4, Section::Options, &of.options);
    let _ = write!(out, "    _this_host {{\n        node-id\t\t\t{};\n", of.node);
    for device in &of.devices {
        let _ = writeln!(out, "        volume {} {{", device.volume);
        let _ = writeln!(out, "            device\t\t\tminor {};", device.minor);
        match &device.backing {
            Some(path) => {
                let _ = write!(
                    out,
                    "            disk\t\t\t\"{path}\";\n            meta-disk\t\t\tinternal;\n"
                );
            }
            None if device.client => out += "            disk\t\t\tnone;\n",
            None => {}
        }
        options(&mut out, 12, Section::Disk, &device.options);
        out += "        }\n";
    }
    out += "    }\n";
    for connection in &of.connections {
        out += "    connection {\n";
        let _ = writeln!(out, "        _peer_node_id {};", connection.node);
        for path in &connection.paths {
            let (local, peer) = (shown(path.local), shown(path.peer));
            let _ = write!(
                out,
                "        path {{\n            _this_host {local};\n            _remote_host \
                 {peer};\n        }}\n"
            );
        }
        let _ = writeln!(out, "        _cstate {};", connection.state);
        let mut all = connection.options.clone();
        all.push(("_name".to_owned(), connection.name.clone()));
        options(&mut out, 8, Section::Net, &all);
        for peer in connection.peer_devices.iter().filter(|peer| !peer.options.is_empty()) {
            let _ = writeln!(out, "        volume {} {{", peer.volume);
            options(&mut out, 12, Section::Disk, &peer.options);
            out += "        }\n";
        }
        out += "    }\n";
    }
    out + "}\n\n"
}

fn shown(address: SocketAddr) -> String {
    if address.is_ipv4() { format!("ipv4 {address}") } else { format!("ipv6 {address}") }
}

/// Options in the tool's own order; texts between quotes.
fn options(out: &mut String, depth: usize, section: Section, given: &Options) {
    let mut all: Vec<(usize, bool, &str, &str)> = given
        .iter()
        .filter_map(|(name, value)| {
            let (place, quoted) = crate::res::place(section, name)?;
            Some((place, quoted, name.as_str(), value.as_str()))
        })
        .collect();
    if all.is_empty() {
        return;
    }
    all.sort_unstable();
    let _ = writeln!(out, "{:depth$}{} {{", "", section.keyword());
    for (_, quoted, name, value) in all {
        let quote = if quoted { "\"" } else { "" };
        let inside = depth + 4;
        let _ = writeln!(out, "{:inside$}{name:<16}\t{quote}{value}{quote};", "");
    }
    let _ = writeln!(out, "{:depth$}}}", "");
}

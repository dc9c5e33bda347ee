//! What `drbdadm dump` prints.

use super::options::Section;
use super::tree::{Address, Config, Connection, Host, MetaDisk, Opt, Resource, Sections, Volume};
use std::fmt::Write;

/// Columns up to which the name of an option is padded, at whatever depth it stands.
const NAME: usize = 24;

/// Everything, as `drbdadm dump` without a resource prints it on this host.
pub fn dump_all(config: &Config, host: &str) -> String {
    let mut out = format!("# {}\n", config.file);
    if let Some(global) = &config.global {
        out += "global {\n";
        // The others only matter to the tool itself.
        for name in ["disable-ip-verification", "minor-count", "dialog-refresh", "usage-count"] {
            for opt in global.iter().filter(|opt| opt.name == name) {
                match &opt.value {
                    Some(value) if name != "dialog-refresh" || value != "1" => {
                        let _ = writeln!(out, "    {name} {value};");
                    }
                    Some(_) => {}
                    None => {
                        let _ = writeln!(out, "    {name};");
                    }
                }
            }
        }
        out += "}\n\n";
    }
    if let Some(common) = config.common.as_ref().filter(|c| !c.all.is_empty()) {
        out += "common {\n";
        sections(&mut out, 4, common);
        out += "}\n\n";
    }
    for resource in &config.resources {
        out += &dump(resource, host);
    }
    out
}

/// One resource.
pub fn dump(resource: &Resource, host: &str) -> String {
    let ours = if resource.host(host).is_some() { "not ignored" } else { "ignored" };
    let mut out = format!(
        "# resource {0} on {host}: {ours}, not stacked\n# defined at {1}:{2}\nresource {0} {{\n",
        escaped(&resource.name),
        resource.file,
        resource.line
    );
    for shared in &resource.volumes {
        volume(&mut out, 4, shared);
    }
    for host in &resource.hosts {
        dump_host(&mut out, host);
    }
    for of in &resource.connections {
        connection(&mut out, of);
    }
    for mesh in &resource.meshes {
        let _ = writeln!(out, "    connection-mesh {{\n        hosts {};", mesh.hosts.join(" "));
        section(&mut out, 8, Section::Net, &mesh.sections);
        out += "    }\n";
    }
    sections(&mut out, 4, &resource.sections);
    out += "}\n\n";
    out
}

/// A word, between quotes where drbdadm puts them.
fn escaped(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "./-_".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let mut out = "\"".to_owned();
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

fn dump_host(out: &mut String, host: &Host) {
    match (&host.address, host.floating) {
        (Some(address), true) => {
            let _ = writeln!(out, "    floating         {} {{", shown(address));
        }
        _ => {
            let names: Vec<String> = host.names.iter().map(|name| escaped(name)).collect();
            let _ = writeln!(out, "    on {} {{", names.join(" "));
        }
    }
    if let Some(node) = host.node {
        let _ = writeln!(out, "        node-id {node};");
    }
    for of in &host.volumes {
        volume(out, 8, of);
    }
    if let Some(address) = host.address.as_ref().filter(|_| !host.floating) {
        let _ = writeln!(out, "        address          {};", shown(address));
    }
    out.push_str("    }\n");
}

fn shown(address: &Address) -> String {
    let Address { family, host, port } = address;
    match family.as_str() {
        "ipv6" => format!("ipv6 [{host}]:{port}"),
        _ => format!("{family} {host}:{port}"),
    }
}

/// `name value;` in the columns of a depth.
fn line(out: &mut String, depth: usize, name: &str, value: &str) {
    let width = NAME.saturating_sub(depth);
    let _ = writeln!(out, "{:depth$}{name:<width$} {value};", "");
}

fn volume(out: &mut String, depth: usize, volume: &Volume) {
    let inside = if volume.explicit { depth + 4 } else { depth };
    if volume.explicit {
        let _ = writeln!(out, "{:depth$}volume {} {{", "", volume.number);
    }
    section(out, inside, Section::Disk, &volume.options);
    if let Some(minor) = volume.minor {
        let device = match &volume.device {
            Some(device) => format!("{} minor {minor}", escaped(device)),
            None => format!("minor {minor}"),
        };
        line(out, inside, "device", &device);
    }
    if let Some(disk) = &volume.disk {
        line(out, inside, "disk", &escaped(disk));
    }
    match &volume.meta_disk {
        Some(MetaDisk::Internal) => line(out, inside, "meta-disk", "internal"),
        Some(MetaDisk::Device(device)) => {
            let _ = writeln!(out, "{:inside$}meta-disk        {};", "", escaped(device));
        }
        Some(MetaDisk::Indexed(device, index)) => {
            let device = escaped(device);
            let _ = writeln!(out, "{:inside$}meta-disk        {device} [{index}];", "");
        }
        None => {}
    }
    if volume.explicit {
        let _ = writeln!(out, "{:depth$}}}", "");
    }
}

fn connection(out: &mut String, connection: &Connection) {
    match &connection.name {
        Some(name) => {
            let _ = writeln!(out, "    connection {} {{", escaped(name));
        }
        None => out.push_str("    connection {\n"),
    }
    let depth = if connection.explicit_paths { 12 } else { 8 };
    for ends in &connection.paths {
        if connection.explicit_paths {
            out.push_str("        path {\n");
        }
        for end in ends {
            let _ = match &end.address {
                Some(address) => {
                    let address = shown(address);
                    let (host, pad) = (&end.host, "");
                    writeln!(out, "{pad:depth$}host {host} {pad:depth$}address         {address};")
                }
                None => writeln!(out, "{:depth$}host {};", "", end.host),
            };
        }
        if connection.explicit_paths {
            out.push_str("        }\n");
        }
    }
    section(out, 8, Section::Net, &connection.sections);
    section(out, 8, Section::Disk, &connection.sections);
    for (number, of) in &connection.volumes {
        let _ = writeln!(out, "        volume {number} {{");
        section(out, 12, Section::Disk, of);
        out.push_str("        }\n");
    }
    out.push_str("    }\n");
}

fn sections(out: &mut String, depth: usize, of: &Sections) {
    for kind in Section::ALL {
        section(out, depth, kind, of);
    }
}

fn section(out: &mut String, depth: usize, kind: Section, of: &Sections) {
    let all = of.of(kind);
    if all.is_empty() {
        return;
    }
    let _ = writeln!(out, "{:depth$}{} {{", "", kind.keyword());
    for opt in all {
        option(out, depth + 4, opt);
    }
    let _ = writeln!(out, "{:depth$}}}", "");
}

fn option(out: &mut String, depth: usize, opt: &Opt) {
    let width = NAME.saturating_sub(depth);
    let name = &opt.name;
    let _ = match &opt.value {
        Some(value) => {
            let value = escaped(value);
            writeln!(out, "{:depth$}{name:<width$} {value:>3};", "")
        }
        None => writeln!(out, "{:depth$}{name};", ""),
    };
}

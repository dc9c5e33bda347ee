//! What has to hold of all files together, as drbdadm checks it once they are read.

use super::parse::{Error, Parsed};
use super::tree::{Config, Host, Resource};
use std::collections::BTreeMap;

pub(super) fn check(config: &Config) -> Parsed<()> {
    let mut minors: BTreeMap<(String, u32), ()> = BTreeMap::new();
    for resource in &config.resources {
        let place = format!("{}:{}", resource.file, resource.line);
        if resource.hosts.is_empty() {
            let text = "a host sections ('on alpha { ... }') is missing.";
            return Err(Error(format!("{place}: in resource {}:\n\t{text}\n", resource.name)));
        }
        for host in &resource.hosts {
            complete(resource, host)?;
            for volume in resource.volumes_of(host) {
                let Some(minor) = volume.minor else { continue };
                if minors.insert((host.name().to_owned(), minor), ()).is_some() {
                    let what = format!("device-minor 'device-minor:{}:{minor}'", host.name());
                    let file = &config.file;
                    return Err(Error(format!(
                        "{file}:0: conflicting use of {what} ...\n\
                         {file}:0: {what} first used here.\n"
                    )));
                }
            }
        }
        same_volumes(config, resource)?;
        known_ends(resource)?;
    }
    Ok(())
}

fn complete(resource: &Resource, host: &Host) -> Parsed<()> {
    let missing = |what: &str| {
        let place = format!("{}:{}", resource.file, host.line);
        let text = format!("in resource {}, on {} {{ ... }}", resource.name, host.name());
        Err(Error(format!("{place}: {text}: '{what}' keyword missing.\n")))
    };
    if host.node.is_none() {
        return missing("node-id");
    }
    for volume in resource.volumes_of(host) {
        if volume.minor.is_none() {
            return missing("device");
        }
        if volume.disk.is_none() {
            return missing("disk");
        }
    }
    Ok(())
}

/// Every host has every volume.
fn same_volumes(config: &Config, resource: &Resource) -> Parsed<()> {
    let Some(first) = resource.hosts.first() else { return Ok(()) };
    let numbers = |host: &Host| -> Vec<u16> {
        resource.volumes_of(host).iter().map(|volume| volume.number).collect()
    };
    let wanted = numbers(first);
    let mut text = String::new();
    for other in &resource.hosts[1..] {
        let found = numbers(other);
        let place = format!("{}:{}", config.file, config.last_line);
        let of = format!("in resource {}, on {} {{ ... }}", resource.name, first.name());
        for number in wanted.iter().filter(|number| !found.contains(number)) {
            text += &format!("{place}: {of}: volume {number} not defined on {}\n", other.name());
        }
        for number in found.iter().filter(|number| !wanted.contains(number)) {
            text +=
                &format!("{place}: {of}: volume {number} missing (present on {})\n", other.name());
        }
    }
    if text.is_empty() { Ok(()) } else { Err(Error(text)) }
}

/// Connections join hosts of the resource.
fn known_ends(resource: &Resource) -> Parsed<()> {
    for connection in &resource.connections {
        for end in connection.paths.iter().flatten() {
            if resource.host(&end.host).is_none() {
                let place = format!("{}:{}", resource.file, connection.line);
                return Err(Error(format!(
                    "{place}: in resource {} a hostname (\"{}\") is given\nwith a \"host\" \
                     keyword, has no \"address\" keyword, and no matching\nhost section (\"on\" \
                     keyword)\n",
                    resource.name, end.host
                )));
            }
        }
    }
    Ok(())
}

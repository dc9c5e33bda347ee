//! `drbdsetup status --json`, blanks and line ends as the tool has them.

use super::status::rates;
use super::view::{ConnectionView, DeviceView, PeerDeviceView, ResourceView};
use std::fmt::Write;
use std::net::SocketAddr;

/// All of these resources.
pub(crate) fn status(resources: &[ResourceView]) -> String {
    let mut out = "[\n".to_owned();
    for (index, of) in resources.iter().enumerate() {
        if index > 0 {
            out += ",\n";
        }
        resource(&mut out, of);
    }
    out += "]\n\n";
    out
}

/// Text between quotes. Names of resources and hosts have no characters that need more.
fn quoted(text: &str) -> String {
    let mut out = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `"name": value` lines, a comma behind each, but behind the last only if `more` follow.
fn fields(out: &mut String, indent: usize, all: &[(&str, String)], more: bool) {
    for (index, (name, value)) in all.iter().enumerate() {
        let comma = if more || index + 1 < all.len() { "," } else { "" };
        // So does the tool, for whatever reason.
        let blank = if *name == "connection-state" { " " } else { "" };
        let _ = writeln!(out, "{:indent$}{}: {value}{comma}{blank}", "", quoted(name));
    }
}

fn resource(out: &mut String, of: &ResourceView) {
    let suspended = of.suspended;
    let any = suspended.user || suspended.no_data || suspended.fencing || suspended.quorum;
    let all = [
        ("name", quoted(&of.name)),
        ("node-id", of.node.to_string()),
        ("role", quoted(of.role.name())),
        ("suspended", any.to_string()),
        ("suspended-user", suspended.user.to_string()),
        ("suspended-no-data", suspended.no_data.to_string()),
        ("suspended-fencing", suspended.fencing.to_string()),
        ("suspended-quorum", suspended.quorum.to_string()),
        ("force-io-failures", of.fails_io.to_string()),
        ("write-ordering", quoted("flush")),
    ];
    *out += "{\n";
    fields(out, 2, &all, true);
    *out += "  \"devices\": [\n";
    for (index, device) in of.devices.iter().enumerate() {
        separate(out, index);
        device_fields(out, device);
    }
    *out += " ],\n  \"connections\": [\n";
    for (index, of) in of.connections.iter().enumerate() {
        separate(out, index);
        connection(out, of);
    }
    *out += " ]\n}\n";
}

fn separate(out: &mut String, index: usize) {
    if index > 0 {
        *out += ",\n";
    }
}

fn device_fields(out: &mut String, device: &DeviceView) {
    let mut all = vec![
        ("volume", device.volume.to_string()),
        ("minor", device.minor.to_string()),
        ("disk-state", quoted(device.disk.name())),
        ("client", device.client.to_string()),
        ("open", device.open.to_string()),
        ("quorum", device.quorum.to_string()),
    ];
    let counters = super::status::statistics(device);
    all.extend(counters.map(|(name, number, _)| (name, number.to_string())));
    *out += "    {\n";
    fields(out, 6, &all, false);
    *out += "    }";
}

fn connection(out: &mut String, of: &ConnectionView) {
    let all = [
        ("peer-node-id", of.node.to_string()),
        ("name", quoted(&of.name)),
        ("connection-state", quoted(of.state.name())),
        ("congested", "false".to_owned()),
        ("peer-role", quoted(of.role.name())),
        ("tls", "false".to_owned()),
        ("ap-in-flight", "0".to_owned()),
        ("rs-in-flight", "0".to_owned()),
    ];
    *out += "    {\n";
    fields(out, 6, &all, true);
    *out += "      \"paths\": [\n";
    for (index, path) in of.paths.iter().enumerate() {
        separate(out, index);
        *out += "        {\n";
        for (name, end) in [("this_host", path.local), ("remote_host", path.peer)] {
            let _ = writeln!(out, "          {}: {{", quoted(name));
            address(out, end);
            *out += "          },\n";
        }
        fields(out, 10, &[("established", path.established.to_string())], false);
        *out += "        }";
    }
    *out += " ],\n      \"peer_devices\": [\n";
    for (index, peer) in of.peer_devices.iter().enumerate() {
        separate(out, index);
        peer_device(out, peer);
    }
    *out += " ]\n    }";
}

fn address(out: &mut String, end: SocketAddr) {
    let family = if end.is_ipv4() { "ipv4" } else { "ipv6" };
    let all = [
        ("address", quoted(&end.ip().to_string())),
        ("port", end.port().to_string()),
        ("family", quoted(family)),
    ];
    fields(out, 12, &all, false);
}

fn peer_device(out: &mut String, peer: &PeerDeviceView) {
    let mut all = vec![
        ("volume", peer.volume.to_string()),
        ("replication-state", quoted(peer.repl.name())),
        ("peer-disk-state", quoted(peer.disk.name())),
        ("peer-client", peer.client.to_string()),
        ("resync-suspended", quoted(&super::status::resync_suspended(peer))),
    ];
    all.extend(super::status::counters(peer).map(|(name, number)| (name, number.to_string())));
    let done = peer.done();
    all.push(("has-sync-details", done.is_some().to_string()));
    all.push(("has-online-verify-details", "false".to_owned()));
    all.push(("percent-in-sync", format!("{:.2}", peer.percent_in_sync())));
    if let (Some(done), Some(total)) = (done, peer.sync_total) {
        let ms = peer.sync_ms.to_string();
        let gone = (2 * (total - peer.out_of_sync.min(total))).to_string();
        let rates = rates(peer);
        let rate = |name| {
            let found = rates.iter().find(|(known, _)| *known == name);
            found.map_or("0.00".to_owned(), |(_, text)| text.clone())
        };
        let eta = rate("eta").parse::<u64>().map_or("987654321".to_owned(), |eta| eta.to_string());
        all.extend([
            ("rs-total", (2 * total).to_string()),
            ("rs-dt-start-ms", ms.clone()),
            ("rs-paused-ms", "0".to_owned()),
            ("rs-dt0-ms", ms.clone()),
            ("rs-db0-sectors", gone.clone()),
            ("rs-dt1-ms", ms),
            ("rs-db1-sectors", gone),
            ("rs-failed", "0".to_owned()),
            ("rs-same-csum", "0".to_owned()),
            ("want", "0.00".to_owned()),
            ("db0/dt0 [MiB/s]", rate("dbdt1")),
            ("db1/dt1 [MiB/s]", rate("dbdt1")),
            ("estimated-seconds-to-finish", eta),
            ("db/dt [MiB/s]", rate("dbdt1")),
            ("percent-resync-done", format!("{done:.2}")),
        ]);
    }
    *out += "        {\n";
    fields(out, 10, &all, false);
    *out += "        }";
}

//! `drbdsetup status` as text.

use super::view::{ConnectionView, DeviceView, PeerDeviceView, ResourceView, yes};
use drbd::core::Pauses;
use drbd::state::{ConnState, DiskState, ReplState};

/// What was asked for.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Detail {
    pub verbose: bool,
    pub statistics: bool,
}

/// A terminal's lines: words that do not fit go to the next line, further in.
struct Lines {
    out: String,
    column: usize,
}

const COLUMNS: usize = 80;

impl Lines {
    /// One more word. A word that begins a line loses its blank.
    fn word(&mut self, indent: usize, word: &str) {
        if self.column > 0 && self.column + word.len() > COLUMNS {
            self.end();
        }
        let word = if self.column == 0 { word.trim_start() } else { word };
        if self.column == 0 {
            self.out.extend(std::iter::repeat_n(' ', indent));
        }
        self.out += word;
        // The tool does not count the indentation.
        self.column += word.len();
    }

    fn end(&mut self) {
        self.out.push('\n');
        self.column = 0;
    }
}

/// One resource, with the empty line behind it.
pub(crate) fn status(resource: &ResourceView, detail: Detail) -> String {
    let mut lines = Lines { out: String::new(), column: 0 };
    head(&mut lines, resource, detail);
    let single = resource.devices.len() == 1;
    for of in &resource.devices {
        device(&mut lines, of, detail, single);
    }
    for of in &resource.connections {
        connection(&mut lines, of, detail, single);
    }
    lines.end();
    lines.out
}

fn head(lines: &mut Lines, resource: &ResourceView, detail: Detail) {
    lines.word(0, &resource.name);
    if detail.verbose {
        lines.word(4, &format!(" node-id:{}", resource.node));
    }
    lines.word(4, &format!(" role:{}", resource.role));
    let suspended = resource.suspended_for();
    if detail.verbose || suspended != "no" {
        lines.word(4, &format!(" suspended:{suspended}"));
    }
    if detail.verbose || resource.fails_io {
        lines.word(4, &format!(" force-io-failures:{}", yes(resource.fails_io)));
    }
    if detail.statistics && detail.verbose {
        lines.end();
        lines.word(4, " write-ordering:flush");
    }
    lines.end();
}

fn device(lines: &mut Lines, device: &DeviceView, detail: Detail, single: bool) {
    let mut indent = 2;
    if detail.verbose || !(single && device.volume == 0) {
        lines.word(indent, &format!("volume:{}", device.volume));
        indent = 6;
        if detail.verbose {
            lines.word(indent, &format!(" minor:{}", device.minor));
        }
    }
    lines.word(indent, &format!(" disk:{}", device.disk));
    if device.disk == DiskState::Diskless {
        lines.word(indent, &format!(" client:{}", yes(device.client)));
    }
    if detail.verbose {
        let backing = device.backing.as_deref().unwrap_or("none");
        lines.word(indent, &format!(" backing_dev:{backing}"));
    }
    if detail.verbose || !device.quorum {
        lines.word(indent, &format!(" quorum:{}", yes(device.quorum)));
    }
    lines.word(indent, &format!(" open:{}", yes(device.open)));
    if detail.statistics {
        lines.end();
        for (name, number, always) in statistics(device) {
            if detail.verbose || always {
                lines.word(6, &format!(" {name}:{number}"));
            }
        }
        if detail.verbose {
            lines.word(6, " al-suspended:no");
        }
    }
    if detail.verbose {
        lines.word(6, " blocked:no");
    }
    lines.end();
}

/// Counters of a device: name, number, shown without `--verbose`?
pub(crate) fn statistics(device: &DeviceView) -> [(&'static str, u64, bool); 7] {
    [
        ("size", device.size, false),
        ("read", device.io.read * 4, true),
        ("written", device.io.written * 4, true),
        ("al-writes", device.io.al_writes, false),
        ("bm-writes", device.io.bm_writes, false),
        ("upper-pending", device.upper_pending as u64, false),
        ("lower-pending", 0, false),
    ]
}

fn connection(lines: &mut Lines, connection: &ConnectionView, detail: Detail, single: bool) {
    lines.word(2, &connection.name);
    if detail.verbose {
        lines.word(6, &format!(" node-id:{}", connection.node));
    }
    let connected = connection.state == ConnState::Connected;
    if detail.verbose || !connected {
        lines.word(6, &format!(" connection:{}", connection.state));
    }
    if detail.verbose || connected {
        lines.word(6, &format!(" role:{}", connection.role));
    }
    if detail.verbose {
        lines.word(6, " tls:no");
        lines.word(6, " congested:no");
        lines.word(6, " ap-in-flight:0");
        lines.word(6, " rs-in-flight:0");
    }
    lines.end();
    if detail.verbose || detail.statistics || connected {
        for of in &connection.peer_devices {
            peer_device(lines, of, detail, single);
        }
    }
}

fn peer_device(lines: &mut Lines, peer: &PeerDeviceView, detail: Detail, single: bool) {
    let mut indent = 4;
    if detail.verbose || !(single && peer.volume == 0) {
        lines.word(indent, &format!("volume:{}", peer.volume));
        indent = 8;
    }
    if detail.verbose || peer.repl > ReplState::Established {
        lines.word(indent, &format!(" replication:{}", peer.repl));
        indent = 8;
    }
    let known = peer.repl != ReplState::Off || peer.disk != DiskState::DUnknown;
    if detail.verbose || detail.statistics || known {
        lines.word(indent, &format!(" peer-disk:{}", peer.disk));
        if peer.disk == DiskState::Diskless {
            lines.word(indent, &format!(" peer-client:{}", yes(peer.client)));
        }
        if let Some(done) = peer.done() {
            lines.word(8, &format!(" done:{done:.2}"));
        }
        if detail.verbose || resync_suspended(peer) != "no" {
            lines.word(8, &format!(" resync-suspended:{}", resync_suspended(peer)));
        }
        if detail.statistics {
            lines.end();
            for (name, number) in counters(peer) {
                let shown =
                    matches!(name, "received" | "sent") || (name == "out-of-sync" && number > 0);
                if detail.verbose || shown {
                    lines.word(8, &format!(" {name}:{number}"));
                }
            }
            if detail.verbose {
                for (name, text) in rates(peer) {
                    lines.word(8, &format!(" {name}:{text}"));
                }
            }
        }
    }
    lines.end();
}

/// `resync-suspended:`
pub(crate) fn resync_suspended(peer: &PeerDeviceView) -> String {
    let Pauses { user, peer, dependency, other } = peer.pauses;
    let reasons = [(user, "user"), (peer, "peer"), (dependency || other, "dependency")];
    let words: Vec<&str> = reasons.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
    if words.is_empty() { "no".to_owned() } else { words.join(",") }
}

/// Counters of a peer device.
pub(crate) fn counters(peer: &PeerDeviceView) -> [(&'static str, u64); 5] {
    [
        ("received", peer.received * 4),
        ("sent", peer.sent * 4),
        ("out-of-sync", peer.out_of_sync),
        ("pending", peer.pending as u64),
        ("unacked", peer.unacked as u64),
    ]
}

/// `dbdt1` and `eta` of a running resync, over the time since it began.
pub(crate) fn rates(peer: &PeerDeviceView) -> Vec<(&'static str, String)> {
    let Some(total) = peer.sync_total.filter(|total| *total > 0) else { return Vec::new() };
    let left = peer.out_of_sync.min(total) as f64;
    let speed = (total as f64 - left) / peer.sync_ms.max(1) as f64;
    let eta = if speed > 0.0 { format!("{:.0}", left / speed / 1000.0) } else { "nan".to_owned() };
    vec![("dbdt1", format!("{:.2}", speed * 1000.0 / 1024.0)), ("eta", eta)]
}

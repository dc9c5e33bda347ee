//! What is drawn over time: for each resource and host its role, disk, quorum and connections; for
//! each VM where it is and when it had no I/O. Every band has a class (colour and hatching), a word
//! and a letter that stands for it where the word does not fit.

use super::super::segments::{Segment, word_at};
use super::super::{Kind, Recording, Track, Value};
use super::{span, time};
use crate::log::Names;
use std::collections::{BTreeMap, BTreeSet};

/// Bands of a page; a row has its share, and where it has more, neighbours are drawn as one.
const BANDS: usize = 6_000;
/// The share of a row, at least and at most.
const SHARE: (usize, usize) = (40, 1_200);

/// A value over a while.
#[derive(Clone, PartialEq, Debug)]
pub struct Band {
    /// From, ns.
    pub from: u64,
    /// Until, ns.
    pub to: u64,
    /// Of the style sheet.
    pub class: &'static str,
    /// Stands for the word.
    pub letter: String,
    /// The value.
    pub word: String,
}

/// One line of bands.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// What it shows.
    pub label: String,
    /// Its bands, in order.
    pub bands: Vec<Band>,
    /// Bands are half as high, and have no letters.
    pub thin: bool,
}

/// Rows that belong together.
#[derive(Clone, PartialEq, Debug)]
pub struct Lane {
    /// Of whom.
    pub name: String,
    /// In order.
    pub rows: Vec<Row>,
    /// Where nothing can be: the host is off, boots, stands still.
    pub shades: Vec<Band>,
}

/// Lanes under a heading.
pub struct Group {
    /// The heading.
    pub title: String,
    /// In order.
    pub lanes: Vec<Lane>,
}

/// Class and letter of a state. Classes are few: what they have in common is how bad it is.
fn look(kind: Kind, word: &str) -> (&'static str, &'static str) {
    match (kind, word) {
        (Kind::Role, "Primary") => ("pri k", "P"),
        (Kind::Role, "Secondary") => ("sec", "S"),
        (Kind::Quorum, "yes") => ("good", "Q"),
        (Kind::Quorum, _) => ("bad", "N"),
        (Kind::Suspended, _) => ("bad", "s"),
        (Kind::Disk, "UpToDate") => ("good", "U"),
        (Kind::Disk, "Consistent") => ("fair", "C"),
        (Kind::Disk, "Outdated") => ("old", "O"),
        (Kind::Disk, "Inconsistent") => ("bad", "I"),
        (Kind::Disk, "Failed") => ("dead k", "F"),
        (Kind::Disk, "Diskless") => ("none", "D"),
        (Kind::Disk, "Attaching") => ("busy", "A"),
        (Kind::Disk, "Detaching") => ("busy", "d"),
        (Kind::Disk, "Negotiating") => ("busy", "n"),
        (Kind::Connection, "Established") => ("good", "E"),
        (Kind::Connection, "SyncSource") => ("busy", "→"),
        (Kind::Connection, "SyncTarget") => ("old", "←"),
        (Kind::Connection, "PausedSyncS" | "PausedSyncT") => ("old", "‖"),
        (Kind::Connection, "StandAlone") => ("dead k", "A"),
        (Kind::Connection, "Connecting") => ("none", "…"),
        (Kind::Connection, "Connected") => ("fair", "c"),
        (Kind::Connection, "Ahead" | "Behind") => ("old", "b"),
        (Kind::Connection, word) if word.starts_with("WFBitMap") => ("busy", "w"),
        (Kind::Connection, "Disconnecting" | "Unconnected" | "TearDown") => ("none", "-"),
        (Kind::Connection, _) => ("bad", "!"),
        (Kind::Power, "off") => ("off", "off"),
        (Kind::Power, "frozen") => ("slow", "f"),
        (Kind::Power, _) => ("slow", "b"),
        (Kind::Vm, "running") => ("sec", "R"),
        (Kind::Vm, _) => ("none", "…"),
        _ => ("none", "?"),
    }
}

fn band(kind: Kind, segment: &Segment) -> Option<Band> {
    let Value::Word(word) = segment.value else { return None };
    let said = match (kind, word) {
        (Kind::Quorum, "yes") => "quorum",
        (Kind::Quorum, _) => "no quorum",
        (Kind::Suspended, "yes") => "I/O suspended",
        (Kind::Suspended, _) => return None,
        (Kind::Power, "on") => return None,
        (Kind::Power, "off") => "power off",
        (_, word) => word,
    };
    let (class, letter) = look(kind, word);
    let (from, to) = (segment.from, segment.to);
    let (letter, word) = (letter.to_owned(), said.to_owned());
    (from < to).then_some(Band { from, to, class, letter, word })
}

fn bands(kind: Kind, list: Option<&Vec<Segment>>) -> Vec<Band> {
    list.into_iter().flatten().filter_map(|segment| band(kind, segment)).collect()
}

/// Draws the shortest neighbours as one until no more than `most` are left.
fn thinned(mut bands: Vec<Band>, most: usize) -> Vec<Band> {
    let mut shortest = 1_000_000;
    while bands.len() > most {
        let mut out: Vec<Band> = Vec::new();
        for band in bands {
            match out.last_mut() {
                Some(last) if band.to - band.from < shortest && last.to == band.from => {
                    last.to = band.to;
                    if last.word != band.word {
                        (last.class, last.letter) = ("mixed", "~".to_owned());
                        last.word = "several states in turn: zoom does not resolve them".to_owned();
                    }
                }
                _ => out.push(band),
            }
        }
        bands = out;
        shortest *= 2;
        if shortest > 1 << 60 {
            break;
        }
    }
    bands
}

/// Everything that is drawn as bands: resources first, the one that the failure is about before the
/// others; then VMs.
pub fn groups(recording: &Recording, tracks: &BTreeMap<Track, Vec<Segment>>) -> Vec<Group> {
    let count = recording.cast.resources.len() as u16;
    let mut order: Vec<u16> = (0..count).collect();
    order.sort_by_key(|at| Some(*at) != recording.about);
    let mut groups: Vec<Group> =
        order.into_iter().map(|at| resource(recording, tracks, at)).collect();
    let vms: Vec<Lane> =
        (0..recording.cast.vms.len() as u16).map(|vm| guest(recording, tracks, vm)).collect();
    if !vms.is_empty() {
        groups.push(Group { title: "VMs".to_owned(), lanes: vms });
    }
    let rows = |lane: &Lane| lane.rows.len() + 1;
    let rows: usize = groups.iter().flat_map(|group| &group.lanes).map(rows).sum();
    let share = (BANDS / rows.max(1)).clamp(SHARE.0, SHARE.1);
    for lane in groups.iter_mut().flat_map(|group| &mut group.lanes) {
        lane.shades = thinned(std::mem::take(&mut lane.shades), share);
        for row in &mut lane.rows {
            row.bands = thinned(std::mem::take(&mut row.bands), share);
        }
    }
    groups
}

fn resource(recording: &Recording, tracks: &BTreeMap<Track, Vec<Segment>>, at: u16) -> Group {
    let cast = &recording.cast;
    let part = &cast.resources[usize::from(at)];
    let lanes = part.nodes.iter().map(|(host, diskful)| {
        let mut rows = Vec::new();
        let of = |kind| Track::of(kind, *host, at);
        rows.push(row("role", bands(Kind::Role, tracks.get(&of(Kind::Role))), false));
        for volume in 0..part.volumes {
            let suffix = if part.volumes > 1 { format!(" /{volume}") } else { String::new() };
            let of = |kind| of(kind).volume(volume);
            let disk = bands(Kind::Disk, tracks.get(&of(Kind::Disk)));
            rows.push(row(&format!("disk{suffix}"), disk, false));
            let quorum = bands(Kind::Quorum, tracks.get(&of(Kind::Quorum)));
            rows.push(row(&format!("quorum{suffix}"), quorum, false));
        }
        let suspended = bands(Kind::Suspended, tracks.get(&of(Kind::Suspended)));
        if !suspended.is_empty() {
            rows.push(row("I/O", suspended, false));
        }
        for (peer, _) in part.nodes.iter().filter(|(peer, _)| peer != host) {
            let link = connection(recording, tracks, of(Kind::Connection).peer(*peer));
            rows.push(row(&format!("to {}", cast.host(*peer)), link, true));
        }
        let power = bands(Kind::Power, tracks.get(&Track::of_host(Kind::Power, *host)));
        // A host that stands still has states: it gets a row of its own, not a shade behind them.
        let has_none = |band: &Band| matches!(band.word.as_str(), "power off" | "booting");
        let (shades, still): (Vec<Band>, Vec<Band>) = power.into_iter().partition(has_none);
        if !still.is_empty() {
            rows.insert(0, row("host", still, false));
        }
        let name = cast.host(*host);
        let name = if *diskful { name.to_owned() } else { format!("{name} (no disk)") };
        Lane { name, rows, shades }
    });
    let volumes =
        if part.volumes > 1 { format!("{} volumes of ", part.volumes) } else { String::new() };
    let title = format!("{} · {volumes}{} MiB", part.name, part.bytes >> 20);
    Group { title, lanes: lanes.collect() }
}

fn row(label: &str, bands: Vec<Band>, thin: bool) -> Row {
    Row { label: label.to_owned(), bands, thin }
}

/// Connection and, where there is one, replication (of the first volume): what DRBD's status shows.
fn connection(
    recording: &Recording,
    tracks: &BTreeMap<Track, Vec<Segment>>,
    track: Track,
) -> Vec<Band> {
    let conn = tracks.get(&track);
    let repl = tracks.get(&Track { kind: Kind::Replication, ..track }.volume(0));
    let both = conn.into_iter().chain(repl).flatten();
    let mut edges: BTreeSet<u64> = both.flat_map(|s| [s.from, s.to]).collect();
    edges.insert(recording.end);
    let edges: Vec<u64> = edges.into_iter().collect();
    let mut bands: Vec<Band> = Vec::new();
    for pair in edges.windows(2) {
        let Some(word) = word_at(conn, pair[0]) else { continue };
        let word = match (word, word_at(repl, pair[0])) {
            ("Connected", Some(repl)) if repl != "Off" => repl,
            (word, _) => word,
        };
        match bands.last_mut() {
            Some(last) if last.word == word && last.to == pair[0] => last.to = pair[1],
            _ => {
                let segment = Segment { from: pair[0], to: pair[1], value: Value::Word(word) };
                bands.extend(band(Kind::Connection, &segment));
            }
        }
    }
    bands
}

fn guest(recording: &Recording, tracks: &BTreeMap<Track, Vec<Segment>>, vm: u16) -> Lane {
    let cast = &recording.cast;
    let guest = &cast.vms[usize::from(vm)];
    let mut on: Vec<Band> = Vec::new();
    for state in tracks.get(&Track::of_vm(Kind::Vm, vm)).into_iter().flatten() {
        let Value::Word(word) = state.value else { continue };
        for home in tracks.get(&Track::of_vm(Kind::VmHost, vm)).into_iter().flatten() {
            let Value::Host(host) = home.value else { continue };
            let (from, to) = (state.from.max(home.from), state.to.min(home.to));
            let (class, letter) = look(Kind::Vm, word);
            let letter = letter.to_owned();
            let word = match word {
                "running" => format!("running on {}", cast.host(host)),
                _ => format!("waits for its disk on {}", cast.host(host)),
            };
            match on.last_mut() {
                Some(Band { to: end, word: last, .. }) if *end == from && *last == word => {
                    *end = to;
                }
                _ if from < to => on.push(Band { from, to, class, letter, word }),
                _ => {}
            }
        }
    }
    let stalls = recording.stalls.iter().filter(|stall| stall.vm == vm && stall.from < stall.to);
    let stalls = stalls.map(|stall| Band {
        from: stall.from,
        to: stall.to,
        class: "bad",
        letter: span(stall.to - stall.from),
        word: match stall.ended {
            true => format!("no I/O for {}", span(stall.to - stall.from)),
            false => format!("no I/O for {}, to the end", span(stall.to - stall.from)),
        },
    });
    let disk = format!("{} /{}", cast.resource(guest.resource), guest.volume);
    let rows = vec![row(&disk, on, false), row("stalls", stalls.collect(), false)];
    Lane { name: guest.name.clone(), rows, shades: Vec::new() }
}

/// What is said when a pointer rests on a band.
pub fn hover(lane: &str, row: &str, band: &Band) -> String {
    let (from, to) = (time(band.from), time(band.to));
    format!("{lane} {row}: {}\n{from} to {to} ({})", band.word, span(band.to - band.from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_bounded_and_loses_no_time() {
        let band = |i: u64| Band {
            from: i * 10,
            to: i * 10 + 10,
            class: "good",
            letter: "U".to_owned(),
            word: (i % 3).to_string(),
        };
        let bands = thinned((0..50_000).map(band).collect(), 1_200);
        assert!(bands.len() <= 1_200 && !bands.is_empty());
        assert_eq!(bands.iter().map(|b| b.to - b.from).sum::<u64>(), 500_000);
    }
}

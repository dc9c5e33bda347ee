//! Messages around the decision: a column for each host, time downwards, an arrow for each packet
//! from where it was sent to where it arrived. What engines noticed stands beside its host. Rows
//! are in order of time but not to scale: what happened within a microsecond can be read, too.

use super::super::About;
use super::super::{Fate, Kind, Message, Place, Recording, Track, Value};
use super::{escape, section, span, time};
use crate::log::Names;
use std::fmt::Write;

/// Packets that decide something are drawn, the nearest so many.
const TALK: usize = 44;
/// Packets with data and their acknowledgements, the nearest so many.
const DATA: usize = 16;
/// Things that engines noticed, the nearest so many.
const NOTES: usize = 40;
/// Pixels.
const ROW: u64 = 15;
const LEFT: u64 = 96;
const TOP: u64 = 30;
/// A silence longer than this is drawn as one, ns.
const SILENCE: u64 = 50_000_000;

/// One end of an arrow, or something noticed.
enum Item<'a> {
    Sent(&'a Message),
    Arrived(&'a Message),
    Noticed { host: Option<u16>, text: String, decides: bool },
}

/// How far is it from the centre?
fn far(at: u64, centre: u64) -> u64 {
    at.abs_diff(centre)
}

/// Packets that say nothing to a reader.
fn is_noise(message: &Message) -> bool {
    let noise = ["P_PING", "P_PING_ACK", "P_BARRIER", "P_BARRIER_ACK", "P_PEER_ACK", "P_DAGTAG"];
    noise.contains(&message.name)
}

fn is_data(message: &Message) -> bool {
    let prefixes = ["P_DATA", "P_RS_", "P_WRITE_ACK", "P_TRIM", "P_OUT_OF_SYNC", "P_PEERS_IN_SYNC"];
    prefixes.iter().any(|prefix| message.name.starts_with(prefix))
}

/// The resource and the moment that the drawing is about, and why that one.
fn centre(recording: &Recording, about: &About) -> (u16, u64, &'static str) {
    let resource = recording.about.unwrap_or(0);
    if let Some(at) = about.outcome.decision() {
        return (resource, at, "around the decision");
    }
    if let Some(failure) = &about.outcome.failure {
        return (resource, failure.at, "at the end");
    }
    let decided =
        recording.notes.iter().rev().find(|note| note.kind == "handshake" && note.decides);
    match decided {
        Some(note) => match note.place {
            Place::Resource(_, resource) => {
                (resource, note.at, "around the last resync that began")
            }
            _ => (resource, note.at, "around the last decision"),
        },
        None => {
            let first = recording.steps.first().map_or(0, |step| step.at);
            (resource, first, "around the first step of the plan")
        }
    }
}

/// The nearest `most` of them.
fn nearest<'a>(
    messages: impl Iterator<Item = &'a Message>,
    centre: u64,
    most: usize,
) -> Vec<&'a Message> {
    let mut all: Vec<&Message> = messages.collect();
    all.sort_by_key(|message| (far(message.sent, centre), message.seq));
    all.truncate(most);
    all
}

fn items(recording: &Recording, resource: u16, centre: u64) -> Vec<(u64, u64, Item<'_>)> {
    let of = || recording.messages.iter().filter(|m| m.resource == resource && !is_noise(m));
    let mut chosen = nearest(of().filter(|m| !is_data(m)), centre, TALK);
    chosen.extend(nearest(of().filter(|m| is_data(m)), centre, DATA));
    let mut items = Vec::new();
    for message in chosen {
        items.push((message.sent, message.seq, Item::Sent(message)));
        if let Fate::Arrived(at) = message.fate {
            items.push((at, message.seq, Item::Arrived(message)));
        }
    }
    let mut noticed = Vec::new();
    for note in &recording.notes {
        let host = match note.place {
            Place::Resource(host, at) if at == resource => Some(host),
            Place::Host(host) => Some(host),
            Place::Pool => None,
            _ => continue,
        };
        if matches!(note.kind, "metadata-write" | "peer-role") {
            continue;
        }
        // The drawing is about one resource: its name need not be said each time.
        let own = format!("{} ", recording.cast.resource(resource));
        let text = note.text.strip_prefix(&own).unwrap_or(&note.text).to_owned();
        let decides = note.decides;
        noticed.push((note.at, note.seq, Item::Noticed { host, text, decides }));
    }
    for step in &recording.steps {
        let text = format!("the plan: {}", scenarios::describe_step(&step.action));
        noticed.push((step.at, step.seq, Item::Noticed { host: None, text, decides: false }));
    }
    for change in &recording.changes {
        let Some(text) = changed(recording, resource, &change.track, change.to) else { continue };
        let item = Item::Noticed { host: change.track.host, text, decides: false };
        noticed.push((change.at, change.seq, item));
    }
    noticed.sort_by_key(|(at, seq, _)| (far(*at, centre), *seq));
    noticed.truncate(NOTES);
    items.extend(noticed);
    items.sort_by_key(|(at, seq, _)| (*at, *seq));
    items
}

fn changed(recording: &Recording, resource: u16, track: &Track, to: Value) -> Option<String> {
    let Value::Word(word) = to else { return None };
    let peer = track.peer.map(|host| recording.cast.host(host)).unwrap_or_default();
    if track.resource != Some(resource) {
        let power = track.kind == Kind::Power;
        return power.then(|| format!("power {word}"));
    }
    match track.kind {
        Kind::Role => Some(word.to_owned()),
        Kind::Disk => Some(format!("disk {word}")),
        Kind::Quorum => Some(format!("quorum {word}")),
        Kind::Suspended => Some(format!("I/O suspended: {word}")),
        Kind::Connection => Some(format!("{peer}: {word}")),
        Kind::Replication => Some(format!("{peer}: {word}")),
        _ => None,
    }
}

struct Draw<'a> {
    /// Texts and dots; they lie over the arrows.
    out: String,
    arrows: String,
    recording: &'a Recording,
    columns: Vec<(u16, u64)>,
    width: u64,
    y: u64,
    /// Where each packet was sent: id and y.
    sent: Vec<(u64, u64)>,
    centre: u64,
    marked: bool,
}

/// Draws it.
pub fn sequence(out: &mut String, recording: &Recording, about: &About) {
    let Some(_) = recording.cast.resources.first() else { return };
    let (resource, centre, why) = centre(recording, about);
    let part = &recording.cast.resources[usize::from(resource)];
    let items = items(recording, resource, centre);
    if items.is_empty() {
        return;
    }
    let width = 1_180;
    let count = part.nodes.len() as u64;
    let step = (width - LEFT - 150) / count.max(2).saturating_sub(1).max(1);
    let step = step.min(420);
    let hosts = (0..).zip(&part.nodes).map(|(i, (host, _))| (*host, LEFT + 30 + i * step));
    let columns: Vec<(u16, u64)> = hosts.collect();
    let (text, arrows, sent) = (String::new(), String::new(), Vec::new());
    let mut draw =
        Draw { out: text, arrows, recording, columns, width, y: TOP, sent, centre, marked: false };
    let mut before = None;
    for (at, _, item) in &items {
        draw.clock(*at, before);
        draw.item(item);
        before = Some(*at);
    }
    let title = format!("Messages of {} {why}", escape(&part.name));
    let hint = "in order of time, not to scale; packets of data are thinned out, pings left out";
    section(out, "messages", &title, Some(hint));
    draw.framed(out);
}

impl Draw<'_> {
    fn x(&self, host: u16) -> u64 {
        self.columns.iter().find(|(it, _)| *it == host).map_or(LEFT, |(_, x)| *x)
    }

    fn text(&mut self, class: &str, x: u64, y: u64, text: &str) {
        let text = escape(text);
        let _ = writeln!(self.out, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{text}</text>");
    }

    /// A new row, with its time if that is another.
    fn clock(&mut self, at: u64, before: Option<u64>) {
        self.y += ROW;
        if let Some(gap) =
            before.map(|before| at.saturating_sub(before)).filter(|gap| *gap > SILENCE)
        {
            let y = self.y + 1;
            let end = self.width - 8;
            let _ = writeln!(
                self.out,
                "<line class=\"pause\" x1=\"{LEFT}\" x2=\"{end}\" y1=\"{y}\" y2=\"{y}\"/>"
            );
            self.text("tm", LEFT - 4, y + 4, &format!("+ {}", span(gap)));
            self.y += ROW + 3;
        }
        if at >= self.centre && !self.marked {
            self.marked = true;
            let y = self.y - 11;
            let wide = LEFT - 2;
            let _ = writeln!(
                self.out,
                "<rect class=\"now\" x=\"2\" y=\"{y}\" width=\"{wide}\" height=\"14\"/>"
            );
        }
        if before != Some(at) {
            let text = format!("{}.{:06} s", at / 1_000_000_000, at / 1_000 % 1_000_000);
            self.text("tm", LEFT - 4, self.y, &text);
        }
    }

    fn item(&mut self, item: &Item) {
        let y = self.y;
        match item {
            Item::Sent(message) => {
                self.sent.push((message.id, y));
                let (from, to) = (self.x(message.from), self.x(message.to));
                let right = to > from;
                let lost = !matches!(message.fate, Fate::Arrived(_));
                if lost {
                    let end = (from * 2 + to * 3) / 5;
                    self.arrow(message, (from, y - 4), (end, y + 8), true);
                }
                let mut text = format!("{} {}", message.name, message.text);
                if let Fate::Lost = message.fate {
                    text.push_str(" (lost)");
                }
                match right {
                    true => self.text("", from + 7, y - 5, &text),
                    false => self.text("end", from - 7, y - 5, &text),
                }
            }
            Item::Arrived(message) => {
                let sent = self.sent.iter().find(|(id, _)| *id == message.id);
                let (from, to) = (self.x(message.from), self.x(message.to));
                let start = sent.map_or(y, |(_, y)| *y);
                self.arrow(message, (from, start - 4), (to, y - 4), false);
            }
            Item::Noticed { host, text, decides } => self.noticed(*host, text, *decides),
        }
    }

    fn arrow(&mut self, message: &Message, from: (u64, u64), to: (u64, u64), lost: bool) {
        let class = match (lost, message.control) {
            (true, _) => "msg lost",
            (false, true) => "msg c",
            (false, false) => "msg",
        };
        let fate = match message.fate {
            Fate::Arrived(at) => format!("arrived {}", time(at)),
            Fate::Lost => "lost".to_owned(),
            Fate::OnItsWay => "on its way at the end".to_owned(),
        };
        let hover = format!(
            "{} {}\n{} bytes, sent {}, {fate}",
            message.name,
            message.text,
            message.bytes,
            time(message.sent),
        );
        let head = if lost { "" } else { " marker-end=\"url(#tip)\"" };
        let _ = writeln!(
            self.arrows,
            "<line class=\"{class}\" x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"{head}><title>{}</title></line>",
            from.0,
            from.1,
            to.0,
            to.1,
            escape(&hover),
        );
        if lost {
            let (x, y) = to;
            let _ = writeln!(
                self.arrows,
                "<path class=\"x\" d=\"M{} {}l8 8m0 -8l-8 8\"/>",
                x.saturating_sub(4),
                y.saturating_sub(4),
            );
        }
    }

    fn noticed(&mut self, host: Option<u16>, text: &str, decides: bool) {
        let y = self.y;
        let Some(host) = host.filter(|host| self.columns.iter().any(|(it, _)| it == host)) else {
            return self.text("e", LEFT + 4, y, text);
        };
        let x = self.x(host);
        let last = self.columns.last().is_some_and(|(it, _)| *it == host);
        let class = if decides { "dot decides" } else { "dot" };
        let radius = if decides { 5 } else { 3 };
        let _ = writeln!(
            self.out,
            "<circle class=\"{class}\" cx=\"{x}\" cy=\"{}\" r=\"{radius}\"/>",
            y - 4
        );
        let bold = if decides { "e" } else { "" };
        match last && self.columns.len() > 1 {
            true => self.text(&format!("{bold} end"), x - 8, y, text),
            false => self.text(bold, x + 8, y, text),
        }
    }

    fn framed(&self, out: &mut String) {
        let (width, height) = (self.width, self.y + 14);
        let _ = write!(
            out,
            "<div class=\"wide paper\"><svg class=\"seq\" role=\"img\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" aria-label=\"Messages between hosts\">\
             <defs><marker id=\"tip\" markerWidth=\"9\" markerHeight=\"7\" refX=\"8\" \
             refY=\"3.5\" orient=\"auto\"><path d=\"M0 0L9 3.5L0 7z\" \
             fill=\"#2f5fa5\"/></marker></defs>"
        );
        for (host, x) in &self.columns {
            let name = escape(self.recording.cast.host(*host));
            let _ = write!(
                out,
                "<line class=\"life\" x1=\"{x}\" x2=\"{x}\" y1=\"24\" y2=\"{height}\"/>\
                 <text class=\"e mid\" x=\"{x}\" y=\"16\">{name}</text>"
            );
        }
        out.push_str(&self.arrows);
        out.push_str(&self.out);
        out.push_str(
            "</svg></div><p class=\"note\">Blue: the data socket; green: the control socket; red and \
             dashed: lost with its connection. A large dot is a decision of an engine; the yellow \
             time is the moment that the drawing is about.</p></section>\n",
        );
    }
}

//! `trace.perfetto.json`: Chrome's trace event format, for ui.perfetto.dev and its like, in
//! simulated time.
//!
//! A process for the plan and one for each host; a thread for each thing that has one state at a
//! time (role, disk, quorum, connection, …), for the packets towards and from each peer, and for
//! each VM on the host on which it is. States are slices, packets are slices at both ends joined by
//! flow arrows (a packet and its answer are one flow: `P_DATA` to `P_WRITE_ACK`), faults are global
//! instants, out-of-sync bytes and unacknowledged writes counters. No slice is left open.

use super::json::{Object, quote};
use super::segments::{Segment, segments};
use super::{About, Fate, Kind, Message, Place, Recording, Track, Value};
use crate::log::Names;
use std::collections::BTreeMap;

/// The process of the plan.
const PLAN: u32 = 1;
/// The process of the first host.
const HOSTS: u32 = 10;
/// A packet's slice, at most, ns.
const PACKET: u64 = 1_000;

/// Events under way, each with what they are sorted by.
#[derive(Default)]
struct Trace {
    events: Vec<(u64, String)>,
    threads: BTreeMap<(u32, String), u32>,
    /// In order of first use.
    named: Vec<(u32, u32, String)>,
}

fn pid(host: u16) -> u32 {
    HOSTS + u32::from(host)
}

/// Microseconds, as the format wants them, to the nanosecond.
fn micros(ns: u64) -> String {
    format!("{}.{:03}", ns / 1_000, ns % 1_000)
}

impl Trace {
    fn thread(&mut self, pid: u32, name: String) -> u32 {
        let next = self.named.len() as u32 + 1;
        let tid = *self.threads.entry((pid, name.clone())).or_insert(next);
        if tid == next {
            self.named.push((pid, tid, name));
        }
        tid
    }

    fn add(
        &mut self,
        at: u64,
        ph: &str,
        (pid, tid): (u32, u32),
        name: &str,
        more: impl FnOnce(Object<'_>) -> Object<'_>,
    ) {
        let mut text = String::new();
        let event = Object::new(&mut text).text("ph", ph).raw("ts", micros(at));
        more(event.raw("pid", pid).raw("tid", tid).text("name", name)).end();
        self.events.push((at, text));
    }

    fn slice(&mut self, place: (u32, u32), name: &str, from: u64, to: u64, args: &str) {
        let length = micros(to.saturating_sub(from));
        self.add(from, "X", place, name, |event| {
            let event = event.raw("dur", length);
            if args.is_empty() { event } else { event.raw("args", args) }
        });
    }

    fn instant(&mut self, at: u64, place: (u32, u32), name: &str, scope: &str) {
        self.add(at, "i", place, name, |event| event.text("s", scope));
    }
}

/// The whole file.
pub fn perfetto(recording: &Recording, about: &About) -> String {
    let mut trace = Trace::default();
    plan(&mut trace, recording, about);
    for (track, list) in segments(recording) {
        states(&mut trace, recording, &track, &list);
    }
    vms(&mut trace, recording);
    notes(&mut trace, recording);
    counters(&mut trace, recording);
    packets(&mut trace, recording);
    written(trace, recording, about)
}

fn written(mut trace: Trace, recording: &Recording, about: &About) -> String {
    trace.events.sort_by_key(|(at, _)| *at);
    let mut out = String::from("{\"displayTimeUnit\":\"ms\",\"otherData\":");
    let verdict = if about.outcome.failure.is_some() { "failed" } else { "passed" };
    let facts = Object::new(&mut out).text("scenario", about.scenario).text("seed", about.seed);
    let facts = facts.maybe("quirk", about.quirk).text("commit", about.commit);
    let facts = facts.text("verdict", verdict).text("replay", about.replay);
    facts.maybe("cut", recording.cut.said().as_deref()).end();
    out.push_str(",\"traceEvents\":[\n");
    let mut lines: Vec<String> = Vec::new();
    let mut name = |what: &str, pid: u32, tid: u32, key: &str, value: &str| {
        let mut text = String::new();
        let event = Object::new(&mut text).text("ph", "M").raw("ts", 0).raw("pid", pid);
        event
            .raw("tid", tid)
            .text("name", what)
            .raw("args", format!("{{\"{key}\":{value}}}"))
            .end();
        lines.push(text);
    };
    let quoted = |text: &str| {
        let mut out = String::new();
        quote(&mut out, text);
        out
    };
    let hosts = (0u16..).zip(&recording.cast.hosts);
    let processes = std::iter::once((PLAN, "the plan")).chain(hosts.map(|(i, h)| (pid(i), &**h)));
    for (pid, host) in processes {
        name("process_name", pid, 0, "name", &quoted(host));
        name("process_sort_index", pid, 0, "sort_index", &pid.to_string());
    }
    for (pid, tid, thread) in &trace.named {
        name("thread_name", *pid, *tid, "name", &quoted(thread));
        name("thread_sort_index", *pid, *tid, "sort_index", &tid.to_string());
    }
    lines.extend(trace.events.into_iter().map(|(_, text)| text));
    out.push_str(&lines.join(",\n"));
    out.push_str("\n]}\n");
    out
}

fn plan(trace: &mut Trace, recording: &Recording, about: &About) {
    let place = (PLAN, trace.thread(PLAN, "steps".to_owned()));
    for step in &recording.steps {
        let text = scenarios::describe_step(&step.action);
        trace.instant(step.at, place, &text, "g");
    }
    if let Some(failure) = &about.outcome.failure {
        let place = (PLAN, trace.thread(PLAN, "verdict".to_owned()));
        trace.instant(failure.at, place, &format!("broken: {}", failure.promise), "g");
        if let Some(at) = about.outcome.decision() {
            trace.instant(at, place, "the decision", "g");
        }
    }
}

/// What a track is called on its host.
fn title(recording: &Recording, track: &Track) -> Option<String> {
    let cast = &recording.cast;
    let resource = track.resource.map(|at| cast.resource(at)).unwrap_or_default();
    let volume = track.volume.map(|v| format!("{resource}/{v}")).unwrap_or_default();
    let peer = track.peer.map(|host| cast.host(host)).unwrap_or_default();
    Some(match track.kind {
        Kind::Power => "power".to_owned(),
        Kind::Role => format!("{resource} role"),
        Kind::Suspended => format!("{resource} I/O suspended"),
        Kind::Disk => format!("{volume} disk"),
        Kind::Quorum => format!("{volume} quorum"),
        Kind::Connection => format!("{resource} connection to {peer}"),
        Kind::Replication => format!("{volume} replication to {peer}"),
        Kind::PeerDisk => format!("{volume} disk of {peer}"),
        Kind::OutOfSync => format!("{volume} out of sync to {peer}, bytes"),
        Kind::Unacked => format!("{} unacknowledged writes", cast.vm(track.vm?)),
        Kind::Vm | Kind::VmHost => return None,
    })
}

fn states(trace: &mut Trace, recording: &Recording, track: &Track, list: &[Segment]) {
    if matches!(track.kind, Kind::OutOfSync | Kind::Unacked) {
        return;
    }
    let (Some(host), Some(title)) = (track.host, title(recording, track)) else { return };
    let place = (pid(host), trace.thread(pid(host), title));
    for segment in list {
        let Value::Word(word) = segment.value else { continue };
        let said = match (track.kind, word) {
            (Kind::Quorum, "no") => "no quorum",
            (Kind::Suspended, "yes") => "suspended",
            // Nothing to see.
            (Kind::Suspended, _) => continue,
            (_, word) => word,
        };
        trace.slice(place, said, segment.from, segment.to, "");
    }
}

/// Where VMs are and what they are told, on the host on which they are.
fn vms(trace: &mut Trace, recording: &Recording) {
    let all = segments(recording);
    let mut homes: Vec<Vec<(u64, u64, u16)>> = Vec::new();
    for vm in 0..recording.cast.vms.len() as u16 {
        let name = recording.cast.vm(vm);
        let on = all.get(&Track::of_vm(Kind::VmHost, vm)).into_iter().flatten();
        let on: Vec<_> = on
            .filter_map(|segment| match segment.value {
                Value::Host(host) => Some((segment.from, segment.to, host)),
                _ => None,
            })
            .collect();
        for state in all.get(&Track::of_vm(Kind::Vm, vm)).into_iter().flatten() {
            let Value::Word(word) = state.value else { continue };
            for (from, to, host) in &on {
                let (from, to) = (state.from.max(*from), state.to.min(*to));
                if from < to {
                    let place = (pid(*host), trace.thread(pid(*host), name.to_owned()));
                    trace.slice(place, word, from, to, "");
                }
            }
        }
        homes.push(on);
    }
    let host_at = |vm: u16, at: u64| {
        let mut on = homes.get(usize::from(vm)).into_iter().flatten();
        on.rfind(|(from, ..)| *from <= at).map_or(0, |(.., host)| *host)
    };
    for stall in &recording.stalls {
        let home = pid(host_at(stall.vm, stall.to));
        let thread = trace.thread(home, format!("{} without I/O", recording.cast.vm(stall.vm)));
        trace.slice((home, thread), "no I/O", stall.from, stall.to, "");
    }
    for request in &recording.requests {
        let home = pid(host_at(request.vm, request.at));
        let thread = trace.thread(home, recording.cast.vm(request.vm).to_owned());
        let ended = request.ended.unwrap_or(recording.end);
        let mut args = String::new();
        let object = Object::new(&mut args).raw("number", request.number);
        let object = object.raw("block", request.blocks.0).raw("blocks", request.blocks.1);
        object.text("end", request.end).end();
        let (place, id) = ((home, thread), request.seq);
        trace.add(request.at, "b", place, request.kind, |event| {
            event.text("cat", "io").raw("id", id).raw("args", &args)
        });
        trace.add(ended, "e", place, request.kind, |event| event.text("cat", "io").raw("id", id));
    }
}

fn notes(trace: &mut Trace, recording: &Recording) {
    for note in &recording.notes {
        let (home, thread) = match note.place {
            Place::Pool => (PLAN, "verdict".to_owned()),
            Place::Host(host) => (pid(host), "power".to_owned()),
            Place::Resource(host, resource) => {
                (pid(host), format!("{} events", recording.cast.resource(resource)))
            }
            Place::Vm(vm) => (PLAN, format!("{} events", recording.cast.vm(vm))),
        };
        let place = (home, trace.thread(home, thread));
        trace.instant(note.at, place, &note.text, "t");
    }
}

fn counters(trace: &mut Trace, recording: &Recording) {
    for change in &recording.changes {
        if !matches!(change.track.kind, Kind::OutOfSync | Kind::Unacked) {
            continue;
        }
        let Some(name) = title(recording, &change.track) else { continue };
        let home = change.track.host.map_or(PLAN, pid);
        let number = match change.to {
            Value::Number(number) => number,
            _ => 0,
        };
        trace.add(change.at, "C", (home, 0), &name, |event| {
            event.raw("args", format!("{{\"value\":{number}}}"))
        });
    }
}

/// One end of a packet.
struct End<'a> {
    at: u64,
    place: (u32, u32),
    message: &'a Message,
    sent: bool,
}

fn packets(trace: &mut Trace, recording: &Recording) {
    let cast = &recording.cast;
    let mut ends: Vec<End> = Vec::new();
    for message in &recording.messages {
        let resource = cast.resource(message.resource);
        let (from, to) = (pid(message.from), pid(message.to));
        let out = format!("{resource} packets to {}", cast.host(message.to));
        let place = (from, trace.thread(from, out));
        ends.push(End { at: message.sent, place, message, sent: true });
        if let Fate::Arrived(at) = message.fate {
            let thread = format!("{resource} packets from {}", cast.host(message.from));
            let place = (to, trace.thread(to, thread));
            ends.push(End { at, place, message, sent: false });
        }
    }
    ends.sort_by_key(|end| (end.place, end.at));
    for (i, end) in ends.iter().enumerate() {
        // Slices of one thread must not overlap.
        let later = ends[i + 1..].iter().take_while(|next| next.place == end.place);
        let next = later.map(|next| next.at).find(|at| *at > end.at).unwrap_or(u64::MAX);
        let fate = match end.message.fate {
            Fate::Arrived(_) => "",
            Fate::Lost => " (lost)",
            Fate::OnItsWay => " (on its way)",
        };
        let mut args = String::new();
        let object = Object::new(&mut args).raw("bytes", end.message.bytes);
        object.text("text", &end.message.text).end();
        let name = format!("{}{fate}", end.message.name);
        trace.slice(end.place, &name, end.at, next.min(end.at + PACKET), &args);
    }
    flows(trace, &ends);
}

/// A packet, its answer, the answer's answer: one flow.
fn flows(trace: &mut Trace, ends: &[End]) {
    let mut roots: BTreeMap<u64, u64> = BTreeMap::new();
    let mut by_id: Vec<&End> = ends.iter().collect();
    by_id.sort_by_key(|end| (end.message.id, !end.sent));
    let mut chains: BTreeMap<u64, Vec<&End>> = BTreeMap::new();
    for end in by_id {
        let message = end.message;
        let arrived = matches!(message.fate, Fate::Arrived(_));
        let answered = message.answers.and_then(|id| roots.get(&id).copied());
        let root = answered.unwrap_or(message.id);
        if arrived {
            roots.insert(message.id, root);
        }
        if arrived || answered.is_some() {
            chains.entry(root).or_default().push(end);
        }
    }
    for (root, chain) in chains.into_iter().filter(|(_, chain)| chain.len() > 1) {
        let name = chain[0].message.name;
        for (i, end) in chain.iter().enumerate() {
            let ph = match i {
                0 => "s",
                i if i + 1 == chain.len() => "f",
                _ => "t",
            };
            trace.add(end.at, ph, end.place, name, |event| {
                let event = event.text("cat", "drbd").raw("id", root);
                if ph == "f" { event.text("bp", "e") } else { event }
            });
        }
    }
}

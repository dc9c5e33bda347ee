//! `events.jsonl`: one JSON object a line, so that `jq` and its like can ask.
//!
//! The first line is the header: `kind` is `header`, `schema` is [`SCHEMA`]; then what happened, in
//! order of time. Fields of every line:
//!
//! | field | meaning |
//! | --- | --- |
//! | `t_ns` | simulated nanoseconds since the run began |
//! | `source` | `run`, `plan`, `host`, `drbd`, `net`, `disk`, `vm`, `checker` |
//! | `kind` | what the line is; decides which other fields there are |
//! | `host`, `resource`, `volume`, `peer`, `vm` | names (`volume`: number); only where they apply |
//!
//! And by `kind`:
//!
//! * `header`: `schema`, `scenario`, `seed` (text), `quirk`, `commit`, `verdict`; of a failure
//!   `class`, `promise`, `what`, `failed_at_ns`, `decision_ns`; `end_ns`, `trace_hash`, `replay`,
//!   `hosts`, `resources`, `vms`, `cut` (how many entries are left out);
//! * `state`: `track` (`power`, `role`, `suspended`, `disk`, `quorum`, `connection`, `replication`,
//!   `peer-disk`, `vm`, `vm-host`), `from`, `to`; null: nobody is there to have one;
//! * `count`: `track` (`out-of-sync-bytes`, `unacked-writes`), `value`;
//! * `step`: `id`, `verb`, `do`;
//! * `packet`: `name`, `id`, `answers` (an id), `bytes`, `socket` (`data`, `control`), `fate`
//!   (`arrived`, `lost`, `on its way`), `arrived_ns`, `text`; `host` sent it to `peer`;
//! * `io`: `op`, `number`, `block`, `blocks`, `end` (`acked`, `failed`, `unknown`, `in flight`),
//!   `ended_ns`, `copies` (a mask of node ids);
//! * `stall`: `from_ns`, `ended`; the line's time is its end;
//! * `handshake`, `new-current-uuid`, `resync-done`, `peer-role`, `note`, `refused`, `link`,
//!   `host`, `vm`, `metadata-write`, `broken`: `text`, and `decides` where an engine made a
//!   decision that may cost data.

use super::json::{Object, list};
use super::{About, Change, Fate, Kind, Message, Place, Recording, Request, Track, Value};
use crate::log::Names;

/// Goes up when a reader of an older one would be wrong.
pub const SCHEMA: u32 = 1;

/// The whole file.
pub fn jsonl(recording: &Recording, about: &About) -> String {
    let mut out = String::new();
    header(&mut out, recording, about);
    let mut lines: Vec<(u64, u64, String)> = Vec::new();
    let mut add = |at: u64, seq: u64, write: &dyn Fn(Object)| {
        let mut line = String::new();
        write(Object::new(&mut line).raw("t_ns", at));
        lines.push((at, seq, line));
    };
    for change in &recording.changes {
        add(change.at, change.seq, &|line| state(line, recording, change));
    }
    for note in &recording.notes {
        add(note.at, note.seq, &|line| {
            let line = line.text("source", source(note.place, note.kind)).text("kind", note.kind);
            let line = place(line, recording, note.place).text("text", &note.text);
            if note.decides { line.raw("decides", true).end() } else { line.end() }
        });
    }
    for step in &recording.steps {
        add(step.at, step.seq, &|line| {
            let line = line.text("source", "plan").text("kind", "step");
            let line = line.maybe("id", step.id.as_deref()).text("verb", step.action.verb());
            line.text("do", &scenarios::describe_step(&step.action)).end();
        });
    }
    for message in &recording.messages {
        add(message.sent, message.seq, &|line| packet(line, recording, message));
    }
    for request in &recording.requests {
        add(request.at, request.seq, &|line| io(line, recording, request));
    }
    for stall in &recording.stalls {
        add(stall.to, stall.seq, &|line| {
            let line = line.text("source", "vm").text("kind", "stall");
            let line = line.text("vm", recording.cast.vm(stall.vm)).raw("from_ns", stall.from);
            line.raw("ended", stall.ended).end();
        });
    }
    lines.sort_by_key(|(at, seq, _)| (*at, *seq));
    for (_, _, line) in lines {
        out.push_str(&line);
        out.push('\n');
    }
    out
}

fn header(out: &mut String, recording: &Recording, about: &About) {
    let outcome = about.outcome;
    let failure = outcome.failure.as_ref();
    let cast = &recording.cast;
    let line = Object::new(out).raw("t_ns", 0).text("source", "run").text("kind", "header");
    let line = line.raw("schema", SCHEMA).text("scenario", about.scenario);
    let line = line.text("seed", about.seed).maybe("quirk", about.quirk);
    let line = line.text("commit", about.commit);
    let line = line.text("verdict", if failure.is_some() { "failed" } else { "passed" });
    let line = match failure {
        None => line,
        Some(failure) => line
            .text("class", failure.class.name())
            .text("promise", failure.promise)
            .text("what", &failure.what)
            .raw("failed_at_ns", failure.at)
            .number("decision_ns", outcome.decision()),
    };
    let hash = format!("{:#018x}", outcome.trace_hash);
    let line = line.raw("end_ns", recording.end).text("trace_hash", &hash);
    let resources: Vec<String> =
        (0..cast.resources.len()).map(|at| resource(recording, at)).collect();
    let vms: Vec<String> = cast
        .vms
        .iter()
        .map(|vm| {
            let mut text = String::new();
            let object = Object::new(&mut text).text("name", &vm.name);
            object.text("resource", cast.resource(vm.resource)).raw("volume", vm.volume).end();
            text
        })
        .collect();
    let cut = recording.cut;
    let mut left_out = String::new();
    let object = Object::new(&mut left_out).raw("packets", cut.packets);
    object.raw("requests", cut.requests).raw("changes", cut.changes).end();
    line.text("replay", about.replay)
        .raw("hosts", list(cast.hosts.iter().map(String::as_str)))
        .raw("resources", format!("[{}]", resources.join(",")))
        .raw("vms", format!("[{}]", vms.join(",")))
        .raw("cut", left_out)
        .end();
    out.push('\n');
}

fn resource(recording: &Recording, at: usize) -> String {
    let part = &recording.cast.resources[at];
    let nodes = part.nodes.iter().map(|(host, diskful)| {
        let mut text = String::new();
        let node = Object::new(&mut text).text("host", recording.cast.host(*host));
        node.raw("diskful", diskful).end();
        text
    });
    let nodes = format!("[{}]", nodes.collect::<Vec<_>>().join(","));
    let mut text = String::new();
    let object = Object::new(&mut text).text("name", &part.name).raw("volumes", part.volumes);
    object.raw("volume_bytes", part.bytes).raw("nodes", nodes).end();
    text
}

fn source(place: Place, kind: &str) -> &'static str {
    match (kind, place) {
        ("link", _) => "net",
        ("metadata-write", _) => "disk",
        (_, Place::Pool) => "checker",
        (_, Place::Host(_)) => "host",
        (_, Place::Resource(..)) => "drbd",
        (_, Place::Vm(_)) => "vm",
    }
}

fn place<'a>(line: Object<'a>, recording: &Recording, place: Place) -> Object<'a> {
    let cast = &recording.cast;
    match place {
        Place::Pool => line,
        Place::Host(host) => line.text("host", cast.host(host)),
        Place::Resource(host, resource) => {
            line.text("host", cast.host(host)).text("resource", cast.resource(resource))
        }
        Place::Vm(vm) => line.text("vm", cast.vm(vm)),
    }
}

fn of_track<'a>(line: Object<'a>, recording: &Recording, track: &Track) -> Object<'a> {
    let cast = &recording.cast;
    line.maybe("host", track.host.map(|host| cast.host(host)))
        .maybe("resource", track.resource.map(|resource| cast.resource(resource)))
        .number("volume", track.volume.map(u64::from))
        .maybe("peer", track.peer.map(|host| cast.host(host)))
        .maybe("vm", track.vm.map(|vm| cast.vm(vm)))
}

fn state(line: Object, recording: &Recording, change: &Change) {
    let track = &change.track;
    let source = match track.kind {
        Kind::Power => "host",
        Kind::Vm | Kind::VmHost | Kind::Unacked => "vm",
        _ => "drbd",
    };
    let line = line.text("source", source);
    if matches!(track.kind, Kind::OutOfSync | Kind::Unacked) {
        let value = match change.to {
            Value::Number(number) => number.to_string(),
            _ => "null".to_owned(),
        };
        let line = of_track(line.text("kind", "count"), recording, track);
        return line.text("track", track.kind.name()).raw("value", value).end();
    }
    let line = of_track(line.text("kind", "state"), recording, track);
    let line = line.text("track", track.kind.name());
    let line = value(line, recording, "from", change.from);
    value(line, recording, "to", change.to).end();
}

fn value<'a>(line: Object<'a>, recording: &Recording, key: &str, value: Value) -> Object<'a> {
    match value {
        Value::Word(word) => line.text(key, word),
        Value::Host(host) => line.text(key, recording.cast.host(host)),
        Value::Number(number) => line.raw(key, number),
        Value::None => line.raw(key, "null"),
    }
}

fn packet(line: Object, recording: &Recording, message: &Message) {
    let cast = &recording.cast;
    let line = line.text("source", "net").text("kind", "packet");
    let line = line.text("host", cast.host(message.from));
    let line = line.text("resource", cast.resource(message.resource));
    let line = line.text("peer", cast.host(message.to)).text("name", message.name);
    let line = line.raw("id", message.id).number("answers", message.answers);
    let line = line.raw("bytes", message.bytes);
    let line = line.text("socket", if message.control { "control" } else { "data" });
    let line = match message.fate {
        Fate::Arrived(at) => line.text("fate", "arrived").raw("arrived_ns", at),
        Fate::Lost => line.text("fate", "lost"),
        Fate::OnItsWay => line.text("fate", "on its way"),
    };
    line.text("text", &message.text).end();
}

fn io(line: Object, recording: &Recording, request: &Request) {
    let line = line.text("source", "vm").text("kind", "io");
    let line = line.text("vm", recording.cast.vm(request.vm)).text("op", request.kind);
    let line = line.number("number", Some(request.number).filter(|number| *number > 0));
    let line = line.raw("block", request.blocks.0).raw("blocks", request.blocks.1);
    let line = line.text("end", request.end).number("ended_ns", request.ended);
    line.number("copies", Some(request.copies.into()).filter(|copies| *copies > 0)).end();
}

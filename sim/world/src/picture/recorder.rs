//! Makes a recording: told what the log is told, and shown the pool when something changed.

use super::bounded::Bounded;
use super::wires::Wires;
use super::{
    Cast, Change, Cut, Kind, LedgerEntry, Message, Note, Place, Recording, Request, Stall, Struck,
    Track, Value,
};
use crate::log::{Entry, IoEnd, VmNote, What};
use drbd::core::event::Notice;
use drbd::ids::NodeId;
use scenarios::Do;
use std::collections::BTreeMap;

/// State changes and counters that are kept.
const CHANGES: usize = 200_000;
/// Notes that are kept.
const NOTES: usize = 50_000;
/// Writes of metadata that are kept.
const METADATA: usize = 20_000;
/// Packets that are kept, and again as many around decisions.
const PACKETS: usize = 40_000;
/// Requests of VMs that are kept, and again as many around decisions.
const REQUESTS: usize = 20_000;
/// Packets that stay before and after a decision.
const AROUND: usize = 400;
/// What nobody announces (out-of-sync bytes, unacknowledged writes) is looked at again after this,
/// if something happens at all, ns.
const LOOK_AGAIN: u64 = 20_000_000;

/// See the module's text.
pub struct Recorder {
    cast: Cast,
    now: BTreeMap<Track, Value>,
    changes: Bounded<Change>,
    notes: Bounded<Note>,
    metadata: Bounded<Note>,
    steps: Vec<Struck>,
    messages: Bounded<Message>,
    requests: Bounded<Request>,
    stalls: Vec<Stall>,
    wires: Wires,
    /// Requests that have not ended.
    open: Vec<Request>,
    seq: u64,
    stale: bool,
    looked: u64,
    about: Option<u16>,
    block: Option<(u16, u16, u64)>,
    entry: Option<LedgerEntry>,
}

impl Recorder {
    /// Nothing happened yet.
    pub fn new(cast: Cast) -> Recorder {
        Recorder {
            cast,
            now: BTreeMap::new(),
            changes: Bounded::new(CHANGES),
            notes: Bounded::new(NOTES),
            metadata: Bounded::new(METADATA),
            steps: Vec::new(),
            messages: Bounded::new(PACKETS),
            requests: Bounded::new(REQUESTS),
            stalls: Vec::new(),
            wires: Wires::default(),
            open: Vec::new(),
            seq: 0,
            stale: true,
            looked: 0,
            about: None,
            block: None,
            entry: None,
        }
    }

    fn next(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// Should the whole pool be looked at now?
    pub fn wants_look(&mut self, now: u64) -> bool {
        let wants = self.stale || now >= self.looked + LOOK_AGAIN;
        if wants {
            (self.stale, self.looked) = (false, now);
        }
        wants
    }

    /// A track has this value.
    pub fn set(&mut self, at: u64, track: Track, to: Value) {
        let from = self.now.get(&track).copied().unwrap_or(Value::None);
        if from != to {
            self.now.insert(track, to);
            let seq = self.next();
            self.changes.push(Change { at, seq, track, from, to });
        }
    }

    /// A step of the plan strikes.
    pub fn struck(&mut self, at: u64, id: Option<&String>, action: &Do) {
        self.stale = true;
        let (seq, id, action) = (self.next(), id.cloned(), action.clone());
        self.steps.push(Struck { at, seq, id, action });
    }

    /// Metadata of a volume is written.
    pub fn metadata(&mut self, at: u64, host: u16, resource: u16) {
        let (seq, place) = (self.next(), Place::Resource(host, resource));
        let text = "metadata is given to the disk".to_owned();
        let kind = "metadata-write";
        self.metadata.push(Note { at, seq, place, kind, text, decides: false });
    }

    /// The resource in which a promise broke, and the block if it is one.
    pub fn broke(&mut self, resource: Option<usize>) {
        self.about = self.about.or(resource.map(|at| at as u16));
    }

    /// The block in which a promise is about to break.
    pub fn broke_at(&mut self, resource: usize, volume: usize, block: u64) {
        self.block.get_or_insert((resource as u16, volume as u16, block));
    }

    /// The block in which a promise broke.
    pub fn broken_block(&self) -> Option<(u16, u16, u64)> {
        self.block
    }

    /// What the ledger has of it.
    pub fn ledger_entry(&mut self, entry: LedgerEntry) {
        self.entry = Some(entry);
    }

    fn note(&mut self, at: u64, place: Place, kind: &'static str, text: String) {
        let seq = self.next();
        self.notes.push(Note { at, seq, place, kind, text, decides: false });
    }

    fn decision(&mut self, at: u64, place: Place, kind: &'static str, text: String) {
        let seq = self.next();
        self.notes.push(Note { at, seq, place, kind, text, decides: true });
        self.messages.keep_around(AROUND, AROUND);
        self.metadata.keep_around(AROUND / 8, AROUND / 8);
        self.requests.keep_around(AROUND / 4, AROUND / 4);
    }

    /// The log has one more entry.
    pub fn hear(&mut self, entry: &Entry) {
        let at = entry.at;
        match &entry.what {
            What::Packet { host, resource, peer, sent, packet } => {
                let Some(peer) = self.cast.host_of(*resource, *peer) else { return };
                let seq = self.next();
                let done = match sent {
                    true => self.wires.sent((at, seq), (*resource, *host, peer), packet),
                    false => self.wires.arrived(at, (*resource, peer, *host), packet),
                };
                done.into_iter().for_each(|message| self.messages.push(message));
                return;
            }
            What::Io { vm, kind, start, count, number, end } => {
                return self.io(at, *vm, kind, (*start, *count), *number, *end);
            }
            // The step itself is told of elsewhere.
            What::Plan(_) => {}
            What::Notice { host, resource, notice } => {
                self.noticed(entry, *host, *resource, notice);
            }
            What::Refused { host, resource, .. } => {
                let place = Place::Resource(*host, *resource);
                self.note(at, place, "refused", self.said(entry));
            }
            What::Link { host, resource, peer, up } => {
                let place = Place::Resource(*host, *resource);
                self.note(at, place, "link", self.said(entry));
                if let (true, Some(peer)) = (*up, self.cast.host_of(*resource, *peer)) {
                    let lost = self.wires.up(&self.cast, *resource, *host, peer);
                    lost.into_iter().for_each(|message| self.messages.push(message));
                }
            }
            What::Host(host, _) => self.note(at, Place::Host(*host), "host", self.said(entry)),
            What::Command(host, _) => {
                self.note(at, Place::Host(*host), "command", self.said(entry));
            }
            What::Vm(vm, note) => self.vm(entry, *vm, *note),
            What::Broken(text) => self.decision(at, Place::Pool, "broken", text.clone()),
        }
        self.stale = true;
    }

    fn said(&self, entry: &Entry) -> String {
        entry.line(&self.cast).text
    }

    fn noticed(&mut self, entry: &Entry, host: u16, resource: u16, notice: &Notice) {
        let at = entry.at;
        let peer = |node: NodeId| self.cast.host_of(resource, node).unwrap_or(u16::MAX);
        let of = |kind| Track::of(kind, host, resource);
        let yes = |yes: bool| Value::Word(if yes { "yes" } else { "no" });
        let (track, value) = match notice {
            Notice::Role(role) => (of(Kind::Role), Value::Word(role.name())),
            Notice::Disk(v, disk) => (of(Kind::Disk).volume(v.0), Value::Word(disk.name())),
            Notice::Quorum(v, has) => (of(Kind::Quorum).volume(v.0), yes(*has)),
            Notice::Suspended(is) => (of(Kind::Suspended), yes(*is)),
            Notice::Connection(n, state) => {
                (of(Kind::Connection).peer(peer(*n)), Value::Word(state.name()))
            }
            Notice::Repl(n, v, repl) => {
                (of(Kind::Replication).volume(v.0).peer(peer(*n)), Value::Word(repl.name()))
            }
            Notice::PeerDisk(n, v, disk) => {
                (of(Kind::PeerDisk).volume(v.0).peer(peer(*n)), Value::Word(disk.name()))
            }
            notice => {
                let (kind, decides) = match notice {
                    Notice::Handshake(_, _, _, verdict) => ("handshake", *verdict != "none"),
                    Notice::NewCurrentUuid(..) => ("new-current-uuid", true),
                    Notice::ResyncDone(..) => ("resync-done", false),
                    Notice::PeerRole(..) => ("peer-role", false),
                    _ => ("note", false),
                };
                let (place, text) = (Place::Resource(host, resource), self.said(entry));
                return match decides {
                    true => self.decision(at, place, kind, text),
                    false => self.note(at, place, kind, text),
                };
            }
        };
        self.set(at, track, value);
    }

    fn vm(&mut self, entry: &Entry, vm: u16, note: VmNote) {
        let at = entry.at;
        self.note(at, Place::Vm(vm), "vm", self.said(entry));
        match note {
            VmNote::IoBack(ns) => self.stalled(vm, at.saturating_sub(ns), at, true),
            VmNote::IoError | VmNote::HostDied | VmNote::Stopped => {
                for request in self.open.extract_if(.., |request| request.vm == vm) {
                    let ended = Some(at);
                    self.requests.push(Request { ended, end: "unknown", ..request });
                }
            }
            _ => {}
        }
    }

    /// A VM waited for I/O.
    pub fn stalled(&mut self, vm: u16, from: u64, to: u64, ended: bool) {
        let seq = self.next();
        self.stalls.push(Stall { vm, from, to, ended, seq });
    }

    fn io(
        &mut self,
        at: u64,
        vm: u16,
        kind: &'static str,
        blocks: (u64, u32),
        number: u64,
        end: IoEnd,
    ) {
        let (end, copies) = match end {
            IoEnd::Submitted => {
                let seq = self.next();
                let (ended, end, copies) = (None, "in flight", 0);
                let request = Request { at, seq, vm, kind, number, blocks, ended, end, copies };
                return self.open.push(request);
            }
            IoEnd::Acked(copies) => ("acked", copies),
            IoEnd::Failed => ("failed", 0),
        };
        let same = |open: &Request| {
            open.vm == vm && open.kind == kind && open.number == number && open.blocks == blocks
        };
        if let Some(place) = self.open.iter().position(same) {
            let ended = Some(at);
            self.requests.push(Request { ended, end, copies, ..self.open.remove(place) });
        }
    }

    /// Writes and discards of a VM that are not acknowledged.
    pub fn unacked(&self, vm: u16) -> u64 {
        let open = self.open.iter().filter(|request| request.vm == vm && request.number > 0);
        open.count() as u64
    }

    /// Who takes part.
    pub fn cast(&self) -> &Cast {
        &self.cast
    }

    /// The run is over.
    pub fn finish(mut self, end: u64) -> Recording {
        let left = self.wires.end(end);
        left.into_iter().for_each(|message| self.messages.push(message));
        let open = std::mem::take(&mut self.open);
        open.into_iter().for_each(|request| self.requests.push(request));
        let cut = Cut {
            packets: self.messages.dropped(),
            requests: self.requests.dropped(),
            changes: self.changes.dropped() + self.notes.dropped() + self.metadata.dropped(),
        };
        let mut notes = self.notes.into_sorted(|note| note.seq);
        notes.extend(self.metadata.into_sorted(|note| note.seq));
        notes.sort_by_key(|note| note.seq);
        self.stalls.sort_by_key(|stall| (stall.from, stall.seq));
        Recording {
            cast: self.cast,
            end,
            about: self.about.or(self.block.map(|(resource, ..)| resource)),
            changes: self.changes.into_sorted(|change| change.seq),
            notes,
            steps: self.steps,
            messages: self.messages.into_sorted(|message| message.seq),
            requests: self.requests.into_sorted(|request| request.seq),
            stalls: self.stalls,
            entry: self.entry,
            cut,
        }
    }
}

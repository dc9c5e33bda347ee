//! Commands that run on this host: small state machines that take modelled time, call into the
//! kernel, and wait for what it answers.

use super::{Host, OWN, Out, What};
use crate::commands::drbdadm::{Call, Item, plan, terminated};
use crate::commands::events2::{Asked, changes, exists, timestamp};
use crate::commands::texts::{Bad, UNABLE};
use crate::commands::view::ResourceView;
use crate::res::Files;
use crate::wire::Wire;
use drbd::core::event::{CommandId, Refusal};
use drbd::state::{ConnState, ReplState};
use models::net::Net;
use models::{SimTime, Span};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Commands of administrators have this bit in the number that the engine answers with.
pub(super) const OWN_EXEC: u64 = OWN | 1 << 42;

/// From fork to the first call into the kernel, as measured with drbd-utils 9.22 on an idle
/// machine:
/// ten `drbdadm --dry-run up` took 69 ms, ten of `drbdsetup` 26 ms, ten of `drbdmeta` 55 ms.
const DRBDADM: Span = Span::ms(7);
const DRBDSETUP: Span = Span::us(2_600);
const DRBDMETA: Span = Span::us(5_500);
/// drbdsetup asks again after this while the kernel is in a transient state, twice as long each
/// time, up to ten seconds.
const RETRY: Span = Span::us(62_500);
const RETRY_MAX: Span = Span::secs(10);
/// A command of scripts that goes wild: more lines in one run of it are not kept.
const MOST_CALLS: usize = 10_000;

/// How a call ended.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Exit {
    pub code: u8,
    pub out: String,
    pub err: String,
}

impl Exit {
    pub fn said(out: String) -> Exit {
        Exit { out, ..Exit::default() }
    }

    pub fn fails(code: u8, err: String) -> Exit {
        Exit { code, err, ..Exit::default() }
    }

    /// Did the modelled kernel say that it cannot do this at all?
    fn is_unable(&self) -> bool {
        self.err.contains(UNABLE)
    }

    pub fn of(result: Result<(), Bad>, object: &str) -> Exit {
        match result {
            Ok(()) => Exit::default(),
            Err(bad) => {
                let (err, code) = bad.told(object);
                Exit { code, err, ..Exit::default() }
            }
        }
    }
}

/// How a call began.
pub(super) enum Begun {
    /// It is over.
    Over(Exit),
    /// It has done what it does, and ends after this.
    Ends(Exit, Span),
    /// The engine of this slot was asked, under a number that [`Host::ask`] gave, about an object.
    Asks(usize, drbd::core::event::Command, String),
    /// It waits for a state.
    Waits(Wait),
    /// It tells of every change from now on.
    Streams(Stream),
}

/// `wait-connect-…` and `wait-sync-…`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wait {
    pub resource: String,
    pub peer: Option<u8>,
    pub volume: Option<u16>,
    /// Until resyncs are over, not only begun.
    pub sync: bool,
    /// StandAlone does not end it.
    pub after_split_brain: bool,
    /// It gives up.
    pub until: SimTime,
}

/// `events2`.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Stream {
    pub asked: Asked,
    pub resource: Option<String>,
    /// What was told last, by name.
    pub told: BTreeMap<String, ResourceView>,
}

#[derive(Clone, PartialEq, Debug)]
enum Doing {
    /// It is being loaded, and reads its files.
    Starts,
    /// The call is made when it is due.
    Calls(Call),
    /// The engine answers under this number.
    Asked {
        call: Call,
        ask: u64,
        object: String,
    },
    Waits(Call, Wait),
    Streams(Call, Stream),
    /// It ends so when it is due.
    Ends(Call, Exit),
}

struct Running {
    /// As the caller named it.
    id: u64,
    /// Program and arguments.
    argv: Vec<String>,
    items: VecDeque<Item>,
    dry: bool,
    verbose: bool,
    doing: Doing,
    due: SimTime,
    retry: Span,
    code: u8,
    /// Resources that nothing more is done for.
    failed: BTreeSet<String>,
}

/// All commands of a host.
#[derive(Default)]
pub(super) struct Commands {
    running: Vec<Running>,
    asks: u32,
    /// Something that a waiting command looks at has changed.
    changed: bool,
}

impl Commands {
    pub fn next_due(&self) -> SimTime {
        self.running.iter().map(|running| running.due).min().unwrap_or(SimTime::FAR)
    }

    /// Does a command look at what engines do?
    pub fn watch(&self) -> bool {
        let watches = |r: &Running| matches!(r.doing, Doing::Waits(..) | Doing::Streams(..));
        self.running.iter().any(watches)
    }

    /// The kernel is gone: so are they, and nobody hears of it.
    pub fn clear(&mut self) {
        self.running.clear();
    }

    fn place(&self, id: u64) -> Option<usize> {
        self.running.iter().position(|running| running.id == id)
    }
}

/// The program of a path.
pub(super) fn program(argv: &[String]) -> &str {
    argv.first().map_or("", |word| word.rsplit('/').next().unwrap_or(word))
}

impl Host {
    /// Has the kernel's user space a program of this name?
    pub fn has_program(name: &str) -> bool {
        let name = name.rsplit('/').next().unwrap_or(name);
        // Commands of other subsystems find their place here, and in `Host::begin`.
        matches!(name, "drbdadm" | "drbdsetup" | "drbdmeta") || crate::lvm::knows(name)
    }

    /// The host's files that commands read.
    pub fn files_mut(&mut self) -> &mut Files {
        &mut self.files
    }

    /// Starts a command, under a number that the caller chooses. What it prints and how it ends
    /// comes as [`What::Printed`] and [`What::Exited`]. Without a running kernel nothing happens.
    pub fn exec(&mut self, now: SimTime, id: u64, argv: &[String], out: &mut Vec<Out>) {
        if !self.is_acting() {
            return;
        }
        let name = program(argv);
        if !Host::has_program(name) {
            let text = format!("sh: 1: {name}: not found\n");
            out.push(Out { slot: 0, what: What::Printed { id, error: true, text } });
            return out.push(Out { slot: 0, what: What::Exited { id, code: 127 } });
        }
        self.clock = now;
        for slot in 0..self.slots.len() {
            let shape = self.shape(slot);
            self.slots[slot].shape = shape;
        }
        self.commands.running.push(Running {
            id,
            argv: argv.to_vec(),
            items: VecDeque::new(),
            dry: false,
            verbose: false,
            doing: Doing::Starts,
            due: now + takes(argv),
            retry: RETRY,
            code: 0,
            failed: BTreeSet::new(),
        });
    }

    /// Ends a command where it stands. What it asked of the kernel goes on.
    pub fn kill_command(&mut self, id: u64) {
        self.commands.running.retain(|running| running.id != id);
    }

    /// Does this command run?
    pub fn runs_command(&self, id: u64) -> bool {
        self.commands.place(id).is_some()
    }

    /// Moves every command that is due.
    pub(super) fn run_commands(&mut self, now: SimTime, net: &mut Net<Wire>, out: &mut Vec<Out>) {
        while let Some(at) = self.commands.running.iter().position(|r| r.due <= now) {
            let id = self.commands.running[at].id;
            match self.commands.running[at].doing.clone() {
                Doing::Starts => {
                    self.read_arguments(at);
                    self.go_on(now, id, out);
                }
                Doing::Calls(call) => self.make(now, id, call, net, out),
                Doing::Waits(call, _) => {
                    let exit = Exit { code: 5, ..Exit::default() };
                    self.called(now, id, call, exit, out);
                }
                Doing::Ends(call, exit) => self.called(now, id, call, exit, out),
                Doing::Asked { .. } | Doing::Streams(..) => {
                    self.commands.running[at].due = SimTime::FAR;
                }
            }
        }
    }

    fn read_arguments(&mut self, at: usize) {
        let argv = self.commands.running[at].argv.clone();
        if program(&argv) != "drbdadm" {
            let call = Call { argv, resource: String::new(), needed: false, otherwise: None };
            self.commands.running[at].items.push_back(Item::Call(call));
            return;
        }
        let view = |name: &str| self.slot_named(name).and_then(|slot| self.view(slot));
        let plan = plan(&self.files, self.name(), &argv[1..], &view);
        let running = &mut self.commands.running[at];
        (running.dry, running.verbose, running.code) = (plan.dry, plan.verbose, plan.code);
        running.items = plan.items.into_iter().take(MOST_CALLS).collect();
    }

    fn print(out: &mut Vec<Out>, id: u64, error: bool, text: String) {
        if !text.is_empty() {
            out.push(Out { slot: 0, what: What::Printed { id, error, text } });
        }
    }

    /// Takes the next step of a command.
    fn go_on(&mut self, now: SimTime, id: u64, out: &mut Vec<Out>) {
        let Some(at) = self.commands.place(id) else { return };
        loop {
            let running = &mut self.commands.running[at];
            match running.items.pop_front() {
                Some(Item::Say(text)) => Self::print(out, id, false, text),
                Some(Item::Warn(text)) => Self::print(out, id, true, text),
                Some(Item::Call(call)) if running.dry || running.verbose => {
                    let lines = [Some(&call.argv), call.otherwise.as_ref()];
                    let shown = if running.dry { &lines[..] } else { &lines[..1] };
                    let text: String =
                        shown.iter().flatten().map(|argv| argv.join(" ") + "\n").collect();
                    let dry = running.dry;
                    Self::print(out, id, false, text);
                    if !dry {
                        return self.line_up(now, at, call);
                    }
                }
                Some(Item::Call(call)) if running.failed.contains(&call.resource) => {}
                Some(Item::Call(call)) => return self.line_up(now, at, call),
                None => {
                    let code = running.code;
                    self.commands.running.remove(at);
                    return out.push(Out { slot: 0, what: What::Exited { id, code } });
                }
            }
        }
    }

    fn line_up(&mut self, now: SimTime, at: usize, call: Call) {
        let running = &mut self.commands.running[at];
        // What was started by itself is loaded already.
        let own = program(&running.argv) != "drbdadm";
        running.due = if own { now } else { now + takes(&call.argv) };
        running.retry = RETRY;
        running.doing = Doing::Calls(call);
    }

    /// Makes a call.
    fn make(&mut self, now: SimTime, id: u64, call: Call, net: &mut Net<Wire>, out: &mut Vec<Out>) {
        let begun = self.begin(now, &call.argv, net, out);
        for slot in 0..self.slots.len() {
            self.watched(now, slot, out);
        }
        let Some(at) = self.commands.place(id) else { return };
        match begun {
            Begun::Over(exit) => self.called(now, id, call, exit, out),
            Begun::Ends(exit, takes) => {
                let running = &mut self.commands.running[at];
                running.due = now + takes;
                running.doing = Doing::Ends(call, exit);
            }
            Begun::Asks(slot, command, object) => {
                self.commands.asks = self.commands.asks.wrapping_add(1);
                let ask = OWN_EXEC | u64::from(self.commands.asks);
                let running = &mut self.commands.running[at];
                running.due = SimTime::FAR;
                let down = command == drbd::core::event::Command::Down;
                running.doing = Doing::Asked { call, ask, object };
                if down {
                    self.slots[slot].phase = crate::slot::Phase::GoingDown;
                    self.slots[slot].down_asked = Some(ask);
                }
                let event = drbd::core::event::Event::Command(CommandId(ask), command);
                self.step(now, slot, event, net, out);
            }
            Begun::Waits(wait) => {
                let running = &mut self.commands.running[at];
                running.due = wait.until;
                running.doing = Doing::Waits(call, wait);
                self.commands.changed = true;
                self.look_at_waits(now, out);
            }
            Begun::Streams(stream) => {
                let running = &mut self.commands.running[at];
                running.due = SimTime::FAR;
                let asked = stream.asked;
                running.doing = Doing::Streams(call.clone(), stream);
                self.begin_stream(now, id, out);
                if asked.now {
                    self.called(now, id, call, Exit::default(), out);
                }
            }
        }
    }

    /// The engine has answered an administrator's command.
    pub(super) fn exec_reply(
        &mut self,
        now: SimTime,
        slot: usize,
        (id, result): (CommandId, Result<(), Refusal>),
        net: &mut Net<Wire>,
        out: &mut Vec<Out>,
    ) {
        // Also when whoever asked was killed in between.
        if self.slots[slot].down_asked == Some(id.0) {
            self.slots[slot].down_asked = None;
            match result {
                Ok(()) => self.is_down(now, slot, net, out),
                Err(_) => self.slots[slot].phase = crate::slot::Phase::Up,
            }
        }
        let asked = |r: &Running| matches!(&r.doing, Doing::Asked { ask, .. } if *ask == id.0);
        let Some(at) = self.commands.running.iter().position(asked) else { return };
        let running = &mut self.commands.running[at];
        let (id, retry) = (running.id, running.retry);
        let Doing::Asked { call, object, .. } = running.doing.clone() else { return };
        if result == Err(Refusal::InTransientState) {
            running.due = now + retry;
            running.retry = if retry < RETRY_MAX { retry + retry } else { retry };
            running.doing = Doing::Calls(call);
            return;
        }
        let exit = Exit::of(result.map_err(Bad::State), &object);
        self.called(now, id, call, exit, out);
    }

    /// A call is over.
    fn called(&mut self, now: SimTime, id: u64, call: Call, exit: Exit, out: &mut Vec<Out>) {
        let Some(at) = self.commands.place(id) else { return };
        if let (true, Some(other)) = (exit.code != 0 && !exit.is_unable(), call.otherwise) {
            let call = Call { argv: other, otherwise: None, ..call };
            return self.line_up(now, at, call);
        }
        Self::print(out, id, false, exit.out);
        Self::print(out, id, true, exit.err);
        let running = &mut self.commands.running[at];
        if exit.code != 0 {
            running.code = running.code.max(exit.code);
            if call.needed {
                running.failed.insert(call.resource);
            }
            if program(&running.argv) == "drbdadm" {
                Self::print(out, id, true, terminated(&call.argv, exit.code));
            }
        }
        self.go_on(now, id, out);
    }

    // ---- commands that watch ----

    /// Something happened to a resource.
    pub(super) fn watched(&mut self, now: SimTime, slot: usize, out: &mut Vec<Out>) {
        if !self.commands.watch() {
            return;
        }
        self.commands.changed = true;
        let view = self.view(slot);
        let name = self.slots[slot].fixed.config.name.clone();
        for at in 0..self.commands.running.len() {
            let running = &mut self.commands.running[at];
            let id = running.id;
            let Doing::Streams(_, stream) = &mut running.doing else { continue };
            if stream.resource.as_ref().is_some_and(|wanted| *wanted != name) {
                continue;
            }
            let old = stream.told.get(&name);
            let lines = changes(stream.asked, old, view.as_ref());
            match &view {
                Some(view) => drop(stream.told.insert(name.clone(), view.clone())),
                None => drop(stream.told.remove(&name)),
            }
            let text = told(now, stream.asked, &lines);
            Self::print(out, id, false, text);
        }
        self.look_at_waits(now, out);
    }

    /// A helper program of the kernel was called for a resource.
    pub(super) fn helped(
        &mut self,
        now: SimTime,
        slot: usize,
        helper: crate::commands::events2::Helper,
        out: &mut Vec<Out>,
    ) {
        if !self.commands.watch() {
            return;
        }
        let Some(view) = self.view(slot) else { return };
        let lines = crate::commands::events2::helper(&view, helper);
        for running in &self.commands.running {
            let Doing::Streams(_, stream) = &running.doing else { continue };
            if stream.resource.as_ref().is_none_or(|wanted| *wanted == view.name) {
                Self::print(out, running.id, false, told(now, stream.asked, &lines));
            }
        }
    }

    fn begin_stream(&mut self, now: SimTime, id: u64, out: &mut Vec<Out>) {
        let views: Vec<ResourceView> = self.views();
        let Some(at) = self.commands.place(id) else { return };
        let Doing::Streams(_, stream) = &mut self.commands.running[at].doing else { return };
        let wanted =
            |view: &ResourceView| stream.resource.as_ref().is_none_or(|name| *name == view.name);
        let views: Vec<ResourceView> = views.into_iter().filter(wanted).collect();
        let lines = exists(stream.asked, &views);
        stream.told = views.into_iter().map(|view| (view.name.clone(), view)).collect();
        let text = told(now, stream.asked, &lines);
        Self::print(out, id, false, text);
    }

    fn look_at_waits(&mut self, now: SimTime, out: &mut Vec<Out>) {
        if !std::mem::take(&mut self.commands.changed) {
            return;
        }
        let waiting = |r: &Running| match &r.doing {
            Doing::Waits(call, wait) => Some((r.id, call.clone(), wait.clone())),
            _ => None,
        };
        let all: Vec<_> = self.commands.running.iter().filter_map(waiting).collect();
        for (id, call, wait) in all {
            let view = self.slot_named(&wait.resource).and_then(|slot| self.view(slot));
            if view.is_none_or(|view| wait.is_over(&view)) {
                self.called(now, id, call, Exit::default(), out);
            }
        }
    }
}

impl Wait {
    fn is_over(&self, view: &ResourceView) -> bool {
        let mut all = true;
        for connection in &view.connections {
            if self.peer.is_some_and(|peer| connection.node.index() != usize::from(peer)) {
                continue;
            }
            if connection.state == ConnState::StandAlone && !self.after_split_brain {
                return true;
            }
            for peer in &connection.peer_devices {
                if self.volume.is_some_and(|volume| volume != peer.volume) {
                    continue;
                }
                let begun = !self.sync && peer.repl > ReplState::Established;
                all &= peer.repl == ReplState::Established || begun;
            }
        }
        all
    }
}

/// Lines with their times.
fn told(now: SimTime, asked: Asked, lines: &[String]) -> String {
    let time = if asked.timestamps { timestamp(now.as_nanos()) } else { String::new() };
    lines.iter().map(|line| format!("{time}{line}\n")).collect()
}

fn takes(argv: &[String]) -> Span {
    match program(argv) {
        "drbdadm" => DRBDADM,
        "drbdmeta" => DRBDMETA,
        // LVM says itself how long its commands take.
        name if crate::lvm::knows(name) => Span::ZERO,
        _ => DRBDSETUP,
    }
}

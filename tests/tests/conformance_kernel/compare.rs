//! A script on both sides, step by step: where they differ.

use crate::pair::Pair;
use drbd::core::event::Refusal;
use images::events::in_drbd9;
use images::script::Script;
use images::transcript::{Transcript, What, blocks};
use models::Span;
use scenarios::{Do, Step};
use std::collections::BTreeMap;

/// How long the engine is left alone at the end of a script, as guests are.
const QUIET: Span = Span::ms(1_500);

/// Fields that are compared, and what each is before anything happened.
const FIELDS: [(&str, &str); 6] = [
    ("role", "Secondary"),
    ("connection", "StandAlone"),
    ("peer-role", "Unknown"),
    ("disk", "Diskless"),
    ("peer-disk", "DUnknown"),
    ("replication", "Off"),
];

/// Options that the engine has not.
const LACKS: [&str; 1] = ["allow-two-primaries"];

/// Something that is not the same.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Difference {
    /// Script, with its variant.
    pub script: String,
    /// Step.
    pub step: String,
    /// Host.
    pub host: String,
    /// A field, `rest.` and a field, `exit`, `blocks`.
    pub what: String,
    /// In the kernel: a sequence is joined by `>`.
    pub kernel: String,
    /// In the engine.
    pub engine: String,
}

/// What was seen, by step, host and field.
type Seen = BTreeMap<(String, String, String), Vec<String>>;

/// Plays a script on the engine and compares; or why it cannot be played.
pub fn compare(script: &Script, transcript: &Transcript) -> Result<Vec<Difference>, String> {
    let kernel = of_kernel(script, transcript);
    let lacks = |name: &&String| LACKS.contains(&name.as_str());
    if let Some(option) = script.net.keys().find(lacks) {
        return Err(format!("the engine has no {option}"));
    }
    let engine = Player::new(script, &kernel).play()?;
    let keys: std::collections::BTreeSet<_> = kernel.keys().chain(engine.keys()).collect();
    let mut all = Vec::new();
    for key in keys {
        let text = |seen: &Seen| seen.get(key).map(|it| it.join(">")).unwrap_or_default();
        let (in_kernel, in_engine) = (text(&kernel), text(&engine));
        if in_kernel != in_engine {
            let (step, host, what) = key.clone();
            let script = script.name.clone();
            let (kernel, engine) = (in_kernel, in_engine);
            all.push(Difference { script, step, host, what, kernel, engine });
        }
    }
    Ok(all)
}

/// Appends a value if it is new.
fn note(
    seen: &mut Seen,
    last: &mut BTreeMap<String, String>,
    key: (&str, &str, &str),
    value: &str,
) {
    let old = last.insert(key.2.to_owned(), value.to_owned());
    if old.as_deref() != Some(value) {
        let key = (key.0.to_owned(), key.1.to_owned(), key.2.to_owned());
        seen.entry(key).or_default().push(value.to_owned());
    }
}

fn beginning() -> BTreeMap<String, String> {
    FIELDS.map(|(field, value)| (field.to_owned(), value.to_owned())).into()
}

/// The words of 9, and a peer's disk that is not there.
fn translated(field: &str, value: &str) -> String {
    if field == "connection" { in_drbd9(value).to_owned() } else { value.to_owned() }
}

/// What a rest holds, with the fields of what 8.4 forgets.
fn note_rest(seen: &mut Seen, step: &str, host: &str, rest: &BTreeMap<String, String>) {
    for (field, gone) in FIELDS.into_iter().chain([("out-of-sync", "")]) {
        // 8.4 knows nothing of a connection that it was told to leave.
        let forgotten = field == "peer-disk" && !rest.contains_key("connection");
        let value = rest.get(field).map_or(gone.to_owned(), |value| translated(field, value));
        let told = field != "out-of-sync" || !value.is_empty();
        if told && !forgotten {
            let key = (step.to_owned(), host.to_owned(), format!("rest.{field}"));
            seen.insert(key, vec![value]);
        }
    }
}

fn of_kernel(script: &Script, transcript: &Transcript) -> Seen {
    let mut seen = Seen::new();
    let mut last: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for line in &transcript.lines {
        let (step, host) = (line.step.as_str(), line.host.as_str());
        let last = last.entry(host.to_owned()).or_insert_with(beginning);
        if boots(script, step, host)
            && matches!(&line.what, What::Saw(new) if new.contains("role:Secondary suspended"))
        {
            *last = beginning();
        }
        let key = |what: &str| (step.to_owned(), host.to_owned(), what.to_owned());
        match &line.what {
            What::Saw(new) => {
                for (field, value) in new.split(' ').filter_map(|word| word.split_once(':')) {
                    if FIELDS.iter().any(|(known, _)| *known == field) {
                        let value = translated(field, value);
                        note(&mut seen, last, (step, host, field), &value);
                    }
                }
            }
            What::Ran { exit, said, .. } => {
                seen.insert(key("exit"), vec![verdict(*exit, said)]);
            }
            What::Rest(rest) => {
                if step == "begin" {
                    last.extend(rest.iter().map(|(k, v)| (k.clone(), translated(k, v))));
                }
                note_rest(&mut seen, step, host, rest);
            }
            What::Blocks(blocks) => {
                seen.insert(key("blocks"), blocks.clone());
            }
            What::Helper { .. } | What::Log(_) => {}
        }
    }
    seen
}

/// Does the host get power in this step?
fn boots(script: &Script, step: &str, host: &str) -> bool {
    let named = |it: &&Step| it.id.as_deref() == Some(step);
    let found = script.scenario.step.iter().find(named);
    found.is_some_and(|step| matches!(&step.action, Do::Boot { host: at } if at == host))
}

/// `ok`, DRBD's number of a refusal, or the exit code.
fn verdict(exit: Option<i32>, said: &[String]) -> String {
    let number = said.iter().find_map(|line| {
        let (_, rest) = line.split_once(" failed: (").or_else(|| line.split_once("Failure: ("))?;
        rest.split_once(')').map(|(number, _)| number.to_owned())
    });
    match (exit, number) {
        (Some(0), _) => "ok".to_owned(),
        (_, Some(number)) => number,
        (Some(code), None) => format!("exit {code}"),
        (None, None) => "no end".to_owned(),
    }
}

fn spelled(reply: Result<(), Refusal>) -> String {
    reply.map_or_else(|refusal| refusal.number().to_string(), |()| "ok".to_owned())
}

struct Player<'a> {
    script: &'a Script,
    kernel: &'a Seen,
    pair: Pair,
    seen: Seen,
    last: Vec<BTreeMap<String, String>>,
    step: String,
}

impl<'a> Player<'a> {
    fn new(script: &'a Script, kernel: &'a Seen) -> Player<'a> {
        Player {
            script,
            kernel,
            pair: Pair::new(script),
            seen: Seen::new(),
            last: vec![beginning(), beginning()],
            step: "begin".to_owned(),
        }
    }

    fn host(&self, name: &str) -> usize {
        let hosts = &self.script.scenario.pool.hosts;
        hosts.iter().position(|known| known == name).expect("a validated scenario names hosts")
    }

    fn play(mut self) -> Result<Seen, String> {
        if !self.script.fresh {
            (0..2).for_each(|at| self.pair.up(at));
            self.pair.run(Span::secs(5));
            for at in 0..2 {
                self.pair.told[at].clear();
                self.last[at].extend(self.pair.rest(at));
            }
        }
        for step in &self.script.scenario.step {
            let id = step.id.clone().unwrap_or_default();
            if let Some(that) = &step.when.that {
                let waited = self.pair.wait_for(self.script, that);
                waited.map_err(|missing| format!("before step {id}: {missing}"))?;
            }
            self.pair.run(Span(step.when.wait));
            self.end_step(step.when.wait > 0 || self.step == "begin");
            self.step = id;
            self.strike(&step.action)?;
        }
        for expect in &self.script.scenario.expect {
            let waited = self.pair.wait_for(self.script, &expect.that);
            waited.map_err(|missing| format!("at the end: {missing}"))?;
        }
        self.pair.run(QUIET);
        self.end_step(true);
        for at in 0..2 {
            let host = self.script.scenario.pool.hosts[at].clone();
            let key = ("end".to_owned(), host, "blocks".to_owned());
            self.seen.insert(key, blocks(&self.pair.bytes(at)));
        }
        Ok(self.seen)
    }

    fn end_step(&mut self, at_rest: bool) {
        for at in 0..2 {
            let host = &self.script.scenario.pool.hosts[at];
            for (field, value) in std::mem::take(&mut self.pair.told[at]) {
                let key = (self.step.as_str(), host.as_str(), field);
                note(&mut self.seen, &mut self.last[at], key, &value);
            }
            if at_rest && self.pair.is_on(at) {
                let mut rest = self.pair.rest(at);
                if rest.get("connection").is_some_and(|it| it == "StandAlone") {
                    rest.remove("connection");
                }
                note_rest(&mut self.seen, &self.step, host, &rest);
            }
        }
    }

    fn strike(&mut self, action: &Do) -> Result<(), String> {
        match action {
            Do::PowerOff { host } => self.pair.power_off(self.host(host)),
            Do::Boot { host } => {
                let at = self.host(host);
                self.last[at] = beginning();
                self.pair.up(at);
            }
            Do::Cut { from, to, both, .. } | Do::Mend { from, to, both, .. } => {
                let cut = matches!(action, Do::Cut { .. });
                let (from, to) = (self.host(from), self.host(to));
                self.pair.cable(from, to, cut);
                if *both {
                    self.pair.cable(to, from, cut);
                }
            }
            Do::DiskError { host, read, write, .. } => {
                self.pair.disk_errors(self.host(host), *read, *write);
            }
            Do::DiskRepair { host, resource } => {
                let at = self.host(host);
                self.pair.disk_errors(at, false, false);
                let _ = self.pair.drbdadm(at, &["attach", resource]);
            }
            Do::Run { on, command, .. } => return self.command(on, command),
            other => return Err(format!("no verb {}", other.verb())),
        }
        Ok(())
    }

    fn command(&mut self, on: &str, command: &str) -> Result<(), String> {
        let at = self.host(on);
        let words: Vec<&str> = command.split([' ', ';']).filter(|word| !word.is_empty()).collect();
        let verdict = match &words[..] {
            // Somebody has the device open meanwhile.
            ["sleep", _, "</dev/drbd0", "&", "sleep", _, "drbdadm", rest @ ..] => {
                self.pair.while_open(at, rest).map(spelled)
            }
            ["drbdadm", "cstate", _] => Some("ok".to_owned()),
            ["drbdadm", rest @ ..] => self.pair.drbdadm(at, rest).map(spelled),
            ["fill", device, first, count, stamp] => {
                let number = |word: &str| word.parse().map_err(|_| format!("not a number: {word}"));
                let (first, count, stamp) = (number(first)?, number(count)?, number(stamp)?);
                let good = self.pair.fill(at, device, first, count, stamp);
                Some(if good { "ok" } else { "exit 1" }.to_owned())
            }
            _ => None,
        };
        // What the kernel refused changed nothing: the script goes on without it.
        let kernel = (self.step.clone(), on.to_owned(), "exit".to_owned());
        let refused = self.kernel.get(&kernel).is_some_and(|verdict| verdict != &["ok"]);
        let verdict = match verdict {
            Some(verdict) => verdict,
            None if refused => "no such command".to_owned(),
            None => return Err(format!("the engine has no `{command}`")),
        };
        let key = (self.step.clone(), on.to_owned(), "exit".to_owned());
        self.seen.insert(key, vec![verdict]);
        Ok(())
    }
}

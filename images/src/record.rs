//! Plays a script on guests and writes down what they say.

use crate::config;
use crate::events::{self, State, in_drbd9};
use crate::initramfs::Image;
use crate::lab::Lab;
use crate::script::{Script, asks};
use crate::transcript::{Line, What, blocks};
use crate::wire::{Ended, Order, Report};
use anyhow::{Context, Result, bail};
use scenarios::{Condition, Do, Exit, Expectation, Step};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A condition that does not hold by then never will.
const PATIENCE: Duration = Duration::from_secs(90);
/// Longest command.
const COMMAND: Duration = Duration::from_secs(60);
/// At the end, what the guests still have to say is waited for.
const QUIET: Duration = Duration::from_millis(1500);
/// Parts of the kernel's log that a transcript keeps, up to the end that depends on speed.
const LOGGED: [&str; 4] = ["uuid_compare()=", "Split-Brain", "Began resync as", "Unrelated data"];
/// Variables of handlers that say what the script says already.
const KNOWN: [&str; 2] = ["DRBD_CONF", "DRBD_DONT_WARN_ON_VERSION_MISMATCH"];

/// The sources of what is seen, in the order of a transcript.
fn source(what: &What) -> u8 {
    match what {
        What::Ran { .. } => 0,
        What::Saw(_) => 1,
        What::Helper { .. } => 2,
        What::Log(_) => 3,
        What::Rest(_) | What::Blocks(_) => 4,
    }
}

/// When a connection ends in its handshake, both sides end it, and each may or may not notice the
/// other's end first: on the way to Disconnecting that is not told, and elsewhere it is told in one
/// word, however it was noticed.
fn fold_races(seen: &mut Vec<What>) {
    let connection = |what: &What| match what {
        What::Saw(new) => {
            let words = new.split(' ');
            words.filter_map(|word| word.strip_prefix("connection:")).next().map(str::to_owned)
        }
        _ => None,
    };
    let states: Vec<Option<String>> = seen.iter().map(connection).collect();
    let Some(began) = states.iter().position(|it| it.as_deref() == Some("Connected")) else {
        return;
    };
    let lost = |state: &str| ["NetworkFailure", "BrokenPipe"].contains(&state);
    for at in (began..seen.len()).rev() {
        let Some(state) = states[at].as_deref().filter(|state| lost(state)) else { continue };
        let next = states[at + 1..].iter().flatten().next().map(String::as_str);
        let What::Saw(new) = &mut seen[at] else { continue };
        let word = format!("connection:{state}");
        if next == Some("Disconnecting") {
            *new = new.replace(&word, "").trim().to_owned();
            if new.is_empty() {
                seen.remove(at);
            }
        } else {
            *new = new.replace(&word, "connection:NetworkFailure");
        }
    }
}

struct Recorder<'a> {
    script: &'a Script,
    lab: Lab,
    states: Vec<State>,
    hello: BTreeSet<usize>,
    ended: BTreeMap<u64, Ended>,
    /// Of the step that struck last, by host.
    seen: Vec<Vec<What>>,
    step: String,
    lines: Vec<Line>,
}

/// Plays it; what was seen.
pub fn record(script: &Script, image: &Image) -> Result<Vec<Line>> {
    let hosts = &script.scenario.pool.hosts;
    let lab = Lab::new(image, hosts, script.scenario.resource[0].size)?;
    let mut recorder = Recorder {
        script,
        lab,
        states: hosts.iter().map(|_| State::default()).collect(),
        hello: BTreeSet::new(),
        ended: BTreeMap::new(),
        seen: hosts.iter().map(|_| Vec::new()).collect(),
        step: "begin".to_owned(),
        lines: Vec::new(),
    };
    let played = recorder.play();
    played.with_context(|| {
        let at = |(port, host): (usize, &String)| {
            let state = recorder.states[port].all(recorder.resource());
            let seen = &recorder.seen[port];
            format!("{host}: {state:?}\n{seen:?}\n{}", recorder.lab.console(port))
        };
        let all: Vec<_> = hosts.iter().enumerate().map(at).collect();
        format!("{} at step {}\n{}", script.name, recorder.step, all.join("\n"))
    })?;
    Ok(recorder.lines)
}

impl Recorder<'_> {
    fn resource(&self) -> &str {
        &self.script.scenario.resource[0].name
    }

    fn hosts(&self) -> &[String] {
        &self.script.scenario.pool.hosts
    }

    fn port(&self, host: &str) -> Result<usize> {
        let found = self.hosts().iter().position(|known| known == host);
        found.with_context(|| format!("no host is called {host}"))
    }

    fn play(&mut self) -> Result<()> {
        self.begin()?;
        for step in &self.script.scenario.step {
            self.when(step)?;
            self.end_step(step.when.wait > 0 || self.step == "begin")?;
            self.step = step.id.clone().unwrap_or_default();
            self.strike(&step.action)?;
        }
        for expect in &self.script.scenario.expect {
            let Expectation::Within(_) = expect.kind else { bail!("guests know only `within`") };
            self.wait_for(&expect.that)?;
        }
        self.pump(QUIET);
        self.end_step(true)?;
        self.keep_blocks()
    }

    /// Both hosts on, metadata made; unless the script wants it fresh, connected and UpToDate.
    fn begin(&mut self) -> Result<()> {
        let ports = 0..self.hosts().len();
        for port in ports.clone() {
            self.lab.boot(port)?;
        }
        for port in ports.clone() {
            self.prepare(port)?;
            let resource = self.resource().to_owned();
            self.must(port, &format!("drbdadm create-md --force {resource}"))?;
            if !self.script.fresh {
                self.must(port, &format!("drbdadm up {resource}"))?;
            }
        }
        if self.script.fresh {
            return Ok(());
        }
        let all = |field: &'static str, word: &'static str| {
            move |state: &State, resource: &str| state.get(resource, field) == Some(word)
        };
        self.until("connected", all("connection", "Connected"))?;
        let resource = self.resource().to_owned();
        self.must(0, &format!("drbdadm new-current-uuid --clear-bitmap {resource}/0"))?;
        self.until("UpToDate", all("disk", "UpToDate"))?;
        self.pump(QUIET);
        self.check_size()?;
        // How they came here is not what the script is about.
        self.seen.iter_mut().for_each(Vec::clear);
        Ok(())
    }

    /// The lower devices are made so that the volume has the size that the script says.
    fn check_size(&mut self) -> Result<()> {
        let dump = self.must(0, "drbdsetup events2 --now --statistics all")?;
        let (kib, wanted) = (events::number(&dump, "size"), self.script.scenario.resource[0].size);
        if kib != Some(wanted / 1024) {
            bail!("the volume has {kib:?} KiB, not {wanted} bytes");
        }
        Ok(())
    }

    /// Waits for the agent of a host that was booted and gives it its configuration.
    fn prepare(&mut self, port: usize) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while !self.hello.remove(&port) {
            if Instant::now() > end {
                bail!("{} does not boot", self.hosts()[port]);
            }
            self.pump(Duration::from_millis(20));
        }
        let (path, text) = (config::PATH.to_owned(), config::text(self.script));
        let id = self.lab.order(port, |id| Order::Put { id, path, text })?;
        self.wait_ended(id)?;
        Ok(())
    }

    // ---- waiting ----

    /// Takes what the guests say for so long.
    fn pump(&mut self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Some((port, report)) = self.lab.next(left) else { return };
            self.take(port, report);
        }
    }

    fn take(&mut self, port: usize, report: Report) {
        match report {
            Report::Hello => {
                self.hello.insert(port);
            }
            Report::Ended { id, ended } => {
                self.ended.insert(id, ended);
            }
            Report::Event(line) => {
                let new = self.states[port].take(&line);
                self.seen[port].extend(new.map(What::Saw));
            }
            Report::Log(line) => {
                let from = LOGGED.iter().find_map(|part| line.find(part));
                let line = from.map(|from| line[from..].to_owned());
                self.seen[port].extend(line.map(What::Log));
            }
            Report::Helper { name, mut env } => {
                env.retain(|key, _| !KNOWN.contains(&key.as_str()));
                self.seen[port].push(What::Helper { name, env });
            }
        }
    }

    /// Until this holds on every host.
    fn until(&mut self, what: &str, holds: impl Fn(&State, &str) -> bool) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while !self.states.iter().all(|state| holds(state, self.resource())) {
            if Instant::now() > end {
                bail!("never {what}");
            }
            self.pump(Duration::from_millis(20));
        }
        Ok(())
    }

    fn when(&mut self, step: &Step) -> Result<()> {
        if let Some(that) = &step.when.that {
            self.wait_for(that)?;
        }
        self.pump(Duration::from_nanos(step.when.wait));
        Ok(())
    }

    fn wait_for(&mut self, condition: &Condition) -> Result<()> {
        let asked = asks(condition)?;
        let end = Instant::now() + PATIENCE;
        loop {
            let mut missing = None;
            for (host, field, words) in &asked {
                let state = &self.states[self.port(host)?];
                // 8.4 forgets a connection that it was told to leave; 9 keeps it, StandAlone.
                let gone = (*field == "connection").then_some("StandAlone");
                let is = state.get(self.resource(), field).map(in_drbd9).or(gone);
                if !is.is_some_and(|is| words.iter().any(|word| word == is)) {
                    missing = Some(format!("{field} of {host} is {is:?}, not {words:?}"));
                }
            }
            let Some(missing) = missing else { return Ok(()) };
            if Instant::now() > end {
                bail!("{missing}");
            }
            self.pump(Duration::from_millis(5));
        }
    }

    fn wait_ended(&mut self, id: u64) -> Result<Ended> {
        let end = Instant::now() + COMMAND + PATIENCE;
        loop {
            if let Some(ended) = self.ended.remove(&id) {
                return Ok(ended);
            }
            if Instant::now() > end {
                bail!("the agent does not answer");
            }
            let Some((port, report)) = self.lab.next(Duration::from_millis(20)) else { continue };
            self.take(port, report);
        }
    }

    // ---- doing ----

    fn run(&mut self, port: usize, command: &str) -> Result<Ended> {
        let limit_ms = COMMAND.as_millis() as u64;
        let command = command.to_owned();
        let id = self.lab.order(port, |id| Order::Run { id, command, limit_ms })?;
        self.wait_ended(id)
    }

    /// A command that is no step of the script.
    fn must(&mut self, port: usize, command: &str) -> Result<String> {
        let ended = self.run(port, command)?;
        if ended.exit != Some(0) {
            bail!("{command}: {:?}\n{}{}", ended.exit, ended.out, ended.err);
        }
        Ok(ended.out)
    }

    fn strike(&mut self, action: &Do) -> Result<()> {
        match action {
            Do::PowerOff { host } => {
                let port = self.port(host)?;
                self.lab.power_off(port)?;
                self.pump(Duration::from_millis(50));
                self.states[port] = State::default();
                Ok(())
            }
            Do::Boot { host } => {
                let port = self.port(host)?;
                self.lab.boot(port)?;
                self.prepare(port)?;
                let resource = self.resource().to_owned();
                self.must(port, &format!("drbdadm up {resource}")).map(|_| ())
            }
            Do::Freeze { host } | Do::Thaw { host } => {
                let port = self.port(host)?;
                self.lab.guest(port)?.freeze(matches!(action, Do::Freeze { .. }))
            }
            Do::Cut { from, to, both, .. } => self.cables(from, to, *both, true),
            Do::Mend { from, to, both, .. } => self.cables(from, to, *both, false),
            Do::DiskError { host, read, write, .. } => {
                let port = self.port(host)?;
                self.lab.guest(port)?.disk_errors(0, *read, *write)
            }
            Do::DiskRepair { host, .. } => {
                let port = self.port(host)?;
                self.lab.guest(port)?.disk_errors(0, false, false)?;
                let resource = self.resource().to_owned();
                self.must(port, &format!("drbdadm attach {resource}")).map(|_| ())
            }
            Do::Run { on, command, exit } => self.run_step(on, command, *exit),
            other => bail!("guests cannot {}", other.verb()),
        }
    }

    fn run_step(&mut self, on: &str, command: &str, exit: Exit) -> Result<()> {
        let port = self.port(on)?;
        let ended = self.run(port, command)?;
        let said = ended.out.lines().chain(ended.err.lines()).map(str::to_owned).collect();
        if let Exit::Code(code) = exit
            && ended.exit != Some(code.into())
        {
            bail!("{command}: {:?}, not {code}\n{}{}", ended.exit, ended.out, ended.err);
        }
        // What it caused may be told before its end: the cause goes first.
        let ran = What::Ran { command: command.to_owned(), exit: ended.exit, said };
        self.seen[port].insert(0, ran);
        Ok(())
    }

    fn cables(&mut self, from: &str, to: &str, both: bool, cut: bool) -> Result<()> {
        let (from, to) = (self.port(from)?, self.port(to)?);
        self.lab.switch().cut(from, to, cut);
        if both {
            self.lab.switch().cut(to, from, cut);
        }
        Ok(())
    }

    // ---- writing down ----

    /// The next step is about to strike: what was seen belongs to the last one.
    fn end_step(&mut self, at_rest: bool) -> Result<()> {
        for port in 0..self.hosts().len() {
            let rest = at_rest && self.lab.is_on(port);
            let rest = if rest { self.rest(port)? } else { BTreeMap::new() };
            let mut seen = std::mem::take(&mut self.seen[port]);
            // They come from sources of their own: only within each the order says something.
            seen.sort_by_key(source);
            fold_races(&mut seen);
            if !rest.is_empty() {
                seen.push(What::Rest(rest));
            }
            let (step, host) = (&self.step, &self.hosts()[port]);
            let line = |what| Line { step: step.clone(), host: host.clone(), what };
            let lines: Vec<_> = seen.into_iter().map(line).collect();
            self.lines.extend(lines);
        }
        Ok(())
    }

    fn rest(&mut self, port: usize) -> Result<BTreeMap<String, String>> {
        let dump = self.must(port, "drbdsetup events2 --now --statistics all")?;
        let mut fields = self.states[port].all(self.resource());
        if fields.is_empty() {
            return Ok(fields);
        }
        if let Some(kib) = events::number(&dump, "out-of-sync") {
            fields.insert("out-of-sync".to_owned(), kib.to_string());
        }
        Ok(fields)
    }

    fn keep_blocks(&mut self) -> Result<()> {
        let size = self.script.scenario.resource[0].size;
        for port in 0..self.hosts().len() {
            let host = self.hosts()[port].clone();
            let what = What::Blocks(blocks(&self.lab.read_disk(port, size)?));
            self.lines.push(Line { step: "end".to_owned(), host, what });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(seen: &[&str]) -> Vec<String> {
        let mut seen: Vec<What> = seen.iter().map(|new| What::Saw((*new).to_owned())).collect();
        fold_races(&mut seen);
        let text = |what| match what {
            What::Saw(new) => new,
            other => format!("{other:?}"),
        };
        seen.into_iter().map(text).collect()
    }

    #[test]
    fn who_notices_first_is_not_told() {
        let dropped = ["connection:Connected", "connection:Disconnecting", "connection:StandAlone"];
        assert_eq!(folded(&dropped), dropped);
        let second = [
            "connection:Connected",
            "connection:NetworkFailure",
            "connection:Disconnecting",
            "connection:StandAlone",
        ];
        assert_eq!(folded(&second), dropped);
        let retried = ["connection:Connected", "connection:BrokenPipe peer-role:Unknown"];
        assert_eq!(folded(&retried)[1], "connection:NetworkFailure peer-role:Unknown");
        let cut = ["connection:NetworkFailure", "connection:Unconnected", "connection:Connecting"];
        assert_eq!(folded(&cut), cut);
    }
}

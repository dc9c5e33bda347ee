//! Commands that steps run on hosts, and those that conditions look at: who waits for which, what
//! they said, and what an administrator changed on purpose.

use super::resource::{Resource, View};
use super::{Deed, World};
use crate::log::What as Line;
use crate::outcome::Class;
use drbd::state::{DiskState, Role};
use kernel::{Administered, Power, ResFile, ResHost};
use models::SimTime;
use scenarios::{Exit, Fact, Scenario, Step};
use std::collections::BTreeMap;

/// Conditions look at what commands say once in this time.
pub(super) const POLL: u64 = 1_000_000_000;
/// More output of one command is not kept: it is compared, and shown when it is wrong.
const MOST: usize = 1 << 20;
/// Of an unwanted output, so much is shown.
const SHOWN: usize = 2_000;
/// How a run fails that cannot be carried out as written.
const NAME: &str = "scenario";
/// Minors of the first resource, as LINSTOR gives them.
const MINORS: u32 = 1_000;

/// Why a command runs.
#[derive(Clone, Debug)]
enum Why {
    /// A step.
    Step { place: String, exit: Exit },
    /// Conditions look at it.
    Poll,
}

/// A command that runs.
#[derive(Clone, Debug)]
struct Order {
    host: usize,
    command: String,
    why: Why,
    said: Said,
}

/// What a command said.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Said {
    code: u8,
    stdout: String,
    stderr: String,
}

/// All commands of a world.
#[derive(Default)]
pub(super) struct Orders {
    next: u64,
    running: BTreeMap<u64, Order>,
    /// Host and command that conditions look at.
    wanted: Vec<(usize, String)>,
    /// The newest answer to each of those.
    answers: BTreeMap<(usize, String), Said>,
}

impl World {
    /// Finds out which commands conditions look at.
    pub(super) fn begin_commands(&mut self, scenario: &Scenario) {
        let steps = scenario.step.iter().filter_map(|step| step.when.that.as_ref());
        let conditions = steps.chain(scenario.expect.iter().map(|expect| &expect.that));
        for fact in conditions.flat_map(|that| &that.all) {
            let Fact::Command { on, run, .. } = fact else { continue };
            let Some(host) = self.hosts.iter().position(|h| h.name() == on) else { continue };
            let wanted = (host, run.clone());
            if !self.orders.wanted.contains(&wanted) {
                self.orders.wanted.push(wanted);
            }
        }
        if !self.orders.wanted.is_empty() {
            self.timers.push((0, Deed::Poll));
        }
    }

    /// Asks again what conditions look at, unless the last answer is still to come.
    pub(super) fn poll_commands(&mut self) {
        self.timers.push((self.now + POLL, Deed::Poll));
        for (host, command) in self.orders.wanted.clone() {
            let same = |order: &Order| {
                matches!(order.why, Why::Poll) && order.host == host && order.command == command
            };
            if self.orders.running.values().any(same) {
                continue;
            }
            if !self.hosts[host].is_acting() {
                // Nobody answers there.
                let gone = self.orders.answers.remove(&(host, command));
                self.script.stale |= gone.is_some();
                continue;
            }
            if let Err(why) = self.order(host, command, Why::Poll) {
                return self.fail(Class::Scenario, NAME, why, None);
            }
        }
    }

    /// A step runs a command.
    pub(super) fn run_command(&mut self, index: usize, step: &Step, on: usize, command: &str) {
        let scenarios::Do::Run { exit, .. } = &step.action else { return };
        let id = step.id.as_ref().map_or(String::new(), |id| format!(" ({id})"));
        let place = format!("step[{index}]{id}");
        let name = self.hosts[on].name().to_owned();
        let why = Why::Step { place: place.clone(), exit: *exit };
        let result = match self.hosts[on].is_acting() {
            true => self.order(on, command.to_owned(), why),
            false if *exit == Exit::Any => Ok(()),
            false => Err(format!("{name} is not up")),
        };
        if let Err(why) = result {
            let what = format!("{place}: `{command}` cannot run on {name}: {why}");
            self.fail(Class::Scenario, NAME, what, None);
        }
    }

    fn order(&mut self, host: usize, command: String, why: Why) -> Result<(), String> {
        let argv = kernel::commands::split(&command)?;
        self.orders.next += 1;
        let id = self.orders.next;
        let order = Order { host, command, why, said: Said::default() };
        self.orders.running.insert(id, order);
        self.hosts[host].exec(SimTime(self.now), id, &argv, &mut self.outs);
        self.collect(host);
        Ok(())
    }

    /// A command printed something.
    pub(super) fn printed(&mut self, id: u64, error: bool, text: &str) {
        let Some(order) = self.orders.running.get_mut(&id) else { return };
        let into = if error { &mut order.said.stderr } else { &mut order.said.stdout };
        if into.len() + text.len() <= MOST {
            *into += text;
        }
    }

    /// A command ended.
    pub(super) fn exited(&mut self, id: u64, code: u8) {
        let Some(mut order) = self.orders.running.remove(&id) else { return };
        order.said.code = code;
        let digest =
            |text: &str| text.bytes().fold(0u64, |sum, byte| sum.rotate_left(7) ^ u64::from(byte));
        let said = (digest(&order.said.stdout), digest(&order.said.stderr));
        self.note(&[13, order.host as u64, code.into(), said.0, said.1]);
        match order.why {
            Why::Poll => {
                let key = (order.host, order.command);
                let same = self.orders.answers.get(&key) == Some(&order.said);
                self.script.stale |= !same;
                self.orders.answers.insert(key, order.said);
            }
            Why::Step { place, exit } => {
                let host = order.host as u16;
                let text = format!("`{}` ends with exit code {code}", order.command);
                self.log.add(self.now, Line::Command(host, text));
                if exit == Exit::Code(code) || exit == Exit::Any {
                    return;
                }
                let Exit::Code(wanted) = exit else { return };
                let name = self.hosts[order.host].name();
                let mut what = format!(
                    "{place}: `{}` on {name} ended with exit code {code}, not {wanted}",
                    order.command
                );
                for (stream, text) in
                    [("stderr", &order.said.stderr), ("stdout", &order.said.stdout)]
                {
                    let text: String = text.trim().chars().take(SHOWN).collect();
                    if !text.is_empty() {
                        what += &format!("\n{stream}: {}", text.replace('\n', "\n    "));
                    }
                }
                self.fail(Class::Scenario, NAME, what, None);
            }
        }
    }

    /// Is the newest answer of a command as a condition has it?
    pub(super) fn answered(&self, fact: &Fact) -> bool {
        let Fact::Command { on, run, exit, stdout, stderr } = fact else { return false };
        let Some(host) = self.hosts.iter().position(|h| h.name() == on) else { return false };
        let Some(said) = self.orders.answers.get(&(host, run.clone())) else { return false };
        let fits =
            |glob: &Option<String>, text: &str| glob.as_ref().is_none_or(|glob| fits(glob, text));
        exit.is_none_or(|exit| exit == said.code)
            && fits(stdout, &said.stdout)
            && fits(stderr, &said.stderr)
    }

    /// The kernel of a host is gone, and its commands with it.
    pub(super) fn commands_died(&mut self, host: usize) {
        self.orders.running.retain(|_, order| order.host != host);
    }

    /// The run is over: steps whose command never ended.
    pub(super) fn end_of_commands(&mut self) {
        let waits = |order: &&Order| matches!(&order.why, Why::Step { exit: Exit::Code(_), .. });
        let Some(order) = self.orders.running.values().find(waits) else { return };
        let Why::Step { place, .. } = &order.why else { return };
        let name = self.hosts[order.host].name();
        let what = format!("{place}: `{}` on {name} did not end", order.command);
        self.fail(Class::Expectation, "expectation", what, None);
    }

    // ---- on purpose ----

    /// An administrator's command is about to change a resource.
    pub(super) fn administered(&mut self, at: usize, node: usize, deed: Administered) {
        self.note(&[14, at as u64, node as u64]);
        let resource = &mut self.resources[at];
        let place = &mut resource.nodes[node];
        match deed {
            Administered::Disconnect(_) | Administered::Down => place.asked_alone = true,
            Administered::Connect(_) => place.asked_alone = false,
            Administered::SuspendIo => resource.asked_suspension = true,
            Administered::ResumeIo => resource.asked_suspension = false,
            Administered::Detach { force } => {
                place.asked_detach = true;
                place.was_broken |= force;
            }
            Administered::Primary { force: true } => {
                let good = place.view.disk.iter().all(|disk| *disk == DiskState::UpToDate);
                let quorum = place.view.quorum.iter().all(|yes| *yes);
                // Its engine may have gone on already: what it told last was before.
                if place.view.role != Role::Primary && !(good && quorum) {
                    self.overruled(at);
                }
            }
            Administered::NewMetadata => self.overruled(at),
            Administered::Primary { .. } | Administered::Secondary { .. } => {}
        }
    }

    /// An administrator took other data than the rules would have: nobody owes anything any more.
    fn overruled(&mut self, at: usize) {
        let resource = &mut self.resources[at];
        resource.overruled = true;
        for node in 0..resource.nodes.len() {
            resource.nodes[node].was_broken = true;
            for ledger in &mut resource.ledgers {
                ledger.distrust(Resource::id(node));
            }
        }
    }

    /// A resource is down on a host: its engine says nothing any more.
    pub(super) fn taken_down(&mut self, at: usize, node: usize) {
        self.note(&[15, at as u64, node as u64]);
        let resource = &mut self.resources[at];
        let count = resource.nodes.len();
        resource.nodes[node].view = View::new(count, resource.volumes);
        resource.exclusive.role(self.now, node, false);
        resource.roles_changed = true;
    }

    /// Did an administrator leave the resource such that it cannot be whole?
    pub(super) fn left_so(&self, at: usize) -> Option<&'static str> {
        let resource = &self.resources[at];
        let alone = (0..resource.nodes.len())
            .any(|node| resource.nodes[node].asked_alone && resource.stands_alone(node));
        let mut nodes = resource.nodes.iter();
        let down = nodes.any(|node| {
            let host = &self.hosts[node.host];
            host.power() == Power::Up && host.engine(node.slot).is_none()
        });
        let bare = |node: &super::resource::Node| {
            node.asked_detach && node.view.disk.contains(&DiskState::Diskless)
        };
        let detached = resource.nodes.iter().any(bare);
        if resource.overruled {
            return Some("overruled-by-administrator");
        }
        if resource.asked_suspension {
            return Some("suspended-by-administrator");
        }
        (alone || down || detached).then_some("taken-apart-by-administrator")
    }
}

/// Does a text fit a pattern? `*` is anything, `?` one character.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut at) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, at));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[at] => (p, at) = (p + 1, at + 1),
            _ => match star {
                Some((before, from)) => {
                    star = Some((before, from + 1));
                    (p, at) = (before + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Minor of the first volume of a resource.
pub(super) fn minor(scenario: &Scenario, resource: usize) -> u32 {
    let before = scenario.resource.iter().take(resource);
    MINORS + before.map(|resource| u32::from(resource.volumes)).sum::<u32>()
}

/// The files of a host: `drbd.conf`, and a `.res` file for each of its resources.
pub(super) fn files(resources: &[ResFile]) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let include = "include \"drbd.d/global_common.conf\";\ninclude \"drbd.d/*.res\";\n";
    files.insert("/etc/drbd.conf".to_owned(), include.to_owned());
    let global = "global {\n    usage-count no;\n}\n";
    files.insert("/etc/drbd.d/global_common.conf".to_owned(), global.to_owned());
    for resource in resources {
        let path = format!("/etc/drbd.d/{}.res", resource.name);
        files.insert(path, kernel::res::res_file(resource));
    }
    files
}

/// A host of a resource, for its `.res` file.
pub(super) fn res_host(
    resource: &scenarios::Resource,
    name: &str,
    node: usize,
    address: std::net::SocketAddr,
    diskful: bool,
) -> ResHost {
    let volumes = if diskful { resource.volumes } else { 0 };
    let disks = (0..volumes).map(|volume| kernel::lower_path(&resource.name, volume)).collect();
    ResHost { name: name.to_owned(), node: node as u8, address, disks }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Outcome, RunOptions};

    const POOL: &str = r#"
schema = 1
name = "commands"
horizon = "90s"
[pool]
hosts = ["alpha", "bravo", "charlie"]
[[resource]]
name = "vol-a"
size = "16MiB"
diskful = ["alpha", "bravo"]
tiebreaker = "charlie"
options = { quorum = "majority", rr-conflict = "retry-connect" }
[[vm]]
name = "vm-a"
on = "alpha"
vdi = "vol-a"
io = { write = 1, block = "4KiB..8KiB" }
"#;

    /// A run of the pool with these steps and expectations.
    fn run(rest: &str) -> Outcome {
        let scenario = scenarios::read("f.toml", &format!("{POOL}{rest}"));
        let scenario = scenario.unwrap_or_else(|error| panic!("{error}"));
        let wall_limit = std::time::Duration::from_secs(60);
        let quirks = drbd::quirks::Quirks::default();
        let options = RunOptions { seed: 7, quirks, keep_log: false, wall_limit, marks: true };
        crate::run::run(&scenario, &options)
    }

    fn passes(rest: &str) -> Outcome {
        let outcome = run(rest);
        let failure = outcome.failure.as_ref().map(|failure| &failure.what);
        assert!(failure.is_none(), "{failure:?}");
        outcome
    }

    /// Why the scenario cannot be carried out.
    fn wrong(rest: &str) -> String {
        let failure = run(rest).failure.expect("it cannot be carried out");
        assert_eq!(failure.class, Class::Scenario, "{}", failure.what);
        failure.what
    }

    #[test]
    fn commands_change_and_tell_what_the_tools_would() {
        let rest = r#"
[[step]]
at = "20s"
do = { run = "drbdadm disconnect vol-a:alpha", on = "bravo" }
[[step]]
at = "25s"
do = { run = "drbdadm primary vol-a", on = "bravo", exit = 17 }
[[step]]
id = "on"
at = "30s"
do = { run = "drbdadm connect vol-a:alpha", on = "bravo" }
[[expect]]
after = "on"
within = "30s"
that = { run = "drbdadm dstate vol-a", on = "alpha", stdout = "UpToDate/UpToDate/Diskless?" }
[[expect]]
after = "on"
within = "30s"
that = { run = "drbdsetup status nothing", on = "charlie", exit = 10, stderr = "*No such*" }
"#;
        assert_eq!(passes(rest).trace_hash, passes(rest).trace_hash);
    }

    #[test]
    fn a_resource_goes_down_and_comes_back_under_load() {
        passes(
            r#"
[[step]]
at = "20s"
do = { run = "drbdadm down vol-a", on = "bravo" }
[[step]]
at = "30s"
do = { run = "drbdadm up vol-a", on = "bravo" }
[[step]]
id = "detach"
at = "40s"
do = { run = "drbdadm detach vol-a", on = "bravo" }
[[step]]
at = "45s"
do = { run = "drbdadm adjust vol-a", on = "bravo" }
[[expect]]
after = "detach"
within = "30s"
that = { resource = "vol-a", disk = { bravo = "UpToDate" } }
"#,
        );
    }

    #[test]
    fn who_promotes_by_force_is_owed_nothing() {
        let outcome = passes(
            r#"
[[step]]
at = "20s"
do = { run = "drbdadm disconnect vol-a", on = "bravo" }
[[step]]
at = "25s"
do = { run = "drbdadm primary --force vol-a", on = "bravo", exit = "any" }
[[step]]
at = "40s"
do = { run = "drbdadm adjust vol-a", on = "bravo", exit = "any" }
"#,
        );
        assert!(outcome.events > 0);
    }

    #[test]
    fn what_cannot_be_carried_out_is_said_with_its_place() {
        let step = |run: &str| format!("[[step]]\nid = \"x\"\nat = \"20s\"\ndo = {run}\n");
        let run = r#"{ run = "drbdadm role vol-a", on = "alpha", exit = 3 }"#;
        let text = wrong(&step(run));
        let wanted = "step[0] (x): `drbdadm role vol-a` on alpha ended with exit code 0, not 3";
        assert!(text.starts_with(wanted), "{text}");
        assert!(text.contains("stdout: Primary"), "{text}");
        let text = wrong(&step(r#"{ run = "fsck /dev/drbd1000", on = "alpha" }"#));
        assert!(text.contains("exit code 127") && text.contains("fsck: not found"), "{text}");
        let text = wrong(&step(r#"{ run = "drbdadm role vol-a | cat", on = "alpha" }"#));
        assert!(text.contains("`|` needs a shell"), "{text}");
        let off = "[[step]]\nat = \"10s\"\ndo = { power-off = \"bravo\" }\n";
        let text =
            wrong(&(off.to_owned() + &step(r#"{ run = "drbdadm role vol-a", on = "bravo" }"#)));
        assert!(text.contains("bravo is not up"), "{text}");
    }

    #[test]
    fn a_pattern_is_over_all_of_the_text() {
        assert!(fits("Primary*", "Primary\n"));
        assert!(!fits("Primary", "Primary\n"));
        assert!(fits("*disk:UpToDate*", "vol-a role:Primary\n  disk:UpToDate open:no\n"));
        assert!(fits("?b*c", "abbcc"));
        assert!(!fits("a?", "a"));
        assert!(fits("", ""));
    }
}

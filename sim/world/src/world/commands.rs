//! Commands that steps run on hosts, and those that conditions look at: who waits for which, what
//! they said, and what an administrator changed on purpose.

use super::resource::{Node, Resource, View};
use super::{Deed, World};
use crate::log::What as Line;
use crate::outcome::{Class, Shows};
use drbd::ids::{NodeId, NodeMask};
use drbd::state::{ConnState, DiskState, Role};
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
        let fits = |glob: &Option<String>, text: &str| {
            glob.as_ref().is_none_or(|glob| scenarios::glob_matches(glob, text))
        };
        exit.is_none_or(|exit| exit == said.code)
            && fits(stdout, &said.stdout)
            && fits(stderr, &said.stderr)
    }

    /// The kernel of a host is gone, and its commands with it; what they said holds no more. A
    /// step that asks for an exit code has none to get.
    pub(super) fn commands_died(&mut self, host: usize) {
        let mut its = self.orders.running.values().filter(|order| order.host == host);
        let unended = its.find_map(|order| self.unended(order));
        self.orders.running.retain(|_, order| order.host != host);
        let before = self.orders.answers.len();
        self.orders.answers.retain(|(on, _), _| *on != host);
        self.script.stale |= self.orders.answers.len() != before;
        if let Some(what) = unended {
            let what = format!("{what}: its host went down");
            self.fail(Class::Scenario, NAME, what, None);
        }
    }

    /// The run is over: steps whose command never ended.
    pub(super) fn end_of_commands(&mut self) {
        let unended = self.orders.running.values().find_map(|order| self.unended(order));
        if let Some(what) = unended {
            self.fail_as(Shows::Missing, (Class::Expectation, "expectation"), what, None);
        }
    }

    /// What is to be said of a command that did not end, if its step asks how it ends.
    fn unended(&self, order: &Order) -> Option<String> {
        let Why::Step { place, exit: Exit::Code(_) } = &order.why else { return None };
        let name = self.hosts[order.host].name();
        Some(format!("{place}: `{}` on {name} did not end", order.command))
    }

    // ---- on purpose ----

    /// An administrator's command is about to change a resource.
    pub(super) fn administered(&mut self, at: usize, node: usize, deed: Administered) {
        self.note(&[14, at as u64, node as u64]);
        let place = &mut self.resources[at].nodes[node];
        match deed {
            // The engine has done these already.
            Administered::Discard(peer) => place.asked_discard.insert(peer),
            Administered::Outdate => place.asked_outdate = true,
            Administered::Invalidate(whose) => self.invalidated(at, whose.index()),
            Administered::ForgetPeer(peer) => self.forgot_peer(at, peer),
            Administered::NewCurrentUuid { initial: true } => self.overruled(at),
            Administered::NewCurrentUuid { initial: false } => {}
            // What it does is seen before it is answered.
            Administered::Primary { force: true } => {
                let good = place.view.disk.iter().all(|disk| *disk == DiskState::UpToDate);
                let quorum = place.view.quorum.iter().all(|yes| *yes);
                // Its engine may have gone on already: what it told last was before.
                if place.view.role != Role::Primary && !(good && quorum) {
                    self.overruled(at);
                }
            }
            // Nobody is asked.
            Administered::NewMetadata => self.made_anew(at, node),
            deed => place.underway.push(deed),
        }
    }

    /// Its engine has answered: what was refused excuses nothing.
    pub(super) fn settled(&mut self, at: usize, node: usize, deed: Administered, done: bool) {
        let resource = &mut self.resources[at];
        let place = &mut resource.nodes[node];
        if let Some(found) = place.underway.iter().position(|other| *other == deed) {
            place.underway.remove(found);
        }
        if !done {
            return;
        }
        match deed {
            Administered::Disconnect(peer) => place.asked_alone.insert(peer),
            Administered::Down => {
                place.asked_alone = NodeMask::ALL.without(Resource::id(node));
            }
            Administered::Connect(peer) => {
                place.asked_alone.remove(peer);
                place.asked_discard.remove(peer);
            }
            Administered::SuspendIo => resource.asked_suspension = true,
            Administered::ResumeIo => resource.asked_suspension = false,
            Administered::Detach { force } => {
                place.asked_detach = true;
                place.asked_failure |= force;
            }
            _ => {}
        }
    }

    /// A copy begins anew: what it held it owes no longer, and the others owe all that they did.
    /// Without any other copy there is nothing left to owe.
    pub(super) fn made_anew(&mut self, at: usize, node: usize) {
        let resource = &mut self.resources[at];
        resource.nodes[node].made_anew = true;
        for ledger in &mut resource.ledgers {
            let distrusted = ledger.distrusted().has(Resource::id(node));
            ledger.distrust(Resource::id(node));
            if !distrusted {
                ledger.trust(Resource::id(node));
            }
        }
        if resource.nodes.iter().filter(|node| node.diskful).all(|node| node.made_anew) {
            self.overruled(at);
        }
    }

    /// A copy is thrown away. What it is about to get from a good one, it owes as after any resync;
    /// without one it owes nothing.
    fn invalidated(&mut self, at: usize, whose: usize) {
        let resource = &mut self.resources[at];
        let Some(place) = resource.nodes.get(whose) else { return };
        let copies = (0..resource.nodes.len()).filter(|n| resource.nodes[*n].diskful);
        let alone = copies.clone().all(|peer| place.view.conn[peer] != ConnState::Connected);
        resource.nodes[whose].asked_invalid = true;
        for ledger in resource.ledgers.iter_mut().filter(|_| alone) {
            ledger.gave_up(Resource::id(whose));
        }
    }

    /// Votes are taken away. One tie-breaker less still leaves majorities that meet: nodes that
    /// count it and nodes that do not cannot both have one. With a copy less, or another
    /// tie-breaker less elsewhere, both can.
    fn forgot_peer(&mut self, at: usize, peer: NodeId) {
        let resource = &mut self.resources[at];
        let copy = resource.nodes.get(peer.index()).is_some_and(|node| node.diskful);
        resource.forgotten.insert(peer);
        if copy || resource.forgotten.len() > 1 {
            self.overruled(at);
        }
    }

    /// Two copies compared; the rule if this one is to be overwritten by it.
    pub(super) fn shaken(
        &mut self,
        at: usize,
        node: usize,
        (peer, volume): (NodeId, usize),
        rule: Option<&'static str>,
    ) {
        let resource = &mut self.resources[at];
        let place = &mut resource.nodes[node];
        let thrown = match rule {
            Some("discard-my-data") => place.asked_discard.has(peer),
            Some("after-sb-0pri" | "after-sb-1pri" | "after-sb-2pri") => resource.settles,
            _ => false,
        };
        place.view.thrown[peer.index()][volume] = thrown;
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
        resource.nodes[node].asked_down = true;
        resource.nodes[node].underway.clear();
        resource.exclusive.role(self.now, node, false);
        resource.roles_changed = true;
    }

    /// Did an administrator leave the resource such that it cannot be whole?
    pub(super) fn left_so(&self, at: usize) -> Option<&'static str> {
        let resource = &self.resources[at];
        let alone = resource.nodes.iter().any(Node::left_a_peer);
        let down = resource.nodes.iter().any(|node| {
            let host = &self.hosts[node.host];
            node.asked_down && host.power() == Power::Up && host.engine(node.slot).is_none()
        });
        let detached = resource.nodes.iter().any(Node::is_bare);
        let says = |node: &Node, disk: DiskState| node.view.disk.contains(&disk);
        let outdated =
            resource.nodes.iter().any(|n| n.asked_outdate && says(n, DiskState::Outdated));
        let invalid = |n: &Node| n.asked_invalid && says(n, DiskState::Inconsistent);
        let mut copies = resource.nodes.iter().filter(|n| n.diskful);
        let gone = resource.nodes.iter().any(invalid) && copies.all(|n| n.was_broken || invalid(n));
        if resource.overruled || gone {
            return Some("overruled-by-administrator");
        }
        if resource.asked_suspension {
            return Some("suspended-by-administrator");
        }
        (alone || down || detached || outdated).then_some("taken-apart-by-administrator")
    }
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
    use crate::world::test_pool::pool;

    /// A run of the pool with these steps and expectations.
    fn run(rest: &str) -> Outcome {
        let pool = pool("commands", r#"["alpha", "bravo", "charlie"]"#);
        let scenario = scenarios::read("f.toml", &(pool + rest));
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

    /// Orders at their times, in seconds, that end as they may.
    fn ordered(orders: &[(u32, &str, &str)]) -> String {
        let step = |(at, on, run): &(u32, &str, &str)| {
            format!(
                "[[step]]\nat = \"{at}s\"\ndo = {{ run = \"{run}\", on = \"{on}\", exit = 0 }}\n"
            )
        };
        orders.iter().map(step).collect()
    }

    #[test]
    fn a_copy_that_is_thrown_away_beside_a_good_one_is_owed_again() {
        let whole = r#"
[[expect]]
within = "80s"
that = { event = "resync-ends", host = "bravo", peer = "alpha" }
"#;
        let orders = [(20, "bravo", "drbdadm invalidate vol-a")];
        let outcome = passes(&(ordered(&orders) + whole));
        assert!(outcome.excused.is_empty(), "{:?}", outcome.excused);
        let orders = [
            (20, "bravo", "drbdadm disconnect vol-a"),
            (22, "bravo", "drbdsetup outdate 1000"),
            (25, "bravo", "drbdadm invalidate vol-a"),
            (30, "bravo", "drbdadm connect vol-a"),
        ];
        let outcome = passes(&(ordered(&orders) + whole));
        assert!(outcome.excused.is_empty(), "{:?}", outcome.excused);
    }

    #[test]
    fn who_throws_every_copy_away_is_owed_nothing() {
        let off = "[[step]]\nat = \"15s\"\ndo = { move-vm = { vm = \"vm-a\" } }\n";
        let mut orders = Vec::new();
        for host in ["alpha", "bravo"] {
            orders.push((20, host, "drbdadm down vol-a"));
            orders.push((25, host, "drbdadm invalidate vol-a"));
            orders.push((30, host, "drbdadm up vol-a"));
        }
        // They do not meet: neither can get anything from the other.
        let cut = "[[step]]\nat = \"28s\"\n\
                   do = { cut = { from = \"alpha\", to = \"bravo\", both = true } }\n";
        let outcome = passes(&(off.to_owned() + &ordered(&orders) + cut));
        assert_eq!(outcome.excused, ["overruled-by-administrator"]);
    }

    #[test]
    fn one_forgotten_tie_breaker_overrules_nothing() {
        let orders = [
            (20, "alpha", "drbdadm del-peer vol-a:charlie"),
            (22, "alpha", "drbdadm forget-peer vol-a:charlie"),
            (30, "alpha", "drbdadm adjust vol-a"),
        ];
        let outcome = passes(&ordered(&orders));
        assert!(outcome.excused.is_empty(), "{:?}", outcome.excused);
        let orders = [
            (20, "bravo", "drbdadm down vol-a"),
            (22, "alpha", "drbdadm del-peer vol-a:bravo"),
            (24, "alpha", "drbdadm forget-peer vol-a:bravo"),
        ];
        let outcome = passes(&ordered(&orders));
        assert_eq!(outcome.excused, ["overruled-by-administrator"]);
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
        let waits = r#"{ run = "drbdsetup wait-sync-resource vol-a", on = "bravo" }"#;
        let cut = "[[step]]\nat = \"1s\"\ndo = { isolate = \"bravo\" }\n";
        let text = wrong(&(cut.to_owned() + &step(waits) + &off.replace("10s", "40s")));
        assert!(text.contains("on bravo did not end: its host went down"), "{text}");
    }

    #[test]
    fn a_command_whose_host_goes_down_has_no_exit_code() {
        let steps = |exit: &str| {
            format!(
                "[[step]]\nid = \"x\"\nat = \"20s\"\n\
                 do = {{ run = \"drbdadm down vol-a\", on = \"bravo\", exit = {exit} }}\n\
                 [[step]]\nafter = \"x\"\ndo = {{ crash = \"bravo\" }}\n"
            )
        };
        let wanted = "step[0] (x): `drbdadm down vol-a` on bravo did not end: its host went down";
        assert_eq!(wrong(&steps("0")), wanted);
        passes(&steps("\"any\""));
    }
}

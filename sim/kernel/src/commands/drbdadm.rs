//! `drbdadm`: from its arguments and the `.res` files to the calls that it makes, as `--dry-run`
//! shows them.

use super::calls::{self, Us};
use super::view::ResourceView;
use crate::res::{self, Config, Files, Host, Volume};
use drbd::state::{ConnState, DiskState};

/// Where the tool begins to read.
pub(crate) const CONFIG: &str = "/etc/drbd.conf";

/// What it does, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Item {
    /// Says something on stdout.
    Say(String),
    /// Says something on stderr.
    Warn(String),
    /// Runs another tool.
    Call(Call),
}

/// A call of another tool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Call {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// For this resource.
    pub resource: String,
    /// When it fails, nothing more is done for the resource.
    pub needed: bool,
    /// Another way to find out, tried quietly when this one fails.
    pub otherwise: Option<Vec<String>>,
}

/// All that it does, and how it ends if nothing else goes wrong.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Plan {
    pub items: Vec<Item>,
    pub code: u8,
    /// Only show the calls.
    pub dry: bool,
    /// Show the calls before they are made.
    pub verbose: bool,
}

impl Plan {
    fn fails(code: u8, text: String) -> Plan {
        Plan { items: vec![Item::Warn(text)], code, ..Plan::default() }
    }
}

/// What the kernel has of a resource now.
pub(crate) type Running<'a> = &'a dyn Fn(&str) -> Option<ResourceView>;

/// What a command works on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum On {
    Resource,
    Volume,
    Peer,
    PeerDevice,
}

/// Commands: name, what they work on, options that they take and hand on.
const COMMANDS: &[(&str, On, &[&str])] = &[
    ("adjust", On::Resource, &["skip-disk", "skip-net", "discard-my-data", "tentative"]),
    ("apply-al", On::Volume, &[]),
    ("attach", On::Volume, &["size"]),
    ("connect", On::Peer, &["discard-my-data", "tentative"]),
    ("create-md", On::Volume, &["max-peers", "force", "peer-max-bio-size", "al-stripes"]),
    ("cstate", On::Peer, &[]),
    ("del-peer", On::Peer, &["force"]),
    ("detach", On::Volume, &["force"]),
    ("disconnect", On::Peer, &["force"]),
    ("disk-options", On::Volume, &["set-defaults"]),
    ("down", On::Resource, &[]),
    ("dstate", On::Volume, &[]),
    ("dump-md", On::Volume, &[]),
    ("forget-peer", On::Peer, &[]),
    ("get-gi", On::PeerDevice, &[]),
    ("invalidate", On::Volume, &["reset-bitmap"]),
    ("invalidate-remote", On::PeerDevice, &["reset-bitmap"]),
    ("net-options", On::Peer, &["set-defaults"]),
    ("new-current-uuid", On::Volume, &["clear-bitmap", "force-resync"]),
    ("new-minor", On::Volume, &[]),
    ("new-path", On::Peer, &[]),
    ("new-peer", On::Peer, &[]),
    ("new-resource", On::Resource, &[]),
    ("outdate", On::Volume, &[]),
    ("pause-sync", On::PeerDevice, &[]),
    ("peer-device-options", On::PeerDevice, &["set-defaults"]),
    ("primary", On::Resource, &["force"]),
    ("resize", On::Volume, &["assume-peer-has-space", "assume-clean", "size"]),
    ("resource-options", On::Resource, &["set-defaults"]),
    ("resume-io", On::Volume, &[]),
    ("resume-sync", On::PeerDevice, &[]),
    ("role", On::Resource, &[]),
    ("secondary", On::Resource, &["force"]),
    ("sh-dev", On::Volume, &[]),
    ("sh-ll-dev", On::Volume, &[]),
    ("sh-md-dev", On::Volume, &[]),
    ("sh-md-idx", On::Volume, &[]),
    ("sh-minor", On::Volume, &[]),
    ("sh-resource", On::Resource, &[]),
    ("show-gi", On::PeerDevice, &[]),
    ("suspend-io", On::Volume, &[]),
    ("up", On::Resource, &[]),
    ("verify", On::PeerDevice, &["start", "stop"]),
    ("wait-connect", On::Resource, &[]),
    ("wait-sync", On::Resource, &[]),
    ("wipe-md", On::Volume, &["force"]),
];

/// Commands that work without a resource, too.
const ALONE: &[&str] = &["dump", "status", "sh-resources", "sh-nop", "sh-mod-parms"];

/// Commands that make no sense without an own disk.
const NEED_DISK: &[&str] = &[
    "apply-al",
    "attach",
    "create-md",
    "detach",
    "dump-md",
    "get-gi",
    "invalidate",
    "outdate",
    "resize",
    "sh-md-dev",
    "sh-md-idx",
    "show-gi",
    "wipe-md",
];

#[derive(Default)]
struct Said {
    dry: bool,
    verbose: bool,
    file: Option<String>,
    command: Option<String>,
    options: Vec<String>,
    names: Vec<String>,
}

/// What the arguments (without the program's name) ask for.
pub(crate) fn plan(files: &Files, host: &str, args: &[String], running: Running) -> Plan {
    let said = match read(args) {
        Ok(said) => said,
        Err(plan) => return plan,
    };
    let Some(command) = said.command.clone() else {
        return usage("COMMAND", "No command specified");
    };
    let known = COMMANDS.iter().find(|(name, ..)| *name == command);
    if known.is_none() && !ALONE.contains(&command.as_str()) {
        return Plan::fails(1, format!("drbdadm: Unknown command '{command}'\n"));
    }
    let path = said.file.as_deref().unwrap_or(CONFIG);
    let config = match res::parse(files, path) {
        Ok(config) => config,
        Err(res::Error(text)) => {
            let code = if files.contains_key(path) { 10 } else { 20 };
            return Plan::fails(code, text);
        }
    };
    let mut plan = match known {
        _ if ALONE.contains(&command.as_str()) => alone(&command, &config, host, &said),
        Some((_, on, _)) => on_names(&command, *on, &config, host, &said, running),
        None => Plan::default(),
    };
    (plan.dry, plan.verbose) = (said.dry, said.verbose);
    plan
}

fn usage(command: &str, why: &str) -> Plan {
    let what = format!("\nUSAGE: drbdadm {command} [OPTION...] {{all|RESOURCE...}}\n\n{why}\n");
    Plan { items: vec![Item::Say(what)], code: 1, ..Plan::default() }
}

/// Tells options, command and names apart.
fn read(args: &[String]) -> Result<Said, Plan> {
    let mut said = Said::default();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let unknown = || {
            Plan::fails(1, format!("drbdadm: unrecognized option '{arg}'\ntry 'drbdadm help'\n"))
        };
        match arg.as_str() {
            "-d" | "--dry-run" => said.dry = true,
            "-v" | "--verbose" | "-vv" | "-vvv" => said.verbose = true,
            "-c" => said.file = rest.next().cloned(),
            "--" => {
                // What follows goes to the tools below, up to the first name.
                while let Some(arg) = rest.as_slice().first().filter(|arg| arg.starts_with("--")) {
                    said.options.push(arg.clone());
                    rest.next();
                }
            }
            word if word.starts_with("--config-file=") => {
                said.file = word.split_once('=').map(|(_, file)| file.to_owned());
            }
            word if word.starts_with('-') && word.len() > 1 => {
                let Some(name) = word.strip_prefix("--") else { return Err(unknown()) };
                let bare = name.split('=').next().unwrap_or(name);
                let takes = said.command.as_ref().map_or_else(
                    || COMMANDS.iter().any(|(_, _, options)| options.contains(&bare)),
                    |command| {
                        let of = COMMANDS.iter().find(|(known, ..)| known == command);
                        of.is_some_and(|(_, _, options)| options.contains(&bare))
                    },
                );
                if !takes {
                    return Err(unknown());
                }
                let valued = ["max-peers", "size", "start", "stop", "peer-max-bio-size"];
                match rest.as_slice().first() {
                    Some(value) if valued.contains(&name) => {
                        said.options.push(format!("--{name}={value}"));
                        rest.next();
                    }
                    _ => said.options.push(word.to_owned()),
                }
            }
            word if said.command.is_none() => said.command = Some(word.to_owned()),
            word => said.names.push(word.to_owned()),
        }
    }
    Ok(said)
}

fn alone(command: &str, config: &Config, host: &str, said: &Said) -> Plan {
    let named = |text: String| Plan { items: vec![Item::Say(text)], ..Plan::default() };
    match command {
        "sh-resources" => {
            let ours = config.resources.iter().filter(|r| r.host(host).is_some());
            let names: Vec<&str> = ours.map(|r| r.name.as_str()).collect();
            named(if names.is_empty() { String::new() } else { names.join("\n") + "\n" })
        }
        "sh-nop" => Plan::default(),
        "sh-mod-parms" => named("minor_count=32\n".to_owned()),
        "status" if said.names.is_empty() => {
            let call = call(&["drbdsetup", "status"], "", false);
            Plan { items: vec![Item::Call(call)], ..Plan::default() }
        }
        "dump" if said.names.is_empty() => named(res::dump_all(config, host)),
        _ => {
            let mut plan = Plan::default();
            for name in targets(config, host, said) {
                let Some(of) = ours(config, host, &name) else { return undefined(&name) };
                plan.items.push(match command {
                    "dump" => Item::Say(res::dump(of.resource, host)),
                    _ => {
                        Item::Call(call(&["drbdsetup", "status", &of.resource.name], &name, false))
                    }
                });
            }
            plan
        }
    }
}

fn call(argv: &[&str], resource: &str, needed: bool) -> Call {
    let argv = argv.iter().map(|word| (*word).to_owned()).collect();
    Call { argv, resource: resource.to_owned(), needed, otherwise: None }
}

fn undefined(name: &str) -> Plan {
    Plan::fails(1, format!("'{name}' not defined in your config (for this host).\n"))
}

/// Names as given, `all` spelled out.
fn targets(config: &Config, host: &str, said: &Said) -> Vec<String> {
    let all = config.resources.iter().filter(|r| r.host(host).is_some());
    match said.names.iter().any(|name| name == "all") {
        true => all.map(|resource| resource.name.clone()).collect(),
        false => said.names.clone(),
    }
}

fn ours<'a>(config: &'a Config, host: &str, name: &str) -> Option<Us<'a>> {
    let resource = config.resource(name)?;
    Some(Us { config, resource, own: resource.host(host)? })
}

/// `res`, `res/volume`, `res:peer`, `res:peer/volume`.
struct Target {
    name: String,
    peer: Option<String>,
    volume: Option<u16>,
}

fn target(text: &str) -> Target {
    let (rest, volume) = match text.rsplit_once('/') {
        Some((rest, volume)) => (rest, volume.parse().ok()),
        None => (text, None),
    };
    let (name, peer) = match rest.split_once(':') {
        Some((name, peer)) => (name, Some(peer.to_owned())),
        None => (rest, None),
    };
    Target { name: name.to_owned(), peer, volume }
}

fn on_names(
    command: &str,
    on: On,
    config: &Config,
    host: &str,
    said: &Said,
    running: Running,
) -> Plan {
    if said.names.is_empty() {
        return usage(command, "No resource names specified");
    }
    let mut plan = Plan::default();
    for text in targets(config, host, said) {
        let target = target(&text);
        let Some(us) = ours(config, host, &target.name) else { return undefined(&text) };
        match for_target(command, on, us, &target, said, running) {
            Ok(items) => plan.items.extend(items),
            Err((text, code)) => {
                plan.items.push(Item::Warn(text));
                plan.code = code;
                return plan;
            }
        }
    }
    plan
}

type Items = Result<Vec<Item>, (String, u8)>;

fn for_target(
    command: &str,
    on: On,
    us: Us,
    target: &Target,
    said: &Said,
    running: Running,
) -> Items {
    let name = &us.resource.name;
    let volumes = us.resource.volumes_of(us.own);
    if let Some(number) = target.volume {
        if !volumes.iter().any(|volume| volume.number == number) {
            return Err((format!("Resource '{name}' has no volume {number}\n"), 1));
        }
        if matches!(on, On::Resource | On::Peer) {
            let what = "operates on whole resources, but you specified a specific volume!";
            return Err((format!("{command} {what}\n"), 1));
        }
    }
    let mut peers = us.peers();
    if let Some(peer) = &target.peer {
        peers.retain(|known| known.name() == peer);
        if peers.is_empty() {
            let text = format!("Not a valid connection ({name}:{peer}) for this host\n");
            return Err((text, 1));
        }
    }
    let volumes: Vec<Volume> = volumes
        .into_iter()
        .filter(|volume| target.volume.is_none_or(|number| volume.number == number))
        .collect();
    let none = volumes.iter().any(|volume| volume.lower().is_none());
    if none && NEED_DISK.contains(&command) {
        let text = format!(
            "The {command} command requires a local disk, but the configuration gives none.\n"
        );
        return Err((text, 10));
    }
    let options = said.options.as_slice();
    Ok(match (command, on) {
        ("up", _) => us.up(&volumes, false).into_iter().map(Item::Call).collect(),
        ("adjust", _) => adjust(us, &volumes, options, running(name)),
        (_, On::Resource) => of_resource(command, us, options),
        (_, On::Volume) => {
            let of = |volume| of_volume(command, us, volume, target, options);
            volumes.iter().flat_map(of).collect()
        }
        ("forget-peer", _) => {
            let volume = volumes.first().filter(|volume| volume.lower().is_some());
            let of = |peer: &Host| calls::forget_peer(us, volume, peer, options);
            peers.into_iter().map(of).collect()
        }
        (_, On::Peer) => {
            peers.into_iter().flat_map(|peer| calls::of_peer(command, us, peer, options)).collect()
        }
        (_, On::PeerDevice) => {
            let pairs = volumes.iter().flat_map(|v| peers.iter().map(move |p| (v, *p)));
            pairs.map(|(v, p)| calls::for_peer_device(command, us, v, p, options)).collect()
        }
    })
}

fn of_resource(command: &str, us: Us, options: &[String]) -> Vec<Item> {
    let name = us.resource.name.as_str();
    let argv = match command {
        "sh-resource" => return vec![Item::Say(format!("{name}\n"))],
        "new-resource" => us.new_resource(),
        "wait-connect" => calls::words(&["drbdsetup", "wait-connect-resource", name]),
        "wait-sync" => calls::words(&["drbdsetup", "wait-sync-resource", name]),
        _ => calls::words(&["drbdsetup", command, name]),
    };
    vec![us.item(argv, options)]
}

fn of_volume(
    command: &str,
    us: Us,
    volume: &Volume,
    target: &Target,
    options: &[String],
) -> Vec<Item> {
    let minor = volume.minor.unwrap_or(0).to_string();
    let say = |text: &str| vec![Item::Say(format!("{text}\n"))];
    let lower = volume.lower().unwrap_or("none");
    let meta = |action: &str| us.drbdmeta(volume, &[], action);
    match command {
        "sh-dev" => match &volume.device {
            Some(device) => say(device),
            None => say(&format!("/dev/drbd{minor}")),
        },
        "sh-minor" => say(&minor),
        "sh-ll-dev" => say(lower),
        "sh-md-dev" => say(us.meta_device(volume)),
        "sh-md-idx" => say("internal"),
        "attach" => us.attach(volume).into_iter().map(Item::Call).collect(),
        "create-md" => {
            let mut argv = meta("create-md");
            let peers = us.peers().iter().filter(|peer| us.has_disk(peer)).count().max(1);
            let most = options.iter().find_map(|option| option.strip_prefix("--max-peers="));
            argv.push(most.map_or(peers.to_string(), str::to_owned));
            let rest = options.iter().filter(|option| !option.starts_with("--max-peers"));
            argv.extend(rest.cloned());
            vec![us.item(argv, &[])]
        }
        "wipe-md" | "dump-md" | "apply-al" => vec![us.item(meta(command), options)],
        "new-minor" => vec![us.item(us.new_minor(volume), options)],
        "resize" => vec![
            us.item(calls::words(&["drbdsetup", "resize", &minor]), options),
            us.item(calls::words(&["drbdsetup", "check-resize", &minor]), &[]),
        ],
        "invalidate" => {
            let mut argv = calls::words(&["drbdsetup", command, &minor]);
            let peer = target.peer.as_ref().and_then(|peer| us.resource.host(peer));
            if let Some(node) = peer.and_then(|peer| peer.node) {
                argv.push(format!("--sync-from-peer-node-id={node}"));
            }
            vec![us.item_or(argv, options, meta(command))]
        }
        // drbdadm 9 names the resource, too, which drbdsetup takes for the minor: while the
        // resource is up this fails, and so does drbdmeta.
        "outdate" => {
            let name = us.resource.name.as_str();
            let argv = calls::words(&["drbdsetup", command, name, &minor]);
            vec![us.item_or(argv, options, meta(command))]
        }
        "dstate" if volume.lower().is_some() => {
            vec![us.item_or(calls::words(&["drbdsetup", command, &minor]), options, meta(command))]
        }
        "disk-options" => {
            let mut argv = calls::words(&["drbdsetup", command, &minor]);
            argv.extend(us.disk_options(volume));
            vec![us.item(argv, options)]
        }
        _ => vec![us.item(calls::words(&["drbdsetup", command, &minor]), options)],
    }
}

/// Makes the kernel what the files say.
fn adjust(
    us: Us,
    volumes: &[Volume],
    options: &[String],
    running: Option<ResourceView>,
) -> Vec<Item> {
    let skips = |what: &str| options.iter().any(|option| option == what);
    let (no_disk, no_net) = (skips("--skip-disk"), skips("--skip-net"));
    let calls = match running {
        None => us.up(volumes, true),
        Some(view) => us.difference(volumes, &view),
    };
    let keep = |call: &Call| {
        let is = |word: &str| call.argv.iter().any(|w| w == word);
        let disk = is("attach") || is("detach") || is("apply-al");
        let net = is("connect") || is("new-peer") || is("new-path") || is("peer-device-options");
        !(no_disk && disk || no_net && net)
    };
    let connects = |call: &Call| call.argv.get(1).is_some_and(|word| word == "connect");
    let how = ["--discard-my-data", "--tentative"];
    let handed = options.iter().filter(|option| how.contains(&option.as_str()));
    let hand_on = |mut call: Call| {
        if connects(&call) {
            call.argv.extend(handed.clone().cloned());
        }
        Item::Call(call)
    };
    calls.into_iter().filter(keep).map(hand_on).collect()
}

impl Us<'_> {
    /// Calls that bring a running resource to what the files say.
    fn difference(&self, volumes: &[Volume], view: &ResourceView) -> Vec<Call> {
        let mut all = Vec::new();
        let name = &self.resource.name;
        let ours = |options: &[String]| -> Vec<(String, String)> {
            let pair = |option: &String| {
                let (name, value) = option.trim_start_matches("--").split_once('=')?;
                Some((name.to_owned(), value.to_owned()))
            };
            options.iter().filter_map(pair).filter(|(name, _)| name != "_name").collect()
        };
        let wanted = self.resource_options();
        if !same(&ours(&wanted), &view.options) {
            let mut argv = calls::words(&["drbdsetup", "resource-options", name, "--set-defaults"]);
            argv.extend(wanted);
            all.push(self.call(argv));
        }
        for peer in self.peers() {
            let Some(node) = peer.node else { continue };
            let known = view.connections.iter().find(|c| c.node.index() == usize::from(node));
            let number = node.to_string();
            let Some(known) = known else {
                all.push(self.call(self.new_peer(peer)));
                all.extend(self.new_paths(peer).into_iter().map(|argv| self.call(argv)));
                all.extend(volumes.iter().filter_map(|v| self.towards_volume(v, peer, true)));
                all.push(self.call(calls::words(&["drbdsetup", "connect", name, &number])));
                continue;
            };
            let wanted = self.net_options(peer);
            if !same(&ours(&wanted), &known.options) {
                let mut argv =
                    calls::words(&["drbdsetup", "net-options", name, &number, "--set-defaults"]);
                argv.extend(wanted);
                all.push(self.call(argv));
            }
        }
        for volume in volumes {
            let device = view.devices.iter().find(|d| d.volume == volume.number);
            match device {
                None => {
                    all.push(self.call(self.new_minor(volume)));
                    all.extend(self.attach(volume));
                }
                Some(d) if d.disk == DiskState::Diskless && volume.lower().is_some() => {
                    all.extend(self.attach(volume));
                }
                Some(d) if d.disk != DiskState::Diskless && volume.lower().is_none() => {
                    let argv = calls::words(&["drbdsetup", "detach", &d.minor.to_string()]);
                    all.push(self.call(argv));
                }
                Some(_) => {}
            }
        }
        for connection in &view.connections {
            if connection.state == ConnState::StandAlone {
                let number = connection.node.to_string();
                all.push(self.call(calls::words(&["drbdsetup", "connect", name, &number])));
            }
        }
        all
    }
}

/// The same options, in whatever order.
fn same(a: &[(String, String)], b: &[(String, String)]) -> bool {
    let (mut a, mut b) = (a.to_vec(), b.to_vec());
    a.sort();
    b.sort();
    a == b
}

/// What drbdadm says of a call that failed.
pub(crate) fn terminated(argv: &[String], code: u8) -> String {
    format!("Command '{}' terminated with exit code {code}\n", argv.join(" "))
}

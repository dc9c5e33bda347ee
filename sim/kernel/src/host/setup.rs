//! `drbdsetup`: from its arguments to the kernel.

use super::exec::{After, Begun, Exit, Stream, Wait, program};
use super::{Administered, Host, Out, What};
use crate::commands::args::{Args, address};
use crate::commands::events2::Asked;
use crate::commands::shape::Shape;
use crate::commands::status::Detail;
use crate::commands::texts::{
    Bad, DISK_CONFIGURED, INVALID_REQUEST, MINOR_INVALID, NET_CONFIGURED, OPEN_DISK, RES_NOT_KNOWN,
};
use crate::commands::{gi, json, show, status};
use crate::wire::Wire;
use drbd::core::config::{Config, PeerDeviceOptions};
use drbd::core::event::Command;
use drbd::ids::{NodeId, VolumeNumber};
use drbd::state::{ConnState, DiskState};
use models::lvm::Lvm;
use models::net::Net;
use models::{SimTime, Span};

/// What the engine of the modelled kernel has no command for.
const CANNOT: &[(&str, &str)] = &[
    ("check-resize", "move metadata that was left behind"),
    ("del-path", "take a path away"),
    ("rename-resource", "rename a resource"),
];

/// Runs until this at most, where no end was said.
const FOREVER: SimTime = SimTime::FAR;

pub(super) fn over(result: Result<(), Bad>, object: &str) -> Begun {
    Begun::Over(Exit::of(result, object))
}

fn no_such(object: &str, what: &str) -> Begun {
    Begun::Over(Exit::fails(10, format!("{object}: No such {what}\n")))
}

fn told(text: &str) -> Begun {
    Begun::Over(Exit::said(format!("{text}\n")))
}

/// What can be compared: peers that were deleted come back at the end, and the pace towards a peer
/// may be told in more than one way.
fn ordered(mut config: Config) -> Config {
    config.peers.sort_by_key(|peer| peer.node);
    for peer in &config.peers {
        for volume in (0..config.volumes.len() as u16).map(VolumeNumber) {
            let pace = config.pace(peer.node, volume);
            config.towards.insert((peer.node, volume), pace);
        }
    }
    Config { peer_device: PeerDeviceOptions::default(), ..config }
}

/// The command that makes one configuration of the other, if there is one.
fn changed(before: Config, wanted: &Config) -> Option<Command> {
    let (towards, after) = (before.towards.clone(), before.resync_after.clone());
    let (now, then) = (wanted.towards.clone(), wanted.resync_after.clone());
    if *wanted != (Config { towards: now.clone(), resync_after: then.clone(), ..before }) {
        return None;
    }
    let mut paces = now.iter().filter(|(at, options)| towards.get(at) != Some(options));
    if let Some(((node, volume), options)) = paces.next() {
        return Some(Command::PeerDeviceOptions(*node, *volume, *options));
    }
    let mut volumes = (0..wanted.volumes.len() as u16).map(VolumeNumber);
    let volume = volumes.find(|volume| after.get(volume) != then.get(volume))?;
    Some(Command::ResyncAfter(volume, then.get(&volume).copied()))
}

pub(super) fn missing(what: &str) -> Begun {
    Begun::Over(Exit::fails(20, format!("Missing argument '{what}'\n")))
}

impl Host {
    /// Begins a call of a program below drbdadm.
    pub(super) fn begin(
        &mut self,
        now: SimTime,
        argv: &[String],
        net: &mut Net<Wire>,
        out: &mut Vec<Out>,
    ) -> Begun {
        match program(argv) {
            "drbdsetup" => self.drbdsetup(now, argv.get(1..).unwrap_or(&[]), net, out),
            "drbdmeta" => Begun::Over(self.drbdmeta(argv.get(1..).unwrap_or(&[]), out)),
            name if crate::lvm::knows(name) => self.lvm_command(now, argv),
            other => Begun::Over(Exit::fails(127, format!("sh: 1: {other}: not found\n"))),
        }
    }

    /// LVM's commands change what they change at once, and take their time to end.
    fn lvm_command(&mut self, now: SimTime, argv: &[String]) -> Begun {
        let mut argv = argv.to_vec();
        argv[0] = program(&argv).to_owned();
        let output = match self.run_lvm(now, &argv) {
            Some(output) => output,
            // A host that no volume group was made on.
            None => crate::lvm::run(&mut Lvm::new(), &argv),
        };
        let exit = Exit { code: output.code, out: output.stdout, err: output.stderr };
        Begun::Ends(exit, output.takes)
    }

    fn drbdsetup(
        &mut self,
        now: SimTime,
        words: &[String],
        net: &mut Net<Wire>,
        out: &mut Vec<Out>,
    ) -> Begun {
        let Some(command) = words.first().map(String::as_str) else {
            let text = "USAGE: drbdsetup command {arguments} [options]\n".to_owned();
            return Begun::Over(Exit { code: 20, out: text, ..Exit::default() });
        };
        let args = Args::of(&words[1..]);
        match command {
            "status" => self.status(&args),
            "show" => self.show(&args),
            "events2" => self.events2(&args),
            "role" | "peer-role" | "cstate" | "dstate" | "get-gi" | "show-gi" => {
                self.one_state(command, &args)
            }
            word if word.starts_with("wait-") => self.wait(now, word, &args),
            word if word.starts_with("new-") && word != "new-current-uuid" => {
                self.make_new(word, &args)
            }
            "peer-device-options" | "net-options" | "resource-options" | "disk-options" => {
                self.options(command, &args)
            }
            "attach" | "detach" | "suspend-io" | "resume-io" | "del-minor" | "resize" => {
                self.of_minor(command, &args, net, out)
            }
            "outdate" | "invalidate" | "invalidate-remote" | "forget-peer" | "new-current-uuid" => {
                self.overrule(command, &args)
            }
            "connect" | "disconnect" | "del-peer" => self.of_connection(command, &args, net, out),
            "pause-sync" | "resume-sync" | "verify" => self.of_peer_device(command, &args),
            "primary" | "secondary" | "down" | "del-resource" => {
                self.of_resource(command, &args, net, out)
            }
            _ => self.unable(command, &args),
        }
    }

    fn unable(&self, command: &str, args: &Args) -> Begun {
        let Some((_, what)) = CANNOT.iter().find(|(name, _)| *name == command) else {
            return Begun::Over(Exit::fails(20, format!("invalid command '{command}'\n")));
        };
        let object = args.word(0);
        if object.is_empty() {
            return missing("object");
        }
        let by_minor = object.parse::<u32>().is_ok();
        let known = match object.parse::<u32>() {
            Ok(minor) => self.slot_of_minor(minor).is_some(),
            Err(_) => self.slot_named(object).and_then(|slot| self.shape(slot)).is_some(),
        };
        let unknown = if by_minor { MINOR_INVALID } else { RES_NOT_KNOWN };
        match (known, command) {
            (false, _) => over(Err(Bad::Failure(unknown, None)), object),
            (true, "check-resize") => over(Ok(()), object),
            (true, _) => over(Err(Bad::cannot(what)), object),
        }
    }

    // ---- what only looks ----

    fn status(&self, args: &Args) -> Begun {
        let all = self.views();
        let name = args.rest.first().map(String::as_str).filter(|name| *name != "all");
        let wanted = |name: &str| all.iter().filter(|view| view.name == name).cloned().collect();
        let views: Vec<_> = name.map_or_else(|| all.clone(), wanted);
        let mut text = String::new();
        let detail = Detail { verbose: args.has("verbose"), statistics: args.has("statistics") };
        if args.has("json") {
            text = json::status(&views);
        } else {
            if all.is_empty() {
                text += "# No currently configured DRBD found.\n";
            }
            views.iter().for_each(|view| text += &status::status(view, detail));
        }
        match name.filter(|_| views.is_empty()) {
            Some(name) => {
                let err = format!("{name}: No such resource\n");
                Begun::Over(Exit { code: 10, out: text, err })
            }
            None => Begun::Over(Exit::said(text)),
        }
    }

    fn show(&self, args: &Args) -> Begun {
        let name = args.rest.first().filter(|name| *name != "all");
        let mut all = self.views();
        if args.has("json") {
            let what = "`show --json`: its defaults are the real kernel's to tell";
            return over(Err(Bad::cannot(what)), name.map_or("all", String::as_str));
        }
        let mut text = String::new();
        if all.is_empty() {
            text += "# No currently configured DRBD found.\n";
        }
        all.retain(|view| name.is_none_or(|name| *name == view.name));
        all.iter().for_each(|view| text += &show::show(view));
        Begun::Over(Exit::said(text))
    }

    fn one_state(&self, command: &str, args: &Args) -> Begun {
        let object = args.word(0);
        let view = self.slot_named(object).and_then(|slot| self.view(slot));
        let node = args.number::<u8>(1);
        let connection = view.as_ref().and_then(|view| {
            view.connections.iter().find(|c| Some(c.node.index()) == node.map(usize::from))
        });
        match (command, view.as_ref(), connection) {
            ("role", Some(view), _) => told(view.role.name()),
            ("role", ..) => Begun::Over(Exit::fails(10, format!("{object}: Unknown resource\n"))),
            ("cstate", _, Some(connection)) => told(connection.state.name()),
            ("peer-role", _, Some(connection)) => told(connection.role.name()),
            ("cstate" | "peer-role", ..) => no_such(object, "connection"),
            ("dstate", ..) => self.dstate(object),
            (_, _, Some(_)) => self.gi(command, object, node, args.number(2)),
            _ => no_such(object, "peer device"),
        }
    }

    fn dstate(&self, object: &str) -> Begun {
        let minor = object.parse().ok();
        let found = minor.and_then(|minor| self.slot_of_minor(minor));
        let Some((view, volume)) = found.and_then(|(slot, v)| Some((self.view(slot)?, v))) else {
            return no_such(object, "device");
        };
        let own = view.devices.iter().filter(|d| d.volume == volume).map(|d| d.disk.name());
        let peers = view.connections.iter().flat_map(|c| &c.peer_devices);
        let peers = peers.filter(|p| p.volume == volume).map(|p| p.disk.name());
        told(&own.chain(peers).collect::<Vec<_>>().join("/"))
    }

    fn gi(&self, command: &str, object: &str, node: Option<u8>, volume: Option<u16>) -> Begun {
        let slot = self.slot_named(object);
        let engine = slot.and_then(|slot| self.slots[slot].engine.as_ref());
        let ids = node.and_then(NodeId::new).zip(volume);
        let Some((engine, (node, volume))) = engine.zip(ids) else {
            return no_such(object, "peer device");
        };
        match engine.generations(VolumeNumber(volume), node) {
            Some(generations) if command == "get-gi" => {
                Begun::Over(Exit::said(gi::line(&generations)))
            }
            Some(generations) => Begun::Over(Exit::said(gi::explained(&generations))),
            None => Begun::Over(Exit::fails(1, "Device has no disk\n".to_owned())),
        }
    }

    fn events2(&self, args: &Args) -> Begun {
        if args.has("poll") || args.has("diff") {
            return over(Err(Bad::cannot("poll or diff events")), "events2");
        }
        let full = args.has("full");
        let asked = Asked {
            statistics: full || args.has("statistics"),
            full,
            timestamps: args.has("timestamps"),
            now: args.has("now"),
        };
        let resource = args.rest.first().filter(|name| *name != "all").cloned();
        Begun::Streams(Stream { asked, resource, told: Default::default() })
    }

    fn wait(&self, now: SimTime, word: &str, args: &Args) -> Begun {
        let object = args.word(0);
        let mut parts = word.splitn(3, '-').skip(1);
        let (what, on) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        if !matches!(what, "connect" | "sync")
            || !matches!(on, "resource" | "connection" | "volume")
        {
            return self.unable(word, args);
        }
        if self.slot_named(object).and_then(|slot| self.shape(slot)).is_none() {
            return over(Err(Bad::Failure(RES_NOT_KNOWN, None)), object);
        }
        let (peer, volume) = (args.number(1), args.number(2));
        if on != "resource" && peer.is_none() || on == "volume" && volume.is_none() {
            return missing("peer_node_id");
        }
        let seconds = args.option("wfc-timeout").and_then(|text| text.parse().ok()).unwrap_or(0);
        Begun::Waits(Wait {
            resource: object.to_owned(),
            peer: peer.filter(|_| on != "resource"),
            volume: volume.filter(|_| on == "volume"),
            sync: what == "sync",
            after_split_brain: args.has("wait-after-sb"),
            until: if seconds == 0 { FOREVER } else { now + Span::secs(seconds) },
        })
    }

    // ---- objects ----

    fn make_new(&mut self, command: &str, args: &Args) -> Begun {
        let object = args.word(0).to_owned();
        if object.is_empty() {
            return missing("resource");
        }
        let Some(slot) = self.slot_named(&object) else {
            let what = "hold a resource that the world was not built with";
            return over(Err(Bad::cannot(what)), &object);
        };
        if command == "new-resource" {
            let Some(node) = args.number(1).filter(|node| *node < 32) else {
                return missing("node_id");
            };
            let of = &mut self.slots[slot];
            if of.shape.is_none() {
                let (devices, peers) = (Vec::new(), Vec::new());
                let options = args.options.clone();
                of.shape = Some(Shape { node, options, devices, peers });
            }
            return over(Ok(()), &object);
        }
        let minor = args.number::<u32>(1);
        if command == "new-minor" && minor.is_some_and(|minor| self.slot_of_minor(minor).is_some())
        {
            let (minor, volume) = (args.word(1), args.word(2));
            let Begun::Over(mut exit) =
                over(Err(Bad::Failure(crate::commands::texts::EXISTS, None)), &object)
            else {
                return missing("minor");
            };
            let first = format!(
                "new-minor {object} {minor} {volume}: sysfs node \
                 '/sys/devices/virtual/block/drbd{minor}' (already? still?) exists\n"
            );
            exit.err.insert_str(0, &first);
            return Begun::Over(exit);
        }
        let running = self.slots[slot].engine.is_some();
        let Some(shape) = &self.slots[slot].shape else {
            return over(Err(Bad::Failure(RES_NOT_KNOWN, None)), &object);
        };
        let mut made = shape.clone();
        let result = match (command, args.number::<u8>(1)) {
            ("new-minor", _) => match (minor, args.number(2)) {
                (Some(minor), Some(volume)) => made.new_minor(minor, volume, args.has("diskless")),
                _ => return missing("minor"),
            },
            ("new-peer", Some(node)) => made.new_peer(node, args.options.clone()),
            ("new-path", Some(node)) => match (address(args.word(2)), address(args.word(3))) {
                (Some(own), Some(there)) => made.new_path(node, own, there),
                _ => return missing("local_addr"),
            },
            _ => return missing("peer_node_id"),
        };
        if result.is_ok() && running && !self.comes_back(slot, &made) {
            return over(Err(Bad::cannot("add to a resource that is up")), &object);
        }
        let Some(shape) = self.slots[slot].shape.as_mut() else { return missing("resource") };
        if result.is_ok() {
            *shape = made;
        }
        over(result, &object)
    }

    fn options(&mut self, command: &str, args: &Args) -> Begun {
        let object = args.word(0).to_owned();
        let by_minor = object.parse().ok().and_then(|minor| self.slot_of_minor(minor));
        let slot = match command {
            "disk-options" => by_minor.map(|(slot, _)| slot),
            _ => self.slot_named(&object),
        };
        let unknown = if command == "disk-options" { MINOR_INVALID } else { RES_NOT_KNOWN };
        let Some(slot) = slot.filter(|slot| self.slots[*slot].shape.is_some()) else {
            return over(Err(Bad::Failure(unknown, None)), &object);
        };
        let of = &mut self.slots[slot];
        let Some(shape) = of.shape.as_mut() else { return missing("resource") };
        let mut made = shape.clone();
        let mut given = args.options.clone();
        given.retain(|(name, _)| !matches!(name.as_str(), "set-defaults" | "_name"));
        let fresh = args.has("set-defaults");
        let node = args.number::<u8>(1).unwrap_or(u8::MAX);
        let into = match command {
            "resource-options" => Some(&mut made.options),
            "disk-options" => {
                let minor = object.parse().unwrap_or(0);
                made.devices.iter_mut().find(|d| d.minor == minor).map(|d| &mut d.options)
            }
            _ => made.peers.iter_mut().find(|peer| peer.node == node).and_then(
                |peer| match command {
                    "net-options" => Some(&mut peer.options),
                    _ => args.number(2).map(|volume| peer.devices.entry(volume).or_default()),
                },
            ),
        };
        let Some(into) = into else {
            let text = Some("unknown connection".to_owned());
            return over(Err(Bad::Failure(INVALID_REQUEST, text)), &object);
        };
        if fresh {
            into.clear();
        }
        for (name, value) in given {
            into.retain(|(known, _)| *known != name);
            into.push((name, value));
        }
        let before = of.engine.is_some().then(|| shape.config(&of.fixed));
        let wanted = made.config(&of.fixed).map(ordered);
        let as_it_is = of.engine.as_ref().map(|engine| Ok(ordered(engine.config().clone())));
        let same = before.is_none_or(|before| before.map(ordered) == wanted)
            || as_it_is.is_some_and(|now| now == wanted);
        if same {
            *shape = made;
            return over(Ok(()), &object);
        }
        let before = shape.config(&of.fixed).map(ordered);
        let asked = before.ok().zip(wanted.ok()).and_then(|(old, new)| changed(old, &new));
        let Some(asked) = asked else {
            return over(Err(Bad::cannot("change these options while it is up")), &object);
        };
        if let Command::ResyncAfter(volume, minor) = asked
            && let Err(bad) = self.may_wait((slot, volume), minor)
        {
            return over(Err(bad), &object);
        }
        self.slots[slot].shape = Some(made);
        Begun::Asks(slot, asked, object, After::Nothing)
    }

    // ---- what changes something ----

    fn of_minor(
        &mut self,
        command: &str,
        args: &Args,
        net: &mut Net<Wire>,
        out: &mut Vec<Out>,
    ) -> Begun {
        let object = args.word(0).to_owned();
        let found = object.parse().ok().and_then(|minor| self.slot_of_minor(minor));
        let Some((slot, volume)) = found else {
            return over(Err(Bad::Failure(MINOR_INVALID, None)), &object);
        };
        let number = VolumeNumber(volume);
        if command == "del-minor" {
            let of = &mut self.slots[slot];
            return match (&of.engine, &mut of.shape) {
                (None, Some(shape)) => {
                    shape.devices.retain(|device| device.volume != volume);
                    over(Ok(()), &object)
                }
                _ => over(Err(Bad::cannot("take a volume from a resource that is up")), &object),
            };
        }
        if command == "attach" {
            return self.attach((slot, volume), args, net, out);
        }
        if command == "resize" {
            return self.resize((slot, volume), args);
        }
        if self.slots[slot].engine.is_none() {
            return over(Ok(()), &object);
        }
        let (command, deed) = match command {
            "detach" => {
                let force = args.has("force");
                (Command::Detach(number, force), Administered::Detach { force })
            }
            "suspend-io" => (Command::SuspendIo, Administered::SuspendIo),
            _ => (Command::ResumeIo, Administered::ResumeIo),
        };
        out.push(Out { slot, what: What::Administered(deed) });
        Begun::Asks(slot, command, object, After::Nothing)
    }

    fn attach(
        &mut self,
        (slot, volume): (usize, u16),
        args: &Args,
        net: &mut Net<Wire>,
        out: &mut Vec<Out>,
    ) -> Begun {
        let object = args.word(0).to_owned();
        let region = self.slots[slot].fixed.regions.get(usize::from(volume)).copied().flatten();
        let path = self.slots[slot].fixed.lower_path(volume);
        if region.is_none() || path != args.word(1) {
            return over(Err(Bad::Failure(OPEN_DISK, None)), &object);
        }
        if args.word(3) != "internal" {
            return over(Err(Bad::cannot("use external metadata")), &object);
        }
        let seen = self
            .view(slot)
            .and_then(|view| view.devices.into_iter().find(|device| device.volume == volume));
        if seen.as_ref().is_some_and(|device| device.disk != DiskState::Diskless) {
            return over(Err(Bad::Failure(DISK_CONFIGURED, None)), &object);
        }
        if seen.is_some_and(|device| device.client) {
            return over(Err(Bad::cannot("attach a disk to a diskless volume")), &object);
        }
        let after = args.option("resync-after").and_then(|minor| minor.parse().ok());
        if let Err(bad) = self.may_wait((slot, VolumeNumber(volume)), after) {
            return over(Err(bad), &object);
        }
        if let Some(shape) = self.slots[slot].shape.as_mut() {
            let device = shape.devices.iter_mut().find(|device| device.volume == volume);
            if let Some(device) = device {
                device.options = args.options.clone();
            }
        }
        if let Err(bad) = self.raise(slot, net, out) {
            return over(Err(bad), &object);
        }
        let Some(end) = self.find_metadata(slot, usize::from(volume)) else {
            return over(Err(Bad::Failure(OPEN_DISK, None)), &object);
        };
        let command = Command::Attach(VolumeNumber(volume), end);
        Begun::Asks(slot, command, object, After::Nothing)
    }

    fn of_connection(
        &mut self,
        command: &str,
        args: &Args,
        net: &mut Net<Wire>,
        out: &mut Vec<Out>,
    ) -> Begun {
        let object = args.word(0).to_owned();
        let Some(slot) = self.slot_named(&object).filter(|s| self.shape(*s).is_some()) else {
            return over(Err(Bad::Failure(RES_NOT_KNOWN, None)), &object);
        };
        let node = args.number::<u8>(1);
        let known = node.filter(|node| self.shape(slot).is_some_and(|s| s.peer(*node).is_some()));
        let Some(node) = known.and_then(NodeId::new) else {
            let text = Some("unknown connection".to_owned());
            return over(Err(Bad::Failure(INVALID_REQUEST, text)), &object);
        };
        let engine = self.slots[slot].engine.as_ref();
        let state = engine.map_or(ConnState::StandAlone, |engine| engine.peer(node).0);
        let deletes = command == "del-peer";
        if command == "disconnect" || deletes {
            if state == ConnState::StandAlone {
                if deletes {
                    self.drop_peer(slot, node);
                }
                return over(Ok(()), &object);
            }
            out.push(Out { slot, what: What::Administered(Administered::Disconnect(node)) });
            let after = if deletes { After::DropPeer(node) } else { After::Nothing };
            return Begun::Asks(slot, Command::Disconnect(node, args.has("force")), object, after);
        }
        if args.has("tentative") {
            return over(Err(Bad::cannot("tell what connecting would bring")), &object);
        }
        if state != ConnState::StandAlone {
            return over(Err(Bad::Failure(NET_CONFIGURED, None)), &object);
        }
        if self
            .shape(slot)
            .is_some_and(|s| s.peer(node.index() as u8).is_some_and(|p| p.paths.is_empty()))
        {
            let text = Some("connection endpoint(s) missing".to_owned());
            return over(Err(Bad::Failure(INVALID_REQUEST, text)), &object);
        }
        if let Err(bad) = self.raise(slot, net, out) {
            return over(Err(bad), &object);
        }
        out.push(Out { slot, what: What::Administered(Administered::Connect(node)) });
        if args.has("discard-my-data") {
            let after = After::Tell(Administered::Discard(node));
            return Begun::Asks(slot, Command::ConnectDiscarding(node), object, after);
        }
        Begun::Asks(slot, Command::Connect(node), object, After::Nothing)
    }

    fn of_resource(
        &mut self,
        command: &str,
        args: &Args,
        net: &mut Net<Wire>,
        out: &mut Vec<Out>,
    ) -> Begun {
        let object = args.word(0).to_owned();
        let known = self.slot_named(&object).filter(|slot| self.shape(*slot).is_some());
        let Some(slot) = known else {
            return match command {
                "down" if !object.is_empty() => over(Ok(()), &object),
                _ => over(Err(Bad::Failure(RES_NOT_KNOWN, None)), &object),
            };
        };
        let force = args.has("force") || args.has("overwrite-data-of-peer");
        let up = self.slots[slot].engine.is_some();
        let (command, deed) = match command {
            "down" | "del-resource" if !up => {
                self.slots[slot].shape = None;
                return over(Ok(()), &object);
            }
            "del-resource" => {
                return over(Err(Bad::Failure(crate::commands::texts::IN_USE, None)), &object);
            }
            "down" => (Command::Down, Administered::Down),
            "primary" => (Command::Primary(force), Administered::Primary { force }),
            _ => (Command::Secondary(force), Administered::Secondary { force }),
        };
        if let Err(bad) = self.raise(slot, net, out) {
            return over(Err(bad), &object);
        }
        out.push(Out { slot, what: What::Administered(deed) });
        Begun::Asks(slot, command, object, After::Nothing)
    }

    /// From objects to an engine that runs them.
    fn raise(&mut self, slot: usize, net: &mut Net<Wire>, out: &mut Vec<Out>) -> Result<(), Bad> {
        let of = &self.slots[slot];
        let Some(shape) = of.shape.as_ref().filter(|_| of.engine.is_none()) else {
            return Ok(());
        };
        let config = shape.config(&of.fixed)?;
        let mut peers = Vec::new();
        for peer in &shape.peers {
            let node = NodeId::new(peer.node)
                .filter(|node| of.fixed.config.peers.iter().any(|known| known.node == *node));
            let Some(node) = node else {
                return Err(Bad::cannot("have a peer that the world was not built with"));
            };
            match peer.paths[..] {
                [(own, there)] if own == of.fixed.listen => {
                    peers.push(crate::slot::SlotPeer { node, address: there });
                }
                [_] => return Err(Bad::cannot("listen at another address")),
                _ => return Err(Bad::cannot("use anything but one path")),
            }
        }
        self.make_engine(slot, config, &peers, net);
        self.slots[slot].phase = crate::slot::Phase::Up;
        out.push(Out { slot, what: What::BroughtUp });
        Ok(())
    }
}

//! A host: power, disk, and the resources that its kernel runs.

mod exec;
mod grow;
mod handlers;
mod look;
mod meta;
mod overrule;
mod resync_after;
mod setup;
mod sync;

use crate::below::Below;
use crate::commands::events2::Helper;
use crate::link::{Around, Link, LinkCounters, News, tcp_options};
use crate::lower::{InFlight, Pending, result};
use crate::res::Files;
use crate::slot::{Phase, Slot, SlotConfig, SlotPeer};
use crate::wire::Wire;
use drbd::core::Resource;
use drbd::core::event::{
    Action, Command, CommandId, Event, Lower, LowerResult, Notice, Refusal, RequestId,
};
use drbd::ids::{NodeId, NodeMask, Time, Uuid, VolumeNumber};
use drbd::meta::Layout;
use drbd::packet::Packet;
use drbd::page::Page;
use drbd::quirks::Quirks;
use drbd::state::{ConnState, DiskState};
use models::disk::{Direction, Disk, Done, Op};
use models::lvm::Lvm;
use models::net::{HostId, Net, NetEvent, NetWhat};
use models::time::SpanRange;
use models::{Luck, SimTime, Span};

/// Commands of the kernel itself have this bit; the rest of the number is theirs.
const OWN: u64 = 1 << 63;
const OWN_DOWN: u64 = OWN | 1 << 40;
const OWN_CONNECT: u64 = OWN | 1 << 41;
/// Owner of a listener's events, in place of a node id.
const LISTENER: u64 = 0xff;
/// Owner of the flush with which a clean shutdown ends.
const LAST_FLUSH: u64 = u64::MAX;
/// `Down` is asked for again after this, when it is refused.
const DOWN_AGAIN: Span = Span::ms(500);

/// How to make a host.
#[derive(Debug)]
pub struct HostConfig {
    /// Its name.
    pub name: String,
    /// In the network.
    pub net: HostId,
    /// From power to kernel.
    pub boot_time: SpanRange,
    /// Seeds the engines, and draws boot times.
    pub luck: Luck,
    /// Bugs put back on purpose.
    pub quirks: Quirks,
}

/// Is there power, and a kernel?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Power {
    /// No power.
    Off,
    /// The kernel starts at this time.
    Booting(SimTime),
    /// Running.
    Up,
    /// Resources go down, then the power.
    ShuttingDown(SimTime),
}

/// What a host tells the world.
#[derive(Clone, Debug)]
pub struct Out {
    /// Index of the resource on this host.
    pub slot: usize,
    /// What.
    pub what: What,
}

/// What an administrator's command sets out to change on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Administered {
    /// `connect`
    Connect(NodeId),
    /// `disconnect`
    Disconnect(NodeId),
    /// `detach`
    Detach {
        /// `--force`
        force: bool,
    },
    /// `primary`
    Primary {
        /// `--force`
        force: bool,
    },
    /// `secondary`
    Secondary {
        /// `--force`
        force: bool,
    },
    /// `suspend-io`
    SuspendIo,
    /// `resume-io`
    ResumeIo,
    /// `down`
    Down,
    /// `create-md`, `wipe-md`
    NewMetadata,
    /// `connect --discard-my-data`, once the kernel has taken it
    Discard(NodeId),
    /// `outdate`, done
    Outdate,
    /// `invalidate` here or `invalidate-remote` elsewhere, begun: the copy of this node is thrown
    /// away.
    Invalidate(NodeId),
    /// `new-current-uuid`, done
    NewCurrentUuid {
        /// `--clear-bitmap` or `--force-resync`: this copy is good whatever it holds.
        initial: bool,
    },
    /// `forget-peer`, done
    ForgetPeer(NodeId),
}

/// Kinds of [`Out`].
#[derive(Clone, Debug)]
pub enum What {
    /// A command printed something (`slot` says nothing).
    Printed {
        /// As the caller of [`Host::exec`] named the command.
        id: u64,
        /// On standard error.
        error: bool,
        /// Whole lines.
        text: String,
    },
    /// A command ended (`slot` says nothing).
    Exited {
        /// As the caller of [`Host::exec`] named the command.
        id: u64,
        /// Exit code.
        code: u8,
    },
    /// An administrator's command is about to change the resource on purpose.
    Administered(Administered),
    /// The engine has answered it: it did so, or refused.
    Settled(Administered, Result<(), Refusal>),
    /// The resource is down, by a command.
    TakenDown,
    /// An application request is finished.
    Complete {
        /// Volume.
        volume: VolumeNumber,
        /// Request.
        id: RequestId,
        /// As in [`Action::Complete`].
        result: LowerResult,
        /// As in [`Action::Complete`].
        copies: NodeMask,
    },
    /// A command of the world or an open is finished.
    Reply(CommandId, Result<(), Refusal>),
    /// The engine noticed something.
    Notice(Notice),
    /// A command of the kernel's own scripts (`up`, `down`) was refused.
    Refused(&'static str, Refusal),
    /// The resource is up: attached, and connecting.
    BroughtUp,
    /// A link to a peer came up, or went down (as the engine was told).
    Link(NodeId, bool),
    /// A packet went out (`true`) or came in; only while [`Host::trace`] is on.
    Packet(NodeId, bool, Box<Packet>),
    /// A write to a volume's metadata was given to the disk; only while
    /// [`Host::watch_metadata`] is on.
    MetadataWrite,
    /// The kernel runs (`slot` says nothing).
    Booted,
    /// The host has shut down and is off (`slot` says nothing).
    ShutDown,
}

impl What {
    /// Is it told for logs alone: does it say nothing that conditions or promises look at?
    pub fn is_for_log(&self) -> bool {
        matches!(self, What::Packet(..) | What::MetadataWrite)
    }
}

/// One host.
pub struct Host {
    config: HostConfig,
    disk: Below,
    slots: Vec<Slot>,
    power: Power,
    frozen: bool,
    boots: u32,
    in_flight: InFlight,
    failing: Vec<(usize, bool, bool)>,
    counters: LinkCounters,
    attempts: u32,
    stepping: Option<usize>,
    tracing: bool,
    metadata: bool,
    unmarked: bool,
    /// A clean shutdown asked for its last flush, and has it.
    flushing: bool,
    flushed: bool,
    done: Vec<Done<Page>>,
    actions: Vec<Action>,
    news: Vec<News>,
    files: Files,
    commands: exec::Commands,
    /// Set in the owner of each of its sockets.
    owner: u64,
    /// The newest time that it was told.
    clock: SimTime,
}

impl Host {
    /// A host without power whose disk holds metadata as `create-md` and `new-current-uuid
    /// --clear-bitmap` leave it: `uuids` gives the generation of each resource's volumes, the same
    /// on every host. `lvm` is what regions on logical volumes refer to.
    pub fn new(
        config: HostConfig,
        disk: Disk<Page>,
        lvm: Option<Lvm>,
        slots: Vec<SlotConfig>,
        uuids: &[Vec<Uuid>],
    ) -> Host {
        let mut disk = Below::new(disk);
        disk.disk_mut().set_straggling(config.quirks.has("io-outlives-power"));
        if let Some(lvm) = lvm {
            disk.set_lvm(lvm);
        }
        for (slot, uuids) in slots.iter().zip(uuids) {
            for (v, (region, uuid)) in slot.regions.iter().zip(uuids).enumerate() {
                let Some(region) = region else { continue };
                let runs = Resource::create_md(
                    &slot.config,
                    VolumeNumber(v as u16),
                    region.len,
                    Some(*uuid),
                );
                for (start, pages) in runs {
                    for (block, page) in (start..).zip(pages.iter()) {
                        disk.poke(region.start + block, page.clone());
                    }
                }
            }
        }
        Host {
            config,
            disk,
            slots: slots.into_iter().map(Slot::new).collect(),
            power: Power::Off,
            frozen: false,
            boots: 0,
            in_flight: InFlight::default(),
            failing: Vec::new(),
            counters: LinkCounters::default(),
            attempts: 0,
            stepping: None,
            tracing: false,
            metadata: false,
            unmarked: false,
            flushing: false,
            flushed: false,
            done: Vec::new(),
            actions: Vec::new(),
            news: Vec::new(),
            files: Files::new(),
            commands: exec::Commands::default(),
            owner: 0,
            clock: SimTime(0),
        }
    }

    // ---- what can be seen ----

    /// Its name.
    pub fn name(&self) -> &str {
        &self.config.name
    }
    /// Power and kernel.
    pub fn power(&self) -> Power {
        self.power
    }
    /// Does the kernel run, and is it not frozen?
    pub fn is_acting(&self) -> bool {
        matches!(self.power, Power::Up | Power::ShuttingDown(_)) && !self.frozen
    }
    /// Does a kernel exist, frozen or not?
    pub fn has_kernel(&self) -> bool {
        matches!(self.power, Power::Up | Power::ShuttingDown(_))
    }
    /// Does it stand still?
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }
    /// The engine of a resource, if it is up.
    pub fn engine(&self, slot: usize) -> Option<&Resource> {
        self.slots.get(slot)?.engine.as_ref()
    }
    /// The disk.
    pub fn disk(&self) -> &Disk<Page> {
        self.disk.disk()
    }
    /// Its LVM, if it has one.
    pub fn lvm(&self) -> Option<&Lvm> {
        self.disk.lvm()
    }
    /// What a volume's lower device holds at a block, as a reader would see it.
    pub fn peek(&self, slot: usize, volume: usize, block: u64) -> Option<Page> {
        let region = self.slots.get(slot)?.fixed.regions.get(volume).copied().flatten()?;
        Some(self.disk.peek(region.start + block))
    }
    /// Where things are on a volume's lower device; `None` if this host has no copy.
    pub fn layout(&self, slot: usize, volume: usize) -> Option<Layout> {
        let most = self.slots.get(slot)?.fixed.config.max_peers;
        Some(Layout::new(self.metadata_end(slot, volume)?, most))
    }
    /// What links did.
    pub fn link_counters(&self) -> LinkCounters {
        self.counters
    }
    /// The resource whose engine was being stepped when a panic struck.
    pub fn stepping(&self) -> Option<&str> {
        Some(self.slots.get(self.stepping?)?.fixed.config.name.as_str())
    }

    /// Its sockets are known by these bits, where others use the same network. To be called while
    /// it is off.
    pub fn own_sockets_as(&mut self, bits: u64) {
        self.owner = bits;
    }

    /// Tells of every packet from now on.
    pub fn trace(&mut self) {
        self.tracing = true;
    }

    /// Tells of every write to DRBD's metadata from now on, or no longer.
    pub fn watch_metadata(&mut self, yes: bool) {
        self.metadata = yes;
    }

    /// Engines note no fist points: for who measures what that costs.
    pub fn mute_points(&mut self) {
        self.unmarked = true;
    }

    /// Fist points that the engines of this host passed, in all their lives; see
    /// [`drbd::core::points::POINTS`].
    pub fn passed(&self) -> Vec<u64> {
        let mut all = Vec::new();
        for words in self.slots.iter().map(Slot::passed) {
            all.resize(words.len().max(all.len()), 0);
            all.iter_mut().zip(words).for_each(|(sum, word)| *sum |= word);
        }
        all
    }

    // ---- life ----

    /// Power on; the kernel runs after the boot time.
    pub fn boot(&mut self, now: SimTime) {
        if self.power == Power::Off {
            self.boots += 1;
            self.disk.power_on(now);
            let takes = self.config.luck.span(&self.config.boot_time.clone());
            self.power = Power::Booting(now + takes);
        }
    }

    /// Power and kernel at once, without the boot time: how a run begins.
    pub fn start(&mut self, now: SimTime, net: &mut Net<Wire>, out: &mut Vec<Out>) {
        if self.power == Power::Off {
            self.boots += 1;
            self.disk.power_on(now);
            self.kernel_starts(now, net, out);
        }
    }

    fn kernel_starts(&mut self, now: SimTime, net: &mut Net<Wire>, out: &mut Vec<Out>) {
        net.host_up(now, self.config.net);
        self.power = Power::Up;
        out.push(Out { slot: 0, what: What::Booted });
        for slot in 0..self.slots.len() {
            self.bring_up(now, slot, net, out);
        }
    }

    fn kernel_is_gone(&mut self, now: SimTime, net: &mut Net<Wire>) {
        net.host_down(now, self.config.net);
        self.power = Power::Off;
        self.frozen = false;
        self.in_flight.clear();
        self.commands.clear();
        (self.flushing, self.flushed) = (false, false);
        for slot in &mut self.slots {
            slot.lost();
        }
    }

    /// The plug is pulled.
    pub fn power_off(&mut self, now: SimTime, net: &mut Net<Wire>) {
        self.kernel_is_gone(now, net);
        self.disk.power_off(now);
    }

    /// The kernel crashes: as [`Host::power_off`], but the disk keeps its power and its cache.
    pub fn crash(&mut self, now: SimTime, net: &mut Net<Wire>) {
        self.kernel_is_gone(now, net);
        self.disk.crash(now);
    }

    /// It stands still.
    pub fn freeze(&mut self, now: SimTime, net: &mut Net<Wire>) {
        if self.power != Power::Off && !self.frozen {
            self.frozen = true;
            net.freeze(now, self.config.net);
        }
    }

    /// It goes on; what was due strikes now.
    pub fn thaw(&mut self, now: SimTime, net: &mut Net<Wire>) {
        if self.frozen {
            self.frozen = false;
            net.thaw(now, self.config.net);
        }
    }

    /// `drbdadm down all`, a flush of the disk, then power off; at the latest at `limit`.
    pub fn shut_down(
        &mut self,
        now: SimTime,
        limit: SimTime,
        net: &mut Net<Wire>,
        out: &mut Vec<Out>,
    ) {
        if self.power != Power::Up {
            return;
        }
        self.power = Power::ShuttingDown(limit);
        for slot in 0..self.slots.len() {
            self.take_down(now, slot, net, out);
        }
        self.finish_shut_down(now, net, out);
    }

    fn finish_shut_down(&mut self, now: SimTime, net: &mut Net<Wire>, out: &mut Vec<Out>) {
        let Power::ShuttingDown(limit) = self.power else { return };
        let down = self.slots.iter().all(|s| s.phase == Phase::Gone);
        if down && !self.flushing {
            self.flushing = true;
            self.disk.submit_for(now, LAST_FLUSH, Op::Flush);
        }
        if now >= limit || down && self.flushed {
            self.kernel_is_gone(now, net);
            self.disk.power_off(now);
            out.push(Out { slot: 0, what: What::ShutDown });
        }
    }

    // ---- drbdadm ----

    /// `drbdadm up` of one resource.
    fn bring_up(&mut self, now: SimTime, at: usize, net: &mut Net<Wire>, out: &mut Vec<Out>) {
        let fixed = &self.slots[at].fixed;
        let (config, peers) = (fixed.config.clone(), fixed.peers.clone());
        self.slots[at].shape = None;
        self.make_engine(at, config, &peers, net);
        let volumes = 0..self.slots[at].fixed.regions.len();
        let attach: Vec<(usize, u64)> =
            volumes.filter_map(|volume| Some((volume, self.find_metadata(at, volume)?))).collect();
        let slot = &mut self.slots[at];
        slot.phase = Phase::Attaching(attach.len() as u32);
        for (volume, blocks) in &attach {
            let command = Command::Attach(VolumeNumber(*volume as u16), *blocks);
            let id = CommandId(OWN | *volume as u64);
            self.step(now, at, Event::Command(id, command), net, out);
        }
        if attach.is_empty() {
            self.connect_all(now, at, net, out);
        }
    }

    /// A resource with its links: Secondary, Diskless, StandAlone.
    fn make_engine(
        &mut self,
        at: usize,
        config: drbd::core::config::Config,
        peers: &[SlotPeer],
        net: &mut Net<Wire>,
    ) {
        let boots = u64::from(self.boots);
        let config = drbd::core::config::Config { handlers: self.handlers(at), ..config };
        let slot = &mut self.slots[at];
        slot.life += 1;
        let luck = self.config.luck.fork_n("engine", boots << 32 | u64::from(slot.life));
        let luck = luck.fork_n("resource", at as u64).u64();
        let own = config.node;
        let mut engine = Resource::new(config, luck, self.config.quirks);
        if self.unmarked {
            engine.mute_points();
        }
        slot.engine = Some(engine);
        let (owner, here) = (self.owner | (at as u64) << 8, self.config.net);
        let listener = net.tcp_listen(here, slot.fixed.listen, tcp_options(), owner | LISTENER);
        slot.listener = listener.ok();
        let link = |peer: &SlotPeer| {
            let owner = owner | peer.node.index() as u64;
            Link::new(peer.node, here, peer.address, owner, own < peer.node)
        };
        slot.links = peers.iter().map(link).collect();
    }

    fn connect_all(&mut self, now: SimTime, at: usize, net: &mut Net<Wire>, out: &mut Vec<Out>) {
        self.slots[at].phase = Phase::Up;
        out.push(Out { slot: at, what: What::BroughtUp });
        let peers: Vec<NodeId> = self.slots[at].fixed.peers.iter().map(|p| p.node).collect();
        for peer in peers {
            let id = CommandId(OWN_CONNECT | peer.index() as u64);
            self.step(now, at, Event::Command(id, Command::Connect(peer)), net, out);
        }
    }

    fn take_down(&mut self, now: SimTime, at: usize, net: &mut Net<Wire>, out: &mut Vec<Out>) {
        let slot = &mut self.slots[at];
        if slot.engine.is_none() {
            slot.phase = Phase::Gone;
            return;
        }
        slot.phase = Phase::GoingDown;
        slot.again = SimTime::FAR;
        self.step(now, at, Event::Command(CommandId(OWN_DOWN), Command::Down), net, out);
    }

    /// `drbdadm adjust`: brings up what is down, attaches what is Diskless and should not be,
    /// connects what is StandAlone.
    pub fn adjust(&mut self, now: SimTime, at: usize, net: &mut Net<Wire>, out: &mut Vec<Out>) {
        if self.power == Power::Up && !self.frozen && self.slots[at].phase == Phase::Gone {
            return self.bring_up(now, at, net, out);
        }
        if !self.is_acting() || self.slots[at].phase != Phase::Up {
            return;
        }
        let Slot { engine: Some(engine), fixed, .. } = &self.slots[at] else { return };
        let mut commands = Vec::new();
        let diskless = |volume: &VolumeNumber| {
            engine.volume(*volume).is_some_and(|v| v.disk == DiskState::Diskless)
        };
        let volumes = (0..fixed.regions.len() as u16).map(VolumeNumber);
        let diskless: Vec<VolumeNumber> = volumes.filter(diskless).collect();
        for peer in &fixed.peers {
            if engine.peer(peer.node).0 == ConnState::StandAlone {
                let id = CommandId(OWN_CONNECT | peer.node.index() as u64);
                commands.push((id, Command::Connect(peer.node)));
            }
        }
        let attach = diskless.into_iter().filter_map(|volume| {
            let blocks = self.find_metadata(at, volume.index())?;
            Some((CommandId(OWN | u64::from(volume.0)), Command::Attach(volume, blocks)))
        });
        let attach: Vec<_> = attach.collect();
        for (id, command) in attach.into_iter().chain(commands) {
            self.step(now, at, Event::Command(id, command), net, out);
        }
    }

    // ---- application ----

    /// Opens, closes, submits, commands: an event of the host's own programs for one resource.
    /// Ignored while the resource is not there.
    pub fn application(
        &mut self,
        now: SimTime,
        at: usize,
        event: Event,
        net: &mut Net<Wire>,
        out: &mut Vec<Out>,
    ) {
        if self.is_acting() {
            self.step(now, at, event, net, out);
        }
    }

    /// Is there an engine that could answer an [`Host::application`] event now?
    pub fn is_ready(&self, at: usize) -> bool {
        self.is_acting()
            && self.slots.get(at).is_some_and(|s| s.phase == Phase::Up && s.engine.is_some())
    }

    // ---- faults of the disk ----

    /// Reads and/or writes of one resource's volumes fail from now on; both `false`: no longer.
    pub fn set_failing(&mut self, at: usize, read: bool, write: bool) {
        self.failing.retain(|(slot, ..)| *slot != at);
        if read || write {
            self.failing.push((at, read, write));
        }
        self.disk.clear_failures(Direction::Read);
        self.disk.clear_failures(Direction::Write);
        for (slot, read, write) in &self.failing {
            for region in self.slots[*slot].fixed.regions.iter().flatten() {
                if *read {
                    self.disk.fail_range(Direction::Read, region.start, region.room);
                }
                if *write {
                    self.disk.fail_range(Direction::Write, region.start, region.room);
                }
            }
        }
    }

    /// Silently changes a stored data block of a volume; `false` if this host has no copy.
    pub fn rot(&mut self, at: usize, volume: usize, block: u64, to: Page) -> bool {
        let region =
            self.slots.get(at).and_then(|s| s.fixed.regions.get(volume).copied().flatten());
        let Some(region) = region else { return false };
        self.disk.rot(region.start + block, |page| *page = to)
    }

    /// The disk itself: stalls, lies.
    pub fn disk_mut(&mut self) -> &mut Disk<Page> {
        self.disk.disk_mut()
    }

    /// Runs one of LVM's commands (see [`crate::lvm`]) at once; `None` if the host has no LVM, or
    /// nothing runs on it. Volumes that carry an attached copy are in use.
    pub fn run_lvm(&mut self, now: SimTime, argv: &[String]) -> Option<crate::lvm::Output> {
        if !self.is_acting() {
            return None;
        }
        let mut used = Vec::new();
        for slot in &self.slots {
            for (number, region) in (0u16..).zip(&slot.fixed.regions) {
                let volume = slot.engine.as_ref().and_then(|e| e.volume(VolumeNumber(number)));
                let attached = volume.is_some_and(|v| v.disk != DiskState::Diskless);
                used.extend(region.filter(|_| attached).map(|region| region.start));
            }
        }
        let before = self.volume_sizes();
        let open = |id| used.contains(&crate::below::address(id));
        let output = self.disk.run_lvm(now, argv, &open);
        self.note_extended(&before);
        output
    }

    /// An administrator gives full thin pools room for all that they have promised.
    pub fn give_room(&mut self, now: SimTime) {
        self.disk.give_room(now);
    }

    /// Thin pools that filled, or have room again, since this was asked last.
    pub fn pool_notes(&mut self) -> Vec<models::lvm::dm::Note> {
        self.disk.notes()
    }

    // ---- stepping ----

    /// When [`Host::run_due`] wants to be called; FAR if never.
    pub fn next_due(&self) -> SimTime {
        let kernel = match self.power {
            _ if self.frozen => return SimTime::FAR,
            Power::Off => return self.disk.next_due().unwrap_or(SimTime::FAR),
            Power::Booting(at) => at,
            Power::ShuttingDown(limit) => limit,
            Power::Up => SimTime::FAR,
        };
        let slots = self.slots.iter().map(Slot::due).min().unwrap_or(SimTime::FAR);
        let commands = self.commands.next_due();
        self.disk.next_due().unwrap_or(SimTime::FAR).min(kernel).min(slots).min(commands)
    }

    /// Does all that is due.
    pub fn run_due(&mut self, now: SimTime, net: &mut Net<Wire>, out: &mut Vec<Out>) {
        if self.frozen {
            return;
        }
        if self.disk.next_due().is_some_and(|due| due <= now) {
            self.run_disk(now, net, out);
        }
        match self.power {
            Power::Booting(at) if at <= now => return self.kernel_starts(now, net, out),
            Power::Off | Power::Booting(_) => return,
            Power::Up => {}
            Power::ShuttingDown(_) => self.finish_shut_down(now, net, out),
        }
        for at in 0..self.slots.len() {
            if self.slots[at].due() <= now {
                self.run_slot(now, at, net, out);
            }
        }
        self.run_commands(now, net, out);
    }

    fn run_disk(&mut self, now: SimTime, net: &mut Net<Wire>, out: &mut Vec<Out>) {
        let mut done = std::mem::take(&mut self.done);
        self.disk.run_due(now, &mut done);
        for done in done.drain(..) {
            self.flushed |= done.owner == LAST_FLUSH;
            let Some(pending) = self.in_flight.take(done.owner) else { continue };
            let at = usize::from(pending.slot);
            if self.slots[at].life == pending.life {
                let event = Event::LowerDone(pending.tag, result(done));
                self.step(now, at, event, net, out);
            }
        }
        self.done = done;
    }

    fn run_slot(&mut self, now: SimTime, at: usize, net: &mut Net<Wire>, out: &mut Vec<Out>) {
        for link in 0..self.slots[at].links.len() {
            let slot = &mut self.slots[at];
            let counters = &mut self.counters;
            let mut around = Around { now, net, counters, attempts: &mut self.attempts };
            slot.links[link].run_due(&mut around);
        }
        if self.slots[at].again <= now {
            self.take_down(now, at, net, out);
        }
        self.end_handlers(now, at, net, out);
        let slot = &mut self.slots[at];
        if slot.wake <= now {
            slot.wake = SimTime::FAR;
            self.step(now, at, Event::Wake, net, out);
        }
    }

    /// The network has something for this host.
    pub fn on_net(
        &mut self,
        now: SimTime,
        event: NetEvent<Wire>,
        net: &mut Net<Wire>,
        out: &mut Vec<Out>,
    ) {
        let owner = event.owner & !self.owner;
        let (at, whom) = ((owner >> 8) as usize, owner & 0xff);
        let Some(slot) = self.slots.get_mut(at) else { return };
        let counters = &mut self.counters;
        let mut around = Around { now, net, counters, attempts: &mut self.attempts };
        if let NetWhat::Incoming { conn, from, .. } = event.what {
            match slot.links.iter_mut().find(|l| l.there().ip() == from.ip()) {
                Some(link) => link.incoming(&mut around, conn),
                None => around.net.tcp_abort(now, conn),
            }
            return;
        }
        // What arrived together with the connection still carries the listener's owner.
        let link = slot.links.iter_mut().find(|l| match whom {
            LISTENER => l.is_stranger(&event.what),
            peer => l.peer.index() as u64 == peer,
        });
        let Some(link) = link else { return };
        let peer = link.peer;
        let mut news = std::mem::take(&mut self.news);
        link.event(&mut around, event.what, &mut news);
        for news in news.drain(..) {
            match &news {
                News::Packet(packet) if self.tracing => {
                    self.slots[at].carried(peer, false, packet);
                    let what = What::Packet(peer, false, Box::new(packet.clone()));
                    out.push(Out { slot: at, what });
                }
                News::Packet(packet) => self.slots[at].carried(peer, false, packet),
                news => {
                    let up = matches!(news, News::Up);
                    out.push(Out { slot: at, what: What::Link(peer, up) });
                }
            }
            let event = match news {
                News::Up => Event::LinkUp(peer),
                News::Down(fault) => Event::LinkDown(peer, fault),
                News::Packet(packet) => Event::Packet(peer, packet),
            };
            self.step(now, at, event, net, out);
        }
        self.news = news;
    }

    /// One event into an engine, its actions out.
    fn step(
        &mut self,
        now: SimTime,
        at: usize,
        event: Event,
        net: &mut Net<Wire>,
        out: &mut Vec<Out>,
    ) {
        self.clock = now;
        let extended = std::mem::take(&mut self.slots[at].extended);
        let Some(engine) = &mut self.slots[at].engine else { return };
        let mut actions = std::mem::take(&mut self.actions);
        self.stepping = Some(at);
        for (volume, blocks) in extended {
            engine.step(Time(now.0), Event::LowerResized(volume, blocks), &mut actions);
        }
        engine.step(Time(now.0), event, &mut actions);
        self.stepping = None;
        // A reply may step the engine again (attached, so connect); what the first step asked for
        // goes first.
        let mut own_replies = Vec::new();
        for action in actions.drain(..) {
            match action {
                Action::Reply(id, result) if id.0 & OWN != 0 => own_replies.push((id, result)),
                action => self.carry_out(now, at, action, net, out),
            }
        }
        self.actions = actions;
        self.watched(now, at, out);
        for (id, result) in own_replies {
            match id.0 & exec::OWN_EXEC == exec::OWN_EXEC {
                true => self.exec_reply(now, at, (id, result), net, out),
                false => self.own_reply(now, at, id, result, net, out),
            }
        }
        self.follow_chains(now, net, out);
    }

    fn carry_out(
        &mut self,
        now: SimTime,
        at: usize,
        action: Action,
        net: &mut Net<Wire>,
        out: &mut Vec<Out>,
    ) {
        let slot = &mut self.slots[at];
        let (peer, then) = match action {
            Action::Send(peer, packet) => {
                slot.carried(peer, true, &packet);
                if self.tracing {
                    let what = What::Packet(peer, true, Box::new(packet.clone()));
                    out.push(Out { slot: at, what });
                }
                (peer, LinkAction::Send(packet))
            }
            Action::Link(peer) => (peer, LinkAction::Want),
            Action::Unlink(peer) => (peer, LinkAction::Unwant),
            Action::Lower(volume, tag, lower) => {
                if self.metadata && self.slots[at].is_metadata(volume, &lower) {
                    out.push(Out { slot: at, what: What::MetadataWrite });
                }
                return self.lower(now, at, volume, tag, lower);
            }
            Action::Call { id, handler, .. } => return self.start_handler(now, at, id, handler),
            Action::WakeAt(time) => {
                slot.wake = time.map_or(SimTime::FAR, |t| SimTime(t.0).max(now));
                return;
            }
            Action::Complete { volume, id, result, copies } => {
                let what = What::Complete { volume, id, result, copies };
                return out.push(Out { slot: at, what });
            }
            Action::Reply(id, result) => {
                return out.push(Out { slot: at, what: What::Reply(id, result) });
            }
            Action::Notice(notice) => {
                self.slots[at].noticed(now, &notice);
                if let Notice::Handler(handler, peer, volume, ran) = notice {
                    let volume = volume.map(|volume| volume.0);
                    self.helped(now, at, Helper { name: handler.name(), peer, volume, ran }, out);
                }
                return out.push(Out { slot: at, what: What::Notice(notice) });
            }
        };
        let Some(link) = slot.links.iter_mut().find(|l| l.peer == peer) else { return };
        let counters = &mut self.counters;
        let mut around = Around { now, net, counters, attempts: &mut self.attempts };
        match then {
            LinkAction::Send(packet) => link.send(&mut around, packet),
            LinkAction::Want => link.want(&mut around),
            LinkAction::Unwant => link.unwant(&mut around),
        }
    }

    fn lower(
        &mut self,
        now: SimTime,
        at: usize,
        volume: VolumeNumber,
        tag: drbd::core::event::IoTag,
        lower: Lower,
    ) {
        let slot = &mut self.slots[at];
        slot.count(volume, &lower);
        let slot = &self.slots[at];
        let region = slot.fixed.regions.get(volume.index()).copied().flatten();
        let op = region.and_then(|r| r.map(lower));
        let Some(op) = op else {
            panic!(
                "{} volume {}: request {tag:?} leaves the lower device",
                slot.fixed.config.name, volume.0
            );
        };
        let owner = self.in_flight.insert(Pending { slot: at as u16, life: slot.life, tag });
        let start = region.map_or(0, |region| region.start);
        self.disk.submit_at(now, start, owner, op);
    }

    fn own_reply(
        &mut self,
        now: SimTime,
        at: usize,
        id: CommandId,
        result: Result<(), Refusal>,
        net: &mut Net<Wire>,
        out: &mut Vec<Out>,
    ) {
        let which = match id.0 {
            OWN_DOWN => "down",
            id if id & OWN_CONNECT == OWN_CONNECT => "connect",
            _ => "attach",
        };
        if let Err(refusal) = result {
            out.push(Out { slot: at, what: What::Refused(which, refusal) });
        }
        let slot = &mut self.slots[at];
        match (which, slot.phase) {
            ("attach", Phase::Attaching(1)) => self.connect_all(now, at, net, out),
            ("attach", Phase::Attaching(n)) => slot.phase = Phase::Attaching(n.saturating_sub(1)),
            ("down", Phase::GoingDown) if result.is_err() => slot.again = now + DOWN_AGAIN,
            ("down", Phase::GoingDown) => self.is_gone(now, at, net, out),
            _ => {}
        }
    }

    /// A resource is down, by a command.
    fn is_down(&mut self, now: SimTime, at: usize, net: &mut Net<Wire>, out: &mut Vec<Out>) {
        out.push(Out { slot: at, what: What::TakenDown });
        self.is_gone(now, at, net, out);
        self.watched(now, at, out);
    }

    fn is_gone(&mut self, now: SimTime, at: usize, net: &mut Net<Wire>, out: &mut Vec<Out>) {
        let slot = &mut self.slots[at];
        let counters = &mut self.counters;
        let mut around = Around { now, net, counters, attempts: &mut self.attempts };
        for link in &mut slot.links {
            link.unwant(&mut around);
        }
        if let Some(listener) = slot.listener {
            net.tcp_unlisten(listener);
        }
        slot.lost();
        self.finish_shut_down(now, net, out);
    }
}

enum LinkAction {
    Send(Packet),
    Want,
    Unwant,
}

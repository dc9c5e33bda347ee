//! What a recording sees of the pool: compared with what it saw before, at the end of a turn in
//! which something was told, and now and then for what nobody announces.

use super::World;
use super::resource::Resource;
use super::vm::State;
use crate::picture::{Cast, Guest, Kind, LedgerEntry, Part, Recorder, Track, Value, Version};
use drbd::ids::{Blocks, NodeMask, VolumeNumber};
use drbd::page::Page;
use kernel::Power;

fn yes(yes: bool) -> Value {
    Value::Word(if yes { "yes" } else { "no" })
}

impl World {
    /// Who takes part, for a recording.
    pub(super) fn cast(&self) -> Cast {
        let part = |resource: &Resource| Part {
            name: resource.name.clone(),
            volumes: resource.volumes as u16,
            bytes: resource.blocks * Blocks::BYTES,
            nodes: resource.nodes.iter().map(|node| (node.host as u16, node.diskful)).collect(),
        };
        let guest = |vm: &super::vm::Vm| Guest {
            name: vm.name.clone(),
            resource: vm.vdi.resource as u16,
            volume: vm.vdi.volume.0,
        };
        Cast {
            hosts: self.hosts.iter().map(|host| host.name().to_owned()).collect(),
            resources: self.resources.iter().map(part).collect(),
            vms: self.vms.iter().map(guest).collect(),
        }
    }

    /// One look, if a recording is made.
    pub(super) fn look(&mut self) {
        let Some(mut recorder) = self.log.recorder.take() else { return };
        for (host, it) in self.hosts.iter().enumerate() {
            let power = match it.power() {
                _ if it.is_frozen() => "frozen",
                Power::Off => "off",
                Power::Booting(_) => "booting",
                Power::Up => "on",
                Power::ShuttingDown(_) => "shutting down",
            };
            let track = Track::of_host(Kind::Power, host as u16);
            recorder.set(self.now, track, Value::Word(power));
        }
        if recorder.wants_look(self.now) {
            for at in 0..self.resources.len() {
                for node in 0..self.resources[at].nodes.len() {
                    self.look_at_node(&mut recorder, at, node);
                }
            }
            self.look_at_vms(&mut recorder);
        }
        self.log.recorder = Some(recorder);
    }

    fn look_at_node(&self, recorder: &mut Recorder, at: usize, node: usize) {
        let resource = &self.resources[at];
        let place = &resource.nodes[node];
        let host = &self.hosts[place.host];
        let engine = host.engine(place.slot).filter(|_| host.has_kernel());
        let of = |kind| Track::of(kind, place.host as u16, at as u16);
        let mut set = |track, value: Option<Value>| {
            recorder.set(self.now, track, value.unwrap_or(Value::None));
        };
        set(of(Kind::Role), engine.map(|engine| Value::Word(engine.role().name())));
        set(of(Kind::Suspended), engine.map(|engine| yes(engine.is_suspended())));
        let peers = || (0..resource.nodes.len()).filter(|peer| *peer != node);
        for peer in peers() {
            let track = of(Kind::Connection).peer(resource.nodes[peer].host as u16);
            let state = engine.map(|engine| engine.peer(Resource::id(peer)).0);
            set(track, state.map(|state| Value::Word(state.name())));
        }
        for volume in 0..resource.volumes as u16 {
            let view = engine.and_then(|engine| engine.volume(VolumeNumber(volume)));
            let of = |kind| of(kind).volume(volume);
            set(of(Kind::Disk), view.as_ref().map(|view| Value::Word(view.disk.name())));
            set(of(Kind::Quorum), view.as_ref().map(|view| yes(view.quorum)));
            for peer in peers() {
                let id = Resource::id(peer);
                let seen = view.as_ref().and_then(|view| view.peers.iter().find(|p| p.node == id));
                let of = |kind| of(kind).peer(resource.nodes[peer].host as u16);
                set(of(Kind::Replication), seen.map(|peer| Value::Word(peer.repl.name())));
                set(of(Kind::PeerDisk), seen.map(|peer| Value::Word(peer.disk.name())));
                // Who has no disk has no bitmap.
                let bytes = seen.map(|peer| Value::Number(peer.out_of_sync * Blocks::BYTES));
                if place.diskful && resource.nodes[peer].diskful {
                    set(of(Kind::OutOfSync), bytes);
                }
            }
        }
    }

    fn look_at_vms(&self, recorder: &mut Recorder) {
        for vm in 0..self.homes.len() {
            let guest = &self.vms[vm];
            let state = match guest.state {
                State::Off => Value::None,
                State::Waiting { .. } => Value::Word("waiting"),
                State::Opening { .. } => Value::Word("opening"),
                State::Running => Value::Word("running"),
            };
            let host = match (guest.host, guest.state) {
                (Some(host), State::Running | State::Waiting { .. } | State::Opening { .. }) => {
                    Value::Host(host as u16)
                }
                _ => Value::None,
            };
            recorder.set(self.now, Track::of_vm(Kind::Vm, vm as u16), state);
            recorder.set(self.now, Track::of_vm(Kind::VmHost, vm as u16), host);
            let unacked = Value::Number(recorder.unacked(vm as u16));
            recorder.set(self.now, Track::of_vm(Kind::Unacked, vm as u16), unacked);
        }
    }

    /// The run is over: the last look, stalls that never ended, the block that broke.
    pub(super) fn last_of_recording(&mut self) -> Option<crate::picture::Recording> {
        self.look();
        let mut recorder = self.log.recorder.take()?;
        for vm in 0..self.homes.len() {
            let guest = &self.vms[vm];
            let waits = self.now - guest.waits_since.min(self.now);
            let stopping = self.stopping && self.failure.is_none();
            if guest.state != State::Off && waits > self.outage(vm) && !stopping {
                recorder.stalled(vm as u16, guest.waits_since, self.now, false);
            }
        }
        if let Some((at, volume, block)) = recorder.broken_block() {
            recorder.ledger_entry(self.ledger_entry(at, volume, block));
        }
        Some((*recorder).finish(self.now))
    }

    fn ledger_entry(&self, at: u16, volume: u16, block: u64) -> LedgerEntry {
        let resource = &self.resources[usize::from(at)];
        let hosts = |mask: NodeMask| -> Vec<u16> {
            let nodes = mask.iter().filter_map(|id| resource.nodes.get(id.index()));
            nodes.map(|node| node.host as u16).collect()
        };
        let ledger = &resource.ledgers[usize::from(volume)];
        let versions = ledger.versions(block).into_iter();
        let versions = versions.map(|(text, holders, durable)| Version {
            text,
            owed_by: hosts(holders),
            durable_on: hosts(durable),
        });
        let stored = |node: &super::resource::Node| {
            let host = &self.hosts[node.host];
            let page = host.peek(node.slot, usize::from(volume), block).unwrap_or(Page::Zero);
            (node.host as u16, ledger.name_of(block, &page))
        };
        LedgerEntry {
            resource: at,
            volume,
            block,
            versions: versions.collect(),
            copies: resource.nodes.iter().filter(|node| node.diskful).map(stored).collect(),
        }
    }
}

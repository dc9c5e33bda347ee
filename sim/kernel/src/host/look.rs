//! What the kernel shows of its resources.

use super::Host;
use crate::commands::args::Args;
use crate::commands::drbdadm::{CONFIG, Item, plan};
use crate::commands::shape::{Shape, ShapePeer};
use crate::commands::view::{ConnectionView, DeviceView, PathView, PeerDeviceView, ResourceView};
use drbd::core::{Pauses, Suspension, VolumeView};
use drbd::ids::{NodeId, VolumeNumber};
use drbd::state::{ConnState, DiskState, ReplState, Role};

/// KiB in a block.
const KIB: u64 = 4;

impl Host {
    pub(super) fn slot_named(&self, name: &str) -> Option<usize> {
        self.slots.iter().position(|slot| slot.fixed.config.name == name)
    }

    /// The slot and volume of a minor.
    pub(super) fn slot_of_minor(&self, minor: u32) -> Option<(usize, u16)> {
        (0..self.slots.len()).find_map(|slot| {
            let shape = self.shape(slot)?;
            Some((slot, shape.device(minor)?.volume))
        })
    }

    /// The objects of a resource, `None` if the kernel does not know it.
    pub(super) fn shape(&self, slot: usize) -> Option<Shape> {
        let of = &self.slots[slot];
        match (&of.shape, &of.engine) {
            (Some(shape), _) => Some(shape.clone()),
            (None, Some(_)) => Some(self.shape_at_boot(slot)),
            (None, None) => None,
        }
    }

    /// What the kernel came up with, its options as the `.res` files say.
    fn shape_at_boot(&self, slot: usize) -> Shape {
        let fixed = &self.slots[slot].fixed;
        let mut shape = Shape::of(fixed);
        let args = ["up".to_owned(), fixed.config.name.clone()];
        if !self.files.contains_key(CONFIG) {
            return shape;
        }
        for item in plan(&self.files, self.name(), &args, &|_| None).items {
            let Item::Call(call) = item else { continue };
            let args = Args::of(call.argv.get(2..).unwrap_or(&[]));
            let node = args.number::<u8>(1);
            match call.argv.get(1).map(String::as_str) {
                Some("new-resource") => shape.options = args.options,
                Some("new-peer") => {
                    let peer = shape.peers.iter_mut().find(|peer| Some(peer.node) == node);
                    let options = args.options.into_iter().filter(|(name, _)| name != "_name");
                    if let Some(peer) = peer {
                        peer.options = options.collect();
                    }
                }
                Some("peer-device-options") => {
                    let peer = shape.peers.iter_mut().find(|peer| Some(peer.node) == node);
                    if let (Some(peer), Some(volume)) = (peer, args.number(2)) {
                        peer.devices.insert(volume, args.options);
                    }
                }
                Some("attach") => {
                    let minor = args.number::<u32>(0);
                    let device = shape.devices.iter_mut().find(|d| Some(d.minor) == minor);
                    if let Some(device) = device {
                        device.options = args.options;
                    }
                }
                _ => {}
            }
        }
        shape
    }

    /// Every resource, by name.
    pub(super) fn views(&self) -> Vec<ResourceView> {
        let mut all: Vec<ResourceView> =
            (0..self.slots.len()).filter_map(|slot| self.view(slot)).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// One resource, `None` if the kernel does not know it.
    pub(super) fn view(&self, slot: usize) -> Option<ResourceView> {
        let shape = self.shape(slot)?;
        let engine = self.slots[slot].engine.as_ref();
        let devices: Vec<DeviceView> =
            (0..shape.devices.len()).map(|index| self.device(slot, &shape, index)).collect();
        let mut connections: Vec<ConnectionView> =
            shape.peers.iter().map(|peer| self.connection(slot, &shape, peer)).collect();
        connections.sort_by(|a, b| a.name.cmp(&b.name));
        Some(ResourceView {
            name: self.slots[slot].fixed.config.name.clone(),
            node: NodeId::new(shape.node).unwrap_or(self.slots[slot].fixed.config.node),
            role: engine.map_or(Role::Secondary, |engine| engine.role()),
            suspended: engine.map_or(Suspension::default(), |engine| engine.suspended_by()),
            fails_io: engine.is_some_and(|engine| engine.fails_io()),
            options: shape.options,
            devices,
            connections,
        })
    }

    fn volume(&self, slot: usize, volume: u16) -> Option<VolumeView> {
        self.slots[slot].engine.as_ref()?.volume(VolumeNumber(volume))
    }

    fn device(&self, slot: usize, shape: &Shape, index: usize) -> DeviceView {
        let device = &shape.devices[index];
        let of = &self.slots[slot];
        let seen = self.volume(slot, device.volume);
        let disk = seen.as_ref().map_or(DiskState::Diskless, |seen| seen.disk);
        let attached = disk != DiskState::Diskless;
        DeviceView {
            volume: device.volume,
            minor: device.minor,
            disk,
            client: device.diskless,
            backing: attached.then(|| of.fixed.lower_path(device.volume)),
            quorum: seen.as_ref().is_none_or(|seen| seen.quorum),
            open: of.engine.as_ref().is_some_and(|engine| engine.is_open()),
            size: seen.as_ref().map_or(0, |seen| seen.size * KIB),
            io: of.io.get(usize::from(device.volume)).copied().unwrap_or_default(),
            upper_pending: seen.map_or(0, |seen| seen.app_in_flight),
            options: device.options.clone(),
        }
    }

    fn connection(&self, slot: usize, shape: &Shape, peer: &ShapePeer) -> ConnectionView {
        let of = &self.slots[slot];
        let node = NodeId::new(peer.node).unwrap_or(of.fixed.config.node);
        let engine = of.engine.as_ref();
        let (state, role) =
            engine.map_or((ConnState::StandAlone, Role::Unknown), |engine| engine.peer(node));
        let established = of.links.iter().any(|link| link.peer == node && link.is_live());
        let path = |(local, there): &(_, _)| PathView { local: *local, peer: *there, established };
        let volumes = shape.devices.iter().map(|device| device.volume);
        ConnectionView {
            node,
            name: peer.name.clone(),
            state,
            role,
            paths: peer.paths.iter().map(path).collect(),
            options: peer.options.clone(),
            peer_devices: volumes.map(|v| self.peer_device(slot, peer, node, v)).collect(),
        }
    }

    fn peer_device(
        &self,
        slot: usize,
        peer: &ShapePeer,
        node: NodeId,
        volume: u16,
    ) -> PeerDeviceView {
        let of = &self.slots[slot];
        let seen = self.volume(slot, volume);
        let size = seen.as_ref().map_or(0, |seen| seen.size * KIB);
        let unacked = seen.as_ref().map_or(0, |seen| seen.peer_unacked);
        let towards = seen.and_then(|seen| seen.peers.into_iter().find(|p| p.node == node));
        let (repl, disk) = towards
            .as_ref()
            .map_or((ReplState::Off, DiskState::DUnknown), |towards| (towards.repl, towards.disk));
        let traffic = of.traffic.get(&(node, volume)).copied().unwrap_or_default();
        let sync = of.syncs.get(&(node, volume));
        let options = peer.devices.get(&volume).cloned().unwrap_or_default();
        PeerDeviceView {
            volume,
            repl,
            disk,
            client: options.iter().any(|(name, value)| name == "bitmap" && value == "no"),
            stable: of
                .engine
                .as_ref()
                .is_some_and(|engine| engine.peer_is_stable(node, VolumeNumber(volume))),
            pauses: towards.as_ref().map_or(Pauses::default(), |towards| towards.pauses),
            received: traffic.0,
            sent: traffic.1,
            out_of_sync: towards.map_or(0, |towards| towards.out_of_sync * KIB),
            size,
            pending: 0,
            unacked,
            sync_total: sync.map(|(blocks, _)| blocks * KIB),
            sync_ms: sync.map_or(0, |(_, since)| (self.clock - *since).as_nanos() / 1_000_000),
            options,
        }
    }
}

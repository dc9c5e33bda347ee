//! Objects that `drbdsetup new-…` made in the kernel, before and while an engine runs them.

use super::texts::{ALREADY_EXISTS, Bad, EXISTS, INVALID_PEER, INVALID_REQUEST};
use super::view::Options;
use crate::res::{Section, check, find};
use crate::slot::SlotConfig;
use drbd::core::config::{
    Config, Fencing, OnIoError, OnLoss, PeerConfig, PeerDeviceOptions, Quorum, ReadBalancing,
    RrConflict, VolumeConfig,
};
use drbd::ids::{NodeId, VolumeNumber};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// A resource.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    pub node: u8,
    pub options: Options,
    pub devices: Vec<ShapeDevice>,
    pub peers: Vec<ShapePeer>,
}

/// A volume.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ShapeDevice {
    pub volume: u16,
    pub minor: u32,
    pub diskless: bool,
    /// `disk-options`, given with `attach`.
    pub options: Options,
}

/// A peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ShapePeer {
    pub node: u8,
    pub name: String,
    pub options: Options,
    pub paths: Vec<(SocketAddr, SocketAddr)>,
    /// `peer-device-options` by volume.
    pub devices: BTreeMap<u16, Options>,
}

type Made = Result<(), Bad>;

impl Shape {
    /// What a kernel that came up by itself has.
    pub fn of(fixed: &SlotConfig) -> Shape {
        let config = &fixed.config;
        let device = |(volume, of): (u16, &VolumeConfig)| ShapeDevice {
            volume,
            minor: fixed.minor + u32::from(volume),
            diskless: !of.diskful,
            options: Options::new(),
        };
        let peer = |of: &PeerConfig| {
            let at = fixed.peers.iter().find(|peer| peer.node == of.node);
            ShapePeer {
                node: of.node.index() as u8,
                name: of.name.clone(),
                options: Options::new(),
                paths: at.iter().map(|peer| (fixed.listen, peer.address)).collect(),
                devices: BTreeMap::new(),
            }
        };
        Shape {
            node: config.node.index() as u8,
            options: Options::new(),
            devices: (0..).zip(&config.volumes).map(device).collect(),
            peers: config.peers.iter().map(peer).collect(),
        }
    }

    pub fn device(&self, minor: u32) -> Option<&ShapeDevice> {
        self.devices.iter().find(|device| device.minor == minor)
    }

    pub fn peer(&self, node: u8) -> Option<&ShapePeer> {
        self.peers.iter().find(|peer| peer.node == node)
    }

    fn peer_mut(&mut self, node: u8) -> Result<&mut ShapePeer, Bad> {
        let unknown = || Bad::Failure(INVALID_REQUEST, Some("unknown connection".to_owned()));
        self.peers.iter_mut().find(|peer| peer.node == node).ok_or_else(unknown)
    }

    /// `new-minor`.
    pub fn new_minor(&mut self, minor: u32, volume: u16, diskless: bool) -> Made {
        if self.devices.iter().any(|d| d.minor == minor || d.volume == volume) {
            return Err(Bad::Failure(EXISTS, None));
        }
        self.devices.push(ShapeDevice { volume, minor, diskless, options: Options::new() });
        self.devices.sort_by_key(|device| device.volume);
        Ok(())
    }

    /// `new-peer`.
    pub fn new_peer(&mut self, node: u8, mut options: Options) -> Made {
        if node == self.node {
            return Err(Bad::Failure(INVALID_PEER, None));
        }
        if self.peer(node).is_some() {
            return Err(Bad::Failure(ALREADY_EXISTS, None));
        }
        let named = options.iter().position(|(name, _)| name == "_name");
        let name = named.map_or(String::new(), |at| options.remove(at).1);
        let (paths, devices) = (Vec::new(), BTreeMap::new());
        self.peers.push(ShapePeer { node, name, options, paths, devices });
        Ok(())
    }

    /// `new-path`.
    pub fn new_path(&mut self, node: u8, own: SocketAddr, there: SocketAddr) -> Made {
        let peer = self.peer_mut(node)?;
        if peer.paths.contains(&(own, there)) {
            return Err(Bad::Failure(ALREADY_EXISTS, None));
        }
        peer.paths.push((own, there));
        Ok(())
    }

    /// The engine's configuration, as far as it can do what was asked for. Sizes are those of the
    /// lower devices that the host has.
    pub fn config(&self, fixed: &SlotConfig) -> Result<Config, Bad> {
        let known = &fixed.config;
        if self.node != known.node.index() as u8 {
            return Err(Bad::cannot("be another node than its disks were made for"));
        }
        let mut config = Config::new(&known.name, known.node);
        config.max_peers = known.max_peers;
        for (index, device) in self.devices.iter().enumerate() {
            let of = known.volumes.get(usize::from(device.volume));
            let Some(of) = of.filter(|_| index == usize::from(device.volume)) else {
                return Err(Bad::cannot("have volumes that are not numbered from 0"));
            };
            let diskful = !device.diskless;
            config.volumes.push(VolumeConfig { size: of.size, diskful });
            let after = device.options.iter().find(|(name, _)| name == "resync-after");
            let after = after.and_then(|(_, minor)| minor.parse().ok());
            let number = VolumeNumber(device.volume);
            config.resync_after.extend(after.map(|minor| (number, minor)));
            apply(&mut config, &device.options)?;
        }
        for peer in &self.peers {
            let Some(node) = NodeId::new(peer.node) else {
                return Err(Bad::Failure(INVALID_PEER, None));
            };
            let bare = |options: &Options| options.iter().any(|(n, v)| n == "bitmap" && v == "no");
            let diskful = !peer.devices.values().any(bare);
            config.peers.push(PeerConfig { node, name: peer.name.clone(), diskful });
            apply(&mut config, &peer.options)?;
            for (volume, options) in &peer.devices {
                let towards = peer_device(options)?;
                config.towards.insert((node, VolumeNumber(*volume)), towards);
            }
        }
        apply(&mut config, &self.options)?;
        Ok(config)
    }
}

/// `peer-device-options`.
fn peer_device(options: &Options) -> Result<PeerDeviceOptions, Bad> {
    let mut all = PeerDeviceOptions::default();
    for (name, value) in options {
        within_bounds(name, value)?;
        let number = crate::res::number(value, unit_of(name));
        all.set(name, number.unwrap_or(0).max(0) as u64);
    }
    Ok(all)
}

/// What a bare number of this option counts, in bytes; 1 for what is no size.
fn unit_of(name: &str) -> i64 {
    match name {
        "c-max-rate" | "c-min-rate" | "resync-rate" => 1024,
        "peer-ack-window" | "c-fill-target" => 512,
        _ => 1,
    }
}

fn votes(value: &str) -> Quorum {
    match value {
        "majority" => Quorum::Majority,
        "all" => Quorum::All,
        number => number.parse().map_or(Quorum::Off, Quorum::Count),
    }
}

fn on_loss(value: &str) -> OnLoss {
    if value == "io-error" { OnLoss::IoError } else { OnLoss::SuspendIo }
}

/// Options in DRBD's units into the engine's; what the engine cannot do is said.
fn apply(config: &mut Config, options: &Options) -> Made {
    for (name, value) in options {
        within_bounds(name, value)?;
        set_number(config, name, value);
        match (name.as_str(), value.as_str()) {
            ("auto-promote", value) => config.auto_promote = value == "yes",
            ("on-no-data-accessible", value) => config.on_no_data = on_loss(value),
            ("on-no-quorum", value) => config.on_no_quorum = on_loss(value),
            ("on-suspended-primary-outdated", value) => {
                config.force_secondary = value == "force-secondary";
            }
            ("quorum", value) => config.quorum = votes(value),
            ("quorum-minimum-redundancy", value) => {
                config.quorum_minimum_redundancy = votes(value);
            }
            ("rr-conflict", word) => {
                if let Some(policy) = RrConflict::named(word) {
                    config.rr_conflict = policy;
                }
            }
            ("after-sb-0pri" | "after-sb-1pri" | "after-sb-2pri" | "always-asbp", word) => {
                config.after_sb.set(name, word);
            }
            ("csums-alg", name) => config.csums_alg = Some(name.to_owned()),
            ("csums-after-crash-only", value) => config.csums_after_crash_only = value == "yes",
            ("verify-alg", name) => config.verify_alg = Some(name.to_owned()),
            ("on-io-error", word) => {
                config.on_io_error = OnIoError::named(word).unwrap_or(OnIoError::Detach);
            }
            ("read-balancing", word) => {
                let named = ReadBalancing::named(word);
                config.read_balancing = named.unwrap_or(ReadBalancing::PreferLocal);
            }
            ("allow-remote-read", value) => config.allow_remote_read = value == "yes",
            ("protocol", "C" | "c") => {}
            ("fencing", word) => {
                if let Some(policy) = Fencing::named(word) {
                    config.fencing = policy;
                }
            }
            ("allow-two-primaries", "no") => {}
            ("al-updates" | "disk-flushes" | "md-flushes", "yes") => {}
            ("on-congestion", "block") => {}
            (
                "protocol"
                | "allow-two-primaries"
                | "al-updates"
                | "disk-flushes"
                | "md-flushes"
                | "on-congestion",
                value,
            ) => return Err(Bad::cannot(&format!("do `{name} {value}`"))),
            _ => {}
        }
    }
    Ok(())
}

/// Options that DRBD knows take the values that it takes.
fn within_bounds(name: &str, value: &str) -> Made {
    let sections = [Section::Options, Section::Net, Section::Disk];
    let known = sections.into_iter().find_map(|section| find(section, name));
    let checked = known.map_or(Ok(()), |known| check(known.takes, Some(value)));
    checked.map_err(|wrong| Bad::Failure(INVALID_REQUEST, Some(format!("{name}: {wrong}"))))
}

fn set_number(config: &mut Config, name: &str, value: &str) {
    let Some(number) = crate::res::number(value, unit_of(name)) else { return };
    let number = number.max(0) as u64;
    match name {
        "al-extents" => config.al_extents = number as u16,
        "auto-promote-timeout" => config.auto_promote_timeout_ms = number * 100,
        "disk-timeout" => config.disk_timeout_ms = number * 100,
        "ko-count" => config.ko_count = number as u32,
        "max-buffers" => config.max_buffers = number as u32,
        "max-epoch-size" => config.max_epoch_size = number as u32,
        "peer-ack-delay" => config.peer_ack_delay_ms = number,
        "peer-ack-window" => config.peer_ack_window = number,
        "ping-int" => config.ping_int_ms = number * 1_000,
        "ping-timeout" => config.ping_timeout_ms = number * 100,
        "rs-discard-granularity" => config.rs_discard_granularity = number as u32,
        "timeout" => config.timeout_ms = number * 100,
        "twopc-retry-timeout" => config.twopc_retry_timeout_ms = number * 100,
        "twopc-timeout" => config.twopc_timeout_ms = number * 100,
        _ => {}
    }
}

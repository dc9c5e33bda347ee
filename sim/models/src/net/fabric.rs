//! What lies below sockets: hosts' links, NICs, switches, cuts; whether and when a packet arrives.

use super::types::{HostId, NetworkId, NetworkSettings, NicId};
use crate::luck::Luck;
use crate::time::{SimTime, Span};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

/// Index of an address.
pub(super) type AddrIx = u16;
/// An address that nobody has.
pub(super) const NOWHERE: AddrIx = AddrIx::MAX;
/// Preamble, Ethernet, IP and TCP headers, and the gap between frames.
const FRAME_BYTES: u64 = 66;
/// Within a host.
const LOOPBACK_LATENCY: Span = Span::us(15);

struct Network {
    settings: NetworkSettings,
    // One stream each, so that switching loss on moves no latency.
    latency: Luck,
    loss: Luck,
    duplicate: Luck,
    reorder: Luck,
}

struct Nic {
    host: HostId,
    network: NetworkId,
    up: bool,
    picos_per_byte: u64,
    free_at: SimTime,
}

struct Addr {
    ip: IpAddr,
    host: HostId,
    /// `None`: loopback.
    nic: Option<NicId>,
}

struct Link {
    up: bool,
    frozen: bool,
    boots: u32,
    loopback: AddrIx,
    addrs: Vec<AddrIx>,
}

/// Does a packet get through?
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Arrives,
    /// No way: switch, NIC, host or cut.
    Unreachable,
    /// Chance.
    Lost,
}

/// When a packet has left its NIC and when it arrives.
pub(super) struct Flight {
    pub(super) departed: SimTime,
    pub(super) arrives: SimTime,
}

pub(super) struct Fabric {
    luck: Luck,
    networks: Vec<Network>,
    nics: Vec<Nic>,
    addrs: Vec<Addr>,
    links: Vec<Link>,
    by_ip: BTreeMap<IpAddr, AddrIx>,
    cuts: BTreeSet<(AddrIx, AddrIx)>,
}

/// Time on the wire per byte; 0 bits per second stand for "no limit".
fn picos_per_byte(bits_per_second: u64) -> u64 {
    8_000_000_000_000u64.checked_div(bits_per_second).unwrap_or(0)
}

impl Fabric {
    pub(super) fn new(luck: Luck) -> Fabric {
        Fabric {
            luck,
            networks: Vec::new(),
            nics: Vec::new(),
            addrs: Vec::new(),
            links: Vec::new(),
            by_ip: BTreeMap::new(),
            cuts: BTreeSet::new(),
        }
    }

    // ---- topology ----

    pub(super) fn add_network(&mut self, settings: NetworkSettings) -> NetworkId {
        let luck = self.luck.fork_n("network", self.networks.len() as u64);
        self.networks.push(Network {
            settings,
            latency: luck.fork("latency"),
            loss: luck.fork("loss"),
            duplicate: luck.fork("duplicate"),
            reorder: luck.fork("reorder"),
        });
        NetworkId(self.networks.len() as u16 - 1)
    }

    pub(super) fn add_host(&mut self) -> HostId {
        let host = HostId(self.links.len() as u16);
        let loopback = self.addrs.len() as AddrIx;
        self.addrs.push(Addr { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), host, nic: None });
        let link = Link { up: false, frozen: false, boots: 0, loopback, addrs: Vec::new() };
        self.links.push(link);
        host
    }

    pub(super) fn add_nic(&mut self, host: HostId, network: NetworkId, rate: u64) -> NicId {
        assert!((network.0 as usize) < self.networks.len(), "no such network: {network:?}");
        let picos_per_byte = picos_per_byte(rate);
        self.nics.push(Nic { host, network, up: true, picos_per_byte, free_at: SimTime::ZERO });
        NicId(self.nics.len() as u16 - 1)
    }

    pub(super) fn add_address(&mut self, nic: NicId, ip: IpAddr) {
        let host = self.nics[nic.0 as usize].host;
        let ix = self.addrs.len() as AddrIx;
        assert!(ix != NOWHERE, "too many addresses");
        assert!(self.by_ip.insert(ip, ix).is_none(), "another NIC has the address {ip}");
        self.addrs.push(Addr { ip, host, nic: Some(nic) });
        self.links[host.0 as usize].addrs.push(ix);
    }

    pub(super) fn network(&self, id: NetworkId) -> &NetworkSettings {
        &self.networks[id.0 as usize].settings
    }

    pub(super) fn network_mut(&mut self, id: NetworkId) -> &mut NetworkSettings {
        &mut self.networks[id.0 as usize].settings
    }

    pub(super) fn set_nic_up(&mut self, nic: NicId, up: bool) {
        self.nics[nic.0 as usize].up = up;
    }

    pub(super) fn set_nic_rate(&mut self, nic: NicId, rate: u64) {
        self.nics[nic.0 as usize].picos_per_byte = picos_per_byte(rate);
    }

    pub(super) fn addresses(&self, host: HostId) -> &[AddrIx] {
        &self.links[host.0 as usize].addrs
    }

    pub(super) fn ip(&self, ix: AddrIx) -> IpAddr {
        self.addrs[ix as usize].ip
    }

    pub(super) fn find(&self, ip: IpAddr) -> AddrIx {
        self.by_ip.get(&ip).copied().unwrap_or(NOWHERE)
    }

    pub(super) fn host_of(&self, ix: AddrIx) -> Option<HostId> {
        self.addrs.get(ix as usize).map(|a| a.host)
    }

    /// The address as this host understands it: loopback is its own.
    pub(super) fn resolve(&self, host: HostId, ip: IpAddr) -> AddrIx {
        if ip.is_loopback() || ip.is_unspecified() {
            self.links[host.0 as usize].loopback
        } else {
            self.find(ip)
        }
    }

    /// Can a socket of the host have this local address?
    pub(super) fn is_local(&self, host: HostId, ip: IpAddr) -> bool {
        self.host_of(self.resolve(host, ip)) == Some(host)
    }

    /// The source address that the host takes towards `to`: its own address itself, one on the same
    /// network, or simply its first.
    pub(super) fn source(&self, host: HostId, to: AddrIx) -> AddrIx {
        if self.host_of(to) == Some(host) {
            return to;
        }
        let own = self.addresses(host);
        let network = self.network_of(to);
        let same = own.iter().find(|ix| network.is_some() && self.network_of(**ix) == network);
        same.or(own.first()).copied().unwrap_or(NOWHERE)
    }

    fn network_of(&self, ix: AddrIx) -> Option<NetworkId> {
        let nic = self.addrs.get(ix as usize)?.nic?;
        Some(self.nics[nic.0 as usize].network)
    }

    // ---- cuts ----

    pub(super) fn set_cut(&mut self, from: AddrIx, to: AddrIx, cut: bool) {
        if from == NOWHERE || to == NOWHERE {
            return;
        }
        if cut {
            self.cuts.insert((from, to));
        } else {
            self.cuts.remove(&(from, to));
        }
    }

    pub(super) fn set_cut_hosts(&mut self, a: HostId, b: HostId, cut: bool) {
        let (ours, theirs) = (self.addresses(a).to_vec(), self.addresses(b).to_vec());
        for x in &ours {
            for y in &theirs {
                self.set_cut(*x, *y, cut);
                self.set_cut(*y, *x, cut);
            }
        }
    }

    pub(super) fn heal_all(&mut self) {
        self.cuts.clear();
    }

    // ---- life ----

    pub(super) fn set_up(&mut self, host: HostId, up: bool) -> u32 {
        let link = &mut self.links[host.0 as usize];
        link.boots += u32::from(up && !link.up);
        link.up = up;
        link.frozen = false;
        link.boots
    }

    pub(super) fn set_frozen(&mut self, host: HostId, frozen: bool) {
        self.links[host.0 as usize].frozen = frozen;
    }

    #[inline]
    pub(super) fn is_frozen(&self, host: HostId) -> bool {
        self.links[host.0 as usize].frozen
    }

    pub(super) fn is_up(&self, host: HostId) -> bool {
        self.links[host.0 as usize].up
    }

    pub(super) fn boots(&self, host: HostId) -> u32 {
        self.links[host.0 as usize].boots
    }

    // ---- packets ----

    /// Would a packet arrive now, chance aside?
    #[inline]
    pub(super) fn clear(&self, from: AddrIx, to: AddrIx) -> bool {
        let (Some(a), Some(b)) = (self.addrs.get(from as usize), self.addrs.get(to as usize))
        else {
            return false;
        };
        let link = &self.links[b.host.0 as usize];
        if !link.up || link.frozen {
            return false;
        }
        if a.host == b.host {
            return true;
        }
        let (Some(out), Some(into)) = (a.nic, b.nic) else { return false };
        let (out, into) = (&self.nics[out.0 as usize], &self.nics[into.0 as usize]);
        out.network == into.network
            && out.up
            && into.up
            && self.networks[out.network.0 as usize].settings.up
            && (self.cuts.is_empty() || !self.cuts.contains(&(from, to)))
    }

    /// What happens to a packet that would arrive now.
    #[inline]
    pub(super) fn fate(&mut self, from: AddrIx, to: AddrIx) -> Fate {
        if !self.clear(from, to) {
            return Fate::Unreachable;
        }
        if self.addrs[from as usize].host == self.addrs[to as usize].host {
            return Fate::Arrives;
        }
        let lost = self.network_at(from).is_some_and(|n| n.loss.chance(n.settings.loss_ppm));
        if lost { Fate::Lost } else { Fate::Arrives }
    }

    fn network_at(&mut self, ix: AddrIx) -> Option<&mut Network> {
        let network = self.network_of(ix)?;
        self.networks.get_mut(network.0 as usize)
    }

    /// Hands a packet to the NIC: when does it leave, when does it arrive?
    #[inline]
    pub(super) fn carry(&mut self, now: SimTime, from: AddrIx, to: AddrIx, len: u32) -> Flight {
        let nic = self.addrs.get(from as usize).and_then(|a| a.nic);
        let within = self.host_of(from) == self.host_of(to);
        let Some(nic) = nic.filter(|_| !within) else {
            return Flight { departed: now, arrives: now + LOOPBACK_LATENCY };
        };
        let nic = &mut self.nics[nic.0 as usize];
        // At most 2^32 * 8e12 / 1: saturates only for rates that nobody sets.
        let wire = (u64::from(len) + FRAME_BYTES).saturating_mul(nic.picos_per_byte) / 1_000;
        nic.free_at = nic.free_at.max(now) + Span(wire);
        let departed = nic.free_at;
        let network = &mut self.networks[nic.network.0 as usize];
        let latency = network.latency.span(&network.settings.latency);
        Flight { departed, arrives: departed + latency }
    }

    /// Does the network deliver this datagram twice?
    pub(super) fn duplicates(&mut self, from: AddrIx) -> bool {
        self.network_at(from).is_some_and(|n| n.duplicate.chance(n.settings.duplicate_ppm))
    }

    /// How long the network holds this datagram back, so that later ones overtake it.
    pub(super) fn holds_back(&mut self, from: AddrIx) -> Span {
        let Some(n) = self.network_at(from) else { return Span::ZERO };
        if n.reorder.chance(n.settings.reorder_ppm) {
            n.reorder.span(&(Span::ZERO..=n.settings.reorder_by))
        } else {
            Span::ZERO
        }
    }
}

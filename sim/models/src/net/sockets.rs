//! The sockets of a host as objects: listeners, UDP sockets, ports.

use super::types::{HostId, TcpOptions};
use crate::slab::Key;
use std::net::{IpAddr, SocketAddr};

const EPHEMERAL_FIRST: u16 = 32_768;
const EPHEMERAL_LAST: u16 = 60_999;

pub(super) struct Listener {
    pub(super) host: HostId,
    pub(super) local: SocketAddr,
    pub(super) options: TcpOptions,
    pub(super) owner: u64,
}

pub(super) struct UdpSock {
    pub(super) host: HostId,
    pub(super) local: SocketAddr,
    pub(super) owner: u64,
}

/// Which sockets of one protocol wait for what comes to which port of one host. Few, so a list.
#[derive(Default)]
pub(super) struct PortTable {
    bound: Vec<(SocketAddr, Key)>,
    last_ephemeral: u16,
}

impl PortTable {
    /// Who gets what is sent to this address and port? A socket bound to the address goes before
    /// one bound to all.
    pub(super) fn find(&self, ip: IpAddr, port: u16) -> Option<Key> {
        let mut any = None;
        for (local, key) in &self.bound {
            if local.port() == port && local.ip() == ip {
                return Some(*key);
            }
            if local.port() == port && local.ip().is_unspecified() {
                any = Some(*key);
            }
        }
        any
    }

    pub(super) fn in_use(&self, addr: SocketAddr) -> bool {
        self.bound.iter().any(|(b, _)| {
            b.port() == addr.port()
                && (b.ip() == addr.ip() || b.ip().is_unspecified() || addr.ip().is_unspecified())
        })
    }

    /// The address with a free port in place of 0.
    pub(super) fn with_port(&mut self, mut addr: SocketAddr) -> SocketAddr {
        while addr.port() == 0 || self.in_use(addr) {
            let next = self.last_ephemeral.wrapping_add(1);
            let inside = (EPHEMERAL_FIRST..=EPHEMERAL_LAST).contains(&next);
            self.last_ephemeral = if inside { next } else { EPHEMERAL_FIRST };
            addr.set_port(self.last_ephemeral);
        }
        addr
    }

    pub(super) fn add(&mut self, addr: SocketAddr, key: Key) {
        self.bound.push((addr, key));
    }

    pub(super) fn remove(&mut self, key: Key) {
        self.bound.retain(|(_, k)| *k != key);
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Key> {
        self.bound.drain(..).map(|(_, key)| key)
    }
}

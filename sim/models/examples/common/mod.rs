//! Hosts on one switch, for the examples that measure the network.

use models::net::*;
use models::{Luck, SimTime};
use std::net::{IpAddr, SocketAddr};

/// Port 7 of host `h`.
pub fn address(h: usize) -> SocketAddr {
    SocketAddr::new(IpAddr::from([10, 0, 0, h as u8 + 1]), 7)
}

/// `n` hosts, up, at 10 Gbit/s.
pub fn hosts(n: usize) -> (Net<u64>, Vec<HostId>) {
    let mut net = Net::new(Luck::root(1));
    let switch = net.add_network(NetworkSettings::default());
    let hosts: Vec<HostId> = (0..n).map(|_| net.add_host()).collect();
    for (h, host) in hosts.iter().enumerate() {
        net.add_nic(*host, switch, 10_000_000_000, address(h).ip());
        net.host_up(SimTime::ZERO, *host);
    }
    (net, hosts)
}

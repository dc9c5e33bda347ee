//! UDP: bind, send, arrive.

use super::conntrack::{Packet, Transport};
use super::fabric::{AddrIx, Fate};
use super::sockets::UdpSock;
use super::*;
use crate::slab::Key;

pub(super) struct Datagram<P> {
    src: AddrIx,
    dst: AddrIx,
    from: SocketAddr,
    port: u16,
    payload: P,
    len: u32,
}

impl<P: Clone> Net<P> {
    /// Binds a UDP socket; port 0 takes a free one, an unspecified address takes all.
    pub fn udp_bind(
        &mut self,
        host: HostId,
        local: SocketAddr,
        owner: u64,
    ) -> Result<UdpId, BindError> {
        let local = self.bindable(host, local, Protocol::Udp)?;
        let key = self.udp.insert(UdpSock { host, local, owner });
        self.stacks[host.0 as usize].udp.add(local, key);
        Ok(UdpId(key))
    }

    /// The address of a socket, `None` if it is gone.
    pub fn udp_local(&self, sock: UdpId) -> Option<SocketAddr> {
        self.udp.get(sock.0).map(|s| s.local)
    }

    /// Sends a datagram of `len` bytes. Never fails: what cannot be sent is lost.
    pub fn udp_send(&mut self, now: SimTime, sock: UdpId, to: SocketAddr, payload: P, len: u32) {
        let Some(socket) = self.udp.get(sock.0) else { return };
        let (host, local) = (socket.host, socket.local);
        let dst = self.fabric.resolve(host, to.ip());
        let src = if local.ip().is_unspecified() {
            self.fabric.source(host, dst)
        } else {
            self.fabric.resolve(host, local.ip())
        };
        if src == fabric::NOWHERE || dst == fabric::NOWHERE {
            return;
        }
        let from = SocketAddr::new(self.fabric.ip(src), local.port());
        let datagram = Datagram { src, dst, from, port: to.port(), payload, len };
        if self.fabric.duplicates(src) {
            let twin = Datagram { payload: datagram.payload.clone(), ..datagram };
            self.launch(now, twin);
        }
        self.launch(now, datagram);
    }

    fn launch(&mut self, now: SimTime, datagram: Datagram<P>) {
        let (src, dst) = (datagram.src, datagram.dst);
        let arrives = self.fabric.carry(now, src, dst, datagram.len).arrives;
        let arrives = arrives + self.fabric.holds_back(src);
        let key = self.datagrams.insert(datagram);
        self.queue.push(arrives, Ev::Datagram { key });
    }

    pub(super) fn on_datagram(&mut self, t: SimTime, key: Key, out: &mut Out<P>) {
        let Some(d) = self.datagrams.remove(key) else { return };
        if self.fabric.fate(d.src, d.dst) != Fate::Arrives {
            return;
        }
        let Some(host) = self.fabric.host_of(d.dst) else { return };
        let to = self.fabric.ip(d.dst);
        let way = (d.from, SocketAddr::new(to, d.port));
        if !self.tracked(t, Transport::Udp, way, Packet::Datagram) {
            return;
        }
        let Some(sock) = self.stacks[host.0 as usize].udp.find(to, d.port) else { return };
        let Some(owner) = self.udp.get(sock).map(|s| s.owner) else { return };
        let Datagram { from, payload, len, .. } = d;
        let what = NetWhat::Datagram { sock: UdpId(sock), from, to, payload, len };
        out.push(NetEvent { at: t, host, owner, what });
    }

    /// Closes a socket.
    pub fn udp_close(&mut self, sock: UdpId) {
        if let Some(gone) = self.udp.remove(sock.0) {
            self.stacks[gone.host.0 as usize].udp.remove(sock.0);
        }
    }
}

//! UDP sockets of processes.

use super::{
    Machines,
    state::{Payload, State, What},
    wakers::Wakers,
};
use bytes::Bytes;
use env::hooks::{Handle, Pid};
use models::net::{BindError, HostId, UdpId};
use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    task::{Context, Poll},
};

/// Received and not read; more is lost, as with Linux's default buffer.
const BUFFER: usize = 212_992;
/// What Linux counts for a datagram besides its bytes.
const OVERHEAD: usize = 768;

/// A socket.
pub(super) struct Udp {
    pub(super) id: UdpId,
    arrived: VecDeque<(Bytes, SocketAddr)>,
    held: usize,
    readers: Wakers,
}

impl Udp {
    /// The network brings a datagram.
    #[inline]
    pub(super) fn arrive(&mut self, data: Bytes, from: SocketAddr) {
        let size = data.len() + OVERHEAD;
        if self.held + size > BUFFER {
            return;
        }
        self.held += size;
        self.arrived.push_back((data, from));
        self.readers.wake();
    }
}

pub(super) fn bind_error(e: BindError) -> io::Error {
    let kind = match e {
        BindError::AddrInUse => io::ErrorKind::AddrInUse,
        BindError::AddrNotAvailable => io::ErrorKind::AddrNotAvailable,
        BindError::HostDown => io::ErrorKind::NetworkDown,
    };
    io::Error::new(kind, e)
}

impl<P: Payload> State<P> {
    fn udp(&mut self, socket: Handle) -> Option<&mut Udp> {
        match &mut self.things.get_mut(socket)?.what {
            What::Udp(udp) => Some(udp),
            _ => None,
        }
    }

    pub(super) fn udp_bind(
        &mut self,
        pid: Pid,
        addr: SocketAddr,
    ) -> io::Result<(Handle, SocketAddr)> {
        let host = self.host_of(pid)?;
        let handle = self.reserve(pid);
        match self.net.udp_bind(HostId(host as u16), addr, handle.0) {
            Ok(id) => {
                let local = self.net.udp_local(id).unwrap_or(addr);
                let udp = Udp { id, arrived: VecDeque::new(), held: 0, readers: Wakers::default() };
                self.set(handle, What::Udp(udp));
                Ok((handle, local))
            }
            Err(e) => {
                self.drop_thing(handle);
                Err(bind_error(e))
            }
        }
    }
}

impl<P: Payload> Machines<P> {
    pub(super) fn udp_send_to(
        &self,
        socket: Handle,
        to: SocketAddr,
        data: &[u8],
    ) -> io::Result<()> {
        let payload = P::from_bytes(Bytes::copy_from_slice(data));
        self.with(|state| {
            if let Some(id) = state.udp(socket).map(|udp| udp.id) {
                state.net.udp_send(state.now, id, to, payload, data.len() as u32);
            }
            Ok(())
        })
    }

    pub(super) fn udp_recv(
        &self,
        socket: Handle,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut state = self.lock();
        let Some(udp) = state.udp(socket) else { return Poll::Pending };
        let Some((data, from)) = udp.arrived.pop_front() else {
            udp.readers.add(cx);
            return Poll::Pending;
        };
        udp.held -= data.len() + OVERHEAD;
        let n = data.len().min(buf.len());
        buf[..n].copy_from_slice(&data[..n]);
        Poll::Ready(Ok((n, from)))
    }
}

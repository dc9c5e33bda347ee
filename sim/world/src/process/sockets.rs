//! Sockets as processes ask for them.

use super::{
    Machines,
    state::{Payload, State, Thing, What},
};
use env::{
    hooks::{Ends, Handle, Pid, Sockets},
    io::ReadBuf,
};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    task::{Context, Poll},
};

impl<P: Payload> Sockets for Machines<P> {
    fn udp_bind(&self, pid: Pid, addr: SocketAddr) -> io::Result<(Handle, SocketAddr)> {
        self.with(|state| state.udp_bind(pid, addr))
    }

    fn udp_send(&self, socket: Handle, to: SocketAddr, data: &[u8]) -> io::Result<()> {
        self.udp_send_to(socket, to, data)
    }

    fn udp_poll_recv(
        &self,
        socket: Handle,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.udp_recv(socket, cx, buf)
    }

    fn tcp_listen(&self, pid: Pid, addr: SocketAddr) -> io::Result<(Handle, SocketAddr)> {
        self.with(|state| state.tcp_listen(pid, addr))
    }

    fn tcp_poll_accept(
        &self,
        listener: Handle,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Handle, Ends)>> {
        self.with(|state| state.poll_accept(listener, cx))
    }

    fn tcp_connect(&self, pid: Pid, from: Option<IpAddr>, to: SocketAddr) -> io::Result<Handle> {
        self.with(|state| state.tcp_connect(pid, from, to))
    }

    fn tcp_poll_connected(&self, stream: Handle, cx: &mut Context<'_>) -> Poll<io::Result<Ends>> {
        self.with(|state| state.poll_connected(stream, cx))
    }

    fn unix_listen(&self, pid: Pid, path: &str) -> io::Result<Handle> {
        self.with(|state| state.unix_listen(pid, path))
    }

    fn unix_poll_accept(&self, listener: Handle, cx: &mut Context<'_>) -> Poll<io::Result<Handle>> {
        self.with(|state| state.unix_accept(listener, cx))
    }

    fn unix_connect(&self, pid: Pid, path: &str) -> io::Result<Handle> {
        self.with(|state| state.unix_connect(pid, path))
    }

    fn poll_read(
        &self,
        stream: Handle,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.with(|state| {
            if state.is_unix(stream) {
                state.unix_read(stream, cx, buf)
            } else {
                state.tcp_read(stream, cx, buf)
            }
        })
    }

    fn poll_write(
        &self,
        stream: Handle,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with(|state| {
            if state.is_unix(stream) {
                state.unix_write(stream, cx, data)
            } else {
                state.tcp_write(stream, cx, data)
            }
        })
    }

    fn shutdown(&self, stream: Handle) -> io::Result<()> {
        self.with(|state| {
            if state.is_unix(stream) {
                state.unix_shutdown(stream)
            } else {
                state.tcp_shutdown(stream)
            }
        })
    }

    fn close(&self, socket: Handle) {
        self.with(|state| state.close(socket, false));
    }
}

impl<P: Payload> State<P> {
    fn is_unix(&mut self, stream: Handle) -> bool {
        matches!(self.things.get_mut(stream), Some(Thing { what: What::Unix(_), .. }))
    }

    /// A place in the table for a socket that is about to be made with its handle as owner.
    pub(super) fn reserve(&mut self, pid: Pid) -> Handle {
        self.hold(pid, What::Reserved)
    }

    /// What a reserved place is for.
    pub(super) fn set(&mut self, handle: Handle, what: What) {
        if let Some(thing) = self.things.get_mut(handle) {
            thing.what = what;
        }
    }

    /// Closes anything a process holds. `killed`: by the kernel, as its process has died; a unix
    /// socket's file then stays behind.
    pub(super) fn close(&mut self, handle: Handle, killed: bool) {
        let now = self.now;
        let Some(Thing { pid, what }) = self.drop_thing(handle) else { return };
        let host = self.processes.get(&pid).map(|p| p.host);
        match what {
            What::Udp(udp) => self.net.udp_close(udp.id),
            What::Tcp(tcp) => self.net.tcp_close(now, tcp.conn),
            What::TcpListener(listener) => {
                self.net.tcp_unlisten(listener.id);
                listener.backlog.into_iter().for_each(|(_, stream)| self.close(stream, killed));
            }
            What::UnixListener(listener) => {
                if let Some(host) = host {
                    let sockets = &mut self.machines[host].sockets;
                    if killed {
                        sockets.insert(listener.path, None);
                    } else {
                        sockets.remove(&listener.path);
                    }
                }
                listener.backlog.into_iter().for_each(|stream| self.close(stream, killed));
            }
            What::Unix(end) => self.unix_closed(end),
            What::Device { path, .. } => self.device_closed(host, &path, handle),
            What::Lock { path } => {
                if let Some(host) = host {
                    self.machines[host].locks.remove(&path);
                }
            }
            What::Watchdog(guard) => self.guard_dropped(host, handle, guard),
            What::Pending(_) | What::Reserved => {}
        }
    }
}

//! Sockets of the modelled network.

use crate::hooks::{self, Ends, Handle, World};
use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A socket of any kind; closed when dropped.
pub(super) struct Socket {
    pub(super) world: Arc<dyn World>,
    pub(super) handle: Handle,
}

impl Socket {
    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.world.poll_read(self.handle, cx, buf)
    }

    pub(super) fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.world.poll_write(self.handle, cx, data)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.world.close(self.handle);
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt(f)
    }
}

/// Accepts connections.
#[derive(Debug)]
pub struct TcpListener {
    socket: Socket,
    local: SocketAddr,
}

impl TcpListener {
    /// Listens at this address; port 0 lets the host choose.
    pub async fn bind(addr: SocketAddr) -> io::Result<Self> {
        let world = hooks::world();
        let (handle, local) = world.tcp_listen(hooks::this_process(), addr)?;
        Ok(TcpListener { socket: Socket { world, handle }, local })
    }

    /// Waits for the next connection.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let Socket { world, handle } = &self.socket;
        let (stream, ends) = std::future::poll_fn(|cx| world.tcp_poll_accept(*handle, cx)).await?;
        let socket = Socket { world: world.clone(), handle: stream };
        Ok((TcpStream { socket, ends }, ends.peer))
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

/// A connection. Dropping it closes it; `shutdown` closes the sending half alone.
#[derive(Debug)]
pub struct TcpStream {
    pub(super) socket: Socket,
    ends: Ends,
}

impl TcpStream {
    /// Connects. The host gives up after about two minutes of silence: set a timeout around it.
    pub async fn connect(addr: SocketAddr) -> io::Result<Self> {
        Self::open(None, addr).await
    }

    /// Connects from one of this host's own addresses, so that the path is known.
    pub async fn connect_from(local: IpAddr, addr: SocketAddr) -> io::Result<Self> {
        Self::open(Some(local), addr).await
    }

    async fn open(from: Option<IpAddr>, addr: SocketAddr) -> io::Result<Self> {
        let world = hooks::world();
        let handle = world.tcp_connect(hooks::this_process(), from, addr)?;
        // Owned before the wait, so that giving up closes it.
        let socket = Socket { world, handle };
        let ends = std::future::poll_fn(|cx| socket.world.tcp_poll_connected(handle, cx)).await?;
        Ok(TcpStream { socket, ends })
    }

    /// This end.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.ends.local)
    }

    /// The other end.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.ends.peer)
    }

    /// Two halves for two tasks. Dropping the write half sends what `shutdown` sends.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        let whole = Arc::new(self);
        (OwnedReadHalf(whole.clone()), OwnedWriteHalf(whole))
    }
}

/// The reading half of a [`TcpStream`].
#[derive(Debug)]
pub struct OwnedReadHalf(Arc<TcpStream>);

/// The writing half of a [`TcpStream`].
#[derive(Debug)]
pub struct OwnedWriteHalf(Arc<TcpStream>);

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        // A connection that is gone has nothing left to end.
        let _ = self.0.socket.world.shutdown(self.0.socket.handle);
    }
}

/// Datagrams.
#[derive(Debug)]
pub struct UdpSocket {
    socket: Socket,
    local: SocketAddr,
}

impl UdpSocket {
    /// Opens a socket at this address; port 0 lets the host choose.
    pub async fn bind(addr: SocketAddr) -> io::Result<Self> {
        let world = hooks::world();
        let (handle, local) = world.udp_bind(hooks::this_process(), addr)?;
        Ok(UdpSocket { socket: Socket { world, handle }, local })
    }

    /// Sends one datagram; it may be lost, doubled or overtaken.
    pub async fn send_to(&self, buf: &[u8], to: SocketAddr) -> io::Result<usize> {
        crate::net::check_datagram(buf)?;
        self.socket.world.udp_send(self.socket.handle, to, buf)?;
        Ok(buf.len())
    }

    /// Waits for one datagram; what does not fit into `buf` is cut off.
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let Socket { world, handle } = &self.socket;
        std::future::poll_fn(|cx| world.udp_poll_recv(*handle, cx, buf)).await
    }

    /// Its address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

macro_rules! stream_io {
    (read $type:ty, $self:ident => $socket:expr) => {
        impl AsyncRead for $type {
            fn poll_read(
                $self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                $socket.poll_read(cx, buf)
            }
        }
    };
    (write $type:ty, $self:ident => $socket:expr) => {
        impl AsyncWrite for $type {
            fn poll_write(
                $self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                data: &[u8],
            ) -> Poll<io::Result<usize>> {
                $socket.poll_write(cx, data)
            }

            fn poll_flush($self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown($self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready($socket.world.shutdown($socket.handle))
            }
        }
    };
}

pub(super) use stream_io;

stream_io!(read TcpStream, self => self.socket);
stream_io!(write TcpStream, self => self.socket);
stream_io!(read OwnedReadHalf, self => self.0.socket);
stream_io!(write OwnedWriteHalf, self => self.0.socket);

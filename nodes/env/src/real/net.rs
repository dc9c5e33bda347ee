//! The kernel's sockets through tokio.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net,
};

/// Accepts connections.
#[derive(Debug)]
pub struct TcpListener(net::TcpListener);

impl TcpListener {
    /// Listens at this address; port 0 lets the kernel choose.
    pub async fn bind(addr: SocketAddr) -> io::Result<Self> {
        net::TcpListener::bind(addr).await.map(TcpListener)
    }

    /// Waits for the next connection.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.0.accept().await?;
        Ok((TcpStream::made(stream)?, peer))
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A connection. Dropping it closes it; `shutdown` closes the sending half alone.
#[derive(Debug)]
pub struct TcpStream(net::TcpStream);

impl TcpStream {
    fn made(inner: net::TcpStream) -> io::Result<Self> {
        // Protocols here send whole messages: waiting to fill a segment only adds delay.
        inner.set_nodelay(true)?;
        Ok(TcpStream(inner))
    }

    /// Connects. The kernel gives up after about two minutes of silence: set a timeout around it.
    pub async fn connect(addr: SocketAddr) -> io::Result<Self> {
        Self::made(net::TcpStream::connect(addr).await?)
    }

    /// Connects from one of this host's own addresses, so that the path is known.
    pub async fn connect_from(local: IpAddr, addr: SocketAddr) -> io::Result<Self> {
        let socket =
            if addr.is_ipv4() { net::TcpSocket::new_v4()? } else { net::TcpSocket::new_v6()? };
        socket.bind(SocketAddr::new(local, 0))?;
        Self::made(socket.connect(addr).await?)
    }

    /// This end.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// The other end.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }

    /// Two halves for two tasks. Dropping the write half sends what `shutdown` sends.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        let (r, w) = self.0.into_split();
        (OwnedReadHalf(r), OwnedWriteHalf(w))
    }
}

/// The reading half of a [`TcpStream`].
#[derive(Debug)]
pub struct OwnedReadHalf(net::tcp::OwnedReadHalf);

/// The writing half of a [`TcpStream`].
#[derive(Debug)]
pub struct OwnedWriteHalf(net::tcp::OwnedWriteHalf);

/// Datagrams.
#[derive(Debug)]
pub struct UdpSocket(net::UdpSocket);

impl UdpSocket {
    /// Opens a socket at this address; port 0 lets the kernel choose.
    pub async fn bind(addr: SocketAddr) -> io::Result<Self> {
        net::UdpSocket::bind(addr).await.map(UdpSocket)
    }

    /// Sends one datagram; it may be lost, doubled or overtaken.
    pub async fn send_to(&self, buf: &[u8], to: SocketAddr) -> io::Result<usize> {
        crate::net::check_datagram(buf)?;
        self.0.send_to(buf, to).await
    }

    /// Waits for one datagram; what does not fit into `buf` is cut off.
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        loop {
            match self.0.recv_from(buf).await {
                // An ICMP answer to an earlier send; UDP promises nothing, so nobody asks for it.
                Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {}
                other => return other,
            }
        }
    }

    /// Its address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

macro_rules! forward_read {
    ($type:ty) => {
        impl AsyncRead for $type {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.0).poll_read(cx, buf)
            }
        }
    };
}

macro_rules! forward_write {
    ($type:ty) => {
        impl AsyncWrite for $type {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.0).poll_write(cx, buf)
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.0).poll_flush(cx)
            }

            fn poll_shutdown(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.0).poll_shutdown(cx)
            }
        }
    };
}

pub(super) use {forward_read, forward_write};

forward_read!(TcpStream);
forward_write!(TcpStream);
forward_read!(OwnedReadHalf);
forward_write!(OwnedWriteHalf);

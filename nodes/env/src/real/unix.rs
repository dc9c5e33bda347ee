//! Unix sockets through tokio.

use super::net::{forward_read, forward_write};
use std::{
    io,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net,
};

/// Accepts connections from processes of this host.
#[derive(Debug)]
pub struct UnixListener {
    inner: net::UnixListener,
    path: PathBuf,
}

impl UnixListener {
    /// Listens at this path; a socket left by a dead process is replaced.
    pub async fn bind(path: &str) -> io::Result<Self> {
        let abandoned = match net::UnixStream::connect(path).await {
            Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
            Err(e) => e.kind() == io::ErrorKind::ConnectionRefused,
        };
        if abandoned {
            std::fs::remove_file(path)?;
        }
        Ok(UnixListener { inner: net::UnixListener::bind(path)?, path: Path::new(path).into() })
    }

    /// Waits for the next connection.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        let (stream, _) = self.inner.accept().await?;
        Ok(UnixStream(stream))
    }
}

impl Drop for UnixListener {
    fn drop(&mut self) {
        // Whoever removed it first did what is wanted.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A connection within this host.
#[derive(Debug)]
pub struct UnixStream(net::UnixStream);

impl UnixStream {
    /// Connects to the listener at this path.
    pub async fn connect(path: &str) -> io::Result<Self> {
        net::UnixStream::connect(path).await.map(UnixStream)
    }
}

forward_read!(UnixStream);
forward_write!(UnixStream);

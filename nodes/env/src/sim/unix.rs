//! Unix sockets of the modelled host.

use super::net::{Socket, stream_io};
use crate::hooks;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Accepts connections from processes of this host.
#[derive(Debug)]
pub struct UnixListener(Socket);

impl UnixListener {
    /// Listens at this path; a socket left by a dead process is replaced.
    pub async fn bind(path: &str) -> io::Result<Self> {
        let world = hooks::world();
        let handle = world.unix_listen(hooks::this_process(), path)?;
        Ok(UnixListener(Socket { world, handle }))
    }

    /// Waits for the next connection.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        let Socket { world, handle } = &self.0;
        let stream = std::future::poll_fn(|cx| world.unix_poll_accept(*handle, cx)).await?;
        Ok(UnixStream(Socket { world: world.clone(), handle: stream }))
    }
}

/// A connection within this host.
#[derive(Debug)]
pub struct UnixStream(Socket);

impl UnixStream {
    /// Connects to the listener at this path.
    pub async fn connect(path: &str) -> io::Result<Self> {
        let world = hooks::world();
        let handle = world.unix_connect(hooks::this_process(), path)?;
        Ok(UnixStream(Socket { world, handle }))
    }
}

stream_io!(read UnixStream, self => self.0);
stream_io!(write UnixStream, self => self.0);

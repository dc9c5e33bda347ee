//! What the simulator puts behind the door.
//!
//! A simulated process is one madsim node and never restarts: its node number is its birth number,
//! and every handle it was given belongs to that number. The simulator implements [`World`] over
//! its models and fills the [`Slot`] at the start of a run. Calls that may have to wait are shaped
//! like polls. A handle that the world does not know (any more) is not an error of the caller but
//! what a dead process does while it is dropped; such calls have no effect.

mod panics;
mod request;
mod slot;

pub use madsim;
pub use panics::{PanicPlace, catch_panics, newest_panic};
pub use request::{Reply, Request};
pub use slot::{Slot, install, pid_of, prepare, this_process, world};

use crate::{exec::ExitStatus, process::ExitCode, watchdog::Choice};
use bytes::Bytes;
use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::ReadBuf;

/// The birth number of a process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Pid(pub u64);

/// Something a process holds: a socket, a device, a lock, a pending request. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Handle(pub u64);

/// A program's `main`, as the simulator keeps it in its table.
pub type Main = std::sync::Arc<
    dyn Fn(Vec<String>) -> Pin<Box<dyn Future<Output = ExitCode> + Send>> + Send + Sync,
>;

/// Everything a simulated process may ask of its host.
pub trait World: Clocks + Sockets + Requests + Processes + Send + Sync + 'static {}

impl<T: Clocks + Sockets + Requests + Processes + Send + Sync + 'static> World for T {}

/// The clocks of a host, which may be off, drift and step. True time is nanoseconds of the run.
pub trait Clocks {
    /// The monotonic clock.
    fn monotonic_ns(&self, pid: Pid) -> u64;
    /// The true time at which the monotonic clock will show `monotonic_ns`.
    fn true_ns_at(&self, pid: Pid, monotonic_ns: u64) -> u64;
    /// The wall clock, since 1970.
    fn wall(&self, pid: Pid) -> Duration;
}

/// The two addresses of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ends {
    /// This end.
    pub local: SocketAddr,
    /// The other end.
    pub peer: SocketAddr,
}

/// Sockets. Streams are the same whether they came from TCP or from a unix socket.
pub trait Sockets {
    /// Opens a UDP socket; port 0 is chosen by the host.
    fn udp_bind(&self, pid: Pid, addr: SocketAddr) -> io::Result<(Handle, SocketAddr)>;
    /// Sends a datagram.
    fn udp_send(&self, socket: Handle, to: SocketAddr, data: &[u8]) -> io::Result<()>;
    /// Takes the next datagram; what does not fit is cut off.
    fn udp_poll_recv(
        &self,
        socket: Handle,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>>;
    /// Listens; port 0 is chosen by the host.
    fn tcp_listen(&self, pid: Pid, addr: SocketAddr) -> io::Result<(Handle, SocketAddr)>;
    /// Takes the next connection.
    fn tcp_poll_accept(
        &self,
        listener: Handle,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Handle, Ends)>>;
    /// Starts to connect, from a given address of the host or from the one its routes choose.
    fn tcp_connect(&self, pid: Pid, from: Option<IpAddr>, to: SocketAddr) -> io::Result<Handle>;
    /// Waits until the connection stands or has failed.
    fn tcp_poll_connected(&self, stream: Handle, cx: &mut Context<'_>) -> Poll<io::Result<Ends>>;
    /// Listens at a path of the host.
    fn unix_listen(&self, pid: Pid, path: &str) -> io::Result<Handle>;
    /// Takes the next connection.
    fn unix_poll_accept(&self, listener: Handle, cx: &mut Context<'_>) -> Poll<io::Result<Handle>>;
    /// Connects to the listener at a path of the host.
    fn unix_connect(&self, pid: Pid, path: &str) -> io::Result<Handle>;
    /// Reads what there is; nothing read means the end of the stream.
    fn poll_read(
        &self,
        stream: Handle,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>>;
    /// Writes what there is room for.
    fn poll_write(
        &self,
        stream: Handle,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>>;
    /// Ends the sending direction, behind all that was written.
    fn shutdown(&self, stream: Handle) -> io::Result<()>;
    /// Closes a socket of any kind.
    fn close(&self, socket: Handle);
}

/// Slow requests: block devices and small files.
pub trait Requests {
    /// Starts one.
    fn start(&self, pid: Pid, request: Request) -> Handle;
    /// Waits for its reply.
    fn poll_reply(&self, pending: Handle, cx: &mut Context<'_>) -> Poll<io::Result<Reply>>;
    /// Nobody waits for the reply any more; the request itself may still be carried out.
    fn forget(&self, pending: Handle);
    /// Gives back what a reply handed out: a device or a lock.
    fn release(&self, held: Handle);
    /// Arms a watchdog.
    fn watchdog_arm(&self, pid: Pid, choice: &Choice, timeout: Duration) -> io::Result<Handle>;
    /// Starts its time anew, with another timeout if one is given.
    fn watchdog_pet(&self, watchdog: Handle, timeout: Option<Duration>) -> io::Result<()>;
    /// Ends its guard.
    fn watchdog_disarm(&self, watchdog: Handle) -> io::Result<()>;
}

/// One of the two streams a program writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// The signals that one process may send to its child.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// SIGTERM: ends a process that does not listen for it.
    Term,
    /// SIGKILL.
    Kill,
}

/// Processes, as seen by themselves and by their parents.
pub trait Processes {
    /// The name of the host.
    fn host_name(&self, pid: Pid) -> String;
    /// A text that changes at each boot.
    fn boot_id(&self, pid: Pid) -> String;
    /// The seed of a named random stream of this process.
    fn stream_seed(&self, pid: Pid, name: &str) -> u64;
    /// Starts a program of the table as a child.
    fn spawn(&self, parent: Pid, program: &str, args: Vec<String>, stdin: Bytes)
    -> io::Result<Pid>;
    /// Reads what the child has written; nothing read means that it has ended.
    fn poll_output(
        &self,
        child: Pid,
        stream: Stream,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>>;
    /// Waits for the child's end.
    fn poll_exit(&self, child: Pid, cx: &mut Context<'_>) -> Poll<io::Result<ExitStatus>>;
    /// Sends the child a signal.
    fn signal(&self, child: Pid, signal: Signal);
    /// The parent has dropped its handle: the child dies and its output is forgotten.
    fn disown(&self, child: Pid);
    /// Writes to one's own standard output or error.
    fn poll_print(
        &self,
        pid: Pid,
        stream: Stream,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>>;
    /// One's own standard input, at once.
    fn stdin(&self, pid: Pid) -> Bytes;
    /// From now on SIGTERM is a message and no longer an end.
    fn listen_stop(&self, pid: Pid);
    /// Waits for the next SIGTERM.
    fn poll_stop(&self, pid: Pid, cx: &mut Context<'_>) -> Poll<()>;
    /// The `main` of the process has returned: the process ends.
    fn exited(&self, pid: Pid, code: ExitCode);
    /// A task of the process has panicked: the process ends.
    fn panicked(&self, pid: Pid, message: String);
    /// A task was spawned; madsim keeps a little of each until it is asked to count them.
    fn spawned(&self, pid: Pid);
    /// madsim has killed the node of this process by itself.
    fn died(&self, pid: Pid);
}

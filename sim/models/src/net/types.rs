//! The words of the network model: ids, settings, options, events, errors.

use crate::slab::Key;
use crate::time::{SimTime, Span, SpanRange};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// A host, numbered from 0 in the order of [`super::Net::add_host`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HostId(pub u16);

/// A network (one switch), numbered from 0 in the order of [`super::Net::add_network`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NetworkId(pub u16);

/// A network interface, numbered from 0 over all hosts in the order of [`super::Net::add_nic`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NicId(pub u16);

macro_rules! handle {
    ($name:ident, $what:literal) => {
        #[doc = $what]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub(crate) Key);

        impl $name {
            /// As a number that is never used again, for maps and hashes.
            pub fn to_u64(self) -> u64 {
                u64::from(self.0.generation) << 32 | u64::from(self.0.slot)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
                write!(f, "{}:{}.{}", stringify!($name), self.0.slot, self.0.generation)
            }
        }
    };
}

handle!(ConnId, "One end of a TCP connection. Each end has its own; it dies with its host's boot.");
handle!(ListenerId, "A listening TCP socket.");
handle!(UdpId, "A bound UDP socket.");

/// Behaviour of a network. Change it at any time with [`super::Net::network_mut`].
#[derive(Clone, Debug)]
pub struct NetworkSettings {
    /// Is the switch on? Off, nothing passes.
    pub up: bool,
    /// Time from the sender's NIC to the receiver, drawn for each packet.
    pub latency: SpanRange,
    /// Packets lost, in a million.
    pub loss_ppm: u32,
    /// UDP datagrams that arrive twice, in a million.
    pub duplicate_ppm: u32,
    /// UDP datagrams held back so that later ones overtake them, in a million.
    pub reorder_ppm: u32,
    /// How long a datagram chosen for reordering is held back at most.
    pub reorder_by: Span,
}

impl Default for NetworkSettings {
    fn default() -> NetworkSettings {
        NetworkSettings {
            up: true,
            latency: Span::us(50)..=Span::us(200),
            loss_ppm: 0,
            duplicate_ppm: 0,
            reorder_ppm: 0,
            reorder_by: Span::ms(5),
        }
    }
}

/// Probing of an idle connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keepalive {
    /// Idle time before the first probe (`TCP_KEEPIDLE`).
    pub idle: Span,
    /// Time between probes (`TCP_KEEPINTVL`).
    pub interval: Span,
    /// Unanswered probes after which the connection times out (`TCP_KEEPCNT`).
    pub count: u32,
}

/// Options of a TCP socket; connections accepted from a listener start with the listener's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TcpOptions {
    /// How many bytes may be on their way to this socket without having been consumed: the peer's
    /// sends are refused beyond. (Receive window and the peer's send buffer in one.)
    pub window: u32,
    /// How long sent data may stay unacknowledged before the connection times out
    /// (`TCP_USER_TIMEOUT`; the default is what 15 retransmissions take on Linux).
    pub user_timeout: Span,
    /// Give a connect up after this time; `None` is six SYN retries, 127 s.
    pub connect_timeout: Option<Span>,
    /// Probe the idle connection.
    pub keepalive: Option<Keepalive>,
    /// Data counts as consumed when it is delivered: no need to call
    /// [`super::Net::tcp_consumed`].
    pub auto_consume: bool,
}

impl Default for TcpOptions {
    fn default() -> TcpOptions {
        TcpOptions {
            window: 1 << 20,
            user_timeout: Span::ms(924_600),
            connect_timeout: None,
            keepalive: None,
            auto_consume: false,
        }
    }
}

/// Something the network tells the software of a host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NetEvent<P> {
    /// When.
    pub at: SimTime,
    /// Whom it concerns.
    pub host: HostId,
    /// The `owner` value given with the socket: route by it without a look-up table.
    pub owner: u64,
    /// What.
    pub what: NetWhat<P>,
}

/// Kinds of [`NetEvent`]. After `ConnectFailed`, `Reset` and `TimedOut` the handle is gone: calls
/// with it do nothing, and it needs no close.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NetWhat<P> {
    /// `connect` succeeded.
    Connected {
        /// Our end.
        conn: ConnId,
    },
    /// `connect` failed.
    ConnectFailed {
        /// Our end, now gone.
        conn: ConnId,
        /// Why.
        why: ConnectError,
    },
    /// A connection was accepted; its owner is the listener's until
    /// [`super::Net::tcp_set_owner`].
    Incoming {
        /// The socket that listened.
        listener: ListenerId,
        /// Our end.
        conn: ConnId,
        /// The peer's address.
        from: SocketAddr,
    },
    /// The next item of the peer's stream.
    Data {
        /// Our end.
        conn: ConnId,
        /// What the peer sent.
        payload: P,
        /// Its length as given to the peer's `tcp_send`; hand it to `tcp_consumed`.
        len: u32,
    },
    /// The peer closed its direction; nothing more arrives. Ours stays open.
    Eof {
        /// Our end.
        conn: ConnId,
    },
    /// The peer's kernel answered with a reset.
    Reset {
        /// Our end, now gone.
        conn: ConnId,
    },
    /// Sent data (or keepalive probes) stayed unacknowledged for too long.
    TimedOut {
        /// Our end, now gone.
        conn: ConnId,
    },
    /// A send that was refused for lack of room would be accepted now.
    Writable {
        /// Our end.
        conn: ConnId,
    },
    /// A UDP datagram.
    Datagram {
        /// The socket that received it.
        sock: UdpId,
        /// The sender.
        from: SocketAddr,
        /// The local address it was sent to.
        to: IpAddr,
        /// What was sent.
        payload: P,
        /// Its length.
        len: u32,
    },
}

/// Why a connect failed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ConnectError {
    /// The host is up and nobody listens there.
    Refused,
    /// No answer.
    TimedOut,
}

/// Why a socket could not be made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum BindError {
    /// Another socket of the host has this address and port.
    AddrInUse,
    /// The host has no such address.
    AddrNotAvailable,
    /// The host is off.
    HostDown,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            BindError::AddrInUse => "another socket of the host has this address and port",
            BindError::AddrNotAvailable => "the host has no such address",
            BindError::HostDown => "the host is off",
        })
    }
}

impl std::error::Error for BindError {}

/// Why a send was not accepted; the payload comes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SendError<P> {
    /// The window is full: try again after [`NetWhat::Writable`], which will come.
    Full(P),
    /// Not connected (yet), our direction was closed, or the handle is dead.
    Closed(P),
}

/// What is known of a connection's end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnInfo {
    /// Whose end.
    pub host: HostId,
    /// Our address.
    pub local: SocketAddr,
    /// The peer's address.
    pub remote: SocketAddr,
    /// Has the handshake finished?
    pub established: bool,
    /// Bytes accepted by `tcp_send` that the peer's kernel does not have yet.
    pub queued: u64,
    /// Bytes received that were not consumed.
    pub unconsumed: u64,
}

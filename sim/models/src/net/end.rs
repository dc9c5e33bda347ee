//! One end of a TCP connection: what its kernel knows, and a few things only the model knows.

use super::fabric::AddrIx;
use super::types::{HostId, TcpOptions};
use crate::slab::Key;
use crate::time::{SimTime, Span};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// First retransmission.
pub(super) const RTO_MIN: Span = Span::ms(200);
/// Longest wait between retransmissions.
pub(super) const RTO_MAX: Span = Span::secs(120);
/// How long the kernel goes on for a connection whose socket was closed.
const ORPHAN_TIMEOUT: Span = Span::secs(100);

pub(super) enum Body<P> {
    /// The last packet of the handshake, which is retransmitted like data.
    Hello,
    Data(P),
    Fin,
}

pub(super) struct Item<P> {
    pub(super) body: Body<P>,
    pub(super) len: u32,
    /// When it (last) left the NIC.
    pub(super) departed: SimTime,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// SYN sent.
    Connecting,
    /// SYN received for this listener.
    Embryo(Key),
    Open,
}

/// Something sent was not acknowledged in time.
#[derive(Clone, Copy)]
pub(super) struct Stall {
    /// When the oldest of it left.
    pub(super) since: SimTime,
    /// Wait before the next retransmission.
    pub(super) rto: Span,
    /// Did data get lost (then the rest waits behind its first item), or acknowledgements alone?
    pub(super) data: bool,
}

pub(super) struct End<P> {
    pub(super) host: HostId,
    pub(super) owner: u64,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) src: AddrIx,
    pub(super) dst: AddrIx,
    pub(super) peer: Key,
    /// Boot number of the peer's host when the connection was made.
    pub(super) peer_boot: u32,
    pub(super) phase: Phase,
    pub(super) options: TcpOptions,
    /// Has the software a handle (not closed)?
    pub(super) held: bool,
    /// Nothing is left of it but packets on their way.
    pub(super) ghost: bool,

    // ---- what we send ----
    /// Not yet delivered; the first `flying` are on their way.
    pub(super) queue: VecDeque<Item<P>>,
    pub(super) flying: u32,
    /// Arrivals of an older epoch are void.
    pub(super) epoch: u32,
    /// Retransmission timers and probes with another number are void.
    pub(super) timer: u32,
    pub(super) last_arrival: SimTime,
    pub(super) stall: Option<Stall>,
    /// Was something delivered whose acknowledgement did not come back?
    pub(super) unacked: bool,
    /// Did we close our direction?
    pub(super) fin: bool,
    /// The peer's window.
    pub(super) window: u32,
    /// Bytes sent and not consumed.
    pub(super) in_use: u64,
    /// Bytes of `in_use` in `queue`.
    pub(super) queued: u64,
    /// A send of this length was refused, and `Writable` is owed.
    pub(super) blocked: Option<u32>,
    /// Is the peer's window update on its way?
    pub(super) room_coming: bool,
    /// Is a `Persist` event pending?
    pub(super) persisting: bool,
    /// Since when window probes go unanswered.
    pub(super) probing_since: Option<SimTime>,

    // ---- what we receive ----
    pub(super) unconsumed: u64,
    /// Has the peer closed its direction?
    pub(super) eof: bool,
    pub(super) last_heard: SimTime,
    pub(super) missed_keepalives: u32,
}

impl<P> End<P> {
    /// Does it take data that arrives?
    pub(super) fn receives(&self) -> bool {
        self.held && !self.ghost
    }

    /// When the connection times out if nothing is acknowledged after `since`.
    pub(super) fn deadline(&self, since: SimTime) -> SimTime {
        let limit = self.options.user_timeout;
        since + if self.held { limit } else { limit.min(ORPHAN_TIMEOUT) }
    }

    /// Would an item of this length be taken?
    pub(super) fn fits(&self, len: u32) -> bool {
        self.in_use == 0 || self.in_use + u64::from(len) <= u64::from(self.window)
    }

    /// Is all sent and known to have arrived?
    pub(super) fn is_done(&self) -> bool {
        self.queue.is_empty() && !self.unacked
    }
}

//! TCP as its users call it: listen, connect, send, consume, close.

use super::end::{Body, End, Item, Phase, RTO_MIN};
use super::sockets::Listener;
use super::*;
use crate::slab::Key;
use crate::time::Span;
use std::collections::VecDeque;

impl<P: Clone> Net<P> {
    /// Listens; port 0 takes a free one, an unspecified address takes all. `owner` comes with each
    /// event of the listener and of the connections it accepts.
    pub fn tcp_listen(
        &mut self,
        host: HostId,
        local: SocketAddr,
        options: TcpOptions,
        owner: u64,
    ) -> Result<ListenerId, BindError> {
        let local = self.bindable(host, local, Protocol::Tcp)?;
        let key = self.listeners.insert(Listener { host, local, options, owner });
        self.stacks[host.0 as usize].tcp.add(local, key);
        Ok(ListenerId(key))
    }

    /// The address of a listener, `None` if it is gone.
    pub fn tcp_listener_local(&self, listener: ListenerId) -> Option<SocketAddr> {
        self.listeners.get(listener.0).map(|l| l.local)
    }

    /// Stops listening; accepted connections live on.
    pub fn tcp_unlisten(&mut self, listener: ListenerId) {
        if let Some(gone) = self.listeners.remove(listener.0) {
            self.stacks[gone.host.0 as usize].tcp.remove(listener.0);
        }
    }

    /// Starts to connect. Answered by `Connected` or `ConnectFailed`; until then sends are refused
    /// as closed. `from` chooses the source address (port 0 takes a free one); without it the first
    /// address on the network of `to` is taken.
    pub fn tcp_connect(
        &mut self,
        now: SimTime,
        host: HostId,
        from: Option<SocketAddr>,
        to: SocketAddr,
        options: TcpOptions,
        owner: u64,
    ) -> Result<ConnId, BindError> {
        if !self.fabric.is_up(host) {
            return Err(BindError::HostDown);
        }
        let dst = self.fabric.resolve(host, to.ip());
        let src = match from.filter(|f| !f.ip().is_unspecified()) {
            Some(f) if !self.fabric.is_local(host, f.ip()) => {
                return Err(BindError::AddrNotAvailable);
            }
            Some(f) => self.fabric.resolve(host, f.ip()),
            None => self.fabric.source(host, dst),
        };
        if src == fabric::NOWHERE {
            return Err(BindError::AddrNotAvailable);
        }
        let mut local = SocketAddr::new(self.fabric.ip(src), from.map_or(0, |f| f.port()));
        if local.port() == 0 {
            local = self.stacks[host.0 as usize].tcp.with_port(local);
        }
        let mut end = self.new_end(now, host, (local, src), (to, dst), options, owner);
        end.phase = Phase::Connecting;
        let key = self.ends.insert(end);
        self.send_syn(now, key, 0);
        if let Some(limit) = options.connect_timeout {
            self.queue.push(now + limit, Ev::ConnectLimit { end: key });
        }
        Ok(ConnId(key))
    }

    pub(super) fn new_end(
        &mut self,
        now: SimTime,
        host: HostId,
        (local, src): (SocketAddr, fabric::AddrIx),
        (remote, dst): (SocketAddr, fabric::AddrIx),
        options: TcpOptions,
        owner: u64,
    ) -> End<P> {
        End {
            host,
            owner,
            local,
            remote,
            src,
            dst,
            peer: Key::NONE,
            peer_boot: 0,
            phase: Phase::Open,
            options,
            held: true,
            ghost: false,
            queue: VecDeque::new(),
            flying: 0,
            epoch: self.next_epoch(),
            last_arrival: now,
            timer: 0,
            stall: None,
            unacked: false,
            fin: false,
            window: options.window,
            in_use: 0,
            queued: 0,
            blocked: None,
            room_coming: false,
            persisting: false,
            probing_since: None,
            unconsumed: 0,
            eof: false,
            last_heard: now,
            missed_keepalives: 0,
        }
    }

    fn held(&mut self, conn: ConnId) -> Option<&mut End<P>> {
        self.ends.get_mut(conn.0).filter(|e| e.held)
    }

    /// Sends one item of `len` bytes.
    pub fn tcp_send(
        &mut self,
        now: SimTime,
        conn: ConnId,
        payload: P,
        len: u32,
    ) -> Result<(), SendError<P>> {
        let Some(end) = self.held(conn).filter(|e| e.phase == Phase::Open && !e.fin) else {
            return Err(SendError::Closed(payload));
        };
        if end.blocked.is_some() {
            return Err(SendError::Full(payload));
        }
        if !end.fits(len) {
            end.blocked = Some(len);
            if !std::mem::replace(&mut end.persisting, true) {
                self.queue.push(now + RTO_MIN, Ev::Persist { end: conn.0, tries: 0 });
            }
            return Err(SendError::Full(payload));
        }
        end.in_use += u64::from(len);
        end.queued += u64::from(len);
        self.enqueue(now, conn.0, Body::Data(payload), len);
        Ok(())
    }

    /// Puts an item behind the others; it leaves at once when they have left.
    pub(super) fn enqueue(&mut self, now: SimTime, key: Key, body: Body<P>, len: u32) {
        let Some(end) = self.ends.get_mut(key) else { return };
        let waits = end.flying as usize != end.queue.len() || end.stall.is_some_and(|s| s.data);
        end.queue.push_back(Item { body, len, departed: now });
        if !waits {
            self.transmit_next(now, key);
        }
    }

    /// How many bytes `tcp_send` would take now (an item larger than the window passes when
    /// nothing is on its way).
    pub fn tcp_room(&self, conn: ConnId) -> u32 {
        match self.ends.get(conn.0) {
            Some(e) if e.held && e.phase == Phase::Open && !e.fin && e.blocked.is_none() => {
                u64::from(e.window).saturating_sub(e.in_use) as u32
            }
            _ => 0,
        }
    }

    /// The application has taken `len` received bytes: gives the peer room.
    pub fn tcp_consumed(&mut self, now: SimTime, conn: ConnId, len: u32) {
        let Some(end) = self.held(conn) else { return };
        let taken = end.unconsumed.min(u64::from(len));
        end.unconsumed -= taken;
        let peer = end.peer;
        self.credit(now, peer, taken);
    }

    /// Gives a sender room for `bytes`. If it waits for that, it hears of it a packet later.
    pub(super) fn credit(&mut self, now: SimTime, sender: Key, bytes: u64) {
        let Some(end) = self.ends.get_mut(sender) else { return };
        end.in_use -= bytes;
        let Some(wanted) = end.blocked else { return };
        if end.fits(wanted) && !end.room_coming {
            end.room_coming = true;
            let (src, dst) = (end.src, end.dst);
            let arrives = self.fabric.carry(now, dst, src, 0).arrives;
            self.queue.push(arrives, Ev::Room { end: sender });
        }
    }

    /// Half close: the peer reads `Eof` after what was sent.
    pub fn tcp_shutdown(&mut self, now: SimTime, conn: ConnId) {
        if let Some(end) = self.held(conn).filter(|e| e.phase == Phase::Open && !e.fin) {
            end.fin = true;
            end.blocked = None;
            self.enqueue(now, conn.0, Body::Fin, 0);
        }
    }

    /// Full close, as `close(2)` and the death of a process do it: queued data and a FIN are still
    /// sent; with received data unconsumed, a reset instead.
    pub fn tcp_close(&mut self, now: SimTime, conn: ConnId) {
        let Some(end) = self.held(conn) else { return };
        if end.phase != Phase::Open || (end.unconsumed > 0 && !end.options.auto_consume) {
            return self.tcp_abort(now, conn);
        }
        self.tcp_shutdown(now, conn);
        let Some(end) = self.ends.get_mut(conn.0) else { return };
        end.held = false;
        if end.is_done() {
            self.ends.remove(conn.0);
        }
    }

    /// Closes with a reset (`SO_LINGER` 0): queued data is dropped, what is on its way arrives.
    pub fn tcp_abort(&mut self, now: SimTime, conn: ConnId) {
        let Some(end) = self.held(conn) else { return };
        let (src, dst, peer, after) = (end.src, end.dst, end.peer, end.last_arrival);
        self.make_ghost(SimTime::FAR, conn.0);
        if peer != Key::NONE {
            let arrives = self.fabric.carry(now, src, dst, 0).arrives.max(after);
            self.queue.push(arrives, Ev::Reset { end: peer });
        }
    }

    /// Leaves of an end no more than the packets that left before `cutoff`.
    pub(super) fn make_ghost(&mut self, cutoff: SimTime, key: Key) {
        let Some(end) = self.ends.get_mut(key) else { return };
        end.held = false;
        end.ghost = true;
        end.blocked = None;
        let left = end.queue.iter().take(end.flying as usize).take_while(|i| i.departed <= cutoff);
        end.flying = left.count() as u32;
        end.queue.truncate(end.flying as usize);
        if end.queue.is_empty() {
            self.ends.remove(key);
        }
    }

    /// Events of this end carry another owner from now on.
    pub fn tcp_set_owner(&mut self, conn: ConnId, owner: u64) {
        if let Some(end) = self.held(conn) {
            end.owner = owner;
        }
    }

    /// Changes options of a live connection (window, timeouts, keepalive).
    pub fn tcp_set_options(&mut self, now: SimTime, conn: ConnId, options: TcpOptions) {
        let Some(end) = self.held(conn) else { return };
        let starts = end.options.keepalive.is_none() && end.phase == Phase::Open;
        end.options = options;
        let peer = end.peer;
        if starts {
            self.start_keepalive(now, conn.0);
        }
        if let Some(sender) = self.ends.get_mut(peer) {
            sender.window = options.window;
            self.credit(now, peer, 0);
        }
    }

    pub(super) fn start_keepalive(&mut self, now: SimTime, key: Key) {
        let idle = self.ends.get(key).and_then(|e| e.options.keepalive).map(|k| k.idle);
        if let Some(idle) = idle {
            self.queue.push(now + idle.max(Span::ms(1)), Ev::Keepalive { end: key });
        }
    }

    /// How many TCP ends the model remembers, closed ones that still have something to send
    /// included: to find leaks.
    pub fn tcp_ends(&self) -> usize {
        self.ends.len()
    }

    /// What is known of an end, `None` if it is gone.
    pub fn tcp_info(&self, conn: ConnId) -> Option<ConnInfo> {
        self.ends.get(conn.0).filter(|e| e.held).map(|e| ConnInfo {
            host: e.host,
            local: e.local,
            remote: e.remote,
            established: e.phase == Phase::Open,
            queued: e.queued,
            unconsumed: if e.options.auto_consume { 0 } else { e.unconsumed },
        })
    }
}

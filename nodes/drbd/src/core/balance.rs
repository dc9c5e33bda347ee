//! Which copy a read goes to: `read-balancing`, `allow-remote-read`.

use super::Resource;
use super::config::ReadBalancing;
use super::event::Lower;
use super::parts::{Conn, Local, LowerUse};
use super::points::reach;
use crate::ids::{Blocks, NodeId, NodeMask, VolumeNumber};
use crate::packet::{BlockId, Packet};
use crate::state::DiskState;

impl Resource {
    /// Is this peer a source of good data?
    pub(super) fn serves(&self, conn: &Conn, v: usize) -> bool {
        let good = conn.volumes[v].disk == DiskState::UpToDate;
        conn.connected() && good && self.config.allow_remote_read
    }

    /// Reads from the copy that is to be read, or the next that can.
    pub(super) fn read(&mut self, key: usize, at: Blocks) {
        let v = self.reqs[key].volume;
        let tried = self.reqs[key].done;
        let local = self.devices[v].disk == DiskState::UpToDate && !tried.has(self.me());
        let able = |conn: &Conn| self.serves(conn, v) && !tried.has(conn.node);
        let remote = self.conns.iter().filter(|conn| able(conn));
        let remote = remote.min_by_key(|conn| match self.config.read_balancing {
            ReadBalancing::LeastPending => self.pending_reads(v, conn.node),
            _ => 0,
        });
        let remote = remote.map(|conn| conn.node);
        match (local, remote) {
            (true, Some(node)) if !self.prefers_local(v, at, node) => {
                reach!(self, ReadBalanced);
                self.read_from(key, at, node);
            }
            (true, _) => {
                self.reqs[key].local = Local::Pending;
                self.lower(v, Lower::Read(at), LowerUse::App(key));
            }
            (false, Some(node)) => self.read_from(key, at, node),
            (false, None) => self.put_back(key),
        }
    }

    fn read_from(&mut self, key: usize, at: Blocks, node: NodeId) {
        reach!(self, RequestReadRemote);
        self.reqs[key].local = Local::None;
        self.reqs[key].pending = node.mask();
        let (volume, id) = (VolumeNumber(self.reqs[key].volume as u16), BlockId(key as u64));
        self.on_conn(node, |r, c| r.send(c, Packet::DataRequest { volume, at, id }));
    }

    /// Is the own copy read, although a peer could be?
    fn prefers_local(&mut self, v: usize, at: Blocks, node: NodeId) -> bool {
        match self.config.read_balancing {
            // Whether a lower device is congested nobody tells.
            ReadBalancing::PreferLocal | ReadBalancing::WhenCongestedRemote => true,
            ReadBalancing::PreferRemote => false,
            ReadBalancing::RoundRobin => {
                let device = &mut self.devices[v];
                device.read_turn = !device.read_turn;
                device.read_turn
            }
            ReadBalancing::LeastPending => self.local_reads(v) <= self.pending_reads(v, node),
            ReadBalancing::Striping(kib) => {
                (at.start * (Blocks::BYTES / 1024) / u64::from(kib)).is_multiple_of(2)
            }
        }
    }

    fn local_reads(&self, v: usize) -> usize {
        let pending =
            |req: &super::parts::AppRequest| req.volume == v && req.local == Local::Pending;
        self.reqs.iter().filter(|(_, req)| pending(req)).count()
    }

    /// Requests of the application that a peer has not answered.
    fn pending_reads(&self, v: usize, node: NodeId) -> usize {
        self.reqs.iter().filter(|(_, req)| req.volume == v && req.pending.has(node)).count()
    }

    /// A read failed at a node, or the connection is gone: try the next.
    pub(super) fn retry_read(&mut self, key: usize, node: NodeId, failed: bool) {
        let Some(at) = self.reqs[key].at else { return };
        reach!(self, RequestReadRetried);
        self.reqs[key].pending = NodeMask::NONE;
        self.reqs[key].local = Local::None;
        if failed {
            self.reqs[key].done.insert(node);
        }
        self.read(key, at);
    }
}

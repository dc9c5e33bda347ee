//! Peers that are added to a resource which runs: `new-peer`.

use super::Resource;
use super::attach::assign_slots;
use super::config::PeerConfig;
use super::event::{Action, CommandId, Refusal};
use super::parts::Conn;

impl Resource {
    /// A peer more, StandAlone. If it has a disk, each volume of this node that is attached has a
    /// bitmap slot for it from now on, and it has a vote.
    pub(super) fn new_peer(&mut self, id: CommandId, peer: PeerConfig) {
        let result = match self.new_peer_refusal(&peer) {
            Some(refusal) => Err(refusal),
            None => {
                self.add_peer(peer);
                Ok(())
            }
        };
        self.out.push(Action::Reply(id, result));
    }

    fn new_peer_refusal(&self, peer: &PeerConfig) -> Option<Refusal> {
        if peer.node == self.me() {
            return Some(Refusal::InvalidPeerNodeId);
        }
        let taken = |v: usize| self.devices[v].md.peers.iter().filter(|p| p.bitmap_index.is_some());
        let full = (0..self.devices.len()).any(|v| {
            let device = &self.devices[v];
            let known = device.md.peer(peer.node).bitmap_index.is_some();
            device.has_disk() && !known && taken(v).count() >= usize::from(self.config.max_peers)
        });
        (self.conn_of(peer.node).is_some() || (peer.diskful && full))
            .then_some(Refusal::InvalidRequest)
    }

    fn add_peer(&mut self, peer: PeerConfig) {
        self.by_node[peer.node.index()] = Some(self.conns.len() as u8);
        self.conns.push(Conn::new(&peer, self.devices.len()));
        self.config.peers.push(peer);
        for v in 0..self.devices.len() {
            if self.devices[v].has_disk() {
                assign_slots(&self.config, &mut self.devices[v].md);
                self.touch_md(v);
            }
        }
        self.changed = true;
    }
}

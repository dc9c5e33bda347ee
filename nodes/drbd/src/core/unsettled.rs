//! What nodes without a disk are told of two copies of one generation that differ: before the two
//! have compared, nobody is to take them for the same and read from either.

use super::Resource;
use super::points::reach;
use crate::ids::{NodeId, NodeMask, Uuid};

impl Resource {
    /// Copies of this one's generation that are away, and that it has bits for.
    fn unsettled(&self, v: usize) -> NodeMask {
        let device = &self.devices[v];
        let away = |node: NodeId| self.conn_of(node).is_none_or(|c| !self.conns[c].connected());
        let listed = self.uuids_listed(v).into_iter().filter(|(_, uuid)| uuid.is_none());
        let differ = listed.filter(|(node, _)| away(*node) && device.weight(*node) > 0);
        differ.fold(NodeMask::NONE, |mask, (node, _)| mask.with(node))
    }

    /// Slots as a peer without a disk is told of them. A copy that this one has yet to compare with
    /// is not listed, which means unknown.
    pub(super) fn slots_settled(&self, v: usize) -> Vec<(NodeId, Uuid)> {
        let mut slots = self.uuids_listed(v);
        let unsettled = self.unsettled(v);
        slots.retain(|(node, _)| !unsettled.has(*node));
        slots
    }

    /// The peer is being told.
    pub(super) fn note_unsettled(&mut self, c: usize, v: usize) {
        self.conns[c].volumes[v].unsettled = match self.conns[c].config.diskful {
            true => NodeMask::NONE,
            false => self.unsettled(v),
        };
    }

    /// Nodes without a disk may have been told that this copy and another have yet to compare.
    pub(super) fn tell_clients(&mut self, v: usize) {
        for c in 0..self.conns.len() {
            if !self.conns[c].config.diskful {
                self.tell_uuids_to(c, v);
            }
        }
    }

    /// A copy that was lost may lack what this one was just writing, or got from a Primary that
    /// was lost, too: whoever was told that the two are the same hears of it. (That they have
    /// compared is told where that is known: being connected again says nothing.)
    pub(super) fn tell_unsettled(&mut self) {
        for v in 0..self.devices.len() {
            let unsettled = match self.devices[v].has_disk() {
                true => self.unsettled(v),
                false => NodeMask::NONE,
            };
            for c in 0..self.conns.len() {
                let conn = &self.conns[c];
                let news = unsettled.0 & !conn.volumes[v].unsettled.0 != 0;
                if news && !conn.config.diskful && conn.connected() {
                    reach!(self, PeerUnsettled);
                    self.tell_uuids_to(c, v);
                }
            }
        }
    }
}

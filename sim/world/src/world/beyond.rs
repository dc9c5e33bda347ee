//! Plans beyond the budget: from when on what can no longer be owed. See [`crate::budget`] for the
//! rules; none of them bends a promise in a run within it.

use super::World;
use drbd::state::DiskState;
use scenarios::Do;

impl World {
    /// A fault is about to strike: which resources does it push past saving?
    pub(super) fn weigh(&mut self, action: &Do) {
        if !self.safety_only {
            return;
        }
        let struck: Vec<bool> =
            (0..self.resources.len()).map(|at| self.strikes_another(action, at)).collect();
        for (resource, struck) in self.resources.iter_mut().zip(struck) {
            resource.past_saving |= struck;
        }
    }

    /// Does a fault strike a member of a resource while the copy of another is not whole?
    fn strikes_another(&self, action: &Do, at: usize) -> bool {
        let resource = &self.resources[at];
        let node_of =
            |host: &str| resource.nodes.iter().find(|n| self.hosts[n.host].name() == host);
        let copy_of = |host: &str| node_of(host).filter(|node| node.diskful);
        let member = match action {
            Do::PowerOff { host } | Do::Crash { host } | Do::Shutdown { host, .. } => node_of(host),
            Do::Freeze { host } | Do::Isolate { host, .. } => node_of(host),
            Do::DiskError { host, resource: of, .. } | Do::BitRot { host, resource: of, .. } => {
                copy_of(host).filter(|_| *of == resource.name)
            }
            Do::DiskLies { host } => copy_of(host),
            // Between members, whoever has the copy: what the other one remembers is cut off.
            Do::Cut { from, to, .. } => {
                return node_of(from).and(node_of(to)).is_some() && resource.is_unwhole_but(None);
            }
            Do::SwitchOff { .. } => return resource.is_unwhole_but(None),
            Do::Loss { network, ppm } => {
                let calm = self.networks.calm[self.network_named(network)].loss_ppm;
                return *ppm > calm && resource.is_unwhole_but(None);
            }
            _ => return false,
        };
        member.is_some_and(|node| resource.is_unwhole_but(Some(node.host)))
    }

    /// The power of a host goes: a disk that lied forgets what it had sworn.
    pub(super) fn loses_power(&mut self, host: usize) {
        if !self.safety_only || !self.hosts[host].disk().is_lying() {
            return;
        }
        for (at, node) in self.slots[host].clone() {
            let resource = &mut self.resources[at];
            if resource.nodes[node].diskful {
                (resource.past_saving, resource.forgot) = (true, true);
            }
        }
    }

    /// A copy that was broken is whole again once it is UpToDate on a good disk.
    pub(super) fn may_be_whole(&mut self, at: usize, node: usize) {
        let node = &mut self.resources[at].nodes[node];
        let whole = node.view.disk.iter().all(|disk| *disk == DiskState::UpToDate);
        node.unwhole &= node.is_broken || !whole;
        node.asked_outdate &= !whole;
        node.asked_invalid &= !whole;
    }
}

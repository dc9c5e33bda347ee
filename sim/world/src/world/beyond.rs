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
        let struck = |host: &str| self.hosts.iter().position(|h| h.name() == host);
        // `None`: whoever is there.
        let host = match action {
            Do::PowerOff { host } | Do::Crash { host } | Do::Shutdown { host, .. } => struck(host),
            Do::Freeze { host } | Do::Isolate { host, .. } => struck(host),
            Do::DiskError { host, .. } | Do::DiskLies { host } | Do::BitRot { host, .. } => {
                struck(host)
            }
            Do::Cut { .. } | Do::SwitchOff { .. } | Do::Loss { .. } => None,
            _ => return,
        };
        for resource in &mut self.resources {
            let other = |n: &&super::resource::Node| n.unwhole && Some(n.host) != host;
            resource.past_saving |= resource.nodes.iter().any(|n| other(&n));
        }
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
    }
}

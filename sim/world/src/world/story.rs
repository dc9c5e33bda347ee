//! The story of a failure: the lines that led there, the deciding one, the table of hosts.

use super::World;
use crate::log::{Entry, Names, What};
use crate::outcome::{HostRow, LogLine};
use drbd::core::event::Notice;
use drbd::ids::{NodeId, VolumeNumber};
use drbd::state::DiskState;

/// Lines of a story.
const LINES: usize = 60;

impl Names for World {
    fn host(&self, index: u16) -> &str {
        self.hosts.get(usize::from(index)).map_or("?", |h| h.name())
    }
    fn resource(&self, index: u16) -> &str {
        self.resources.get(usize::from(index)).map_or("?", |r| &r.name)
    }
    fn vm(&self, index: u16) -> &str {
        self.vms.get(usize::from(index)).map_or("?", |vm| &vm.name)
    }
    fn node(&self, resource: u16, node: NodeId) -> &str {
        let resource = self.resources.get(usize::from(resource));
        let node = resource.and_then(|r| r.nodes.get(node.index()));
        node.map_or("?", |n| self.hosts[n.host].name())
    }
}

/// Does the entry say something about this resource, or about everything?
fn concerns(entry: &Entry, wanted: Option<usize>) -> bool {
    match (&entry.what, wanted) {
        (What::Notice { resource, .. } | What::Refused { resource, .. }, Some(wanted)) => {
            usize::from(*resource) == wanted
        }
        _ => true,
    }
}

/// Is it a decision of an engine that may have done the damage?
fn decides(entry: &Entry) -> bool {
    match &entry.what {
        What::Notice { notice: Notice::Handshake(_, _, _, verdict), .. } => *verdict != "none",
        What::Notice { notice: Notice::NewCurrentUuid(..), .. } => true,
        _ => false,
    }
}

impl World {
    /// The last lines about a resource, and which of them decided.
    pub(super) fn story(&self, resource: Option<usize>) -> (Vec<LogLine>, Option<usize>) {
        let entries = self.log.last(LINES, |entry| concerns(entry, resource));
        let decision = entries
            .iter()
            .rposition(|e| decides(e))
            .or_else(|| entries.iter().rposition(|e| matches!(e.what, What::Plan(_))));
        (entries.iter().map(|e| e.line(self)).collect(), decision)
    }

    /// A row for each host and resource.
    pub(super) fn host_rows(&self) -> Vec<HostRow> {
        let mut rows = Vec::new();
        for (at, resource) in self.resources.iter().enumerate() {
            for node in 0..resource.nodes.len() {
                rows.push(self.host_row(at, node));
            }
        }
        rows
    }

    fn host_row(&self, at: usize, node: usize) -> HostRow {
        let resource = &self.resources[at];
        let place = &resource.nodes[node];
        let host = &self.hosts[place.host];
        let mut row = HostRow {
            host: host.name().to_owned(),
            resource: resource.name.clone(),
            role: "off".to_owned(),
            disk: "–".to_owned(),
            quorum: "–".to_owned(),
            peers: "–".to_owned(),
            out_of_sync: "–".to_owned(),
        };
        let Some(engine) = host.engine(place.slot) else { return row };
        row.role = engine.role().to_string();
        if host.is_frozen() {
            row.role += " (frozen)";
        }
        if engine.is_suspended() {
            row.role += " (suspended)";
        }
        let volumes: Vec<_> =
            (0..resource.volumes).filter_map(|v| engine.volume(VolumeNumber(v as u16))).collect();
        let worst = volumes.iter().map(|v| v.disk).min().unwrap_or(DiskState::Diskless);
        row.disk = worst.to_string();
        let quorum = volumes.iter().all(|v| v.quorum);
        row.quorum = if quorum { "yes" } else { "no" }.to_owned();
        let mut peers = Vec::new();
        let mut bits = Vec::new();
        for peer in (0..resource.nodes.len()).filter(|peer| *peer != node) {
            let id = crate::world::resource::Resource::id(peer);
            let name = self.hosts[resource.nodes[peer].host].name();
            let repl = volumes.iter().flat_map(|v| &v.peers).find(|p| p.node == id);
            let state = match repl {
                Some(p) if p.repl != drbd::state::ReplState::Off => p.repl.to_string(),
                _ => engine.peer(id).0.to_string(),
            };
            peers.push(format!("{name} {}", state.get(..4).unwrap_or(&state)));
            let set: u64 = volumes
                .iter()
                .flat_map(|v| &v.peers)
                .filter(|p| p.node == id)
                .map(|p| p.out_of_sync)
                .sum();
            bits.push(set.to_string());
        }
        row.peers = peers.join(" · ");
        row.out_of_sync = bits.join(" ");
        row
    }
}

//! A resource as the world sees it: where its nodes live, what they said of themselves, and what
//! they owe.

use super::vigil::Vigil;
use crate::check::quorum_is_exclusive::Exclusive;
use crate::ledger::Ledger;
use drbd::ids::{NodeId, NodeMask, VolumeNumber};
use drbd::state::{ConnState, DiskState, ReplState, Role};
use kernel::Administered;

/// One node of a resource; its node id is its index.
#[derive(Debug)]
pub struct Node {
    /// Index of its host.
    pub host: usize,
    /// Index of the resource on that host.
    pub slot: usize,
    /// It should have a disk.
    pub diskful: bool,
    /// What its engine last said.
    pub view: View,
    /// The plan, or a full thin pool, broke its disk at some time.
    pub was_broken: bool,
    /// An administrator made its metadata anew, and it has not been UpToDate since.
    pub made_anew: bool,
    /// It lies in a thin pool, which fails its copies by design once it is full.
    pub may_fail: bool,
    /// The plan is breaking its disk now.
    pub is_broken: bool,
    /// It broke its disk, and it has not been UpToDate on a good disk since.
    pub unwhole: bool,
    /// Peers that an administrator had it leave; all, while it is taken down.
    pub asked_alone: NodeMask,
    /// An administrator took it down.
    pub asked_down: bool,
    /// An administrator detached its disk.
    pub asked_detach: bool,
    /// An administrator outdated its disk, and it has not been UpToDate since.
    pub asked_outdate: bool,
    /// An administrator invalidated its disk, and it has not been UpToDate since.
    pub asked_invalid: bool,
    /// Towards these peers, an administrator connects it with `--discard-my-data`.
    pub asked_discard: NodeMask,
    /// And did not wait for its I/O: it is Failed before it is Diskless.
    pub asked_failure: bool,
    /// What an administrator asked for and its engine has not answered.
    pub underway: Vec<Administered>,
}

impl Node {
    /// Is it StandAlone towards a peer that an administrator had it leave?
    pub fn left_a_peer(&self) -> bool {
        let alone = |peer: NodeId| self.view.conn.get(peer.index()) == Some(&ConnState::StandAlone);
        self.view.role != Role::Unknown && self.asked_alone.iter().any(alone)
    }

    /// Is it, or will it be, StandAlone towards this peer on purpose?
    pub fn may_leave(&self, peer: NodeId) -> bool {
        let leaves = [Administered::Down, Administered::Disconnect(peer)];
        self.asked_alone.has(peer) || self.underway.iter().any(|deed| leaves.contains(deed))
    }

    /// May its disk be Failed on purpose?
    pub fn may_drop_its_disk(&self) -> bool {
        self.asked_failure || self.underway.contains(&Administered::Detach { force: true })
    }

    /// Has it no disk because an administrator detached it?
    pub fn is_bare(&self) -> bool {
        self.asked_detach && self.view.disk.contains(&DiskState::Diskless)
    }

    /// Its host attaches its disks and connects it to the peers that it left: none of that is on
    /// purpose any more.
    pub fn is_adjusted(&mut self) {
        let alone = |peer: NodeId| self.view.conn.get(peer.index()) == Some(&ConnState::StandAlone);
        let (back, asked) = (self.asked_alone.iter().filter(|p| alone(*p)), self.asked_alone);
        self.asked_alone = back.fold(asked, |asked, peer| asked.without(peer));
        (self.asked_detach, self.asked_failure) = (false, false);
    }

    /// Its kernel is gone, and with it what an administrator had changed.
    pub fn forgets(&mut self) {
        self.asked_alone = NodeMask::NONE;
        self.underway.clear();
        (self.asked_down, self.asked_detach, self.asked_failure) = (false, false, false);
    }

    /// What its disk says now.
    pub fn disk_is(&mut self, volume: usize, disk: DiskState) {
        use DiskState::{Attaching, Detaching, Diskless, Failed};
        let was = std::mem::replace(&mut self.view.disk[volume], disk);
        self.made_anew &= self.view.disk.iter().any(|disk| *disk != DiskState::UpToDate);
        let away = |disk: &DiskState| matches!(disk, Diskless | Detaching | Failed);
        if matches!(was, Diskless | Attaching) && !self.view.disk.iter().any(away) {
            (self.asked_detach, self.asked_failure) = (false, false);
        }
    }
}

/// What an engine said, notice by notice.
#[derive(Clone, Debug)]
pub struct View {
    /// Own role; Unknown without an engine.
    pub role: Role,
    /// Own disk, by volume.
    pub disk: Vec<DiskState>,
    /// Own quorum, by volume.
    pub quorum: Vec<bool>,
    /// Connection, by node id.
    pub conn: Vec<ConnState>,
    /// Both sockets are up and the engine has not given them up, by node id.
    pub linked: Vec<bool>,
    /// Replication, by node id and volume.
    pub repl: Vec<Vec<ReplState>>,
    /// The last handshake threw this node's data away for a reason that an administrator gave: a
    /// policy for split brain, or `--discard-my-data`; by node id and volume.
    pub thrown: Vec<Vec<bool>>,
    /// When the last resync into this node began, until it is done, by node id and volume.
    pub target_since: Vec<Vec<Option<u64>>>,
}

impl View {
    /// Nothing said yet.
    pub fn new(nodes: usize, volumes: usize) -> View {
        View {
            role: Role::Unknown,
            disk: vec![DiskState::Diskless; volumes],
            quorum: vec![false; volumes],
            conn: vec![ConnState::StandAlone; nodes],
            linked: vec![false; nodes],
            repl: vec![vec![ReplState::Off; volumes]; nodes],
            thrown: vec![vec![false; volumes]; nodes],
            target_since: vec![vec![None; volumes]; nodes],
        }
    }
}

/// One resource.
pub struct Resource {
    /// Its name.
    pub name: String,
    /// How many volumes.
    pub volumes: usize,
    /// Blocks of each volume, as it was made.
    pub blocks: u64,
    /// Blocks of each volume that applications have seen.
    pub sizes: Vec<u64>,
    /// Quorum is asked for.
    pub quorum: bool,
    /// `rr-conflict retry-connect`.
    pub retries: bool,
    /// By node id.
    pub nodes: Vec<Node>,
    /// By volume.
    pub ledgers: Vec<Ledger>,
    /// Nanoseconds in which an idle connection notices that its peer is gone.
    pub notice: u64,
    /// Who acted as Primary when.
    pub exclusive: Exclusive,
    /// A role or connection changed since the last look.
    pub roles_changed: bool,
    /// Beyond the budget: nothing is owed of its data any more, see [`crate::budget`].
    pub past_saving: bool,
    /// Beyond the budget: metadata may be gone, and with it what votes are counted from.
    pub forgot: bool,
    /// An administrator suspended its I/O.
    pub asked_suspension: bool,
    /// An administrator took other data than the rules would have.
    pub overruled: bool,
    /// Peers without a disk that an administrator had some node forget.
    pub forgotten: NodeMask,
    /// A policy for split brain is set.
    pub settles: bool,
    /// What promises remember of it.
    pub vigil: Vigil,
    /// By volume: a resync ended since copies were last compared, so compare everything.
    pub resynced: Vec<bool>,
}

impl Resource {
    /// Node id `index` as a typed id.
    pub fn id(index: usize) -> NodeId {
        NodeId::new(index as u8).expect("scenarios have at most 32 hosts")
    }

    /// The node on a host.
    pub fn node_on(&self, host: usize) -> Option<usize> {
        self.nodes.iter().position(|n| n.host == host)
    }

    /// Is a copy broken, or not whole since, on another host than this?
    pub fn is_unwhole_but(&self, host: Option<usize>) -> bool {
        self.nodes.iter().any(|n| n.unwhole && Some(n.host) != host)
    }

    /// Nodes that should have a disk.
    pub fn copies(&self) -> NodeMask {
        let mut mask = NodeMask::NONE;
        for (index, node) in self.nodes.iter().enumerate() {
            if node.diskful {
                mask.insert(Self::id(index));
            }
        }
        mask
    }

    /// Nodes whose disk says UpToDate.
    pub fn up_to_date(&self, volume: usize) -> NodeMask {
        let mut mask = NodeMask::NONE;
        for (index, node) in self.nodes.iter().enumerate() {
            if node.view.disk[volume] == DiskState::UpToDate {
                mask.insert(Self::id(index));
            }
        }
        mask
    }

    /// Do both ends say Connected?
    pub fn connected(&self, a: usize, b: usize) -> bool {
        let says = |a: usize, b: usize| self.nodes[a].view.conn[b] == ConnState::Connected;
        says(a, b) && says(b, a)
    }

    /// Has this node given up a connection?
    pub fn stands_alone(&self, node: usize) -> bool {
        let view = &self.nodes[node].view;
        let gave_up = |peer: usize| peer != node && view.conn[peer] == ConnState::StandAlone;
        view.role != Role::Unknown && (0..self.nodes.len()).any(gave_up)
    }

    /// Does every connection that this node believes in exist at the other end too?
    pub fn knows_its_place(&self, node: usize) -> bool {
        let believed = |peer: &usize| self.nodes[node].view.conn[*peer] == ConnState::Connected;
        (0..self.nodes.len()).filter(believed).all(|peer| self.connected(node, peer))
    }

    /// Could this node serve the volume now: UpToDate, with quorum if that is asked for, and not
    /// merely unaware that it was left alone?
    pub fn could_serve(&self, node: usize, volume: usize) -> bool {
        let view = &self.nodes[node].view;
        let quorum = match self.quorum {
            true => view.quorum[volume],
            // Without quorum nothing but a connection tells a copy whether it is the newest.
            false => (0..self.nodes.len()).all(|peer| peer == node || self.connected(node, peer)),
        };
        view.disk[volume] == DiskState::UpToDate && quorum && self.knows_its_place(node)
    }
}

impl Resource {
    /// Nodes that could serve the volume now.
    pub fn serving(&self, volume: usize) -> NodeMask {
        let nodes = (0..self.nodes.len()).filter(|node| self.could_serve(*node, volume));
        nodes.fold(NodeMask::NONE, |mask, node| mask.with(Self::id(node)))
    }
}

/// A volume of a resource, by index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vdi {
    /// Resource.
    pub resource: usize,
    /// Volume.
    pub volume: VolumeNumber,
}

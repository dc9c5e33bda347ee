//! Families of drawn plans: each keeps to the shapes and faults of one folder of scenarios, biased
//! after what the incidents there have in common. Short outages hurt more than long ones, the
//! return of a host is more dangerous than its failure, and a Primary without a disk plus one dead
//! peer is where most is lost.

use models::Luck;

/// What a drawn plan is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Family {
    /// Any shape, any kinds of fault.
    Mixed,
    /// Links, switches, loss, latency.
    Network,
    /// Power, kernels, clean shutdowns; two hosts in a row; the whole pool.
    Power,
    /// Who may write: the tie-breaker, dead peers, isolated Primaries.
    Quorum,
    /// Errors, stalls, lies and rot of one disk.
    Disk,
    /// Generations: Primaries without a disk, quick moves, copies that come back in another order.
    Divergence,
    /// Copies that come back late, and what strikes while they catch up.
    Resync,
    /// More than can be survived: only what may not happen is checked.
    Beyond,
}

use Family::*;

impl Family {
    /// All of them.
    pub const ALL: [Family; 8] = [Mixed, Network, Power, Quorum, Disk, Divergence, Resync, Beyond];

    /// On the command line.
    pub fn name(self) -> &'static str {
        match self {
            Mixed => "mixed",
            Network => "network",
            Power => "power",
            Quorum => "quorum",
            Disk => "disk",
            Divergence => "divergence",
            Resync => "resync",
            Beyond => "beyond",
        }
    }

    /// What its plans are about, in a line.
    pub fn about(self) -> &'static str {
        match self {
            Mixed => "any shape, any kinds of fault",
            Network => "links, switches, loss and latency; flapping; outages of 0.5 s to 2 min",
            Power => "power, kernels, shutdowns; two hosts in a row; the whole pool",
            Quorum => "the tie-breaker, dead peers, isolated Primaries; hosts that come back",
            Disk => "errors, stalls, lies and rot of one host's disk; detached and attached again",
            Divergence => "Primaries without a disk plus a dead peer; quick moves",
            Resync => "copies that come back late, and what strikes while they catch up",
            Beyond => "more than can be survived: only safety is checked",
        }
    }

    /// The name of its plans.
    pub(super) fn plan_name(self) -> String {
        match self {
            Mixed => "drawn".to_owned(),
            _ => format!("drawn-{}", self.name()),
        }
    }

    /// The family of this name.
    pub fn named(name: &str) -> Option<Family> {
        Family::ALL.into_iter().find(|family| family.name() == name)
    }

    /// The family of a seed that nobody has chosen one for; weights in percent.
    pub(super) fn drawn(luck: &mut Luck) -> Family {
        match luck.below(100) {
            0..40 => Mixed,
            40..48 => Network,
            48..58 => Power,
            58..70 => Quorum,
            70..77 => Disk,
            77..86 => Divergence,
            86..96 => Resync,
            _ => Beyond,
        }
    }
}

/// How a family's pools lean. Values in lists are as likely as they are often there.
pub(super) struct Lean {
    /// How many hosts.
    pub hosts: &'static [usize],
    /// How many resources.
    pub resources: &'static [u64],
    /// How many copies, as far as there are hosts.
    pub copies: &'static [usize],
    /// VMs that run where there is no copy, if there is such a place; percent. `None`: by chance.
    pub diskless_vms: Option<u64>,
    /// Resources without quorum, percent.
    pub quorum_off: u64,
    /// Resyncs that take long, percent.
    pub slow_resync: u64,
    /// Volumes with more extents than the activity log has, percent.
    pub large: u64,
}

impl Family {
    pub(super) fn lean(self) -> Lean {
        let any = Lean {
            hosts: &[2, 3, 3, 3, 3, 3, 4, 4, 5],
            resources: &[1, 1, 1, 2, 2, 3, 4],
            copies: &[2, 2, 3],
            diskless_vms: None,
            quorum_off: 12,
            slow_resync: 33,
            large: 12,
        };
        match self {
            Mixed | Network => any,
            Power => Lean { resources: &[1, 1, 2, 3], large: 35, ..any },
            Disk => Lean { resources: &[1, 1, 2], quorum_off: 5, ..any },
            Quorum => Lean {
                hosts: &[3, 3, 3, 4, 4, 5],
                resources: &[1, 1, 2],
                copies: &[2, 2, 2, 3, 4],
                diskless_vms: Some(60),
                quorum_off: 0,
                ..any
            },
            Divergence => Lean {
                hosts: &[3, 3, 4, 4, 5],
                resources: &[1, 1, 1, 2],
                diskless_vms: Some(75),
                quorum_off: 0,
                ..any
            },
            Resync => Lean {
                hosts: &[3, 3, 4, 5],
                resources: &[1, 1, 2],
                copies: &[2, 3, 3],
                diskless_vms: Some(30),
                quorum_off: 0,
                slow_resync: 80,
                ..any
            },
            Beyond => Lean { quorum_off: 0, resources: &[1, 1, 2], ..any },
        }
    }

    /// Kinds of fault that its plans may have.
    pub(super) fn kinds(self) -> &'static [&'static str] {
        const NETWORK: &[&str] =
            &["isolate", "cut", "one-way-cut", "switch", "flap", "weather", "move", "dead-peer"];
        const POWER: &[&str] =
            &["power-off", "crash", "freeze", "shutdown", "in-a-row", "absence", "move"];
        const QUORUM: &[&str] = &[
            "isolate",
            "cut",
            "flap",
            "power-off",
            "shutdown",
            "in-a-row",
            "dead-peer",
            "freeze",
            "move",
            "chain",
        ];
        const DISK: &[&str] = &[
            "disk-error",
            "disk-stall",
            "disk-silent",
            "weather",
            "move",
            "power-off",
            "crash",
            "isolate",
        ];
        const DIVERGENCE: &[&str] = &[
            "dead-peer",
            "hop",
            "in-a-row",
            "cut",
            "one-way-cut",
            "flap",
            "shutdown",
            "crash",
            "chain",
        ];
        const RESYNC: &[&str] = &[
            "absence",
            "in-a-row",
            "isolate",
            "flap",
            "power-off",
            "crash",
            "shutdown",
            "weather",
            "disk-stall",
            "move",
            "chain",
        ];
        match self {
            Mixed | Beyond => super::events::KINDS,
            Network => NETWORK,
            Power => POWER,
            Quorum => QUORUM,
            Disk => DISK,
            Divergence => DIVERGENCE,
            Resync => RESYNC,
        }
    }
}

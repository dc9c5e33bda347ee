//! The verbs of a step.

use super::Shape::*;
use super::Unit::{Duration, Share};
use super::{Key, Part, Shape, may, need};

/// Keys of a verb's object, when it is a table.
pub(crate) struct Verb {
    pub name: &'static str,
    /// What stands behind it, if that is no table.
    pub plain: Option<Shape>,
    /// What it holds as a table.
    pub keys: &'static [Key],
    /// Keys that may stand beside the verb.
    pub beside: &'static [Key],
    pub about: &'static str,
}

const fn host(name: &'static str, about: &'static str) -> Verb {
    Verb { name, plain: Some(Text), keys: &[], beside: &[], about }
}

const fn table(name: &'static str, keys: &'static [Key], about: &'static str) -> Verb {
    Verb { name, plain: None, keys, beside: &[], about }
}

const PAIR: &[Key] = &[
    need("from", Text, "A host."),
    need("to", Text, "Another."),
    may("network", Text, "all", "On this network."),
    may("both", Flag, "false", "In both directions."),
];
const ALONE: &[Key] =
    &[need("host", Text, "The host."), may("network", Text, "all", "On this network.")];
const COPY: &[Key] =
    &[need("host", Text, "The host."), need("resource", Text, "The copy of this.")];

/// All verbs.
pub(crate) const ALL: [Verb; 25] = [
    host("power-off", "The plug is pulled: volatile caches are lost, nobody is told."),
    host("boot", "Power on, boot, bring resources up."),
    host("crash", "The kernel crashes: disks keep their caches; it reboots by itself."),
    Verb {
        name: "shutdown",
        plain: Some(Text),
        keys: &[],
        beside: &[may(
            "order",
            List(&["network", "drbd"]),
            "[\"drbd\", \"network\"]",
            "Which part \
            stops first: with the network first, DRBD sees its peers go and loses quorum.",
        )],
        about: "Clean: VMs stop, resources go down, power off.",
    },
    host("freeze", "The host stands still."),
    host("thaw", "It goes on."),
    table("cut", PAIR, "Packets are lost."),
    table("mend", PAIR, "Undo of `cut`."),
    Verb {
        name: "isolate",
        plain: Some(Text),
        keys: ALONE,
        beside: &[],
        about: "Every link of a host is cut, both ways.",
    },
    Verb {
        name: "rejoin",
        plain: Some(Text),
        keys: ALONE,
        beside: &[],
        about: "Undo of `isolate`.",
    },
    host("switch-off", "The switch of a network is off."),
    host("switch-on", "It is on again."),
    table(
        "loss",
        &[need("network", Text, "The network."), need("share", Quantity(Share), "Lost packets.")],
        "Loss on a network, until it is set anew.",
    ),
    table(
        "latency",
        &[need("network", Text, "The network."), need("latency", Range(Duration), "One way.")],
        "Latency of a network, until it is set anew.",
    ),
    table(
        "disk-error",
        &[
            need("host", Text, "The host."),
            need("resource", Text, "The copy of this."),
            may("read", Flag, "true", "Reads fail."),
            may("write", Flag, "true", "Writes fail."),
        ],
        "The disk below one copy fails from now on.",
    ),
    table("disk-repair", COPY, "It works again, and the copy is attached anew."),
    table(
        "disk-stall",
        &[need("host", Text, "The host."), need("lasts", Quantity(Duration), "How long.")],
        "The disk answers nothing for a while.",
    ),
    table(
        "bit-rot",
        &[
            need("host", Text, "The host."),
            need("resource", Text, "The copy of this."),
            may("blocks", Number, "1", "How many blocks."),
        ],
        "Stored blocks change silently.",
    ),
    host("disk-lies", "Flushes are acknowledged but do nothing."),
    host("disk-honest", "Undo of `disk-lies`; what the cache holds is written."),
    table(
        "fill-conntrack",
        &[
            need("host", Text, "The host."),
            may(
                "share",
                Quantity(Share),
                "100%",
                "Of the moments at which one more place is wanted.",
            ),
            may(
                "flush",
                Flag,
                "false",
                "The table is emptied first: established connections \
                have to get in again.",
            ),
            need("lasts", Quantity(Duration), "How long."),
        ],
        "Connections of others fill the host's table of tracked connections: packets of new ones \
         are dropped. Needs `conntrack-max`.",
    ),
    table(
        "clock-step",
        &[need("host", Text, "The host."), need("by", Signed, "How far: `-5s`.")],
        "A host's wall clock jumps.",
    ),
    table(
        "move-vm",
        &[need("vm", Text, "The VM."), may("to", Text, "nowhere", "Where it starts again.")],
        "A VM is stopped here and started there.",
    ),
    Verb {
        name: "run",
        plain: Some(Text),
        keys: &[],
        beside: &[
            need("on", Text, "The host."),
            may("exit", Exit, "0", "The exit code that it has to have, or \"any\"."),
        ],
        about: "A command on a host, as its shell would run it: `drbdadm`, `drbdsetup`, \
                `lvcreate`. Another exit code ends the run: the scenario is wrong then (exit 2).",
    },
    Verb {
        name: "heal-all",
        plain: Some(True),
        keys: &[],
        beside: &[],
        about: "Everything works again: links, switches, disks, hosts on. Optional steps that \
                still wait for a moment are given up.",
    },
];

/// For the page: the verbs are told by [`ALL`].
pub(crate) const VERBS: Part = Part {
    head: "do = { … }",
    about: "One verb and its object: a host, a network, or a table.",
    keys: &[],
    example: "do = { power-off = \"alpha\" }\n\
              do = { cut = { from = \"alpha\", to = \"bravo\", both = true } }\n\
              do = { shutdown = \"bravo\", order = [\"network\", \"drbd\"] }\n\
              do = { run = \"drbdadm disconnect vol-a\", on = \"bravo\" }\n",
};

/// For the page: how variations are written.
pub(crate) const VARIES: Part = Part {
    head: "[vary]",
    about: "Paths, and the values that a seed draws from: a range, or a list. Seed 0 is the file \
            as it stands. Steps, expectations, VMs and resources are named by `id` or `name`. \
            `--set PATH=VALUE` sets the same paths by hand.",
    keys: &[],
    example: "[vary]\n\"leave.at\"             = \"5s..60s\"\n\
              \"leave.order\"          = [[\"network\", \"drbd\"], [\"drbd\", \"network\"]]\n\
              \"network.storage.loss\" = \"0%..2%\"\n",
};

//! The tables of a scenario file and their keys.

use super::Shape::*;
use super::Unit::{Duration, Rate, Share, Size};
use super::{Key, Part, may, need};
use crate::condition::{
    CONNECTION_STATES, DISK_STATES, EVENT_NAMES, POWER, REPLICATION_STATES, ROLES,
};
use crate::scenario::{PARTS, STORAGES, WORLDS};

/// The file itself.
pub(crate) const ROOT: Part = Part {
    head: "The file",
    about: "TOML. Keys that are not listed are refused, with the nearest one that is known. \
            Quantities have units: `20s 1.5ms 200us`, `64MiB 4KiB`, `10Gbit 50MiB/s`, `2% 200ppm`; \
            ranges are `\"0.1ms..0.5ms\"`. A comment at the top says goal, topology and method.",
    keys: &[
        need("schema", Number, "Version of the format: 1."),
        need("name", Name, "The file's name without its ending: trigger, then twist."),
        may("promise", Texts, "[]", "Promises that it is about. All are checked anyway."),
        may("origin", Texts, "[]", "Threads or commits that it comes from: `LINBIT/drbd#145`."),
        may("worlds", List(&WORLDS), "[\"sim\"]", "Worlds that it is meant for."),
        may(
            "requires",
            List(&PARTS),
            "[]",
            "Parts of the stack that it needs. A world that lacks \
            one reports it as skipped.",
        ),
        need("horizon", Quantity(Duration), "Length of the run."),
        may(
            "heals",
            Flag,
            "true",
            "The plan ends healed: `io-resumes` and `resync-finishes` are \
            demanded.",
        ),
        need("pool", Table(&POOL), "The hosts."),
        may("network", Named(&NETWORK), "storage", "Networks by name; DRBD uses `storage`."),
        may("disk", Table(&DISK), "NVMe", "Every host's disk."),
        may("resource", Tables(&RESOURCE), "none", "DRBD resources."),
        may("vm", Tables(&VM), "none", "Workloads."),
        may("step", Tables(&STEP), "none", "What happens, when."),
        may("expect", Tables(&EXPECT), "none", "What has to be seen, and what must not."),
        may("vary", Vary, "none", "What a fuzzer may change: see below."),
        may("known", Named(&KNOWN), "none", "Failures that are known, by world."),
        may("replay", Table(&REPLAY), "none", "What it was shrunk from."),
    ],
    example: "schema  = 1\nname    = \"primary-isolated\"\nhorizon = \"4m\"\n",
};

const POOL: Part = Part {
    head: "[pool]",
    about: "The hosts. At the start all are up, resources connected, VMs about to start.",
    keys: &[
        need("hosts", Texts, "Their names."),
        may("master", Text, "the first host", "The pool master."),
        may("ha", Table(&HA), "off", "High availability of XAPI."),
        may("boot-time", Range(Duration), "20s..40s", "From power to kernel."),
        may(
            "clock-offset",
            Quantity(Duration),
            "0s",
            "Largest error of a wall clock at the start.",
        ),
        may("clock-drift", Quantity(Share), "0ppm", "Largest drift of a host's clock."),
        may(
            "conntrack-max",
            Number,
            "untracked",
            "Entries of each host's table of tracked connections (`nf_conntrack_max`).",
        ),
        may("drbd-notrack", Flag, "false", "DRBD's ports are not tracked."),
    ],
    example: "[pool]\nhosts = [\"alpha\", \"bravo\", \"charlie\"]\n",
};

const HA: Part = Part {
    head: "ha = { … }",
    about: "High availability of XAPI.",
    keys: &[may("enabled", Flag, "false", "It is on.")],
    example: "ha = { enabled = false }\n",
};

const NETWORK: Part = Part {
    head: "[network.NAME]",
    about: "A NIC on every host and one switch.",
    keys: &[
        may("latency", Range(Duration), "0.1ms..0.5ms", "One way."),
        may("bandwidth", Quantity(Rate), "10Gbit", "Of each NIC."),
        may("loss", Quantity(Share), "0%", "Packets lost."),
        may("duplicate", Quantity(Share), "0%", "Datagrams that arrive twice."),
        may("reorder", Quantity(Share), "0%", "Datagrams that arrive late."),
    ],
    example: "[network.storage]\nlatency   = \"0.1ms..0.5ms\"\nbandwidth = \"10Gbit\"\n",
};

const DISK: Part = Part {
    head: "[disk]",
    about: "Service times of a disk.",
    keys: &[
        may("read", Range(Duration), "80us..120us", "A read."),
        may("write", Range(Duration), "20us..40us", "A write into the cache."),
        may("flush", Range(Duration), "200us..600us", "A flush."),
        may("parallel", Number, "16", "Requests served at once."),
        may("volatile-cache", Flag, "true", "What was not flushed is lost with the power."),
        may(
            "thin-pool",
            Quantity(Size),
            "none",
            "Data of each host's LVM thin pool, a multiple of 4MiB, for resources with \
             `storage = \"thin\"`. Its group has room for all that they promise.",
        ),
    ],
    example: "[disk]\nflush = \"2ms..8ms\"\n",
};

const RESOURCE: Part = Part {
    head: "[[resource]]",
    about: "A DRBD resource. At the start all copies are UpToDate and the same.",
    keys: &[
        need("name", Name, "Its name."),
        need("size", Quantity(Size), "Of each volume, a multiple of 4KiB."),
        may("volumes", Number, "1", "How many volumes."),
        need("diskful", Texts, "Hosts with a copy."),
        may("tiebreaker", Text, "none", "The host without a copy that gives a vote."),
        may("diskless", Texts, "[]", "Further hosts without a copy: clients."),
        may(
            "storage",
            Word(&STORAGES),
            "disk",
            "What its copies lie on: the disk itself, or a thin volume of the host's pool.",
        ),
        may("options", Options, "DRBD's", "DRBD options as in drbd.conf(5), in DRBD's units."),
    ],
    example: "[[resource]]\nname       = \"vol-a\"\nsize       = \"64MiB\"\n\
              diskful    = [\"alpha\", \"bravo\"]\ntiebreaker = \"charlie\"\n\
              options    = { quorum = \"majority\", on-no-quorum = \"suspend-io\" }\n",
};

const VM: Part = Part {
    head: "[[vm]]",
    about: "A workload over one volume. Every block that it writes is remembered.",
    keys: &[
        need("name", Name, "Its name."),
        need("on", Text, "The host that it starts on."),
        need("vdi", Text, "The resource, with `/1` for its second volume."),
        may("io", Table(&IO), "a mix", "What it does."),
    ],
    example: "[[vm]]\nname = \"vm-a\"\non   = \"alpha\"\nvdi  = \"vol-a\"\n\
              io   = { write = 90, read = 5, flush = 5, block = \"4KiB..64KiB\", depth = 8 }\n",
};

const IO: Part = Part {
    head: "io = { … }",
    about: "Weights of requests, and their shape. A weight that is left out is 0 if another is \
            given.",
    keys: &[
        may("read", Number, "25", "Weight of reads."),
        may("write", Number, "70", "Weight of writes."),
        may("flush", Number, "5", "Weight of flushes."),
        may("discard", Number, "0", "Weight of discards."),
        may("block", Range(Size), "4KiB..64KiB", "Size of a request."),
        may("depth", Number, "4", "Requests in flight at most."),
        may("rate", Number, "100", "Requests per second; 0: as many as the depth allows."),
        may("span", Quantity(Size), "0B", "Part of the volume that is touched; 0: all."),
    ],
    example: "io = { write = 90, flush = 10, rate = 200 }\n",
};

const STEP: Part = Part {
    head: "[[step]]",
    about: "One thing that happens: `at` a time, or `after` a step, a condition, or both.",
    keys: &[
        may("id", Name, "none", "For `after`, `--set` and reports."),
        may("at", Quantity(Duration), "see `after`", "Time from the start."),
        may(
            "after",
            StepOrCondition,
            "see `at`",
            "The id of a step, or a condition; with `step = \
            \"…\"` in it, a condition that counts from that step on.",
        ),
        may("wait", Quantity(Duration), "0s", "So long after that."),
        need("do", Do, "What: one verb."),
        may(
            "optional",
            Flag,
            "false",
            "It is no failure if its time never comes. One that waits for its moment when `heal-all` \
             strikes does not strike any more.",
        ),
    ],
    example: "[[step]]\nid    = \"return\"\nafter = { vm = \"vm-a\", acked-writes = 500 }\n\
              wait  = \"5s\"\ndo    = { boot = \"bravo\" }\n",
};

const EXPECT: Part = Part {
    head: "[[expect]]",
    about: "One of `within`, `always`, `never`. `within` counts from the last step, `always` and \
            `never` from the first (or from the moment at which `always` first holds), unless \
            `after` says otherwise.",
    keys: &[
        may("id", Name, "none", "For reports."),
        may(
            "within",
            Quantity(Duration),
            "one of three",
            "`that` holds at least once in this time.",
        ),
        may("that", Table(&CONDITION), "with `within`", "The condition."),
        may(
            "always",
            Table(&CONDITION),
            "one of three",
            "It holds all the time. No event: that is a moment.",
        ),
        may("never", Table(&CONDITION), "one of three", "It does not hold at any time."),
        may("after", Text, "see above", "From when this step has struck."),
        may("until", Text, "the end", "Until this step strikes."),
    ],
    example: "[[expect]]\nwithin = \"2m\"\n\
              that   = { resource = \"vol-a\", disk = { alpha = \"UpToDate\" } }\n\
              \n[[expect]]\nalways = { resource = \"vol-a\", host = \"alpha\", quorum = true }\n",
};

const STATES: &[Key] = &[
    may("resource", Text, "", "With the facts of a resource, or of an event."),
    may("disk", ByHost(&Words(&DISK_STATES)), "", "Disk state; of several volumes, all."),
    may("role", ByHost(&Words(&ROLES)), "", "Role."),
    may("quorum", ByHost(&Flag), "", "It has quorum."),
    may("suspended", ByHost(&Flag), "", "I/O is suspended."),
    may("connection", ByPeer(&Words(&CONNECTION_STATES)), "", "Connection to a peer."),
    may("replication", ByPeer(&Words(&REPLICATION_STATES)), "", "Replication towards a peer."),
    may("peer-disk", ByPeer(&Words(&DISK_STATES)), "", "What is known of a peer's disk."),
    may("out-of-sync", ByPeer(&Quantity(Size)), "", "At most so much is out of sync."),
    may("host", Text, "", "Of facts that are not a table by host."),
    may("peer", Text, "", "Of facts that are not a table by peer."),
    may("vm", Text, "", "With the facts of a VM."),
    may("acked-writes", Number, "", "So many writes were acknowledged since it is watched."),
    may("running", Flag, "", "Its device is open."),
    may("on", Text, "", "It is on this host; the host of a command."),
    may("progress", Quantity(Duration), "", "Its last success is no older."),
    may("errors", Number, "", "At most so many I/O errors since it is watched."),
    may("power", ByHost(&Words(&POWER)), "", "State of a host."),
    may("event", Word(&EVENT_NAMES), "", "A moment: an edge of a state."),
    may("nth", Number, "1", "The how-manieth time."),
    may("run", Text, "", "A command; asked once a second, in `within` only."),
    may("exit", Number, "any", "Its exit code."),
    may("stdout", Text, "anything", "What it prints, a glob over all of it."),
    may("stderr", Text, "anything", "What it complains, a glob over all of it."),
    may("step", Text, "none", "In `after`: count from this step on."),
    may("all", Conditions, "", "Several conditions of which all have to hold."),
];

/// What can be seen.
pub(crate) const CONDITION: Part = Part {
    head: "Conditions",
    about: "A table about one subject: a `resource`, a `vm`, hosts (`power`), an `event`, a \
            command (`run`); `all = [ … ]` joins several. Facts of a resource name a `host` (and a \
            `peer`), or are tables: `disk = { alpha = \"UpToDate\" }`, `connection = { alpha = { \
            bravo = \"Connected\" } }`. A list of words means one of them. Where no kernel runs, \
            or it stands still, no fact of a resource holds.",
    keys: STATES,
    example: "{ resource = \"vol-a\", host = \"alpha\", quorum = true }\n\
              { vm = \"vm-a\", progress = \"15s\" }\n\
              { event = \"new-current-uuid\", host = \"alpha\", nth = 2 }\n\
              { run = \"drbdadm role vol-a\", on = \"alpha\", stdout = \"Primary*\" }\n",
};

const KNOWN: Part = Part {
    head: "[known]",
    about: "By world: on which release, or with which quirk, the scenario fails today, and how. \
            There it must fail, and fail this way. In the simulator it is a quirk: the scenario \
            passes without it, and with it one of the seeds 0 to 15 breaks the promise.",
    keys: &[
        may("version", Text, "none", "The release: `drbd 9.3.3`."),
        may("quirk", Text, "none", "The quirk that puts the bug back, see `--quirk list`."),
        need("breaks", Name, "The promise that it breaks."),
    ],
    example: "[known]\nlab = { version = \"drbd 9.3.3\", breaks = \"uptodate-means-identical\" }\n",
};

const REPLAY: Part = Part {
    head: "[replay]",
    about: "The simulator writes it into a plan that it shrank: the run that failed. `--file` runs \
            such a file with this seed and this quirk, unless `--seed`, `--seeds` or `--quirk` say \
            otherwise.",
    keys: &[
        need("seed", Seed, "The seed under which it fails."),
        may("commit", Text, "unknown", "The commit at which it failed; another one is told."),
        need("breaks", Name, "The promise that it breaks; or `panic`, `limit`, `expectation`."),
        may("quirk", Name, "none", "The quirk that was on."),
    ],
    example: "[replay]\nseed   = \"0x5eed91c4\"\ncommit = \"4f2c1d9\"\n\
              breaks = \"uptodate-means-identical\"\nquirk  = \"equal-uuids-drop-bits\"\n",
};

/// All tables, in the order of the page.
pub(crate) const ALL: [&Part; 15] = [
    &ROOT,
    &POOL,
    &HA,
    &NETWORK,
    &DISK,
    &RESOURCE,
    &VM,
    &IO,
    &STEP,
    &super::verbs::VERBS,
    &CONDITION,
    &EXPECT,
    &super::verbs::VARIES,
    &KNOWN,
    &REPLAY,
];

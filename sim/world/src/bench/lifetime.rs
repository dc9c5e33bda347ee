//! `lifetime-3/100io`: five minutes of a pool of three hosts, two volumes of two copies plus
//! tie-breaker, 100 I/O per second in total, with promises, hash, activity log and a mix of faults
//! on. What a seed costs.

use super::thread_cpu_ns;
use crate::outcome::{Outcome, RunOptions};
use crate::run::run;
use scenarios::{Disk, Do, Io, Network, Pool, Resource, Scenario, Step, Storage, Vm};
use std::collections::BTreeMap;
use std::time::Duration;

/// What was measured.
#[derive(Clone, Debug)]
pub struct Lifetime {
    /// Simulated seconds.
    pub sim_s: f64,
    /// CPU seconds of this thread.
    pub cpu_s: f64,
    /// Events handled.
    pub events: u64,
    /// What the run said about itself.
    pub outcome: Outcome,
}

impl Lifetime {
    /// Simulated seconds per CPU second.
    pub fn speed(&self) -> f64 {
        self.sim_s / self.cpu_s.max(1e-9)
    }
}

const SECOND: u64 = 1_000_000_000;

fn resource(name: &str, diskful: [&str; 2], tiebreaker: &str) -> Resource {
    let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Resource {
        name: name.to_owned(),
        size: 64 << 20,
        volumes: 1,
        diskful: diskful.map(str::to_owned).to_vec(),
        tiebreaker: Some(tiebreaker.to_owned()),
        diskless: Vec::new(),
        storage: Storage::Disk,
        options: BTreeMap::from([
            option("quorum", "majority"),
            option("on-no-quorum", "suspend-io"),
            // With DRBD's defaults a copy is behind for as long as applications write.
            option("c-min-rate", "0"),
            option("c-fill-target", "20480"),
            option("resync-rate", "20480"),
        ]),
    }
}

fn vm(name: &str, on: &str, vdi: &str) -> Vm {
    let io = Io {
        read: 30,
        write: 65,
        flush: 5,
        discard: 0,
        block: (4_096, 4_096),
        depth: 8,
        rate: 50,
        span: 0,
    };
    Vm { name: name.to_owned(), on: on.to_owned(), vdi: vdi.to_owned(), io }
}

fn plan() -> Vec<Step> {
    let host = |name: &str| name.to_owned();
    let step = |at: u64, action| Step::at(at * SECOND, action);
    let storage = || "storage".to_owned();
    vec![
        step(30, Do::Isolate { host: host("bravo"), network: None }),
        step(40, Do::Rejoin { host: host("bravo"), network: None }),
        step(70, Do::PowerOff { host: host("charlie") }),
        step(85, Do::Boot { host: host("charlie") }),
        step(100, Do::MoveVm { vm: host("vm-b"), to: Some(host("charlie")) }),
        step(120, Do::SwitchOff { network: storage() }),
        step(124, Do::SwitchOn { network: storage() }),
        step(150, Do::Freeze { host: host("bravo") }),
        step(155, Do::Thaw { host: host("bravo") }),
        step(180, Do::Crash { host: host("alpha") }),
        step(190, Do::MoveVm { vm: host("vm-a"), to: Some(host("bravo")) }),
        step(220, Do::Loss { network: storage(), ppm: 10_000 }),
        step(235, Do::Loss { network: storage(), ppm: 0 }),
        step(250, Do::DiskStall { host: host("charlie"), lasts: 2 * SECOND }),
        step(270, Do::HealAll),
    ]
}

/// The scenario that is measured.
pub fn scenario() -> Scenario {
    let network = Network {
        latency: (50_000, 200_000),
        bandwidth: 1_250_000_000,
        loss: 0,
        duplicate: 0,
        reorder: 0,
    };
    let pool = Pool {
        hosts: ["alpha", "bravo", "charlie"].map(str::to_owned).to_vec(),
        boot_time: (5 * SECOND, 10 * SECOND),
        ..Pool::default()
    };
    Scenario {
        horizon: 300 * SECOND,
        network: BTreeMap::from([("storage".to_owned(), network)]),
        disk: Disk {
            read: (60_000, 150_000),
            write: (15_000, 60_000),
            flush: (200_000, 1_500_000),
            parallel: 8,
            volatile_cache: true,
            thin_pool: 0,
        },
        resource: vec![
            resource("vol-a", ["alpha", "bravo"], "charlie"),
            resource("vol-b", ["bravo", "charlie"], "alpha"),
        ],
        vm: vec![vm("vm-a", "alpha", "vol-a"), vm("vm-b", "bravo", "vol-b")],
        step: plan(),
        ..Scenario::bare("lifetime", pool)
    }
}

/// Runs it once, with or without marks.
pub fn measure(seed: u64, marks: bool) -> Lifetime {
    let scenario = scenario();
    let options = RunOptions {
        seed,
        quirks: drbd::quirks::Quirks::default(),
        keep_log: false,
        wall_limit: Duration::from_secs(600),
        marks,
    };
    let before = thread_cpu_ns();
    let outcome = run(&scenario, &options);
    let cpu_s = (thread_cpu_ns() - before) as f64 / SECOND as f64;
    let (sim_s, events) = (outcome.sim_ns as f64 / SECOND as f64, outcome.events);
    Lifetime { sim_s, cpu_s, events, outcome }
}

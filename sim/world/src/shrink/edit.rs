//! One change that makes a plan smaller.

use super::repair::{drop_steps, repair};
use scenarios::{BLOCK, Do, Io, Scenario};

/// Something to leave out, or to make simpler.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Edit {
    /// Steps from the first to before the second.
    Steps(usize, usize),
    /// An expectation.
    Expect(usize),
    /// All but this one.
    OnlyExpect(usize),
    /// A VM and what is about it.
    Vm(usize),
    /// A resource and what is about it.
    Resource(usize),
    /// A host and what is about it.
    Host(usize),
    /// What a host has of a resource.
    Copy { resource: usize, host: String },
    /// The last volume of a resource.
    Volume(usize),
    /// A network.
    Network(String),
    /// The run ends here; what comes later goes.
    Horizon(u64),
    /// Recovery is not demanded.
    NoHealing,
    /// What comes at this time or later comes so much earlier, the end too.
    Earlier { from: u64, by: u64 },
    /// All times are whole multiples of this.
    Round(u64),
    /// A step waits so long.
    Wait(usize, u64),
    /// A step does this.
    Action(usize, Do),
    /// Two steps do these.
    Pair(usize, Do, usize, Do),
    /// The first does this, the second goes.
    Merge(usize, Do, usize),
    /// A VM does this.
    Io(usize, Io),
    /// No VM asks for more than so many requests per second, two at a time.
    Calm(u32),
    /// A resource has this size.
    Size(usize, u64),
    /// A DRBD option has its default.
    Option(usize, String),
    /// Whatever has a default has it: by part of the file.
    Default(&'static str),
}

impl Edit {
    /// The plan with the change; `None` if it makes no sense there.
    pub fn apply(&self, plan: &Scenario) -> Option<Scenario> {
        let mut new = plan.clone();
        match self {
            Edit::Steps(from, to) => drop_steps(&mut new, *from, *to),
            Edit::Expect(at) => drop(new.expect.remove(*at)),
            Edit::OnlyExpect(at) => new.expect = vec![new.expect.swap_remove(*at)],
            Edit::Vm(at) => drop(new.vm.remove(*at)),
            Edit::Resource(at) => drop(new.resource.remove(*at)),
            Edit::Host(at) => drop(new.pool.hosts.remove(*at)),
            Edit::Copy { resource, host } => {
                let resource = &mut new.resource[*resource];
                resource.diskful.retain(|it| it != host);
                resource.diskless.retain(|it| it != host);
                resource.tiebreaker.take_if(|it| it == host);
            }
            Edit::Volume(resource) => new.resource[*resource].volumes -= 1,
            Edit::Network(name) => drop(new.network.remove(name)),
            Edit::Horizon(end) => horizon(&mut new, *end),
            Edit::NoHealing => new.heals = false,
            Edit::Earlier { from, by } => earlier(&mut new, *from, *by),
            Edit::Round(unit) => round(&mut new, *unit),
            Edit::Wait(step, wait) => new.step[*step].when.wait = *wait,
            Edit::Action(step, action) => new.step[*step].action = action.clone(),
            Edit::Pair(first, one, second, other) => {
                new.step[*first].action = one.clone();
                new.step[*second].action = other.clone();
            }
            Edit::Merge(first, action, second) => {
                new.step[*first].action = action.clone();
                drop_steps(&mut new, *second, *second + 1);
            }
            Edit::Io(vm, io) => new.vm[*vm].io = io.clone(),
            Edit::Calm(rate) => {
                for io in new.vm.iter_mut().map(|vm| &mut vm.io) {
                    io.rate = if io.rate == 0 { *rate } else { io.rate.min(*rate) };
                    io.depth = io.depth.min(2);
                }
            }
            Edit::Size(resource, size) => smaller(&mut new, *resource, *size),
            Edit::Option(resource, name) => drop(new.resource[*resource].options.remove(name)),
            Edit::Default(part) => default(&mut new, part),
        }
        let mut new = repair(new)?;
        new.step.sort_by_key(|step| step.when.time().unwrap_or(u64::MAX));
        Some(new)
    }
}

fn horizon(plan: &mut Scenario, end: u64) {
    plan.horizon = end;
    // Backwards, so that places stay what they are.
    for at in (0..plan.step.len()).rev() {
        if plan.step[at].when.wait >= end {
            drop_steps(plan, at, at + 1);
        }
    }
}

fn earlier(plan: &mut Scenario, from: u64, by: u64) {
    for step in &mut plan.step {
        if step.when.time().is_some_and(|at| at >= from) {
            step.when.wait = step.when.wait.saturating_sub(by);
        }
    }
    plan.horizon = plan.horizon.saturating_sub(by);
}

fn round(plan: &mut Scenario, unit: u64) {
    for step in &mut plan.step {
        step.when.wait = step.when.wait / unit * unit;
    }
    plan.horizon = plan.horizon.div_ceil(unit) * unit;
}

/// Also what is touched of it.
fn smaller(plan: &mut Scenario, resource: usize, size: u64) {
    let resource = &mut plan.resource[resource];
    resource.size = size;
    for vm in &mut plan.vm {
        let name = vm.vdi.split('/').next().unwrap_or_default();
        if name == resource.name && vm.io.span > size {
            vm.io.span = 0;
        }
        if name == resource.name {
            vm.io.block.1 = vm.io.block.1.min(size).max(BLOCK);
            vm.io.block.0 = vm.io.block.0.min(vm.io.block.1);
        }
    }
}

fn default(plan: &mut Scenario, part: &str) {
    match part {
        "disk" => plan.disk = scenarios::Disk::default(),
        "master" => plan.pool.master = None,
        "ha" => plan.pool.ha = false,
        "requires" => plan.requires.clear(),
        "clocks" => (plan.pool.clock_offset, plan.pool.clock_drift_ppm) = (0, 0),
        "boot-time" => plan.pool.boot_time.1 = plan.pool.boot_time.0,
        "loss" => {
            for network in plan.network.values_mut() {
                (network.loss, network.duplicate, network.reorder) = (0, 0, 0);
            }
        }
        "latency" => {
            for network in plan.network.values_mut() {
                network.latency = (100_000, 500_000);
                network.bandwidth = 1_250_000_000;
            }
        }
        "ids" => {
            let named = |id: &String| {
                plan.step.iter().any(|step| step.when.after.as_ref() == Some(id))
                    || plan.expect.iter().any(|expect| {
                        expect.after.as_ref() == Some(id) || expect.until.as_ref() == Some(id)
                    })
            };
            let free: Vec<bool> = plan
                .step
                .iter()
                .map(|step| step.id.as_ref().is_some_and(|id| !named(id)))
                .collect();
            for (step, free) in plan.step.iter_mut().zip(free) {
                if free {
                    step.id = None;
                }
            }
        }
        _ => {}
    }
}

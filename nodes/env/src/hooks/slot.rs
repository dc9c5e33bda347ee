//! The place in madsim's runtime where the simulator puts its world.
#![allow(clippy::disallowed_types, reason = "the slot belongs to one runtime and is no static")]

use super::{Pid, World};
use madsim::{plugin::Simulator, runtime::Runtime, task::NodeId};
use std::sync::{Arc, OnceLock};

/// madsim makes its plug-ins before the simulator has any data, so the slot starts empty.
pub struct Slot(OnceLock<Arc<dyn World>>);

impl Simulator for Slot {
    fn new(_: &madsim::rand::GlobalRng, _: &madsim::time::TimeHandle, _: &madsim::Config) -> Self {
        Slot(OnceLock::new())
    }

    fn reset_node(&self, id: NodeId) {
        if let Some(world) = self.0.get() {
            world.died(pid_of(id));
        }
    }
}

/// Makes room for a world in a new runtime.
pub fn prepare(runtime: &Runtime) {
    runtime.add_simulator::<Slot>();
}

/// Fills the slot; to be called first thing inside `block_on`, once.
pub fn install(world: Arc<dyn World>) {
    if madsim::plugin::simulator::<Slot>().0.set(world).is_err() {
        panic!("this runtime has a world already");
    }
}

/// The world of this runtime.
pub fn world() -> Arc<dyn World> {
    match madsim::plugin::simulator::<Slot>().0.get() {
        Some(world) => world.clone(),
        None => panic!("no world: the simulator must call `hooks::install` first"),
    }
}

/// The birth number of the process that runs on this node.
pub fn pid_of(id: NodeId) -> Pid {
    // madsim shows its numbers only as text.
    let mut digits = Digits(0);
    let _ = std::fmt::write(&mut digits, format_args!("{id}"));
    Pid(digits.0)
}

/// The process whose task is running.
pub fn this_process() -> Pid {
    pid_of(madsim::plugin::node())
}

/// Reads a number as it is being written, without a string in between.
struct Digits(u64);

impl std::fmt::Write for Digits {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        for digit in s.bytes() {
            self.0 = self.0 * 10 + u64::from(digit - b'0');
        }
        Ok(())
    }
}

//! The door in simulation: madsim's executor and clock, and the world behind the hooks.

pub(crate) mod block;
pub(crate) mod exec;
pub(crate) mod file;
pub(crate) mod net;
pub(crate) mod process;
mod request;
pub(crate) mod task;
pub(crate) mod time;
pub(crate) mod unix;
pub(crate) mod watchdog;

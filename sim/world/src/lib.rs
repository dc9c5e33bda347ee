//! The simulator: a pool of hosts under faults, its promises, and the runner.

pub mod bench;
pub mod budget;
pub mod check;
pub mod drive;
pub mod ledger;
pub mod log;
pub mod outcome;
pub mod picture;
#[cfg(madsim)]
pub mod process;
pub mod run;
pub mod shrink;
pub mod swarm;
pub mod world;

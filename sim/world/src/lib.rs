//! The simulator: a pool of hosts under faults, its promises, and the runner.

pub mod outcome;

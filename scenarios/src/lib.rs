//! A run as data: what a scenario file says and what a seed draws, in one type.

mod scenario;

pub use scenario::*;

//! What the simulator measures of itself.

pub mod lifetime;

//! What the simulator measures of itself.

#[cfg(madsim)]
pub mod heartbeat;
pub mod lifetime;

//! The LVM model seen from outside: room, thin pools, what waits, what survives power loss.

mod full;
mod harness;
mod properties;
mod room;

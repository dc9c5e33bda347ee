//! The disk model seen from outside: what each fault does, and what survives power loss.

mod faults;
mod harness;
mod power;
mod properties;
mod requests;

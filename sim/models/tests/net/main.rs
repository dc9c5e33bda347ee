//! The network model seen from outside: what each fault does, and what holds under all of them.

mod faults;
mod harness;
mod lifecycle;
mod properties;
mod tcp;
mod udp;

//! Pure, deterministic models of what lies below the programs: network, disk, LVM, host, clock,
//! watchdog.
//!
//! A model is a plain value. It knows no clock, no task and no global: the caller tells it the
//! time (`send(now, ..)`), asks when it wants to be called again (`next_due()`), and then lets it
//! act (`run_due(now, &mut out)`). All randomness comes from a [`luck::Luck`] handed in at the
//! start, so that the same seed and the same calls give the same events, bit for bit, on any
//! machine.
//!
//! Rules that hold for all of them:
//!
//! * Times handed in never go backwards. Events due at or before `now` are handled in the order
//!   (time, sequence number), each at its own time.
//! * `next_due()` is `None` when nothing is pending; otherwise call `run_due` at that very time, or
//!   later if delays do not matter.
//! * Handles (connections, sockets, request tags) are never reused with the same value. A call with
//!   a handle whose owner died is ignored, so late clean-up code of a dead process does no harm.
//! * Each model keeps a running [`hash::Hash64`] over what happened in it.

pub mod disk;
pub mod hash;
pub mod host;
pub mod luck;
pub mod lvm;
pub mod net;
mod queue;
mod slab;
pub mod time;

pub use hash::Hash64;
pub use luck::Luck;
pub use time::{SimTime, Span};

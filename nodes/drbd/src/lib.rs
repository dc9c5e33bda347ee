//! A DRBD 9 replication engine.
//!
//! [`core`] decides: a pure `step(now, event, &mut actions)` over N peers and M volumes, with no
//! I/O, clock, randomness or async inside. [`meta`] is the on-disk format (v09). A host's glue (the
//! simulator's kernel today) carries out the actions and feeds the events.

pub mod bitmap_code;
pub mod core;
pub mod ids;
pub mod meta;
pub mod packet;
pub mod page;
pub mod quirks;
pub mod state;

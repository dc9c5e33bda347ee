//! The modelled kernel of one host: block layer and DRBD over the models of disk and network.
//!
//! A [`Host`] owns its disk and the [`drbd::core::Resource`]s that its kernel runs. It carries out
//! their actions and feeds them the events that follow. It is stepped from outside, as the models
//! are: `next_due`, `run_due`. What the world must know (completions, replies, notices) comes out
//! as [`Out`].
//!
//! **Invariant:** nothing of one boot reaches the next, but what the disk holds. No packet of a
//! closed link reaches a new one: a link is two sockets of one numbered attempt, and every event of
//! another socket is dropped.

mod below;
pub mod commands;
mod host;
mod link;
mod lower;
pub mod lvm;
pub mod res;
mod slot;
mod wire;

pub use host::{Administered, Host, HostConfig, Out, Power, What};
pub use link::LinkCounters;
pub use lower::Region;
pub use res::{ResFile, ResHost};
pub use slot::{SlotConfig, SlotPeer, lower_path};
pub use wire::Wire;

//! The engine in a cluster of nodes in memory: what states follow from what happens, and what the
//! copies hold afterwards.

mod admin;
mod catalogue;
mod cluster;
mod crash;
mod day0;
mod disk;
mod fencing;
mod histories;
mod input;
mod luck;
mod net;
mod new_current;
mod parts;
mod quorum;
mod random;
mod replication;
mod resync;
mod roles;
mod shutdown;
mod states;
mod twopc;
mod twopc_faults;
mod verbs;
mod volumes;
mod votes;

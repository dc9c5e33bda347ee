//! The engine in a cluster of nodes in memory: what states follow from what happens, and what the
//! copies hold afterwards.

mod admin;
mod balance;
mod catalogue;
mod cluster;
mod crash;
mod csum;
mod day0;
mod disk;
mod disk_errors;
mod fencing;
mod histories;
mod input;
mod luck;
mod net;
mod new_current;
mod parts;
mod pause;
mod quorum;
mod random;
mod replication;
mod resize;
mod resync;
mod roles;
mod shutdown;
mod states;
mod suspend;
mod thin;
mod twopc;
mod twopc_faults;
mod unsettled;
mod verbs;
mod verify;
mod volumes;
mod votes;

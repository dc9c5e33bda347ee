//! What the host and the agent in a guest say to each other: JSON lines over a virtio port.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The name of the virtio port.
pub const PORT: &str = "agent";

/// From the host.
#[derive(Serialize, Deserialize, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Run a command in a shell.
    Run {
        /// Comes back in the report.
        id: u64,
        /// For `sh -c`.
        command: String,
        /// The command is killed after so many ms.
        limit_ms: u64,
    },
    /// Write a file.
    Put {
        /// Comes back in the report.
        id: u64,
        /// Absolute.
        path: String,
        /// Contents.
        text: String,
    },
}

/// How an order ended.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq, Debug)]
pub struct Ended {
    /// The exit code; none if it was killed, by a signal or at its limit.
    pub exit: Option<i32>,
    /// Its stdout.
    pub out: String,
    /// Its stderr.
    pub err: String,
}

/// From the guest.
#[derive(Serialize, Deserialize, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum Report {
    /// The agent listens.
    Hello,
    /// An order ended.
    Ended {
        /// Of the order.
        id: u64,
        /// How.
        ended: Ended,
    },
    /// A line of `drbdsetup events2`.
    Event(String),
    /// A line of the kernel's log about DRBD.
    Log(String),
    /// DRBD called a handler.
    Helper {
        /// e.g. `before-resync-target`.
        name: String,
        /// The variables that begin with `DRBD_`.
        env: BTreeMap<String, String>,
    },
}

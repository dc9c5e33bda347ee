//! The one door to time, randomness, network, disks and processes.
//!
//! Programs name nothing else of the world. On a host the door is tokio and Linux (`real`); built
//! with `--cfg madsim` it is madsim's executor and clock plus the models that the simulator puts
//! behind [`hooks`] (`sim`). Both sides offer the same public types, so a program is written once.
//!
//! **Invariants.** No crate but this one names tokio or madsim. In the simulated build nothing here
//! reads the machine: every answer comes from the world behind the hooks. What a dead process still
//! does in `Drop` has no effect.

pub mod block;
pub mod conformance;
pub mod exec;
pub mod file;
pub mod net;
pub mod process;
pub mod rng;
pub mod task;
pub mod time;
pub mod unix;
pub mod watchdog;

#[cfg(madsim)]
pub mod hooks;
#[cfg(not(madsim))]
mod real;
#[cfg(madsim)]
mod sim;

#[cfg(not(madsim))]
use real as imp;
#[cfg(madsim)]
use sim as imp;

/// Byte streams: the same traits and helpers in both worlds.
pub mod io {
    pub use tokio::io::{
        AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt,
        BufReader, BufWriter, ReadBuf, copy, copy_bidirectional,
    };
}

/// Channels, locks and notifications between the tasks of one process.
pub mod sync {
    pub use tokio::sync::{
        AcquireError, Mutex, MutexGuard, Notify, OwnedSemaphorePermit, RwLock, Semaphore,
        SemaphorePermit, broadcast, mpsc, oneshot, watch,
    };
}

// `select!` draws its branch from a process-wide generator unless it says `biased;`: always say it.
pub use tokio::{join, select, try_join};

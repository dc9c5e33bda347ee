//! What the simulator measures of itself.

pub mod engine;
#[cfg(madsim)]
pub mod heartbeat;
pub mod lifetime;
pub mod nodes;

/// CPU time of this thread in nanoseconds.
pub(crate) fn thread_cpu_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

//! How large a scenario may be. A hostile or mistyped file must not make a run allocate without
//! bound.

/// Bytes of a scenario file.
pub const FILE_MAX: usize = 1 << 20;
/// Hosts of a pool: `DRBD_NODE_ID_MAX`.
pub const HOSTS_MAX: usize = 32;
/// Networks of a pool.
pub const NETWORKS_MAX: usize = 8;
/// Resources of a pool.
pub const RESOURCES_MAX: usize = 64;
/// Volumes of a resource.
pub const VOLUMES_MAX: u16 = 16;
/// Bytes of one volume.
pub const VOLUME_BYTES_MAX: u64 = 64 << 30;
/// Bytes of all copies of all volumes together.
pub const POOL_BYTES_MAX: u64 = 256 << 30;
/// Workloads.
pub const VMS_MAX: usize = 128;
/// Steps.
pub const STEPS_MAX: usize = 10_000;
/// Expectations.
pub const EXPECTS_MAX: usize = 256;
/// Facts of one condition.
pub const FACTS_MAX: usize = 256;
/// Entries of `[vary]`, and values of one of them.
pub const VARY_MAX: usize = 64;
/// Characters of a command, and of what it has to print.
pub const COMMAND_MAX: usize = 4_096;
/// Simulated length of a run: a week.
pub const HORIZON_MAX: u64 = 7 * 24 * 3600 * 1_000_000_000;
/// Bytes of one request of a VM.
pub const REQUEST_BYTES_MAX: u64 = 1 << 20;
/// Requests in flight of one VM.
pub const DEPTH_MAX: u32 = 1_024;
/// Requests per second of one VM.
pub const RATE_MAX: u32 = 1_000_000;
/// Weight of one kind of request.
pub const WEIGHT_MAX: u32 = 10_000;
/// Characters of a name.
pub const NAME_MAX: usize = 64;
/// Entries of `promise` and `origin`.
pub const NOTES_MAX: usize = 64;
/// Characters of an entry of `origin`.
pub const NOTE_MAX: usize = 256;
/// Latency of a network, service time of a disk.
pub const SERVICE_MAX: u64 = 600 * 1_000_000_000;
/// Boot time of a host.
pub const BOOT_MAX: u64 = 3600 * 1_000_000_000;
/// Offset and step of a host's wall clock: a year.
pub const CLOCK_OFFSET_MAX: u64 = 366 * 24 * 3600 * 1_000_000_000;
/// Drift of a host's clock, parts per million.
pub const CLOCK_DRIFT_MAX: u32 = 100_000;
/// Slowest and fastest NIC in bytes per second.
pub const BANDWIDTH: (u64, u64) = (1_000, 1_000_000_000_000);
/// Requests that a disk serves at once.
pub const PARALLEL_MAX: u32 = 1_024;
/// Blocks that rot in one step.
pub const ROT_MAX: u32 = 65_536;
/// Entries of a host's table of tracked connections.
pub const CONNTRACK_MAX: u32 = 1 << 20;
/// Unit of the size of a thin pool: LVM's extent.
pub const POOL_EXTENT: u64 = 4 << 20;
/// One whole, in parts per million.
pub const PPM_ONE: u32 = 1_000_000;
/// Smallest request and unit of sizes.
pub const BLOCK: u64 = 4_096;

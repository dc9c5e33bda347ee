//! What a thin pool can be told, and the sizes that LVM gives it by itself.

/// What becomes of a discard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Discards {
    /// It is ignored.
    Ignore,
    /// Its chunks are free again.
    NoPassdown,
    /// And the disk hears of it too.
    Passdown,
}

impl Discards {
    /// LVM's word.
    pub fn name(self) -> &'static str {
        match self {
            Discards::Ignore => "ignore",
            Discards::NoPassdown => "nopassdown",
            Discards::Passdown => "passdown",
        }
    }
}

/// What dm-thin says of a pool. After the words of its kernel messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Everything works.
    Write,
    /// No free chunk: writes that need one wait.
    OutOfDataSpace,
    /// No free chunk, and they fail.
    OutOfDataSpaceError,
    /// The metadata is full: nothing can be mapped any more, and nothing discarded.
    ReadOnly,
}

impl Mode {
    /// As in `switching pool to … mode`.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Write => "write",
            Mode::OutOfDataSpace => "out-of-data-space (queue IO)",
            Mode::OutOfDataSpaceError => "out-of-data-space (error IO)",
            Mode::ReadOnly => "read-only",
        }
    }
}

/// How a pool is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolOptions {
    /// Extents of its metadata volume.
    pub metadata_extents: u64,
    /// Bytes of a chunk.
    pub chunk: u64,
    /// As in [`super::Pool`].
    pub zero: bool,
    /// As in [`super::Pool`].
    pub error_when_full: bool,
}

/// Smallest chunk.
const CHUNK: u64 = 64 << 10;
/// LVM makes chunks larger rather than metadata, beyond this.
const METADATA_WANTED: u64 = 128 << 20;
/// Smallest metadata volume.
const METADATA_MIN: u64 = 2 << 20;
/// Largest metadata volume: 15.875 GiB.
const METADATA_MAX: u64 = (16 << 30) - (128 << 20);
/// Metadata bytes of one chunk, as LVM estimates it.
const PER_CHUNK: u64 = 64;

/// Bytes of a chunk of a pool with so many bytes of data.
pub fn default_chunk(data: u64) -> u64 {
    let mut chunk = CHUNK;
    while data.div_ceil(chunk) * PER_CHUNK > METADATA_WANTED && chunk < 1 << 30 {
        chunk *= 2;
    }
    chunk
}

/// Bytes of metadata of such a pool.
pub fn default_metadata(data: u64, chunk: u64) -> u64 {
    (data.div_ceil(chunk.max(CHUNK)) * PER_CHUNK).clamp(METADATA_MIN, METADATA_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_grow_before_metadata_does() {
        assert_eq!(default_chunk(1 << 30), 64 << 10);
        assert_eq!(default_metadata(1012 << 20, 64 << 10), 2 << 20);
        // As a real `lvcreate -L 1t -T` says: 512 KiB chunks, 128 MiB of metadata.
        assert_eq!(default_chunk(1 << 40), 512 << 10);
        assert_eq!(default_metadata(1 << 40, 512 << 10), 128 << 20);
    }
}

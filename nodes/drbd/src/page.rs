//! The contents of blocks: shared, never copied.

use std::sync::Arc;

/// What one 4 KiB block holds.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub enum Page {
    /// All zero.
    #[default]
    Zero,
    /// The expansion of a number, see [`Page::bytes`]: what test workloads write, so that a
    /// terabyte costs nothing.
    Stamp(u64),
    /// Any bytes.
    Bytes(Arc<[u8; 4096]>),
}

impl Page {
    /// Are all bytes zero?
    pub fn is_zero(&self) -> bool {
        match self {
            Page::Zero | Page::Stamp(0) => true,
            Page::Stamp(_) => false,
            Page::Bytes(bytes) => bytes.iter().all(|byte| *byte == 0),
        }
    }

    /// The 4096 bytes that the page stands for. A stamp is its number, little endian, in every 8
    /// bytes.
    pub fn bytes(&self) -> [u8; 4096] {
        let mut out = [0; 4096];
        match self {
            Page::Zero => {}
            Page::Stamp(n) => out.as_chunks_mut::<8>().0.fill(n.to_le_bytes()),
            Page::Bytes(bytes) => out.copy_from_slice(&bytes[..]),
        }
        out
    }
}

/// What a digest algorithm (`verify-alg`, `csums-alg`) makes of blocks: here CRC-32C, whatever the
/// algorithm's name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Digest(pub u32);

impl Digest {
    /// What stands for blocks that cannot be read. (As good as no content has it.)
    pub const NONE: Digest = Digest(u32::MAX);

    /// The digest of the bytes of all pages.
    pub fn of(pages: &[Page]) -> Digest {
        Digest(pages.iter().fold(0, |crc, page| crc32c::crc32c_append(crc, &page.bytes())))
    }
}

/// The contents of a request: one page for each block of it.
pub type Payload = Arc<[Page]>;

/// `count` zero pages.
pub fn zeroes(count: u32) -> Payload {
    (0..count).map(|_| Page::Zero).collect()
}

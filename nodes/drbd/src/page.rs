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

/// The contents of a request: one page for each block of it.
pub type Payload = Arc<[Page]>;

/// `count` zero pages.
pub fn zeroes(count: u32) -> Payload {
    (0..count).map(|_| Page::Zero).collect()
}

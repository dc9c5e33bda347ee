//! Metadata v09, internal ("flex internal"): superblock, activity log, bitmap, byte for byte as
//! `drbdmeta` reads it.

mod al_block;
mod layout;
mod superblock;

pub use al_block::{AlBlock, replay};
pub use layout::Layout;
pub use superblock::{MdFlags, PeerFlags, PeerSlot, Superblock};

use crate::page::Page;
use std::sync::Arc;

/// Why metadata cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetaError {
    /// No v09 magic number where the superblock should be.
    NoMagic,
    /// A field that cannot be, named.
    Bad(&'static str),
}

/// 4 KiB of bytes as a page.
pub(crate) fn page(bytes: [u8; 4096]) -> Page {
    Page::Bytes(Arc::new(bytes))
}

/// Big-endian fields at fixed offsets of a 4 KiB block.
pub(crate) struct Fields<'a>(pub &'a [u8; 4096]);

impl Fields<'_> {
    pub fn u16(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.0[at], self.0[at + 1]])
    }
    pub fn u32(&self, at: usize) -> u32 {
        (u32::from(self.u16(at)) << 16) | u32::from(self.u16(at + 2))
    }
    pub fn u64(&self, at: usize) -> u64 {
        (u64::from(self.u32(at)) << 32) | u64::from(self.u32(at + 4))
    }
}

pub(crate) fn put(block: &mut [u8; 4096], at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

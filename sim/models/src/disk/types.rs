//! The words of the disk model: profile, requests, completions, errors, faults.

use crate::time::{SimTime, Span, SpanRange};
use std::fmt;
use std::sync::Arc;

/// Makes a torn block of 512-byte sectors: bit i of the mask set means sector i is the new one.
pub type Tear<C> = fn(old: &C, new: &C, mask: u8) -> C;

/// What kind of disk it is.
#[derive(Clone, Debug)]
pub struct Profile<C> {
    /// Size in blocks of 4 KiB.
    pub blocks: u64,
    /// Are completed writes only in a volatile cache until a flush?
    pub volatile_cache: bool,
    /// How many requests are served at once; at least 1. With 1 they complete in order.
    pub parallel: usize,
    /// Service time of a read.
    pub read: SpanRange,
    /// Service time of a write.
    pub write: SpanRange,
    /// Service time of a flush, and extra time of preflush and (with a volatile cache) FUA.
    pub flush: SpanRange,
    /// Service time of a discard.
    pub discard: SpanRange,
    /// Extra service time for each block read or written.
    pub per_block: Span,
    /// A block cached for longer than this is written back by itself.
    pub write_back_after: Span,
    /// `None`: 4 KiB physical blocks, each old or new after power loss, never mixed. Some: the disk
    /// has 512-byte sectors, and a block in flight may come out as a mix made by this function.
    pub tear: Option<Tear<C>>,
    /// Thin volume: at most this many blocks can be mapped; writes to others fail with `NoSpace`.
    pub thin_limit: Option<u64>,
}

impl<C> Profile<C> {
    /// An NVMe drive without power-loss protection.
    pub fn nvme(blocks: u64) -> Profile<C> {
        Profile {
            blocks,
            volatile_cache: true,
            parallel: 8,
            read: Span::us(60)..=Span::us(150),
            write: Span::us(15)..=Span::us(60),
            flush: Span::us(200)..=Span::us(1_500),
            discard: Span::us(50)..=Span::us(300),
            per_block: Span::ns(1_400),
            write_back_after: Span::secs(10),
            tear: None,
            thin_limit: None,
        }
    }

    /// A rotating disk with its cache on.
    pub fn hdd(blocks: u64) -> Profile<C> {
        Profile {
            parallel: 1,
            read: Span::ms(2)..=Span::ms(14),
            write: Span::us(100)..=Span::ms(12),
            flush: Span::ms(5)..=Span::ms(30),
            per_block: Span::us(27),
            ..Profile::nvme(blocks)
        }
    }

    /// A drive whose acknowledged writes are durable (protected cache).
    pub fn protected(blocks: u64) -> Profile<C> {
        Profile {
            volatile_cache: false,
            flush: Span::us(5)..=Span::us(20),
            ..Profile::nvme(blocks)
        }
    }
}

/// A request in flight or done; numbers grow in the order of submission and are never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Tag(pub u64);

/// A request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op<C> {
    /// Reads `count` blocks.
    Read {
        /// First block.
        start: u64,
        /// How many.
        count: u32,
    },
    /// Writes one block for each element of `data`.
    Write {
        /// First block.
        start: u64,
        /// Contents, shared with the caller.
        data: Arc<[C]>,
        /// Before this write, make durable all that completed before its submission.
        preflush: bool,
        /// This write is durable when it completes.
        fua: bool,
    },
    /// Makes durable all that completed before its submission.
    Flush,
    /// Forgets contents: the blocks read as zero.
    Discard {
        /// First block.
        start: u64,
        /// How many.
        count: u64,
    },
}

/// What kind of request something is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// [`Op::Read`].
    Read,
    /// [`Op::Write`].
    Write,
    /// [`Op::Flush`].
    Flush,
    /// [`Op::Discard`].
    Discard,
}

/// A request is done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Done<C> {
    /// When.
    pub at: SimTime,
    /// Which.
    pub tag: Tag,
    /// The caller's own number given at submission.
    pub owner: u64,
    /// Its kind.
    pub kind: Kind,
    /// For reads the contents, otherwise empty; or what went wrong.
    pub result: Result<Arc<[C]>, DiskError>,
}

/// Why a request failed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DiskError {
    /// `EIO`. Of a failed write each block may have been written or not.
    Io,
    /// `ENOSPC`: a thin volume is full. Nothing was written.
    NoSpace,
    /// Beyond the end of the disk, or empty.
    OutOfRange,
    /// The device is gone (`ENODEV`).
    Offline,
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            DiskError::Io => "input/output error",
            DiskError::NoSpace => "no space left on thin volume",
            DiskError::OutOfRange => "request beyond the end of the device",
            DiskError::Offline => "device is offline",
        })
    }
}

impl std::error::Error for DiskError {}

/// Which direction a fault strikes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Direction {
    /// Reads.
    Read,
    /// Writes and discards (and flushes, for [`super::Disk::set_error_rate`]).
    Write,
}

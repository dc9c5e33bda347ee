//! Requests that take time, and their replies.

use super::Handle;
use crate::block::Access;
use bytes::Bytes;

/// What a process wants of its block devices and small files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// Opens a block device: [`Reply::Device`].
    BlockOpen {
        /// Its path.
        path: String,
        /// How.
        access: Access,
    },
    /// Reads: [`Reply::Data`].
    BlockRead {
        /// From where.
        device: Handle,
        /// Where it starts.
        offset: u64,
        /// How much.
        len: usize,
    },
    /// Writes: [`Reply::Done`].
    BlockWrite {
        /// Where to.
        device: Handle,
        /// Where it starts.
        offset: u64,
        /// What.
        data: Bytes,
    },
    /// Flushes: [`Reply::Done`].
    BlockFlush {
        /// What.
        device: Handle,
    },
    /// Discards: [`Reply::Done`].
    BlockDiscard {
        /// Where.
        device: Handle,
        /// Where it starts.
        offset: u64,
        /// How much.
        len: u64,
    },
    /// Reads a file: [`Reply::Data`].
    FileRead {
        /// Its path.
        path: String,
    },
    /// Replaces a file: [`Reply::Done`].
    FileWrite {
        /// Its path.
        path: String,
        /// The new content.
        data: Bytes,
        /// Whether it must survive power loss once done.
        durable: bool,
    },
    /// Removes a file: [`Reply::Done`].
    FileRemove {
        /// Its path.
        path: String,
    },
    /// Lists a directory: [`Reply::Names`].
    FileList {
        /// Its path.
        dir: String,
    },
    /// Makes a directory and its parents: [`Reply::Done`].
    DirCreate {
        /// Its path.
        path: String,
    },
    /// Takes a lock: [`Reply::Lock`].
    FileLock {
        /// Its path.
        path: String,
    },
}

/// The answer to a [`Request`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// It is done.
    Done,
    /// What was read.
    Data(Bytes),
    /// Names, sorted.
    Names(Vec<String>),
    /// An open device.
    Device {
        /// The device.
        device: Handle,
        /// Its size in bytes.
        size: u64,
    },
    /// A lock.
    Lock(Handle),
}

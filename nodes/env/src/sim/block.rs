//! Block devices of the modelled host.

use super::request::{Held, call, done, unexpected};
use crate::{
    block::{Access, check},
    hooks::{Reply, Request},
};
use bytes::Bytes;
use std::io;

/// See the module's text.
#[derive(Debug)]
pub struct BlockDevice {
    device: Held,
    size: u64,
}

impl BlockDevice {
    /// Opens the device at this path.
    pub async fn open(path: &str, access: Access) -> io::Result<Self> {
        match call(Request::BlockOpen { path: path.to_string(), access }).await? {
            Reply::Device { device, size } => Ok(BlockDevice { device: Held::new(device), size }),
            other => Err(unexpected(&other)),
        }
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads `len` bytes at `offset`.
    pub async fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        check(offset, len as u64, self.size)?;
        match call(Request::BlockRead { device: self.device.handle, offset, len }).await? {
            Reply::Data(data) => Ok(data),
            other => Err(unexpected(&other)),
        }
    }

    /// Writes at `offset`.
    pub async fn write_at(&self, offset: u64, data: Bytes) -> io::Result<()> {
        check(offset, data.len() as u64, self.size)?;
        done(Request::BlockWrite { device: self.device.handle, offset, data }).await
    }

    /// Makes every write that was done before it survive power loss.
    pub async fn flush(&self) -> io::Result<()> {
        done(Request::BlockFlush { device: self.device.handle }).await
    }

    /// Says that these bytes are no longer needed; they read as zeroes from then on. A device that
    /// cannot is `Unsupported`.
    pub async fn discard(&self, offset: u64, len: u64) -> io::Result<()> {
        check(offset, len, self.size)?;
        done(Request::BlockDiscard { device: self.device.handle, offset, len }).await
    }
}

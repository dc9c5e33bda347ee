//! Block devices by `pread` and `pwrite` on the blocking pool.

use super::blocking;
use crate::block::{Access, check};
use bytes::Bytes;
use rustix::{
    fs::{FallocateFlags, FlockOperation, OFlags, fallocate, flock},
    io::Errno,
};
use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom},
    os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt},
    sync::Arc,
};

/// See the module's text.
#[derive(Debug)]
pub struct BlockDevice {
    file: Arc<File>,
    size: u64,
    writable: bool,
    discards: Discards,
}

#[derive(Clone, Copy, Debug)]
enum Discards {
    Device,
    File,
}

impl BlockDevice {
    /// Opens the device at this path.
    pub async fn open(path: &str, access: Access) -> io::Result<Self> {
        let path = path.to_string();
        blocking(move || Self::open_now(&path, access)).await
    }

    fn open_now(path: &str, access: Access) -> io::Result<Self> {
        let device = std::fs::metadata(path)?.file_type().is_block_device();
        let exclusive = access == Access::ReadWriteExclusive;
        // O_EXCL without O_CREAT is the kernel's exclusive claim; only block devices have it.
        let claim = if exclusive && device { OFlags::EXCL.bits() as i32 } else { 0 };
        let mut file =
            OpenOptions::new().read(true).write(exclusive).custom_flags(claim).open(path)?;
        if exclusive && !device {
            flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|e| match e {
                Errno::WOULDBLOCK => io::Error::from(io::ErrorKind::ResourceBusy),
                other => other.into(),
            })?;
        }
        let size = file.seek(SeekFrom::End(0))?;
        let discards = if device { Discards::Device } else { Discards::File };
        Ok(BlockDevice { file: Arc::new(file), size, writable: exclusive, discards })
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads `len` bytes at `offset`.
    pub async fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        check(offset, len as u64, self.size)?;
        let file = self.file.clone();
        blocking(move || {
            let mut buf = vec![0; len];
            file.read_exact_at(&mut buf, offset)?;
            Ok(buf.into())
        })
        .await
    }

    /// Writes at `offset`.
    pub async fn write_at(&self, offset: u64, data: Bytes) -> io::Result<()> {
        check(offset, data.len() as u64, self.size)?;
        self.check_writable()?;
        let file = self.file.clone();
        blocking(move || file.write_all_at(&data, offset)).await
    }

    /// Makes every write that was done before it survive power loss.
    pub async fn flush(&self) -> io::Result<()> {
        let file = self.file.clone();
        blocking(move || file.sync_data()).await
    }

    /// Says that these bytes are no longer needed; they read as zeroes from then on. A device that
    /// cannot is `Unsupported`.
    pub async fn discard(&self, offset: u64, len: u64) -> io::Result<()> {
        check(offset, len, self.size)?;
        self.check_writable()?;
        let (file, discards) = (self.file.clone(), self.discards);
        blocking(move || {
            let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            match (fallocate(&*file, mode, offset, len), discards) {
                (Err(Errno::OPNOTSUPP), _) => Err(io::ErrorKind::Unsupported.into()),
                // Some devices answer so when the range is not aligned to what they can unmap.
                (Err(Errno::INVAL), Discards::Device) => Err(io::ErrorKind::Unsupported.into()),
                (other, _) => Ok(other?),
            }
        })
        .await
    }

    /// The kernel would say that the descriptor is bad, which hides whose fault it is.
    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

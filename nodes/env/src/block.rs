//! Block devices (on hosts also plain files, which tests use).
//!
//! A write is done when the device has accepted it; it survives power loss only after a later
//! [`BlockDevice::flush`] that succeeded. Dropping the future of an operation does not take it
//! back: the device may still carry it out.

pub use crate::imp::block::BlockDevice;

/// How to open a block device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Read only, beside others.
    ReadOnly,
    /// Read and write, refused (`ResourceBusy`) while anybody else holds it so.
    ReadWriteExclusive,
}

/// Refuses a range before the device sees it.
pub(crate) fn check(offset: u64, len: u64, size: u64) -> std::io::Result<()> {
    match offset.checked_add(len) {
        Some(end) if end <= size => Ok(()),
        _ => Err(std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            format!("{len} bytes at {offset} reach beyond the device's end at {size}"),
        )),
    }
}

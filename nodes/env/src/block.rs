//! Block devices (on hosts also plain files, which tests use).
//!
//! Offsets and lengths are whole blocks of 4 KiB. A write is done when the device has accepted it;
//! it survives power loss only after a later [`BlockDevice::flush`] that succeeded. Dropping the
//! future of an operation does not take it
//! back: the device may still carry it out.

pub use crate::imp::block::BlockDevice;

/// Every offset and every length is a multiple of this.
pub const BLOCK: u64 = 4096;

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
    let refuse = |why: String| Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, why));
    if !offset.is_multiple_of(BLOCK) || !len.is_multiple_of(BLOCK) {
        return refuse(format!("{len} bytes at {offset} are not whole blocks of {BLOCK}"));
    }
    match offset.checked_add(len) {
        Some(end) if end <= size => Ok(()),
        _ => refuse(format!("{len} bytes at {offset} reach beyond the device's end at {size}")),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn only_whole_blocks_inside_the_device_pass() {
        assert!(check(0, 8192, 8192).is_ok());
        assert!(check(4096, 4096, 8192).is_ok());
        assert!(check(8192, 0, 8192).is_ok());
        assert!(check(4096, 8192, 8192).is_err());
        assert!(check(512, 4096, 8192).is_err());
        assert!(check(0, 100, 8192).is_err());
        assert!(check(u64::MAX - 4095, 8192, 8192).is_err());
    }
}

//! Small files: configuration, state, markers.
//!
//! There is no open file, no seeking and no appending: a file is read whole and replaced whole, so
//! that after power loss there is the old content or the new, never a mixture. Paths are absolute;
//! the directory must exist (see [`create_dir`]).

pub use crate::imp::file::{Lock, create_dir, list, lock, read, remove, write, write_cached};

/// No small file is larger.
pub const MAX_LEN: u64 = 64 << 20;

/// The contents as text.
pub async fn read_to_string(path: &str) -> std::io::Result<String> {
    String::from_utf8(read(path).await?.into()).map_err(|e| {
        std::io::Error::new(std::io::ErrorKind::InvalidData, format!("{path} is not UTF-8: {e}"))
    })
}

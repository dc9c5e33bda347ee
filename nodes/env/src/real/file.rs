//! Small files by the usual dance: temporary file, fsync, rename, fsync of the directory.

use super::blocking;
use crate::file::MAX_LEN;
use bytes::Bytes;
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

/// Reads the whole file.
pub async fn read(path: &str) -> io::Result<Bytes> {
    let path = path.to_string();
    blocking(move || {
        let mut data = Vec::new();
        File::open(&path)?.take(MAX_LEN + 1).read_to_end(&mut data)?;
        if data.len() as u64 > MAX_LEN {
            return Err(io::Error::new(
                ErrorKind::FileTooLarge,
                format!("{path} is larger than {MAX_LEN} bytes"),
            ));
        }
        Ok(data.into())
    })
    .await
}

/// Replaces the file in one step. When this returns, the new content survives power loss.
pub async fn write(path: &str, data: Bytes) -> io::Result<()> {
    replace(path, data, true).await
}

/// As [`write()`], but power loss may bring back the old content: for what only the running system
/// needs.
pub async fn write_cached(path: &str, data: Bytes) -> io::Result<()> {
    replace(path, data, false).await
}

async fn replace(path: &str, data: Bytes, durable: bool) -> io::Result<()> {
    let path = PathBuf::from(path);
    blocking(move || {
        let temporary = beside(&path)?;
        let written = write_new(&temporary, &data, durable)
            .and_then(|()| fs::rename(&temporary, &path))
            .and_then(|()| if durable { sync_dir(&path) } else { Ok(()) });
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    })
    .await
}

/// A name in the same directory that no other writer uses at the same time.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_string_lossy();
    let mut salt = [0; 8];
    super::process::secret(&mut salt);
    Ok(path.with_file_name(format!(".{name}.{:016x}", u64::from_le_bytes(salt))))
}

fn write_new(path: &Path, data: &[u8], durable: bool) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(data)?;
    if durable { file.sync_all() } else { Ok(()) }
}

fn sync_dir(of: &Path) -> io::Result<()> {
    File::open(of.parent().ok_or(ErrorKind::InvalidInput)?)?.sync_all()
}

/// Removes the file for good; it is an error if there is none.
pub async fn remove(path: &str) -> io::Result<()> {
    let path = PathBuf::from(path);
    blocking(move || fs::remove_file(&path).and_then(|()| sync_dir(&path))).await
}

/// The names of the files in a directory, sorted; temporary ones of writers left out.
pub async fn list(dir: &str) -> io::Result<Vec<String>> {
    let dir = dir.to_string();
    blocking(move || {
        let mut names = Vec::new();
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_file() && !name.starts_with('.') {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    })
    .await
}

/// Makes the directory and its parents, where they do not exist.
pub async fn create_dir(path: &str) -> io::Result<()> {
    let path = PathBuf::from(path);
    blocking(move || {
        fs::create_dir_all(&path)?;
        sync_dir(&path)
    })
    .await
}

/// A lock that lasts until it is dropped or its process dies.
#[derive(Debug)]
pub struct Lock {
    _held: File,
}

/// Takes the lock of that name, or says `ResourceBusy` at once.
pub async fn lock(path: &str) -> io::Result<Lock> {
    let path = path.to_string();
    blocking(move || {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock { _held: file }),
            Err(Errno::WOULDBLOCK) => Err(ErrorKind::ResourceBusy.into()),
            Err(e) => Err(e.into()),
        }
    })
    .await
}

//! Small files of the modelled host.

use super::request::{Held, call, done, unexpected};
use crate::hooks::{Reply, Request};
use bytes::Bytes;
use std::io;

/// Reads the whole file.
pub async fn read(path: &str) -> io::Result<Bytes> {
    match call(Request::FileRead { path: path.to_string() }).await? {
        Reply::Data(data) => Ok(data),
        other => Err(unexpected(&other)),
    }
}

/// Replaces the file in one step. When this returns, the new content survives power loss.
pub async fn write(path: &str, data: Bytes) -> io::Result<()> {
    done(Request::FileWrite { path: path.to_string(), data, durable: true }).await
}

/// As [`write()`], but power loss may bring back the old content: for what only the running system
/// needs.
pub async fn write_cached(path: &str, data: Bytes) -> io::Result<()> {
    done(Request::FileWrite { path: path.to_string(), data, durable: false }).await
}

/// Removes the file for good; it is an error if there is none.
pub async fn remove(path: &str) -> io::Result<()> {
    done(Request::FileRemove { path: path.to_string() }).await
}

/// The names of the files in a directory, sorted; temporary ones of writers left out.
pub async fn list(dir: &str) -> io::Result<Vec<String>> {
    match call(Request::FileList { dir: dir.to_string() }).await? {
        Reply::Names(names) => Ok(names),
        other => Err(unexpected(&other)),
    }
}

/// Makes the directory and its parents, where they do not exist.
pub async fn create_dir(path: &str) -> io::Result<()> {
    done(Request::DirCreate { path: path.to_string() }).await
}

/// A lock that lasts until it is dropped or its process dies.
#[derive(Debug)]
pub struct Lock {
    _held: Held,
}

/// Takes the lock of that name, or says `ResourceBusy` at once.
pub async fn lock(path: &str) -> io::Result<Lock> {
    match call(Request::FileLock { path: path.to_string() }).await? {
        Reply::Lock(lock) => Ok(Lock { _held: Held::new(lock) }),
        other => Err(unexpected(&other)),
    }
}

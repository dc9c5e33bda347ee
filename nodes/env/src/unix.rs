//! Unix sockets: streams between processes of one host.
//!
//! Binding removes the socket a dead process left behind; a living listener keeps its path
//! (`AddrInUse`). A path nobody made is `NotFound`, one whose process died `ConnectionRefused`.

pub use crate::imp::unix::{UnixListener, UnixStream};

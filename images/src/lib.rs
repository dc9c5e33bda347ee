//! Guests with a real kernel, and what they do: an image made of Debian's packages, QEMU, a switch
//! in user space that cuts links, an agent inside, and recorders of what DRBD says.
//!
//! [`packages`] fetches and unpacks, [`initramfs`] packs, [`guest`] runs one machine, [`lab`] a
//! pool of them; [`script`] is what shall happen, [`record`] makes it happen, [`transcript`] is
//! what was seen. [`agent`] is the other end: the same binary, inside the guest.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a tool of developers: it starts programs, reads files and waits in real time"
)]

pub mod agent;
pub mod config;
pub mod cpio;
pub mod events;
pub mod guest;
pub mod initramfs;
pub mod lab;
pub mod packages;
pub mod plan;
pub mod qmp;
pub mod record;
pub mod script;
pub mod switch;
pub mod transcript;
pub mod wire;

use std::fmt;

/// This machine lacks something that guests need: no failure, but never a pass.
#[derive(Debug)]
pub struct Missing(pub String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

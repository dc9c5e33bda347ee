//! TCP and UDP.
//!
//! The types are the same in both worlds; `real` puts the kernel's sockets behind them, `sim` the
//! modelled network. UDP has one signature for sending (buffer first, address second).

pub use crate::imp::net::{OwnedReadHalf, OwnedWriteHalf, TcpListener, TcpStream, UdpSocket};

/// No datagram is larger: an IPv4 packet's 64 KiB less its headers.
pub const DATAGRAM_MAX: usize = 65_507;

/// Refuses what no packet can hold, in both worlds by the same error.
pub(crate) fn check_datagram(data: &[u8]) -> std::io::Result<()> {
    if data.len() <= DATAGRAM_MAX {
        return Ok(());
    }
    let text = format!("a datagram of {} bytes, at most {DATAGRAM_MAX} fit", data.len());
    Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, text))
}

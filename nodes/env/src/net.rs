//! TCP and UDP.
//!
//! The types are the same in both worlds; `real` puts the kernel's sockets behind them, `sim` the
//! modelled network. UDP has one signature for sending (buffer first, address second).

pub use crate::imp::net::{OwnedReadHalf, OwnedWriteHalf, TcpListener, TcpStream, UdpSocket};

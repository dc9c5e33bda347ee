//! What travels over modelled sockets.

use drbd::packet::{Packet, Stream};
use std::sync::Arc;

/// One item of a modelled TCP stream.
#[derive(Clone, PartialEq, Debug)]
pub enum Wire {
    /// P_INITIAL_DATA or P_INITIAL_META with P_CONNECTION_FEATURES: the dialling side says which of
    /// its two sockets this is, and of which attempt.
    Initial(Stream, u32),
    /// The answer on both sockets, once the accepting side has both: the features are agreed.
    Agreed,
    /// A DRBD packet.
    Drbd(Packet),
    /// Bytes of some other protocol.
    Bytes(Arc<[u8]>),
}

impl Wire {
    /// Bytes on the wire.
    pub fn len(&self) -> u32 {
        match self {
            Wire::Initial(..) | Wire::Agreed => 96,
            Wire::Drbd(packet) => packet.wire_len(),
            Wire::Bytes(bytes) => bytes.len() as u32,
        }
    }

    /// Has it no bytes? (Only [`Wire::Bytes`] can.)
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

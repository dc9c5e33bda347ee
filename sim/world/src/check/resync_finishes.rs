//! `resync-finishes`: after everything was healed, every copy is whole again.
//!
//! Demanded as `io-resumes` is, and with the same excuses: every two nodes of a resource whose
//! hosts are up are Connected at both ends, every copy is UpToDate, every volume is Established
//! towards every peer, and no bit is set.

use drbd::state::{ConnState, DiskState, ReplState};

/// Its name.
pub const NAME: &str = "resync-finishes";

/// One volume of one node.
#[derive(Clone, Debug)]
pub struct Copy {
    /// For the message, `alpha vol-a/0`.
    pub name: String,
    /// The node should have a disk.
    pub diskful: bool,
    /// Its disk.
    pub disk: DiskState,
    /// Towards each peer: name, connection, replication, bits set.
    pub peers: Vec<(String, ConnState, ReplState, u64)>,
}

/// Is the copy whole?
pub fn check(copy: &Copy) -> Result<(), String> {
    for (peer, connection, repl, bits) in &copy.peers {
        if *connection != ConnState::Connected {
            return Err(format!("{}: connection to {peer} is {connection}", copy.name));
        }
        if *repl != ReplState::Established {
            return Err(format!("{}: replication with {peer} is {repl}", copy.name));
        }
        if *bits != 0 {
            return Err(format!("{}: {bits} blocks out of sync towards {peer}", copy.name));
        }
    }
    if copy.diskful && copy.disk != DiskState::UpToDate {
        return Err(format!("{}: disk is {}", copy.name, copy.disk));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_not_being_whole_is_caught() {
        let peer = |c, r, bits| vec![("bravo".to_owned(), c, r, bits)];
        let whole = Copy {
            name: "alpha vol-a/0".to_owned(),
            diskful: true,
            disk: DiskState::UpToDate,
            peers: peer(ConnState::Connected, ReplState::Established, 0),
        };
        assert_eq!(check(&whole), Ok(()));
        let broken = [
            Copy { disk: DiskState::Inconsistent, ..whole.clone() },
            Copy { peers: peer(ConnState::Connecting, ReplState::Off, 0), ..whole.clone() },
            Copy { peers: peer(ConnState::Connected, ReplState::SyncTarget, 0), ..whole.clone() },
            Copy { peers: peer(ConnState::Connected, ReplState::Established, 3), ..whole.clone() },
        ];
        assert!(broken.iter().all(|copy| check(copy).is_err()));
        assert!(check(&Copy { diskful: false, disk: DiskState::Diskless, ..whole }).is_ok());
    }
}

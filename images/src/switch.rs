//! An Ethernet switch in user space: one port per guest, one datagram per frame. It needs no root,
//! and loses frames in one direction of a pair when told to, as a broken switch would: the guests'
//! own links stay up.

use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Longest frame: QEMU's own limit with offloads, which a datagram backend never agrees to.
const FRAME_MAX: usize = 68 << 10;
/// A guest that does not take a frame in this time loses it, as from a full queue.
const FULL: Duration = Duration::from_millis(20);

type Cuts = Arc<Mutex<BTreeSet<(usize, usize)>>>;

/// A running switch.
pub struct Switch {
    cuts: Cuts,
}

/// The switch's socket of a port, and the guest's.
pub fn sockets(folder: &Path, port: usize) -> (PathBuf, PathBuf) {
    (folder.join(format!("sw{port}")), folder.join(format!("vm{port}")))
}

/// The MAC address of the guest at a port: its last byte says which, so that nothing has to be
/// learnt.
pub fn mac(port: usize) -> String {
    format!("52:54:00:00:00:{:02x}", port + 1)
}

impl Switch {
    /// Starts with so many ports; its sockets are in `folder`. It ends with the process.
    pub fn start(folder: &Path, ports: usize) -> Result<Switch> {
        let cuts = Cuts::default();
        for port in 0..ports {
            let (own, _) = sockets(folder, port);
            let _ = std::fs::remove_file(&own);
            let socket = UnixDatagram::bind(&own).with_context(|| own.display().to_string())?;
            let out = UnixDatagram::unbound()?;
            out.set_write_timeout(Some(FULL))?;
            let (cuts, folder) = (Arc::clone(&cuts), folder.to_owned());
            thread::spawn(move || forward(&socket, &out, &cuts, &folder, port, ports));
        }
        Ok(Switch { cuts })
    }

    /// Frames from one port to another are lost, or no longer.
    pub fn cut(&self, from: usize, to: usize, cut: bool) {
        let Ok(mut cuts) = self.cuts.lock() else { return };
        if cut {
            cuts.insert((from, to));
        } else {
            cuts.remove(&(from, to));
        }
    }
}

/// Takes frames of one port until the process ends.
fn forward(
    socket: &UnixDatagram,
    out: &UnixDatagram,
    cuts: &Cuts,
    folder: &Path,
    port: usize,
    ports: usize,
) {
    let mut frame = vec![0; FRAME_MAX];
    while let Ok(n) = socket.recv(&mut frame) {
        for to in targets(&frame[..n], port, ports) {
            let cut = cuts.lock().is_ok_and(|cuts| cuts.contains(&(port, to)));
            if !cut {
                // A guest without power takes nothing.
                let _ = out.send_to(&frame[..n], sockets(folder, to).1);
            }
        }
    }
}

/// Where a frame goes: to the guest that it names, or to all others.
fn targets(frame: &[u8], from: usize, ports: usize) -> Vec<usize> {
    let named = frame.first_chunk::<6>().filter(|mac| mac[0] & 1 == 0).map(|mac| mac[5] as usize);
    let others = (0..ports).filter(|port| *port != from);
    others.filter(|port| named.is_none_or(|last| last == port + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_go_where_they_are_sent_to() {
        assert_eq!(targets(&[0xff; 14], 0, 3), [1, 2]);
        assert_eq!(targets(&[0x52, 0x54, 0, 0, 0, 3, 9], 0, 3), [2]);
        assert_eq!(targets(&[0x52, 0x54, 0, 0, 0, 1, 9], 0, 3), [0; 0]);
    }

    #[test]
    fn a_cut_is_of_one_direction() {
        let folder = std::env::temp_dir().join(format!("switch-test-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let switch = Switch::start(&folder, 2).unwrap();
        let guest = |port| {
            let guest = UnixDatagram::bind(sockets(&folder, port).1).unwrap();
            guest.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            guest
        };
        let guests = [guest(0), guest(1)];
        let heard = |from: usize, to: usize| {
            guests[from].send_to(&[0xff; 20], sockets(&folder, from).0).unwrap();
            guests[to].recv(&mut [0; 64]).is_ok()
        };
        assert!(heard(0, 1) && heard(1, 0));
        switch.cut(0, 1, true);
        assert!(!heard(0, 1) && heard(1, 0));
        switch.cut(0, 1, false);
        assert!(heard(0, 1));
        std::fs::remove_dir_all(folder).unwrap();
    }
}

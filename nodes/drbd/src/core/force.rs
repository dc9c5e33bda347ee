//! `primary --force`: what it takes for granted, and only once nothing else refuses the promotion.
//! A refused one changes nothing.

use super::Resource;
use super::config::Quorum;
use super::quorum::{self, Ballot, Voter};
use crate::state::DiskState;

impl Resource {
    /// Would the volume have quorum, if those who are away and unknown were Outdated?
    pub(super) fn quorum_by_force(&self, v: usize) -> bool {
        if self.config.quorum == Quorum::Off {
            return true;
        }
        if !self.devices[v].has_disk() {
            return false;
        }
        let (_, others) = self.voters(v);
        let others: Vec<Voter> = others
            .into_iter()
            .map(|voter| match voter {
                Voter::Unknown | Voter::Quorumless => Voter::Outdated,
                known => known,
            })
            .collect();
        let me = Voter::UpToDate;
        let ballot = Ballot { me, others: &others, had_quorum: false, peer_vouches: false };
        let redundancy = self.config.quorum_minimum_redundancy;
        quorum::has_quorum(self.config.quorum, redundancy, &ballot)
    }

    /// The promotion is agreed. Where no good copy can be reached, the own one is from now on;
    /// where quorum is missing, who is away is Outdated.
    pub(super) fn take_by_force(&mut self) {
        for v in 0..self.devices.len() {
            if !self.data_accessible(v) && self.devices[v].has_disk() {
                self.set_disk(v, DiskState::UpToDate);
            }
            let unknown = |conn: &super::parts::Conn| {
                conn.config.diskful && conn.volumes[v].disk == DiskState::DUnknown
            };
            let away: Vec<usize> =
                (0..self.conns.len()).filter(|c| unknown(&self.conns[*c])).collect();
            if !self.devices[v].quorum {
                away.into_iter().for_each(|c| self.set_peer_disk(c, v, DiskState::Outdated));
            }
        }
        self.update_quorum();
    }
}

//! VMs that nobody could stop: the VM was started elsewhere while its old host could not be
//! reached.
//!
//! A toolstack without fencing does just that, and quorum is what keeps the data whole then. The
//! old instance goes on until it gets an I/O error, its host dies, or its host can be reached again
//! and the toolstack stops it. What it is told counts: a write acknowledged to it after another
//! node became Primary breaks `quorum-is-exclusive`. What it reads is not judged: a Primary that
//! has not noticed yet that it is alone may serve old data.

use super::World;
use super::vm::State;
use crate::log::{VmNote, What};

/// The toolstack tries to reach an old host this often.
const TRY_AGAIN: u64 = 1_000_000_000;

impl World {
    /// Could somebody on `to` stop a VM on `from`?
    fn in_contact(&self, from: usize, to: usize) -> bool {
        let (a, b) = (self.addresses[from][0], self.addresses[to][0]);
        !self.hosts[from].is_frozen()
            && (from == to || self.net.reachable(a, b) && self.net.reachable(b, a))
    }

    /// Stops a VM where it runs, for it is to start on `to`; or leaves it running, if nobody can
    /// reach it.
    pub(super) fn stop_or_abandon(&mut self, vm: usize, to: Option<usize>) {
        let guest = &self.vms[vm];
        let running = guest.state == State::Running;
        let abandoned = match (guest.host, to) {
            (Some(from), Some(to)) => running && from != to && !self.in_contact(from, to),
            _ => false,
        };
        if !abandoned {
            return self.stop_vm(vm);
        }
        let now = self.now;
        self.log.add(now, What::Vm(vm as u16, VmNote::Abandoned));
        *self.faults.entry("vm-abandoned").or_default() += 1;
        let mut runaway = self.vms[vm].split();
        runaway.runaway = Some(now + TRY_AGAIN);
        self.vms.push(runaway);
    }

    /// Stops what can be reached again, or what is in the way of the VM that took its place.
    pub(super) fn look_at_runaways(&mut self) {
        let mut index = 0;
        while index < self.vms.len() {
            let vm = &mut self.vms[index];
            match (vm.runaway, vm.host) {
                (Some(next), Some(from)) if next <= self.now => {
                    vm.runaway = Some(self.now + TRY_AGAIN);
                    let heir = self.vms[self.vms[index].id].host;
                    if heir.is_none_or(|to| self.in_contact(from, to)) {
                        self.end_runaway(index);
                        continue;
                    }
                }
                _ => {}
            }
            index += 1;
        }
    }

    /// Stops the runaways of a VM on a host, because it is about to start there again.
    pub(super) fn end_runaways_of(&mut self, vm: usize, host: usize) {
        let mut index = 0;
        while index < self.vms.len() {
            let guest = &self.vms[index];
            if guest.runaway.is_some() && guest.id == vm && guest.host == Some(host) {
                self.end_runaway(index);
            } else {
                index += 1;
            }
        }
    }

    /// Stops one.
    pub(super) fn end_runaway(&mut self, index: usize) {
        self.log.add(self.now, What::Vm(self.vms[index].id as u16, VmNote::Stopped));
        self.leave(index, true);
        self.vms.swap_remove(index);
    }
}

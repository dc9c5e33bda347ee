//! A disk of numbers and shorthand to drive it.

use models::disk::*;
use models::{Luck, SimTime};
use std::sync::Arc;

pub struct Lab {
    pub disk: Disk<u64>,
    pub now: SimTime,
}

impl Lab {
    pub fn new(seed: u64, profile: Profile<u64>) -> Lab {
        Lab { disk: Disk::new(Luck::root(seed).fork("disk"), profile), now: SimTime::ZERO }
    }

    /// A small NVMe drive with a volatile cache.
    pub fn nvme(seed: u64) -> Lab {
        Lab::new(seed, Profile::nvme(1000))
    }

    pub fn submit(&mut self, op: Op<u64>) -> Tag {
        self.disk.submit(self.now, op)
    }

    pub fn run_to(&mut self, t: SimTime) -> Vec<Done<u64>> {
        let mut out = Vec::new();
        while let Some(due) = self.disk.next_due().filter(|due| *due <= t) {
            assert!(due >= self.now, "the model asks for {due}, it is {}", self.now);
            self.now = due;
            self.disk.run_due(due, &mut out);
        }
        self.now = t;
        out
    }

    /// Runs until nothing is pending.
    pub fn drain(&mut self) -> Vec<Done<u64>> {
        let mut out = Vec::new();
        while let Some(due) = self.disk.next_due() {
            out.extend(self.run_to(due));
        }
        out
    }

    /// Does one request to its end.
    pub fn run(&mut self, op: Op<u64>) -> Result<Vec<u64>, DiskError> {
        let tag = self.submit(op);
        let done = self.drain().into_iter().find(|d| d.tag == tag).expect("it completes");
        done.result.map(|data| data.to_vec())
    }

    pub fn write(&mut self, start: u64, data: &[u64]) -> Result<Vec<u64>, DiskError> {
        self.run(write(start, data))
    }

    pub fn read(&mut self, start: u64, count: u32) -> Result<Vec<u64>, DiskError> {
        self.run(Op::Read { start, count })
    }

    pub fn flush(&mut self) -> Result<Vec<u64>, DiskError> {
        self.run(Op::Flush)
    }

    pub fn power_cycle(&mut self) {
        self.disk.power_off(self.now);
        self.disk.power_on(self.now);
    }
}

pub fn write(start: u64, data: &[u64]) -> Op<u64> {
    Op::Write { start, data: Arc::from(data), preflush: false, fua: false }
}

pub fn write_fua(start: u64, data: &[u64]) -> Op<u64> {
    Op::Write { start, data: Arc::from(data), preflush: false, fua: true }
}

pub fn write_barrier(start: u64, data: &[u64]) -> Op<u64> {
    Op::Write { start, data: Arc::from(data), preflush: true, fua: true }
}

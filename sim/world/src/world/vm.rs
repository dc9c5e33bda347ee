//! One VM's workload: what it asks of its disk, and what it waits for. Pure; [`super::guests`]
//! connects it to hosts.

use super::resource::Vdi;
use crate::ledger::{Ledger, WriteId};
use drbd::core::event::Request;
use drbd::ids::Blocks;
use drbd::page::Payload;
use models::Luck;
use scenarios::Io;

/// What a request is, and what its end means to the ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A read.
    Read,
    /// A write.
    Write(WriteId),
    /// A discard.
    Discard(WriteId),
    /// A flush; with what [`Ledger::flush_submitted`] said.
    Flush(u64),
}

/// A request in flight.
#[derive(Clone, Copy, Debug)]
pub struct Flight {
    /// Unique within a generation of the VM.
    pub id: u32,
    /// What.
    pub kind: Kind,
    /// Where.
    pub at: Blocks,
    /// When it was submitted.
    pub submitted: u64,
    /// Number of the write, 0 for others.
    pub number: u64,
}

/// Where a VM stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Not running.
    Off,
    /// Opens its device at this time.
    Waiting {
        /// When.
        until: u64,
        /// How often the open was refused.
        tries: u32,
    },
    /// The open is not answered.
    Opening {
        /// How often it was refused before.
        tries: u32,
    },
    /// Its device is open.
    Running,
}

/// A VM.
pub struct Vm {
    /// Index of the VM of this name; an abandoned instance has that of its heir.
    pub id: usize,
    /// Its name.
    pub name: String,
    /// Its disk.
    pub vdi: Vdi,
    /// Where it runs, or ran when its host died.
    pub host: Option<usize>,
    /// Where it stands.
    pub state: State,
    /// Counts restarts: what an earlier one asked for does not reach this one.
    pub generation: u16,
    /// Its requests in flight.
    pub in_flight: Vec<Flight>,
    /// When its last I/O succeeded, 0 for never.
    pub last_ok: u64,
    /// Since when it waits for I/O: its last success, or its start if that is later.
    pub waits_since: u64,
    /// How many of its writes and discards were acknowledged.
    pub acked_writes: u64,
    /// How many of its requests failed.
    pub errors: u64,
    /// When it was told to move, until its first success there.
    pub moving_since: Option<u64>,
    /// An abandoned instance: when somebody next tries to reach it.
    pub runaway: Option<u64>,
    io: Io,
    span: u64,
    luck: Luck,
    next_op: u64,
    next_id: u32,
}

/// What a VM wants to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    /// Read.
    Read(Blocks),
    /// Write.
    Write(Blocks),
    /// Discard.
    Discard(Blocks),
    /// Flush.
    Flush,
}

impl Vm {
    /// A VM that is not started, on a volume of `blocks`.
    pub fn new(id: usize, name: &str, vdi: Vdi, io: &Io, blocks: u64, luck: Luck) -> Vm {
        let span = if io.span == 0 { blocks } else { (io.span / Blocks::BYTES).clamp(1, blocks) };
        Vm {
            id,
            name: name.to_owned(),
            vdi,
            host: None,
            state: State::Off,
            generation: 0,
            in_flight: Vec::with_capacity(io.depth as usize),
            last_ok: 0,
            waits_since: 0,
            acked_writes: 0,
            errors: 0,
            moving_since: None,
            runaway: None,
            io: io.clone(),
            span,
            luck,
            next_op: 0,
            next_id: 0,
        }
    }

    /// Leaves what runs to the returned instance; this one is `Off`, and has nothing in flight.
    pub fn split(&mut self) -> Vm {
        let abandoned = Vm {
            name: self.name.clone(),
            in_flight: std::mem::take(&mut self.in_flight),
            io: self.io.clone(),
            luck: self.luck.fork_n("abandoned", self.generation.into()),
            ..*self
        };
        self.state = State::Off;
        self.generation = self.generation.wrapping_add(1);
        abandoned
    }

    /// Its volume is larger from now on, which it uses unless it was told what to touch.
    pub fn grow(&mut self, blocks: u64) {
        if self.io.span == 0 {
            self.span = self.span.max(blocks);
        }
    }

    /// Blocks that it may touch, from 0.
    pub fn span(&self) -> u64 {
        self.span
    }

    /// When it wants to act; `u64::MAX` for not by itself.
    pub fn next_due(&self) -> u64 {
        match self.state {
            State::Off | State::Opening { .. } => u64::MAX,
            State::Waiting { until, .. } => until,
            State::Running if self.in_flight.len() >= self.io.depth as usize => u64::MAX,
            State::Running => self.next_op,
        }
    }

    /// Its device is open from now on.
    pub fn opened(&mut self, now: u64) {
        self.state = State::Running;
        self.next_op = now;
        self.waits_since = now;
    }

    /// How many requests per second it wants, 0 for as many as possible.
    pub fn rate(&self) -> u32 {
        self.io.rate
    }

    /// Draws what to do now, and when to act next. `None`: nothing, its writes in flight are in the
    /// way.
    pub fn wish(&mut self, now: u64) -> Option<Wish> {
        let pause = match self.io.rate {
            0 => 0,
            rate => self.luck.range(500..=1_500) * (1_000_000 / u64::from(rate)),
        };
        self.next_op = (self.next_op + pause).max(now + u64::from(pause > 0));
        let io = &self.io;
        let total = io.read + io.write + io.flush + io.discard;
        let mut pick = self.luck.below(u64::from(total)) as u32;
        for (weight, wish) in [(io.read, 0), (io.write, 1), (io.discard, 2), (io.flush, 3)] {
            if pick < weight {
                return self.place(wish);
            }
            pick -= weight;
        }
        // Closed loop with nothing to do: look again in a while.
        self.next_op = now + 1_000_000;
        None
    }

    fn place(&mut self, wish: u32) -> Option<Wish> {
        if wish == 3 {
            return Some(Wish::Flush);
        }
        let least = (self.io.block.0 / Blocks::BYTES).clamp(1, self.span);
        let most = (self.io.block.1 / Blocks::BYTES).clamp(least, self.span);
        for _ in 0..4 {
            let count = self.luck.range(least..=most);
            let at = Blocks::new(self.luck.below(self.span - count + 1), count as u32);
            let free = |flight: &Flight| {
                matches!(flight.kind, Kind::Read | Kind::Flush(_)) || !flight.at.overlaps(at)
            };
            match wish {
                0 => return Some(Wish::Read(at)),
                _ if !self.in_flight.iter().all(free) => {}
                1 => return Some(Wish::Write(at)),
                _ => return Some(Wish::Discard(at)),
            }
        }
        if self.io.rate == 0 {
            self.next_op += 100_000;
        }
        None
    }

    /// One more request in flight; its id.
    pub fn launch(&mut self, flight: Flight) {
        self.in_flight.push(flight);
    }

    /// A fresh id.
    pub fn fresh_id(&mut self) -> u32 {
        self.next_id = self.next_id.wrapping_add(1);
        self.next_id
    }

    /// Takes a request out that has ended.
    pub fn land(&mut self, id: u32) -> Option<Flight> {
        let place = self.in_flight.iter().position(|f| f.id == id)?;
        Some(self.in_flight.swap_remove(place))
    }
}

/// The request for a wish; writes hold the stamps of `number`.
pub fn request(wish: Wish, number: u64) -> Request {
    match wish {
        Wish::Read(at) => Request::Read(at),
        Wish::Write(at) => {
            let payload: Payload = at.iter().map(|block| Ledger::stamp(number, block)).collect();
            Request::Write { start: at.start, payload, fua: false }
        }
        Wish::Discard(at) => Request::Discard(at),
        Wish::Flush => Request::Flush,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drbd::ids::VolumeNumber;

    fn vm(io: Io) -> Vm {
        let vdi = Vdi { resource: 0, volume: VolumeNumber(0) };
        let mut vm = Vm::new(0, "vm-a", vdi, &io, 64, Luck::root(1));
        vm.opened(0);
        vm
    }

    fn io() -> Io {
        let block = (4_096, 16_384);
        Io { read: 1, write: 2, flush: 1, discard: 1, block, depth: 4, rate: 100, span: 0 }
    }

    #[test]
    fn writes_in_flight_never_overlap() {
        let mut vm = vm(Io { read: 0, flush: 0, ..io() });
        let mut ledger = Ledger::new(drbd::ids::NodeMask(1));
        for number in 1..2_000 {
            let Some(Wish::Write(at) | Wish::Discard(at)) = vm.wish(0) else { continue };
            assert!(vm.in_flight.iter().all(|f| !f.at.overlaps(at)) && at.end() <= 64);
            let kind = Kind::Write(ledger.submitted(0, number, at, false));
            let id = vm.fresh_id();
            vm.launch(Flight { id, kind, at, submitted: 0, number });
            if vm.in_flight.len() == 4 {
                vm.in_flight.remove(0);
            }
        }
    }

    #[test]
    fn the_rate_is_kept_over_time() {
        let mut vm = vm(io());
        let mut now = 0;
        for _ in 0..1_000 {
            now = vm.next_due();
            vm.wish(now);
        }
        assert!((9_000_000_000..11_000_000_000).contains(&now), "{now}");
    }
}

//! What holds under drawn cuts, loss, freezes and power losses.

use crate::harness::*;
use models::net::*;
use models::{Luck, SimTime, Span};
use proptest::prelude::*;
use std::collections::VecDeque;

/// One connection under fire: what was sent on it and what came of it, per direction.
#[derive(Default)]
struct Stream {
    sent: Vec<u64>,
    got: Vec<u64>,
    closed: bool,
    eof: bool,
    /// Bytes delivered and not consumed, bytes sent.
    held: VecDeque<u32>,
    sent_bytes: u64,
    consumed_bytes: u64,
}

struct Storm {
    lab: Lab,
    luck: Luck,
    /// Client's end, server's end; `None` once gone.
    ends: [Option<ConnId>; 2],
    /// What end 0 sends, what end 1 sends.
    streams: [Stream; 2],
    errors: u32,
    timeouts: u32,
    power: bool,
}

const WINDOW: u32 = 2_000;

impl Storm {
    fn new(seed: u64, power: bool) -> Storm {
        let mut lab = Lab::with(2, seed, 100_000_000);
        let window =
            TcpOptions { window: WINDOW, user_timeout: Span::secs(20), ..TcpOptions::default() };
        let (a, b) = lab.pair_with(window, window);
        lab.net.network_mut(lab.switch).latency = Span::us(20)..=Span::ms(3);
        let luck = Luck::root(seed).fork("storm");
        let streams = [Stream::default(), Stream::default()];
        Storm { lab, luck, ends: [Some(a), Some(b)], streams, errors: 0, timeouts: 0, power }
    }

    fn act(&mut self) {
        let side = self.luck.below(2) as usize;
        match self.luck.below(100) {
            0..=39 => self.send(side),
            40..=59 => self.consume(side),
            60..=63 => self.lab.cut(side, 1 - side),
            64..=73 => self.lab.heal(side, 1 - side),
            74 => self.lab.net.network_mut(self.lab.switch).loss_ppm = 200_000,
            75..=77 => self.lab.net.network_mut(self.lab.switch).loss_ppm = 0,
            78 => self.lab.net.freeze(self.lab.now, self.lab.hosts[side]),
            79..=82 => self.lab.net.thaw(self.lab.now, self.lab.hosts[side]),
            83 if self.luck.chance(50_000) => self.close(side),
            84 if self.power && self.luck.chance(50_000) => self.power_cycle(side),
            _ => {
                let means = [Span::us(200), Span::ms(20), Span::ms(20), Span::secs(2)];
                let mean = *self.luck.pick(&means).expect("not empty");
                let span = self.luck.exponential(mean);
                self.pass(span);
            }
        }
    }

    fn send(&mut self, side: usize) {
        let Some(conn) = self.ends[side] else { return };
        let item = self.streams[side].sent.len() as u64;
        let len = self.luck.range(1..=600) as u32;
        let stream = &mut self.streams[side];
        match self.lab.net.tcp_send(self.lab.now, conn, item, len) {
            Ok(()) => {
                assert!(!stream.closed);
                stream.sent.push(item);
                stream.sent_bytes += u64::from(len);
                let under_way = stream.sent_bytes - stream.consumed_bytes;
                assert!(under_way <= u64::from(WINDOW), "{under_way} bytes beyond the window");
            }
            Err(SendError::Full(_)) => assert!(!stream.closed),
            Err(SendError::Closed(_)) => assert!(stream.closed),
        }
    }

    fn consume(&mut self, side: usize) {
        let Some(conn) = self.ends[side] else { return };
        let stream = &mut self.streams[1 - side];
        if let Some(len) = stream.held.pop_front() {
            stream.consumed_bytes += u64::from(len);
            self.lab.net.tcp_consumed(self.lab.now, conn, len);
        }
    }

    fn close(&mut self, side: usize) {
        let Some(conn) = self.ends[side] else { return };
        self.streams[side].closed = true;
        self.lab.net.tcp_shutdown(self.lab.now, conn);
    }

    fn power_cycle(&mut self, side: usize) {
        self.lab.net.host_down(self.lab.now, self.lab.hosts[side]);
        self.lab.net.host_up(self.lab.now, self.lab.hosts[side]);
        self.ends[side] = None;
        self.errors += 1;
    }

    fn pass(&mut self, span: Span) {
        self.lab.run(span);
        for what in self.lab.take() {
            let side = |conn| usize::from(self.ends[1] == Some(conn));
            match what {
                NetWhat::Data { conn, payload, len } => {
                    let stream = &mut self.streams[1 - side(conn)];
                    assert!(!stream.eof, "data after the end of the stream");
                    stream.got.push(payload);
                    stream.held.push_back(len);
                }
                NetWhat::Eof { conn } => self.streams[1 - side(conn)].eof = true,
                NetWhat::Reset { conn } => self.gone(side(conn)),
                NetWhat::TimedOut { conn } => {
                    self.gone(side(conn));
                    self.timeouts += 1;
                }
                NetWhat::Writable { .. } => {}
                other => panic!("unexpected {other:?}"),
            }
        }
        for stream in &self.streams {
            // In order, exactly once, so far.
            assert_eq!(stream.got[..], stream.sent[..stream.got.len()]);
            assert!(!stream.eof || stream.got.len() == stream.sent.len(), "eof before the data");
        }
    }

    fn gone(&mut self, side: usize) {
        self.ends[side] = None;
        self.errors += 1;
    }

    /// Ends every fault and reads everything.
    fn settle(&mut self) {
        self.lab.net.heal_all();
        self.lab.net.network_mut(self.lab.switch).loss_ppm = 0;
        for host in self.lab.hosts.clone() {
            self.lab.net.thaw(self.lab.now, host);
        }
        for _ in 0..20 {
            self.pass(Span::secs(10));
            while !self.streams.iter().all(|s| s.held.is_empty()) {
                self.consume(0);
                self.consume(1);
                if self.ends.contains(&None) {
                    break;
                }
            }
        }
        if self.errors == 0 {
            for stream in &self.streams {
                assert_eq!(stream.got, stream.sent, "without an error everything arrives");
                assert_eq!(stream.eof, stream.closed);
            }
        }
        self.check_nothing_stays();
    }

    /// Closed on both sides, with the network whole, a connection is soon forgotten.
    fn check_nothing_stays(&mut self) {
        for conn in self.ends.into_iter().flatten() {
            self.lab.net.tcp_close(self.lab.now, conn);
        }
        self.lab.run(Span::secs(2000));
        assert_eq!((self.lab.net.tcp_ends(), self.lab.net.next_due()), (0, None));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_stream_arrives_in_order_exactly_once_or_an_error_is_told(seed: u64, power: bool) {
        let mut storm = Storm::new(seed, power);
        (0..600).for_each(|_| storm.act());
        storm.settle();
    }

    #[test]
    fn the_same_seed_gives_the_same_hash_and_another_seed_another(seed: u64) {
        let hash = |seed| {
            let mut storm = Storm::new(seed, true);
            (0..300).for_each(|_| storm.act());
            (storm.lab.net.hash(), storm.lab.net.events(), storm.lab.now)
        };
        prop_assert_eq!(hash(seed), hash(seed));
        prop_assert_ne!(hash(seed).0, hash(seed ^ 1).0);
    }
}

#[test]
fn the_storm_reaches_errors_closes_and_full_streams() {
    let (mut errors, mut timeouts, mut whole, mut closed) = (0, 0, 0, 0);
    for seed in 0..100 {
        let mut storm = Storm::new(seed, seed % 2 == 0);
        (0..600).for_each(|_| storm.act());
        storm.settle();
        errors += u32::from(storm.errors > 0);
        timeouts += storm.timeouts;
        whole += u32::from(storm.errors == 0 && storm.streams[0].got.len() > 20);
        closed += u32::from(storm.streams.iter().any(|s| s.eof));
        assert!(storm.lab.now > SimTime::ZERO);
    }
    let all = [errors, timeouts, whole, closed];
    assert!(all.iter().all(|n| *n > 5), "{all:?}");
}

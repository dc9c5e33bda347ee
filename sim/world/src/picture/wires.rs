//! Which packet that was sent is the one that arrives, and which ones never do.
//!
//! A link is two ordered streams each way, so on one link the next packet to arrive is the oldest
//! that is on its way. No packet of an old link reaches a new one: when a receiver's end comes up,
//! what was sent on older links is lost. The node with the lower id dials, and its end comes up
//! last: when the other end comes up, what the dialling end has sent is all of older links.

use super::packet;
use super::{Cast, Fate, Message};
use drbd::packet::{Packet, Stream};
use std::collections::{BTreeMap, VecDeque};

/// Packets of a stream that are remembered as on their way.
const ON_THE_WAY: usize = 20_000;
/// Questions that are remembered.
const QUESTIONS: usize = 50_000;
/// At the end of a run, what was sent longer ago than this does not arrive any more, ns.
const LATE: u64 = 1_000_000_000;

/// Resource, sender, receiver, control socket?
type Way = (u16, u16, u16, bool);

/// See the module's text.
#[derive(Default)]
pub struct Wires {
    /// With the number of the sender's link.
    ways: BTreeMap<Way, VecDeque<(u32, Message)>>,
    /// How often the end of a link came up: resource, whose end, towards whom.
    ups: BTreeMap<(u16, u16, u16), u32>,
    /// Packets that may be answered: resource, asker, asked, cookie.
    questions: BTreeMap<(u16, u16, u16, packet::Cookie), u64>,
    next: u64,
}

impl Wires {
    /// A packet goes out; `Some`: one that is given up for it.
    pub fn sent(
        &mut self,
        (at, seq): (u64, u64),
        (resource, from, to): (u16, u16, u16),
        packet: &Packet,
    ) -> Option<Message> {
        self.next += 1;
        let id = self.next;
        let answers = packet::answers(packet)
            .and_then(|cookie| self.questions.remove(&(resource, to, from, cookie)));
        if let Some(cookie) = packet::asks(packet) {
            if self.questions.len() >= QUESTIONS {
                self.questions.clear();
            }
            self.questions.insert((resource, from, to, cookie), id);
        }
        let control = packet.stream() == Stream::Control;
        let message = Message {
            id,
            sent: at,
            seq,
            resource,
            from,
            to,
            name: packet::name(packet),
            control,
            bytes: packet.wire_len(),
            fate: Fate::OnItsWay,
            answers,
            text: packet::text(packet),
        };
        let link = self.ups.get(&(resource, from, to)).copied().unwrap_or(0);
        let way = self.ways.entry((resource, from, to, control)).or_default();
        way.push_back((link, message));
        if way.len() <= ON_THE_WAY {
            return None;
        }
        way.pop_front().map(|(_, message)| lost(message))
    }

    /// A packet came in.
    pub fn arrived(
        &mut self,
        at: u64,
        (resource, from, to): (u16, u16, u16),
        packet: &Packet,
    ) -> Option<Message> {
        let control = packet.stream() == Stream::Control;
        let way = self.ways.get_mut(&(resource, from, to, control))?;
        let name = packet::name(packet);
        // The first on its way, if the two ends count alike; else the first of this name.
        let place = way.iter().position(|(_, message)| message.name == name)?;
        let (_, mut message) = way.remove(place)?;
        message.fate = Fate::Arrived(at);
        Some(message)
    }

    /// The end of a link of `host` came up: what is lost with older links.
    pub fn up(&mut self, cast: &Cast, resource: u16, host: u16, peer: u16) -> Vec<Message> {
        let ups = self.ups.get(&(resource, peer, host)).copied().unwrap_or(0);
        let peer_dials = cast.node_on(resource, peer) < cast.node_on(resource, host);
        let oldest = if peer_dials { ups + 1 } else { ups };
        *self.ups.entry((resource, host, peer)).or_default() += 1;
        let mut gone = Vec::new();
        for control in [false, true] {
            let Some(way) = self.ways.get_mut(&(resource, peer, host, control)) else { continue };
            while way.front().is_some_and(|(link, _)| *link < oldest) {
                gone.extend(way.pop_front().map(|(_, message)| lost(message)));
            }
        }
        gone
    }

    /// The run is over: what is still on its way, or will never arrive.
    pub fn end(&mut self, now: u64) -> Vec<Message> {
        let ways = std::mem::take(&mut self.ways);
        let left = ways.into_values().flatten().map(|(_, message)| message);
        left.map(|m| if now - m.sent.min(now) > LATE { lost(m) } else { m }).collect()
    }
}

fn lost(message: Message) -> Message {
    Message { fate: Fate::Lost, ..message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Part;

    fn cast() -> Cast {
        let (name, nodes) = ("vol-a".to_owned(), vec![(0, true), (1, true)]);
        let part = Part { name, volumes: 1, bytes: 0, nodes };
        let hosts = ["alpha", "bravo"].map(str::to_owned).to_vec();
        Cast { hosts, resources: vec![part], vms: Vec::new() }
    }

    #[test]
    fn packets_of_an_old_link_are_lost_when_the_receivers_end_comes_up_anew() {
        let (cast, mut wires) = (cast(), Wires::default());
        let (to_bravo, to_alpha) = ((0, 0, 1), (0, 1, 0));
        // bravo accepts, its end comes up first; alpha dials.
        assert_eq!(wires.up(&cast, 0, 1, 0), []);
        assert_eq!(wires.sent((1, 1), to_alpha, &Packet::Ping), None);
        assert_eq!(wires.up(&cast, 0, 0, 1), []);
        let early = wires.arrived(2, to_alpha, &Packet::Ping).expect("sent before alpha's end");
        assert_eq!((early.sent, early.fate), (1, Fate::Arrived(2)));
        wires.sent((3, 3), to_bravo, &Packet::PingAck);
        let answer = wires.arrived(4, to_bravo, &Packet::PingAck).expect("an answer");
        assert_eq!(answer.answers, Some(early.id));
        // alpha's packet is stuck; both ends come up anew.
        wires.sent((5, 5), to_bravo, &Packet::Ping);
        let gone = wires.up(&cast, 0, 1, 0);
        assert_eq!(gone.iter().map(|m| (m.sent, m.fate)).collect::<Vec<_>>(), [(5, Fate::Lost)]);
        assert_eq!(wires.up(&cast, 0, 0, 1), []);
        wires.sent((6, 6), to_bravo, &Packet::Ping);
        let new = wires.arrived(7, to_bravo, &Packet::Ping).map(|message| message.sent);
        assert_eq!(new, Some(6));
    }

    #[test]
    fn at_the_end_what_is_late_is_lost() {
        let mut wires = Wires::default();
        wires.sent((0, 1), (0, 0, 1), &Packet::Ping);
        wires.sent((4_000_000_000, 2), (0, 0, 1), &Packet::Ping);
        let fates: Vec<Fate> = wires.end(4_500_000_000).into_iter().map(|m| m.fate).collect();
        assert_eq!(fates, [Fate::Lost, Fate::OnItsWay]);
    }
}

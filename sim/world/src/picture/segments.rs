//! From changes to spans: which value a track had from when to when.

use super::{Change, Recording, Track, Value};
use std::collections::BTreeMap;

/// A track had this value from `from` to `to`, ns.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Segment {
    /// Begin.
    pub from: u64,
    /// End, not before the begin.
    pub to: u64,
    /// Never [`Value::None`].
    pub value: Value,
}

/// Spans of every track, by track.
pub fn segments(recording: &Recording) -> BTreeMap<Track, Vec<Segment>> {
    let mut open: BTreeMap<Track, (u64, Value)> = BTreeMap::new();
    let mut all: BTreeMap<Track, Vec<Segment>> = BTreeMap::new();
    for Change { at, track, to, from, .. } in &recording.changes {
        // What the track had when older changes were cut off, it had since the begin.
        let before = open.insert(*track, (*at, *to)).unwrap_or((0, *from));
        push(all.entry(*track).or_default(), before, *at);
    }
    for (track, last) in open {
        push(all.entry(track).or_default(), last, recording.end);
    }
    all
}

fn push(list: &mut Vec<Segment>, (from, value): (u64, Value), to: u64) {
    if value != Value::None {
        list.push(Segment { from, to: to.max(from), value });
    }
}

/// The word that a track has at a time, if it has one.
pub fn word_at(list: Option<&Vec<Segment>>, at: u64) -> Option<&'static str> {
    let list = list?;
    let after = list.partition_point(|segment| segment.from <= at);
    let segment = list[..after].iter().rev().find(|segment| segment.to > at)?;
    match segment.value {
        Value::Word(word) => Some(word),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Kind;

    #[test]
    fn a_track_without_a_value_has_a_gap() {
        let track = Track::of_host(Kind::Power, 0);
        let change = |at, from, to| Change { at, seq: at, track, from: Value::Word(from), to };
        let off = Change { from: Value::None, ..change(0, "", Value::Word("on")) };
        let changes = vec![off, change(5, "on", Value::None), change(8, "", Value::Word("on"))];
        let changes = changes.into_iter().map(|change| match change.at {
            8 => Change { from: Value::None, ..change },
            _ => change,
        });
        let recording = Recording { changes: changes.collect(), end: 9, ..Recording::default() };
        let all = segments(&recording);
        let spans: Vec<_> = all[&track].iter().map(|s| (s.from, s.to)).collect();
        assert_eq!(spans, [(0, 5), (8, 9)]);
        let word = |at| word_at(all.get(&track), at);
        assert_eq!([word(0), word(5), word(8)], [Some("on"), None, Some("on")]);
    }
}

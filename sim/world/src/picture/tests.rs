//! Recordings of whole runs: they tell what happened, change nothing, and are drawn the same twice.

use super::*;
use crate::outcome::RunOptions;
use crate::run::run;
use drbd::quirks::Quirks;
use std::collections::BTreeMap;
use std::time::Duration;

/// The primary is cut off, its VM goes on elsewhere, it comes back.
fn isolated(keep_log: bool) -> Outcome {
    let found = scenarios::BUILTIN.iter().find(|file| file.name() == "primary-isolated");
    let file = found.expect("the scenario is built in");
    let scenario = scenarios::read(file.path, file.text).expect("it reads");
    let wall_limit = Duration::from_secs(120);
    run(
        &scenario,
        &RunOptions { seed: 1, quirks: Quirks::default(), keep_log, wall_limit, marks: true },
    )
}

fn about<'a>(outcome: &'a Outcome, text: &'a str) -> About<'a> {
    About {
        scenario: text,
        seed: "1",
        quirk: Some(text),
        commit: text,
        replay: text,
        plan: text,
        shrunk: Some(text),
        outcome,
    }
}

#[test]
fn a_recording_tells_what_happened_and_changes_nothing() {
    let mut outcome = isolated(true);
    let plain = isolated(false);
    assert_eq!((outcome.trace_hash, outcome.events), (plain.trace_hash, plain.events));
    assert!(plain.recording.is_none());
    let recording = outcome.recording.take().expect("it was asked for");
    assert_eq!(recording.cast.hosts, ["alpha", "bravo", "charlie"]);
    // Packets may be left out, states may not.
    assert_eq!(recording.cut.changes, 0);
    let mut now: BTreeMap<Track, Value> = BTreeMap::new();
    for change in &recording.changes {
        let before = now.insert(change.track, change.to).unwrap_or(Value::None);
        assert_eq!(before, change.from, "{change:?}");
    }
    let saw = |kind, host, word| {
        let is = |c: &&Change| c.track.kind == kind && c.track.host == Some(host);
        recording.changes.iter().filter(is).any(|change| change.to == Value::Word(word))
    };
    assert!(saw(Kind::Role, 0, "Primary") && saw(Kind::Role, 1, "Primary"));
    let lost = |host| {
        let is = |c: &&Change| c.track.kind == Kind::Quorum && c.track.host == Some(host);
        recording.changes.iter().filter(is).any(|change| change.from == Value::Word("yes"))
    };
    assert!(lost(0) && !lost(1), "the one that is cut off loses quorum, the other does not");
    let sent = |wanted: fn(&Fate) -> bool| {
        recording.messages.iter().filter(|message| wanted(&message.fate)).count()
    };
    let arrived = sent(|fate| matches!(fate, Fate::Arrived(_)));
    let lost = sent(|fate| *fate == Fate::Lost);
    assert!(arrived > 1_000 && lost > 0 && lost * 20 < arrived, "{arrived} arrived, {lost} lost");
    for message in &recording.messages {
        assert!(!matches!(message.fate, Fate::Arrived(at) if at < message.sent), "{message:?}");
    }
    let acked = recording.requests.iter().filter(|it| it.end == "acked" && it.kind == "write");
    assert!(acked.count() > 100);
}

#[test]
fn pictures_are_the_same_twice_and_take_texts_as_texts() {
    let mut outcome = isolated(true);
    let recording = outcome.recording.take().expect("it was asked for");
    let nasty = "</script><script>alert(1)</script>\n<!--shrunk-->\"'&\u{202e}";
    let about = about(&outcome, nasty);
    let page = html::page(&recording, &about);
    assert_eq!(page, html::page(&recording, &about));
    assert!(!page.contains("<script>alert") && !page.contains('\u{202e}'));
    // One for the data, one for what draws.
    assert_eq!((page.matches("<script").count(), page.matches("</script>").count()), (2, 2));
    let lines = jsonl::jsonl(&recording, &about);
    for line in lines.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
    let trace = perfetto::perfetto(&recording, &about);
    let trace: serde_json::Value = serde_json::from_str(&trace).expect("JSON");
    assert_eq!(trace["otherData"]["scenario"], nasty);
}

#[test]
fn a_run_of_nothing_can_be_drawn() {
    let outcome = isolated(false);
    let recording = Recording::default();
    let page = html::page(&recording, &about(&outcome, "x"));
    assert!(page.contains("no faults") && page.ends_with("</html>\n"));
    assert_eq!(jsonl::jsonl(&recording, &about(&outcome, "x")).lines().count(), 1);
}

//! `report.html`: one page that needs nothing but itself, for somebody who has never seen this
//! repository.
//!
//! Verdict and replay line come first; then what led there, the pool over time as lettered and
//! hatched bands (colour is never the only sign), messages around the decision, the ledger's entry
//! that broke, the plan. Without JavaScript it is a still picture; with it, it zooms. Names and
//! texts of scenarios are outside data: all of it is escaped.

mod chart;
mod faults;
mod lanes;
mod sequence;
mod tables;

use super::{About, Recording};
use crate::outcome::Outcome;
use std::fmt::Write;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Where the shrunk plan goes, if it comes later.
const SHRUNK: &str = "<!--shrunk-->";

/// The whole page.
pub fn page(recording: &Recording, about: &About) -> String {
    let mut out = String::new();
    let chart = chart::chart(recording, about);
    head(&mut out, about);
    verdict(&mut out, recording, about);
    out.push_str(&chart.svg);
    tables::story(&mut out, about);
    tables::hosts(&mut out, about);
    sequence::sequence(&mut out, recording, about);
    tables::ledger(&mut out, recording);
    tables::recovery(&mut out, about);
    match about.shrunk {
        Some(shrunk) => out.push_str(&shrunk_section(shrunk, about.replay)),
        None => out.push_str(SHRUNK),
    }
    section(
        &mut out,
        "plan",
        "The plan",
        Some("as a scenario file, with the steps that seed drew"),
    );
    let _ = write!(out, "<pre>{}</pre></section>", escape(about.plan));
    let _ = writeln!(
        out,
        "</main><script type=\"application/json\" id=\"drawing\">{}</script><script>{SCRIPT}</script></body></html>",
        chart.counts,
    );
    out
}

/// The page of a run whose plan was shrunk afterwards: with that plan, and how to run it.
pub fn with_shrunk(page: &str, plan: &str, replay: &str) -> String {
    page.replacen(SHRUNK, &shrunk_section(plan, replay), 1)
}

fn shrunk_section(plan: &str, replay: &str) -> String {
    let mut out = String::new();
    let hint = Some("what is left of the plan when everything that can go is gone");
    section(&mut out, "shrunk", "The shrunk plan", hint);
    let _ = write!(
        out,
        "<p class=\"cmd\"><code>{}</code></p><pre>{}</pre></section>",
        escape(replay),
        escape(plan)
    );
    out
}

fn head(out: &mut String, about: &About) {
    let _ = writeln!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <title>{} · {} · seed {}</title><style>{STYLE}</style></head><body><main>",
        if about.outcome.failure.is_some() { "FAIL" } else { "passed" },
        escape(about.scenario),
        escape(about.seed),
    );
}

fn verdict(out: &mut String, recording: &Recording, about: &About) {
    let seed = escape(about.seed);
    let name = escape(about.scenario);
    match &about.outcome.failure {
        None => {
            let _ = write!(
                out,
                "<h1 class=\"ok\"><b>PASSED</b> {name} <small>seed {seed}</small></h1>\
                 <p class=\"what\">Every promise that was checked held for {} of simulated \
                 time.</p>",
                time(recording.end)
            );
        }
        Some(failure) => {
            let _ = write!(
                out,
                "<h1 class=\"bad\"><b>FAILED</b> {name} <small>seed {seed}</small></h1>\
                 <p class=\"what\"><strong>{} <code>{}</code> at t = {}</strong>: {}</p>\
                 <p class=\"means\">{}</p><p class=\"what\">{}</p>",
                failure.class.name(),
                escape(failure.promise),
                time(failure.at),
                broken(about.outcome),
                promise(failure.promise),
                escape(&failure.what),
            );
        }
    }
    let quirk = about.quirk.map_or(String::new(), |quirk| {
        format!(
            "<p>The bug <code>{}</code> was put back on purpose for this run.</p>",
            escape(quirk)
        )
    });
    let cut = recording.cut.said();
    let cut =
        cut.map_or(String::new(), |cut| format!("<p class=\"note\">Note: {}.</p>", escape(&cut)));
    let _ = writeln!(
        out,
        "<p class=\"cmd\">To see it again, at commit <code>{}</code>:<br><code>{}</code></p>{quirk}{cut}",
        escape(about.commit),
        escape(about.replay),
    );
}

fn broken(outcome: &Outcome) -> String {
    match outcome.decision() {
        Some(at) => format!("decided at t = {}", time(at)),
        None => "no single event decided it".to_owned(),
    }
}

/// What a promise means to somebody who has never read of it.
fn promise(name: &str) -> &'static str {
    match name {
        "acked-write-survives" => {
            "Promised: what a VM was told is written is found by whoever serves the disk next."
        }
        "reads-are-fresh" => "Promised: a read returns the newest acknowledged write.",
        "uptodate-means-identical" => {
            "Promised: two copies at rest that both call themselves UpToDate hold the same data."
        }
        "one-primary" => "Promised: never two Primaries that can see each other.",
        "quorum-is-exclusive" => "Promised: with quorum, at most one partition writes.",
        "no-forbidden-state" => {
            "Promised: states that always mean a bug are never seen (ProtocolError, a connection \
             given up unasked, a failed disk without a fault)."
        }
        "io-resumes" => "Promised: once everything is repaired, every VM gets I/O again.",
        "resync-finishes" => "Promised: once everything is repaired, every copy is whole again.",
        "split-brain-is-detected-on-both-sides" => {
            "Promised: both ends of a connection that comes up say the same of whose data counts, a \
             split brain above all."
        }
        "no-needless-split-brain" => {
            "Promised: no split brain is seen where one copy has all that the other has."
        }
        "no-needless-full-sync" => {
            "Promised: no copy is written anew as a whole where it is known what it lacks."
        }
        "outdated-never-promotes" => {
            "Promised: nobody becomes Primary without data that is up to date."
        }
        "last-good-copy-kept" => {
            "Promised: while one copy is half overwritten, another one stays good."
        }
        "bitmap-drains" => {
            "Promised: blocks that may differ between two good copies are looked into in the end."
        }
        "one-view-after-settling" => {
            "Promised: once everything is quiet, connected nodes know each other's state."
        }
        "metadata-survives-crash" => {
            "Promised: whenever a host falls, its metadata tells what its copy may differ in."
        }
        "no-io-after-power-loss" => {
            "Promised: a host that fell writes nothing and answers nothing any more."
        }
        "panic" => "A program of the stack crashed.",
        "limit" => "The run did not end within its bounds.",
        "expectation" => "The scenario says what has to be seen, or must not be.",
        _ => "",
    }
}

/// Begins a section.
fn section(out: &mut String, id: &str, title: &str, hint: Option<&str>) {
    let hint = hint.map_or(String::new(), |hint| format!(" <small>{hint}</small>"));
    let _ = write!(out, "<section id=\"{id}\"><h2>{title}{hint}</h2>");
}

/// Text as it may stand in an element or in a quoted attribute.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            // Neither controls, nor what turns the direction of a line, belongs on a page.
            c if c.is_control()
                || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                out.push('\u{fffd}');
            }
            c => out.push(c),
        }
    }
    out
}

/// Simulated time: "143.882 s".
fn time(ns: u64) -> String {
    format!("{}.{:03} s", ns / 1_000_000_000, ns / 1_000_000 % 1_000)
}

/// How long something took, in the unit that suits.
fn span(ns: u64) -> String {
    match ns {
        0..1_000_000 => format!("{} µs", ns / 1_000),
        1_000_000..1_000_000_000 => format!("{}.{} ms", ns / 1_000_000, ns / 100_000 % 10),
        _ => format!("{}.{} s", ns / 1_000_000_000, ns / 100_000_000 % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_text_is_only_ever_text() {
        assert_eq!(
            escape("<script>alert('&\"')</script>"),
            "&lt;script&gt;alert(&#39;&amp;&quot;&#39;)&lt;/script&gt;"
        );
        assert_eq!(escape("a\u{1b}[31m\u{202e}b"), "a\u{fffd}[31m\u{fffd}b");
    }

    #[test]
    fn a_shrunk_plan_can_come_later() {
        let page = with_shrunk(&format!("<a>{SHRUNK}<b>"), "x < y", "cargo xtask sim --file z");
        assert!(page.starts_with("<a><section id=\"shrunk\">") && page.ends_with("</section><b>"));
        assert!(page.contains("x &lt; y") && page.contains("--file z"));
    }

    #[test]
    fn every_promise_is_explained() {
        for known in crate::check::Promise::ALL {
            assert!(promise(known.name()).starts_with("Promised: "), "{}", known.name());
        }
    }
}

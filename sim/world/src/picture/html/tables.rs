//! The parts of the page that are text: what led there, how the hosts stood, the ledger, times.

use super::super::{About, Recording};
use super::{escape, section, span, time};
use crate::log::Names;
use crate::outcome::Failure;
use std::fmt::Write;
use std::ops::Range;

/// Lines of what led there that are in sight at once.
const LINES: usize = 16;
/// Times of one kind that are listed.
const TIMES: usize = 8;

/// The lines that led to a failure.
pub fn story(out: &mut String, about: &About) {
    let Some(failure) = &about.outcome.failure else { return };
    if failure.story.is_empty() {
        return;
    }
    let hint = "the last events before the promise broke; the marked one decided it";
    section(out, "story", "What led there", Some(hint));
    let tail = failure.story.len().saturating_sub(LINES);
    // The one that decided is always in sight.
    let from = failure.decision.map_or(tail, |decision| decision.saturating_sub(2).min(tail));
    if from > 0 {
        let _ = write!(out, "<details><summary>{from} lines before</summary>");
        lines(out, failure, 0..from);
        out.push_str("</details>");
    }
    lines(out, failure, from..failure.story.len());
    out.push_str("</section>\n");
}

fn lines(out: &mut String, failure: &Failure, range: Range<usize>) {
    out.push_str("<div class=\"wide\"><table class=\"story\">");
    for (i, line) in failure.story.iter().enumerate().take(range.end).skip(range.start) {
        let decided = failure.decision == Some(i);
        let class = if decided { " class=\"decision\"" } else { "" };
        let mark = if decided { " <b>◀ the decision</b>" } else { "" };
        let _ = write!(
            out,
            "<tr{class}><td class=\"n\">{}</td><td>{}</td><td>{}</td><td>{}{mark}</td></tr>",
            time(line.at),
            escape(&line.who),
            escape(line.part),
            escape(&line.text),
        );
    }
    out.push_str("</table></div>");
}

/// How the hosts stood when it failed.
pub fn hosts(out: &mut String, about: &About) {
    let Some(failure) = about.outcome.failure.as_ref().filter(|it| !it.hosts.is_empty()) else {
        return;
    };
    section(out, "hosts", "The hosts at that moment", None);
    out.push_str("<div class=\"wide\"><table><tr>");
    for head in ["host", "resource", "role", "disk", "quorum", "peers", "out of sync"] {
        let _ = write!(out, "<th>{head}</th>");
    }
    out.push_str("</tr>");
    for row in &failure.hosts {
        out.push_str("<tr>");
        let cells = [
            &row.host,
            &row.resource,
            &row.role,
            &row.disk,
            &row.quorum,
            &row.peers,
            &row.out_of_sync,
        ];
        for cell in cells {
            let _ = write!(out, "<td>{}</td>", escape(cell));
        }
        out.push_str("</tr>");
    }
    out.push_str(
        "</table></div><p class=\"note\">Out of sync counts blocks of 4 KiB towards \
         each peer in turn.</p></section>\n",
    );
}

/// The block that broke a promise: what it was told, what the copies hold.
pub fn ledger(out: &mut String, recording: &Recording) {
    let Some(entry) = &recording.entry else { return };
    let cast = &recording.cast;
    let hint = "what applications were told of this block, and what is stored there";
    section(out, "ledger", "The ledger entry that broke", Some(hint));
    let _ = write!(
        out,
        "<p>{}/{} block <code>{:#x}</code> (byte {} of the volume)</p>\
         <div class=\"wide\"><table><tr><th>host</th><th>stores</th></tr>",
        escape(cast.resource(entry.resource)),
        entry.volume,
        entry.block,
        entry.block * 4_096,
    );
    let part = cast.resources.get(usize::from(entry.resource));
    let nodes = (0..).zip(part.iter().flat_map(|part| part.nodes.iter()));
    let nodes: Vec<String> =
        nodes.map(|(id, (host, _))| format!("n{id} is {}", escape(cast.host(*host)))).collect();
    for (host, stored) in &entry.copies {
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td></tr>",
            escape(cast.host(*host)),
            escape(stored)
        );
    }
    out.push_str(
        "</table></div><div class=\"wide\"><table><tr><th>written here, oldest \
         first</th><th>owed by</th><th>durable on</th></tr>",
    );
    let names = |hosts: &[u16]| {
        let names: Vec<String> = hosts.iter().map(|host| escape(cast.host(*host))).collect();
        if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
    };
    if entry.versions.is_empty() {
        out.push_str("<tr><td colspan=\"3\">nothing that is still remembered</td></tr>");
    }
    for version in &entry.versions {
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&version.text),
            names(&version.owed_by),
            names(&version.durable_on),
        );
    }
    let nodes = nodes.join(", ");
    let _ = writeln!(out, "</table></div><p class=\"note\">Node ids: {nodes}.</p></section>");
}

/// Times to recover.
pub fn recovery(out: &mut String, about: &About) {
    if about.outcome.recovery.is_empty() {
        return;
    }
    section(out, "recovery", "Times to recover", None);
    out.push_str(
        "<div class=\"wide\"><table><tr><th>what</th><th>longest</th><th>how \
         often</th><th>in order</th></tr>",
    );
    for (name, times) in &about.outcome.recovery {
        let longest = times.iter().max().copied().unwrap_or(0);
        let mut listed: Vec<String> = times.iter().take(TIMES).map(|ns| span(*ns)).collect();
        if times.len() > TIMES {
            listed.push("…".to_owned());
        }
        let meaning = match *name {
            "io-back" => "a VM got I/O again after an outage",
            "peer-lost" => "a connection was given up after a fault",
            "resync" => "a copy was brought up to date",
            "vm-moved" => "a VM that was started elsewhere had its first I/O",
            _ => "",
        };
        let _ = write!(
            out,
            "<tr><td><b>{}</b> {meaning}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td></tr>",
            escape(name),
            span(longest),
            times.len(),
            listed.join(" · "),
        );
    }
    out.push_str("</table></div></section>\n");
}

//! The pool over time, as one SVG: faults on top, lanes of bands, VMs below.
//!
//! It is complete as it stands; the script only moves what is there, by the times that each element
//! carries (`data-a`, `data-b`, microseconds), and writes the words anew.

use super::super::segments::segments;
use super::super::{About, Recording};
use super::faults;
use super::lanes::{self, Band, Group, Lane};
use super::{escape, section, time};
use std::fmt::Write;

/// Width of the labels, and of the plot, in pixels.
const LEFT: u64 = 168;
const PLOT: u64 = 1_000;
const WIDTH: u64 = LEFT + PLOT + 12;
/// Heights.
const AXIS: u64 = 22;
const ROW: u64 = 16;
const THIN: u64 = 9;
const GAP: u64 = 3;
/// Faults that are drawn, the first so many.
const FAULTS: usize = 600;
/// Rows of faults.
const FAULT_ROWS: usize = 8;

/// The drawing, and how much is in it.
pub struct Chart {
    /// A section with the SVG.
    pub svg: String,
    /// JSON: numbers of lanes, rows, bands and marks, and the length of the run.
    pub counts: String,
}

struct Draw {
    out: String,
    labels: String,
    end: u64,
    y: u64,
    lanes: usize,
    rows: usize,
    bands: usize,
    marks: usize,
}

/// Hundredths of pixels as decimals.
fn px(hundredths: u64) -> String {
    match hundredths % 100 {
        0 => (hundredths / 100).to_string(),
        rest => format!("{}.{rest:02}", hundredths / 100),
    }
}

impl Draw {
    /// Where a time is, in hundredths of pixels.
    fn x(&self, at: u64) -> u64 {
        let plot = u128::from(at.min(self.end)) * u128::from(PLOT * 100);
        LEFT * 100 + (plot / u128::from(self.end)) as u64
    }

    fn band(&mut self, band: &Band, height: u64, hover: &str) {
        let (from, to) = (self.x(band.from), self.x(band.to));
        let wide = (to - from).max(80);
        let word = band.word.chars().count() as u64;
        let letter = band.letter.chars().count() as u64;
        let (a, b) = (band.from / 1_000, band.to / 1_000);
        let thin = if height < ROW { " thin" } else { "" };
        let _ = writeln!(
            self.out,
            "<rect class=\"b {}{thin}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{height}\" data-a=\"{a}\" data-b=\"{b}\" data-l=\"{}\" data-s=\"{}\"><title>{}</title></rect>",
            band.class,
            px(from),
            self.y,
            px(wide),
            escape(&band.word),
            escape(&band.letter),
            escape(hover),
        );
        self.bands += 1;
        let said = match wide / 100 {
            wide if wide > word * 6 + 6 => band.word.as_str(),
            wide if wide > letter * 6 + 4 => band.letter.as_str(),
            _ => "",
        };
        if height >= ROW && !said.is_empty() {
            let dark = if band.class.ends_with(" k") { " k" } else { "" };
            let _ = write!(
                self.labels,
                "<text class=\"l{dark}\" x=\"{}\" y=\"{}\">{}</text>",
                px(from + 300),
                self.y + 12,
                escape(said),
            );
        }
    }

    fn mark(&mut self, at: u64, class: &str, hover: &str) {
        let x = px(self.x(at));
        let _ = writeln!(
            self.out,
            "<line class=\"m {class}\" x1=\"{x}\" x2=\"{x}\" y1=\"{AXIS}\" y2=\"HEIGHT\" data-a=\"{}\"><title>{}</title></line>",
            at / 1_000,
            escape(hover),
        );
        self.marks += 1;
    }

    fn label(&mut self, class: &str, x: u64, y: u64, text: &str) {
        let _ = writeln!(
            self.out,
            "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>",
            escape(text)
        );
    }
}

/// Draws it.
pub fn chart(recording: &Recording, about: &About) -> Chart {
    let tracks = segments(recording);
    let (out, labels, end) = (String::new(), String::new(), recording.end.max(1_000_000));
    let mut draw = Draw { out, labels, end, y: AXIS + 4, lanes: 0, rows: 0, bands: 0, marks: 0 };
    let mut bars = faults::bars(recording, &tracks);
    let all = bars.len();
    bars.truncate(FAULTS);
    fault_rows(&mut draw, &bars);
    if all > FAULTS {
        draw.label("r", LEFT - 5, AXIS + 30, &format!("the first {FAULTS} of {all}"));
    }
    for group in lanes::groups(recording, &tracks) {
        lane_group(&mut draw, &group);
    }
    bars.iter().filter(|bar| bar.fault).for_each(|bar| draw.mark(bar.from, "fault", &bar.text));
    if let Some(failure) = &about.outcome.failure {
        if let Some(at) = about.outcome.decision() {
            draw.mark(at, "decision", &format!("the decision, t = {}", time(at)));
        }
        let what = format!("{} broken, t = {}", failure.promise, time(failure.at));
        draw.mark(failure.at, "broken", &what);
    }
    let height = draw.y + 6;
    let svg = framed(&draw, recording, about, height);
    let counts = format!(
        "{{\"end\":{},\"lanes\":{},\"rows\":{},\"bands\":{},\"marks\":{},\"left\":{LEFT}}}",
        end / 1_000,
        draw.lanes,
        draw.rows,
        draw.bands,
        draw.marks,
    );
    Chart { svg, counts }
}

fn framed(draw: &Draw, recording: &Recording, about: &About, height: u64) -> String {
    let mut svg = String::new();
    section(&mut svg, "time", "The pool over time", Some("simulated time, left to right"));
    legend(&mut svg, about);
    svg.push_str(
        "<p class=\"keys\" id=\"keys\" hidden>\
         <button data-k=\"+\">+</button><button data-k=\"-\">−</button>\
         <button data-k=\"ArrowLeft\">←</button><button data-k=\"ArrowRight\">→</button>\
         <button data-k=\"0\">all</button><button data-k=\"d\">decision</button> \
         <span>Drag over a span to zoom in, Ctrl and wheel to zoom, double click for all; keys: \
         + − ← → 0 (all) d (decision)</span> <output id=\"at\"></output></p>",
    );
    let decision = about.outcome.decision().or(about.outcome.failure.as_ref().map(|f| f.at));
    let decision = decision.map_or(String::new(), |at| format!(" data-d=\"{}\"", at / 1_000));
    let _ = write!(
        svg,
        "<div class=\"wide paper\"><svg id=\"chart\" tabindex=\"0\" role=\"img\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\"{decision} aria-label=\"States of hosts, disks and \
         quorum over time\">{PATTERNS}"
    );
    let _ = write!(svg, "<g id=\"axis\">{}</g>", axis(recording.end.max(1_000_000), height));
    svg.push_str(&draw.out.replace("HEIGHT", &height.to_string()));
    let _ = writeln!(svg, "<g id=\"labels\">{}</g></svg></div></section>", draw.labels);
    svg
}

/// Ticks at round times, at most ten or so.
fn axis(end: u64, height: u64) -> String {
    let mut step = 1_000_000;
    let mut factors = [2, 5, 10].iter().cycle();
    let mut base = step;
    while end / step > 10 {
        let factor = factors.next().copied().unwrap_or(10);
        step = base * factor;
        if factor == 10 {
            base = step;
        }
    }
    let mut out = String::new();
    for at in (0..=end / step).map(|i| i * step) {
        let x = LEFT * 100 + (u128::from(at) * u128::from(PLOT * 100) / u128::from(end)) as u64;
        let text = match step {
            0..1_000_000_000 => format!("{}.{:03} s", at / 1_000_000_000, at / 1_000_000 % 1_000),
            _ => format!("{} s", at / 1_000_000_000),
        };
        let x = px(x);
        let _ = write!(
            out,
            "<line class=\"t\" x1=\"{x}\" x2=\"{x}\" y1=\"16\" y2=\"{height}\"/><text x=\"{x}\" y=\"12\">{text}</text>"
        );
    }
    out
}

/// Bars in as few rows as they need.
fn fault_rows(draw: &mut Draw, bars: &[faults::Bar]) {
    let mut rows: Vec<u64> = Vec::new();
    let top = draw.y;
    let room = |text: &str| text.chars().count() as u64 * 620 + 900;
    for bar in bars {
        let from = draw.x(bar.from);
        // The words of a short bar stand beside it.
        let to = draw.x(bar.to).max(from + room(&bar.text));
        let row = rows.iter().position(|free| *free <= from);
        let row = row.unwrap_or_else(|| {
            if rows.len() < FAULT_ROWS {
                rows.push(0);
            }
            rows.len() - 1
        });
        rows[row] = rows[row].max(to);
        draw.y = top + row as u64 * (ROW + GAP);
        let class = if bar.fault { "fault" } else { "done" };
        let band = Band {
            from: bar.from,
            to: bar.to,
            class,
            letter: String::new(),
            word: bar.text.clone(),
        };
        let hover = match bar.fault {
            true => format!("{}\n{} to {}", bar.text, time(bar.from), time(bar.to)),
            false => format!("{}\n{}", bar.text, time(bar.from)),
        };
        let labels = std::mem::take(&mut draw.labels);
        draw.band(&band, ROW, &hover);
        draw.labels = labels;
        let last = ((LEFT + PLOT) * 100).saturating_sub(bar.text.chars().count() as u64 * 620);
        let (x, y) = (px((from + 300).min(last.max(LEFT * 100))), draw.y + 12);
        let _ = write!(
            draw.labels,
            "<text class=\"l f\" x=\"{x}\" y=\"{y}\">{}</text>",
            escape(&bar.text)
        );
    }
    draw.y = top;
    if rows.is_empty() {
        draw.label("h", 4, top + 12, "no faults");
        rows.push(0);
    } else {
        draw.label("h", 4, top + 12, "faults");
    }
    draw.rows += rows.len();
    draw.y = top + rows.len() as u64 * (ROW + GAP) + 4;
}

fn lane_group(draw: &mut Draw, group: &Group) {
    draw.y += 16;
    let y = draw.y;
    draw.label("g", 4, y, &group.title);
    draw.y += 8;
    for lane in &group.lanes {
        lane_of(draw, lane);
    }
}

fn lane_of(draw: &mut Draw, lane: &Lane) {
    let top = draw.y;
    draw.lanes += 1;
    draw.label("h", 4, top + 12, &lane.name);
    let high = |thin: bool| if thin { THIN } else { ROW };
    let full: u64 = lane.rows.iter().map(|row| high(row.thin) + GAP).sum();
    let _ = writeln!(
        draw.out,
        "<rect class=\"lane\" x=\"{LEFT}\" y=\"{}\" width=\"{PLOT}\" height=\"{full}\"/>",
        top - 1,
    );
    for shade in &lane.shades {
        let hover = lanes::hover(&lane.name, "power", shade);
        draw.band(shade, full - GAP, &hover);
    }
    for row in &lane.rows {
        draw.rows += 1;
        let (height, y) = (high(row.thin), draw.y);
        let (class, base) = if row.thin { ("r s", 8) } else { ("r", 12) };
        draw.label(class, LEFT - 5, y + base, &row.label);
        for band in &row.bands {
            let hover = lanes::hover(&lane.name, &row.label, band);
            draw.band(band, height, &hover);
        }
        draw.y += height + GAP;
    }
    draw.y = top + full + 5;
}

/// Hatching, so that no meaning hangs on colour alone.
const PATTERNS: &str = include_str!("patterns.svg");

fn legend(out: &mut String, about: &About) {
    out.push_str("<details class=\"legend\"><summary>How to read it</summary><ul>");
    let entries = [
        ("pri k", "P", "Primary: this host may write"),
        ("sec", "S", "Secondary; a VM that runs"),
        ("good", "U Q E", "UpToDate disk, quorum, Established replication: all is well"),
        ("fair", "C c", "Consistent: whether newer data exists is not known yet; connected"),
        (
            "old",
            "O ←",
            "Outdated: newer data exists elsewhere; SyncTarget: being brought up to date",
        ),
        (
            "bad",
            "I N s !",
            "Inconsistent disk, no quorum, I/O suspended, no I/O, a link that failed",
        ),
        ("busy", "A w →", "attaching, comparing, sending a resync"),
        ("none", "D …", "no disk (a tie-breaker or client), connecting, waiting"),
        ("dead k", "F A", "Failed disk; StandAlone: the connection was given up"),
        ("off", "off", "no power"),
        ("slow", "f b", "frozen; booting or shutting down"),
    ];
    for (class, letters, text) in entries {
        let dark = if class.ends_with(" k") { " class=\"k\"" } else { "" };
        let _ = write!(
            out,
            "<li><svg width=\"52\" height=\"16\"><rect class=\"b {class}\" width=\"52\" height=\"16\"/><text{dark} x=\"4\" y=\"12\">{letters}</text></svg> {text}</li>"
        );
    }
    out.push_str("</ul>");
    if about.outcome.failure.is_some() {
        out.push_str(
            "<p>The heavy line is the event that decided the failure, the dashed one \
             where it was seen; thin lines are faults.</p>",
        );
    }
    out.push_str("</details>");
}

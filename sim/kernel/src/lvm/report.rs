//! How a report is laid out: columns, separators, JSON.

use super::columns::{Column, Lean, Value};
use super::size::Units;
use super::{Said, args::Args};
use std::cmp::Ordering;

/// How values and lines are written.
#[derive(Debug)]
pub(crate) struct Layout<'a> {
    pub units: Units,
    separator: &'a str,
    headings: bool,
    aligned: bool,
    prefixes: bool,
    quoted: bool,
    rows: bool,
    json: bool,
    pub sorted: bool,
}

impl<'a> Layout<'a> {
    pub fn new(args: &'a Args, units: Units) -> Layout<'a> {
        let buffered = !args.has("unbuffered");
        let prefixes = args.has("nameprefixes");
        Layout {
            units,
            separator: args.value("separator").unwrap_or(" "),
            headings: !args.has("noheadings") && !prefixes,
            aligned: buffered && !prefixes && (!args.has("separator") || args.has("aligned")),
            prefixes,
            quoted: !args.has("unquoted"),
            rows: args.has("rows"),
            json: args.value("reportformat").is_some_and(|format| format.starts_with("json")),
            sorted: buffered,
        }
    }
}

/// A cell as text.
pub(crate) fn cell(value: &Value, units: Units) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Size(bytes) => units.show(*bytes),
        Value::Number(number) => number.to_string(),
        Value::Percent(_, text) => text.clone(),
        Value::Nothing => String::new(),
    }
}

/// Sorts by columns; `true` turns the order round.
pub(crate) fn sort<R>(rows: &mut [(R, Vec<Value>)], turned: &[bool]) {
    rows.sort_by(|(_, a), (_, b)| {
        let by = a.iter().zip(b).zip(turned).map(|((a, b), turned)| match turned {
            true => b.cmp(a),
            false => a.cmp(b),
        });
        by.fold(Ordering::Equal, Ordering::then)
    });
}

/// Prints a report. `kind` is its name in JSON.
pub(crate) fn print(
    said: &mut Said,
    layout: &Layout,
    kind: &str,
    columns: &[&Column],
    cells: &[Vec<String>],
) {
    match layout {
        Layout { json: true, .. } => json(said, kind, columns, cells),
        Layout { rows: true, .. } => turned(said, layout, columns, cells),
        _ => lines(said, layout, columns, cells),
    }
}

fn lines(said: &mut Said, layout: &Layout, columns: &[&Column], cells: &[Vec<String>]) {
    if cells.is_empty() {
        return;
    }
    let width = |at: usize| {
        let widest = cells.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        widest.max().unwrap_or(0).max(columns[at].width())
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let headings: Vec<String> = columns.iter().map(|column| column.heading.to_owned()).collect();
    let headings = layout.headings.then_some(&headings);
    let all = headings.into_iter().map(|row| (row, true)).chain(cells.iter().map(|c| (c, false)));
    for (row, heading) in all {
        let line: Vec<String> = row
            .iter()
            .enumerate()
            .map(|(at, cell)| match (layout.prefixes, layout.aligned) {
                (true, _) => prefixed(columns[at].name, cell, layout.quoted),
                (_, true) if columns[at].lean == Lean::Right && !heading => {
                    format!("{cell:>width$}", width = widths[at])
                }
                (_, true) => format!("{cell:<width$}", width = widths[at]),
                _ => cell.clone(),
            })
            .collect();
        said.print(line.join(layout.separator));
    }
}

fn prefixed(name: &str, cell: &str, quoted: bool) -> String {
    let mark = if quoted { "'" } else { "" };
    format!("LVM2_{}={mark}{cell}{mark}", name.to_ascii_uppercase())
}

fn turned(said: &mut Said, layout: &Layout, columns: &[&Column], cells: &[Vec<String>]) {
    for (at, column) in columns.iter().enumerate() {
        let heading = layout.headings.then(|| column.heading.to_owned());
        let values = cells.iter().filter_map(|row| row.get(at)).cloned();
        let line: Vec<String> = heading.into_iter().chain(values).collect();
        said.print(line.join(layout.separator));
    }
}

fn json(said: &mut Said, kind: &str, columns: &[&Column], cells: &[Vec<String>]) {
    said.print("{");
    said.print("    \"report\": [");
    said.print("        {");
    said.print(format!("            \"{kind}\": ["));
    for (at, row) in cells.iter().enumerate() {
        let fields: Vec<String> = columns
            .iter()
            .zip(row)
            .map(|(column, cell)| {
                let cell = cell.replace('\\', "\\\\").replace('"', "\\\"");
                format!("\"{}\":\"{cell}\"", column.name)
            })
            .collect();
        let comma = if at + 1 < cells.len() { "," } else { "" };
        said.print(format!("                {{{}}}{comma}", fields.join(", ")));
    }
    said.print("            ]");
    said.print("        }");
    said.print("    ]");
    said.print("}");
}

//! `lvs`, `vgs`, `pvs`.

use super::args::Args;
use super::columns::{self, Class, Column, Row, Shown, Value};
use super::names::split;
use super::report::{self, Layout};
use super::select::{self, Selection};
use super::size::Units;
use super::{Done, FAILED, Said, Stop};
use models::lvm::{Group, Lvm};

/// A report: what it lists and shows if nothing else is asked for.
struct Report {
    kind: &'static str,
    columns: &'static str,
    sort: &'static str,
    /// Whose names may be shortened, and in which order.
    own: &'static [Class],
}

const LVS: Report = Report {
    kind: "lv",
    columns: "lv_name,vg_name,lv_attr,lv_size,pool_lv,origin,data_percent,metadata_percent,\
              move_pv,mirror_log,copy_percent,convert_lv",
    sort: "vg_name,lv_name",
    own: &[Class::Volume, Class::Segment, Class::Group, Class::Physical],
};
const VGS: Report = Report {
    kind: "vg",
    columns: "vg_name,pv_count,lv_count,snap_count,vg_attr,vg_size,vg_free",
    sort: "vg_name",
    own: &[Class::Group, Class::Volume, Class::Segment, Class::Physical],
};
const PVS: Report = Report {
    kind: "pv",
    columns: "pv_name,vg_name,pv_fmt,pv_attr,pv_size,pv_free",
    sort: "pv_name",
    own: &[Class::Physical, Class::Group],
};

/// What a command line asks of a report.
struct Asked<'a> {
    columns: Vec<&'static Column>,
    sort: Vec<&'static Column>,
    turned: Vec<bool>,
    selection: Option<Selection>,
    layout: Layout<'a>,
}

impl Asked<'_> {
    /// Is a column of this class shown, sorted by or selected by?
    fn needs(&self, class: Class) -> bool {
        let tests = self.selection.iter().flatten().flatten().map(|test| test.column);
        self.columns.iter().copied().chain(tests).any(|column| column.class == class)
    }
}

fn column(name: &str, own: &[Class], said: &mut Said) -> Result<&'static Column, Stop> {
    match columns::find(name, own) {
        Some(column) => Ok(column),
        None => {
            said.warn(format!("Unrecognised field: {}", name.trim()));
            said.code = FAILED;
            Err(Stop)
        }
    }
}

fn names_of<'a>(usual: &'a str, asked: &'a [String]) -> Vec<&'a str> {
    let mut names: Vec<&str> = usual.split(',').collect();
    for asked in asked {
        match asked.strip_prefix('+') {
            Some(more) => names.extend(more.split(',')),
            None => names = asked.split(',').collect(),
        }
    }
    names.retain(|name| !name.trim().is_empty());
    names
}

fn asked<'a>(args: &'a Args, report: &Report, said: &mut Said) -> Result<Asked<'a>, Stop> {
    let suffix = !args.has("nosuffix");
    let units = match args.value("units") {
        None => Some(Units::USUAL.suffixed(suffix)),
        Some(text) => Units::parse(text, suffix),
    };
    let Some(units) = units else {
        return said.misused(args.command, "Invalid units specification");
    };
    let mut columns = Vec::new();
    for name in names_of(report.columns, args.values("options")) {
        columns.push(column(name, report.own, said)?);
    }
    let (mut sort, mut turned) = (Vec::new(), Vec::new());
    for name in names_of(report.sort, args.values("sort")) {
        let name = name.trim();
        turned.push(name.starts_with('-'));
        sort.push(column(name.trim_start_matches(['-', '+']), report.own, said)?);
    }
    let selection = match args.value("select") {
        Some(text) => Some(select::parse(text, report.own, said)?),
        None => None,
    };
    Ok(Asked { columns, sort, turned, selection, layout: Layout::new(args, units) })
}

/// Selects, sorts and prints.
fn show(said: &mut Said, report: &Report, asked: &Asked, rows: Vec<Row>) {
    let fits = |row: &Row| {
        asked.selection.as_ref().is_none_or(|any| {
            any.iter().any(|all| all.iter().all(|t| select::holds(t, &(t.column.get)(row))))
        })
    };
    let key = |row: &Row| -> Vec<Value> {
        let value = |column: &&Column| match column.name {
            "lv_name" => Value::Text(columns::plain_name(row)),
            _ => (column.get)(row),
        };
        asked.sort.iter().map(value).collect()
    };
    let mut rows: Vec<(Row, Vec<Value>)> =
        rows.into_iter().filter(fits).map(|row| (row, key(&row))).collect();
    if asked.layout.sorted {
        report::sort(&mut rows, &asked.turned);
    }
    let units = asked.layout.units;
    let cells = |row: &Row| {
        let cell = |column: &&Column| report::cell(&(column.get)(row), units);
        asked.columns.iter().map(cell).collect()
    };
    let cells: Vec<Vec<String>> = rows.iter().map(|(row, _)| cells(row)).collect();
    report::print(said, &asked.layout, report.kind, &asked.columns, &cells);
}

/// The volumes of a group: all, or those that are no part of others.
fn volumes(group: &Group, all: bool) -> Vec<Row<'_>> {
    let row = |shown| Row { group: Some(group), volume: Some(shown), segment: None, device: None };
    let mut rows = Vec::new();
    for volume in &group.volumes {
        rows.push(row(Shown::Real(volume)));
        if let (Some(pool), true) = (volume.as_pool(), all) {
            rows.push(row(Shown::Data(volume, pool)));
            rows.push(row(Shown::Metadata(volume, pool)));
        }
    }
    if all && !group.spare.is_empty() {
        rows.push(row(Shown::Spare));
    }
    rows
}

/// A row for each segment, if a column of segments is asked for.
fn by_segment<'a>(rows: Vec<Row<'a>>, asked: &Asked) -> Vec<Row<'a>> {
    if !asked.needs(Class::Segment) {
        return rows;
    }
    let mut out = Vec::new();
    for row in rows {
        let segments = columns::segments_of(&row);
        if segments.is_empty() {
            out.push(row);
        }
        let mut start = 0;
        for segment in segments {
            out.push(Row { segment: Some((segment, start)), ..row });
            start += segment.count;
        }
    }
    out
}

/// Groups that are named, or all; missing ones are complained of.
fn groups<'a>(lvm: &'a Lvm, names: &[String], missing: &mut Vec<String>) -> Vec<&'a Group> {
    if names.is_empty() {
        return lvm.groups().collect();
    }
    let mut found: Vec<&Group> = Vec::new();
    for name in names {
        match lvm.group(name.trim_start_matches("/dev/")) {
            Some(group) if found.iter().any(|known| known.name == group.name) => {}
            Some(group) => found.push(group),
            None => missing.push(name.clone()),
        }
    }
    found
}

pub(crate) fn lvs(lvm: &mut Lvm, args: &Args, said: &mut Said) -> Done {
    let lvm = &*lvm;
    let asked = asked(args, &LVS, said)?;
    let all = args.has("all");
    let mut rows: Vec<Row> = Vec::new();
    if args.words.is_empty() {
        rows.extend(lvm.groups().flat_map(|group| volumes(group, all)));
    }
    for word in &args.words {
        let (name, volume) = split(word);
        let Some(group) = lvm.group(name) else {
            said.warn(format!("Volume group \"{name}\" not found"));
            said.fail(format!("Cannot process volume group {name}"));
            continue;
        };
        let of = volumes(group, all || volume.is_some());
        let Some(volume) = volume else {
            rows.extend(of);
            continue;
        };
        match of.into_iter().find(|row| columns::plain_name(row) == volume) {
            Some(row) => rows.push(row),
            None => said.fail(format!("Failed to find logical volume \"{name}/{volume}\"")),
        }
    }
    let rows = by_segment(rows, &asked);
    show(said, &LVS, &asked, rows);
    Ok(())
}

pub(crate) fn vgs(lvm: &mut Lvm, args: &Args, said: &mut Said) -> Done {
    let lvm = &*lvm;
    let asked = asked(args, &VGS, said)?;
    let mut missing = Vec::new();
    let found = groups(lvm, &args.words, &mut missing);
    let by_volume = asked.needs(Class::Volume) || asked.needs(Class::Segment);
    let mut rows = Vec::new();
    for group in found {
        let empty = Row { group: Some(group), volume: None, segment: None, device: None };
        match by_volume && !group.volumes.is_empty() {
            true => rows.extend(by_segment(volumes(group, false), &asked)),
            false => rows.push(empty),
        }
    }
    for name in missing {
        said.warn(format!("Volume group \"{name}\" not found"));
        said.fail(format!("Cannot process volume group {name}"));
    }
    show(said, &VGS, &asked, rows);
    Ok(())
}

pub(crate) fn pvs(lvm: &mut Lvm, args: &Args, said: &mut Said) -> Done {
    let lvm = &*lvm;
    let asked = asked(args, &PVS, said)?;
    for name in &args.words {
        if lvm.device(name).is_none() {
            said.fail(format!("Cannot use {name}: device not found"));
        } else if lvm.device(name).is_some_and(|device| !device.label) {
            said.fail(format!("Failed to find physical volume \"{name}\"."));
        }
    }
    let wanted = |name: &String| args.words.is_empty() || args.words.contains(name);
    let rows = lvm
        .devices()
        .filter(|device| device.label && wanted(&device.name))
        .map(|device| {
            let group = lvm.group_of(&device.name);
            let at = group.and_then(|group| {
                group.physical.iter().enumerate().find(|(_, p)| p.device == device.name)
            });
            Row { group, volume: None, segment: None, device: Some((device, at)) }
        })
        .collect();
    show(said, &PVS, &asked, rows);
    Ok(())
}

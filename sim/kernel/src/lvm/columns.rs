//! The columns of `lvs`, `vgs` and `pvs`: names, headings, and where their values come from.

use super::size::percent;
use models::lvm::{BLOCK, DATA_START, Device, Group, Kind, Mode, Physical, Pool, Segment};
use models::lvm::{Thin, Volume};

/// A cell before units.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Value {
    Text(String),
    Size(u64),
    Number(i64),
    /// With its decimals, or nothing.
    Percent(Option<u64>, String),
    /// A number or size that this row has none of.
    Nothing,
}

/// Which way a column leans.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lean {
    Left,
    Right,
}

/// What a volume is to a report: hidden ones have no entry of their own in the model.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shown<'a> {
    Real(&'a Volume),
    Data(&'a Volume, &'a Pool),
    Metadata(&'a Volume, &'a Pool),
    Spare,
}

/// One line of a report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub group: Option<&'a Group>,
    pub volume: Option<Shown<'a>>,
    /// Of a volume's segments, this one; none: there is one.
    pub segment: Option<(&'a Segment, u64)>,
    pub device: Option<(&'a Device, Option<(usize, &'a Physical)>)>,
}

/// Whose column it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    Volume,
    Segment,
    Group,
    Physical,
}

impl Class {
    /// What may be left out of its names.
    pub fn prefix(self) -> &'static str {
        match self {
            Class::Volume => "lv_",
            Class::Segment => "seg_",
            Class::Group => "vg_",
            Class::Physical => "pv_",
        }
    }
}

type Get = for<'a> fn(&Row<'a>) -> Value;

/// A column.
#[derive(Debug)]
pub(crate) struct Column {
    pub name: &'static str,
    pub heading: &'static str,
    pub class: Class,
    pub lean: Lean,
    pub get: Get,
}

impl Column {
    /// LVM's least width.
    pub fn width(&self) -> usize {
        let least = match self.name {
            "lv_name" | "lv_full_name" => 4,
            "pv_name" | "lv_device_open" => 10,
            "data_percent" | "snap_percent" | "metadata_percent" => 6,
            "lv_when_full" | "lv_health_status" | "lv_skip_activation" => 15,
            "pe_start" => 7,
            "pv_pe_count" => 3,
            _ => 0,
        };
        least.max(self.heading.len())
    }
}

const fn left(name: &'static str, heading: &'static str, class: Class, get: Get) -> Column {
    Column { name, heading, class, lean: Lean::Left, get }
}

const fn right(name: &'static str, heading: &'static str, class: Class, get: Get) -> Column {
    Column { name, heading, class, lean: Lean::Right, get }
}

use Class::{Group as G, Physical as P, Segment as S, Volume as V};

/// All columns that are known.
pub(crate) const ALL: &[Column] = &[
    left("lv_name", "LV", V, |row| text(name(row))),
    left("lv_full_name", "LV", V, |row| text(full_name(row))),
    left("lv_path", "Path", V, |row| text(path(row))),
    left("lv_dm_path", "DMPath", V, |row| text(dm_path(row))),
    left("lv_parent", "Parent", V, |row| text(parent(row))),
    left("lv_layout", "Layout", V, |row| text(layout(row))),
    left("lv_role", "Role", V, |row| text(role(row))),
    right("lv_skip_activation", "SkipAct", V, |row| flag(row, "skip activation", |v| v.skip)),
    left("lv_when_full", "WhenFull", V, |row| text(when_full(row))),
    left("lv_active", "Active", V, |row| flag(row, "active", |v| v.active)),
    right("lv_size", "LSize", V, size),
    right("lv_metadata_size", "MSize", V, metadata_size),
    right("seg_count", "#Seg", V, |row| Value::Number(segments_of(row).len().max(1) as i64)),
    left("origin", "Origin", V, |row| text(origin(row))),
    left("data_lv", "Data", V, |row| text(part(row, "_tdata"))),
    left("metadata_lv", "Meta", V, |row| text(part(row, "_tmeta"))),
    left("pool_lv", "Pool", V, |row| text(pool_name(row))),
    left("lv_tags", "LV Tags", V, |_| text(String::new())),
    left("move_pv", "Move", V, |_| text(String::new())),
    left("mirror_log", "Log", V, |_| text(String::new())),
    left("convert_lv", "Convert", V, |_| text(String::new())),
    left("lv_health_status", "Health", V, |row| text(health(row).1.to_owned())),
    left("data_percent", "Data%", V, data_percent),
    left("snap_percent", "Snap%", V, data_percent),
    left("metadata_percent", "Meta%", V, metadata_percent),
    right("copy_percent", "Cpy%Sync", V, |_| Value::Percent(None, String::new())),
    left("lv_permissions", "LPerms", V, |row| text(permissions(row))),
    right("lv_device_open", "DevOpen", V, |row| text(open(row).to_owned())),
    left("lv_attr", "Attr", V, |row| text(attributes(row))),
    left("segtype", "Type", S, |row| text(segment_type(row).to_owned())),
    right("stripes", "#Str", S, stripes),
    right("chunk_size", "Chunk", S, |row| Value::Size(pool(row).map_or(0, |p| p.1.chunk))),
    right("thin_count", "#Thins", S, thin_count),
    left("discards", "Discards", S, |row| {
        text(pool(row).map_or("", |p| p.1.discards.name()).to_owned())
    }),
    right("zero", "Zero", S, |row| text(zero(row).to_owned())),
    right("transaction_id", "TransId", S, transaction),
    right("thin_id", "ThId", S, |row| {
        thin(row).map_or(Value::Nothing, |(_, thin)| Value::Number(i64::from(thin.device)))
    }),
    right("seg_start", "Start", S, |row| {
        Value::Size(row.segment.map_or(0, |(_, start)| start) * extent(row))
    }),
    right("seg_size", "SSize", S, |row| match row.segment {
        Some((segment, _)) => Value::Size(segment.count * extent(row)),
        None => size(row),
    }),
    left("seg_pe_ranges", "PE Ranges", S, |row| text(ranges(row))),
    left("devices", "Devices", S, |row| text(devices(row))),
    left("vg_name", "VG", G, |row| text(row.group.map_or(String::new(), |g| g.name.clone()))),
    left("vg_fmt", "Fmt", G, |row| text(row.group.map_or("", |_| "lvm2").to_owned())),
    left("vg_attr", "Attr", G, |row| text(row.group.map_or("", |_| "wz--n-").to_owned())),
    right("vg_size", "VSize", G, |row| of_group(row, |g| Value::Size(g.extents() * g.extent))),
    right("vg_free", "VFree", G, |row| of_group(row, |g| Value::Size(g.free() * g.extent))),
    right("vg_extent_size", "Ext", G, |row| Value::Size(row.group.map_or(0, |g| g.extent))),
    right("vg_extent_count", "#Ext", G, |row| of_group(row, |g| number(g.extents()))),
    right("vg_free_count", "Free", G, |row| of_group(row, |g| number(g.free()))),
    right("max_lv", "MaxLV", G, |row| of_group(row, |_| number(0))),
    right("max_pv", "MaxPV", G, |row| of_group(row, |_| number(0))),
    right("pv_count", "#PV", G, |row| of_group(row, |g| number(g.physical.len() as u64))),
    right("vg_missing_pv_count", "#PV Missing", G, |row| of_group(row, |_| number(0))),
    right("lv_count", "#LV", G, |row| of_group(row, |g| number(g.volumes.len() as u64))),
    right("snap_count", "#SN", G, |row| of_group(row, |_| number(0))),
    left("vg_tags", "VG Tags", G, |_| text(String::new())),
    left("pv_name", "PV", P, |row| text(row.device.map_or(String::new(), |d| d.0.name.clone()))),
    left("pv_fmt", "Fmt", P, |row| text(row.device.map_or("", |_| "lvm2").to_owned())),
    left("pv_attr", "Attr", P, |row| {
        text(if row.group.is_some() { "a--" } else { "---" }.to_owned())
    }),
    right("dev_size", "DevSize", P, |row| Value::Size(row.device.map_or(0, |d| d.0.bytes()))),
    right("pe_start", "1st PE", P, |_| Value::Size(DATA_START)),
    right("pv_size", "PSize", P, |row| {
        let whole = row.device.map_or(0, |d| d.0.bytes());
        Value::Size(physical(row).map_or(whole, |(_, p, g)| p.extents * g.extent))
    }),
    right("pv_free", "PFree", P, |row| {
        let whole = row.device.map_or(0, |d| d.0.bytes());
        Value::Size(physical(row).map_or(whole, |(at, _, g)| g.free_on(at) * g.extent))
    }),
    right("pv_used", "Used", P, |row| {
        let used = |(at, p, g): (usize, &Physical, &Group)| (p.extents - g.free_on(at)) * g.extent;
        Value::Size(physical(row).map_or(0, used))
    }),
    right("pv_pe_count", "PE", P, |row| number(physical(row).map_or(0, |(_, p, _)| p.extents))),
    right("pv_pe_alloc_count", "Alloc", P, |row| {
        number(physical(row).map_or(0, |(at, p, g)| p.extents - g.free_on(at)))
    }),
    left("pv_tags", "PV Tags", P, |_| text(String::new())),
];

/// A column by name, with or without its prefix; a report's own come first.
pub(crate) fn find(name: &str, own: &[Class]) -> Option<&'static Column> {
    let name = name.trim().to_ascii_lowercase();
    let exact = ALL.iter().find(|column| column.name == name);
    let short = |class: &Class| {
        let full = format!("{}{name}", class.prefix());
        ALL.iter().find(|column| column.name == full)
    };
    exact.or_else(|| own.iter().find_map(short))
}

fn text(text: String) -> Value {
    Value::Text(text)
}

fn number(number: u64) -> Value {
    Value::Number(i64::try_from(number).unwrap_or(i64::MAX))
}

fn of_group(row: &Row, get: impl Fn(&Group) -> Value) -> Value {
    row.group.map_or(Value::Nothing, get)
}

fn extent(row: &Row) -> u64 {
    row.group.map_or(0, |group| group.extent)
}

fn physical<'a>(row: &Row<'a>) -> Option<(usize, &'a Physical, &'a Group)> {
    let (at, physical) = row.device?.1?;
    Some((at, physical, row.group?))
}

fn real<'a>(row: &Row<'a>) -> Option<&'a Volume> {
    match row.volume? {
        Shown::Real(volume) => Some(volume),
        _ => None,
    }
}

fn pool<'a>(row: &Row<'a>) -> Option<(&'a Volume, &'a Pool)> {
    let volume = real(row)?;
    Some((volume, volume.as_pool()?))
}

fn thin<'a>(row: &Row<'a>) -> Option<(&'a Volume, &'a Thin)> {
    let volume = real(row)?;
    Some((volume, volume.as_thin()?))
}

/// The pool of a thin volume.
fn pool_of<'a>(row: &Row<'a>) -> Option<(&'a Volume, &'a Pool)> {
    let volume = row.group?.volume(thin(row)?.1.pool)?;
    Some((volume, volume.as_pool()?))
}

/// Is a pool loaded: by itself, or for one of its volumes?
fn is_loaded(row: &Row, pool: &Volume) -> bool {
    let thins = row.group.map(|group| group.thins(pool.id).any(|thin| thin.active));
    pool.active || thins == Some(true)
}

/// Name as it is sorted by.
pub(crate) fn plain_name(row: &Row) -> String {
    match row.volume {
        Some(Shown::Real(volume)) => volume.name.clone(),
        Some(Shown::Data(volume, _)) => format!("{}_tdata", volume.name),
        Some(Shown::Metadata(volume, _)) => format!("{}_tmeta", volume.name),
        Some(Shown::Spare) => "lvol0_pmspare".to_owned(),
        None => String::new(),
    }
}

/// Hidden ones stand in brackets.
fn name(row: &Row) -> String {
    match row.volume {
        None | Some(Shown::Real(_)) => plain_name(row),
        Some(_) => format!("[{}]", plain_name(row)),
    }
}

fn full_name(row: &Row) -> String {
    let group = row.group.map_or("", |group| group.name.as_str());
    format!("{group}/{}", plain_name(row))
}

fn path(row: &Row) -> String {
    match (real(row), pool(row)) {
        (Some(_), None) => format!("/dev/{}", full_name(row)),
        _ => String::new(),
    }
}

fn dm_path(row: &Row) -> String {
    let group = row.group.map_or("", |group| group.name.as_str());
    let hyphens = |name: &str| name.replace('-', "--");
    match row.volume {
        None => String::new(),
        Some(_) => format!("/dev/mapper/{}-{}", hyphens(group), hyphens(&plain_name(row))),
    }
}

fn parent(row: &Row) -> String {
    match row.volume {
        Some(Shown::Data(volume, _) | Shown::Metadata(volume, _)) => volume.name.clone(),
        _ => String::new(),
    }
}

fn layout(row: &Row) -> String {
    match (row.volume.is_some(), pool(row), thin(row)) {
        (false, ..) => "",
        (_, Some(_), _) => "thin,pool",
        (_, _, Some(_)) => "thin,sparse",
        _ => "linear",
    }
    .to_owned()
}

fn role(row: &Row) -> String {
    let snapshots = |volume: &Volume| row.group.map_or(0, |g| g.snapshots(volume.id).count());
    let Some(shown) = row.volume else { return String::new() };
    let mut words = match shown {
        Shown::Spare => vec!["private", "pool", "spare"],
        Shown::Data(..) => vec!["private", "thin", "pool", "data"],
        Shown::Metadata(..) => vec!["private", "thin", "pool", "metadata"],
        Shown::Real(volume) if volume.as_pool().is_some() => vec!["private"],
        Shown::Real(_) => vec!["public"],
    };
    if let Shown::Real(volume) = shown {
        match snapshots(volume) {
            0 => {}
            1 => words.extend(["origin", "thinorigin"]),
            _ => words.extend(["origin", "thinorigin", "multithinorigin"]),
        }
        if volume.as_thin().is_some_and(|thin| thin.origin.is_some()) {
            words.extend(["snapshot", "thinsnapshot"]);
        }
    }
    words.join(",")
}

fn flag(row: &Row, word: &str, is: impl Fn(&Volume) -> bool) -> Value {
    let yes = real(row).is_some_and(is);
    text(if yes { word.to_owned() } else { String::new() })
}

fn when_full(row: &Row) -> String {
    match pool(row) {
        Some((_, pool)) if pool.error_when_full => "error".to_owned(),
        Some(_) => "queue".to_owned(),
        None => String::new(),
    }
}

fn size(row: &Row) -> Value {
    let extents = match row.volume {
        None => return Value::Nothing,
        Some(Shown::Real(volume) | Shown::Data(volume, _)) => volume.extents,
        Some(Shown::Metadata(_, pool)) => pool.metadata.iter().map(|s| s.count).sum(),
        Some(Shown::Spare) => row.group.map_or(0, |g| g.spare.iter().map(|s| s.count).sum()),
    };
    Value::Size(extents * extent(row))
}

fn metadata_size(row: &Row) -> Value {
    let extents = |pool: &Pool| pool.metadata.iter().map(|s| s.count).sum::<u64>();
    pool(row).map_or(Value::Nothing, |(_, pool)| Value::Size(extents(pool) * extent(row)))
}

/// The runs of extents of a volume; none for what has no extents of its own.
pub(crate) fn segments_of<'a>(row: &Row<'a>) -> &'a [Segment] {
    match row.volume {
        Some(Shown::Real(Volume { kind: Kind::Linear(segments), .. })) => segments,
        Some(Shown::Data(_, pool)) => &pool.data,
        Some(Shown::Metadata(_, pool)) => &pool.metadata,
        Some(Shown::Spare) => row.group.map_or(&[], |group| &group.spare),
        _ => &[],
    }
}

fn origin(row: &Row) -> String {
    let of = thin(row).and_then(|(_, thin)| row.group?.volume(thin.origin?));
    of.map_or(String::new(), |volume| volume.name.clone())
}

fn part(row: &Row, suffix: &str) -> String {
    pool(row).map_or(String::new(), |(volume, _)| format!("[{}{suffix}]", volume.name))
}

fn pool_name(row: &Row) -> String {
    pool_of(row).map_or(String::new(), |(volume, _)| volume.name.clone())
}

fn data_percent(row: &Row) -> Value {
    let (part, all) = match (pool(row), thin(row)) {
        (Some((volume, pool)), _) if is_loaded(row, volume) => {
            (pool.space.used(), pool.space.chunks())
        }
        (_, Some((volume, thin))) if volume.active => {
            let Some((_, pool)) = pool_of(row) else { return Value::Nothing };
            let all = volume.extents * extent(row) / pool.chunk.max(BLOCK);
            (pool.space.mapped(thin.device), all)
        }
        _ => return Value::Percent(None, String::new()),
    };
    share(part, all)
}

fn metadata_percent(row: &Row) -> Value {
    match pool(row) {
        Some((volume, pool)) if is_loaded(row, volume) => {
            share(pool.space.metadata_used(), pool.space.metadata())
        }
        _ => Value::Percent(None, String::new()),
    }
}

fn share(part: u64, all: u64) -> Value {
    let order = u128::from(part) * 1_000_000 / u128::from(all.max(1));
    Value::Percent(Some(order as u64), percent(part, all))
}

fn permissions(row: &Row) -> String {
    match real(row) {
        Some(volume) if !volume.writable => "read-only",
        Some(volume) if volume.active => "writeable",
        _ => "unknown",
    }
    .to_owned()
}

fn open(row: &Row) -> &'static str {
    match real(row) {
        Some(volume) if volume.active && volume.open => "open",
        Some(volume) if volume.active => "",
        _ => "unknown",
    }
}

/// A pool's number of changes; of a thin volume, the one that made it.
fn transaction(row: &Row) -> Value {
    match (pool(row), thin(row)) {
        (Some((_, pool)), _) => number(pool.transaction),
        (_, Some((_, thin))) => number(thin.transaction),
        _ => Value::Nothing,
    }
}

/// Letter of `lv_attr`, and word.
fn health(row: &Row) -> (char, &'static str) {
    match pool(row).map(|(_, pool)| pool.mode) {
        Some(Mode::OutOfDataSpace | Mode::OutOfDataSpaceError) => ('D', "out_of_data"),
        Some(Mode::ReadOnly) => ('M', "metadata_read_only"),
        Some(Mode::Write) | None => ('-', ""),
    }
}

/// The ten letters of `lvs(8)`: type, permissions, allocation, fixed minor, state, open, target,
/// zeroing, health, skip.
fn attributes(row: &Row) -> String {
    let Some(shown) = row.volume else { return String::new() };
    let volume = match shown {
        Shown::Spare => return "ewi-------".to_owned(),
        Shown::Data(volume, _) | Shown::Metadata(volume, _) => {
            let kind = if matches!(shown, Shown::Data(..)) { 'T' } else { 'e' };
            let state = if is_loaded(row, volume) { "ao" } else { "--" };
            return format!("{kind}wi-{state}----");
        }
        Shown::Real(volume) => volume,
    };
    let (kind, target, zero) = match &volume.kind {
        Kind::Linear(_) => ('-', '-', false),
        Kind::Pool(pool) => ('t', 't', pool.zero),
        Kind::Thin(_) => ('V', 't', pool_of(row).is_some_and(|(_, pool)| pool.zero)),
    };
    let used = row.group.is_some_and(|group| group.thins(volume.id).any(|thin| thin.active));
    let letter = |yes: bool, letter: char| if yes { letter } else { '-' };
    [
        kind,
        if volume.writable { 'w' } else { 'r' },
        'i',
        '-',
        letter(volume.active, 'a'),
        letter(volume.active && (volume.open || used), 'o'),
        target,
        letter(zero, 'z'),
        health(row).0,
        letter(volume.skip, 'k'),
    ]
    .iter()
    .collect()
}

fn segment_type(row: &Row) -> &'static str {
    match (pool(row), thin(row), row.volume) {
        (Some(_), ..) => "thin-pool",
        (_, Some(_), _) => "thin",
        (_, _, Some(_)) => "linear",
        _ => "",
    }
}

fn stripes(row: &Row) -> Value {
    match (thin(row), row.volume) {
        (Some(_), _) => Value::Number(0),
        (_, Some(_)) => Value::Number(1),
        _ => Value::Nothing,
    }
}

fn thin_count(row: &Row) -> Value {
    match (pool(row), row.group) {
        (Some((volume, _)), Some(group)) => number(group.thins(volume.id).count() as u64),
        _ => Value::Nothing,
    }
}

fn zero(row: &Row) -> &'static str {
    let zeroes = pool(row).or_else(|| pool_of(row)).map(|(_, pool)| pool.zero);
    match (zeroes, row.volume) {
        (Some(true), _) => "zero",
        (Some(false), _) | (None, None) => "",
        (None, Some(_)) => "unknown",
    }
}

fn ranges(row: &Row) -> String {
    if let Some((volume, _)) = pool(row) {
        return format!("{}_tdata:0-{}", volume.name, volume.extents.saturating_sub(1));
    }
    on_device(row, |segment| {
        format!(":{}-{}", segment.start, segment.start + segment.count.saturating_sub(1))
    })
}

fn devices(row: &Row) -> String {
    match pool(row) {
        Some((volume, _)) => format!("{}_tdata(0)", volume.name),
        None => on_device(row, |segment| format!("({})", segment.start)),
    }
}

fn on_device(row: &Row, place: impl Fn(&Segment) -> String) -> String {
    let Some((segment, _)) = row.segment else { return String::new() };
    let physical = row.group.and_then(|group| group.physical.get(segment.physical));
    physical.map_or(String::new(), |physical| format!("{}{}", physical.device, place(segment)))
}

//! `lvcreate`: linear volumes, thin pools, thin volumes, thin snapshots.

use super::args::Args;
use super::names::{check_volume, split};
use super::size::{Amount, Of, amount_of, bytes_of, words};
use super::{Done, Said, Stop};
use models::lvm::{Group, Kind, Lvm, PoolOptions, VolumeId, default_chunk, default_metadata};

/// Largest data of a pool with chunks of 64 KiB, in bytes: 15.875 TiB.
const ADDRESSABLE: u64 = 127 << 37;
const CHUNK: u64 = 64 << 10;

pub(crate) fn lvcreate(lvm: &mut Lvm, args: &Args, said: &mut Said) -> Done {
    let amount = amount_of(args, false, said)?.map(|(_, amount)| amount);
    let virtual_size = bytes_of(args, "virtualsize", said)?;
    if let Some(name) = args.value("name") {
        let plain = match name.split_once('/') {
            Some((_, plain)) => plain,
            None => name,
        };
        // The group may stand before the name.
        check_volume(args.command, if plain.contains('/') { name } else { plain }, said)?;
    }
    let kind = args.value("type").unwrap_or("");
    let pool = args.has("thin") || args.has("thinpool") || kind.starts_with("thin");
    if virtual_size == Some(0) {
        return said.misused(args.command, "Virtual size may not be zero.");
    }
    match (pool, args.has("snapshot"), virtual_size, amount) {
        (_, true, None, None) => snapshot(lvm, args, said),
        (false, false, None, None) => said.no_match(args.command, ""),
        (false, false, Some(_), None) => {
            said.misused(args.command, "Please specify name of existing pool.")
        }
        (true, false, None, Some(amount)) => {
            let asked = place(args, true, said)?;
            new_pool(lvm, args, &asked, amount, said).map(|_| ())
        }
        (true, false, None, None) => thin_snapshot(lvm, args, said),
        (true, false, Some(size), amount) => thin(lvm, args, size, amount, said),
        (false, false, None, Some(amount)) => linear(lvm, args, amount, said),
        _ => said.no_match(args.command, ""),
    }
}

/// Where a new volume goes.
struct Place {
    group: String,
    /// Pool that is named, as `--thinpool` or in `-T vg/pool`.
    pool: Option<String>,
    name: Option<String>,
    /// Physical volumes.
    rest: Vec<String>,
}

/// Group, pool and name stand in several places. `is_pool`: the name is the pool's.
fn place(args: &Args, is_pool: bool, said: &mut Said) -> Result<Place, Stop> {
    let mut name = args.value("name").map(str::to_owned);
    let mut group = None;
    if let Some((of, plain)) = args.value("name").and_then(|name| name.split_once('/')) {
        (group, name) = (Some(of.to_owned()), Some(plain.to_owned()));
    }
    let mut pool = None;
    if let Some(word) = args.value("thinpool") {
        match word.trim_start_matches("/dev/").split_once('/') {
            Some((of, plain)) => (group, pool) = (Some(of.to_owned()), Some(plain.to_owned())),
            None => pool = Some(word.to_owned()),
        }
    }
    let mut rest = args.words.clone();
    let thin = args.has("thin") || args.has("snapshot");
    if let Some(first) = args.words.first().filter(|_| group.is_none() || thin) {
        let (of, plain) = split(first);
        group.get_or_insert_with(|| of.to_owned());
        if let Some(plain) = plain {
            pool.get_or_insert_with(|| plain.to_owned());
        }
        rest.remove(0);
    }
    let Some(group) = group else {
        return said.misused(args.command, "Please provide a volume group name");
    };
    if is_pool {
        name = pool.clone().or(name);
    }
    Ok(Place { group, pool, name, rest })
}

/// A name that is free: `lvol0` and so on.
fn free_name(group: &Group) -> String {
    let taken = |n: &u32| group.find(&format!("lvol{n}")).is_some();
    let spare = u32::from(!group.spare.is_empty());
    let number = (spare..).find(|n| !taken(n)).unwrap_or(0);
    format!("lvol{number}")
}

/// Extents of a size, which may be rounded up.
fn rounded(group: &Group, bytes: u64, said: &mut Said) -> u64 {
    let extents = bytes.div_ceil(group.extent);
    if !bytes.is_multiple_of(group.extent) {
        let whole = words(extents * group.extent);
        said.print(format!("Rounding up size to full physical extent {whole}"));
    }
    extents
}

/// Extents of an amount; a share of the group is cut to what is free.
fn extents_of(group: &Group, amount: Amount, only: &[usize], said: &mut Said) -> Result<u64, Stop> {
    let free = match only {
        [] => group.free(),
        only => only.iter().map(|at| group.free_on(*at)).sum(),
    };
    let share = |percent: u64, of: u64| {
        u64::try_from(u128::from(percent) * u128::from(of) / 100).unwrap_or(u64::MAX)
    };
    let extents = match amount {
        Amount::Bytes(bytes) => return Ok(rounded(group, bytes, said)),
        Amount::Extents(extents) => return Ok(extents),
        Amount::Percent(percent, Of::Group) => {
            let wanted = share(percent, group.extents());
            if wanted > free && free > 0 {
                let left = words(free * group.extent);
                said.print(format!("Reducing {percent}%VG to remaining free space {left} in VG."));
            }
            wanted.min(free)
        }
        Amount::Percent(percent, _) => share(percent, free).min(free),
    };
    match extents {
        0 => said.stop("Calculated size of logical volume is 0 extents. Needs to be larger."),
        extents => Ok(extents),
    }
}

fn has_room(group: &Group, wanted: u64, said: &mut Said) -> Done {
    let free = group.free();
    if wanted <= free {
        return Ok(());
    }
    let name = &group.name;
    said.stop(format!(
        "Volume group \"{name}\" has insufficient free space ({free} extents): {wanted} required."
    ))
}

/// Indices of physical volumes that are named.
fn physical(group: &Group, names: &[String], said: &mut Said) -> Result<Vec<usize>, Stop> {
    let mut found = Vec::new();
    for name in names {
        match group.physical.iter().position(|p| p.device == *name) {
            Some(at) => found.push(at),
            None => {
                return said.stop(format!(
                    "Physical Volume \"{name}\" not found in Volume Group \"{}\".",
                    group.name
                ));
            }
        }
    }
    Ok(found)
}

fn linear(lvm: &mut Lvm, args: &Args, amount: Amount, said: &mut Said) -> Done {
    let asked = place(args, false, said)?;
    let id = lvm.next_id();
    let Some(group) = lvm.group_mut(&asked.group) else { return said.no_group(&asked.group) };
    let only = physical(group, &asked.rest, said)?;
    let extents = extents_of(group, amount, &only, said)?;
    if let Some(name) = &asked.name {
        is_free(group, name, said)?;
    }
    for at in only.iter().filter(|at| group.free_on(**at) == 0) {
        let device = &group.physical[*at].device;
        said.warn(format!("WARNING: No free extents on physical volume \"{device}\"."));
    }
    if !only.is_empty() && only.iter().all(|at| group.free_on(*at) == 0) {
        return said.stop("No specified PVs have space available.");
    }
    has_room(group, extents, said)?;
    let name = asked.name.unwrap_or_else(|| free_name(group));
    if group.create_linear(id, &name, extents, &only).is_err() {
        return said.stop("Insufficient suitable allocatable extents for logical volume.");
    }
    let active = settle(group, id, args, false);
    if !active && args.yes("zero") != Some(false) {
        said.warn(format!("WARNING: Logical volume {}/{name} not zeroed.", group.name));
    }
    said.print(format!("Logical volume \"{name}\" created."));
    Ok(())
}

fn is_free(group: &Group, name: &str, said: &mut Said) -> Done {
    if group.find(name).is_none() {
        return Ok(());
    }
    said.stop(format!(
        "Logical Volume \"{name}\" already exists in volume group \"{}\"",
        group.name
    ))
}

/// Sets what options say of a new volume; is it active?
fn settle(group: &mut Group, id: VolumeId, args: &Args, snapshot: bool) -> bool {
    let Some(volume) = group.volume_mut(id) else { return false };
    volume.skip = args.yes("setactivationskip").unwrap_or(snapshot);
    let skipped = volume.skip && !args.has("ignoreactivationskip");
    let wanted = args.value("activate").is_none_or(|value| !value.ends_with('n'));
    volume.active = wanted && !skipped;
    volume.writable = args.value("permission") != Some("r");
    volume.active
}

/// Bytes of a chunk, as asked for or as LVM chooses it.
fn chunk_of(args: &Args, data: u64, said: &mut Said) -> Result<u64, Stop> {
    let default = |text: &str| match text.ends_with(|c: char| c.is_ascii_digit()) {
        // A chunk without a unit is in KiB.
        true => format!("{text}k"),
        false => text.to_owned(),
    };
    let Some(text) = args.value("chunksize") else { return Ok(default_chunk(data)) };
    let chunk = super::size::parse_bytes(&default(text)).unwrap_or(0);
    let (range, multiple) = ((CHUNK..=1 << 30).contains(&chunk), chunk.is_multiple_of(CHUNK));
    if !range {
        said.warn(format!(
            "Thin pool chunk size {} is not in the range 64.00 KiB to 1.00 GiB.",
            words(chunk)
        ));
    }
    if !multiple {
        said.warn(format!(
            "Thin pool chunk size {} must be a multiple of 64.00 KiB.",
            words(chunk)
        ));
    }
    if range && multiple {
        return Ok(chunk);
    }
    said.warn(format!("Run `{} --help' for more information.", args.command));
    said.code = super::INVALID;
    Err(Stop)
}

/// Makes the pool that `asked.name` names; its number.
fn new_pool(
    lvm: &mut Lvm,
    args: &Args,
    asked: &Place,
    amount: Amount,
    said: &mut Said,
) -> Result<VolumeId, Stop> {
    let metadata = bytes_of(args, "poolmetadatasize", said)?;
    let id = lvm.next_id();
    let Some(group) = lvm.group_mut(&asked.group) else { return said.no_group(&asked.group) };
    if let Some(name) = asked.name.as_deref().filter(|name| group.find(name).is_some()) {
        return said.stop(format!(
            "Logical volume {name} already exists in Volume group {}.",
            asked.group
        ));
    }
    let only = physical(group, &asked.rest, said)?;
    let share = matches!(amount, Amount::Percent(..));
    let mut extents = extents_of(group, amount, &only, said)?;
    let bytes = extents.saturating_mul(group.extent);
    let chunk = chunk_of(args, bytes, said)?;
    if chunk > group.extent {
        return said.stop(format!(
            "Thin pool chunk size {} is larger than an extent: not modelled.",
            words(chunk)
        ));
    }
    let metadata = metadata.unwrap_or_else(|| default_metadata(bytes, chunk));
    let metadata_extents = metadata.div_ceil(group.extent).max(1);
    let spare: u64 = group.spare.iter().map(|s| s.count).sum();
    let beside = metadata_extents + metadata_extents.saturating_sub(spare);
    if share {
        extents = extents.min(group.free().saturating_sub(beside));
    }
    has_room(group, extents.max(1).saturating_add(beside), said)?;
    let zero = args.yes("zero").unwrap_or(true);
    let error_when_full = args.yes("errorwhenfull").unwrap_or(false);
    let options = PoolOptions { metadata_extents, chunk, zero, error_when_full };
    let name = asked.name.clone().unwrap_or_else(|| free_name(group));
    said.print(format!(
        "Thin pool volume with chunk size {} can address at most {} of data.",
        words(chunk),
        words(ADDRESSABLE.saturating_mul(chunk / CHUNK))
    ));
    if group.create_pool(id, &name, extents, &options).is_err() {
        return said.stop("Insufficient suitable allocatable extents for logical volume.");
    }
    if let Some(pool) = group.pool_mut(id) {
        pool.discards = super::change::discards(args).unwrap_or(pool.discards);
    }
    if !args.has("virtualsize") {
        settle(group, id, args, false);
        said.print(format!("Logical volume \"{name}\" created."));
    }
    Ok(id)
}

/// A thin volume, with its pool if that is asked for too.
fn thin(lvm: &mut Lvm, args: &Args, size: u64, amount: Option<Amount>, said: &mut Said) -> Done {
    let asked = place(args, false, said)?;
    let Some(group) = lvm.group(&asked.group) else { return said.no_group(&asked.group) };
    let Some(pool_name) = asked.pool.clone() else {
        return said.misused(args.command, "Please specify name of existing pool.");
    };
    let found = group.find(&pool_name).map(|volume| (volume.id, volume.as_pool().is_some()));
    let both = amount.is_some();
    let pool = match (found, amount) {
        (Some((id, true)), None) => id,
        (Some((_, true)), Some(_)) => {
            return said.stop(format!(
                "Logical volume {pool_name} already exists in Volume group {}.",
                asked.group
            ));
        }
        (Some((_, false)), _) => {
            let full = format!("{}/{pool_name}", asked.group);
            return said.stop(format!("Logical volume {full} is not a thin pool."));
        }
        (None, None) => {
            return said
                .stop(format!("Pool {pool_name} not found in Volume group {}.", asked.group));
        }
        (None, Some(amount)) => {
            if let Some(name) = &asked.name {
                is_free(group, name, said)?;
            }
            let named = Place { name: Some(pool_name), ..place(args, true, said)? };
            new_pool(lvm, args, &named, amount, said)?
        }
    };
    let id = lvm.next_id();
    let Some(group) = lvm.group_mut(&asked.group) else { return Err(Stop) };
    let extents = rounded(group, size, said);
    if let Some(name) = &asked.name {
        is_free(group, name, said)?;
    }
    let name = asked.name.unwrap_or_else(|| free_name(group));
    group.create_thin(id, &name, extents, pool);
    settle(group, id, args, false);
    // LVM compares with a pool that was there before.
    if !both {
        overprovisioned(group, pool, said);
    }
    said.print(format!("Logical volume \"{name}\" created."));
    Ok(())
}

/// `-T vg/lv` without a size means a snapshot of a thin volume.
fn thin_snapshot(lvm: &mut Lvm, args: &Args, said: &mut Said) -> Done {
    let asked = place(args, false, said)?;
    let Some(group) = lvm.group(&asked.group) else { return said.no_group(&asked.group) };
    match asked.pool.as_deref() {
        None => said.no_match(args.command, ""),
        Some(name) if group.find(name).is_none_or(|of| of.as_pool().is_none()) => {
            snapshot(lvm, args, said)
        }
        Some(name) => said
            .stop(format!("Logical volume {name} already exists in Volume group {}.", asked.group)),
    }
}

fn snapshot(lvm: &mut Lvm, args: &Args, said: &mut Said) -> Done {
    let asked = place(args, false, said)?;
    let id = lvm.next_id();
    let Some(group) = lvm.group_mut(&asked.group) else { return said.no_group(&asked.group) };
    let Some(origin) = asked.pool.as_deref() else { return said.no_match(args.command, "") };
    let Some(of) = group.find(origin).cloned() else {
        return said.stop(format!(
            "Snapshot origin LV {origin} not found in Volume group {}.",
            asked.group
        ));
    };
    let Kind::Thin(thin) = &of.kind else {
        // A thick snapshot has a size of its own.
        return said.no_match(args.command, "");
    };
    if let Some(name) = &asked.name {
        is_free(group, name, said)?;
    }
    let name = asked.name.unwrap_or_else(|| free_name(group));
    group.create_snapshot(id, &name, of.id);
    settle(group, id, args, true);
    overprovisioned(group, thin.pool, said);
    said.print(format!("Logical volume \"{name}\" created."));
    Ok(())
}

/// More is promised than the pool holds.
pub(crate) fn overprovisioned(group: &Group, pool: VolumeId, said: &mut Said) {
    let Some(of) = group.volume(pool) else { return };
    let sum: u64 = group.thins(pool).map(|thin| thin.extents).sum();
    if sum <= of.extents {
        return;
    }
    said.print(
        "WARNING: You have not turned on protection against thin pools running out of space.",
    );
    said.print(
        "WARNING: Set activation/thin_pool_autoextend_threshold below 100 to trigger automatic \
         extension of thin pools before they get full.",
    );
    let bytes = |extents: u64| words(extents.saturating_mul(group.extent));
    let free = group.free();
    let and = match () {
        () if sum > group.extents() => {
            format!(" and the size of whole volume group ({})", bytes(group.extents()))
        }
        () if free == 0 => " and there is no free space in volume group".to_owned(),
        () if sum > free => {
            format!(" and the amount of free space in volume group ({})", bytes(free))
        }
        () => format!(" ({})", bytes(of.extents)),
    };
    said.warn(format!(
        "WARNING: Sum of all thin volume sizes ({}) exceeds the size of thin pool {}/{}{and}.",
        bytes(sum),
        group.name,
        of.name
    ));
}

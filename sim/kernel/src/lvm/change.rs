//! `lvremove`, `lvrename`, `lvchange`, `lvconvert`.

use super::args::Args;
use super::names::{check_volume, split};
use super::{Done, Said, Stop};
use models::lvm::{Discards, Group, Kind, Lvm, VolumeId};

/// The volumes that words name, in the group's order, by group; missing ones are complained of.
fn named(
    lvm: &Lvm,
    words: &[String],
    missing: &mut Vec<String>,
    said: &mut Said,
) -> Vec<(String, Vec<VolumeId>)> {
    let mut found: Vec<(String, Vec<VolumeId>)> = Vec::new();
    for word in words {
        let (name, volume) = split(word);
        let Some(group) = lvm.group(name) else {
            said.warn(format!("Volume group \"{name}\" not found"));
            said.fail(format!("Cannot process volume group {name}"));
            continue;
        };
        if !found.iter().any(|(known, _)| known == name) {
            found.push((name.to_owned(), Vec::new()));
        }
        let Some((_, ids)) = found.iter_mut().find(|(known, _)| known == name) else { continue };
        match volume.map(|volume| (volume, group.find(volume))) {
            None => ids.extend(group.volumes.iter().map(|volume| volume.id)),
            Some((_, Some(volume))) => ids.push(volume.id),
            Some((volume, None)) => missing.push(format!("{name}/{volume}")),
        }
    }
    for (name, ids) in &mut found {
        let Some(group) = lvm.group(name) else { continue };
        let wanted = std::mem::take(ids);
        ids.extend(group.volumes.iter().map(|v| v.id).filter(|id| wanted.contains(id)));
    }
    found
}

fn complain(missing: &[String], said: &mut Said) {
    for name in missing {
        said.fail(format!("Failed to find logical volume \"{name}\""));
    }
}

// ---- lvremove ----

pub(crate) fn lvremove(lvm: &mut Lvm, args: &Args, said: &mut Said) -> Done {
    if args.words.is_empty() {
        return said.no_match(args.command, "lvremove VG|LV|Tag|Select ...");
    }
    let mut missing = Vec::new();
    for (name, ids) in named(lvm, &args.words, &mut missing, said) {
        let Some(group) = lvm.group_mut(&name) else { continue };
        for id in ids {
            remove(group, id, args.agrees(), said);
        }
    }
    complain(&missing, said);
    Ok(())
}

/// Removes a volume, a pool with its volumes before it; is it gone?
pub(crate) fn remove(group: &mut Group, id: VolumeId, agreed: bool, said: &mut Said) -> bool {
    let Some(volume) = group.volume(id).cloned() else { return true };
    let full = format!("{}/{}", group.name, volume.name);
    if volume.open {
        said.fail(format!("Logical volume {full} in use."));
        return false;
    }
    let thins: Vec<VolumeId> = group.thins(id).map(|thin| thin.id).collect();
    if !thins.is_empty() && !agreed {
        let question = format!(
            "Removing pool \"{}\" will remove {} dependent volume(s). Proceed?",
            volume.name,
            thins.len()
        );
        said.ask(question, " [y/n]: [n]");
        said.fail(format!("Logical volume {full} not removed."));
        return false;
    }
    if !thins.into_iter().all(|thin| remove(group, thin, agreed, said)) {
        return false;
    }
    if volume.active && !agreed {
        let question = format!("Do you really want to remove active logical volume {full}?");
        said.ask(question, " [y/n]: [n]");
        said.fail(format!("Logical volume {full} not removed."));
        return false;
    }
    group.remove(id);
    said.print(format!("Logical volume \"{}\" successfully removed.", volume.name));
    true
}

// ---- lvrename ----

pub(crate) fn lvrename(lvm: &mut Lvm, args: &Args, said: &mut Said) -> Done {
    let (group, old, new) = match args.words.as_slice() {
        [group, old, new] => {
            let last = |word: &str| word.rsplit('/').next().unwrap_or(word).to_owned();
            (split(group).0.to_owned(), last(old), last(new))
        }
        [old, new] if split(old).1.is_some() => {
            let (group, old) = split(old);
            let new = split(new).1.unwrap_or(new);
            (group.to_owned(), old.unwrap_or_default().to_owned(), new.to_owned())
        }
        _ => return said.no_match(args.command, ""),
    };
    check_volume(args.command, &new, said)?;
    if old == new {
        return said.misused(args.command, "Old and new logical volume names must differ");
    }
    let Some(of) = lvm.group_mut(&group) else { return said.no_group(&group) };
    if of.find(&new).is_some() {
        return said
            .stop(format!("Logical Volume \"{new}\" already exists in volume group \"{group}\""));
    }
    let Some(id) = of.find(&old).map(|volume| volume.id) else {
        return said.stop(format!(
            "Existing logical volume \"{old}\" not found in volume group \"{group}\""
        ));
    };
    if let Some(volume) = of.volume_mut(id) {
        volume.name.clone_from(&new);
    }
    said.print(format!("Renamed \"{old}\" to \"{new}\" in volume group \"{group}\""));
    Ok(())
}

// ---- lvchange ----

pub(crate) fn discards(args: &Args) -> Option<Discards> {
    Some(match args.value("discards")? {
        "ignore" => Discards::Ignore,
        "nopassdown" => Discards::NoPassdown,
        _ => Discards::Passdown,
    })
}

const CHANGES: [&str; 9] = [
    "activate",
    "addtag",
    "deltag",
    "discards",
    "errorwhenfull",
    "permission",
    "refresh",
    "setactivationskip",
    "zero",
];

pub(crate) fn lvchange(lvm: &mut Lvm, args: &Args, said: &mut Said) -> Done {
    let asks = |name: &&&str| args.has(name) || **name == "monitor" && args.has("monitor");
    if args.words.is_empty() || CHANGES.iter().filter(asks).count() == 0 && !args.has("monitor") {
        return said.no_match(args.command, "");
    }
    let mut missing = Vec::new();
    for (name, ids) in named(lvm, &args.words, &mut missing, said) {
        let Some(group) = lvm.group_mut(&name) else { continue };
        for id in ids {
            // What fails for one volume is tried for the next.
            let _ = change(group, id, args, said);
        }
    }
    complain(&missing, said);
    Ok(())
}

fn change(group: &mut Group, id: VolumeId, args: &Args, said: &mut Said) -> Done {
    let Some(volume) = group.volume(id) else { return Ok(()) };
    let full = format!("{}/{}", group.name, volume.name);
    let for_pools = ["zero", "errorwhenfull", "discards"].iter().any(|name| args.has(name));
    if for_pools && volume.as_pool().is_none() {
        said.warn(format!("Command on LV {full} uses options that require LV types thinpool ."));
        return said.stop(format!("Command not permitted on LV {full}."));
    }
    let mut changed = set_permission(group, id, &full, args, said)?;
    changed |= set_pool(group, id, &full, args, said)?;
    if let (Some(skip), Some(volume)) = (args.yes("setactivationskip"), group.volume_mut(id)) {
        changed = true;
        volume.skip = skip;
    }
    if changed || args.has("addtag") || args.has("deltag") {
        said.print(format!("Logical volume {full} changed."));
    }
    match args.value("activate") {
        Some(how) => activate(group, id, !how.ends_with('n'), args, said),
        None => Ok(()),
    }
}

fn set_permission(
    group: &mut Group,
    id: VolumeId,
    full: &str,
    args: &Args,
    said: &mut Said,
) -> Result<bool, Stop> {
    let (Some(asked), Some(volume)) = (args.value("permission"), group.volume_mut(id)) else {
        return Ok(false);
    };
    let writable = asked == "rw";
    if volume.writable == writable {
        let is = if writable { "writable" } else { "read only" };
        return said.stop(format!("Logical volume \"{full}\" is already {is}."));
    }
    volume.writable = writable;
    Ok(true)
}

fn set_pool(
    group: &mut Group,
    id: VolumeId,
    full: &str,
    args: &Args,
    said: &mut Said,
) -> Result<bool, Stop> {
    let Some(pool) = group.pool_mut(id) else { return Ok(false) };
    let mut changed = false;
    if let Some(zero) = args.yes("zero") {
        if pool.zero == zero {
            let how = if zero { "already zero" } else { "already does not zero" };
            return said.stop(format!("Logical volume {full} {how} new blocks."));
        }
        (pool.zero, changed) = (zero, true);
    }
    if let Some(error) = args.yes("errorwhenfull") {
        (pool.error_when_full, changed) = (error, true);
        // The pool is loaded anew, and finds out again.
        pool.refresh();
    }
    if let Some(discards) = discards(args) {
        (pool.discards, changed) = (discards, true);
    }
    Ok(changed)
}

/// Activates or deactivates; what is to be skipped is left alone without a word.
pub(crate) fn activate(
    group: &mut Group,
    id: VolumeId,
    yes: bool,
    args: &Args,
    said: &mut Said,
) -> Done {
    let name = group.name.clone();
    let Some(volume) = group.volume_mut(id) else { return Ok(()) };
    if yes && volume.skip && !args.has("ignoreactivationskip") {
        return Ok(());
    }
    if !yes && volume.open {
        return said.stop(format!("Logical volume {name}/{} in use.", volume.name));
    }
    volume.active = yes;
    Ok(())
}

// ---- lvconvert ----

pub(crate) fn lvconvert(lvm: &mut Lvm, args: &Args, said: &mut Said) -> Done {
    let merge = ["merge", "mergesnapshot", "mergethin"].iter().any(|name| args.has(name));
    if args.words.is_empty() || !merge {
        return said.no_match(args.command, "");
    }
    let mut missing = Vec::new();
    for (name, ids) in named(lvm, &args.words, &mut missing, said) {
        let Some(group) = lvm.group_mut(&name) else { continue };
        for id in ids {
            let _ = merge_one(group, id, said);
        }
    }
    complain(&missing, said);
    Ok(())
}

fn merge_one(group: &mut Group, id: VolumeId, said: &mut Said) -> Done {
    let Some(volume) = group.volume(id) else { return Ok(()) };
    let full = format!("{}/{}", group.name, volume.name);
    let Kind::Thin(thin) = &volume.kind else {
        return said.stop(format!("{full} cannot be merged because --trackchanges was not used."));
    };
    let Some(origin) = thin.origin.and_then(|origin| group.volume(origin)) else {
        return said.stop(format!("{full} is not a mergeable logical volume."));
    };
    let into = format!("{}/{}", group.name, origin.name);
    if volume.open || origin.open {
        let which = if volume.open { &full } else { &into };
        return said.stop(format!("Logical volume {which} in use."));
    }
    group.merge(id);
    said.print(format!("Volume {full} replaced origin {into}."));
    Ok(())
}

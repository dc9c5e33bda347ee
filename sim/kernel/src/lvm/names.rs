//! Names of groups and volumes: how they are given, and which ones LVM takes.

use super::{Said, Stop};

/// Longest name of a group, and of a volume with its group's.
const LONGEST: usize = 127;
const RESERVED_STARTS: [&str; 2] = ["snapshot", "pvmove"];
const RESERVED_PARTS: [&str; 12] = [
    "_cdata", "_cmeta", "_corig", "_mlog", "_mimage", "_pmspare", "_rimage", "_rmeta", "_tdata",
    "_tmeta", "_vdata", "_vorigin",
];

/// `vg`, `vg/lv`, `/dev/vg/lv` or `/dev/mapper/vg-lv`.
pub(crate) fn split(word: &str) -> (&str, Option<&str>) {
    let plain = word.strip_prefix("/dev/").unwrap_or(word);
    match plain.split_once('/') {
        Some((group, volume)) => (group, Some(volume)),
        None => (plain, None),
    }
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
    let dots = matches!(name, "." | "..");
    !name.is_empty() && !dots && !name.starts_with('-') && name.chars().all(fits)
}

/// Is it a name for a new group?
pub(crate) fn check_group(command: &str, name: &str, said: &mut Said) -> Result<(), Stop> {
    if is_name(name) && name.len() <= LONGEST {
        return Ok(());
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
    if !name.chars().all(fits) {
        said.warn("Name contains invalid character, valid set includes: [a-zA-Z0-9.-_+].");
    } else if name.len() > LONGEST {
        said.warn(format!("Name length exceeds maximum limit of {}.", LONGEST));
    }
    said.misused(command, format!("New volume group name \"{name}\" is invalid."))
}

/// Is it a name for a new volume?
pub(crate) fn check_volume(command: &str, name: &str, said: &mut Said) -> Result<(), Stop> {
    if name.contains('/') {
        return said.misused(command, format!("\"{name}\": Invalid path for Logical Volume."));
    }
    let other = "are reserved. Please choose a different LV name.";
    if let Some(start) = RESERVED_STARTS.iter().find(|start| name.starts_with(**start)) {
        return said.misused(command, format!("Names starting \"{start}\" {other}"));
    }
    if let Some(part) = RESERVED_PARTS.iter().find(|part| name.contains(**part)) {
        return said.misused(command, format!("Names including \"{part}\" {other}"));
    }
    if !is_name(name) || name.len() > LONGEST {
        return said.misused(command, format!("Logical volume name \"{name}\" is invalid."));
    }
    Ok(())
}

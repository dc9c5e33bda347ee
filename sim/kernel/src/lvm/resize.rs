//! `lvresize`, `lvextend`, `lvreduce`.

use super::args::Args;
use super::create::overprovisioned;
use super::names::split;
use super::size::{Amount, Of, Sign, amount_of, words};
use super::{Done, Said};
use models::lvm::{Group, Kind, Lvm, VolumeId};

pub(crate) fn lvresize(lvm: &mut Lvm, args: &Args, said: &mut Said) -> Done {
    resize(lvm, args, said)
}

pub(crate) fn lvextend(lvm: &mut Lvm, args: &Args, said: &mut Said) -> Done {
    resize(lvm, args, said)
}

pub(crate) fn lvreduce(lvm: &mut Lvm, args: &Args, said: &mut Said) -> Done {
    resize(lvm, args, said)
}

/// What is asked of one volume.
struct Change {
    id: VolumeId,
    full: String,
    old: u64,
    new: u64,
    active: bool,
}

fn resize(lvm: &mut Lvm, args: &Args, said: &mut Said) -> Done {
    let amount = amount_of(args, true, said)?;
    let (Some((sign, amount)), Some(word)) = (amount, args.words.first()) else {
        return said.no_match(args.command, "");
    };
    let (name, Some(volume)) = split(word) else { return said.no_match(args.command, "") };
    let Some(group) = lvm.group_mut(name) else { return said.no_group(name) };
    let Some(of) = group.find(volume) else {
        return said.stop(format!("Logical volume {volume} not found in volume group {name}."));
    };
    let suffix = if of.as_pool().is_some() { "_tdata" } else { "" };
    let (id, old, active) = (of.id, of.extents, of.active);
    let new = wanted(group, old, sign, amount, said);
    let change = Change { id, full: format!("{name}/{volume}"), old, new, active };
    may(group, args, &change, said)?;
    if change.new < change.old {
        reduce(args, group, &change, said)?;
    }
    let size = |extents: u64| words(extents.saturating_mul(group.extent));
    let (from, to) = (size(old), size(new));
    if let Err(room) = group.resize(id, new) {
        return said.stop(format!(
            "Insufficient free space: {} extents needed, but only {} available",
            new - old,
            room.free
        ));
    }
    let full = &change.full;
    said.print(format!(
        "Size of logical volume {full}{suffix} changed from {from} ({old} extents) to {to} ({new} \
         extents)."
    ));
    let pool = match group.volume(id).map(|volume| &volume.kind) {
        Some(Kind::Pool(_)) => Some(id),
        Some(Kind::Thin(thin)) if new > old => Some(thin.pool),
        _ => None,
    };
    if let Some(pool) = pool {
        overprovisioned(group, pool, said);
    }
    said.print(format!("Logical volume {full} successfully resized."));
    Ok(())
}

/// The new number of extents.
fn wanted(group: &Group, old: u64, sign: Sign, amount: Amount, said: &mut Said) -> u64 {
    let share = |percent: u64, of: u64| {
        u64::try_from(u128::from(percent) * u128::from(of) / 100).unwrap_or(u64::MAX)
    };
    let by = match amount {
        Amount::Extents(extents) => extents,
        Amount::Percent(percent, Of::Group) => share(percent, group.extents()),
        Amount::Percent(percent, Of::Origin) => share(percent, old),
        Amount::Percent(percent, Of::Free | Of::Physical) => share(percent, group.free()),
        Amount::Bytes(bytes) => {
            // A reduction keeps more rather than less.
            let extents = match sign {
                Sign::Less => bytes / group.extent,
                Sign::To | Sign::More => bytes.div_ceil(group.extent),
            };
            if !bytes.is_multiple_of(group.extent) {
                let whole = words(extents.saturating_mul(group.extent));
                said.print(format!("Rounding size to boundary between physical extents: {whole}."));
            }
            extents
        }
    };
    match sign {
        Sign::To => by,
        Sign::More => old.saturating_add(by),
        Sign::Less => old.saturating_sub(by),
    }
}

/// Is the change one that the command makes, and that the volume allows?
fn may(group: &Group, args: &Args, change: &Change, said: &mut Said) -> Done {
    let Change { old, new, full, .. } = change;
    let pool = group.pool(change.id).is_some();
    match args.command {
        "lvextend" if new <= old => said.stop(format!(
            "New size given ({new} extents) not larger than existing size ({old} extents)"
        )),
        "lvreduce" if new >= old => said.stop(format!(
            "New size given ({new} extents) not less than existing size ({old} extents)"
        )),
        _ if new == old => {
            said.stop(format!("New size ({new} extents) matches existing size ({old} extents)."))
        }
        _ if *new == 0 => said.stop("New size of 0 not permitted."),
        _ if new < old && pool => {
            said.stop(format!("Thin pool volumes {full}_tdata cannot be reduced in size yet."))
        }
        _ => Ok(()),
    }
}

/// Whoever makes a volume smaller is warned and asked.
fn reduce(args: &Args, group: &Group, change: &Change, said: &mut Said) -> Done {
    if !change.active {
        return Ok(());
    }
    let size = words(change.new.saturating_mul(group.extent));
    said.warn(format!("WARNING: Reducing active logical volume to {size}."));
    said.warn("THIS MAY DESTROY YOUR DATA (filesystem etc.)");
    if args.agrees() {
        return Ok(());
    }
    said.ask(format!("Do you really want to reduce {}?", change.full), " [y/n]: [n]");
    said.stop(format!("Logical volume {} NOT reduced.", change.full))
}

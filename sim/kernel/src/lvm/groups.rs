//! `vgcreate`, `vgextend`, `vgreduce`, `vgremove`, `vgrename`, `vgchange`.

use super::args::Args;
use super::change::{activate, remove};
use super::names::{check_group, split};
use super::size::bytes_of;
use super::{Done, Said};
use models::lvm::{EXTENT, Lvm, VolumeId};

pub(crate) fn vgcreate(lvm: &mut Lvm, args: &Args, said: &mut Said) -> Done {
    let [name, devices @ ..] = args.words.as_slice() else {
        return said.no_match(args.command, "vgcreate VG_new PV ...");
    };
    if devices.is_empty() {
        return said.no_match(args.command, "vgcreate VG_new PV ...");
    }
    let extent = match bytes_of(args, "physicalextentsize", said)? {
        Some(0) => return said.misused(args.command, "Physical extent size may not be zero"),
        Some(bytes) => bytes,
        None => EXTENT,
    };
    let name = split(name).0;
    check_group(args.command, name, said)?;
    if lvm.group(name).is_some() {
        return said.stop(format!("A volume group called {name} already exists."));
    }
    if !extent.is_multiple_of(1024) || extent < 4096 {
        return said.stop("Physical extent size must be a multiple of 4.00 KiB here.");
    }
    free_devices(lvm, devices, said)?;
    let mut seen = Vec::new();
    for device in devices {
        if seen.contains(&device) {
            said.warn(format!("Physical volume '{device}' is already in volume group '{name}'"));
            return said.stop(format!("PV {device} cannot be added to VG {name}."));
        }
        seen.push(device);
    }
    label(lvm, devices, said);
    lvm.create_group(name, extent, devices);
    said.print(format!("Volume group \"{name}\" successfully created"));
    Ok(())
}

/// Devices are there and belong to nobody.
fn free_devices(lvm: &Lvm, devices: &[String], said: &mut Said) -> Done {
    for device in devices {
        if lvm.device(device).is_none() {
            return said.stop(format!("No device found for {device}."));
        }
        if let Some(other) = lvm.group_of(device).map(|other| other.name.as_str()) {
            said.warn(format!("Physical volume '{device}' is already in volume group '{other}'"));
            said.warn(format!(
                "Unable to add physical volume '{device}' to volume group '{other}'"
            ));
            return said.stop(format!("{device}: physical volume not initialized."));
        }
    }
    Ok(())
}

/// Devices without a label get one.
fn label(lvm: &mut Lvm, devices: &[String], said: &mut Said) {
    for device in devices {
        if lvm.device(device).is_some_and(|device| !device.label) {
            lvm.set_label(device, true);
            said.print(format!("Physical volume \"{device}\" successfully created."));
        }
    }
}

pub(crate) fn vgextend(lvm: &mut Lvm, args: &Args, said: &mut Said) -> Done {
    let [name, devices @ ..] = args.words.as_slice() else {
        return said.no_match(args.command, "vgextend VG PV ...");
    };
    if devices.is_empty() {
        return said.no_match(args.command, "vgextend VG PV ...");
    }
    let name = split(name).0;
    free_devices(lvm, devices, said)?;
    if lvm.group(name).is_none() {
        return said.no_group(name);
    }
    label(lvm, devices, said);
    lvm.extend_group(name, devices);
    said.print(format!("Volume group \"{name}\" successfully extended"));
    Ok(())
}

pub(crate) fn vgreduce(lvm: &mut Lvm, args: &Args, said: &mut Said) -> Done {
    let [name, devices @ ..] = args.words.as_slice() else {
        return said.no_match(args.command, "");
    };
    let name = split(name).0;
    let Some(group) = lvm.group(name) else { return said.no_group(name) };
    if devices.is_empty() {
        return said.no_match(args.command, "");
    }
    for device in devices {
        if lvm.device(device).is_none() {
            return said.stop(format!("Cannot use {device}: device not found"));
        }
        let Some(at) = group.physical.iter().position(|p| p.device == *device) else {
            return said.stop(format!("Physical volume {device} not in volume group \"{name}\""));
        };
        if group.free_on(at) < group.physical[at].extents {
            return said.stop(format!("Physical volume \"{device}\" still in use"));
        }
        if group.physical.len() == 1 {
            return said.stop(format!(
                "Can't remove final physical volume \"{device}\" from volume group \"{name}\""
            ));
        }
    }
    let Some(group) = lvm.group_mut(name) else { return Ok(()) };
    for device in devices {
        group.reduce(device);
        said.print(format!("Removed \"{device}\" from volume group \"{name}\""));
    }
    Ok(())
}

pub(crate) fn vgremove(lvm: &mut Lvm, args: &Args, said: &mut Said) -> Done {
    if args.words.is_empty() {
        return said.no_match(args.command, "vgremove VG|Tag|Select ...");
    }
    for word in &args.words {
        let name = split(word).0;
        let Some(group) = lvm.group_mut(name) else {
            let _: Done = said.no_group(name);
            continue;
        };
        let volumes: Vec<VolumeId> = group.volumes.iter().map(|volume| volume.id).collect();
        if !volumes.is_empty() && !args.agrees() {
            let count = volumes.len();
            said.ask(
                format!(
                    "Do you really want to remove volume group \"{name}\" containing {count} \
                     logical volumes?"
                ),
                " [y/n]: [n]",
            );
            said.fail(format!("Volume group \"{name}\" not removed"));
            continue;
        }
        if volumes.into_iter().all(|id| remove(group, id, true, said)) {
            lvm.remove_group(name);
            said.print(format!("Volume group \"{name}\" successfully removed"));
        }
    }
    Ok(())
}

pub(crate) fn vgrename(lvm: &mut Lvm, args: &Args, said: &mut Said) -> Done {
    let [from, to] = args.words.as_slice() else { return said.no_match(args.command, "") };
    let (from, to) = (split(from).0, split(to).0);
    check_group(args.command, to, said)?;
    if from == to {
        return said.stop(format!("/dev/{to}: already exists in filesystem"));
    }
    if lvm.group(from).is_none() {
        return said.no_group(from);
    }
    if !lvm.rename_group(from, to) {
        return said.stop(format!("New volume group \"{to}\" already exists"));
    }
    said.print(format!("Volume group \"{from}\" successfully renamed to \"{to}\""));
    Ok(())
}

pub(crate) fn vgchange(lvm: &mut Lvm, args: &Args, said: &mut Said) -> Done {
    let known = ["activate", "monitor", "refresh"].iter().any(|name| args.has(name));
    if !known {
        return said.no_match(args.command, "");
    }
    let names: Vec<String> = match args.words.as_slice() {
        [] => lvm.groups().map(|group| group.name.clone()).collect(),
        words => words.iter().map(|word| split(word).0.to_owned()).collect(),
    };
    for name in names {
        let Some(group) = lvm.group_mut(&name) else {
            let _: Done = said.no_group(&name);
            continue;
        };
        let Some(how) = args.value("activate") else { continue };
        let volumes: Vec<VolumeId> = group.volumes.iter().map(|volume| volume.id).collect();
        for id in volumes {
            // Volumes in use stay; the others go.
            let _ = activate(group, id, !how.ends_with('n'), args, said);
        }
        let active = group.volumes.iter().filter(|volume| volume.active).count();
        said.print(format!("{active} logical volume(s) in volume group \"{name}\" now active"));
    }
    Ok(())
}

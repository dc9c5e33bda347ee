//! `pvcreate`, `pvremove`.

use super::args::Args;
use super::{Done, Said};
use models::lvm::Lvm;

pub(crate) fn pvcreate(lvm: &mut Lvm, args: &Args, said: &mut Said) -> Done {
    if args.words.is_empty() {
        return said.no_match(args.command, "pvcreate PV ...");
    }
    for device in &args.words {
        if lvm.device(device).is_none() {
            return said.stop(format!("No device found for {device}."));
        }
        let Some(group) = lvm.group_of(device).map(|group| group.name.clone()) else { continue };
        if args.times("force") < 2 {
            said.warn(format!(
                "Can't initialize physical volume \"{device}\" of volume group \"{group}\" without \
                 -ff"
            ));
        } else if args.has("yes") {
            said.warn(format!(
                "WARNING: Forcing physical volume creation on {device} of volume group \"{group}\""
            ));
            lvm.lose_device(device);
            continue;
        } else {
            let question = "Really INITIALIZE physical volume";
            said.ask(format!("{question} \"{device}\" of volume group \"{group}\""), " [y/n]? [n]");
        }
        return said.stop(format!("{device}: physical volume not initialized."));
    }
    for device in &args.words {
        lvm.set_label(device, true);
        said.print(format!("Physical volume \"{device}\" successfully created."));
    }
    Ok(())
}

pub(crate) fn pvremove(lvm: &mut Lvm, args: &Args, said: &mut Said) -> Done {
    if args.words.is_empty() {
        return said.no_match(args.command, "pvremove PV ...");
    }
    for device in &args.words {
        match lvm.device(device).map(|device| device.label) {
            None => {
                said.fail(format!("No device found for {device}."));
                continue;
            }
            Some(false) => {
                said.fail(format!("No PV found on device {device}."));
                continue;
            }
            Some(true) => {}
        }
        if let Some(group) = lvm.group_of(device).map(|group| group.name.clone()) {
            if args.times("force") < 2 || !args.has("yes") {
                said.warn(format!(
                    "PV {device} is used by VG {group} so please use vgreduce first."
                ));
                said.warn(
                    "(If you are certain you need pvremove, then confirm by using --force twice.)",
                );
                said.fail(format!("{device}: physical volume label not removed."));
                continue;
            }
            said.warn(format!("WARNING: PV {device} is used by VG {group}."));
            said.warn(format!(
                "WARNING: Wiping physical volume label from {device} of volume group \"{group}\"."
            ));
            lvm.lose_device(device);
        }
        lvm.set_label(device, false);
        said.print(format!("Labels on physical volume \"{device}\" successfully wiped."));
    }
    Ok(())
}

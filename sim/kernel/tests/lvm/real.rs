//! The same wrong uses, asked of the real `lvm`: words and exit codes are the same. They need no
//! device and change nothing. Where `lvm` is not installed, or does not answer, the test says so
//! and passes.

use super::words;
use kernel::lvm::run;
use models::lvm::Lvm;
use std::process::{Command, Stdio};

/// Commands that LVM refuses before it looks at a device.
const WRONG: &[&str] = &[
    "lvcreate",
    "lvcreate -n x vg",
    "lvcreate -L 0 -n x vg",
    "lvcreate -L foo -n x vg",
    "lvcreate -L 10x -n x vg",
    "lvcreate -L -4m -n x vg",
    "lvcreate -l foo -n x vg",
    "lvcreate -L 4m -l 1 -n x vg",
    "lvcreate -L 8m -n a/b/c vg",
    "lvcreate -L 8m -n snapshot0 vg",
    "lvcreate -L 8m -n a_tmeta vg",
    "lvcreate -L 8m -n a!b vg",
    "lvcreate -V 10m vg -n v",
    "lvremove",
    "lvresize",
    "lvresize -L 0 vg/x",
    "lvchange",
    "lvchange -ax vg/x",
    "lvchange -px vg/x",
    "lvrename a",
    "lvs --units q",
    "lvs --nosuchoption",
    "vgcreate",
    "vgcreate x",
    "vgextend",
    "pvcreate",
    "pvremove",
];

/// Code, standard output and standard error of the real one; `None` if there is none.
fn real(words: &[String]) -> Option<(i32, String, String)> {
    let output = Command::new("lvm")
        .args(words)
        .env("LVM_SUPPRESS_FD_WARNINGS", "1")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    // Without device-mapper every call complains of that first.
    let about_kernel = |line: &&str| {
        !["device-mapper", "control: open failed", "Incompatible libdevmapper"]
            .iter()
            .any(|word| line.contains(word))
    };
    let text = |bytes: &[u8]| -> String {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.lines().filter(about_kernel).map(|line| format!("{line}\n")).collect()
    };
    // Without the targets it gives up before it has looked at everything.
    if String::from_utf8_lossy(&output.stderr).contains("target(s) not detected") {
        return None;
    }
    Some((output.status.code()?, text(&output.stdout), text(&output.stderr)))
}

#[test]
fn wrong_uses_are_refused_as_the_real_one_refuses_them() {
    let Some((0, version, _)) = real(&["version".to_owned()]) else {
        println!("skipped, because there is no usable lvm on this machine");
        return;
    };
    // Words change from release to release; these are of the one that is followed.
    if !version.contains("2.03.16") {
        println!("skipped, because lvm is not 2.03.16 here: {version}");
        return;
    }
    let mut compared = 0;
    for line in WRONG {
        let words = words(line);
        let Some(real) = real(&words) else {
            println!("skipped {line}, because this kernel has no device-mapper for it");
            continue;
        };
        compared += 1;
        let ours = run(&mut Lvm::new(), &words);
        let ours = (i32::from(ours.code), ours.stdout, ours.stderr);
        assert_eq!(ours, real, "{line}");
    }
    assert!(compared >= WRONG.len() / 2, "only {compared} were compared");
}

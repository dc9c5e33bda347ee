//! `--plan`: every command that a recording would give, without giving any.

use crate::initramfs::{self, Image};
use crate::script::Script;
use crate::{config, lab, packages};
use scenarios::{Exit, Expectation, describe, describe_step};
use std::fmt::Write;
use std::path::Path;

/// How packages are fetched and the image is built.
pub fn build() -> String {
    let lines = [packages::plan(), initramfs::plan()].concat();
    lines.join("\n") + "\n"
}

/// How a script is played: machines, configuration, steps.
pub fn record(script: &Script) -> String {
    let image = Image {
        kernel: "CACHE/packages/linux-image-cloud-amd64/boot/vmlinuz-KERNEL".into(),
        root: "CACHE/guest.cpio".into(),
        module: String::new(),
    };
    let mut out = format!("# {}\n", script.name);
    // Writing to a string does not fail.
    for machine in lab::machines(Path::new("LAB"), &script.scenario.pool.hosts) {
        let _ = writeln!(out, "{}", machine.command(&image).join(" "));
    }
    let _ = writeln!(out, "every host: {}\n{}", config::PATH, config::text(script));
    let resource = &script.scenario.resource[0].name;
    let _ = writeln!(out, "every host: drbdadm create-md --force {resource}");
    if !script.fresh {
        let _ = writeln!(out, "every host: drbdadm up {resource}");
        let first = &script.scenario.pool.hosts[0];
        let _ = writeln!(out, "{first}: drbdadm new-current-uuid --clear-bitmap {resource}/0");
    }
    for step in &script.scenario.step {
        if let Some(that) = &step.when.that {
            let _ = writeln!(out, "until {}", describe(that));
        }
        let _ = writeln!(out, "{}: {}", step.id.as_deref().unwrap_or_default(), what(step));
    }
    for expect in &script.scenario.expect {
        if let Expectation::Within(_) = expect.kind {
            let _ = writeln!(out, "until {}", describe(&expect.that));
        }
    }
    out
}

fn what(step: &scenarios::Step) -> String {
    match &step.action {
        scenarios::Do::Run { on, command, exit: Exit::Code(0) } => format!("{on}: {command}"),
        scenarios::Do::Run { on, command, .. } => format!("{on}: {command}    # may be refused"),
        action => describe_step(action),
    }
}

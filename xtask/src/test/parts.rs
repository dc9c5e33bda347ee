//! The parts that are not runs of the simulator, and the order of all.

use anyhow::Result;
use std::process::{Command, Stdio};

use super::cargo::{number_before, output, succeeds, tests};
use super::{Counts, Part, apt, guests, pictures, replay, simulated};
use crate::build::{cargo, cargo_sim, sim_target};
use crate::tidy;

/// Quick ones first: a slip is told before the long builds.
pub const PARTS: &[Part] = &[
    Part { name: "fmt", what: "every file is formatted", run: fmt },
    Part { name: "tidy", what: "door, edges, shape", run: tidy },
    Part { name: "deny", what: "licences and bans of dependencies", run: deny },
    Part { name: "clippy", what: "no warning in the host build", run: clippy },
    Part { name: "clippy-sim", what: "no warning in the simulated build", run: clippy_sim },
    Part { name: "unit", what: "unit and property tests, host build", run: unit },
    Part { name: "unit-sim", what: "unit and property tests, simulated build", run: unit_sim },
    Part { name: "conformance", what: "door and drbdadm beside reality", run: conformance },
    Part {
        name: "scenarios",
        what: "every scenario and 50 drawn plans",
        run: simulated::scenarios,
    },
    Part { name: "determinism", what: "same seed, same trace", run: simulated::determinism },
    Part { name: "quirks", what: "a share of the bugs put back", run: simulated::quirks },
    Part { name: "kernel", what: "the engine beside a real kernel's DRBD", run: guests::kernel },
    Part { name: "replay", what: "failures that were found stay mended", run: replay::replay },
    Part { name: "cli", what: "what the command line says", run: cli },
    Part { name: "pictures", what: "pages of runs in a browser", run: pictures::pictures },
];

/// Crates whose code is other code in the simulated build.
const SIMULATED: &[&str] = &["env", "drbd", "models", "kernel", "sim"];

fn fmt() -> Result<Counts> {
    let mut command = cargo();
    command.args(["fmt", "--all", "--", "--check"]);
    let installed = component("fmt", "rustfmt");
    installed.map_or_else(Ok, |()| succeeds(&mut command, "not formatted: run `cargo fmt --all`"))
}

/// Is `cargo VERB` there? If not: the failure that says what to type.
fn component(verb: &str, name: &str) -> std::result::Result<(), Counts> {
    let mut probe = cargo();
    probe.args([verb, "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    match probe.status() {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Counts::fail(format!(
            "cargo {verb} is missing: run `rustup component add {name}`, or install the package that has it"
        ))),
    }
}

fn tidy() -> Result<Counts> {
    let findings = tidy::findings()?;
    tidy::print(&findings);
    let mut counts = Counts::default();
    for (rule, found) in &findings {
        counts.add(Counts::of(found.is_empty(), format!("{rule}: {} findings", found.len())));
    }
    Ok(counts)
}

fn deny() -> Result<Counts> {
    let mut probe = cargo();
    probe.args(["deny", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        return Ok(Counts::skip("cargo-deny is not installed"));
    }
    let mut command = cargo();
    command.args(["deny", "check", "bans", "licenses", "sources"]);
    succeeds(&mut command, "a dependency is against deny.toml")
}

fn clippy() -> Result<Counts> {
    let mut command = cargo();
    command.args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    let installed = component("clippy", "clippy");
    installed.map_or_else(Ok, |()| succeeds(&mut command, "clippy has warnings in the host build"))
}

fn clippy_sim() -> Result<Counts> {
    let mut command = cargo_sim("clippy");
    packages(&mut command, SIMULATED);
    packages(&mut command, &["tests"]);
    command.args(["--all-targets", "--", "-D", "warnings"]);
    let installed = component("clippy", "clippy");
    let remedy = "clippy has warnings in the simulated build";
    installed.map_or_else(Ok, |()| succeeds(&mut command, remedy))
}

fn packages(command: &mut Command, names: &[&str]) {
    for name in names {
        command.args(["--package", name]);
    }
}

fn unit() -> Result<Counts> {
    // The package `tests` has parts of its own below.
    tests(cargo().args(["test", "--workspace", "--exclude", "tests", "--no-fail-fast"]))
}

fn unit_sim() -> Result<Counts> {
    let mut command = cargo_sim("test");
    packages(&mut command, SIMULATED);
    // Examples in documentation are the same text in both builds: the host build has run them.
    tests(command.args(["--tests", "--no-fail-fast"]))
}

/// The same cases of the door on the host and in the simulation, and drbdadm beside the real one;
/// each says its own counts.
fn conformance() -> Result<Counts> {
    let mut counts = Counts::default();
    if !apt::starts("drbdadm") {
        apt::install("drbd-utils");
    }
    let runs = [
        ("real", cargo_host_test(), "conformance"),
        ("sim", cargo_sim("test"), "conformance"),
        ("drbdadm", cargo_host_test(), "conformance_drbd"),
    ];
    for (world, mut command, test) in runs {
        command.args(["--package", "tests", "--test", test, "--", "--nocapture"]);
        let (good, text) = output(&mut command)?;
        let mark = format!("conformance[{world}]: ");
        match text.lines().find_map(|line| line.split_once(&mark)) {
            Some((_, sums)) => {
                println!("{mark}{sums}");
                counts.add(sums_of(sums, &text, world));
            }
            None => counts.add(Counts::fail(format!("{world} said no `{mark}N passed, …`"))),
        }
        if !good {
            println!("{text}");
            counts.add(Counts::fail(format!("conformance[{world}] failed")));
        }
    }
    Ok(counts)
}

fn cargo_host_test() -> Command {
    let mut command = cargo();
    command.arg("test");
    command
}

/// `N passed, M failed, K skipped`, with the reasons of the skips from lines `skipped CASE, because
/// WHY`.
fn sums_of(sums: &str, text: &str, world: &str) -> Counts {
    let failed = number_before(sums, " failed");
    let skipped = number_before(sums, " skipped");
    let said = text.lines().filter(|line| line.contains("skipped") && line.contains("because"));
    let mut reasons: Vec<_> = said.map(|line| format!("{world} {}", line.trim())).collect();
    while (reasons.len() as u64) < skipped {
        reasons.push(format!("{world} without a reason"));
    }
    Counts {
        passed: number_before(sums, " passed"),
        failed,
        skipped: reasons,
        notes: (failed > 0)
            .then(|| format!("{failed} cases in the {world} build"))
            .into_iter()
            .collect(),
    }
}

fn cli() -> Result<Counts> {
    let simulator = crate::build::simulator()?;
    let mut command = cargo_host_test();
    // Where the tests find what they start, so that they need not build it again.
    command.env("TIEBREAKER_SIM", simulator).env("TIEBREAKER_SIM_TARGET", sim_target());
    tests(command.args(["--package", "tests", "--test", "cli", "--no-fail-fast"]))
}

#[cfg(test)]
mod tests_of_parts {
    use super::*;

    #[test]
    fn parts_have_names_of_their_own() {
        let mut names: Vec<_> = PARTS.iter().map(|part| part.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), PARTS.len());
    }

    #[test]
    fn conformance_counts_and_reasons_are_read() {
        let sums = "20 passed, 1 failed, 2 skipped";
        let text = format!("skipped loop device, because not root\nconformance[real]: {sums}\n");
        let counts = sums_of(sums, &text, "real");
        assert_eq!((counts.passed, counts.failed), (20, 1));
        assert_eq!(counts.skipped[0], "real skipped loop device, because not root");
        assert_eq!(counts.skipped[1], "real without a reason");
    }
}

//! The door in the world this was built for: `conformance [NAME]`. Prints a line for each case and
//! the counts at the end.

use std::process::ExitCode;

#[cfg(madsim)]
fn main() -> ExitCode {
    exit(tests::conformance::run(&filter(std::env::args().skip(1))))
}

/// The same binary is the second process of a case.
#[cfg(not(madsim))]
fn main() -> ExitCode {
    env::process::run(|args| async move {
        let passed = match args.split_first() {
            Some((verb, rest)) if verb == "agent" => {
                return env::conformance::agent(rest.to_vec()).await;
            }
            _ => tests::conformance::run(filter(args.into_iter())).await,
        };
        if passed { env::process::ExitCode::SUCCESS } else { env::process::ExitCode::FAILURE }
    })
}

/// The first argument that is no flag of cargo's test runner.
fn filter(mut args: impl Iterator<Item = String>) -> String {
    args.find(|arg| !arg.starts_with('-')).unwrap_or_default()
}

#[cfg(madsim)]
fn exit(passed: bool) -> ExitCode {
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

//! What `drbdadm` says where it needs no kernel: `dump`, `sh-…`, `--dry-run`.

use super::drbdadm::{Item, plan};
use crate::res::Files;

/// What a tool says and how it ends.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Said {
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// Exit code.
    pub code: u8,
}

/// `drbdadm` with these arguments on a host with these files, where no resource is up. Calls of
/// other tools are shown and not made.
pub fn drbdadm(files: &Files, host: &str, args: &[String]) -> Said {
    let plan = plan(files, host, args, &|_| None);
    let mut said = Said { code: plan.code, ..Said::default() };
    for item in plan.items {
        match item {
            Item::Say(text) => said.out += &text,
            Item::Warn(text) => said.err += &text,
            Item::Call(call) => {
                for argv in [Some(call.argv), call.otherwise].into_iter().flatten() {
                    said.out += &(argv.join(" ") + "\n");
                }
            }
        }
    }
    said
}

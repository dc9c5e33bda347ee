//! LVM's commands over the modelled LVM of a host: what LINSTOR's satellite, XCP-ng's storage
//! manager and administrators call, with the words, columns, roundings and exit codes of LVM 2.03.
//!
//! [`run`] is a function: it changes the [`Lvm`] that it is given and says what the command prints,
//! how it ends and how long it takes. Nobody types at it: whatever asks is answered with no.
//!
//! Exit codes: 0; 5 failed; 3 wrong use; 2 no such command.
//!
//! Left out: stripes, RAID, caches, VDO, thick snapshots, tags, locks, system ids, `pvmove`,
//! UUIDs, the long `--help` and the list of fields that LVM prints after an unknown one; a snapshot
//! of an origin in use is not merged later, but refused.

mod args;
mod change;
mod columns;
mod create;
mod groups;
mod list;
mod names;
mod physical;
mod report;
mod resize;
mod select;
mod size;

use args::{Args, Spec};
use models::Span;
use models::lvm::Lvm;

/// What became of a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// Exit code.
    pub code: u8,
    /// What it printed.
    pub stdout: String,
    /// What it complained.
    pub stderr: String,
    /// How long it took.
    pub takes: Span,
}

/// A failure of a command.
pub(crate) const FAILED: u8 = 5;
/// A command that is called wrongly.
pub(crate) const INVALID: u8 = 3;

/// Everything that a command says, while it runs.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub out: String,
    pub err: String,
    /// The worst code so far.
    pub code: u8,
}

/// A command stopped; what it said says why.
pub(crate) struct Stop;

pub(crate) type Done = Result<(), Stop>;

impl Said {
    pub fn print(&mut self, line: impl AsRef<str>) {
        self.out.push_str("  ");
        self.out.push_str(line.as_ref());
        self.out.push('\n');
    }

    pub fn warn(&mut self, line: impl AsRef<str>) {
        self.err.push_str("  ");
        self.err.push_str(line.as_ref());
        self.err.push('\n');
    }

    /// Something failed; the command may go on with its next object.
    pub fn fail(&mut self, line: impl AsRef<str>) {
        self.warn(line);
        self.code = self.code.max(FAILED);
    }

    /// Something failed, and that is all.
    pub fn stop<T>(&mut self, line: impl AsRef<str>) -> Result<T, Stop> {
        self.fail(line);
        Err(Stop)
    }

    /// The command is called wrongly.
    pub fn misused<T>(&mut self, command: &str, line: impl AsRef<str>) -> Result<T, Stop> {
        self.warn(line);
        self.warn(format!("Run `{command} --help' for more information."));
        self.code = INVALID;
        Err(Stop)
    }

    /// No form of the command fits what was given; `usage` is shown if there is one form only.
    pub fn no_match<T>(&mut self, command: &str, usage: &str) -> Result<T, Stop> {
        self.warn(format!(
            "No command with matching syntax recognised.  Run '{command} --help' for more \
             information."
        ));
        if !usage.is_empty() {
            self.warn("Correct command syntax is:");
            self.print(usage);
            self.out.push('\n');
        }
        self.code = INVALID;
        Err(Stop)
    }

    /// A question that nobody answers.
    pub fn ask(&mut self, question: impl AsRef<str>, answers: &str) {
        self.err.push_str(question.as_ref());
        self.err.push_str(answers);
        self.err.push('\n');
    }

    pub fn no_group<T>(&mut self, name: &str) -> Result<T, Stop> {
        self.warn(format!("Volume group \"{name}\" not found"));
        self.stop(format!("Cannot process volume group {name}"))
    }
}

/// A command: its name, its options, and what it does.
struct Command {
    name: &'static str,
    spec: &'static Spec,
    takes: Span,
    run: fn(&mut Lvm, &Args, &mut Said) -> Done,
}

const fn command(
    name: &'static str,
    spec: &'static Spec,
    takes: Span,
    run: fn(&mut Lvm, &Args, &mut Said) -> Done,
) -> Command {
    Command { name, spec, takes, run }
}

/// A look at the devices.
const LOOK: Span = Span::ms(60);
/// A change of metadata.
const CHANGE: Span = Span::ms(140);
/// A change that loads tables into the kernel.
const LOAD: Span = Span::ms(260);

const COMMANDS: &[Command] = &[
    command("lvs", &args::REPORT, LOOK, list::lvs),
    command("vgs", &args::REPORT, LOOK, list::vgs),
    command("pvs", &args::REPORT, LOOK, list::pvs),
    command("lvcreate", &args::LVCREATE, LOAD, create::lvcreate),
    command("lvremove", &args::LVREMOVE, LOAD, change::lvremove),
    command("lvrename", &args::PLAIN, CHANGE, change::lvrename),
    command("lvchange", &args::LVCHANGE, LOAD, change::lvchange),
    command("lvconvert", &args::LVCONVERT, LOAD, change::lvconvert),
    command("lvresize", &args::LVRESIZE, LOAD, resize::lvresize),
    command("lvextend", &args::LVRESIZE, LOAD, resize::lvextend),
    command("lvreduce", &args::LVRESIZE, LOAD, resize::lvreduce),
    command("vgcreate", &args::VGCREATE, CHANGE, groups::vgcreate),
    command("vgextend", &args::PLAIN, CHANGE, groups::vgextend),
    command("vgreduce", &args::PLAIN, CHANGE, groups::vgreduce),
    command("vgremove", &args::PLAIN, LOAD, groups::vgremove),
    command("vgrename", &args::PLAIN, CHANGE, groups::vgrename),
    command("vgchange", &args::VGCHANGE, LOAD, groups::vgchange),
    command("pvcreate", &args::PVCREATE, CHANGE, physical::pvcreate),
    command("pvremove", &args::PLAIN, CHANGE, physical::pvremove),
];

/// Is it one of LVM's commands?
pub fn knows(name: &str) -> bool {
    name == "lvm" || COMMANDS.iter().any(|command| command.name == name)
}

/// Runs a command: `["lvs", "-a"]`, or `["lvm", "lvs", "-a"]`.
pub fn run(lvm: &mut Lvm, argv: &[String]) -> Output {
    let argv = match argv {
        [first, rest @ ..] if first == "lvm" && !rest.is_empty() => rest,
        all => all,
    };
    let Some((name, words)) = argv.split_first() else { return nothing() };
    let version = words.iter().any(|word| word == "--version") || name == "version";
    if version && (knows(name) || name == "version") {
        return finish(version_text(), Span::ms(5));
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return nothing();
    };
    let mut said = Said::default();
    let ended = args::parse(command.name, command.spec, words, &mut said)
        .and_then(|args| (command.run)(lvm, &args, &mut said));
    // Who stopped has said why, and with which code.
    debug_assert!(ended.is_ok() || said.code != 0, "{argv:?} failed without a word");
    let takes = if said.code == INVALID { Span::ms(5) } else { command.takes };
    finish(said, takes)
}

fn nothing() -> Output {
    let mut said = Said::default();
    said.warn("No such command.  Try 'lvm help'.");
    said.code = 2;
    finish(said, Span::ms(5))
}

fn finish(said: Said, takes: Span) -> Output {
    Output { code: said.code, stdout: said.out, stderr: said.err, takes }
}

/// The release whose ways are followed. LINSTOR and scripts read the first line.
fn version_text() -> Said {
    let mut said = Said::default();
    said.print("LVM version:     2.03.16(2) (2022-05-18)");
    said.print("Library version: 1.02.185 (2022-05-18)");
    said.print("Driver version:  4.47.0");
    said
}

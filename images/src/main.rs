//! `images`: builds guests, plays scripts on them, compares what they say with what they said.
#![allow(
    clippy::disallowed_methods,
    reason = "a tool of developers: it starts programs and reads files"
)]

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use images::script::{self, Script};
use images::transcript::{Head, Transcript};
use images::{Missing, agent, initramfs, packages, plan, record};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

const EXAMPLES: &str = "\
Examples:
  images list                        the scripts
  images record connect              play one and keep what was seen
  images record --check connect      play it and compare with what is kept
  images record --plan connect       print every command, do nothing

Exit codes: 0 done, 1 failed or not the same, 2 bad arguments, 20 this machine cannot: never a
pass.";

/// No lab here.
const NO_LAB: u8 = 20;

#[derive(Parser)]
#[command(name = "images", after_help = EXAMPLES)]
/// Guests with a real kernel
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// Where packages and images are kept
    #[arg(long, global = true, default_value = "target/images", value_name = "FOLDER")]
    cache: PathBuf,
    /// Where scripts and transcripts are
    #[arg(long, global = true, default_value = "tests/tests/kernel", value_name = "FOLDER")]
    dir: PathBuf,
}

#[derive(Subcommand)]
enum Verb {
    /// Fetch packages and build the guest's image
    Build {
        /// Print the commands only
        #[arg(long)]
        plan: bool,
    },
    /// Print the names of the scripts
    List,
    /// Play scripts on guests
    Record(RecordArgs),
    /// In a guest: obey the host
    #[command(hide = true)]
    Agent,
    /// In a guest: DRBD called a handler
    #[command(hide = true)]
    Handler { name: String },
    /// In a guest: write stamped blocks
    #[command(hide = true)]
    Fill { device: String, first: u64, count: u64, stamp: u64 },
}

#[derive(Args)]
struct RecordArgs {
    /// Scripts by name; all variants of one, or `name.variant`. None: all
    names: Vec<String>,
    /// Compare with what is kept, write nothing
    #[arg(long)]
    check: bool,
    /// Print the commands only
    #[arg(long, conflicts_with = "check")]
    plan: bool,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => match error.downcast_ref::<Missing>() {
            Some(missing) => {
                println!("skipped, because {missing}");
                ExitCode::from(NO_LAB)
            }
            None => {
                eprintln!("error: {error:#}");
                ExitCode::from(if error.is::<scenarios::Error>() { 2 } else { 1 })
            }
        },
    }
}

fn run(cli: Cli) -> Result<u8> {
    match cli.verb {
        Verb::Agent => agent::run()?,
        Verb::Handler { name } => agent::handler(&name)?,
        Verb::Fill { device, first, count, stamp } => agent::fill(&device, first, count, stamp)?,
        Verb::Build { plan: true } => print!("{}", plan::build()),
        Verb::Build { plan: false } => {
            let (image, _) = build(&cli.cache)?;
            println!("{}", image.root.display());
        }
        Verb::List => scripts(&cli.dir)?.iter().for_each(|script| println!("{}", script.name)),
        Verb::Record(args) => return play(&cli.cache, &cli.dir, &args),
    }
    Ok(0)
}

/// Every script of a folder, by name.
fn scripts(folder: &Path) -> Result<Vec<Script>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let paths = entries.flatten().map(|entry| entry.path());
    let mut scripts = Vec::new();
    for path in paths.filter(|path| path.extension().is_some_and(|ending| ending == "toml")) {
        let text = std::fs::read_to_string(&path)?;
        scripts.extend(script::read(&path.display().to_string(), &text)?);
    }
    scripts.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(scripts)
}

fn build(cache: &Path) -> Result<(initramfs::Image, packages::Packages)> {
    std::fs::create_dir_all(cache).with_context(|| cache.display().to_string())?;
    let packages = packages::all(cache)?;
    let image = initramfs::build(&packages, &std::env::current_exe()?, cache)?;
    Ok((image, packages))
}

fn play(cache: &Path, folder: &Path, args: &RecordArgs) -> Result<u8> {
    let fits = |script: &Script, name: &str| {
        let rest = script.name.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let mut wanted = scripts(folder)?;
    if let Some(unknown) = args.names.iter().find(|name| !wanted.iter().any(|it| fits(it, name))) {
        eprintln!("error: no script is called {unknown}\n  remedy: see `images list`");
        return Ok(2);
    }
    wanted.retain(|it| args.names.is_empty() || args.names.iter().any(|name| fits(it, name)));
    if args.plan {
        wanted.iter().for_each(|script| println!("{}", plan::record(script)));
        return Ok(0);
    }
    let (image, packages) = build(cache)?;
    let mut code = 0;
    for script in wanted {
        let began = Instant::now();
        let head = Head {
            script: script.name.clone(),
            kernel: packages.kernel.version.clone(),
            module: image.module.clone(),
            tools: packages.drbd.version.clone(),
        };
        let file = folder.join(format!("{}.jsonl", script.name));
        let verdict = one(&script, &image, head, &file, args.check);
        let verdict = verdict.unwrap_or_else(|error| format!("failed {}: {error:#}", script.name));
        code = code.max(u8::from(verdict.starts_with("failed") || verdict.starts_with("differs")));
        println!("{verdict}    ({:.0} s)", began.elapsed().as_secs_f64());
    }
    Ok(code)
}

/// Plays one script; what came of it, in words.
fn one(
    script: &Script,
    image: &initramfs::Image,
    head: Head,
    file: &Path,
    check: bool,
) -> Result<String> {
    let transcript = Transcript { head, lines: record::record(script, image)? };
    let name = &script.name;
    let kept = std::fs::read_to_string(file).ok();
    let kept = kept.map(|text| Transcript::read(&text)).transpose();
    let kept = kept.with_context(|| file.display().to_string())?;
    if !check {
        std::fs::write(file, transcript.write()?).with_context(|| file.display().to_string())?;
    }
    let Some(kept) = kept else {
        return Ok(if check {
            format!("failed {name}: nothing is kept to compare with")
        } else {
            format!("recorded {name}")
        });
    };
    let differences = kept.differences(&transcript)?;
    Ok(if differences.is_empty() {
        format!("same {name}")
    } else {
        format!("differs {name}:\n{}\n", differences.join("\n"))
    })
}

//! The command line of LVM: options by command, long, short and abbreviated, and positions.

use super::{INVALID, Said, Stop};
use std::collections::BTreeMap;

/// The options of a command: name, short letter or `-`, and whether it takes a value.
#[derive(Debug)]
pub(crate) struct Spec(&'static [(&'static str, char, bool)]);

/// Options that every command takes.
const COMMON: &[(&str, char, bool)] = &[
    ("config", '-', true),
    ("debug", 'd', false),
    ("devices", '-', true),
    ("devicesfile", '-', true),
    ("driverloaded", '-', true),
    ("force", 'f', false),
    ("help", 'h', false),
    ("longhelp", '-', false),
    ("lockopt", '-', true),
    ("nolocking", '-', false),
    ("commandprofile", '-', true),
    ("profile", '-', true),
    ("quiet", 'q', false),
    ("autobackup", 'A', true),
    ("noudevsync", '-', false),
    ("reportformat", '-', true),
    ("test", 't', false),
    ("verbose", 'v', false),
    ("yes", 'y', false),
];

pub(crate) const PLAIN: Spec = Spec(&[("select", 'S', true), ("removemissing", '-', false)]);

pub(crate) const REPORT: Spec = Spec(&[
    ("aligned", '-', false),
    ("all", 'a', false),
    ("binary", '-', false),
    ("nameprefixes", '-', false),
    ("noheadings", '-', false),
    ("nosuffix", '-', false),
    ("options", 'o', true),
    ("partial", 'P', false),
    ("readonly", '-', false),
    ("rows", '-', false),
    ("select", 'S', true),
    ("separator", '-', true),
    ("sort", 'O', true),
    ("unbuffered", '-', false),
    ("units", '-', true),
    ("unquoted", '-', false),
]);

pub(crate) const LVCREATE: Spec = Spec(&[
    ("activate", 'a', true),
    ("addtag", '-', true),
    ("chunksize", 'c', true),
    ("discards", '-', true),
    ("errorwhenfull", '-', true),
    ("extents", 'l', true),
    ("ignoreactivationskip", 'K', false),
    ("monitor", '-', true),
    ("name", 'n', true),
    ("permission", 'p', true),
    ("poolmetadatasize", '-', true),
    ("poolmetadataspare", '-', true),
    ("readahead", 'r', true),
    ("setactivationskip", 'k', true),
    ("size", 'L', true),
    ("snapshot", 's', false),
    ("stripes", 'i', true),
    ("stripesize", 'I', true),
    ("thin", 'T', false),
    ("thinpool", '-', true),
    ("type", '-', true),
    ("virtualsize", 'V', true),
    ("wipesignatures", 'W', true),
    ("zero", 'Z', true),
]);

pub(crate) const LVREMOVE: Spec = Spec(&[("select", 'S', true), ("nohistory", '-', false)]);

pub(crate) const LVCHANGE: Spec = Spec(&[
    ("activate", 'a', true),
    ("addtag", '-', true),
    ("deltag", '-', true),
    ("discards", '-', true),
    ("errorwhenfull", '-', true),
    ("ignoreactivationskip", 'K', false),
    ("monitor", '-', true),
    ("permission", 'p', true),
    ("refresh", '-', false),
    ("select", 'S', true),
    ("setactivationskip", 'k', true),
    ("sysinit", '-', false),
    ("zero", 'Z', true),
]);

pub(crate) const LVCONVERT: Spec =
    Spec(&[("merge", '-', false), ("mergesnapshot", '-', false), ("mergethin", '-', false)]);

pub(crate) const LVRESIZE: Spec = Spec(&[
    ("extents", 'l', true),
    ("nofsck", 'n', false),
    ("poolmetadatasize", '-', true),
    ("resizefs", 'r', false),
    ("size", 'L', true),
]);

pub(crate) const VGCREATE: Spec = Spec(&[
    ("dataalignment", '-', true),
    ("maxlogicalvolumes", 'l', true),
    ("metadatasize", '-', true),
    ("physicalextentsize", 's', true),
    ("setautoactivation", '-', true),
    ("zero", 'Z', true),
]);

pub(crate) const VGCHANGE: Spec = Spec(&[
    ("activate", 'a', true),
    ("ignoreactivationskip", 'K', false),
    ("monitor", '-', true),
    ("refresh", '-', false),
    ("select", 'S', true),
    ("sysinit", '-', false),
]);

pub(crate) const PVCREATE: Spec =
    Spec(&[("dataalignment", '-', true), ("metadatasize", '-', true), ("zero", 'Z', true)]);

/// A parsed command line.
#[derive(Debug)]
pub(crate) struct Args {
    pub command: &'static str,
    options: BTreeMap<&'static str, Vec<String>>,
    /// What is no option, in order.
    pub words: Vec<String>,
}

impl Args {
    /// Was the option given?
    pub fn has(&self, name: &str) -> bool {
        self.options.contains_key(name)
    }

    /// How often.
    pub fn times(&self, name: &str) -> usize {
        self.options.get(name).map_or(0, Vec::len)
    }

    /// Its last value.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.options.get(name)?.last().map(String::as_str)
    }

    /// All its values.
    pub fn values(&self, name: &str) -> &[String] {
        self.options.get(name).map_or(&[], Vec::as_slice)
    }

    /// Questions are answered with yes.
    pub fn agrees(&self) -> bool {
        self.has("yes") || self.has("force")
    }

    /// A value that means yes or no.
    pub fn yes(&self, name: &str) -> Option<bool> {
        self.value(name).map(|value| matches!(value, "y" | "1"))
    }
}

/// Values that are `y` or `n`.
const YES_NO: [&str; 5] =
    ["zero", "wipesignatures", "setactivationskip", "errorwhenfull", "poolmetadataspare"];

/// Reads a command line.
pub(crate) fn parse(
    command: &'static str,
    spec: &Spec,
    words: &[String],
    said: &mut Said,
) -> Result<Args, Stop> {
    let mut args = Args { command, options: BTreeMap::new(), words: Vec::new() };
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if word == "--" {
            args.words.extend(rest.by_ref().cloned());
        } else if let Some(long) = word.strip_prefix("--") {
            long_option(&mut args, spec, long, &mut rest, said)?;
        } else if word.len() > 1 && word.starts_with('-') {
            short_options(&mut args, spec, &word[1..], &mut rest, said)?;
        } else {
            args.words.push(word.clone());
        }
    }
    check(&args, said)?;
    Ok(args)
}

type Rest<'a, 'b> = &'b mut std::slice::Iter<'a, String>;

fn long_option(
    args: &mut Args,
    spec: &Spec,
    word: &str,
    rest: Rest,
    said: &mut Said,
) -> Result<(), Stop> {
    let (name, given) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (word, None),
    };
    let all = || spec.0.iter().chain(COMMON);
    let exact = all().find(|option| option.0 == name);
    let mut near = all().filter(|option| !name.is_empty() && option.0.starts_with(name));
    let found = exact.or(match (near.next(), near.next()) {
        (one, None) => one,
        _ => None,
    });
    let Some((name, _, takes)) = found else {
        return unknown(said, format!("{}: unrecognized option '--{name}'", args.command));
    };
    let value = match (takes, given) {
        (true, Some(value)) => value,
        (true, None) => match rest.next() {
            Some(value) => value.clone(),
            None => {
                let what = format!("{}: option '--{name}' requires an argument", args.command);
                return unknown(said, what);
            }
        },
        (false, Some(_)) => {
            let what = format!("{}: option '--{name}' doesn't allow an argument", args.command);
            return unknown(said, what);
        }
        (false, None) => String::new(),
    };
    args.options.entry(name).or_default().push(value);
    Ok(())
}

fn short_options(
    args: &mut Args,
    spec: &Spec,
    word: &str,
    rest: Rest,
    said: &mut Said,
) -> Result<(), Stop> {
    for (at, letter) in word.char_indices() {
        let found = spec.0.iter().chain(COMMON).find(|option| option.1 == letter);
        let Some((name, _, takes)) = found.filter(|_| letter != '-') else {
            return unknown(said, format!("{}: invalid option -- '{letter}'", args.command));
        };
        let after = &word[at + letter.len_utf8()..];
        let value = match (takes, after.is_empty()) {
            (false, _) => String::new(),
            (true, false) => after.to_owned(),
            (true, true) => match rest.next() {
                Some(value) => value.clone(),
                None => {
                    let command = args.command;
                    let what = format!("{command}: option requires an argument -- '{letter}'");
                    return unknown(said, what);
                }
            },
        };
        args.options.entry(name).or_default().push(value);
        if *takes {
            break;
        }
    }
    Ok(())
}

/// getopt's own complaint begins at the margin.
fn unknown(said: &mut Said, line: String) -> Result<(), Stop> {
    said.err.push_str(&line);
    said.err.push('\n');
    wrong(said)
}

pub(crate) fn wrong<T>(said: &mut Said) -> Result<T, Stop> {
    said.warn("Error during parsing of command line.");
    said.code = INVALID;
    Err(Stop)
}

/// Values that can be judged by themselves.
fn check(args: &Args, said: &mut Said) -> Result<(), Stop> {
    for (name, values) in &args.options {
        let one_of: &[&str] = match *name {
            name if YES_NO.contains(&name) => &["y", "n", "1", "0"],
            "activate" => &["y", "n", "ay", "ey", "en", "sy", "ly", "ln", "e", "l"],
            "permission" => &["r", "rw"],
            "discards" => &["passdown", "nopassdown", "ignore"],
            _ => continue,
        };
        if let Some(value) = values.iter().find(|value| !one_of.contains(&value.as_str())) {
            said.warn(format!("Invalid argument for --{name}: {value}"));
            return wrong(said);
        }
    }
    Ok(())
}

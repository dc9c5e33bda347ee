//! `cargo xtask tidy`: the rules that neither compiler nor clippy knows. Text rules see code behind
//! every `cfg`, which clippy does not.

mod code;
mod door;
mod edges;
mod listed;
mod shape;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{root, writable_json, write_json};

pub const EXAMPLES: &str = "\
Examples:
  cargo xtask tidy                     check the workspace
  cargo xtask tidy --json tidy.json    findings for programs

Rules: door (who may name the world), select (biased), edges (which crate may use which), columns,
functions (their length), first-line, white-space, leftovers (todo!, dbg!, #[ignore]), scenarios
(each one is run).";

#[derive(Args)]
pub struct TidyArgs {
    /// Findings for programs
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A file of the workspace.
pub struct Source {
    /// From the root, with slashes.
    pub path: String,
    /// As it is.
    pub text: String,
    /// With comments and literals blanked, for Rust files; same lines, same columns.
    pub code: String,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Source {
        let code = if path.ends_with(".rs") { code::only(text) } else { String::new() };
        Source { path: path.to_owned(), text: text.to_owned(), code }
    }

    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// A broken rule.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Finding {
    pub path: String,
    /// From 1; 0 for the whole file.
    pub line: usize,
    pub what: String,
}

impl Finding {
    pub fn new(source: &Source, line: usize, what: impl Into<String>) -> Finding {
        Finding { path: source.path.clone(), line, what: what.into() }
    }
}

type Rule = (&'static str, fn(&[Source]) -> Vec<Finding>);

/// Every rule: name and check over the whole workspace.
const RULES: &[Rule] = &[
    ("door", |files| each(files, door::check)),
    ("select", |files| each(files, door::biased)),
    ("edges", |files| each(files, edges::check)),
    ("columns", |files| each(files, shape::columns)),
    ("functions", |files| each(files, shape::functions)),
    ("first-line", |files| each(files, shape::first_line)),
    ("white-space", |files| each(files, shape::white_space)),
    ("leftovers", |files| each(files, shape::leftovers)),
    ("scenarios", listed::check),
];

fn each(files: &[Source], rule: fn(&Source) -> Vec<Finding>) -> Vec<Finding> {
    files.iter().flat_map(rule).collect()
}

/// Findings by rule.
pub fn findings() -> Result<BTreeMap<&'static str, Vec<Finding>>> {
    let root = root();
    let mut files = Vec::new();
    read_below(&root, &root, &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(RULES.iter().map(|(name, rule)| (*name, rule(&files))).collect())
}

/// `cargo xtask tidy`
pub fn run(args: &TidyArgs) -> Result<u8> {
    writable_json(args.json.as_ref())?;
    let findings = findings()?;
    print(&findings);
    let failed = findings.values().filter(|found| !found.is_empty()).count();
    let passed = findings.len() - failed;
    let list: Vec<_> = findings
        .iter()
        .flat_map(|(rule, found)| found.iter().map(move |finding| (rule, finding)))
        .map(|(rule, it)| json!({"rule": rule, "path": it.path, "line": it.line, "what": it.what}))
        .collect();
    write_json(args.json.as_ref(), &json!({"passed": passed, "failed": failed, "findings": list}))?;
    println!("{passed} passed, {failed} failed");
    Ok(u8::from(failed > 0))
}

/// One line per finding.
pub fn print(findings: &BTreeMap<&'static str, Vec<Finding>>) {
    for (rule, found) in findings {
        for Finding { path, line, what } in found {
            println!("{path}:{line}: [{rule}] {what}");
        }
    }
}

fn read_below(root: &Path, folder: &Path, files: &mut Vec<Source>) -> Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        // Build output and git's own; hidden folders of tools.
        if path.is_dir() && (name == "target" || (name.starts_with('.') && name != ".ci")) {
            continue;
        }
        if path.is_dir() {
            read_below(root, &path, files)?;
        } else if is_text(&name) {
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("{}: not readable as text", path.display()))?;
            let path = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            files.push(Source::new(&path, &text));
        }
    }
    Ok(())
}

fn is_text(name: &str) -> bool {
    [".rs", ".toml", ".md", ".sh", ".txt"].iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    /// The workspace obeys its own rules; this is the same check that `cargo xtask tidy` makes.
    #[test]
    fn rules_have_names_of_their_own() {
        let mut names: Vec<_> = super::RULES.iter().map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), super::RULES.len());
    }
}

//! The part `replay`: every file under `tests/replay/` is a failure that was found, shrunk and
//! mended. It passes under its own seed and sixteen others; with the quirk that puts its bug back
//! it still fails as it did.

use anyhow::{Context, Result};
use serde_json::Value;
use std::path::Path;

use super::Counts;
use super::simulated::sim;
use crate::root;

const FOLDER: &str = "tests/replay";
/// Seeds beside the file's own.
const OTHERS: u64 = 16;

/// Every file of the folder.
pub fn replay() -> Result<Counts> {
    let mut files = Vec::new();
    let mut counts = Counts::default();
    let folder = root().join(FOLDER);
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        match path.extension().is_some_and(|ending| ending == "toml") && path.is_file() {
            true => files.push(path),
            false => counts.add(Counts::fail(format!("{}: nobody runs it", short(&path)))),
        }
    }
    files.sort();
    if files.is_empty() {
        counts.add(Counts::fail(format!("{FOLDER} is empty")));
    }
    for file in files {
        counts.add(one(&file).unwrap_or_else(|error| Counts::fail(format!("{error:#}"))));
    }
    Ok(counts)
}

fn short(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn one(path: &Path) -> Result<Counts> {
    let file = short(path);
    let from_here = path.display().to_string();
    // The commit that wrote it is another one by now: that is no news.
    let run = |more: &[&str]| sim(&[&["--file", &from_here, "--no-shrink"], more].concat());
    let (own, _) = run(&["--quirk", "none"])?;
    let replay = &own["replay"];
    let (Some(seed), Some(breaks)) = (replay["seed"].as_u64(), replay["breaks"].as_str()) else {
        return Ok(Counts::fail(format!("{file}: it lacks [replay], which says what it replays")));
    };
    let seeds = format!("{seed}..{}", seed.saturating_add(OTHERS + 1));
    let (without, text) = run(&["--quirk", "none", "--seeds", &seeds])?;
    let passes = own["exit_code"] == 0 && without["exit_code"] == 0;
    if !passes {
        println!("{text}");
    }
    let mut counts = Counts::of(passes, format!("{file}: it fails again"));
    let Some(quirk) = replay["quirk"].as_str() else {
        println!("replay {file}: passes under {} seeds", OTHERS + 1);
        return Ok(counts);
    };
    let (with, text) = run(&["--quirk", quirk, "--seeds", &seeds, "--keep-going"])?;
    let failures: Vec<&Value> = with["failures"].as_array().into_iter().flatten().collect();
    let fails = failures.iter().filter(|it| it["promise"] == breaks).count();
    if fails == 0 {
        println!("{text}");
    }
    let note = format!("{file}: with {quirk} it should break {breaks}, and does under no seed");
    counts.add(Counts::of(fails > 0, note));
    println!("replay {file}: with {quirk} it fails under {fails} of {} seeds", OTHERS + 1);
    Ok(counts)
}

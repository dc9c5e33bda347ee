//! The page of a run in a real browser: does it draw, without an error, all that is in it?

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::cargo::output;
use super::{Counts, apt};
use crate::build::{sim_target, simulator};

/// Names of the browser.
const BROWSERS: &[&str] = &["chromium", "chromium-browser", "google-chrome"];
/// Without its own network, and without what the user has.
const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--window-size=1400,1000",
    "--dump-dom",
];
/// Seconds until a browser that hangs is ended.
const LIMIT: &str = "120";
/// A page may have so many bytes.
const BYTES: usize = 3_000_000;
/// Runs whose pages are opened, and whether they have to fail.
const RUNS: &[(&[&str], bool)] = &[
    (&["flapping-link", "--html"], false),
    (&["--quirk", "equal-uuids-drop-bits", "--for", "1m", "--no-shrink"], true),
    (&["--quirk", "quorumless-without-proof", "--for", "1m", "--no-shrink"], true),
];

/// A browser, installed where that is allowed; the error is the reason of a skip.
fn browser() -> std::result::Result<&'static str, &'static str> {
    let there = || BROWSERS.iter().find(|name| apt::starts(name)).copied();
    there()
        .or_else(|| {
            apt::install("chromium");
            there()
        })
        .ok_or("chromium is not installed")
}

/// Opens the page of each run.
pub fn pictures() -> Result<Counts> {
    let browser = match browser() {
        Ok(browser) => browser,
        Err(why) => return Ok(Counts::skip(why)),
    };
    let simulator = simulator()?;
    let mut counts = Counts::default();
    for (i, (args, fails)) in RUNS.iter().enumerate() {
        let folder = sim_target().join("pictures").join(i.to_string());
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder)?;
        let mut sim = Command::new(&simulator);
        sim.current_dir(&folder).env("TIEBREAKER_ROOT", &folder).args(*args);
        let (good, said) = output(&mut sim)?;
        let name = args.join(" ");
        if good == *fails {
            println!("{said}");
            counts.add(Counts::fail(format!("sim {name}: passes and fails the wrong way round")));
            continue;
        }
        counts.add(match opened(browser, &folder) {
            Ok(drawn) => {
                println!("sim {name}: {drawn}");
                Counts::pass()
            }
            Err(error) => Counts::fail(format!("the page of sim {name}: {error:#}")),
        });
    }
    Ok(counts)
}

/// Opens the one page below a folder; what it drew, or why it did not.
fn opened(browser: &str, folder: &Path) -> Result<String> {
    let runs = folder.join("target/sim/runs");
    let run = std::fs::read_dir(&runs)?.next().context("nothing was kept")??.path();
    let page = run.join("report.html");
    let text = std::fs::read_to_string(&page).context("no report.html was kept")?;
    if text.len() > BYTES {
        bail!("{} bytes, at most {BYTES} are allowed", text.len());
    }
    let profile = folder.join("profile");
    let mut command = Command::new("timeout");
    command.args([LIMIT, browser]).args(FLAGS);
    command.arg(format!("--user-data-dir={}", profile.display()));
    command.arg(format!("file://{}", page.display()));
    let opened = command.stdin(Stdio::null()).output().context("cannot start the browser")?;
    let dom = String::from_utf8_lossy(&opened.stdout);
    let log = String::from_utf8_lossy(&opened.stderr);
    if let Some(line) = log.lines().find(|line| line.contains("CONSOLE")) {
        bail!("it says {line}");
    }
    if let Some(error) = attribute(&dom, "data-error") {
        bail!("its script failed: {error}");
    }
    let drawn = attribute(&dom, "data-drawn").context("it did not draw")?;
    let expected = counted(&text)?;
    if drawn != expected {
        bail!("it drew {drawn}, of {expected}");
    }
    let lanes = lanes(&run)?;
    if !drawn.starts_with(&format!("lanes={lanes} ")) {
        bail!("it drew {drawn}, but events.jsonl tells of {lanes} lanes");
    }
    let took = attribute(&dom, "data-draw-ms").unwrap_or_default();
    Ok(format!("{drawn} in {took} ms, {} bytes", text.len()))
}

/// An attribute of the page's root.
fn attribute<'a>(dom: &'a str, name: &str) -> Option<&'a str> {
    let root = &dom[dom.find("<html")?..];
    let root = &root[..root.find('>')?];
    let value = &root[root.find(&format!("{name}=\""))? + name.len() + 2..];
    Some(&value[..value.find('"')?])
}

/// What the page says that it holds.
fn counted(page: &str) -> Result<String> {
    let begin = "id=\"drawing\">";
    let from = page.find(begin).context("the page has no data")? + begin.len();
    let rest = &page[from..];
    let data: Value = serde_json::from_str(&rest[..rest.find('<').unwrap_or(rest.len())])?;
    Ok(format!("lanes={} bands={} marks={}", data["lanes"], data["bands"], data["marks"]))
}

/// A lane for each host of each resource, and for each VM.
fn lanes(run: &Path) -> Result<usize> {
    let path: PathBuf = run.join("events.jsonl");
    let text = std::fs::read_to_string(&path).context("no events.jsonl was kept")?;
    let header: Value = serde_json::from_str(text.lines().next().unwrap_or_default())?;
    let size = |value: &Value| value.as_array().map_or(0, Vec::len);
    let nodes = header["resources"].as_array().into_iter().flatten().map(|it| size(&it["nodes"]));
    Ok(nodes.sum::<usize>() + size(&header["vms"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_drew_is_read_from_its_root() {
        let dom = "<!DOCTYPE html>\n<html lang=\"en\" data-drawn=\"lanes=1\"><b data-error=\"no\">";
        assert_eq!(attribute(dom, "data-drawn"), Some("lanes=1"));
        assert_eq!(attribute(dom, "data-error"), None);
        let page = "<script id=\"drawing\">{\"lanes\":4,\"bands\":9,\"marks\":1}</script>";
        assert_eq!(counted(page).unwrap(), "lanes=4 bands=9 marks=1");
    }
}

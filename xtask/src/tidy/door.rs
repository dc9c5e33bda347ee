//! One door to the world: only `nodes/env` names sockets, files, processes, clocks, threads and
//! chance; only it names the runtimes. What runs in a simulation must not even be able to.

use super::{Finding, Source};

/// Where code runs inside a simulation, or decides what does.
const INSIDE: &[&str] = &["nodes/", "sim/", "scenarios/src/"];

/// The door itself; the shell around the runs: it reads files, starts workers, measures real time;
/// the driver of guests, a tool that no run contains.
const OUTSIDE: &[&str] = &[
    "nodes/env/",
    "sim/world/src/main.rs",
    "sim/world/src/cli.rs",
    "sim/world/src/cli/",
    "sim/world/src/json.rs",
    "sim/world/src/speed.rs",
    "sim/world/src/runner/",
    "sim/world/src/report/",
    "images/",
];

/// Files that need one of the forbidden words, the word, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("sim/world/src/", "madsim", "the simulator drives the executor that env re-exports"),
    ("sim/kernel/tests/", "std::fs", "texts that tests compare with, and write anew"),
    ("sim/kernel/tests/", "std::env", "UPDATE_GOLDEN"),
    ("sim/kernel/tests/", "std::process", "the real tools, where they are installed"),
    ("sim/world/src/drive.rs", "Instant::now", "the limit of a run in real time"),
    ("sim/world/src/drive.rs", "std::time::Instant", "the limit of a run in real time"),
];

/// Words that nobody inside may use, and what to use instead.
const FORBIDDEN: &[(&str, &str)] = &[
    ("tokio", "env's tasks, time and I/O"),
    ("madsim", "env, which knows both worlds"),
    ("std::fs", "env's files"),
    ("std::process", "env's exec"),
    ("std::thread", "env's tasks"),
    ("std::env", "what the run was given; the machine's environment is not part of it"),
    ("std::time::Instant", "the run's time"),
    ("std::time::SystemTime", "the run's time"),
    ("Instant::now", "the run's time"),
    ("SystemTime", "the run's time"),
    ("std::net::TcpStream", "env's network"),
    ("std::net::TcpListener", "env's network"),
    ("std::net::UdpSocket", "env's network"),
    ("std::net::ToSocketAddrs", "addresses of the plan"),
    ("thread_local", "state of the value that needs it: all hosts of a run share the thread"),
    ("static", "state of the value that needs it: statics survive the reboot of a host"),
    ("OnceLock", "state of the value that needs it"),
    ("LazyLock", "state of the value that needs it"),
    ("HashMap", "BTreeMap: iteration order is hidden randomness"),
    ("HashSet", "BTreeSet: iteration order is hidden randomness"),
    ("RandomState", "an ordered collection"),
    ("rand", "a named stream of the run's seed"),
    ("getrandom", "a named stream of the run's seed"),
    (".ln(", "libm: the platform's differs between machines"),
    (".exp(", "libm: the platform's differs between machines"),
    (".powf(", "libm: the platform's differs between machines"),
    (".sin(", "libm: the platform's differs between machines"),
    (".cos(", "libm: the platform's differs between machines"),
];

/// Does code inside name the world?
pub fn check(source: &Source) -> Vec<Finding> {
    let inside = INSIDE.iter().any(|prefix| source.path.starts_with(prefix));
    let outside = OUTSIDE.iter().any(|prefix| source.path.starts_with(prefix));
    if !source.is_rust() || !inside || outside {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (i, line) in source.code.lines().enumerate() {
        for (word, instead) in FORBIDDEN {
            if uses(line, word) && !excepted(&source.path, word) {
                findings.push(Finding::new(source, i + 1, format!("{word}: use {instead}")));
            }
        }
    }
    grouped(source, &mut findings);
    findings
}

/// `use std::{fs, thread}` and `use std::net::{IpAddr, TcpStream}` name them too.
fn grouped(source: &Source, findings: &mut Vec<Finding>) {
    for (at, _) in source.code.match_indices("use std::") {
        let rest = &source.code[at..];
        let statement = &rest[..rest.find(';').unwrap_or(rest.len())];
        let Some((path, group)) = statement.split_once('{') else { continue };
        let path = path.trim_start_matches("use ");
        let flat = group.replace(char::is_whitespace, "");
        for (word, instead) in FORBIDDEN {
            let Some(inner) = word.strip_prefix(path) else { continue };
            let named = flat.match_indices(inner).any(|(i, _)| {
                let part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
                let before = flat[..i].chars().next_back();
                let after = flat[i + inner.len()..].chars().next();
                !before.is_some_and(part) && !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
            });
            if named && !excepted(&source.path, word) {
                let line = source.code[..at].matches('\n').count() + 1;
                findings.push(Finding::new(source, line, format!("{word}: use {instead}")));
            }
        }
    }
}

fn excepted(path: &str, word: &str) -> bool {
    EXCEPTIONS
        .iter()
        .any(|(prefix, allowed, _)| path.starts_with(prefix) && word.starts_with(allowed))
}

/// Does the line hold the word as a whole word? `cfg(madsim)` and `'static` do not count.
fn uses(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let starts = word.starts_with('.') || !before.is_some_and(|c| part(c) || c == '\'');
        let ends = word.ends_with('(') || !after.is_some_and(part);
        // A method or field of that name is somebody else's, unless the word is one itself.
        let own = word.starts_with('.') || before != Some('.');
        let cfg = word == "madsim" && line.contains("cfg") && !line.contains("madsim::");
        starts && ends && own && !cfg
    })
}

/// `select!` without `biased;` draws from a process-wide counter: same seed, another result.
pub fn biased(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, found) in source.code.match_indices("select!") {
        let body = source.code[at + found.len()..].trim_start();
        let used = body.starts_with(['{', '(']);
        if used && !body[1..].trim_start().starts_with("biased;") {
            let line = source.code[..at].matches('\n').count() + 1;
            findings.push(Finding::new(source, line, "select! has to begin with `biased;`"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(usize, String)> {
        let findings = check(&Source::new(path, text));
        findings.into_iter().map(|it| (it.line, it.what)).collect()
    }

    #[test]
    fn the_world_is_named_in_env_alone() {
        for (word, _) in FORBIDDEN {
            let text = format!("\nlet x = {word};");
            let inside = found("nodes/drbd/src/x.rs", &text);
            assert!(inside.iter().any(|(line, _)| *line == 2), "{word} does not bite");
            for path in [
                "nodes/env/src/x.rs",
                "sim/world/src/runner/x.rs",
                "xtask/src/x.rs",
                "images/src/x.rs",
            ] {
                assert_eq!(found(path, &text), Vec::new(), "{word} in {path}");
            }
        }
    }

    #[test]
    fn words_are_whole_and_code() {
        let fine = "
            // HashMap and tokio in a comment
            let text = \"std::fs\";
            fn f(x: &'static str, operand: u8, random: u8) {}
            #[cfg(madsim)]
            mod x;
            #[cfg(not(madsim))]
            let y = self.static_part + z.rand;
        ";
        assert_eq!(found("sim/models/src/x.rs", fine), Vec::new());
        assert_eq!(found("sim/models/src/x.rs", "static A: u8 = 1;").len(), 1);
        assert_eq!(found("sim/models/src/x.rs", "use madsim::time;").len(), 1);
        assert_eq!(found("sim/world/src/x.rs", "use env::hooks::madsim::time;"), Vec::new());
    }

    #[test]
    fn groups_do_not_hide_a_door() {
        let text = "use std::{\n    collections::BTreeMap,\n    fs,\n};";
        assert_eq!(found("scenarios/src/x.rs", text).len(), 1);
        let net = "use std::net::{IpAddr, TcpStream};";
        assert_eq!(found("scenarios/src/x.rs", net).len(), 1);
        let fine = "use std::{fmt, iter, net::IpAddr};\nuse env::net::{TcpStream};";
        assert_eq!(found("scenarios/src/x.rs", fine), Vec::new());
    }

    #[test]
    fn select_is_biased() {
        let lines = |text: &str| biased(&Source::new("nodes/env/src/x.rs", text)).len();
        assert_eq!(lines("env::select! { x = y => {} }"), 1);
        assert_eq!(lines("env::select! {\n    biased;\n    x = y => {}\n}"), 0);
        assert_eq!(lines("pub use tokio::select;"), 0);
        assert_eq!(lines("macro_rules! select_all {}"), 0);
    }
}

//! Which crate may use which, as ARCHITECTURE.md says: nodes never know that they are simulated.

use super::{Finding, Source};
use toml::{Table, Value};

/// Crate, folder, and the crates of the project that it may use.
const EDGES: &[(&str, &str, &[&str])] = &[
    ("env", "nodes/env", &[]),
    ("api", "nodes/api", &[]),
    ("drbd", "nodes/drbd", &["env", "api"]),
    ("xha", "nodes/xha", &["env", "api"]),
    ("satellite", "nodes/satellite", &["env", "api", "drbd", "xha"]),
    ("controller", "nodes/controller", &["env", "api", "drbd", "xha"]),
    ("promoter", "nodes/promoter", &["env", "api", "drbd", "xha"]),
    ("sr", "nodes/sr", &["env", "api", "drbd", "xha"]),
    ("cli", "nodes/cli", &["env", "api", "drbd", "xha"]),
    ("models", "sim/models", &[]),
    ("kernel", "sim/kernel", &["drbd", "models", "env"]),
    ("xapi", "sim/xapi", &["env", "api"]),
    (
        "sim",
        "sim/world",
        &[
            "env",
            "api",
            "drbd",
            "xha",
            "satellite",
            "controller",
            "promoter",
            "sr",
            "cli",
            "models",
            "kernel",
            "xapi",
            "scenarios",
        ],
    ),
    ("scenarios", "scenarios", &[]),
    ("images", "images", &["models", "scenarios"]),
    ("xtask", "xtask", &[]),
    (
        "tests",
        "tests",
        &["env", "api", "drbd", "models", "kernel", "xapi", "sim", "scenarios", "images"],
    ),
];

/// Runtimes that only the door may bring in.
const RUNTIMES: &[&str] = &["tokio", "madsim", "madsim-tokio"];

/// Does a manifest hold an edge that is not allowed?
pub fn check(source: &Source) -> Vec<Finding> {
    let Some(folder) = source.path.strip_suffix("/Cargo.toml") else { return Vec::new() };
    let manifest: Table = match source.text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![Finding::new(source, 0, format!("not TOML: {error}"))],
    };
    let Some((name, _, allowed)) = EDGES.iter().find(|(_, place, _)| *place == folder) else {
        let what =
            "a crate that xtask/src/tidy/edges.rs does not know: add it with what it may use";
        return vec![Finding::new(source, 0, what)];
    };
    let mut findings = Vec::new();
    for dependency in dependencies(&manifest) {
        let ours = EDGES.iter().any(|(known, _, _)| *known == dependency);
        if ours && !allowed.contains(&dependency.as_str()) {
            findings.push(Finding::new(source, 0, format!("{name} must not use {dependency}")));
        }
        if RUNTIMES.contains(&dependency.as_str()) && *name != "env" {
            let what = format!("only env may bring in {dependency}");
            findings.push(Finding::new(source, 0, what));
        }
    }
    findings
}

/// Real names of all dependencies, of every kind and target.
fn dependencies(manifest: &Table) -> Vec<String> {
    let mut names = Vec::new();
    for key in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let Some(Value::Table(table)) = manifest.get(key) else { continue };
        for (name, value) in table {
            let package = value.get("package").and_then(Value::as_str);
            names.push(package.unwrap_or(name).to_owned());
        }
    }
    if let Some(Value::Table(targets)) = manifest.get("target") {
        names.extend(targets.values().filter_map(Value::as_table).flat_map(dependencies));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&Source::new(path, text)).into_iter().map(|it| it.what).collect()
    }

    #[test]
    fn nodes_do_not_know_the_simulator() {
        let text = "[dependencies]\nsim = { workspace = true }\nbytes = \"1\"\n";
        assert_eq!(found("nodes/drbd/Cargo.toml", text), ["drbd must not use sim"]);
        assert_eq!(found("tests/Cargo.toml", text), Vec::<String>::new());
        let dev = "[dev-dependencies]\nmodels = { workspace = true }\n";
        assert_eq!(found("nodes/env/Cargo.toml", dev), ["env must not use models"]);
    }

    #[test]
    fn runtimes_are_the_doors() {
        let renamed =
            "[target.'cfg(madsim)'.dependencies]\nrt = { package = \"madsim\", version = \"1\" }\n";
        assert_eq!(found("sim/world/Cargo.toml", renamed), ["only env may bring in madsim"]);
        assert_eq!(found("nodes/env/Cargo.toml", renamed), Vec::<String>::new());
    }

    #[test]
    fn a_new_crate_says_what_it_may_use() {
        assert_eq!(found("nodes/new/Cargo.toml", "").len(), 1);
        assert_eq!(found("nodes/drbd/Cargo.toml", "[").len(), 1);
    }
}

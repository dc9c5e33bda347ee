//! Every scenario file is run: the list that the simulator compiles in, and that the scenario part
//! of `cargo xtask test` runs without choosing, holds each of them.

use super::{Finding, Source};

const LIST: &str = "scenarios/src/builtin.rs";

/// Is a scenario file missing from the list?
pub fn check(files: &[Source]) -> Vec<Finding> {
    let list = files.iter().find(|file| file.path == LIST).map_or("", |file| &file.text);
    let scenarios = files.iter().filter(|file| {
        let below = file.path.strip_prefix("scenarios/");
        below.is_some_and(|path| path.ends_with(".toml") && path != "Cargo.toml")
    });
    let missing = scenarios.filter(|file| {
        let name = file.path.trim_start_matches("scenarios/");
        !list.contains(&format!("\"{name}\""))
    });
    missing.map(|file| Finding::new(file, 0, format!("nobody runs it: add it to {LIST}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_nobody_runs_is_found() {
        let list = Source::new(LIST, "builtin![\"power/a.toml\"];");
        let listed = Source::new("scenarios/power/a.toml", "");
        let forgotten = Source::new("scenarios/power/b.toml", "");
        let manifest = Source::new("scenarios/Cargo.toml", "");
        let found = check(&[list, listed, forgotten, manifest]);
        assert_eq!(
            found.iter().map(|it| it.path.as_str()).collect::<Vec<_>>(),
            ["scenarios/power/b.toml"]
        );
    }
}

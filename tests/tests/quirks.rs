//! `scenarios/QUIRKS.md` lists exactly the quirks that exist, in their order, each with its origin.

#![cfg(not(madsim))]
#![allow(clippy::disallowed_methods, reason = "reads a file of the repository")]

use drbd::quirks::ALL;

#[test]
fn the_list_of_quirks_is_that_of_the_engine() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/QUIRKS.md");
    let page = std::fs::read_to_string(path).expect("scenarios/QUIRKS.md");
    let remedy = "run `cargo xtask fuzz --quirks --for 0s --write`";
    let listed: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("## `")?.strip_suffix('`')).collect();
    let exist: Vec<&str> = ALL.iter().map(|quirk| quirk.name).collect();
    assert_eq!(listed, exist, "{remedy}");
    let words = page.split_whitespace().collect::<Vec<_>>().join(" ");
    for quirk in ALL {
        let origin = quirk.origin.split_whitespace().collect::<Vec<_>>().join(" ");
        let section = format!("## `{}` {origin}", quirk.name);
        assert!(words.contains(&section), "{}: {remedy}", quirk.name);
    }
}

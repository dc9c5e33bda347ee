//! `scenarios/QUIRKS.md`: what each quirk is, and what caught it. Text in, text out.

use super::hunt::{Hunt, Quirk, Target};
use std::collections::BTreeMap;

/// Where it lives.
pub const FILE: &str = "scenarios/QUIRKS.md";

const TITLE: &str = "# Quirks\n\n";
const HEAD: &str = "\
Bugs of DRBD's history, and a few that a checker has to see, that the simulator can put \
back: each shows that some promise bites. `cargo xtask sim --quirk NAME` puts one back; \
`cargo xtask fuzz --quirks --write` hunts all of them from drawn seeds and writes this \
file. A number at the beginning is that of the bug in our list of DRBD's. Seeds are those \
of the commit at which the quirk was hunted last; CPU time is that of all runs until it \
was caught.";
/// Columns of a line.
const WIDTH: usize = 120;
/// What is said of one that nobody has hunted.
const UNKNOWN: &str = "Not hunted yet.";

/// What is said of each quirk, as the file has it: by name, the last paragraph of its section.
pub fn known(file: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for section in file.split("\n## `").skip(1) {
        let Some((name, rest)) = section.split_once('`') else { continue };
        let last = rest.trim().rsplit("\n\n").next().unwrap_or_default();
        all.insert(name.to_owned(), last.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    all
}

/// What a hunt says of a quirk; `None` if it had no time to look.
fn said(target: &Target) -> Option<String> {
    match &target.caught {
        Some(catch) => Some(format!(
            "Caught by `{}`: seed {}, {:.1} s of CPU time.",
            catch.promise, catch.seed, catch.cpu
        )),
        None if target.runs > 0 => {
            Some(format!("Not caught in {:.0} s of CPU time ({} runs).", target.cpu, target.runs))
        }
        None => None,
    }
}

/// The file: all quirks that exist in their order, with what the hunt or else the file before says.
pub fn written(all: &[Quirk], hunt: &Hunt, before: &str) -> String {
    let known = known(before);
    let mut out = TITLE.to_owned();
    folded(&mut out, HEAD);
    for quirk in all {
        let hunted = hunt.targets.iter().find(|target| target.quirk.name == quirk.name);
        let old = known.get(&quirk.name).cloned();
        let result = hunted.and_then(said).or(old).unwrap_or_else(|| UNKNOWN.to_owned());
        out.push_str(&format!("\n## `{}`\n\n", quirk.name));
        folded(&mut out, &quirk.origin);
        out.push('\n');
        folded(&mut out, &result);
    }
    out
}

fn folded(out: &mut String, text: &str) {
    let mut column = 0;
    for word in text.split_whitespace() {
        let len = word.chars().count();
        if column > 0 && column + 1 + len > WIDTH {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += len;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::super::hunt::Ran;
    use super::*;
    use std::time::Duration;

    fn quirk(name: &str) -> Quirk {
        let origin = format!("7: what {name} does, in many words (fixed in 9.1.14) ").repeat(4);
        Quirk { name: name.to_owned(), promise: "one-primary".to_owned(), origin }
    }

    #[test]
    fn what_is_known_is_kept_where_nothing_new_was_found() {
        let all = [quirk("a"), quirk("b"), quirk("c")];
        let mut hunt = Hunt::new(vec![quirk("b")], 5);
        let slice = hunt.next(Duration::from_secs(60)).expect("a slice");
        let failed = Some(("reads-are-fresh".to_owned(), 9));
        hunt.done(slice, Ran { runs: 2, cpu: 1.25, failed, fails_anyway: false });
        let before = "# x\n\n## `a`\n\nold words\n\nCaught by `p`: seed 1,\n3.0 s of CPU time.\n\n\
                      ## `gone`\n\nx\n\ny\n";
        let page = written(&all, &hunt, before);
        let known = known(&page);
        assert_eq!(known.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(known["a"], "Caught by `p`: seed 1, 3.0 s of CPU time.");
        assert_eq!(known["b"], "Caught by `reads-are-fresh`: seed 9, 1.2 s of CPU time.");
        assert_eq!(known["c"], UNKNOWN);
        assert!(page.lines().all(|line| line.chars().count() <= WIDTH), "{page}");
        assert_eq!(written(&all, &Hunt::new(Vec::new(), 0), &page), page, "writing is stable");
    }
}

//! Steps and expectations in whole runs: what is seen when, and what is said of what was not.

use crate::outcome::{Class, Failure, Outcome, RunOptions};
use crate::run::run;
use std::time::Duration;

const POOL: &str = r#"
schema = 1
name = "story"
heals = false
horizon = "30s"
[pool]
hosts = ["alpha", "bravo", "charlie"]
boot-time = "2s"
[[resource]]
name = "vol-a"
size = "8MiB"
diskful = ["alpha", "bravo"]
tiebreaker = "charlie"
options = { quorum = "majority", on-no-quorum = "suspend-io" }
[[vm]]
name = "vm-a"
on = "alpha"
vdi = "vol-a"
io = { write = 1, rate = 20 }
"#;

fn tell(plan: &str) -> Outcome {
    let text = format!("{POOL}{plan}");
    let scenario = scenarios::read("story.toml", &text).unwrap_or_else(|error| panic!("{error}"));
    let wall_limit = Duration::from_secs(60);
    let quirks = drbd::quirks::Quirks::default();
    run(&scenario, &RunOptions { seed: 1, quirks, keep_log: false, wall_limit, marks: true })
}

#[track_caller]
fn passes(plan: &str) {
    if let Some(failure) = tell(plan).failure {
        panic!("t={} {}: {}", failure.at, failure.promise, failure.what);
    }
}

/// The run fails for an expectation; what is said of it contains `what`.
#[track_caller]
fn fails(plan: &str, what: &str) -> Failure {
    let failure = tell(plan).failure.expect("something is unmet");
    assert_eq!(failure.class, Class::Expectation, "{}", failure.what);
    assert!(failure.what.contains(what), "{}", failure.what);
    failure
}

const ISOLATED: &str = r#"
[[step]]
id = "alone"
at = "5s"
do = { isolate = "bravo" }
"#;

#[test]
fn what_is_seen_in_time_is_met() {
    passes(&format!(
        "{ISOLATED}{}",
        r#"
[[expect]]
within = "15s"
that = { event = "link-down", host = "alpha", peer = "bravo" }
[[expect]]
within = "15s"
that = { event = "link-down", host = "bravo", peer = "alpha" }
[[expect]]
within = "15s"
that = { resource = "vol-a", host = "alpha", peer = "bravo", connection = "Connecting" }
[[expect]]
always = { resource = "vol-a", quorum = { alpha = true } }
[[expect]]
never = { event = "demoted" }
"#
    ));
}

#[test]
fn what_is_not_seen_in_time_is_unmet_right_after() {
    let plan = format!(
        "{ISOLATED}{}",
        r#"
[[expect]]
id = "moved"
within = "7s"
that = { vm = "vm-a", on = "bravo" }
"#
    );
    let failure = fails(&plan, "expectation moved: within { vm = \"vm-a\", on = \"bravo\" }");
    assert!(failure.what.ends_with("was not seen in time"), "{}", failure.what);
    assert_eq!(failure.at, 12_000_000_001);
}

/// A pool without a VM, all of it off: nothing happens but that the time passes.
#[test]
fn a_deadline_passes_where_nothing_else_happens() {
    let off = |host: &str| format!("[[step]]\nat = \"5s\"\ndo = {{ power-off = \"{host}\" }}\n");
    let plan = ["alpha", "bravo", "charlie"].map(off).concat();
    let plan = plan + "[[expect]]\nwithin = \"7.3s\"\nthat = { power = { alpha = \"on\" } }\n";
    assert_eq!(fails(&plan, "was not seen in time").at, 12_300_000_001);
}

#[test]
fn what_is_still_awaited_at_the_end_is_unmet() {
    let plan = format!(
        "{ISOLATED}{}",
        r#"
[[expect]]
within = "10m"
that = { vm = "vm-a", on = "bravo" }
"#
    );
    fails(&plan, "was not seen before the run ended");
}

#[test]
fn what_has_to_last_is_looked_at_from_the_first_step_on() {
    // Before it the pool comes up: quorum is not there at once.
    passes(&format!(
        "{ISOLATED}[[expect]]\nalways = {{ resource = \"vol-a\", quorum = {{ alpha = true }} }}"
    ));
    let plan = format!(
        "{ISOLATED}[[expect]]\nalways = {{ resource = \"vol-a\", quorum = {{ bravo = true }} }}"
    );
    let failure = fails(&plan, "no longer holds");
    assert!(failure.at > 5_000_000_000 && failure.at < 20_000_000_000, "{}", failure.at);
}

#[test]
fn what_must_never_be_is_looked_at_from_the_first_step_on() {
    // At the start every connection stands alone for a moment.
    let plan = |state: &str| {
        let fact = format!("host = \"alpha\", peer = \"bravo\", connection = \"{state}\"");
        format!("{ISOLATED}[[expect]]\nnever = {{ resource = \"vol-a\", {fact} }}")
    };
    passes(&plan("StandAlone"));
    fails(&plan("Connecting"), "was seen");
}

#[test]
fn an_expectation_ends_with_the_step_that_it_names() {
    let story = |expect: &str| {
        format!(
            "{ISOLATED}{}{expect}",
            r#"
[[step]]
id = "again"
at = "6s"
do = { rejoin = "bravo" }
[[step]]
id = "gone"
at = "10s"
do = { move-vm = { vm = "vm-a" } }
"#
        )
    };
    // Until then it holds; later it does not.
    passes(&story("[[expect]]\nuntil = \"gone\"\nalways = { vm = \"vm-a\", running = true }\n"));
    fails(&story("[[expect]]\nalways = { vm = \"vm-a\", running = true }\n"), "no longer holds");
    passes(&story("[[expect]]\nuntil = \"gone\"\nnever = { event = \"demoted\" }\n"));
    fails(&story("[[expect]]\nnever = { event = \"demoted\" }\n"), "was seen");
    // What should come before it and comes later is too late.
    let late = "[[expect]]\nafter = \"alone\"\nuntil = \"gone\"\nwithin = \"20s\"\n\
                that = { event = \"demoted\" }\n";
    assert_eq!(fails(&story(late), "was not seen in time").at / 1_000_000_000, 10);
}

#[test]
fn an_expectation_after_a_step_does_not_see_what_was_before() {
    let story = r#"
[[step]]
at = "5s"
do = { move-vm = { vm = "vm-a", to = "bravo" } }
[[step]]
id = "back"
at = "10s"
do = { move-vm = { vm = "vm-a", to = "alpha" } }
[[expect]]
after = "back"
within = "10s"
"#;
    passes(&format!("{story}that = {{ event = \"promoted\", host = \"alpha\" }}\n"));
    fails(&format!("{story}that = {{ event = \"promoted\", host = \"bravo\" }}\n"), "promoted");
    fails(&format!("{story}that = {{ event = \"promoted\", nth = 2 }}\n"), "nth = 2");
}

#[test]
fn a_step_strikes_when_its_condition_holds_and_not_before() {
    let outcome = tell(
        r#"
[[step]]
after = { vm = "vm-a", acked-writes = 100 }
wait = "1s"
do = { crash = "bravo" }
[[step]]
after = { event = "booted", host = "bravo" }
do = { crash = "charlie" }
[[expect]]
never = { power = { charlie = "off" } }
"#,
    );
    // 100 writes at 20 a second, and a second: six at least.
    let failure = outcome.failure.expect("charlie is off for a moment");
    assert!(failure.what.contains("was seen"), "{}", failure.what);
    assert!(failure.at > 8_000_000_000, "{}", failure.at);
    assert_eq!(outcome.faults["crash"], 2);
}

#[test]
fn a_step_whose_time_never_comes_is_said_unless_it_is_optional() {
    let step = "[[step]]\nid = \"restart\"\nafter = { vm = \"vm-a\", on = \"bravo\" }\n\
                do = { boot = \"bravo\" }\n";
    let what = "the time of step restart never came: what it waits for was not seen";
    assert_eq!(fails(step, what).at / 1_000_000_000, 30);
    passes(&format!("{step}optional = true\n"));
}

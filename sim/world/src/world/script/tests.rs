//! Steps and expectations of scenario files as they unfold.

use super::*;

const S: u64 = 1_000_000_000;
const POOL: &str = r#"
schema = 1
name = "story"
horizon = "10m"
[pool]
hosts = ["alpha", "bravo"]
[[resource]]
name = "vol-a"
size = "64MiB"
diskful = ["alpha", "bravo"]
[[vm]]
name = "vm-a"
on = "alpha"
vdi = "vol-a"
"#;

/// A script that has begun.
fn script(plan: &str) -> Script {
    let text = format!("{POOL}{plan}");
    let scenario = scenarios::read("story.toml", &text).unwrap_or_else(|e| panic!("{e}"));
    let mut script = Script::new(&scenario);
    script.begin(fresh);
    script
}

fn fresh(that: &Condition) -> Watch {
    Watch { acked: Vec::new(), errors: Vec::new(), seen: vec![0; that.all.len()] }
}

/// Strikes what is due at `now`, in order.
fn strike(script: &mut Script, now: u64) -> Vec<usize> {
    let mut struck = Vec::new();
    while let Some(index) = script.take(now) {
        script.strikes(index, now, fresh);
        struck.push(index);
    }
    struck
}

/// `event` is seen on `host`.
fn saw(script: &mut Script, event: Event, host: &str) {
    script.saw(|fact| match fact {
        Fact::Event { event: wanted, host: on, .. } => {
            *wanted == event && on.as_deref().is_none_or(|on| on == host)
        }
        _ => false,
    });
}

/// What each waiting step has counted; `None` before it is watched.
fn counted(script: &Script) -> Vec<Option<Vec<u32>>> {
    let seen = |waiting: &Waiting| waiting.watch.as_ref().map(|watch| watch.seen.clone());
    script.waiting.iter().map(seen).collect()
}

#[test]
fn steps_strike_at_their_time_and_in_order() {
    let mut script = script(
        r#"
[[step]]
at = "20s"
do = { power-off = "alpha" }
[[step]]
at = "10s"
do = { crash = "bravo" }
[[step]]
at = "20s"
do = { boot = "alpha" }
"#,
    );
    assert_eq!(script.next_due(), 10 * S);
    assert_eq!(strike(&mut script, 10 * S - 1), [] as [usize; 0]);
    assert_eq!(strike(&mut script, 10 * S), [1]);
    assert_eq!((script.next_due(), script.left), (20 * S, 2));
    assert_eq!(strike(&mut script, 20 * S), [0, 2]);
    assert_eq!((script.next_due(), script.left, script.count), (u64::MAX, 0, 3));
}

#[test]
fn a_step_after_another_waits_from_its_moment_on() {
    let mut script = script(
        r#"
[[step]]
id = "returns"
after = "dies"
wait = "5s"
do = { boot = "alpha" }
[[step]]
id = "dies"
at = "20s"
do = { power-off = "alpha" }
[[step]]
after = "dies"
do = { crash = "bravo" }
"#,
    );
    assert!(!script.has_struck("dies"));
    // Without a wait it is due in the same moment, after the one that it follows.
    assert_eq!(strike(&mut script, 20 * S), [1, 2]);
    assert!(script.has_struck("dies") && !script.has_struck("returns"));
    assert_eq!(script.next_due(), 25 * S);
    assert_eq!(strike(&mut script, 25 * S), [0]);
    assert!(script.has_struck("returns"));
}

#[test]
fn a_condition_counts_from_the_step_that_it_names() {
    let mut script = script(
        r#"
[[step]]
id = "dies"
at = "20s"
do = { power-off = "bravo" }
[[step]]
after = { step = "dies", event = "promoted", host = "alpha", nth = 2 }
wait = "3s"
do = { boot = "bravo" }
[[step]]
after = { event = "promoted" }
do = { crash = "alpha" }
"#,
    );
    assert!(script.listens(Event::Promoted) && !script.listens(Event::Demoted));
    // One names no step: it counts from the start.
    saw(&mut script, Event::Promoted, "alpha");
    assert_eq!(counted(&script), [None, Some(vec![1])]);
    strike(&mut script, 20 * S);
    assert_eq!(counted(&script), [Some(vec![0]), Some(vec![1])]);
    saw(&mut script, Event::Promoted, "bravo");
    saw(&mut script, Event::Promoted, "alpha");
    saw(&mut script, Event::Demoted, "alpha");
    assert_eq!(counted(&script), [Some(vec![1]), Some(vec![3])]);
    // It holds at 30 s: three seconds later it strikes, and the other one still waits.
    script.ripe(0, 30 * S);
    assert_eq!(script.next_due(), 33 * S);
    assert_eq!(strike(&mut script, 33 * S), [1]);
    assert_eq!(counted(&script), [Some(vec![3])]);
}

#[test]
fn one_condition_counts_each_of_its_events() {
    let mut script = script(
        r#"
[[step]]
after = { all = [{ event = "promoted", host = "alpha" }, { event = "demoted", host = "alpha" }] }
do = { crash = "alpha" }
"#,
    );
    saw(&mut script, Event::Demoted, "alpha");
    let seen = counted(&script).remove(0).expect("it is watched from the start");
    assert_eq!(seen.iter().sum::<u32>(), 1, "{seen:?}");
    saw(&mut script, Event::Promoted, "alpha");
    assert_eq!(counted(&script), [Some(vec![1, 1])]);
}

#[test]
fn optional_steps_are_not_waited_for() {
    let mut script = script(
        r#"
[[step]]
at = "20s"
do = { power-off = "bravo" }
[[step]]
at = "40s"
optional = true
do = { boot = "bravo" }
[[expect]]
within = "10s"
that = { vm = "vm-a", running = true }
"#,
    );
    assert_eq!((script.left, script.watched[0].since), (1, None));
    strike(&mut script, 20 * S);
    assert_eq!((script.left, script.watched[0].since), (0, Some(20 * S)));
    strike(&mut script, 40 * S);
    assert_eq!((script.left, script.watched[0].since), (0, Some(20 * S)));
}

#[test]
fn expectations_begin_with_the_last_step_the_first_or_their_own() {
    let mut script = script(
        r#"
[[step]]
at = "10s"
do = { power-off = "bravo" }
[[step]]
id = "two"
at = "20s"
do = { boot = "bravo" }
[[step]]
at = "30s"
do = { crash = "alpha" }
[[expect]]
within = "1m"
that = { vm = "vm-a", running = true }
[[expect]]
never = { vm = "vm-a", running = false }
[[expect]]
always = { vm = "vm-a", running = true }
[[expect]]
after = "two"
within = "1m"
that = { vm = "vm-a", running = true }
"#,
    );
    let since = |script: &Script| -> Vec<Option<u64>> {
        script.watched.iter().map(|watched| watched.since.map(|at| at / S)).collect()
    };
    assert_eq!(since(&script), [None, None, None, None]);
    strike(&mut script, 10 * S);
    assert_eq!(since(&script), [None, Some(10), Some(10), None]);
    strike(&mut script, 20 * S);
    assert_eq!(since(&script), [None, Some(10), Some(10), Some(20)]);
    strike(&mut script, 30 * S);
    assert_eq!(since(&script), [Some(30), Some(10), Some(10), Some(20)]);
}

#[test]
fn without_steps_expectations_begin_at_once() {
    let script = script(
        r#"
[[expect]]
within = "10s"
that = { vm = "vm-a", running = true }
[[expect]]
never = { vm = "vm-a", running = false }
[[expect]]
always = { vm = "vm-a", running = true }
"#,
    );
    let since: Vec<_> = script.watched.iter().map(|watched| watched.since).collect();
    // What has to last begins when it first holds.
    assert_eq!(since, [Some(0), Some(0), None]);
    assert!(script.is_watching());
}

#[test]
fn a_deadline_still_counts_and_is_over_right_after() {
    let mut script = script(
        r#"
[[step]]
at = "20s"
do = { power-off = "bravo" }
[[expect]]
within = "10s"
that = { vm = "vm-a", running = true }
"#,
    );
    strike(&mut script, 20 * S);
    assert_eq!(script.next_due(), 30 * S + 1);
    assert!(!script.is_late(30 * S) && script.is_late(30 * S + 1));
    script.watched[0].over = true;
    assert!(!script.is_late(30 * S + 1) && !script.is_watching());
    assert_eq!(script.next_due(), u64::MAX);
}

//! The plan as it unfolds: which step is due when, what steps and expectations wait for. Pure; what
//! conditions see, [`super::watch`] asks of the world.

use scenarios::{Condition, Event, Expect, Expectation, Fact, Scenario, Step};
use std::collections::BTreeSet;

/// What a condition has counted since it is watched.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    /// Acknowledged writes of each VM when it began.
    pub acked: Vec<u64>,
    /// I/O errors of each VM when it began.
    pub errors: Vec<u64>,
    /// How often each fact's event was seen since.
    pub seen: Vec<u32>,
}

/// A step that waits for another, or for a condition.
pub(super) struct Waiting {
    pub step: usize,
    /// Since its `after` has struck.
    pub watch: Option<Watch>,
}

/// An expectation.
pub(super) struct Watched {
    pub expect: Expect,
    /// Since when it is looked at.
    pub since: Option<u64>,
    pub watch: Option<Watch>,
    /// Met, or its time is over.
    pub over: bool,
    /// It held once; `always` begins then, if no step came before.
    pub held: bool,
}

impl Watched {
    /// When it has to be met, at the latest.
    pub fn deadline(&self) -> Option<u64> {
        match self.expect.kind {
            Expectation::Within(ns) if !self.over => Some(self.since?.saturating_add(ns)),
            _ => None,
        }
    }
}

/// The plan of a run and how far it is.
pub(super) struct Script {
    pub steps: Vec<Step>,
    /// Steps whose time is known: time, index.
    timed: BTreeSet<(u64, usize)>,
    pub waiting: Vec<Waiting>,
    struck: BTreeSet<String>,
    /// How many steps have struck.
    pub count: u64,
    /// Steps that have to strike and have not.
    pub left: usize,
    pub watched: Vec<Watched>,
    /// Events that somebody waits for, a bit each.
    listens: u32,
    /// Something may have changed that a condition looks at.
    pub stale: bool,
}

impl Script {
    /// Nothing has struck yet.
    pub fn new(scenario: &Scenario) -> Script {
        let steps = scenario.step.clone();
        let left = steps.iter().filter(|step| !step.optional).count();
        let mut script = Script { steps, left, stale: true, ..Script::empty() };
        for (index, step) in script.steps.iter().enumerate() {
            match step.when.time() {
                Some(at) => drop(script.timed.insert((at, index))),
                None => script.waiting.push(Waiting { step: index, watch: None }),
            }
        }
        for expect in &scenario.expect {
            let expect = expect.clone();
            let (since, watch, over, held) = (None, None, false, false);
            script.watched.push(Watched { expect, since, watch, over, held });
        }
        let conditions = scenario.step.iter().filter_map(|step| step.when.that.as_ref());
        for that in conditions.chain(scenario.expect.iter().map(|expect| &expect.that)) {
            script.listens |= that.all.iter().fold(0, |all, fact| all | bit(fact));
        }
        script
    }

    /// No plan at all.
    pub fn empty() -> Script {
        Script {
            steps: Vec::new(),
            timed: BTreeSet::new(),
            waiting: Vec::new(),
            struck: BTreeSet::new(),
            count: 0,
            left: 0,
            watched: Vec::new(),
            listens: 0,
            stale: false,
        }
    }

    /// When something is due without an event.
    pub fn next_due(&self) -> u64 {
        let step = self.timed.first().map_or(u64::MAX, |(at, _)| *at);
        let deadlines = self.watched.iter().filter_map(Watched::deadline);
        // The deadline itself still counts.
        deadlines.map(|at| at.saturating_add(1)).min().unwrap_or(u64::MAX).min(step)
    }

    /// Is an expectation's time over, though nothing else may have happened?
    pub fn is_late(&self, now: u64) -> bool {
        self.watched.iter().filter_map(Watched::deadline).any(|deadline| now > deadline)
    }

    /// Takes the next step that is due.
    pub fn take(&mut self, now: u64) -> Option<usize> {
        let first = *self.timed.first().filter(|(at, _)| *at <= now)?;
        self.timed.remove(&first);
        Some(first.1)
    }

    /// A step strikes: those that come after it begin to wait.
    pub fn strikes(&mut self, index: usize, now: u64, fresh: impl Fn(&Condition) -> Watch) {
        self.count += 1;
        self.stale = true;
        let step = &self.steps[index];
        self.left -= usize::from(!step.optional);
        self.struck.extend(step.id.clone());
        let struck =
            |step: &Option<String>| step.as_ref().is_some_and(|step| self.struck.contains(step));
        let mut timed = Vec::new();
        self.waiting.retain_mut(|waiting| {
            let when = &self.steps[waiting.step].when;
            if waiting.watch.is_some() || !struck(&when.after) {
                return true;
            }
            match &when.that {
                Some(that) => waiting.watch = Some(fresh(that)),
                None => timed.push((now.saturating_add(when.wait), waiting.step)),
            }
            when.that.is_some()
        });
        self.timed.extend(timed);
        for watched in &mut self.watched {
            let begins = match (&watched.expect.after, watched.expect.kind) {
                (Some(_), _) => struck(&watched.expect.after),
                (None, Expectation::Within(_)) => self.left == 0,
                (None, _) => true,
            };
            if begins && watched.since.is_none() {
                watched.since = Some(now);
                watched.watch = Some(fresh(&watched.expect.that));
            }
        }
    }

    /// The run begins: what waits for no step is watched from now on.
    pub fn begin(&mut self, fresh: impl Fn(&Condition) -> Watch) {
        for waiting in &mut self.waiting {
            let when = &self.steps[waiting.step].when;
            if let (None, Some(that)) = (&when.after, &when.that) {
                waiting.watch = Some(fresh(that));
            }
        }
        let empty = self.steps.is_empty();
        for watched in &mut self.watched {
            let lasts = watched.expect.kind == Expectation::Always;
            if watched.expect.after.is_none() {
                watched.watch = Some(fresh(&watched.expect.that));
                watched.since = (!lasts && empty).then_some(0);
            }
        }
    }

    /// Has this step struck?
    pub fn has_struck(&self, step: &str) -> bool {
        self.struck.contains(step)
    }

    /// A waiting step's condition holds: it strikes when its wait is over.
    pub fn ripe(&mut self, place: usize, now: u64) {
        let waiting = self.waiting.remove(place);
        let wait = self.steps[waiting.step].when.wait;
        self.timed.insert((now.saturating_add(wait), waiting.step));
    }

    /// Does anybody wait for this event?
    #[inline]
    pub fn listens(&self, event: Event) -> bool {
        self.listens & 1 << event as u32 != 0
    }

    /// An event was seen; `fits` says whether a fact means it.
    pub fn saw(&mut self, fits: impl Fn(&Fact) -> bool) {
        self.stale = true;
        let steps = &self.steps;
        let waiting = self.waiting.iter_mut().filter_map(|waiting| {
            Some((steps[waiting.step].when.that.as_ref()?, waiting.watch.as_mut()?))
        });
        let watched = self
            .watched
            .iter_mut()
            .filter_map(|watched| Some((&watched.expect.that, watched.watch.as_mut()?)));
        for (that, watch) in waiting.chain(watched) {
            for (fact, seen) in that.all.iter().zip(&mut watch.seen) {
                *seen = seen.saturating_add(fits(fact).into());
            }
        }
    }

    /// Is there a condition to look at?
    pub fn is_watching(&self) -> bool {
        self.waiting.iter().any(|waiting| waiting.watch.is_some())
            || self.watched.iter().any(|watched| !watched.over)
    }
}

/// The bit of a fact's event.
fn bit(fact: &Fact) -> u32 {
    match fact {
        Fact::Event { event, .. } => 1 << *event as u32,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
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
}

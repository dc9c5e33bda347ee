//! The plan as it unfolds: which step is due when, what steps and expectations wait for. Pure; what
//! conditions see, [`super::watch`] asks of the world.

use scenarios::{Condition, Do, Event, Expect, Expectation, Fact, Scenario, Step};
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
        if step.action == Do::HealAll {
            self.give_up_optional();
        }
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

    /// Everything is healed, and stays so: an optional step that waited for its moment until now,
    /// or whose moment came and whose wait is not over, does not strike any more. One that comes
    /// after a step which is still to strike (the healing itself, say) is not touched.
    fn give_up_optional(&mut self) {
        let steps = &self.steps;
        self.waiting.retain(|waiting| !steps[waiting.step].optional || waiting.watch.is_none());
        let fixed = |step: &Step| !step.optional || step.when.time().is_some();
        self.timed.retain(|(_, step)| fixed(&steps[*step]));
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
mod healed;
#[cfg(test)]
mod tests;

//! Shrinking: of a plan that fails, the few steps that matter.
//!
//! Pure. [`Search`] proposes a candidate, is told whether it fails the same way, and proposes the
//! next: first fewer steps (ever smaller chunks), then fewer hosts, resources and VMs, shorter
//! times, simpler faults, less work; all again until nothing helps. The order depends on the plan
//! and the verdicts alone, so that two workers come to the same plan as one.
//!
//! A candidate stays within the budget of faults that the plan kept to, see [`budget`]: else
//! shrinking would end at a plan that must fail.

pub mod budget;
mod edit;
mod passes;
mod repair;
#[cfg(test)]
mod tests;

use crate::check::{io_resumes, resync_finishes};
use budget::Rule;
use edit::Edit;
use passes::Pass;
use scenarios::{Do, Scenario};
use std::collections::BTreeSet;
use std::rc::Rc;

/// How a plan fails.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fails {
    /// The promise that it breaks, or `panic`, `limit`, `expectation`.
    pub breaks: String,
    /// Simulated time in ns.
    pub at: u64,
}

/// A search for a smaller plan.
#[derive(Clone)]
pub struct Search {
    best: Scenario,
    at: u64,
    liveness: bool,
    /// Rules of the budget that the plan broke from the start.
    broken: BTreeSet<Rule>,
    pass: usize,
    /// Steps that are dropped together.
    chunk: usize,
    index: usize,
    edits: Rc<Vec<Edit>>,
    changed: bool,
}

impl Search {
    /// Begins with a plan that fails. What says nothing about the run is left out at once.
    pub fn new(plan: &Scenario, fails: &Fails) -> Search {
        let liveness = [io_resumes::NAME, resync_finishes::NAME].contains(&&*fails.breaks);
        let best = bare(plan, &fails.breaks, liveness);
        let mut search = Search {
            broken: budget::broken(&best),
            chunk: best.step.len().max(1),
            best,
            at: fails.at,
            liveness,
            pass: 0,
            index: 0,
            edits: Rc::default(),
            changed: false,
        };
        search.look();
        search
    }

    /// The smallest plan so far.
    pub fn best(&self) -> &Scenario {
        &self.best
    }

    /// What is to be tried next; `None`: nothing is left to try.
    pub fn candidate(&mut self) -> Option<Scenario> {
        loop {
            while let Some(edit) = self.edits.get(self.index) {
                if let Some(candidate) = self.applied(edit) {
                    return Some(candidate);
                }
                self.index += 1;
            }
            if !self.next_pass() {
                return None;
            }
        }
    }

    /// The candidate does not fail the same way.
    pub fn rejected(&mut self) {
        self.index += 1;
    }

    /// The candidate fails the same way, at this time.
    pub fn accepted(&mut self, candidate: Scenario, at: u64) {
        (self.best, self.at, self.changed) = (candidate, at, true);
        // What has moved into this place is looked at next.
        self.look();
    }

    fn applied(&self, edit: &Edit) -> Option<Scenario> {
        let candidate = edit.apply(&self.best)?;
        let allowed = candidate != self.best
            && scenarios::validate(&candidate).is_ok()
            && budget::broken(&candidate).is_subset(&self.broken)
            && !(self.liveness && commands(&candidate) < commands(&self.best));
        allowed.then_some(candidate)
    }

    fn look(&mut self) {
        let pass = passes::ALL[self.pass];
        self.edits = Rc::new(passes::edits(pass, &self.best, self.at, self.chunk));
    }

    /// Goes on to smaller chunks, the next pass, or all passes once more.
    fn next_pass(&mut self) -> bool {
        self.index = 0;
        if passes::ALL[self.pass] == Pass::Steps && self.chunk > 1 {
            self.chunk /= 2;
        } else if self.pass + 1 < passes::ALL.len() {
            self.pass += 1;
            self.chunk = self.best.step.len().max(1);
        } else if std::mem::take(&mut self.changed) {
            self.pass = 0;
            self.chunk = self.best.step.len().max(1);
        } else {
            return false;
        }
        self.look();
        true
    }
}

/// Without what only readers and fuzzers need, and without promises that it is not about.
fn bare(plan: &Scenario, breaks: &str, liveness: bool) -> Scenario {
    let mut plan = plan.clone();
    plan.vary.clear();
    plan.known.clear();
    plan.origin.clear();
    plan.worlds = vec!["sim".to_owned()];
    plan.heals |= liveness || budget::demands_recovery(&plan);
    let is_promise = crate::check::Promise::ALL.iter().any(|promise| promise.name() == breaks);
    plan.promise = if is_promise { vec![breaks.to_owned()] } else { Vec::new() };
    plan
}

/// What an administrator does and undoes cannot be told apart here: where recovery is demanded,
/// no command is left out.
fn commands(plan: &Scenario) -> usize {
    plan.step.iter().filter(|step| matches!(step.action, Do::Run { .. })).count()
}

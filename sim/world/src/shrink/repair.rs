//! After something was taken out of a plan: what named it goes too.

use scenarios::{Scenario, Step, validate};

/// Takes out what names something that is no longer there. `None`: that cannot be done.
pub(super) fn repair(mut plan: Scenario) -> Option<Scenario> {
    // Each turn takes something out, so there is an end.
    while let Err(invalid) = validate(&plan) {
        let (head, rest) = invalid.path.split_once('.').unwrap_or((&invalid.path, ""));
        match indexed(head) {
            Some(("step", at)) if at < plan.step.len() => drop_steps(&mut plan, at, at + 1),
            Some(("expect", at)) if at < plan.expect.len() => drop(plan.expect.remove(at)),
            Some(("vm", at)) if at < plan.vm.len() => drop(plan.vm.remove(at)),
            Some(("resource", at)) if at < plan.resource.len() => part(&mut plan, at, rest),
            _ if invalid.path == "pool.master" => plan.pool.master = None,
            _ => return None,
        }
    }
    Some(plan)
}

/// `step[3]`
fn indexed(head: &str) -> Option<(&str, usize)> {
    let (name, index) = head.strip_suffix(']')?.split_once('[')?;
    Some((name, index.parse().ok()?))
}

/// A part of a resource that is wrong; the whole if it is no list's element.
fn part(plan: &mut Scenario, at: usize, path: &str) {
    let resource = &mut plan.resource[at];
    match indexed(path) {
        Some(("diskful", i)) if i < resource.diskful.len() => drop(resource.diskful.remove(i)),
        Some(("diskless", i)) if i < resource.diskless.len() => drop(resource.diskless.remove(i)),
        _ if path == "tiebreaker" && resource.tiebreaker.is_some() => resource.tiebreaker = None,
        _ => drop(plan.resource.remove(at)),
    }
}

/// Takes steps out. What came after one of them comes after what that came after.
pub(super) fn drop_steps(plan: &mut Scenario, from: usize, to: usize) {
    let gone: Vec<Step> = plan.step.drain(from..to.min(plan.step.len())).collect();
    // Backwards: a dropped step may have come after another dropped one.
    for step in gone.iter().rev() {
        let Some(id) = &step.id else { continue };
        for later in plan.step.iter_mut().filter(|it| it.when.after.as_ref() == Some(id)) {
            later.when.after.clone_from(&step.when.after);
            later.when.wait = later.when.wait.saturating_add(step.when.wait);
            if later.when.that.is_none() {
                later.when.that.clone_from(&step.when.that);
            }
        }
        for expect in &mut plan.expect {
            let named = |place: &Option<String>| place.as_ref() == Some(id);
            if named(&expect.after) {
                expect.after = None;
            }
            if named(&expect.until) {
                expect.until = None;
            }
        }
    }
}

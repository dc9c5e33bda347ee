//! The search against made-up bugs: no world runs here.

use super::*;
use scenarios::{Step, When};

/// Shrinks with `fails` for the runs; what is left and how many were made.
fn shrink(plan: &Scenario, breaks: &str, fails: impl Fn(&Scenario) -> bool) -> (Scenario, usize) {
    let at = plan.horizon;
    let fails_at = |_: &Scenario| at.min(50_000_000_000);
    let mut search = Search::new(plan, &Fails { breaks: breaks.to_owned(), at: fails_at(plan) });
    let mut tries = 0;
    while let Some(candidate) = search.candidate() {
        tries += 1;
        assert!(tries < 20_000, "the search does not end");
        assert_eq!(scenarios::validate(&candidate), Ok(()));
        if fails(&candidate) {
            search.accepted(candidate, 50_000_000_000.min(at));
        } else {
            search.rejected();
        }
    }
    (search.best().clone(), tries)
}

fn powers(plan: &Scenario, host: &str) -> bool {
    plan.step.iter().any(|step| step.action == Do::PowerOff { host: host.to_owned() })
}

#[test]
fn of_a_drawn_plan_what_matters_is_left() {
    let mut shrunk = 0;
    for seed in 0..60 {
        let plan = crate::swarm::draw(seed);
        let cuts = |plan: &Scenario| {
            let both = |step: &Step| matches!(step.action, Do::Isolate { .. } | Do::Cut { .. });
            plan.step.iter().any(both)
        };
        let bug = |plan: &Scenario| powers(plan, "alpha") && cuts(plan);
        if !bug(&plan) {
            continue;
        }
        shrunk += 1;
        let (small, tries) = shrink(&plan, "one-primary", bug);
        assert_eq!(small.step.len(), 2, "seed {seed}: {:?}", small.step);
        assert!(tries < 1_500, "seed {seed}: {tries} tries");
        assert!(small.pool.hosts.len() <= 3 && small.vm.is_empty(), "seed {seed}");
        assert!(budget::broken(&small).is_subset(&budget::broken(&plan)), "seed {seed}");
    }
    assert!(shrunk >= 5, "{shrunk} plans");
}

#[test]
fn two_searches_with_the_same_verdicts_are_the_same() {
    let plan = crate::swarm::draw(7);
    let bug = |plan: &Scenario| plan.step.len() >= 3;
    assert_eq!(shrink(&plan, "one-primary", bug), shrink(&plan, "one-primary", bug));
    let mut search = Search::new(&plan, &Fails { breaks: "one-primary".to_owned(), at: 1 });
    // What comes after a rejection can be known before it.
    let mut ahead = search.clone();
    assert_eq!(ahead.candidate(), search.candidate());
    ahead.rejected();
    let next = ahead.candidate();
    search.rejected();
    assert_eq!(next, search.candidate());
}

#[test]
fn recovery_is_not_demanded_of_what_stays_broken() {
    for seed in 0..60 {
        let plan = crate::swarm::draw(seed);
        if !plan.heals || !powers(&plan, "alpha") {
            continue;
        }
        let (small, _) = shrink(&plan, "io-resumes", |plan| powers(plan, "alpha"));
        let mends = |step: &Step| {
            step.action == Do::HealAll || step.action == Do::Boot { host: "alpha".to_owned() }
        };
        assert!(small.step.iter().any(mends), "seed {seed}: {:?}", small.step);
        assert!(small.heals, "seed {seed}");
        assert!(small.horizon > 100_000_000_000);
    }
}

#[test]
fn what_comes_after_a_dropped_step_comes_after_the_one_before() {
    let mut plan = crate::swarm::draw(1);
    let host = || plan.pool.hosts[0].clone();
    let step = |id: &str, after: Option<&str>, wait| Step {
        id: Some(id.to_owned()),
        when: When { after: after.map(str::to_owned), that: None, wait },
        action: Do::Boot { host: host() },
        optional: false,
    };
    plan.step = vec![step("a", None, 5), step("b", Some("a"), 7), step("c", Some("b"), 9)];
    let without = |from, to| Edit::Steps(from, to).apply(&plan).expect("a plan").step;
    assert_eq!(without(1, 2)[1].when, When { after: Some("a".to_owned()), that: None, wait: 16 });
    assert_eq!(without(0, 2)[0].when, When::at(21));
}

#[test]
fn what_a_host_leaves_behind_goes_with_it() {
    let plan = crate::swarm::draw(3);
    for host in 0..plan.pool.hosts.len() {
        let name = &plan.pool.hosts[host];
        let Some(rest) = Edit::Host(host).apply(&plan) else { continue };
        let text = scenarios::write(&rest);
        assert!(!text.contains(&format!("\"{name}\"")), "{name} in {text}");
    }
}

//! What the healing of everything does to steps that still wait.

use super::*;
use scenarios::When;

fn fresh(condition: &Condition) -> Watch {
    Watch { acked: Vec::new(), errors: Vec::new(), seen: vec![0; condition.all.len()] }
}

fn booted() -> Option<Condition> {
    let (event, nth) = (Event::Booted, 1);
    let fact = Fact::Event { event, resource: None, host: None, peer: None, nth };
    Some(Condition::new(vec![fact]))
}

fn step(id: &str, when: When, optional: bool) -> Step {
    let action = match id {
        "heal" => Do::HealAll,
        _ => Do::PowerOff { host: "alpha".to_owned() },
    };
    Step { id: Some(id.to_owned()), when, action, optional }
}

/// The script of these steps, up to the healing at time 10; what strikes from then on.
fn healed(steps: Vec<Step>, sees: bool) -> (Script, Vec<usize>) {
    let mut scenario = crate::bench::lifetime::scenario();
    scenario.step = steps;
    scenario.step.push(step("heal", When::at(10), false));
    let mut script = Script::new(&scenario);
    script.begin(fresh);
    if sees {
        script.ripe(0, 5);
    }
    let mut struck = Vec::new();
    for now in 0..100 {
        while let Some(index) = script.take(now) {
            script.strikes(index, now, fresh);
            struck.push(index);
        }
    }
    (script, struck)
}

#[test]
fn an_optional_step_that_waits_is_given_up_when_all_is_healed() {
    let when = || When { after: None, that: booted(), wait: 0 };
    let (script, struck) = healed(vec![step("aim", when(), true)], false);
    assert_eq!((struck, script.waiting.len(), script.left), (vec![1], 0, 0));
    // One that has to strike goes on waiting.
    let (script, struck) = healed(vec![step("must", when(), false)], false);
    assert_eq!((struck, script.waiting.len(), script.left), (vec![1], 1, 1));
}

#[test]
fn its_moment_has_come_and_its_wait_is_not_over() {
    let late = || When { after: None, that: booted(), wait: 20 };
    let (_, struck) = healed(vec![step("aim", late(), true)], true);
    assert_eq!(struck, [1]);
    let (_, struck) = healed(vec![step("must", late(), false)], true);
    assert_eq!(struck, [1, 0]);
    let soon = When { wait: 2, ..late() };
    let (_, struck) = healed(vec![step("aim", soon, true)], true);
    assert_eq!(struck, [0, 1], "before the healing it strikes");
}

#[test]
fn what_comes_after_the_healing_is_not_given_up() {
    let after = |that| When { after: Some("heal".to_owned()), that, wait: 5 };
    let (_, struck) = healed(vec![step("later", after(None), true)], false);
    assert_eq!(struck, [1, 0]);
    let (script, _) = healed(vec![step("aim", after(booted()), true)], false);
    assert_eq!(script.waiting.len(), 1);
    let (_, struck) = healed(vec![step("at", When::at(50), true)], false);
    assert_eq!(struck, [1, 0]);
}

//! What an administrator or a plan did excuses what follows from it, there and for so long, and
//! nothing else.

use super::World;
use super::resource::{Node, Resource};
use super::test_pool::pool;
use crate::outcome::RunOptions;
use drbd::ids::NodeMask;
use scenarios::{Do, Scenario};

const SECOND: u64 = 1_000_000_000;

fn build(scenario: &Scenario) -> World {
    let wall_limit = std::time::Duration::from_secs(60);
    let quirks = drbd::quirks::Quirks::default();
    let options = RunOptions { seed: 7, quirks, keep_log: false, wall_limit, marks: true };
    super::build(scenario, &options)
}

/// A world with these steps: time in seconds, and what is done.
fn world(steps: &[(u64, &str)]) -> World {
    let step = |(at, action): &(u64, &str)| format!("[[step]]\nat = \"{at}s\"\ndo = {action}\n");
    let steps: String = steps.iter().map(step).collect();
    let pool = pool("excuses", r#"["alpha", "bravo", "charlie", "delta"]"#);
    let scenario = scenarios::read("f.toml", &(pool + &steps));
    build(&scenario.unwrap_or_else(|error| panic!("{error}")))
}

fn run_on(world: &mut World, until: impl Fn(&World) -> bool) {
    while !until(world) && world.next_due() <= world.horizon() {
        let due = world.next_due();
        world.run_due(due);
        let failure = world.failure.as_ref().map(|failure| &failure.what);
        assert!(failure.is_none(), "{failure:?}");
    }
}

fn run_to(world: &mut World, seconds: u64) {
    run_on(world, |world| world.next_due() > seconds * SECOND);
}

fn node(world: &World, node: usize) -> &Node {
    &world.resources[0].nodes[node]
}

#[test]
fn what_the_engine_refuses_excuses_nothing() {
    for refused in ["down vol-a", "secondary vol-a"] {
        let run = format!(r#"{{ run = "drbdadm {refused}", on = "alpha", exit = 11 }}"#);
        let mut world = world(&[(20, &run)]);
        run_to(&mut world, 25);
        assert_eq!(world.script.count, 1);
        let alpha = node(&world, 0);
        assert!(alpha.asked_alone.is_empty() && !alpha.asked_down && alpha.underway.is_empty());
        assert_eq!(world.left_so(0), None);
    }
}

#[test]
fn who_leaves_one_peer_is_excused_there_until_it_boots_again() {
    let leaves = r#"{ run = "drbdadm disconnect vol-a:alpha", on = "bravo" }"#;
    let mut world =
        world(&[(20, leaves), (30, r#"{ power-off = "bravo" }"#), (31, r#"{ boot = "bravo" }"#)]);
    run_to(&mut world, 25);
    let bravo = node(&world, 1);
    let [alpha, charlie] = [0, 2].map(Resource::id);
    assert!(bravo.may_leave(alpha) && !bravo.may_leave(charlie) && bravo.left_a_peer());
    assert_eq!(world.left_so(0), Some("taken-apart-by-administrator"));
    run_to(&mut world, 80);
    assert_eq!(node(&world, 1).asked_alone, NodeMask::NONE);
    assert_eq!(world.left_so(0), None);
}

#[test]
fn a_detached_disk_is_excused_until_it_is_attached() {
    let detach = r#"{ run = "drbdadm detach --force vol-a", on = "bravo" }"#;
    let adjust = r#"{ run = "drbdadm adjust vol-a", on = "bravo" }"#;
    let mut world = world(&[(20, detach), (30, adjust)]);
    run_to(&mut world, 25);
    let bravo = node(&world, 1);
    assert!(bravo.is_bare() && bravo.may_drop_its_disk() && !bravo.was_broken);
    assert!(!node(&world, 0).may_drop_its_disk());
    assert_eq!(world.left_so(0), Some("taken-apart-by-administrator"));
    run_to(&mut world, 60);
    assert!(!node(&world, 1).asked_detach && !node(&world, 1).may_drop_its_disk());
    assert_eq!(world.left_so(0), None);
}

#[test]
fn a_copy_made_anew_frees_nobody_else_and_comes_back() {
    let mut world = world(&[
        (20, r#"{ run = "drbdadm down vol-a", on = "bravo" }"#),
        (25, r#"{ run = "drbdadm create-md --force vol-a", on = "bravo" }"#),
        (30, r#"{ run = "drbdadm up vol-a", on = "bravo" }"#),
    ]);
    run_to(&mut world, 28);
    assert!(node(&world, 1).asked_down && node(&world, 1).made_anew);
    assert!(!node(&world, 0).made_anew && !world.resources[0].overruled);
    assert!(world.resources[0].nodes.iter().all(|node| !node.was_broken));
    run_to(&mut world, 80);
    assert!(!node(&world, 1).made_anew && !node(&world, 1).asked_down);
    assert_eq!(world.left_so(0), None);
}

#[test]
fn with_every_copy_made_anew_nothing_is_owed() {
    let mut world = world(&[]);
    run_to(&mut world, 2);
    world.made_anew(0, 1);
    assert!(!world.resources[0].overruled);
    world.made_anew(0, 0);
    assert!(world.resources[0].overruled);
    assert_eq!(world.left_so(0), Some("overruled-by-administrator"));
}

#[test]
fn a_thin_copy_is_broken_once_its_pool_is_full() {
    let file = scenarios::BUILTIN.iter().find(|file| file.name() == "thin-pool-full");
    let file = file.expect("a file of the repository");
    let mut world = build(&scenarios::read(file.path, file.text).expect("a good file"));
    run_to(&mut world, 5);
    let broken = |world: &World| {
        let nodes = world.resources.iter().flat_map(|resource| &resource.nodes);
        nodes.filter(|node| node.was_broken).map(|node| node.host).collect::<Vec<_>>()
    };
    assert!(broken(&world).is_empty());
    run_on(&mut world, |world| !broken(world).is_empty());
    assert!(broken(&world).iter().all(|host| *host == 1), "{:?}", broken(&world));
    assert!(world.now() > 60 * SECOND, "writes wait for a minute first");
}

#[test]
fn only_what_strikes_another_member_pushes_past_saving() {
    let named = |host: &str| host.to_owned();
    let loss = |ppm| Do::Loss { network: "storage".to_owned(), ppm };
    let error = |resource: &str| Do::DiskError {
        host: named("alpha"),
        resource: resource.to_owned(),
        read: true,
        write: true,
    };
    let cut = |to: &str| Do::Cut { from: named("alpha"), to: named(to), network: None, both: true };
    let cases = [
        (Do::Crash { host: named("alpha") }, true),
        (Do::Crash { host: named("charlie") }, true),
        (Do::Crash { host: named("bravo") }, false),
        (Do::Crash { host: named("delta") }, false),
        (cut("charlie"), true),
        (cut("delta"), false),
        (loss(10_000), true),
        (loss(0), false),
        (error("vol-a"), true),
        (error("vol-b"), false),
        (Do::DiskLies { host: named("alpha") }, true),
        (Do::DiskLies { host: named("charlie") }, false),
    ];
    for (action, wanted) in cases {
        let mut world = world(&[]);
        world.safety_only = true;
        world.resources[0].nodes[1].unwhole = true;
        world.weigh(&action);
        assert_eq!(world.resources[0].past_saving, wanted, "{action:?}");
    }
}

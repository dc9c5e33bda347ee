//! Cluster-wide changes of which one message is lost, comes late, or comes twice: nobody stays
//! locked, and all agree in the end.

use crate::cluster::{Cluster, Spoil, V, configs, id};
use crate::resize;
use crate::verbs::up;
use drbd::core::event::{Command, CommandId, InitialSync, Refusal};
use drbd::state::{ConnState, DiskState, Role};

const SPOILS: [Spoil; 6] =
    [Spoil::Lost, Spoil::Broken, Spoil::Late(30), Spoil::Late(35_000), Spoil::Twice, Spoil::Again];

/// No cluster-wide change may take longer: `twopc-timeout`, and some more tries.
const ANSWERED_MS: u64 = 100_000;

/// Something that nodes do: the commands and openers that want an answer.
type Deed = fn(&mut Cluster) -> Vec<(usize, CommandId)>;

fn everybody_agrees(c: &Cluster) {
    for a in 0..c.nodes.len() {
        for b in (0..c.nodes.len()).filter(|b| *b != a) {
            let (cstate, role) = c.engine(a).peer(id(b));
            assert_eq!(cstate, ConnState::Connected, "n{a} of n{b}:\n{}", c.status());
            assert_eq!(role, c.role(b), "n{a} of n{b}:\n{}", c.status());
            assert_eq!(c.peer_disk(a, b), c.disk(b), "n{a} of n{b}:\n{}", c.status());
        }
        assert_eq!(c.view(a).size, c.view(0).size, "n{a}:\n{}", c.status());
        assert!(c.engine(a).members().len() as usize == c.nodes.len(), "{}", c.status());
    }
}

/// Does it with the message after `after` others spoiled; `false` if there were fewer.
fn do_and_spoil(
    diskful: &[bool],
    before: fn(&mut Cluster),
    deed: Deed,
    spoil: (u64, Spoil),
) -> bool {
    println!("{spoil:?}");
    let mut c = up(diskful);
    before(&mut c);
    c.spoil = Some((c.transactions + spoil.0, spoil.1));
    let asked = deed(&mut c);
    let end = c.now.plus_ms(ANSWERED_MS);
    while !asked.iter().all(|(n, id)| c.nodes[*n].replies.contains_key(id)) {
        assert!(c.tick() && c.now < end, "{spoil:?}: not answered\n{}", c.status());
        c.assert_one_primary();
    }
    c.run_ms(ANSWERED_MS);
    c.assert_one_primary();
    let spoiled = c.spoil.take().is_none();
    for n in 0..c.nodes.len() {
        for peer in (0..c.nodes.len()).filter(|peer| *peer != n) {
            c.command(n, Command::Connect(id(peer)));
        }
    }
    for n in c.diskful() {
        if c.disk(n) == DiskState::Diskless {
            c.attach(n, V);
        }
    }
    c.mend_all();
    c.settle();
    everybody_agrees(&c);
    c.assert_all_good();
    for n in 0..c.nodes.len() {
        if c.role(n) == Role::Primary {
            c.close(n);
        }
    }
    c.settle();
    // Nobody holds on to a transaction: the next one is not even refused once.
    let last = c.nodes.len() - 1;
    c.promote(last);
    c.put(last, 1, 1);
    c.settle();
    everybody_agrees(&c);
    c.assert_all_good();
    spoiled
}

#[track_caller]
fn every_message(diskful: &[bool], before: fn(&mut Cluster), deed: Deed, at_least: u64) {
    for spoil in SPOILS {
        let spoiled =
            (0..200).take_while(|after| do_and_spoil(diskful, before, deed, (*after, spoil)));
        let count = spoiled.count() as u64;
        assert!((at_least..200).contains(&count), "{spoil:?}: {count} messages");
    }
}

const COPIES: [bool; 3] = [true, true, true];

fn idle(_: &mut Cluster) {}

fn primary(c: &mut Cluster) {
    c.promote(0);
    c.put(0, 2, 2);
    c.settle();
}

fn opened(c: &mut Cluster, nodes: &[usize]) -> Vec<(usize, CommandId)> {
    nodes.iter().map(|n| (*n, c.open(*n))).collect()
}

#[test]
fn a_promotion() {
    every_message(&COPIES, idle, |c| opened(c, &[1]), 6);
}

#[test]
fn a_promotion_without_a_disk() {
    every_message(&[true, true, false], idle, |c| opened(c, &[2]), 6);
}

#[test]
fn two_promotions_at_once() {
    every_message(&COPIES, idle, |c| opened(c, &[0, 1]), 8);
}

#[test]
fn three_promotions_at_once() {
    every_message(&COPIES, idle, |c| opened(c, &[2, 1, 0]), 10);
}

#[test]
fn a_demotion() {
    let deed: Deed = |c| {
        c.close(0);
        Vec::new()
    };
    every_message(&COPIES, primary, deed, 6);
}

#[test]
fn a_demotion_and_a_promotion_at_once() {
    let deed: Deed = |c| {
        c.close(0);
        opened(c, &[1])
    };
    every_message(&COPIES, primary, deed, 10);
}

#[test]
fn a_connect() {
    let before = |c: &mut Cluster| {
        c.isolate(2);
        c.settle();
    };
    let deed: Deed = |c| {
        c.mend_all();
        Vec::new()
    };
    every_message(&COPIES, before, deed, 6);
}

#[test]
fn a_connect_to_a_primary_that_went_on() {
    let before = |c: &mut Cluster| {
        primary(c);
        c.isolate(2);
        c.put(0, 7, 7);
        c.settle();
    };
    let deed: Deed = |c| {
        c.mend_all();
        Vec::new()
    };
    every_message(&COPIES, before, deed, 6);
}

#[test]
fn a_resize() {
    every_message(&COPIES, primary, |c| resize::deed(c, 1), 6);
}

#[test]
fn a_resize_by_the_primary() {
    every_message(&COPIES, primary, |c| resize::deed(c, 0), 6);
}

#[test]
fn two_resizes_at_once() {
    let deed: Deed = |c| {
        let mut asked = resize::deed(c, 2);
        asked.extend(resize::deed(c, 1));
        asked
    };
    every_message(&COPIES, primary, deed, 8);
}

#[test]
fn a_boot_while_another_is_promoted() {
    let before = |c: &mut Cluster| {
        c.crash(0);
        c.settle();
    };
    let deed: Deed = |c| {
        c.boot(0);
        c.run_ms(195);
        opened(c, &[1])
    };
    every_message(&COPIES, before, deed, 8);
}

fn leaves(c: &mut Cluster, pairs: &[(usize, usize)]) -> Vec<(usize, CommandId)> {
    pairs.iter().map(|(a, b)| (*a, c.command(*a, Command::Disconnect(id(*b), false)))).collect()
}

#[test]
fn a_disconnect() {
    every_message(&COPIES, idle, |c| leaves(c, &[(1, 2)]), 4);
}

#[test]
fn a_disconnect_from_the_primary() {
    every_message(&COPIES, primary, |c| leaves(c, &[(1, 0)]), 4);
}

#[test]
fn a_disconnect_by_the_primary() {
    every_message(&COPIES, primary, |c| leaves(c, &[(0, 1)]), 4);
}

#[test]
fn both_ends_disconnect_at_once() {
    every_message(&COPIES, idle, |c| leaves(c, &[(1, 2), (2, 1)]), 4);
}

#[test]
fn a_disconnect_and_a_promotion_at_once() {
    let deed: Deed = |c| {
        let mut asked = leaves(c, &[(1, 2)]);
        asked.extend(opened(c, &[0]));
        asked
    };
    every_message(&COPIES, idle, deed, 8);
}

fn told(c: &mut Cluster, deeds: &[(usize, Command)]) -> Vec<(usize, CommandId)> {
    deeds.iter().map(|(n, command)| (*n, c.command(*n, command.clone()))).collect()
}

#[test]
fn a_detach() {
    every_message(&COPIES, idle, |c| told(c, &[(1, Command::Detach(V, false))]), 4);
}

#[test]
fn a_detach_and_a_promotion_at_once() {
    let deed: Deed = |c| {
        let mut asked = told(c, &[(1, Command::Detach(V, false))]);
        asked.extend(opened(c, &[2]));
        asked
    };
    every_message(&COPIES, idle, deed, 8);
}

#[test]
fn two_copies_are_detached_below_a_primary_without_a_disk() {
    let before = |c: &mut Cluster| {
        c.promote(2);
        c.put(2, 2, 2);
        c.settle();
    };
    let deed: Deed = |c| told(c, &[(0, Command::Detach(V, false)), (1, Command::Detach(V, false))]);
    every_message(&[true, true, false], before, deed, 6);
}

#[test]
fn an_invalidate_and_a_promotion_at_once() {
    let deed: Deed = |c| {
        let mut asked = told(c, &[(2, Command::Invalidate(V, None))]);
        asked.extend(opened(c, &[0]));
        asked
    };
    every_message(&COPIES, idle, deed, 8);
}

/// A chain: the far node hears of everything through the one in the middle alone.
#[test]
fn a_promotion_and_a_detach_at_the_two_ends_of_a_chain() {
    let before = |c: &mut Cluster| {
        c.cut(0, 2);
        c.settle();
    };
    let deed: Deed = |c| {
        let mut asked = told(c, &[(2, Command::Detach(V, false))]);
        asked.extend(opened(c, &[0]));
        asked
    };
    every_message(&COPIES, before, deed, 6);
}

/// Goal: `new-current-uuid --clear-bitmap` on two nodes at once, with any message spoiled: copies
/// of one generation in the end, and no split brain. Method: as above, with disks just created.
#[test]
fn two_first_generations_at_once() {
    for spoil in SPOILS {
        for after in 0..14 {
            let mut c = Cluster::new(configs(&COPIES));
            (0..3).for_each(|n| {
                c.create_md(n, None);
                c.boot(n);
            });
            c.settle();
            c.spoil = Some((c.transactions + after, spoil));
            let first = Command::NewCurrentUuid(V, InitialSync::Skip);
            let asked = told(&mut c, &[(0, first.clone()), (2, first.clone())]);
            let results: Vec<_> = asked.into_iter().map(|(n, id)| c.reply(n, id)).collect();
            assert!(results.contains(&Ok(())), "{spoil:?} {after}: {results:?}\n{}", c.status());
            c.run_ms(ANSWERED_MS);
            c.mend_all();
            c.settle();
            everybody_agrees(&c);
            c.assert_all_good();
        }
    }
}

/// The last copy that a Primary without a disk can reach stays, whoever of the two is detached
/// first.
#[test]
fn the_last_copy_of_a_primary_is_not_detached() {
    let mut c = up(&[true, true, false]);
    c.promote(2);
    c.put(2, 1, 1);
    let both = [0, 1].map(|n| (n, Command::Detach(V, false)));
    let asked = told(&mut c, &both);
    let mut results: Vec<_> = asked.into_iter().map(|(n, id)| c.reply(n, id)).collect();
    results.sort();
    assert_eq!(results, [Ok(()), Err(Refusal::FailedByPeer)]);
    c.put(2, 2, 2);
    let left = if c.disk(0) == DiskState::Diskless { 1 } else { 0 };
    assert_eq!(c.told(left, Command::Outdate(V)), Err(Refusal::ConnectedOutdates));
    assert_eq!(c.disk(left), DiskState::UpToDate);
}

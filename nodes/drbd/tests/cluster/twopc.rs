//! Promotion while messages are lost, and what a commit means for copies that a Primary relies on.

use crate::cluster::{Cluster, id};
use crate::verbs::up;
use drbd::core::event::{Command, Event, LinkFault};
use drbd::packet::Stream;
use drbd::state::{ConnState, DiskState, Role};

/// Opens the nodes, loses the message after `after` others; `false` if there were fewer.
fn promote_with_a_loss(openers: &[usize], after: u64) -> bool {
    let mut c = up(&[true, true, true]);
    let opens: Vec<_> = openers.iter().map(|n| (*n, c.open(*n))).collect();
    c.break_at = Some(c.delivered + after);
    let answered =
        |c: &Cluster| opens.iter().all(|(n, open)| c.nodes[*n].replies.contains_key(open));
    while !answered(&c) {
        assert!(c.tick());
        c.assert_one_primary();
    }
    let lost = c.break_at.take().is_none();
    c.settle();
    c.assert_one_primary();
    c.assert_all_good();
    for (n, open) in opens {
        let won = c.nodes[n].replies[&open].is_ok();
        assert_eq!(won, c.role(n) == Role::Primary, "n{n}:\n{}", c.status());
        if won {
            c.close(n);
        }
    }
    c.settle();
    c.promote(2);
    c.put(2, 1, 1);
    c.settle();
    c.assert_all_good();
    lost
}

/// Goal: a promotion is atomic, and nothing is stuck when it fails. Topology: three copies. Method:
/// each message of the transaction is lost in turn, with its connection.
#[test]
fn a_promotion_survives_the_loss_of_any_message() {
    let messages = (0..200).take_while(|after| promote_with_a_loss(&[1], *after)).count();
    assert!(messages > 4, "{messages} messages");
}

/// As above, with two nodes that are opened at once: one of them wins, or none.
#[test]
fn two_promotions_survive_the_loss_of_any_message() {
    let messages = (0..200).take_while(|after| promote_with_a_loss(&[0, 1], *after)).count();
    assert!(messages > 8, "{messages} messages");
}

/// Goal: who did not get PREPARE from the initiator itself is not connected to it, whatever it
/// believes. Topology: three copies. Method: only one end notices that a link broke, and asks who
/// is there; the other end, which hears of it through the third, notices then.
#[test]
fn a_link_that_only_the_initiator_knows_to_be_dead_ends() {
    let mut c = up(&[true, true, true]);
    crate::net::STREAMS.into_iter().for_each(|stream| c.hold((0, 2, stream)));
    c.net.set_cut(0, 2, true);
    c.break_link(0, 2, 0);
    c.until("noticed", |c| c.conn(0, 2) == ConnState::Connecting);
    assert_eq!(c.conn(2, 0), ConnState::Connected);
    c.run_ms(10);
    assert_eq!(c.conn(2, 0), ConnState::Connecting);
    c.promote(0);
    c.run_ms(10);
    assert_eq!(c.disk(2), DiskState::Outdated);
}

/// Goal: a copy does not outdate itself because of a Primary that has no other. Topology: one copy,
/// two nodes without, one of them Primary. Method: the copy loses the Primary, which has not
/// noticed yet when the third node connects to it: the commit tells the copy of a far Primary that
/// has data.
#[test]
fn the_only_copy_of_a_primary_is_not_outdated() {
    let mut c = up(&[true, false, false]);
    c.promote(2);
    c.put(2, 3, 1);
    c.cut(1, 2);
    c.until("parted", |c| c.engine(1).peer(id(2)).0 == ConnState::Connecting);
    c.until("parted", |c| c.engine(2).peer(id(1)).0 == ConnState::Connecting);
    c.event(0, Event::LinkDown(id(2), LinkFault::Broken));
    c.until("settled", |c| c.disk(0) == DiskState::UpToDate);
    c.mend(1, 2);
    c.until("connected", |c| c.engine(1).peer(id(2)).0 == ConnState::Connected);
    assert_eq!(c.engine(2).peer(id(0)).0, ConnState::Connected, "it has not noticed");
    c.run_ms(20);
    assert_eq!(c.disk(0), DiskState::UpToDate, "{}", c.status());
}

/// Goal: who leaves a Primary that is gone is not Outdated by it: nobody agreed to anything.
/// Method: the link breaks before the Primary hears that it is to be left; once after it agreed.
#[test]
fn who_leaves_a_primary_that_is_gone_is_not_outdated() {
    for agrees in [false, true] {
        let mut c = up(&[true, true, true]);
        c.promote(1);
        c.put(1, 3, 1);
        if agrees {
            c.hold((1, 0, Stream::Control));
            c.hold((1, 0, Stream::Data));
        } else {
            c.isolate(1);
        }
        let left = c.command(0, Command::Disconnect(id(1), false));
        c.run_ms(20);
        c.isolate(1);
        assert_eq!(c.reply(0, left), Ok(()));
        assert_eq!(c.conn(0, 1), ConnState::StandAlone);
        c.run_ms(2_000);
        assert_eq!(c.disk(0), DiskState::UpToDate, "{agrees}: {}", c.status());
        assert_ne!(c.peer_disk(1, 0), DiskState::Outdated, "{agrees}: {}", c.status());
        c.told(0, Command::Connect(id(1))).expect("StandAlone");
        c.mend_all();
        c.settle();
        c.assert_all_good();
    }
}

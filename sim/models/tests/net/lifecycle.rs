//! Hosts that lose power, crash, reboot and freeze, and what their peers see.

use crate::harness::*;
use models::Span;
use models::net::*;

#[test]
fn power_loss_is_silence() {
    let mut lab = Lab::new(2);
    let (a, b) = lab.pair();
    lab.net.host_down(lab.now, lab.hosts[1]);
    lab.run(Span::secs(100));
    lab.send(a, 1);
    lab.run(Span::secs(900));
    assert_eq!(lab.take(), []);
    lab.run(Span::secs(100));
    assert_eq!(lab.take(), [NetWhat::TimedOut { conn: a }]);
    assert_eq!(lab.net.tcp_info(b), None);
}

#[test]
fn a_rebooted_host_answers_with_a_reset() {
    let mut lab = Lab::new(2);
    let (a, b) = lab.pair();
    assert_eq!(lab.net.boot(lab.hosts[1]), Some(1));
    lab.net.host_down(lab.now, lab.hosts[1]);
    assert_eq!(lab.net.boot(lab.hosts[1]), None);
    lab.send(a, 1);
    lab.run(Span::secs(5));
    assert_eq!(lab.net.host_up(lab.now, lab.hosts[1]), 2);
    let (took, what) = lab.next();
    assert_eq!(what, NetWhat::Reset { conn: a });
    assert!(took < Span::secs(7), "{took}");
    assert_eq!(lab.net.tcp_send(lab.now, b, 1, 1), Err(SendError::Closed(1)));
}

#[test]
fn a_fin_is_answered_by_a_reset_after_a_reboot_even_if_the_peer_had_closed() {
    let mut lab = Lab::new(2);
    let (a, b) = lab.pair();
    lab.net.tcp_shutdown(lab.now, b);
    lab.run(Span::ms(1));
    assert_eq!(lab.take(), [NetWhat::Eof { conn: a }]);
    lab.net.host_down(lab.now, lab.hosts[1]);
    lab.net.host_up(lab.now, lab.hosts[1]);
    lab.net.tcp_shutdown(lab.now, a);
    assert_eq!(lab.next(), (LATENCY * 2, NetWhat::Reset { conn: a }));
}

#[test]
fn calls_of_a_dead_boot_are_ignored() {
    let mut lab = Lab::new(2);
    let (a, b) = lab.pair();
    let listener = lab.listen(1, 9);
    let sock = lab.net.udp_bind(lab.hosts[1], at(1, 9), 1).expect("free");
    lab.net.host_down(lab.now, lab.hosts[1]);
    lab.net.host_up(lab.now, lab.hosts[1]);
    let fresh = lab.listen(1, 9);
    lab.net.tcp_close(lab.now, b);
    lab.net.tcp_abort(lab.now, b);
    lab.net.tcp_shutdown(lab.now, b);
    lab.net.tcp_consumed(lab.now, b, 100);
    lab.net.tcp_set_owner(b, 9);
    lab.net.tcp_unlisten(listener);
    lab.net.udp_send(lab.now, sock, at(0, 9), 1, 1);
    lab.net.udp_close(sock);
    lab.run(Span::secs(10));
    assert_eq!(lab.take(), [], "nothing left the host");
    assert!(lab.net.tcp_info(a).is_some() && lab.net.tcp_listener_local(fresh).is_some());
}

#[test]
fn what_left_the_nic_before_power_loss_still_arrives() {
    // 1 Mbit/s: an item of 100 bytes takes 1.328 ms to leave.
    let mut lab = Lab::with(2, 1, 1_000_000);
    let (a, _) = {
        lab.listen(1, 7);
        let a = lab.connect(0, at(1, 7));
        lab.run(Span::ms(50));
        lab.take();
        (a, ())
    };
    (0..5).for_each(|i| lab.send(a, i));
    lab.run(Span::us(1_328 * 2));
    lab.net.host_down(lab.now, lab.hosts[0]);
    lab.run(Span::secs(10));
    assert_eq!(lab.items(), [0, 1]);
    assert_eq!(lab.net.tcp_ends(), 1, "the peer knows nothing");
}

#[test]
fn a_frozen_host_neither_hears_nor_acts_and_its_peer_retries() {
    let mut lab = Lab::new(2);
    let (a, b) = lab.pair();
    lab.send(b, 7);
    lab.run(LATENCY / 2);
    lab.net.freeze(lab.now, lab.hosts[1]);
    lab.send(a, 1);
    lab.run(Span::secs(20));
    assert_eq!(lab.items(), [7], "what had left arrives");
    lab.net.thaw(lab.now, lab.hosts[1]);
    lab.run(Span::secs(60));
    assert_eq!((lab.items(), lab.net.next_due()), (vec![1], None));
}

#[test]
fn timers_of_a_frozen_host_strike_when_it_thaws() {
    let mut lab = Lab::new(2);
    lab.cut(0, 1);
    let limit = TcpOptions { connect_timeout: Some(Span::secs(3)), ..options() };
    let conn = lab.connect_with(0, at(1, 7), limit);
    lab.net.freeze(lab.now, lab.hosts[0]);
    lab.run(Span::secs(10));
    assert_eq!(lab.take(), []);
    lab.net.thaw(lab.now, lab.hosts[0]);
    let timed_out = NetWhat::ConnectFailed { conn, why: ConnectError::TimedOut };
    assert_eq!(lab.next(), (Span::ZERO, timed_out));
}

#[test]
fn a_peer_that_dies_while_a_connect_is_under_way() {
    let mut lab = Lab::new(2);
    lab.listen(1, 7);
    let conn = lab.connect(0, at(1, 7));
    lab.run(LATENCY);
    lab.net.host_down(lab.now, lab.hosts[1]);
    lab.net.host_up(lab.now, lab.hosts[1]);
    // The retried SYN meets a host where nobody listens any more.
    let (took, what) = lab.next();
    assert_eq!(what, NetWhat::ConnectFailed { conn, why: ConnectError::Refused });
    assert!(took < Span::ms(1_001), "{took}");
}

#[test]
fn a_listener_closed_during_the_handshake_resets() {
    let mut lab = Lab::new(2);
    let listener = lab.listen(1, 7);
    let conn = lab.connect(0, at(1, 7));
    lab.run(LATENCY);
    lab.net.tcp_unlisten(listener);
    assert_eq!(lab.next(), (LATENCY, NetWhat::Connected { conn }));
    assert_eq!(lab.next(), (LATENCY * 2, NetWhat::Reset { conn }));
}

#[test]
fn a_client_that_gives_up_during_the_handshake_leaves_nothing() {
    let mut lab = Lab::new(2);
    lab.listen(1, 7);
    let conn = lab.connect(0, at(1, 7));
    lab.run(LATENCY);
    lab.net.tcp_close(lab.now, conn);
    lab.run(Span::secs(100));
    assert_eq!((lab.take(), lab.net.next_due()), (vec![], None));
    assert_eq!(lab.net.tcp_ends(), 0);
}

#[test]
fn a_host_that_is_down_has_no_sockets() {
    let mut lab = Lab::new(1);
    let host = lab.hosts[0];
    lab.net.host_down(lab.now, host);
    let connect = lab.net.tcp_connect(lab.now, host, None, at(0, 1), options(), 0);
    assert_eq!(connect, Err(BindError::HostDown));
    assert_eq!(lab.net.tcp_listen(host, at(0, 1), options(), 0), Err(BindError::HostDown));
    assert_eq!(lab.net.udp_bind(host, at(0, 1), 0), Err(BindError::HostDown));
}

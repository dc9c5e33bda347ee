//! What cuts, loss and silence do to TCP.

use crate::harness::*;
use models::net::*;
use models::{SimTime, Span};

#[test]
fn connect_hangs_towards_silence_and_times_out() {
    type Fault = fn(&mut Lab);
    let faults: [(&str, Fault); 7] = [
        ("cut there", |lab| lab.cut(0, 1)),
        ("cut back", |lab| lab.cut(1, 0)),
        ("host off", |lab| lab.net.host_down(lab.now, lab.hosts[1])),
        ("frozen", |lab| lab.net.freeze(lab.now, lab.hosts[1])),
        ("their NIC", |lab| lab.net.set_nic_up(NicId(1), false)),
        ("our NIC", |lab| lab.net.set_nic_up(NicId(0), false)),
        ("switch", |lab| lab.net.network_mut(lab.switch).up = false),
    ];
    for (name, fault) in faults {
        let mut lab = Lab::new(2);
        lab.listen(1, 7);
        fault(&mut lab);
        let conn = lab.connect(0, at(1, 7));
        let timed_out = NetWhat::ConnectFailed { conn, why: ConnectError::TimedOut };
        assert_eq!(lab.next(), (Span::secs(127), timed_out), "{name}");
        lab.run(Span::secs(1000));
        assert_eq!((lab.take(), lab.net.next_due()), (vec![], None), "{name}");
    }
}

#[test]
fn connect_to_an_address_of_nobody_times_out_at_the_callers_limit() {
    let mut lab = Lab::new(2);
    let limit = TcpOptions { connect_timeout: Some(Span::secs(3)), ..options() };
    let conn = lab.connect_with(0, "10.7.7.7:1".parse().expect("an address"), limit);
    let timed_out = NetWhat::ConnectFailed { conn, why: ConnectError::TimedOut };
    assert_eq!(lab.next(), (Span::secs(3), timed_out));
}

#[test]
fn a_syn_is_sent_again_after_1_2_4_seconds() {
    let mut lab = Lab::new(2);
    lab.listen(1, 7);
    lab.cut(0, 1);
    let conn = lab.connect(0, at(1, 7));
    lab.run(Span::ms(3500));
    lab.heal(0, 1);
    let (took, what) = lab.next();
    assert_eq!(
        (Span::ms(3500) + took, what),
        (Span::secs(7) + LATENCY * 2, NetWhat::Connected { conn })
    );
}

#[test]
fn a_short_cut_delays_and_keeps_order() {
    let mut lab = Lab::new(2);
    let (a, _) = lab.pair();
    lab.cut(0, 1);
    let begin = lab.now;
    (0..5).for_each(|i| lab.send(a, i));
    lab.run(Span::secs(5));
    (5..10).for_each(|i| lab.send(a, i));
    assert_eq!(lab.take(), []);
    lab.heal(0, 1);
    lab.run(Span::secs(5));
    // Sent again 0.2, 0.6, 1.4, 3.0 and 6.2 s after the first time, plus one latency each time.
    let first = lab.log[0].at - begin;
    assert!(first > Span::ms(6200) && first < Span::ms(6202), "{first}");
    assert_eq!(lab.items(), (0..10).collect::<Vec<_>>());
}

#[test]
fn a_long_cut_times_the_sender_out_and_tells_the_peer_nothing() {
    let mut lab = Lab::new(2);
    let limit = TcpOptions { user_timeout: Span::secs(30), ..options() };
    let (a, b) = lab.pair_with(limit, limit);
    lab.cut(0, 1);
    lab.send(a, 1);
    let (took, what) = lab.next();
    assert_eq!(what, NetWhat::TimedOut { conn: a });
    assert!(took >= Span::secs(30) && took < Span::ms(30_010), "{took}");
    lab.heal(0, 1);
    lab.run(Span::secs(3000));
    assert_eq!(lab.take(), []);
    // The peer learns of it when it sends.
    lab.send(b, 1);
    assert_eq!(lab.next().1, NetWhat::Reset { conn: b });
}

#[test]
fn the_default_user_timeout_is_what_linux_takes() {
    let mut lab = Lab::new(2);
    let (a, _) = lab.pair();
    lab.cut(0, 1);
    lab.send(a, 1);
    let (took, what) = lab.next();
    assert_eq!(what, NetWhat::TimedOut { conn: a });
    assert!(took >= Span::secs(924) && took < Span::secs(926), "{took}");
}

#[test]
fn cut_on_the_way_back_delivers_but_times_out() {
    let mut lab = Lab::new(2);
    let limit = TcpOptions { user_timeout: Span::secs(30), ..options() };
    let (a, _) = lab.pair_with(limit, options());
    lab.cut(1, 0);
    (0..3).for_each(|i| lab.send(a, i));
    lab.run(Span::secs(29));
    assert_eq!(lab.items(), [0, 1, 2]);
    lab.run(Span::secs(2));
    assert_eq!(lab.take(), [NetWhat::TimedOut { conn: a }]);
}

#[test]
fn cut_on_the_way_back_and_healed_goes_on() {
    let mut lab = Lab::new(2);
    let limit = TcpOptions { user_timeout: Span::secs(30), ..options() };
    let (a, _) = lab.pair_with(limit, options());
    lab.cut(1, 0);
    lab.send(a, 0);
    lab.run(Span::secs(10));
    lab.send(a, 1);
    lab.heal(1, 0);
    lab.run(Span::secs(100));
    assert_eq!((lab.items(), lab.net.next_due()), (vec![0, 1], None));
}

#[test]
fn loss_by_chance_is_repaired() {
    let mut lab = Lab::new(2);
    let (a, _) = lab.pair();
    lab.net.network_mut(lab.switch).loss_ppm = 50_000;
    for i in 0..1000 {
        lab.send(a, i);
        lab.run(Span::us(20));
    }
    lab.run(Span::secs(60));
    assert_eq!(lab.items(), (0..1000).collect::<Vec<_>>());
}

#[test]
fn a_packet_lost_with_others_behind_it_is_sent_again_soon() {
    let slowest = |followers: u64| {
        let mut lab = Lab::new(2);
        let (a, _) = lab.pair();
        lab.net.network_mut(lab.switch).loss_ppm = 1_000_000;
        let begin = lab.now;
        (0..=followers).for_each(|i| lab.send(a, i));
        lab.run(LATENCY);
        lab.net.network_mut(lab.switch).loss_ppm = 0;
        lab.run(Span::secs(1));
        lab.log.last().map(|e| e.at - begin)
    };
    assert!(slowest(2) > Some(Span::ms(200)));
    assert!(slowest(3) < Some(Span::ms(1)));
}

#[test]
fn a_retransmission_is_not_helped_by_packets_of_before_the_loss() {
    let mut lab = Lab::new(2);
    let (a, _) = lab.pair();
    let begin = lab.now;
    let latency = |lab: &mut Lab, l| lab.net.network_mut(lab.switch).latency = l..=l;
    latency(&mut lab, Span::ms(10));
    lab.send(a, 1);
    latency(&mut lab, Span::secs(1));
    lab.send(a, 2);
    lab.cut(0, 1);
    lab.run(Span::ms(20));
    lab.heal(0, 1);
    latency(&mut lab, Span::secs(2));
    lab.run(Span::secs(10));
    assert_eq!(lab.log[0].at - begin, Span::ms(2200));
    assert_eq!(lab.items(), [1, 2]);
}

#[test]
fn a_closed_socket_hears_a_fin_and_still_sends_what_it_had() {
    let mut lab = Lab::new(2);
    let (a, b) = lab.pair();
    lab.cut(0, 1);
    lab.send(a, 1);
    lab.net.tcp_close(lab.now, a);
    lab.net.tcp_shutdown(lab.now, b);
    lab.run(Span::secs(1));
    lab.heal(0, 1);
    lab.run(Span::secs(200));
    let data = NetWhat::Data { conn: b, payload: 1, len: 100 };
    assert_eq!(lab.take(), [data, NetWhat::Eof { conn: b }]);
}

#[test]
fn fin_and_reset_do_not_pass_a_cut() {
    let mut lab = Lab::new(2);
    let (a, b) = lab.pair();
    lab.cut(0, 1);
    lab.net.tcp_close(lab.now, a);
    lab.run(Span::secs(10));
    assert_eq!(lab.take(), []);
    lab.heal(0, 1);
    lab.run(Span::secs(10));
    assert_eq!(lab.take(), [NetWhat::Eof { conn: b }], "the FIN is retransmitted");

    let mut lab = Lab::new(2);
    let (a, b) = lab.pair();
    lab.cut(0, 1);
    lab.net.tcp_abort(lab.now, a);
    lab.run(Span::secs(10));
    lab.heal(0, 1);
    lab.run(Span::secs(1000));
    assert_eq!(lab.take(), [], "a reset is sent once");
    lab.send(b, 1);
    assert_eq!(lab.next().1, NetWhat::Reset { conn: b });
}

#[test]
fn a_closed_socket_behind_a_cut_is_given_up() {
    let mut lab = Lab::new(2);
    let (a, _) = lab.pair();
    lab.cut(0, 1);
    lab.send(a, 1);
    lab.net.tcp_close(lab.now, a);
    lab.run(Span::secs(110));
    assert_eq!((lab.take(), lab.net.next_due()), (vec![], None));
    assert_eq!(lab.net.tcp_ends(), 1, "the peer knows nothing");
}

#[test]
fn one_network_of_two_can_fail_alone() {
    let mut lab = Lab::new(2);
    let second = lab.net.add_network(NetworkSettings::default());
    for h in 0..2 {
        lab.net.add_nic(lab.hosts[h], second, 0, ip(1, h));
    }
    lab.listen(1, 7);
    let any = "0.0.0.0:8".parse().expect("an address");
    lab.net.tcp_listen(lab.hosts[1], any, options(), 0).expect("free");
    lab.net.network_mut(lab.switch).up = false;
    lab.connect(0, at(1, 7));
    let conn = lab.connect(0, (ip(1, 1), 8).into());
    assert_eq!(lab.next().1, NetWhat::Connected { conn });
    assert_eq!(lab.net.tcp_info(conn).map(|i| i.local.ip()), Some(ip(1, 0)));
    assert!(lab.net.reachable(ip(1, 0), ip(1, 1)) && !lab.net.reachable(ip(0, 0), ip(0, 1)));
}

#[test]
fn hosts_can_be_cut_and_healed_as_a_whole() {
    let mut lab = Lab::new(3);
    lab.net.cut_hosts(lab.hosts[0], lab.hosts[1]);
    let open = |lab: &Lab, a, b| lab.net.reachable(ip(0, a), ip(0, b));
    assert!(!open(&lab, 0, 1) && !open(&lab, 1, 0) && open(&lab, 0, 2));
    lab.net.heal_hosts(lab.hosts[1], lab.hosts[0]);
    assert!(open(&lab, 0, 1) && open(&lab, 1, 0));
    lab.cut(2, 0);
    assert!(open(&lab, 0, 2) && !open(&lab, 2, 0));
    lab.net.heal_all();
    assert!(open(&lab, 2, 0));
}

#[test]
fn keepalive_finds_a_silent_peer_and_leaves_a_living_one() {
    let keepalive = Some(Keepalive { idle: Span::secs(10), interval: Span::secs(2), count: 3 });
    let mut lab = Lab::new(2);
    let (a, _) = lab.pair_with(TcpOptions { keepalive, ..options() }, options());
    lab.run(Span::secs(1000));
    assert_eq!(lab.take(), []);
    lab.net.host_down(lab.now, lab.hosts[1]);
    let (took, what) = lab.next();
    assert_eq!(what, NetWhat::TimedOut { conn: a });
    assert!(took >= Span::secs(6) && took <= Span::secs(17), "{took}");
}

#[test]
fn a_blocked_writer_notices_a_dead_peer() {
    let mut lab = Lab::new(2);
    let limit = TcpOptions { user_timeout: Span::secs(30), ..options() };
    let (a, _) = lab.pair_with(limit, TcpOptions { window: 100, ..options() });
    lab.send(a, 0);
    lab.run(Span::ms(1));
    assert_eq!(lab.net.tcp_send(lab.now, a, 1, 100), Err(SendError::Full(1)));
    lab.items();
    lab.net.host_down(lab.now, lab.hosts[1]);
    let (took, what) = lab.next();
    assert_eq!(what, NetWhat::TimedOut { conn: a });
    assert!(took > Span::secs(29) && took < Span::secs(90), "{took}");
}

#[test]
fn a_window_update_lost_in_a_cut_is_asked_for_again() {
    let mut lab = Lab::new(2);
    let (a, b) = lab.pair_with(options(), TcpOptions { window: 100, ..options() });
    lab.send(a, 0);
    lab.run(Span::ms(1));
    lab.items();
    assert_eq!(lab.net.tcp_send(lab.now, a, 1, 100), Err(SendError::Full(1)));
    lab.cut(1, 0);
    lab.net.tcp_consumed(lab.now, b, 100);
    lab.run(Span::secs(1));
    assert_eq!(lab.take(), []);
    lab.heal(1, 0);
    let (took, what) = lab.next();
    assert_eq!(what, NetWhat::Writable { conn: a });
    assert!(took < Span::secs(2), "{took}");
}

#[test]
fn a_cut_during_the_handshake_leaves_nothing_behind() {
    // Cut after the SYN-ACK: the client is connected, the server never hears the last packet.
    let mut lab = Lab::new(2);
    lab.listen(1, 7);
    let conn =
        lab.connect_with(0, at(1, 7), TcpOptions { user_timeout: Span::secs(90), ..options() });
    assert_eq!(lab.next().1, NetWhat::Connected { conn });
    lab.cut(0, 1);
    lab.run(Span::secs(200));
    assert_eq!(lab.take(), [NetWhat::TimedOut { conn }]);
    lab.run_to(SimTime::ZERO + Span::secs(5000));
    assert_eq!((lab.take(), lab.net.next_due()), (vec![], None));
}

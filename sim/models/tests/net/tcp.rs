//! TCP while nothing breaks: times, order, closing, back-pressure.

use crate::harness::*;
use models::Span;
use models::net::*;

#[test]
fn a_connect_takes_one_round_trip() {
    let mut lab = Lab::new(2);
    let listener = lab.listen(1, 7);
    let conn = lab.connect(0, at(1, 7));
    assert_eq!(lab.next(), (LATENCY * 2, NetWhat::Connected { conn }));
    let (took, what) = lab.next();
    assert_eq!(took, LATENCY);
    let NetWhat::Incoming { listener: by, conn: server, from } = what else { panic!("{what:?}") };
    assert_eq!((by, from.ip()), (listener, ip(0, 0)));
    let info = lab.net.tcp_info(server).expect("it lives");
    assert_eq!((info.local, info.remote, info.established), (at(1, 7), from, true));
    assert!(from.port() >= 32_768);
}

#[test]
fn nobody_listening_refuses_after_one_round_trip() {
    let mut lab = Lab::new(2);
    let conn = lab.connect(0, at(1, 7));
    let refused = NetWhat::ConnectFailed { conn, why: ConnectError::Refused };
    assert_eq!(lab.next(), (LATENCY * 2, refused));
    assert_eq!(lab.net.tcp_info(conn), None);
}

#[test]
fn items_arrive_whole_and_in_order_with_one_event_each() {
    let mut lab = Lab::new(2);
    let (a, b) = lab.pair();
    let before = lab.net.events();
    (0..100).for_each(|i| lab.send(a, i));
    lab.send(b, 1000);
    lab.run(LATENCY);
    let mut expected: Vec<u64> = (0..100).collect();
    expected.push(1000);
    assert_eq!(lab.items(), expected);
    assert_eq!(lab.net.events() - before, 101);
}

#[test]
fn latency_drawn_per_packet_never_reorders_a_stream() {
    let mut lab = Lab::new(2);
    lab.net.network_mut(lab.switch).latency = Span::us(10)..=Span::ms(10);
    let (a, _) = {
        lab.listen(1, 7);
        let a = lab.connect(0, at(1, 7));
        lab.run(Span::ms(100));
        lab.take();
        (a, ())
    };
    (0..200).for_each(|i| lab.send(a, i));
    lab.run(Span::ms(20));
    assert_eq!(lab.items(), (0..200).collect::<Vec<_>>());
}

#[test]
fn an_item_never_arrives_before_its_time_because_a_later_one_was_faster() {
    let mut lab = Lab::new(2);
    let (a, _) = lab.pair();
    let begin = lab.now;
    for latency in [Span::ms(10), Span::us(1)] {
        lab.net.network_mut(lab.switch).latency = latency..=latency;
        lab.send(a, latency.0);
    }
    lab.run(Span::ms(20));
    assert!(lab.log.iter().all(|e| e.at - begin == Span::ms(10)));
    assert_eq!(lab.items(), [10_000_000, 1_000]);
}

#[test]
fn bandwidth_is_a_queue_at_the_nic() {
    // 1 Gbit/s: 8 ns a byte, and 66 bytes around each item.
    let mut lab = Lab::with(2, 1, 1_000_000_000);
    let (a, _) = lab.pair();
    let begin = lab.now;
    for i in 0..10 {
        lab.net.tcp_send(lab.now, a, i, 65_536).expect("room");
    }
    lab.run(Span::ms(10));
    let arrivals: Vec<Span> = lab.log.iter().map(|e| e.at - begin).collect();
    let wire = Span::ns((65_536 + 66) * 8);
    let expected: Vec<Span> = (1..=10).map(|n| wire * n + LATENCY).collect();
    assert_eq!(arrivals, expected);
}

#[test]
fn half_close_leaves_the_other_direction_open() {
    let mut lab = Lab::new(2);
    let (a, b) = lab.pair();
    lab.send(a, 1);
    lab.net.tcp_shutdown(lab.now, a);
    assert_eq!(lab.net.tcp_send(lab.now, a, 2, 1), Err(SendError::Closed(2)));
    lab.run(Span::ms(1));
    let data = NetWhat::Data { conn: b, payload: 1, len: 100 };
    assert_eq!(lab.take(), [data, NetWhat::Eof { conn: b }]);
    lab.send(b, 3);
    lab.run(Span::ms(1));
    assert_eq!(lab.items(), [3]);
    lab.net.tcp_consumed(lab.now, a, 100);
    lab.net.tcp_consumed(lab.now, b, 100);
    lab.net.tcp_close(lab.now, b);
    lab.run(Span::ms(1));
    assert_eq!(lab.take(), [NetWhat::Eof { conn: a }]);
    lab.net.tcp_close(lab.now, a);
    lab.run(Span::secs(2000));
    assert_eq!((lab.take(), lab.net.next_due()), (vec![], None));
}

#[test]
fn close_sends_what_was_queued_and_then_eof() {
    let mut lab = Lab::with(2, 1, 1_000_000);
    let (a, b) = lab.pair();
    (0..5).for_each(|i| lab.send(a, i));
    lab.net.tcp_close(lab.now, a);
    assert_eq!(lab.net.tcp_send(lab.now, a, 9, 1), Err(SendError::Closed(9)));
    lab.run(Span::ms(50));
    let told = lab.take();
    assert_eq!((told.len(), told.last()), (6, Some(&NetWhat::Eof { conn: b })));
}

#[test]
fn close_with_unread_data_resets() {
    let mut lab = Lab::new(2);
    let (a, b) = lab.pair();
    lab.send(a, 1);
    lab.run(Span::ms(1));
    lab.take();
    lab.net.tcp_close(lab.now, b);
    assert_eq!(lab.next(), (LATENCY, NetWhat::Reset { conn: a }));
}

#[test]
fn data_for_a_closed_socket_is_answered_by_a_reset() {
    let mut lab = Lab::new(2);
    let (a, b) = lab.pair();
    lab.net.tcp_close(lab.now, b);
    lab.run(Span::ms(1));
    assert_eq!(lab.take(), [NetWhat::Eof { conn: a }]);
    lab.send(a, 1);
    assert_eq!(lab.next(), (LATENCY * 2, NetWhat::Reset { conn: a }));
}

#[test]
fn both_sides_close_and_nobody_is_reset() {
    for b_first in [false, true] {
        let mut lab = Lab::new(2);
        let (a, b) = lab.pair();
        let (x, y) = if b_first { (b, a) } else { (a, b) };
        lab.net.tcp_close(lab.now, x);
        lab.run(Span::ms(1));
        assert_eq!(lab.take(), [NetWhat::Eof { conn: y }]);
        lab.net.tcp_shutdown(lab.now, y);
        lab.run(Span::ms(1));
        lab.net.tcp_close(lab.now, y);
        lab.run(Span::secs(200));
        assert_eq!((lab.take(), lab.net.next_due()), (vec![], None));
        assert_eq!(lab.net.tcp_ends(), 0);
    }
}

#[test]
fn an_abort_resets_after_what_was_on_its_way() {
    let mut lab = Lab::new(2);
    let (a, b) = lab.pair();
    lab.send(a, 1);
    lab.net.tcp_abort(lab.now, a);
    lab.run(Span::ms(1));
    let data = NetWhat::Data { conn: b, payload: 1, len: 100 };
    assert_eq!(lab.take(), [data, NetWhat::Reset { conn: b }]);
}

#[test]
fn a_slow_reader_stops_the_writer_and_consuming_lets_it_go_on() {
    let mut lab = Lab::new(2);
    let small = TcpOptions { window: 1000, ..options() };
    let (a, b) = lab.pair_with(options(), small);
    (0..10).for_each(|i| lab.send(a, i));
    assert_eq!(lab.net.tcp_room(a), 0);
    assert_eq!(lab.net.tcp_send(lab.now, a, 10, 100), Err(SendError::Full(10)));
    lab.run(Span::secs(1000));
    assert_eq!(lab.items().len(), 10);
    lab.net.tcp_consumed(lab.now, b, 50);
    lab.run(Span::us(50));
    assert_eq!(lab.take(), []);
    lab.net.tcp_consumed(lab.now, b, 50);
    assert_eq!(lab.next(), (LATENCY, NetWhat::Writable { conn: a }));
    lab.send(a, 10);
    assert_eq!(lab.net.tcp_send(lab.now, a, 11, 1), Err(SendError::Full(11)));
}

#[test]
fn an_item_larger_than_the_window_passes_alone() {
    let mut lab = Lab::new(2);
    let small = TcpOptions { window: 1000, auto_consume: true, ..options() };
    let (a, _) = lab.pair_with(options(), small);
    assert_eq!(lab.net.tcp_send(lab.now, a, 1, 5000), Ok(()));
    assert_eq!(lab.net.tcp_send(lab.now, a, 2, 5000), Err(SendError::Full(2)));
    lab.run(Span::ms(1));
    assert_eq!(lab.take().len(), 2, "data and then writable");
    assert_eq!(lab.net.tcp_send(lab.now, a, 2, 5000), Ok(()));
}

#[test]
fn a_larger_window_wakes_the_writer() {
    let mut lab = Lab::new(2);
    let small = TcpOptions { window: 100, ..options() };
    let (a, b) = lab.pair_with(options(), small);
    lab.send(a, 0);
    assert_eq!(lab.net.tcp_send(lab.now, a, 1, 100), Err(SendError::Full(1)));
    lab.net.tcp_set_options(lab.now, b, TcpOptions { window: 1000, ..small });
    lab.run(Span::ms(1));
    assert!(lab.take().contains(&NetWhat::Writable { conn: a }));
}

#[test]
fn loopback_works_without_a_nic_and_addresses_are_checked() {
    let mut lab = Lab::new(2);
    lab.net.set_nic_up(NicId(0), false);
    let host = lab.hosts[0];
    let local = "127.0.0.1:80".parse().expect("an address");
    lab.net.tcp_listen(host, local, options(), 0).expect("free");
    let conn = lab.connect(0, local);
    assert_eq!(lab.next().1, NetWhat::Connected { conn });
    let again = lab.net.tcp_listen(host, local, options(), 0);
    assert_eq!(again, Err(BindError::AddrInUse));
    let foreign = lab.net.tcp_listen(host, at(1, 80), options(), 0);
    assert_eq!(foreign, Err(BindError::AddrNotAvailable));
    let any = lab.net.tcp_listen(host, "0.0.0.0:0".parse().expect("an address"), options(), 0);
    let port = lab.net.tcp_listener_local(any.expect("free")).map(|l| l.port());
    assert_eq!(port, Some(32_769), "the connect above took the first");
}

#[test]
fn a_listener_on_all_addresses_serves_each_of_them() {
    let mut lab = Lab::new(2);
    lab.net.add_address(NicId(1), ip(9, 9));
    let any = "0.0.0.0:7".parse().expect("an address");
    lab.net.tcp_listen(lab.hosts[1], any, options(), 42).expect("free");
    for to in [ip(0, 1), ip(9, 9)] {
        lab.connect(0, (to, 7).into());
        lab.run(Span::ms(1));
        let owners: Vec<u64> = lab.log.iter().map(|e| e.owner).collect();
        assert_eq!(owners, [0, 42]);
        lab.log.clear();
    }
}

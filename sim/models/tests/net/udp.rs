//! UDP: arrives, is lost, duplicated, reordered.

use crate::harness::*;
use models::Span;
use models::net::*;

fn socks(lab: &mut Lab) -> (UdpId, UdpId) {
    let a = lab.net.udp_bind(lab.hosts[0], at(0, 694), 0).expect("free");
    let b = lab.net.udp_bind(lab.hosts[1], at(1, 694), 1).expect("free");
    (a, b)
}

fn burst(lab: &mut Lab, sock: UdpId, n: u64) -> Vec<u64> {
    for i in 0..n {
        lab.net.udp_send(lab.now, sock, at(1, 694), i, 100);
        lab.run(Span::us(1));
    }
    lab.run(Span::secs(1));
    let payload = |what| match what {
        NetWhat::Datagram { payload, .. } => payload,
        other => panic!("{other:?}"),
    };
    lab.take().into_iter().map(payload).collect()
}

#[test]
fn a_datagram_arrives_after_the_latency() {
    let mut lab = Lab::new(2);
    let (a, b) = socks(&mut lab);
    lab.net.udp_send(lab.now, a, at(1, 694), 5, 100);
    let what = NetWhat::Datagram { sock: b, from: at(0, 694), to: ip(0, 1), payload: 5, len: 100 };
    assert_eq!(lab.next(), (LATENCY, what));
}

#[test]
fn nobody_there_is_silence() {
    let mut lab = Lab::new(2);
    let (a, b) = socks(&mut lab);
    lab.net.udp_close(b);
    lab.net.udp_send(lab.now, b, at(0, 694), 1, 1);
    lab.net.udp_send(lab.now, a, "10.9.9.9:1".parse().expect("an address"), 1, 1);
    assert_eq!(burst(&mut lab, a, 3), []);
}

#[test]
fn loss_duplication_and_reordering_strike_at_about_their_rates() {
    let mut lab = Lab::new(2);
    let (a, _) = socks(&mut lab);
    lab.net.network_mut(lab.switch).loss_ppm = 100_000;
    let got = burst(&mut lab, a, 2000);
    assert!((1750..1850).contains(&got.len()), "{}", got.len());

    *lab.net.network_mut(lab.switch) = NetworkSettings {
        latency: LATENCY..=LATENCY,
        duplicate_ppm: 100_000,
        ..Default::default()
    };
    let got = burst(&mut lab, a, 2000);
    assert!((2150..2250).contains(&got.len()), "{}", got.len());
    assert!(got.is_sorted());

    *lab.net.network_mut(lab.switch) =
        NetworkSettings { latency: LATENCY..=LATENCY, reorder_ppm: 100_000, ..Default::default() };
    let mut got = burst(&mut lab, a, 2000);
    assert!(!got.is_sorted());
    got.sort();
    assert_eq!(got, (0..2000).collect::<Vec<_>>());
}

#[test]
fn switching_loss_on_moves_no_other_draw() {
    let arrivals = |loss_ppm| {
        let mut lab = Lab::new(2);
        let (a, _) = socks(&mut lab);
        let settings = lab.net.network_mut(lab.switch);
        settings.latency = Span::us(50)..=Span::us(500);
        settings.loss_ppm = loss_ppm;
        (0..500).for_each(|i| lab.net.udp_send(lab.now, a, at(1, 694), i, 100));
        lab.run(Span::secs(1));
        lab.log.iter().map(|e| (e.at, e.what.clone())).collect::<Vec<_>>()
    };
    let (all, some) = (arrivals(0), arrivals(300_000));
    assert!(some.len() < 400 && some.iter().all(|e| all.contains(e)));
}

#[test]
fn cuts_are_directed_and_asked_at_arrival() {
    let mut lab = Lab::new(2);
    let (a, b) = socks(&mut lab);
    lab.net.udp_send(lab.now, a, at(1, 694), 1, 1);
    lab.run(Span::us(50));
    lab.cut(0, 1);
    lab.net.udp_send(lab.now, b, at(0, 694), 2, 1);
    lab.run(Span::ms(1));
    let told = lab.take();
    assert!(matches!(told[..], [NetWhat::Datagram { payload: 2, .. }]), "{told:?}");
}

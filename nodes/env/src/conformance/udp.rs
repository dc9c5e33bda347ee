//! Cases about UDP.

use super::{Fault, Fixture, Stop, ensure, ensure_err, list_cases};
use crate::{
    net::UdpSocket,
    time::{self, Duration},
};
use std::net::SocketAddr;

list_cases![
    a_datagram_arrives_whole_with_its_sender,
    what_does_not_fit_is_cut_off,
    a_datagram_to_nobody_is_silence,
    a_datagram_into_a_cut_is_silence,
    a_udp_address_in_use_is_refused,
    a_full_buffer_loses_datagrams,
];

async fn pair(f: &dyn Fixture) -> Result<(UdpSocket, UdpSocket, SocketAddr), Stop> {
    let any = SocketAddr::new(f.here(), 0);
    let (a, b) = (UdpSocket::bind(any).await?, UdpSocket::bind(any).await?);
    let to = b.local_addr()?;
    Ok((a, b, to))
}

async fn a_datagram_arrives_whole_with_its_sender(f: &dyn Fixture) -> Result<(), Stop> {
    let (a, b, to) = pair(f).await?;
    for len in [0, 1, 1400, 60_000] {
        let data = vec![len as u8; len];
        ensure!(a.send_to(&data, to).await? == len, "not all of {len} bytes were sent");
        let mut buf = vec![0; 65_536];
        let (n, from) = time::timeout(Duration::from_secs(5), b.recv_from(&mut buf)).await??;
        ensure!(buf[..n] == data[..], "sent {len} bytes, {n} arrived or others");
        ensure!(from == a.local_addr()?, "came from {from}");
    }
    ensure_err!(a.send_to(&[0; 70_000], to).await, InvalidInput, "a datagram too large");
    Ok(())
}

async fn what_does_not_fit_is_cut_off(f: &dyn Fixture) -> Result<(), Stop> {
    let (a, b, to) = pair(f).await?;
    a.send_to(b"abcdef", to).await?;
    a.send_to(b"next", to).await?;
    let mut buf = [0; 4];
    for expected in [b"abcd", b"next"] {
        let (n, _) = time::timeout(Duration::from_secs(5), b.recv_from(&mut buf)).await??;
        ensure!(&buf[..n] == expected, "got {:?}", &buf[..n]);
    }
    Ok(())
}

async fn a_datagram_to_nobody_is_silence(f: &dyn Fixture) -> Result<(), Stop> {
    let (a, _, _) = pair(f).await?;
    let nobody = SocketAddr::new(f.here(), f.port());
    a.send_to(b"x", nobody).await?;
    a.send_to(b"x", nobody).await?;
    let answer = time::timeout(Duration::from_millis(300), a.recv_from(&mut [0; 4])).await;
    ensure!(answer.is_err(), "nobody answered: {answer:?}");
    Ok(())
}

async fn a_datagram_into_a_cut_is_silence(f: &dyn Fixture) -> Result<(), Stop> {
    let to = SocketAddr::new(f.there().map_err(Stop::Skipped)?, f.port());
    let a = UdpSocket::bind(SocketAddr::new(f.here(), 0)).await?;
    f.strike(Fault::CutLink).await?;
    let sent = a.send_to(b"x", to).await;
    let answer = time::timeout(Duration::from_millis(300), a.recv_from(&mut [0; 4])).await;
    f.strike(Fault::HealLink).await?;
    ensure!(sent.is_ok(), "sending into a cut failed: {sent:?}");
    ensure!(answer.is_err(), "the cut answered: {answer:?}");
    Ok(())
}

async fn a_udp_address_in_use_is_refused(f: &dyn Fixture) -> Result<(), Stop> {
    let (_, _b, to) = pair(f).await?;
    ensure_err!(UdpSocket::bind(to).await, AddrInUse, "a second socket");
    Ok(())
}

async fn a_full_buffer_loses_datagrams(f: &dyn Fixture) -> Result<(), Stop> {
    const SENT: u32 = 4_000;
    let (a, b, to) = pair(f).await?;
    for i in 0..SENT {
        a.send_to(&i.to_le_bytes().repeat(256), to).await?;
    }
    time::sleep(Duration::from_millis(200)).await;
    let mut got = 0;
    let mut buf = [0; 1024];
    while time::timeout(Duration::from_millis(200), b.recv_from(&mut buf)).await.is_ok() {
        got += 1;
    }
    ensure!((20..SENT).contains(&got), "{got} of {SENT} datagrams were kept for a slow reader");
    Ok(())
}

//! Cases about making TCP connections.

use super::{
    Fault, Fixture, Place, Stop, ensure, ensure_err, list_cases,
    stream::{serve, serve_anywhere},
};
use crate::{
    net::{TcpListener, TcpStream},
    task,
    time::{self, Duration},
};
use std::net::{IpAddr, SocketAddr};

list_cases![
    connect_to_nobody_is_refused,
    connect_to_a_dead_host_hangs,
    connect_through_a_cut_link_hangs_until_it_heals,
    both_ends_know_their_addresses,
    an_address_in_use_is_refused,
    an_address_of_others_is_refused,
    connect_from_a_chosen_address,
    a_dropped_listener_refuses,
    the_loopback_is_an_address_of_its_own,
    an_unspecified_address_is_every_address,
];

const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

async fn connect_to_nobody_is_refused(f: &dyn Fixture) -> Result<(), Stop> {
    for ip in [Some(f.here()), f.there().ok()].into_iter().flatten() {
        let addr = SocketAddr::new(ip, f.port());
        let answer = time::timeout(Duration::from_secs(5), TcpStream::connect(addr)).await?;
        ensure_err!(answer, ConnectionRefused, format!("a connect to {addr}"));
    }
    Ok(())
}

async fn connect_to_a_dead_host_hangs(f: &dyn Fixture) -> Result<(), Stop> {
    let addr = SocketAddr::new(f.there().map_err(Stop::Skipped)?, f.port());
    f.strike(Fault::PowerOff).await?;
    let answer = time::timeout(Duration::from_secs(3), TcpStream::connect(addr)).await;
    f.strike(Fault::PowerOn).await?;
    ensure!(answer.is_err(), "a dead host answered: {answer:?}");
    Ok(())
}

async fn connect_through_a_cut_link_hangs_until_it_heals(f: &dyn Fixture) -> Result<(), Stop> {
    let served = serve(f, Place::There).await?;
    f.strike(Fault::CutLink).await?;
    let addr = served.addr;
    let connecting = task::spawn(async move { TcpStream::connect(addr).await });
    time::sleep(Duration::from_secs(2)).await;
    let early = connecting.is_finished();
    f.strike(Fault::HealLink).await?;
    ensure!(!early, "the connect ended while the link was cut");
    match time::timeout(Duration::from_secs(20), connecting).await? {
        Ok(stream) => ensure!(stream?.peer_addr()? == addr, "connected to somebody else"),
        Err(cancelled) => return Err(Stop::Failed(cancelled.to_string())),
    }
    Ok(())
}

async fn both_ends_know_their_addresses(f: &dyn Fixture) -> Result<(), Stop> {
    let listener = TcpListener::bind(SocketAddr::new(f.here(), 0)).await?;
    let addr = listener.local_addr()?;
    ensure!(addr.ip() == f.here() && addr.port() != 0, "listening at {addr}");
    let (made, accepted) = crate::join!(TcpStream::connect(addr), listener.accept());
    let (made, (accepted, from)) = (made?, accepted?);
    ensure!(made.peer_addr()? == addr, "connected to {}", made.peer_addr()?);
    ensure!(from == made.local_addr()?, "accepted from {from}, made by {}", made.local_addr()?);
    ensure!(accepted.peer_addr()? == from, "accept and stream disagree");
    ensure!(accepted.local_addr()? == addr, "accepted at {}", accepted.local_addr()?);
    Ok(())
}

async fn an_address_in_use_is_refused(f: &dyn Fixture) -> Result<(), Stop> {
    let first = TcpListener::bind(SocketAddr::new(f.here(), 0)).await?;
    let again = TcpListener::bind(first.local_addr()?).await;
    ensure_err!(again, AddrInUse, "a second listener");
    let addr = first.local_addr()?;
    drop(first);
    TcpListener::bind(addr).await?;
    Ok(())
}

async fn an_address_of_others_is_refused(_: &dyn Fixture) -> Result<(), Stop> {
    // 192.0.2.0/24 is for documentation: nobody has it.
    let addr = SocketAddr::new(IpAddr::from([192, 0, 2, 1]), 0);
    ensure_err!(TcpListener::bind(addr).await, AddrNotAvailable, "a bind to a foreign address");
    Ok(())
}

async fn connect_from_a_chosen_address(f: &dyn Fixture) -> Result<(), Stop> {
    let served = serve_anywhere(f).await?;
    let stream = TcpStream::connect_from(f.here(), served.addr).await?;
    ensure!(stream.local_addr()?.ip() == f.here(), "came from {}", stream.local_addr()?);
    Ok(())
}

async fn a_dropped_listener_refuses(f: &dyn Fixture) -> Result<(), Stop> {
    let listener = TcpListener::bind(SocketAddr::new(f.here(), 0)).await?;
    let addr = listener.local_addr()?;
    drop(listener);
    ensure_err!(TcpStream::connect(addr).await, ConnectionRefused, "a connect after the drop");
    Ok(())
}

/// The same port on two addresses of one host is two listeners.
async fn the_loopback_is_an_address_of_its_own(f: &dyn Fixture) -> Result<(), Stop> {
    let listener = TcpListener::bind(SocketAddr::new(LOOPBACK, 0)).await?;
    let addr = listener.local_addr()?;
    let (made, accepted) = crate::join!(TcpStream::connect(addr), listener.accept());
    ensure!(made?.local_addr()?.ip() == LOOPBACK, "came from elsewhere");
    ensure!(accepted?.1.ip() == LOOPBACK, "accepted from elsewhere");
    if f.here() != LOOPBACK {
        let outside = SocketAddr::new(f.here(), addr.port());
        let refused = TcpStream::connect(outside).await;
        ensure_err!(refused, ConnectionRefused, "a connect past the loopback");
        TcpListener::bind(outside).await?;
    }
    Ok(())
}

async fn an_unspecified_address_is_every_address(f: &dyn Fixture) -> Result<(), Stop> {
    let any = IpAddr::from([0, 0, 0, 0]);
    let listener = TcpListener::bind(SocketAddr::new(any, 0)).await?;
    let port = listener.local_addr()?.port();
    for ip in [f.here(), LOOPBACK] {
        let addr = SocketAddr::new(ip, port);
        let (made, accepted) = crate::join!(TcpStream::connect(addr), listener.accept());
        made?;
        ensure!(accepted?.0.local_addr()? == addr, "accepted at another address than {addr}");
    }
    let taken = TcpListener::bind(SocketAddr::new(LOOPBACK, port)).await;
    ensure_err!(taken, AddrInUse, "a listener below the one for all");
    Ok(())
}

//! A few hosts on one or two networks, and a log of what they were told.

use models::net::*;
use models::{Luck, SimTime, Span};
use std::net::{IpAddr, SocketAddr};

/// One way, fixed, so that tests can compute times.
pub const LATENCY: Span = Span::us(100);

pub struct Lab {
    pub net: Net<u64>,
    pub now: SimTime,
    pub hosts: Vec<HostId>,
    pub switch: NetworkId,
    pub log: Vec<NetEvent<u64>>,
}

/// Address of host `h` on network `n`.
pub fn ip(n: u8, h: usize) -> IpAddr {
    IpAddr::from([10, 0, n, h as u8 + 1])
}

pub fn at(h: usize, port: u16) -> SocketAddr {
    SocketAddr::new(ip(0, h), port)
}

pub fn options() -> TcpOptions {
    TcpOptions::default()
}

impl Lab {
    /// `n` hosts, up, on one switch with a fixed latency and no bandwidth limit.
    pub fn new(n: usize) -> Lab {
        Lab::with(n, 1, 0)
    }

    pub fn with(n: usize, seed: u64, rate: u64) -> Lab {
        let mut net = Net::new(Luck::root(seed).fork("net"));
        let settings = NetworkSettings { latency: LATENCY..=LATENCY, ..Default::default() };
        let switch = net.add_network(settings);
        let hosts: Vec<HostId> = (0..n).map(|_| net.add_host()).collect();
        for (h, host) in hosts.iter().enumerate() {
            net.add_nic(*host, switch, rate, ip(0, h));
            net.host_up(SimTime::ZERO, *host);
        }
        Lab { net, now: SimTime::ZERO, hosts, switch, log: Vec::new() }
    }

    /// Moves to `t`, in the steps that the model asks for.
    pub fn run_to(&mut self, t: SimTime) {
        while let Some(due) = self.net.next_due().filter(|due| *due <= t) {
            assert!(due >= self.now, "the model asks for {due}, it is {}", self.now);
            self.now = due;
            self.net.run_due(due, &mut self.log);
        }
        self.now = t;
    }

    pub fn run(&mut self, span: Span) {
        self.run_to(self.now + span);
    }

    pub fn take(&mut self) -> Vec<NetWhat<u64>> {
        self.log.drain(..).map(|e| e.what).collect()
    }

    /// Runs until something is told; when and what.
    pub fn next(&mut self) -> (Span, NetWhat<u64>) {
        let begin = self.now;
        assert!(self.log.is_empty(), "unread: {:?}", self.log);
        while self.log.is_empty() {
            let due = self.net.next_due().expect("the network has nothing more to do");
            self.run_to(due);
        }
        let event = self.log.remove(0);
        (event.at - begin, event.what)
    }

    pub fn listen(&mut self, h: usize, port: u16) -> ListenerId {
        let host = self.hosts[h];
        self.net.tcp_listen(host, at(h, port), options(), h as u64).expect("a free port")
    }

    pub fn connect(&mut self, from: usize, to: SocketAddr) -> ConnId {
        self.connect_with(from, to, options())
    }

    pub fn connect_with(&mut self, from: usize, to: SocketAddr, options: TcpOptions) -> ConnId {
        let host = self.hosts[from];
        self.net.tcp_connect(self.now, host, None, to, options, from as u64).expect("host is up")
    }

    /// A connection from host 0 to port 7 of host 1: both ends.
    pub fn pair(&mut self) -> (ConnId, ConnId) {
        self.pair_with(options(), options())
    }

    pub fn pair_with(&mut self, client: TcpOptions, server: TcpOptions) -> (ConnId, ConnId) {
        let host = self.hosts[1];
        let listener = self.net.tcp_listen(host, at(1, 7), server, 1).expect("a free port");
        let a = self.connect_with(0, at(1, 7), client);
        self.run(Span::ms(5));
        self.net.tcp_unlisten(listener);
        match self.take()[..] {
            [NetWhat::Connected { conn }, NetWhat::Incoming { conn: b, .. }] => {
                assert_eq!(conn, a);
                (a, b)
            }
            ref other => panic!("no connection: {other:?}"),
        }
    }

    pub fn send(&mut self, conn: ConnId, item: u64) {
        self.net.tcp_send(self.now, conn, item, 100).expect("room in the window");
    }

    /// The items among what was told since the last call.
    pub fn items(&mut self) -> Vec<u64> {
        let data = |what| match what {
            NetWhat::Data { payload, .. } => Some(payload),
            _ => None,
        };
        self.take().into_iter().filter_map(data).collect()
    }

    pub fn cut(&mut self, from: usize, to: usize) {
        self.net.cut(ip(0, from), ip(0, to));
    }

    pub fn heal(&mut self, from: usize, to: usize) {
        self.net.heal(ip(0, from), ip(0, to));
    }
}

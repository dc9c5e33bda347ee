//! Commands of the kernel, started by programs as they would be on a host.

use super::*;
use drbd::core::config::{Config, PeerConfig, VolumeConfig};
use drbd::ids::{NodeId, Uuid};
use drbd::quirks::Quirks;
use env::exec::{Command, ExitStatus, Line, Output};
use kernel::{Host, HostConfig, Region, ResFile, ResHost, SlotConfig, SlotPeer, Wire, lower_path};
use models::{Luck, disk::Disk, net::HostId};

const NAMES: [&str; 2] = ["alpha", "bravo"];
const SOON: Duration = Duration::from_secs(20);

/// A kernel with its half of a resource.
fn kernel(own: usize) -> Host {
    let node = |host: usize| NodeId::new(host as u8).unwrap();
    let at = |host: usize| addr(HostIx(host), 7_000);
    let mut config = Config::new("vol-a", node(own));
    config.volumes = vec![VolumeConfig { size: 64, diskful: true }];
    let peer = PeerConfig { node: node(1 - own), name: NAMES[1 - own].to_owned(), diskful: true };
    config.peers.push(peer);
    let len = drbd::core::Resource::lower_blocks(64, config.max_peers);
    let host = |host: usize| ResHost {
        name: NAMES[host].to_owned(),
        node: host as u8,
        address: at(host),
        disks: vec![lower_path("vol-a", 0)],
    };
    let file = ResFile {
        name: "vol-a".to_owned(),
        options: Default::default(),
        minor: 1_000,
        volumes: 1,
        own: host(own),
        peers: vec![host(1 - own)],
    };
    let slot = SlotConfig {
        config,
        regions: vec![Some(Region::new(0, len))],
        listen: at(own),
        peers: vec![SlotPeer { node: node(1 - own), address: at(1 - own) }],
        minor: 1_000,
    };
    let made = HostConfig {
        name: NAMES[own].to_owned(),
        net: HostId(own as u16),
        boot_time: Span::secs(1)..=Span::secs(1),
        luck: Luck::root(own as u64),
        quirks: Quirks::default(),
    };
    let disk = Disk::new(Luck::root(own as u64), Profile::nvme(len));
    let mut host = Host::new(made, disk, None, vec![slot], &[vec![Uuid(0x1_0000_0000_0000)]]);
    let files = host.files_mut();
    files.insert("/etc/drbd.conf".to_owned(), "include \"drbd.d/*.res\";\n".to_owned());
    files.insert("/etc/drbd.d/vol-a.res".to_owned(), kernel::res::res_file(&file));
    host
}

/// Runs `main` as a program on alpha, with kernels on both hosts; its exit code is 0.
fn on_alpha<F>(seed: u64, main: impl Fn() -> F + Send + Sync + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    simulate(seed, |world: Arc<Machines<Wire>>| async move {
        let network = world.add_network(NetworkSettings::default());
        for name in NAMES {
            let host = world.add_host(HostSetup::new(name));
            world.add_nic(host, network, 0, addr(host, 0).ip());
        }
        world.set_kernel(DrbdKernels::new((0..NAMES.len()).map(kernel).collect()));
        (0..NAMES.len()).for_each(|host| world.begin(HostIx(host)));
        let main = Arc::new(main);
        world.add_program("main", move |_| {
            let main = main.clone();
            async move {
                main().await;
                ExitCode::SUCCESS
            }
        });
        pause(10_000).await;
        world.start(ALPHA, "main", &[]).unwrap();
        pause(60_000).await;
        let ended = world.take_ended();
        let main = ended.iter().find(|ended| ended.program == "main").expect("main has ended");
        assert!(main.status.success(), "{:?}", world.panics());
        assert_eq!(world.held(), (0, 0), "something is left");
    });
}

async fn run(line: &str) -> Output {
    let mut words = line.split(' ');
    let command = Command::new(words.next().unwrap()).args(words);
    command.output(SOON).await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_command_answers_on_its_pipes_and_by_its_exit_code() {
    on_alpha(1, || async {
        let status = run("drbdadm status vol-a").await;
        let wanted = "vol-a role:Secondary\n  disk:UpToDate open:no\n  bravo role:Secondary\n    \
                      peer-disk:UpToDate\n\n";
        assert_eq!((text(&status.stdout).as_str(), status.status.success()), (wanted, true));
        let primary = run("/usr/sbin/drbdadm primary vol-a").await;
        assert!(primary.status.success(), "{}", text(&primary.stderr));
        assert_eq!(text(&run("drbdsetup role vol-a").await.stdout), "Primary\n");
        let wrong = run("drbdadm bogus vol-a").await;
        assert_eq!(wrong.status, ExitStatus::Code(1));
        assert_eq!(text(&wrong.stderr), "drbdadm: Unknown command 'bogus'\n");
        let unknown = run("drbdsetup status nothing").await;
        assert_eq!(unknown.status, ExitStatus::Code(10));
        assert!(run("lvs").await.status.success(), "no volume group, no volumes");
        let missing = Command::new("zfs").start().await;
        assert_eq!(missing.err().unwrap().kind(), std::io::ErrorKind::NotFound);
    });
}

#[test]
fn events_arrive_as_lines_while_they_happen() {
    on_alpha(2, || async {
        let mut events = Command::new("drbdsetup").arg("events2").start().await.unwrap();
        let mut lines = Vec::new();
        while lines.last() != Some(&Line::Out("exists -".to_owned())) {
            let line = time::timeout(SOON, events.next_line()).await.unwrap().unwrap();
            lines.push(line.expect("it goes on"));
        }
        run("drbdadm primary vol-a").await;
        let line = time::timeout(SOON, events.next_line()).await.unwrap().unwrap().unwrap();
        let wanted = "change resource name:vol-a role:Primary may_promote:no promotion_score:10102";
        assert_eq!(line, Line::Out(wanted.to_owned()));
        events.kill();
        assert_eq!(events.wait().await.unwrap(), ExitStatus::Signal(9));
    });
}

#[test]
fn a_command_that_waits_is_killed_in_time() {
    on_alpha(3, || async {
        run("drbdadm disconnect vol-a").await;
        let line = ["wait-connect-resource", "vol-a", "--wait-after-sb=yes"];
        let wait = Command::new("drbdsetup").args(line).output(Duration::from_secs(2)).await;
        assert_eq!(wait.err().unwrap().kind(), std::io::ErrorKind::TimedOut);
        run("drbdadm connect vol-a").await;
        let limit = ["wait-connect-resource", "vol-a", "--wfc-timeout=15"];
        let wait = Command::new("drbdsetup").args(limit).output(SOON).await.unwrap();
        assert!(wait.status.success());
    });
}

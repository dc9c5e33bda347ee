//! Two modelled hosts, alpha and bravo, and the cases as a process on alpha.
//!
//! Each case runs in a world of its own, twice with the same seed: both runs must tell the same
//! story, event by event.

use super::Report;
use bytes::Bytes;
use env::{
    conformance::{self, Case, Fault, Fixture, Place, Process, Stop, Verdict, Wait},
    exec::Command,
    hooks::Pid,
    process::ExitCode,
    time,
};
use models::{Span, disk::Profile, host::HostState, net::NetworkSettings};
use sim::process::{HostIx, HostSetup, Machines, simulate};
use std::{
    io,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

type World = Machines<Bytes>;

const ALPHA: HostIx = HostIx(0);
const BRAVO: HostIx = HostIx(1);
const DISK: &str = "/dev/test0";
/// No case takes longer.
const LIMIT: Duration = Duration::from_secs(4 * 3_600);

/// Runs the cases whose name contains `filter`.
pub fn run(filter: &str) -> bool {
    env::hooks::catch_panics();
    let mut report = Report::default();
    let chosen = conformance::cases().into_iter().filter(|case| case.name.contains(filter));
    for (seed, case) in (1..).zip(chosen) {
        let (verdict, hash) = one(case, seed);
        let (again, hash_again) = one(case, seed);
        let same = verdict == again && hash == hash_again;
        let differs = || Verdict::Failed(format!("seed {seed} twice: {verdict}; then {again}"));
        report.case(case.name, &if same { verdict.clone() } else { differs() });
    }
    report.end("sim")
}

/// One case in a world of its own; its verdict and the hash of all events.
fn one(case: Case, seed: u64) -> (Verdict, u64) {
    simulate(seed, move |world: Arc<World>| async move {
        build(&world);
        let fixture = Arc::new(Sim { world: world.clone(), port: AtomicU16::new(7_000) });
        let verdict = Arc::new(Mutex::new(None));
        let said = verdict.clone();
        world.add_program("case", move |_| {
            let (fixture, said) = (fixture.clone(), said.clone());
            async move {
                let verdict = conformance::run(&case, fixture).await;
                *said.lock().unwrap_or_else(PoisonError::into_inner) = Some(verdict);
                ExitCode::SUCCESS
            }
        });
        let end = match world.start(ALPHA, "case", &[]) {
            Ok(pid) => wait_for(&world, pid).await,
            Err(e) => Some(format!("the case did not start: {e}")),
        };
        let said = verdict.lock().unwrap_or_else(PoisonError::into_inner).take();
        let lost = || Verdict::Failed(end.unwrap_or_else(|| "its process died".into()));
        (said.unwrap_or_else(lost), world.hash())
    })
}

async fn wait_for(world: &World, pid: Pid) -> Option<String> {
    let deadline = time::now() + LIMIT;
    while world.lives(pid) {
        if time::now() > deadline {
            return Some(format!("it did not end within {LIMIT:?} of simulated time"));
        }
        time::sleep(Duration::from_millis(100)).await;
    }
    world.panics().pop().map(|p| format!("panicked: {} {:?}", p.message, p.place))
}

fn build(world: &World) {
    let network = world.add_network(NetworkSettings::default());
    for (i, name) in ["alpha", "bravo"].into_iter().enumerate() {
        let mut setup = HostSetup::new(name);
        setup.profile.boot = Span::secs(5)..=Span::secs(15);
        let host = world.add_host(setup);
        world.add_nic(host, network, 10_000_000_000, address(host));
        world.add_disk(host, DISK, Profile::nvme(512));
        world.begin(HostIx(i));
    }
    world.add_program(conformance::PROGRAM, conformance::agent);
}

fn address(host: HostIx) -> IpAddr {
    IpAddr::from([10, 0, 0, host.0 as u8 + 1])
}

struct Sim {
    world: Arc<World>,
    port: AtomicU16,
}

struct Running {
    world: Arc<World>,
    pid: Pid,
}

impl Process for Running {
    fn kill(&mut self) -> Wait<'_, io::Result<()>> {
        self.world.kill(self.pid);
        Box::pin(async { Ok(()) })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.world.kill(self.pid);
    }
}

impl Sim {
    async fn power_on(&self) {
        self.world.power_on(BRAVO);
        while self.world.host_state(BRAVO) != HostState::Up {
            time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Fixture for Sim {
    fn dir(&self) -> String {
        "/var/lib".into()
    }

    fn here(&self) -> IpAddr {
        address(ALPHA)
    }

    fn there(&self) -> Result<IpAddr, String> {
        Ok(address(BRAVO))
    }

    fn device(&self, _: Place) -> Result<String, String> {
        Ok(DISK.into())
    }

    fn reboots(&self) -> Result<(), String> {
        Ok(())
    }

    fn port(&self) -> u16 {
        self.port.fetch_add(1, Ordering::Relaxed)
    }

    fn lateness(&self) -> Duration {
        Duration::from_micros(1)
    }

    fn start(&self, place: Place, args: Vec<String>) -> Wait<'_, Result<Box<dyn Process>, Stop>> {
        let host = if place == Place::Here { ALPHA } else { BRAVO };
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let started = self.world.start(host, conformance::PROGRAM, &args);
        let world = self.world.clone();
        Box::pin(async move {
            let process: Box<dyn Process> = Box::new(Running { world, pid: started? });
            Ok(process)
        })
    }

    fn command(&self, args: &[&str]) -> Command {
        Command::new(conformance::PROGRAM).args(args.iter().copied())
    }

    fn strike(&self, fault: Fault) -> Wait<'_, Result<(), Stop>> {
        Box::pin(async move {
            let hosts = (models::net::HostId(0), models::net::HostId(1));
            match fault {
                Fault::CutLink => self.world.net(|net, _| net.cut_hosts(hosts.0, hosts.1)),
                Fault::HealLink => self.world.net(|net, _| net.heal_hosts(hosts.0, hosts.1)),
                Fault::PowerOff => self.world.power_off(BRAVO),
                Fault::PowerOn => self.power_on().await,
                Fault::StepClock(s) => self.world.step_clock(ALPHA, s * 1_000_000_000),
            }
            Ok(())
        })
    }
}

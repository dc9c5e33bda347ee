//! This machine: loopback, a temporary directory, a loop device, and a network namespace as the
//! other host where the machine allows one.
//!
//! The other host's silence is its link being taken down inside the namespace: nothing answers and
//! nobody is told, as with a cut or a dead host. It is no host of its own: it never boots.

use super::Report;
use env::{
    conformance::{self, Fault, Fixture, Place, Process, Stop, Wait},
    exec::{Child, Command, ExitStatus},
    file, rng,
};
use std::{
    io,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the cases whose name contains `filter`.
pub async fn run(filter: String) -> bool {
    // Cases panic on purpose: a line is enough, the runner reports what was not on purpose.
    std::panic::set_hook(Box::new(|info| println!("note: {info}")));
    let real = match Real::build().await {
        Ok(real) => Arc::new(real),
        Err(e) => {
            println!("FAILED to prepare: {e}");
            return false;
        }
    };
    let mut report = Report::default();
    for case in conformance::cases().iter().filter(|case| case.name.contains(&filter)) {
        let verdict = conformance::run(case, real.clone()).await;
        report.case(case.name, &verdict);
        real.recover().await;
    }
    real.tear_down().await;
    report.end("real")
}

/// Runs a command that must succeed.
async fn tool(words: &[&str]) -> io::Result<String> {
    let (program, args) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let out = Command::new(*program).args(args.iter().copied()).output(PATIENCE).await?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).trim().to_string());
    }
    let said = String::from_utf8_lossy(&out.stderr).trim().to_string();
    Err(io::Error::other(format!("`{}` failed: {said}", words.join(" "))))
}

struct Real {
    dir: String,
    exe: String,
    device: Result<String, String>,
    other: Result<Namespace, String>,
    port: AtomicU16,
    /// Agents in the namespace: they die with its power.
    there: Mutex<Vec<Agent>>,
}

type Agent = Arc<env::sync::Mutex<Option<Child>>>;

/// A network namespace joined to ours by a pair of interfaces.
struct Namespace {
    name: String,
    here: IpAddr,
    there: IpAddr,
    inner: String,
}

impl Namespace {
    async fn build(tag: u64) -> io::Result<Namespace> {
        // 198.18.0.0/15 is for tests of networks.
        let net = (tag % 16_000) * 4;
        let ip = |host| IpAddr::from([198, 18, (net >> 8) as u8, (net & 0xff) as u8 + host]);
        let (name, outer, inner) = (format!("tb{tag}"), format!("tbo{tag}"), format!("tbi{tag}"));
        let (here, there) = (ip(1), ip(2));
        tool(&["ip", "netns", "add", &name]).await?;
        let made = async {
            let pair = ["ip", "link", "add", &outer, "type", "veth", "peer", "name", &inner];
            tool(&[&pair[..], &["netns", &name]].concat()).await?;
            tool(&["ip", "addr", "add", &format!("{here}/30"), "dev", &outer]).await?;
            tool(&["ip", "link", "set", &outer, "up"]).await?;
            tool(&["ip", "-n", &name, "addr", "add", &format!("{there}/30"), "dev", &inner])
                .await?;
            tool(&["ip", "-n", &name, "link", "set", "lo", "up"]).await?;
            tool(&["ip", "-n", &name, "link", "set", &inner, "up"]).await?;
            let address = format!("/sys/class/net/{inner}/address");
            let mac = tool(&["ip", "netns", "exec", &name, "cat", &address]).await?;
            // Without it a silent host would soon be an unreachable one, by way of ARP.
            let there = there.to_string();
            let neigh = ["ip", "neigh", "replace", &there, "lladdr", &mac, "dev", &outer];
            tool(&[&neigh[..], &["nud", "permanent"]].concat()).await
        };
        if let Err(e) = made.await {
            let _ = tool(&["ip", "netns", "del", &name]).await;
            return Err(e);
        }
        Ok(Namespace { name, here, there, inner })
    }

    async fn link(&self, state: &str) -> io::Result<()> {
        tool(&["ip", "-n", &self.name, "link", "set", &self.inner, state]).await.map(|_| ())
    }
}

struct Running(Agent);

impl Process for Running {
    fn kill(&mut self) -> Wait<'_, io::Result<()>> {
        Box::pin(kill(&self.0))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(mut child) = self.0.try_lock() {
            // Dropping the child kills it.
            child.take();
        }
    }
}

async fn kill(agent: &Agent) -> io::Result<()> {
    if let Some(mut child) = agent.lock().await.take() {
        child.kill();
        let status = child.wait().await?;
        if status != ExitStatus::Signal(9) {
            return Err(io::Error::other(format!("the agent had ended before, with {status}")));
        }
    }
    Ok(())
}

impl Real {
    async fn build() -> io::Result<Real> {
        let tag = rng::stream("conformance").below(1_000_000);
        let dir = std::env::temp_dir().join(format!("tiebreaker-conformance-{tag}"));
        let dir = dir.to_string_lossy().into_owned();
        file::create_dir(&dir).await?;
        let exe = std::env::current_exe()?.to_string_lossy().into_owned();
        let device = loop_device(&dir).await.map_err(|e| lacks("loop device", &e));
        let other = Namespace::build(tag).await.map_err(|e| lacks("network namespace", &e));
        // Below the range from which the kernel takes ports by itself.
        let port = AtomicU16::new(20_000 + (tag % 10_000) as u16);
        Ok(Real { dir, exe, device, other, port, there: Mutex::default() })
    }

    fn agents_there(&self) -> Vec<Agent> {
        std::mem::take(&mut *self.there.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whatever a case left behind must not fail the next one.
    async fn recover(&self) {
        for agent in self.agents_there() {
            let _ = kill(&agent).await;
        }
        if let Ok(other) = &self.other {
            let _ = other.link("up").await;
        }
    }

    async fn tear_down(&self) {
        let mut ends = vec![vec!["rm", "-rf", &self.dir]];
        if let Ok(device) = &self.device {
            ends.insert(0, vec!["losetup", "-d", device]);
        }
        if let Ok(other) = &self.other {
            ends.push(vec!["ip", "netns", "del", &other.name]);
        }
        for end in ends {
            if let Err(e) = tool(&end).await {
                println!("left behind: {e}");
            }
        }
    }

    async fn strike_now(&self, fault: Fault) -> Result<(), Stop> {
        if let Fault::StepClock(_) = fault {
            return Err(Stop::Skipped("this machine's clock is not ours to step".into()));
        }
        let other = self.other.as_ref().map_err(|why| Stop::Skipped(why.clone()))?;
        match fault {
            Fault::CutLink => other.link("down").await?,
            Fault::HealLink | Fault::PowerOn => other.link("up").await?,
            Fault::PowerOff => {
                // First the link, so that the deaths of the agents are not heard.
                other.link("down").await?;
                for agent in self.agents_there() {
                    kill(&agent).await?;
                }
            }
            Fault::StepClock(_) => {}
        }
        Ok(())
    }

    async fn start_now(&self, place: Place, args: Vec<String>) -> Result<Box<dyn Process>, Stop> {
        let command = match place {
            Place::Here => Command::new(&self.exe),
            Place::There => {
                let other = self.other.as_ref().map_err(|why| Stop::Skipped(why.clone()))?;
                Command::new("ip").args(["netns", "exec", &other.name, &self.exe])
            }
        };
        let child = command.arg("agent").args(args).start().await?;
        let agent = Arc::new(env::sync::Mutex::new(Some(child)));
        if place == Place::There {
            let mut there = self.there.lock().unwrap_or_else(PoisonError::into_inner);
            there.push(agent.clone());
        }
        Ok(Box::new(Running(agent)))
    }
}

/// The same words on every machine, as skips are listed by their words; the cause goes beside.
fn lacks(what: &str, why: &io::Error) -> String {
    println!("note: no {what}: {why}");
    format!("this machine lets us have no {what}")
}

async fn loop_device(dir: &str) -> io::Result<String> {
    let image = format!("{dir}/image");
    tool(&["truncate", "-s", "4M", &image]).await?;
    tool(&["losetup", "--find", "--show", &image]).await
}

impl Fixture for Real {
    fn dir(&self) -> String {
        self.dir.clone()
    }

    fn here(&self) -> IpAddr {
        self.other.as_ref().map_or(IpAddr::from([127, 0, 0, 1]), |other| other.here)
    }

    fn there(&self) -> Result<IpAddr, String> {
        self.other.as_ref().map(|other| other.there).map_err(Clone::clone)
    }

    fn device(&self, place: Place) -> Result<String, String> {
        match place {
            Place::Here => self.device.clone(),
            Place::There => Err("no other host has a disk that may lose power".into()),
        }
    }

    fn reboots(&self) -> Result<(), String> {
        Err("no other host may be rebooted".into())
    }

    fn port(&self) -> u16 {
        self.port.fetch_add(1, Ordering::Relaxed)
    }

    fn lateness(&self) -> Duration {
        // A busy machine, not a promise of anybody.
        Duration::from_millis(300)
    }

    fn start(&self, place: Place, args: Vec<String>) -> Wait<'_, Result<Box<dyn Process>, Stop>> {
        Box::pin(self.start_now(place, args))
    }

    fn command(&self, args: &[&str]) -> Command {
        Command::new(&self.exe).arg("agent").args(args.iter().copied())
    }

    fn strike(&self, fault: Fault) -> Wait<'_, Result<(), Stop>> {
        Box::pin(self.strike_now(fault))
    }
}

//! Setting a world up: networks, hosts, disks, programs, services.

use super::{
    Machines,
    blocks::DiskSlot,
    files::Files,
    machine::{Device, Machine, ServiceState},
    state::{FOREIGN, Payload},
};
use drbd::page::Page;
use env::hooks::{self, Main, madsim};
use env::process::ExitCode;
use models::{
    SimTime, Span,
    disk::{Disk, Lv, Profile},
    host::{Host, HostClock, HostProfile},
    net::{HostId, Net, NetEvent, NetworkId, NetworkSettings, NicId},
};
use std::{collections::BTreeMap, future::Future, net::IpAddr, sync::Arc};

/// A host of this world, numbered from 0; the same number as in its network.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct HostIx(pub usize);

/// A disk of this world, numbered from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DiskIx(pub usize);

/// What a host is made of.
#[derive(Clone, Debug)]
pub struct HostSetup {
    /// Its name.
    pub name: String,
    /// How it boots and crashes.
    pub profile: HostProfile,
    /// What its wall clock shows at the beginning, in nanoseconds since 1970.
    pub wall_ns: u64,
    /// How much its clocks drift, in parts per million.
    pub drift_ppm: i32,
}

impl HostSetup {
    /// A host with good clocks.
    pub fn new(name: &str) -> Self {
        HostSetup {
            name: name.to_string(),
            profile: HostProfile::default(),
            // 2026-01-01: any day will do, as long as every run has the same.
            wall_ns: 1_767_225_600_000_000_000,
            drift_ppm: 0,
        }
    }
}

/// A program that a host starts when it boots.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name in the table of programs.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Whether it is started again when it ended, and after how long.
    pub restart_after: Option<Span>,
}

/// Runs a world of its own to the end of `scenario`, on this thread. `scenario` runs on the
/// supervisor's node, outside all hosts. For the same bytes from the same seed each call wants a
/// fresh thread.
pub fn simulate<P: Payload, F: Future>(
    seed: u64,
    scenario: impl FnOnce(Arc<Machines<P>>) -> F,
) -> F::Output {
    let runtime = madsim::runtime::Runtime::with_seed_and_config(seed, madsim::Config::default());
    hooks::prepare(&runtime);
    runtime.block_on(async {
        let machines = Arc::new(Machines::<P>::new(seed));
        hooks::install(machines.clone());
        madsim::task::spawn(machines.clone().pump());
        scenario(machines).await
    })
}

impl<P: Payload> Machines<P> {
    /// Adds a switch.
    pub fn add_network(&self, settings: NetworkSettings) -> NetworkId {
        self.with(|state| state.net.add_network(settings))
    }

    /// Adds a host, switched off, with nothing but a loopback.
    pub fn add_host(&self, setup: HostSetup) -> HostIx {
        self.with(|state| {
            let id = state.net.add_host();
            let luck = state.luck.fork("host").fork(&setup.name);
            let clock = HostClock::new(state.now, setup.wall_ns, setup.drift_ppm);
            assert_eq!(usize::from(id.0), state.machines.len(), "hosts are added here only");
            state.machines.push(Machine {
                files: Files::new(luck.fork("files")),
                model: Host::new(luck, setup.profile, clock),
                name: setup.name,
                id,
                armed: SimTime::FAR,
                disks: Vec::new(),
                devices: BTreeMap::new(),
                sockets: BTreeMap::new(),
                locks: BTreeMap::new(),
                watchdog: None,
                services: Vec::new(),
            });
            HostIx(usize::from(id.0))
        })
    }

    /// Adds a NIC with one address to a host.
    pub fn add_nic(
        &self,
        host: HostIx,
        network: NetworkId,
        bits_per_second: u64,
        address: IpAddr,
    ) -> NicId {
        self.with(|s| s.net.add_nic(HostId(host.0 as u16), network, bits_per_second, address))
    }

    /// Adds a disk to a host; processes open it under this path.
    pub fn add_disk(&self, host: HostIx, path: &str, profile: Profile<Page>) -> DiskIx {
        self.with(|state| {
            let luck = state.luck.fork("disk").fork(&state.machines[host.0].name).fork(path);
            let len = profile.blocks;
            let disk = state.disks.len();
            state.disks.push(DiskSlot {
                host: host.0,
                model: Disk::new(luck, profile),
                armed: SimTime::FAR,
                powered: true,
            });
            let machine = &mut state.machines[host.0];
            machine.disks.push(disk);
            let whole = Device { disk, lv: Lv { start: 0, len }, writer: None };
            machine.devices.insert(path.to_string(), whole);
            DiskIx(disk)
        })
    }

    /// Makes part of a disk a device of its own.
    pub fn add_device(&self, disk: DiskIx, path: &str, lv: Lv) {
        self.with(|state| {
            let host = state.disks[disk.0].host;
            let device = Device { disk: disk.0, lv, writer: None };
            state.machines[host].devices.insert(path.to_string(), device);
        });
    }

    /// Puts a program into the table that all hosts share.
    pub fn add_program<F, M>(&self, name: &str, main: M)
    where
        M: Fn(Vec<String>) -> F + Send + Sync + 'static,
        F: Future<Output = ExitCode> + Send + 'static,
    {
        let main: Main = Arc::new(move |args| Box::pin(main(args)));
        self.with(|state| state.programs.insert(name.to_string(), main));
    }

    /// A host starts this program at each boot from now on.
    pub fn add_service(&self, host: HostIx, service: Service) {
        self.with(|state| {
            state.machines[host.0].services.push(ServiceState { service, pid: None });
        });
    }

    /// Who handles events of sockets that no process owns. Such an owner has the top bit set. The
    /// handler runs under the lock and must not call back.
    pub fn on_foreign(&self, handler: impl FnMut(&mut Net<P>, NetEvent<P>) + Send + 'static) {
        self.with(|state| state.foreign = Some(Box::new(handler)));
    }

    /// Works on the network directly: cuts, losses, sockets of a kernel.
    pub fn net<R>(&self, work: impl FnOnce(&mut Net<P>, SimTime) -> R) -> R {
        self.with(|state| work(&mut state.net, state.now))
    }

    /// Works on a disk directly: faults, and looks for checkers.
    pub fn disk<R>(&self, disk: DiskIx, work: impl FnOnce(&mut Disk<Page>, SimTime) -> R) -> R {
        self.with(|state| {
            let result = work(&mut state.disks[disk.0].model, state.now);
            state.schedule_disk(disk.0);
            result
        })
    }

    /// The owner to give to the `n`th socket that no process owns.
    pub fn foreign_owner(n: u64) -> u64 {
        FOREIGN | n
    }
}

//! The modelled kernels of [`kernel::Host`] behind the processes of [`super::Machines`].

use super::commands::{Change, Kernel, Told};
use super::state::FOREIGN;
use env::hooks::Pid;
use kernel::{Host, Out, What, Wire};
use models::SimTime;
use models::net::{Net, NetEvent};

/// One kernel for each host, in their order.
pub struct DrbdKernels {
    hosts: Vec<Host>,
    outs: Vec<Out>,
    told: Vec<Told>,
}

impl DrbdKernels {
    /// Kernels of hosts that are off; each host's number is its place.
    pub fn new(mut hosts: Vec<Host>) -> DrbdKernels {
        hosts.iter_mut().for_each(|host| host.own_sockets_as(FOREIGN));
        DrbdKernels { hosts, outs: Vec::new(), told: Vec::new() }
    }

    fn hear(&mut self) {
        for out in self.outs.drain(..) {
            match out.what {
                What::Printed { id, error, text } => {
                    self.told.push(Told::Printed { id: Pid(id), error, text });
                }
                What::Exited { id, code } => self.told.push(Told::Exited { id: Pid(id), code }),
                _ => {}
            }
        }
    }
}

impl Kernel<Wire> for DrbdKernels {
    fn has(&self, program: &str) -> bool {
        Host::has_program(program)
    }

    fn exec(&mut self, now: SimTime, host: usize, id: Pid, argv: &[String]) {
        self.hosts[host].exec(now, id.0, argv, &mut self.outs);
        self.hear();
    }

    fn kill(&mut self, host: usize, id: Pid) {
        self.hosts[host].kill_command(id.0);
    }

    fn changed(&mut self, now: SimTime, host: usize, change: Change, net: &mut Net<Wire>) {
        let host = &mut self.hosts[host];
        match change {
            Change::Up => host.start(now, net, &mut self.outs),
            Change::Gone { power: true } => host.power_off(now, net),
            Change::Gone { power: false } => host.crash(now, net),
            Change::Frozen => host.freeze(now, net),
            Change::Thawed => host.thaw(now, net),
        }
        self.hear();
    }

    fn on_net(&mut self, now: SimTime, event: NetEvent<Wire>, net: &mut Net<Wire>) {
        let host = usize::from(event.host.0);
        self.hosts[host].on_net(now, event, net, &mut self.outs);
        self.hear();
    }

    fn next_due(&self) -> SimTime {
        self.hosts.iter().map(Host::next_due).min().unwrap_or(SimTime::FAR)
    }

    fn run_due(&mut self, now: SimTime, net: &mut Net<Wire>) {
        for host in &mut self.hosts {
            host.run_due(now, net, &mut self.outs);
        }
        self.hear();
    }

    fn told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }
}

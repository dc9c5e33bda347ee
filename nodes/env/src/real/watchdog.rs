//! `/dev/watchdog`, or a thread.

use crate::watchdog::{Bite, Choice, Watchdog};
use rustix::ioctl::{Updater, ioctl, opcode};
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    time::{Duration, Instant},
};

pub(crate) fn arm(choice: &Choice, timeout: Duration) -> io::Result<Box<dyn Watchdog>> {
    match choice {
        Choice::Hardware { device } => Ok(Box::new(Hardware::arm(device, timeout)?)),
        Choice::Software(bite) => Ok(Box::new(Software::arm(*bite, timeout)?)),
    }
}

/// The kernel's watchdog interface: opening arms, any byte pets, `V` before closing disarms.
struct Hardware(File);

impl Hardware {
    fn arm(device: &str, timeout: Duration) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).open(device)?;
        let mut armed = Hardware(file);
        match armed.set_timeout(timeout) {
            Ok(()) => Ok(armed),
            Err(e) => {
                // A guard with another timeout than asked for would bite at the wrong time.
                Box::new(armed).disarm()?;
                Err(e)
            }
        }
    }
}

impl Watchdog for Hardware {
    fn pet(&mut self) -> io::Result<()> {
        self.0.write_all(b"\0")
    }

    fn set_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        let wanted = i32::try_from(timeout.as_secs()).unwrap_or(i32::MAX);
        let got = set_timeout(&self.0, wanted)?;
        if got == wanted {
            return self.pet();
        }
        let text = format!("the watchdog takes {got} s, not the {wanted} s asked for");
        Err(io::Error::new(io::ErrorKind::InvalidInput, text))
    }

    fn disarm(mut self: Box<Self>) -> io::Result<()> {
        self.0.write_all(b"V")
    }
}

/// `WDIOC_SETTIMEOUT`: the driver answers with the timeout it has really set.
#[allow(unsafe_code)] // The one place: there is no file to set the timeout through.
fn set_timeout(file: &File, seconds: i32) -> io::Result<i32> {
    let mut value = seconds;
    const SETTIMEOUT: rustix::ioctl::Opcode = opcode::read_write::<i32>(b'W', 6);
    // SAFETY: the kernel reads and writes one `int` behind the pointer, and `value` is one.
    unsafe { ioctl(file, Updater::<SETTIMEOUT, i32>::new(&mut value))? };
    Ok(value)
}

/// A thread that waits to be petted. It is a thread and not a task, so that a runtime that hangs is
/// noticed too.
struct Software(Sender<Order>);

enum Order {
    Pet,
    Timeout(Duration),
    Disarm,
}

impl Software {
    fn arm(bite: Bite, timeout: Duration) -> io::Result<Self> {
        let (orders, inbox) = channel();
        std::thread::Builder::new()
            .name("watchdog".into())
            .spawn(move || guard(&inbox, bite, timeout))?;
        Ok(Software(orders))
    }

    fn order(&self, order: Order) -> io::Result<()> {
        self.0.send(order).map_err(|_| io::Error::other("the watchdog's thread has ended"))
    }
}

fn guard(inbox: &Receiver<Order>, bite: Bite, mut timeout: Duration) {
    let mut deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match inbox.recv_timeout(left) {
            Ok(Order::Pet) => {}
            Ok(Order::Timeout(new)) => timeout = new,
            Ok(Order::Disarm) => return,
            Err(RecvTimeoutError::Disconnected) => {
                // Dropped without `disarm`: nobody can pet any more.
                std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
                break;
            }
            Err(RecvTimeoutError::Timeout) => break,
        }
        deadline = Instant::now() + timeout;
    }
    if bite == Bite::RebootHost {
        // If this fails the process still ends, and with it what it must no longer do.
        let _ = std::fs::write("/proc/sysrq-trigger", "b");
    }
    std::process::abort();
}

impl Watchdog for Software {
    fn pet(&mut self) -> io::Result<()> {
        self.order(Order::Pet)
    }

    fn set_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.order(Order::Timeout(timeout))
    }

    fn disarm(self: Box<Self>) -> io::Result<()> {
        self.order(Order::Disarm)
    }
}

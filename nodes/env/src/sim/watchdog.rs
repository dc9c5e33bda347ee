//! The watchdog of the modelled host.

use crate::{
    hooks::{self, Handle, World},
    watchdog::{Choice, Watchdog},
};
use std::{io, sync::Arc, time::Duration};

pub(crate) fn arm(choice: &Choice, timeout: Duration) -> io::Result<Box<dyn Watchdog>> {
    let world = hooks::world();
    let handle = world.watchdog_arm(hooks::this_process(), choice, timeout)?;
    Ok(Box::new(Modelled { world, handle }))
}

struct Modelled {
    world: Arc<dyn World>,
    handle: Handle,
}

impl Watchdog for Modelled {
    fn pet(&mut self) -> io::Result<()> {
        self.world.watchdog_pet(self.handle, None)
    }

    fn set_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.world.watchdog_pet(self.handle, Some(timeout))
    }

    fn disarm(self: Box<Self>) -> io::Result<()> {
        self.world.watchdog_disarm(self.handle)
    }
}

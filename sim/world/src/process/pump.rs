//! The task that moves the models.
//!
//! It sleeps until the earliest event of any model. Whoever makes an earlier one wakes it, and only
//! then: most sends lie behind the event it already waits for.

use super::{
    Machines,
    agenda::Item,
    state::{Event, FOREIGN, Payload, State},
};
use env::hooks::{Handle, madsim};
use models::{SimTime, net::NetEvent};
use std::{future::Future, pin::pin, sync::Arc, task::Poll, time::Duration};

impl<P: Payload> Machines<P> {
    /// Moves the models for ever; spawned once, on the supervisor's node.
    pub async fn pump(self: Arc<Self>) {
        let mut nap = pin!(madsim::time::sleep(Duration::ZERO));
        let mut events = Vec::new();
        std::future::poll_fn(|cx| -> Poll<()> {
            loop {
                let wait = self.with(|state| {
                    state.run_due(&mut events);
                    let due = state.next_due();
                    state.armed = due;
                    match &state.pump {
                        Some(waker) if waker.will_wake(cx.waker()) => {}
                        _ => state.pump = Some(cx.waker().clone()),
                    }
                    (due != SimTime::FAR).then(|| due.since(state.now))
                });
                let Some(wait) = wait else { return Poll::Pending };
                // Exact, where a new sleep would be rounded up to a millisecond.
                nap.as_mut().reset(self.time.now_instant() + Duration::from(wait));
                if nap.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await;
    }
}

impl<P: Payload> State<P> {
    #[inline]
    pub(super) fn next_due(&self) -> SimTime {
        let own = self.agenda.next_due().min(self.kernel_due());
        self.net.next_due().unwrap_or(SimTime::FAR).min(own)
    }

    /// Wakes the pump if it would sleep too long.
    #[inline]
    pub(super) fn wake_pump(&mut self) {
        let due = self.next_due();
        if due < self.armed
            && let Some(pump) = &self.pump
        {
            // Once is enough: it arms itself anew when it runs.
            self.armed = due;
            pump.wake_by_ref();
        }
    }

    /// Handles all that is due. `events` is scratch space, kept for its allocation.
    fn run_due(&mut self, events: &mut Vec<NetEvent<P>>) {
        let now = self.now;
        while self.next_due() <= now {
            self.net.run_due(now, events);
            for event in events.drain(..) {
                self.net_event(event);
            }
            while let Some((at, item)) = self.agenda.pop_due(now) {
                self.run_item(at, item);
            }
            self.run_kernel();
        }
    }

    fn net_event(&mut self, event: NetEvent<P>) {
        if event.owner & FOREIGN == 0 {
            self.socket_event(Handle(event.owner), event.what);
        } else if let Some(handler) = &mut self.foreign {
            handler(&mut self.net, event);
        } else {
            self.kernel_event(event);
        }
    }

    fn run_item(&mut self, at: SimTime, item: Item<Event>) {
        match item {
            Item::Host(host) => self.run_host(at, host),
            Item::Disk(disk) => self.run_disk(at, disk),
            Item::Event(Event::File { host, op }) => self.file_step(host, op),
            Item::Event(Event::WriteBack { host, boot }) => self.write_back(host, boot),
            Item::Event(Event::Restart { host, service, boot }) => {
                self.restart_service(host, service, boot);
            }
            Item::Event(Event::Bite { watchdog }) => self.bite(watchdog),
        }
    }
}

//! Handlers of the `.res` files: DRBD has drbdadm run the program that the file names at that
//! moment. The modelled host has a shell that knows `sleep SECONDS`, `exit CODE`, `true` and
//! `false`; any other program is not there. What a handler answers, and when, is all that the
//! kernel sees of it.

use super::Host;
use crate::commands::drbdadm::CONFIG;
use crate::res::{self, Section};
use drbd::core::event::{CallId, Event, Handler};
use models::net::Net;
use models::{SimTime, Span};
use std::collections::BTreeSet;

/// What the shell says of a program that is not there.
const NOT_FOUND: u8 = 127;

/// How a program ends: after so long, with this exit code.
fn outcome(program: &str) -> (Span, u8) {
    let (mut seconds, mut exit) = (0, 0);
    for command in program.split(';').map(str::trim).filter(|command| !command.is_empty()) {
        let (word, argument) = command.split_once(' ').unwrap_or((command, ""));
        let number = argument.trim().parse::<u64>().ok();
        match (word, number) {
            ("sleep", Some(more)) => {
                seconds = u64::min(86_400, seconds + more.min(86_400));
                exit = 0;
            }
            ("exit", Some(code)) => return (Span::secs(seconds), (code & 0xff) as u8),
            ("exit", None) if argument.is_empty() => break,
            ("true", None) => exit = 0,
            ("false", None) => exit = 1,
            _ => exit = NOT_FOUND,
        }
    }
    (Span::secs(seconds), exit)
}

impl Host {
    /// The program that the files name for a handler of a resource, by the resource's own section
    /// or by `common`.
    fn program(&self, slot: usize, handler: Handler) -> Option<String> {
        let config = res::parse(&self.files, CONFIG).ok()?;
        let resource = config.resource(&self.slots[slot].fixed.config.name)?;
        let common = config.common.iter();
        let sections = std::iter::once(&resource.sections).chain(common);
        let mut options = sections.flat_map(|sections| sections.of(Section::Handlers));
        options.find(|option| option.name == handler.name())?.value.clone()
    }

    /// Handlers that have a program.
    pub(super) fn handlers(&self, slot: usize) -> BTreeSet<Handler> {
        let all = Handler::ALL.iter().copied();
        all.filter(|handler| self.program(slot, *handler).is_some()).collect()
    }

    /// The kernel calls for a handler.
    pub(super) fn start_handler(&mut self, now: SimTime, slot: usize, id: CallId, which: Handler) {
        let (after, exit) = outcome(&self.program(slot, which).unwrap_or_default());
        self.slots[slot].calls.push((now + after, id, exit));
    }

    /// Handlers that have ended.
    pub(super) fn end_handlers(
        &mut self,
        now: SimTime,
        slot: usize,
        net: &mut Net<crate::wire::Wire>,
        out: &mut Vec<super::Out>,
    ) {
        let calls = &mut self.slots[slot].calls;
        let ended: Vec<_> = calls.extract_if(.., |(due, ..)| *due <= now).collect();
        for (_, id, exit) in ended {
            self.step(now, slot, Event::Called(id, exit), net, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_knows_what_a_scenario_has_to_say() {
        assert_eq!(outcome("exit 4"), (Span::ZERO, 4));
        assert_eq!(outcome("sleep 5; exit 7"), (Span::secs(5), 7));
        assert_eq!(outcome("sleep 2; false"), (Span::secs(2), 1));
        assert_eq!(outcome("false; exit"), (Span::ZERO, 1));
        assert_eq!(outcome("/usr/lib/drbd/crm-fence-peer.9.sh"), (Span::ZERO, NOT_FOUND));
        assert_eq!(outcome(""), (Span::ZERO, 0));
    }
}

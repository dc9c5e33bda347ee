//! `[[step]]`: `at` and `do = { verb = what }`.

use crate::cursor::{Read, Table, Value, unknown_key};
use crate::error::Wrong;
use crate::limits::{PPM_ONE, ROT_MAX};
use crate::read::share;
use crate::scenario::{Do, Step};
use crate::units::{DURATION, parse_signed};

/// Verbs of `do`, in kebab case.
const VERBS: [&str; 23] = [
    "power-off",
    "boot",
    "crash",
    "shutdown",
    "freeze",
    "thaw",
    "cut",
    "mend",
    "isolate",
    "rejoin",
    "switch-off",
    "switch-on",
    "loss",
    "latency",
    "disk-error",
    "disk-repair",
    "disk-stall",
    "bit-rot",
    "disk-lies",
    "disk-honest",
    "clock-step",
    "move-vm",
    "heal-all",
];

pub(crate) fn step(mut table: Table) -> Read<Step> {
    let step = Step {
        id: table.or("id", None, |v| v.string().map(Some))?,
        at: table.need("at")?.quantity(&DURATION)?,
        action: action(table.need("do")?)?,
    };
    table.finish()?;
    Ok(step)
}

fn action(value: Value) -> Read<Do> {
    let example = "{ power-off = \"alpha\" }";
    if value.is_text() {
        // `do = "heal-all"`: the one verb without an object.
        return match value.text()? {
            "heal-all" => Ok(Do::HealAll),
            _ => value.fault(Wrong::new("this verb needs an object", format!("as in {example}"))),
        };
    }
    let table = value.table("do")?;
    let mut entries = table.entries();
    let (Some((verb, object)), None) = (entries.next(), entries.next()) else {
        let remedy =
            format!("write one verb, as in {example}; further steps are their own [[step]]");
        return value.fault(Wrong::new("do takes exactly one verb", remedy));
    };
    if !VERBS.contains(&verb) {
        return match unknown_key(verb, 0, "do", &VERBS) {
            Err(fault) => value.fault(fault.wrong),
            Ok(never) => never,
        };
    }
    on_host(verb, object).unwrap_or_else(|| on_more(verb, object))
}

/// Verbs whose only object is a host; `None` for the others.
fn on_host(verb: &str, object: Value) -> Option<Read<Do>> {
    let make: fn(String) -> Do = match verb {
        "power-off" => |host| Do::PowerOff { host },
        "boot" => |host| Do::Boot { host },
        "crash" => |host| Do::Crash { host },
        "shutdown" => |host| Do::Shutdown { host },
        "freeze" => |host| Do::Freeze { host },
        "thaw" => |host| Do::Thaw { host },
        "disk-lies" => |host| Do::DiskLies { host },
        "disk-honest" => |host| Do::DiskHonest { host },
        _ => return None,
    };
    Some(object.string().map(make))
}

/// Verbs with a table, a network, or nothing.
fn on_more(verb: &str, object: Value) -> Read<Do> {
    match verb {
        "switch-off" => return Ok(Do::SwitchOff { network: object.string()? }),
        "switch-on" => return Ok(Do::SwitchOn { network: object.string()? }),
        "isolate" | "rejoin" if object.is_text() => return Ok(alone(verb, object.string()?, None)),
        "heal-all" if object.flag()? => return Ok(Do::HealAll),
        "heal-all" => {
            return object.fault(Wrong::new("heal-all = false does nothing", "leave the step out"));
        }
        _ => {}
    }
    let mut table = object.table("this verb")?;
    let action = tabled(verb, &mut table)?;
    table.finish()?;
    Ok(action)
}

fn alone(verb: &str, host: String, network: Option<String>) -> Do {
    match verb {
        "isolate" => Do::Isolate { host, network },
        _ => Do::Rejoin { host, network },
    }
}

fn tabled(verb: &str, table: &mut Table) -> Read<Do> {
    Ok(match verb {
        "cut" | "mend" => {
            let (from, to) = (table.need("from")?.string()?, table.need("to")?.string()?);
            let network = network(table)?;
            if verb == "cut" {
                Do::Cut { from, to, network }
            } else {
                Do::Mend { from, to, network }
            }
        }
        "isolate" | "rejoin" => {
            let host = host(table)?;
            alone(verb, host, network(table)?)
        }
        "loss" => Do::Loss {
            network: table.need("network")?.string()?,
            ppm: share(&table.need("share")?, PPM_ONE)?,
        },
        "latency" => Do::Latency {
            network: table.need("network")?.string()?,
            latency: table.need("latency")?.range(&DURATION)?,
        },
        "disk-error" => Do::DiskError {
            host: host(table)?,
            resource: table.need("resource")?.string()?,
            read: table.or("read", true, Value::flag)?,
            write: table.or("write", true, Value::flag)?,
        },
        "disk-repair" => {
            Do::DiskRepair { host: host(table)?, resource: table.need("resource")?.string()? }
        }
        "disk-stall" => {
            Do::DiskStall { host: host(table)?, lasts: table.need("lasts")?.quantity(&DURATION)? }
        }
        "bit-rot" => Do::BitRot {
            host: host(table)?,
            resource: table.need("resource")?.string()?,
            blocks: table.or("blocks", 1, |v| v.count(ROT_MAX))?,
        },
        "clock-step" => {
            let host = host(table)?;
            let by = table.need("by")?;
            let step = parse_signed(by.text()?).or_else(|wrong| by.fault(wrong))?;
            Do::ClockStep { host, by: step }
        }
        // Only `move-vm` is left of VERBS.
        _ => Do::MoveVm {
            vm: table.need("vm")?.string()?,
            to: table.or("to", None, |v| v.string().map(Some))?,
        },
    })
}

fn host(table: &mut Table) -> Read<String> {
    table.need("host")?.string()
}

fn network(table: &mut Table) -> Read<Option<String>> {
    table.or("network", None, |v| v.string().map(Some))
}

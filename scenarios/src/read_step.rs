//! `[[step]]`: when, and `do = { verb = what }`.

use crate::cursor::{Read, Table, Value, unknown_key};
use crate::error::Wrong;
use crate::limits::{PPM_ONE, ROT_MAX};
use crate::read::share;
use crate::read_condition::condition;
use crate::scenario::{Do, Exit, Step, When};
use crate::units::{DURATION, parse_signed};

/// Verbs of `do`, in kebab case.
pub(crate) const VERBS: [&str; 25] = [
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
    "fill-conntrack",
    "clock-step",
    "move-vm",
    "run",
    "heal-all",
];

/// Keys that may stand beside a verb.
const BESIDE: [(&str, &[&str]); 2] = [("shutdown", &["order"]), ("run", &["on", "exit"])];

pub(crate) fn step(mut table: Table) -> Read<Step> {
    let step = Step {
        id: table.or("id", None, |v| v.string().map(Some))?,
        when: when(&mut table)?,
        action: action(table.need("do")?)?,
        optional: table.or("optional", false, Value::flag)?,
    };
    table.finish()?;
    Ok(step)
}

/// `at = "20s"`; or `after = "step"`, `after = { a condition }`, with `wait = "5s"` if it takes
/// longer.
fn when(table: &mut Table) -> Read<When> {
    let (at, after, wait) = (table.get("at"), table.get("after"), table.get("wait"));
    match (at, after, wait) {
        (Some(at), None, None) => Ok(When::at(at.quantity(&DURATION)?)),
        (Some(at), ..) => {
            let what = "`at` is a time from the start: it needs no `after` and no `wait`";
            at.fault(Wrong::new(what, "write `at`, or `after` with `wait`"))
        }
        (None, Some(after), wait) => {
            let wait = wait.map_or(Ok(0), |wait| wait.quantity(&DURATION))?;
            if after.is_text() {
                return Ok(When { after: Some(after.string()?), that: None, wait });
            }
            let mut inner = after.table("after")?;
            let step = inner.or("step", None, |v| v.string().map(Some))?;
            let that = condition(inner)?;
            let that = (!that.all.is_empty()).then_some(that);
            if step.is_none() && that.is_none() {
                let remedy = "as in after = { vm = \"vm-a\", acked-writes = 500 }";
                return after.fault(Wrong::new("after nothing at all", remedy));
            }
            Ok(When { after: step, that, wait })
        }
        // A step without a time is asked for the one that most have.
        (None, None, _) => table.need("at")?.quantity(&DURATION).map(When::at),
    }
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
    let mut table = value.table("do")?;
    let words: Vec<&str> = table.entries().map(|(word, _)| word).collect();
    let mut verbs = words.iter().filter(|word| VERBS.contains(word));
    let (Some(verb), None) = (verbs.next(), verbs.next()) else {
        let unknown = words.iter().find(|word| !VERBS.contains(word));
        if let (Some(word), 0) = (unknown, words.iter().filter(|w| VERBS.contains(w)).count()) {
            return match unknown_key(word, 0, "do", &VERBS) {
                Err(fault) => value.fault(fault.wrong),
                Ok(never) => never,
            };
        }
        let remedy =
            format!("write one verb, as in {example}; further steps are their own [[step]]");
        return value.fault(Wrong::new("do takes exactly one verb", remedy));
    };
    let beside = BESIDE.iter().find(|(of, _)| of == verb).map_or(&[][..], |(_, keys)| keys);
    let action = table.known(verb).map_or_else(
        || value.fault(Wrong::new("do takes exactly one verb", example)),
        |object| verb_of(verb, object, &mut table),
    )?;
    table.finish_but(beside)?;
    Ok(action)
}

fn verb_of(verb: &str, object: Value, table: &mut Table) -> Read<Do> {
    match verb {
        "shutdown" => {
            let network_first = table.or("order", false, |v| order(v))?;
            Ok(Do::Shutdown { host: object.string()?, network_first })
        }
        "run" => Ok(Do::Run {
            on: table.need("on")?.string()?,
            command: object.string()?,
            exit: table.or("exit", Exit::Code(0), exit)?,
        }),
        _ => on_host(verb, object).unwrap_or_else(|| on_more(verb, object)),
    }
}

/// In which order a clean shutdown stops its parts; does the network go first?
fn order(value: &Value) -> Read<bool> {
    let words = value.strings(2)?;
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["network", "drbd"] => Ok(true),
        ["drbd", "network"] => Ok(false),
        _ => value.fault(Wrong::new(
            "not an order of network and drbd",
            "write [\"network\", \"drbd\"] or [\"drbd\", \"network\"]",
        )),
    }
}

fn exit(value: &Value) -> Read<Exit> {
    if value.is_text() {
        return match value.text()? {
            "any" => Ok(Exit::Any),
            _ => value.fault(Wrong::new("not an exit code", "write 0 to 255, or \"any\"")),
        };
    }
    value.count(255).map(|code| Exit::Code(code as u8))
}

/// Verbs whose only object is a host; `None` for the others.
fn on_host(verb: &str, object: Value) -> Option<Read<Do>> {
    let make: fn(String) -> Do = match verb {
        "power-off" => |host| Do::PowerOff { host },
        "boot" => |host| Do::Boot { host },
        "crash" => |host| Do::Crash { host },
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
            let (network, both) = (network(table)?, table.or("both", false, Value::flag)?);
            if verb == "cut" {
                Do::Cut { from, to, network, both }
            } else {
                Do::Mend { from, to, network, both }
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
        "fill-conntrack" => Do::FillConntrack {
            host: host(table)?,
            share: table.or("share", PPM_ONE, |v| share(v, PPM_ONE))?,
            flush: table.or("flush", false, Value::flag)?,
            lasts: table.need("lasts")?.quantity(&DURATION)?,
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

//! [`Scenario`] to TOML, so that a drawn plan can be kept, read by people, edited and run again.
//! Everything is written, also what equals a default: a kept plan must not change when a default
//! does.

use std::fmt::{self, Write};

use crate::scenario::*;
use crate::units::{DURATION, RATE, SHARE, SIZE};
use crate::write_step::{expect, known, replay, step, vary};

/// The file that [`crate::read`] turns into the same scenario.
pub fn write(scenario: &Scenario) -> String {
    let mut out = String::new();
    // Writing into a String cannot fail.
    let _ = document(&mut out, scenario);
    out
}

/// As [`write`], below a comment that says what it is about.
pub fn write_with_comment(scenario: &Scenario, comment: &str) -> String {
    let mut out = String::new();
    for line in comment.lines() {
        // What TOML forbids in a comment.
        let plain: String = line.chars().filter(|c| !c.is_control() || *c == '\t').collect();
        out.push_str(format!("# {plain}").trim_end());
        out.push('\n');
    }
    out + &write(scenario)
}

fn document(out: &mut String, scenario: &Scenario) -> fmt::Result {
    writeln!(out, "schema  = 1")?;
    writeln!(out, "name    = {}", quoted(&scenario.name))?;
    if !scenario.promise.is_empty() {
        writeln!(out, "promise = {}", list(&scenario.promise))?;
    }
    if !scenario.origin.is_empty() {
        writeln!(out, "origin  = {}", list(&scenario.origin))?;
    }
    writeln!(out, "horizon = {}", quoted(&DURATION.format(scenario.horizon)))?;
    writeln!(out, "heals   = {}", scenario.heals)?;
    writeln!(out, "worlds  = {}", list(&scenario.worlds))?;
    if !scenario.requires.is_empty() {
        writeln!(out, "requires = {}", list(&scenario.requires))?;
    }
    pool(out, &scenario.pool)?;
    for (name, it) in &scenario.network {
        network(out, name, it)?;
    }
    disk(out, &scenario.disk)?;
    scenario.resource.iter().try_for_each(|it| resource(out, it))?;
    scenario.vm.iter().try_for_each(|it| vm(out, it))?;
    scenario.step.iter().try_for_each(|it| step(out, it))?;
    scenario.expect.iter().try_for_each(|it| expect(out, it))?;
    vary(out, &scenario.vary)?;
    known(out, &scenario.known)?;
    scenario.replay.as_ref().map_or(Ok(()), |it| replay(out, it))
}

/// A basic string: quotes, backslashes and control characters escaped.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

pub(crate) fn list(items: &[String]) -> String {
    let items: Vec<_> = items.iter().map(|item| quoted(item)).collect();
    format!("[{}]", items.join(", "))
}

pub(crate) fn span(range: (u64, u64)) -> String {
    quoted(&DURATION.format_range(range))
}

pub(crate) fn share(ppm: u32) -> String {
    quoted(&SHARE.format(u64::from(ppm)))
}

fn pool(out: &mut String, pool: &Pool) -> fmt::Result {
    writeln!(out, "\n[pool]")?;
    writeln!(out, "hosts        = {}", list(&pool.hosts))?;
    if let Some(master) = &pool.master {
        writeln!(out, "master       = {}", quoted(master))?;
    }
    writeln!(out, "ha           = {{ enabled = {} }}", pool.ha)?;
    writeln!(out, "boot-time    = {}", span(pool.boot_time))?;
    writeln!(out, "clock-offset = {}", quoted(&DURATION.format(pool.clock_offset)))?;
    writeln!(out, "clock-drift  = {}", share(pool.clock_drift_ppm))?;
    if let Some(max) = pool.conntrack_max {
        writeln!(out, "conntrack-max = {max}")?;
    }
    if pool.drbd_notrack {
        writeln!(out, "drbd-notrack = true")?;
    }
    Ok(())
}

fn network(out: &mut String, name: &str, network: &Network) -> fmt::Result {
    writeln!(out, "\n[network.{name}]")?;
    writeln!(out, "latency   = {}", span(network.latency))?;
    writeln!(out, "bandwidth = {}", quoted(&RATE.format(network.bandwidth)))?;
    writeln!(out, "loss      = {}", share(network.loss))?;
    writeln!(out, "duplicate = {}", share(network.duplicate))?;
    writeln!(out, "reorder   = {}", share(network.reorder))
}

fn disk(out: &mut String, disk: &Disk) -> fmt::Result {
    writeln!(out, "\n[disk]")?;
    writeln!(out, "read           = {}", span(disk.read))?;
    writeln!(out, "write          = {}", span(disk.write))?;
    writeln!(out, "flush          = {}", span(disk.flush))?;
    writeln!(out, "parallel       = {}", disk.parallel)?;
    writeln!(out, "volatile-cache = {}", disk.volatile_cache)?;
    if disk.thin_pool > 0 {
        writeln!(out, "thin-pool      = {}", quoted(&SIZE.format(disk.thin_pool)))?;
    }
    Ok(())
}

fn resource(out: &mut String, resource: &Resource) -> fmt::Result {
    writeln!(out, "\n[[resource]]")?;
    writeln!(out, "name       = {}", quoted(&resource.name))?;
    writeln!(out, "size       = {}", quoted(&SIZE.format(resource.size)))?;
    writeln!(out, "volumes    = {}", resource.volumes)?;
    writeln!(out, "diskful    = {}", list(&resource.diskful))?;
    if let Some(host) = &resource.tiebreaker {
        writeln!(out, "tiebreaker = {}", quoted(host))?;
    }
    if !resource.diskless.is_empty() {
        writeln!(out, "diskless   = {}", list(&resource.diskless))?;
    }
    if resource.storage != Storage::Disk {
        writeln!(out, "storage    = {}", quoted(resource.storage.name()))?;
    }
    if resource.options.is_empty() {
        return Ok(());
    }
    let options: Vec<_> = resource
        .options
        .iter()
        .map(|(name, value)| format!("{name} = {}", quoted(value)))
        .collect();
    writeln!(out, "options    = {{ {} }}", options.join(", "))
}

fn vm(out: &mut String, vm: &Vm) -> fmt::Result {
    let io = &vm.io;
    writeln!(out, "\n[[vm]]")?;
    writeln!(out, "name = {}", quoted(&vm.name))?;
    writeln!(out, "on   = {}", quoted(&vm.on))?;
    writeln!(out, "vdi  = {}", quoted(&vm.vdi))?;
    let weights = format!(
        "read = {}, write = {}, flush = {}, discard = {}",
        io.read, io.write, io.flush, io.discard
    );
    let block = quoted(&SIZE.format_range(io.block));
    let span = quoted(&SIZE.format(io.span));
    let shape = format!("block = {block}, depth = {}, rate = {}, span = {span}", io.depth, io.rate);
    writeln!(out, "io   = {{ {weights}, {shape} }}")
}

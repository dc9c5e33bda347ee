//! Cases about the host itself: its name, its boots, its watchdog.

use super::{
    Fault, Fixture, Place, Stop, ensure, list_cases,
    stream::{Talk, serve},
};
use crate::{
    exec::ExitStatus,
    process,
    time::{self, Duration},
};

list_cases![
    a_host_has_a_name_and_a_boot,
    the_boot_id_is_new_at_each_boot,
    a_software_watchdog_bites,
    a_software_watchdog_that_is_petted_does_not_bite,
    a_hardware_watchdog_outlives_its_process,
];

async fn a_host_has_a_name_and_a_boot(_: &dyn Fixture) -> Result<(), Stop> {
    ensure!(!process::host_name()?.is_empty(), "this host has no name");
    let boot = process::boot_id()?;
    ensure!(boot.len() == 36, "the boot id is {boot:?}");
    ensure!(boot == process::boot_id()?, "the boot id changes");
    Ok(())
}

async fn boot_id(f: &dyn Fixture) -> Result<String, Stop> {
    let served = serve(f, Place::There).await?;
    Talk::with(served.addr).await?.ask("boot-id").await
}

async fn the_boot_id_is_new_at_each_boot(f: &dyn Fixture) -> Result<(), Stop> {
    f.reboots().map_err(Stop::Skipped)?;
    let before = boot_id(f).await?;
    ensure!(before == boot_id(f).await?, "two processes of one boot disagree");
    f.strike(Fault::PowerOff).await?;
    f.strike(Fault::PowerOn).await?;
    let after = boot_id(f).await?;
    ensure!(before != after, "the boot id outlived a boot");
    Ok(())
}

async fn a_software_watchdog_bites(f: &dyn Fixture) -> Result<(), Stop> {
    let before = time::now();
    let out = f.command(&["guarded", "0"]).output(Duration::from_secs(10)).await?;
    ensure!(out.status == ExitStatus::Signal(6), "the unguarded process ended with {}", out.status);
    let took = before.elapsed();
    ensure!(took >= Duration::from_secs(1), "it bit after {took:?}");
    Ok(())
}

async fn a_software_watchdog_that_is_petted_does_not_bite(f: &dyn Fixture) -> Result<(), Stop> {
    let out = f.command(&["guarded", "4"]).output(Duration::from_secs(20)).await?;
    ensure!(out.status.success(), "the petted process ended with {}", out.status);
    Ok(())
}

/// The process that petted is killed: the host resets, which a connection sees as silence.
async fn a_hardware_watchdog_outlives_its_process(f: &dyn Fixture) -> Result<(), Stop> {
    f.reboots().map_err(Stop::Skipped)?;
    let mut served = serve(f, Place::There).await?;
    let before = boot_id(f).await?;
    let mut talk = Talk::with(served.addr).await?;
    talk.ask("watchdog 10").await?;
    for _ in 0..5 {
        time::sleep(Duration::from_secs(4)).await;
        talk.ask("pet").await?;
    }
    ensure!(before == boot_id(f).await?, "it bit although it was petted");
    served.process.kill().await?;
    time::sleep(Duration::from_secs(11)).await;
    f.strike(Fault::PowerOn).await?;
    ensure!(before != boot_id(f).await?, "it did not bite");
    Ok(())
}

//! Cases about small files.

use super::{
    Fault, Fixture, Place, Stop, ensure, ensure_err,
    exec::ready,
    list_cases,
    stream::{Talk, serve},
};
use crate::{
    file,
    time::{self, Duration},
};
use bytes::Bytes;

list_cases![
    a_file_is_replaced_whole,
    files_are_listed_in_order,
    what_does_not_exist_is_not_found,
    a_lock_is_exclusive,
    a_lock_dies_with_its_process,
    a_written_file_survives_power_loss,
    a_replaced_file_is_old_or_new_after_power_loss,
];

async fn a_file_is_replaced_whole(f: &dyn Fixture) -> Result<(), Stop> {
    let path = format!("{}/replaced", f.dir());
    file::write(&path, Bytes::from_static(b"first, and longer")).await?;
    file::write(&path, Bytes::from_static(b"second")).await?;
    let got = file::read_to_string(&path).await?;
    ensure!(got == "second", "it says {got:?}");
    file::write_cached(&path, Bytes::from_static(b"third")).await?;
    let got = file::read(&path).await?;
    ensure!(&got[..] == b"third", "it says {got:?}");
    file::remove(&path).await?;
    ensure_err!(file::read(&path).await, NotFound, "a read of a removed file");
    Ok(())
}

async fn files_are_listed_in_order(f: &dyn Fixture) -> Result<(), Stop> {
    let dir = format!("{}/listed/deep", f.dir());
    file::create_dir(&dir).await?;
    file::create_dir(&dir).await?;
    for name in ["b", "a", "c"] {
        file::write(&format!("{dir}/{name}"), Bytes::new()).await?;
    }
    let names = file::list(&dir).await?;
    ensure!(names == ["a", "b", "c"], "the directory has {names:?}");
    let above = file::list(&format!("{}/listed", f.dir())).await?;
    ensure!(above.is_empty(), "files of a directory below are listed: {above:?}");
    Ok(())
}

async fn what_does_not_exist_is_not_found(f: &dyn Fixture) -> Result<(), Stop> {
    let nowhere = format!("{}/no/such/dir", f.dir());
    ensure_err!(file::read(&nowhere).await, NotFound, "a read");
    ensure_err!(file::remove(&nowhere).await, NotFound, "a remove");
    ensure_err!(file::list(&nowhere).await, NotFound, "a list");
    ensure_err!(file::lock(&nowhere).await, NotFound, "a lock");
    ensure_err!(file::write(&nowhere, Bytes::new()).await, NotFound, "a write");
    Ok(())
}

async fn a_lock_is_exclusive(f: &dyn Fixture) -> Result<(), Stop> {
    let path = format!("{}/exclusive.lock", f.dir());
    let first = file::lock(&path).await?;
    ensure_err!(file::lock(&path).await, ResourceBusy, "a second lock");
    drop(first);
    file::lock(&path).await?;
    Ok(())
}

async fn a_lock_dies_with_its_process(f: &dyn Fixture) -> Result<(), Stop> {
    let path = format!("{}/mortal.lock", f.dir());
    let mut child = ready(f, &["lock", &path]).await?;
    ensure_err!(file::lock(&path).await, ResourceBusy, "a lock beside another process'");
    child.kill();
    child.wait().await?;
    file::lock(&path).await?;
    Ok(())
}

async fn ask(f: &dyn Fixture, commands: &[&str]) -> Result<String, Stop> {
    let served = serve(f, Place::There).await?;
    let mut talk = Talk::with(served.addr).await?;
    let mut last = String::new();
    for command in commands {
        last = talk.ask(command).await?;
    }
    Ok(last)
}

async fn power_cycle(f: &dyn Fixture) -> Result<(), Stop> {
    f.strike(Fault::PowerOff).await?;
    f.strike(Fault::PowerOn).await
}

async fn a_written_file_survives_power_loss(f: &dyn Fixture) -> Result<(), Stop> {
    f.reboots().map_err(Stop::Skipped)?;
    for round in 0..4 {
        let write = format!("file-write /var/lib/kept {round}");
        let served = serve(f, Place::There).await?;
        Talk::with(served.addr).await?.ask(&write).await?;
        power_cycle(f).await?;
        let got = ask(f, &["file-read /var/lib/kept"]).await?;
        ensure!(got == round.to_string(), "wrote {round}, after power loss {got}");
    }
    Ok(())
}

/// Power fails at various moments of a replacement. Both outcomes must occur, and no third.
async fn a_replaced_file_is_old_or_new_after_power_loss(f: &dyn Fixture) -> Result<(), Stop> {
    f.reboots().map_err(Stop::Skipped)?;
    let (mut old, mut new) = (0, 0);
    for round in 0..24 {
        let served = serve(f, Place::There).await?;
        let mut talk = Talk::with(served.addr).await?;
        talk.ask("file-write /var/lib/either old").await?;
        let unfinished = talk.ask("file-write /var/lib/either new");
        let _ = time::timeout(Duration::from_micros(300 + 400 * round), unfinished).await;
        power_cycle(f).await?;
        match ask(f, &["file-read /var/lib/either"]).await?.as_str() {
            "old" => old += 1,
            "new" => new += 1,
            other => return Err(Stop::Failed(format!("the file became {other:?}"))),
        }
    }
    ensure!(old > 0 && new > 0, "{old} times old and {new} times new: the draw never differs");
    Ok(())
}

//! Cases about block devices.

use super::{
    Fault, Fixture, Place, Stop, ensure, ensure_err,
    exec::ready,
    list_cases,
    stream::{Talk, serve},
};
use crate::{
    block::{Access, BLOCK, BlockDevice},
    time::{self, Duration},
};
use bytes::Bytes;

list_cases![
    what_was_written_is_read,
    an_exclusive_open_is_exclusive,
    an_exclusive_open_dies_with_its_process,
    a_reader_may_not_write,
    requests_outside_the_device_are_refused,
    discarded_blocks_read_as_zeroes,
    a_device_that_does_not_exist_is_not_found,
    what_was_flushed_survives_power_loss,
    what_was_not_flushed_may_be_lost,
];

async fn open(f: &dyn Fixture) -> Result<BlockDevice, Stop> {
    let path = f.device(Place::Here).map_err(Stop::Skipped)?;
    Ok(BlockDevice::open(&path, Access::ReadWriteExclusive).await?)
}

fn block(byte: u8) -> Bytes {
    Bytes::from(vec![byte; BLOCK as usize])
}

async fn what_was_written_is_read(f: &dyn Fixture) -> Result<(), Stop> {
    let device = open(f).await?;
    ensure!(device.size() >= 1 << 20, "the device has {} bytes", device.size());
    let mut data = vec![3; 2 * BLOCK as usize];
    data[5_000] = 9;
    let data = Bytes::from(data);
    device.write_at(4 * BLOCK, data.clone()).await?;
    device.write_at(device.size() - BLOCK, block(8)).await?;
    device.flush().await?;
    ensure!(device.read_at(4 * BLOCK, data.len()).await? == data, "other bytes came back");
    let last = device.read_at(device.size() - BLOCK, BLOCK as usize).await?;
    ensure!(last == block(8), "the last block is another");
    // Two requests at a time.
    let (a, b) = crate::join!(device.write_at(0, block(1)), device.write_at(BLOCK, block(2)));
    a.and(b)?;
    let both = device.read_at(0, 2 * BLOCK as usize).await?;
    ensure!(both[..4096] == block(1) && both[4096..] == block(2), "parallel writes mixed");
    Ok(())
}

async fn an_exclusive_open_is_exclusive(f: &dyn Fixture) -> Result<(), Stop> {
    let path = f.device(Place::Here).map_err(Stop::Skipped)?;
    let first = open(f).await?;
    let second = BlockDevice::open(&path, Access::ReadWriteExclusive).await;
    ensure_err!(second, ResourceBusy, "a second exclusive open");
    BlockDevice::open(&path, Access::ReadOnly).await?.read_at(0, BLOCK as usize).await?;
    drop(first);
    open(f).await?;
    Ok(())
}

async fn an_exclusive_open_dies_with_its_process(f: &dyn Fixture) -> Result<(), Stop> {
    let path = f.device(Place::Here).map_err(Stop::Skipped)?;
    let mut child = ready(f, &["open", &path]).await?;
    let second = BlockDevice::open(&path, Access::ReadWriteExclusive).await;
    ensure_err!(second, ResourceBusy, "an open beside another process'");
    child.kill();
    child.wait().await?;
    open(f).await?;
    Ok(())
}

async fn a_reader_may_not_write(f: &dyn Fixture) -> Result<(), Stop> {
    let path = f.device(Place::Here).map_err(Stop::Skipped)?;
    let device = BlockDevice::open(&path, Access::ReadOnly).await?;
    ensure_err!(device.write_at(0, block(1)).await, PermissionDenied, "a reader's write");
    ensure_err!(device.discard(0, BLOCK).await, PermissionDenied, "a reader's discard");
    Ok(())
}

async fn requests_outside_the_device_are_refused(f: &dyn Fixture) -> Result<(), Stop> {
    let device = open(f).await?;
    let end = device.size();
    ensure_err!(device.read_at(end, BLOCK as usize).await, InvalidInput, "a read at the end");
    ensure_err!(device.write_at(end, block(1)).await, InvalidInput, "a write at the end");
    ensure_err!(device.read_at(512, BLOCK as usize).await, InvalidInput, "a crooked read");
    ensure_err!(device.write_at(0, Bytes::from_static(b"x")).await, InvalidInput, "a short write");
    Ok(())
}

async fn discarded_blocks_read_as_zeroes(f: &dyn Fixture) -> Result<(), Stop> {
    let device = open(f).await?;
    device.write_at(0, Bytes::from(vec![5; 3 * BLOCK as usize])).await?;
    device.flush().await?;
    match device.discard(BLOCK, BLOCK).await {
        Err(e) if e.kind() == std::io::ErrorKind::Unsupported => {
            return Err(Stop::Skipped("the device cannot discard".into()));
        }
        other => other?,
    }
    let data = device.read_at(0, 3 * BLOCK as usize).await?;
    let (before, rest) = data.split_at(4096);
    let (hole, after) = rest.split_at(4096);
    ensure!(hole.iter().all(|b| *b == 0), "discarded bytes are still there");
    ensure!(before.iter().chain(after).all(|b| *b == 5), "its neighbours are gone");
    Ok(())
}

async fn a_device_that_does_not_exist_is_not_found(f: &dyn Fixture) -> Result<(), Stop> {
    let path = format!("{}/no-such-device", f.dir());
    ensure_err!(BlockDevice::open(&path, Access::ReadOnly).await, NotFound, "an open of nothing");
    Ok(())
}

/// Opens the other host's device anew, after its host may have lost power.
async fn reopen(f: &dyn Fixture, path: &str) -> Result<(Talk, Box<dyn super::Process>), Stop> {
    let served = serve(f, Place::There).await?;
    let mut talk = Talk::with(served.addr).await?;
    talk.ask(&format!("disk-open {path}")).await?;
    Ok((talk, served.process))
}

async fn power_cycle(f: &dyn Fixture) -> Result<(), Stop> {
    f.strike(Fault::PowerOff).await?;
    time::sleep(Duration::from_secs(1)).await;
    f.strike(Fault::PowerOn).await
}

async fn what_was_flushed_survives_power_loss(f: &dyn Fixture) -> Result<(), Stop> {
    let path = f.device(Place::There).map_err(Stop::Skipped)?;
    for round in 1..=3 {
        let (mut talk, _agent) = reopen(f, &path).await?;
        for block in 0..20 {
            talk.ask(&format!("disk-write {block} {}", round * 20 + block)).await?;
        }
        talk.ask("disk-flush").await?;
        // Not flushed, and free to come out old, new, or anything but torn.
        talk.ask("disk-write 20 99").await?;
        power_cycle(f).await?;
        let (mut talk, _agent) = reopen(f, &path).await?;
        for block in 0..20 {
            let got = talk.ask(&format!("disk-read {block}")).await?;
            let expected = (round * 20 + block).to_string();
            ensure!(got == expected, "block {block}: flushed {expected}, after power loss {got}");
        }
        let got = talk.ask("disk-read 20").await?;
        ensure!(got == "0" || got == "99", "the unflushed block became {got}");
    }
    Ok(())
}

/// The other half of the promise: a world in which nothing is ever lost would hide missing flushes.
async fn what_was_not_flushed_may_be_lost(f: &dyn Fixture) -> Result<(), Stop> {
    let path = f.device(Place::There).map_err(Stop::Skipped)?;
    let mut lost = 0;
    for round in 1..=6 {
        let (mut talk, _agent) = reopen(f, &path).await?;
        for block in 0..20 {
            talk.ask(&format!("disk-write {block} {round}")).await?;
        }
        power_cycle(f).await?;
        let (mut talk, _agent) = reopen(f, &path).await?;
        for block in 0..20 {
            let got = talk.ask(&format!("disk-read {block}")).await?;
            lost += u32::from(got != round.to_string());
        }
    }
    ensure!(lost > 0, "six power losses lost none of 120 unflushed blocks");
    Ok(())
}

//! A host's LVM as LINSTOR lays it out: a volume group, a thin pool, a thin volume per copy.

use super::options;
use super::resource::Resource;
use drbd::core::config::Config;
use kernel::Region;
use models::lvm::{BLOCK, DATA_START, EXTENT, Lvm, PoolOptions, default_chunk, default_metadata};
use scenarios::{Scenario, Storage};

/// Names as XCP-ng's installation manual has them.
const GROUP: &str = "linstor_group";
const POOL: &str = "thin_device";
const DEVICE: &str = "/dev/nvme0n1";

/// Bytes that the thin copies of a host may take in the end, DRBD's metadata included.
fn promised(scenario: &Scenario, host: &String) -> u64 {
    let here = |r: &&scenarios::Resource| r.storage == Storage::Thin && r.diskful.contains(host);
    let thin = scenario.resource.iter().filter(here);
    thin.map(|resource| {
        let blocks = drbd::core::Resource::lower_blocks(resource.size / BLOCK, peers(resource));
        (blocks * BLOCK).next_multiple_of(EXTENT) * u64::from(resource.volumes)
    })
    .sum()
}

/// Slots of DRBD's metadata for peers.
fn peers(resource: &scenarios::Resource) -> u8 {
    let mut config = Config::new(&resource.name, Resource::id(0));
    options::apply(&resource.options, &mut config);
    config.max_peers
}

/// Does a host's pool hold less than its copies may take?
pub(super) fn overcommits(scenario: &Scenario, host: &String) -> bool {
    scenario.disk.thin_pool < promised(scenario, host)
}

/// The LVM of a host, if resources ask for it, and how many blocks of the disk it takes. The group
/// has room to let the pool grow to all that may be promised.
pub(super) fn group(scenario: &Scenario, host: &String) -> (Option<Lvm>, u64) {
    if !scenario.resource.iter().any(|r| r.storage == Storage::Thin) {
        return (None, 0);
    }
    let data = scenario.disk.thin_pool;
    let largest = data.max(promised(scenario, host));
    let chunk = default_chunk(data);
    let metadata = default_metadata(largest, chunk).div_ceil(EXTENT);
    let extents = largest.div_ceil(EXTENT) + 2 * metadata;
    let blocks = (DATA_START + extents * EXTENT) / BLOCK;
    let mut lvm = Lvm::new();
    lvm.add_device(DEVICE, 0, blocks);
    lvm.create_group(GROUP, EXTENT, &[DEVICE.to_owned()]);
    let id = lvm.next_id();
    let options =
        PoolOptions { metadata_extents: metadata, chunk, zero: true, error_when_full: false };
    if let Some(group) = lvm.group_mut(GROUP) {
        group
            .create_pool(id, POOL, data / EXTENT, &options)
            .expect("the device was made large enough");
    }
    (Some(lvm), blocks)
}

/// A thin volume of at least so many blocks for one volume of a resource.
pub(super) fn thin_volume(lvm: &mut Lvm, resource: &str, number: u16, blocks: u64) -> Region {
    let id = lvm.next_id();
    let pool = lvm.find(GROUP, POOL).map(|volume| volume.id);
    let name = format!("{resource}_{number:05}");
    if let (Some(group), Some(pool)) = (lvm.group_mut(GROUP), pool) {
        group.create_thin(id, &name, (blocks * BLOCK).div_ceil(EXTENT), pool);
    }
    Region::on_volume(id, blocks)
}

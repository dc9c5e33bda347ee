//! `drbdmeta dump-md`, without the bitmap's bits.

use drbd::meta::{Layout, Superblock};
use std::fmt::Write;

/// Sectors in a block.
const SECTORS: u64 = 8;

/// The superblock as text.
pub(crate) fn dump(md: &Superblock, layout: &Layout) -> String {
    let mut out = "# DRBD meta data dump\n#\n\nversion \"v09\";\n\n".to_owned();
    let first = layout.bitmap().start;
    let _ = writeln!(out, "max-peers {};", md.max_peers);
    let _ = writeln!(out, "# md_size_sect {}", (layout.lower - first) * SECTORS);
    let _ = writeln!(out, "# md_offset {}", layout.superblock() * 4096);
    let _ = writeln!(out, "# al_offset {}", layout.al().start * 4096);
    let _ = writeln!(out, "# bm_offset {}\n", first * 4096);
    let node = md.node.map_or("-1".to_owned(), |node| node.to_string());
    let _ = writeln!(out, "node-id {node};");
    let _ = writeln!(out, "current-uuid 0x{:016X};", md.current.0);
    let _ = writeln!(out, "flags 0x{:08x};", md.flags.0);
    for (index, peer) in md.peers.iter().enumerate() {
        let slot = peer.bitmap_index.map_or("-1".to_owned(), |slot| slot.to_string());
        let _ = write!(
            out,
            "peer[{index}] {{\n    bitmap-index {slot};\n    bitmap-uuid 0x{:016X};\n    \
             bitmap-dagtag 0x{:016X};\n    flags 0x{:08x};\n}}\n",
            peer.bitmap_uuid.0, peer.dagtag, peer.flags.0
        );
    }
    out += "history-uuids {\n";
    for row in md.history.chunks(4) {
        let words: Vec<String> = row.iter().map(|uuid| format!("0x{:016X};", uuid.0)).collect();
        let _ = writeln!(out, "        {}", words.join(" "));
    }
    let _ = write!(
        out,
        "}}\n# al-extents {};\nla-size-sect {};\nbm-byte-per-bit 4096;\ndevice-uuid \
         0x{:016X};\nla-peer-max-bio-size 0;\nal-stripes 1;\nal-stripe-size-4k 8;\n",
        md.al_extents,
        md.effective_size * SECTORS,
        md.device_uuid
    );
    out
}

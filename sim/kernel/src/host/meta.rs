//! `drbdmeta`: metadata on the modelled lower device.

use super::exec::Exit;
use super::{Administered, Host, Out, What};
use crate::commands::args::Args;
use crate::commands::{dump_md, gi};
use drbd::core::{Generations, Resource};
use drbd::ids::{NodeId, VolumeNumber};
use drbd::meta::{Layout, MdFlags, PeerFlags, Superblock};
use drbd::page::Page;
use drbd::state::DiskState;
use std::sync::Arc;

const NOTHING: &str = "No valid meta data found\n";

impl Host {
    pub(super) fn drbdmeta(&mut self, words: &[String], out: &mut Vec<Out>) -> Exit {
        let args = Args::of(words);
        let (minor, format, path, index) = (args.word(0), args.word(1), args.word(2), args.word(3));
        let action = args.word(4);
        if action.is_empty() {
            let text = "\nUSAGE: drbdmeta [--force] DEVICE FORMAT [FORMAT ARGS...] COMMAND \
                        [CMD ARGS...]\n";
            return Exit { code: 20, out: text.to_owned(), ..Exit::default() };
        }
        if format != "v09" || index != "internal" {
            let text = format!("the modelled kernel cannot use {format} {index} metadata\n");
            return Exit::fails(20, text);
        }
        let place = (0..self.slots.len()).find_map(|slot| {
            let fixed = &self.slots[slot].fixed;
            let volumes = 0..fixed.regions.len() as u16;
            let mut own = volumes.filter(|v| fixed.regions[usize::from(*v)].is_some());
            own.find(|v| fixed.lower_path(*v) == path).map(|volume| (slot, volume))
        });
        let Some((slot, volume)) = place else {
            return Exit::fails(20, format!("open({path}) failed: No such file or directory\n"));
        };
        let attached = self.slots[slot].engine.as_ref().is_some_and(|engine| {
            let disk = engine.volume(VolumeNumber(volume)).map(|volume| volume.disk);
            disk.is_some_and(|disk| disk != DiskState::Diskless)
        });
        let reads = matches!(action, "get-gi" | "show-gi" | "dump-md" | "dstate");
        if attached && !(reads && args.has("force")) {
            return Exit::fails(20, format!("Device '{minor}' is configured!\n"));
        }
        match action {
            "create-md" => self.create_md((slot, volume), &args, out),
            "wipe-md" => self.wipe_md((slot, volume), out),
            "apply-al" | "dump-md" | "get-gi" | "show-gi" | "dstate" => {
                self.read_md((slot, volume), action, &args)
            }
            "outdate" | "invalidate" | "forget-peer" => {
                self.overrule_md((slot, volume), action, &args, out)
            }
            "check-resize" | "restore-md" => {
                Exit::fails(20, format!("the modelled kernel cannot {action} with drbdmeta\n"))
            }
            _ => Exit::fails(20, format!("Unknown command '{action}'.\n")),
        }
    }

    fn superblock(&self, slot: usize, volume: u16) -> Option<(Superblock, Layout)> {
        let fixed = &self.slots[slot].fixed;
        let region = fixed.regions.get(usize::from(volume)).copied().flatten()?;
        let layout = self.layout(slot, usize::from(volume))?;
        let page = self.disk.peek(region.start + layout.superblock());
        let block = page.bytes();
        Superblock::decode(&block, &layout).ok().map(|md| (md, layout))
    }

    fn read_md(&self, (slot, volume): (usize, u16), action: &str, args: &Args) -> Exit {
        let Some((md, layout)) = self.superblock(slot, volume) else {
            return Exit::fails(1, NOTHING.to_owned());
        };
        let node = args.option("node-id").and_then(|id| id.parse().ok()).and_then(NodeId::new);
        let generations = node.map(|node| Generations {
            current: md.current,
            bitmap: md.peer(node).bitmap_uuid,
            history: [md.history[0], md.history[1]],
            flags: md.flags,
            peer_flags: md.peer(node).flags,
        });
        match (action, generations) {
            ("get-gi", Some(of)) => Exit::said(gi::line(&of)),
            ("show-gi", Some(of)) => {
                let seen = match md.effective_size {
                    0 => "zero size device -- never seen peer yet?\n".to_owned(),
                    size => format!("last agreed size: {} KB\n", size * 4),
                };
                Exit::said(gi::explained(&of) + &seen)
            }
            ("get-gi" | "show-gi", None) => {
                Exit::fails(20, "This command requires --node-id\n".to_owned())
            }
            ("dstate", _) => {
                let disk = match (
                    md.flags.has(MdFlags::CONSISTENT),
                    md.flags.has(MdFlags::WAS_UP_TO_DATE),
                ) {
                    (false, _) => "Inconsistent",
                    (true, false) => "Outdated",
                    (true, true) => "Consistent",
                };
                Exit::said(format!("{disk}/DUnknown\n"))
            }
            ("dump-md", _) => Exit::said(dump_md::dump(&md, &layout)),
            // The engine replays the activity log itself when it attaches.
            _ => Exit::default(),
        }
    }

    fn create_md(&mut self, (slot, volume): (usize, u16), args: &Args, out: &mut Vec<Out>) -> Exit {
        let there = self.superblock(slot, volume).is_some();
        if there && !args.has("force") {
            let path = self.slots[slot].fixed.lower_path(volume);
            let (asks, why) = (
                format!(
                    "You want me to create a v09 style flexible-size internal meta data block.\n\
                     There appears to be a v09 flexible-size internal meta data block\n\
                     already in place on {path}\n\n\
                     Do you really want to overwrite the existing meta-data?\n"
                ),
                "stdin not a TTY, not waiting for confirmation\n",
            );
            let out = "Operation cancelled.\n".to_owned();
            return Exit { code: 1, out, err: asks + why };
        }
        let most = args.number::<u8>(5).unwrap_or(1).clamp(1, 31);
        let fixed = &mut self.slots[slot].fixed;
        fixed.config.max_peers = most;
        let Some(Some(region)) = fixed.regions.get_mut(usize::from(volume)) else {
            return Exit::fails(1, NOTHING.to_owned());
        };
        region.len = region.room;
        let region = *region;
        let config = fixed.config.clone();
        for (start, pages) in Resource::create_md(&config, VolumeNumber(volume), region.len, None) {
            for (block, page) in (start..).zip(pages.iter()) {
                self.disk.poke(region.start + block, page.clone());
            }
        }
        out.push(Out { slot, what: What::Administered(Administered::NewMetadata) });
        let bitmap = Layout::new(region.len, most).bitmap();
        let kib = (bitmap.end - bitmap.start) * 4;
        Exit {
            code: 0,
            out: "initializing activity log\nWriting meta data...\nNew drbd meta data block \
                  successfully created.\n"
                .to_owned(),
            err: format!("initializing bitmap ({kib} KB) to all zero\n"),
        }
    }

    /// What an administrator takes upon himself while the resource is down.
    fn overrule_md(
        &mut self,
        (slot, volume): (usize, u16),
        action: &str,
        args: &Args,
        out: &mut Vec<Out>,
    ) -> Exit {
        let region = self.slots[slot].fixed.regions.get(usize::from(volume)).copied().flatten();
        let Some(((mut md, layout), region)) = self.superblock(slot, volume).zip(region) else {
            return Exit::fails(1, NOTHING.to_owned());
        };
        let own = self.slots[slot].fixed.config.node;
        let peer = args.option("node-id").and_then(|id| id.parse().ok()).and_then(NodeId::new);
        let mut exit = Exit::default();
        let deed = match (action, peer) {
            ("outdate", _) if !md.flags.has(MdFlags::CONSISTENT) => {
                return Exit::fails(5, "Device is inconsistent.\n".to_owned());
            }
            ("outdate", _) => {
                md.flags.put(MdFlags::WAS_UP_TO_DATE, false);
                Administered::Outdate
            }
            ("invalidate", _) => {
                md.flags.put(MdFlags::CONSISTENT, false);
                md.flags.put(MdFlags::WAS_UP_TO_DATE, false);
                md.peers.iter_mut().for_each(|peer| peer.flags.put(PeerFlags::FULL_SYNC, true));
                Administered::Invalidate(own)
            }
            (_, Some(peer)) => {
                let freed = md.peer(peer).bitmap_index.map_or(-1, i32::from);
                md.forget(own, peer);
                // The tool says so itself; whoever gets the slot next starts from all set.
                exit.err = format!(
                    "Setting all bits in slot {freed} not implemented.\n\
                     Do it with dump-md, edit, restore-md\n"
                );
                Administered::ForgetPeer(peer)
            }
            _ => return Exit::fails(20, "This command requires --node-id\n".to_owned()),
        };
        let page = Page::Bytes(Arc::new(md.encode(&layout)));
        self.disk.poke(region.start + layout.superblock(), page);
        out.push(Out { slot, what: What::Administered(deed) });
        exit
    }

    fn wipe_md(&mut self, (slot, volume): (usize, u16), out: &mut Vec<Out>) -> Exit {
        let Some((_, layout)) = self.superblock(slot, volume) else {
            let text = "There appears to be no drbd meta data to wipe out?\n".to_owned();
            return Exit { err: text, ..Exit::default() };
        };
        let region = self.slots[slot].fixed.regions.get(usize::from(volume)).copied().flatten();
        if let Some(region) = region {
            self.disk.poke(region.start + layout.superblock(), Page::Zero);
        }
        out.push(Out { slot, what: What::Administered(Administered::NewMetadata) });
        let text = "Wiping meta data...\nDRBD meta data block successfully wiped out.\n";
        Exit::said(text.to_owned())
    }
}

//! The bitmap on its way from and to the lower device.
//!
//! On disk the slots of all peers are interleaved by groups of 32 bits: a page of the area holds
//! the bits of a few blocks for every peer. A large volume costs what was touched of it.

use super::Resource;
use super::bitmap::Bitmap;
use super::event::Lower;
use super::parts::{Device, LowerUse};
use super::points::reach;
use crate::meta::{self, Layout};
use crate::page::{Page, Payload};
use std::sync::Arc;

/// 32-bit groups in one page of the bitmap area.
const GROUPS: u64 = 1_024;

/// Pages that are written at a time when all have to be: the whole area of a terabyte is 224 MiB.
const IN_FLIGHT: usize = 64;

/// The slots of a device of `size` blocks, as its bitmap area says.
pub(super) fn decode(pages: &[Page], layout: &Layout, size: u64) -> Vec<Bitmap> {
    let peers = u64::from(layout.max_peers);
    let mut bitmaps = vec![Bitmap::new(size); usize::from(layout.max_peers)];
    for (first, page) in (0u64..).step_by(GROUPS as usize).zip(pages) {
        if *page == Page::Zero {
            continue;
        }
        for (index, group) in (first..).zip(page.bytes().as_chunks::<4>().0) {
            let bits = u32::from_le_bytes(*group);
            bitmaps[(index % peers) as usize].merge_group(index / peers, bits);
        }
    }
    bitmaps
}

impl Device {
    /// Every page that holds a set bit of the slot has to be written.
    pub(super) fn write_set_bits(&mut self, slot: usize) {
        let mut from = 0;
        while let Some(block) = self.bitmaps[slot].next_set(from) {
            let pages = self.layout.bitmap_pages(block, block);
            from = (pages.end * GROUPS / u64::from(self.layout.max_peers) * 32).max(block + 1);
            self.bm_dirty.extend(pages);
        }
    }
}

impl Resource {
    /// A page of the bitmap is durable, as it was when it was submitted.
    pub(super) fn bitmap_page_written(&mut self, v: usize, page: u64) {
        if self.devices[v].bm_flight.remove(&page) == Some(true) {
            reach!(self, BitmapWrittenAgain);
            return self.write_bitmap_page(v, page);
        }
        if let Some(write) = self.devices[v].al_pending.as_mut()
            && write.pages.remove(&page)
            && write.pages.is_empty()
        {
            self.write_transaction(v);
        }
        if self.devices[v].bm_draining {
            self.write_bitmap(v);
        }
        self.progress_growth(v);
        self.go_on_detaching(v);
    }

    /// Writes one page; a page is written once at a time, or an older version could land last.
    pub(super) fn write_bitmap_page(&mut self, v: usize, page: u64) {
        let device = &mut self.devices[v];
        if let Some(again) = device.bm_flight.get_mut(&page) {
            *again = true;
            return;
        }
        device.bm_flight.insert(page, false);
        let peers = u64::from(device.layout.max_peers);
        let mut block = [0; 4096];
        for (i, word) in block.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let index = page * GROUPS + i as u64;
            let slot = device.bitmaps.get((index % peers) as usize);
            *word = slot.map_or(0, |slot| slot.group(index / peers)).to_le_bytes();
        }
        let start = device.layout.bitmap().start + page;
        let payload: Payload = match block == [0; 4096] {
            true => Arc::new([Page::Zero]),
            false => Arc::new([meta::page(block)]),
        };
        let write = Lower::Write { start, payload, preflush: false, fua: true };
        self.lower(v, write, LowerUse::Bitmap(page));
    }

    /// Writes all bitmap pages that changed, some at a time.
    pub(super) fn write_bitmap(&mut self, v: usize) {
        self.devices[v].bm_draining = true;
        while self.devices[v].bm_flight.len() < IN_FLIGHT {
            let Some(page) = self.devices[v].bm_dirty.pop_first() else {
                self.devices[v].bm_draining = false;
                return;
            };
            self.write_bitmap_page(v, page);
        }
    }
}

//! The v09 superblock: identity, generations, flags and peers of one volume on one node.

use super::{Fields, Layout, MetaError, put};
use crate::ids::{NodeId, NodeMask, Uuid};

const MAGIC_09: u32 = 0x8374_026d;
/// History UUIDs that are kept.
pub const HISTORY: usize = 32;

macro_rules! flags {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $flag:ident = $bit:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
        pub struct $name(pub u32);
        impl $name {
            $($(#[$vdoc])* pub const $flag: u32 = $bit;)*
            /// Is the flag set?
            pub fn has(self, flag: u32) -> bool {
                self.0 & flag != 0
            }
            /// Sets or clears the flag.
            pub fn put(&mut self, flag: u32, on: bool) {
                self.0 = if on { self.0 | flag } else { self.0 & !flag };
            }
        }
    };
}

flags! {
    /// Flags of the device (`MDF_`).
    MdFlags {
        /// The data is consistent.
        CONSISTENT = 0x1,
        /// This node is Primary.
        PRIMARY_IND = 0x2,
        /// The data was up to date.
        WAS_UP_TO_DATE = 0x10,
        /// This node was Primary when it crashed.
        CRASHED_PRIMARY = 0x40,
        /// The activity log was applied to the bitmap and is empty.
        AL_CLEAN = 0x80,
        /// This node was Primary when it lost quorum.
        PRIMARY_LOST_QUORUM = 0x200,
        /// This node had quorum.
        HAVE_QUORUM = 0x400,
    }
}

flags! {
    /// Flags of a peer (`MDF_PEER_`).
    PeerFlags {
        /// It was connected.
        CONNECTED = 0x1,
        /// It is known to be Outdated.
        OUTDATED = 0x2,
        /// The bitmap towards it must be taken as all set.
        FULL_SYNC = 0x8,
        /// It was seen with a disk.
        DEVICE_SEEN = 0x10,
        /// It exists.
        NODE_EXISTS = 0x1_0000,
    }
}

/// One of the 32 peer entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerSlot {
    /// Bitmap UUID: the generation that the peer is believed to hold, 0 if it holds this one.
    pub bitmap_uuid: Uuid,
    /// Position in this node's write stream up to which the peer is known.
    pub dagtag: u64,
    /// Flags.
    pub flags: PeerFlags,
    /// Slot in the interleaved bitmap.
    pub bitmap_index: Option<u8>,
}

impl PeerSlot {
    /// Of a node that is not known.
    pub const FREE: PeerSlot =
        PeerSlot { bitmap_uuid: Uuid::NONE, dagtag: 0, flags: PeerFlags(0), bitmap_index: None };
}

/// The superblock as values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Superblock {
    /// Size of the device in 4 KiB blocks.
    pub effective_size: u64,
    /// Current data generation.
    pub current: Uuid,
    /// Nodes of the last agreement.
    pub members: u64,
    /// Identity of the device.
    pub device_uuid: u64,
    /// Flags.
    pub flags: MdFlags,
    /// Size of the activity log in slots.
    pub al_extents: u32,
    /// Bitmap slots.
    pub max_peers: u8,
    /// This node's id, `None` while never attached.
    pub node: Option<NodeId>,
    /// By node id.
    pub peers: [PeerSlot; NodeId::COUNT],
    /// Former generations, newest first, 0 where none.
    pub history: [Uuid; HISTORY],
}

impl Superblock {
    /// As `drbdmeta create-md` makes it.
    pub fn create(max_peers: u8) -> Superblock {
        Superblock {
            effective_size: 0,
            current: Uuid::JUST_CREATED,
            members: 0,
            device_uuid: 0,
            flags: MdFlags(MdFlags::AL_CLEAN),
            al_extents: 257,
            max_peers,
            node: None,
            peers: [PeerSlot::FREE; NodeId::COUNT],
            history: [Uuid::NONE; HISTORY],
        }
    }

    /// The entry of a node.
    pub fn peer(&self, node: NodeId) -> &PeerSlot {
        &self.peers[node.index()]
    }

    /// The entry of a node.
    pub fn peer_mut(&mut self, node: NodeId) -> &mut PeerSlot {
        &mut self.peers[node.index()]
    }

    /// Another bitmap UUID for a node. The one before goes into the history: a third copy may still
    /// be there.
    pub fn set_bitmap_uuid(&mut self, node: NodeId, uuid: Uuid) {
        let before = std::mem::replace(&mut self.peer_mut(node).bitmap_uuid, uuid);
        self.push_history(before);
    }

    /// `members` as a set.
    pub fn member_mask(&self) -> NodeMask {
        NodeMask(self.members as u32)
    }

    /// Is nothing known but the generation that this copy was preset with, the same as that of
    /// other copies with the same content ("day0")? Nothing was written since as far as it tells.
    pub fn is_day0(&self) -> bool {
        let unused = |uuid: &Uuid| uuid.is_none();
        !self.current.is_fresh()
            && self.history.iter().all(unused)
            && self.peers.iter().all(|peer| unused(&peer.bitmap_uuid))
    }

    /// Bitmap slots that no peer has: they tell what was written since day0.
    pub fn free_slots(&self) -> impl Iterator<Item = u8> {
        let indices = self.peers.iter().filter_map(|peer| peer.bitmap_index);
        let taken = indices.fold(0u32, |mask, index| mask | 1 << index);
        (0..self.max_peers).filter(move |index| taken & 1 << index == 0)
    }

    /// Node ids that no peer of `me` has. Their bitmap UUID is the generation that the free slots
    /// count from.
    pub fn unused_nodes(&self, me: NodeId) -> impl Iterator<Item = NodeId> {
        let unused = move |node: &NodeId| {
            let peer = self.peer(*node);
            *node != me && peer.bitmap_index.is_none() && !peer.flags.has(PeerFlags::NODE_EXISTS)
        };
        NodeId::all().filter(unused)
    }

    /// The generation that the free slots count from, and the node id under which peers are told of
    /// it.
    pub fn day0(&self, me: NodeId) -> Option<(NodeId, Uuid)> {
        self.free_slots().next()?;
        let node = self.unused_nodes(me).find(|node| !self.peer(*node).bitmap_uuid.is_none())?;
        Some((node, self.peer(node).bitmap_uuid))
    }

    /// `uuid` was the generation of this copy; if nothing was known to come before it, what changes
    /// from here on is what changed since day0.
    pub fn leave_day0(&mut self, me: NodeId, uuid: Uuid) {
        let nodes: Vec<NodeId> = self.unused_nodes(me).collect();
        for node in nodes {
            let slot = &mut self.peer_mut(node).bitmap_uuid;
            if slot.is_none() && !uuid.is_fresh() {
                *slot = Uuid(uuid.masked());
            }
        }
    }

    /// A peer is forgotten. Its bitmap slot is free from now on, but has not counted so far:
    /// nothing counts since day0 any more.
    pub fn forget(&mut self, me: NodeId, node: NodeId) {
        self.set_bitmap_uuid(node, Uuid::NONE);
        *self.peer_mut(node) = PeerSlot::FREE;
        self.forget_day0(me);
    }

    /// Nothing counts since day0 any more.
    pub fn forget_day0(&mut self, me: NodeId) {
        let unused: Vec<NodeId> = self.unused_nodes(me).collect();
        unused.into_iter().for_each(|node| self.peer_mut(node).bitmap_uuid = Uuid::NONE);
    }

    /// Puts a generation at the head of the history: no duplicates, never the current one, a fresh
    /// one, or one that still stands in the slot of a peer.
    pub fn push_history(&mut self, uuid: Uuid) {
        let uuid = Uuid(uuid.masked());
        let in_slot = |peer: &PeerSlot| peer.bitmap_index.is_some() && peer.bitmap_uuid.same(uuid);
        let in_slot = self.peers.iter().any(in_slot);
        let known = self.history.iter().any(|old| old.same(uuid));
        if uuid.is_fresh() || uuid.same(self.current) || in_slot || known {
            return;
        }
        self.history.rotate_right(1);
        self.history[0] = uuid;
    }

    /// The block to write.
    pub fn encode(&self, layout: &Layout) -> [u8; 4096] {
        let mut block = [0; 4096];
        let sectors = |from: u64| (from as i64 - layout.superblock() as i64) as i32 * 8;
        put(&mut block, 0, &(self.effective_size * 8).to_be_bytes());
        put(&mut block, 8, &self.current.0.to_be_bytes());
        put(&mut block, 16, &self.members.to_be_bytes());
        put(&mut block, 48, &self.device_uuid.to_be_bytes());
        put(&mut block, 56, &self.flags.0.to_be_bytes());
        put(&mut block, 60, &MAGIC_09.to_be_bytes());
        let md_blocks = layout.lower - layout.bitmap().start;
        put(&mut block, 64, &((md_blocks * 8) as u32).to_be_bytes());
        put(&mut block, 68, &sectors(layout.al().start).to_be_bytes());
        put(&mut block, 72, &self.al_extents.to_be_bytes());
        put(&mut block, 76, &sectors(layout.bitmap().start).to_be_bytes());
        put(&mut block, 80, &4096u32.to_be_bytes());
        put(&mut block, 88, &u32::from(self.max_peers).to_be_bytes());
        let node = self.node.map_or(-1, |node| node.index() as i32);
        put(&mut block, 92, &node.to_be_bytes());
        put(&mut block, 96, &1u32.to_be_bytes());
        put(&mut block, 100, &8u32.to_be_bytes());
        for (i, peer) in self.peers.iter().enumerate() {
            let at = 112 + i * 32;
            put(&mut block, at, &peer.bitmap_uuid.0.to_be_bytes());
            put(&mut block, at + 8, &peer.dagtag.to_be_bytes());
            put(&mut block, at + 16, &peer.flags.0.to_be_bytes());
            let index = peer.bitmap_index.map_or(-1, i32::from);
            put(&mut block, at + 20, &index.to_be_bytes());
        }
        for (i, uuid) in self.history.iter().enumerate() {
            put(&mut block, 1136 + i * 8, &uuid.0.to_be_bytes());
        }
        block
    }

    /// Reads a block that may hold anything.
    pub fn decode(block: &[u8; 4096], layout: &Layout) -> Result<Superblock, MetaError> {
        let f = Fields(block);
        if f.u32(60) != MAGIC_09 {
            return Err(MetaError::NoMagic);
        }
        if f.u32(88) != u32::from(layout.max_peers) {
            return Err(MetaError::Bad("bm_max_peers"));
        }
        if (f.u32(80), f.u32(96), f.u32(100)) != (4096, 1, 8) {
            return Err(MetaError::Bad("bm_bytes_per_bit or al_stripes"));
        }
        let al_extents = f.u32(72);
        if !(7..=65_534).contains(&al_extents) {
            return Err(MetaError::Bad("al_nr_extents"));
        }
        let mut sb = Superblock::create(layout.max_peers);
        sb.effective_size = f.u64(0) / 8;
        if sb.effective_size > layout.usable() {
            return Err(MetaError::Bad("effective_size"));
        }
        sb.current = Uuid(f.u64(8));
        sb.members = f.u64(16);
        sb.device_uuid = f.u64(48);
        sb.flags = MdFlags(f.u32(56));
        sb.al_extents = al_extents;
        sb.node = u8::try_from(f.u32(92)).ok().and_then(NodeId::new);
        for (i, peer) in sb.peers.iter_mut().enumerate() {
            let at = 112 + i * 32;
            peer.bitmap_uuid = Uuid(f.u64(at));
            peer.dagtag = f.u64(at + 8);
            peer.flags = PeerFlags(f.u32(at + 16));
            peer.bitmap_index = match f.u32(at + 20) {
                u32::MAX => None,
                index if index < u32::from(layout.max_peers) => Some(index as u8),
                _ => return Err(MetaError::Bad("bitmap_index")),
            };
        }
        for (i, uuid) in sb.history.iter_mut().enumerate() {
            *uuid = Uuid(f.u64(1136 + i * 8));
        }
        Ok(sb)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_rejection() {
        let layout = Layout::new(Layout::lower_for(16_384, 7), 7);
        let mut sb = Superblock::create(7);
        sb.current = Uuid(0xdead_beef_0000_0001);
        sb.node = NodeId::new(3);
        sb.peers[2].bitmap_index = Some(1);
        sb.effective_size = 16_384;
        sb.push_history(Uuid(0x77));
        let block = sb.encode(&layout);
        assert_eq!(Superblock::decode(&block, &layout), Ok(sb));
        assert_eq!(Superblock::decode(&[0; 4096], &layout), Err(MetaError::NoMagic));
        let mut bad = block;
        bad[112 + 20..112 + 24].copy_from_slice(&9u32.to_be_bytes());
        assert_eq!(Superblock::decode(&bad, &layout), Err(MetaError::Bad("bitmap_index")));
    }

    #[test]
    fn history_keeps_no_duplicates_and_nothing_that_is_still_in_use() {
        let mut sb = Superblock::create(1);
        sb.current = Uuid(0x10);
        sb.peers[1].bitmap_uuid = Uuid(0x20);
        sb.peers[1].bitmap_index = Some(0);
        for uuid in [0x10, 0x20, 0x31, 0x30, 0x4, 0x0, 0x40] {
            sb.push_history(Uuid(uuid));
        }
        assert_eq!(sb.history[..3], [Uuid(0x40), Uuid(0x30), Uuid(0)]);
    }
}

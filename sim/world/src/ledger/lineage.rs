//! Which generation came from which: the true history of a volume, to judge what two nodes say of
//! theirs when they meet.
//!
//! Told of each new current UUID and the one before it. Where something is missing two generations
//! look less related than they are, so that whoever demands that relatives recognise each other
//! demands too little, never too much.

use drbd::ids::{NodeId, NodeMask, Uuid};
use std::collections::BTreeMap;

/// How two generations are related.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kin {
    /// They are one.
    Same,
    /// The first came before the second.
    Before,
    /// The first came after the second.
    After,
    /// Neither is known to come from the other.
    Apart,
}

/// See the module's text. Bit 0 of UUIDs is ignored.
#[derive(Clone, Default, Debug)]
pub struct Lineage {
    /// Child: parent, and who was there when it was made.
    parents: BTreeMap<u64, (u64, NodeMask)>,
}

impl Lineage {
    /// `uuid` was made by a node whose current UUID was `parent`, itself and the nodes that it was
    /// connected to being `present`.
    pub fn born(&mut self, uuid: Uuid, parent: Uuid, present: NodeMask) {
        if !parent.is_fresh() && !uuid.same(parent) {
            self.parents.entry(uuid.masked()).or_insert((parent.masked(), present));
        }
    }

    /// Of the generations that lead from `old` to `new` the first: who was there when it was made?
    fn heirs(&self, old: Uuid, new: Uuid) -> Option<NodeMask> {
        let mut at = new.masked();
        // Each step goes to an older one; a circle would need a UUID twice.
        for _ in 0..self.parents.len() {
            let (parent, present) = self.parents.get(&at)?;
            if *parent == old.masked() {
                return Some(*present);
            }
            at = *parent;
        }
        None
    }

    /// Does `old` come before `new`?
    fn precedes(&self, old: Uuid, new: Uuid) -> bool {
        self.heirs(old, new).is_some()
    }

    /// Was `node`, which still has `old`, away when the first generation after it was made that led
    /// to `new`?
    pub fn was_left_behind(&self, node: NodeId, old: Uuid, new: Uuid) -> bool {
        self.heirs(old, new).is_some_and(|present| !present.has(node))
    }

    /// How the two are related.
    pub fn kin(&self, a: Uuid, b: Uuid) -> Kin {
        match () {
            () if a.is_fresh() || b.is_fresh() => Kin::Apart,
            () if a.same(b) => Kin::Same,
            () if self.precedes(a, b) => Kin::Before,
            () if self.precedes(b, a) => Kin::After,
            () => Kin::Apart,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ancestors_are_found_and_cousins_are_not() {
        let mut lineage = Lineage::default();
        let [a, b] = [0, 1].map(|node| NodeId::new(node).expect("small"));
        lineage.born(Uuid(20), Uuid(10), a.mask());
        lineage.born(Uuid(31), Uuid(20), a.mask().with(b));
        lineage.born(Uuid(40), Uuid(21), a.mask());
        assert_eq!(lineage.kin(Uuid(10), Uuid(30)), Kin::Before);
        assert_eq!(lineage.kin(Uuid(30), Uuid(11)), Kin::After);
        assert_eq!(lineage.kin(Uuid(30), Uuid(31)), Kin::Same);
        assert_eq!(lineage.kin(Uuid(30), Uuid(40)), Kin::Apart);
        assert_eq!(lineage.kin(Uuid(30), Uuid::JUST_CREATED), Kin::Apart);
        assert!(lineage.was_left_behind(b, Uuid(10), Uuid(30)));
        assert!(!lineage.was_left_behind(b, Uuid(20), Uuid(30)), "it was there");
        assert!(!lineage.was_left_behind(b, Uuid(30), Uuid(10)), "it is the younger one");
    }
}

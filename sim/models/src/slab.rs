//! Storage with numbered places and generations: a handle to something removed finds nothing.

/// Where something lives in a [`Slab`], and the how-manieth tenant of that place it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Key {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl Key {
    /// Finds nothing in any slab.
    pub(crate) const NONE: Key = Key { slot: u32::MAX, generation: u32::MAX };
}

struct Place<T> {
    generation: u32,
    tenant: Option<T>,
}

/// A vector with a free list and generations.
pub(crate) struct Slab<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Slab<T> {
        Slab { places: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn insert(&mut self, tenant: T) -> Key {
        if let Some(slot) = self.free.pop() {
            let place = &mut self.places[slot as usize];
            place.tenant = Some(tenant);
            return Key { slot, generation: place.generation };
        }
        self.places.push(Place { generation: 0, tenant: Some(tenant) });
        Key { slot: self.places.len() as u32 - 1, generation: 0 }
    }

    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let place = self.places.get(key.slot as usize)?;
        if place.generation == key.generation { place.tenant.as_ref() } else { None }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.places.get_mut(key.slot as usize)?;
        if place.generation == key.generation { place.tenant.as_mut() } else { None }
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.places.get_mut(key.slot as usize)?;
        if place.generation != key.generation {
            return None;
        }
        let tenant = place.tenant.take()?;
        place.generation += 1;
        self.free.push(key.slot);
        Some(tenant)
    }

    /// How many tenants.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// All keys in use, by place.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.places
            .iter()
            .enumerate()
            .filter(|(_, p)| p.tenant.is_some())
            .map(|(slot, p)| Key { slot: slot as u32, generation: p.generation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_key_finds_nothing() {
        let mut slab = Slab::new();
        let a = slab.insert('a');
        assert_eq!(slab.remove(a), Some('a'));
        let b = slab.insert('b');
        assert_eq!((a.slot, slab.get(a)), (b.slot, None));
        assert_eq!(slab.remove(a), None);
        assert_eq!(slab.get(b), Some(&'b'));
        assert_eq!(slab.get(Key::NONE), None);
        assert_eq!(slab.keys().collect::<Vec<_>>(), [b]);
    }
}

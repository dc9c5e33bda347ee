//! What processes hold, by handle. A handle is a place and the how-manieth tenant of it, so one
//! that is stale finds nothing.

use env::hooks::Handle;

struct Place<T> {
    generation: u32,
    tenant: Option<T>,
}

/// A vector with a free list and generations.
pub(super) struct Table<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

fn split(handle: Handle) -> (usize, u32) {
    (handle.0 as u32 as usize, (handle.0 >> 32) as u32)
}

impl<T> Table<T> {
    pub(super) fn new() -> Self {
        Table { places: Vec::new(), free: Vec::new() }
    }

    pub(super) fn insert(&mut self, tenant: T) -> Handle {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { generation: 0, tenant: None });
            self.places.len() as u32 - 1
        });
        let place = &mut self.places[slot as usize];
        place.tenant = Some(tenant);
        Handle(u64::from(place.generation) << 32 | u64::from(slot))
    }

    /// How many places have a tenant.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, handle: Handle) -> Option<&mut T> {
        let (slot, generation) = split(handle);
        let place = self.places.get_mut(slot)?;
        if place.generation == generation { place.tenant.as_mut() } else { None }
    }

    pub(super) fn remove(&mut self, handle: Handle) -> Option<T> {
        let (slot, generation) = split(handle);
        let place = self.places.get_mut(slot).filter(|p| p.generation == generation)?;
        let tenant = place.tenant.take()?;
        // The top bit of a handle is for owners that are no process, see `state::FOREIGN`.
        place.generation = (generation + 1) & (u32::MAX >> 1);
        self.free.push(slot as u32);
        Some(tenant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_handle_finds_nothing() {
        let mut table = Table::new();
        let a = table.insert('a');
        assert_eq!(table.remove(a), Some('a'));
        let b = table.insert('b');
        assert_ne!(a, b);
        assert_eq!(table.get_mut(a), None);
        assert_eq!(table.remove(a), None);
        assert_eq!(table.get_mut(b), Some(&mut 'b'));
    }
}

//! Fixed tables of small integer ids.

use alloc::vec::Vec;

/// There is not enough memory for a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not enough memory for the queue's tables")]
pub struct OutOfMemory;

/// A vector of exactly this capacity.
///
/// # Errors
/// [`OutOfMemory`].
pub fn reserve<T>(capacity: usize) -> Result<Vec<T>, OutOfMemory> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(capacity).map_err(|_| OutOfMemory)?;
    Ok(vec)
}

/// Up to a fixed number of items, each with an id that is free again when the item is taken out.
#[derive(Debug)]
pub struct Table<T> {
    items: Vec<Option<T>>,
    free: Vec<u16>,
}

impl<T> Table<T> {
    /// Room for `capacity` items; nothing is allocated later.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn new(capacity: u16) -> Result<Self, OutOfMemory> {
        let mut items = reserve(usize::from(capacity))?;
        items.resize_with(usize::from(capacity), || None);
        let mut free = reserve(usize::from(capacity))?;
        free.extend((0..capacity).rev());
        Ok(Self { items, free })
    }

    /// No further item fits.
    pub fn is_full(&self) -> bool {
        self.free.is_empty()
    }

    /// Items in it.
    pub fn len(&self) -> usize {
        self.items.len() - self.free.len()
    }

    /// No item is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts an item in and returns its id.
    ///
    /// # Errors
    /// The item, if there is no room.
    pub fn insert(&mut self, item: T) -> Result<u16, T> {
        match self.free.pop() {
            None => Err(item),
            Some(id) => {
                if let Some(slot) = self.items.get_mut(usize::from(id)) {
                    *slot = Some(item);
                }
                Ok(id)
            }
        }
    }

    /// The item of an id.
    pub fn get(&self, id: u16) -> Option<&T> {
        self.items.get(usize::from(id)).and_then(Option::as_ref)
    }

    /// The item of an id, to be changed.
    pub fn get_mut(&mut self, id: u16) -> Option<&mut T> {
        self.items.get_mut(usize::from(id)).and_then(Option::as_mut)
    }

    /// Takes the item of an id out; the id is free again.
    pub fn remove(&mut self, id: u16) -> Option<T> {
        let item = self.items.get_mut(usize::from(id)).and_then(Option::take)?;
        // The id came from here, so there is room for it and nothing is allocated.
        self.free.push(id);
        Some(item)
    }

    /// The ids that a table of this capacity may hold.
    pub fn ids(&self) -> core::ops::Range<u16> {
        0..u16::try_from(self.items.len()).unwrap_or(u16::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn ids_are_small_and_used_again_only_after_removal() {
        let mut table = Table::new(2).unwrap();
        let (a, b) = (table.insert('a').unwrap(), table.insert('b').unwrap());
        assert_eq!((a, b, table.insert('c')), (0, 1, Err('c')));
        assert!(!table.is_empty());
        assert!(table.is_full());
        assert_eq!(
            (table.remove(a), table.remove(a), table.remove(9)),
            (Some('a'), None, None)
        );
        assert_eq!(
            (table.insert('d'), table.get(0), table.get(7)),
            (Ok(0), Some(&'d'), None)
        );
        assert_eq!(table.len(), 2);
    }
}

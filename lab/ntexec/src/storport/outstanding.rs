//! The requests that a miniport owns, found by the address of their SRB.
//!
//! A fixed open-addressed table: it is used with interrupts off (a miniport may complete a request in its ISR), so it
//! neither allocates nor frees once it is made. An SRB that is not in it when it is completed was completed twice, or never given.

use alloc::vec;
use alloc::vec::Vec;

/// A table of requests by SRB address.
pub struct Outstanding<T: Copy> {
    slots: Vec<Option<(usize, T)>>,
    used: usize,
}

impl<T: Copy> Outstanding<T> {
    /// An empty table of `1 << order` slots; it takes 3/4 of that.
    pub fn new(order: u32) -> Self {
        Self {
            slots: vec![None; 1 << order],
            used: 0,
        }
    }

    /// How many requests fit.
    pub fn capacity(&self) -> usize {
        self.slots.len() / 4 * 3
    }

    fn mask(&self) -> usize {
        self.slots.len() - 1
    }

    fn home(&self, srb: usize) -> usize {
        // Fibonacci hashing; SRBs are 8-byte aligned and come from few pages.
        (srb.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) & self.mask()
    }

    /// How many requests are in the table.
    pub fn len(&self) -> usize {
        self.used
    }

    /// True if no request is in the table.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Puts a request in; false if it is there already or the table is full.
    pub fn insert(&mut self, srb: usize, value: T) -> bool {
        if self.used >= self.capacity() {
            return false;
        }
        let mut at = self.home(srb);
        loop {
            match self.slots[at] {
                None => {
                    self.slots[at] = Some((srb, value));
                    self.used += 1;
                    return true;
                }
                Some((key, _)) if key == srb => return false,
                Some(_) => at = (at + 1) & self.mask(),
            }
        }
    }

    /// What is stored under `srb`.
    pub fn get(&self, srb: usize) -> Option<T> {
        self.find(srb)
            .and_then(|at| self.slots[at])
            .map(|(_, value)| value)
    }

    fn find(&self, srb: usize) -> Option<usize> {
        let mut at = self.home(srb);
        loop {
            match self.slots[at] {
                None => return None,
                Some((key, _)) if key == srb => return Some(at),
                Some(_) => at = (at + 1) & self.mask(),
            }
        }
    }

    /// Takes a request out.
    pub fn remove(&mut self, srb: usize) -> Option<T> {
        let mut hole = self.find(srb)?;
        let (_, value) = self.slots[hole].take()?;
        self.used -= 1;
        // Close the gap: move back every entry of the run behind it whose home lies at or before the gap.
        let mut at = (hole + 1) & self.mask();
        while let Some((key, _)) = self.slots[at] {
            let home = self.home(key);
            if (at.wrapping_sub(home) & self.mask()) >= (at.wrapping_sub(hole) & self.mask()) {
                self.slots[hole] = self.slots[at].take();
                hole = at;
            }
            at = (at + 1) & self.mask();
        }
        Some(value)
    }

    /// All requests, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (usize, T)> + '_ {
        self.slots.iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn a_request_completed_twice_is_not_found_the_second_time() {
        let mut table = Outstanding::<u32>::new(4);
        assert!(table.insert(0x1000, 7));
        assert!(!table.insert(0x1000, 8));
        assert_eq!(table.remove(0x1000), Some(7));
        assert_eq!(table.remove(0x1000), None);
    }

    #[test]
    fn a_full_table_refuses() {
        let mut table = Outstanding::<usize>::new(4);
        for i in 0..12 {
            assert!(table.insert(i * 8, i));
        }
        assert!(!table.insert(12 * 8, 12));
    }

    proptest! {
        #[test]
        fn it_behaves_like_a_map(ops in proptest::collection::vec((any::<bool>(), 0usize..40), 0..400)) {
            let mut table = Outstanding::<usize>::new(6);
            let mut model = HashMap::new();
            for (i, (insert, key)) in ops.into_iter().enumerate() {
                let key = key * 88 + 0x7000;
                if insert {
                    let fresh = !model.contains_key(&key);
                    prop_assert_eq!(table.insert(key, i), fresh);
                    if fresh { model.insert(key, i); }
                } else {
                    prop_assert_eq!(table.remove(key), model.remove(&key));
                }
                prop_assert_eq!(table.len(), model.len());
                for (key, value) in &model {
                    prop_assert_eq!(table.get(*key), Some(*value));
                }
            }
        }
    }
}

//! Sets of numbers, kept as ranges: what the RANGE_SET interface lends to children.
//!
//! Ranges are sorted, do not touch each other, and are bounded by what an `i64` can express. Reserving memory is an
//! explicit step ([`RangeSet::reserve`]) so that a caller who holds a lock can do it beforehand: the operations
//! themselves fail cleanly when there is no room, and change nothing then.

use alloc::collections::TryReserveError;
use alloc::vec::Vec;

/// Why an operation changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeSetError {
    /// Memory ran out.
    NoMemory,
    /// The range is empty or does not fit into an `i64`.
    BadRange,
    /// Part of the range to be added is in the set.
    Overlap,
    /// The range to be taken is not in the set, or no range is long enough.
    NotFound,
}

impl From<TryReserveError> for RangeSetError {
    fn from(_: TryReserveError) -> Self {
        Self::NoMemory
    }
}

/// First and last number of a range, both in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: i64,
    last: i64,
}

impl Range {
    fn new(first: i64, count: u64) -> Result<Self, RangeSetError> {
        let length = i64::try_from(count.checked_sub(1).ok_or(RangeSetError::BadRange)?);
        let last = length
            .ok()
            .and_then(|length| first.checked_add(length))
            .ok_or(RangeSetError::BadRange)?;
        Ok(Self { first, last })
    }

    fn count(self) -> u64 {
        self.last.abs_diff(self.first).saturating_add(1)
    }
}

/// A set of numbers.
#[derive(Debug, Default)]
pub struct RangeSet {
    ranges: Vec<Range>,
}

impl RangeSet {
    /// An empty set.
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// True if no number is in it.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many numbers are in it.
    pub fn len(&self) -> u64 {
        self.ranges
            .iter()
            .fold(0, |sum, range| sum.saturating_add(range.count()))
    }

    /// Makes room for `more` further ranges, so that as many operations need no memory.
    ///
    /// # Errors
    /// [`RangeSetError::NoMemory`].
    pub fn reserve(&mut self, more: usize) -> Result<(), RangeSetError> {
        Ok(self.ranges.try_reserve(more)?)
    }

    /// Adds `count` numbers from `first` on.
    ///
    /// # Errors
    /// [`RangeSetError::Overlap`] if one of them is there already; nothing is added then.
    pub fn put(&mut self, first: i64, count: u64) -> Result<(), RangeSetError> {
        let new = Range::new(first, count)?;
        let at = self.ranges.partition_point(|range| range.last < new.first);
        if self
            .ranges
            .get(at)
            .is_some_and(|next| next.first <= new.last)
        {
            return Err(RangeSetError::Overlap);
        }
        let joins_next = self
            .ranges
            .get(at)
            .is_some_and(|next| new.last.checked_add(1) == Some(next.first));
        let joins_before = at > 0
            && self
                .ranges
                .get(at - 1)
                .is_some_and(|before| before.last.checked_add(1) == Some(new.first));
        match (joins_before, joins_next) {
            (true, true) => {
                let last = self.ranges.remove(at).last;
                self.set(at - 1, |range| range.last = last);
            }
            (true, false) => self.set(at - 1, |range| range.last = new.last),
            (false, true) => self.set(at, |range| range.first = new.first),
            (false, false) => {
                self.ranges.try_reserve(1)?;
                self.ranges.insert(at, new);
            }
        }
        Ok(())
    }

    /// Takes `count` numbers in a row, the lowest that there are, and returns the first.
    ///
    /// # Errors
    /// [`RangeSetError::NotFound`] if no range is long enough.
    pub fn pop(&mut self, count: u64) -> Result<i64, RangeSetError> {
        if count == 0 {
            return Err(RangeSetError::BadRange);
        }
        let found = self
            .ranges
            .iter()
            .position(|range| range.count() >= count)
            .ok_or(RangeSetError::NotFound)?;
        let first = self.ranges.get(found).ok_or(RangeSetError::NotFound)?.first;
        self.cut(found, Range::new(first, count)?)?;
        Ok(first)
    }

    /// Takes exactly `count` numbers from `first` on.
    ///
    /// # Errors
    /// [`RangeSetError::NotFound`] if one of them is not there; nothing is taken then.
    pub fn get(&mut self, first: i64, count: u64) -> Result<(), RangeSetError> {
        let wanted = Range::new(first, count)?;
        let at = self
            .ranges
            .partition_point(|range| range.last < wanted.first);
        match self.ranges.get(at) {
            Some(range) if range.first <= wanted.first && wanted.last <= range.last => {
                self.cut(at, wanted)
            }
            _ => Err(RangeSetError::NotFound),
        }
    }

    fn set(&mut self, at: usize, change: impl FnOnce(&mut Range)) {
        if let Some(range) = self.ranges.get_mut(at) {
            change(range);
        }
    }

    /// Takes `part`, which lies within range number `at`.
    fn cut(&mut self, at: usize, part: Range) -> Result<(), RangeSetError> {
        let Some(whole) = self.ranges.get(at).copied() else {
            return Err(RangeSetError::NotFound);
        };
        match (whole.first == part.first, whole.last == part.last) {
            (true, true) => drop(self.ranges.remove(at)),
            (true, false) => self.set(at, |range| range.first = part.last + 1),
            (false, true) => self.set(at, |range| range.last = part.first - 1),
            (false, false) => {
                self.ranges.try_reserve(1)?;
                self.set(at, |range| range.last = part.first - 1);
                self.ranges.insert(
                    at + 1,
                    Range {
                        first: part.last + 1,
                        last: whole.last,
                    },
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn ranges_that_touch_become_one() {
        let mut set = RangeSet::new();
        set.put(0, 4).unwrap();
        set.put(8, 4).unwrap();
        set.put(4, 4).unwrap();
        assert_eq!(set.ranges.len(), 1);
        assert_eq!(set.len(), 12);
    }

    #[test]
    fn a_part_from_the_middle_leaves_both_ends() {
        let mut set = RangeSet::new();
        set.put(0, 10).unwrap();
        set.get(4, 2).unwrap();
        assert_eq!(set.get(4, 1), Err(RangeSetError::NotFound));
        assert_eq!(set.get(3, 2), Err(RangeSetError::NotFound));
        assert_eq!(set.pop(4), Ok(0));
        assert_eq!(set.pop(4), Ok(6));
        assert_eq!(set.pop(1), Err(RangeSetError::NotFound));
        assert!(set.is_empty());
    }

    #[test]
    fn what_is_in_the_set_cannot_be_put_again() {
        let mut set = RangeSet::new();
        set.put(5, 5).unwrap();
        for (first, count) in [(5, 5), (4, 2), (9, 1), (0, 100)] {
            assert_eq!(
                set.put(first, count),
                Err(RangeSetError::Overlap),
                "{first} {count}"
            );
        }
        assert_eq!(set.len(), 5);
    }

    #[test]
    fn the_ends_of_the_number_line_are_no_trap() {
        let mut set = RangeSet::new();
        assert_eq!(set.put(0, 0), Err(RangeSetError::BadRange));
        assert_eq!(set.put(i64::MAX, 2), Err(RangeSetError::BadRange));
        assert_eq!(set.put(0, u64::MAX), Err(RangeSetError::BadRange));
        set.put(i64::MAX, 1).unwrap();
        set.put(i64::MIN, 1).unwrap();
        assert_eq!(set.pop(1), Ok(i64::MIN));
        assert_eq!(set.get(i64::MAX, 1), Ok(()));
        assert!(set.is_empty());
    }

    proptest! {
        #[test]
        fn it_does_what_a_plain_set_of_numbers_does(steps in proptest::collection::vec((0u8..3, 0i64..64, 1u64..9), 0..200)) {
            let mut set = RangeSet::new();
            let mut model = BTreeSet::new();
            for (operation, first, count) in steps {
                let numbers = first..first + count as i64;
                match operation {
                    0 => {
                        let fits = !numbers.clone().any(|number| model.contains(&number));
                        prop_assert_eq!(set.put(first, count).is_ok(), fits);
                        if fits { model.extend(numbers); }
                    }
                    1 => {
                        let there = numbers.clone().all(|number| model.contains(&number));
                        prop_assert_eq!(set.get(first, count).is_ok(), there);
                        if there { numbers.for_each(|number| { model.remove(&number); }); }
                    }
                    _ => {
                        let lowest = model.iter().copied().find(|start| (*start..*start + count as i64).all(|number| model.contains(&number)));
                        prop_assert_eq!(set.pop(count).ok(), lowest);
                        if let Some(start) = lowest { (start..start + count as i64).for_each(|number| { model.remove(&number); }); }
                    }
                }
                prop_assert_eq!(set.len(), model.len() as u64);
                prop_assert!(set.ranges.windows(2).all(|pair| pair[0].last + 1 < pair[1].first));
            }
        }
    }
}

//! Scatter/gather lists: the physical runs of a part of an MDL.

use alloc::vec::Vec;

use crate::nt::storport::{StorScatterGatherElement, StorScatterGatherList};

const PAGE: u64 = 4096;

/// The physical runs of `length` bytes that begin `offset` bytes behind the start of the first page of `pfns`.
/// `None` if the pages do not hold that much.
pub fn runs(pfns: &[usize], offset: u64, length: u64) -> Option<Vec<StorScatterGatherElement>> {
    let mut list: Vec<StorScatterGatherElement> = Vec::new();
    let (mut at, mut left) = (offset, length);
    while left > 0 {
        let pfn = *pfns.get(usize::try_from(at / PAGE).ok()?)?;
        let within = at % PAGE;
        let take = left.min(PAGE - within);
        let address = (pfn as u64) * PAGE + within;
        match list.last_mut() {
            Some(last)
                if last.physical_address + u64::from(last.length) == address
                    && u64::from(last.length) + take <= u64::from(u32::MAX) =>
            {
                last.length += take as u32;
            }
            _ => list.push(StorScatterGatherElement {
                physical_address: address,
                length: take as u32,
                reserved: 0,
            }),
        }
        at += take;
        left -= take;
    }
    Some(list)
}

/// A list in the form that miniports read, with its own memory.
pub struct List(Vec<StorScatterGatherElement>);

const _: () = {
    // The header is two thirds of an element; it is stored at the end of the first one.
    assert!(size_of::<StorScatterGatherList>() == 16);
    assert!(size_of::<StorScatterGatherElement>() == 24);
};

impl List {
    /// Makes a list of these runs.
    pub fn new(runs: &[StorScatterGatherElement]) -> Self {
        let mut all = Vec::with_capacity(runs.len() + 1);
        all.push(StorScatterGatherElement::default());
        all.extend_from_slice(runs);
        let mut list = Self(all);
        let head = list.as_ptr();
        // SAFETY: the header lies in the last 16 bytes of the first element, right before the runs.
        unsafe { (*head).number_of_elements = runs.len() as u32 };
        list
    }

    /// The list, valid while this one lives.
    pub fn as_ptr(&mut self) -> *mut StorScatterGatherList {
        // SAFETY: the vector has at least one element of 24 bytes.
        unsafe { self.0.as_mut_ptr().cast::<u8>().add(8).cast() }
    }

    /// The runs.
    pub fn runs(&self) -> &[StorScatterGatherElement] {
        &self.0[1..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn neighbouring_pages_make_one_run() {
        let list = runs(&[5, 6, 9], 512, 8192).unwrap();
        assert_eq!(list.len(), 2);
        assert_eq!(
            (list[0].physical_address, list[0].length),
            (5 * 4096 + 512, 7680)
        );
        assert_eq!((list[1].physical_address, list[1].length), (9 * 4096, 512));
    }

    #[test]
    fn more_than_the_pages_hold_gives_no_list() {
        assert!(runs(&[1], 1, 4096).is_none());
    }

    #[test]
    fn a_miniport_finds_count_and_elements_where_they_belong() {
        let mut list = List::new(&runs(&[5, 9], 0, 8192).unwrap());
        let head = list.as_ptr();
        // SAFETY: the list is alive; its elements follow the header of 16 bytes.
        let (count, second) = unsafe {
            (
                (*head).number_of_elements,
                *head
                    .cast::<u8>()
                    .add(16)
                    .cast::<StorScatterGatherElement>()
                    .add(1),
            )
        };
        assert_eq!(
            (count, second.physical_address, second.length),
            (2, 9 * 4096, 4096)
        );
    }

    proptest! {
        #[test]
        fn the_runs_have_the_length_asked_for(pages in proptest::collection::vec(0usize..64, 1..20), offset in 0u64..4096, cut in 1u64..80_000) {
            let room = pages.len() as u64 * 4096 - offset;
            let length = cut.min(room);
            let list = runs(&pages, offset, length).unwrap();
            prop_assert_eq!(list.iter().map(|run| u64::from(run.length)).sum::<u64>(), length);
            prop_assert!(list.len() <= pages.len());
        }
    }
}

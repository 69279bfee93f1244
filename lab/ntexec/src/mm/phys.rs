//! Physical pages: a bitmap of what is free.
//!
//! Windows' page frame database is not visible to drivers; what they see is that a page belongs to one owner at a time,
//! that ranges can be asked for (`MmAllocateContiguousMemory*`, `MmAllocatePagesForMdlEx`), and that
//! `MmGetPhysicalMemoryRanges` tells where RAM is.

use crate::machine::{MemoryRange, PAGE_SIZE};
use crate::sync::Lock;

const PAGE: u64 = PAGE_SIZE as u64;

/// A free-page bitmap over `words` (a bit set: free).
pub struct Frames {
    words: &'static mut [u64],
    hint: usize,
    free: usize,
    total: usize,
}

/// What to look for; addresses in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Pages in a row.
    pub count: usize,
    /// Lowest address allowed.
    pub lowest: u64,
    /// Highest address allowed (inclusive).
    pub highest: u64,
    /// Alignment of the first page in bytes, a power of two.
    pub align: u64,
    /// Not 0: the run may not cross a multiple of this.
    pub boundary: u64,
}

impl Request {
    /// Any `count` pages in a row.
    pub const fn any(count: usize) -> Self {
        Self {
            count,
            lowest: 0,
            highest: u64::MAX,
            align: PAGE,
            boundary: 0,
        }
    }
}

impl Frames {
    /// Nothing yet.
    pub const fn empty() -> Self {
        Self {
            words: &mut [],
            hint: 0,
            free: 0,
            total: 0,
        }
    }

    /// A bitmap in `words`, with the free ranges of `map` set.
    pub fn new(words: &'static mut [u64], map: &[MemoryRange]) -> Self {
        words.fill(0);
        let mut f = Self {
            words,
            hint: 0,
            free: 0,
            total: 0,
        };
        for r in map.iter().filter(|r| r.free) {
            for page in r.base.div_ceil(PAGE)..(r.base + r.len) / PAGE {
                f.set(page as usize, true);
            }
        }
        f.total = f.free;
        f
    }

    /// Words that a bitmap for `map` needs.
    pub fn words_for(map: &[MemoryRange]) -> usize {
        let end = map
            .iter()
            .filter(|r| r.free)
            .map(|r| r.base + r.len)
            .max()
            .unwrap_or(0);
        (end / PAGE).div_ceil(64) as usize
    }

    fn is_free(&self, page: usize) -> bool {
        self.words
            .get(page / 64)
            .is_some_and(|w| w >> (page % 64) & 1 == 1)
    }

    fn set(&mut self, page: usize, free: bool) {
        let Some(w) = self.words.get_mut(page / 64) else {
            return;
        };
        let bit = 1u64 << (page % 64);
        match (free, *w & bit != 0) {
            (true, false) => {
                *w |= bit;
                self.free += 1;
            }
            (false, true) => {
                *w &= !bit;
                self.free -= 1;
            }
            _ => {}
        }
    }

    /// Pages free now.
    pub fn free_pages(&self) -> usize {
        self.free
    }

    /// Pages that were free at the beginning.
    pub fn total_pages(&self) -> usize {
        self.total
    }

    /// One page, anywhere; its address.
    pub fn take_page(&mut self) -> Option<u64> {
        let n = self.words.len();
        for i in 0..n {
            let index = (self.hint + i) % n;
            let w = *self.words.get(index)?;
            if w != 0 {
                let page = index * 64 + w.trailing_zeros() as usize;
                self.set(page, false);
                self.hint = index;
                return Some(page as u64 * PAGE);
            }
        }
        None
    }

    /// A run of pages as asked for; its first address.
    pub fn take(&mut self, r: &Request) -> Option<u64> {
        if r.count == 0 {
            return None;
        }
        let step = (r.align.max(PAGE) / PAGE) as usize;
        let pages = self.words.len() * 64;
        let last = ((r.highest / PAGE) as usize).min(pages.saturating_sub(1));
        let mut page = (r.lowest.div_ceil(PAGE) as usize).next_multiple_of(step);
        while page.checked_add(r.count - 1)? <= last {
            if let Some(next) = crossing(page, r) {
                page = next.next_multiple_of(step);
                continue;
            }
            match (page..page + r.count).rev().find(|&p| !self.is_free(p)) {
                None => {
                    (page..page + r.count).for_each(|p| self.set(p, false));
                    return Some(page as u64 * PAGE);
                }
                Some(taken) => page = (taken + 1).next_multiple_of(step),
            }
        }
        None
    }

    /// Gives `count` pages from `address` back. False if one of them was free already.
    pub fn give(&mut self, address: u64, count: usize) -> bool {
        let first = (address / PAGE) as usize;
        let ok = (first..first + count).all(|p| p / 64 < self.words.len() && !self.is_free(p));
        if ok {
            (first..first + count).for_each(|p| self.set(p, true));
        }
        ok
    }
}

/// Where to look on, if a run at `page` would cross a boundary.
fn crossing(page: usize, r: &Request) -> Option<usize> {
    let b = (r.boundary / PAGE) as usize;
    if b == 0 || page / b == (page + r.count - 1) / b || r.count > b {
        return None;
    }
    Some((page / b + 1) * b)
}

static FRAMES: Lock<Frames> = Lock::new(Frames::empty());

/// Takes over the free ranges of `map`. `direct_map` is where physical memory is mapped; the bitmap goes into the first
/// free range that holds it.
///
/// # Safety
/// Once, at start; the free ranges must be used by nothing else, and mapped.
pub unsafe fn initialize(map: &[MemoryRange], direct_map: usize) -> bool {
    let words = Frames::words_for(map);
    let bytes = (words * 8).next_multiple_of(PAGE_SIZE) as u64;
    let Some(home) = map.iter().find(|r| r.free && r.len >= bytes) else {
        return false;
    };
    let base = (direct_map + home.base as usize) as *mut u64;
    // SAFETY: the range is free RAM, mapped, and from now on the bitmap's.
    let slice = unsafe { core::slice::from_raw_parts_mut(base, words) };
    let mut frames = Frames::new(slice, map);
    for page in 0..bytes / PAGE {
        frames.set((home.base / PAGE + page) as usize, false);
    }
    *FRAMES.lock() = frames;
    true
}

/// One page; its physical address.
pub fn allocate_page() -> Option<u64> {
    FRAMES.lock().take_page()
}

/// A run of pages.
pub fn allocate(request: &Request) -> Option<u64> {
    FRAMES.lock().take(request)
}

/// Gives pages back. False (and nothing done) if one of them was free already.
pub fn free(address: u64, count: usize) -> bool {
    FRAMES.lock().give(address, count)
}

/// Pages free now.
pub fn free_pages() -> usize {
    FRAMES.lock().free_pages()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn frames(pages: u64) -> Frames {
        let map = [MemoryRange {
            base: PAGE * 16,
            len: pages * PAGE,
            free: true,
        }];
        Frames::new(vec![0u64; Frames::words_for(&map)].leak(), &map)
    }

    #[test]
    fn every_page_is_given_once_and_none_from_outside() {
        let mut f = frames(100);
        let mut seen = std::collections::BTreeSet::new();
        while let Some(a) = f.take_page() {
            assert!((PAGE * 16..PAGE * 116).contains(&a) && seen.insert(a));
        }
        assert_eq!(seen.len(), 100);
    }

    #[test]
    fn a_run_keeps_alignment_range_and_boundary() {
        let mut f = frames(100);
        let r = Request {
            count: 4,
            lowest: PAGE * 21,
            highest: PAGE * 90,
            align: PAGE * 2,
            boundary: PAGE * 8,
        };
        while let Some(a) = f.take(&r) {
            assert_eq!(a % (PAGE * 2), 0);
            assert!(a >= PAGE * 21 && a + 4 * PAGE <= PAGE * 91);
            assert_eq!(a / (PAGE * 8), (a + 3 * PAGE) / (PAGE * 8));
        }
        assert!(f.free_pages() < 60);
    }

    #[test]
    fn giving_a_free_page_is_refused() {
        let mut f = frames(10);
        let a = f.take(&Request::any(3)).unwrap();
        assert!(f.give(a, 3));
        assert!(!f.give(a, 1));
        assert_eq!(f.free_pages(), 10);
    }
}

//! Kernel addresses for mappings. They are handed out upwards and never again, so that whoever uses one after it was
//! unmapped faults.

use super::phys;
use crate::machine::{Caching, MapError, PAGE_SIZE, Protection, machine};
use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Where mappings begin (device memory, MDLs, stacks).
const SPACE: usize = 0xFFFF_A000_0000_0000;
/// Where images begin, as on Windows.
const IMAGES: usize = 0xFFFF_F800_0000_0000;

static NEXT: AtomicUsize = AtomicUsize::new(SPACE);
static NEXT_IMAGE: AtomicUsize = AtomicUsize::new(IMAGES);

/// Addresses for `pages` pages, with an unmapped page behind them.
pub fn reserve(pages: usize) -> usize {
    NEXT.fetch_add((pages + 1) * PAGE_SIZE, Ordering::Relaxed)
}

/// Addresses for an image of `pages` pages, at a multiple of 64 KiB.
pub fn reserve_image(pages: usize) -> usize {
    let bytes = ((pages + 1) * PAGE_SIZE).next_multiple_of(0x1_0000);
    NEXT_IMAGE.fetch_add(bytes, Ordering::Relaxed)
}

/// Maps pages at new addresses. `physical` gives each page's address.
///
/// # Errors
/// No memory for page tables; nothing stays mapped.
pub fn map(
    pages: usize,
    physical: impl Fn(usize) -> u64,
    protection: Protection,
    caching: Caching,
) -> Result<usize, MapError> {
    let va = reserve(pages);
    map_at(va, pages, physical, protection, caching)?;
    Ok(va)
}

/// Maps pages at `va`.
///
/// # Errors
/// As [`map`].
pub fn map_at(
    va: usize,
    pages: usize,
    physical: impl Fn(usize) -> u64,
    protection: Protection,
    caching: Caching,
) -> Result<(), MapError> {
    for i in 0..pages {
        if let Err(e) = machine().map_page(va + i * PAGE_SIZE, physical(i), protection, caching) {
            unmap(va, i);
            return Err(e);
        }
    }
    Ok(())
}

/// Takes mappings away; false if one of the pages was not mapped.
pub fn unmap(va: usize, pages: usize) -> bool {
    let mut all = true;
    for i in 0..pages {
        all &= machine().unmap_page(va + i * PAGE_SIZE).is_ok();
    }
    all
}

/// Fresh zeroed pages at `va`.
///
/// # Errors
/// No memory; nothing stays.
pub fn populate(va: usize, pages: usize, protection: Protection) -> Result<(), MapError> {
    for i in 0..pages {
        let page = phys::allocate_page().ok_or(MapError::OutOfMemory);
        let mapped = page.and_then(|pa| {
            // SAFETY: a fresh page, in the direct map.
            unsafe { super::direct(pa).write_bytes(0, PAGE_SIZE) };
            machine()
                .map_page(va + i * PAGE_SIZE, pa, protection, Caching::Cached)
                .inspect_err(|_| {
                    phys::free(pa, 1);
                })
        });
        if let Err(e) = mapped {
            release(va, i);
            return Err(e);
        }
    }
    Ok(())
}

/// Unmaps pages and gives them back.
pub fn release(va: usize, pages: usize) {
    for i in 0..pages {
        if let Ok(pa) = machine().unmap_page(va + i * PAGE_SIZE) {
            phys::free(pa, 1);
        }
    }
}

/// A stack of `pages` pages between unmapped ones.
pub fn allocate_stack(pages: usize) -> Option<Range<usize>> {
    let va = reserve(pages + 1) + PAGE_SIZE;
    populate(va, pages, Protection::ReadWrite).ok()?;
    Some(va..va + pages * PAGE_SIZE)
}

/// Gives a stack back that begins at `base`.
pub fn free_stack(base: usize) {
    let mut pages = 0;
    while machine().translate(base + pages * PAGE_SIZE).is_some() {
        pages += 1;
    }
    release(base, pages);
}

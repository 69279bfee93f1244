//! Memory for images: writable while they are loaded, then with their sections' protection.

use super::va;
use crate::machine::{MapError, PAGE_SIZE, Protection, machine};
use crate::sync::Lock;
use alloc::collections::BTreeMap;

static IMAGES: Lock<BTreeMap<usize, usize>> = Lock::new(BTreeMap::new());

/// Zeroed, writable memory for an image of `len` bytes.
pub fn allocate(len: usize) -> Option<usize> {
    let pages = len.div_ceil(PAGE_SIZE);
    let base = va::reserve_image(pages);
    va::populate(base, pages, Protection::ReadWrite).ok()?;
    IMAGES.lock().insert(base, pages);
    Some(base)
}

/// Gives the pages of `len` bytes from `va` another protection.
///
/// # Errors
/// Not mapped.
pub fn protect(va: usize, len: usize, protection: Protection) -> Result<(), MapError> {
    let first = super::page_of(va);
    (first..va + len)
        .step_by(PAGE_SIZE)
        .try_for_each(|page| machine().protect_page(page, protection))
}

/// Unmaps an image and gives its memory back. Whoever still runs in it faults.
pub fn free(base: usize) {
    let pages = IMAGES.lock().remove(&base);
    if let Some(pages) = pages {
        va::release(base, pages);
    }
}

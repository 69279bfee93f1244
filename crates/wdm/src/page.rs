//! Single pages of nonpaged pool, each with an MDL of its own: what a driver lends to others a page at a time.

use core::alloc::Layout;
use core::ptr::{NonNull, null_mut};

use wdk_sys::MDL;
use wdk_sys::ntddk::{IoAllocateMdl, IoFreeMdl, MmBuildMdlForNonPagedPool};

use crate::mdl;
use crate::pages::PAGE_SIZE;
use crate::status::{Result, Status};

/// A page. Pool blocks of a page's size begin at a page's start ("ExAllocatePoolWithTag").
const LAYOUT: Layout = match Layout::from_size_align(PAGE_SIZE, 16) {
    Ok(layout) => layout,
    Err(_) => panic!("a page's layout"),
};

/// A zeroed page of nonpaged pool that nothing else lies in, and its MDL. It goes back to the system when dropped, at
/// IRQL <= DISPATCH_LEVEL; whoever lets another domain at it sees to it that it can no longer write by then.
pub struct Page {
    address: NonNull<u8>,
    mdl: NonNull<MDL>,
    pfn: usize,
}

// SAFETY: both blocks belong to the value and may be used and freed from any thread.
unsafe impl Send for Page {}
// SAFETY: shared references give only addresses.
unsafe impl Sync for Page {}

impl Page {
    /// A page. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// [`Status::INSUFFICIENT_RESOURCES`].
    pub fn new() -> Result<Self> {
        // SAFETY: the layout has a size.
        let memory = unsafe { rust_alloc::alloc::alloc_zeroed(LAYOUT) };
        let address = NonNull::new(memory).ok_or(Status::INSUFFICIENT_RESOURCES)?;
        let aligned = address.as_ptr().addr().is_multiple_of(PAGE_SIZE);
        // SAFETY: a description of the block above; the IRQL is the caller's promise.
        let described =
            unsafe { IoAllocateMdl(address.as_ptr().cast(), PAGE_SIZE as u32, 0, 0, null_mut()) };
        let Some(mdl) = NonNull::new(described).filter(|_| aligned) else {
            if !described.is_null() {
                // SAFETY: allocated above.
                unsafe { IoFreeMdl(described) };
            }
            // SAFETY: allocated above with this layout.
            unsafe { rust_alloc::alloc::dealloc(memory, LAYOUT) };
            return Err(Status::INSUFFICIENT_RESOURCES);
        };
        let mut page = Self {
            address,
            mdl,
            pfn: 0,
        };
        let whole = page.describe(0, PAGE_SIZE as u32);
        // SAFETY: an MDL of resident pool that was just built.
        let pfns = unsafe { mdl::pfns(whole) };
        page.pfn = pfns.first().copied().unwrap_or_default();
        Ok(page)
    }

    /// Its address.
    pub fn as_ptr(&self) -> NonNull<u8> {
        self.address
    }

    /// Its guest frame number.
    pub fn pfn(&self) -> usize {
        self.pfn
    }

    /// Its MDL, made anew so that it describes `length` bytes from `offset` on and nothing follows it; both are cut to fit the
    /// page. Nobody else may use the MDL meanwhile. IRQL <= DISPATCH_LEVEL.
    pub fn describe(&self, offset: u32, length: u32) -> *mut MDL {
        let offset = offset.min(PAGE_SIZE as u32 - 1);
        let length = length.clamp(1, PAGE_SIZE as u32 - offset);
        let mdl = self.mdl.as_ptr();
        // What MmInitializeMdl does, for a description that never spans more than the page it was allocated for.
        // SAFETY: the page's own MDL.
        let fields = unsafe { &mut *mdl };
        fields.Next = null_mut();
        fields.Size = (size_of::<MDL>() + size_of::<usize>()) as i16;
        fields.MdlFlags = 0;
        fields.StartVa = self.address.as_ptr().cast();
        fields.ByteOffset = offset;
        fields.ByteCount = length;
        // SAFETY: it describes nonpaged pool.
        unsafe { MmBuildMdlForNonPagedPool(mdl) };
        mdl
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: allocated by new, used by nobody any more.
        unsafe { IoFreeMdl(self.mdl.as_ptr()) };
        // SAFETY: as above, with the same layout.
        unsafe { rust_alloc::alloc::dealloc(self.address.as_ptr(), LAYOUT) };
    }
}

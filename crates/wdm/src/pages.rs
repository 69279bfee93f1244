//! Whole pages: shared rings, hypervisor frames.

use core::ffi::c_void;
use core::ptr::NonNull;

use wdk_sys::ntddk::{
    ExFreePoolWithTag, MmAllocatePagesForMdlEx, MmFreePagesFromMdl, MmMapLockedPagesSpecifyCache,
    MmUnmapLockedPages,
};
use wdk_sys::{MDL, PHYSICAL_ADDRESS};

use crate::mdl;
use crate::status::{Result, Status};

/// Size of a page in bytes.
pub const PAGE_SIZE: usize = 4096;

/// `MM_ALLOCATE_FULLY_REQUIRED`: all pages or none.
const FULLY_REQUIRED: u32 = 4;
/// `NormalPagePriority | MdlMappingNoExecute`.
const PRIORITY: u32 = 0x4000_0010;

/// Zeroed, nonpaged pages at consecutive virtual addresses, mapped cached and never executable; their frames
/// need not be consecutive. They go back to the system when dropped, at IRQL <= DISPATCH_LEVEL; whoever lets
/// another domain at them sees to it that it can no longer write by then.
pub struct Pages {
    mdl: NonNull<MDL>,
    address: NonNull<u8>,
    count: usize,
}

// SAFETY: owned memory.
unsafe impl Send for Pages {}
// SAFETY: only pointers are handed out.
unsafe impl Sync for Pages {}

impl Pages {
    /// `count` pages, at least one. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// [`Status::INSUFFICIENT_RESOURCES`].
    pub fn new(count: usize) -> Result<Self> {
        let bytes = count
            .checked_mul(PAGE_SIZE)
            .filter(|bytes| (1..1 << 31).contains(bytes));
        let bytes = bytes.ok_or(Status::INVALID_PARAMETER)?;
        let mdl = allocate(bytes)?;
        match map(mdl) {
            Ok(address) => Ok(Self {
                mdl,
                address,
                count,
            }),
            Err(status) => {
                // SAFETY: allocated above, not mapped.
                unsafe { free(mdl) };
                Err(status)
            }
        }
    }

    /// Number of pages.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Virtual address of the first page.
    pub fn as_ptr(&self) -> NonNull<u8> {
        self.address
    }

    /// Virtual address of a page; `None` beyond the last.
    pub fn page(&self, index: usize) -> Option<NonNull<u8>> {
        if index >= self.count {
            return None;
        }
        // SAFETY: within the allocation.
        Some(unsafe { self.address.add(index * PAGE_SIZE) })
    }

    /// Guest frame number of a page; `None` beyond the last.
    pub fn pfn(&self, index: usize) -> Option<usize> {
        self.pfns().get(index).copied()
    }

    /// Guest frame numbers of all pages.
    pub fn pfns(&self) -> &[usize] {
        // SAFETY: the MDL is ours and describes `count` pages.
        unsafe { mdl::pfns(self.mdl.as_ptr()) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping made by `map`.
        unsafe { MmUnmapLockedPages(self.address.as_ptr().cast::<c_void>(), self.mdl.as_ptr()) };
        // SAFETY: allocated by `allocate`, no longer mapped.
        unsafe { free(self.mdl) };
    }
}

fn allocate(bytes: usize) -> Result<NonNull<MDL>> {
    let low = PHYSICAL_ADDRESS { QuadPart: 0 };
    let high = PHYSICAL_ADDRESS { QuadPart: i64::MAX };
    let cached = wdk_sys::_MEMORY_CACHING_TYPE::MmCached;
    // SAFETY: no pointers are passed. Without MM_DONT_ZERO_ALLOCATION the pages are zeroed.
    let mdl =
        unsafe { MmAllocatePagesForMdlEx(low, high, low, bytes as u64, cached, FULLY_REQUIRED) };
    let mdl = NonNull::new(mdl).ok_or(Status::INSUFFICIENT_RESOURCES)?;
    // SAFETY: a fresh MDL.
    if unsafe { mdl::byte_count(mdl.as_ptr()) } as usize == bytes {
        return Ok(mdl);
    }
    // SAFETY: allocated above, not mapped.
    unsafe { free(mdl) };
    Err(Status::INSUFFICIENT_RESOURCES)
}

fn map(mdl: NonNull<MDL>) -> Result<NonNull<u8>> {
    // SAFETY: an MDL of locked pages; in kernel mode the call fails with null and does not raise.
    let address = unsafe {
        MmMapLockedPagesSpecifyCache(
            mdl.as_ptr(),
            wdk_sys::_MODE::KernelMode as i8,
            wdk_sys::_MEMORY_CACHING_TYPE::MmCached,
            core::ptr::null_mut(),
            0,
            PRIORITY as _,
        )
    };
    NonNull::new(address.cast()).ok_or(Status::INSUFFICIENT_RESOURCES)
}

/// # Safety
/// The MDL came from [`allocate`] and is not mapped.
unsafe fn free(mdl: NonNull<MDL>) {
    // SAFETY: the caller's promise.
    unsafe { MmFreePagesFromMdl(mdl.as_ptr()) };
    // SAFETY: MmFreePagesFromMdl leaves the MDL itself, which is pool memory, to its caller.
    unsafe { ExFreePoolWithTag(mdl.as_ptr().cast(), 0) };
}

//! Memory descriptor lists.

use core::ffi::c_void;
use core::ptr::NonNull;

use wdk_sys::MDL;
use wdk_sys::ntddk::MmMapLockedPagesSpecifyCache;

use crate::pages::PAGE_SIZE;
use crate::status::{Result, Status};

/// `MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL`: `MappedSystemVa` is valid.
const HAS_SYSTEM_ADDRESS: i16 = 0x0001 | 0x0004;
/// `NormalPagePriority | MdlMappingNoExecute`.
const PRIORITY: u32 = 0x4000_0010;

/// Number of bytes described.
///
/// # Safety
/// `mdl` is a valid MDL.
pub unsafe fn byte_count(mdl: *const MDL) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { (*mdl).ByteCount }
}

/// Offset of the first byte in its page.
///
/// # Safety
/// `mdl` is a valid MDL.
pub unsafe fn byte_offset(mdl: *const MDL) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { (*mdl).ByteOffset }
}

/// Frame numbers of the pages described (`MmGetMdlPfnArray`).
///
/// # Safety
/// `mdl` is a valid MDL of locked pages that outlives the slice.
pub unsafe fn pfns<'a>(mdl: *const MDL) -> &'a [usize] {
    // SAFETY: the caller's promise.
    let offset = unsafe { byte_offset(mdl) } as usize;
    // SAFETY: the caller's promise.
    let bytes = unsafe { byte_count(mdl) } as usize;
    let count = (offset + bytes).div_ceil(PAGE_SIZE);
    // SAFETY: the frame numbers follow the structure in the same allocation.
    let first = unsafe { mdl.add(1) }.cast::<usize>();
    // SAFETY: as many as the bytes touch pages.
    unsafe { core::slice::from_raw_parts(first, count) }
}

/// A system address of the bytes described; the mapping, if one has to be made, is undone by whoever
/// owns the MDL (`MmGetSystemAddressForMdlSafe`). IRQL <= DISPATCH_LEVEL.
///
/// # Errors
/// [`Status::INSUFFICIENT_RESOURCES`]: no address space.
///
/// # Safety
/// `mdl` is a valid MDL of locked pages.
pub unsafe fn system_address(mdl: *mut MDL) -> Result<NonNull<c_void>> {
    // SAFETY: the caller's promise.
    let flags = unsafe { (*mdl).MdlFlags };
    let address = if flags & HAS_SYSTEM_ADDRESS != 0 {
        // SAFETY: the caller's promise.
        unsafe { (*mdl).MappedSystemVa }
    } else {
        // SAFETY: the caller's promise.
        unsafe {
            MmMapLockedPagesSpecifyCache(
                mdl,
                wdk_sys::_MODE::KernelMode as i8,
                wdk_sys::_MEMORY_CACHING_TYPE::MmCached,
                core::ptr::null_mut(),
                0,
                PRIORITY as _,
            )
        }
    };
    NonNull::new(address).ok_or(Status::INSUFFICIENT_RESOURCES)
}

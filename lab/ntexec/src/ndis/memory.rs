//! Memory that drivers take from NDIS.

use alloc::collections::BTreeMap;

use super::rules;
use crate::ex::pool::{NON_PAGED_POOL_NX, allocate as pool_allocate, free as pool_free};
use crate::nt::ke::PVOID;
use crate::nt::ndis::*;
use crate::sync::Lock;

const TAG: u32 = u32::from_le_bytes(*b"NDim");

/// Blocks that a handle's owner has, by address: the owner and the tag.
static BLOCKS: Lock<BTreeMap<usize, (usize, u32)>> = Lock::new(BTreeMap::new());

/// Memory of NDIS' own; null if there is none.
pub(super) unsafe fn allocate(size: usize) -> PVOID {
    crate::storport::os::ExAllocatePoolWithTag(NON_PAGED_POOL_NX, size, TAG)
}

/// Frees what [`allocate`] gave.
pub(super) unsafe fn free(at: PVOID) {
    crate::storport::os::ExFreePoolWithTag(at, TAG);
}

/// Blocks that an owner did not free.
pub(super) fn left(owner: PVOID) -> usize {
    BLOCKS
        .lock()
        .values()
        .filter(|(o, _)| *o == owner as usize)
        .count()
}

unsafe extern "win64" fn with_priority(
    owner: PVOID,
    size: u32,
    tag: u32,
    _priority: u32,
    _: usize,
    _: usize,
    caller: usize,
) -> PVOID {
    let at = pool_allocate(size as usize, tag, false, false, caller);
    if !at.is_null() {
        BLOCKS.lock().insert(at as usize, (owner as usize, tag));
    }
    at
}

unsafe extern "win64" fn with_tag(
    to: *mut PVOID,
    size: u32,
    tag: u32,
    _: usize,
    _: usize,
    _: usize,
    caller: usize,
) -> NDIS_STATUS {
    let at = pool_allocate(size as usize, tag, false, false, caller);
    to.write(at);
    if at.is_null() {
        return NDIS_STATUS_FAILURE;
    }
    BLOCKS.lock().insert(at as usize, (0, tag));
    NDIS_STATUS_SUCCESS
}

crate::with_caller! {
    /// NdisAllocateMemoryWithTagPriority. At most DISPATCH_LEVEL.
    fn NdisAllocateMemoryWithTagPriority(Owner: PVOID, Length: u32, Tag: u32, Priority: u32) -> PVOID => with_priority;
    /// NdisAllocateMemoryWithTag. At most DISPATCH_LEVEL.
    fn NdisAllocateMemoryWithTag(To: *mut PVOID, Length: u32, Tag: u32) -> NDIS_STATUS => with_tag;
}

/// NdisFreeMemory: `flags` are those of the allocation; 0 here. At most DISPATCH_LEVEL.
pub(super) unsafe extern "win64" fn NdisFreeMemory(at: PVOID, _length: u32, flags: u32) {
    let Some((_, tag)) = BLOCKS.lock().remove(&(at as usize)) else {
        crate::check::violation(
            rules::OBJECT,
            format_args!("NdisFreeMemory: {at:p} is not allocated"),
        );
        return;
    };
    if flags != 0 {
        crate::check::violation(
            rules::OBJECT,
            format_args!("NdisFreeMemory: flags {flags:#x} were not allocated with"),
        );
    }
    pool_free(at, tag, NdisFreeMemory as *const () as usize);
}

/// NdisFreeMemoryWithTagPriority. At most DISPATCH_LEVEL.
pub(super) unsafe extern "win64" fn NdisFreeMemoryWithTagPriority(
    _owner: PVOID,
    at: PVOID,
    tag: u32,
) {
    BLOCKS.lock().remove(&(at as usize));
    pool_free(at, tag, NdisFreeMemoryWithTagPriority as *const () as usize);
}

/// NdisFreeMemoryWithTag. At most DISPATCH_LEVEL.
pub(super) unsafe extern "win64" fn NdisFreeMemoryWithTag(at: PVOID, tag: u32) {
    NdisFreeMemoryWithTagPriority(core::ptr::null_mut(), at, tag);
}

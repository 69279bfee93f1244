//! Lookaside lists: they keep what is freed for the next one who asks.

use super::pool::{ExAllocatePoolWithTag, ExFreePoolWithTag, NON_PAGED_POOL_NX};
use super::slist::{
    ExQueryDepthSList, ExpInterlockedFlushSList, ExpInterlockedPopEntrySList,
    ExpInterlockedPushEntrySList,
};
use crate::nt::ke::{LIST_ENTRY, NTSTATUS, PVOID};
use crate::nt::mm::{GENERAL_LOOKASIDE_POOL, SLIST_HEADER};
use crate::nt::status::STATUS_SUCCESS;

/// How many entries a list keeps (`ExMinimumLookasideDepth`).
const DEPTH: u16 = 4;

/// `PALLOCATE_FUNCTION`, `PFREE_FUNCTION`.
type AllocateFunction = unsafe extern "win64" fn(kind: u32, bytes: usize, tag: u32) -> PVOID;
type FreeFunction = unsafe extern "win64" fn(buffer: PVOID);
/// `PALLOCATE_FUNCTION_EX`, `PFREE_FUNCTION_EX`.
type AllocateFunctionEx = unsafe extern "win64" fn(
    kind: u32,
    bytes: usize,
    tag: u32,
    list: *mut GENERAL_LOOKASIDE_POOL,
) -> PVOID;
type FreeFunctionEx = unsafe extern "win64" fn(buffer: PVOID, list: *mut GENERAL_LOOKASIDE_POOL);

unsafe fn initialize(
    list: *mut GENERAL_LOOKASIDE_POOL,
    kind: u32,
    tag: u32,
    size: usize,
    allocate: PVOID,
    free: PVOID,
) {
    list.write(GENERAL_LOOKASIDE_POOL {
        ListHead: SLIST_HEADER {
            Alignment: 0,
            Region: 0,
        },
        Depth: DEPTH,
        MaximumDepth: 256,
        TotalAllocates: 0,
        AllocateMisses: 0,
        TotalFrees: 0,
        FreeMisses: 0,
        Type: kind,
        Tag: tag,
        Size: size as u32,
        Allocate: allocate,
        Free: free,
        ListEntry: LIST_ENTRY::NULL,
        LastTotalAllocates: 0,
        LastAllocateMisses: 0,
        Future: [0; 2],
    });
}

unsafe extern "win64" fn pool_allocate_ex(
    kind: u32,
    bytes: usize,
    tag: u32,
    _list: *mut GENERAL_LOOKASIDE_POOL,
) -> PVOID {
    ExAllocatePoolWithTag(kind, bytes, tag)
}

unsafe extern "win64" fn pool_free_ex(buffer: PVOID, list: *mut GENERAL_LOOKASIDE_POOL) {
    ExFreePoolWithTag(buffer, (*list).Tag);
}

unsafe extern "win64" fn pool_free(buffer: PVOID) {
    ExFreePoolWithTag(buffer, 0);
}

/// `ExInitializeLookasideListEx`.
pub unsafe extern "win64" fn ExInitializeLookasideListEx(
    Lookaside: *mut GENERAL_LOOKASIDE_POOL,
    Allocate: Option<AllocateFunctionEx>,
    Free: Option<FreeFunctionEx>,
    PoolType: u32,
    _Flags: u32,
    Size: usize,
    Tag: u32,
    _Depth: u16,
) -> NTSTATUS {
    let allocate = Allocate.unwrap_or(pool_allocate_ex) as PVOID;
    let free = Free.unwrap_or(pool_free_ex) as PVOID;
    initialize(Lookaside, PoolType, Tag, Size, allocate, free);
    STATUS_SUCCESS
}

/// `ExDeleteLookasideListEx`: what it keeps is freed.
pub unsafe extern "win64" fn ExDeleteLookasideListEx(Lookaside: *mut GENERAL_LOOKASIDE_POOL) {
    let free: FreeFunctionEx = core::mem::transmute((*Lookaside).Free);
    let mut entry = ExpInterlockedFlushSList(&raw mut (*Lookaside).ListHead);
    while !entry.is_null() {
        let next = (*entry).Next;
        free(entry.cast(), Lookaside);
        entry = next;
    }
}

/// `ExAllocateFromLookasideListEx` (inline in some headers, exported too).
pub unsafe extern "win64" fn ExAllocateFromLookasideListEx(
    Lookaside: *mut GENERAL_LOOKASIDE_POOL,
) -> PVOID {
    (*Lookaside).TotalAllocates += 1;
    let entry = ExpInterlockedPopEntrySList(&raw mut (*Lookaside).ListHead);
    if !entry.is_null() {
        return entry.cast();
    }
    (*Lookaside).AllocateMisses += 1;
    let allocate: AllocateFunctionEx = core::mem::transmute((*Lookaside).Allocate);
    allocate(
        (*Lookaside).Type,
        (*Lookaside).Size as usize,
        (*Lookaside).Tag,
        Lookaside,
    )
}

/// `ExFreeToLookasideListEx`.
pub unsafe extern "win64" fn ExFreeToLookasideListEx(
    Lookaside: *mut GENERAL_LOOKASIDE_POOL,
    Entry: PVOID,
) {
    (*Lookaside).TotalFrees += 1;
    if ExQueryDepthSList(&raw mut (*Lookaside).ListHead) < (*Lookaside).Depth {
        ExpInterlockedPushEntrySList(&raw mut (*Lookaside).ListHead, Entry.cast());
        return;
    }
    (*Lookaside).FreeMisses += 1;
    let free: FreeFunctionEx = core::mem::transmute((*Lookaside).Free);
    free(Entry, Lookaside);
}

/// `ExInitializeNPagedLookasideList`.
pub unsafe extern "win64" fn ExInitializeNPagedLookasideList(
    Lookaside: *mut GENERAL_LOOKASIDE_POOL,
    Allocate: Option<AllocateFunction>,
    Free: Option<FreeFunction>,
    _Flags: u32,
    Size: usize,
    Tag: u32,
    _Depth: u16,
) {
    let allocate = Allocate.map_or(ExAllocatePoolWithTag as *const () as PVOID, |f| f as PVOID);
    let free = Free.unwrap_or(pool_free) as PVOID;
    initialize(Lookaside, NON_PAGED_POOL_NX, Tag, Size, allocate, free);
}

/// `ExDeleteNPagedLookasideList`.
pub unsafe extern "win64" fn ExDeleteNPagedLookasideList(Lookaside: *mut GENERAL_LOOKASIDE_POOL) {
    let free: FreeFunction = core::mem::transmute((*Lookaside).Free);
    let mut entry = ExpInterlockedFlushSList(&raw mut (*Lookaside).ListHead);
    while !entry.is_null() {
        let next = (*entry).Next;
        free(entry.cast());
        entry = next;
    }
}

exports! { pub static EXPORTS;
    Ntoskrnl {
        ExInitializeLookasideListEx, ExDeleteLookasideListEx, ExAllocateFromLookasideListEx, ExFreeToLookasideListEx,
        ExInitializeNPagedLookasideList, ExDeleteNPagedLookasideList,
    }
}

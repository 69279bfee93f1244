//! Contiguous memory. <https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-mmallocatecontiguousmemoryspecifycache>

use super::grants;
use super::iospace::caching;
use super::phys::{self, Request};
use super::{direct, va};
use crate::check;
use crate::kd::modules;
use crate::machine::{Caching, PAGE_SIZE, Protection};
use crate::nt::ke::PVOID;
use crate::nt::mm::PHYSICAL_ADDRESS;
use crate::sync::Lock;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

#[derive(Clone, Copy)]
struct Block {
    pages: usize,
    pa: u64,
    mapped: bool,
    driver: u32,
}

static BLOCKS: Lock<BTreeMap<usize, Block>> = Lock::new(BTreeMap::new());

fn allocate(bytes: usize, request: &Request, cache: Caching, caller: usize) -> PVOID {
    let pages = bytes.div_ceil(PAGE_SIZE);
    let request = Request {
        count: pages,
        ..*request
    };
    let Some(pa) = phys::allocate(&request) else {
        return core::ptr::null_mut();
    };
    let cached = cache == Caching::Cached;
    let mapped = if cached {
        Ok(direct(pa) as usize)
    } else {
        va::map(
            pages,
            |i| pa + (i * PAGE_SIZE) as u64,
            Protection::ReadWrite,
            cache,
        )
    };
    let Ok(address) = mapped else {
        phys::free(pa, pages);
        return core::ptr::null_mut();
    };
    let block = Block {
        pages,
        pa,
        mapped: !cached,
        driver: modules::driver_of(caller),
    };
    BLOCKS.lock().insert(address, block);
    address as PVOID
}

fn free(address: PVOID) {
    let block = BLOCKS.lock().remove(&(address as usize));
    let Some(b) = block else {
        check::violation(
            "contiguous memory is freed once, by its address",
            format_args!("{address:p}"),
        );
        return;
    };
    if b.mapped {
        va::unmap(address as usize, b.pages);
    }
    (0..b.pages).for_each(|i| grants::freeing(b.pa + (i * PAGE_SIZE) as u64));
    phys::free(b.pa, b.pages);
}

/// Blocks that `driver` has not given back: address and pages.
pub fn contiguous_leaks(driver: u32) -> Vec<(usize, usize)> {
    BLOCKS
        .lock()
        .iter()
        .filter(|(_, b)| b.driver == driver)
        .map(|(&a, b)| (a, b.pages))
        .collect()
}

fn limit(highest: PHYSICAL_ADDRESS) -> u64 {
    if highest < 0 {
        u64::MAX
    } else {
        highest as u64
    }
}

unsafe extern "win64" fn plain(
    bytes: usize,
    highest: PHYSICAL_ADDRESS,
    _: usize,
    _: usize,
    _: usize,
    _: usize,
    caller: usize,
) -> PVOID {
    let request = Request {
        highest: limit(highest),
        ..Request::any(1)
    };
    allocate(bytes, &request, Caching::Cached, caller)
}

unsafe extern "win64" fn specify(
    bytes: usize,
    lowest: PHYSICAL_ADDRESS,
    highest: PHYSICAL_ADDRESS,
    boundary: PHYSICAL_ADDRESS,
    cache: i32,
    _: usize,
    caller: usize,
) -> PVOID {
    let request = Request {
        lowest: lowest as u64,
        highest: limit(highest),
        boundary: boundary as u64,
        ..Request::any(1)
    };
    allocate(bytes, &request, caching(cache), caller)
}

unsafe extern "win64" fn noncached(
    bytes: usize,
    _: usize,
    _: usize,
    _: usize,
    _: usize,
    _: usize,
    caller: usize,
) -> PVOID {
    allocate(bytes, &Request::any(1), Caching::NonCached, caller)
}

crate::with_caller! {
    /// `MmAllocateContiguousMemory`.
    fn MmAllocateContiguousMemory(NumberOfBytes: usize, HighestAcceptableAddress: PHYSICAL_ADDRESS) -> PVOID => plain;
    /// `MmAllocateContiguousMemorySpecifyCache`.
    fn MmAllocateContiguousMemorySpecifyCache(NumberOfBytes: usize, LowestAcceptableAddress: PHYSICAL_ADDRESS,
        HighestAcceptableAddress: PHYSICAL_ADDRESS, BoundaryAddressMultiple: PHYSICAL_ADDRESS, CacheType: i32)
        -> PVOID => specify;
    /// `MmAllocateNonCachedMemory`.
    fn MmAllocateNonCachedMemory(NumberOfBytes: usize) -> PVOID => noncached;
}

/// `MmFreeContiguousMemory`.
pub unsafe extern "win64" fn MmFreeContiguousMemory(BaseAddress: PVOID) {
    free(BaseAddress);
}

/// `MmFreeContiguousMemorySpecifyCache`.
pub unsafe extern "win64" fn MmFreeContiguousMemorySpecifyCache(
    BaseAddress: PVOID,
    _NumberOfBytes: usize,
    _CacheType: i32,
) {
    free(BaseAddress);
}

/// `MmFreeNonCachedMemory`.
pub unsafe extern "win64" fn MmFreeNonCachedMemory(BaseAddress: PVOID, _NumberOfBytes: usize) {
    free(BaseAddress);
}

exports! { pub static EXPORTS;
    Ntoskrnl {
        MmAllocateContiguousMemory, MmAllocateContiguousMemorySpecifyCache, MmFreeContiguousMemory,
        MmFreeContiguousMemorySpecifyCache, MmAllocateNonCachedMemory, MmFreeNonCachedMemory,
    }
}

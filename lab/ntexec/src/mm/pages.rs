//! Pages for MDLs. <https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-mmallocatepagesformdlex>

use super::grants;
use super::mdl::{new_mdl, unmap_if_mapped};
use super::phys::{self, Request};
use crate::check;
use crate::kd::modules;
use crate::machine::PAGE_SIZE;

use crate::nt::mm::{MDL, PFN_NUMBER, PHYSICAL_ADDRESS};
use crate::sync::Lock;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

const MM_DONT_ZERO_ALLOCATION: u32 = 1;
const MM_ALLOCATE_FULLY_REQUIRED: u32 = 4;
const MM_ALLOCATE_PREFER_CONTIGUOUS: u32 = 0x10;
const MM_ALLOCATE_REQUIRE_CONTIGUOUS_CHUNKS: u32 = 0x20;
/// What an MDL's 16-bit size can describe less than: 2 GiB is the API's own bound, one MDL's array the pool's.
const MAX_BYTES: usize = u32::MAX as usize - PAGE_SIZE;

/// Which driver has a page: by frame number.
static OWNERS: Lock<BTreeMap<PFN_NUMBER, u32>> = Lock::new(BTreeMap::new());

struct Want {
    low: u64,
    high: u64,
    skip: u64,
    flags: u32,
}

impl Want {
    fn request(&self, count: usize) -> Request {
        Request {
            count,
            lowest: self.low,
            highest: self.high,
            ..Request::any(1)
        }
    }

    fn anywhere(&self) -> bool {
        self.low == 0 && self.high == u64::MAX
    }
}

/// One page as wanted: any, or the first in the range or (with `SkipBytes`) in the ranges that follow.
fn one(want: &Want) -> Option<u64> {
    if want.anywhere() {
        return phys::allocate_page();
    }
    let mut w = Want {
        low: want.low,
        high: want.high,
        skip: want.skip,
        flags: want.flags,
    };
    for _ in 0..1024 {
        if let Some(pa) = phys::allocate(&w.request(1)) {
            return Some(pa);
        }
        if want.skip == 0 {
            return None;
        }
        w.low = w.low.checked_add(want.skip)?;
        w.high = w.high.saturating_add(want.skip);
    }
    None
}

fn take(want: &Want, count: usize) -> Vec<u64> {
    let mut pages = Vec::with_capacity(count);
    let contiguous = MM_ALLOCATE_PREFER_CONTIGUOUS | MM_ALLOCATE_REQUIRE_CONTIGUOUS_CHUNKS;
    if want.flags & contiguous != 0
        && let Some(pa) = phys::allocate(&want.request(count))
    {
        pages.extend((0..count).map(|i| pa + (i * PAGE_SIZE) as u64));
        return pages;
    }
    if want.flags & MM_ALLOCATE_REQUIRE_CONTIGUOUS_CHUNKS != 0 && want.skip == 0 {
        return pages;
    }
    while pages.len() < count {
        let Some(pa) = one(want) else { break };
        pages.push(pa);
    }
    pages
}

fn give(pages: &[u64]) {
    for &pa in pages {
        phys::free(pa, 1);
    }
}

unsafe fn describe(pages: &[u64], caller: usize) -> *mut MDL {
    let mdl = new_mdl(0, pages.len() * PAGE_SIZE, caller);
    if mdl.is_null() {
        return mdl;
    }
    (*mdl).MdlFlags |= MDL::PAGES_LOCKED;
    let pfns = MDL::pfns(mdl);
    let driver = modules::driver_of(caller);
    let mut owners = OWNERS.lock();
    for (i, &pa) in pages.iter().enumerate() {
        let pfn = (pa as usize) / PAGE_SIZE;
        pfns.add(i).write(pfn);
        owners.insert(pfn, driver);
    }
    mdl
}

unsafe extern "win64" fn allocate(
    low: PHYSICAL_ADDRESS,
    high: PHYSICAL_ADDRESS,
    skip: PHYSICAL_ADDRESS,
    bytes: usize,
    _cache: i32,
    flags: u32,
    caller: usize,
) -> *mut MDL {
    let count = bytes.div_ceil(PAGE_SIZE);
    if count == 0 || bytes > MAX_BYTES {
        return core::ptr::null_mut();
    }
    let high = if high < 0 { u64::MAX } else { high as u64 };
    let want = Want {
        low: low as u64,
        high,
        skip: skip as u64,
        flags,
    };
    let pages = take(&want, count);
    if pages.is_empty() || (flags & MM_ALLOCATE_FULLY_REQUIRED != 0 && pages.len() < count) {
        give(&pages);
        return core::ptr::null_mut();
    }
    let fill = if flags & MM_DONT_ZERO_ALLOCATION == 0 {
        0
    } else {
        0xCD
    };
    for &pa in &pages {
        super::direct(pa).write_bytes(fill, PAGE_SIZE);
    }
    let mdl = describe(&pages, caller);
    if mdl.is_null() {
        give(&pages);
    }
    mdl
}

unsafe extern "win64" fn allocate_plain(
    low: PHYSICAL_ADDRESS,
    high: PHYSICAL_ADDRESS,
    skip: PHYSICAL_ADDRESS,
    bytes: usize,
    _: usize,
    _: usize,
    caller: usize,
) -> *mut MDL {
    allocate(low, high, skip, bytes, 1, 0, caller)
}

crate::with_caller! {
    /// `MmAllocatePagesForMdlEx`: pages, zeroed unless told otherwise, perhaps fewer than asked for; null for none. The caller
    /// gives them back with `MmFreePagesFromMdl` and the MDL with `ExFreePool`. At most DISPATCH_LEVEL.
    fn MmAllocatePagesForMdlEx(LowAddress: PHYSICAL_ADDRESS, HighAddress: PHYSICAL_ADDRESS, SkipBytes: PHYSICAL_ADDRESS,
        TotalBytes: usize, CacheType: i32, Flags: u32) -> *mut MDL => allocate;
    /// `MmAllocatePagesForMdl`.
    fn MmAllocatePagesForMdl(LowAddress: PHYSICAL_ADDRESS, HighAddress: PHYSICAL_ADDRESS, SkipBytes: PHYSICAL_ADDRESS,
        TotalBytes: usize) -> *mut MDL => allocate_plain;
}

/// `MmFreePagesFromMdl`: the MDL stays, for `ExFreePool`. At most DISPATCH_LEVEL.
pub unsafe extern "win64" fn MmFreePagesFromMdl(MemoryDescriptorList: *mut MDL) {
    let mdl = MemoryDescriptorList;
    unmap_if_mapped(mdl);
    let pages = (*mdl).pages();
    for i in 0..pages {
        let pfn = MDL::pfns(mdl).add(i).read();
        grants::freeing((pfn * PAGE_SIZE) as u64);
        let known = OWNERS.lock().remove(&pfn).is_some();
        if !known || !phys::free((pfn * PAGE_SIZE) as u64, 1) {
            check::violation(
                "MmFreePagesFromMdl frees pages that MmAllocatePagesForMdl gave, once",
                format_args!("page {pfn:#x} of {mdl:p}"),
            );
        }
    }
    (*mdl).MdlFlags &= !MDL::PAGES_LOCKED;
}

/// `MmFreePagesFromMdlEx`.
pub unsafe extern "win64" fn MmFreePagesFromMdlEx(MemoryDescriptorList: *mut MDL, _Flags: u32) {
    MmFreePagesFromMdl(MemoryDescriptorList);
}

/// Pages that `driver` got by MDLs and has not given back.
pub fn page_leaks(driver: u32) -> usize {
    OWNERS.lock().values().filter(|&&d| d == driver).count()
}

exports! { pub static EXPORTS;
    Ntoskrnl { MmAllocatePagesForMdlEx, MmAllocatePagesForMdl, MmFreePagesFromMdl, MmFreePagesFromMdlEx }
}

//! Device memory. <https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-mmmapiospace>

use super::grants;
use super::va;
use crate::check;
use crate::ex::{ExAllocatePoolWithTag, NON_PAGED_POOL_NX};
use crate::machine::{Caching, PAGE_SIZE, Protection, machine};
use crate::nt::ke::{BOOLEAN, NTSTATUS, PVOID};
use crate::nt::mm::{PHYSICAL_ADDRESS, PHYSICAL_MEMORY_RANGE};
use crate::nt::status::STATUS_NOT_SUPPORTED;

/// `PAGE_READONLY`, `PAGE_NOCACHE`, `PAGE_WRITECOMBINE`.
const PAGE_READONLY: u32 = 0x02;
const PAGE_NOCACHE: u32 = 0x200;
const PAGE_WRITECOMBINE: u32 = 0x400;

/// `MEMORY_CACHING_TYPE`: 0 not cached, 1 cached, 2 write combined.
pub(super) fn caching(kind: i32) -> Caching {
    match kind {
        1 => Caching::Cached,
        2 => Caching::WriteCombined,
        _ => Caching::NonCached,
    }
}

fn map(pa: u64, bytes: usize, protection: Protection, caching: Caching) -> PVOID {
    let offset = pa as usize % PAGE_SIZE;
    let base = pa - offset as u64;
    let pages = (offset + bytes).div_ceil(PAGE_SIZE);
    let physical = |i: usize| base + (i * PAGE_SIZE) as u64;
    let Ok(va) = va::map(pages, physical, protection, caching) else {
        return core::ptr::null_mut();
    };
    grants::mapped(va, pages, base);
    (va + offset) as PVOID
}

/// `MmMapIoSpace`. At most DISPATCH_LEVEL. Null if it cannot be done.
pub unsafe extern "win64" fn MmMapIoSpace(
    PhysicalAddress: PHYSICAL_ADDRESS,
    NumberOfBytes: usize,
    CacheType: i32,
) -> PVOID {
    map(
        PhysicalAddress as u64,
        NumberOfBytes,
        Protection::ReadWrite,
        caching(CacheType),
    )
}

/// `MmMapIoSpaceEx`: by page protection flags. Executable ones are refused.
pub unsafe extern "win64" fn MmMapIoSpaceEx(
    PhysicalAddress: PHYSICAL_ADDRESS,
    NumberOfBytes: usize,
    Protect: u32,
) -> PVOID {
    let cache = match Protect & (PAGE_NOCACHE | PAGE_WRITECOMBINE) {
        0 => Caching::Cached,
        PAGE_NOCACHE => Caching::NonCached,
        _ => Caching::WriteCombined,
    };
    match Protect & 0xFF {
        PAGE_READONLY => map(
            PhysicalAddress as u64,
            NumberOfBytes,
            Protection::Read,
            cache,
        ),
        0x04 => map(
            PhysicalAddress as u64,
            NumberOfBytes,
            Protection::ReadWrite,
            cache,
        ),
        _ => core::ptr::null_mut(),
    }
}

/// `MmUnmapIoSpace`. At most DISPATCH_LEVEL.
pub unsafe extern "win64" fn MmUnmapIoSpace(BaseAddress: PVOID, NumberOfBytes: usize) {
    let pages = (BaseAddress as usize % PAGE_SIZE + NumberOfBytes).div_ceil(PAGE_SIZE);
    grants::unmapped(super::page_of(BaseAddress as usize));
    if !va::unmap(super::page_of(BaseAddress as usize), pages) {
        check::violation(
            "MmUnmapIoSpace is called once, with the address and length that were mapped",
            format_args!("{BaseAddress:p} + {NumberOfBytes:#x}"),
        );
    }
}

/// `MmGetPhysicalAddress`: 0 where nothing is mapped. Any IRQL.
pub unsafe extern "win64" fn MmGetPhysicalAddress(BaseAddress: PVOID) -> PHYSICAL_ADDRESS {
    super::physical(BaseAddress as usize).unwrap_or(0) as PHYSICAL_ADDRESS
}

/// `MmIsAddressValid`.
pub unsafe extern "win64" fn MmIsAddressValid(VirtualAddress: PVOID) -> BOOLEAN {
    BOOLEAN::from(super::is_mapped(VirtualAddress as usize))
}

/// `MmGetVirtualForPhysical`: where RAM is mapped.
pub unsafe extern "win64" fn MmGetVirtualForPhysical(PhysicalAddress: PHYSICAL_ADDRESS) -> PVOID {
    super::direct(PhysicalAddress as u64).cast()
}

/// `MmGetPhysicalMemoryRanges`: RAM in runs, in pool that the caller frees; the last entry is zero. PASSIVE_LEVEL.
pub unsafe extern "win64" fn MmGetPhysicalMemoryRanges() -> *mut PHYSICAL_MEMORY_RANGE {
    let mut ranges = alloc::vec::Vec::<(u64, u64)>::new();
    for r in machine().memory_map() {
        match ranges.last_mut() {
            Some(last) if last.0 + last.1 == r.base => last.1 += r.len,
            _ => ranges.push((r.base, r.len)),
        }
    }
    let bytes = (ranges.len() + 1) * size_of::<PHYSICAL_MEMORY_RANGE>();
    let list = ExAllocatePoolWithTag(NON_PAGED_POOL_NX, bytes, u32::from_le_bytes(*b"hPmM"))
        .cast::<PHYSICAL_MEMORY_RANGE>();
    if list.is_null() {
        return list;
    }
    for (i, &(base, len)) in ranges.iter().chain(&[(0, 0)]).enumerate() {
        list.add(i).write(PHYSICAL_MEMORY_RANGE {
            BaseAddress: base as i64,
            NumberOfBytes: len as i64,
        });
    }
    list
}

/// `MmAddPhysicalMemory`: memory cannot be added here.
pub unsafe extern "win64" fn MmAddPhysicalMemory(
    _StartAddress: *mut PHYSICAL_ADDRESS,
    _NumberOfBytes: *mut i64,
) -> NTSTATUS {
    STATUS_NOT_SUPPORTED
}

/// `MmRemovePhysicalMemory`: nor removed.
pub unsafe extern "win64" fn MmRemovePhysicalMemory(
    _StartAddress: *mut PHYSICAL_ADDRESS,
    _NumberOfBytes: *mut i64,
) -> NTSTATUS {
    STATUS_NOT_SUPPORTED
}

exports! { pub static EXPORTS;
    Ntoskrnl {
        MmMapIoSpace, MmMapIoSpaceEx, MmUnmapIoSpace, MmGetPhysicalAddress, MmIsAddressValid, MmGetVirtualForPhysical,
        MmGetPhysicalMemoryRanges, MmAddPhysicalMemory, MmRemovePhysicalMemory,
    }
}

//! Memory descriptor lists. <https://learn.microsoft.com/windows-hardware/drivers/kernel/using-mdls>

use super::grants;
use super::iospace::caching;
use super::va;
use crate::check;
use crate::ex::pool;
use crate::kd::bugcheck;
use crate::machine::{Caching, PAGE_SIZE, Protection};
use crate::nt::io::IRP;
use crate::nt::ke::{BOOLEAN, KPROCESSOR_MODE, NTSTATUS, PVOID};
use crate::nt::mm::{MDL, PFN_NUMBER};
use crate::nt::status::{
    STATUS_ACCESS_VIOLATION, STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED, STATUS_SUCCESS,
};
use crate::sync::Lock;
use alloc::collections::BTreeMap;

const TAG: u32 = u32::from_le_bytes(*b"Mdl ");
/// `MdlMappingNoWrite`.
const NO_WRITE: u32 = 0x8000_0000;

/// Mappings that stand: address and pages. An MDL of nonpaged pool is not in here.
static MAPPINGS: Lock<BTreeMap<usize, usize>> = Lock::new(BTreeMap::new());

/// Pages that `length` bytes from `va` touch.
fn span(va: usize, length: usize) -> usize {
    (va % PAGE_SIZE + length).div_ceil(PAGE_SIZE)
}

unsafe fn initialize(mdl: *mut MDL, va: usize, length: usize) {
    mdl.write(MDL {
        Next: core::ptr::null_mut(),
        Size: (size_of::<MDL>() + span(va, length) * size_of::<PFN_NUMBER>()) as i16,
        MdlFlags: 0,
        Process: core::ptr::null_mut(),
        MappedSystemVa: core::ptr::null_mut(),
        StartVa: super::page_of(va) as PVOID,
        ByteCount: length as u32,
        ByteOffset: (va % PAGE_SIZE) as u32,
    });
}

/// An MDL from pool that counts for the code at `caller`.
pub(super) unsafe fn new_mdl(va: usize, length: usize, caller: usize) -> *mut MDL {
    let bytes = size_of::<MDL>() + span(va, length) * size_of::<PFN_NUMBER>();
    let mdl = pool::allocate(bytes, TAG, true, false, caller).cast::<MDL>();
    if !mdl.is_null() {
        initialize(mdl, va, length);
    }
    mdl
}

unsafe extern "win64" fn allocate(
    va: usize,
    length: u32,
    secondary: BOOLEAN,
    _quota: BOOLEAN,
    irp: *mut IRP,
    _: usize,
    caller: usize,
) -> *mut MDL {
    let mdl = new_mdl(va, length as usize, caller);
    if mdl.is_null() || irp.is_null() {
        return mdl;
    }
    if secondary == 0 {
        (*irp).MdlAddress = mdl;
        return mdl;
    }
    let mut last = (*irp).MdlAddress;
    while !(*last).Next.is_null() {
        last = (*last).Next;
    }
    (*last).Next = mdl;
    mdl
}

crate::with_caller! {
    /// `IoAllocateMdl`: for `Length` bytes from `VirtualAddress`; no pages are locked yet. At most DISPATCH_LEVEL.
    fn IoAllocateMdl(VirtualAddress: PVOID, Length: u32, SecondaryBuffer: BOOLEAN, ChargeQuota: BOOLEAN, Irp: *mut IRP)
        -> *mut MDL => allocate;
}

/// `IoFreeMdl`. At most DISPATCH_LEVEL.
pub unsafe extern "win64" fn IoFreeMdl(Mdl: *mut MDL) {
    if (*Mdl).MdlFlags & MDL::PARTIAL_HAS_BEEN_MAPPED != 0 {
        unmap_if_mapped(Mdl);
    }
    if (*Mdl).MdlFlags & MDL::PAGES_LOCKED != 0 && (*Mdl).MdlFlags & MDL::PARTIAL == 0 {
        check::violation(
            "an MDL is freed after its pages are unlocked",
            format_args!("{Mdl:p}"),
        );
    }
    pool::free(Mdl.cast(), TAG, IoFreeMdl as *const () as usize);
}

/// `MmSizeOfMdl`.
pub unsafe extern "win64" fn MmSizeOfMdl(Base: PVOID, Length: usize) -> usize {
    size_of::<MDL>() + span(Base as usize, Length) * size_of::<PFN_NUMBER>()
}

/// `MmInitializeMdl` (a macro in wdm.h).
pub unsafe fn MmInitializeMdl(mdl: *mut MDL, base: PVOID, length: usize) {
    initialize(mdl, base as usize, length);
}

/// Writes the frame numbers of the described addresses. False if one is not mapped.
unsafe fn fill(mdl: *mut MDL) -> bool {
    let start = (*mdl).StartVa as usize;
    for i in 0..(*mdl).pages() {
        let Some(pa) = super::physical(start + i * PAGE_SIZE) else {
            return false;
        };
        MDL::pfns(mdl).add(i).write(pa as usize / PAGE_SIZE);
    }
    true
}

/// `MmBuildMdlForNonPagedPool`: at most DISPATCH_LEVEL.
pub unsafe extern "win64" fn MmBuildMdlForNonPagedPool(MemoryDescriptorList: *mut MDL) {
    let mdl = MemoryDescriptorList;
    if !fill(mdl) {
        bugcheck::raise(
            bugcheck::PFN_LIST_CORRUPT,
            [mdl as usize, (*mdl).StartVa as usize, 0, 0],
        );
    }
    (*mdl).MdlFlags |= MDL::SOURCE_IS_NONPAGED_POOL;
    (*mdl).MappedSystemVa = ((*mdl).StartVa as usize + (*mdl).ByteOffset as usize) as PVOID;
}

/// `MmProbeAndLockPages`: nothing is paged, so there is only to look the pages up; addresses that are not mapped raise
/// STATUS_ACCESS_VIOLATION on Windows, and are a bug check here.
pub unsafe extern "win64" fn MmProbeAndLockPages(
    MemoryDescriptorList: *mut MDL,
    _AccessMode: KPROCESSOR_MODE,
    Operation: i32,
) {
    let mdl = MemoryDescriptorList;
    if (*mdl).MdlFlags & (MDL::PAGES_LOCKED | MDL::SOURCE_IS_NONPAGED_POOL) != 0 {
        check::violation(
            "an MDL's pages are locked once",
            format_args!("{mdl:p} flags {:#x}", (*mdl).MdlFlags),
        );
    }
    if !fill(mdl) {
        bugcheck::raise(
            bugcheck::KMODE_EXCEPTION_NOT_HANDLED,
            [
                STATUS_ACCESS_VIOLATION as u32 as usize,
                mdl as usize,
                (*mdl).StartVa as usize,
                (*mdl).ByteCount as usize,
            ],
        );
    }
    (*mdl).MdlFlags |= MDL::PAGES_LOCKED;
    if Operation != 0 {
        (*mdl).MdlFlags |= MDL::WRITE_OPERATION;
    }
}

/// `MmUnlockPages`: a mapping goes too. At most DISPATCH_LEVEL.
pub unsafe extern "win64" fn MmUnlockPages(MemoryDescriptorList: *mut MDL) {
    let mdl = MemoryDescriptorList;
    if (*mdl).MdlFlags & MDL::PAGES_LOCKED == 0 {
        check::violation(
            "pages that are unlocked were locked",
            format_args!("{mdl:p} flags {:#x}", (*mdl).MdlFlags),
        );
    }
    unmap_if_mapped(mdl);
    (*mdl).MdlFlags &= !(MDL::PAGES_LOCKED | MDL::WRITE_OPERATION | MDL::IO_SPACE);
}

unsafe fn map(mdl: *mut MDL, protection: Protection, cache: Caching) -> Option<usize> {
    let pages = (*mdl).pages();
    let pfns = MDL::pfns(mdl) as usize;
    let physical = |i: usize| (*((pfns as *const PFN_NUMBER).add(i)) * PAGE_SIZE) as u64;
    let va = va::map(pages, physical, protection, cache).ok()?;
    MAPPINGS.lock().insert(va, pages);
    grants::mapped(va, pages, physical(0));
    Some(va + (*mdl).ByteOffset as usize)
}

/// `MmMapLockedPagesSpecifyCache`, kernel mode: null if it cannot be done. The pages must be locked or nonpaged pool's. At
/// most DISPATCH_LEVEL.
pub unsafe extern "win64" fn MmMapLockedPagesSpecifyCache(
    MemoryDescriptorList: *mut MDL,
    AccessMode: KPROCESSOR_MODE,
    CacheType: i32,
    _RequestedAddress: PVOID,
    _BugCheckOnFailure: u32,
    Priority: u32,
) -> PVOID {
    let mdl = MemoryDescriptorList;
    if AccessMode != 0 {
        return core::ptr::null_mut();
    }
    if (*mdl).MdlFlags & (MDL::PAGES_LOCKED | MDL::SOURCE_IS_NONPAGED_POOL | MDL::PARTIAL) == 0 {
        check::violation(
            "pages that are mapped are locked",
            format_args!("{mdl:p} flags {:#x}", (*mdl).MdlFlags),
        );
    }
    if (*mdl).MdlFlags & MDL::MAPPED_TO_SYSTEM_VA != 0 {
        check::violation(
            "an MDL is mapped once",
            format_args!("{mdl:p} at {:p}", (*mdl).MappedSystemVa),
        );
    }
    let protection = if Priority & NO_WRITE != 0 {
        Protection::Read
    } else {
        Protection::ReadWrite
    };
    let Some(va) = map(mdl, protection, caching(CacheType)) else {
        return core::ptr::null_mut();
    };
    (*mdl).MappedSystemVa = va as PVOID;
    (*mdl).MdlFlags |= MDL::MAPPED_TO_SYSTEM_VA;
    if (*mdl).MdlFlags & MDL::PARTIAL != 0 {
        (*mdl).MdlFlags |= MDL::PARTIAL_HAS_BEEN_MAPPED;
    }
    va as PVOID
}

/// `MmMapLockedPages`: cached.
pub unsafe extern "win64" fn MmMapLockedPages(
    MemoryDescriptorList: *mut MDL,
    AccessMode: KPROCESSOR_MODE,
) -> PVOID {
    MmMapLockedPagesSpecifyCache(
        MemoryDescriptorList,
        AccessMode,
        1,
        core::ptr::null_mut(),
        1,
        0,
    )
}

/// `MmGetSystemAddressForMdlSafe` (inline in wdm.h), for the executive's own use.
pub unsafe fn MmGetSystemAddressForMdlSafe(mdl: *mut MDL, priority: u32) -> PVOID {
    if (*mdl).MdlFlags & (MDL::MAPPED_TO_SYSTEM_VA | MDL::SOURCE_IS_NONPAGED_POOL) != 0 {
        return (*mdl).MappedSystemVa;
    }
    MmMapLockedPagesSpecifyCache(mdl, 0, 1, core::ptr::null_mut(), 0, priority)
}

/// `MmUnmapLockedPages`. At most DISPATCH_LEVEL.
pub unsafe extern "win64" fn MmUnmapLockedPages(
    BaseAddress: PVOID,
    MemoryDescriptorList: *mut MDL,
) {
    let mdl = MemoryDescriptorList;
    if (*mdl).MdlFlags & MDL::MAPPED_TO_SYSTEM_VA == 0 || (*mdl).MappedSystemVa != BaseAddress {
        check::violation(
            "MmUnmapLockedPages is given an MDL and where it is mapped",
            format_args!(
                "{mdl:p} flags {:#x} at {:p}, given {BaseAddress:p}",
                (*mdl).MdlFlags,
                (*mdl).MappedSystemVa
            ),
        );
        return;
    }
    unmap_if_mapped(mdl);
}

/// Takes an MDL's mapping away, if it has one of its own.
pub(super) unsafe fn unmap_if_mapped(mdl: *mut MDL) {
    if (*mdl).MdlFlags & MDL::MAPPED_TO_SYSTEM_VA == 0 {
        return;
    }
    let va = super::page_of((*mdl).MappedSystemVa as usize);
    (*mdl).MdlFlags &= !(MDL::MAPPED_TO_SYSTEM_VA | MDL::PARTIAL_HAS_BEEN_MAPPED);
    (*mdl).MappedSystemVa = core::ptr::null_mut();
    let pages = MAPPINGS.lock().remove(&va);
    if let Some(pages) = pages {
        grants::unmapped(va);
        va::unmap(va, pages);
    }
}

/// `IoBuildPartialMdl`: `TargetMdl` describes part of what `SourceMdl` does; `Length` 0: the rest. At most DISPATCH_LEVEL.
pub unsafe extern "win64" fn IoBuildPartialMdl(
    SourceMdl: *mut MDL,
    TargetMdl: *mut MDL,
    VirtualAddress: PVOID,
    Length: u32,
) {
    let (source, target) = (SourceMdl, TargetMdl);
    let begin = (*source).StartVa as usize + (*source).ByteOffset as usize;
    let skip = VirtualAddress as usize - begin;
    let length = if Length == 0 {
        (*source).ByteCount - skip as u32
    } else {
        Length
    };
    let size = (*target).Size;
    initialize(target, VirtualAddress as usize, length as usize);
    (*target).Size = size;
    let kept =
        MDL::SOURCE_IS_NONPAGED_POOL | MDL::WRITE_OPERATION | MDL::IO_SPACE | MDL::IO_PAGE_READ;
    (*target).MdlFlags = MDL::PARTIAL | (*source).MdlFlags & kept;
    (*target).Process = (*source).Process;
    if (*source).MdlFlags & (MDL::MAPPED_TO_SYSTEM_VA | MDL::SOURCE_IS_NONPAGED_POOL) != 0 {
        // The part is mapped as its whole is, and not unmapped by itself.
        (*target).MappedSystemVa = (*source).MappedSystemVa.byte_add(skip);
        if (*source).MdlFlags & MDL::MAPPED_TO_SYSTEM_VA != 0 {
            (*target).MdlFlags |= MDL::MAPPED_TO_SYSTEM_VA | MDL::PARENT_MAPPED_SYSTEM_VA;
        }
    }
    let first = (VirtualAddress as usize - (*source).StartVa as usize) / PAGE_SIZE;
    for i in 0..(*target).pages() {
        MDL::pfns(target)
            .add(i)
            .write(MDL::pfns(source).add(first + i).read());
    }
}

/// `MmProtectMdlSystemAddress`: of a mapped MDL; `PAGE_READONLY` (2) or `PAGE_READWRITE` (4).
pub unsafe extern "win64" fn MmProtectMdlSystemAddress(
    MemoryDescriptorList: *mut MDL,
    NewProtect: u32,
) -> NTSTATUS {
    let mdl = MemoryDescriptorList;
    if (*mdl).MdlFlags & MDL::MAPPED_TO_SYSTEM_VA == 0 {
        return STATUS_INVALID_PARAMETER;
    }
    let protection = match NewProtect {
        2 => Protection::Read,
        4 => Protection::ReadWrite,
        _ => return STATUS_NOT_SUPPORTED,
    };
    let va = super::page_of((*mdl).MappedSystemVa as usize);
    match super::image::protect(va, (*mdl).pages() * PAGE_SIZE, protection) {
        Ok(()) => STATUS_SUCCESS,
        Err(_) => STATUS_INVALID_PARAMETER,
    }
}

/// Mappings of MDLs that stand.
pub fn mapped_mdls() -> usize {
    MAPPINGS.lock().len()
}

exports! { pub static EXPORTS;
    Ntoskrnl {
        IoAllocateMdl, IoFreeMdl, MmSizeOfMdl, MmBuildMdlForNonPagedPool, MmProbeAndLockPages, MmUnlockPages,
        MmMapLockedPagesSpecifyCache, MmMapLockedPages, MmUnmapLockedPages, IoBuildPartialMdl, MmProtectMdlSystemAddress,
    }
}

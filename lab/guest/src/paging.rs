//! Page tables, by crate `x86_64`.
//!
//! Physical memory below 4 GiB (and RAM above) is mapped at [`DIRECT_MAP`], writable and never executable; the image by
//! its sections. A page that is mapped or gets another protection is flushed on the processor that does it; another
//! processor that still has the old entry takes a fault, which [`fault_is_stale`] recognises. Addresses of mappings are
//! not used again (`ntexec::mm::va`), so that an old entry never leads to another page.

use crate::boot;
use ntexec::machine::{Caching, MapError, MemoryRange, Protection};
use ntexec::sync::Lock;
use x86_64::structures::paging::mapper::{
    MapToError, Mapper, MapperFlush, OffsetPageTable, TranslateResult, UnmapError,
};
use x86_64::structures::paging::{
    FrameAllocator, FrameDeallocator, Page, PageTable, PageTableFlags as Flags, PhysFrame,
    Size2MiB, Size4KiB, Translate,
};
use x86_64::{PhysAddr, VirtAddr};

/// Where physical memory is mapped.
pub const DIRECT_MAP: usize = 0xFFFF_8000_0000_0000;

const FOUR_GIB: u64 = 1 << 32;
const LARGE: u64 = 2 << 20;

struct Frames;

// SAFETY: a frame from the executive's page allocator belongs to nobody else.
unsafe impl FrameAllocator<Size4KiB> for Frames {
    fn allocate_frame(&mut self) -> Option<PhysFrame> {
        let pa = ntexec::mm::phys::allocate_page()?;
        PhysFrame::from_start_address(PhysAddr::new(pa)).ok()
    }
}

impl FrameDeallocator<Size4KiB> for Frames {
    unsafe fn deallocate_frame(&mut self, frame: PhysFrame) {
        ntexec::mm::phys::free(frame.start_address().as_u64(), 1);
    }
}

/// The tables' root: its physical address.
static ROOT: Lock<u64> = Lock::new(0);

fn with_tables<R>(f: impl FnOnce(&mut OffsetPageTable<'static>) -> R) -> R {
    let root = ROOT.lock();
    let table = (DIRECT_MAP as u64 + *root) as *mut PageTable;
    // SAFETY: the root lies in the direct map and the lock makes this the only reference.
    let mut tables = unsafe { OffsetPageTable::new(&mut *table, VirtAddr::new(DIRECT_MAP as u64)) };
    f(&mut tables)
}

fn flags(protection: Protection, caching: Caching) -> Flags {
    let access = match protection {
        Protection::Read => Flags::NO_EXECUTE,
        Protection::ReadWrite => Flags::WRITABLE | Flags::NO_EXECUTE,
        Protection::ReadExecute => Flags::empty(),
    };
    let cache = match caching {
        Caching::Cached => Flags::empty(),
        Caching::NonCached => Flags::NO_CACHE | Flags::WRITE_THROUGH,
        // The PAT as it is after reset has no write combining: UC- lets an MTRR make it so.
        Caching::WriteCombined => Flags::NO_CACHE,
    };
    Flags::PRESENT | Flags::GLOBAL | access | cache
}

fn page(va: usize) -> Page<Size4KiB> {
    Page::containing_address(VirtAddr::new_truncate(va as u64))
}

/// Maps one page.
pub fn map(va: usize, pa: u64, protection: Protection, caching: Caching) -> Result<(), MapError> {
    let frame = PhysFrame::containing_address(PhysAddr::new_truncate(pa));
    with_tables(|t| {
        // SAFETY: the executive's memory manager decides what is mapped where.
        match unsafe { t.map_to(page(va), frame, flags(protection, caching), &mut Frames) } {
            Ok(flush) => {
                flush.flush();
                Ok(())
            }
            Err(MapToError::FrameAllocationFailed) => Err(MapError::OutOfMemory),
            Err(_) => Err(MapError::InUse),
        }
    })
}

/// Changes a page's protection; the cache type becomes write back.
pub fn protect(va: usize, protection: Protection) -> Result<(), MapError> {
    with_tables(|t| {
        // SAFETY: as for `map`.
        unsafe { t.update_flags(page(va), flags(protection, Caching::Cached)) }
            .map(MapperFlush::flush)
            .map_err(|_| MapError::NotMapped)
    })
}

/// Takes a page's mapping away.
pub fn unmap(va: usize) -> Result<u64, MapError> {
    with_tables(|t| match t.unmap(page(va)) {
        Ok((frame, flush)) => {
            flush.flush();
            Ok(frame.start_address().as_u64())
        }
        Err(
            UnmapError::PageNotMapped
            | UnmapError::ParentEntryHugePage
            | UnmapError::InvalidFrameAddress(_),
        ) => Err(MapError::NotMapped),
    })
}

/// What `va` is mapped to.
pub fn translate(va: usize) -> Option<u64> {
    let address = VirtAddr::try_new(va as u64).ok()?;
    with_tables(|t| t.translate_addr(address)).map(|a| a.as_u64())
}

/// Was a page fault at `va` only due to an old TLB entry? If so the entry is flushed and the access can be tried again.
/// `error` is the processor's error code: bit 1 write, bit 4 instruction fetch.
pub fn fault_is_stale(va: u64, error: u64) -> bool {
    let Ok(address) = VirtAddr::try_new(va) else {
        return false;
    };
    if ROOT.try_lock().is_none_or(|root| *root == 0) {
        return false;
    }
    let TranslateResult::Mapped { flags, .. } = with_tables(|t| t.translate(address)) else {
        return false;
    };
    let writable = error & 2 == 0 || flags.contains(Flags::WRITABLE);
    let executable = error & 16 == 0 || !flags.contains(Flags::NO_EXECUTE);
    if writable && executable {
        x86_64::instructions::tlb::flush(address);
    }
    writable && executable
}

fn map_large(from: u64, to: u64) -> Result<(), MapError> {
    let flags = Flags::PRESENT | Flags::WRITABLE | Flags::NO_EXECUTE | Flags::GLOBAL;
    for pa in (from / LARGE * LARGE..to).step_by(LARGE as usize) {
        let page = Page::<Size2MiB>::containing_address(VirtAddr::new(DIRECT_MAP as u64 + pa));
        let frame = PhysFrame::containing_address(PhysAddr::new(pa));
        let mapped = with_tables(|t| {
            // SAFETY: the direct map's address range serves nothing else.
            unsafe { t.map_to(page, frame, flags, &mut Frames) }.map(MapperFlush::ignore)
        });
        match mapped {
            Ok(()) | Err(MapToError::PageAlreadyMapped(_)) => {}
            Err(_) => return Err(MapError::OutOfMemory),
        }
    }
    Ok(())
}

fn map_image(from: usize, to: usize, protection: Protection) -> Result<(), MapError> {
    (from..to)
        .step_by(4096)
        .try_for_each(|va| map(va, (va - boot::KERNEL) as u64, protection, Caching::Cached))
}

/// Builds the tables that stay and switches to them.
///
/// # Errors
/// No memory for tables.
pub fn initialize(map: &[MemoryRange]) -> Result<(), MapError> {
    let root = ntexec::mm::phys::allocate_page().ok_or(MapError::OutOfMemory)?;
    // SAFETY: the page is ours, and the first page tables map it.
    unsafe { core::ptr::write_bytes((DIRECT_MAP + root as usize) as *mut u8, 0, 4096) };
    *ROOT.lock() = root;
    map_large(0, FOUR_GIB)?;
    for r in map.iter().filter(|r| r.base + r.len > FOUR_GIB) {
        map_large(r.base.max(FOUR_GIB), r.base + r.len)?;
    }
    let at = |p: *const u8| p as usize;
    let (text, text_end) = (
        at(&raw const boot::text_start),
        at(&raw const boot::text_end),
    );
    let (rodata_end, end) = (
        at(&raw const boot::rodata_end),
        at(&raw const boot::image_end),
    );
    map_image(text, text_end, Protection::ReadExecute)?;
    map_image(text_end, rodata_end, Protection::Read)?;
    map_image(rodata_end, end, Protection::ReadWrite)?;
    load();
    Ok(())
}

/// Switches this processor to the tables.
pub fn load() {
    use x86_64::registers::control::{Cr3, Cr3Flags};
    let root = *ROOT.lock();
    // SAFETY: the tables map the code that runs, its stack and its data.
    unsafe {
        Cr3::write(
            PhysFrame::containing_address(PhysAddr::new(root)),
            Cr3Flags::empty(),
        )
    };
}

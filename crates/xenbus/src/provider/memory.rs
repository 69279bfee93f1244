//! Guest memory at which Xen's own pages are placed, and mappings of pages that the toolstack placed.

use core::ffi::c_void;
use core::ptr::NonNull;

use rust_alloc::vec::Vec;
use wdk_sys::ntddk::{
    MmAllocateContiguousMemorySpecifyCache, MmFreeContiguousMemory, MmGetPhysicalAddress,
    MmMapIoSpaceEx, MmUnmapIoSpace,
};
use wdk_sys::{PAGE_READWRITE, PHYSICAL_ADDRESS};
use wdm::pages::{PAGE_SIZE, Pages};
use wdm::status::{Result, Status};
use xen_guest::hypercall::{Guest, MemoryOps, Native};
use xen_guest::{Shared, XenError};

/// Bits of an address within a page.
const PAGE_SHIFT: u32 = 12;

/// Pages with consecutive frames.
pub struct Contiguous {
    address: NonNull<u8>,
    count: usize,
    gfn: u64,
}

impl Contiguous {
    /// `count` pages. IRQL <= DISPATCH_LEVEL.
    fn new(count: usize) -> Result<Self> {
        let bytes = count
            .checked_mul(PAGE_SIZE)
            .ok_or(Status::INVALID_PARAMETER)?;
        let (low, high) = (
            PHYSICAL_ADDRESS { QuadPart: 0 },
            PHYSICAL_ADDRESS { QuadPart: i64::MAX },
        );
        let cached = wdk_sys::_MEMORY_CACHING_TYPE::MmCached;
        // SAFETY: no pointers are passed.
        let memory =
            unsafe { MmAllocateContiguousMemorySpecifyCache(bytes as u64, low, high, low, cached) };
        let address = NonNull::new(memory.cast::<u8>()).ok_or(Status::INSUFFICIENT_RESOURCES)?;
        // SAFETY: memory that was just allocated.
        let physical = unsafe { MmGetPhysicalAddress(memory) };
        // SAFETY: the union's one meaning on x64.
        let gfn = unsafe { physical.QuadPart } as u64 >> PAGE_SHIFT;
        Ok(Self {
            address,
            count,
            gfn,
        })
    }
}

impl Drop for Contiguous {
    fn drop(&mut self) {
        // SAFETY: allocated by `new` and owned.
        unsafe { MmFreeContiguousMemory(self.address.as_ptr().cast::<c_void>()) };
    }
}

/// Memory behind a hole.
enum Backing {
    Scattered(Pages),
    Contiguous(Contiguous),
}

/// A hole in the guest's memory: frames whose RAM was given back to Xen, so that Xen's pages can be placed there.
/// They stay mapped for the driver. Dropping it fills it.
pub struct Hole {
    xen: Guest<Native>,
    backing: Option<Backing>,
    gfns: Vec<u64>,
    placed: Vec<bool>,
}

// SAFETY: owned memory, reached through `Shared` only.
unsafe impl Send for Hole {}
// SAFETY: as above.
unsafe impl Sync for Hole {}

impl Hole {
    /// A hole of `count` frames anywhere. IRQL <= DISPATCH_LEVEL.
    pub fn new(xen: Guest<Native>, count: usize) -> Result<Self> {
        let pages = Pages::new(count)?;
        let gfns = collect(pages.pfns().iter().map(|pfn| *pfn as u64), count)?;
        Self::dig(xen, Backing::Scattered(pages), gfns)
    }

    /// A hole of `count` consecutive frames. IRQL <= DISPATCH_LEVEL.
    pub fn contiguous(xen: Guest<Native>, count: usize) -> Result<Self> {
        let memory = Contiguous::new(count)?;
        let gfns = collect((0..count as u64).map(|index| memory.gfn + index), count)?;
        Self::dig(xen, Backing::Contiguous(memory), gfns)
    }

    fn dig(xen: Guest<Native>, backing: Backing, gfns: Vec<u64>) -> Result<Self> {
        let placed = collect(core::iter::repeat_n(false, gfns.len()), gfns.len())?;
        let done = match xen.decrease_reservation(&gfns) {
            Ok(done) => done,
            Err(error) => {
                wdm::error!("no hole for Xen's pages: {error}");
                return Err(Status::INSUFFICIENT_RESOURCES);
            }
        };
        let whole = done == gfns.len();
        let mut hole = Self {
            xen,
            backing: Some(backing),
            gfns,
            placed,
        };
        if !whole {
            hole.gfns.truncate(done);
            hole.placed.truncate(done);
            return Err(Status::INSUFFICIENT_RESOURCES);
        }
        Ok(hole)
    }

    /// The frame of a page.
    pub fn gfn(&self, index: usize) -> Option<u64> {
        self.gfns.get(index).copied()
    }

    /// Places Xen's page `source` of `space` at page `index`; again is fine. IRQL <= DISPATCH_LEVEL.
    pub fn place(
        &mut self,
        index: usize,
        space: u32,
        source: u64,
    ) -> core::result::Result<(), XenError> {
        let out_of_range = XenError::OutOfRange {
            what: "page of a hole",
            value: index as u64,
        };
        let gfn = self.gfn(index).ok_or(out_of_range)?;
        self.xen.add_to_physmap(space, source, gfn)?;
        if let Some(placed) = self.placed.get_mut(index) {
            *placed = true;
        }
        Ok(())
    }

    /// The page as what it holds.
    ///
    /// # Safety
    /// A page of Xen's is placed there whose contents are a `T` of atomics at its beginning. The result is not used
    /// after the hole is dropped.
    pub unsafe fn shared<T: Sync + 'static>(&self, index: usize) -> Option<Shared<T>> {
        const { assert!(size_of::<T>() <= PAGE_SIZE) };
        let place = match self.backing.as_ref()? {
            Backing::Scattered(pages) => pages.page(index)?,
            Backing::Contiguous(memory) if index < memory.count => {
                // SAFETY: within the allocation.
                unsafe { memory.address.add(index * PAGE_SIZE) }
            }
            Backing::Contiguous(_) => return None,
        };
        // SAFETY: page aligned and mapped while the backing lives, by the caller's promise used no longer.
        Some(unsafe { Shared::new(place.cast::<T>()) })
    }

    /// Takes Xen's pages out and puts RAM back. What cannot be filled again is never given to Windows: it leaks, and
    /// says so. IRQL <= DISPATCH_LEVEL.
    pub fn fill(&mut self) {
        for (gfn, placed) in self.gfns.iter().zip(&mut self.placed) {
            if core::mem::take(placed)
                && let Err(error) = self.xen.remove_from_physmap(*gfn)
            {
                wdm::warn!("frame {gfn:#x}: {error}");
            }
        }
        let count = self.gfns.len();
        let filled = if count == 0 {
            Ok(0)
        } else {
            self.xen.populate_physmap(&mut self.gfns)
        };
        if filled != Ok(count) {
            wdm::error!(
                "{count} frames stay empty and are lost until the restart ({filled:?} were filled)"
            );
            core::mem::forget(self.backing.take());
        }
        self.gfns.clear();
        self.placed.clear();
    }
}

impl Drop for Hole {
    fn drop(&mut self) {
        self.fill();
    }
}

fn collect<T>(items: impl Iterator<Item = T>, count: usize) -> Result<Vec<T>> {
    let mut list = Vec::new();
    list.try_reserve_exact(count)
        .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
    list.extend(items.take(count));
    Ok(list)
}

/// A page that the toolstack placed into the guest, mapped cached and not executable.
pub struct Mapping {
    address: NonNull<c_void>,
}

// SAFETY: a mapping is usable from any thread.
unsafe impl Send for Mapping {}
// SAFETY: only `Shared`s are handed out.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps a frame. IRQL <= DISPATCH_LEVEL.
    pub fn new(gfn: u64) -> Result<Self> {
        let physical = PHYSICAL_ADDRESS {
            QuadPart: (gfn << PAGE_SHIFT) as i64,
        };
        // SAFETY: the frame is one that the toolstack put there for this guest's driver.
        let address = unsafe { MmMapIoSpaceEx(physical, PAGE_SIZE as u64, PAGE_READWRITE) };
        NonNull::new(address)
            .map(|address| Self { address })
            .ok_or(Status::INSUFFICIENT_RESOURCES)
    }

    /// The page as what it holds.
    ///
    /// # Safety
    /// The page's contents are a `T` of atomics at its beginning. The result is not used after the mapping is dropped.
    pub unsafe fn shared<T: Sync + 'static>(&self) -> Shared<T> {
        const { assert!(size_of::<T>() <= PAGE_SIZE) };
        // SAFETY: page aligned and mapped; the caller's promise.
        unsafe { Shared::new(self.address.cast()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping made by `new`.
        unsafe { MmUnmapIoSpace(self.address.as_ptr(), PAGE_SIZE as u64) };
    }
}

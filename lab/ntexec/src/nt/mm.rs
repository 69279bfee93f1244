//! Memory descriptor lists, physical memory, lookaside lists: `wdm.h`, `ntddk.h`.

use super::base::LARGE_INTEGER;
use super::ke::{LIST_ENTRY, PVOID};

/// A physical address.
pub type PHYSICAL_ADDRESS = LARGE_INTEGER;
/// A page frame number.
pub type PFN_NUMBER = usize;

/// A memory descriptor list; the page frame numbers follow it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MDL {
    pub Next: *mut MDL,
    pub Size: i16,
    pub MdlFlags: i16,
    pub Process: PVOID,
    pub MappedSystemVa: PVOID,
    pub StartVa: PVOID,
    pub ByteCount: u32,
    pub ByteOffset: u32,
}
assert_layout!(MDL, 48, 8, Next @ 0, Size @ 8, MdlFlags @ 10, Process @ 16, MappedSystemVa @ 24, StartVa @ 32,
    ByteCount @ 40, ByteOffset @ 44);

impl MDL {
    pub const MAPPED_TO_SYSTEM_VA: i16 = 0x0001;
    pub const PAGES_LOCKED: i16 = 0x0002;
    pub const SOURCE_IS_NONPAGED_POOL: i16 = 0x0004;
    pub const ALLOCATED_FIXED_SIZE: i16 = 0x0008;
    pub const PARTIAL: i16 = 0x0010;
    pub const PARTIAL_HAS_BEEN_MAPPED: i16 = 0x0020;
    pub const IO_PAGE_READ: i16 = 0x0040;
    pub const WRITE_OPERATION: i16 = 0x0080;
    pub const PARENT_MAPPED_SYSTEM_VA: i16 = 0x0100;
    pub const FREE_EXTRA_PTES: i16 = 0x0200;
    pub const IO_SPACE: i16 = 0x0800;
    pub const MAPPING_CAN_FAIL: i16 = 0x2000;
    pub const PAGE_CONTENTS_INVARIANT: i16 = 0x4000;

    /// The array of page frame numbers behind `mdl`.
    ///
    /// # Safety
    /// `mdl` must be followed by its array.
    pub unsafe fn pfns(mdl: *mut MDL) -> *mut PFN_NUMBER {
        // SAFETY: by the caller's word.
        unsafe { mdl.add(1).cast() }
    }

    /// Pages that the described bytes touch.
    pub fn pages(&self) -> usize {
        (self.ByteOffset as usize + self.ByteCount as usize).div_ceil(crate::machine::PAGE_SIZE)
    }
}

/// A run of physical memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PHYSICAL_MEMORY_RANGE {
    pub BaseAddress: PHYSICAL_ADDRESS,
    pub NumberOfBytes: LARGE_INTEGER,
}
assert_layout!(PHYSICAL_MEMORY_RANGE, 16, 8, BaseAddress @ 0, NumberOfBytes @ 8);

/// The head of an interlocked singly linked list.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug)]
pub struct SLIST_HEADER {
    pub Alignment: u64,
    pub Region: u64,
}
assert_layout!(SLIST_HEADER, 16, 16, Alignment @ 0, Region @ 8);

/// The common part of lookaside lists.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug)]
pub struct GENERAL_LOOKASIDE_POOL {
    pub ListHead: SLIST_HEADER,
    pub Depth: u16,
    pub MaximumDepth: u16,
    pub TotalAllocates: u32,
    pub AllocateMisses: u32,
    pub TotalFrees: u32,
    pub FreeMisses: u32,
    pub Type: u32,
    pub Tag: u32,
    pub Size: u32,
    pub Allocate: PVOID,
    pub Free: PVOID,
    pub ListEntry: LIST_ENTRY,
    pub LastTotalAllocates: u32,
    pub LastAllocateMisses: u32,
    pub Future: [u32; 2],
}
assert_layout!(GENERAL_LOOKASIDE_POOL, 96, 16, Depth @ 16, TotalAllocates @ 20, FreeMisses @ 32, Type @ 36, Tag @ 40,
    Size @ 44, Allocate @ 48, Free @ 56, ListEntry @ 64, LastTotalAllocates @ 80, Future @ 88);

//! Memory operations (`memory.h`).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Give pages to Xen or ask for them (`struct xen_memory_reservation`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MemoryReservation {
    /// In: address of an array of guest frame numbers.
    pub extent_start: u64,
    /// In: how many.
    pub nr_extents: u64,
    /// In: each covers 2^this pages.
    pub extent_order: u32,
    /// In: zero.
    pub mem_flags: u32,
    /// In: [`crate::DomId::SELF`].
    pub domid: u16,
    /// Padding.
    pub pad: [u16; 3],
}

/// Place one of Xen's pages into the guest's physical memory (`struct xen_add_to_physmap`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AddToPhysmap {
    /// In: [`crate::DomId::SELF`].
    pub domid: u16,
    /// In: pages of a range; zero else.
    pub size: u16,
    /// In: `XENMAPSPACE_*`.
    pub space: u32,
    /// In: index within the space.
    pub idx: u64,
    /// In: where to.
    pub gpfn: u64,
}

/// Take a page out of the guest's physical memory (`struct xen_remove_from_physmap`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RemoveFromPhysmap {
    /// In: [`crate::DomId::SELF`].
    pub domid: u16,
    /// Padding.
    pub pad: [u16; 3],
    /// In: the frame.
    pub gpfn: u64,
}

abi! {
    constants {
        /// [`MemoryReservation`]; returns the number of extents done.
        DECREASE_RESERVATION: u32 = 1 => "XENMEM_decrease_reservation";
        /// [`MemoryReservation`]; returns the number of extents done.
        POPULATE_PHYSMAP: u32 = 6 => "XENMEM_populate_physmap";
        /// [`AddToPhysmap`].
        ADD_TO_PHYSMAP: u32 = 7 => "XENMEM_add_to_physmap";
        /// [`RemoveFromPhysmap`].
        REMOVE_FROM_PHYSMAP: u32 = 15 => "XENMEM_remove_from_physmap";
        /// Highest frame of the domain's physical memory; the argument is a `domid_t`.
        MAXIMUM_GPFN: u32 = 14 => "XENMEM_maximum_gpfn";
        /// The shared info page.
        SPACE_SHARED_INFO: u32 = 0 => "XENMAPSPACE_shared_info";
        /// A frame of the grant table.
        SPACE_GRANT_TABLE: u32 = 1 => "XENMAPSPACE_grant_table";
    }
    layouts {
        MemoryReservation = "struct xen_memory_reservation", 32 {
            extent_start @ 0, nr_extents @ 8, extent_order @ 16, mem_flags @ 20, domid @ 24,
        }
        AddToPhysmap = "struct xen_add_to_physmap", 24 { domid @ 0, size @ 2, space @ 4, idx @ 8, gpfn @ 16 }
        RemoveFromPhysmap = "struct xen_remove_from_physmap", 16 { domid @ 0, gpfn @ 8 }
    }
}

//! Grant table (`grant_table.h`), version 1.

use core::sync::atomic::{AtomicU16, AtomicU32};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

open_enum! {
    /// Result of one grant operation (`GNTST_*`).
    GrantStatus(i16) {
        /// Done.
        OKAY = 0 => "GNTST_okay";
        /// Undefined error.
        GENERAL_ERROR = -1 => "GNTST_general_error";
        /// Unknown domain.
        BAD_DOMAIN = -2 => "GNTST_bad_domain";
        /// Unknown or unsuitable reference.
        BAD_GNTREF = -3 => "GNTST_bad_gntref";
        /// Unknown or unsuitable handle.
        BAD_HANDLE = -4 => "GNTST_bad_handle";
        /// Unsuitable address to map at.
        BAD_VIRT_ADDR = -5 => "GNTST_bad_virt_addr";
        /// Unsuitable device address.
        BAD_DEV_ADDR = -6 => "GNTST_bad_dev_addr";
        /// I/O MMU full.
        NO_DEVICE_SPACE = -7 => "GNTST_no_device_space";
        /// Not allowed.
        PERMISSION_DENIED = -8 => "GNTST_permission_denied";
        /// Invalid page.
        BAD_PAGE = -9 => "GNTST_bad_page";
        /// Copy crosses a page boundary.
        BAD_COPY_ARG = -10 => "GNTST_bad_copy_arg";
        /// Page address too large.
        ADDRESS_TOO_BIG = -11 => "GNTST_address_too_big";
        /// Not done, try again.
        EAGAIN = -12 => "GNTST_eagain";
        /// Out of handles.
        NO_SPACE = -13 => "GNTST_no_space";
    }
}

/// A grant (`struct grant_entry_v1`), which Xen and this guest both write.
#[derive(Debug, Default)]
#[repr(C)]
pub struct GrantEntryV1 {
    /// `GTF_*`. Written last when granting, first when revoking.
    pub flags: AtomicU16,
    /// To whom.
    pub domid: AtomicU16,
    /// What: a guest frame number.
    pub frame: AtomicU32,
}

/// Size of the table (`struct gnttab_query_size`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QuerySize {
    /// In: [`crate::DomId::SELF`].
    pub dom: u16,
    /// Padding.
    pub pad0: u16,
    /// Out: frames in use.
    pub nr_frames: u32,
    /// Out: frames at most.
    pub max_nr_frames: u32,
    /// Out: [`GrantStatus`].
    pub status: i16,
    /// Padding.
    pub pad1: u16,
}

/// Version to use (`struct gnttab_set_version`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetVersion {
    /// In: wanted; out: in use.
    pub version: u32,
}

/// Version in use (`struct gnttab_get_version`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct GetVersion {
    /// In: [`crate::DomId::SELF`].
    pub dom: u16,
    /// Padding.
    pub pad: u16,
    /// Out.
    pub version: u32,
}

/// Map another domain's page (`struct gnttab_map_grant_ref`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MapGrantRef {
    /// In: guest physical address to map at (HVM).
    pub host_addr: u64,
    /// In: `GNTMAP_*`.
    pub flags: u32,
    /// In: the reference.
    pub grant_ref: u32,
    /// In: the granting domain.
    pub dom: u16,
    /// Out: [`GrantStatus`].
    pub status: i16,
    /// Out: handle for unmapping.
    pub handle: u32,
    /// Out: bus address.
    pub dev_bus_addr: u64,
}

/// Unmap it (`struct gnttab_unmap_grant_ref`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct UnmapGrantRef {
    /// In: where it is mapped.
    pub host_addr: u64,
    /// In: zero, or the bus address.
    pub dev_bus_addr: u64,
    /// In: the handle that mapping returned.
    pub handle: u32,
    /// Out: [`GrantStatus`].
    pub status: i16,
    /// Padding.
    pub pad: u16,
}

abi! {
    constants {
        /// [`MapGrantRef`].
        MAP_GRANT_REF: u32 = 0 => "GNTTABOP_map_grant_ref";
        /// [`UnmapGrantRef`].
        UNMAP_GRANT_REF: u32 = 1 => "GNTTABOP_unmap_grant_ref";
        /// Not used by HVM guests, which place frames with [`crate::memory`].
        SETUP_TABLE: u32 = 2 => "GNTTABOP_setup_table";
        /// Copy by Xen.
        COPY: u32 = 5 => "GNTTABOP_copy";
        /// [`QuerySize`].
        QUERY_SIZE: u32 = 6 => "GNTTABOP_query_size";
        /// [`SetVersion`].
        SET_VERSION: u32 = 8 => "GNTTABOP_set_version";
        /// [`GetVersion`].
        GET_VERSION: u32 = 10 => "GNTTABOP_get_version";
        /// References that Xen's toolstack fills in.
        NR_RESERVED_ENTRIES: u32 = 8 => "GNTTAB_NR_RESERVED_ENTRIES";
        /// Reference of the console ring.
        RESERVED_CONSOLE: u32 = 0 => "GNTTAB_RESERVED_CONSOLE";
        /// Reference of the xenstore ring.
        RESERVED_XENSTORE: u32 = 1 => "GNTTAB_RESERVED_XENSTORE";
        /// Entry is unused.
        GTF_INVALID: u16 = 0 => "GTF_invalid";
        /// The domain may map and access the frame.
        GTF_PERMIT_ACCESS: u16 = 1 => "GTF_permit_access";
        /// Mask of the kind of entry.
        GTF_TYPE_MASK: u16 = 3 => "GTF_type_mask";
        /// The domain may only read.
        GTF_READONLY: u16 = 4 => "GTF_readonly";
        /// Xen: mapped for reading.
        GTF_READING: u16 = 8 => "GTF_reading";
        /// Xen: mapped for writing.
        GTF_WRITING: u16 = 16 => "GTF_writing";
        /// Map for this domain's CPUs.
        GNTMAP_HOST_MAP: u32 = 2 => "GNTMAP_host_map";
        /// Map read-only.
        GNTMAP_READONLY: u32 = 4 => "GNTMAP_readonly";
    }
    layouts {
        GrantEntryV1 = "struct grant_entry_v1", 8 { flags @ 0, domid @ 2, frame @ 4 }
        QuerySize = "struct gnttab_query_size", 16 { dom @ 0, nr_frames @ 4, max_nr_frames @ 8, status @ 12 }
        SetVersion = "struct gnttab_set_version", 4 { version @ 0 }
        GetVersion = "struct gnttab_get_version", 8 { dom @ 0, pad @ 2, version @ 4 }
        MapGrantRef = "struct gnttab_map_grant_ref", 32 {
            host_addr @ 0, flags @ 8, grant_ref as "ref" @ 12, dom @ 16, status @ 18, handle @ 20, dev_bus_addr @ 24,
        }
        UnmapGrantRef = "struct gnttab_unmap_grant_ref", 24 {
            host_addr @ 0, dev_bus_addr @ 8, handle @ 16, status @ 20,
        }
    }
}

/// Entries in a frame of the table.
pub const ENTRIES_PER_FRAME: u32 = (crate::PAGE_SIZE / size_of::<GrantEntryV1>()) as u32;

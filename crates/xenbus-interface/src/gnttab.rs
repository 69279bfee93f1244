//! GNTTAB: grants of our pages to other domains, and maps of theirs.

use core::ffi::{c_char, c_void};

use crate::cache::Lock;
use crate::table::{Acquire, Release};
use crate::{Boolean, Guid, Interface, NtStatus, Pfn};

/// GUID of the interface.
pub const GUID: Guid = Guid::from_u128(0x763679C5_E5C2_4A6D_8B88_6BB02EC42D8E);

opaque! {
    /// A cache of grant entries.
    Cache
}

opaque! {
    /// A grant entry.
    Entry
}

/// `CreateCache` up to version 3.
pub type CreateCacheV1 = unsafe extern "system" fn(
    interface: *mut Interface,
    name: *const c_char,
    reservation: u32,
    acquire_lock: Lock,
    release_lock: Lock,
    argument: *mut c_void,
    cache: *mut *mut Cache,
) -> NtStatus;

/// `CreateCache` from version 4 on: with a limit `cap` on the number of entries (0: none).
pub type CreateCache = unsafe extern "system" fn(
    interface: *mut Interface,
    name: *const c_char,
    reservation: u32,
    cap: u32,
    acquire_lock: Lock,
    release_lock: Lock,
    argument: *mut c_void,
    cache: *mut *mut Cache,
) -> NtStatus;

/// `PermitForeignAccess`: grants a page to `domain`. IRQL <= DISPATCH_LEVEL.
pub type PermitForeignAccess = unsafe extern "system" fn(
    interface: *mut Interface,
    cache: *mut Cache,
    locked: Boolean,
    domain: u16,
    pfn: Pfn,
    read_only: Boolean,
    entry: *mut *mut Entry,
) -> NtStatus;

/// `RevokeForeignAccess`: takes a grant back; an error means that the peer still uses the page, which
/// then must not be given to anyone else. IRQL <= DISPATCH_LEVEL.
pub type RevokeForeignAccess = unsafe extern "system" fn(
    interface: *mut Interface,
    cache: *mut Cache,
    locked: Boolean,
    entry: *mut Entry,
) -> NtStatus;

/// `GetReference`: the grant reference to tell the peer. IRQL <= DISPATCH_LEVEL.
pub type GetReference =
    unsafe extern "system" fn(interface: *mut Interface, entry: *mut Entry) -> u32;

/// `QueryReference`: frame and mode of a reference in the table. IRQL <= DISPATCH_LEVEL.
pub type QueryReference = unsafe extern "system" fn(
    interface: *mut Interface,
    reference: u32,
    pfn: *mut Pfn,
    read_only: *mut Boolean,
) -> NtStatus;

/// `DestroyCache`: all entries are back. IRQL <= DISPATCH_LEVEL.
pub type DestroyCache = unsafe extern "system" fn(interface: *mut Interface, cache: *mut Cache);

/// `MapForeignPages`: maps a peer's pages at consecutive physical addresses. PASSIVE_LEVEL.
pub type MapForeignPages = unsafe extern "system" fn(
    interface: *mut Interface,
    domain: u16,
    number_pages: u32,
    references: *const u32,
    read_only: Boolean,
    address: *mut i64,
) -> NtStatus;

/// `UnmapForeignPages`. PASSIVE_LEVEL.
pub type UnmapForeignPages =
    unsafe extern "system" fn(interface: *mut Interface, address: i64) -> NtStatus;

interface! {
    /// `XENBUS_GNTTAB_INTERFACE_V2`.
    GnttabV2 = GUID, "GNTTAB", version 2, size 104 {
        /// Take a reference.
        acquire: Acquire,
        /// Give it back.
        release: Release,
        /// Make a cache.
        create_cache: CreateCacheV1,
        /// Grant a page.
        permit_foreign_access: PermitForeignAccess,
        /// Take it back.
        revoke_foreign_access: RevokeForeignAccess,
        /// An entry's reference.
        get_reference: GetReference,
        /// Drop a cache.
        destroy_cache: DestroyCache,
        /// Map a peer's pages.
        map_foreign_pages: MapForeignPages,
        /// Unmap them.
        unmap_foreign_pages: UnmapForeignPages,
    }
}

interface! {
    /// `XENBUS_GNTTAB_INTERFACE_V3`: `query_reference`.
    GnttabV3 = GUID, "GNTTAB", version 3, size 112 {
        /// Take a reference.
        acquire: Acquire,
        /// Give it back.
        release: Release,
        /// Make a cache.
        create_cache: CreateCacheV1,
        /// Grant a page.
        permit_foreign_access: PermitForeignAccess,
        /// Take it back.
        revoke_foreign_access: RevokeForeignAccess,
        /// An entry's reference.
        get_reference: GetReference,
        /// What a reference grants.
        query_reference: QueryReference,
        /// Drop a cache.
        destroy_cache: DestroyCache,
        /// Map a peer's pages.
        map_foreign_pages: MapForeignPages,
        /// Unmap them.
        unmap_foreign_pages: UnmapForeignPages,
    }
}

interface! {
    /// `XENBUS_GNTTAB_INTERFACE_V4`: `create_cache` has a cap.
    GnttabV4 = GUID, "GNTTAB", version 4, size 112 {
        /// Take a reference.
        acquire: Acquire,
        /// Give it back.
        release: Release,
        /// Make a cache.
        create_cache: CreateCache,
        /// Grant a page.
        permit_foreign_access: PermitForeignAccess,
        /// Take it back.
        revoke_foreign_access: RevokeForeignAccess,
        /// An entry's reference.
        get_reference: GetReference,
        /// What a reference grants.
        query_reference: QueryReference,
        /// Drop a cache.
        destroy_cache: DestroyCache,
        /// Map a peer's pages.
        map_foreign_pages: MapForeignPages,
        /// Unmap them.
        unmap_foreign_pages: UnmapForeignPages,
    }
}

//! STORE: xenstore.

use core::ffi::{c_char, c_void};

use crate::table::{Acquire, Release};
use crate::{Boolean, Guid, Interface, NtStatus};

/// GUID of the interface.
pub const GUID: Guid = Guid::from_u128(0x86824C3B_D34E_4753_B281_2F1E3AD214D7);

opaque! {
    /// An open transaction.
    Transaction
}

opaque! {
    /// A watch.
    Watch
}

/// `XENBUS_STORE_PERMISSION`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permission {
    /// The domain that is allowed.
    pub domain: u16,
    /// [`PERM_NONE`], [`PERM_READ`] and [`PERM_WRITE`], a C enumeration.
    pub mask: u32,
}

const _: () = {
    assert!(size_of::<Permission>() == 8);
    assert!(core::mem::offset_of!(Permission, mask) == 4);
};

/// `XENBUS_STORE_PERMISSION_MASK`: nothing.
pub const PERM_NONE: u32 = 0;
/// `XENBUS_STORE_PERMISSION_MASK`: read.
pub const PERM_READ: u32 = 1;
/// `XENBUS_STORE_PERMISSION_MASK`: write.
pub const PERM_WRITE: u32 = 2;

/// `Free`: gives back what [`Read`] or [`Directory`] returned. IRQL <= DISPATCH_LEVEL.
pub type Free = unsafe extern "system" fn(interface: *mut Interface, buffer: *mut c_char);

/// `Read`: the value of `prefix/node`, NUL-terminated, in nonpaged memory. IRQL <= DISPATCH_LEVEL.
pub type Read = unsafe extern "system" fn(
    interface: *mut Interface,
    transaction: *mut Transaction,
    prefix: *const c_char,
    node: *const c_char,
    buffer: *mut *mut c_char,
) -> NtStatus;

/// `Printf`: writes a formatted value. IRQL <= DISPATCH_LEVEL.
pub type Printf = unsafe extern "C" fn(
    interface: *mut Interface,
    transaction: *mut Transaction,
    prefix: *const c_char,
    node: *const c_char,
    format: *const c_char,
    ...
) -> NtStatus;

/// `PermissionsSet`. IRQL <= DISPATCH_LEVEL.
pub type PermissionsSet = unsafe extern "system" fn(
    interface: *mut Interface,
    transaction: *mut Transaction,
    prefix: *const c_char,
    node: *const c_char,
    permissions: *const Permission,
    number_permissions: u32,
) -> NtStatus;

/// `Remove`. IRQL <= DISPATCH_LEVEL.
pub type Remove = unsafe extern "system" fn(
    interface: *mut Interface,
    transaction: *mut Transaction,
    prefix: *const c_char,
    node: *const c_char,
) -> NtStatus;

/// `Directory`: the names below `prefix/node`, each NUL-terminated, ended by an empty one.
/// An empty directory is `STATUS_OBJECT_PATH_NOT_FOUND`. IRQL <= DISPATCH_LEVEL.
pub type Directory = Read;

/// `TransactionStart`. IRQL <= DISPATCH_LEVEL.
pub type TransactionStart = unsafe extern "system" fn(
    interface: *mut Interface,
    transaction: *mut *mut Transaction,
) -> NtStatus;

/// `TransactionEnd`: `STATUS_RETRY` if it has to be done again. IRQL <= DISPATCH_LEVEL.
pub type TransactionEnd = unsafe extern "system" fn(
    interface: *mut Interface,
    transaction: *mut Transaction,
    commit: Boolean,
) -> NtStatus;

/// `WatchAdd`: `event` (a `KEVENT`) is signalled at once and whenever `prefix/node` or what is below it
/// changes. IRQL <= DISPATCH_LEVEL.
pub type WatchAdd = unsafe extern "system" fn(
    interface: *mut Interface,
    prefix: *const c_char,
    node: *const c_char,
    event: *mut c_void,
    watch: *mut *mut Watch,
) -> NtStatus;

/// `WatchRemove`. IRQL <= DISPATCH_LEVEL.
pub type WatchRemove =
    unsafe extern "system" fn(interface: *mut Interface, watch: *mut Watch) -> NtStatus;

/// `Poll`: takes in what xenstore has sent; for those who spin at DISPATCH_LEVEL waiting for it.
pub type Poll = unsafe extern "system" fn(interface: *mut Interface);

interface! {
    /// `XENBUS_STORE_INTERFACE_V2`.
    StoreV2 = GUID, "STORE", version 2, size 136 {
        /// Take a reference.
        acquire: Acquire,
        /// Give it back.
        release: Release,
        /// Give a buffer back.
        free: Free,
        /// Read a value.
        read: Read,
        /// Write a value.
        printf: Printf,
        /// Set a node's permissions.
        permissions_set: PermissionsSet,
        /// Remove a node.
        remove: Remove,
        /// List a node's children.
        directory: Directory,
        /// Start a transaction.
        transaction_start: TransactionStart,
        /// End it.
        transaction_end: TransactionEnd,
        /// Add a watch.
        watch_add: WatchAdd,
        /// Remove it.
        watch_remove: WatchRemove,
        /// Take in what has arrived.
        poll: Poll,
    }
}

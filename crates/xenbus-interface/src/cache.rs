//! CACHE: caches of equal objects.

use core::ffi::{c_char, c_void};

use crate::table::{Acquire, Release};
use crate::{Boolean, Guid, Interface, NtStatus};

/// GUID of the interface.
pub const GUID: Guid = Guid::from_u128(0xA98DFD78_416A_4949_92A5_E084F2F4B44E);

opaque! {
    /// A cache.
    Cache
}

/// Constructs an object in place; may run at DISPATCH_LEVEL.
pub type Constructor =
    unsafe extern "system" fn(argument: *mut c_void, object: *mut c_void) -> NtStatus;

/// Destroys an object in place; may run at DISPATCH_LEVEL.
pub type Destructor = unsafe extern "system" fn(argument: *mut c_void, object: *mut c_void);

/// Takes or gives back the user's lock around the cache. The bus calls it at DISPATCH_LEVEL.
pub type Lock = unsafe extern "system" fn(argument: *mut c_void);

/// `Create` of version 1: objects of `size` bytes, `reservation` of them made beforehand.
pub type CreateV1 = unsafe extern "system" fn(
    interface: *mut Interface,
    name: *const c_char,
    size: u32,
    reservation: u32,
    constructor: Constructor,
    destructor: Destructor,
    acquire_lock: Lock,
    release_lock: Lock,
    argument: *mut c_void,
    cache: *mut *mut Cache,
) -> NtStatus;

/// `Create` from version 2 on: with a limit `cap` on the number of objects (0: none).
pub type Create = unsafe extern "system" fn(
    interface: *mut Interface,
    name: *const c_char,
    size: u32,
    reservation: u32,
    cap: u32,
    constructor: Constructor,
    destructor: Destructor,
    acquire_lock: Lock,
    release_lock: Lock,
    argument: *mut c_void,
    cache: *mut *mut Cache,
) -> NtStatus;

/// `Get`: an object, or null. `locked`: the caller holds the user's lock. IRQL <= DISPATCH_LEVEL.
pub type Get = unsafe extern "system" fn(
    interface: *mut Interface,
    cache: *mut Cache,
    locked: Boolean,
) -> *mut c_void;

/// `Put`: gives an object back. IRQL <= DISPATCH_LEVEL.
pub type Put = unsafe extern "system" fn(
    interface: *mut Interface,
    cache: *mut Cache,
    object: *mut c_void,
    locked: Boolean,
);

/// `Destroy`: all objects are back. IRQL <= DISPATCH_LEVEL.
pub type Destroy = unsafe extern "system" fn(interface: *mut Interface, cache: *mut Cache);

interface! {
    /// `XENBUS_CACHE_INTERFACE_V1`.
    CacheV1 = GUID, "CACHE", version 1, size 80 {
        /// Take a reference.
        acquire: Acquire,
        /// Give it back.
        release: Release,
        /// Make a cache.
        create: CreateV1,
        /// Take an object.
        get: Get,
        /// Give it back.
        put: Put,
        /// Drop the cache.
        destroy: Destroy,
    }
}

interface! {
    /// `XENBUS_CACHE_INTERFACE_V2`: `create` has a cap.
    CacheV2 = GUID, "CACHE", version 2, size 80 {
        /// Take a reference.
        acquire: Acquire,
        /// Give it back.
        release: Release,
        /// Make a cache.
        create: Create,
        /// Take an object.
        get: Get,
        /// Give it back.
        put: Put,
        /// Drop the cache.
        destroy: Destroy,
    }
}

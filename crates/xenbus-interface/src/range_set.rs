//! RANGE_SET: sets of integer ranges.

use core::ffi::c_char;

use crate::table::{Acquire, Release};
use crate::{Guid, Interface, NtStatus};

/// GUID of the interface.
pub const GUID: Guid = Guid::from_u128(0xEE7E78A2_6847_48C5_B123_BB012F0EABF4);

opaque! {
    /// A set.
    RangeSet
}

/// `Create`: an empty set. IRQL <= DISPATCH_LEVEL.
pub type Create = unsafe extern "system" fn(
    interface: *mut Interface,
    name: *const c_char,
    range_set: *mut *mut RangeSet,
) -> NtStatus;

/// `Put`: adds `count` integers from `start` on. IRQL <= DISPATCH_LEVEL.
pub type Put = unsafe extern "system" fn(
    interface: *mut Interface,
    range_set: *mut RangeSet,
    start: i64,
    count: u64,
) -> NtStatus;

/// `Pop`: takes out some `count` consecutive integers. IRQL <= DISPATCH_LEVEL.
pub type Pop = unsafe extern "system" fn(
    interface: *mut Interface,
    range_set: *mut RangeSet,
    count: u64,
    start: *mut i64,
) -> NtStatus;

/// `Get`: takes out these `count` integers. IRQL <= DISPATCH_LEVEL.
pub type Get = Put;

/// `Destroy`: the set is empty. IRQL <= DISPATCH_LEVEL.
pub type Destroy = unsafe extern "system" fn(interface: *mut Interface, range_set: *mut RangeSet);

interface! {
    /// `XENBUS_RANGE_SET_INTERFACE_V1`.
    RangeSetV1 = GUID, "RANGE_SET", version 1, size 88 {
        /// Take a reference.
        acquire: Acquire,
        /// Give it back.
        release: Release,
        /// Make a set.
        create: Create,
        /// Put a range in.
        put: Put,
        /// Take any range out.
        pop: Pop,
        /// Take a given range out.
        get: Get,
        /// Drop the set.
        destroy: Destroy,
    }
}

//! UNPLUG: take emulated twins of paravirtual devices away at the next boot.

use core::ffi::c_char;

use crate::table::{Acquire, Release};
use crate::{Boolean, Guid, Interface};

/// GUID of the interface.
pub const GUID: Guid = Guid::from_u128(0x73DB6517_3D06_4937_989F_199B7501E229);

/// `XENBUS_UNPLUG_DEVICE_TYPE`: network adapters.
pub const NICS: u32 = 1;
/// `XENBUS_UNPLUG_DEVICE_TYPE`: disks.
pub const DISKS: u32 = 2;

/// `Request`: with `make`, asks for the devices of a kind to be unplugged at the next boot; without, takes
/// that back. PASSIVE_LEVEL.
pub type Request = unsafe extern "system" fn(interface: *mut Interface, kind: u32, make: Boolean);

/// `IsRequested`: whether the devices of a kind were unplugged in this boot. PASSIVE_LEVEL.
pub type IsRequested = unsafe extern "system" fn(interface: *mut Interface, kind: u32) -> Boolean;

/// `BootEmulated`: whether the boot disk is meant to stay emulated. PASSIVE_LEVEL.
pub type BootEmulated = unsafe extern "system" fn(interface: *mut Interface) -> Boolean;

/// `Reboot`: asks the user for a reboot on behalf of a driver. PASSIVE_LEVEL.
pub type Reboot = unsafe extern "system" fn(interface: *mut Interface, module: *const c_char);

interface! {
    /// `XENBUS_UNPLUG_INTERFACE_V1`.
    UnplugV1 = GUID, "UNPLUG", version 1, size 56 {
        /// Take a reference.
        acquire: Acquire,
        /// Give it back.
        release: Release,
        /// Ask for an unplug.
        request: Request,
    }
}

interface! {
    /// `XENBUS_UNPLUG_INTERFACE_V2`.
    UnplugV2 = GUID, "UNPLUG", version 2, size 64 {
        /// Take a reference.
        acquire: Acquire,
        /// Give it back.
        release: Release,
        /// Ask for an unplug.
        request: Request,
        /// Whether it was done.
        is_requested: IsRequested,
    }
}

interface! {
    /// `XENBUS_UNPLUG_INTERFACE_V3`.
    UnplugV3 = GUID, "UNPLUG", version 3, size 80 {
        /// Take a reference.
        acquire: Acquire,
        /// Give it back.
        release: Release,
        /// Ask for an unplug.
        request: Request,
        /// Whether it was done.
        is_requested: IsRequested,
        /// Whether the boot disk stays emulated.
        boot_emulated: BootEmulated,
        /// Ask for a reboot.
        reboot: Reboot,
    }
}

//! SUSPEND: be called when the domain resumes somewhere else.

use core::ffi::c_void;

use crate::table::{Acquire, Release};
use crate::{Guid, Interface, NtStatus};

/// GUID of the interface.
pub const GUID: Guid = Guid::from_u128(0x0554F2AF_B510_4C71_AC03_1C503E394238);

opaque! {
    /// A registration.
    Callback
}

/// `XENBUS_SUSPEND_CALLBACK_TYPE`: called at HIGH_LEVEL with interrupts off on CPU 0 and all other
/// CPUs held; no pool, no waits, no locks but those taken at HIGH_LEVEL.
pub const CALLBACK_EARLY: u32 = 1;
/// `XENBUS_SUSPEND_CALLBACK_TYPE`: called at DISPATCH_LEVEL on CPU 0, the others held at
/// DISPATCH_LEVEL; hypercalls and polled xenstore requests are allowed.
pub const CALLBACK_LATE: u32 = 2;

/// What is called after a resume. Callbacks run in the order of their registration.
pub type Function = unsafe extern "system" fn(argument: *mut c_void);

/// `Register`. IRQL <= DISPATCH_LEVEL.
pub type Register = unsafe extern "system" fn(
    interface: *mut Interface,
    kind: u32,
    function: Function,
    argument: *mut c_void,
    callback: *mut *mut Callback,
) -> NtStatus;

/// `Deregister`. IRQL <= DISPATCH_LEVEL.
pub type Deregister = unsafe extern "system" fn(interface: *mut Interface, callback: *mut Callback);

/// `Trigger`: suspends the domain. PASSIVE_LEVEL.
pub type Trigger = unsafe extern "system" fn(interface: *mut Interface) -> NtStatus;

/// `GetCount`: how often the domain was resumed. Any IRQL.
pub type GetCount = unsafe extern "system" fn(interface: *mut Interface) -> u32;

interface! {
    /// `XENBUS_SUSPEND_INTERFACE_V1`.
    SuspendV1 = GUID, "SUSPEND", version 1, size 80 {
        /// Take a reference.
        acquire: Acquire,
        /// Give it back.
        release: Release,
        /// Register a callback.
        register: Register,
        /// Take it back.
        deregister: Deregister,
        /// Suspend the domain.
        trigger: Trigger,
        /// How often the domain was resumed.
        get_count: GetCount,
    }
}

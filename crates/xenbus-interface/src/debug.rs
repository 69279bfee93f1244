//! DEBUG: say something when state is dumped (`xl debug-keys q`, bug check).

use core::ffi::{c_char, c_void};

use crate::table::{Acquire, Release};
use crate::{Boolean, Guid, Interface, NtStatus};

/// GUID of the interface.
pub const GUID: Guid = Guid::from_u128(0x0DF600AE_6B20_4227_BF94_03DA9A26A114);

opaque! {
    /// A registration.
    Callback
}

/// What is called at a dump; with `crashing` it runs at HIGH_LEVEL in a bug check.
pub type Function = unsafe extern "system" fn(argument: *mut c_void, crashing: Boolean);

/// `Register`; lines are prefixed with `prefix`. IRQL <= DISPATCH_LEVEL.
pub type Register = unsafe extern "system" fn(
    interface: *mut Interface,
    prefix: *const c_char,
    function: Function,
    argument: *mut c_void,
    callback: *mut *mut Callback,
) -> NtStatus;

/// `Printf`: only inside a callback.
pub type Printf = unsafe extern "C" fn(interface: *mut Interface, format: *const c_char, ...);

/// `Trigger`: runs one callback, or all if `callback` is null. IRQL <= DISPATCH_LEVEL.
pub type Trigger = unsafe extern "system" fn(interface: *mut Interface, callback: *mut Callback);

/// `Deregister`. IRQL <= DISPATCH_LEVEL.
pub type Deregister = unsafe extern "system" fn(interface: *mut Interface, callback: *mut Callback);

interface! {
    /// `XENBUS_DEBUG_INTERFACE_V1`.
    DebugV1 = GUID, "DEBUG", version 1, size 80 {
        /// Take a reference.
        acquire: Acquire,
        /// Give it back.
        release: Release,
        /// Register a callback.
        register: Register,
        /// Print a line in a callback.
        printf: Printf,
        /// Run callbacks.
        trigger: Trigger,
        /// Take a callback back.
        deregister: Deregister,
    }
}
